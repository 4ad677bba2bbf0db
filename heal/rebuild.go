package heal

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"

	"github.com/barkeepdb/barkeep/series"
)

// The store can be a witness itself: bars of an hour are made of those of a
// minute, and a minute lies within its hour.

// rebuilt makes the bars of a span out of the finer bars that are stored of the
// same symbol: only those in which every slot is known and no rule finds
// anything. It is empty where they do not agree with the sound bars around, at
// most after one factor for all prices. The name of the source says what they are
// made of.
func (h *Healer) rebuilt(ctx context.Context, s Series, around series.Span, sound *series.Columns, tolerance float64) (*answers, error) {
	finer, err := h.related(ctx, s, func(x Series) bool {
		return x.Interval.Width() > 0 && (s.Interval.Width() == 0 || x.Interval.Width() < s.Interval.Width())
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(finer, func(a, b Series) int { return int(b.Interval.Width() - a.Interval.Width()) })
	for _, x := range finer {
		bars, err := h.made(ctx, s, x, around)
		if err != nil {
			return nil, err
		}
		if bars.Len() == 0 {
			continue
		}
		a := &Answer{Bars: bars, Source: "rebuilt from " + x.Interval.String(), Digest: "stored bars"}
		if f := calibration(sound, bars, tolerance); f != 1 {
			for i := range bars.Time {
				bars.Open[i], bars.High[i], bars.Low[i], bars.Close[i] = bars.Open[i]*f, bars.High[i]*f, bars.Low[i]*f, bars.Close[i]*f
			}
		}
		if _, why, _, _ := (&answers{list: []*Answer{a}}).contradicts(s.Grid, sound, tolerance); why == "" && a.knows(sound, tolerance) {
			return &answers{list: []*Answer{a}}, nil
		}
	}
	return &answers{}, nil
}

// related lists the other series of the symbol that fit.
func (h *Healer) related(ctx context.Context, s Series, fits func(Series) bool) ([]Series, error) {
	all, err := h.store.Series(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(x Series) bool {
		return x.Symbol != s.Symbol || x.Interval == s.Interval || x.Bars == 0 || !fits(x)
	}), nil
}

// made makes coarse bars out of fine ones, where all of these are known and
// nothing is found in them.
func (h *Healer) made(ctx context.Context, coarse, fine Series, around series.Span) (*series.Columns, error) {
	out := &series.Columns{}
	scan, err := h.store.Scan(ctx, fine.Key, around)
	if err != nil {
		return nil, err
	}
	var bars, all series.Columns
	if err := h.store.Read(ctx, fine.Key, around, &bars); err != nil {
		return nil, err
	}
	parts, err := series.Resample(&all, &bars, fine.Grid, coarse.Grid, scan.Calendar)
	if err != nil || len(parts) == 0 {
		return out, nil //nolint:nilerr // intervals that do not make each other up are no witnesses
	}
	doubtful := map[series.Slot]bool{}
	for _, o := range scan.Holes {
		if o.State == series.StateNoTrade {
			continue
		}
		for n := coarse.Grid.SlotAt(fine.Grid.Time(o.From)); n <= coarse.Grid.SlotAt(fine.Grid.Time(o.To-1)); n++ {
			doubtful[n] = true
		}
	}
	if err := h.Inspect(ctx, fine.Key, InspectOptions{Span: around, barsOnly: true}, func(f Finding) error {
		for n := coarse.Grid.SlotAt(f.From); n <= coarse.Grid.SlotAt(f.To-1); n++ {
			doubtful[n] = true
		}
		return nil
	}); err != nil && !errors.Is(err, series.ErrNoSeries) {
		return nil, err
	}
	for i := range all.Time {
		if b := all.Bar(i); !doubtful[coarse.Grid.SlotAt(b.Time)] && b.Prov.Kind() == series.Observed && !b.Prov.Forming() {
			out.Append(b)
		}
	}
	return out, nil
}

// calibration is the factor by which the closes of bars have to be multiplied to
// be those of the sound ones; 1 where they are, or where no one factor makes them
// so.
func calibration(sound, bars *series.Columns, tolerance float64) float64 {
	var ratios []float64
	said := byTime(bars)
	for i, t := range sound.Time {
		if b, ok := said[t]; ok && b.Close > 0 && sound.Close[i] > 0 {
			ratios = append(ratios, sound.Close[i]/b.Close)
		}
	}
	if len(ratios) < calibrateLeast {
		return 1
	}
	slices.Sort(ratios)
	f := ratios[len(ratios)/2]
	if math.Abs(f-1) <= tolerance || ratios[len(ratios)-1]-ratios[0] > 2*tolerance*f {
		return 1
	}
	return f
}

// calibrateLeast is how many bars must have one factor to the sound ones for it
// to be that of all.
const calibrateLeast = 5

// conserved reports whether a bar lies within the coarser bars that are stored of
// the same symbol and hold it; why names one that it leaves.
func (h *Healer) conserved(ctx context.Context, s Series, b series.Bar, tolerance float64) (ok bool, why string, err error) {
	coarser, err := h.related(ctx, s, func(x Series) bool { return x.Interval.Intraday() && x.Interval.Width() > s.Interval.Width() })
	if err != nil {
		return true, "", err
	}
	for _, x := range coarser {
		t := x.Grid.Time(x.Grid.SlotAt(b.Time))
		var one series.Columns
		if err := h.store.Read(ctx, x.Key, series.Span{From: t, To: t + 1}, &one); err != nil {
			return true, "", err
		}
		if one.Len() == 0 || one.Prov[0].Kind() != series.Observed || one.Prov[0].Forming() {
			continue
		}
		c := one.Bar(0)
		if whole(c) && (b.High > c.High*(1+tolerance) || b.Low < c.Low*(1-tolerance)) && c.Low > 0 {
			return false, "it leaves the stored bar of " + x.Interval.String() + ", which goes from " + number(c.Low) + " to " + number(c.High), nil
		}
	}
	return true, "", nil
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
