package storage

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/barkeepdb/barkeep/series"
)

// The journal holds one entry per change, written in the batch of the change:
// which slots it added and what it replaced or removed, so that any earlier
// state can be computed and any change undone. Its key is the sequence of the
// change.
//
//	u8 version | u8 op | u32 series | i64 time | u32 source | uvarint bars added, replaced, removed
//	uvarint runs, then per run of added slots: svarint slots since the end of the last (the first: since 0), uvarint slots
//	uvarint blocks, then per block: svarint number, uvarint bytes, u64 checksum version, encoded block of the bars before
type journalEntry struct {
	op     journalOp
	series seriesID
	at     series.Time // knowledge time: when the store learned it
	source series.SourceID

	added, replaced, removed int64
	runs                     []series.Run // slots that got their first bar
	before                   []beforeBlock
}

// beforeBlock holds the bars of one block that a change replaced or removed.
// version is the one that the checksum of data was made with.
type beforeBlock struct {
	block   int64
	version uint64
	data    []byte
}

type journalOp uint8

const (
	opWrite   journalOp = 1
	opDelete  journalOp = 2
	opFold    journalOp = 3 // rows folded into their block: no bar changes
	opDamage  journalOp = 4 // damaged or lost bars set aside
	opExplain journalOp = 5 // evidence of absence
	opAside   journalOp = 6 // bars put into quarantine
)

func (o journalOp) String() string {
	switch o {
	case opWrite:
		return "bars"
	case opDelete:
		return "a deletion"
	case opFold:
		return "a folding"
	case opDamage:
		return "damage"
	case opExplain:
		return "evidence of absence"
	case opAside:
		return "quarantine"
	}
	return "something unknown"
}

const journalVersion = 1

var errJournal = errors.New("journal entry is damaged")

func (e *journalEntry) encode(dst []byte) []byte {
	le := binary.LittleEndian
	dst = append(dst, journalVersion, byte(e.op))
	dst = le.AppendUint32(dst, uint32(e.series))
	dst = le.AppendUint64(dst, uint64(e.at))
	dst = le.AppendUint32(dst, uint32(e.source))
	for _, v := range [...]int64{e.added, e.replaced, e.removed} {
		dst = binary.AppendUvarint(dst, uint64(v))
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.runs)))
	at := series.Slot(0)
	for _, r := range e.runs {
		dst = binary.AppendVarint(dst, int64(r.From-at))
		dst = binary.AppendUvarint(dst, uint64(r.Len()))
		at = r.To
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.before)))
	for _, b := range e.before {
		dst = binary.AppendVarint(dst, b.block)
		dst = binary.AppendUvarint(dst, uint64(len(b.data)))
		dst = le.AppendUint64(dst, b.version)
		dst = append(dst, b.data...)
	}
	return dst
}

// decodeJournal reads an entry; before values share memory with b.
func decodeJournal(b []byte) (*journalEntry, error) {
	le := binary.LittleEndian
	if len(b) < 18 || b[0] != journalVersion {
		return nil, errJournal
	}
	e := &journalEntry{
		op: journalOp(b[1]), series: seriesID(le.Uint32(b[2:])),
		at: series.Time(le.Uint64(b[6:])), source: series.SourceID(le.Uint32(b[14:])),
	}
	b = b[18:]
	ok := true
	u := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			ok, b = false, nil
			return 0
		}
		b = b[n:]
		return v
	}
	i := func() int64 {
		v, n := binary.Varint(b)
		if n <= 0 {
			ok, b = false, nil
			return 0
		}
		b = b[n:]
		return v
	}
	e.added, e.replaced, e.removed = int64(u()), int64(u()), int64(u())
	at := series.Slot(0)
	for n := u(); ok && n > 0; n-- {
		from := at + series.Slot(i())
		at = from + series.Slot(u())
		e.runs = append(e.runs, series.Run{From: from, To: at})
	}
	for n := u(); ok && n > 0; n-- {
		x := beforeBlock{block: i()}
		size := u()
		if !ok || uint64(len(b)) < 8 || size > uint64(len(b)-8) {
			return nil, errJournal
		}
		x.version, x.data, b = le.Uint64(b), b[8:8+size], b[8+size:]
		e.before = append(e.before, x)
	}
	if !ok || len(b) != 0 {
		return nil, fmt.Errorf("%w: %d bytes left over", errJournal, len(b))
	}
	return e, nil
}
