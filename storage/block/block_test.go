package block_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/barkeepdb/barkeep/storage/block"
)

var key = []byte("series/42")

// same reports the first difference of two blocks, comparing bits.
func same(a, b *block.Columns) error {
	if len(a.Slot) != len(b.Slot) {
		return fmt.Errorf("%d rows, want %d", len(b.Slot), len(a.Slot))
	}
	for i := range a.Slot {
		if a.Slot[i] != b.Slot[i] {
			return fmt.Errorf("row %d: slot %d, want %d", i, b.Slot[i], a.Slot[i])
		}
	}
	for _, x := range []struct {
		name string
		a, b []float64
	}{
		{"open", a.Open, b.Open},
		{"high", a.High, b.High},
		{"low", a.Low, b.Low},
		{"close", a.Close, b.Close},
		{"volume", a.Volume, b.Volume},
		{"quote volume", a.QuoteVolume, b.QuoteVolume},
		{"trades", a.Trades, b.Trades},
	} {
		if len(x.a) != len(x.b) {
			return fmt.Errorf("%d values of %s, want %d", len(x.b), x.name, len(x.a))
		}
		for i := range x.a {
			if math.Float64bits(x.a[i]) != math.Float64bits(x.b[i]) {
				return fmt.Errorf("row %d: %s %v (%#x), want %v (%#x)", i, x.name,
					x.b[i], math.Float64bits(x.b[i]), x.a[i], math.Float64bits(x.a[i]))
			}
		}
	}
	for i := range b.Prov {
		want := uint32(0)
		if len(a.Prov) > 0 {
			want = a.Prov[i]
		}
		if b.Prov[i] != want {
			return fmt.Errorf("row %d: provenance %#x, want %#x", i, b.Prov[i], want)
		}
	}
	return nil
}

// check encodes c in both modes, decodes it and compares, and returns the
// sealed block.
func check(t testing.TB, c *block.Columns) []byte {
	t.Helper()
	var sealed []byte
	for _, mode := range []block.Mode{block.Hot, block.Sealed} {
		e := block.Encoder{Mode: mode}
		data, err := e.Encode(nil, key, c)
		if err != nil {
			t.Fatalf("encode: %v", err)
		}
		again, err := e.Encode(nil, key, c)
		if err != nil || !bytes.Equal(data, again) {
			t.Fatalf("a used encoder gives other bytes (%v)", err)
		}
		var d block.Decoder
		var got block.Columns
		if err := d.Decode(key, data, c.Len(), block.All, &got); err != nil {
			t.Fatalf("mode %d: decode: %v", mode, err)
		}
		if err := same(c, &got); err != nil {
			t.Fatalf("mode %d: %v", mode, err)
		}
		checkHeader(t, c, data)
		checkProjections(t, c, data)
		sealed = data
	}
	return sealed
}

func checkProjections(t testing.TB, c *block.Columns, data []byte) {
	t.Helper()
	var d block.Decoder
	var got block.Columns
	for _, want := range []block.Set{
		block.ColSlot, block.ColOpen, block.ColHigh, block.ColLow, block.ColClose, block.ColVolume,
		block.ColQuoteVolume, block.ColTrades, block.ColProv, block.ColHigh | block.ColVolume,
		block.ColOpen | block.ColClose | block.ColSlot, 0,
	} {
		if err := d.Decode(key, data, c.Len(), want, &got); err != nil {
			t.Fatalf("decode of %b: %v", want, err)
		}
		full := *c
		for _, col := range []struct {
			set block.Set
			p   *[]float64
			q   *[]float64
		}{
			{block.ColOpen, &full.Open, &got.Open},
			{block.ColHigh, &full.High, &got.High},
			{block.ColLow, &full.Low, &got.Low},
			{block.ColClose, &full.Close, &got.Close},
			{block.ColVolume, &full.Volume, &got.Volume},
			{block.ColQuoteVolume, &full.QuoteVolume, &got.QuoteVolume},
			{block.ColTrades, &full.Trades, &got.Trades},
		} {
			if !want.Has(col.set) {
				*col.p = nil
			}
		}
		if !want.Has(block.ColSlot) {
			full.Slot = nil
		}
		if !want.Has(block.ColProv) && len(got.Prov) != 0 {
			t.Fatalf("decode of %b: provenance not wanted", want)
		}
		if err := same(&full, &got); err != nil {
			t.Fatalf("decode of %b: %v", want, err)
		}
	}
}

