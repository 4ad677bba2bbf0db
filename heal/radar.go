package heal

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// The radar reads bars of sources again when they are a minute, an hour, a day
// and a week old, and so learns how often each source revises what it said. It
// changes no bar: what a source says later is not more true for being later.

// radarAges are how old the newest bar of a sample is when it is read again.
var radarAges = [...]time.Duration{time.Minute, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}

const (
	radarBars    = 3                  // of one sample
	radarEvery   = 50 * series.Minute // between samples of one series
	radarMost    = 2000               // samples that wait at a time
	radarAsks    = 20                 // questions of one pass
	radarBegins  = 20                 // samples that one pass begins
	radarReads   = 100                // readings before a share is believed
	radarFinal   = 0.001              // share of revised bars below which an age is final
	radarRevised = 500                // revisions that are kept
	radarLate    = 3                  // times the age after which a reading says nothing of it

	kindSample  = "heal/sample"
	kindAges    = "heal/ages"
	kindRevised = "heal/revised"
)

// sample is a few bars that are read again.
type sample struct {
	series.Key
	Source string       `json:"source"`
	From   series.Time  `json:"from"`
	To     series.Time  `json:"to"` // end of the last one
	Bars   []sampledBar `json:"bars"`
	Step   int          `json:"step"` // index of the next age
	Tries  int          `json:"tries,omitempty"`
}

type sampledBar struct {
	Time series.Time `json:"t"`
	Bar  [5]float64  `json:"b"` // open, high, low, close, volume
}

func (s *sample) due() series.Time {
	return s.To + series.Time(radarAges[s.Step].Milliseconds())
}

func (s *sample) name() string { return fmt.Sprintf("%s %d", s.Key, int64(s.From)) }

// Age is what was seen of bars of one age.
type Age struct {
	Age time.Duration `json:"age_ns"`
	// Reads are the bars that were read again at this age, Prices those of them
	// whose prices were others than at the age before, Volumes whose volume was.
	Reads   int64 `json:"reads"`
	Prices  int64 `json:"prices"`
	Volumes int64 `json:"volumes"`
}

// Revisions is how often a source revises its bars.
type Revisions struct {
	Source string `json:"source"`
	Ages   []Age  `json:"ages"`
	// Final is the age from which on less than one bar in a thousand has other
	// prices later; nil until enough was read.
	Final *time.Duration `json:"final_after_ns"`
}

// Revision is one bar of which a source said something else later.
type Revision struct {
	series.Key
	Source string        `json:"source"`
	Time   series.Time   `json:"time"` // open time of the bar
	Seen   series.Time   `json:"seen"`
	Age    time.Duration `json:"age_ns"` // at which it was seen
	// Before and After are open, high, low, close and volume.
	Before [5]float64 `json:"before"`
	After  [5]float64 `json:"after"`
}

// Revisions reports what the radar learned of each source, and the revisions that
// it saw last, the newest first.
func (h *Healer) Revisions(ctx context.Context) ([]Revisions, []Revision, error) {
	sources, last := []Revisions{}, []Revision{}
	for r, err := range h.store.Records(ctx, kindAges, "") {
		if err != nil {
			return nil, nil, err
		}
		x := Revisions{Source: r.Name}
		if json.Unmarshal(r.Value, &x.Ages) == nil {
			x.Final = finalAfter(x.Ages)
			sources = append(sources, x)
		}
	}
	for r, err := range h.store.Records(ctx, kindRevised, "") {
		if err != nil {
			return nil, nil, err
		}
		var x Revision
		if json.Unmarshal(r.Value, &x) == nil {
			last = append(last, x)
		}
	}
	slices.SortStableFunc(last, func(a, b Revision) int { return cmp.Compare(b.Seen, a.Seen) })
	return sources, last, nil
}

// finalAfter is the youngest age behind which next to nothing is revised.
func finalAfter(ages []Age) *time.Duration {
	var out *time.Duration
	for i := len(ages) - 1; i > 0; i-- {
		if ages[i].Reads < radarReads || float64(ages[i].Prices) > radarFinal*float64(ages[i].Reads) {
			break
		}
		out = &ages[i-1].Age
	}
	return out
}

