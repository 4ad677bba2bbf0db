package storage

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// liveTable is a table of the current version. Several tables can share one
// file, each with a stretch of its keys.
type liveTable struct {
	level  int
	file   uint64
	path   string
	bounds keyRange
	seq    uint64 // of all its keys, if it was loaded as a whole; or 0
	size   int64  // of the file; 0 if it is shared
}

// tables lists the tables that overlap r.
func (p *pebbleEngine) tables(r keyRange) ([]liveTable, error) {
	var o []pebble.SSTablesOption
	if r.lo != nil && r.hi != nil {
		o = append(o, pebble.WithKeyRangeFilter(r.lo, r.hi))
	}
	levels, err := p.db.SSTables(o...)
	if err != nil {
		return nil, err
	}
	var out []liveTable
	for level, infos := range levels {
		for i := range infos {
			x := &infos[i]
			t := liveTable{
				level: level, file: uint64(x.BackingSSTNum), size: int64(x.Size),
				path:   p.fs.PathJoin(p.dir, tableName(uint64(x.BackingSSTNum))),
				bounds: keyRange{bytes.Clone(x.Smallest.UserKey), bytes.Clone(x.Largest.UserKey)},
			}
			if !x.Largest.IsExclusiveSentinel() {
				t.bounds.hi = append(t.bounds.hi, 0)
			}
			if x.SmallestSeqNum == x.LargestSeqNum {
				t.seq = uint64(x.SmallestSeqNum)
			}
			if x.Virtual {
				t.size = 0
			}
			out = append(out, t)
		}
	}
	return out, nil
}

