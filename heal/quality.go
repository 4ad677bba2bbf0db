package heal

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/barkeepdb/barkeep/series"
)

// Quality says how far a series can be trusted, each figure from 0 to 1; nil is
// not known.
//
//	score        the mean of the parts that are known, weighted 50, 25, 15, 10
//	completeness slots with an observed or corrected bar, or known to have had no
//	             trade, among those in which the market was open
//	validity     bars that are there, less those that a rule takes for wrong, among
//	             those and the quarantined ones
//	consistency  bars that other answers agreed with, among those compared
//	freshness    1 while at most two bars are due; 0 when a day of them is
//
// It is computed from summaries; no bar is read.
type Quality struct {
	series.Key
	Score *float64 `json:"score"`
	Parts Parts    `json:"parts"`
	// Worst is the worst stretch of a day, or for bars of a day and longer of 30
	// bars: completeness times validity.
	Worst   *WorstWindow `json:"worst"`
	History []Scored     `json:"history"`
}

// Parts are what a score is made of.
type Parts struct {
	Completeness *float64 `json:"completeness"`
	Validity     *float64 `json:"validity"`
	Consistency  *float64 `json:"consistency"`
	Freshness    *float64 `json:"freshness"`
}

// WorstWindow is a stretch and its score.
type WorstWindow struct {
	From  series.Time `json:"from"`
	To    series.Time `json:"to"`
	Score float64     `json:"score"`
}

// Scored is a score of before.
type Scored struct {
	Time  series.Time `json:"time"`
	Score float64     `json:"score"`
}

var weights = [4]float64{0.50, 0.25, 0.15, 0.10}

// tally counts the slots of a stretch: what is there or explained, what was
// expected, and what is quarantined.
type tally struct{ good, bars, open, bad int64 }

func (t *tally) add(s series.State, n int64) {
	switch s {
	case series.StateClosed, series.StateUnlisted, series.StateUnknown, series.StateForming:
		return
	case series.StateObserved, series.StateCorrected:
		t.good, t.bars = t.good+n, t.bars+n
	case series.StateNoTrade:
		t.good += n
	case series.StateQuarantined:
		t.bad += n
	}
	t.open += n
}

func share(a, b int64) *float64 {
	if b == 0 {
		return nil
	}
	v := float64(a) / float64(b)
	return &v
}

// Quality rates a series as it is now, from the first bar to the last that has
// ended.
func (h *Healer) Quality(ctx context.Context, key series.Key) (*Quality, error) {
	all, err := h.store.Series(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.Key == key {
			return h.QualityOf(ctx, s)
		}
	}
	return nil, fmt.Errorf("%w: %s", series.ErrNoSeries, key)
}

// QualityOf is [Healer.Quality] of a series that Store.Series listed.
func (h *Healer) QualityOf(ctx context.Context, s Series) (*Quality, error) {
	q := &Quality{Key: s.Key, History: []Scored{}}
	if s.Bars == 0 {
		return q, nil
	}
	c, err := h.store.Coverage(ctx, s.Key, series.Span{})
	if err != nil {
		return nil, err
	}
	q.Parts.Completeness, q.Parts.Validity, q.Worst = rate(c)
	if q.Parts.Validity != nil {
		n, err := h.suspects(ctx, s.Key)
		if err != nil {
			return nil, err
		}
		*q.Parts.Validity = math.Max(0, *q.Parts.Validity-float64(n)/float64(max(s.Bars, 1)))
	}
	if a, err := h.agreement(ctx, s.Key); err != nil {
		return nil, err
	} else if a.Same+a.Differ > 0 {
		q.Parts.Consistency = share(a.Same, a.Same+a.Differ)
	}
	if q.Parts.Freshness, err = h.freshness(ctx, s); err != nil {
		return nil, err
	}
	q.Score = q.Parts.score()
	return q, nil
}

