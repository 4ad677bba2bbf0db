package block_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/barkeepdb/barkeep/storage/block"
)

// Values of every kind that a column may hold.
var valueKinds = []struct {
	name string
	gen  func(r *rand.Rand) float64
}{
	{"any bits", func(r *rand.Rand) float64 { return math.Float64frombits(r.Uint64()) }},
	{"special", func(r *rand.Rand) float64 {
		return []float64{
			0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1),
			math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64, math.MaxFloat64, -math.MaxFloat64,
			math.Float64frombits(0x7ff0000000000001), // signalling
			math.Float64frombits(0xfff8dead0000beef),
			math.Float64frombits(0x000fffffffffffff), // largest subnormal
		}[r.IntN(12)]
	}},
	{"constant", func(*rand.Rand) float64 { return 101.25 }},
	{"zero", func(*rand.Rand) float64 { return 0 }},
	{"cents", func(r *rand.Rand) float64 { return float64(r.IntN(100_000)) / 100 }},
	{"quarters", func(r *rand.Rand) float64 { return float64(r.IntN(40_000)) / 4 }},
	{"satoshi", func(r *rand.Rand) float64 { return float64(r.Int64N(1<<40)) / 1e8 }},
	{"negative", func(r *rand.Rand) float64 { return float64(r.IntN(4000)-2000) / 100 }},
	{"float32 decimal", func(r *rand.Rand) float64 { return float64(float32(float64(r.IntN(100_000)) / 100)) }},
	{"float32 bits", func(r *rand.Rand) float64 { return float64(r.Float32() * 1000) }},
	{"noisy decimal", func(r *rand.Rand) float64 {
		v := float64(r.IntN(1_000_000)) / 1e4
		return math.Float64frombits(math.Float64bits(v) + uint64(r.IntN(3)))
	}},
	{"hundreds", func(r *rand.Rand) float64 { return float64(r.IntN(1000)) * 100 }},
	{"uniform", func(r *rand.Rand) float64 { return r.Float64() }},
	{"huge", func(r *rand.Rand) float64 { return float64(r.Int64()) }},
	{"edge of the grid", func(r *rand.Rand) float64 { return float64(int64(1)<<51 - 2 + int64(r.IntN(5))) }},
	{"lower edge", func(r *rand.Rand) float64 { return -float64(int64(1)<<51 - 2 + int64(r.IntN(5))) }},
}

// randomBlock draws every column from a mixture of kinds.
func randomBlock(r *rand.Rand, n int) *block.Columns {
	c := newColumns(n)
	if r.IntN(2) == 0 {
		c.QuoteVolume = make([]float64, n)
	}
	if r.IntN(2) == 0 {
		c.Trades = make([]float64, n)
	}
	main, other := r.IntN(len(valueKinds)), r.IntN(len(valueKinds))
	share := []float64{0, 0, 0.003, 0.2}[r.IntN(4)]
	if r.IntN(4) == 0 {
		main = 1 // all of it special
	}
	for _, col := range [][]float64{c.Open, c.High, c.Low, c.Close, c.Volume, c.QuoteVolume, c.Trades} {
		if r.IntN(3) == 0 {
			main = r.IntN(len(valueKinds))
		}
		for i := range col {
			k := main
			if r.Float64() < share {
				k = other
			}
			col[i] = valueKinds[k].gen(r)
		}
	}
	randomSlots(r, c.Slot)
	distinct := []int{1, 1, 2, 5, 256, 257, 100_000}[r.IntN(7)]
	for i := range c.Prov {
		if i > 0 && r.IntN(3) > 0 {
			c.Prov[i] = c.Prov[i-1]
			continue
		}
		c.Prov[i] = uint32(r.IntN(distinct)) * 2_654_435_761
	}
	if r.IntN(8) == 0 {
		c.Prov = nil
	}
	return c
}

// randomSlots fills slots with an axis of some kind, within 65536.
func randomSlots(r *rand.Rand, slots []uint16) {
	n := len(slots)
	room := block.MaxRows - n
	slot := 0
	if room > 0 {
		slot = r.IntN(min(room, 300) + 1)
		room -= slot
	}
	hole := []float64{0, 0.01, 0.5}[r.IntN(3)]
	for i := range slots {
		if i > 0 && room > 0 && r.Float64() < hole {
			d := min(room, 1+r.IntN(3))
			slot += d
			room -= d
		}
		slots[i] = uint16(slot)
		slot++
	}
}

func TestRoundTripRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	rounds := 600
	if testing.Short() {
		rounds = 100
	}
	for range rounds {
		n := 1 + r.IntN(300)
		if r.IntN(10) == 0 {
			n = 1 + r.IntN(3000)
		}
		check(t, randomBlock(r, n))
	}
}

func TestRoundTripKinds(t *testing.T) {
	for _, k := range valueKinds {
		t.Run(k.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(5, 6))
			for _, n := range []int{1, 5, 400, 4096} {
				c := newColumns(n)
				for i := range n {
					c.Slot[i] = uint16(i)
				}
				for _, col := range [][]float64{c.Open, c.High, c.Low, c.Close, c.Volume} {
					for i := range col {
						col[i] = k.gen(r)
					}
				}
				data := check(t, c)
				t.Logf("%d rows: %.2f B/bar", n, float64(len(data))/float64(n))
			}
		})
	}
}

// TestRoundTripLargest fills the largest block with the worst values.
func TestRoundTripLargest(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	c := newColumns(block.MaxRows)
	randomSlots(r, c.Slot)
	for _, col := range [][]float64{c.Open, c.High, c.Low, c.Close, c.Volume} {
		for i := range col {
			col[i] = math.Float64frombits(r.Uint64())
		}
	}
	for i := range c.Prov {
		c.Prov[i] = r.Uint32()
	}
	data := check(t, c)
	if perValue := float64(len(data)-4*len(c.Prov)) / float64(5*len(c.Slot)); perValue > 8.2+0.8 {
		t.Errorf("%.2f bytes per value", perValue)
	}
}

func floatBytes(x []float64) []byte {
	var b []byte
	for _, v := range x {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

// takeFloats fills x from the front of b and returns the rest.
func takeFloats(x []float64, b []byte) []byte {
	for i := range x {
		x[i] = math.Float64frombits(binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	return b
}
