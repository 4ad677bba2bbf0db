package block

import "fmt"

// MaxRows is the most rows a block can hold: one per value of a slot.
const MaxRows = 1 << 16

// Columns are the rows of one block, one slice per column. Slices that are
// not empty have the same length. The zero value is an empty block.
//
// A row is a bar: the bar at Slot[i] has Open[i], High[i] and so on. The codec
// keeps every bit pattern of every value and judges none of them: a high below
// the low, a negative volume and a NaN with a payload come back as they were.
type Columns struct {
	// Slot is the distance of each bar from the first slot of the block's
	// window, in slots, strictly ascending.
	Slot []uint16

	Open, High, Low, Close, Volume []float64

	// QuoteVolume is empty when the block has no such column.
	QuoteVolume []float64
	// Trades is the number of trades in each bar, empty when the block has no
	// such column. It is a float64 so that whatever a provider sent survives.
	Trades []float64

	// Prov is the provenance of each bar, opaque to the codec except for the
	// fill bit of Aggregation. Few distinct values per block are cheap: one
	// value costs a byte or two per block. Empty means zero for every bar.
	Prov []uint32
}

// Len returns the number of rows, taken from the longest column so that it
// also holds after a projection.
func (c *Columns) Len() int {
	return max(len(c.Slot), len(c.Open), len(c.High), len(c.Low), len(c.Close),
		len(c.Volume), len(c.QuoteVolume), len(c.Trades), len(c.Prov))
}

// Reset sets the length of every column to 0 and keeps their capacity.
func (c *Columns) Reset() {
	c.Slot = c.Slot[:0]
	c.Open, c.High, c.Low = c.Open[:0], c.High[:0], c.Low[:0]
	c.Close, c.Volume = c.Close[:0], c.Volume[:0]
	c.QuoteVolume, c.Trades = c.QuoteVolume[:0], c.Trades[:0]
	c.Prov = c.Prov[:0]
}

// Set is a set of columns.
type Set uint16

// The columns of a block. All is every one of them.
const (
	ColSlot Set = 1 << iota
	ColOpen
	ColHigh
	ColLow
	ColClose
	ColVolume
	ColQuoteVolume
	ColTrades
	ColProv

	All = ColSlot | ColOpen | ColHigh | ColLow | ColClose | ColVolume |
		ColQuoteVolume | ColTrades | ColProv
)

const (
	colPrices  = ColOpen | ColHigh | ColLow | ColClose
	colAmounts = ColVolume | ColQuoteVolume | ColTrades
)

// Has reports whether s contains every column of t.
func (s Set) Has(t Set) bool { return s&t == t }

// checkShape returns the number of rows of c, or why c is not a block.
func checkShape(c *Columns) (int, error) {
	n := len(c.Slot)
	switch {
	case n == 0:
		return 0, fmt.Errorf("%w: no rows", ErrShape)
	case n > MaxRows:
		return 0, fmt.Errorf("%w: %d rows, at most %d", ErrShape, n, MaxRows)
	}
	for i, m := range [...]int{len(c.Open), len(c.High), len(c.Low), len(c.Close), len(c.Volume)} {
		if m != n {
			return 0, fmt.Errorf("%w: %d slots but %d values of %s", ErrShape, n, m, columnNames[i])
		}
	}
	for i, m := range [...]int{len(c.QuoteVolume), len(c.Trades), len(c.Prov)} {
		if m != n && m != 0 {
			return 0, fmt.Errorf("%w: %d slots but %d values of %s", ErrShape, n, m, columnNames[i+5])
		}
	}
	// No early exit: the loop stays branch-free, and disorder is rare.
	var bad uint32
	prev := c.Slot[0]
	for _, s := range c.Slot[1:] {
		bad |= uint32(s) - uint32(prev) - 1
		prev = s
	}
	if bad>>31 != 0 {
		return 0, fmt.Errorf("%w: slots not strictly ascending", ErrShape)
	}
	return n, nil
}

var columnNames = [...]string{"open", "high", "low", "close", "volume", "quote volume", "trades", "provenance"}
