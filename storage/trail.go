package storage

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
)

// The trail says outside the engine what each recent commit was about, so that
// a loss can be named: which series, which slots. It also keeps a copy of the
// registry, without which a series would lose its name. A trail is a file
// trail.N that begins with the registry and the state of every series, followed
// by a record per commit; when it has grown long, trail.N+1 takes over.
//
// A record is: 2 bytes marker | u8 type | u32 length | body | CRC32C of type,
// length and body; a body begins with the stamp of the commit. After a damaged
// stretch reading goes on at the next record that fits.
const (
	trailPrefix = "trail."
	trailBytes  = 1 << 20 // length from which a trail is replaced
	trailHead   = 2 + 1 + 4
	trailBody   = stampSize // least length of a body

	trailState  = 's' // a series as it was when the trail began
	trailChange = 'c' // a commit that changed a series
	trailPair   = 'k' // a pair of the registry
	// trailRecords is a commit of records: which one came first. Their values
	// are not kept here, so a loss is noticed, but not mended.
	trailRecords = 'r'
)

var trailMarker = [2]byte{0xb4, 0x4b}

var errNotExist, errExist = fs.ErrNotExist, fs.ErrExist

// trailRecord is one record: a pair of the registry, or what a commit did to a
// series.
type trailRecord struct {
	kind  byte
	stamp stamp // of the commit
	size  int   // of the record as it was read

	key, value []byte // of a pair

	series  seriesID
	change  uint64 // sequence of the change; 0 before the first
	op      journalOp
	touched bool   // it replaced or removed bars
	bars    int64  // of the series, afterwards
	ledger  uint64 // sum of the ledger afterwards; 0 without one
	runs    []series.Run
}

func (r *trailRecord) encode(p stamp) []byte {
	if r.kind == 0 {
		return nil
	}
	le := binary.LittleEndian
	b := append(make([]byte, 0, 144), trailMarker[0], trailMarker[1], r.kind, 0, 0, 0, 0)
	b = append(b, p.encode()...)
	if r.kind == trailPair || r.kind == trailRecords {
		b = binary.AppendUvarint(b, uint64(len(r.key)))
		b = append(append(b, r.key...), r.value...)
	} else {
		b = le.AppendUint32(b, uint32(r.series))
		b = le.AppendUint64(b, r.change)
		touched := byte(0)
		if r.touched {
			touched = 1
		}
		b = append(b, byte(r.op), touched)
		b = le.AppendUint64(b, uint64(r.bars))
		b = le.AppendUint64(b, r.ledger)
		for _, x := range r.runs {
			b = binary.AppendVarint(b, int64(x.From))
			b = binary.AppendUvarint(b, uint64(x.Len()))
		}
	}
	le.PutUint32(b[3:], uint32(len(b)-trailHead))
	return le.AppendUint32(b, crc32.Checksum(b[2:], castagnoli))
}

// nextRecord returns the first whole record of b and what follows it; skipped
// is how many bytes before it are none.
func nextRecord(b []byte) (r *trailRecord, rest []byte, skipped int) {
	le := binary.LittleEndian
	for at := 0; at+trailHead+4 <= len(b); at++ {
		if b[at] != trailMarker[0] || b[at+1] != trailMarker[1] {
			continue
		}
		n := int64(le.Uint32(b[at+3:]))
		if n > int64(len(b)-at-trailHead-4) {
			continue
		}
		end := at + trailHead + int(n)
		if crc32.Checksum(b[at+2:end], castagnoli) != le.Uint32(b[end:]) {
			continue
		}
		if r, ok := decodeRecord(b[at+2], b[at+trailHead:end]); ok {
			r.size = end + 4 - at
			return r, b[end+4:], at
		}
	}
	return nil, nil, len(b)
}

func decodeRecord(kind byte, b []byte) (*trailRecord, bool) {
	le := binary.LittleEndian
	if len(b) < trailBody {
		return nil, false
	}
	p, err := decodeStamp(b[:trailBody])
	if err != nil {
		return nil, false
	}
	r := &trailRecord{kind: kind, stamp: p}
	b = b[trailBody:]
	if kind == trailPair || kind == trailRecords {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) {
			return nil, false
		}
		r.key, r.value = b[k:k+int(n)], b[k+int(n):]
		return r, true
	}
	if len(b) < 30 {
		return nil, false
	}
	r.series, r.change = seriesID(le.Uint32(b)), le.Uint64(b[4:])
	r.op, r.touched = journalOp(b[12]), b[13] == 1
	r.bars, r.ledger = int64(le.Uint64(b[14:])), le.Uint64(b[22:])
	for b = b[30:]; len(b) > 0; {
		from, k := binary.Varint(b)
		if k <= 0 {
			return nil, false
		}
		n, j := binary.Uvarint(b[k:])
		if j <= 0 {
			return nil, false
		}
		r.runs = append(r.runs, series.Run{From: series.Slot(from), To: series.Slot(from + int64(n))})
		b = b[k+j:]
	}
	return r, true
}

