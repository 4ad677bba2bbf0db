//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// powerAsked is BARKEEP_POWER=1: some power cuts without -long. The variable
// goes at once, because the program refuses settings that it does not know.
var powerAsked = func() bool {
	defer os.Unsetenv("BARKEEP_POWER")
	return os.Getenv("BARKEEP_POWER") == "1"
}()

// TestTorturePower cuts the power. The store is on an ext4 filesystem whose
// disk is a file on btrfs, which can be cloned in one moment while the server
// goes on: the clone is what the disk would hold if the power had gone. It is
// mounted, which replays the journal of ext4, and must hold all that was
// acknowledged before. The control writes without waiting for the disk, and
// must lose: else the cut is none.
func TestTorturePower(t *testing.T) {
	count := 3
	switch {
	case *long:
		count = 300
	case !powerAsked:
		t.Skip("power cuts are for -long or BARKEEP_POWER=1")
	}
	ownMounts(t)
	m := newMachine(t)
	r := rand.New(rand.NewPCG(5, 5))
	ws := writersOf(5, 50_000)
	begin := time.Now()
	var bad faults
	var ready times
	lost := 0
	v := mustLaunch(t, filepath.Join(m.disk, "data"), dieTogether)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var done sync.WaitGroup
	for _, w := range ws {
		done.Go(func() {
			w.run(ctx, &v.peer, 2*time.Millisecond, func(a answer) bool {
				if ctx.Err() == nil && !a.acknowledged() {
					bad.add("a write without a fault was refused", "%v", a)
				}
				return !bad.any()
			})
		})
	}
	for i := range count {
		if r.IntN(4) == 0 {
			ws[r.IntN(len(ws))].wantBig()
		}
		<-soon(r, 200*time.Millisecond)
		then := make([]*writer, len(ws))
		for j, w := range ws {
			then[j] = w.copy()
		}
		m.cut(func(data string) {
			for j, w := range ws {
				then[j].open = w.copy().open // what may be there beyond what must
			}
			after, err := launch(t, data, 10*time.Second, dieTogether)
			defer after.kill()
			if err != nil {
				bad.add("the server did not start after a power cut", "%v", err)
				return
			}
			ready.add(after.ready)
			what := changes
			if i%20 == 19 || i == count-1 {
				what = everything
			}
			lost += checkAll(t.Context(), &bad, then, &after.peer, what)
			after.interrupt()
			verified(t, data)
		})
		for _, w := range ws {
			w.forget()
		}
	}
	cancel()
	done.Wait()
	if code := v.interrupt(); code != 0 {
		t.Errorf("the server ended with %d: %s", code, v.stderr)
	}
	bad.report(t)
	took := time.Since(begin)
	control := m.control(max(3, count/30))
	t.Logf("%d power cuts, %d bars acknowledged, %d lost, %.1f s (%v a cycle); ready %v; the control lost %d",
		count, acknowledged(ws), lost, took.Seconds(), (took / time.Duration(count)).Round(time.Millisecond), &ready, control)
	if control == 0 {
		t.Error("the control lost nothing: the power was not cut")
	}
}

// machine has a disk that can be cloned.
type machine struct {
	*testing.T
	disk  string // folder on ext4
	image string // the file that is its disk
	clone string // the file of a cut
	after string // folder on which the clone is mounted
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	for _, tool := range []string{"mkfs.btrfs", "mkfs.ext4", "mount", "umount", "cp"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%v: apt-get install btrfs-progs e2fsprogs", err)
		}
	}
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"ram", "btrfs", "disk", "after"} {
		if err := os.Mkdir(at(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	m := &machine{T: t, disk: at("disk"), image: at("btrfs/image"), clone: at("btrfs/clone"), after: at("after")}
	mount(t, "tmpfs", at("ram"), "tmpfs", "size=2g")
	m.makeDisk(at("ram/image"), 1500<<20, "mkfs.btrfs", "-q")
	m.mountImage(at("ram/image"), at("btrfs"))
	m.makeDisk(m.image, 512<<20, "mkfs.ext4", "-q")
	m.mountImage(m.image, m.disk)
	return m
}

// makeDisk makes a file with a filesystem in it.
func (m *machine) makeDisk(image string, size int64, mkfs ...string) {
	m.Helper()
	f, err := os.Create(image)
	if err != nil {
		m.Fatal(err)
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		m.Fatal(err)
	}
	m.must(append(mkfs, image)...)
}

// mountImage mounts a file until the test ends. The loop device goes with the
// mount.
func (m *machine) mountImage(image, dir string) {
	m.Helper()
	if out, err := exec.CommandContext(m.Context(), "mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		m.Skipf("no loop devices here, which the disks of this test are: %v %s", err, out)
	}
	m.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() }) // the thread ends it anyway
}

func (m *machine) must(args ...string) {
	m.Helper()
	if out, err := exec.CommandContext(m.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
		m.Fatalf("%v: %v %s", args, err, out)
	}
}

// cut calls look with the folder as it is after a power cut.
func (m *machine) cut(look func(data string)) {
	m.Helper()
	m.must("cp", "--reflink=always", m.image, m.clone)
	m.must("mount", "-o", "loop", m.clone, m.after)
	defer func() {
		m.must("umount", m.after)
		if err := os.Remove(m.clone); err != nil {
			m.Fatal(err)
		}
	}()
	look(filepath.Join(m.after, "data"))
}

// control lets a program write without waiting for the disk, cuts the power
// some times, and returns how many bars were lost.
func (m *machine) control(cuts int) (lost int64) {
	data := filepath.Join(m.disk, "data")
	if err := os.RemoveAll(data); err != nil {
		m.Fatal(err)
	}
	c := exec.CommandContext(m.Context(), os.Args[0], data)
	c.Env = append(os.Environ(), runEnv+"=relaxed")
	dieTogether(c)
	out, err := c.StdoutPipe()
	if err != nil {
		m.Fatal(err)
	}
	if err := c.Start(); err != nil {
		m.Fatal(err)
	}
	var said atomic.Int64
	begun, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			n, err := strconv.ParseInt(lines.Text(), 10, 64)
			if err != nil {
				break
			}
			if said.Store(n); n == 1 {
				close(begun)
			}
		}
	}()
	select {
	case <-begun:
	case <-ended:
		m.Fatal("the control did not begin")
	}
	for range cuts {
		<-time.After(300 * time.Millisecond)
		n := said.Load()
		m.cut(func(data string) { lost += max(0, n-verified(m.T, data).Bars) })
	}
	if err := c.Process.Kill(); err != nil {
		m.Error("the control ended by itself")
	}
	<-ended
	_ = c.Wait() // killed
	return lost
}

// relaxed is the program of the control: it appends bars that are answered
// before they are on the disk, and prints how many were.
func relaxed(data string) int {
	s, err := storage.Open(data, storage.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	key := series.Key{Symbol: "X", Interval: series.Interval1m}
	for i := 0; ; i++ {
		p := closeOf(i)
		b := series.Bar{Time: series.Time(firstBar + int64(i)*60000), Open: p, High: p + 1, Low: p - 1, Close: p, Volume: float64(i % 7)}
		if err := s.Append(context.Background(), key, b, storage.WriteOptions{Source: "control", Relaxed: true}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return exitFailed
		}
		fmt.Println(i + 1)
	}
}
