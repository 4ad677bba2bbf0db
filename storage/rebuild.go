package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/storage/block"
)

// rebuildRule says how the value of a key is chosen among all that are found in
// tables and logs, where the engine no longer knows which one is current. The
// sequence numbers in the files are of little use for that: they are gone from
// tables that were loaded as a whole and from the last level.
type rebuildRule struct {
	// whole reports whether a value is what was written once.
	whole func(key, value []byte) bool
	// rank tells which value is newer. Where it is nil all values of a key are
	// the same; where dated is set the sequence numbers decide after all.
	rank  func(value []byte) uint64
	dated bool
}

// rebuildRules has every keyspace that is copied. Summary pages are not: they
// follow from blocks and rows.
var rebuildRules = map[byte]rebuildRule{
	spaceJournal:  {whole: wholeJournal},
	spaceBlock:    {whole: wholeBlock, rank: func(v []byte) uint64 { return binary.LittleEndian.Uint64(v) }},
	spaceRows:     {whole: wholeRows},
	spaceLedger:   {whole: wholeLedger, rank: func(v []byte) uint64 { return binary.LittleEndian.Uint64(v[1:]) }},
	spaceEvidence: {dated: true},
	spaceAside:    {dated: true},
	spaceRegistry: {dated: true},
	spaceConfig:   {dated: true},
}

// datedSpaces are the keyspaces whose values do not tell which one is newer.
const datedSpaces = "nqsx"

func wholeJournal(key, value []byte) bool {
	_, err := decodeJournal(value)
	return len(key) == 9 && err == nil
}

func wholeBlock(key, value []byte) bool {
	if len(key) != 13 || len(value) < 8 {
		return false
	}
	n, _ := numberOf(key)
	check := blockCheckKey(seriesOf(key), n, binary.LittleEndian.Uint64(value))
	_, err := block.ReadHeader(check, value[8:], true)
	return err == nil
}

func wholeRows(key, value []byte) bool {
	if len(key) != 21 || len(value) < 11 || value[0] != rowsVersion {
		return false
	}
	n := len(value) - 4
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value[:n])
	return sum == binary.LittleEndian.Uint32(value[n:])
}

func wholeLedger(key, value []byte) bool {
	if len(key) != 5 || len(value) < 13 {
		return false
	}
	if seriesOf(key) == 0 { // no series: a stamp, u64 at 1
		return true
	}
	n := len(value) - 4
	return crc32.Checksum(value[:n], castagnoli) == binary.LittleEndian.Uint32(value[n:])
}

// rebuildReport is what rebuildDB found.
type rebuildReport struct {
	tables, logs int
	pairs        int64 // written, those that were replaced or left out again included
	// unreadable are the ranges of keys that could not be read in one of the
	// tables; what is in them may come from another one.
	unreadable []keyRange
	// damagedFiles could not be read from end to end.
	damagedFiles []string
	// damaged are keys of which a value was found that is not whole, and none
	// that is at least as new.
	damaged [][]byte
	stale   int64 // row groups and blocks left out: folded, replaced or deleted since
	unclear int64 // keys whose newest value could not be told for certain
}

// rebuildDB reads every table and log in the folders from and writes a new
// database into the folder to: the newest whole value of every key that is not
// deleted, except for the summary pages. What was in to is removed first. The
// folders from are left as they are.
func rebuildDB(fs vfs.FS, from []string, to string, progress func(done, total int64)) (rebuildReport, error) {
	r := &rebuild{fs: fs, progress: progress, deleted: make(map[blockID]uint64), seqs: make(map[uint64]uint64), broken: make(map[string]uint64)}
	if err := r.find(from); err != nil {
		return r.report, err
	}
	if err := fs.RemoveAll(to); err != nil {
		return r.report, err
	}
	if err := makeDir(fs, to); err != nil {
		return r.report, err
	}
	db, err := openScratch(fs, to)
	if err != nil {
		return r.report, err
	}
	r.db, r.b = db, db.NewIndexedBatch()
	err = r.run()
	if cerr := r.b.Close(); err == nil {
		err = cerr
	}
	if cerr := db.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return r.report, fmt.Errorf("rebuild the database: %w", err)
	}
	if err := syncDir(fs, to); err != nil {
		return r.report, err
	}
	return r.report, syncDir(fs, fs.PathDir(to))
}

