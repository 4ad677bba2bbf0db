package heal_test

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
)

// coarse is bars of an hour made of those of a minute.
func coarse(t *testing.T, fine *series.Columns) *series.Columns {
	t.Helper()
	out := &series.Columns{}
	if _, err := series.Resample(out, fine, series.Grid{Interval: series.Interval1m}, series.Grid{Interval: series.Interval1h}, series.Always()); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSparse has a pair of which a tenth of the minutes trade: after one audit
// against bars of an hour no minute counts as missing, and none was asked for.
func TestSparse(t *testing.T) {
	w := newWorld(t, heal.Policy{MaxShare: -1, MaxBars: -1})
	truth := history(rand.New(rand.NewPCG(1, 1)), 48*60, 0.1)
	w.venue.truth[btc] = truth
	hour := series.Key{Symbol: btc.Symbol, Interval: series.Interval1h}
	w.venue.truth[hour] = coarse(t, truth)
	w.venue.more = []series.Interval{series.Interval1h}
	w.venue.page = 100
	w.write(btc, truth)
	x := w.repair(heal.Request{Symbol: btc.Symbol, To: t0 + 2*series.Day})
	st := w.states(btc, series.Span{From: t0, To: t0 + 2*series.Day})
	if x.Status != heal.Done || len(w.venue.asked) != 1 || st[series.StateNoTrade] != 48*60-int64(truth.Len()) || st[series.StateMissing] != 0 {
		t.Fatalf("%s after %d questions: %v", x.Status, len(w.venue.asked), st)
	}
}

// TestConservation loses real minutes: a stored coarser bar proves the hours
// that are whole and refuses the others.
func TestConservation(t *testing.T) {
	w := newWorld(t, heal.Policy{MaxShare: -1, Strategy: heal.SourcesOnly})
	w.venue.down = true
	r := rand.New(rand.NewPCG(2, 2))
	truth := history(r, 48*60, 0.5)
	hour := series.Key{Symbol: btc.Symbol, Interval: series.Interval1h}
	w.write(hour, coarse(t, truth))
	left, lost := &series.Columns{}, map[series.Time]bool{}
	for i, at := range truth.Time {
		if i > 0 && i < truth.Len()-1 && r.IntN(60) == 0 {
			lost[at/series.Hour*series.Hour] = true
			continue
		}
		left.Append(truth.Bar(i))
	}
	w.write(btc, left)
	w.repair(heal.Request{Symbol: btc.Symbol, Interval: btc.Interval, To: t0 + 2*series.Day})
	sc, err := w.store.Gaps(context.Background(), btc, series.Span{From: t0, To: t0 + 2*series.Day})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range sc.Gaps {
		for n := g.From; n < g.To; n++ {
			at := sc.Grid.Time(n)
			if proven := g.State == series.StateNoTrade; proven == lost[at/series.Hour*series.Hour] {
				t.Fatalf("%v is %v, and bars of its hour were lost: %v", at, g.State, lost[at/series.Hour*series.Hour])
			}
		}
	}
}

// TestOutage loses the same stretch of two series of a venue: an outage. One
// series alone, a series that trades meanwhile, or a coarser bar with trades
// inside of it say otherwise.
func TestOutage(t *testing.T) {
	eth := series.Key{Symbol: "ETH-USD", Interval: series.Interval1m}
	hole := series.Span{From: t0 + 300*series.Minute, To: t0 + 420*series.Minute}
	for name, c := range map[string]struct {
		peer, trades, coarser bool
		want                  series.State
	}{
		"shared":           {peer: true, want: series.StateOutage},
		"alone":            {want: series.StateMissing},
		"another trades":   {peer: true, trades: true, want: series.StateMissing},
		"the hours traded": {peer: true, coarser: true, want: series.StateMissing},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, heal.Policy{MaxShare: -1, Strategy: heal.SourcesOnly})
			w.venue.down = true
			r := rand.New(rand.NewPCG(4, 4))
			put := func(key series.Key, whole bool) {
				all := history(r, 1000, 1)
				left := &series.Columns{}
				for i, at := range all.Time {
					if whole || !hole.Contains(at) {
						left.Append(all.Bar(i))
					}
				}
				w.write(key, left)
				if c.coarser && key == eth {
					w.write(series.Key{Symbol: eth.Symbol, Interval: series.Interval1h}, coarse(t, all))
				}
			}
			put(btc, false)
			if c.peer {
				put(eth, false)
			}
			if c.trades {
				put(series.Key{Symbol: "LTC-USD", Interval: series.Interval1m}, true)
			}
			w.repair(heal.Request{Symbol: btc.Symbol, To: t0 + 1000*series.Minute})
			st := w.states(btc, hole)
			if st[c.want] != 120 {
				t.Fatalf("the hole is %v", st)
			}
		})
	}
}

