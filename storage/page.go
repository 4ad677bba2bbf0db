package storage

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"

	"github.com/barkeepdb/barkeep/series"
)

// A summary is what the store says of one block without decoding it. It is
// kept in two pages, coverage and stats, because a gap scan reads the first of
// every block and nothing else.
type summary struct {
	block   int64
	present []span16 // slots with a bar, from the start of the block; a set
	marks   []mark   // of them: those whose state is not plain observed, in order
	rows    uint32   // row groups in the rows keyspace, still to be folded
	damaged bool     // set aside by verify: the block cannot be read
	stats   blockStats
}

// span16 is a half-open range of slots inside a block.
type span16 struct{ from, to uint16 }

type mark struct {
	span16
	state series.State
}

// blockStats are the figures of a block. While rows wait to be folded only
// count and bytes are right; open to nonFinite are those of the folded part.
type blockStats struct {
	version                uint64 // of the encoded block; 0: there is none
	bytes                  uint32 // of the encoded block
	count                  uint16 // bars, rows included
	zeroVolume, nonFinite  uint16
	open, high, low, close float64
	volume                 float64
	sum                    uint64 // of the encoded block and the rows beside it
}

var errPage = errors.New("summary page is damaged")

func (s *summary) count() int {
	n := 0
	for _, p := range s.present {
		n += int(p.to - p.from)
	}
	return n
}

// overlaps reports whether a bar is present in one of the slots, which ascend.
func (s *summary) overlaps(slots []uint16) bool {
	i := 0
	for _, p := range s.present {
		for i < len(slots) && slots[i] < p.from {
			i++
		}
		if i < len(slots) && slots[i] < p.to {
			return true
		}
	}
	return false
}

// Coverage page: version 1, then per block that has bars or is damaged:
//
//	u8  number of the block in its page
//	u8  bits 0-1: 0 dense, 1 runs, 2 bitmap; bit 2 rows follow; bit 3 marks follow; bit 4 damaged
//	    runs:   uvarint count, then per run uvarint slots absent before it, uvarint slots present
//	    bitmap: 180 bytes, bit i of byte k is slot 8k+i
//	    rows:   uvarint number of row groups
//	    marks:  uvarint count, then per mark u8 state, uvarint slots since the last, uvarint slots
const (
	pageVersion = 1

	presentDense  = 0
	presentRuns   = 1
	presentBitmap = 2
	pageRows      = 1 << 2
	pageMarks     = 1 << 3
	pageDamaged   = 1 << 4

	bitmapBytes = blockSlots / 8
)

// appendCoverage adds the entry of one block to a coverage page.
func appendCoverage(dst []byte, s *summary) []byte {
	flags := byte(presentRuns)
	if len(s.present) == 1 && s.present[0] == (span16{0, blockSlots}) {
		flags = presentDense
	} else if runBytes(s.present) > bitmapBytes {
		flags = presentBitmap
	}
	if s.rows > 0 {
		flags |= pageRows
	}
	if len(s.marks) > 0 {
		flags |= pageMarks
	}
	if s.damaged {
		flags |= pageDamaged
	}
	dst = append(dst, byte(s.block-pageOf(s.block)*pageBlocks), flags)
	switch flags & 3 {
	case presentRuns:
		dst = binary.AppendUvarint(dst, uint64(len(s.present)))
		var at uint16
		for _, p := range s.present {
			dst = binary.AppendUvarint(dst, uint64(p.from-at))
			dst = binary.AppendUvarint(dst, uint64(p.to-p.from))
			at = p.to
		}
	case presentBitmap:
		n := len(dst)
		dst = append(dst, make([]byte, bitmapBytes)...)
		for _, p := range s.present {
			for i := p.from; i < p.to; i++ {
				dst[n+int(i>>3)] |= 1 << (i & 7)
			}
		}
	}
	if s.rows > 0 {
		dst = binary.AppendUvarint(dst, uint64(s.rows))
	}
	if len(s.marks) > 0 {
		dst = binary.AppendUvarint(dst, uint64(len(s.marks)))
		var at uint16
		for _, m := range s.marks {
			dst = append(dst, byte(m.state))
			dst = binary.AppendUvarint(dst, uint64(m.from-at))
			dst = binary.AppendUvarint(dst, uint64(m.to-m.from))
			at = m.to
		}
	}
	return dst
}

func runBytes(ps []span16) int {
	n := 0
	var at uint16
	for _, p := range ps {
		n += 2
		if p.from-at >= 128 {
			n++
		}
		if p.to-p.from >= 128 {
			n++
		}
		at = p.to
	}
	return n
}

// pageReader walks the entries of a coverage page.
type pageReader struct {
	data []byte
	at   int   // position in data
	base int64 // first block of the page
	err  error

	block   int64
	damaged bool
	rows    uint32
	marks   []mark   // valid until the next entry
	present []span16 // valid until the next entry; not filled while runsOnly
	count   int

	// runs, where set, receives present slots as slots of the series instead of
	// present: what a gap scan wants, joined over blocks.
	runs     *[]series.Run
	runsOnly bool
}

