package block

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestDump encodes small blocks and prints their bytes with the name of every
// field. The scripts in testdata/dump are the package comment's diagram in
// practice: run with -rewrite after a change of the format, and read the
// difference.
//
//	encode [hot]
//	<slot> <open> <high> <low> <close> <volume> [<quote volume> <trades>] [prov=N]
//	repeat N [step=S]     (repeats the row before, S slots apart)
func TestDump(t *testing.T) {
	datadriven.Walk(t, "testdata/dump", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			if td.Cmd != "encode" {
				td.Fatalf(t, "unknown command")
			}
			c, err := parseRows(td.Input)
			if err != nil {
				td.Fatalf(t, "%v", err)
			}
			e := Encoder{}
			if td.HasArg("hot") {
				e.Mode = Hot
			}
			data, err := e.Encode(nil, []byte("key"), c)
			if err != nil {
				return err.Error()
			}
			var d Decoder
			var got Columns
			if err := d.Decode([]byte("key"), data, c.Len(), All, &got); err != nil {
				td.Fatalf(t, "decode: %v", err)
			}
			w := dumper{data: data}
			w.block()
			if w.i != len(data) {
				td.Fatalf(t, "%d of %d bytes described", w.i, len(data))
			}
			return w.out.String()
		})
	})
}

func parseRows(input string) (*Columns, error) {
	c := &Columns{}
	for line := range strings.SplitSeq(input, "\n") {
		f := strings.Fields(line)
		if f[0] == "repeat" {
			n, _ := strconv.Atoi(f[1])
			step := 1
			if len(f) > 2 {
				step, _ = strconv.Atoi(strings.TrimPrefix(f[2], "step="))
			}
			for range n {
				repeatRow(c, step)
			}
			continue
		}
		if p, ok := strings.CutPrefix(f[len(f)-1], "prov="); ok {
			v, err := strconv.ParseUint(p, 0, 32)
			if err != nil {
				return nil, err
			}
			c.Prov = append(c.Prov, uint32(v))
			f = f[:len(f)-1]
		} else {
			c.Prov = append(c.Prov, 0)
		}
		slot, err := strconv.ParseUint(f[0], 10, 16)
		if err != nil {
			return nil, err
		}
		c.Slot = append(c.Slot, uint16(slot))
		for i, col := range []*[]float64{&c.Open, &c.High, &c.Low, &c.Close, &c.Volume, &c.QuoteVolume, &c.Trades}[:len(f)-1] {
			v, err := strconv.ParseFloat(f[i+1], 64)
			if b, isBits := strings.CutPrefix(f[i+1], "0x"); isBits {
				var u uint64
				u, err = strconv.ParseUint(b, 16, 64)
				v = math.Float64frombits(u)
			}
			if err != nil {
				return nil, err
			}
			*col = append(*col, v)
		}
	}
	return c, nil
}

func repeatRow(c *Columns, step int) {
	n := len(c.Slot) - 1
	c.Slot = append(c.Slot, c.Slot[n]+uint16(step))
	c.Prov = append(c.Prov, c.Prov[n])
	for _, col := range []*[]float64{&c.Open, &c.High, &c.Low, &c.Close, &c.Volume, &c.QuoteVolume, &c.Trades} {
		if len(*col) > n {
			*col = append(*col, (*col)[n])
		}
	}
}

// dumper walks over a block by its own reading of the format.
type dumper struct {
	data []byte
	i    int
	out  strings.Builder
}

// field prints the next n bytes under a name.
func (w *dumper) field(n int, format string, args ...any) {
	b := w.data[w.i : w.i+n]
	text := fmt.Sprintf(format, args...)
	for first := true; first || len(b) > 0; first = false {
		line := b[:min(8, len(b))]
		b = b[len(line):]
		if first {
			fmt.Fprintf(&w.out, "%4d  %-16x  %s\n", w.i, line, text)
		} else {
			fmt.Fprintf(&w.out, "      %-16x\n", line)
		}
	}
	w.i += n
}

func (w *dumper) uint(n int, format string) uint64 {
	v := load64(w.data[w.i:w.i+n], 0)
	w.field(n, format, v)
	return v
}

func (w *dumper) uvarint(format string) uint64 {
	r := reader{b: w.data, i: w.i}
	v := r.uvarint()
	w.field(r.i-w.i, format, v)
	return v
}

func (w *dumper) svarint(format string) int64 {
	r := reader{b: w.data, i: w.i}
	v := r.svarint()
	w.field(r.i-w.i, format, v)
	return v
}

func (w *dumper) float(name string) {
	v := math.Float64frombits(load64(w.data, w.i))
	w.field(8, "%s %v", name, v)
}

var kindNames = [...]string{"decimal", "decimal+ulp", "float32 decimal", "float32 bits", "float64 bits"}

func (w *dumper) mapping(name string) mapping {
	b := w.data[w.i]
	m := mapping{b >> 4, b & 15}
	w.field(1, "%s mapping: %s, exponent %d", name, kindNames[m.kind], m.exp)
	return m
}

var flagNames = [...]string{2: "exceptions", 3: "wild", 4: "raw statistics", 5: "quote volume", 6: "trades"}

