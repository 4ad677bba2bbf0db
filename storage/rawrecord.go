package storage

import (
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
)

// Logs and MANIFEST files of Pebble are rows of records, cut into chunks that
// never cross a boundary of 32 KiB:
//
//	u32 checksum | u16 length | u8 type [| u32 log [| u64 synced]] | payload
//
// The checksum covers what follows the length. Pebble stops reading at the
// first chunk that does not fit, and where it cannot prove that this is damage
// it takes it for the end. Here reading goes on behind such a place.
const (
	recordBlock = 32 << 10
	headPlain   = 7
	headLog     = 11
	headSync    = 19
	sectorBytes = 512 // the least that a disk loses
)

// chunkKind is the place of a chunk in its record.
type chunkKind uint8

const (
	chunkFull chunkKind = 1 + iota
	chunkFirst
	chunkMiddle
	chunkLast
)

// chunkHead is the header size of each type of chunk: of four kinds each, in
// the plain form, with the number of the log, and with the offset synced.
func chunkHead(typ byte) (head int, kind chunkKind, ok bool) {
	if typ < 1 || typ > 12 {
		return 0, 0, false
	}
	return [...]int{headPlain, headLog, headSync}[(typ-1)/4], chunkKind((typ-1)%4 + 1), true
}

type chunk struct {
	kind   chunkKind
	data   []byte
	next   int
	log    uint32
	synced uint64
}

// readChunk reads the chunk at b[at:] and reports whether it is whole.
func readChunk(b []byte, at int) (c chunk, ok bool) {
	if len(b)-at < headPlain {
		return c, false
	}
	h := b[at:]
	head, kind, ok := chunkHead(h[6])
	end := head + int(binary.LittleEndian.Uint16(h[4:]))
	if !ok || end > len(h) || pebbleSum(h[6:end]) != binary.LittleEndian.Uint32(h) {
		return c, false
	}
	c = chunk{kind: kind, data: h[head:end], next: at + end}
	if head >= headLog {
		c.log = binary.LittleEndian.Uint32(h[7:])
	}
	if head == headSync {
		c.synced = binary.LittleEndian.Uint64(h[11:])
	}
	return c, true
}

// mendChunk flips one bit back, if that makes the chunk at b[at:] whole.
func mendChunk(b []byte, at int) bool {
	if len(b)-at < headPlain {
		return false
	}
	h := b[at:]
	sum := binary.LittleEndian.Uint32(h)
	for k := range 16 { // of the length, which the checksum does not cover
		h[4+k/8] ^= 1 << (k % 8)
		if _, ok := readChunk(b, at); ok {
			return true
		}
		h[4+k/8] ^= 1 << (k % 8)
	}
	size := int(binary.LittleEndian.Uint16(h[4:]))
	for _, head := range [...]int{headPlain, headLog, headSync} {
		end := head + size
		if end > len(h) {
			return false
		}
		bit, ok := mendBit(h[6:end], sum)
		if !ok {
			continue
		}
		if bit -= (end - 6) * 8; bit < 0 {
			bit += end * 8
		}
		h[bit/8] ^= 1 << (bit % 8)
		if c, ok := readChunk(b, at); ok && c.next == at+end {
			return true
		}
		h[bit/8] ^= 1 << (bit % 8)
	}
	return false
}

// recordScan is what reading a file of records came to.
type recordScan struct {
	end     int64 // offset behind the last record before the first bad place
	bad     int64 // offset of the first bad place; -1 if there is none
	closed  bool  // the file ends as the engine ends it, or exactly with a record
	damaged bool  // what does not read is not what a crash leaves
	records int   // that can be read
	after   int   // of them, behind the first bad place
	mended  int   // bits put back
}

// record is one record; data is valid until the next one is read.
type record struct {
	off, end int64
	data     []byte
	after    bool // behind a bad place
}

