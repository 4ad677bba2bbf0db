package storage

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/barkeepdb/barkeep/series"
)

// ledger is the state of one series: totals, the last bar and the summary of
// the tail, the block of the last bar. The tail has no entry in its page until
// a later block follows, so that an append rewrites a few hundred bytes here
// and no page.
type ledger struct {
	changes uint64 // sequence of the last change
	bars    int64
	blocks  int64 // blocks with bars, the tail included
	bytes   int64 // of encoded blocks
	pending int64 // blocks that have rows to fold, the tail included
	first   series.Slot
	last    series.Slot
	lastBar series.Bar // valid while bars > 0
	tail    *summary   // nil while bars == 0
	damaged []int64    // blocks set aside, in order: bars or not, they belong to the series

	// placed: something is keyed by the slots of the grid, which cannot move
	// any more.
	placed bool
	// Sums and numbers of the pairs that belong to the series. The sums of
	// blocks and rows are in the stats of their block.
	pages     uint64 // sum of coverage and stats pages
	evidence  uint64
	evidences int64
	aside     uint64
	asides    int64
}

// ledgerVersion 1 had no sums, see migrateSums.
const ledgerVersion = 2

var (
	errLedger  = errors.New("ledger entry is damaged")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// ledgerHead is the number of 8-byte integers of a ledger.
const ledgerHead = 13

// encode writes: u8 version, 13 8-byte integers, the number of damaged blocks
// and their numbers as varints, then while there are bars the last bar as a row
// and the tail as one entry each of a coverage and a stats page, then a CRC32C
// of all of it.
func (l *ledger) encode() []byte {
	le := binary.LittleEndian
	dst := append(make([]byte, 0, 384), ledgerVersion)
	placed := uint64(0)
	if l.placed {
		placed = 1
	}
	for _, v := range [ledgerHead]uint64{
		l.changes, uint64(l.bars), uint64(l.blocks), uint64(l.bytes), uint64(l.pending), uint64(l.first), uint64(l.last),
		placed, l.pages, l.evidence, uint64(l.evidences), l.aside, uint64(l.asides),
	} {
		dst = le.AppendUint64(dst, v)
	}
	dst = binary.AppendUvarint(dst, uint64(len(l.damaged)))
	for _, b := range l.damaged {
		dst = binary.AppendVarint(dst, b)
	}
	if l.bars > 0 {
		dst = appendRow(dst, uint16(l.last-blockStart(l.tail.block)), &l.lastBar)
		dst = le.AppendUint64(dst, uint64(l.tail.block))
		at := len(dst)
		dst = appendCoverage(append(dst, 0, 0), l.tail)
		le.PutUint16(dst[at:], uint16(len(dst)-at-2))
		dst = appendStats(dst, l.tail.block, &l.tail.stats)
	}
	return le.AppendUint32(dst, crc32.Checksum(dst, castagnoli))
}

// decodeLedger reads a ledger of this version or of the one before.
func decodeLedger(g series.Grid, b []byte) (*ledger, error) {
	le := binary.LittleEndian
	if len(b) < 5 || crc32.Checksum(b[:len(b)-4], castagnoli) != le.Uint32(b[len(b)-4:]) {
		return nil, errLedger
	}
	head := ledgerHead
	switch b[0] {
	case 1:
		head = 7
	case ledgerVersion:
	default:
		return nil, errLedger
	}
	if len(b) < 1+8*head+1+4 {
		return nil, errLedger
	}
	old := head < ledgerHead
	b = b[:len(b)-4]
	v := func(i int) uint64 {
		if i >= head {
			return 0
		}
		return le.Uint64(b[1+8*i:])
	}
	l := &ledger{
		changes: v(0), bars: int64(v(1)), blocks: int64(v(2)), bytes: int64(v(3)),
		pending: int64(v(4)), first: series.Slot(v(5)), last: series.Slot(v(6)),
		placed: v(7) != 0 || old, pages: v(8), evidence: v(9), evidences: int64(v(10)), aside: v(11), asides: int64(v(12)),
	}
	b = b[1+8*head:]
	count, n := binary.Uvarint(b)
	if n <= 0 || count > uint64(len(b)) {
		return nil, errLedger
	}
	b = b[n:]
	for range count {
		v, n := binary.Varint(b)
		if n <= 0 {
			return nil, errLedger
		}
		l.damaged, b = append(l.damaged, v), b[n:]
	}
	if l.bars == 0 {
		return l, nil
	}
	_, bar, b, ok := readRow(b)
	if !ok || len(b) < 10 {
		return nil, errLedger
	}
	l.lastBar = bar
	l.lastBar.Time = g.Time(l.last)
	block := int64(le.Uint64(b))
	n = int(le.Uint16(b[8:]))
	b = b[10:]
	entry := statsEntry
	if old {
		entry = statsEntryV1
	}
	if len(b) != n+entry {
		return nil, errLedger
	}
	r := pageReader{data: b[:n], base: pageOf(block) * pageBlocks}
	if !r.next() || r.block != block {
		return nil, errLedger
	}
	l.tail = &summary{block: block, present: r.present, marks: r.marks, rows: r.rows, damaged: r.damaged}
	_, l.tail.stats = readStats(b[n:])
	return l, nil
}
