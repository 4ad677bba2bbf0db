//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// What a full disk may do to requests.
const (
	readWithin   = time.Second
	writeWithin  = 2 * time.Second
	refuseWithin = time.Second // at a start on a full disk
	startWithin  = 5 * time.Second
	againWithin  = 10 * time.Second // from the space to the write
)

// TestTortureDiskFull fills the disk under a server that is written to and
// read from, and frees it again. Reads go on, writes are refused in time with a
// reason, and are taken again when there is space, by the same process. Every
// second time the server is stopped or killed on the full disk, and has to
// start on it.
func TestTortureDiskFull(t *testing.T) {
	const disk = 24 << 20
	ownMounts(t)
	dir := t.TempDir()
	mount(t, "tmpfs", dir, "tmpfs", fmt.Sprintf("size=%d", disk))
	d := &diskTest{T: t, dir: dir, fill: &filler{path: filepath.Join(dir, "filler")}}
	count := cycles(10, 200)
	begin := time.Now()
	done := 0
	// Under the race detector a single cycle may be over before a write meets
	// the full disk: then there are some more.
	for i := 0; i < count || d.refused.Load() == 0 && i < count+10; i++ {
		done++
		// Nothing of a store goes away by itself, and the disk is small.
		if d.v == nil || d.used() > disk/3 {
			d.renew(uint64(i))
		}
		d.cycle(i)
	}
	d.end()
	d.bad.report(t)
	t.Logf("%d cycles, %d stores, %d bars acknowledged, %d lost, %d writes refused, %s; read %v; write %v; start on a full disk %v; first write with space %v",
		done, d.stores, d.acked, d.lost, d.refused.Load(), seconds(begin), &d.reads, &d.writes, &d.starts, &d.again)
	if d.refused.Load() == 0 {
		t.Error("no write was refused: the disk was never full")
	}
}

// diskTest is a server on a small disk.
type diskTest struct {
	*testing.T
	dir    string
	fill   *filler
	v      *victim
	ws     []*writer
	last   []atomic.Int64 // by writer: when a write was acknowledged, in Unix ns
	leave  func()         // ends the clients
	stores int
	acked  int64
	lost   int

	bad                          faults
	refused                      atomic.Int64
	reads, writes, starts, again times
}

func (d *diskTest) data() string { return filepath.Join(d.dir, "data") }

// used is how much of the disk the store has.
func (d *diskTest) used() int64 {
	total, free := space(d.T, d.dir)
	return total - free - d.fill.size
}

// renew ends the store and begins a new one.
func (d *diskTest) renew(seed uint64) {
	d.end()
	if err := os.RemoveAll(d.data()); err != nil {
		d.Fatal(err)
	}
	d.stores++
	d.ws = writersOf(seed, 50_000)
	d.last = make([]atomic.Int64, len(d.ws))
	d.v = mustLaunch(d.T, d.data(), dieTogether)
	for _, w := range d.ws {
		if a := w.once(d.Context(), &d.v.peer); !a.acknowledged() {
			d.Fatal("a write to a new store: ", a)
		}
	}
	d.clients()
}

// end stops the server and looks at everything.
func (d *diskTest) end() {
	if d.v == nil {
		return
	}
	d.leave()
	d.v.interrupt()
	verified(d.T, d.data())
	v := mustLaunch(d.T, d.data(), dieTogether)
	d.lost += checkAll(d.Context(), &d.bad, d.ws, &v.peer, everything)
	v.kill()
	d.acked += acknowledged(d.ws)
	d.v = nil
}

// cycle fills the disk and frees it.
func (d *diskTest) cycle(i int) {
	const steps = 4
	_, free := space(d.T, d.dir)
	for range steps {
		d.fill.grow(d.T, free/steps)
		d.wait(50 * time.Millisecond)
	}
	d.ws[i%len(d.ws)].wantBig()
	d.keepFull(600 * time.Millisecond)
	if i%2 == 1 || !d.v.alive() {
		d.restart(i%4 == 1)
	}
	since := time.Now()
	d.fill.remove(d.T)
	if !d.v.alive() {
		d.afresh()
	}
	if d.written(since) {
		d.again.add(time.Since(since))
	}
}

// restart ends the server on the full disk, gently or not, and starts it there.
func (d *diskTest) restart(gently bool) {
	d.leave()
	switch {
	case !d.v.alive():
		d.bad.add("the server ended on the full disk", "exit code %d: %s", d.v.cmd.ProcessState.ExitCode(), d.v.stderr)
	case gently:
		if d.v.interrupt() < 0 {
			d.bad.add("the server on the full disk did not end when it was asked to", "%s", d.v.stderr)
		}
	default:
		d.v.kill()
	}
	d.fill.full(d.T)
	v, err := launch(d.T, d.data(), startWithin, dieTogether)
	d.v = v
	if err != nil {
		v.kill()
		d.bad.add("the server did not start on a full disk", "%v", err)
		return
	}
	d.starts.add(v.ready)
	d.lost += checkAll(d.Context(), &d.bad, d.ws, &v.peer, changes)
	d.fill.full(d.T)
	ctx, cancel := context.WithTimeout(d.Context(), writeWithin)
	defer cancel()
	a := d.ws[0].once(ctx, &v.peer)
	if a.status != http.StatusInsufficientStorage || a.took > refuseWithin || !refusal(a) {
		d.bad.add("a write right after a start on a full disk was not refused at once with 507", "%v", a)
	}
	d.clients()
	d.keepFull(200 * time.Millisecond)
}

