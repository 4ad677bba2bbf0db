package heal_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/heal/healtest"
	"github.com/barkeepdb/barkeep/series"
)

// extreme is a series in which something took place that looks like an error.
type extreme struct {
	name string
	key  series.Key
	bars *series.Columns
}

// extremes are markets like those of which everybody heard, in the shape that is
// in the records and with noise of our own.
func extremes(r *rand.Rand) []extreme {
	daily := func(days [][5]float64) *series.Columns {
		c := healtest.Days(healtest.Walk(r, t0, 500, 1))
		f := days[0][0] / c.Close[c.Len()-1] // up to the first of them
		multiply(c, 0, c.Len(), f, 1)
		c.Close[c.Len()-1], c.High[c.Len()-1] = days[0][0], math.Max(c.High[c.Len()-1], days[0][0])
		at := c.Time[c.Len()-1]
		for _, d := range days {
			at += series.Day
			c.Append(series.NewBar(at, d[0], d[1], d[2], d[3], d[4]))
		}
		last := days[len(days)-1][3]
		for range 60 {
			at += series.Day
			next := last * (1 + 0.02*r.NormFloat64())
			c.Append(series.NewBar(at, last, math.Max(last, next)*1.01, math.Min(last, next)*0.99, next, 40+float64(r.IntN(40))))
			last = next
		}
		return c
	}
	minutes := func(c *series.Columns, from int, closes []float64, wick map[int]float64) *series.Columns {
		for i, x := range closes {
			k := from + i
			c.Open[k] = c.Close[k-1]
			c.Close[k] = x
			c.High[k], c.Low[k] = math.Max(c.Open[k], x), math.Min(c.Open[k], x)
			if w, ok := wick[i]; ok {
				c.High[k], c.Low[k] = math.Max(c.High[k], w), math.Min(c.Low[k], w)
			}
			c.Volume[k] *= 30
		}
		f := closes[len(closes)-1] / c.Close[from+len(closes)]
		multiply(c, from+len(closes), c.Len(), f, 1)
		return c
	}
	coin := healtest.Walk(r, t0, 3000, 1)
	for i := range coin.Time { // a stablecoin hardly moves
		p, q := 1+0.0001*math.Sin(float64(i)), 1+0.0001*math.Sin(float64(i+1))
		coin.Open[i], coin.Close[i], coin.High[i], coin.Low[i] = p, q, math.Max(p, q), math.Min(p, q)
	}
	franc := healtest.Walk(r, t0, 3000, 1)
	multiply(franc, 0, franc.Len(), 0.01201, 1)
	shares := series.Key{Symbol: btc.Symbol, Interval: series.Interval1d}
	return []extreme{
		// The front month of crude oil settled at -37.63 on 2020-04-20 and at 10.01 a day
		// later (CME Group, daily settlements).
		{"oil below zero", shares, daily([][5]float64{
			{22.4, 22.6, 19.2, 19.87, 300}, {19.8, 20.1, 17.3, 18.27, 250}, {17.73, 17.85, -40.32, -37.63, 230}, {-14, 13.86, -16.74, 10.01, 120}, {11.2, 16.2, 6.5, 13.78, 400},
		})},
		{"oil below zero by the minute", btc, minutes(healtest.Walk(r, t0, 3000, 1), 1500, []float64{60, 20, 4, 0.5, -1.4, -12, -29, -37.6, -36, -14, -2, 0, 3, 11, 14}, map[int]float64{7: -40.3})},
		// GameStop closed at 76.79, 147.98, 347.51, 193.60, 325.00, 225.00 and 90.00 from
		// 2021-01-25 to 2021-02-02 (yfinance issue 2660 has it repaired as a split).
		{"a short squeeze", shares, daily([][5]float64{
			{19.9, 20.4, 18.9, 19.95, 70},
			{20, 40, 19.8, 39.1, 1430},
			{38, 76.8, 37.4, 76.79, 1770},
			{88.6, 150, 80.2, 147.98, 1780},
			{354.8, 380, 249, 347.51, 930},
			{265, 483, 112.3, 193.6, 580},
			{379.7, 413.98, 250, 325, 500},
			{316.6, 322, 212, 225, 380},
			{140.8, 158, 74.2, 90, 780},
			{112, 113.4, 85.3, 92.41, 420},
		})},
		// USDC traded below 0.88 on 2023-03-11; in a thin book single trades were far lower.
		{"a coin that loses its peg", btc, minutes(coin, 1500, []float64{0.99, 0.97, 0.95, 0.91, 0.89, 0.875, 0.88, 0.86, 0.9, 0.93, 0.95, 0.965}, map[int]float64{5: 0.1, 7: 0.6})},
		{"a coin that ends", btc, minutes(healtest.Walk(r, t0, 3000, 1), 1500, []float64{80, 40, 12, 3, 1, 0.4, 0.1, 0.04, 0.01, 0.004, 0.001}, nil)},
		// EUR/CHF fell from 1.20 to below 0.86 within minutes on 2015-01-15.
		{"a floor that is given up", btc, minutes(franc, 1500, []float64{1.15, 1.02, 0.93, 0.98, 1.03, 1.01, 1.04}, map[int]float64{2: 0.0015})},
		{"a crash in an empty book", btc, minutes(healtest.Walk(r, t0, 3000, 1), 1500, []float64{99, 98.7, 99.1}, map[int]float64{1: 0.06})},
		{"one bar at a third", btc, minutes(healtest.Walk(r, t0, 3000, 1), 1500, []float64{33, 99}, nil)},
		{"a real split of raw prices", shares, func() *series.Columns {
			c := healtest.Days(healtest.Walk(r, t0, 900, 1))
			for i := range c.Volume {
				c.Volume[i] = 100 + float64(r.IntN(30))
			}
			multiply(c, 0, 450, 7, 1.0/7)
			return c
		}()},
	}
}

