package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime/debug"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage"
	"github.com/cockroachdb/pebble/v2/sstable"
	sstblock "github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/sstable/block/blockkind"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
	"github.com/cockroachdb/pebble/v2/sstable/valblk"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// rawPair is one internal key of a table; its slices are valid until the
// callback returns. A range deletion has its end as value. seq is what the
// file says: 0 in tables that were loaded as a whole and in the last level.
type rawPair struct {
	key, value []byte
	seq        uint64
	kind       pebble.InternalKeyKind
}

func (p *rawPair) deletes() bool {
	switch p.kind {
	case pebble.InternalKeyKindDelete, pebble.InternalKeyKindSingleDelete, pebble.InternalKeyKindDeleteSized:
		return true
	}
	return false
}

// keyRange is half-open; nil ends are open.
type keyRange struct{ lo, hi []byte }

func (r keyRange) empty() bool {
	return r.lo != nil && r.hi != nil && bytes.Compare(r.lo, r.hi) >= 0
}

func (r keyRange) has(key []byte) bool {
	return (r.lo == nil || bytes.Compare(key, r.lo) >= 0) && (r.hi == nil || bytes.Compare(key, r.hi) < 0)
}

// clip returns the part of r within o.
func (r keyRange) clip(o keyRange) keyRange {
	if o.lo != nil && (r.lo == nil || bytes.Compare(r.lo, o.lo) < 0) {
		r.lo = o.lo
	}
	if o.hi != nil && (r.hi == nil || bytes.Compare(r.hi, o.hi) > 0) {
		r.hi = o.hi
	}
	return r
}

// joinRanges sorts ranges and joins those that touch.
func joinRanges(rs []keyRange) []keyRange {
	rs = slices.DeleteFunc(slices.Clone(rs), keyRange.empty)
	slices.SortFunc(rs, func(a, b keyRange) int { return bytes.Compare(a.lo, b.lo) }) // nil is lowest
	out := rs[:0]
	for _, r := range rs {
		if n := len(out); n > 0 && (out[n-1].hi == nil || bytes.Compare(r.lo, out[n-1].hi) <= 0) {
			if h := out[n-1].hi; h != nil && (r.hi == nil || bytes.Compare(r.hi, h) > 0) {
				out[n-1].hi = r.hi
			}
			continue
		}
		out = append(out, r)
	}
	return out
}

func anyHas(rs []keyRange, key []byte) bool {
	for _, r := range rs {
		if r.has(key) {
			return true
		}
	}
	return false
}

// successor is the next key in order.
func successor(key []byte) []byte { return append(bytes.Clone(key), 0) }

// readTable reads one table file without a database: first its range
// deletions, then its keys in order. Flipped bits are put back where the
// checksum says which they are. It goes on behind blocks that cannot be read;
// bad are the ranges of keys that may have been missed, cut to [lo, hi). Pairs
// are emitted inside of bad too, where only some of its keys are missed, or
// where it is not known whether any are, as for a table without its range
// deletions. The error is only for what pair returns and what keeps the file
// from being read at all, such as that it is not there; then bad is everything.
func readTable(fs vfs.FS, path string, lo, hi []byte, pair func(rawPair) error) (bad []keyRange, err error) {
	t := &rawTable{want: keyRange{lo, hi}, pair: pair}
	// Blocks are decoded without checks by Pebble, which trusts in checksums.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	f, err := fs.Open(path)
	if err != nil {
		return []keyRange{t.want}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return []keyRange{t.want}, err
	}
	t.r = &mendedFile{f: f, size: info.Size()}
	if err := t.read(); err != nil {
		return []keyRange{t.want}, fmt.Errorf("read %s: %w", path, err)
	}
	for i := range t.bad {
		t.bad[i] = t.bad[i].clip(t.want)
	}
	return joinRanges(t.bad), nil
}

// rawTable is the reading of one table.
type rawTable struct {
	r    *mendedFile
	want keyRange
	pair func(rawPair) error
	bad  []keyRange

	last    []byte // the last key seen
	seen    bool
	rows    uint64 // keys read, whether asked for or not
	deleted uint64 // range deletions
}

// Block and footer layout of Pebble v2.1.7, formats Pebblev5 to v7.
const (
	footerBytes = 61 // of format v7, the only one that this program writes
	maxRawBlock = 64 << 20
	tableMagic  = "\xf0\x9f\xaa\xb3\xf0\x9f\xaa\xb3"

	metaRangeDel   = "rocksdb.range_del2"
	metaProperties = "rocksdb.properties"
	propEntries    = "rocksdb.num.entries"
)