// reset makes r read the page with the given number.
func (r *pageReader) reset(page int64, data []byte) error {
	r.base, r.err = page*pageBlocks, nil
	if len(data) == 0 || data[0] != pageVersion {
		r.err = errPage
		return r.err
	}
	r.data, r.at = data, 1
	return nil
}

// next reads the next entry and reports whether there was one.
func (r *pageReader) next() bool {
	if r.err != nil || r.at >= len(r.data) {
		return false
	}
	if len(r.data)-r.at < 2 || r.data[r.at] >= pageBlocks {
		return r.fail()
	}
	r.block = r.base + int64(r.data[r.at])
	flags := r.data[r.at+1]
	r.at += 2
	r.damaged = flags&pageDamaged != 0
	r.present, r.marks, r.rows, r.count = r.present[:0], r.marks[:0], 0, 0
	switch flags & 3 {
	case presentDense:
		r.add(0, blockSlots)
	case presentRuns:
		if !r.readRuns() {
			return r.fail()
		}
	case presentBitmap:
		if len(r.data)-r.at < bitmapBytes {
			return r.fail()
		}
		r.readBitmap(r.data[r.at : r.at+bitmapBytes])
		r.at += bitmapBytes
	default:
		return r.fail()
	}
	if flags&pageRows != 0 {
		v := r.uvarint()
		if v > math.MaxUint32 {
			return r.fail()
		}
		r.rows = uint32(v)
	}
	if flags&pageMarks != 0 && !r.readMarks() {
		return r.fail()
	}
	return true
}

func (r *pageReader) fail() bool {
	r.err = errPage
	return false
}

func (r *pageReader) add(from, to uint16) {
	r.count += int(to - from)
	if r.runs != nil {
		start := blockStart(r.block)
		run := series.Run{From: start + series.Slot(from), To: start + series.Slot(to)}
		// Joined here and not by series.Join: this is the inner loop of every
		// gap scan.
		if rs := *r.runs; len(rs) > 0 && rs[len(rs)-1].To == run.From {
			rs[len(rs)-1].To = run.To
		} else {
			*r.runs = append(rs, run)
		}
	}
	if !r.runsOnly {
		r.present = append(r.present, span16{from, to})
	}
}

// badUvarint stands for a number that cannot be read; no valid one is as big.
const badUvarint = math.MaxUint64

func (r *pageReader) uvarint() uint64 {
	if r.at < len(r.data) && r.data[r.at] < 0x80 {
		r.at++
		return uint64(r.data[r.at-1])
	}
	v, n := binary.Uvarint(r.data[min(r.at, len(r.data)):])
	if n <= 0 {
		return badUvarint
	}
	r.at += n
	return v
}

// readRuns is the inner loop of every gap scan, so it reads numbers and joins
// runs in place. No number of an entry exceeds blockSlots: two bytes do.
func (r *pageReader) readRuns() bool {
	data, pos := r.data, r.at
	n := 0
	if n, pos = short(data, pos); n > blockSlots {
		return false
	}
	start := blockStart(r.block)
	at := 0
	var runs []series.Run
	if r.runs != nil {
		runs = *r.runs
	}
	for ; n > 0; n-- {
		var gap, length int
		gap, pos = short(data, pos)
		length, pos = short(data, pos)
		from := at + gap
		at = from + length
		if length == 0 || at > blockSlots {
			return false
		}
		r.count += length
		if r.runs != nil {
			run := series.Run{From: start + series.Slot(from), To: start + series.Slot(at)}
			if k := len(runs) - 1; k >= 0 && runs[k].To == run.From {
				runs[k].To = run.To
			} else {
				runs = append(runs, run)
			}
		}
		if !r.runsOnly {
			r.present = append(r.present, span16{uint16(from), uint16(at)})
		}
	}
	if r.runs != nil {
		*r.runs = runs
	}
	r.at = pos
	return true
}

// short reads a number of one or two bytes; what it cannot read is more than
// any slot.
func short(data []byte, pos int) (int, int) {
	if pos >= len(data) {
		return 1 << 20, pos
	}
	v := int(data[pos])
	if v < 0x80 {
		return v, pos + 1
	}
	if pos+1 >= len(data) || data[pos+1] >= 0x80 {
		return 1 << 20, pos
	}
	return v&0x7f | int(data[pos+1])<<7, pos + 2
}

func (r *pageReader) readBitmap(b []byte) {
	from := -1
	for k := 0; k < bitmapBytes; k += 4 {
		w := binary.LittleEndian.Uint32(b[k:])
		for at := 0; at < 32; {
			if from < 0 { // look for a set bit
				n := bits.TrailingZeros32(w >> at)
				if w>>at == 0 {
					break
				}
				at += n
				from = k*8 + at
			} else {
				n := bits.TrailingZeros32(^w >> at)
				if ^w>>at == 0 {
					break
				}
				at += n
				r.add(uint16(from), uint16(k*8+at))
				from = -1
			}
		}
	}
	if from >= 0 {
		r.add(uint16(from), blockSlots)
	}
}

