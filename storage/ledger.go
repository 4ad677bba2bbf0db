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
}

const ledgerVersion = 1

var (
	errLedger  = errors.New("ledger entry is damaged")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// encode writes: u8 version, seven 8-byte integers, the number of damaged blocks
// and their numbers as varints, then while there are bars the last bar as a row
// and the tail as one entry each of a coverage and a stats page, then a CRC32C
// of all of it.
func (l *ledger) encode() []byte {
	le := binary.LittleEndian
	dst := append(make([]byte, 0, 320), ledgerVersion)
	for _, v := range [...]uint64{l.changes, uint64(l.bars), uint64(l.blocks), uint64(l.bytes), uint64(l.pending), uint64(l.first), uint64(l.last)} {
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

func decodeLedger(g series.Grid, b []byte) (*ledger, error) {
	le := binary.LittleEndian
	if len(b) < 61 || b[0] != ledgerVersion ||
		crc32.Checksum(b[:len(b)-4], castagnoli) != le.Uint32(b[len(b)-4:]) {
		return nil, errLedger
	}
	b = b[:len(b)-4]
	v := func(i int) uint64 { return le.Uint64(b[1+8*i:]) }
	l := &ledger{
		changes: v(0), bars: int64(v(1)), blocks: int64(v(2)), bytes: int64(v(3)),
		pending: int64(v(4)), first: series.Slot(v(5)), last: series.Slot(v(6)),
	}
	b = b[57:]
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
	if len(b) != n+statsEntry {
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
