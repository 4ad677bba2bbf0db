package heal_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/heal/healtest"
	"github.com/barkeepdb/barkeep/series"
)

var liarSeeds = flag.Int("liarseeds", 4, "how many damaged series are corrected beside each liar")

// TestCorrectLiars corrects bars of every kind of damage while one of three
// sources lies, about all bars or about those that are wrong only: what is
// written is the truth, and nothing that was sound is touched.
func TestCorrectLiars(t *testing.T) {
	ctx := context.Background()
	var written, left int64
	for seed := range *liarSeeds {
		r := rand.New(rand.NewPCG(uint64(seed), 16))
		truth := history(r, 6000, 1)
		bad := healtest.Clone(truth)
		wrong := map[series.Time]bool{}
		for _, f := range healtest.Faults() {
			switch f.Rule {
			case "scale", "ohlc", "negative_volume", "sign", "non_finite", "wick", "detached", "swapped_columns":
				c, more := healtest.Apply(r, bad, f, 3)
				for _, i := range more {
					wrong[c.Time[i]] = true
				}
				bad = c
			}
		}
		multiply(bad, 5000, 5200, 100, 1) // and a stretch
		for i := 5000; i < 5200; i++ {
			wrong[bad.Time[i]] = true
		}
		all := map[string]func(series.Key, *series.Columns){
			"a little off where it is wrong": func(_ series.Key, c *series.Columns) {
				for i, t := range c.Time {
					if wrong[t] {
						multiply(c, i, i+1, 1.002, 1)
					}
				}
			},
			"cuts": cut,
			"half where it is wrong": func(_ series.Key, c *series.Columns) {
				for i, t := range c.Time {
					if wrong[t] {
						multiply(c, i, i+1, 0.5, 2)
					}
				}
			},
		}
		maps.Copy(all, lies)
		for name, lie := range all {
			for at := range 3 {
				t.Run(fmt.Sprintf("%d/%s is source %d", seed, name, at+1), func(t *testing.T) {
					w := newWorld(t, heal.Policy{MaxShare: -1})
					w.venue.truth[btc] = truth
					w.venue.names = []string{"a", "b", "c"}
					w.venue.lies = make([]func(series.Key, *series.Columns), 3)
					w.venue.lies[at] = lie
					w.write(btc, bad)
					before := w.read(btc)
					x := w.repair(heal.Request{Symbol: btc.Symbol, Type: heal.Corruption})
					if x.Status != heal.Done {
						t.Fatal(x.Status, x.Error)
					}
					got := w.read(btc)
					is, was := byTimeOf(got), byTimeOf(before)
					for i, at := range truth.Time {
						want := truth.Bar(i)
						b, ok := is[at]
						switch {
						case ok && equal(b, want):
							if !equal(was[at], want) {
								written++
							}
						case ok && equal(b, was[at]), !ok && wrong[at]:
							left++
						default:
							t.Errorf("bar %d is %v: it was %v, and the truth is %v", i, b, was[at], want)
						}
					}
					if _, err := w.heal.Undo(ctx, x.ID, "test"); err != nil {
						t.Fatal(err)
					}
					back := w.read(btc)
					for i := range before.Time {
						if a, b := before.Bar(i), back.Bar(i); !equal(a, b) {
							t.Fatalf("taken back: bar %d is %v, want %v", i, b, a)
						}
					}
				})
			}
		}
	}
	t.Logf("%d wrong bars became true, %d stay or are set aside", written, left)
	if written == 0 || left > written/50 {
		t.Errorf("%d bars were corrected and %d were not", written, left)
	}
}

func byTimeOf(c *series.Columns) map[series.Time]series.Bar {
	m := map[series.Time]series.Bar{}
	for i, t := range c.Time {
		m[t] = c.Bar(i)
	}
	return m
}

// equal compares prices and volumes; what is not a number equals itself.
func equal(a, b series.Bar) bool {
	like := func(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) }
	return like(a.Open, b.Open) && like(a.High, b.High) && like(a.Low, b.Low) && like(a.Close, b.Close) && like(a.Volume, b.Volume)
}
