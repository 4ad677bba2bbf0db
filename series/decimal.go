package series

import (
	"math"
	"math/big"
	"math/bits"
)

// Volumes are decimal numbers that a source printed and a parser rounded to
// float64. Added as floats they drift (0.1+0.2 is not 0.3); added as the
// integers that they are multiples of, they do not.
//
// A value x is n units of 10^-e if n/10^e, one rounding, is x again. With
// |n| < 2^50 there is at most one such n, and x*10^e rounds to it: the two
// roundings are off by less than a quarter. So the sum is a property of the
// values alone, whichever exponent at or above the smallest one it was found
// with, and however the values were cut into batches.
const (
	maxExponent = 15
	maxUnits    = 1 << 50
	// maxChunk values below maxUnits, on top of 2^53, fit into an int64.
	maxChunk = 1 << 12
)

var powers = [maxExponent + 1]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// units returns how many units of 10^-exp make x, if a whole number does.
func units(x float64, exp int) (int64, bool) {
	p := powers[exp]
	n := int64(math.Round(x * p))
	return n, n > -maxUnits && n < maxUnits && float64(n)/p == x
}

// sumUnits adds values that are not negative and multiples of 10^-exp, and
// reports whether they all are. It reads each value once; the test of each is
// what makes the sum exact.
func sumUnits(values []float64, exp int) (sum float64, ok bool) {
	p := powers[exp]
	var total int64
	for len(values) > 0 {
		chunk := values[:min(len(values), maxChunk)]
		values = values[len(chunk):]
		for _, x := range chunk {
			// The conversion keeps the compiler from fusing the two operations.
			n := int64(float64(x*p) + 0.5)
			if uint64(n) >= maxUnits || float64(n)/p != x {
				return 0, false
			}
			total += n
		}
		// Larger integers are not all floats: one division would be two roundings.
		if total > 1<<53 {
			return 0, false
		}
	}
	return float64(total) / p, true
}

// decimalSum adds values exactly while they are decimals of one exponent up
// to 15, and as floats in the order they came in once they are not. The zero
// value is an empty sum.
type decimalSum struct {
	count   int64
	inexact bool
	exp     int     // of the units below
	largest int64   // magnitude among the values, in units
	hi      int64   // the sum, 128 bits: hi*2^64 + lo. 2^50 units of 1 s bars
	lo      uint64  // over a month, scaled by 10^15, stay below 2^122.
	float   float64 // the sum of the values as floats
}

func (s *decimalSum) add(x float64) {
	s.count++
	s.float += x
	if s.inexact {
		return
	}
	n, ok := units(x, s.exp)
	for !ok {
		if s.exp == maxExponent || s.largest >= maxUnits/10 {
			s.inexact = true
			return
		}
		s.exp++
		s.largest *= 10
		h, l := bits.Mul64(s.lo, 10)
		s.hi, s.lo = s.hi*10+int64(h), l
		n, ok = units(x, s.exp)
	}
	s.largest = max(s.largest, n, -n)
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, uint64(n), 0)
	s.hi += n>>63 + int64(carry)
}

// lose makes the sum NaN: one of the values is not known.
func (s *decimalSum) lose() {
	s.count++
	s.inexact = true
	s.float = math.NaN()
}

// value is the sum, rounded once; NaN if nothing was added.
func (s *decimalSum) value() float64 {
	switch {
	case s.count == 0:
		return math.NaN()
	case s.inexact:
		return s.float
	}
	if n := int64(s.lo); s.hi == n>>63 && n >= -1<<53 && n <= 1<<53 {
		return float64(n) / powers[s.exp]
	}
	n := big.NewInt(s.hi)
	n.Lsh(n, 64).Add(n, new(big.Int).SetUint64(s.lo))
	p := big.NewInt(int64(powers[s.exp]))
	x, _ := new(big.Rat).SetFrac(n, p).Float64()
	return x
}
