package block_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/barkeepdb/barkeep/storage/block"
)

// seal recomputes the checksum of a damaged block, so that tests and fuzzing
// reach what lies behind it.
func seal(data []byte) []byte {
	if len(data) < 4 {
		return data
	}
	body := data[:len(data)-4]
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(crc32.Checksum(key, table), table, body)
	return binary.LittleEndian.AppendUint32(append([]byte(nil), body...), sum)
}

// exercise reads data in every way and checks that errors are of the
// promised kind and that nothing has more rows than allowed.
func exercise(t testing.TB, data []byte, maxRows int) {
	t.Helper()
	var d block.Decoder
	var c block.Columns
	for _, want := range []block.Set{block.All, block.ColClose, block.ColVolume, block.ColSlot, block.ColProv | block.ColHigh} {
		err := d.Decode(key, data, maxRows, want, &c)
		checkError(t, err)
		if c.Len() > maxRows || err != nil && c.Len() != 0 {
			t.Fatalf("%d rows, at most %d (%v)", c.Len(), maxRows, err)
		}
	}
	_, err := block.ReadHeader(key, data, false)
	checkError(t, err)
	out, err := d.Aggregate(key, data, maxRows, block.Aggregation{Width: 60, FillBit: 1}, nil)
	checkError(t, err)
	if err != nil && out != nil {
		t.Fatalf("%d buckets beside %v", len(out), err)
	}
	bars := 0
	for _, b := range out {
		bars += b.Bars
	}
	if bars > maxRows {
		t.Fatalf("%d bars in buckets, at most %d", bars, maxRows)
	}
}

func checkError(t testing.TB, err error) {
	t.Helper()
	var ce *block.CorruptError
	if err != nil && (!errors.Is(err, block.ErrCorrupt) || !errors.As(err, &ce) || ce.Reason == "" || ce.Offset < 0) {
		t.Fatalf("error of the wrong kind: %v", err)
	}
}

func TestEveryFlippedBitIsNoticed(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	var d block.Decoder
	var c block.Columns
	for _, in := range []*block.Columns{walk(r, 40), randomBlock(r, 30)} {
		data := check(t, in)
		for i := range 8 * len(data) {
			data[i/8] ^= 1 << (i % 8)
			if err := d.Decode(key, data, block.MaxRows, block.All, &c); !errors.Is(err, block.ErrCorrupt) {
				t.Fatalf("flipped bit %d: %v", i, err)
			}
			data[i/8] ^= 1 << (i % 8)
		}
		for n := range data {
			if err := d.Decode(key, data[:n], block.MaxRows, block.All, &c); !errors.Is(err, block.ErrCorrupt) {
				t.Fatalf("truncated to %d: %v", n, err)
			}
		}
		if err := d.Decode([]byte("series/43"), data, block.MaxRows, block.All, &c); !errors.Is(err, block.ErrCorrupt) {
			t.Fatalf("another key: %v", err)
		}
	}
}

// TestHostile damages blocks behind a valid checksum.
func TestHostile(t *testing.T) {
	r := rand.New(rand.NewPCG(43, 44))
	rounds := 20_000
	if testing.Short() {
		rounds = 2000
	}
	var data []byte
	for i := range rounds {
		if i%50 == 0 {
			in := randomBlock(r, 1+r.IntN(200))
			if r.IntN(2) == 0 {
				in = walk(r, 1+r.IntN(200))
			}
			e := block.Encoder{Mode: block.Mode(r.IntN(2))}
			data, _ = e.Encode(nil, key, in)
		}
		bad := append([]byte(nil), data...)
		for range 1 + r.IntN(3) {
			at := r.IntN(len(bad))
			if r.IntN(2) == 0 {
				at = r.IntN(min(len(bad), 80)) // the header more often
			}
			bad[at] ^= byte(1 << r.IntN(8))
		}
		if r.IntN(10) == 0 {
			bad = bad[:r.IntN(len(bad))]
		}
		exercise(t, seal(bad), 300)
	}
}

func TestRefusals(t *testing.T) {
	data := check(t, walk(rand.New(rand.NewPCG(45, 46)), 100))
	var d block.Decoder
	var c block.Columns
	for _, x := range []struct {
		name    string
		at      int
		with    byte
		version bool
	}{
		{"magic", 0, 0xB4, false},
		{"version 0", 1, 0, true},
		{"version 2", 1, 2, true},
		{"reserved flag", 2, 0x80, false},
		{"reserved flag in the high byte", 3, 0x01, false},
		{"axis kind", 2, 0x03, false},
		{"mapping kind", 10, 0x50, false},
	} {
		bad := append([]byte(nil), data...)
		bad[x.at] = x.with
		bad = seal(bad)
		err := d.Decode(key, bad, 100, block.All, &c)
		if !errors.Is(err, block.ErrCorrupt) || errors.Is(err, block.ErrVersion) != x.version {
			t.Errorf("%s: %v", x.name, err)
		}
		if _, err := block.ReadHeader(key, bad, true); !errors.Is(err, block.ErrCorrupt) {
			t.Errorf("%s: header: %v", x.name, err)
		}
	}
	if err := d.Decode(key, data, 99, block.All, &c); !errors.Is(err, block.ErrCorrupt) {
		t.Errorf("more rows than allowed: %v", err)
	}
	if err := d.Decode(key, data, 100, block.All, &c); err != nil {
		t.Errorf("as many rows as allowed: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	r := rand.New(rand.NewPCG(47, 48))
	for i := range 40 {
		in := randomBlock(r, 1+r.IntN(150))
		if i%2 == 0 {
			in = walk(r, 1+r.IntN(300))
		}
		e := block.Encoder{Mode: block.Mode(i / 2 % 2)}
		data, err := e.Encode(nil, key, in)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		exercise(t, seal(data), 1440)
	})
}

// FuzzRoundTrip makes columns out of bytes: 8 per value, in runs.
func FuzzRoundTrip(f *testing.F) {
	r := rand.New(rand.NewPCG(49, 50))
	for range 20 {
		in := randomBlock(r, 1+r.IntN(40))
		var b []byte
		for _, x := range [][]float64{in.Open, in.High, in.Low, in.Close, in.Volume} {
			b = append(b, floatBytes(x)...)
		}
		f.Add(b, r.Uint64())
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		n := min(len(b)/40, 2000)
		if n == 0 {
			return
		}
		r := rand.New(rand.NewPCG(seed, 0))
		c := newColumns(n)
		for _, x := range [][]float64{c.Open, c.High, c.Low, c.Close, c.Volume} {
			b = takeFloats(x, b)
		}
		if r.IntN(2) == 0 {
			c.QuoteVolume, c.Trades = c.Volume, c.Open
		}
		for i := range c.Prov {
			c.Prov[i] = uint32(r.IntN(3))
		}
		randomSlots(r, c.Slot)
		check(t, c)
	})
}