// TestExtremes repairs what is true: whatever a liar says beside an honest
// source, asked before or after it, no bar changes and none is set aside. Among
// the liars is one that cuts what is far away, as vendors do.
func TestExtremes(t *testing.T) {
	ctx := context.Background()
	for n, x := range extremes(rand.New(rand.NewPCG(15, 15))) {
		all := map[string]func(series.Key, *series.Columns){"nobody": nil, "one that cuts": cut, "one that smooths": smooth}
		maps.Copy(all, lies)
		for name, lie := range all {
			for first := range 2 {
				for _, approve := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/%s %d %v", x.name, name, first, approve), func(t *testing.T) {
						w := newWorld(t, heal.Policy{MaxShare: -1})
						w.clock.now = x.bars.Time[x.bars.Len()-1] + 30*series.Day
						w.venue.truth[x.key] = x.bars
						w.venue.names = []string{"a", "b"}
						w.venue.lies = make([]func(series.Key, *series.Columns), 2)
						w.venue.lies[first] = lie
						w.write(x.key, x.bars)
						rep := w.repair(heal.Request{Symbol: x.key.Symbol, Type: heal.Corruption, Approve: approve})
						if rep.Status != heal.Done || rep.Written != 0 || rep.States["quarantined"] != 0 {
							t.Errorf("%s, %d bars written: %v", rep.Status, rep.Written, rep.States)
						}
						if err := same(w.read(x.key), x.bars); err != nil {
							t.Error(err)
						}
					})
				}
			}
		}
		// Nobody can be asked: what can be a bar stays.
		w := newWorld(t, heal.Policy{MaxShare: -1})
		w.clock.now = x.bars.Time[x.bars.Len()-1] + 30*series.Day
		w.venue.down = n%2 == 0
		w.venue.names = nil
		w.write(x.key, x.bars)
		rep := w.repair(heal.Request{Symbol: x.key.Symbol, Type: heal.Corruption, Approve: true})
		if err := same(w.read(x.key), x.bars); err != nil {
			t.Errorf("%s, nobody to ask: %v, %v", x.name, err, rep.States)
		}
		found := map[string]int{}
		if err := w.heal.Inspect(ctx, x.key, heal.InspectOptions{}, func(f heal.Finding) error {
			found[f.Rule] += f.Bars
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %v", x.name, found)
	}
}

// cut is a vendor that takes what is far from its neighbours for an error.
func cut(_ series.Key, c *series.Columns) {
	for i := 1; i < c.Len(); i++ {
		a, b := min(c.Open[i], c.Close[i]), max(c.Open[i], c.Close[i])
		c.Low[i], c.High[i] = max(c.Low[i], a-0.3*math.Abs(a)), min(c.High[i], b+0.3*math.Abs(b))
	}
}

// smooth is a vendor that draws a line through what moves too much.
func smooth(_ series.Key, c *series.Columns) {
	for i := 1; i < c.Len()-1; i++ {
		if a, b := c.Close[i-1], c.Close[i]; math.Abs(b-a) > 0.3*math.Abs(a) {
			p := (a + c.Close[i+1]) / 2
			c.Open[i], c.High[i], c.Low[i], c.Close[i] = a, math.Max(a, p), math.Min(a, p), p
		}
	}
}
