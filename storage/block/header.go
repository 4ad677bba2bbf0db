package block

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// Format constants. A new layout is a new version; a decoder keeps reading
// the old ones.
const (
	magic = 0xB5
	// Version1 is the layout drawn in the package comment.
	Version1 = 1

	prefixSize   = 10
	checksumSize = 4
	// minSize is the prefix, the shortest variable part and the checksum.
	minSize = prefixSize + checksumSize
)

// Flag bits of the prefix. All others must be 0.
const (
	flagAxisMask    = 0x0003 // kind of the presence axis
	flagExceptions  = 0x0004 // some values are stored beside the streams
	flagWild        = 0x0008 // high and low residuals may be negative
	flagRawStats    = 0x0010 // price statistics as float64 instead of ticks
	flagQuoteVolume = 0x0020
	flagTrades      = 0x0040
	flagsKnown      = 0x007f
)

// castagnoli is the table of CRC32C, the checksum that amd64 and arm64
// compute in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(key, block []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, key), castagnoli, block)
}

// Header is what a block says of itself without decoding a column.
type Header struct {
	// Rows is the number of bars, 1 to MaxRows.
	Rows int
	// First and Last are the slots of the first and the last bar. The block
	// is dense if Last-First+1 == Rows.
	First, Last uint16
	// Version is the format version of the block.
	Version uint8
	// HasQuoteVolume and HasTrades report which optional columns it has.
	HasQuoteVolume, HasTrades bool
	// ProvOr and ProvAnd combine the provenance values that occur: a bit that
	// is 0 in ProvOr is set in no bar, a bit that is 1 in ProvAnd is set in
	// every bar. Blocks with more than 256 distinct values say nothing: all
	// ones and zero.
	ProvOr, ProvAnd uint32
	// Stats summarise the bars.
	Stats Stats
}

// Stats summarise the bars of a block as they were when it was encoded.
type Stats struct {
	// Open is the open of the first bar and Close the close of the last, bit
	// for bit.
	Open, Close float64
	// High is the largest High and Low the smallest Low of all bars, leaving
	// out NaNs; NaN if nothing is left. +0 counts as larger than -0.
	High, Low float64
	// Volume, QuoteVolume and Trades are sums over all bars, leaving out
	// values that are not finite; 0 for a column that the block lacks.
	Volume, QuoteVolume, Trades float64
	// VolumeSum, QuoteVolumeSum and TradesSum are the same sums before the
	// conversion to float64, to be combined with those of other blocks.
	VolumeSum, QuoteVolumeSum, TradesSum Sum
	// ZeroVolume counts the bars whose volume is 0 (or -0).
	ZeroVolume int
	// NonFinite counts the NaNs and infinities among the prices and volumes;
	// optional columns do not count.
	NonFinite int
}

// amount describes one of the columns volume, quote volume and trades.
type amount struct {
	m    mapping
	base int64  // subtracted before the lot is divided out
	lot  uint64 // greatest common divisor
	sum  Sum
}

// stream locates one stream of a block.
type stream struct {
	codec uint8
	off   int
	size  int
}

// Codecs of a stream: the low two bits of its directory entry.
const (
	codecConst = 0 // one uvarint, the value of every row
	codecRaw   = 1 // u64 per row
	codecPFOR  = 2
	codecTANS  = 3
)

// layout is a parsed block: everything but the streams' contents.
type layout struct {
	n           int
	flags       uint16
	first, last uint16

	price               mapping
	base                int64
	tick                uint64
	dLow, dHigh, dClose int64     // in ticks from base
	rawStats            [4]uint64 // open, high, low, close

	amounts [3]amount

	zeroVolume, nonFinite uint64

	palette        int // number of values, 0 if there is no palette
	paletteOff     int
	provOr         uint32
	provAnd        uint32
	axis           []byte
	axisOff        int
	exceptions     []byte
	exceptionsOff  int
	directoryStart int
}

func (l *layout) hasAmount(i int) bool {
	return i == 0 || l.flags&(flagQuoteVolume>>1<<i) != 0
}

// maxPalette is the most distinct provenance values that get a palette. Past
// it the values themselves are the stream.
const maxPalette = 256

// parsePrefix checks the fixed part of a block.
func (l *layout) parsePrefix(data []byte, maxRows int) *CorruptError {
	if len(data) < minSize {
		return corrupt(len(data), "truncated")
	}
	if data[0] != magic {
		return corrupt(0, "not a block")
	}
	if data[1] != Version1 {
		return &CorruptError{Offset: 1, Reason: "unknown format version", version: true}
	}
	l.flags = binary.LittleEndian.Uint16(data[2:])
	l.n = int(binary.LittleEndian.Uint16(data[4:])) + 1
	l.first = binary.LittleEndian.Uint16(data[6:])
	l.last = binary.LittleEndian.Uint16(data[8:])
	switch {
	case l.flags&^flagsKnown != 0:
		return corrupt(2, "reserved flag set")
	case l.flags&flagAxisMask > axisBitmap:
		return corrupt(2, "unknown axis kind")
	case l.n > maxRows:
		return corrupt(4, "more rows than allowed")
	case int(l.last)-int(l.first)+1 < l.n,
		l.flags&flagAxisMask == axisDense && int(l.last)-int(l.first)+1 != l.n:
		return corrupt(6, "slots do not fit the number of rows")
	}
	return nil
}

