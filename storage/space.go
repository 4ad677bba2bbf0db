package storage

import (
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// SpaceState says how much room is left on the disk of a store. A greater
// state is a worse one.
type SpaceState uint8

// The states, and what is left of the disk by default.
const (
	// SpaceOK: there is room, or the filesystem cannot tell, as one in memory.
	SpaceOK SpaceState = iota
	// SpaceLow: below 2 GiB and a tenth of the disk. Everything works; somebody
	// should know.
	SpaceLow
	// SpaceReadOnly: below 1 GiB and a twentieth. What is left belongs to the
	// engine, which needs room to compact and so to free some.
	SpaceReadOnly
	// SpaceFull: an operation waits for space, or the next one would.
	SpaceFull
)

var spaceNames = [...]string{"ok", "low", "read_only", "full"}

// String returns ok, low, read_only or full.
func (s SpaceState) String() string {
	if int(s) < len(spaceNames) {
		return spaceNames[s]
	}
	return fmt.Sprintf("SpaceState(%d)", uint8(s))
}

const (
	defaultLow      = 2 << 30
	defaultReadOnly = 1 << 30
	// fullFloor is the free space below which a disk counts as full before an
	// operation has to wait. A log grows by blocks of 32 KiB and a flush writes
	// a table, a manifest entry and a new log: with less than a few of these
	// left, one of them fails next, and not all filesystems give out their last
	// blocks.
	fullFloor = 256 << 10

	calmPoll  = time.Second
	alarmPoll = 100 * time.Millisecond
)

// limits are the free space, in bytes, below which a state begins; 0 is never.
type limits [SpaceFull + 1]uint64

func (o guardOptions) limits(total uint64) limits {
	var l limits
	l[SpaceLow] = limit(o.Low, defaultLow, total/10)
	l[SpaceReadOnly] = limit(o.ReadOnly, defaultReadOnly, total/20)
	// On a disk so small that the floor would swallow the state before it.
	l[SpaceFull] = min(fullFloor, l[SpaceReadOnly]/2)
	return l
}

// limit is what was asked for, or the lesser of two defaults.
func limit(asked int64, absolute, share uint64) uint64 {
	switch {
	case asked < 0:
		return 0
	case asked > 0:
		return uint64(asked)
	}
	return min(absolute, share)
}

// next returns the state that follows from when avail bytes are free. Getting
// better takes a tenth more than getting worse, so that a state at a limit
// does not flap.
func (l limits) next(from SpaceState, avail uint64) SpaceState {
	for s := SpaceFull; s > SpaceOK; s-- {
		if avail < l.reach(s, from) {
			return s
		}
	}
	return SpaceOK
}

// reach is the free space from which on the state is better than s.
func (l limits) reach(s, from SpaceState) uint64 {
	if from < s {
		return l[s]
	}
	return l[s] + l[s]/10
}

// wakeUp makes the watcher look at the disk now.
func (g *guard) wakeUp() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// start begins to watch the disk and to keep ballast, both in the background.
func (g *guard) start() { g.work.Go(g.watch) }

// stop ends what start began and returns when it has ended. Operations that
// wait go on waiting.
func (g *guard) stop() {
	g.stopOnce.Do(func() { close(g.done) })
	g.work.Wait()
}

func (g *guard) watch() {
	for {
		pause := alarmPoll
		if s := g.check(); s == SpaceOK {
			pause = calmPoll
		}
		g.tend()
		t := time.NewTimer(pause)
		select {
		case <-g.done:
		case <-g.wake:
		case <-t.C:
		}
		t.Stop()
		select {
		case <-g.done:
			return
		default:
		}
	}
}

// space returns the state and the usage at the last look at the disk, without
// looking; the usage is zero where the filesystem cannot tell.
func (g *guard) space() (SpaceState, vfs.DiskUsage) {
	return SpaceState(g.state.Load()), *g.usage.Load()
}

// check looks at the disk now and returns the state. A full disk gets the
// ballast back.
func (g *guard) check() SpaceState {
	g.checking.Lock()
	defer g.checking.Unlock()
	s := g.look()
	if s == SpaceFull && g.ballast.release() {
		s = g.look()
	}
	return s
}

func (g *guard) look() SpaceState {
	u, err := g.inner.GetDiskUsage(g.dir)
	if err != nil {
		u = vfs.DiskUsage{}
	}
	g.mu.Lock()
	to := SpaceOK
	switch {
	case len(g.waiters) > 0:
		to = SpaceFull
	case u.TotalBytes > 0:
		to = g.opts.limits(u.TotalBytes).next(SpaceState(g.state.Load()), u.AvailBytes)
	}
	g.state.Store(uint32(to))
	g.usage.Store(&u)
	g.mu.Unlock()
	if from := g.told; from != to {
		g.told = to
		if g.opts.OnChange != nil {
			g.opts.OnChange(from, to, u)
		}
	}
	return to
}
