package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The file HEAD stands outside the engine and says how far the store had come,
// so that what the engine loses without a word is noticed. It has two slots of
// 4 KiB, written in turn: a write that a power cut tears leaves the other one.
//
//	8 bytes magic | u32 version | 16 bytes id of the store | u64 turn | stamp, as encode writes it
//	u64 generation of the trail | u64 bytes of it that are on the disk | u8 clean | zeros | CRC32C of all before it
//
// After each durable commit, before that is acknowledged, a record with its
// stamp goes to the trail. At least every headDelay the trail is made durable,
// and HEAD with it: so a killed process loses no mark, and a power cut at most
// the marks of the last moment. The slots take turns, so that a power cut tears
// one of them at most.
const (
	headSlot    = 4096
	headVersion = 1
	headName    = "HEAD"
)

var headMagic = [8]byte{'B', 'K', 'H', 'E', 'A', 'D', '\r', '\n'}

// storeID tells stores apart; a copy has that of its original.
type storeID [16]byte

type headMark struct {
	id    storeID
	turn  uint64
	stamp stamp
	trail uint64
	sure  uint64 // bytes of the trail that are on the disk
	slot  int64  // where it stands, 0 or 1; not written
	clean bool   // the store was closed after it
}

func (m *headMark) encode() []byte {
	le := binary.LittleEndian
	b := append(make([]byte, 0, headSlot), headMagic[:]...)
	b = le.AppendUint32(b, headVersion)
	b = append(b, m.id[:]...)
	b = le.AppendUint64(b, m.turn)
	b = append(b, m.stamp.encode()...)
	b = le.AppendUint64(b, m.trail)
	b = le.AppendUint64(b, m.sure)
	if m.clean {
		b = append(b, 1)
	}
	b = b[:headSlot]
	le.PutUint32(b[headSlot-4:], crc32.Checksum(b[:headSlot-4], castagnoli))
	return b
}

var errHead = errors.New("a slot of HEAD is damaged")

func decodeHead(b []byte) (headMark, error) {
	le := binary.LittleEndian
	var m headMark
	if len(b) != headSlot || crc32.Checksum(b[:headSlot-4], castagnoli) != le.Uint32(b[headSlot-4:]) || [8]byte(b) != headMagic {
		return m, errHead
	}
	if v := le.Uint32(b[8:]); v != headVersion {
		return m, fmt.Errorf("HEAD has version %d, this program knows %d", v, headVersion)
	}
	m.id = storeID(b[12:])
	m.turn = le.Uint64(b[28:])
	var err error
	if m.stamp, err = decodeStamp(b[36 : 36+stampSize]); err != nil {
		return m, err
	}
	m.trail = le.Uint64(b[36+stampSize:])
	m.sure = le.Uint64(b[44+stampSize:])
	m.clean = b[52+stampSize] == 1
	return m, nil
}

// readHead returns the newest mark; found is false where there is no HEAD.
// damaged says that a slot cannot be read which no power cut tore: the other
// one may be older.
func readHead(fs vfs.FS, dir string) (m headMark, found, damaged bool, err error) {
	f, err := fs.Open(fs.PathJoin(dir, headName))
	if errors.Is(err, errNotExist) {
		return m, false, false, nil
	}
	if err != nil {
		return m, false, false, err
	}
	defer f.Close() // it was only read
	b, err := io.ReadAll(io.LimitReader(f, 4*headSlot))
	if err != nil {
		return m, false, false, err
	}
	good := false
	for i := range 2 {
		lo, hi := min(i*headSlot, len(b)), min((i+1)*headSlot, len(b))
		x, err := decodeHead(b[lo:hi])
		switch {
		case err != nil:
			damaged = true
		case !good || x.turn > m.turn:
			m, good = x, true
			m.slot = int64(i)
		}
	}
	damaged = damaged && (!good || m.clean) || len(b) != 2*headSlot
	return m, good, damaged, nil
}

// headDelay is how often HEAD is made durable while there are commits.
const headDelay = 200 * time.Millisecond

// head writes HEAD and the trail. Marks are noted in the order of the commits
// and written once everything up to them is durable.
type head struct {
	fs    vfs.FS
	dir   string
	fatal func(error)
	off   bool // the store is open for reading only

	mu     sync.Mutex // guards what follows
	queue  []noted    // not yet written, in order
	mark   headMark   // as written
	file   vfs.File
	trail  *trail
	dirty  bool // written and not yet durable
	slot   int64
	closed bool

	last atomic.Uint64 // sequence of the last commit noted
	sure atomic.Uint64 // sequence up to which all commits of the log are durable
}

// noted is a commit that waits to be written.
type noted struct {
	stamp  stamp
	record []byte
	sure   bool // durable by itself
}

// note puts a commit into the queue; the caller orders the calls.
func (h *head) note(p stamp, r *trailRecord, sure bool) {
	if h.off {
		return
	}
	n := noted{stamp: p, sure: sure, record: r.encode(p)}
	h.mu.Lock()
	h.queue = append(h.queue, n)
	h.mu.Unlock()
	if sure && h.settled() {
		h.sure.Store(p.seq)
	}
	h.last.Store(p.seq)
}

// settled reports whether all commits so far are durable.
func (h *head) settled() bool { return h.sure.Load() >= h.last.Load() }

// synced says that the log is durable up to commit seq.
func (h *head) synced(seq uint64) {
	for {
		old := h.sure.Load()
		if seq <= old || h.sure.CompareAndSwap(old, seq) {
			return
		}
	}
}

