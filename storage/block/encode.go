package block

import (
	"encoding/binary"
	"math"
)

// Mode chooses between the two families of stream codecs.
type Mode uint8

const (
	// Sealed codes streams with class-tANS: the smallest blocks, for data
	// that is written once.
	Sealed Mode = iota
	// Hot packs bits: some 12 % larger and about twice as fast to decode,
	// for blocks that are still being added to.
	Hot
)

// An Encoder encodes blocks. It keeps scratch space between blocks and
// nothing else: what it writes depends on the arguments of Encode and on
// Mode only, on every architecture. The zero value is ready to use. An
// Encoder must not be used by two goroutines at a time.
type Encoder struct {
	// Mode is the family of stream codecs of the next block.
	Mode Mode

	tans tansEncoder
	// Residual streams of the prices (O C H L) and amounts (V Q T), and the
	// ULP streams beside them.
	prices    [4][]uint64
	amounts   [3][]uint64
	priceULP  [4][]uint64
	amountULP [3][]uint64
	// Exceptions per column, in the order O C H L V Q T.
	exceptions [7][]exception

	prov    []uint64
	palette []uint32
	skip    [4][]bool

	directory, body, section []byte
}

// exception is a value that the mapping of its column cannot express.
type exception struct {
	row  int
	bits uint64
}

// Encode appends the block of c to dst and returns the extended slice. The
// checksum covers key followed by the block, so that a block that strays under
// another key is noticed; key is not stored. Encode keeps none of its
// arguments. Its only errors match ErrShape, and leave dst as it was.
func (e *Encoder) Encode(dst, key []byte, c *Columns) ([]byte, error) {
	n, err := checkShape(c)
	if err != nil {
		return dst, err
	}
	for i := range e.exceptions {
		e.exceptions[i] = e.exceptions[i][:0]
	}
	l := layout{n: n, first: c.Slot[0], last: c.Slot[n-1]}
	e.mapPrices(&l, c)
	for i, x := range [...][]float64{c.Volume, c.QuoteVolume, c.Trades} {
		if len(x) > 0 {
			l.flags |= flagQuoteVolume >> 1 << i & (flagQuoteVolume | flagTrades)
			e.mapAmount(&l, i, x)
		}
	}
	e.mapProv(&l, c.Prov)
	for i := range e.exceptions {
		if len(e.exceptions[i]) > 0 {
			l.flags |= flagExceptions
		}
	}
	e.summarize(&l, c)

	e.directory, e.body = e.directory[:0], e.body[:0]
	e.appendStreams(&l)

	start := len(dst)
	dst = e.appendHeader(dst, &l, c)
	dst = append(dst, e.directory...)
	dst = append(dst, e.body...)
	return binary.LittleEndian.AppendUint32(dst, checksum(key, dst[start:])), nil
}

// appendStreams encodes the streams in the order of the directory: what a
// reader of closes alone needs comes first.
func (e *Encoder) appendStreams(l *layout) {
	e.appendStream(e.prices[resOpen])
	e.appendStream(e.prices[resClose])
	e.appendStream(e.amounts[0])
	e.appendStream(e.prices[resHigh])
	e.appendStream(e.prices[resLow])
	if l.price.hasULP() {
		for i := range e.priceULP {
			e.appendStream(e.priceULP[i])
		}
	}
	if l.amounts[0].m.hasULP() {
		e.appendStream(e.amountULP[0])
	}
	if l.palette != 1 {
		e.appendStream(e.prov)
	}
	for i := 1; i < len(l.amounts); i++ {
		if !l.hasAmount(i) {
			continue
		}
		e.appendStream(e.amounts[i])
		if l.amounts[i].m.hasULP() {
			e.appendStream(e.amountULP[i])
		}
	}
}

// appendStream encodes one stream and its directory entry.
func (e *Encoder) appendStream(x []uint64) {
	start := len(e.body)
	codec := e.encodeStream(x)
	e.directory = binary.AppendUvarint(e.directory, uint64(len(e.body)-start)<<2|uint64(codec))
}