// trailRuns bounds the runs that one record names; neighbours are joined
// beyond it.
const trailRuns = 8

// fewRuns covers rs, which ascend, with at most trailRuns runs.
func fewRuns(rs []series.Run) []series.Run {
	if len(rs) <= trailRuns {
		return rs
	}
	// Split where the distance is greatest.
	splits := make([]int, 0, len(rs)-1) // at the beginning of run i
	for i := 1; i < len(rs); i++ {
		splits = append(splits, i)
	}
	slices.SortFunc(splits, func(a, b int) int {
		return cmp.Compare(rs[b].From-rs[b-1].To, rs[a].From-rs[a-1].To)
	})
	splits = splits[:trailRuns-1]
	slices.Sort(splits)
	out := make([]series.Run, 0, trailRuns)
	at := 0
	for _, i := range append(splits, len(rs)) {
		out = append(out, series.Run{From: rs[at].From, To: rs[i-1].To})
		at = i
	}
	return out
}

// trail is the file under construction.
type trail struct {
	generation uint64
	file       vfs.File
	buf        []byte
	size       int64
	sure       int64 // size that is on the disk
	begun      int64 // size of what it began with
}

func trailName(generation uint64) string {
	return trailPrefix + strconv.FormatUint(generation, 10)
}

func createTrail(fs vfs.FS, dir string, generation uint64) (*trail, error) {
	f, err := fs.Create(fs.PathJoin(dir, trailName(generation)), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	return &trail{generation: generation, file: f}, nil
}

func (t *trail) add(record []byte) { t.buf = append(t.buf, record...) }

func (t *trail) flush() error {
	if len(t.buf) == 0 {
		return nil
	}
	n, err := t.file.Write(t.buf)
	t.size += int64(n)
	t.buf = t.buf[:0]
	return err
}

func (t *trail) sync() error {
	size := t.size
	if err := t.file.Sync(); err != nil {
		return err
	}
	t.sure = size
	return nil
}

func (t *trail) closer() io.Closer {
	if t == nil {
		return nil
	}
	return t.file
}

// trails lists the generations that are there, in order.
func trails(fs vfs.FS, dir string) ([]uint64, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, n := range names {
		if rest, ok := strings.CutPrefix(n, trailPrefix); ok {
			if g, err := strconv.ParseUint(rest, 10, 64); err == nil {
				out = append(out, g)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// removeTrails removes those before generation.
func removeTrails(fs vfs.FS, dir string, generation uint64) {
	all, _ := trails(fs, dir) // the next trail tries again
	for _, g := range all {
		if g < generation {
			_ = fs.Remove(fs.PathJoin(dir, trailName(g)))
		}
	}
}

// readTrail returns the records of the trail of a mark. damaged is not empty
// where some cannot be read that a power cut did not take.
func readTrail(fs vfs.FS, dir string, m headMark) (rs []*trailRecord, damaged string, err error) {
	name := trailName(m.trail)
	f, err := fs.Open(fs.PathJoin(dir, name))
	if errors.Is(err, errNotExist) {
		return nil, name + " is missing", nil
	}
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(f)
	_ = f.Close() // it was only read
	if err != nil {
		return nil, "", err
	}
	bad, at := 0, 0
	last := uint64(0)
	for at < len(b) {
		r, _, skipped := nextRecord(b[at:])
		// What was not yet on the disk may be torn, unless the store was closed.
		if m.clean || uint64(at) < m.sure {
			bad += skipped
		}
		at += skipped
		if r == nil {
			break
		}
		rs, last = append(rs, r), max(last, r.stamp.seq)
		at += r.size
	}
	switch {
	case bad > 0:
		return rs, fmt.Sprintf("%d bytes of %s cannot be read", bad, name), nil
	case uint64(len(b)) < m.sure, m.clean && last < m.stamp.seq:
		return rs, fmt.Sprintf("%s ends at commit %d, HEAD stands at %d", name, last, m.stamp.seq), nil
	}
	return rs, "", nil
}
