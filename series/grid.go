package series

import "fmt"

// Slot numbers the bars of a grid. Slot 0 is the one that holds the epoch.
type Slot int64

// Grid numbers the open times of one interval: multiples of its width since
// the epoch, moved by Phase. Weeks start on Monday, months on their first day.
//
// A session that opens at half past the hour gives hourly bars a Phase of 30
// minutes; a day that starts at 16:00 UTC gives daily bars one of 16 hours.
type Grid struct {
	Interval Interval
	// Phase is in [0, width of the interval); 0 for weeks and months.
	Phase Time
}

// Check returns an error if the grid has no interval or a phase outside it.
func (g Grid) Check() error {
	if !g.Interval.Valid() {
		return fmt.Errorf("interval %d is unknown", uint8(g.Interval))
	}
	limit := g.Interval.Width()
	if g.Interval >= Interval1w {
		limit = 1
	}
	if g.Phase < 0 || g.Phase >= limit {
		return fmt.Errorf("phase of %d ms does not fit the interval %s", g.Phase, g.Interval)
	}
	return nil
}

func (g Grid) anchor() Time {
	if g.Interval == Interval1w {
		return weekAnchor
	}
	return g.Phase
}

// SlotAt returns the slot whose bar is open at t, the last one that opens at
// or before t.
func (g Grid) SlotAt(t Time) Slot {
	if g.Interval == Interval1M {
		return Slot(monthSlot(t))
	}
	return Slot(floorDiv(int64(t-g.anchor()), int64(g.Interval.Width())))
}

// SlotFrom returns the first slot that opens at or after t.
func (g Grid) SlotFrom(t Time) Slot {
	n := g.SlotAt(t)
	if g.Time(n) < t {
		n++
	}
	return n
}

// Time returns the open time of slot n; the bar ends where slot n+1 opens.
func (g Grid) Time(n Slot) Time {
	if g.Interval == Interval1M {
		return monthTime(int64(n))
	}
	return Time(int64(n)*int64(g.Interval.Width())) + g.anchor()
}

// On reports whether a bar may open at t.
func (g Grid) On(t Time) bool { return g.Time(g.SlotAt(t)) == t }

// Run returns the slots that open inside s.
func (g Grid) Run(s Span) Run {
	if s.Empty() {
		return Run{}
	}
	return Run{g.SlotFrom(s.From), g.SlotFrom(s.To)}
}

// Span returns the time that the slots of r cover.
func (g Grid) Span(r Run) Span {
	if r.Empty() {
		return Span{}
	}
	return Span{g.Time(r.From), g.Time(r.To)}
}