// Radar reads the samples that are due and begins new ones. What waits is kept
// in the store, so that a restart loses nothing. A source that does not answer is
// asked again in the next pass, until the moment has passed.
func (h *Healer) Radar(ctx context.Context) error {
	if h.source == nil {
		return nil
	}
	var waiting []sample
	newest := map[series.Key]series.Time{}
	for r, err := range h.store.Records(ctx, kindSample, "") {
		if err != nil {
			return err
		}
		var s sample
		if json.Unmarshal(r.Value, &s) != nil || s.Step < 0 || s.Step >= len(radarAges) || len(s.Bars) == 0 {
			if err := h.store.PutRecords(ctx, []Record{{Kind: kindSample, Name: r.Name}}); err != nil {
				return err
			}
			continue
		}
		waiting = append(waiting, s)
		newest[s.Key] = max(newest[s.Key], s.From)
	}
	slices.SortFunc(waiting, func(a, b sample) int { return cmp.Compare(a.due(), b.due()) })
	now := h.now()
	for i := range waiting[:min(len(waiting), radarAsks)] {
		if waiting[i].due() > now {
			break
		}
		if err := h.reread(ctx, &waiting[i], now); err != nil {
			return err
		}
	}
	return h.begin(ctx, now, newest, radarMost-len(waiting))
}

