package block

import "math"

// A mapping turns the float64 values of a column group into integers and
// back. Every kind is monotone, so the differences that candle.go takes
// between the prices of a bar are small in every kind, and every kind is
// exact: the encoder keeps an integer only after it has seen the decoder's own
// arithmetic give back the same 64 bits.
type mapping struct {
	kind, exp uint8
}

// Kinds of mapping. The number is the high nibble of the mapping byte, the
// decimal exponent the low one.
const (
	// kindDec is n/10^e in float64: what a parser makes of a decimal with at
	// most e fractional digits. Division, not multiplication by 10^-e: only
	// the quotient is the float64 nearest to the decimal.
	kindDec = 0
	// kindDecULP is kindDec moved by a few representable steps. Fast
	// parsers, rescaling and sums of floats leave such values.
	kindDecULP = 1
	// kindF32Dec is a decimal that was rounded to float32 and widened again.
	kindF32Dec = 2
	// kindF32Bits is any float32 widened to float64, as an ordered integer.
	kindF32Bits = 3
	// kindF64Bits is any float64, as an ordered integer.
	kindF64Bits = 4

	maxExp = 15
)

// onGrid reports whether the integers of m count steps of 10^-exp, so that
// sums of them mean something.
func (m mapping) onGrid() bool { return m.kind <= kindF32Dec }

func (m mapping) valid() bool {
	return m.kind <= kindF64Bits && (m.exp == 0 || m.onGrid())
}

// hasULP reports whether the columns of m carry a second stream of steps.
func (m mapping) hasULP() bool { return m.kind == kindDecULP }

// pow10 holds the powers of ten that a float64 represents exactly.
var pow10 = [maxExp + 1]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
}

// gridLimit bounds the integers of the decimal kinds: below 2^51 the rounding
// trick of roundGrid is exact and distinct integers give distinct floats.
const gridLimit = 1 << 51

// roundMagic is 1.5*2^52: adding it to a number below 2^51 in size leaves the
// nearest integer in the low bits of the sum.
const (
	roundMagic     = 3 << 51
	roundMagicBits = 0x4338000000000000
)

// roundGrid returns f rounded to the nearest integer. The result is
// meaningless for |f| >= 2^51; outsideGrid finds that out.
func roundGrid(f float64) int64 {
	return int64(math.Float64bits(f+roundMagic) - roundMagicBits)
}

// outsideGrid is not zero if n is not within [-2^51, 2^51).
func outsideGrid(n int64) uint64 {
	return uint64(n+gridLimit) >> 52
}

// ordered maps the bits of a float64 to an integer that sorts as the floats
// do, -0 below +0 and NaNs outermost. It is its own inverse.
func ordered(b uint64) int64 {
	return int64(b ^ uint64(int64(b)>>63)>>1)
}

func unordered(n int64) uint64 {
	return uint64(n) ^ uint64(n>>63)>>1
}

func ordered32(b uint32) int64 {
	return int64(int32(b ^ uint32(int32(b)>>31)>>1))
}

func unordered32(n int64) uint32 {
	b := int32(n)
	return uint32(b) ^ uint32(b>>31)>>1
}

// float returns the value of n, without the ULP steps of kindDecULP.
func (m mapping) float(n int64) float64 {
	switch m.kind {
	case kindDec, kindDecULP:
		return float64(n) / pow10[m.exp]
	case kindF32Dec:
		return float64(float32(float64(n) / pow10[m.exp]))
	case kindF32Bits:
		return widen(unordered32(n))
	default:
		return math.Float64frombits(unordered(n))
	}
}

// widen converts the bits of a float32 to float64 without passing a NaN
// through a conversion, which would quiet it.
func widen(b uint32) float64 {
	if b&0x7f800000 == 0x7f800000 {
		return math.Float64frombits(uint64(b&0x80000000)<<32 | 0x7ff<<52 | uint64(b&0x7fffff)<<29)
	}
	return float64(math.Float32frombits(b))
}

// narrow is the inverse of widen where there is one.
func narrow(v float64) (b uint32, ok bool) {
	u := math.Float64bits(v)
	if u&(0x7ff<<52) == 0x7ff<<52 {
		b = uint32(u>>32)&0x80000000 | 0x7f800000 | uint32(u>>29)&0x7fffff
	} else {
		b = math.Float32bits(float32(v))
	}
	return b, math.Float64bits(widen(b)) == u
}

// maxULP bounds the steps of kindDecULP: real noise is a step or two, and a
// larger bound would let the kind swallow values that are no decimals.
const maxULP = 64

// integer returns the integer and the ULP steps of v. It reports ok only if
// the decoder's arithmetic gives back exactly v.
func (m mapping) integer(v float64) (n, ulp int64, ok bool) {
	u := math.Float64bits(v)
	switch m.kind {
	case kindF64Bits:
		return ordered(u), 0, true
	case kindF32Bits:
		b, ok := narrow(v)
		return ordered32(b), 0, ok
	}
	n = roundGrid(float64(v * pow10[m.exp]))
	if outsideGrid(n) != 0 {
		return 0, 0, false
	}
	q := math.Float64bits(m.float(n))
	if m.kind == kindDecULP {
		ulp = ordered(u) - ordered(q)
		return n, ulp, ulp >= -maxULP && ulp <= maxULP
	}
	return n, 0, q == u
}

// decExp returns the least e for which v is exactly n/10^e, or maxExp+1. The
// answer does not depend on guess, an exponent that is likely to fit.
func decExp(v float64, guess uint8) uint8 {
	m := mapping{kindDec, guess}
	n, _, ok := m.integer(v)
	for m.exp = 0; !ok && m.exp <= maxExp; m.exp++ {
		if n, _, ok = m.integer(v); ok {
			return m.exp
		}
	}
	if !ok {
		return maxExp + 1
	}
	// n is the only integer at this exponent, so the least one is reached
	// by dropping zeros.
	for m.exp = guess; m.exp > 0 && n%10 == 0; m.exp-- {
		n /= 10
	}
	return m.exp
}
