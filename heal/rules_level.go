package heal

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
)

// These rules compare a bar with the level of those around it.

// medianClose is the median of the closes of bars [i, j) without bar skip.
func (w *Window) medianClose(i, j, skip int, buf *[2 * Context]float64) (float64, int) {
	i, j = max(0, i), min(w.Bars.Len(), j)
	out := buf[:0]
	for k := i; k < j; k++ {
		if x := w.Bars.Close[k]; k != skip && x > 0 && x-x == 0 {
			out = append(out, x)
		}
	}
	if len(out) == 0 {
		return 0, 0
	}
	slices.Sort(out)
	return stat.Quantile(0.5, stat.Empirical, out, nil), len(out)
}

// factorOf is the power of ten by which x is off the level, 1 if it is not.
// Powers other than these are not errors of a unit.
func factorOf(x, level float64) float64 {
	for _, f := range [...]float64{100, 1000, 10_000} {
		if r := x / level; r > 0.9*f && r < 1.1*f {
			return f
		} else if r *= f * f; r > 0.9*f && r < 1.1*f {
			return 1 / f
		}
	}
	return 1
}

var ruleScale = Rule{
	ID: "scale", Version: 2, Severity: Suspicious, Action: NeedsWitness,
	Finds:     "prices of single bars that are 100, 1000 or 10000 times too high or too low: a lost decimal point, cents for units",
	Threshold: "90 to 110 times (900 to 1100, 9000 to 11000) the median close of 10 bars, of which bars on both sides are at that median within a factor of 3",
	Source:    "yfinance takes 90 to 110 for a factor of 100",
	False:     "none known: a market that rises 90-fold in one bar and falls back in the next",
	Check: func(w *Window) {
		c := w.Bars
		var buf [2 * Context]float64
		for i := w.From; i < w.To; i++ {
			// Cheap first: nothing in the bar is far from the bar before.
			prev := c.Close[max(0, i-1)]
			h, l := c.High[i], c.Low[i]
			if h < 80*l && h < 80*prev && l*80 > prev {
				continue
			}
			level, n := w.medianClose(i-5, i+6, i, &buf)
			if n < 4 || level <= 0 {
				continue
			}
			p := ProposedBar{c.Time[i], c.Open[i], h, l, c.Close[i], c.Volume[i]}
			off, by := 0, 0.0
			for _, x := range [...]*float64{&p.Open, &p.High, &p.Low, &p.Close} {
				if f := factorOf(*x, level); f != 1 {
					*x /= f
					off, by = off+1, f
				}
			}
			if off == 0 || p.High < p.Low {
				continue
			}
			// Those beside it must be at the level, or the level itself changed.
			beside := true
			for _, k := range [...]int{i - 1, i + 1} {
				if k >= 0 && k < c.Len() {
					r := c.Close[k] / level
					beside = beside && r > 1.0/3 && r < 3
				}
			}
			if beside {
				w.Report(i, i+1, []ProposedBar{p}, "%d of 4 prices are %g times the level of %.6g around", off, by, level)
			}
		}
	},
}

// levels compares the level of the bars before bar i with that from it on.
func (w *Window) levels(i int) (before, after float64, ok bool) {
	var buf [2 * Context]float64
	before, n := w.medianClose(i-9, i, -1, &buf)
	after, m := w.medianClose(i, i+9, -1, &buf)
	return before, after, n >= 5 && m >= 5 && before > 0 && after > 0
}

// volumes compares the typical volume before bar i with that from it on.
func (w *Window) volumes(i int) (ratio float64, ok bool) {
	med := func(i, j int) float64 {
		var out []float64
		for k := max(0, i); k < min(w.Bars.Len(), j); k++ {
			out = append(out, w.Bars.Volume[k])
		}
		if len(out) < 5 {
			return 0
		}
		slices.Sort(out)
		return stat.Quantile(0.5, stat.Empirical, out, nil)
	}
	before, after := med(i-9, i), med(i, i+9)
	return after / before, before > 0 && after > 0
}