// recordWalk reads a file of records. num is the number of the log; a plain
// file such as a MANIFEST has none.
type recordWalk struct {
	r     io.ReaderAt
	size  int64
	plain bool
	num   uint32
	each  func(record) error

	scan recordScan
	raw  [recordBlock]byte // as stored
	buf  [recordBlock]byte // with bits put back
	base int64             // offset of buf

	part    []byte // of the record being gathered
	partOff int64
	inPart  bool

	synced  uint64 // the highest offset that a chunk says is synced
	resumed int64  // offset of the first whole chunk behind the bad place; -1
	claimed int64  // where the chunk at the bad place would end
	older   bool   // chunks of an older log follow: the file was used again
}

// walkRecords reads all records that can be read, in order.
func walkRecords(r io.ReaderAt, size int64, plain bool, num uint32, each func(record) error) (recordScan, error) {
	w := &recordWalk{r: r, size: size, plain: plain, num: num, each: each, resumed: -1}
	w.scan.bad = -1
	for w.base = 0; w.base < size; w.base += recordBlock {
		n := int(min(recordBlock, size-w.base))
		if _, err := r.ReadAt(w.raw[:n], w.base); err != nil && !errors.Is(err, io.EOF) {
			return w.scan, err
		}
		copy(w.buf[:n], w.raw[:n])
		if err := w.block(n); err != nil {
			return w.scan, err
		}
	}
	if w.inPart {
		w.fail(size, size)
	}
	if w.scan.bad < 0 {
		w.scan.closed = true
		w.scan.damaged = w.scan.mended > 0
		return w.scan, nil
	}
	damaged, err := w.judge()
	w.scan.damaged = damaged || w.scan.mended > 0
	return w.scan, err
}

func (w *recordWalk) block(n int) error {
	b := w.buf[:n]
	for at := 0; at < n; {
		left := n - at
		if left < headPlain {
			if n < recordBlock {
				w.fail(w.base+int64(at), w.size+1)
			}
			return nil
		}
		if left < headSync && ones(b[at:]) == 0 {
			return nil // too little room for a chunk
		}
		if w.trailer(b[at:]) && !w.inPart {
			at += headLog
			continue
		}
		c, ok := readChunk(b, at)
		if !ok {
			switch {
			case n == recordBlock && left < headSync && ones(b[at:]) == 1:
				clear(b[at:])
				w.scan.mended++
				return nil
			case w.likeTrailer(b[at:]) && !w.inPart:
				w.scan.mended++
				at += headLog
				continue
			case ones(b[at:min(n, at+headSync)]) > 0 && mendChunk(b, at):
				if c, ok = readChunk(b, at); ok && w.mine(c) {
					w.scan.mended++
				}
			}
		}
		if !ok || !w.mine(c) {
			if ok {
				w.older = true
			}
			w.failChunk(b, at)
			at = w.resume(b, at+1)
			continue
		}
		if err := w.take(c, at); err != nil {
			return err
		}
		at = c.next
	}
	return nil
}

func (w *recordWalk) mine(c chunk) bool { return w.plain || c.log == w.num }

// trailer reports whether b begins with what closes a log.
func (w *recordWalk) trailer(b []byte) bool { return !w.plain && w.trailerDiff(b) == 0 }

func (w *recordWalk) likeTrailer(b []byte) bool { return !w.plain && w.trailerDiff(b) == 1 }

func (w *recordWalk) trailerDiff(b []byte) int {
	if len(b) < headLog {
		return -1
	}
	var want [headLog]byte
	want[6] = 5
	binary.LittleEndian.PutUint32(want[7:], w.num+1)
	n := 0
	for i := range want {
		n += bits.OnesCount8(want[i] ^ b[i])
	}
	return n
}

func ones(b []byte) (n int) {
	for _, x := range b {
		n += bits.OnesCount8(x)
	}
	return n
}

