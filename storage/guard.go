package storage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// retryEvery is how often a waiting operation tries again. It is a failing
	// system call each time: cheap beside what a write costs, and short beside
	// what a person needs to free space.
	retryEvery = 50 * time.Millisecond
	// Pebble retries a failed flush or compaction at once (its issue 6139):
	// 84,944 errors were measured in 5 s. Errors of tables that follow another
	// within brakeMemory leave brakeDelay apart, which makes at most 4 a second.
	brakeDelay  = 250 * time.Millisecond
	brakeMemory = 5 * time.Second
	// manifestReserve is the room that a manifest claims ahead.
	manifestReserve = 32 << 10
)

// guard stands between Pebble and the disk. Pebble does not survive a lack of
// space: it ends the process when the log cannot grow and spins when a table
// cannot. So an operation that lacks space waits here until there is some, and
// Pebble sees a slow disk, which it does survive; reads go on meanwhile.
// Whoever writes above Pebble asks [guard.space] and [guard.waiting] first.
type guard struct {
	inner   vfs.FS
	dir     string // of the store; its disk is watched
	opts    guardOptions
	epoch   time.Time
	ballast ballast

	aborted   chan struct{} // closed by abort
	abortOnce sync.Once
	wake      chan struct{} // something began or ended to wait
	done      chan struct{} // closed by stop
	stopOnce  sync.Once
	work      sync.WaitGroup

	// Read on every write, therefore without a lock; see [guard.enter].
	oldest atomic.Int64 // start of the longest wait, in ns since epoch; 0 is none
	number atomic.Int32 // of waiting operations
	state  atomic.Uint32
	usage  atomic.Pointer[vfs.DiskUsage]

	mu      sync.Mutex // guards what follows, and changes of what is above
	waiters []*waiter  // in order of start
	// braked is when the last error of a table was or will be handed out.
	braked time.Time

	checking sync.Mutex // one look at the disk at a time; guards what follows
	told     SpaceState // what OnChange knows
}

// waiter is an operation that waits for space.
type waiter struct{ start int64 }

// guardOptions configure a guard. Sizes are in bytes; 0 is the default that
// suits the disk, negative is off.
type guardOptions struct {
	// Low and ReadOnly are the free space below which the state is [SpaceLow]
	// and [SpaceReadOnly]; the defaults are 2 GiB or a tenth of the disk, and
	// 1 GiB or a twentieth, whichever is less. ReadOnly off also takes away
	// the floor of [SpaceFull], which then needs an operation that waits.
	Low, ReadOnly int64
	// Ballast is the size of the file that is given up when the disk is full;
	// the default is 64 MiB or a hundredth of the disk, whichever is less.
	// When off, a file of an earlier run is left alone, as a store that is
	// only read must.
	Ballast int64
	// Fatal is called where Pebble 2.1.7 would not survive an error, with that
	// error; it must not return. nil hands the error on.
	Fatal func(error)
	// Now is the clock; nil is the wall clock.
	Now func() time.Time
	// OnChange is told of each change of state, one at a time and in order, by
	// the watcher or by check. It must be quick and must not call check.
	OnChange func(from, to SpaceState, u vfs.DiskUsage)
}

// newGuard returns a guard over inner for the store in dir. It neither watches
// the disk nor keeps ballast before start.
func newGuard(inner vfs.FS, dir string, o guardOptions) *guard {
	if o.Now == nil {
		o.Now = time.Now
	}
	g := &guard{
		inner: inner, dir: dir, opts: o,
		epoch:   o.Now().Add(-1), // so that no wait starts at 0, which is none
		aborted: make(chan struct{}),
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
	}
	g.usage.Store(&vfs.DiskUsage{})
	g.ballast = ballast{fs: inner, dir: dir, kept: o.Ballast >= 0, now: g.sinceEpoch}
	g.ballast.find()
	return g
}

// FS returns the filesystem to give to Pebble.
func (g *guard) FS() vfs.FS { return guardFS{g.inner, g} }

// abort ends the waiting for good: operations that wait return their error at
// once, later ones as soon as they fail. Pebble takes an error of its log or
// manifest as the end of the process, so abort is for Close, when no commit is
// under way.
func (g *guard) abort() { g.abortOnce.Do(func() { close(g.aborted) }) }

func (g *guard) isAborted() bool {
	select {
	case <-g.aborted:
		return true
	default:
		return false
	}
}

// waiting returns how long the longest waiting operation has waited and how
// many wait. It costs two atomic loads.
func (g *guard) waiting() (since time.Duration, n int) {
	start := g.oldest.Load()
	if start == 0 {
		return 0, 0
	}
	return time.Duration(g.sinceEpoch() - start), max(1, int(g.number.Load()))
}

func (g *guard) sinceEpoch() int64 { return int64(g.opts.Now().Sub(g.epoch)) }

