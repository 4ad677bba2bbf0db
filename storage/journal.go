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
//
// and since version 2
//
//	runs, as above, of slots whose forming bar was replaced; that bar is not kept
//	runs of slots that got other evidence
//	uvarint pieces of evidence that were replaced, per piece: svarint first slot, uvarint bytes, value
//	u8 1 and the note, or 0: actor, cause, repair, rule, evidence (uvarint bytes, text), uvarint version, svarint until
//
// and since version 3
//
//	uvarint bars set aside, per bar: svarint time, uvarint id
//	uvarint bars taken out of quarantine, per bar: svarint time, uvarint id, uvarint bytes, value
type journalEntry struct {
	op     journalOp
	series seriesID
	at     series.Time // knowledge time: when the store learned it
	source series.SourceID

	added, replaced, removed int64
	runs                     []series.Run // slots that got their first bar; of opExplain: that were explained
	before                   []beforeBlock
	renewed                  []series.Run     // slots whose forming bar was replaced
	explained                []series.Run     // slots that got other evidence; part of runs
	evidence                 []series.Absence // that was replaced
	note                     Note
	asides                   []asidePair // set aside; without values
	discards                 []asidePair // taken out of quarantine
}

// asidePair is a bar in quarantine as it is stored.
type asidePair struct {
	time  series.Time
	id    uint64
	value []byte
}

func (a *asidePair) key(id seriesID) []byte {
	return binary.BigEndian.AppendUint64(numberKey(spaceAside, id, int64(a.time)), a.id)
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

// journalVersion 1 had no notes, and did not keep evidence that was replaced; 2
// did not keep bars that were taken out of quarantine.
const journalVersion = 3

var errJournal = errors.New("journal entry is damaged")

func (e *journalEntry) encode() []byte {
	le := binary.LittleEndian
	dst := []byte{journalVersion, byte(e.op)}
	dst = le.AppendUint32(dst, uint32(e.series))
	dst = le.AppendUint64(dst, uint64(e.at))
	dst = le.AppendUint32(dst, uint32(e.source))
	for _, v := range [...]int64{e.added, e.replaced, e.removed} {
		dst = binary.AppendUvarint(dst, uint64(v))
	}
	dst = appendRuns(dst, e.runs)
	dst = binary.AppendUvarint(dst, uint64(len(e.before)))
	for _, b := range e.before {
		dst = binary.AppendVarint(dst, b.block)
		dst = binary.AppendUvarint(dst, uint64(len(b.data)))
		dst = le.AppendUint64(dst, b.version)
		dst = append(dst, b.data...)
	}
	dst = appendRuns(appendRuns(dst, e.renewed), e.explained)
	dst = binary.AppendUvarint(dst, uint64(len(e.evidence)))
	for _, g := range e.evidence {
		_, v := evidencePair(0, g)
		dst = binary.AppendVarint(dst, int64(g.From))
		dst = append(binary.AppendUvarint(dst, uint64(len(v))), v...)
	}
	if n := &e.note; *n == (Note{}) {
		dst = append(dst, 0)
	} else {
		dst = append(dst, 1)
		for _, text := range n.texts() {
			dst = append(binary.AppendUvarint(dst, uint64(len(*text))), *text...)
		}
		dst = binary.AppendUvarint(dst, uint64(max(n.Version, 0)))
		dst = binary.AppendVarint(dst, int64(n.Until))
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.asides)))
	for _, a := range e.asides {
		dst = binary.AppendUvarint(binary.AppendVarint(dst, int64(a.time)), a.id)
	}
	dst = binary.AppendUvarint(dst, uint64(len(e.discards)))
	for _, a := range e.discards {
		dst = binary.AppendUvarint(binary.AppendVarint(dst, int64(a.time)), a.id)
		dst = append(binary.AppendUvarint(dst, uint64(len(a.value))), a.value...)
	}
	return dst
}

func appendRuns(dst []byte, runs []series.Run) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(runs)))
	at := series.Slot(0)
	for _, r := range runs {
		dst = binary.AppendVarint(dst, int64(r.From-at))
		dst = binary.AppendUvarint(dst, uint64(r.Len()))
		at = r.To
	}
	return dst
}

// decodeJournal reads an entry; before values share memory with b.
func decodeJournal(b []byte) (*journalEntry, error) {
	le := binary.LittleEndian
	if len(b) < 18 || b[0] < 1 || b[0] > journalVersion {
		return nil, errJournal
	}
	e := &journalEntry{
		op: journalOp(b[1]), series: seriesID(le.Uint32(b[2:])),
		at: series.Time(le.Uint64(b[6:])), source: series.SourceID(le.Uint32(b[14:])),
	}
	version := b[0]
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
	runs := func() (out []series.Run) {
		at := series.Slot(0)
		for n := u(); ok && n > 0; n-- {
			from := at + series.Slot(i())
			at = from + series.Slot(u())
			out = append(out, series.Run{From: from, To: at})
		}
		return out
	}
	bytes := func() []byte {
		size := u()
		if !ok || size > uint64(len(b)) {
			ok, b = false, nil
			return nil
		}
		x := b[:size]
		b = b[size:]
		return x
	}
	e.runs = runs()
	for n := u(); ok && n > 0; n-- {
		x := beforeBlock{block: i()}
		size := u()
		if !ok || uint64(len(b)) < 8 || size > uint64(len(b)-8) {
			return nil, errJournal
		}
		x.version, x.data, b = le.Uint64(b), b[8:8+size], b[8+size:]
		e.before = append(e.before, x)
	}
	if version > 1 {
		e.renewed, e.explained = runs(), runs()
		for n := u(); ok && n > 0; n-- {
			from := i()
			g, err := readEvidence(from, bytes())
			if err != nil {
				return nil, errJournal
			}
			e.evidence = append(e.evidence, g)
		}
		noted := ok && len(b) > 0 && b[0] == 1
		if ok && len(b) > 0 {
			b = b[1:]
		} else {
			ok = false
		}
		if noted {
			for _, text := range e.note.texts() {
				*text = string(bytes())
			}
			e.note.Version, e.note.Until = int(u()), series.Time(i())
		}
	}
	if version > 2 {
		for n := u(); ok && n > 0; n-- {
			e.asides = append(e.asides, asidePair{time: series.Time(i()), id: u()})
		}
		for n := u(); ok && n > 0; n-- {
			e.discards = append(e.discards, asidePair{series.Time(i()), u(), bytes()})
		}
	}
	if !ok || len(b) != 0 {
		return nil, fmt.Errorf("%w: %d bytes left over", errJournal, len(b))
	}
	return e, nil
}
