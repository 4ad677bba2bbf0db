package heal

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/barkeepdb/barkeep/series"
)

// known says what can be said of holes without asking anybody: outages that the
// series of a venue share, slots that a stored coarser series proves empty, and
// the pattern of a collector. It returns those, and the holes that are left.
func (h *Healer) known(ctx context.Context, s Series, all []Series, scan *Scan, holes []series.Absence) (known, left []series.Absence, err error) {
	shut, err := h.closed(ctx, s, scan, holes)
	if err != nil {
		return nil, nil, err
	}
	holes = without(holes, shut)
	proven, lacking, err := h.provenByStored(ctx, s, all, scan, holes)
	if err != nil {
		return nil, nil, err
	}
	left, known = without(holes, proven), append(shut, proven...)
	if len(lacking) > 0 {
		// A coarser bar shows trades: these are holes indeed.
		var marked []series.Absence
		for _, o := range withinAll(left, lacking) {
			if o.State == series.StateMissing && o.Note.Reason == "" {
				o.Note.Reason = "a coarser bar shows trades that are missing here"
				marked = append(marked, o)
			}
		}
		left = append(without(left, marked), marked...)
		slices.SortFunc(left, func(a, b series.Absence) int { return int(a.From - b.From) })
		known = append(known, marked...)
	}
	why, skipped := pattern(scan)
	if why == "" { // what a collector leaves out it leaves out of every series
		down, err := h.outages(ctx, s, all, scan, left)
		if err != nil {
			return nil, nil, err
		}
		left, known = without(left, down), append(known, down...)
	} else {
		for i := range left {
			if left[i].State == series.StateMissing && left[i].Note.Reason == "" && 10*left[i].Len() <= 11*skipped {
				left[i].Note.Reason = why
			}
		}
		for _, o := range left {
			if o.Note.Reason == why {
				known = append(known, o)
			}
		}
	}
	slices.SortFunc(known, func(a, b series.Absence) int { return int(a.From - b.From) })
	return known, left, nil
}

// without returns holes without the slots of known, which do not overlap.
func without(holes, known []series.Absence) []series.Absence {
	if len(known) == 0 {
		return slices.Clone(holes)
	}
	runs := make([]series.Run, 0, len(known))
	for _, k := range known {
		runs = append(runs, k.Run)
	}
	runs = series.Normalize(runs)
	var out []series.Absence
	for _, o := range holes {
		i, _ := slices.BinarySearchFunc(runs, o.From, func(r series.Run, at series.Slot) int {
			if r.To <= at {
				return -1
			}
			return 1
		})
		j := i
		for j < len(runs) && runs[j].From < o.To {
			j++
		}
		for _, r := range series.Subtract(nil, []series.Run{o.Run}, runs[i:j]) {
			out = append(out, series.Absence{Run: r, State: o.State, Note: o.Note})
		}
	}
	return out
}

const (
	// outageLeast is how many slots a common hole must have: one minute may lack
	// trades anywhere.
	outageLeast = 2
	// outageAround is how many slots before and after must be there, nearly all
	// of them, in every series that counts as a witness.
	outageAround = 60
	outageDense  = 0.95
	outageRule   = "outage"
)

// outages finds holes that at least one more series of the venue has too, while
// none has a bar there. Only series that trade in nearly every slot around the
// hole say anything.
func (h *Healer) outages(ctx context.Context, s Series, all []Series, scan *Scan, holes []series.Absence) ([]series.Absence, error) {
	if s.Venue == "" {
		return nil, nil
	}
	var peers, coarser []Series
	for _, x := range all {
		if x.Venue == s.Venue && x.Interval > s.Interval && x.Bars > 0 {
			coarser = append(coarser, x)
		}
		if x.Venue == s.Venue && x.Interval == s.Interval && x.Grid == s.Grid && x.Symbol != s.Symbol && x.Bars > 0 {
			peers = append(peers, x)
		}
	}
	if len(peers) == 0 {
		return nil, nil
	}
	own := newPresence(scan)
	scans := make([]*presence, len(peers))
	var out []series.Absence
	for _, o := range holes {
		if o.Len() < outageLeast || !own.denseAround(o.Run) || o.State == series.StateQuarantined {
			continue
		}
		agree, contradicted := []string{}, false
		for i, x := range peers {
			if x.First > s.Grid.Time(o.From) || x.Last < s.Grid.Time(o.To-1) {
				continue
			}
			if scans[i] == nil {
				sc, err := h.store.Scan(ctx, x.Key, s.Grid.Span(scan.Run))
				if err != nil {
					return nil, err
				}
				scans[i] = newPresence(sc)
			}
			switch n := scans[i].absent(o.Run); {
			case n < o.Len():
				contradicted = true
			case scans[i].denseAround(o.Run):
				agree = append(agree, x.Symbol)
			}
		}
		if len(agree) == 0 || contradicted {
			continue
		}
		if contradicted, err := h.tradedInside(ctx, coarser, s.Grid.Span(o.Run)); err != nil {
			return nil, err
		} else if !contradicted {
			o.State = series.StateOutage
			o.Note.Reason = fmt.Sprintf("%s has the same hole in %d more series: %s", s.Venue, len(agree), firstFew(agree))
			o.Note.Next = h.now() + 7*series.Day // what was published later may fill it
			out = append(out, o)
		}
	}
	return out, nil
}