// QualityThen rates a series by its coverage at an earlier time: completeness
// and validity; the others are not known of the past.
func QualityThen(key series.Key, c *Coverage) *Quality {
	q := &Quality{Key: key, History: []Scored{}}
	q.Parts.Completeness, q.Parts.Validity, q.Worst = rate(c)
	q.Score = q.Parts.score()
	return q
}

func (p Parts) score() *float64 {
	if p.Completeness == nil {
		return nil
	}
	var sum, weight float64
	for i, v := range [...]*float64{p.Completeness, p.Validity, p.Consistency, p.Freshness} {
		if v != nil {
			sum, weight = sum+weights[i]**v, weight+weights[i]
		}
	}
	v := sum / weight
	return &v
}

// rate computes completeness, validity and the worst window of a coverage.
func rate(c *Coverage) (completeness, validity *float64, worst *WorstWindow) {
	var all tally
	for s, n := range c.States {
		all.add(series.State(s), n)
	}
	completeness, validity = share(all.good, all.open), share(all.bars, all.bars+all.bad)
	size := series.Slot(30)
	if c.Grid.Interval.Intraday() {
		size = series.Slot(c.Grid.Interval.PerDay())
	}
	var w tally
	at := floor(c.Run.From, size)
	end := func() {
		if w.open > 0 {
			v := float64(w.good) / float64(w.open)
			if w.bars+w.bad > 0 {
				v *= float64(w.bars) / float64(w.bars+w.bad)
			}
			if worst == nil || v < worst.Score {
				span := c.Grid.Span(series.Run{From: at, To: at + size}.Intersect(c.Run))
				worst = &WorstWindow{span.From, span.To, v}
			}
		}
		w = tally{}
	}
	for _, r := range c.Runs {
		for from := r.From; from < r.To; {
			if from >= at+size {
				end()
				at = floor(from, size)
			}
			to := min(r.To, at+size)
			w.add(r.State, int64(to-from))
			from = to
		}
	}
	end()
	return completeness, validity, worst
}

// floor is the beginning of the window of slots that n lies in.
func floor(n, size series.Slot) series.Slot {
	if r := n % size; r < 0 {
		return n - r - size
	} else {
		return n - r
	}
}

// freshness compares the bars that are due since the last one with a day of
// them.
func (h *Healer) freshness(ctx context.Context, s Series) (*float64, error) {
	now := h.now()
	next := s.Grid.Time(s.Grid.SlotAt(s.Last) + 1)
	v := 1.0
	if next < now {
		scan, err := h.store.Scan(ctx, s.Key, series.Span{From: next, To: now})
		if err != nil {
			return nil, err
		}
		v = 1 - math.Max(0, float64(scan.Expected-2))/math.Max(float64(s.Interval.PerDay()), 3)
	}
	v = math.Max(0, v)
	return &v, nil
}

// agreement counts how often answers and stored bars were compared.
type agreement struct {
	Same   int64 `json:"same"`
	Differ int64 `json:"differ"`
}

const (
	kindAgreement = "heal/agreement"
	kindScore     = "heal/score"
	scoresKept    = 400
)

func (h *Healer) agreement(ctx context.Context, key series.Key) (agreement, error) {
	var a agreement
	for r, err := range h.store.Records(ctx, kindAgreement, key.String()) {
		if err != nil {
			return a, err
		}
		if r.Name != key.String() {
			break
		}
		return a, json.Unmarshal(r.Value, &a)
	}
	return a, nil
}

// agreed adds to what was compared.
func (h *Healer) agreed(ctx context.Context, key series.Key, same, differ int64) error {
	if same+differ == 0 {
		return nil
	}
	a, err := h.agreement(ctx, key)
	if err != nil {
		return err
	}
	v, err := json.Marshal(agreement{a.Same + same, a.Differ + differ})
	if err != nil {
		return err
	}
	return h.store.PutRecords(ctx, []Record{{Kind: kindAgreement, Name: key.String(), Value: v}})
}

