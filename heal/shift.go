package heal

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat"

	"github.com/barkeepdb/barkeep/series"
)

// ruleShiftID is the id of what [Healer.Shifts] finds. It needs a second series,
// so that it is not among those that Inspect runs.
const ruleShiftID = "shifted"

const (
	shiftMost   = 12 // slots in either direction
	shiftWindow = 48 // bars whose returns are compared
	// A shift is believed where the returns of a window belong together at a lag
	// and not without it.
	shiftGood, shiftBad = 0.8, 0.5
)

// Shifts compares a series with a second one of the same instrument and finds
// stretches that are labelled with wrong times: their bars are those of the
// witness some slots away. Nothing else shows it: such a stretch has no gap, no
// duplicate and valid prices.
func (h *Healer) Shifts(ctx context.Context, key, witness series.Key, span series.Span, give func(Finding) error) error {
	all, err := h.store.Series(ctx)
	if err != nil {
		return err
	}
	var a, b *Series
	for i := range all {
		switch all[i].Key {
		case key:
			a = &all[i]
		case witness:
			b = &all[i]
		}
	}
	switch {
	case a == nil:
		return errNoSeries(key)
	case b == nil:
		return errNoSeries(witness)
	case a.Interval != b.Interval:
		return fmt.Errorf("%s and %s have different intervals", key, witness)
	}
	if span == (series.Span{}) {
		span = series.Span{From: a.First, To: a.Last + 1}
	}
	var mine, theirs series.Columns
	if err := h.store.Read(ctx, key, span, &mine); err != nil {
		return err
	}
	width := series.Time(shiftMost) * a.Interval.Width()
	if err := h.store.Read(ctx, witness, series.Span{From: span.From - width, To: span.To + width}, &theirs); err != nil {
		return err
	}
	for _, f := range findShifts(a.Grid, &mine, &theirs) {
		f.Key = key
		f.Evidence += " of " + witness.Symbol
		if err := give(f); err != nil {
			return err
		}
	}
	return nil
}

// findShifts is [Healer.Shifts] on bars.
func findShifts(g series.Grid, a, b *series.Columns) []Finding {
	at := make(map[series.Slot]int, b.Len())
	for i, t := range b.Time {
		at[g.SlotAt(t)] = i
	}
	// The lag of each bar: that at which its neighbourhood belongs to the
	// witness.
	lags := make([]int, a.Len())
	var x, y []float64
	corr := func(from, to, lag int) float64 {
		x, y = x[:0], y[:0]
		for i := max(1, from); i < to; i++ {
			j, ok := at[g.SlotAt(a.Time[i])+series.Slot(lag)]
			k, ok2 := at[g.SlotAt(a.Time[i-1])+series.Slot(lag)]
			if !ok || !ok2 {
				continue
			}
			r, s := math.Log(a.Close[i]/a.Close[i-1]), math.Log(b.Close[j]/b.Close[k])
			if r-r == 0 && s-s == 0 {
				x, y = append(x, r), append(y, s)
			}
		}
		if len(x) < shiftWindow/2 {
			return math.NaN()
		}
		return stat.Correlation(x, y, nil)
	}
	for from := 0; from < a.Len(); from += shiftWindow / 2 {
		to := min(from+shiftWindow, a.Len())
		if zero := corr(from, to, 0); !(zero < shiftBad) {
			continue
		}
		best, lag := shiftGood, 0
		for l := -shiftMost; l <= shiftMost; l++ {
			if l == 0 {
				continue
			}
			if c := corr(from, to, l); c > best {
				best, lag = c, l
			}
		}
		for i := from; i < to && lag != 0; i++ {
			lags[i] = lag
		}
	}
	// The bounds to the bar: a bar belongs to a shift where it is nearer to the
	// witness at the lag than without it.
	nearer := func(i, lag int) bool {
		n := g.SlotAt(a.Time[i])
		j, ok := at[n+series.Slot(lag)]
		if !ok {
			return false
		}
		k, ok := at[n]
		return !ok || distanceOf(a.Bar(i), b.Bar(j)) < distanceOf(a.Bar(i), b.Bar(k))
	}
	var out []Finding
	for i := 0; i < a.Len(); {
		lag := lags[i]
		if lag == 0 {
			i++
			continue
		}
		from, to := i, i
		for to < a.Len() && lags[to] == lag {
			to++
		}
		next := to
		// Outwards while bars fit, inwards while they do not.
		for from > 0 && nearer(from-1, lag) {
			from--
		}
		for to < a.Len() && nearer(to, lag) {
			to++
		}
		for from < to && !nearer(from, lag) {
			from++
		}
		for to > from && !nearer(to-1, lag) {
			to--
		}
		if n := len(out) - 1; to-from >= shiftWindow/2 && (n < 0 || out[n].From != a.Time[from]) {
			out = append(out, Finding{
				Rule: ruleShiftID, Version: 1, Severity: Suspicious, Action: NeedsWitness,
				From: a.Time[from], To: g.Time(g.SlotAt(a.Time[to-1]) + 1), Bars: to - from,
				Evidence: fmt.Sprintf("the bars are those that open %d slots later", lag), lag: series.Slot(lag),
			})
		}
		i = max(next, to)
	}
	return out
}

// distanceOf is how far two bars are apart, relative to their price.
func distanceOf(a, b series.Bar) float64 {
	return (math.Abs(a.Open-b.Open) + math.Abs(a.High-b.High) + math.Abs(a.Low-b.Low) + math.Abs(a.Close-b.Close)) / math.Abs(a.Close)
}
