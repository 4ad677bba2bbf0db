package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// manifestTable is a table file of the current version, as a MANIFEST tells it.
type manifestTable struct {
	file uint64 // number of the file that holds it
	size int64  // of that file; 0 if the MANIFEST does not say
	// seq is the sequence number of all its keys if it was loaded as a whole;
	// the file itself says 0 then.
	seq uint64
}

// manifest is what a MANIFEST file says, as far as it can be read.
type manifest struct {
	path     string
	scan     recordScan
	minLog   uint64 // logs below are no longer needed
	nextFile uint64 // files made after the last edit have this number or a higher one
	tables   map[uint64]manifestTable
	backings map[uint64]int64 // sizes of files that several tables share
	// seqs has the sequence number of every loaded table that was ever added,
	// those that are gone included.
	seqs map[uint64]uint64
	// unknown is set if an edit was read that this program does not understand.
	unknown bool
}

var errEdit = errors.New("version edit is not understood")

// readManifest reads a MANIFEST as Pebble does, up to the first bad place, and
// further for the numbers of loaded tables.
func readManifest(fs vfs.FS, path string) (*manifest, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	m := &manifest{
		path: path, tables: make(map[uint64]manifestTable),
		backings: make(map[uint64]int64), seqs: make(map[uint64]uint64),
	}
	m.scan, err = walkRecords(f, info.Size(), true, 0, func(r record) error {
		e, err := decodeEdit(r.data)
		if err != nil {
			m.unknown = true
			return nil
		}
		for _, t := range e.added {
			if t.seq != 0 {
				m.seqs[t.file] = t.seq
			}
		}
		if !r.after {
			m.apply(e)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return m, nil
}

func (m *manifest) apply(e *versionEdit) {
	if e.minLog != 0 {
		m.minLog = e.minLog
	}
	if e.nextFile != 0 {
		m.nextFile = e.nextFile
	}
	maps.Copy(m.backings, e.backings)
	for _, n := range e.deleted {
		delete(m.tables, n)
	}
	maps.Copy(m.tables, e.added)
}

// files returns the sizes of the table files that the version needs.
func (m *manifest) files() map[uint64]int64 {
	out := make(map[uint64]int64)
	for _, t := range m.tables {
		size := t.size
		if size == 0 {
			size = m.backings[t.file]
		}
		out[t.file] = size
	}
	return out
}

// versionEdit is one record of a MANIFEST; tables go by their number.
type versionEdit struct {
	minLog   uint64
	nextFile uint64
	added    map[uint64]manifestTable
	deleted  []uint64
	backings map[uint64]int64
}

// Tags of a version edit, as in internal/manifest/version_edit.go of Pebble
// v2.1.7. Integers are varints, byte strings have their length before them.
const (
	tagComparer       = 1
	tagLogNumber      = 2
	tagNextFile       = 3
	tagLastSequence   = 4
	tagCompactPointer = 5
	tagDeletedFile    = 6
	tagPrevLog        = 9
	tagNewFile4       = 103
	tagNewFile5       = 104
	tagNewBacking     = 105
	tagRemovedBacking = 106
	tagNewBlob        = 107
	tagDeletedBlob    = 108

	fieldEnd     = 1
	fieldVirtual = 66
	fieldBlobs   = 69
)

func decodeEdit(b []byte) (*versionEdit, error) {
	d := &fields{b: b}
	e := &versionEdit{added: make(map[uint64]manifestTable), backings: make(map[uint64]int64)}
	for len(d.b) > 0 && !d.bad {
		switch tag := d.uint(); tag {
		case tagComparer:
			d.bytes()
		case tagLogNumber:
			e.minLog = d.uint()
		case tagNextFile:
			e.nextFile = d.uint()
		case tagLastSequence, tagPrevLog, tagRemovedBacking:
			d.uint()
		case tagCompactPointer:
			d.uint()
			d.bytes()
		case tagDeletedFile:
			d.uint() // level
			e.deleted = append(e.deleted, d.uint())
		case tagNewBacking:
			n := d.uint()
			e.backings[n] = int64(d.uint())
		case tagNewFile4, tagNewFile5:
			n, t := d.table(tag)
			e.added[n] = t
		case tagNewBlob:
			d.skip(5)
		case tagDeletedBlob:
			d.skip(2)
		default:
			return nil, errEdit
		}
	}
	if d.bad {
		return nil, errEdit
	}
	return e, nil
}

// fields reads varints and strings one after another.
type fields struct {
	b   []byte
	bad bool
}

func (d *fields) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *fields) skip(n uint64) {
	for ; n > 0 && !d.bad; n-- {
		d.uint()
	}
}

func (d *fields) bytes() {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.b, d.bad = nil, true
		return
	}
	d.b = d.b[n:]
}

// table reads what follows the tag of an added table.
func (d *fields) table(tag uint64) (number uint64, t manifestTable) {
	d.uint() // level
	number = d.uint()
	t = manifestTable{file: number, size: int64(d.uint())}
	points := byte(1)
	if tag == tagNewFile5 {
		if len(d.b) == 0 {
			d.bad = true
			return number, t
		}
		points, d.b = d.b[0], d.b[1:]
		d.bytes()
		d.bytes()
	}
	if points&1 != 0 {
		d.bytes()
		d.bytes()
	}
	if lo, hi := d.uint(), d.uint(); lo == hi {
		t.seq = lo
	}
	for !d.bad {
		switch field := d.uint(); field {
		case fieldEnd:
			return number, t
		case fieldVirtual:
			t.file, t.size = d.uint(), 0
		case fieldBlobs:
			d.uint()
			if n := d.uint(); n <= uint64(len(d.b)) {
				d.skip(2 * n)
			}
		default:
			d.bytes()
		}
	}
	return number, t
}