func (w *dumper) block() {
	w.field(1, "magic")
	w.field(1, "version %d", w.data[w.i])
	flags := load64(w.data[w.i:w.i+2], 0)
	text := [...]string{"dense", "runs", "bitmap"}[flags&3] + " axis"
	for i, name := range flagNames {
		if i > 1 && flags>>i&1 != 0 {
			text += ", " + name
		}
	}
	w.field(2, "flags: %s", text)
	n := int(w.uint(2, "rows - 1: %d")) + 1
	w.uint(2, "first slot %d")
	w.uint(2, "last slot %d")

	streams := []string{"open", "close", "volume", "high", "low"}
	if price := w.mapping("price"); price.hasULP() {
		streams = append(streams, "open ulp", "close ulp", "high ulp", "low ulp")
	}
	w.svarint("price base %d")
	w.uvarint("tick %d")
	if flags&flagRawStats != 0 {
		for _, name := range []string{"first open", "highest high", "lowest low", "last close"} {
			w.float(name)
		}
	} else {
		w.svarint("base - lowest low: %d ticks")
		w.svarint("highest high - base: %d ticks")
		w.svarint("last close - base: %d ticks")
	}
	var extra []string
	for i, name := range []string{"volume", "quote volume", "trades"} {
		if i > 0 && flags>>(4+i)&1 == 0 {
			continue
		}
		m := w.mapping(name)
		w.svarint(name + " base %d")
		w.uvarint(name + " lot %d")
		if m.onGrid() {
			w.svarint(name + " sum, high %d")
			w.uvarint(name + " sum, low %d")
		}
		if !m.onGrid() || flags&flagExceptions != 0 {
			w.float(name + " sum, rest")
		}
		if i > 0 {
			extra = append(extra, name)
		}
		if m.hasULP() && i > 0 {
			extra = append(extra, name+" ulp")
		} else if m.hasULP() {
			streams = append(streams, name+" ulp")
		}
	}
	w.uvarint("zero volumes %d")
	w.uvarint("non-finite values %d")
	palette := w.uvarint("provenance palette of %d")
	for range palette {
		w.uvarint("  provenance %#x")
	}
	if palette != 1 {
		streams = append(streams, "provenance")
	}
	streams = append(streams, extra...)
	if flags&3 != axisDense {
		w.axis(int(w.uvarint("axis of %d bytes")), uint8(flags&3))
	}
	if flags&flagExceptions != 0 {
		w.exceptions()
	}
	w.streams(streams, n)
	w.field(4, "crc32c of key and block")
}

func (w *dumper) axis(size int, kind uint8) {
	if kind == axisBitmap {
		w.field(size, "  bitmap")
		return
	}
	for gaps := w.uvarint("  %d gaps"); gaps > 0; gaps-- {
		w.uvarint("  %d bars")
		w.uvarint("  %d slots without")
	}
}

func (w *dumper) exceptions() {
	w.uvarint("exceptions of %d bytes")
	set := w.uint(1, "  columns %07b")
	for i, name := range [...]string{"open", "close", "high", "low", "volume", "quote volume", "trades"} {
		if set>>i&1 == 0 {
			continue
		}
		for k := w.uvarint("  " + name + ": %d"); k > 0; k-- {
			w.uvarint("    rows further %d")
			w.field(8, "    bits %#x", load64(w.data, w.i))
		}
	}
}

func (w *dumper) streams(names []string, n int) {
	type entry struct {
		name string
		stream
	}
	var entries []entry
	for _, name := range names {
		r := reader{b: w.data, i: w.i}
		v := r.uvarint()
		s := stream{codec: uint8(v & 3), size: int(v >> 2)}
		w.field(r.i-w.i, "stream of %s: %s, %d bytes", name, [...]string{"const", "raw", "pfor", "tans"}[s.codec], s.size)
		entries = append(entries, entry{name, s})
	}
	for _, e := range entries {
		end := w.i + e.size
		switch e.codec {
		case codecConst:
			w.uvarint(e.name + ": all %d")
		case codecRaw:
			w.field(e.size, "%s: raw", e.name)
		case codecPFOR:
			w.pfor(e.name, n)
		default:
			w.tans(e.name, end)
		}
		if w.i != end {
			panic("stream of " + e.name + " described wrongly")
		}
	}
}

func (w *dumper) pfor(name string, n int) {
	for ; n > 0; n -= pforGroup {
		m := min(n, pforGroup)
		width, patches := int(w.data[w.i]), int(w.data[w.i+1])
		w.field(2, "%s: %d values of %d bits, %d patches", name, m, width, patches)
		if size := (m*width + 7) / 8; size > 0 {
			w.field(size, "  low bits")
		}
		if patches > 0 {
			high := int(w.uint(1, "  patches of %d bits"))
			w.field(patches, "  their places")
			w.field((patches*high+7)/8, "  their high bits")
		}
	}
}

func (w *dumper) tans(name string, end int) {
	b := w.data[w.i:end]
	pos := uint(0)
	take := func(n uint) uint64 {
		v := peek(b, pos) & (1<<n - 1)
		pos += n
		return v
	}
	logL, pad, lo, k := take(4), take(3), take(6), take(6)+1
	text := ""
	left := uint64(1) << logL
	for i := range k {
		weight := left
		if i < k-1 {
			z := uint(bits.TrailingZeros64(peek(b, pos)))
			pos += z + 1
			weight = 1<<z | take(z)
			weight--
			left -= weight
		}
		text += fmt.Sprintf(" %d:%d", lo+i, weight)
	}
	w.field(int(pos+7)/8, "%s: table of %d, padding %d, classes%s", name, 1<<logL, pad, text)
	w.field(end-w.i, "  states and values")
}
