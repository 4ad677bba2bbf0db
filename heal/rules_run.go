package heal

// These rules look at runs of bars. A run is reported bar by bar, so that what
// is said of a bar does not depend on where a window begins; neighbours are
// joined afterwards.

// sameAsBefore reports whether bar i repeats all prices and the volume of the
// bar before it.
func (w *Window) sameAsBefore(i int) bool {
	c := w.Bars
	return i > 0 && c.Close[i] == c.Close[i-1] && c.Volume[i] == c.Volume[i-1] && c.Open[i] == c.Open[i-1] && c.High[i] == c.High[i-1] && c.Low[i] == c.Low[i-1]
}

const staleLeast = 10

var ruleStale = Rule{
	ID: "stale", Version: 1, Severity: Suspicious, Action: FlagOnly,
	Finds:     "bars that repeat the one before them, volume included",
	Threshold: "10 or more in a row, with a volume",
	Source:    "two equal volumes in a row are rare where anything trades",
	False:     "pairs that trade one fixed amount at one price, such as stablecoins in a bot's hands",
	Check: func(w *Window) {
		c := w.Bars
		for i := w.From; i < w.To; i++ {
			if c.Volume[i] == 0 || !w.sameAsBefore(i) {
				continue
			}
			n := 1
			for k := i - 1; n < staleLeast && w.sameAsBefore(k); k-- {
				n++
			}
			for k := i + 1; n < staleLeast && k < c.Len() && w.sameAsBefore(k); k++ {
				n++
			}
			if n >= staleLeast {
				w.Report(i, i+1, nil, "the same prices and the same volume %v, again and again", c.Volume[i])
			}
		}
	},
}

// flat reports whether bar i has one price and no volume.
func (w *Window) flat(i int) bool {
	c := w.Bars
	return c.Volume[i] == 0 && c.High[i] == c.Low[i] && c.Open[i] == c.High[i] && c.Close[i] == c.High[i]
}

// hole reports whether slots lie between bar k and the one before it.
func (w *Window) hole(k int) bool {
	return w.Grid.SlotAt(w.Bars.Time[k])-w.Grid.SlotAt(w.Bars.Time[k-1]) > 1
}

// mostlyTrades reports whether at most a fifth of the bars around the flat run
// of bar i is flat, too: a pair that hardly trades says nothing by it.
func (w *Window) mostlyTrades(i int) bool {
	a, b := i, i+1
	for a > 0 && i-a < Context-1 && w.flat(a-1) {
		a--
	}
	for b < w.Bars.Len() && b-i < Context-1 && w.flat(b) {
		b++
	}
	n, flat := 0, 0
	for k := max(0, i-Context+1); k < min(w.Bars.Len(), i+Context); k++ {
		if k >= a && k < b {
			continue
		}
		if n++; w.flat(k) {
			flat++
		}
	}
	return n > 0 && 5*flat <= n
}

const flatLeast = 10

var ruleFlatBeforeHole = Rule{
	ID: "flat_before_hole", Version: 1, Severity: Suspicious, Action: FlagOnly,
	Finds:     "flat bars without volume that end in a hole: a venue that was down and went on making bars",
	Threshold: "10 or more in a row up to a hole, or from one on, where at most a fifth of the bars around is flat",
	Source:    "Binance, 2023-03-24: 72 flat minutes before 80 missing ones",
	False:     "pairs that hardly trade",
	Check: func(w *Window) {
		c := w.Bars
		if w.NoVolume {
			return
		}
		for i := w.From; i < w.To; i++ {
			if !w.flat(i) || !w.mostlyTrades(i) {
				continue
			}
			// The run that bar i is part of, as far as the window reaches.
			a, b := i, i+1
			for a > 0 && i-a < Context && w.flat(a-1) && !w.hole(a) {
				a--
			}
			for b < c.Len() && b-i < Context && w.flat(b) && !w.hole(b) {
				b++
			}
			ends := b < c.Len() && w.hole(b) || a > 0 && w.hole(a)
			// Further than the window reaches the run goes on: count is enough.
			if b-a >= flatLeast && ends {
				w.Report(i, i+1, nil, "flat and without volume beside a hole")
			}
		}
	},
}

var ruleLookAhead = Rule{
	ID: "look_ahead_fill", Version: 1, Severity: Suspicious, Action: FlagOnly,
	Finds:     "flat bars without volume at the price of the next trade: filled with what nobody could know then",
	Threshold: "3 or more flat bars right behind a bar that trades, at the open behind them, which is not the close before them",
	Source:    "jesse fills leading holes with the next open",
	False:     "quotes that moved before a trade",
	Check: func(w *Window) {
		c := w.Bars
		if w.NoVolume {
			return
		}
		for i := max(1, w.From); i < w.To; i++ {
			if !w.flat(i) || c.Close[i] == c.Close[i-1] && !w.flat(i-1) {
				continue
			}
			a, b := i, i+1
			for a > 0 && i-a < Context-1 && w.flat(a-1) && c.Close[a-1] == c.Close[i] {
				a--
			}
			for b < c.Len() && b-i < Context-1 && w.flat(b) && c.Close[b] == c.Close[i] {
				b++
			}
			if b-a >= 3 && a > 0 && b < c.Len() && !w.flat(b) && !w.hole(a) && c.Open[b] == c.Close[i] && c.Close[a-1] != c.Close[i] {
				w.Report(i, i+1, nil, "flat at %v, the open of the next bar that trades, after a close of %v", c.Close[i], c.Close[a-1])
			}
		}
	},
}
