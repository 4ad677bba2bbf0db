package api

import (
	"math"
	"slices"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
)

// filler invents a bar for slots that have none. What it makes is synthetic and
// never written anywhere. Where a method cannot invent, because a neighbour that
// it needs does not exist, the bar is a null if somebody asked for every slot,
// and else there is none.
type filler struct {
	grid  series.Grid
	holes []hole // slots to fill, in order; a bar in one of them stays
	every bool   // every slot was asked for: null where nothing can be invented
	// before is the last bar before the first hole, if there is one. after
	// finds the first bar behind the last row.
	before *series.Bar
	after  func() (*series.Bar, error)
}

// hole is a run of slots to fill.
type hole struct {
	series.Run
	whole series.Run // the run that it was cut from
	fill  string     // name of a filler, or null: the slot with nothing in it
}

// within cuts holes, which ascend, to run.
func within(holes []hole, run series.Run) []hole {
	var out []hole
	for _, h := range holes {
		if x := h.Intersect(run); !x.Empty() {
			h.Run = x
			out = append(out, h)
		}
	}
	return out
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
				for at := holes[0].From; at < min(holes[0].To, to); at += batch {
					run := series.Run{From: at, To: min(at+batch, holes[0].To, to)}
					for _, b := range f.bars(holes[0], run, prev, next) {
						var part *series.Part
						if parts {
							part = &series.Part{Expected: 1}
						}
						out.appendBar(b, part)
					}
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
				rest := holes[0]
				rest.From = to + 1
				holes = append([]hole{rest}, holes[1:]...)
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

// bars invents the bars of run, a part of h, between prev and next.
func (f filler) bars(h hole, run series.Run, prev, next *series.Bar) []series.Bar {
	times := func(r series.Run) []series.Time {
		out := make([]series.Time, 0, r.Len())
		for n := r.From; n < r.To; n++ {
			out = append(out, f.grid.Time(n))
		}
		return out
	}
	var out []series.Bar
	if fill := heal.FillerOf(h.fill); fill != nil {
		switch h.fill {
		case heal.FillPrev, heal.FillNext, heal.FillLinear: // these look at their neighbours only
			out = fill(prev, next, times(run))
		default:
			if all := fill(prev, next, times(h.whole)); int64(len(all)) == h.whole.Len() {
				out = slices.Clone(all[run.From-h.whole.From : run.To-h.whole.From])
			}
		}
	}
	if out == nil && f.every {
		nan := math.NaN()
		for _, t := range times(run) {
			out = append(out, series.Bar{Time: t, Open: nan, High: nan, Low: nan, Close: nan, Volume: nan, QuoteVolume: nan, Trades: nan})
		}
	}
	for i := range out {
		out[i].Prov = series.NewProv(series.Synthetic, fillSource)
	}
	return out
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
