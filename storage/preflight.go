package storage

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	pebblerecord "github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
)

// manifestMarker is the marker that names the current MANIFEST. Without it
// Pebble takes the folder for a new database and removes every table in it.
const (
	manifestMarker = "manifest"
	formatMarker   = "format-version"
)

// preflightKind is what the folder of a database looks like before it is
// opened.
type preflightKind uint8

const (
	preflightNew    preflightKind = iota // there is no database yet
	preflightGood                        // nothing speaks against opening it
	preflightMarker                      // the marker is gone or points nowhere, but a MANIFEST reads: fixMarker
	preflightDamage                      // files named in the state are damaged: mend them first
	preflightLost                        // no MANIFEST that can be used: rebuildDB
)

func (k preflightKind) String() string {
	return [...]string{"new", "good", "marker", "damage", "lost"}[k]
}

// fileDamage is a file of records that does not read to its end.
type fileDamage struct {
	name string
	at   int64 // offset of the first bad place
	// lossless is set if all records could be read after bits were put back.
	lossless bool
}

// preflightState is what preflight found. Only Manifest, minLog and the lists
// are of interest where kind is neither new nor good.
type preflightState struct {
	kind     preflightKind
	manifest string // name of the MANIFEST to use; empty if there is none
	minLog   uint64 // number of the first log that is needed
	why      string // for people

	// damagedManifest is set if the MANIFEST in use has a bad place. Pebble
	// takes that for its end, and with it goes what was committed later:
	// mendManifest if it is lossless, or else the database is lost.
	damagedManifest *fileDamage
	// badOptions is the name of an OPTIONS file with which Pebble does not
	// open; nothing is lost without it: dropOptions.
	badOptions string
	// damagedLogs are logs with a bad place that no crash leaves, or that are
	// not the last one and were never closed.
	damagedLogs []fileDamage
	// missing are table files that the MANIFEST names and that are not there;
	// wrongSize have another size than it says. Neither can be told if the
	// MANIFEST itself is damaged.
	missing, wrongSize []string
	// badLoads are damaged tables that a log still has to bring in. Pebble would
	// try to for ever.
	badLoads []string
	// foreign are those of a wrong size that are whole all the same: tables put in
	// the place of others. The engine must not see them, it ends the process over
	// keys that it does not expect.
	foreign []string
}

// preflight looks at the folder of a database before Pebble does. It reads the
// MANIFEST and the logs once and no table.
func preflight(fs vfs.FS, db string) (preflightState, error) {
	var st preflightState
	names, err := fs.List(db)
	if err != nil {
		if isNotExist(err) {
			return st, nil
		}
		return st, err
	}
	tables, logs, manifests := dbFiles(names)
	current, markers := readMarker(names, manifestMarker)
	switch {
	case len(tables) == 0 && len(logs) == 0 && current == "":
		// What a crash left of the making of a new one counts for nothing.
		return st, nil
	case slices.Contains(names, current):
		if _, err := st.inspect(fs, db, current); err != nil {
			return st, err
		}
	case current == "":
		st.why = "the marker that names the MANIFEST is missing"
	default:
		st.why = "the marker names " + current + ", which is missing"
	}
	if st.manifest == "" && len(manifests) > 0 && !slices.Contains(names, current) {
		if err := st.newest(fs, db, manifests[len(manifests)-1], tables); err != nil {
			return st, err
		}
	}
	if st.manifest == "" {
		st.kind = preflightLost
		if st.why == "" {
			st.why = "no MANIFEST can be read"
		}
		return st, st.checkLogs(fs, db, logs)
	}
	if err := st.checkLogs(fs, db, logs); err != nil {
		return st, err
	}
	if err := st.checkOptions(fs, db, names); err != nil {
		return st, err
	}
	switch {
	case st.damagedManifest != nil && !st.damagedManifest.lossless:
		st.kind, st.why = preflightLost, st.manifest+" is damaged"
	case st.manifest != current || markers == 0:
		st.kind = preflightMarker
	case st.damagedManifest != nil || st.badOptions != "" || len(st.badLoads) > 0 || len(st.damagedLogs) > 0 || len(st.missing) > 0 || len(st.wrongSize) > 0:
		st.kind = preflightDamage
	default:
		st.kind = preflightGood
	}
	if format, _ := readMarker(names, formatMarker); !readableFormat(format) && st.kind == preflightGood && len(tables)+len(logs) > 0 {
		// Pebble opens what has no format as new, or refuses it.
		st.kind, st.why = preflightMarker, "the marker of the format is missing"
	}
	return st, nil
}

