package block

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// TestQuotient compares the reciprocal with the division for random integers
// and for those whose quotients come closest to the middle between two
// float64s.
func TestQuotient(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	rounds := 400_000
	if testing.Short() {
		rounds = 20_000
	}
	for e := range uint8(maxQuotientExp + 1) {
		q, ok := newQuotient(e)
		if !ok {
			t.Fatalf("no quotient for exponent %d", e)
		}
		if q.exactFor(int64(q.limit)) || !q.exactFor(int64(q.limit-1)) || !q.exactFor(1-int64(q.limit)) || q.exactFor(-int64(q.limit)) {
			t.Fatalf("exponent %d: limit %d is not where it should be", e, q.limit)
		}
		check := func(n int64) {
			if n < 0 || !q.exactFor(n) {
				return
			}
			want := math.Float64bits(float64(n) / pow10[e])
			if got := q.bits(n); got != want {
				t.Fatalf("%d/10^%d: %#x, want %#x", n, e, got, want)
			}
			if got := q.bits(-n); n != 0 && got != want|1<<63 {
				t.Fatalf("-%d/10^%d: %#x, want %#x", n, e, got, want|1<<63)
			}
		}
		for range rounds {
			check(int64(r.Uint64N(q.limit) >> r.IntN(54)))
		}
		for n := range int64(10_000) {
			check(n)
			check(int64(q.limit) - 1 - n)
		}
		for _, n := range nearMidpoints(e, q.limit) {
			for d := int64(-2); d <= 2; d++ {
				check(n + d)
			}
		}
	}
	if _, ok := newQuotient(maxQuotientExp + 1); ok {
		t.Error("quotient past the largest exponent")
	}
}

// nearMidpoints returns integers n for which n/10^e is as close as it can be
// to a midpoint: n·2^s = ±r mod 5^e for small r, where 2^s scales the quotient
// to 54 bits.
func nearMidpoints(e uint8, limit uint64) []int64 {
	five := new(big.Int).Exp(big.NewInt(5), big.NewInt(int64(e)), nil)
	var out []int64
	for s := int64(1); s < 90; s++ {
		inv := new(big.Int).ModInverse(new(big.Int).Lsh(big.NewInt(1), uint(s)), five)
		if inv == nil {
			continue
		}
		for r := int64(-3); r <= 3; r++ {
			n := new(big.Int).Mul(inv, big.NewInt(r))
			n.Mod(n, five)
			for k := range 40 {
				if n.IsUint64() && n.Uint64() < limit {
					out = append(out, n.Int64())
				}
				// Spread over the binary orders of magnitude.
				n = new(big.Int).Add(n, new(big.Int).Lsh(five, uint(k)))
			}
		}
	}
	return out
}

// TestWidenNarrow checks that every class of float32 survives the way to
// float64 and back, signalling NaNs included.
func TestWidenNarrow(t *testing.T) {
	for _, b := range []uint32{0, 1, 0x80000000, 0x7f800000, 0xff800000, 0x7f800001, 0xffc12345, 0x7fffffff, 0x00800000, 0x3f800000, 0x80000001} {
		got, ok := narrow(widen(b))
		if !ok || got != b {
			t.Errorf("%#x: %#x, %v", b, got, ok)
		}
		if n := ordered32(b); unordered32(n) != b {
			t.Errorf("%#x: ordered %d", b, n)
		}
	}
	for _, v := range []float64{0.1, 1e300, math.Float64frombits(0x7ff0000000000001)} {
		if b, ok := narrow(v); ok {
			t.Errorf("%v narrows to %#x", v, b)
		}
	}
}

// TestDecExp checks the least exponent against the decimal text.
func TestDecExp(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 20_000 {
		e := uint8(r.IntN(maxExp + 1))
		n := int64(r.Uint64N(1<<50) >> r.IntN(50))
		want := e
		for want > 0 && n%10 == 0 {
			n /= 10
			want--
		}
		v := float64(n) / pow10[want]
		for _, guess := range []uint8{0, 2, 8, 15} {
			if got := decExp(v, guess); got > want {
				t.Fatalf("%d/10^%d from %d: %d", n, want, guess, got)
			}
		}
		if a, b := decExp(v, 0), decExp(v, 15); a != b {
			t.Fatalf("%v: %d and %d from different guesses", v, a, b)
		}
	}
}
