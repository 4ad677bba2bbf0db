package heal

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/barkeepdb/barkeep/series"
)

// An anchor is a stored bar beside a window: a source that does not agree with
// it is not believed. Where markets close the bars beside a window are those of
// another session.

// anchorReach is how far an anchor may lie from its window: over a weekend with
// holidays on both sides.
const anchorReach = 7 * series.Day

// anchorMost is how many stored bars of another session are asked for again.
const anchorMost = 12

// far is how far from a window its anchors are looked for.
func far(s Series, cal *series.Calendar) series.Time {
	near := pad * max(s.Interval.Width(), series.Minute)
	if s.Interval.Width() == 0 {
		near = pad * 31 * series.Day
	}
	if cal == nil || cal.AlwaysOpen() {
		return near
	}
	return max(near, anchorReach)
}

// anchored returns what is asked for a window, in order of time: the window, and
// stored bars for comparison, in a span of their own where they do not lie beside
// it. ok is whether there are such bars.
func (h *Healer) anchored(ctx context.Context, s Series, cal *series.Calendar, w Step) (asked []series.Span, ok bool, err error) {
	reach := far(s, cal)
	var before, after series.Columns
	if err := h.store.Read(ctx, s.Key, series.Span{From: w.From - reach, To: w.From}, &before); err != nil {
		return nil, false, err
	}
	if err := h.store.Read(ctx, s.Key, series.Span{From: w.To, To: w.To + reach}, &after); err != nil {
		return nil, false, err
	}
	wide := series.Span{From: s.Grid.Time(s.Grid.SlotAt(w.From) - pad), To: s.Grid.Time(s.Grid.SlotFrom(w.To) + pad)}
	n, m := before.Len(), after.Len()
	near := n > 0 && before.Time[n-1] >= wide.From || m > 0 && after.Time[0] < wide.To
	switch {
	case near || n+m == 0 && reach != anchorReach:
		return []series.Span{wide}, near, nil
	case n > 0:
		return []series.Span{{From: before.Time[max(0, n-anchorMost)], To: s.Grid.Time(s.Grid.SlotAt(before.Time[n-1]) + 1)}, w.span()}, true, nil
	case m > 0:
		return []series.Span{w.span(), {From: after.Time[0], To: s.Grid.Time(s.Grid.SlotAt(after.Time[min(m, anchorMost)-1]) + 1)}}, true, nil
	}
	return []series.Span{w.span()}, false, nil
}

// ask asks for several spans as one question.
func (r *running) ask(ctx context.Context, key series.Key, spans []series.Span, avoid []string, give func(Answer) error) (Outcome, error) {
	var all Outcome
	var first error
	for _, span := range spans {
		o, err := r.h.source.Fetch(ctx, key, span, avoid, give)
		r.spent(o.Requests)
		all.Empty, all.Silent, all.Unanswered = append(all.Empty, o.Empty...), append(all.Silent, o.Silent...), append(all.Unanswered, o.Unanswered...)
		all.Why, all.RetryAt = cmp.Or(all.Why, o.Why), cmp.Or(all.RetryAt, o.RetryAt)
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return all, first
}

// outward orders windows, the most valuable first, so that each lies beside bars
// that are stored, or that a window before it brings, as far as there are any.
func (h *Healer) outward(ctx context.Context, s Series, cal *series.Calendar, windows []Step) error {
	if len(windows) < 2 {
		return nil
	}
	n := len(windows)
	byTime := make([]int, n) // windows by their time
	for i := range byTime {
		byTime[i] = i
	}
	slices.SortFunc(byTime, func(a, b int) int { return cmp.Compare(windows[a].From, windows[b].From) })
	place := make([]int, n)
	for k, i := range byTime {
		place[i] = k
	}
	reach := far(s, cal)
	var ready ranks
	queued, taken := make([]bool, n), make([]bool, n)
	for i, w := range windows {
		if _, ok, err := h.anchored(ctx, s, cal, w); err != nil {
			return err
		} else if ok {
			queued[i] = true
			ready = append(ready, i) // ascending: a heap
		}
	}
	out := make([]Step, 0, n)
	for next := 0; len(out) < n; {
		i := 0
		if len(ready) > 0 {
			i, _ = heap.Pop(&ready).(int)
		} else {
			for taken[next] {
				next++
			}
			i = next
		}
		if taken[i] {
			continue
		}
		taken[i] = true
		out = append(out, windows[i])
		for _, k := range [...]int{place[i] - 1, place[i] + 1} {
			if k < 0 || k >= n || queued[byTime[k]] {
				continue
			}
			j := byTime[k]
			if gap := max(windows[j].From-windows[i].To, windows[i].From-windows[j].To); gap <= reach {
				queued[j] = true
				heap.Push(&ready, j)
			}
		}
	}
	copy(windows, out)
	return nil
}

// ranks are windows by their rank.
type ranks []int

func (r ranks) Len() int           { return len(r) }
func (r ranks) Less(i, j int) bool { return r[i] < r[j] }
func (r ranks) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *ranks) Push(x any)        { i, _ := x.(int); *r = append(*r, i) }
func (r *ranks) Pop() any {
	x := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return x
}

