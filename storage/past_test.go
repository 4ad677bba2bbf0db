package storage_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

var pasts = flag.Int("pasts", 40, "how many random histories are looked back on")

// moment is what a store answered at a time.
type moment struct {
	at     series.Time
	bars   []series.Bar
	states [series.NumStates]int64
	gaps   string
}

// asker is a store, or the past of one.
type asker interface {
	Gaps(context.Context, series.Key, series.Span) (storage.Scan, error)
	Coverage(context.Context, series.Key, series.Span) (storage.Coverage, error)
}

func askAll(t *testing.T, a asker, span series.Span) (states [series.NumStates]int64, gaps string) {
	t.Helper()
	ctx := context.Background()
	c, err := a.Coverage(ctx, btc, span)
	if err != nil {
		t.Fatal(err)
	}
	sc, err := a.Gaps(ctx, btc, span)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range sc.Gaps {
		gaps += fmt.Sprintf("%d-%d %v %v\n", g.From, g.To, g.State, sc.Note(g))
	}
	return c.States, gaps
}

func sameBars(a, b []series.Bar) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d bars, want %d", len(a), len(b))
	}
	for i := range a {
		if bits(a[i]) != bits(b[i]) || a[i].Prov != b[i].Prov {
			return fmt.Errorf("bar %d is %+v, want %+v", i, a[i], b[i])
		}
	}
	return nil
}

