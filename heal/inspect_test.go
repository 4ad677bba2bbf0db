package heal_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/heal/healtest"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

var windows = flag.Int("windows", 200, "how many random windows are compared with the whole")

// inspect returns the bars that rules found, by rule.
func (w *world) inspect(key series.Key, o heal.InspectOptions) map[string][]series.Run {
	w.t.Helper()
	out := map[string][]series.Run{}
	g := series.Grid{Interval: key.Interval}
	if err := w.heal.Inspect(context.Background(), key, o, func(f heal.Finding) error {
		out[f.Rule] = series.Union(nil, out[f.Rule], []series.Run{g.Run(series.Span{From: f.From, To: f.To})})
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	return out
}

// scene is the series in which damage is done: minutes, or days where it shows
// in days only.
func scene(f healtest.Fault, minutes *series.Columns) (series.Key, *series.Columns) {
	if f.Daily() {
		return series.Key{Symbol: btc.Symbol, Interval: series.Interval1d}, healtest.Days(minutes)
	}
	return btc, minutes
}

// TestRules damages a quiet series in every way: each rule finds what is meant
// for it, and nothing in the series as it was.
func TestRules(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	truth := history(r, 12000, 1)
	w := newWorld(t, heal.Policy{})
	w.write(btc, truth)
	for rule, runs := range w.inspect(btc, heal.InspectOptions{}) {
		t.Errorf("%s finds %v in a sound series", rule, runs)
	}
	for _, f := range healtest.Faults() {
		t.Run(f.Name, func(t *testing.T) {
			key, truth := scene(f, truth)
			g := series.Grid{Interval: key.Interval}
			bad, changed := healtest.Apply(r, truth, f, 12)
			w := newWorld(t, heal.Policy{})
			w.write(key, bad)
			got := w.inspect(key, heal.InspectOptions{})
			want := map[series.Slot]bool{}
			hit := 0
			for _, i := range changed {
				n := g.SlotAt(bad.Time[i])
				want[n] = true
				if slices.ContainsFunc(got[f.Rule], func(r series.Run) bool { return r.Contains(n) }) {
					hit++
				}
			}
			extra := int64(0)
			for _, r := range got[f.Rule] {
				for n := r.From; n < r.To; n++ {
					if !want[n] {
						extra++
					}
				}
			}
			least := 0.95
			if f.Rule == "split" {
				least = 0.75 // the volume confirms it, and medians of nine are noisy
			}
			if len(changed) == 0 || float64(hit) < least*float64(len(changed)) || extra > int64(len(changed))/20 {
				t.Errorf("%s finds %d of %d bars, and %d others; all: %v", f.Rule, hit, len(changed), extra, got)
			}
		})
	}
}

// TestWindows inspects random spans of a damaged series: each says of its bars
// what the whole says of them.
func TestWindows(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 10))
	c := history(r, 15000, 0.98)
	for _, f := range healtest.Faults() {
		c, _ = healtest.Apply(r, c, f, 2)
	}
	w := newWorld(t, heal.Policy{})
	w.write(btc, c)
	whole := w.inspect(btc, heal.InspectOptions{})
	if len(whole) < 8 {
		t.Fatalf("only %d rules find something", len(whole))
	}
	for range *windows {
		from := c.Time[r.IntN(c.Len())]
		span := series.Span{From: from, To: from + series.Time(1+r.IntN(3000))*series.Minute}
		run := []series.Run{series.Grid{Interval: btc.Interval}.Run(span)}
		got := w.inspect(btc, heal.InspectOptions{Span: span})
		for _, rule := range heal.Rules() {
			a, b := series.Intersect(nil, whole[rule.ID], run), series.Intersect(nil, got[rule.ID], run)
			if fmt.Sprint(a) != fmt.Sprint(b) {
				t.Fatalf("%v: %s finds %v, in the whole %v", span, rule.ID, b, a)
			}
		}
	}
}

// BenchmarkInspect runs all rules over a year of minutes.
func BenchmarkInspect(b *testing.B) {
	clk := &clock{now: t0 + 366*series.Day}
	w := benchWorld(b, clk)
	year := history(rand.New(rand.NewPCG(1, 1)), 366*1440, 0.999)
	w.write(btc, year)
	for b.Loop() {
		if err := w.heal.Inspect(context.Background(), btc, heal.InspectOptions{}, func(heal.Finding) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(year.Len())*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mbars/s")
}

// TestCorrect damages a series, and has a truthful source, a liar and nobody as
// witnesses: the truth comes back, or what cannot be true is set aside; nothing
// else changes, and an undo brings back what was there.
func TestCorrect(t *testing.T) {
	ctx := context.Background()
	r := rand.New(rand.NewPCG(11, 11))
	truth := history(r, 6000, 1)
	for _, name := range []string{"honest", "liar first", "nobody"} {
		t.Run(name, func(t *testing.T) {
			bad := truth
			var changed []int
			for _, f := range healtest.Faults() {
				switch f.Rule {
				case "scale", "ohlc", "negative_volume", "sign":
					var more []int
					bad, more = healtest.Apply(r, bad, f, 3)
					changed = append(changed, more...)
				}
			}
			w := newWorld(t, heal.Policy{})
			w.venue.truth[btc] = truth
			switch name {
			case "liar first":
				w.venue.names = []string{"liar", "venue"}
				w.venue.lies = []func(series.Key, *series.Columns){func(_ series.Key, c *series.Columns) {
					for i := range c.Time {
						c.Close[i] *= 1.002
					}
				}, nil}
			case "nobody":
				w.venue.down = true
			}
			w.write(btc, bad)
			before := w.read(btc)
			x := w.repair(heal.Request{Symbol: btc.Symbol, Type: heal.Corruption})
			if x.Status != heal.Done {
				t.Fatal(x.Status, x.Error)
			}
			got := w.read(btc)
			if name == "nobody" {
				if x.Written != 0 || got.Len() > bad.Len() {
					t.Fatalf("%d bars written, %v", x.Written, x.States)
				}
			} else if err := same(got, truth); err != nil {
				t.Fatalf("%v; of %d changed bars: %v", err, len(changed), x.States)
			}
			if _, err := w.heal.Undo(ctx, x.ID, "test"); err != nil {
				t.Fatal(err)
			}
			if err := same(w.read(btc), before); err != nil {
				t.Fatalf("taken back: %v", err)
			}
		})
	}
}

func (w *world) read(key series.Key) *series.Columns {
	w.t.Helper()
	got := &series.Columns{}
	if err := w.store.Read(context.Background(), key, series.Span{}, storage.ReadOptions{}, got); err != nil {
		w.t.Fatal(err)
	}
	return got
}
