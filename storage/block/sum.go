package block

import (
	"math"
	"math/bits"
)

// Sum is a sum of amounts that is exact as long as the amounts are decimals:
//
//	(Hi·2^64 + Lo) · 10^-Exp + Rest
//
// Hi and Lo are the two's complement halves of a 128-bit integer. Rest holds
// what is not on the decimal grid of its block, added as float64 in time
// order; it is 0 for ordinary data. Sums of partial buckets and of blocks
// combine with Add in any order, and the integer part stays exact: float64
// addition happens in Rest only and once at the end, in Float64.
//
// A value counts as the decimal it was made from: a float32 that was widened,
// or a float64 that is a step or two off, as the decimal next to it, without
// the noise.
//
// The zero value is the empty sum.
type Sum struct {
	Hi  int64
	Lo  uint64
	Exp uint8
	// Rest is a sum of finite values; it may have overflowed.
	Rest float64
}

// Add adds t to s. The integer part overflows, wrapping around, only past
// 1.7e38 units of 10^-15, the finest grid there is.
func (s *Sum) Add(t Sum) {
	if s.Exp != t.Exp {
		e := max(s.Exp, t.Exp)
		s.rescale(e)
		t.rescale(e)
	}
	var carry uint64
	s.Lo, carry = bits.Add64(s.Lo, t.Lo, 0)
	s.Hi += t.Hi + int64(carry)
	s.Rest += t.Rest
}

// rescale multiplies the integer part so that Exp becomes e.
func (s *Sum) rescale(e uint8) {
	if s.Hi == 0 && s.Lo == 0 {
		s.Exp = e
	}
	for ; s.Exp < e; s.Exp++ {
		hi, lo := bits.Mul64(s.Lo, 10)
		s.Hi, s.Lo = s.Hi*10+int64(hi), lo
	}
}

// addInt adds n units of 10^-Exp.
func (s *Sum) addInt(n int64) {
	var carry uint64
	s.Lo, carry = bits.Add64(s.Lo, uint64(n), 0)
	s.Hi += n>>63 + int64(carry)
}

// addFloat adds a value that is not on the grid.
func (s *Sum) addFloat(v float64) {
	if finite(v) {
		s.Rest += v
	}
}

// Float64 returns the sum as a float64: correctly rounded if Rest is 0 and
// the integer part is below 2^53 in size, else within a few units in the last
// place.
func (s Sum) Float64() float64 {
	f := s.integer() / pow10[s.Exp&15]
	if s.Rest != 0 {
		f += s.Rest
	}
	return f
}

// IsZero reports whether nothing but zeros was added.
func (s Sum) IsZero() bool { return s.Hi == 0 && s.Lo == 0 && s.Rest == 0 }

// integer returns the integer part as a float64.
func (s Sum) integer() float64 {
	if s.Hi == int64(s.Lo)>>63 {
		return float64(int64(s.Lo))
	}
	hi, lo, sign := uint64(s.Hi), s.Lo, 1.0
	if s.Hi < 0 {
		sign = -1
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	// float64(x*y) keeps the product apart from the sum: a fused
	// multiply-add would round differently on some machines.
	return sign * (float64(float64(hi)*0x1p64) + float64(lo))
}

func finite(v float64) bool {
	return math.Float64bits(v)&(0x7ff<<52) != 0x7ff<<52
}

// addUint adds n units of 10^-Exp.
func (s *Sum) addUint(n uint64) {
	var carry uint64
	s.Lo, carry = bits.Add64(s.Lo, n, 0)
	s.Hi += int64(carry)
}

// addProduct adds n·count units of 10^-Exp, for a count of rows.
func (s *Sum) addProduct(n int64, count int) {
	if n == 0 {
		return
	}
	hi, lo := bits.Mul64(uint64(n), uint64(count))
	if n < 0 {
		hi -= uint64(count)
	}
	var carry uint64
	s.Lo, carry = bits.Add64(s.Lo, lo, 0)
	s.Hi += int64(hi + carry)
}