var (
	errTable   = errors.New("table is damaged")
	tableKeys  = colblk.DefaultKeySchema(pebble.DefaultComparer, 16)
	dataHeader = func() []byte { // version, number of columns
		return []byte{byte(colblk.Version1), byte(len(tableKeys.ColumnTypes) + 5), 0}
	}()
)

func (t *rawTable) read() error {
	foot, ok := t.footer()
	if ok {
		if err := t.rangeDeletions(foot); err != nil {
			return err
		}
	} else {
		t.bad = append(t.bad, t.want)
	}
	if !ok || !t.plausible(foot.index) {
		return t.scanAll(t.r.size)
	}
	if index, ok := t.block(foot.index); ok {
		if done, err := t.indexed(index, foot.twoLevel); done || err != nil {
			return err
		}
	}
	return t.scanAll(int64(foot.index.Offset))
}

type tableFooter struct {
	meta, index sstblock.Handle
	twoLevel    bool
}

// footer reads the last bytes of the file: u8 checksum type, handles of meta
// and index, padding, u32 attributes, u32 checksum, u32 version, magic. The
// checksum covers all but itself.
func (t *rawTable) footer() (f tableFooter, ok bool) {
	if t.r.size < footerBytes {
		return f, false
	}
	b := make([]byte, footerBytes)
	at := t.r.size - footerBytes
	if t.r.ReadAt(context.Background(), b, at) != nil {
		return f, false
	}
	const sumAt = footerBytes - 16
	whole := func() bool {
		c := crc32.Update(crc32.Checksum(b[:sumAt], castagnoli), castagnoli, b[sumAt+4:])
		return maskSum(c) == binary.LittleEndian.Uint32(b[sumAt:])
	}
	for bit := 0; !whole(); bit++ {
		if bit == footerBytes*8 {
			return f, false
		}
		b[bit/8] ^= 1 << (bit % 8)
		if whole() {
			t.r.mend(at, bit)
			break
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
	if string(b[footerBytes-8:]) != tableMagic || sstblock.ChecksumType(b[0]) != sstblock.ChecksumTypeCRC32c {
		return f, false
	}
	var n, m int
	f.meta, n = sstblock.DecodeHandle(b[1:])
	f.index, m = sstblock.DecodeHandle(b[1+n:])
	f.twoLevel = sstable.Attributes(binary.LittleEndian.Uint32(b[sumAt-4:])).Has(sstable.AttributeTwoLevelIndex)
	return f, n > 0 && m > 0
}

func (t *rawTable) plausible(h sstblock.Handle) bool {
	return h.Length > 0 && h.Length < maxRawBlock && h.Offset < uint64(t.r.size) &&
		h.Offset+h.Length+sstblock.TrailerLen <= uint64(t.r.size)
}

// block reads a block and puts a flipped bit back.
func (t *rawTable) block(h sstblock.Handle) ([]byte, bool) {
	if !t.plausible(h) {
		return nil, false
	}
	b := make([]byte, h.Length+sstblock.TrailerLen)
	if t.r.ReadAt(context.Background(), b, int64(h.Offset)) != nil {
		return nil, false
	}
	n := len(b) - 4
	if sum := binary.LittleEndian.Uint32(b[n:]); pebbleSum(b[:n]) != sum {
		bit, ok := mendBit(b[:n], sum)
		if !ok {
			return nil, false
		}
		b[bit/8] ^= 1 << (bit % 8)
		t.r.mend(int64(h.Offset), bit)
	}
	return unpackBlock(b)
}

// unpackBlock cuts the trailer off and undoes the compression.
func unpackBlock(b []byte) (data []byte, ok bool) {
	n := len(b) - sstblock.TrailerLen
	how := sstblock.CompressionIndicator(b[n])
	if how == sstblock.NoCompressionIndicator {
		return b[:n:n], true
	}
	err := catch(func() error {
		size, err := sstblock.DecompressedLen(how, b[:n])
		if err != nil || size > maxRawBlock {
			return errTable
		}
		data = make([]byte, size)
		return sstblock.DecompressInto(how, b[:n], data)
	})
	return data, err == nil
}

// catch turns a panic of f into an error.
func catch(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errTable, r)
		}
	}()
	return f()
}