// checkHeader compares the header with a recount.
func checkHeader(t testing.TB, c *block.Columns, data []byte) {
	t.Helper()
	h, err := block.ReadHeader(key, data, true)
	if err != nil {
		t.Fatalf("header: %v", err)
	}
	n := c.Len()
	if h.Rows != n || h.First != c.Slot[0] || h.Last != c.Slot[n-1] || h.Version != 1 ||
		h.HasQuoteVolume != (len(c.QuoteVolume) > 0) || h.HasTrades != (len(c.Trades) > 0) {
		t.Fatalf("header %+v", h)
	}
	zero, odd := 0, 0
	for i := range n {
		if c.Volume[i] == 0 {
			zero++
		}
		for _, v := range []float64{c.Open[i], c.High[i], c.Low[i], c.Close[i], c.Volume[i]} {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				odd++
			}
		}
	}
	s := h.Stats
	if s.ZeroVolume != zero || s.NonFinite != odd {
		t.Fatalf("header counts %d zero and %d non-finite, want %d and %d", s.ZeroVolume, s.NonFinite, zero, odd)
	}
	high, low := math.NaN(), math.NaN()
	for i := range n {
		if v := c.High[i]; !math.IsNaN(v) && (math.IsNaN(high) || v > high || v == high && !math.Signbit(v)) {
			high = v
		}
		if v := c.Low[i]; !math.IsNaN(v) && (math.IsNaN(low) || v < low || v == low && math.Signbit(v)) {
			low = v
		}
	}
	for _, x := range []struct {
		name      string
		got, want float64
	}{{"open", s.Open, c.Open[0]}, {"close", s.Close, c.Close[n-1]}, {"high", s.High, high}, {"low", s.Low, low}} {
		if math.Float64bits(x.got) != math.Float64bits(x.want) && !(math.IsNaN(x.got) && math.IsNaN(x.want)) {
			t.Fatalf("header %s %v, want %v", x.name, x.got, x.want)
		}
	}
	for _, x := range []struct {
		name string
		got  float64
		col  []float64
	}{{"volume", s.Volume, c.Volume}, {"quote volume", s.QuoteVolume, c.QuoteVolume}, {"trades", s.Trades, c.Trades}} {
		sum, size := 0.0, 0.0
		for _, v := range x.col {
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				sum += v
				size += math.Abs(v)
			}
		}
		// A widened float32 counts as the decimal it was rounded from.
		if math.Abs(x.got-sum) > 1e-7*size && !math.IsInf(size, 0) {
			t.Fatalf("header %s %v, want %v", x.name, x.got, sum)
		}
	}
}

// walk returns n bars of a random walk on a 0.01 tick with log-normal volume
// of 5 decimals, as a crypto pair looks.
func walk(r *rand.Rand, n int) *block.Columns {
	c := newColumns(n)
	price := 2_700_000 + r.IntN(100_000)
	round := func(x int) float64 { return float64(x) / 100 }
	for i := range n {
		vol := math.Exp(r.NormFloat64()*0.6) * 400
		open := price + int(r.NormFloat64()*3)
		cl := open + int(r.NormFloat64()*vol)
		c.Slot[i] = uint16(i)
		c.Open[i], c.Close[i] = round(open), round(cl)
		c.High[i] = round(max(open, cl) + int(r.ExpFloat64()*vol/2))
		c.Low[i] = round(min(open, cl) - int(r.ExpFloat64()*vol/2))
		c.Volume[i] = math.Round(math.Exp(r.NormFloat64()*1.1+2.5)*1e5) / 1e5
		c.Prov[i] = 7
		price = cl
	}
	return c
}

func newColumns(n int) *block.Columns {
	f := func() []float64 { return make([]float64, n) }
	return &block.Columns{
		Slot: make([]uint16, n), Open: f(), High: f(), Low: f(), Close: f(), Volume: f(), Prov: make([]uint32, n),
	}
}

func TestRoundTripWalk(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 4, 5, 7, 64, 127, 128, 129, 1000, 1440, 4096, 65536} {
		c := walk(r, n)
		data := check(t, c)
		t.Logf("%d rows: %.2f B/bar", n, float64(len(data))/float64(n))
	}
}

func TestShape(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, spoil := range map[string]func(c *block.Columns){
		"empty":        func(c *block.Columns) { c.Reset() },
		"descending":   func(c *block.Columns) { c.Slot[4], c.Slot[5] = c.Slot[5], c.Slot[4] },
		"duplicate":    func(c *block.Columns) { c.Slot[4] = c.Slot[5] },
		"short volume": func(c *block.Columns) { c.Volume = c.Volume[1:] },
		"short prov":   func(c *block.Columns) { c.Prov = c.Prov[1:] },
		"long quote":   func(c *block.Columns) { c.QuoteVolume = make([]float64, 11) },
	} {
		c := walk(r, 10)
		spoil(c)
		var e block.Encoder
		out, err := e.Encode([]byte("x"), key, c)
		if !errors.Is(err, block.ErrShape) || string(out) != "x" {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}

// TestSumOverflow checks that sums past the largest float64 do no harm.
func TestSumOverflow(t *testing.T) {
	c := newColumns(4)
	for i := range c.Slot {
		c.Slot[i] = uint16(i)
	}
	copy(c.Volume, []float64{math.MaxFloat64, math.MaxFloat64, -math.MaxFloat64, -math.MaxFloat64})
	c.QuoteVolume = []float64{math.MaxFloat64, math.MaxFloat64, math.Inf(-1), 0.1}
	data := check(t, c)
	h, err := block.ReadHeader(key, data, true)
	if err != nil || !math.IsInf(h.Stats.QuoteVolume, 1) {
		t.Errorf("sum %v, %v", h.Stats.QuoteVolume, err)
	}
}
