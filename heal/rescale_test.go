package heal_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/heal/healtest"
	"github.com/barkeepdb/barkeep/series"
)

// lies are ways in which a source is wrong about all bars.
var lies = map[string]func(series.Key, *series.Columns){
	"a thousandth off": func(_ series.Key, c *series.Columns) { multiply(c, 0, c.Len(), 1.001, 1) },
	"in cents":         func(_ series.Key, c *series.Columns) { multiply(c, 0, c.Len(), 100, 1) },
	"one bar late": func(key series.Key, c *series.Columns) {
		for i := range c.Time {
			c.Time[i] += key.Interval.Width()
		}
	},
	"another symbol": func(_ series.Key, c *series.Columns) {
		for i := range c.Time {
			f := 0.41 * (1 + 0.1*math.Sin(float64(c.Time[i]/series.Minute)))
			multiply(c, i, i+1, f, 2)
		}
	},
	"made up": func(_ series.Key, c *series.Columns) {
		for i := range c.Time {
			p := c.Close[0]
			c.Open[i], c.High[i], c.Low[i], c.Close[i], c.Volume[i] = p, p, p, p, 0
		}
	},
}

// multiply changes the level of bars [i, j).
func multiply(c *series.Columns, i, j int, price, volume float64) {
	for ; i < j; i++ {
		c.Open[i], c.High[i], c.Low[i], c.Close[i] = c.Open[i]*price, c.High[i]*price, c.Low[i]*price, c.Close[i]*price
		c.Volume[i] *= volume
	}
}

// stretches are ways in which runs of bars are on a wrong level.
var stretches = []struct {
	name   string
	days   bool
	damage func(c *series.Columns)
	want   [][3]float64 // bars from, to and the factor of the price that mends them
}{
	{"in cents in the middle", false, func(c *series.Columns) { multiply(c, 1000, 1300, 100, 1) }, [][3]float64{{1000, 1300, 0.01}}},
	{"in cents to the end", false, func(c *series.Columns) { multiply(c, 2700, c.Len(), 100, 1) }, [][3]float64{{2700, 3000, 0.01}}},
	{"a thousandth at the beginning", false, func(c *series.Columns) { multiply(c, 0, 200, 0.001, 1) }, [][3]float64{{0, 200, 1000}}},
	{"two bars", false, func(c *series.Columns) { multiply(c, 500, 502, 100, 1) }, [][3]float64{{500, 502, 0.01}}},
	{"both ends", false, func(c *series.Columns) { multiply(c, 0, 4, 0.01, 1); multiply(c, 2500, c.Len(), 0.01, 1) }, [][3]float64{{0, 4, 100}, {2500, 3000, 100}}},
	{"longer than what a rule sees", false, func(c *series.Columns) { multiply(c, 300, 2800, 100, 1) }, [][3]float64{{300, 2800, 0.01}}},
	{"before a split, not adjusted", true, func(c *series.Columns) { multiply(c, 0, 400, 4, 0.25) }, [][3]float64{{0, 400, 0.25}}},
	{"a reverse split twice, for a while", true, func(c *series.Columns) { multiply(c, 700, 900, 0.1, 10) }, [][3]float64{{700, 900, 10}}},
}