// stopped carries an error of the callback through guard.
type stopped struct{ error }

// rangeDeletions emits the range deletions; without them everything is bad.
func (t *rawTable) rangeDeletions(foot tableFooter) error {
	meta, ok := t.metaBlocks(foot)
	h, some := meta[metaRangeDel]
	if ok && !some {
		return nil
	}
	if ok {
		_, ok = t.block(h) // mends it
	}
	if !ok {
		t.bad = append(t.bad, t.want)
		return nil
	}
	err := catch(func() error {
		var r sstblock.Reader
		r.Init(t.r, sstblock.ReaderOptions{}, sstblock.ChecksumTypeCRC32c)
		b, err := r.Read(context.Background(), sstblock.NoReadEnv, nil, h, blockkind.RangeDel, colblk.InitKeyspanBlockMetadata)
		if err != nil {
			return err
		}
		it := colblk.NewKeyspanIter(bytes.Compare, b, sstable.NoFragmentTransforms)
		defer it.Close()
		for s, err := it.First(); s != nil || err != nil; s, err = it.Next() {
			if err != nil {
				return err
			}
			for _, k := range s.Keys {
				t.deleted++
				part := keyRange{s.Start, s.End}.clip(t.want)
				if part.empty() {
					continue
				}
				if err := t.pair(rawPair{key: part.lo, value: part.hi, seq: uint64(k.SeqNum()), kind: pebble.InternalKeyKindRangeDelete}); err != nil {
					return stopped{err}
				}
			}
		}
		return nil
	})
	if s, ok := errors.AsType[stopped](err); ok {
		return s.error
	}
	if err != nil {
		t.bad = append(t.bad, t.want)
	}
	return nil
}

// metaBlocks returns where the blocks beside data and index are.
func (t *rawTable) metaBlocks(foot tableFooter) (map[string]sstblock.Handle, bool) {
	meta, ok := t.block(foot.meta)
	if !ok {
		return nil, false
	}
	blocks := make(map[string]sstblock.Handle)
	err := eachMeta(meta, func(k string, v []byte) {
		if h, n := sstblock.DecodeHandle(v); n > 0 {
			blocks[k] = h
		}
	})
	return blocks, err == nil
}

// eachMeta calls f for the pairs of a block of named values.
func eachMeta(b []byte, f func(k string, v []byte)) error {
	return catch(func() error {
		if len(b) < 7 || uint64(colblk.DecodeHeader(b).Rows) > uint64(len(b)) {
			return errTable
		}
		var d colblk.KeyValueBlockDecoder
		d.Init(b)
		for k, v := range d.All() {
			f(string(k), v)
		}
		return nil
	})
}

// indexed reads the data blocks that the index lists. It returns false if the
// index makes no sense, before anything is emitted.
func (t *rawTable) indexed(index []byte, twoLevel bool) (done bool, err error) {
	entries, ok := t.entries(index)
	if !ok {
		return false, nil
	}
	if !twoLevel {
		return true, t.dataBlocks(entries, nil)
	}
	var prev []byte // separator
	end := uint64(0)
	for i, e := range entries {
		passed := prev != nil && t.want.hi != nil && bytes.Compare(prev, t.want.hi) > 0
		before := t.want.lo != nil && bytes.Compare(e.sep, t.want.lo) < 0
		if passed {
			break
		}
		if before {
			prev, end = e.sep, 0
			continue
		}
		if sub, ok := t.block(e.h); ok {
			if list, ok := t.entries(sub); ok {
				if err := t.dataBlocks(list, prev); err != nil {
					return true, err
				}
				prev = e.sep
				if n := len(list); n > 0 {
					end = list[n-1].h.Offset + list[n-1].h.Length + sstblock.TrailerLen
				}
				continue
			}
		}
		// The data blocks of this part of the index lie between those of the
		// parts before and behind it.
		t.bad = append(t.bad, keyRange{t.after(prev), successor(e.sep)})
		if i == 0 || end > 0 {
			if err := t.scan(int64(end), t.r.size, &keyRange{prev, successor(e.sep)}); err != nil {
				return true, err
			}
		}
		prev, end = e.sep, 0
	}
	return true, nil
}

type indexEntry struct {
	sep []byte
	h   sstblock.Handle
}