// plateau is the median close of up to 9 bars beside bar i, before it or from it
// on, and their number: those that follow each other without a step of a unit.
func (w *Window) plateau(i, dir int) (float64, int) {
	c := w.Bars
	from, to := i, i
	if dir < 0 {
		for from--; from > max(0, i-9) && factorOf(c.Close[from-1], c.Close[i-1]) == 1; {
			from--
		}
	} else {
		for to++; to < min(c.Len(), i+9) && factorOf(c.Close[to], c.Close[i]) == 1; {
			to++
		}
	}
	var buf [2 * Context]float64
	return w.medianClose(from, to, -1, &buf)
}

var ruleUnit = Rule{
	ID: "unit_switch", Version: 2, Severity: Suspicious, Action: NeedsWitness,
	Finds:     "a level that changes by 100, 1000 or 10000 from one bar to the next and stays, while the volume does not: another unit from there on, or up to there",
	Threshold: "90 to 110 times (900 to 1100, 9000 to 11000) between the two bars, and between the medians of 2 to 9 bars before and after; the volume, where 5 bars on each side have one, changes less than 5-fold",
	Source:    "yfinance: a sudden change by 100 with normal volume",
	False:     "redenominations that the volume does not follow",
	Check: func(w *Window) {
		c := w.Bars
		for i := max(1, w.From); i < w.To; i++ {
			f := factorOf(c.Open[i], c.Close[i-1])
			if f == 1 {
				continue
			}
			before, n := w.plateau(i, -1)
			after, m := w.plateau(i, 1)
			if n < 2 || m < 2 || factorOf(after, before) != f {
				continue
			}
			if v, ok := w.volumes(i); ok && (v > 5 || v < 0.2) {
				continue
			}
			w.reportStep(i, f, 1, "the level changes from %.6g to %.6g, a factor of %g, with the same volume", before, after, f)
		}
	},
}

// splitRatios are the ratios of splits that were seen more than once.
var splitRatios = []float64{2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50, 1.5, 2.5}

var ruleSplit = Rule{
	ID: "split", Version: 3, Severity: Suspicious, Action: NeedsWitness,
	Finds:     "a day on which the price changes by the ratio of a split and the volume by its inverse: bars of before are not adjusted, or twice. Where the split is known it says which, and nothing of raw prices that show it",
	Threshold: "open over the close before within 4% of 1:2, 1:3, 2:3 ... or the inverse, between levels of 9 bars, volume by at least half of the ratio the other way",
	Source:    "yfinance asks the volume to confirm a split",
	False:     "raw prices, which show every split, where it is not known; crashes to a half on heavy volume",
	Check: func(w *Window) {
		c := w.Bars
		if w.Key.Interval.Intraday() || w.NoVolume {
			return
		}
		for i := max(1, w.From); i < w.To; i++ {
			r := c.Close[i-1] / c.Open[i]
			if r > 0.75 && r < 1.34 || !(r > 0) {
				continue
			}
			before, after, ok := w.levels(i)
			v, traded := w.volumes(i)
			if !ok || !traded {
				continue
			}
			level := before / after
			for _, s := range splitRatios {
				for _, s := range [...]float64{s, 1 / s} {
					if math.Abs(r/s-1) < 0.04 && math.Abs(level/s-1) < 0.15 && (s > 1 && v > 1+(s-1)/2 || s < 1 && v < 1/(1+(1/s-1)/2)) {
						if why, ok := w.whichSplit(i, s); !ok {
							w.reportStep(i, 1/s, s, "the price changes by 1/%.4g and the volume by %.3g: %s", s, v, why)
						}
					}
				}
			}
		}
	},
}