// enter counts an operation as waiting. The state is full from now on, not
// from the next look at the disk: a quota or a lack of inodes does not show
// there.
func (g *guard) enter() *waiter {
	w := &waiter{g.sinceEpoch()}
	g.mu.Lock()
	g.waiters = append(g.waiters, w)
	g.countLocked()
	g.state.Store(uint32(SpaceFull))
	g.mu.Unlock()
	g.wakeUp()
	return w
}

func (g *guard) leave(w *waiter) {
	g.mu.Lock()
	g.waiters = slices.DeleteFunc(g.waiters, func(x *waiter) bool { return x == w })
	g.countLocked()
	if len(g.waiters) == 0 && g.usage.Load().TotalBytes == 0 {
		g.state.Store(uint32(SpaceOK)) // no look at the disk will tell
	}
	g.mu.Unlock()
	g.wakeUp()
}

func (g *guard) countLocked() {
	g.number.Store(int32(len(g.waiters)))
	if len(g.waiters) == 0 {
		g.oldest.Store(0)
		return
	}
	g.oldest.Store(g.waiters[0].start)
}

// room runs op again and again until it no longer lacks space or the guard is
// aborted, and returns its last error. What op did in part it must not do
// again.
func (g *guard) room(op func() error) error {
	err := op()
	if !noSpace(err) {
		return err
	}
	g.ballast.release()
	// Once more even if there was no ballast: another operation may just have
	// given it up.
	if err = op(); !noSpace(err) || g.isAborted() {
		return err
	}
	w := g.enter()
	defer g.leave(w)
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	for {
		select {
		case <-g.aborted: // a last try, for space may have come since the one before
		case <-tick.C:
		}
		if err = op(); !noSpace(err) || g.isAborted() {
			return err
		}
	}
}

// noSpace reports whether err is a lack of space: of the disk or of a quota.
func noSpace(err error) bool {
	return err != nil && (vfs.IsNoSpaceError(err) || errors.Is(err, syscall.EDQUOT))
}