// afresh starts the server again after it broke a promise.
func (d *diskTest) afresh() {
	d.leave()
	d.v.kill()
	d.v = mustLaunch(d.T, d.data(), dieTogether)
	d.lost += checkAll(d.Context(), &d.bad, d.ws, &d.v.peer, changes)
	d.clients()
}

// clients begins to write and read; d.leave ends it.
func (d *diskTest) clients() {
	ctx, cancel := context.WithCancel(d.Context())
	v := d.v
	v.http.Timeout = 2 * writeWithin
	var done sync.WaitGroup
	for i, w := range d.ws {
		done.Go(func() {
			w.run(ctx, &v.peer, 10*time.Millisecond, func(a answer) bool {
				d.writes.add(a.took)
				switch {
				case a.acknowledged():
					d.last[i].Store(time.Now().UnixNano())
				case refusal(a):
					d.refused.Add(1)
				case !v.alive():
					return false // restart counts it
				default:
					d.bad.add("a write was neither taken nor refused with a reason", "%v", a)
				}
				if a.took > writeWithin {
					d.bad.add("a write had to wait", "%v", a)
				}
				return true
			})
		})
	}
	for _, path := range []string{"/health", "/v1/bars?symbol=A&interval=1m&limit=500&order=desc"} {
		done.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				a, _ := v.ask(ctx, http.MethodGet, path, "", nil)
				if ctx.Err() != nil || !v.alive() {
					return
				}
				d.reads.add(a.took)
				if a.err != nil || a.status != http.StatusOK || a.took > readWithin {
					d.bad.add("GET "+path+" was not answered with 200 in time", "%v; %s", a, v.stderr)
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	d.leave = func() {
		cancel()
		done.Wait()
		v.hangUp()
	}
}

// refusal reports whether a write was refused as it should be where there is
// no space.
func refusal(a answer) bool {
	return (a.status == http.StatusInsufficientStorage || a.status == http.StatusServiceUnavailable) &&
		slices.Contains([]string{"disk_full", "read_only", "busy"}, a.code) && a.retryAfter != ""
}

// written waits until every writer has had a write acknowledged since then, and
// reports whether that came to be without a restart.
func (d *diskTest) written(since time.Time) bool {
	same := true
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		<-tick.C
		waiting := 0
		for i := range d.last {
			if d.last[i].Load() <= since.UnixNano() {
				waiting++
			}
		}
		took := time.Since(since)
		switch {
		case waiting == 0:
			return same
		case !d.v.alive():
			d.bad.add("the server ended when there was space again", "exit code %d: %s", d.v.cmd.ProcessState.ExitCode(), d.v.stderr)
			d.afresh()
			same = false
		case took > againWithin:
			d.bad.add("writes did not go on when there was space again", "%d of %d writers waited %v; %s", waiting, len(d.last), took, d.v.stderr)
			d.afresh()
			same, since = false, time.Now()
		}
	}
}

// wait lets the clients go on for a while.
func (d *diskTest) wait(moment time.Duration) {
	select {
	case <-time.After(moment):
	case <-d.v.ended:
	}
}

// keepFull takes what the server frees.
func (d *diskTest) keepFull(moment time.Duration) {
	for end := time.Now().Add(moment); time.Now().Before(end) && d.v.alive(); {
		d.fill.full(d.T)
		d.wait(20 * time.Millisecond)
	}
}

// filler is a file that takes the space of a disk.
type filler struct {
	path string
	f    *os.File
	size int64
}

// grow takes n bytes, or as many as there are.
func (b *filler) grow(t *testing.T, n int64) {
	t.Helper()
	if b.f == nil {
		f, err := os.Create(b.path)
		if err != nil {
			t.Fatal(err)
		}
		b.f = f
	}
	block := make([]byte, 256<<10)
	for n > 0 {
		k, err := b.f.Write(block[:min(n, int64(len(block)))])
		b.size += int64(k)
		n -= int64(k)
		if errors.Is(err, syscall.ENOSPC) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// full takes the last byte.
func (b *filler) full(t *testing.T) {
	t.Helper()
	b.grow(t, 1<<40)
}

func (b *filler) remove(t *testing.T) {
	t.Helper()
	if err := errors.Join(b.f.Close(), os.Remove(b.path)); err != nil {
		t.Fatal(err)
	}
	b.f, b.size = nil, 0
}

// space is the size of the filesystem of dir and how much of it is free.
func space(t *testing.T, dir string) (total, free int64) {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Blocks) * s.Bsize, int64(s.Bavail) * s.Bsize
}

// ownMounts gives the test mounts of its own: they are seen by its goroutine
// and the programs that it starts only, and are gone with the last of them,
// whatever happens to the test. It skips the test where that is not allowed.
func ownMounts(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount filesystems")
	}
	// Never unlocked: the thread ends with the goroutine, and is of no use to
	// another one.
	runtime.LockOSThread()
	if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
		t.Skipf("no mounts of its own: %v", err)
	}
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Skipf("no mounts of its own: %v", err)
	}
}

// mount mounts a filesystem until the test ends.
func mount(t *testing.T, source, dir, kind, options string) {
	t.Helper()
	if err := syscall.Mount(source, dir, kind, 0, options); err != nil {
		t.Skipf("mount %s: %v", kind, err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }) // the thread ends it anyway
}

// dieTogether ends a program when the thread that started it ends, which in a
// test with mounts of its own is the end of the test.
func dieTogether(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