// openScratch opens a database to be filled; nothing is durable before a flush.
func openScratch(fs vfs.FS, dir string) (*pebble.DB, error) {
	o := &pebble.Options{
		FS:                         fs,
		FormatMajorVersion:         pebbleFormat,
		DisableWAL:                 true,
		MemTableSize:               32 << 20,
		L0StopWritesThreshold:      64,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		Logger:                     quietLogger{},
		EventListener:              &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}, BackgroundError: func(error) {}},
	}
	for i := range o.Levels {
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
		o.Levels[i].BlockSize = 16 << 10
		o.Levels[i].IndexBlockSize = 64 << 10
	}
	return pebble.Open(dir, o)
}

// quietLogger only ends the process where the engine cannot go on.
type quietLogger struct{}

func (quietLogger) Infof(string, ...any)  {}
func (quietLogger) Errorf(string, ...any) {}
func (quietLogger) Fatalf(format string, args ...any) {
	panic("storage engine cannot go on: " + fmt.Sprintf(format, args...))
}

type blockID struct {
	series seriesID
	block  int64
}

// rebuild is one run of rebuildDB.
type rebuild struct {
	fs       vfs.FS
	db       *pebble.DB
	b        *pebble.Batch
	progress func(done, total int64)
	report   rebuildReport

	files       []rebuildFile
	done, total int64
	seqs        map[uint64]uint64  // of tables loaded as a whole, by file number
	deleted     map[blockID]uint64 // sequence of the last change that deleted bars of a block
	broken      map[string]uint64  // keys of values that are not whole, with their rank
}

type rebuildFile struct {
	path   string
	number uint64
	size   int64
	log    bool
}

// find lists the sources and reads what MANIFEST files are there for the
// sequence numbers of loaded tables.
func (r *rebuild) find(from []string) error {
	for _, dir := range from {
		names, err := r.fs.List(dir)
		if isNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		slices.Sort(names)
		for _, n := range names {
			base := n
			if i := strings.LastIndexByte(n, '.'); i > 0 && !strings.HasSuffix(n, ".sst") && !strings.HasSuffix(n, ".log") {
				base = n[:i] // see freeName
			}
			f := rebuildFile{path: r.fs.PathJoin(dir, n)}
			var ok bool
			if f.number, ok = tableNumber(base); !ok {
				f.number, f.log = logNumber(base)
			}
			if _, is := cutNumber(base, "MANIFEST-", ""); is {
				if m, err := readManifest(r.fs, f.path); err == nil {
					maps.Copy(r.seqs, m.seqs)
				}
			}
			if !ok && !f.log {
				continue
			}
			info, err := r.fs.Stat(f.path)
			if err != nil {
				return err
			}
			f.size = info.Size()
			r.total += 2 * f.size
			r.files = append(r.files, f)
			if f.log {
				r.report.logs++
			} else {
				r.report.tables++
			}
		}
	}
	return nil
}

func (r *rebuild) run() error {
	// The journal comes first: it says what was deleted, and when.
	j := keyRange{[]byte{spaceJournal}, []byte{spaceJournal + 1}}
	if err := r.pass(j.has, j); err != nil {
		return err
	}
	if err := r.pass(func(k []byte) bool { return !j.has(k) }, keyRange{nil, j.lo}, keyRange{j.hi, nil}); err != nil {
		return err
	}
	if err := r.flush(0); err != nil {
		return err
	}
	if err := r.settleDated(); err != nil {
		return err
	}
	if err := r.dropStale(); err != nil {
		return err
	}
	if err := r.flush(0); err != nil {
		return err
	}
	if err := r.settleBroken(); err != nil {
		return err
	}
	r.report.unreadable = joinRanges(r.report.unreadable)
	slices.Sort(r.report.damagedFiles)
	r.report.damagedFiles = slices.Compact(r.report.damagedFiles)
	if err := r.db.Compact(context.Background(), []byte{datedSpace}, []byte{datedSpace + 1}, false); err != nil {
		return err
	}
	return r.db.Flush()
}

// pass reads the wanted keys of all files.
func (r *rebuild) pass(want func([]byte) bool, parts ...keyRange) error {
	for _, f := range r.files {
		var err error
		if f.log {
			err = r.readLog(f, want)
		} else {
			err = r.readTable(f, parts)
		}
		if s, ok := errors.AsType[stopped](err); ok {
			return s.error
		}
		if err != nil { // the file cannot be read at all
			r.report.damagedFiles = append(r.report.damagedFiles, f.path)
		}
		if r.done += f.size; r.progress != nil {
			r.progress(r.done, r.total)
		}
	}
	return nil
}

