package api

import (
	"math"

	"github.com/barkeepdb/barkeep/series"
)

// filler invents a bar for every expected slot that has none. What it makes is
// synthetic and never written anywhere.
//
//   - null: the slot with nothing in it
//   - prev: all four prices are the close before it, the volume is 0
//   - linear: each price lies on the line between the bars around it, so low
//     and high still enclose open and close; the volume is 0
//
// Where a neighbour that the method needs does not exist, the bar is a null.
type filler struct {
	grid   series.Grid
	method string
	holes  []series.Run // slots to fill, in order; a bar in one of them stays
	// before is the last bar before the first hole, if there is one. after
	// finds the first bar behind the last row.
	before *series.Bar
	after  func() (*series.Bar, error)
}

// fillSource is the source of bars that are made up while reading: the last
// number there is, which no store gives to a name.
const fillSource series.SourceID = 1<<24 - 1

// batch is how many filled rows are handed on at a time.
const batch = 4096

// fill returns in with the holes filled; in is in ascending order.
func (f filler) fill(in rows) rows {
	return func(yield func(chunk, error) bool) {
		out := chunk{Columns: &series.Columns{}}
		flush := func(least int) bool {
			if out.Len() < least {
				return true
			}
			ok := yield(out, nil)
			out.Reset()
			out.parts = out.parts[:0]
			return ok
		}
		prev, holes := f.before, f.holes
		// invent fills the holes below slot to; next is the bar there.
		invent := func(to series.Slot, next *series.Bar, parts bool) bool {
			for len(holes) > 0 && holes[0].From < to {
				for n := holes[0].From; n < min(holes[0].To, to); n++ {
					var part *series.Part
					if parts {
						part = &series.Part{Expected: 1}
					}
					out.appendBar(f.bar(f.grid.Time(n), prev, next), part)
					if !flush(batch) {
						return false
					}
				}
				if holes[0].To > to {
					break
				}
				holes = holes[1:]
			}
			// The slot of next itself is not empty.
			for len(holes) > 0 && holes[0].To <= to+1 {
				holes = holes[1:]
			}
			if len(holes) > 0 && holes[0].From <= to {
				holes = append([]series.Run{{From: to + 1, To: holes[0].To}}, holes[1:]...)
			}
			return true
		}
		parts := false
		var cur, last series.Bar
		for c, err := range in {
			if err != nil {
				yield(chunk{}, err)
				return
			}
			parts = parts || c.parts != nil
			for i := range c.Len() {
				cur = c.Bar(i)
				if !invent(f.grid.SlotAt(cur.Time), &cur, parts) {
					return
				}
				out.appendBar(cur, c.part(i))
				last = cur
				prev = &last
				if !flush(batch) {
					return
				}
			}
		}
		if len(holes) > 0 {
			next, err := f.after()
			if err != nil {
				yield(chunk{}, err)
				return
			}
			if !invent(holes[len(holes)-1].To, next, parts) {
				return
			}
		}
		flush(1)
	}
}

// bar invents the bar that opens at t.
func (f filler) bar(t series.Time, prev, next *series.Bar) series.Bar {
	nan := math.NaN()
	b := series.Bar{
		Time: t, Open: nan, High: nan, Low: nan, Close: nan, Volume: nan, QuoteVolume: nan, Trades: nan,
		Prov: series.NewProv(series.Synthetic, fillSource),
	}
	switch {
	case f.method == "prev" && prev != nil:
		b.Open, b.High, b.Low, b.Close, b.Volume = prev.Close, prev.Close, prev.Close, prev.Close, 0
	case f.method == "linear" && prev != nil && next != nil:
		w := float64(t-prev.Time) / float64(next.Time-prev.Time)
		mix := func(x, y float64) float64 { return x + (y-x)*w }
		b.Open, b.Close = mix(prev.Open, next.Open), mix(prev.Close, next.Close)
		b.High, b.Low = mix(prev.High, next.High), mix(prev.Low, next.Low)
		b.Volume = 0
	}
	return b
}

// coarsen turns runs of fine slots into the runs of coarse slots that hold
// them.
func coarsen(fine, coarse series.Grid, runs []series.Run) []series.Run {
	var out []series.Run
	for _, r := range runs {
		out = series.Join(out, series.Run{
			From: coarse.SlotAt(fine.Time(r.From)),
			To:   coarse.SlotAt(fine.Time(r.To-1)) + 1,
		})
	}
	return out
}
