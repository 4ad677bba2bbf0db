package block

import "math"

// A quotient divides integers by a power of ten, correctly rounded, at the
// price of two multiplications and an addition.
//
// 1/10^e is split into hi, its k leading bits, and lo, the rest rounded to a
// float64. For |n| < 2^(53-k) the product n·hi is exact, so that
//
//	RN(n·hi + RN(n·lo))
//
// differs from n/10^e before its last rounding by less than 2^-(52+k) of its
// size. The quotient of two such integers cannot come closer to the middle
// between two float64s than 2^-54/5^e of its size: n·2^s - (2M+1)·10^e is not
// 0 for |n| < 2^53 and has 2^(e-1) units in the last place as a factor. So
// the last rounding falls to the right side if k > 2+e·log2(5), and the
// result is that of the division to the last bit. A fused multiply-add cannot
// change it, n·hi being exact.
//
// The encoder verifies with the division; TestQuotient compares the two.
type quotient struct {
	hi, lo float64
	limit  uint64 // 2^(53-k)
}

// maxQuotientExp is where lo stops being computable from hi in float64: hi
// and 10^e together must have at most 53 significant bits.
const maxQuotientExp = 10

var quotients = func() (t [maxQuotientExp + 1]quotient) {
	for e := range t {
		p := pow10[e]
		k := 3 + (e*2322+999)/1000
		drop := uint64(1) << (53 - k)
		hi := math.Float64frombits((math.Float64bits(1/p) + drop/2) &^ (drop - 1))
		t[e] = quotient{hi, float64(1-float64(hi*p)) / p, 1 << (53 - k)}
	}
	return t
}()

// newQuotient returns the quotient by 10^exp, if there is one.
func newQuotient(exp uint8) (quotient, bool) {
	if exp > maxQuotientExp {
		return quotient{}, false
	}
	return quotients[exp], true
}

// exactFor reports whether q divides n as the division would.
func (q quotient) exactFor(n int64) bool {
	return uint64(n)+q.limit-1 < 2*q.limit-1
}

// bits returns the bits of n/10^e.
func (q quotient) bits(n int64) uint64 {
	f := float64(n)
	return math.Float64bits(float64(f*q.hi) + float64(f*q.lo))
}
