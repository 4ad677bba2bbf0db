// Package healtest damages bars on purpose, so that rules and repairs can be
// measured against the truth.
package healtest

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/barkeepdb/barkeep/series"
)

// Fault is one kind of damage.
type Fault struct {
	Name string
	Rule string // the rule that should find it
	// Damage changes bars of c from bar i on and returns how many it changed; 0
	// where the damage would change nothing there.
	Damage func(r *rand.Rand, c *series.Columns, i int) int
}

// Faults lists the kinds of damage.
func Faults() []Fault {
	one := func(f func(r *rand.Rand, c *series.Columns, i int)) func(*rand.Rand, *series.Columns, int) int {
		return func(r *rand.Rand, c *series.Columns, i int) int {
			f(r, c, i)
			return 1
		}
	}
	all := func(c *series.Columns, i int, f float64) {
		c.Open[i], c.High[i], c.Low[i], c.Close[i] = c.Open[i]*f, c.High[i]*f, c.Low[i]*f, c.Close[i]*f
	}
	return []Fault{
		{"a price that is not a number", "non_finite", one(func(_ *rand.Rand, c *series.Columns, i int) { c.Close[i] = math.NaN() })},
		{"high and low exchanged", "ohlc", func(_ *rand.Rand, c *series.Columns, i int) int {
			if c.High[i] == c.Low[i] {
				return 0
			}
			c.High[i], c.Low[i] = c.Low[i], c.High[i]
			return 1
		}},
		{"a close above the high", "ohlc", one(func(_ *rand.Rand, c *series.Columns, i int) { c.Close[i] = c.High[i] * 1.01 })},
		{"a price of 0", "sign", one(func(_ *rand.Rand, c *series.Columns, i int) { c.Low[i] = 0 })},
		{"a negative volume", "negative_volume", one(func(_ *rand.Rand, c *series.Columns, i int) { c.Volume[i] = -1 - c.Volume[i] })},
		{"a high a hundred times too high", "scale", one(func(_ *rand.Rand, c *series.Columns, i int) { c.High[i] *= 100 })},
		{"a bar a hundred times too high", "scale", one(func(_ *rand.Rand, c *series.Columns, i int) { all(c, i, 100) })},
		{"a bar a thousand times too low", "scale", one(func(_ *rand.Rand, c *series.Columns, i int) { all(c, i, 0.001) })},
		{"from here on in cents", "unit_switch", func(_ *rand.Rand, c *series.Columns, i int) int {
			for k := i; k < c.Len(); k++ {
				all(c, k, 100)
			}
			return 1 // the step is what is to be found
		}},
		{"a high eight times too high", "wick", one(func(_ *rand.Rand, c *series.Columns, i int) { c.High[i] *= 8 })},
		{"a low of a tenth", "wick", one(func(_ *rand.Rand, c *series.Columns, i int) { c.Low[i] /= 10 })},
		{"a bar at half of the price", "detached", one(func(_ *rand.Rand, c *series.Columns, i int) { all(c, i, 0.5) })},
		{"a volume of 0 where the price moves", "idle_move", func(_ *rand.Rand, c *series.Columns, i int) int {
			if c.Volume[i] == 0 || c.High[i] <= c.Low[i]*1.0001 {
				return 0
			}
			c.Volume[i] = 0
			return 1
		}},
		{"a close that jumps and comes back", "spike", one(func(_ *rand.Rand, c *series.Columns, i int) {
			c.Close[i] *= 1.6
			c.High[i] = math.Max(c.High[i], c.Close[i])
		})},
		{"twenty bars that repeat one", "stale", func(_ *rand.Rand, c *series.Columns, i int) int {
			if c.Volume[i] == 0 {
				return 0
			}
			for k := i + 1; k < min(i+21, c.Len()); k++ {
				c.Open[k], c.High[k], c.Low[k], c.Close[k], c.Volume[k] = c.Open[i], c.High[i], c.Low[i], c.Close[i], c.Volume[i]
			}
			return 21
		}},
		{"thirty bars as open, close, high, low", "swapped_columns", func(_ *rand.Rand, c *series.Columns, i int) int {
			for k := i; k < min(i+30, c.Len()); k++ {
				c.High[k], c.Low[k], c.Close[k] = c.Close[k], c.High[k], c.Low[k]
			}
			return 30
		}},
		{"ten bars filled with the next open", "look_ahead_fill", func(_ *rand.Rand, c *series.Columns, i int) int {
			if i+11 >= c.Len() || c.Open[i+10] == c.Close[i-1] || c.Volume[i+10] == 0 {
				return 0
			}
			for k := i; k < i+10; k++ {
				p := c.Open[i+10]
				c.Open[k], c.High[k], c.Low[k], c.Close[k], c.Volume[k] = p, p, p, p, 0
			}
			return 10
		}},
		{"twelve flat bars, and five that are missing", "flat_before_hole", func(_ *rand.Rand, c *series.Columns, i int) int {
			if i+18 >= c.Len() || c.Time[i+11]-c.Time[i-1] != 12*(c.Time[i]-c.Time[i-1]) || c.Time[i-1]-c.Time[i-2] != c.Time[i]-c.Time[i-1] {
				return 0 // a hole is there already
			}
			for k := i; k < i+12; k++ {
				p := c.Close[i-1]
				c.Open[k], c.High[k], c.Low[k], c.Close[k], c.Volume[k] = p, p, p, p, 0
			}
			c.Time = slices.Delete(c.Time, i+12, i+17)
			for _, col := range [...]*[]float64{&c.Open, &c.High, &c.Low, &c.Close, &c.Volume, &c.QuoteVolume} {
				if len(*col) > 0 {
					*col = slices.Delete(*col, i+12, i+17)
				}
			}
			return 12
		}},
		{"thirty bars with volume and quote volume exchanged", "swapped_volumes", func(_ *rand.Rand, c *series.Columns, i int) int {
			if l := c.Low[i]; l < 4 && l > 0.25 {
				return 0 // both look alike
			}
			for len(c.QuoteVolume) < c.Len() {
				c.QuoteVolume = append(c.QuoteVolume, math.NaN())
			}
			for k := i; k < i+30; k++ {
				if c.Volume[k] == 0 {
					return k - i
				}
				c.Volume[k], c.QuoteVolume[k] = c.Volume[k]*(c.High[k]+c.Low[k])/2, c.Volume[k]
			}
			return 30
		}},
		{"days before that a split did not change", "split", func(r *rand.Rand, c *series.Columns, i int) int {
			ratio := []float64{4, 0.25}[r.IntN(2)]
			for k := range i {
				all(c, k, ratio)
				c.Volume[k] /= ratio
			}
			return 1
		}},
		{"another company's bars 90 days before", "ticker_reuse", func(_ *rand.Rand, c *series.Columns, i int) int {
			for k := range i {
				all(c, k, 7)
				c.Time[k] -= 90 * series.Day
			}
			return 1
		}},
	}
}