// witness asks other sources about an answer that no stored bar speaks for: two
// that agree are believed. It returns the answers to go on with, which sources
// are not believed and why, and what was asked of whom as evidence. Where nobody
// else answers, the word of one stands, as it does where only another venue does.
func (r *running) witness(ctx context.Context, s Series, asked []series.Span, got *answers, rejected []string) (*answers, []string, error) {
	heard := []*answers{got}
	avoid := slices.Clone(rejected)
	for len(heard) < witnessMost {
		avoid = append(avoid, heard[len(heard)-1].names()...)
		next := &answers{}
		_, _ = r.ask(ctx, s.Key, asked, avoid, next.add) // who does not answer is no witness
		if ctx.Err() != nil {
			return got, nil, ctx.Err()
		}
		next.list = slices.DeleteFunc(next.list, func(a *Answer) bool { return a.Proxy })
		if len(next.list) == 0 {
			break
		}
		for _, x := range heard {
			if x.agrees(next, r.pol.Tolerance) {
				return x, r.others(heard, next, x), nil
			}
		}
		heard = append(heard, next)
	}
	if len(heard) == 1 {
		return got, nil, nil
	}
	return &answers{}, r.others(heard, nil, nil), nil
}

// witnessMost is how many sources are heard about one window.
const witnessMost = 5

// others says why the answers that are not believed are not.
func (r *running) others(heard []*answers, by, believed *answers) (out []string) {
	for _, x := range heard {
		if x == believed {
			continue
		}
		for _, name := range x.names() {
			why := "no other source agrees with it, and no stored bar"
			if believed != nil {
				why = fmt.Sprintf("%s and %s agree on other bars", believed.names()[0], by.names()[0])
			}
			out = append(out, name+": "+why)
		}
	}
	return out
}

// agrees reports whether most bars that both answers have are the same.
func (a *answers) agrees(b *answers, tolerance float64) bool {
	mine := map[series.Time]series.Bar{}
	for _, x := range a.list {
		for i, t := range x.Bars.Time {
			mine[t] = x.Bars.Bar(i)
		}
	}
	same, differ := 0, 0
	for _, x := range b.list {
		for i, t := range x.Bars.Time {
			theirs := x.Bars.Bar(i)
			m, ok := mine[t]
			if !ok || m.Prov.Forming() || theirs.Prov.Forming() {
				continue
			}
			if close4(m, theirs, tolerance) {
				same++
			} else {
				differ++
			}
		}
	}
	return same > 0 && 4*differ < same+differ
}

// unspoken reports whether a source gave bars and none that is stored.
func (a *answers) unspoken(stored *series.Columns) bool {
	spoken := map[string]bool{}
	for _, x := range a.list {
		spoken[x.Source] = spoken[x.Source] || slices.ContainsFunc(x.Bars.Time, func(t series.Time) bool {
			i, ok := slices.BinarySearch(stored.Time, t)
			return ok && stored.Prov[i].Kind() == series.Observed
		})
	}
	for _, ok := range spoken {
		if !ok {
			return true
		}
	}
	return false
}

// shifted returns by how many bars those of an answer are late or early, if they
// are those of other slots rather than of their own; 0 otherwise. In a quiet
// market they lie within any tolerance of their neighbours.
func shifted(g series.Grid, stored, answer *series.Columns) int {
	// off is how far the bars of the answer lie from those that are stored lag slots
	// later, and how many were compared; differ is how many are not the same.
	differ := 0
	off := func(lag int) (sum float64, n int) {
		for i, t := range answer.Time {
			j, ok := slices.BinarySearch(stored.Time, g.Time(g.SlotAt(t)+series.Slot(lag)))
			if !ok || stored.Prov[j].Kind() != series.Observed {
				continue
			}
			m, x := stored.Bar(j), answer.Bar(i)
			d := abs(m.Open-x.Open) + abs(m.High-x.High) + abs(m.Low-x.Low) + abs(m.Close-x.Close)
			if sum += d; d > 0 && lag == 0 {
				differ++
			}
			n++
		}
		return sum, n
	}
	own, n := off(0)
	// Most bars differ then. In a market that stands still one that was revised
	// would look like it: at the end of the answer it has no other slot.
	if n < shiftLeast || 2*differ <= n {
		return 0
	}
	own /= float64(n)
	for _, lag := range [...]int{-1, 1, -2, 2} {
		if other, n := off(lag); n >= shiftLeast-1 && other/float64(n) < own/shiftClearly {
			return lag
		}
	}
	return 0
}

// shiftLeast is how many bars it takes to see that they are shifted, and
// shiftClearly how much closer they have to lie to those of other slots.
const (
	shiftLeast   = 3
	shiftClearly = 20
)

// distrust counts that a source contradicted stored bars, and distrusted lists
// those that did so in two windows of a series: they are not asked again in it.
func (r *running) distrust(name string) {
	if r.lies == nil {
		r.lies = map[string]int{}
	}
	r.lies[name]++
}

func (r *running) distrusted() (out []string) {
	for _, name := range slices.Sorted(maps.Keys(r.lies)) {
		if r.lies[name] >= 2 {
			out = append(out, name)
		}
	}
	return out
}