// history is a store that random changes are made to, one each minute.
type history struct {
	t     *testing.T
	s     *storage.Store
	r     *rand.Rand
	now   series.Time
	span  series.Span
	seen  []moment
	count int
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{t: t, r: rand.New(rand.NewPCG(seed, 11)), now: t0 + 30*series.Day, span: series.Span{From: t0 - series.Day, To: t0 + 2*series.Day}}
	s, err := storage.Open("store", storage.Options{FS: vfs.NewMem(), Now: func() series.Time { return h.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	h.s = s
	return h
}

func (h *history) run() series.Run {
	g := series.Grid{Interval: btc.Interval}
	from := g.SlotAt(t0) + series.Slot(h.r.IntN(2600))
	return series.Run{From: from, To: from + 1 + series.Slot(h.r.IntN(120))}
}

// step makes one change, under ctx.
func (h *history) step(ctx context.Context) {
	h.t.Helper()
	h.count++
	g := series.Grid{Interval: btc.Interval}
	r := h.run()
	var err error
	switch k := h.r.IntN(13); {
	case k < 6:
		c := walk(h.r.Uint64(), g.Time(r.From), btc.Interval, int(r.Len()))
		if h.r.IntN(3) == 0 { // corrected ones
			fixed := &series.Columns{}
			for i := range min(4, c.Len()) {
				b := c.Bar(i)
				b.Prov = series.NewProv(series.Corrected, 0)
				fixed.Append(b)
			}
			c = fixed
		}
		_, err = h.s.Write(ctx, btc, c, storage.WriteOptions{Source: "s" + fmt.Sprint(h.r.IntN(3))})
	case k < 7:
		_, err = h.s.Delete(ctx, btc, g.Span(r))
	case k < 9:
		states := []series.State{series.StateNoTrade, series.StateOutage, series.StateUnavailable, series.StateMissing}
		err = h.s.Explain(ctx, btc, []series.Absence{{Run: r, State: states[h.r.IntN(4)], Note: series.Note{Reason: fmt.Sprint(h.count), Attempts: int32(h.r.IntN(3))}}})
	case k < 10:
		err = h.s.Compact(ctx)
	case k < 12:
		var es []storage.Entry
		for n := r.From; n < r.To; n += 1 + series.Slot(h.r.IntN(3)) {
			es = append(es, storage.Entry{Key: btc, Time: g.Time(n), HasTime: true, Reason: "odd", Raw: fmt.Sprint(h.count)})
		}
		err = h.s.SetAside(ctx, es)
	default:
		var all []storage.Entry
		for e, err := range h.s.Aside(ctx, &btc) {
			if err != nil {
				h.t.Fatal(err)
			}
			all = append(all, e)
		}
		for range min(3, len(all)) {
			if err == nil {
				err = h.s.Discard(ctx, btc, all[h.r.IntN(len(all))].ID)
			}
		}
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// look notes what the store answers now.
func (h *history) look() moment {
	h.t.Helper()
	m := moment{at: h.now}
	for b, err := range h.s.Bars(context.Background(), btc, h.span, storage.ReadOptions{}) {
		if err != nil {
			h.t.Fatal(err)
		}
		m.bars = append(m.bars, b)
	}
	m.states, m.gaps = askAll(h.t, h.s, h.span)
	return m
}

// TestPast asks a store for every moment of random histories: it answers as it
// did then.
func TestPast(t *testing.T) {
	ctx := context.Background()
	for seed := range *pasts {
		h := newHistory(t, uint64(seed))
		if _, err := h.s.Write(ctx, btc, walk(1, t0, btc.Interval, 50), storage.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		for range 25 {
			h.now += series.Minute
			h.step(ctx)
			h.now += series.Minute
			h.seen = append(h.seen, h.look())
		}
		for _, m := range h.seen {
			p, err := h.s.AsOf(storage.PastOptions{At: m.at})
			if err != nil {
				t.Fatal(err)
			}
			var got []series.Bar
			for c, err := range p.Chunks(ctx, btc, h.span, storage.ReadOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				for i := range c.Time {
					got = append(got, c.Bar(i))
				}
			}
			if err := sameBars(got, m.bars); err != nil {
				t.Fatalf("seed %d, as of %v: %v", seed, m.at, err)
			}
			if states, gaps := askAll(t, p, h.span); states != m.states || gaps != m.gaps {
				t.Fatalf("seed %d, as of %v:\n%v\nwant\n%v\n%s\nwant\n%s", seed, m.at, states, m.states, gaps, m.gaps)
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestUndo takes back what a repair did, in the middle of other changes and
// alone: alone, everything is as it was; in the middle, what others changed
// later stays.
func TestUndo(t *testing.T) {
	ctx := context.Background()
	for seed := range *pasts {
		h := newHistory(t, uint64(seed)+1000)
		if _, err := h.s.Write(ctx, btc, walk(1, t0, btc.Interval, 50), storage.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		for range 8 {
			h.now += series.Minute
			h.step(ctx)
		}
		before := h.look()
		noted := storage.WithNote(ctx, storage.Note{Actor: "me", Repair: "r1", Rule: "gap", Version: 2, Evidence: "x"})
		for range 10 {
			h.now += series.Minute
			h.step(noted)
		}
		after := h.look()
		others := seed%2 == 0
		var touched []series.Run
		if others {
			for range 3 {
				h.now += series.Minute
				h.step(ctx)
			}
			for x, err := range h.s.Journal(ctx, storage.JournalOptions{From: after.at + 1}) {
				if err != nil {
					t.Fatal(err)
				}
				touched = series.Union(nil, touched, x.Gained)
				for _, at := range x.Before.Time {
					n := x.Grid.SlotAt(at)
					touched = series.Union(nil, touched, []series.Run{{From: n, To: n + 1}})
				}
			}
			after = h.look()
		}
		h.now += series.Minute
		undo := storage.WithNote(ctx, storage.Note{Actor: "me", Cause: "undo of r1"})
		u, err := h.s.Undo(undo, storage.JournalOptions{Repair: "r1", Rule: "gap", Version: 2})
		if err != nil {
			t.Fatal(err)
		}
		got := h.look()
		if !others {
			if err := sameBars(got.bars, before.bars); err != nil {
				t.Fatalf("seed %d: %v: %+v", seed, err, u)
			}
			if got.states != before.states || got.gaps != before.gaps || u.Skipped != 0 {
				t.Fatalf("seed %d: %v, want %v\n%s\nwant\n%s", seed, got.states, before.states, got.gaps, before.gaps)
			}
		} else {
			g := series.Grid{Interval: btc.Interval}
			in := func(b series.Bar) bool {
				return len(series.Intersect(nil, touched, []series.Run{{From: g.SlotAt(b.Time), To: g.SlotAt(b.Time) + 1}})) > 0
			}
			pick := func(bs []series.Bar, want bool) []series.Bar {
				return slices.DeleteFunc(slices.Clone(bs), func(b series.Bar) bool { return in(b) != want })
			}
			if err := sameBars(pick(got.bars, true), pick(after.bars, true)); err != nil {
				t.Fatalf("seed %d: what others changed: %v", seed, err)
			}
			if err := sameBars(pick(got.bars, false), pick(before.bars, false)); err != nil {
				t.Fatalf("seed %d: the rest: %v", seed, err)
			}
		}
		// The undo is undone.
		h.now += series.Minute
		if _, err := h.s.Undo(ctx, storage.JournalOptions{From: h.now - series.Minute, Actor: "me"}); err != nil {
			t.Fatal(err)
		}
		again := h.look()
		if err := sameBars(again.bars, after.bars); err != nil {
			t.Fatalf("seed %d: undone twice: %v", seed, err)
		}
		rep, err := h.s.Verify(ctx, storage.VerifyOptions{})
		if err != nil || !rep.OK() {
			t.Fatalf("seed %d: verify: %+v, %v", seed, rep, err)
		}
	}
}

// TestCausal makes random changes, some of them repairs that know more than the
// bars they change could, and leaves out in a second store what a repair did to
// bars that ended before its knowledge: the first, asked causally, answers as
// the second.
func TestCausal(t *testing.T) {
	ctx := context.Background()
	g := series.Grid{Interval: btc.Interval}
	for seed := range *pasts {
		h, plain := newHistory(t, uint64(seed)+2000), newHistory(t, 0)
		both := func(f func(s *storage.Store, from series.Slot) error, noted series.Time) {
			t.Helper()
			h.now += series.Minute
			plain.now = h.now
			from := series.Slot(-1 << 40)
			if noted != 0 {
				from = g.SlotAt(noted)
			}
			for _, err := range []error{f(h.s, -1<<40), f(plain.s, from)} {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		forgot := false
		for n := range 40 {
			r, kind, price := h.run(), h.r.IntN(6), h.r.Uint64()
			if n == 0 {
				r.From = g.SlotAt(t0)
			}
			// What changes nothing leaves no trace: a second deletion would be lost
			// on the store that forgets the first.
			if n == 20 {
				kind = 3
			} else if kind == 3 {
				kind = 4
			}
			note, until := storage.Note{}, series.Time(0)
			if n > 0 && h.r.IntN(2) == 0 {
				note.Repair = fmt.Sprint("r", n)
				until = h.now + series.Minute // not known: when it is made
				if h.r.IntN(3) > 0 {          // mostly in the middle of what it changes
					until = g.Time(r.From + series.Slot(h.r.IntN(int(r.Len())+1)))
					note.Until = until
				}
				forgot = true
			}
			ctx := storage.WithNote(ctx, note)
			both(func(s *storage.Store, from series.Slot) error {
				r := series.Run{From: max(r.From, from), To: r.To}
				if r.Empty() {
					return nil
				}
				switch {
				case kind < 3 || n == 0:
					c := &series.Columns{}
					for k := r.From; k < r.To; k++ { // the same bar in both, and never one that is there
						v := float64(n+1) + float64(price%1000)/1000
						c.Append(series.NewBar(g.Time(k), v, v, v, v, 1))
					}
					_, err := s.Write(ctx, btc, c, storage.WriteOptions{OnConflict: storage.Replace})
					return err
				case kind < 4:
					_, err := s.Delete(ctx, btc, g.Span(r))
					return err
				default:
					return s.Explain(ctx, btc, []series.Absence{{Run: r, State: series.StateNoTrade, Note: series.Note{Reason: fmt.Sprint(n)}}})
				}
			}, until)
		}
		if !forgot {
			t.Fatal("no repair: the test is about that")
		}
		p, err := h.s.AsOf(storage.PastOptions{Causal: true})
		if err != nil {
			t.Fatal(err)
		}
		var got []series.Bar
		for c, err := range p.Chunks(ctx, btc, h.span, storage.ReadOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.Time {
				got = append(got, c.Bar(i))
			}
		}
		want := plain.look()
		if err := sameBars(got, want.bars); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if states, gaps := askAll(t, p, h.span); states != want.states || gaps != want.gaps {
			t.Fatalf("seed %d:\n%v\nwant\n%v\n%s\nwant\n%s", seed, states, want.states, gaps, want.gaps)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