// take adds a whole chunk to its record.
func (w *recordWalk) take(c chunk, at int) error {
	off := w.base + int64(at)
	w.synced = max(w.synced, c.synced)
	if w.scan.bad >= 0 && w.resumed < 0 {
		w.resumed = off
	}
	begins := c.kind == chunkFull || c.kind == chunkFirst
	if begins == w.inPart && (w.scan.bad < 0 || w.inPart) {
		w.fail(off, off)
	}
	if begins {
		w.part, w.partOff, w.inPart = w.part[:0], off, true
	} else if !w.inPart {
		return nil // the rest of a record whose beginning does not read
	}
	w.part = append(w.part, c.data...)
	if c.kind == chunkFirst || c.kind == chunkMiddle {
		return nil
	}
	w.inPart = false
	r := record{off: w.partOff, end: w.base + int64(c.next), data: w.part, after: w.scan.bad >= 0}
	w.scan.records++
	if r.after {
		w.scan.after++
	} else {
		w.scan.end = r.end
	}
	if w.each == nil {
		return nil
	}
	return w.each(r)
}

// fail notes a bad place; the record being gathered is given up.
func (w *recordWalk) fail(off, claimed int64) {
	w.inPart = false
	if w.scan.bad < 0 {
		w.scan.bad, w.claimed = off, claimed
	}
}

func (w *recordWalk) failChunk(b []byte, at int) {
	off := w.base + int64(at)
	claimed := off + headSync
	if head, _, ok := chunkHead(b[at+6]); ok {
		claimed = off + int64(head) + int64(binary.LittleEndian.Uint16(b[at+4:]))
	}
	w.fail(off, claimed)
}

// resume returns where in the block the next whole chunk of this file begins.
func (w *recordWalk) resume(b []byte, at int) int {
	for ; at+headPlain <= len(b); at++ {
		head, _, ok := chunkHead(b[at+6])
		if !ok || w.plain != (head == headPlain) {
			continue
		}
		if w.trailer(b[at:]) {
			return at
		}
		if !w.plain && at+headLog > len(b) || !w.plain && binary.LittleEndian.Uint32(b[at+7:]) > w.num {
			continue
		}
		if c, ok := readChunk(b, at); ok {
			if w.mine(c) {
				return at
			}
			w.older = true
		}
	}
	return len(b)
}

// judge reports whether the first bad place is damage rather than what a crash
// leaves of bytes that were never synced: nothing, zeros where a sector was not
// written, a file cut off, or in a file used again what was there before.
func (w *recordWalk) judge() (bool, error) {
	bad := w.scan.bad
	if w.synced > uint64(bad) {
		return true, nil // it was on the disk once
	}
	if w.older || w.claimed > w.size {
		return false, nil
	}
	last, err := w.lastByte()
	if err != nil {
		return false, err
	}
	if last < bad {
		return false, nil
	}
	to := max(last+1, w.claimed)
	if w.resumed >= 0 {
		to = w.resumed
	}
	lost, err := w.lostSector(bad, to)
	return !lost, err
}

// lastByte is the offset of the last byte that is not zero, from the first bad
// place on.
func (w *recordWalk) lastByte() (int64, error) {
	last := int64(-1)
	for off := w.scan.bad; off < w.size; off += recordBlock {
		n := int(min(recordBlock, w.size-off))
		if _, err := w.r.ReadAt(w.raw[:n], off); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for i, x := range w.raw[:n] {
			if x != 0 {
				last = off + int64(i)
			}
		}
	}
	return last, nil
}

// lostSector reports whether a sector that overlaps from..to holds nothing from
// there on.
func (w *recordWalk) lostSector(from, to int64) (bool, error) {
	for sec := from &^ (sectorBytes - 1); sec < to; sec += sectorBytes {
		lo := max(sec, from)
		n := int(min(sec+sectorBytes, w.size) - lo)
		if _, err := w.r.ReadAt(w.raw[:n], lo); err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		if ones(w.raw[:n]) == 0 {
			return true, nil
		}
	}
	return false, nil
}
