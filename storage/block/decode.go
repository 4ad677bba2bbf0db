package block

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unsafe"
)

// A Decoder decodes blocks. It keeps scratch space between blocks and nothing
// else. The zero value is ready to use. A Decoder must not be used by two
// goroutines at a time.
type Decoder struct {
	tans tansDecoder
	// Streams that are needed but not wanted, or that have no column of
	// their own.
	prices  [4][]uint64
	scratch []uint64
	palette [maxPalette]uint32
	l       layout
	streams [maxStreams]stream

	// Scratch space of Aggregate.
	amounts  [3][]uint64
	widths   [3]uint
	slots    []uint16
	prov     []uint32
	odd      []oddAmount
	segments []segment
	buckets  []Bucket
}

// Streams of a block, in the order of the directory.
const (
	streamOpen = iota
	streamClose
	streamVolume
	streamHigh
	streamLow
	streamOpenULP
	streamCloseULP
	streamHighULP
	streamLowULP
	streamVolumeULP
	streamProv
	streamQuoteVolume
	streamQuoteVolumeULP
	streamTrades
	streamTradesULP
	maxStreams
)

// Decode decodes the wanted columns of the block data, which was encoded
// under key, into c: they are overwritten, reusing their capacity, and the
// other columns get length 0. A wanted QuoteVolume or Trades that the block
// lacks gets length 0 too. Decode keeps neither key nor data.
//
// maxRows is the most rows the caller's window can hold; a block that claims
// more is refused before anything is allocated for it. Any damage gives a
// *CorruptError and leaves c with length 0.
func (d *Decoder) Decode(key, data []byte, maxRows int, want Set, c *Columns) error {
	c.Reset()
	if err := d.parse(key, data, maxRows); err != nil {
		return err
	}
	if err := d.columns(data, want, c); err != nil {
		c.Reset()
		return err
	}
	return nil
}

// parse reads everything but the streams, and checks the checksum first.
func (d *Decoder) parse(key, data []byte, maxRows int) *CorruptError {
	l := &d.l
	if err := l.parsePrefix(data, maxRows); err != nil {
		return err
	}
	if err := verifyChecksum(key, data); err != nil {
		return err
	}
	r := reader{b: data[:len(data)-checksumSize], i: prefixSize}
	l.parseStats(&r)
	l.parseSections(&r)
	d.parseDirectory(&r)
	if r.err != nil {
		return r.err
	}
	return nil
}

// present returns which streams the block has, as a bit set.
func (l *layout) present() uint {
	s := uint(1<<streamOpen | 1<<streamClose | 1<<streamVolume | 1<<streamHigh | 1<<streamLow)
	if l.price.hasULP() {
		s |= 1<<streamOpenULP | 1<<streamCloseULP | 1<<streamHighULP | 1<<streamLowULP
	}
	if l.amounts[0].m.hasULP() {
		s |= 1 << streamVolumeULP
	}
	if l.palette != 1 {
		s |= 1 << streamProv
	}
	for i := 1; i < len(l.amounts); i++ {
		if l.hasAmount(i) {
			s |= 1 << amountStream(i)
			if l.amounts[i].m.hasULP() {
				s |= 1 << amountULPStream(i)
			}
		}
	}
	return s
}

func amountStream(i int) int { return [...]int{streamVolume, streamQuoteVolume, streamTrades}[i] }
func amountULPStream(i int) int {
	return [...]int{streamVolumeULP, streamQuoteVolumeULP, streamTradesULP}[i]
}

func (d *Decoder) parseDirectory(r *reader) {
	present := d.l.present()
	total := uint64(0)
	for i := range d.streams {
		if present>>i&1 == 0 {
			continue
		}
		v := r.uvarint()
		if v>>2 > uint64(len(r.b)) {
			r.fail("stream longer than the block")
			return
		}
		d.streams[i] = stream{codec: uint8(v & 3), size: int(v >> 2)}
		total += v >> 2
	}
	if r.err == nil && total != uint64(len(r.b)-r.i) {
		r.fail("streams do not fill the block")
	}
	off := r.i
	for i := range d.streams {
		if present>>i&1 != 0 {
			d.streams[i].off = off
			off += d.streams[i].size
		}
	}
}