// TestStretches corrects runs of bars in another unit or on the wrong side of a
// split: two of three sources agree, and nothing but what they say is written,
// whatever the third one says and in whatever order they are asked. One source
// alone proposes; a person approves. An undo takes all of it back.
func TestStretches(t *testing.T) {
	ctx := context.Background()
	type witnesses struct {
		name    string
		lies    []func(series.Key, *series.Columns)
		approve bool
		write   bool // whether the sources are enough
	}
	all := []witnesses{
		{"one", []func(series.Key, *series.Columns){nil}, false, false},
		{"one approved", []func(series.Key, *series.Columns){nil}, true, true},
		{"two", []func(series.Key, *series.Columns){nil, nil}, false, true},
	}
	for name, lie := range lies {
		for at := range 3 {
			x := witnesses{fmt.Sprintf("%s is source %d of 3", name, at+1), make([]func(series.Key, *series.Columns), 3), false, true}
			x.lies[at] = lie
			all = append(all, x)
		}
	}
	all = append(all, witnesses{"a contradiction is not approved", []func(series.Key, *series.Columns){nil, lies["in cents"]}, true, false})
	for _, s := range stretches {
		r := rand.New(rand.NewPCG(13, 13))
		truth, key := history(r, 3000, 1), btc
		for i := range truth.Volume {
			truth.Volume[i] = 100 + float64(r.IntN(20)) // so that nine show what changes
		}
		if s.days {
			truth, key = healtest.Days(truth), series.Key{Symbol: btc.Symbol, Interval: series.Interval1d}
		}
		bad := healtest.Clone(truth)
		s.damage(bad)
		for _, x := range all {
			t.Run(s.name+"/"+x.name, func(t *testing.T) {
				w := newWorld(t, heal.Policy{MaxShare: -1})
				w.venue.truth[key] = truth
				w.venue.lies, w.venue.names = x.lies, []string{"a", "b", "c"}[:len(x.lies)]
				w.write(key, bad)
				before := w.read(key)
				w.proposes(key, before, s.want)
				rep := w.repair(heal.Request{Symbol: key.Symbol, Type: heal.Corruption, Approve: x.approve})
				if rep.Status != heal.Done {
					t.Fatal(rep.Status, rep.Error)
				}
				want := before
				// Who is on neither level is not believed at all, and contradicts nothing.
				if x.write || x.approve && s.want[0][2] != 0.01 {
					want = truth
				} else if rep.States["corrected"] != 0 || rep.States["proposed"]+rep.States["contradictory"] == 0 {
					t.Errorf("the repair says %v", rep.States)
				}
				if err := near(w.read(key), want); err != nil {
					t.Fatalf("%v: %v", err, rep.States)
				}
				if _, err := w.heal.Undo(ctx, rep.ID, "test"); err != nil {
					t.Fatal(err)
				}
				if err := same(w.read(key), before); err != nil {
					t.Fatalf("taken back: %v", err)
				}
			})
		}
	}
}

// proposes fails unless the findings name each of the stretches.
func (w *world) proposes(key series.Key, c *series.Columns, want [][3]float64) {
	w.t.Helper()
	g := series.Grid{Interval: key.Interval}
	for _, x := range want {
		from, to := c.Time[int(x[0])], g.Time(g.SlotAt(c.Time[int(x[1])-1])+1)
		found := false
		if err := w.heal.Inspect(context.Background(), key, heal.InspectOptions{}, func(f heal.Finding) error {
			for _, s := range f.Stretches {
				found = found || s.From == from && s.To == to && math.Abs(s.Price/x[2]-1) < 1e-9
			}
			return nil
		}); err != nil {
			w.t.Fatal(err)
		}
		if !found {
			w.t.Errorf("no finding names the bars from %v to %v and a factor of %v", from, to, x[2])
		}
	}
}

// near is same, but for the last digits of a volume that was multiplied.
func near(a, b *series.Columns) error {
	c := healtest.Clone(a)
	for i := range min(c.Len(), b.Len()) {
		if math.Abs(c.Volume[i]-b.Volume[i]) <= 1e-9*b.Volume[i] {
			c.Volume[i] = b.Volume[i]
		}
	}
	return same(c, b)
}

// TestStretchesAreTrue repairs series with true steps: sources say the same, and
// nothing changes.
func TestStretchesAreTrue(t *testing.T) {
	for _, s := range stretches {
		t.Run(s.name, func(t *testing.T) {
			truth, key := history(rand.New(rand.NewPCG(14, 14)), 3000, 1), btc
			for i := range truth.Volume {
				truth.Volume[i] = 100 + float64(i%20)
			}
			if s.days {
				truth, key = healtest.Days(truth), series.Key{Symbol: btc.Symbol, Interval: series.Interval1d}
			}
			s.damage(truth) // which is what took place
			w := newWorld(t, heal.Policy{MaxShare: -1})
			w.venue.truth[key] = truth
			w.venue.lies, w.venue.names = []func(series.Key, *series.Columns){lies["in cents"], nil, nil}, []string{"a", "b", "c"}
			w.write(key, truth)
			rep := w.repair(heal.Request{Symbol: key.Symbol, Type: heal.Corruption, Approve: true})
			if rep.Written != 0 || rep.States["confirmed"] == 0 {
				t.Errorf("%d bars written: %v", rep.Written, rep.States)
			}
			if err := same(w.read(key), truth); err != nil {
				t.Error(err)
			}
		})
	}
}