// Daily reports whether the damage shows in days only.
func (f Fault) Daily() bool { return f.Rule == "split" }

// Days returns bars with the times of days since 1990: a walk of minutes becomes
// one of days.
func Days(c *series.Columns) *series.Columns {
	const from series.Time = 631_152_000_000 // 1990-01-01
	out := Clone(c)
	for i, t := range c.Time {
		out.Time[i] = from + (t-c.Time[0])/series.Minute*series.Day
	}
	return out
}

// Walk is a random walk of n minutes from a time on, in cents, of which a share
// trades.
func Walk(r *rand.Rand, from series.Time, n int, share float64) *series.Columns {
	c := &series.Columns{}
	price := 100.0
	for i := range n {
		if i > 0 && i < n-1 && r.Float64() > share {
			continue
		}
		open := price
		price = math.Round(price*(1+0.001*r.NormFloat64())*100) / 100
		c.Append(series.NewBar(from+series.Time(i)*series.Minute, open, math.Max(open, price)+0.01, math.Min(open, price)-0.01, price, float64(1+r.IntN(1000))/8))
	}
	return c
}

// Clone copies bars.
func Clone(c *series.Columns) *series.Columns {
	return &series.Columns{
		Time: slices.Clone(c.Time), Open: slices.Clone(c.Open), High: slices.Clone(c.High), Low: slices.Clone(c.Low),
		Close: slices.Clone(c.Close), Volume: slices.Clone(c.Volume), QuoteVolume: slices.Clone(c.QuoteVolume),
	}
}

// Apply damages a copy of c in n places, at least 600 bars apart from each other,
// and returns it with the bars that were changed. Of a fault that gives
// all that follows another level there is one place.
func Apply(r *rand.Rand, c *series.Columns, f Fault, n int) (*series.Columns, []int) {
	out := Clone(c)
	var changed []int
	if f.Rule == "unit_switch" || f.Rule == "ticker_reuse" {
		n = 1
	}
	step := max(600, c.Len()/(n+1))
	for i := step; i < out.Len()-200 && n > 0; i += step {
		at := i + r.IntN(100)
		k := f.Damage(r, out, at)
		for j := at; j < at+k; j++ {
			changed = append(changed, j)
		}
		if k > 0 {
			n--
		}
	}
	return out, changed
}