var ruleSwapped = Rule{
	ID: "swapped_columns", Version: 1, Severity: Suspicious, Action: NeedsWitness,
	Finds:     "stretches in which the columns stand in another order, such as open, close, high, low",
	Threshold: "10 bars in a row of which half are no bars as they stand, and all are with close and low, or high and close, exchanged",
	Source:    "Bitfinex gives open, close, high, low",
	False:     "none known",
	Check: func(w *Window) {
		c := w.Bars
		whole := func(o, h, l, x float64) bool { return h >= o && h >= x && l <= o && l <= x }
		orders := [...]struct {
			name string
			pick func(i int) (o, h, l, x float64)
		}{
			{"open, close, high, low", func(i int) (o, h, l, x float64) { return c.Open[i], c.Low[i], c.Close[i], c.High[i] }},
			{"open, low, high, close", func(i int) (o, h, l, x float64) { return c.Open[i], c.Low[i], c.High[i], c.Close[i] }},
		}
		for i := w.From; i < w.To; i++ {
			if whole(c.Open[i], c.High[i], c.Low[i], c.Close[i]) {
				continue
			}
			for _, order := range orders {
				// From the first bar of the stretch that the window can see.
				a, b, broken := i, i, 0
				for a > 0 && i-a < Context-1 && whole(order.pick(a-1)) {
					a--
				}
				for ; b < c.Len() && b-i < Context && whole(order.pick(b)); b++ {
				}
				for k := a; k < b; k++ {
					if !whole(c.Open[k], c.High[k], c.Low[k], c.Close[k]) {
						broken++
					}
				}
				if b-a >= 10 && 2*broken >= b-a {
					o, h, l, x := order.pick(i)
					w.Report(i, i+1, []ProposedBar{{c.Time[i], o, h, l, x, c.Volume[i]}}, "with the columns as %s, %d bars around are whole, of which %d are not as they stand", order.name, b-a, broken)
					break
				}
			}
		}
	},
}

var ruleSpike = Rule{
	ID: "spike", Version: 1, Severity: Notable, Action: FlagOnly,
	Finds:     "a close that jumps and comes back in the next bar on ordinary volume",
	Threshold: "both steps more than 20 times the median absolute step of 40 bars around and 2%, at least 70% undone, volume at most 3 times the median",
	Source:    "Barndorff-Nielsen et al. take 10 MAD for an outlier; a jump that stays is none",
	False:     "thin markets; true extremes with a volume that was not reported",
	Check: func(w *Window) {
		c := w.Bars
		var steps, vols [2 * Context]float64
		for i := max(1, w.From); i < min(w.To, c.Len()-1); i++ {
			a, b := c.Close[i]/c.Close[i-1], c.Close[i+1]/c.Close[i]
			if a > 0.98 && a < 1.02 || b > 0.98 && b < 1.02 || a <= 0 || b <= 0 {
				continue
			}
			up, back := math.Log(a), math.Log(b)
			if up*back > 0 || math.Abs(up+back) > 0.3*math.Abs(up) {
				continue
			}
			s, v := steps[:0], vols[:0]
			for k := max(1, i-20); k < min(c.Len(), i+21); k++ {
				if k == i || k == i+1 {
					continue
				}
				if x := math.Abs(math.Log(c.Close[k] / c.Close[k-1])); x-x == 0 {
					s = append(s, x)
				}
				v = append(v, c.Volume[k])
			}
			if len(s) < 10 {
				continue
			}
			slices.Sort(s)
			slices.Sort(v)
			typical, volume := stat.Quantile(0.5, stat.Empirical, s, nil), stat.Quantile(0.5, stat.Empirical, v, nil)
			if least := math.Min(math.Abs(up), math.Abs(back)); least > 20*typical && (c.Volume[i] <= 3*volume || w.NoVolume) {
				w.Report(i, i+1, nil, "the close goes from %v to %v and to %v; a typical step is %.2g%%", c.Close[i-1], c.Close[i], c.Close[i+1], 100*typical)
			}
		}
	},
}

// likeLevel reports whether two levels are within a factor of 3.
func likeLevel(a, b float64) bool { return a <= 3*b && b <= 3*a }

var ruleReuse = Rule{
	ID: "ticker_reuse", Version: 2, Severity: Notable, Action: FlagOnly,
	Finds:     "a long silence with another level behind it: two instruments under one symbol",
	Threshold: "60 days without a bar, and a level more than 3 times higher or lower, known splits taken into account",
	Source:    "polygon-io/issues 64: a symbol that was given to another company",
	False:     "long halts; a listing that was taken up again",
	Check: func(w *Window) {
		c := w.Bars
		for i := max(1, w.From); i < w.To; i++ {
			if c.Time[i]-c.Time[i-1] < 60*24*3600*1000 {
				continue
			}
			if before, after, ok := w.levels(i); ok && !likeLevel(before, after) && !likeLevel(before, after*w.between(i-1, i)) {
				w.Report(i, i+1, nil, "after %d days without a bar the level is %.6g instead of %.6g", (c.Time[i]-c.Time[i-1])/(24*3600*1000), after, before)
			}
		}
	},
}