func (e *Encoder) encodeStream(x []uint64) (codec uint8) {
	if constant(x) {
		e.body = binary.AppendUvarint(e.body, x[0])
		return codecConst
	}
	start := len(e.body)
	ok := false
	if e.Mode == Sealed {
		codec = codecTANS
		e.body, ok = e.tans.append(e.body, x)
		// The table of a short stream may cost more than it saves.
		if size := len(e.body) - start; ok && len(x) <= 2*pforGroup {
			if e.body, ok = appendPFOR(e.body, x); len(e.body)-start < 2*size {
				copy(e.body[start:], e.body[start+size:])
				e.body = e.body[:len(e.body)-size]
				codec = codecPFOR
			} else {
				e.body = e.body[:start+size]
			}
		}
	} else {
		codec = codecPFOR
		e.body, ok = appendPFOR(e.body, x)
	}
	if ok && len(e.body)-start < 8*len(x) {
		return codec
	}
	e.body = e.body[:start]
	for _, v := range x {
		e.body = binary.LittleEndian.AppendUint64(e.body, v)
	}
	return codecRaw
}

func constant(x []uint64) bool {
	for _, v := range x {
		if v != x[0] {
			return false
		}
	}
	return true
}

func (e *Encoder) appendHeader(dst []byte, l *layout, c *Columns) []byte {
	kind, gaps, axisSize := axisPlan(c.Slot)
	dst = append(dst, magic, Version1)
	dst = binary.LittleEndian.AppendUint16(dst, l.flags|uint16(kind))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(l.n-1))
	dst = binary.LittleEndian.AppendUint16(dst, l.first)
	dst = binary.LittleEndian.AppendUint16(dst, l.last)

	dst = append(dst, l.price.kind<<4|l.price.exp)
	dst = appendSvarint(dst, l.base)
	dst = binary.AppendUvarint(dst, l.tick)
	if l.flags&flagRawStats != 0 {
		for _, v := range l.rawStats {
			dst = binary.LittleEndian.AppendUint64(dst, v)
		}
	} else {
		dst = appendSvarint(dst, l.dLow)
		dst = appendSvarint(dst, l.dHigh)
		dst = appendSvarint(dst, l.dClose)
	}
	for i := range l.amounts {
		if l.hasAmount(i) {
			dst = l.appendAmount(dst, &l.amounts[i])
		}
	}
	dst = binary.AppendUvarint(dst, l.zeroVolume)
	dst = binary.AppendUvarint(dst, l.nonFinite)
	dst = binary.AppendUvarint(dst, uint64(l.palette))
	for _, v := range e.palette[:l.palette] {
		dst = binary.AppendUvarint(dst, uint64(v))
	}
	if kind != axisDense {
		dst = binary.AppendUvarint(dst, uint64(axisSize))
		dst = appendAxis(dst, c.Slot, kind, gaps)
	}
	if l.flags&flagExceptions != 0 {
		e.section = e.appendExceptions(e.section[:0])
		dst = binary.AppendUvarint(dst, uint64(len(e.section)))
		dst = append(dst, e.section...)
	}
	return dst
}

func (l *layout) appendAmount(dst []byte, a *amount) []byte {
	dst = append(dst, a.m.kind<<4|a.m.exp)
	dst = appendSvarint(dst, a.base)
	dst = binary.AppendUvarint(dst, a.lot)
	if a.m.onGrid() {
		dst = appendSvarint(dst, a.sum.Hi)
		dst = binary.AppendUvarint(dst, a.sum.Lo)
	}
	if !a.m.onGrid() || l.flags&flagExceptions != 0 {
		rest := math.Float64bits(a.sum.Rest)
		if math.IsNaN(a.sum.Rest) {
			// The NaN that inf-inf makes differs between architectures.
			rest = canonicalNaN
		}
		dst = binary.LittleEndian.AppendUint64(dst, rest)
	}
	return dst
}