// words returns the memory of x as integers, so that a stream can be decoded
// where its values will end up.
func words(x []float64) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(x))), len(x))
}

// floatsOf is the inverse of words.
func floatsOf(x []uint64) []float64 {
	return unsafe.Slice((*float64)(unsafe.Pointer(unsafe.SliceData(x))), len(x))
}

// stream decodes stream i into out. Every value is below 2^width.
func (d *Decoder) stream(data []byte, i int, out []uint64) (width uint, err *CorruptError) {
	s := d.streams[i]
	// Up to the end of the block, not of the stream: see decodePFOR.
	b := data[s.off:]
	reason := ""
	switch s.codec {
	case codecConst:
		v, k := binary.Uvarint(b[:s.size])
		if k <= 0 || k != s.size {
			reason = "bad constant stream"
			break
		}
		fill(out, v)
		width = uint(bits.Len64(v))
	case codecRaw:
		if s.size != 8*len(out) {
			reason = "raw stream of the wrong size"
			break
		}
		for i := range out {
			out[i] = binary.LittleEndian.Uint64(b[8*i:])
		}
		width = 64
	case codecPFOR:
		width, reason = decodePFOR(out, b, s.size)
	default:
		width, reason = d.tans.decode(out, b, s.size)
	}
	if reason != "" {
		return 0, corrupt(s.off, reason)
	}
	return width, nil
}

func (d *Decoder) columns(data []byte, want Set, c *Columns) error {
	l := &d.l
	n := l.n
	if want.Has(ColSlot) {
		c.Slot = grow(c.Slot, n)
		if reason := decodeAxis(c.Slot, l.axis, uint8(l.flags&flagAxisMask), l.first, l.last); reason != "" {
			return corrupt(l.axisOff, reason)
		}
	}
	columns := [...]*[]float64{&c.Open, &c.Close, &c.High, &c.Low, &c.Volume, &c.QuoteVolume, &c.Trades}
	for i, col := range columns {
		if want.Has(columnOrder[i]) && (i < 4 || l.hasAmount(i-4)) {
			*col = grow(*col, n)
		}
	}
	if want&colPrices != 0 {
		if err := d.decodePrices(data, want, [4][]float64{c.Open, c.Close, c.High, c.Low}); err != nil {
			return err
		}
	}
	for i := range l.amounts {
		if x := *columns[4+i]; len(x) > 0 {
			if err := d.decodeAmount(data, i, x); err != nil {
				return err
			}
		}
	}
	if want.Has(ColProv) {
		c.Prov = grow(c.Prov, n)
		if err := d.decodeProv(data, c.Prov); err != nil {
			return err
		}
	}
	if l.flags&flagExceptions != 0 && want&(colPrices|colAmounts) != 0 {
		if reason := patch(&columns, l.exceptions, n); reason != "" {
			return corrupt(l.exceptionsOff, reason)
		}
	}
	return nil
}

// columnOrder is the order of the columns in the exceptions.
var columnOrder = [7]Set{ColOpen, ColClose, ColHigh, ColLow, ColVolume, ColQuoteVolume, ColTrades}

// decodePrices decodes the prices whose slice in out is not empty.
func (d *Decoder) decodePrices(data []byte, want Set, out [4][]float64) *CorruptError {
	l := &d.l
	k := 4
	if want&(ColHigh|ColLow) == 0 {
		k = 2 // open and close depend on each other only
	}
	var x [4][]uint64
	for i := range k {
		if len(out[i]) > 0 {
			x[i] = words(out[i])
		} else {
			d.prices[i] = grow(d.prices[i], l.n)
			x[i] = d.prices[i]
		}
	}
	for i, s := range [...]int{streamOpen, streamClose, streamHigh, streamLow} {
		if i < k {
			if _, err := d.stream(data, s, x[i]); err != nil {
				return err
			}
		}
	}
	if l.price.kind == kindDec {
		if q, ok := l.priceQuotient(); ok {
			if want&(ColOpen|ColHigh|ColLow) == 0 {
				l.closeQuotients(x[0], x[1], q)
			} else if k == 2 {
				l.bodyQuotients(x[0], x[1], q)
			} else {
				l.quotients(x[0], x[1], x[2], x[3], q)
			}
			return nil
		}
	}
	if k == 2 {
		l.integrateClose(x[0], x[1])
	} else {
		l.integrate(x[0], x[1], x[2], x[3])
	}
	for i, s := range [...]int{streamOpenULP, streamCloseULP, streamHighULP, streamLowULP} {
		if len(out[i]) == 0 {
			continue
		}
		if err := d.floats(data, x[i], l.price, s); err != nil {
			return err
		}
	}
	return nil
}

