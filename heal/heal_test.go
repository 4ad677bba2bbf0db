package heal_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/heal/healstore"
	"github.com/barkeepdb/barkeep/heal/healtest"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

var seeds = flag.Int("seeds", 150, "how many random histories are healed")

const t0 series.Time = 1704067200000 // 2024-01-01

var btc = series.Key{Symbol: "BTC-USD", Interval: series.Interval1m}

// clock is a clock that is set by hand.
type clock struct{ now series.Time }

func (c *clock) time() series.Time { return c.now }

// world is a venue that knows the truth, and a store that does not.
type world struct {
	t     testing.TB
	clock *clock
	store *storage.Store
	heal  *heal.Healer
	venue *venue
}

// venue is a source with every bar that was ever traded.
type venue struct {
	truth map[series.Key]*series.Columns
	lies  []func(key series.Key, c *series.Columns) // one for each source; nil tells the truth
	names []string
	page  int64
	asked []series.Span
	down  bool
	more  []series.Interval
	end   func()
}

func (v *venue) Reach(context.Context, series.Key) (heal.Reach, error) {
	return heal.Reach{Page: v.page, Sources: v.names, Every: time.Millisecond, Coarser: v.more}, nil
}

func (v *venue) Fetch(ctx context.Context, key series.Key, span series.Span, avoid []string, give func(heal.Answer) error) (heal.Outcome, error) {
	v.asked = append(v.asked, span)
	if v.end != nil {
		v.end()
	}
	out := heal.Outcome{Requests: 1}
	for i, name := range v.names {
		if slices.Contains(avoid, name) {
			continue
		}
		if v.down {
			break
		}
		truth := v.truth[key]
		lo, _ := slices.BinarySearch(truth.Time, span.From)
		hi, _ := slices.BinarySearch(truth.Time, span.To)
		c := &series.Columns{}
		for k := lo; k < hi; k++ {
			c.Append(truth.Bar(k))
		}
		if v.lies != nil && v.lies[i] != nil {
			v.lies[i](key, c)
		}
		g := series.Grid{Interval: key.Interval}
		var have []series.Run
		for _, t := range c.Time {
			have = series.Join(have, series.Run{From: g.SlotAt(t), To: g.SlotAt(t) + 1})
		}
		for _, r := range series.Subtract(nil, []series.Run{g.Run(span)}, have) {
			if len(have) > 0 && r.From > have[0].From && r.To <= have[len(have)-1].To {
				out.Empty = append(out.Empty, g.Span(r))
			} else {
				out.Silent = append(out.Silent, g.Span(r))
			}
		}
		if c.Len() == 0 {
			return out, nil
		}
		return out, give(heal.Answer{Bars: c, Source: name, Digest: "x"})
	}
	out.Unanswered, out.Why = []series.Span{span}, "nobody is there"
	return out, nil
}

func newWorld(t *testing.T, pol heal.Policy) *world {
	t.Helper()
	return worldAt(t, &clock{now: t0 + 30*series.Day}, pol)
}

func benchWorld(b *testing.B, clk *clock) *world {
	b.Helper()
	return worldAt(b, clk, heal.Policy{})
}

func worldAt(t testing.TB, clk *clock, pol heal.Policy) *world {
	t.Helper()
	w := &world{t: t, clock: clk, venue: &venue{truth: map[series.Key]*series.Columns{}, names: []string{"venue"}, page: 1000}}
	s, err := storage.Open("store", storage.Options{FS: vfs.NewMem(), Now: w.clock.time})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w.store = s
	w.begin(pol)
	return w
}

// begin makes a new healer, as after a restart.
func (w *world) begin(pol heal.Policy) {
	w.t.Helper()
	h, err := heal.New(heal.Options{Store: healstore.New(w.store), Source: w.venue, Policy: pol, Now: w.clock.time})
	if err != nil {
		w.t.Fatal(err)
	}
	w.heal = h
}

