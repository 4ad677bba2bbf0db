package heal

import "math"

// These rules look at one bar.

var ruleNonFinite = Rule{
	ID: "non_finite", Version: 1, Severity: Violation, Action: AutoCorrect,
	Finds:     "a price or a volume that is not a number, or infinite",
	Threshold: "none", Source: "arithmetic", False: "none: such a bar says nothing",
	Check: func(w *Window) {
		c := w.Bars
		for i := w.From; i < w.To; i++ {
			// A sum is not finite if one of its terms is not, but for an overflow.
			if s := c.Open[i] + c.High[i] + c.Low[i] + c.Close[i] + c.Volume[i]; s-s != 0 && c.Bar(i).Check() != nil {
				w.Report(i, i+1, nil, "%v", c.Bar(i).Check())
			}
		}
	},
}

var ruleOHLC = Rule{
	ID: "ohlc", Version: 1, Severity: Violation, Action: NeedsWitness,
	Finds:     "a high below the low, or a close outside of them",
	Threshold: "more than the last digit: 1e-9 of the price",
	Source:    "definition of a bar",
	False:     "vendors that take some trades for the close only; an open outside is legal for US consolidated bars and is not reported",
	Check: func(w *Window) {
		c := w.Bars
		for i := w.From; i < w.To; i++ {
			h, l, x := c.High[i], c.Low[i], c.Close[i]
			if h >= l && x <= h && x >= l {
				continue
			}
			eps := 1e-9 * math.Max(math.Abs(h), math.Abs(l))
			switch {
			case h < l-eps:
				// Swapped, if that makes the bar whole.
				var p []ProposedBar
				if o := c.Open[i]; o <= l && o >= h && x <= l && x >= h {
					p = []ProposedBar{{c.Time[i], o, l, h, x, c.Volume[i]}}
				}
				w.Report(i, i+1, p, "the high %v is below the low %v", h, l)
			case x > h+eps || x < l-eps:
				w.Report(i, i+1, nil, "the close %v is outside of %v to %v", x, l, h)
			}
		}
	},
}

var ruleSign = Rule{
	ID: "sign", Version: 1, Severity: Suspicious, Action: NeedsWitness,
	Finds:     "a price of 0, or a negative one, between bars that are all positive",
	Threshold: "10 bars on each side above 0, the nearest at least 1% of their median away from 0",
	Source:    "crude oil closed at -37.63 on 2020-04-20 after a day that fell towards 0; zeros in vendor files stand between full prices",
	False:     "instruments that cross 0 within one bar",
	Check: func(w *Window) {
		c := w.Bars
		for i := w.From; i < w.To; i++ {
			if c.Low[i] > 0 && c.Open[i] > 0 && c.Close[i] > 0 && c.High[i] > 0 {
				continue
			}
			lo, hi := max(0, i-10), min(c.Len(), i+11)
			if hi-lo < 5 {
				continue
			}
			least, sum, n := math.Inf(1), 0.0, 0
			for k := lo; k < hi; k++ {
				if k != i {
					least, sum, n = math.Min(least, c.Low[k]), sum+c.Close[k], n+1
				}
			}
			mean := sum / float64(n)
			// A fall that took place: the bars beside it are low, too.
			near := math.Inf(1)
			for _, k := range [...]int{i - 1, i + 1} {
				if k >= lo && k < hi {
					near = math.Min(near, c.Close[k])
				}
			}
			if least > 0 && near > 0.5*mean {
				w.Report(i, i+1, nil, "open %v, high %v, low %v, close %v between bars around %.6g", c.Open[i], c.High[i], c.Low[i], c.Close[i], mean)
			}
		}
	},
}

var ruleVolume = Rule{
	ID: "negative_volume", Version: 1, Severity: Violation, Action: NeedsWitness,
	Finds: "a volume below 0", Threshold: "none", Source: "definition of volume", False: "none",
	Check: func(w *Window) {
		for i, v := range w.Bars.Volume[w.From:w.To] {
			if v < 0 {
				w.Report(w.From+i, w.From+i+1, nil, "the volume is %v", v)
			}
		}
	},
}

var ruleIdle = Rule{
	ID: "idle_move", Version: 1, Severity: Notable, Action: FlagOnly,
	Finds:     "a volume of 0 in a bar whose prices differ, where bars around have volumes",
	Threshold: "high above low by more than 0.01%, at least half of 20 bars around with a volume",
	Source:    "yfinance takes volume 0 with high unlike low for a bad volume",
	False:     "venues that round small volumes to 0; quotes without trades",
	Check: func(w *Window) {
		c := w.Bars
		if w.NoVolume {
			return
		}
		for i := w.From; i < w.To; i++ {
			if c.Volume[i] != 0 || c.High[i]-c.Low[i] <= 1e-4*math.Abs(c.Close[i]) {
				continue
			}
			n, traded := 0, 0
			for k := max(0, i-10); k < min(c.Len(), i+11); k++ {
				if n++; c.Volume[k] > 0 {
					traded++
				}
			}
			if 2*traded >= n {
				w.Report(i, i+1, nil, "prices went from %v to %v without volume", c.Low[i], c.High[i])
			}
		}
	},
}

