package series

import (
	"fmt"
	"math"
)

// Bar is one bar. Prices and volumes are returned bit for bit as written,
// whatever they are: the store keeps, it does not judge.
type Bar struct {
	Time                   Time // open time
	Open, High, Low, Close float64
	Volume                 float64 // in base units; 0 means no trade
	QuoteVolume            float64 // in quote units; NaN where nobody said it
	Trades                 float64 // number of trades; NaN where nobody said it
	Prov                   Prov
}

// NewBar returns an observed bar without quote volume and number of trades. In
// a Bar made by hand those two are 0, which says that somebody counted them.
func NewBar(t Time, open, high, low, close, volume float64) Bar {
	return Bar{
		Time: t, Open: open, High: high, Low: low, Close: close, Volume: volume,
		QuoteVolume: math.NaN(), Trades: math.NaN(),
	}
}

// Check returns an error that names the first field that cannot be stored as
// a price or a volume: not finite. The sign of a price is the instrument's
// business (oil closed at -37.63 on 2020-04-20), and so is an open outside of
// low and high, which some vendors publish.
func (b Bar) Check() error {
	for _, f := range [...]struct {
		name string
		v    float64
	}{{"open", b.Open}, {"high", b.High}, {"low", b.Low}, {"close", b.Close}, {"volume", b.Volume}} {
		if math.IsNaN(f.v) || math.IsInf(f.v, 0) {
			return fmt.Errorf("%s is %v: a finite number is needed", f.name, f.v)
		}
	}
	return nil
}

// Columns are bars by column: one slice per column, all of one length.
// QuoteVolume and Trades may be nil, which stands for NaN in every bar; Prov
// may be nil, which stands for 0. What a reader did not ask for is nil or
// empty too.
type Columns struct {
	Time                           []Time
	Open, High, Low, Close, Volume []float64
	QuoteVolume, Trades            []float64
	Prov                           []Prov
}

// Len is the number of bars, taken from the times.
func (c *Columns) Len() int { return len(c.Time) }

// Reset empties every column and keeps its memory.
func (c *Columns) Reset() {
	c.Time = c.Time[:0]
	c.Open, c.High, c.Low, c.Close = c.Open[:0], c.High[:0], c.Low[:0], c.Close[:0]
	c.Volume, c.QuoteVolume, c.Trades = c.Volume[:0], c.QuoteVolume[:0], c.Trades[:0]
	c.Prov = c.Prov[:0]
}

// Append adds b. Optional columns appear with the first bar that has them.
func (c *Columns) Append(b Bar) {
	n := len(c.Time)
	c.Time = append(c.Time, b.Time)
	c.Open = append(c.Open, b.Open)
	c.High = append(c.High, b.High)
	c.Low = append(c.Low, b.Low)
	c.Close = append(c.Close, b.Close)
	c.Volume = append(c.Volume, b.Volume)
	c.QuoteVolume = appendOptional(c.QuoteVolume, n, b.QuoteVolume)
	c.Trades = appendOptional(c.Trades, n, b.Trades)
	if len(c.Prov) < n {
		c.Prov = append(c.Prov, make([]Prov, n-len(c.Prov))...)
	}
	c.Prov = append(c.Prov, b.Prov)
}

func appendOptional(col []float64, n int, v float64) []float64 {
	if len(col) == 0 && math.IsNaN(v) {
		return col
	}
	for len(col) < n {
		col = append(col, math.NaN())
	}
	return append(col, v)
}

// Bar returns bar i. Columns that were not read give 0, the optional ones NaN.
func (c *Columns) Bar(i int) Bar {
	return Bar{
		Time: c.Time[i], Open: at(c.Open, i, 0), High: at(c.High, i, 0), Low: at(c.Low, i, 0),
		Close: at(c.Close, i, 0), Volume: at(c.Volume, i, 0),
		QuoteVolume: at(c.QuoteVolume, i, math.NaN()), Trades: at(c.Trades, i, math.NaN()),
		Prov: at(c.Prov, i, 0),
	}
}

func at[T any](col []T, i int, absent T) T {
	if i < len(col) {
		return col[i]
	}
	return absent
}

// Check returns an error if the columns differ in length.
func (c *Columns) Check() error {
	n := len(c.Time)
	for _, x := range [...]struct {
		name     string
		len      int
		optional bool
	}{
		{"open", len(c.Open), false},
		{"high", len(c.High), false},
		{"low", len(c.Low), false},
		{"close", len(c.Close), false},
		{"volume", len(c.Volume), false},
		{"quote_volume", len(c.QuoteVolume), true},
		{"trades", len(c.Trades), true},
		{"prov", len(c.Prov), true},
	} {
		if x.len != n && (!x.optional || x.len != 0) {
			return fmt.Errorf("column %s has %d values beside %d times", x.name, x.len, n)
		}
	}
	return nil
}
