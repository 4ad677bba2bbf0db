package heal_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

func times(f float64) func(series.Key, *series.Columns) {
	return func(_ series.Key, c *series.Columns) {
		for i := range c.Time {
			c.Open[i], c.High[i], c.Low[i], c.Close[i] = c.Open[i]*f, c.High[i]*f, c.Low[i]*f, c.Close[i]*f
		}
	}
}

// TestNoAnchor asks for bars far from any that is stored: two sources that agree
// are believed, one alone as well, and where all differ nothing is written.
func TestNoAnchor(t *testing.T) {
	for name, c := range map[string]struct {
		lies    []func(series.Key, *series.Columns)
		written int64
	}{
		"alone":                      {[]func(series.Key, *series.Columns){nil}, 500},
		"two that agree":             {[]func(series.Key, *series.Columns){nil, nil}, 500},
		"a liar, and two that agree": {[]func(series.Key, *series.Columns){times(1.001), nil, nil}, 500},
		"two liars that differ":      {[]func(series.Key, *series.Columns){times(1.001), times(100), nil}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, heal.Policy{Strategy: heal.SourcesOnly, MaxShare: -1})
			w.venue.names, w.venue.lies = []string{"x", "y", "z"}[:len(c.lies)], c.lies
			truth := history(rand.New(rand.NewPCG(4, 4)), 3000, 1)
			w.venue.truth[btc] = truth
			var ours series.Columns
			for i := range truth.Time {
				if i < 10 || i >= 2900 {
					ours.Append(truth.Bar(i))
				}
			}
			w.write(btc, &ours)
			x := w.repair(heal.Request{Symbol: btc.Symbol, From: truth.Time[1000], To: truth.Time[1500]})
			if x.Status != heal.Done || x.Written != c.written {
				t.Fatalf("%s, %d bars: %s", x.Status, x.Written, x.Error)
			}
			if c.written == 0 && !strings.Contains(strings.Join(x.Outcomes[0].Rejected, "; "), "no other source agrees") {
				t.Errorf("rejected: %q", x.Outcomes[0].Rejected)
			}
			var got series.Columns
			if err := w.store.Read(context.Background(), btc, series.Span{From: truth.Time[1000], To: truth.Time[1500]}, storage.ReadOptions{}, &got); err != nil {
				t.Fatal(err)
			}
			for i := range got.Time {
				if want := truth.Bar(1000 + i); got.Time[i] != want.Time || got.Close[i] != want.Close {
					t.Fatalf("bar %d is %+v, want %+v", i, got.Bar(i), want)
				}
			}
		})
	}
}

// TestQuietShift has a source whose bars are one late in a market that hardly
// moves: each lies within the tolerance of the bar before.
func TestQuietShift(t *testing.T) {
	for _, lag := range []int{1, -1, 2} {
		w := newWorld(t, heal.Policy{Strategy: heal.SourcesOnly, MaxShare: -1})
		w.venue.names = []string{"liar", "a"}
		w.venue.lies = []func(series.Key, *series.Columns){func(_ series.Key, c *series.Columns) {
			for i := range c.Time {
				c.Time[i] += series.Time(lag) * series.Minute
			}
		}, nil}
		truth := &series.Columns{}
		rnd := rand.New(rand.NewPCG(9, 9))
		price := 20_000
		for i := range 1000 {
			open := price
			price += rnd.IntN(7) - 3
			truth.Append(series.NewBar(t0+series.Time(i)*series.Minute, float64(open)/100, float64(max(open, price)+1)/100, float64(min(open, price)-1)/100, float64(price)/100, 5))
		}
		w.venue.truth[btc] = truth
		var ours series.Columns
		for i := range truth.Time {
			if i < 400 || i >= 600 {
				ours.Append(truth.Bar(i))
			}
		}
		w.write(btc, &ours)
		x := w.repair(heal.Request{Symbol: btc.Symbol, To: truth.Time[999] + 1})
		if x.Status != heal.Done || x.Written != 200 || len(x.Outcomes[0].Rejected) != 1 {
			t.Fatalf("%+d: %s, %d bars, rejected %q: %s", lag, x.Status, x.Written, x.Outcomes[0].Rejected, x.Error)
		}
		var got series.Columns
		if err := w.store.Read(context.Background(), btc, series.Span{}, storage.ReadOptions{}, &got); err != nil {
			t.Fatal(err)
		}
		if err := same(&got, truth); err != nil {
			t.Fatalf("%+d: %v", lag, err)
		}
	}
}

// TestStandstill has a source that revised a bar before a hole, a little,
// in a market in which nothing moves: it is believed.
func TestStandstill(t *testing.T) {
	w := newWorld(t, heal.Policy{Strategy: heal.SourcesOnly, MaxShare: -1})
	truth, ours := &series.Columns{}, &series.Columns{}
	for i := range 300 {
		b := series.NewBar(t0+series.Time(i)*series.Minute, 100, 100, 100, 100, 1)
		truth.Append(b)
		if i == 97 { // the first one that is asked for again is stored as it was said first
			b.Close, b.High = 100.01, 100.01
		}
		if i < 100 || i >= 200 {
			ours.Append(b)
		}
	}
	w.venue.truth[btc] = truth
	w.write(btc, ours)
	x := w.repair(heal.Request{Symbol: btc.Symbol, To: truth.Time[299] + 1})
	if x.Status != heal.Done || x.Written != 100 || len(x.Outcomes[0].Rejected) > 0 {
		t.Errorf("%s, %d bars, rejected %q: %s", x.Status, x.Written, x.Outcomes[0].Rejected, x.Error)
	}
}

// TestOutward plans a long hole before the bars that are stored: the windows
// begin beside these.
func TestOutward(t *testing.T) {
	w := newWorld(t, heal.Policy{Strategy: heal.SourcesOnly, MaxShare: -1})
	truth := history(rand.New(rand.NewPCG(6, 6)), 21_000, 1)
	w.venue.truth[btc] = truth
	var ours series.Columns
	for i := truth.Len() - 20; i < truth.Len(); i++ {
		ours.Append(truth.Bar(i))
	}
	w.write(btc, &ours)
	plan, err := w.heal.Plan(context.Background(), heal.Request{Symbol: btc.Symbol, From: truth.Time[0], To: truth.Time[20_999] + 1})
	if err != nil {
		t.Fatal(err)
	}
	windows := plan.Series[0].Windows
	if len(windows) < 3 || windows[0].To != ours.Time[0] {
		t.Fatalf("%d windows, the first is %+v", len(windows), windows[0])
	}
	if !slices.IsSortedFunc(windows, func(a, b heal.Step) int { return int(min(1, max(-1, b.From-a.From))) }) {
		t.Errorf("the windows do not go outward: %+v", windows)
	}
}