// newest takes the newest MANIFEST in the folder, unless there was a newer one:
// then tables that it names are gone, and others came that it does not know.
func (st *preflightState) newest(fs vfs.FS, db string, number uint64, tables []uint64) error {
	next, err := st.inspect(fs, db, manifestName(number))
	if err != nil || st.manifest == "" {
		return err
	}
	if len(st.missing) > 0 || st.damagedManifest != nil && !st.damagedManifest.lossless ||
		len(tables) > 0 && tables[len(tables)-1] >= next {
		st.why += ", and " + st.manifest + " is not the newest or not whole"
		st.manifest, st.minLog = "", 0
	}
	return nil
}

// inspect reads a MANIFEST and compares it with the tables in the folder.
func (st *preflightState) inspect(fs vfs.FS, db, name string) (nextFile uint64, err error) {
	m, err := readManifest(fs, fs.PathJoin(db, name))
	if err != nil {
		return 0, err
	}
	if m.unknown && !m.scan.damaged {
		// Whole, but of a kind that only Pebble understands.
		st.manifest = name
		return m.nextFile, nil
	}
	if m.scan.records == 0 || m.unknown {
		st.why = fmt.Sprintf("%s cannot be read (%d records)", name, m.scan.records)
		return 0, nil
	}
	st.manifest, st.minLog = name, m.minLog
	if m.scan.damaged {
		at := m.scan.bad
		st.damagedManifest = &fileDamage{name: name, at: max(at, 0), lossless: at < 0 && m.scan.mended > 0}
		if at >= 0 {
			return m.nextFile, nil
		}
	}
	for n, size := range m.files() {
		table := tableName(n)
		info, err := fs.Stat(fs.PathJoin(db, table))
		switch {
		case isNotExist(err):
			st.missing = append(st.missing, table)
		case err != nil:
			return 0, err
		case size != 0 && info.Size() != size:
			st.wrongSize = append(st.wrongSize, table)
			if wholeTable(fs, fs.PathJoin(db, table), info.Size()) {
				st.foreign = append(st.foreign, table)
			}
		}
	}
	slices.Sort(st.missing)
	slices.Sort(st.wrongSize)
	return m.nextFile, nil
}

// checkLoads reads the tables that a log brings in.
func (st *preflightState) checkLoads(fs vfs.FS, db, log string) error {
	var tables []string
	if _, _, err := readLog(fs, fs.PathJoin(db, log), func(_ uint64, repr []byte) error {
		for b := batchrepr.Read(repr); len(b) > 0; {
			kind, key, _, ok, err := b.Next()
			if err != nil || !ok || kind != pebble.InternalKeyKindIngestSST {
				return err
			}
			if n, k := binary.Uvarint(key); k > 0 {
				tables = append(tables, tableName(n))
			}
		}
		return nil
	}); err != nil {
		return err
	}
	for _, t := range tables {
		bad, err := readTable(fs, fs.PathJoin(db, t), nil, nil, func(rawPair) error { return nil })
		if isNotExist(err) {
			continue // it is in the MANIFEST by now, and may have been compacted
		}
		if err != nil || len(bad) > 0 || !intactTable(fs, fs.PathJoin(db, t)) {
			st.badLoads = append(st.badLoads, t)
		}
	}
	return nil
}

// intactTable reports whether the engine itself can read a table.
func intactTable(fs vfs.FS, path string) bool {
	f, err := fs.Open(path)
	if err != nil {
		return false
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		_ = f.Close() // it was only read
		return false
	}
	r, err := sstable.NewReader(context.Background(), readable, sstable.ReaderOptions{})
	if err != nil {
		_ = readable.Close() // it was only read
		return false
	}
	err = r.ValidateBlockChecksums()
	return errors.Join(err, r.Close()) == nil
}

// rewriteLoad writes a table anew with what can be read of it, and leaves the
// damaged one in the folder keep.
func rewriteLoad(fs vfs.FS, db, table, keep string) error {
	path := fs.PathJoin(db, table)
	if err := keepFile(fs, path, keep); err != nil {
		return err
	}
	tmp := path + partialSuffix
	f, err := fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), sstable.WriterOptions{
		TableFormat: pebbleFormat.MaxTableFormat(), Compression: sstable.NoCompression, BlockSize: 16 << 10,
	})
	var last []byte
	_, err = readTable(fs, path, nil, nil, func(p rawPair) error {
		if p.kind != pebble.InternalKeyKindSet || last != nil && bytes.Compare(p.key, last) <= 0 {
			return nil
		}
		last = bytes.Clone(p.key)
		return w.Set(p.key, p.value)
	})
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err == nil && last == nil {
		err = fmt.Errorf("nothing of %s can be read", table)
	}
	if err != nil {
		return errors.Join(err, fs.Remove(tmp))
	}
	return errors.Join(fs.Rename(tmp, path), syncDir(fs, db))
}