func (t *rawTable) entries(index []byte) (list []indexEntry, ok bool) {
	err := catch(func() error {
		if rows := colblk.DecodeHeader(index).Rows; uint64(rows) > uint64(len(index)) {
			return errTable
		}
		var it colblk.IndexIter
		if err := it.Init(pebble.DefaultComparer, index, sstable.NoTransforms); err != nil {
			return err
		}
		for ok := it.First(); ok; ok = it.Next() {
			h, err := it.BlockHandleWithProperties()
			if err != nil {
				return err
			}
			list = append(list, indexEntry{bytes.Clone(it.Separator()), h.Handle})
		}
		return nil
	})
	return list, err == nil && len(list) > 0
}

// after is the least key that can have been missed when keys up to prev, and
// those seen, are accounted for.
func (t *rawTable) after(prev []byte) []byte {
	if t.seen && bytes.Compare(t.last, prev) >= 0 {
		return successor(t.last)
	}
	return prev
}

// dataBlocks reads blocks in order; the separator of a block is at or behind
// its last key and not behind the first of the next.
func (t *rawTable) dataBlocks(list []indexEntry, prev []byte) error {
	for _, e := range list {
		if t.want.hi != nil && prev != nil && bytes.Compare(prev, t.want.hi) > 0 {
			return nil
		}
		if t.want.lo == nil || bytes.Compare(e.sep, t.want.lo) >= 0 {
			data, ok := t.block(e.h)
			if ok {
				var err error
				if ok, err = t.rowsOf(data, nil); err != nil {
					return err
				}
			}
			if !ok {
				t.bad = append(t.bad, keyRange{t.after(prev), successor(e.sep)})
			}
		}
		prev = e.sep
	}
	return nil
}

// rowsOf emits the keys of a data block. It reports whether all could be read.
// Only keys within limit are taken for keys of the block, if that is set.
func (t *rawTable) rowsOf(data []byte, limit *keyRange) (bool, error) {
	rows := 0
	err := catch(func() error {
		if len(data) < 4+7 || uint64(colblk.DecodeHeader(data[4:]).Rows) > uint64(len(data)) {
			return errTable
		}
		var (
			d  colblk.DataBlockDecoder
			it colblk.DataBlockIter
		)
		it.InitOnce(&tableKeys, pebble.DefaultComparer, &valblk.Reader{})
		d.Init(&tableKeys, data)
		rows = d.BlockDecoder().Rows()
		external := d.BlockDecoder().Bitmap(len(tableKeys.ColumnTypes) + 3)
		if err := it.Init(&d, sstable.NoTransforms); err != nil {
			return err
		}
		row := 0
		for kv := it.First(); kv != nil; kv = it.Next() {
			if t.seen && bytes.Compare(kv.K.UserKey, t.last) < 0 || limit != nil && !limit.has(kv.K.UserKey) {
				return errTable
			}
			t.last, t.seen = append(t.last[:0], kv.K.UserKey...), true
			// Older versions of a key can have their value in another block.
			// They are passed over: the newer one is in this table.
			if t.want.has(kv.K.UserKey) && !external.At(row) {
				p := rawPair{key: kv.K.UserKey, value: kv.InPlaceValue(), seq: uint64(kv.SeqNum()), kind: kv.Kind()}
				if err := t.pair(p); err != nil {
					return stopped{err}
				}
			}
			row++
			t.rows++
		}
		if row != rows {
			return errTable
		}
		return nil
	})
	if s, ok := errors.AsType[stopped](err); ok {
		return false, s.error
	}
	return err == nil, nil
}

// scanAll finds the data blocks without an index. What it cannot prove to be
// complete is bad as a whole.
func (t *rawTable) scanAll(end int64) error {
	t.rows = 0
	if err := t.scan(0, end, nil); err != nil {
		return err
	}
	if n, ok := t.entryCount(); !ok || n != t.rows+t.deleted {
		t.bad = append(t.bad, t.want)
	}
	return nil
}

// entryCount is the number of entries that the properties of the table tell.
func (t *rawTable) entryCount() (n uint64, ok bool) {
	foot, ok := t.footer()
	if !ok {
		return 0, false
	}
	blocks, ok := t.metaBlocks(foot)
	if !ok {
		return 0, false
	}
	b, ok := t.block(blocks[metaProperties])
	if !ok {
		return 0, false
	}
	found := false
	err := eachMeta(b, func(k string, v []byte) {
		if k == propEntries {
			var m int
			n, m = binary.Uvarint(v)
			found = m > 0
		}
	})
	return n, err == nil && found
}