// tradedInside reports whether one of the coarser series has a bar with trades
// that lies in span as a whole.
func (h *Healer) tradedInside(ctx context.Context, coarser []Series, span series.Span) (bool, error) {
	for _, x := range coarser {
		run := series.Run{From: x.Grid.SlotFrom(span.From), To: x.Grid.SlotAt(span.To)}
		if run.Empty() {
			continue
		}
		var bars series.Columns
		if err := h.store.Read(ctx, x.Key, x.Grid.Span(run), &bars); err != nil {
			return false, err
		}
		if slices.ContainsFunc(bars.Volume, func(v float64) bool { return v > 0 }) {
			return true, nil
		}
	}
	return false, nil
}

func firstFew(names []string) string {
	const few = 5
	out := ""
	for i, n := range names {
		if i == few {
			return out + ", ..."
		}
		if i > 0 {
			out += ", "
		}
		out += n
	}
	return out
}

// presence answers how many slots of a run are absent.
type presence struct {
	run   series.Run
	holes []series.Run
}

func newPresence(scan *Scan) *presence {
	return &presence{run: scan.Run, holes: joined(scan.Holes)}
}

// absent counts the slots of r without a bar.
func (p *presence) absent(r series.Run) (n int64) {
	i, _ := slices.BinarySearchFunc(p.holes, r.From, func(x series.Run, at series.Slot) int {
		if x.To <= at {
			return -1
		}
		return 1
	})
	for ; i < len(p.holes) && p.holes[i].From < r.To; i++ {
		n += p.holes[i].Intersect(r).Len()
	}
	return n
}

// denseAround reports whether nearly all slots on both sides of r have bars.
func (p *presence) denseAround(r series.Run) bool {
	before := series.Run{From: r.From - outageAround, To: r.From}.Intersect(p.run)
	after := series.Run{From: r.To, To: r.To + outageAround}.Intersect(p.run)
	if before.Len() < outageAround/2 || after.Len() < outageAround/2 {
		return false
	}
	n := before.Len() + after.Len()
	return float64(n-p.absent(before)-p.absent(after)) >= outageDense*float64(n)
}

// patternLeast is how often stretches of the same length must repeat.
const patternLeast = 5

// pattern recognises a collector that kept one page and skipped the next ones:
// stretches of bars and holes of the same two lengths, again and again. It
// returns what to say of the holes and how long they are, or "".
func pattern(scan *Scan) (why string, skipped int64) {
	bars, hole, n := stride(scan)
	if n == 0 {
		return "", 0
	}
	return fmt.Sprintf("a collector kept %d bars and skipped %d, %d times", bars, hole, n), hole
}

// stride returns how many bars were kept and skipped, and how often; 0 is never.
func stride(scan *Scan) (bars, skipped int64, times int) {
	type shape struct{ bars, hole int64 }
	counts := map[shape]int{}
	holes := joined(scan.Holes)
	for i := 1; i < len(holes); i++ {
		counts[shape{int64(holes[i].From - holes[i-1].To), holes[i].Len()}]++
	}
	var best shape
	for x, n := range counts {
		if n > counts[best] || n == counts[best] && x.hole > best.hole {
			best = x
		}
	}
	n := counts[best]
	if n < patternLeast || 2*n < len(holes) || best.hole < 10 || best.bars < 10 {
		return 0, 0, 0
	}
	return best.bars, best.hole, n
}