// advance writes the marks of all commits that are durable, seq among them.
func (h *head) advance(seq uint64) error {
	if h.off {
		return nil
	}
	h.synced(seq)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	sure := h.sure.Load()
	n := 0
	for n < len(h.queue) && (h.queue[n].stamp.seq <= sure || h.queue[n].sure) {
		n++
	}
	if n == 0 {
		return nil
	}
	err := h.write(h.queue[:n])
	if err != nil {
		h.fatal(fmt.Errorf("write %s: %w", headName, err))
		return err
	}
	h.queue = h.queue[:copy(h.queue, h.queue[n:])]
	return nil
}

// write writes the records of commits. h.mu must be held.
func (h *head) write(ns []noted) error {
	for _, n := range ns {
		h.trail.add(n.record)
	}
	h.mark.stamp, h.mark.clean = ns[len(ns)-1].stamp, false
	h.dirty = true
	return h.trail.flush()
}

// put writes the mark into the slot whose turn it is.
func (h *head) put() error {
	h.mark.turn++
	h.mark.trail, h.mark.sure = h.trail.generation, uint64(h.trail.sure)
	h.dirty = true
	_, err := h.file.WriteAt(h.mark.encode(), h.slot*headSlot)
	return err
}

// sync makes what was written durable.
func (h *head) sync() error {
	if h.off {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || !h.dirty {
		return nil
	}
	if err := h.syncLocked(); err != nil {
		h.fatal(fmt.Errorf("sync %s: %w", headName, err))
		return err
	}
	return nil
}

func (h *head) syncLocked() error {
	if err := h.trail.sync(); err != nil {
		return err
	}
	if err := h.put(); err != nil {
		return err
	}
	if err := h.file.Sync(); err != nil {
		return err
	}
	h.dirty, h.slot = false, 1-h.slot
	return nil
}

// openHead takes over HEAD, or makes one, and begins a new trail with what
// begin writes into it. What was there before stays readable until all of it
// is durable.
func openHead(fs vfs.FS, dir string, old headMark, now stamp, id storeID, fatal func(error), begin func(*trail) error) (*head, error) {
	h := &head{fs: fs, dir: dir, fatal: fatal, mark: headMark{id: id, turn: old.turn, stamp: now}}
	h.last.Store(now.seq)
	h.sure.Store(now.seq)
	var err error
	if h.trail, err = createTrail(fs, dir, old.trail+1); err != nil {
		return nil, err
	}
	if err = begin(h.trail); err == nil {
		err = h.trail.flush()
	}
	if err == nil {
		err = h.trail.sync()
	}
	// HEAD must not name a trail that a power cut takes away.
	if err == nil {
		err = syncDir(fs, dir)
	}
	if err == nil {
		err = h.openFile(old.slot)
	}
	if err == nil {
		err = h.syncLocked()
	}
	if err == nil {
		err = syncDir(fs, dir)
	}
	if err != nil {
		h.shut()
		return nil, err
	}
	// The trail before stays, for what may be found out later.
	removeTrails(fs, dir, h.trail.generation-1)
	return h, nil
}

// openFile opens HEAD for writing; a new one gets both of its slots.
func (h *head) openFile(last int64) error {
	path := h.fs.PathJoin(h.dir, headName)
	i, err := h.fs.Stat(path)
	if err == nil && i.Size() == 2*headSlot {
		h.slot = 1 - last
		h.file, err = h.fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
		return err
	}
	if h.file, err = h.fs.Create(path, vfs.WriteCategoryUnspecified); err != nil {
		return err
	}
	err = h.put()
	h.slot = 1
	return err // the caller writes the other one
}

// long reports whether the trail should begin anew.
func (h *head) long() bool {
	if h.off {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.closed && h.trail.size >= max(trailBytes, 4*h.trail.begun)
}

// catchUp makes durable what was committed without waiting, so that HEAD can
// vouch for it.
func (h *head) catchUp(sync func() error) error {
	if h.off || h.settled() {
		return nil
	}
	seq := h.last.Load()
	if err := sync(); err != nil {
		return err
	}
	return h.advance(seq)
}

// rotate replaces the trail by a new one.
func (h *head) rotate(begin func(*trail) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	next, err := createTrail(h.fs, h.dir, h.trail.generation+1)
	if err != nil {
		return err
	}
	if err = begin(next); err == nil {
		err = next.flush()
	}
	if err == nil {
		err = next.sync()
	}
	if err == nil {
		err = syncDir(h.fs, h.dir)
	}
	if err != nil {
		_ = next.file.Close() // the next attempt writes it anew
		return err
	}
	old := h.trail
	h.trail = next
	if err = h.syncLocked(); err != nil {
		h.fatal(fmt.Errorf("write %s: %w", headName, err))
		return err
	}
	_ = old.file.Close() // it was synced
	removeTrails(h.fs, h.dir, next.generation-1)
	return nil
}

// close writes the last mark. clean says that nothing is on its way any more.
func (h *head) close(p stamp, clean bool) error {
	if h.off {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	h.closed = true
	defer h.shut()
	if !clean {
		return h.syncLocked()
	}
	for _, n := range h.queue {
		h.trail.add(n.record)
	}
	if err := h.trail.flush(); err != nil {
		return err
	}
	h.mark.stamp, h.mark.clean = p, true
	return h.syncLocked()
}

func (h *head) shut() {
	for _, c := range []io.Closer{h.file, h.trail.closer()} {
		if c != nil {
			_ = c.Close() // synced, or given up
		}
	}
}