// appendExceptions writes the columns that have exceptions as a bit set, then
// per column their number and, for each, the distance from the row before and
// the value's bits.
func (e *Encoder) appendExceptions(dst []byte) []byte {
	set := byte(0)
	for i := range e.exceptions {
		if len(e.exceptions[i]) > 0 {
			set |= 1 << i
		}
	}
	dst = append(dst, set)
	for _, list := range e.exceptions {
		if len(list) == 0 {
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(len(list)))
		row := 0
		for _, x := range list {
			dst = binary.AppendUvarint(dst, uint64(x.row-row))
			dst = binary.LittleEndian.AppendUint64(dst, x.bits)
			row = x.row
		}
	}
	return dst
}

// mapProv makes the palette and the index stream of the provenance.
func (e *Encoder) mapProv(l *layout, prov []uint32) {
	e.palette = e.palette[:0]
	if len(prov) == 0 {
		e.palette = append(e.palette, 0)
		l.palette = 1
		return
	}
	e.prov = grow(e.prov, l.n)
	last := 0
	e.palette = append(e.palette, prov[0])
	var odd uint32
	for _, v := range prov {
		odd |= v ^ prov[0]
	}
	if odd == 0 {
		l.palette = 1
		return
	}
	for i, v := range prov {
		if v != e.palette[last] {
			for last = 0; last < len(e.palette) && e.palette[last] != v; last++ {
			}
			if last == len(e.palette) {
				if last == maxPalette {
					e.rawProv(l, prov)
					return
				}
				e.palette = append(e.palette, v)
			}
		}
		e.prov[i] = uint64(last)
	}
	l.palette = len(e.palette)
	// Provenance comes in runs: steps from one index to the next, around the
	// palette, are nearly all 0 where the indices themselves are not.
	prev, k := uint64(0), uint64(l.palette)
	for i, v := range e.prov {
		d := v + k - prev
		if d >= k {
			d -= k
		}
		e.prov[i] = d
		prev = v
	}
}

func (e *Encoder) rawProv(l *layout, prov []uint32) {
	l.palette = 0
	for i, v := range prov {
		e.prov[i] = uint64(v)
	}
}

// summarize completes the statistics of the header that the mappings have not
// filled in.
func (e *Encoder) summarize(l *layout, c *Columns) {
	plain := l.flags&flagExceptions == 0
	odd := 0
	for _, list := range e.exceptions[:4] {
		odd += len(list)
	}
	if l.price.kind == kindDecULP || !l.price.onGrid() || odd > 0 {
		l.flags |= flagRawStats
		l.rawStats = [4]uint64{
			math.Float64bits(c.Open[0]), highest(c.High), lowest(c.Low), math.Float64bits(c.Close[l.n-1]),
		}
	}
	if !plain || !l.price.onGrid() || !l.amounts[0].m.onGrid() {
		for _, x := range [...][]float64{c.Open, c.High, c.Low, c.Close, c.Volume} {
			for _, v := range x {
				if !finite(v) {
					l.nonFinite++
				}
			}
		}
	}
	for _, v := range c.Volume {
		if v == 0 {
			l.zeroVolume++
		}
	}
}

// highest returns the bits of the largest value of x that is not a NaN.
func highest(x []float64) uint64 {
	best, found := int64(math.MinInt64), false
	for _, v := range x {
		if !math.IsNaN(v) {
			best, found = max(best, ordered(math.Float64bits(v))), true
		}
	}
	if !found {
		return canonicalNaN
	}
	return unordered(best)
}

// lowest returns the bits of the smallest value of x that is not a NaN.
func lowest(x []float64) uint64 {
	best, found := int64(math.MaxInt64), false
	for _, v := range x {
		if !math.IsNaN(v) {
			best, found = min(best, ordered(math.Float64bits(v))), true
		}
	}
	if !found {
		return canonicalNaN
	}
	return unordered(best)
}

const canonicalNaN = 0x7ff8000000000001