// repair carries a repair out and returns it.
func (w *world) repair(r heal.Request) heal.Repair {
	w.t.Helper()
	ctx := context.Background()
	x, err := w.heal.Start(ctx, r)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.heal.Work(ctx); err != nil {
		w.t.Fatal(err)
	}
	x, err = w.heal.Repair(ctx, x.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return x
}

func (w *world) write(key series.Key, c *series.Columns) {
	w.t.Helper()
	if _, err := w.store.Write(context.Background(), key, c, storage.WriteOptions{Source: "venue"}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) states(key series.Key, span series.Span) [series.NumStates]int64 {
	w.t.Helper()
	c, err := w.store.Coverage(context.Background(), key, span)
	if err != nil {
		w.t.Fatal(err)
	}
	var sum int64
	for _, n := range c.States {
		sum += n
	}
	if sum != c.Run.Len() {
		w.t.Fatalf("the states sum to %d of %d slots", sum, c.Run.Len())
	}
	return c.States
}

// history is n minutes of which a share trades.
func history(r *rand.Rand, n int, share float64) *series.Columns {
	return healtest.Walk(r, t0, n, share)
}

// damage returns what is left of c after random holes, and their number.
func damage(r *rand.Rand, c *series.Columns, holes int) *series.Columns {
	gone := make([]bool, c.Len())
	for range holes {
		at := 1 + r.IntN(c.Len()-2)
		for i := at; i < min(at+1+r.IntN(40), c.Len()-1); i++ {
			gone[i] = true
		}
	}
	out := &series.Columns{}
	for i := range gone {
		if !gone[i] {
			out.Append(c.Bar(i))
		}
	}
	return out
}

func same(a, b *series.Columns) error {
	if a.Len() != b.Len() {
		return fmt.Errorf("%d bars, want %d", a.Len(), b.Len())
	}
	for i := range a.Time {
		x, y := a.Bar(i), b.Bar(i)
		if x.Time != y.Time || x.Open != y.Open || x.High != y.High || x.Low != y.Low || x.Close != y.Close || x.Volume != y.Volume {
			return fmt.Errorf("bar %d is %+v, want %+v", i, x, y)
		}
	}
	return nil
}

// TestHealing heals random histories with truthful sources: what was there
// comes back, what never traded is known not to have, a second run changes
// nothing, and what a dry run says is what is done.
func TestHealing(t *testing.T) {
	ctx := context.Background()
	for seed := range *seeds {
		r := rand.New(rand.NewPCG(uint64(seed), 7))
		w := newWorld(t, heal.Policy{Strategy: heal.SourcesOnly, MaxShare: -1})
		w.venue.page = int64(20 + r.IntN(1000))
		share := []float64{1, 0.97, 0.5}[r.IntN(3)]
		truth := history(r, 1500+r.IntN(1500), share)
		w.venue.truth[btc] = truth
		left := damage(r, truth, 1+r.IntN(12))
		// Out of order, and some of it twice.
		for _, part := range [][2]int{{left.Len() / 2, left.Len()}, {0, left.Len() * 2 / 3}} {
			c := &series.Columns{}
			for i := part[0]; i < part[1]; i++ {
				c.Append(left.Bar(i))
			}
			w.write(btc, c)
		}
		req := heal.Request{Symbol: btc.Symbol}
		span := series.Span{From: truth.Time[0], To: truth.Time[truth.Len()-1] + series.Minute}
		req.To = span.To
		plan, err := w.heal.Plan(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		x := w.repair(req)
		if x.Status != heal.Done {
			t.Fatalf("seed %d: %s: %s", seed, x.Status, x.Error)
		}
		for i, s := range plan.Series {
			for k, win := range s.Windows {
				asked := w.venue.asked[k]
				if i > 0 || asked.From > win.From || asked.To < win.To || asked.To-asked.From > win.To-win.From+8*series.Minute {
					t.Fatalf("seed %d: %v was asked, planned %v to %v", seed, asked, win.From, win.To)
				}
			}
			if len(s.Windows) != len(w.venue.asked) {
				t.Fatalf("seed %d: %d questions, %d planned", seed, len(w.venue.asked), len(s.Windows))
			}
		}
		var got series.Columns
		if err := w.store.Read(ctx, btc, series.Span{}, storage.ReadOptions{}, &got); err != nil {
			t.Fatal(err)
		}
		if err := same(&got, truth); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		st := w.states(btc, span)
		if never := span.To - span.From; st[series.StateMissing] != 0 || st[series.StateNoTrade] != 0 ||
			st[series.StateUnavailable] != int64(never/series.Minute)-int64(truth.Len()) {
			t.Fatalf("seed %d: after the first observation: %v", seed, st)
		}
		asked := len(w.venue.asked)
		if x := w.repair(req); x.Written != 0 || len(w.venue.asked) != asked {
			t.Fatalf("seed %d: the second run asked again", seed)
		}
		// The second observation, an hour later.
		w.clock.now += 61 * series.Minute
		if x := w.repair(req); x.Written != 0 {
			t.Fatalf("seed %d: %d bars written", seed, x.Written)
		}
		if st := w.states(btc, span); st[series.StateUnavailable] != 0 || st[series.StateMissing] != 0 {
			t.Fatalf("seed %d: after the second observation: %v", seed, st)
		}
	}
}

// TestLiars has one of three sources lie in every way that is known: no bar of
// it is written.
func TestLiars(t *testing.T) {
	scale := func(f float64) func(series.Key, *series.Columns) {
		return func(_ series.Key, c *series.Columns) {
			for i := range c.Time {
				c.Open[i], c.High[i], c.Low[i], c.Close[i] = c.Open[i]*f, c.High[i]*f, c.Low[i]*f, c.Close[i]*f
			}
		}
	}
	for name, lie := range map[string]func(series.Key, *series.Columns){
		"a thousandth off": scale(1.001),
		"a hundredth off":  scale(0.99),
		"a tenth off":      scale(1.1),
		"twofold":          scale(2),
		"a hundredfold":    scale(100),
		"in cents":         scale(0.01),
		"one bar late": func(_ series.Key, c *series.Columns) {
			for i := range c.Time {
				c.Time[i] += series.Minute
			}
		},
		"one bar early": func(_ series.Key, c *series.Columns) {
			for i := range c.Time {
				c.Time[i] -= series.Minute
			}
		},
		"another walk from the same price": func(_ series.Key, c *series.Columns) {
			if c.Len() == 0 {
				return
			}
			w := healtest.Walk(rand.New(rand.NewPCG(77, 77)), t0, c.Len(), 1)
			f := c.Open[0] / w.Open[0]
			for i := range c.Time {
				c.Open[i], c.High[i], c.Low[i], c.Close[i] = w.Open[i]*f, w.High[i]*f, w.Low[i]*f, w.Close[i]*f
			}
		},
		"another symbol": func(_ series.Key, c *series.Columns) {
			for i := range c.Time {
				c.Open[i], c.High[i], c.Low[i], c.Close[i] = 7, 7.5, 6.5, 7.1
			}
		},
		"made up": func(_ series.Key, c *series.Columns) {
			for i := range c.Time {
				p := c.Close[0]
				c.Open[i], c.High[i], c.Low[i], c.Close[i], c.Volume[i] = p, p, p, p, 0
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range 20 {
				r := rand.New(rand.NewPCG(uint64(seed), 3))
				w := newWorld(t, heal.Policy{Strategy: heal.SourcesOnly, MaxShare: -1})
				w.venue.names = []string{"liar", "a", "b"}
				w.venue.lies = []func(series.Key, *series.Columns){lie, nil, nil}
				truth := history(r, 1000, 1)
				w.venue.truth[btc] = truth
				w.write(btc, damage(r, truth, 4))
				x := w.repair(heal.Request{Symbol: btc.Symbol, To: truth.Time[truth.Len()-1] + 1})
				if x.Status != heal.Done || x.Written == 0 {
					t.Fatalf("seed %d: %s, %d bars: %s", seed, x.Status, x.Written, x.Error)
				}
				var got series.Columns
				if err := w.store.Read(context.Background(), btc, series.Span{}, storage.ReadOptions{}, &got); err != nil {
					t.Fatal(err)
				}
				if err := same(&got, truth); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}

// TestLimits asks for more than a run may change: nothing is written.
func TestLimits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for name, c := range map[string]struct {
		pol heal.Policy
		req heal.Request
		ok  bool
	}{
		"share":          {},
		"bars":           {pol: heal.Policy{MaxShare: -1, MaxBars: 199}},
		"raised":         {req: heal.Request{MaxShare: 1}, ok: true},
		"not raised":     {req: heal.Request{MaxShare: 0.01}},
		"filling counts": {req: heal.Request{Type: heal.ForwardFill}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.pol)
			truth := history(r, 3000, 1)
			w.venue.truth[btc] = truth
			left := &series.Columns{}
			for i := range truth.Time {
				if i < 1000 || i >= 1200 {
					left.Append(truth.Bar(i))
				}
			}
			w.write(btc, left)
			before := w.store.Stats().Root
			c.req.Symbol, c.req.To = btc.Symbol, truth.Time[2999]+series.Minute
			x := w.repair(c.req)
			if c.ok {
				if x.Status != heal.Done || x.Written != 200 {
					t.Fatalf("%s, %d bars: %s", x.Status, x.Written, x.Error)
				}
				return
			}
			if x.Status != heal.Refused || x.Error == "" || len(w.venue.asked) != 0 {
				t.Fatalf("%s: %s", x.Status, x.Error)
			}
			if st := w.states(btc, series.Span{}); st[series.StateMissing] != 200 || w.store.Stats().Root.Entries != before.Entries {
				t.Fatalf("something was changed: %v", st)
			}
		})
	}
}