// scan reads the data blocks that lie one behind another from a place in the
// file on: a block ends where its checksum fits. Behind a block that does not
// end, it looks for bytes that a data block begins with.
func (t *rawTable) scan(at, end int64, limit *keyRange) error {
	buf := make([]byte, 0, 256<<10)
	for at < end {
		data, next, ok := t.grow(at, end, &buf)
		if ok {
			var err error
			if ok, err = t.rowsOf(data, limit); err != nil {
				return err
			}
			if !ok && limit != nil {
				return nil
			}
		}
		if ok {
			at = next
			continue
		}
		if at = t.nextData(at+1, end); at < 0 {
			return nil
		}
	}
	return nil
}

// grow reads a block of unknown length at a place in the file.
func (t *rawTable) grow(at, end int64, buf *[]byte) (data []byte, next int64, ok bool) {
	var head [len(tableMagic)]byte
	if t.r.ReadAt(context.Background(), head[:7], at) != nil || !bytes.Equal(head[4:7], dataHeader) {
		return nil, 0, false
	}
	b := (*buf)[:0]
	crc := uint32(0)
	for n := 0; at+int64(n) < end && n < maxRawBlock; {
		want := int(min(end-at, int64(n+64<<10), maxRawBlock))
		if want <= n {
			return nil, 0, false
		}
		b = slices.Grow(b, want-n)[:want]
		if t.r.ReadAt(context.Background(), b[n:], at+int64(n)) != nil {
			return nil, 0, false
		}
		for ; n+4 < len(b); n++ {
			crc = crcByte(crc, b[n])
			if b[n] <= 8 && maskSum(crc) == binary.LittleEndian.Uint32(b[n+1:]) {
				*buf = b
				data, ok = unpackBlock(slices.Clone(b[:n+5]))
				return data, at + int64(n) + 5, ok
			}
		}
		if want == int(min(end-at, maxRawBlock)) {
			break
		}
	}
	*buf = b
	return nil, 0, false
}

func crcByte(crc uint32, x byte) uint32 {
	crc = ^crc
	return ^(castagnoli[byte(crc)^x] ^ crc>>8)
}

// nextData is the next place from at on that looks like the beginning of a data
// block, or -1.
func (t *rawTable) nextData(at, end int64) int64 {
	buf := make([]byte, 64<<10)
	for ; at < end; at += int64(len(buf) - 7) {
		n := int(min(int64(len(buf)), end-at))
		if n < 7 || t.r.ReadAt(context.Background(), buf[:n], at) != nil {
			return -1
		}
		for i := 0; ; {
			k := bytes.Index(buf[i:n], dataHeader)
			if k < 0 {
				break
			}
			if i += k; i >= 4 {
				return at + int64(i) - 4
			}
			i++
		}
	}
	return -1
}

// mendedFile is a file with bits put back.
type mendedFile struct {
	f    vfs.File
	size int64
	bits map[int64]byte // by offset
}

var _ objstorage.Readable = (*mendedFile)(nil)

// mend flips a bit, counted from the byte at off.
func (m *mendedFile) mend(off int64, bit int) {
	if m.bits == nil {
		m.bits = make(map[int64]byte)
	}
	m.bits[off+int64(bit/8)] ^= 1 << (bit % 8)
}

func (m *mendedFile) ReadAt(_ context.Context, p []byte, off int64) error {
	n, err := m.f.ReadAt(p, off)
	if n < len(p) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	for at, x := range m.bits {
		if i := at - off; i >= 0 && i < int64(len(p)) {
			p[i] ^= x
		}
	}
	return nil
}

// Close does nothing: the file is closed by who opened it.
func (m *mendedFile) Close() error { return nil }

func (m *mendedFile) Size() int64 { return m.size }

func (m *mendedFile) NewReadHandle(objstorage.ReadBeforeSize) objstorage.ReadHandle {
	return &mendedHandle{m}
}

type mendedHandle struct{ m *mendedFile }

func (h *mendedHandle) ReadAt(ctx context.Context, p []byte, off int64) error {
	return h.m.ReadAt(ctx, p, off)
}
func (h *mendedHandle) Close() error                                 { return nil }
func (h *mendedHandle) SetupForCompaction()                          {}
func (h *mendedHandle) RecordCacheHit(context.Context, int64, int64) {}