// isTable reports whether name is a file that a flush or a compaction writes.
// Errors of these are retried without an end; those of logs and manifests are
// final, and a delay would only keep what waits for them waiting.
func isTable(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

// brake returns err, and lets time pass before if another error of a table
// came shortly before it.
func (g *guard) brake(table bool, err error) error {
	if err == nil || !table {
		return err
	}
	now := g.opts.Now()
	g.mu.Lock()
	due := now
	if now.Sub(g.braked) < brakeMemory {
		if g.braked.After(due) {
			due = g.braked // several fail at once: each its own place in the row
		}
		due = due.Add(brakeDelay)
	}
	g.braked = due
	g.mu.Unlock()
	if due.Equal(now) {
		return err
	}
	// Not cut short by abort, after which all that needs space fails.
	time.Sleep(due.Sub(now))
	return err
}

// deadly hands errors to Fatal that Pebble does not survive: it panics over a
// log that cannot be created or closed, with a mutex unlocked twice, and an
// opening that fails at its options leaves goroutines behind that die over
// caches which are gone.
func (g *guard) deadly(name, what string, err error) {
	if err == nil || errors.Is(err, errNotExist) || g.opts.Fatal == nil || g.isAborted() {
		return // what is not there was removed by somebody else: no fault of the disk
	}
	base := g.inner.PathBase(name)
	if strings.HasSuffix(base, ".log") || strings.HasPrefix(base, "temporary.") || strings.HasPrefix(base, "OPTIONS-") {
		g.opts.Fatal(fmt.Errorf("%s %s: %w", what, base, err))
	}
}

// final hands a failed sync to Fatal, of whatever file: what the disk has of it,
// and of others, nobody knows any more.
func (g *guard) final(name string, err error) {
	if err != nil && g.opts.Fatal != nil && !g.isAborted() {
		g.opts.Fatal(fmt.Errorf("sync %s: %w", g.inner.PathBase(name), err))
	}
}

// guardFS is the filesystem of a guard. What only reads or frees space goes
// straight to the one below.
type guardFS struct {
	vfs.FS
	g *guard
}

// Unwrap returns the filesystem below.
func (fs guardFS) Unwrap() vfs.FS { return fs.FS }

func (fs guardFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if base := fs.PathBase(name); strings.HasPrefix(base, "marker.") {
		// A marker names a file that was just made. Pebble syncs the folder only
		// behind both, and a power cut in between may keep the marker alone.
		if err := syncDir(fs, fs.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return fs.g.open(name, func() (vfs.File, error) { return fs.FS.Create(name, c) })
}

func (fs guardFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return fs.g.open(name, func() (vfs.File, error) { return fs.FS.OpenReadWrite(name, c, o...) })
}

func (fs guardFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return fs.g.open(name, func() (vfs.File, error) { return fs.FS.ReuseForWrite(old, name, c) })
}

func (fs guardFS) Link(old, name string) error {
	return fs.g.room(func() error { return fs.FS.Link(old, name) })
}

func (fs guardFS) Rename(old, name string) error {
	err := fs.g.room(func() error { return fs.FS.Rename(old, name) })
	fs.g.deadly(name, "rename to", err)
	return err
}

// Lock takes no lock: the store has one, and an opening that was given up must
// not keep the next one out.
func (fs guardFS) Lock(string) (io.Closer, error) { return nopCloser{}, nil }

type nopCloser struct{}

func (nopCloser) Close() error { return nil }

func (fs guardFS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return guardDir{f, fs.g, name}, nil
}

// List is final where it fails: an opening that cannot list its folder a second
// time leaves goroutines behind that die.
func (fs guardFS) List(dir string) ([]string, error) {
	names, err := fs.FS.List(dir)
	if err != nil && !errors.Is(err, errNotExist) && fs.g.opts.Fatal != nil && !fs.g.isAborted() {
		fs.g.opts.Fatal(fmt.Errorf("list folder %s: %w", dir, err))
	}
	return names, err
}

// guardDir is a folder that is open to be synced. Pebble panics where that
// fails behind a marker.
type guardDir struct {
	vfs.File
	g    *guard
	name string
}

// Close never fails: a folder holds nothing back, and an opening that fails over
// it leaves goroutines behind that die.
func (d guardDir) Close() error {
	_ = d.File.Close()
	return nil
}

func (d guardDir) Sync() error {
	err := d.File.Sync()
	if err != nil && d.g.opts.Fatal != nil && !d.g.isAborted() {
		d.g.opts.Fatal(fmt.Errorf("sync folder %s: %w", d.name, err))
	}
	return err
}

func (fs guardFS) MkdirAll(dir string, perm os.FileMode) error {
	return fs.g.room(func() error { return fs.FS.MkdirAll(dir, perm) })
}

func (g *guard) open(name string, op func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	err := g.room(func() (err error) {
		f, err = op()
		return err
	})
	if err != nil {
		g.deadly(name, "create", err)
		return nil, g.brake(isTable(name), err)
	}
	gf := &guardFile{File: f, g: g, name: name, table: isTable(name), manifest: strings.HasPrefix(g.inner.PathBase(name), "MANIFEST-")}
	gf.claim(0)
	return gf, nil
}

// guardFile is a file open for writing. The embedded one answers all the rest,
// Fd included, by which Pebble decides how to sync.
type guardFile struct {
	vfs.File
	g               *guard
	name            string
	table, manifest bool
	written         int64 // by Write
	claimed         int64 // end of what claim got, or failed to get
}

// claim gets room for the next n bytes of a manifest, and some more, from
// filesystems that can give it. Of all that waits, a manifest does the most
// harm: Pebble holds a lock meanwhile that closing a snapshot and reading the
// metrics want, and takes an error for the end of the process. An edit is some
// 100 bytes, and few are made when tables cannot be written.
func (f *guardFile) claim(n int) {
	if !f.manifest || f.written+int64(n)+manifestReserve/2 <= f.claimed {
		return
	}
	length := int64(n) + manifestReserve
	_ = f.File.Preallocate(f.written, length) // then the write may have to wait
	f.claimed = f.written + length
}

// Preallocate claims no room before it is used. Pebble asks for 17 MiB per
// log, more than a store of a few symbols ever fills; measured, an append is
// no slower without.
func (*guardFile) Preallocate(int64, int64) error { return nil }

func (f *guardFile) Write(p []byte) (n int, err error) {
	f.claim(len(p))
	defer func() { f.written += int64(n) }()
	n, err = f.File.Write(p)
	if err == nil {
		return n, nil
	}
	if noSpace(err) {
		err = f.g.room(func() error {
			m, err := f.File.Write(p[n:])
			n += m
			return err
		})
	}
	f.g.deadly(f.name, "write", err)
	return n, f.g.brake(f.table, err)
}

func (f *guardFile) WriteAt(p []byte, off int64) (int, error) {
	n := 0
	err := f.g.room(func() error {
		m, err := f.File.WriteAt(p[n:], off+int64(n))
		n += m
		return err
	})
	return n, f.g.brake(f.table, err)
}

// A failed sync is final, whatever the reason: the kernel may have dropped the
// pages, and the next sync would succeed without them.

func (f *guardFile) Sync() error {
	err := f.File.Sync()
	f.g.final(f.name, err)
	return f.g.brake(f.table, err)
}

func (f *guardFile) SyncData() error {
	err := f.File.SyncData()
	f.g.final(f.name, err)
	return f.g.brake(f.table, err)
}

func (f *guardFile) SyncTo(n int64) (full bool, err error) {
	full, err = f.File.SyncTo(n)
	f.g.final(f.name, err)
	return full, f.g.brake(f.table, err)
}

func (f *guardFile) Close() error {
	err := f.File.Close()
	f.g.deadly(f.name, "close", err)
	return f.g.brake(f.table, err)
}