func (r *pageReader) readMarks() bool {
	n := r.uvarint()
	if n > blockSlots {
		return false
	}
	at := uint64(0)
	for ; n > 0; n-- {
		if r.at >= len(r.data) {
			return false
		}
		state := r.data[r.at]
		r.at++
		skip, length := r.uvarint(), r.uvarint()
		if skip > blockSlots || length > blockSlots || length == 0 || at+skip+length > blockSlots || int(state) >= series.NumStates {
			return false
		}
		at += skip
		r.marks = append(r.marks, mark{span16{uint16(at), uint16(at + length)}, series.State(state)})
		at += length
	}
	return true
}

// Stats page: version 2, then statsEntry bytes per block, little endian:
//
//	u8 number of the block in its page | u64 version | u32 bytes | u16 count | u16 zero-volume bars | u16 non-finite bars
//	f64 open | f64 high | f64 low | f64 close | f64 volume | u64 sum
//
// Version 1 had no sum.
const (
	statsVersion = 2
	statsEntryV1 = 1 + 8 + 4 + 3*2 + 5*8
	statsEntry   = statsEntryV1 + 8
)

func appendStats(dst []byte, block int64, s *blockStats) []byte {
	dst = append(dst, byte(block-pageOf(block)*pageBlocks))
	dst = binary.LittleEndian.AppendUint64(dst, s.version)
	dst = binary.LittleEndian.AppendUint32(dst, s.bytes)
	dst = binary.LittleEndian.AppendUint16(dst, s.count)
	dst = binary.LittleEndian.AppendUint16(dst, s.zeroVolume)
	dst = binary.LittleEndian.AppendUint16(dst, s.nonFinite)
	for _, f := range [...]float64{s.open, s.high, s.low, s.close, s.volume} {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
	}
	return binary.LittleEndian.AppendUint64(dst, s.sum)
}

// readStats reads an entry of this version, or a shorter one of version 1.
func readStats(b []byte) (number byte, s blockStats) {
	le := binary.LittleEndian
	f := func(i int) float64 { return math.Float64frombits(le.Uint64(b[19+8*i:])) }
	var sum uint64
	if len(b) >= statsEntry {
		sum = le.Uint64(b[statsEntryV1:])
	}
	return b[0], blockStats{
		sum:     sum,
		version: le.Uint64(b[1:]), bytes: le.Uint32(b[9:]), count: le.Uint16(b[13:]),
		zeroVolume: le.Uint16(b[15:]), nonFinite: le.Uint16(b[17:]),
		open: f(0), high: f(1), low: f(2), close: f(3), volume: f(4),
	}
}

// page is the summaries of the blocks of one page, in order.
type page struct {
	number int64
	blocks []*summary
	stored uint64 // sum of the page as it is stored; 0 if it is not
}

// find returns the index of the summary of block, or where it belongs.
func (p *page) find(block int64) (int, bool) {
	for i, s := range p.blocks {
		if s.block >= block {
			return i, s.block == block
		}
	}
	return len(p.blocks), false
}

func (p *page) get(block int64) *summary {
	if i, ok := p.find(block); ok {
		return p.blocks[i]
	}
	return nil
}

// put adds s or replaces the summary of its block; a summary of nothing is
// removed.
func (p *page) put(s *summary) {
	i, ok := p.find(s.block)
	empty := len(s.present) == 0 && !s.damaged
	switch {
	case ok && empty:
		p.blocks = append(p.blocks[:i], p.blocks[i+1:]...)
	case ok:
		p.blocks[i] = s
	case !empty:
		p.blocks = append(p.blocks, nil)
		copy(p.blocks[i+1:], p.blocks[i:])
		p.blocks[i] = s
	}
}

func (p *page) encode() (coverage, stats []byte) {
	coverage, stats = []byte{pageVersion}, []byte{statsVersion}
	for _, s := range p.blocks {
		coverage = appendCoverage(coverage, s)
		stats = appendStats(stats, s.block, &s.stats)
	}
	return coverage, stats
}

// decodePage reads both pages; either may be empty, which is a page without
// blocks.
func decodePage(number int64, coverage, stats []byte) (*page, error) {
	p := &page{number: number}
	if len(coverage) == 0 {
		return p, nil
	}
	var r pageReader
	if err := r.reset(number, coverage); err != nil {
		return nil, err
	}
	for r.next() {
		s := &summary{
			block: r.block, rows: r.rows, damaged: r.damaged,
			present: append([]span16(nil), r.present...), marks: append([]mark(nil), r.marks...),
		}
		if n := len(p.blocks); n > 0 && p.blocks[n-1].block >= s.block {
			return nil, errPage
		}
		p.blocks = append(p.blocks, s)
	}
	if r.err != nil {
		return nil, r.err
	}
	entry := statsEntry
	if len(stats) > 0 && stats[0] == 1 {
		entry = statsEntryV1
	}
	if len(stats) != 1+len(p.blocks)*entry || stats[0] > statsVersion || stats[0] == 0 {
		return nil, errPage
	}
	for i, s := range p.blocks {
		number, st := readStats(stats[1+i*entry : 1+(i+1)*entry])
		if p.number*pageBlocks+int64(number) != s.block {
			return nil, errPage
		}
		s.stats = st
	}
	return p, nil
}