// wholeTable reports whether a table ends as tables do.
func wholeTable(fs vfs.FS, path string, size int64) bool {
	f, err := fs.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() // it was only read
	raw := &rawTable{r: &mendedFile{f: f, size: size}}
	_, ok := raw.footer()
	return ok
}

// checkLogs reads the logs that are still needed.
func (st *preflightState) checkLogs(fs vfs.FS, db string, logs []uint64) error {
	for i, n := range logs {
		if n < st.minLog {
			continue
		}
		s, err := scanLog(fs, fs.PathJoin(db, logName(n)))
		if err != nil {
			return err
		}
		if err := st.checkLoads(fs, db, logName(n)); err != nil {
			return err
		}
		if s.damaged || i < len(logs)-1 && !s.closed {
			st.damagedLogs = append(st.damagedLogs, fileDamage{
				name: logName(n), at: max(s.bad, 0), lossless: s.bad < 0 && s.mended > 0,
			})
		}
	}
	return nil
}

// checkOptions looks at the newest OPTIONS file, which Pebble reads.
func (st *preflightState) checkOptions(fs vfs.FS, db string, names []string) error {
	newest, name := uint64(0), ""
	for _, n := range names {
		if k, ok := cutNumber(n, "OPTIONS-", ""); ok && k >= newest {
			newest, name = k, n
		}
	}
	if name == "" {
		return nil
	}
	b, err := readFile(fs, fs.PathJoin(db, name))
	if err != nil {
		return err
	}
	o := &pebble.Options{FS: fs}
	o.EnsureDefaults()
	if o.CheckCompatibility(db, string(b)) != nil {
		st.badOptions = name
	}
	return nil
}

// dropOptions moves a bad OPTIONS file into the folder keep.
func dropOptions(fs vfs.FS, db string, st preflightState, keep string) error {
	if st.badOptions == "" {
		return nil
	}
	path := fs.PathJoin(db, st.badOptions)
	if err := keepFile(fs, path, keep); err != nil {
		return err
	}
	if err := fs.Remove(path); err != nil {
		return err
	}
	return syncDir(fs, db)
}

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// fixMarker makes the marker name the MANIFEST that preflight chose, and sets
// the marker of the format if it is missing.
func fixMarker(fs vfs.FS, db string, st preflightState) error {
	names, err := fs.List(db)
	if err != nil {
		return err
	}
	for _, n := range names {
		// Pebble does not open a folder with a marker that it cannot read.
		rest, ok := strings.CutPrefix(n, "marker.")
		if value, is := strings.CutPrefix(rest, formatMarker+"."); ok && (!readableMarker(rest) || is && !readableFormat(value[strings.IndexByte(value, '.')+1:])) {
			if err := fs.Remove(fs.PathJoin(db, n)); err != nil {
				return err
			}
		}
	}
	for _, x := range [...]struct{ marker, value string }{
		{manifestMarker, st.manifest},
		{formatMarker, pebbleFormat.String()},
	} {
		m, now, err := atomicfs.LocateMarker(fs, db, x.marker)
		if err != nil {
			return err
		}
		if now != x.value && (x.marker == manifestMarker || now == "") {
			err = m.Move(x.value)
		}
		if cerr := m.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return fmt.Errorf("set the marker of the %s: %w", x.marker, err)
		}
	}
	return nil
}

// readableFormat reports whether Pebble can read the value of the marker of the
// format.
func readableFormat(value string) bool {
	n, err := strconv.ParseUint(value, 10, 64)
	return err == nil && n >= uint64(pebbleFormat) // no store of ours has an older one
}

// readableMarker reports whether Pebble can read the name of a marker behind
// its prefix.
func readableMarker(rest string) bool {
	parts := strings.SplitN(rest, ".", 3)
	if len(parts) < 3 {
		return false
	}
	_, err := strconv.ParseUint(parts[1], 10, 64)
	return err == nil
}