var ruleSwappedVolumes = Rule{
	ID: "swapped_volumes", Version: 1, Severity: Suspicious, Action: FlagOnly,
	Finds:     "the quote volume in the place of the volume, and the other way round",
	Threshold: "quote volume by volume is not between low and high, with 1% to spare, and volume by quote volume is; prices between 0.5 and 2, where both look alike, are left out",
	Source:    "arithmetic: quote volume by volume is the average price of a bar; passivbot takes a volume far above the price for a quote volume",
	False:     "inverse contracts, of which the volume is in dollars and the quote volume in coins",
	Check: func(w *Window) {
		c := w.Bars
		if len(c.QuoteVolume) == 0 {
			return
		}
		for i := w.From; i < w.To; i++ {
			v, q := c.Volume[i], c.QuoteVolume[i]
			l, h := 0.99*c.Low[i], 1.01*c.High[i]
			if !(v > 0 && q > 0 && l > 0) || l <= 2 && h >= 0.5 {
				continue // a quote volume that nobody said is none of them
			}
			if at, swapped := q/v, v/q; (at < l || at > h) && swapped >= l && swapped <= h {
				w.Report(i, i+1, nil, "the quote volume by the volume is %.6g; the other way round it is %.6g, between low %v and high %v", at, swapped, c.Low[i], c.High[i])
			}
		}
	},
}

var ruleWick = Rule{
	ID: "wick", Version: 1, Severity: Suspicious, Action: NeedsWitness,
	Finds:     "a high or a low that is far outside of everything around it",
	Threshold: "5 times above, or below a fifth of, open and close and of the closes on both sides",
	Source:    "a public test suite takes a high of 5 times the open for an error; Coinbase printed 0.06 in a market of 1,180",
	False:     "flash crashes in an empty book, which are true: a second source shows them, too",
	Check: func(w *Window) {
		c := w.Bars
		for i := w.From; i < w.To; i++ {
			h, l, o, x := c.High[i], c.Low[i], c.Open[i], c.Close[i]
			if h <= 5*x && 5*l >= x {
				continue
			}
			top, bottom := math.Max(o, x), math.Min(o, x)
			for _, k := range [...]int{i - 1, i + 1} {
				if k >= 0 && k < c.Len() {
					top, bottom = math.Max(top, c.Close[k]), math.Min(bottom, c.Close[k])
				}
			}
			if bottom <= 0 || l < 0 { // across 0 nothing is a multiple
				continue
			}
			switch {
			case h > 5*top && factorOf(h, top) == 1:
				w.Report(i, i+1, nil, "the high %v is %.3g times what is around it", h, h/top)
			case 5*l < bottom && (l == 0 || factorOf(l, bottom) == 1):
				w.Report(i, i+1, nil, "the low %v is %.3g of what is around it", l, l/bottom)
			}
		}
	},
}

var ruleDetached = Rule{
	ID: "detached", Version: 1, Severity: Suspicious, Action: NeedsWitness,
	Finds:     "one bar that lies as a whole far below, or far above, the bars on both sides, which agree: a bar that was adjusted alone, or not with the others",
	Threshold: "between the nearest prices a factor of 1.5, and at least the square of that between the closes on both sides; powers of ten are left to scale",
	Source:    "a public test suite: one day at 33:70 of its neighbours, one at 1:10000; a market that moves trades on the way",
	False:     "a halt that opened far away for one bar only",
	Check: func(w *Window) {
		c := w.Bars
		for i := max(1, w.From); i < min(w.To, c.Len()-1); i++ {
			a, b := c.Close[i-1], c.Close[i+1]
			h, l := c.High[i], c.Low[i]
			if h > 0.667*a && l < 1.5*a { // most bars
				continue
			}
			if !(a > 0 && b > 0 && l > 0) || factorOf(c.Close[i], a) != 1 {
				continue
			}
			low, high := math.Min(c.Low[i-1], c.Low[i+1]), math.Max(c.High[i-1], c.High[i+1])
			away := math.Max(a, b) / math.Min(a, b) // what lies between those beside it
			if away = math.Max(1.5, away*away); away*h <= low || l >= away*high {
				w.Report(i, i+1, nil, "the bar goes from %v to %v, those beside it from %v to %v", l, h, low, high)
			}
		}
	},
}