// provenByStored finds the slots of holes that a stored coarser series of the
// symbol proves to be without trades.
//
// lacking are the slots of coarser bars that show more than there is.
func (h *Healer) provenByStored(ctx context.Context, s Series, all []Series, scan *Scan, holes []series.Absence) (out []series.Absence, lacking []series.Run, err error) {
	if !s.Interval.Intraday() || len(holes) == 0 {
		return nil, nil, nil
	}
	for _, c := range all {
		if c.Symbol != s.Symbol || c.Bars == 0 || c.Interval.Width() <= s.Interval.Width() || !s.Interval.Divides(c.Interval) || c.Interval.Width() > series.Day {
			continue
		}
		for _, span := range coarseSpans(c.Grid, s.Grid, without(holes, out)) {
			var bars series.Columns
			if err := h.store.Read(ctx, c.Key, span, &bars); err != nil {
				return nil, nil, err
			}
			proven, refused, err := h.prove(ctx, s, c.Grid, &bars, scan, without(holes, out))
			if err != nil {
				return nil, nil, err
			}
			out = append(out, proven...)
			for _, r := range refused {
				lacking = append(lacking, s.Grid.Run(r))
			}
		}
	}
	return out, series.Normalize(lacking), nil
}

// coarseSpans are the spans of coarse bars that touch holes.
func coarseSpans(coarse, fine series.Grid, holes []series.Absence) []series.Span {
	var runs []series.Run
	for _, o := range holes {
		r := series.Run{From: coarse.SlotAt(fine.Time(o.From)), To: coarse.SlotAt(fine.Time(o.To-1)) + 1}
		if n := len(runs); n > 0 && r.From-runs[n-1].To < 48 {
			runs[n-1].To = max(runs[n-1].To, r.To)
			continue
		}
		runs = append(runs, r)
	}
	out := make([]series.Span, 0, len(runs))
	for _, r := range runs {
		out = append(out, coarse.Span(r))
	}
	return out
}

// prove compares coarse bars with what the finer bars that are there amount to.
// Where prices and volume are the same, nothing traded in the other slots; where
// they differ, bars are missing indeed, which refused says.
func (h *Healer) prove(ctx context.Context, s Series, coarse series.Grid, bars *series.Columns, scan *Scan, holes []series.Absence) (proven []series.Absence, refused []series.Span, err error) {
	if bars.Len() == 0 || len(holes) == 0 {
		return nil, nil, nil
	}
	last := bars.Time[bars.Len()-1]
	span := series.Span{From: bars.Time[0], To: coarse.Time(coarse.SlotAt(last) + 1)}
	var fine, made series.Columns
	if err := h.store.Read(ctx, s.Key, span, &fine); err != nil {
		return nil, nil, err
	}
	if _, err := series.Resample(&made, &fine, s.Grid, coarse, scan.Calendar); err != nil {
		return nil, nil, err
	}
	at := make(map[series.Time]int, made.Len())
	for i, t := range made.Time {
		at[t] = i
	}
	now := h.now()
	for i, t := range bars.Time {
		end := coarse.Time(coarse.SlotAt(t) + 1)
		b := bars.Bar(i)
		if b.Prov.Forming() || end > now {
			continue
		}
		run := s.Grid.Run(series.Span{From: t, To: end})
		inside := within(holes, run)
		if len(inside) == 0 {
			continue
		}
		j, there := at[t]
		switch {
		case !there && b.Volume == 0, there && sameBar(b, made.Bar(j)):
		default:
			refused = append(refused, series.Span{From: t, To: end})
			continue
		}
		for _, o := range inside {
			o.State = series.StateNoTrade
			o.Note = series.Note{Reason: fmt.Sprintf("the %s bar is that of the bars that are there", coarse.Interval), First: o.Note.First, Last: now, Attempts: o.Note.Attempts}
			proven = append(proven, o)
		}
	}
	return proven, refused, nil
}

// within returns the parts of holes, which ascend, inside of run.
func within(holes []series.Absence, run series.Run) (out []series.Absence) {
	i, _ := slices.BinarySearchFunc(holes, run.From, func(o series.Absence, at series.Slot) int {
		if o.To <= at {
			return -1
		}
		return 1
	})
	for ; i < len(holes) && holes[i].From < run.To; i++ {
		o := holes[i]
		if o.Run = o.Intersect(run); !o.Empty() {
			out = append(out, o)
		}
	}
	return out
}

// sameBar reports whether a coarse bar is what finer bars amount to. Prices are
// compared exactly, the volume, which is a sum, but for its last digits.
func sameBar(a, b series.Bar) bool {
	return a.Open == b.Open && a.High == b.High && a.Low == b.Low && a.Close == b.Close &&
		math.Abs(a.Volume-b.Volume) <= 1e-9*math.Max(math.Abs(a.Volume), math.Abs(b.Volume))
}