// TestPattern names a collector that kept a page and skipped four.
func TestPattern(t *testing.T) {
	w := newWorld(t, heal.Policy{MaxShare: -1, MaxBars: -1, Strategy: heal.SourcesOnly})
	w.venue.down = true
	all := history(rand.New(rand.NewPCG(5, 5)), 12012, 1)
	left := &series.Columns{}
	for i := range all.Time {
		if i%1001 < 200 {
			left.Append(all.Bar(i))
		}
	}
	w.write(btc, left)
	w.repair(heal.Request{Symbol: btc.Symbol, To: t0 + 11211*series.Minute})
	sc, err := w.store.Gaps(context.Background(), btc, series.Span{})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range sc.Gaps {
		if why := sc.Note(g).Reason; g.State != series.StateMissing || g.Len() != 801 || !strings.Contains(why, "nobody") && !strings.Contains(why, "kept 200 bars and skipped 801") {
			t.Fatalf("%v: %s", g, why)
		}
	}
}

// TestStrategies leaves what nobody has: small and medium holes are filled as
// the strategy says, give way to real bars, and vanish with an undo.
func TestStrategies(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		strategy heal.Strategy
		asks     bool
		fills    [3]string // of holes of 2, 20 and 60 bars
	}{
		{heal.SourcesFirst, true, [3]string{"prev", "linear", ""}},
		{heal.BySize, true, [3]string{"prev", "linear", ""}},
		{heal.SourcesOnly, true, [3]string{}},
	} {
		t.Run(string(c.strategy), func(t *testing.T) {
			w := newWorld(t, heal.Policy{Strategy: c.strategy, MaxShare: -1})
			truth := history(rand.New(rand.NewPCG(6, 6)), 600, 1)
			holes := []series.Run{{From: 100, To: 102}, {From: 200, To: 220}, {From: 300, To: 360}}
			left := &series.Columns{}
			for i := range truth.Time {
				gone := false
				for _, h := range holes {
					gone = gone || h.Contains(series.Slot(i))
				}
				if !gone {
					left.Append(truth.Bar(i))
				}
			}
			w.venue.truth[btc] = left // nobody has them
			w.write(btc, left)
			x := w.repair(heal.Request{Symbol: btc.Symbol, To: t0 + 600*series.Minute})
			sc, err := w.store.Gaps(ctx, btc, series.Span{})
			if err != nil || len(sc.Gaps) != 3 {
				t.Fatal(sc.Gaps, err)
			}
			for i, g := range sc.Gaps {
				if got := sc.Note(g).Fill; got != c.fills[i] {
					t.Errorf("hole %d is filled with %q, want %q", i, got, c.fills[i])
				}
			}
			if c.fills[0] == "" {
				return
			}
			// A real bar wins by itself.
			late := &series.Columns{}
			late.Append(truth.Bar(100))
			w.write(btc, late)
			if st := w.states(btc, series.Span{}); st[series.StateSynthetic] != 21 {
				t.Errorf("after a real bar: %v", st)
			}
			if _, err := w.heal.Undo(ctx, x.ID, "test"); err != nil {
				t.Fatal(err)
			}
			if st := w.states(btc, series.Span{}); st[series.StateSynthetic] != 0 || st[series.StateMissing] != 81 {
				t.Errorf("after the undo: %v", st)
			}
		})
	}
}

// TestQuality rates what is known, and says nothing of what is not.
func TestQuality(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, heal.Policy{})
	truth := history(rand.New(rand.NewPCG(7, 7)), 2*1440, 1)
	left := &series.Columns{}
	for i := range truth.Time {
		if i < 1440 || i >= 1440+144 {
			left.Append(truth.Bar(i))
		}
	}
	w.write(btc, left)
	w.clock.now = t0 + 2*series.Day
	q, err := w.heal.Quality(ctx, btc)
	if err != nil {
		t.Fatal(err)
	}
	close := func(name string, got *float64, want float64) {
		t.Helper()
		if got == nil || math.Abs(*got-want) > 1e-12 {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	close("completeness", q.Parts.Completeness, 0.95)
	close("validity", q.Parts.Validity, 1)
	close("freshness", q.Parts.Freshness, 1)
	close("score", q.Score, (0.5*0.95+0.25+0.1)/0.85)
	if q.Parts.Consistency != nil {
		t.Errorf("consistency is %v", *q.Parts.Consistency)
	}
	if q.Worst == nil || math.Abs(q.Worst.Score-0.9) > 1e-12 || q.Worst.From != t0+series.Day {
		t.Errorf("the worst day is %+v", q.Worst)
	}
	w.clock.now += series.Day/2 + 2*series.Minute
	if q, err = w.heal.Quality(ctx, btc); err != nil {
		t.Fatal(err)
	}
	close("freshness half a day later", q.Parts.Freshness, 0.5)
	if err := w.heal.KeepScores(ctx); err != nil {
		t.Fatal(err)
	}
	if err := w.heal.KeepScores(ctx); err != nil {
		t.Fatal(err)
	}
	if hist, err := w.heal.History(ctx, btc); err != nil || len(hist) != 1 || hist[0].Score != *q.Score {
		t.Errorf("history is %v, %v", hist, err)
	}
}