// inspected is what the rules found in a series when they last ran.
type inspected struct {
	Bars int64       `json:"bars"` // of the series then
	Last series.Time `json:"last"`
	At   series.Time `json:"at"`
	// Suspects are the bars that cannot be true, or are most likely wrong.
	Suspects int64 `json:"suspects"`
}

const kindInspected = "heal/inspected"

func (h *Healer) lastInspected(ctx context.Context, key series.Key) (x inspected, err error) {
	for r, err := range h.store.Records(ctx, kindInspected, key.String()) {
		if err != nil {
			return x, err
		}
		if r.Name == key.String() {
			err = json.Unmarshal(r.Value, &x)
		}
		return x, err
	}
	return x, nil
}

func (h *Healer) suspects(ctx context.Context, key series.Key) (int64, error) {
	x, err := h.lastInspected(ctx, key)
	return x.Suspects, err
}

// InspectAll runs the rules over every series that has other bars than when they
// last ran, or in which they found something more than an hour ago, and keeps
// how many bars are suspect.
func (h *Healer) InspectAll(ctx context.Context) error {
	all, err := h.store.Series(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		old, err := h.lastInspected(ctx, s.Key)
		if err != nil {
			return err
		}
		if old.Bars == s.Bars && old.Last == s.Last && (old.Suspects == 0 || h.now()-old.At < series.Hour) {
			continue
		}
		x := inspected{Bars: s.Bars, Last: s.Last, At: h.now()}
		if err := h.Inspect(ctx, s.Key, InspectOptions{barsOnly: true}, func(f Finding) error {
			if f.Severity != Notable {
				x.Suspects += int64(f.Bars)
			}
			return nil
		}); err != nil {
			return err
		}
		v, err := json.Marshal(x)
		if err == nil {
			err = h.store.PutRecords(ctx, []Record{{Kind: kindInspected, Name: s.String(), Value: v}})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// scoreName sorts the scores of a series by time.
func scoreName(key series.Key, t series.Time) string { return fmt.Sprintf("%s@%014d", key, t) }

// History returns the scores of a series that were kept, oldest first.
func (h *Healer) History(ctx context.Context, key series.Key) ([]Scored, error) {
	out := []Scored{}
	prefix := key.String() + "@"
	for r, err := range h.store.Records(ctx, kindScore, prefix) {
		if err != nil {
			return nil, err
		}
		text, mine := strings.CutPrefix(r.Name, prefix)
		if !mine {
			break
		}
		t, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("score %q: %w", r.Name, err)
		}
		var v float64
		if err := json.Unmarshal(r.Value, &v); err != nil {
			return nil, fmt.Errorf("score %q: %w", r.Name, err)
		}
		out = append(out, Scored{series.Time(t), v})
	}
	return out, nil
}

// KeepScores notes the score of every series that changed by a thousandth or
// was noted more than a day ago.
func (h *Healer) KeepScores(ctx context.Context) error {
	all, err := h.store.Series(ctx)
	if err != nil {
		return err
	}
	now := h.now()
	var rs []Record
	for _, s := range all {
		q, err := h.QualityOf(ctx, s)
		if err != nil {
			return err
		}
		if q.Score == nil {
			continue
		}
		old, err := h.History(ctx, s.Key)
		if err != nil {
			return err
		}
		if n := len(old); n > 0 && math.Abs(old[n-1].Score-*q.Score) < 0.001 && now-old[n-1].Time < series.Day {
			continue
		}
		v, err := json.Marshal(*q.Score)
		if err != nil {
			return err
		}
		rs = append(rs, Record{Kind: kindScore, Name: scoreName(s.Key, now), Value: v})
		for i := range max(0, len(old)+1-scoresKept) {
			rs = append(rs, Record{Kind: kindScore, Name: scoreName(s.Key, old[i].Time)})
		}
	}
	return h.store.PutRecords(ctx, rs)
}
