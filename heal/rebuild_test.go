package heal_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/heal/healtest"
	"github.com/barkeepdb/barkeep/series"
)

// TestRebuilt has nobody to ask, and the bars of a minute: bars of an hour that
// cannot be true are made of them anew, where they agree with the hours around.
func TestRebuilt(t *testing.T) {
	hour := series.Key{Symbol: btc.Symbol, Interval: series.Interval1h}
	for name, c := range map[string]struct {
		minutes func(*series.Columns) // what is stored of them
		mended  bool
	}{
		"as they are":     {func(*series.Columns) {}, true},
		"in another unit": {func(c *series.Columns) { multiply(c, 0, c.Len(), 0.01, 1) }, true},
		"of something else": {func(c *series.Columns) {
			for i := range c.Time {
				multiply(c, i, i+1, 1+0.01*float64(i/60%7), 1)
			}
		}, false},
		"with a hole": {func(c *series.Columns) {
			var some series.Columns
			for i := range c.Time {
				if m := c.Time[i] / series.Minute % 60; m != 30 {
					some.Append(c.Bar(i))
				}
			}
			*c = some
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(8, 8))
			truth := history(r, 2000*60, 1)
			hours := coarse(t, truth)
			bad := hours
			var changed []int
			for _, f := range healtest.Faults() {
				if f.Rule == "scale" || f.Rule == "ohlc" {
					var more []int
					bad, more = healtest.Apply(r, bad, f, 2)
					changed = append(changed, more...)
				}
			}
			w := newWorld(t, heal.Policy{MaxShare: -1})
			w.venue.down = true
			w.write(hour, bad)
			minutes := &series.Columns{}
			for i := range truth.Time {
				minutes.Append(truth.Bar(i))
			}
			c.minutes(minutes)
			w.write(btc, minutes)
			before := w.read(hour)
			x := w.repair(heal.Request{Symbol: btc.Symbol, Interval: series.Interval1h, Type: heal.Corruption})
			if x.Status != heal.Done {
				t.Fatal(x.Status, x.Error)
			}
			if c.mended != (x.Written >= 4) || !c.mended && x.Written > 0 {
				t.Errorf("%d bars were made of minutes, of %d that are wrong: %v", x.Written, len(changed), x.States)
			}
			got := w.read(hour)
			for i := range got.Time {
				if b, was := got.Bar(i), before.Bar(i); b.Prov != was.Prov {
					if want := hours.Bar(i); !alike(b, want) || b.Prov.Kind() != series.Corrected {
						t.Errorf("bar %d is %+v, want %+v", i, b, want)
					}
				}
			}
			if _, err := w.heal.Undo(t.Context(), x.ID, "test"); err != nil {
				t.Fatal(err)
			}
			if err := same(w.read(hour), before); err != nil {
				t.Errorf("taken back: %v", err)
			}
		})
	}
}

// alike reports whether prices are the same but for their last digits.
func alike(a, b series.Bar) bool {
	for _, p := range [...][2]float64{{a.Open, b.Open}, {a.High, b.High}, {a.Low, b.Low}, {a.Close, b.Close}} {
		if math.Abs(p[0]-p[1]) > 1e-9*math.Abs(p[1]) {
			return false
		}
	}
	return true
}

// TestConserved has nobody to ask, and the bars of an hour: bars of a minute in
// another unit leave them, and are set aside.
func TestConserved(t *testing.T) {
	hour := series.Key{Symbol: btc.Symbol, Interval: series.Interval1h}
	for _, with := range []bool{true, false} {
		r := rand.New(rand.NewPCG(9, 9))
		truth := history(r, 100*60, 1)
		bad, changed := truth, map[series.Time]bool{}
		for _, f := range healtest.Faults() {
			if f.Rule == "scale" {
				var more []int
				bad, more = healtest.Apply(r, bad, f, 3)
				for _, i := range more {
					changed[bad.Time[i]] = true
				}
			}
		}
		w := newWorld(t, heal.Policy{MaxShare: -1})
		w.venue.down = true
		w.write(btc, bad)
		if with {
			w.write(hour, coarse(t, truth))
		}
		x := w.repair(heal.Request{Symbol: btc.Symbol, Interval: series.Interval1m, Type: heal.Corruption})
		if x.Status != heal.Done {
			t.Fatal(x.Status, x.Error)
		}
		got, aside := w.read(btc), 0
		left := map[series.Time]bool{}
		for _, at := range got.Time {
			left[at] = true
		}
		for _, at := range bad.Time {
			if !left[at] {
				aside++
				if !changed[at] {
					t.Errorf("the sound bar of %s is set aside", at)
				}
			}
		}
		// The first and the last hour are not whole.
		if with && aside < len(changed)-2 || !with && aside > 0 {
			t.Errorf("hours are stored: %v; %d of %d bars are set aside: %v", with, aside, len(changed), x.States)
		}
	}
}