// parseStats reads the variable header up to and without the axis.
func (l *layout) parseStats(r *reader) {
	l.price = parseMapping(r)
	l.base = r.svarint()
	if l.tick = r.uvarint(); l.tick == 0 {
		r.fail("zero tick")
	}
	if l.flags&flagRawStats != 0 {
		for i := range l.rawStats {
			l.rawStats[i] = r.u64()
		}
	} else {
		l.dLow, l.dHigh, l.dClose = r.svarint(), r.svarint(), r.svarint()
	}
	for i := range l.amounts {
		if l.hasAmount(i) {
			l.parseAmount(r, &l.amounts[i])
		}
	}
	l.zeroVolume, l.nonFinite = r.uvarint(), r.uvarint()
	if l.zeroVolume > uint64(l.n) || l.nonFinite > 5*uint64(l.n) {
		r.fail("statistics exceed the number of rows")
	}
	l.parsePalette(r)
}

func parseMapping(r *reader) mapping {
	b := r.byte()
	m := mapping{b >> 4, b & 15}
	if !m.valid() {
		r.fail("unknown float mapping")
	}
	return m
}

func (l *layout) parseAmount(r *reader, a *amount) {
	a.m = parseMapping(r)
	a.base = r.svarint()
	if a.lot = r.uvarint(); a.lot == 0 {
		r.fail("zero lot")
	}
	a.sum = Sum{}
	if a.m.onGrid() {
		a.sum.Hi = r.svarint()
		a.sum.Lo = r.uvarint()
		a.sum.Exp = a.m.exp
	}
	if !a.m.onGrid() || l.flags&flagExceptions != 0 {
		a.sum.Rest = math.Float64frombits(r.u64())
	}
}

func (l *layout) parsePalette(r *reader) {
	k := r.uvarint()
	l.palette, l.paletteOff = int(k&0x1ff), r.i
	switch {
	case k > maxPalette || k > uint64(l.n):
		r.fail("palette too large")
		return
	case k == 0:
		l.provOr, l.provAnd = math.MaxUint32, 0
		return
	}
	l.provOr, l.provAnd = 0, math.MaxUint32
	for range k {
		v := r.uvarint()
		if v > math.MaxUint32 {
			r.fail("palette value too large")
			return
		}
		l.provOr |= uint32(v)
		l.provAnd &= uint32(v)
	}
}

// parseSections reads the axis and the exceptions as bytes.
func (l *layout) parseSections(r *reader) {
	l.axis, l.exceptions = nil, nil
	if l.flags&flagAxisMask != axisDense {
		size := r.uvarint()
		l.axisOff = r.i
		l.axis = r.take(size)
	}
	if l.flags&flagExceptions != 0 {
		size := r.uvarint()
		l.exceptionsOff = r.i
		l.exceptions = r.take(size)
	}
	l.directoryStart = r.i
}

// priceStats returns first open, highest high, lowest low and last close.
func (l *layout) priceStats() (o, h, lo, c float64) {
	if l.flags&flagRawStats != 0 {
		return math.Float64frombits(l.rawStats[0]), math.Float64frombits(l.rawStats[1]),
			math.Float64frombits(l.rawStats[2]), math.Float64frombits(l.rawStats[3])
	}
	t := int64(l.tick)
	return l.price.float(l.base), l.price.float(l.base + t*l.dHigh),
		l.price.float(l.base - t*l.dLow), l.price.float(l.base + t*l.dClose)
}

// ReadHeader returns the header of a block without decoding a column. With
// check it verifies the checksum over key and data first, which reads every
// byte of data; without, damage of the header may go unnoticed and give a
// wrong header, never a panic. Errors are a *CorruptError. It keeps neither
// key nor data.
func ReadHeader(key, data []byte, check bool) (Header, error) {
	var l layout
	if err := l.parsePrefix(data, MaxRows); err != nil {
		return Header{}, err
	}
	if check {
		if err := verifyChecksum(key, data); err != nil {
			return Header{}, err
		}
	}
	r := reader{b: data[:len(data)-checksumSize], i: prefixSize}
	l.parseStats(&r)
	if r.err != nil {
		return Header{}, r.err
	}
	h := Header{
		Rows: l.n, First: l.first, Last: l.last, Version: Version1,
		HasQuoteVolume: l.flags&flagQuoteVolume != 0,
		HasTrades:      l.flags&flagTrades != 0,
		ProvOr:         l.provOr, ProvAnd: l.provAnd,
	}
	s := &h.Stats
	s.Open, s.High, s.Low, s.Close = l.priceStats()
	s.VolumeSum, s.QuoteVolumeSum, s.TradesSum = l.amounts[0].sum, l.amounts[1].sum, l.amounts[2].sum
	s.Volume = s.VolumeSum.Float64()
	s.QuoteVolume = s.QuoteVolumeSum.Float64()
	s.Trades = s.TradesSum.Float64()
	s.ZeroVolume, s.NonFinite = int(l.zeroVolume), int(l.nonFinite)
	return h, nil
}

func verifyChecksum(key, data []byte) *CorruptError {
	if len(data) < minSize {
		return corrupt(len(data), "truncated")
	}
	end := len(data) - checksumSize
	if binary.LittleEndian.Uint32(data[end:]) != checksum(key, data[:end]) {
		return corrupt(end, "checksum mismatch")
	}
	return nil
}