// tablePaths lists the files of the tables of the current version.
func (p *pebbleEngine) tablePaths() ([]string, error) {
	ts, err := p.tables(keyRange{})
	if err != nil {
		return nil, err
	}
	paths := make([]string, len(ts))
	for i := range ts {
		paths[i] = ts[i].path
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

// checkTables lists the table files that are missing or do not have the size
// that the engine expects, without reading them. Of files that several tables
// share the engine does not tell the size: their last bytes are read.
func (p *pebbleEngine) checkTables() (damaged []string, err error) {
	ts, err := p.tables(keyRange{})
	if err != nil {
		return nil, err
	}
	for _, t := range ts {
		ok, err := p.tableFits(t)
		if err != nil {
			return nil, err
		}
		if !ok {
			damaged = append(damaged, t.path)
		}
	}
	if len(damaged) == 0 {
		return nil, nil
	}
	// Compactions go on meanwhile, and put away the tables that they replace: only
	// what is needed still, after it was looked at, is damaged.
	needed, err := p.tablePaths()
	if err != nil {
		return nil, err
	}
	damaged = slices.DeleteFunc(damaged, func(path string) bool {
		_, ok := slices.BinarySearch(needed, path)
		return !ok
	})
	slices.Sort(damaged)
	return slices.Compact(damaged), nil
}

func (p *pebbleEngine) tableFits(t liveTable) (bool, error) {
	info, err := p.fs.Stat(t.path)
	switch {
	case isNotExist(err):
		return false, nil
	case err != nil:
		return false, err
	case t.size != 0:
		return info.Size() == t.size, nil
	}
	f, err := p.fs.Open(t.path)
	if err != nil {
		if isNotExist(err) {
			err = nil
		}
		return false, err
	}
	defer f.Close()
	raw := &rawTable{r: &mendedFile{f: f, size: info.Size()}}
	_, ok := raw.footer()
	return ok && raw.r.bits == nil, nil
}

// repairTable takes a damaged table file out of the running database: what can
// be read of it, and of all others where they lie over it, is written into new
// tables that take its place in one step. The file itself is kept in the folder
// keep, unless it is missing. lost are the ranges in which keys may be missing
// now, or may have an older value than before, or be back though deleted; it is
// empty if everything could be read. Commits wait meanwhile, reads do not.
//
// It does nothing if no table of the current version is in the file.
func (p *pebbleEngine) repairTable(path, keep string) (lost []keyRange, err error) {
	file, ok := tableNumber(p.fs.PathBase(path))
	if !ok {
		return nil, fmt.Errorf("%s is not the name of a table", path)
	}
	path = p.fs.PathJoin(p.dir, tableName(file))
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.db.Flush(); err != nil {
		return nil, err
	}
	kept := false
	for {
		all, err := p.tables(keyRange{})
		if err != nil {
			return lost, err
		}
		i := slices.IndexFunc(all, func(t liveTable) bool { return t.file == file })
		if i < 0 {
			return joinRanges(lost), nil
		}
		if !kept {
			if err := keepFile(p.fs, path, keep); err != nil && !isNotExist(err) {
				return lost, err
			}
			kept = true
		}
		bad, err := p.swapRange(all[i].bounds)
		lost = append(lost, bad...)
		if err != nil {
			return lost, fmt.Errorf("repair %s: %w", path, err)
		}
	}
}

// swapTries is how often a range is widened so that it takes in damaged tables
// that reach beyond it.
const swapTries = 4

// swapRange writes all tables of a range anew. p.mu must be held, and the
// memtables must be empty.
func (p *pebbleEngine) swapRange(r keyRange) (lost []keyRange, err error) {
	for try := 1; ; try++ {
		ts, err := p.tables(r)
		if err != nil {
			return nil, err
		}
		l := &pebbleLoader{p: p}
		bad, missing, err := p.salvage(ts, r, l)
		if err == nil && len(missing) > 0 {
			moved, merr := p.moved(r, missing)
			if err = merr; moved {
				l.Abort()
				try--
				continue // with the tables that took their place
			}
		}
		if err == nil {
			err = l.finish()
		}
		if err == nil {
			err = p.ingest(l.paths, r)
			l.done = err == nil
		}
		l.Abort()
		switch {
		case err == nil:
			return bad, p.rewriteDated(r)
		case try == swapTries || !pebble.IsCorruptionError(err):
			return nil, err
		}
		// Pebble has to read the tables that the range cuts in two.
		for _, t := range ts {
			if bytes.Compare(t.bounds.lo, r.lo) < 0 {
				r.lo = t.bounds.lo
			}
			if bytes.Compare(t.bounds.hi, r.hi) > 0 {
				r.hi = t.bounds.hi
			}
		}
	}
}

// moved reports whether one of the files, which are missing, is no longer part of
// the current version: a compaction has written its keys elsewhere.
func (p *pebbleEngine) moved(r keyRange, missing []uint64) (bool, error) {
	now, err := p.tables(r)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(missing, func(file uint64) bool {
		return !slices.ContainsFunc(now, func(t liveTable) bool { return t.file == file })
	}), nil
}

func (p *pebbleEngine) ingest(paths []string, r keyRange) error {
	p.swap.Lock()
	defer p.swap.Unlock()
	if err := p.pin(); err != nil {
		return err
	}
	_, err := p.db.IngestAndExcise(context.Background(), paths, nil, nil, pebble.KeyRange{Start: r.lo, End: r.hi})
	return err
}

// rewriteDated commits again the pairs of a range that rebuildDB tells apart by
// their sequence numbers: in loaded tables these are gone.
func (p *pebbleEngine) rewriteDated(r keyRange) error {
	for _, space := range []byte(datedSpaces) {
		part := r.clip(keyRange{[]byte{space}, []byte{space + 1}})
		if part.empty() {
			continue
		}
		it, err := p.db.NewIter(&pebble.IterOptions{LowerBound: part.lo, UpperBound: part.hi})
		if err != nil {
			return err
		}
		b := p.db.NewBatch()
		for ok := it.First(); ok && err == nil; ok = it.Next() {
			var v []byte
			if v, err = it.ValueAndErr(); err == nil {
				err = b.Set(it.Key(), v, nil)
			}
			if err == nil && b.Len() > 1<<20 {
				err = b.Commit(pebble.NoSync)
				b = p.db.NewBatch()
			}
		}
		if err == nil {
			err = it.Error()
		}
		if err == nil && !b.Empty() {
			err = b.Commit(pebble.Sync)
		}
		if cerr := it.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// swapTableBytes is the size at which a new table is begun.
const swapTableBytes = 32 << 20

// salvage merges what can be read of tables within r and hands the live pairs
// to l. bad are the ranges that could not be read in one of the tables, missing
// the files that are not there.
func (p *pebbleEngine) salvage(ts []liveTable, r keyRange, l *pebbleLoader) (bad []keyRange, missing []uint64, err error) {
	m := &tableMerge{}
	defer m.stop()
	for _, t := range ts {
		if err := m.add(p, t, t.bounds.clip(r)); err != nil {
			return nil, nil, err
		}
	}
	bytes := 0
	err = m.live(func(key, value []byte) error {
		if bytes > swapTableBytes {
			if err := l.finish(); err != nil {
				return err
			}
			bytes = 0
		}
		bytes += len(key) + len(value)
		return l.Set(key, value)
	})
	for _, s := range m.all {
		bad = append(bad, s.bad...)
		if err == nil {
			err = s.err
		}
		if s.missing {
			missing = append(missing, s.t.file)
		}
	}
	return joinRanges(bad), missing, err
}

// tableMerge merges tables key by key, as the database does.
type tableMerge struct {
	all     []*tableSource
	heads   []*tableSource // those that are not at their end
	deletes []rangeDelete  // in order of their beginnings
	active  []rangeDelete
}

type rangeDelete struct {
	lo, hi []byte
	seq    uint64
}

// tableSource is one table; at is its current pair.
type tableSource struct {
	t    liveTable
	next func() (rawPair, bool)
	stop func()
	at   rawPair
	bad  []keyRange
	err  error

	missing bool // the file is not there
}

// add opens a table and takes in its range deletions.
func (m *tableMerge) add(p *pebbleEngine, t liveTable, r keyRange) error {
	s := &tableSource{t: t}
	s.next, s.stop = iter.Pull(func(yield func(rawPair) bool) {
		s.bad, s.err = readTable(p.fs, t.path, r.lo, r.hi, func(x rawPair) error {
			if !yield(x) {
				return errStopped
			}
			return nil
		})
		if isNotExist(s.err) {
			s.err, s.missing = nil, true // all of it is bad
		}
	})
	m.all = append(m.all, s)
	for {
		x, ok := s.next()
		if !ok {
			return s.err
		}
		if t.seq != 0 {
			x.seq = t.seq
		}
		if x.kind != pebble.InternalKeyKindRangeDelete {
			s.at = x
			m.heads = append(m.heads, s)
			return nil
		}
		m.deletes = append(m.deletes, rangeDelete{bytes.Clone(x.key), bytes.Clone(x.value), x.seq})
	}
}

// errStopped ends the reading of a table that is no longer needed.
var errStopped = fmt.Errorf("stopped")

func (m *tableMerge) stop() {
	for _, s := range m.all {
		s.stop()
	}
}

// live calls f for every key that is neither deleted nor replaced, in order.
func (m *tableMerge) live(f func(key, value []byte) error) error {
	slices.SortFunc(m.deletes, func(a, b rangeDelete) int { return bytes.Compare(a.lo, b.lo) })
	var key []byte
	for len(m.heads) > 0 {
		first := m.heads[0]
		for _, s := range m.heads[1:] {
			if bytes.Compare(s.at.key, first.at.key) < 0 {
				first = s
			}
		}
		key = append(key[:0], first.at.key...)
		newest := first
		for _, s := range m.heads {
			if bytes.Equal(s.at.key, key) && s.newer(newest) {
				newest = s
			}
		}
		if x := &newest.at; !x.deletes() && x.seq >= m.deletedAt(key) {
			if x.kind != pebble.InternalKeyKindSet && x.kind != pebble.InternalKeyKindSetWithDelete {
				return fmt.Errorf("key %x is of kind %d, which this program does not write", key, x.kind)
			}
			if err := f(key, x.value); err != nil {
				return err
			}
		}
		if err := m.pass(key); err != nil {
			return err
		}
	}
	return nil
}

// newer reports whether the pair of s replaces that of o. Within a table the
// newest version of a key comes first.
func (s *tableSource) newer(o *tableSource) bool {
	return cmp.Or(cmp.Compare(s.at.seq, o.at.seq), cmp.Compare(o.t.level, s.t.level)) > 0
}

// pass moves all tables behind key.
func (m *tableMerge) pass(key []byte) error {
	for _, s := range m.heads {
		for bytes.Equal(s.at.key, key) {
			x, ok := s.next()
			if !ok {
				s.at = rawPair{} // no key is nil
				break
			}
			if s.t.seq != 0 {
				x.seq = s.t.seq
			}
			s.at = x
		}
	}
	var err error
	m.heads = slices.DeleteFunc(m.heads, func(s *tableSource) bool {
		if s.at.key == nil && err == nil {
			err = s.err
		}
		return s.at.key == nil
	})
	return err
}

// deletedAt is the highest sequence number of a range deletion over key; keys
// come in order.
func (m *tableMerge) deletedAt(key []byte) (seq uint64) {
	for len(m.deletes) > 0 && bytes.Compare(m.deletes[0].lo, key) <= 0 {
		m.active = append(m.active, m.deletes[0])
		m.deletes = m.deletes[1:]
	}
	m.active = slices.DeleteFunc(m.active, func(d rangeDelete) bool { return bytes.Compare(d.hi, key) <= 0 })
	for _, d := range m.active {
		seq = max(seq, d.seq)
	}
	return seq
}
