package block_test

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/barkeepdb/barkeep/storage/block"
)

// naive aggregates the rows of c one by one. The sums are float64s.
type naiveBucket struct {
	index                  int64
	open, high, low, close float64
	sums, sizes            [3]float64
	bars, filled           int
	prov, provAnd          uint32
	real                   bool
}

func naive(c *block.Columns, a block.Aggregation, out []naiveBucket) []naiveBucket {
	to := a.To
	if to == 0 {
		to = 1 << 16
	}
	for i, slot := range c.Slot {
		if int(slot) < a.From || int(slot) >= to {
			continue
		}
		index := int64(math.Floor(float64(a.Origin+int64(slot)) / float64(a.Width)))
		if len(out) == 0 || out[len(out)-1].index != index {
			out = append(out, naiveBucket{index: index, provAnd: ^uint32(0)})
		}
		b := &out[len(out)-1]
		prov := uint32(0)
		if len(c.Prov) > 0 {
			prov = c.Prov[i]
		}
		b.bars++
		b.prov |= prov
		b.provAnd &= prov
		filled := prov&a.FillBit != 0
		if filled {
			b.filled++
		}
		if b.bars == 1 || !filled && !b.real {
			b.open, b.high, b.low, b.close = c.Open[i], c.High[i], c.Low[i], c.Close[i]
		} else if !filled || !b.real {
			if h := c.High[i]; math.IsNaN(b.high) || h > b.high || h == b.high && !math.Signbit(h) {
				b.high = h
			}
			if l := c.Low[i]; math.IsNaN(b.low) || l < b.low || l == b.low && math.Signbit(l) {
				b.low = l
			}
			b.close = c.Close[i]
		}
		b.real = b.real || !filled
		for k, x := range [...][]float64{c.Volume, c.QuoteVolume, c.Trades} {
			if len(x) > 0 && !math.IsNaN(x[i]) && !math.IsInf(x[i], 0) {
				b.sums[k] += x[i]
				b.sizes[k] += math.Abs(x[i])
			}
		}
	}
	return out
}

func sameOrNaN(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}

func compareBuckets(t *testing.T, got []block.Bucket, want []naiveBucket) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d buckets, want %d", len(got), len(want))
	}
	for i, g := range got {
		w := want[i]
		if g.Index != w.index || g.Bars != w.bars || g.Filled != w.filled || g.Prov != w.prov || g.ProvAnd != w.provAnd {
			t.Fatalf("bucket %d: %+v, want %+v", i, g, w)
		}
		if !sameOrNaN(g.Open, w.open) || !sameOrNaN(g.High, w.high) || !sameOrNaN(g.Low, w.low) || !sameOrNaN(g.Close, w.close) {
			t.Fatalf("bucket %d: %+v, want %+v", i, g, w)
		}
		for k, s := range [...]block.Sum{g.Volume, g.QuoteVolume, g.Trades} {
			if math.IsInf(w.sizes[k], 0) || math.IsNaN(w.sums[k]) {
				continue
			}
			if math.Abs(s.Float64()-w.sums[k]) > 1e-7*w.sizes[k] {
				t.Fatalf("bucket %d: sum %d is %v (%+v), want %v", i, k, s.Float64(), s, w.sums[k])
			}
		}
	}
}

func TestAggregateRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	rounds := 1500
	if testing.Short() {
		rounds = 200
	}
	var d block.Decoder
	for round := range rounds {
		a := block.Aggregation{Width: 1 + r.IntN(70), Origin: int64(r.IntN(2000) - 1000)}
		if r.IntN(3) == 0 {
			a.FillBit = 1 << r.IntN(32)
		}
		if r.IntN(4) == 0 {
			a.From, a.To = r.IntN(400), 1+r.IntN(800)
		}
		var got []block.Bucket
		var want []naiveBucket
		for range 1 + r.IntN(3) {
			var c *block.Columns
			if r.IntN(2) == 0 {
				c = randomBlock(r, 1+r.IntN(300))
			} else {
				c = walk(r, 1+r.IntN(300))
				randomSlots(r, c.Slot)
				for i := range c.Prov {
					c.Prov[i] = []uint32{3, a.FillBit}[min(1, r.IntN(5)/3)]
				}
			}
			e := block.Encoder{Mode: block.Mode(r.IntN(2))}
			data, err := e.Encode(nil, key, c)
			if err != nil {
				t.Fatal(err)
			}
			if got, err = d.Aggregate(key, data, c.Len(), a, got); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			want = naive(c, a, want)
			a.Origin += int64(c.Slot[len(c.Slot)-1]) + 1
		}
		compareBuckets(t, got, want)
	}
}

// TestAggregateExact checks that sums of decimals are those of the decimals
// and not of their float64s, across blocks and exponents.
func TestAggregateExact(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	var d block.Decoder
	var e block.Encoder
	var out []block.Bucket
	var sum block.Sum
	want := new(big.Int) // units of 1e-8
	for i, exp := range []int{2, 8, 0, 5, 8} {
		c := walk(r, 500)
		for k := range c.Volume {
			n := r.Int64N(1 << 40)
			if i == 3 {
				n = -n
			}
			c.Volume[k] = float64(n) / math.Pow10(exp)
			scaled := big.NewInt(n)
			want.Add(want, scaled.Mul(scaled, big.NewInt(int64(math.Pow10(8-exp)))))
		}
		data, err := e.Encode(nil, key, c)
		if err != nil {
			t.Fatal(err)
		}
		if out, err = d.Aggregate(key, data, 500, block.Aggregation{Width: 5000, Origin: int64(i) * 500}, out); err != nil {
			t.Fatal(err)
		}
		h, err := block.ReadHeader(key, data, true)
		if err != nil {
			t.Fatal(err)
		}
		sum.Add(h.Stats.VolumeSum)
	}
	for _, s := range []block.Sum{out[0].Volume, sum} {
		got := new(big.Int).Lsh(big.NewInt(s.Hi), 64)
		got.Add(got, new(big.Int).SetUint64(s.Lo))
		if s.Exp != 8 || got.Cmp(want) != 0 || s.Rest != 0 {
			t.Errorf("sum %v·10^-%d + %v, want %v·10^-8", got, s.Exp, s.Rest, want)
		}
	}
	if out[0].Bars != 2500 || len(out) != 1 {
		t.Errorf("%d buckets, first of %d bars", len(out), out[0].Bars)
	}
	exact, _ := new(big.Rat).SetFrac(want, big.NewInt(1e8)).Float64()
	if got := sum.Float64(); math.Abs(got-exact) > 1e-15*math.Abs(exact) {
		t.Errorf("%v, want %v", got, exact)
	}
}
