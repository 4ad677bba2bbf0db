package block

import "math"

// Bucket is what the bars of some consecutive slots amount to, or a part of
// them if the bucket reaches past the end of the block: partial buckets of
// consecutive blocks combine with Append, without loss.
type Bucket struct {
	// Index is floor((Origin+slot)/Width).
	Index int64
	// Open is the open of the first bar and Close the close of the last;
	// High the largest high and Low the smallest low, leaving out NaNs. Bars
	// with the fill bit do not count, unless there are no others.
	Open, High, Low, Close float64
	// Volume, QuoteVolume and Trades are sums over all bars, filled in or
	// not, leaving out values that are not finite. A column that the block
	// lacks has the empty sum.
	Volume, QuoteVolume, Trades Sum
	// Bars is the number of bars, at least 1, and Filled how many of them
	// have the fill bit.
	Bars, Filled int
	// Prov combines the provenance of all bars with a bitwise or, ProvAnd
	// with a bitwise and: bits that differ between the two vary.
	Prov, ProvAnd uint32
}

// Append adds the bars of next, which come after those of b.
func (b *Bucket) Append(next *Bucket) {
	switch {
	case next.Filled == next.Bars && b.Filled < b.Bars:
		// Prices that were filled in yield to real ones.
	case b.Filled == b.Bars && next.Filled < next.Bars:
		b.Open, b.High, b.Low, b.Close = next.Open, next.High, next.Low, next.Close
	default:
		b.High, b.Low = higher(b.High, next.High), lower(b.Low, next.Low)
		b.Close = next.Close
	}
	b.Volume.Add(next.Volume)
	b.QuoteVolume.Add(next.QuoteVolume)
	b.Trades.Add(next.Trades)
	b.Bars += next.Bars
	b.Filled += next.Filled
	b.Prov |= next.Prov
	b.ProvAnd &= next.ProvAnd
}

// higher returns the larger of two prices that is not a NaN, +0 above -0.
func higher(a, b float64) float64 {
	if math.IsNaN(a) || !math.IsNaN(b) && ordered(math.Float64bits(b)) > ordered(math.Float64bits(a)) {
		return b
	}
	return a
}

func lower(a, b float64) float64 {
	if math.IsNaN(a) || !math.IsNaN(b) && ordered(math.Float64bits(b)) < ordered(math.Float64bits(a)) {
		return b
	}
	return a
}

func (b *Bucket) amount(i int) *Sum {
	switch i {
	case 0:
		return &b.Volume
	case 1:
		return &b.QuoteVolume
	default:
		return &b.Trades
	}
}