// floats turns the integers x into the bits of their values, in place.
func (d *Decoder) floats(data []byte, x []uint64, m mapping, ulpStream int) *CorruptError {
	switch m.kind {
	case kindDec, kindDecULP:
		p := pow10[m.exp&15]
		for i, v := range x {
			x[i] = math.Float64bits(float64(int64(v)) / p)
		}
	case kindF32Dec:
		p := pow10[m.exp&15]
		for i, v := range x {
			x[i] = math.Float64bits(float64(float32(float64(int64(v)) / p)))
		}
	case kindF32Bits:
		for i, v := range x {
			x[i] = math.Float64bits(widen(unordered32(int64(v))))
		}
	default:
		for i, v := range x {
			x[i] = unordered(int64(v))
		}
	}
	if !m.hasULP() {
		return nil
	}
	d.scratch = grow(d.scratch, len(x))
	if _, err := d.stream(data, ulpStream, d.scratch); err != nil {
		return err
	}
	for i, u := range d.scratch {
		x[i] = unordered(ordered(x[i]) + unzigzag(u))
	}
	return nil
}

func (d *Decoder) decodeAmount(data []byte, i int, out []float64) *CorruptError {
	a := &d.l.amounts[i]
	x := words(out)
	width, err := d.stream(data, amountStream(i), x)
	if err != nil {
		return err
	}
	if a.m.kind == kindDec && a.base == 0 && width < 48 {
		q, ok := newQuotient(a.m.exp)
		if ok && a.lot < q.limit>>width {
			for i, v := range x {
				x[i] = q.bits(int64(v * a.lot))
			}
			return nil
		}
	}
	if a.lot != 1 || a.base != 0 {
		for i, v := range x {
			x[i] = v*a.lot + uint64(a.base)
		}
	}
	return d.floats(data, x, a.m, amountULPStream(i))
}

func (d *Decoder) decodeProv(data []byte, out []uint32) *CorruptError {
	l := &d.l
	r := reader{b: data, i: l.paletteOff}
	for i := range l.palette {
		d.palette[i] = uint32(r.uvarint())
	}
	if l.palette == 1 {
		fill(out, d.palette[0])
		return nil
	}
	d.scratch = grow(d.scratch, l.n)
	x := d.scratch
	if _, err := d.stream(data, streamProv, x); err != nil {
		return err
	}
	if l.palette == 0 {
		for i := range out {
			if x[i] > math.MaxUint32 {
				return corrupt(d.streams[streamProv].off, "provenance value too large")
			}
			out[i] = uint32(x[i])
		}
		return nil
	}
	index, k := uint64(0), uint64(l.palette)
	for i, step := range x {
		if step >= k {
			return corrupt(d.streams[streamProv].off, "provenance index outside of the palette")
		}
		if index += step; index >= k {
			index -= k
		}
		out[i] = d.palette[index&(maxPalette-1)]
	}
	return nil
}

// patch puts the exceptions into those columns that are not empty.
func patch(columns *[7]*[]float64, b []byte, n int) (reason string) {
	r := reader{b: b}
	set := r.byte()
	for i, col := range columns {
		if set>>i&1 == 0 {
			continue
		}
		row := uint64(0)
		for count := r.uvarint(); count > 0; count-- {
			row += r.uvarint()
			v := r.u64()
			if r.err != nil || row >= uint64(n) {
				return "bad exception"
			}
			if len(*col) > 0 {
				(*col)[row] = math.Float64frombits(v)
			}
		}
	}
	if r.err != nil || r.i != len(b) || set>>7 != 0 {
		return "bad exceptions"
	}
	return ""
}