// reread asks the source of a sample for it.
func (h *Healer) reread(ctx context.Context, s *sample, now series.Time) error {
	age := radarAges[s.Step]
	late := now-s.due() > series.Time((radarLate * age).Milliseconds())
	reach, err := h.source.Reach(ctx, s.Key)
	if err != nil || !slices.Contains(reach.Sources, s.Source) {
		return h.store.PutRecords(ctx, []Record{{Kind: kindSample, Name: s.name()}}) // nobody to ask any more
	}
	others := slices.DeleteFunc(slices.Clone(reach.Sources), func(x string) bool { return x == s.Source })
	var got series.Columns
	if !late {
		_, err := h.source.Fetch(ctx, s.Key, series.Span{From: s.From, To: s.To}, others, func(a Answer) error {
			if a.Source == s.Source {
				for i := range a.Bars.Time {
					got.Append(a.Bars.Bar(i))
				}
			}
			return nil
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			h.log.Debug("a sample was not read again", "series", s.Key, "source", s.Source, "age", age, "err", err)
		}
	}
	var records []Record
	if got.Len() > 0 {
		if records, err = h.compare(ctx, s, &got, now); err != nil {
			return err
		}
	}
	name := s.name()
	switch s.Tries++; {
	case got.Len() == 0 && !late && s.Tries < 5:
		// A source that is down says nothing about its bars.
	default:
		s.Step, s.Tries = s.Step+1, 0
	}
	if s.Step == len(radarAges) {
		return h.store.PutRecords(ctx, append(records, Record{Kind: kindSample, Name: name}))
	}
	v, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return h.store.PutRecords(ctx, append(records, Record{Kind: kindSample, Name: name, Value: v}))
}

// compare counts what is other than at the reading before, and takes the bars
// over for the next one.
func (h *Healer) compare(ctx context.Context, s *sample, got *series.Columns, now series.Time) ([]Record, error) {
	var records []Record
	ages := make([]Age, len(radarAges))
	for i := range ages {
		ages[i].Age = radarAges[i]
	}
	for r, err := range h.store.Records(ctx, kindAges, s.Source) {
		if err != nil {
			return nil, err
		}
		var old []Age
		if r.Name == s.Source && json.Unmarshal(r.Value, &old) == nil && len(old) == len(ages) {
			ages = old
		}
		break
	}
	at := &ages[s.Step]
	for i := range s.Bars {
		was := &s.Bars[i]
		k, ok := slices.BinarySearch(got.Time, was.Time)
		if !ok || got.Prov[k].Forming() {
			continue
		}
		is := values(got.Bar(k))
		at.Reads++
		prices, volume := [4]float64(is[:4]) != [4]float64(was.Bar[:4]), is[4] != was.Bar[4]
		if prices {
			at.Prices++
		}
		if volume {
			at.Volumes++
		}
		if prices || volume {
			x := Revision{Key: s.Key, Source: s.Source, Time: was.Time, Seen: now, Age: radarAges[s.Step], Before: was.Bar, After: is}
			v, err := json.Marshal(x)
			if err != nil {
				return nil, err
			}
			records = append(records, Record{Kind: kindRevised, Name: fmt.Sprintf("%016x %s %d", uint64(now), s.Key, int64(was.Time)), Value: v})
			h.log.Info("a source revised a bar", "series", s.Key, "source", s.Source, "bar", was.Time, "age", radarAges[s.Step], "before", was.Bar, "after", is)
		}
		was.Bar = is
	}
	if len(records) > 0 {
		old, err := h.oldest(ctx, kindRevised, len(records))
		if err != nil {
			return nil, err
		}
		records = append(records, old...)
	}
	v, err := json.Marshal(ages)
	if err != nil {
		return nil, err
	}
	return append(records, Record{Kind: kindAges, Name: s.Source, Value: v}), nil
}

// oldest removes the first records of a kind so that there is room for more.
func (h *Healer) oldest(ctx context.Context, kind string, more int) (gone []Record, err error) {
	var names []string
	for r, err := range h.store.Records(ctx, kind, "") {
		if err != nil {
			return nil, err
		}
		names = append(names, r.Name)
	}
	for _, name := range names[:max(0, min(len(names), len(names)+more-radarRevised))] {
		gone = append(gone, Record{Kind: kind, Name: name})
	}
	return gone, nil
}

// begin takes samples of the newest bars of series that have none of late, those
// first that waited longest.
func (h *Healer) begin(ctx context.Context, now series.Time, newest map[series.Key]series.Time, room int) error {
	all, err := h.store.Series(ctx)
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b Series) int { return cmp.Compare(newest[a.Key], newest[b.Key]) })
	var records []Record
	for _, s := range all {
		if len(records) >= min(room, radarBegins) {
			break
		}
		width := s.Interval.Width()
		if s.Bars == 0 || width == 0 || s.Last < newest[s.Key]+radarEvery {
			continue
		}
		end := s.Grid.Time(s.Grid.SlotAt(s.Last) + 1)
		step := slices.IndexFunc(radarAges[:], func(age time.Duration) bool { return end+series.Time(age.Milliseconds()) > now })
		if step < 0 {
			continue // too old to learn from
		}
		reach, err := h.source.Reach(ctx, s.Key)
		if err != nil || !slices.Contains(reach.Sources, s.Venue) {
			continue // its newest bar is from somebody who cannot be asked
		}
		var bars series.Columns
		if err := h.store.Read(ctx, s.Key, series.Span{From: end - radarBars*width, To: end}, &bars); err != nil {
			return err
		}
		x := sample{Key: s.Key, Source: s.Venue, From: s.Last, To: end, Step: step}
		for i := range bars.Time {
			if b := bars.Bar(i); b.Prov.Kind() == series.Observed && !b.Prov.Forming() && b.Prov.Source() == bars.Prov[bars.Len()-1].Source() {
				x.Bars, x.From = append(x.Bars, sampledBar{b.Time, values(b)}), min(x.From, b.Time)
			}
		}
		if len(x.Bars) == 0 {
			continue
		}
		v, err := json.Marshal(x)
		if err != nil {
			return err
		}
		records = append(records, Record{Kind: kindSample, Name: x.name(), Value: v})
	}
	if len(records) == 0 {
		return nil
	}
	return h.store.PutRecords(ctx, records)
}

// values are what is compared of a bar.
func values(b series.Bar) [5]float64 { return [5]float64{b.Open, b.High, b.Low, b.Close, b.Volume} }