// mendManifest writes a MANIFEST anew whose flipped bits could be put back, and
// leaves the damaged one in the folder keep.
func mendManifest(fs vfs.FS, db, name, keep string) error {
	path := fs.PathJoin(db, name)
	if err := keepFile(fs, path, keep); err != nil {
		return err
	}
	return replaceFile(fs, path, func(w vfs.File) error {
		f, err := fs.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		out := pebblerecord.NewWriter(w)
		_, err = walkRecords(f, info.Size(), true, 0, func(r record) error {
			if r.after {
				return nil
			}
			_, err := out.WriteRecord(r.data)
			return err
		})
		if cerr := out.Close(); err == nil {
			err = cerr
		}
		return err
	})
}

// fillMissing puts an empty file in the place of each missing table: Pebble
// then opens the database with DisableConsistencyCheck and reports the table as
// damaged when it is read, which repairTable mends. Without the file it cannot
// even list its tables.
func fillMissing(fs vfs.FS, db string, st preflightState) error {
	for _, n := range st.missing {
		f, err := fs.Create(fs.PathJoin(db, n), vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	if len(st.missing) == 0 {
		return nil
	}
	return syncDir(fs, db)
}

// readMarker returns the value of a marker and how many files there are for it.
func readMarker(names []string, marker string) (value string, files int) {
	var best uint64
	for _, n := range names {
		rest, ok := strings.CutPrefix(n, "marker."+marker+".")
		if !ok {
			continue
		}
		iter, v, ok := strings.Cut(rest, ".")
		k, err := strconv.ParseUint(iter, 10, 64)
		if !ok || err != nil {
			continue
		}
		if files++; files == 1 || k > best {
			best, value = k, v
		}
	}
	return value, files
}

// dbFiles sorts the names of a folder of Pebble by what they are; numbers come
// in order.
func dbFiles(names []string) (tables, logs, manifests []uint64) {
	for _, n := range names {
		if k, ok := tableNumber(n); ok {
			tables = append(tables, k)
		} else if k, ok := logNumber(n); ok {
			logs = append(logs, k)
		} else if k, ok := cutNumber(n, "MANIFEST-", ""); ok {
			manifests = append(manifests, k)
		}
	}
	for _, s := range [][]uint64{tables, logs, manifests} {
		slices.SortFunc(s, cmp.Compare[uint64])
	}
	return tables, logs, manifests
}

func tableName(n uint64) string    { return fmt.Sprintf("%06d.sst", n) }
func logName(n uint64) string      { return fmt.Sprintf("%06d.log", n) }
func manifestName(n uint64) string { return fmt.Sprintf("MANIFEST-%06d", n) }

func tableNumber(name string) (uint64, bool) { return cutNumber(name, "", ".sst") }
func logNumber(name string) (uint64, bool)   { return cutNumber(name, "", ".log") }

func cutNumber(name, prefix, suffix string) (uint64, bool) {
	s, ok := strings.CutPrefix(name, prefix)
	s, ok2 := strings.CutSuffix(s, suffix)
	if !ok || !ok2 || len(s) < 6 {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}

// keepFile puts a copy of a file into the folder keep: a hard link where that
// is possible, so that it costs no room.
func keepFile(fs vfs.FS, path, keep string) error {
	if err := makeDir(fs, keep); err != nil {
		return err
	}
	to := freeName(fs, keep, fs.PathBase(path))
	if err := vfs.LinkOrCopy(fs, path, to); err != nil {
		return fmt.Errorf("keep %s: %w", path, err)
	}
	f, err := fs.Open(to)
	if err != nil {
		return err
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return syncDir(fs, keep)
}

// freeName is a path in dir for a file of that name, with a number behind it if
// there is one already.
func freeName(fs vfs.FS, dir, name string) string {
	to := fs.PathJoin(dir, name)
	for i := 1; ; i++ {
		if _, err := fs.Stat(to); isNotExist(err) {
			return to
		}
		to = fs.PathJoin(dir, fmt.Sprintf("%s.%d", name, i))
	}
}

// replaceFile writes a file anew: complete or, after a crash, as it was.
func replaceFile(fs vfs.FS, path string, write func(vfs.File) error) error {
	tmp := path + ".new"
	f, err := fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	b := &bufferedFile{File: f}
	err = write(b)
	if err == nil {
		err = b.Sync()
	}
	if cerr := b.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fs.Rename(tmp, path)
	}
	if err != nil {
		_ = fs.Remove(tmp) // the first error says more
		return err
	}
	return syncDir(fs, fs.PathDir(path))
}

func isNotExist(err error) bool { return errors.Is(err, os.ErrNotExist) }
