package storage

import (
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	defaultBallast = 64 << 20
	// ballastCalm is how long the disk must have had room before ballast is
	// laid in again: sooner, it would take back what was just freed.
	ballastCalm  = time.Minute
	ballastChunk = 1 << 20
)

var errUnwanted = errors.New("ballast is not wanted any more")

// ballast is a file in the folder of the store that holds room, only to give
// it up when the disk is full: what the engine has begun can end then, and who
// comes to free space finds a store that answers.
type ballast struct {
	fs   vfs.FS
	dir  string
	kept bool         // false: the file is not ours to touch
	now  func() int64 // ns since the epoch of the guard

	size    atomic.Int64 // of the file; 0 is none, less than wanted is half done
	notyet  atomic.Int64 // when it may be laid in again, on the clock of now
	yield   atomic.Bool  // a release waits for mu
	filling atomic.Bool

	mu sync.Mutex // guards the file
}

func (b *ballast) path() string { return b.fs.PathJoin(b.dir, "ballast") }

// find takes over what an earlier run left.
func (b *ballast) find() {
	if !b.kept {
		return
	}
	if i, err := b.fs.Stat(b.path()); err == nil {
		b.size.Store(max(1, i.Size())) // an empty file can hold room, see fill
	}
}

// release gives the ballast up and reports whether there was any. It is not
// laid in again before ballastCalm has passed.
func (b *ballast) release() bool {
	if !b.kept || b.size.Load() == 0 {
		return false
	}
	b.yield.Store(true)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.yield.Store(false)
	if b.size.Load() == 0 {
		return false
	}
	b.postpone() // before the size is 0, see tend
	return b.removeLocked() == nil
}

func (b *ballast) postpone() { b.notyet.Store(b.now() + int64(ballastCalm)) }

func (b *ballast) removeLocked() error {
	if err := b.fs.Remove(b.path()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // the size stays: the next look at a full disk tries again
	}
	b.size.Store(0)
	return nil
}

// ballast returns the size that suits a disk of total bytes.
func (o guardOptions) ballast(total uint64) int64 {
	return int64(limit(o.Ballast, defaultBallast, total/100))
}

// tend lays in ballast, in the background, when the disk has had room for long
// enough and has room to spare.
func (g *guard) tend() {
	b := &g.ballast
	s, u := g.space()
	if s != SpaceOK {
		b.postpone()
		return
	}
	want, have := g.opts.ballast(u.TotalBytes), b.size.Load()
	if !b.kept || want == 0 || have == want || b.now() < b.notyet.Load() || b.filling.Load() {
		return
	}
	l := g.opts.limits(u.TotalBytes)
	spare := max(l.reach(SpaceLow, SpaceFull), l.reach(SpaceReadOnly, SpaceFull), uint64(want))
	if u.AvailBytes < uint64(want)+spare {
		return
	}
	b.filling.Store(true)
	g.work.Go(func() {
		defer b.filling.Store(false)
		if b.fill(want, g.done) != nil {
			b.postpone()
		}
	})
}

// fill makes the ballast n bytes long, or leaves none. It gives up when done
// is closed or a release waits.
func (b *ballast) fill(n int64, done <-chan struct{}) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.removeLocked(); err != nil {
		return err
	}
	b.size.Store(1) // from here on there is something to release
	f, err := b.fs.OpenReadWrite(b.path(), vfs.WriteCategoryUnspecified)
	if err == nil {
		err = b.claim(f, n, done)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}
	if err != nil {
		_ = b.removeLocked() // the first error says more
		return err
	}
	b.size.Store(n)
	return nil
}

// claim takes n bytes of the disk for f. The length of f is n only at the end,
// so that a later run can tell that all is there.
func (b *ballast) claim(f vfs.File, n int64, done <-chan struct{}) error {
	if b.preallocate(f, n) {
		_, err := f.WriteAt([]byte{0}, n-1)
		return err
	}
	// Not zeros: filesystems that compress would keep nothing of them.
	noise := rand.NewChaCha8([32]byte{})
	chunk := make([]byte, ballastChunk)
	for n > 0 {
		select {
		case <-done:
			return errUnwanted
		default:
		}
		if b.yield.Load() {
			return errUnwanted
		}
		chunk = chunk[:min(n, ballastChunk)]
		_, _ = noise.Read(chunk) // never fails
		if _, err := f.Write(chunk); err != nil {
			return err
		}
		n -= int64(len(chunk))
	}
	return nil
}

// preallocate reports whether f got n bytes without writing them. An answer
// without an error is not enough: but on Linux, Preallocate of vfs.Default
// does nothing and succeeds, and on Linux it leaves the length as it was. So
// the disk is asked. What others write meanwhile can at worst make the ballast
// hollow, or written.
func (b *ballast) preallocate(f vfs.File, n int64) bool {
	before, err := b.fs.GetDiskUsage(b.dir)
	if err != nil || f.Preallocate(0, n) != nil {
		return false
	}
	after, err := b.fs.GetDiskUsage(b.dir)
	return err == nil && after.AvailBytes+uint64(n)/2 <= before.AvailBytes
}