func (r *rebuild) readTable(f rebuildFile, parts []keyRange) error {
	for _, part := range parts {
		bad, err := readTable(r.fs, f.path, part.lo, part.hi, func(x rawPair) error {
			if x.kind == pebble.InternalKeyKindRangeDelete {
				return nil // only of rows, and those tell it themselves
			}
			if seq := r.seqs[f.number]; seq != 0 {
				x.seq = seq
			}
			if err := r.offer(f.number, &x); err != nil {
				return stopped{err}
			}
			return nil
		})
		if len(bad) > 0 {
			r.report.damagedFiles = append(r.report.damagedFiles, f.path)
			r.report.unreadable = append(r.report.unreadable, bad...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *rebuild) readLog(f rebuildFile, want func([]byte) bool) error {
	_, damaged, err := readNumberedLog(r.fs, f.path, f.number, func(seq uint64, repr []byte) error {
		for b := batchrepr.Read(repr); len(b) > 0; {
			kind, key, value, ok, err := b.Next()
			if err != nil || !ok {
				return err
			}
			if kind == pebble.InternalKeyKindLogData {
				continue
			}
			x := rawPair{key: key, value: value, seq: seq, kind: kind}
			seq++
			if !want(key) || !x.deletes() && kind != pebble.InternalKeyKindSet {
				continue
			}
			if err := r.offer(f.number, &x); err != nil {
				return stopped{err}
			}
		}
		return nil
	})
	if damaged {
		r.report.damagedFiles = append(r.report.damagedFiles, f.path)
	}
	return err
}

// rebuildBatch is the size at which what was found is written.
const rebuildBatch = 4 << 20

func (r *rebuild) flush(over int) error {
	if r.b.Len() <= over {
		return nil
	}
	if err := r.b.Commit(pebble.NoSync); err != nil {
		return err
	}
	if err := r.b.Close(); err != nil {
		return err
	}
	r.b = r.db.NewIndexedBatch()
	return nil
}

// offer takes a value if it is the best of its key so far.
func (r *rebuild) offer(file uint64, x *rawPair) error {
	if len(x.key) == 0 {
		return nil
	}
	rule, ok := rebuildRules[x.key[0]]
	switch {
	case !ok:
		return nil
	case rule.dated:
		return r.offerDated(file, x)
	case x.deletes():
		return nil // versions tell what is current
	case !rule.whole(x.key, x.value):
		rank := uint64(0)
		if rule.rank != nil && len(x.value) >= 9 {
			rank = rule.rank(x.value)
		}
		r.broken[string(x.key)] = max(rank, r.broken[string(x.key)])
		return nil
	case r.gone(x):
		r.report.stale++
		return nil
	}
	if x.key[0] == spaceJournal {
		r.noteDeletes(x)
	}
	old, closer, err := r.b.Get(x.key)
	if err == nil {
		better := rule.rank != nil && rule.rank(x.value) > rule.rank(old)
		if rule.rank == nil && !bytes.Equal(old, x.value) {
			r.report.unclear++
		}
		if err := closer.Close(); err != nil || !better {
			return err
		}
	} else if !errors.Is(err, pebble.ErrNotFound) {
		return err
	}
	return r.set(x.key, x.value)
}

func (r *rebuild) set(key, value []byte) error {
	r.report.pairs++
	if err := r.b.Set(key, value, nil); err != nil {
		return err
	}
	return r.flush(rebuildBatch)
}

// noteDeletes keeps in mind which blocks a change deleted bars of.
func (r *rebuild) noteDeletes(x *rawPair) {
	e, err := decodeJournal(x.value)
	if err != nil || e.op != opDelete {
		return
	}
	seq := binary.BigEndian.Uint64(x.key[1:])
	for _, b := range e.before {
		id := blockID{e.series, b.block}
		r.deleted[id] = max(r.deleted[id], seq)
	}
}

// gone reports whether a block or a group of rows is older than a deletion. A
// block that was deleted in part was written anew with the deletion.
func (r *rebuild) gone(x *rawPair) bool {
	if len(r.deleted) == 0 || x.key[0] != spaceBlock && x.key[0] != spaceRows {
		return false
	}
	n, _ := numberOf(x.key)
	at := r.deleted[blockID{seriesOf(x.key), n}]
	if x.key[0] == spaceBlock {
		return binary.LittleEndian.Uint64(x.value) < at
	}
	return binary.BigEndian.Uint64(x.key[13:]) < at
}

// dropStale removes the groups of rows that are folded into their block.
func (r *rebuild) dropStale() error {
	it, err := r.db.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceRows}, UpperBound: []byte{spaceRows + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	var at []byte // of the block
	version := uint64(0)
	for ok := it.First(); ok; ok = it.Next() {
		key := it.Key()
		if !bytes.Equal(at, key[1:13]) {
			at, version = append(at[:0], key[1:13]...), 0
			v, closer, err := r.b.Get(append([]byte{spaceBlock}, at...))
			if err == nil {
				version = binary.LittleEndian.Uint64(v)
				err = closer.Close()
			}
			if err != nil && !errors.Is(err, pebble.ErrNotFound) {
				return err
			}
		}
		if binary.BigEndian.Uint64(key[13:]) <= version {
			r.report.stale++
			if err := r.b.Delete(key, nil); err != nil {
				return err
			}
			if err := r.flush(rebuildBatch); err != nil {
				return err
			}
		}
	}
	return it.Error()
}

// settleBroken reports the keys whose best value is lost.
func (r *rebuild) settleBroken() error {
	for key, rank := range r.broken {
		v, closer, err := r.b.Get([]byte(key))
		if errors.Is(err, pebble.ErrNotFound) {
			r.report.damaged = append(r.report.damaged, []byte(key))
			continue
		}
		if err != nil {
			return err
		}
		if rule := rebuildRules[key[0]]; rule.rank != nil && rule.rank(v) < rank {
			r.report.damaged = append(r.report.damaged, []byte(key))
		}
		if err := closer.Close(); err != nil {
			return err
		}
	}
	slices.SortFunc(r.report.damaged, bytes.Compare)
	return nil
}

// Values of dated keyspaces are gathered in a keyspace of their own, so that
// the choice can be made when all are known:
//
//	1 | u16 length of key | key | u64 sequence | u32 checksum of value | u64 file -> u8 kind, value
const datedSpace = 1

func (r *rebuild) offerDated(file uint64, x *rawPair) error {
	be := binary.BigEndian
	k := be.AppendUint16([]byte{datedSpace}, uint16(len(x.key)))
	k = append(k, x.key...)
	k = be.AppendUint64(k, x.seq)
	k = be.AppendUint32(k, crc32.Checksum(x.value, castagnoli))
	k = be.AppendUint64(k, file)
	v := []byte{1}
	if x.deletes() {
		v[0] = 0
	}
	return r.set(k, append(v, x.value...))
}

type datedValue struct {
	seq, file uint64
	set       bool
	value     []byte
}

// settleDated chooses the value with the highest sequence number. One without a
// number has that of an equal value that has one: it was written there before a
// compaction took the number away.
func (r *rebuild) settleDated() error {
	lo, hi := []byte{datedSpace}, []byte{datedSpace + 1}
	it, err := r.db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return err
	}
	defer it.Close()
	var key []byte
	var all []datedValue
	settle := func() error {
		if len(all) == 0 {
			return nil
		}
		best, clear := newestDated(all)
		if !clear {
			r.report.unclear++
		}
		if !best.set {
			return nil
		}
		return r.set(key, best.value)
	}
	for ok := it.First(); ok; ok = it.Next() {
		k := it.Key()
		n := 3 + int(binary.BigEndian.Uint16(k[1:]))
		if !bytes.Equal(k[3:n], key) {
			if err := settle(); err != nil {
				return err
			}
			key, all = append(key[:0], k[3:n]...), all[:0]
		}
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		all = append(all, datedValue{
			seq: binary.BigEndian.Uint64(k[n:]), file: binary.BigEndian.Uint64(k[n+12:]),
			set: v[0] == 1, value: bytes.Clone(v[1:]),
		})
	}
	if err := it.Error(); err != nil {
		return err
	}
	if err := settle(); err != nil {
		return err
	}
	return r.b.DeleteRange(lo, hi, nil)
}

// newestDated reports whether the choice is certain, too.
func newestDated(all []datedValue) (best datedValue, clear bool) {
	for i := range all {
		for j := range all {
			if all[i].seq == 0 && all[i].set && all[j].set && bytes.Equal(all[i].value, all[j].value) {
				all[i].seq = max(all[i].seq, all[j].seq)
			}
		}
	}
	best, clear = all[0], true
	for _, v := range all[1:] {
		switch {
		case v.seq > best.seq:
			best, clear = v, true
		case v.seq == best.seq && (v.set != best.set || !bytes.Equal(v.value, best.value)):
			clear = false
			if v.file > best.file {
				best = v
			}
		}
	}
	return best, clear
}
