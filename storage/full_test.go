package storage

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// fillPatience is how long a test waits for what should take milliseconds.
const fillPatience = time.Minute

// soon fails the test if f does not return.
func soon(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(fillPatience):
		stacks := make([]byte, 1<<20)
		t.Fatalf("%s: still not done\n%s", what, stacks[:runtime.Stack(stacks, true)])
	}
}

// complaints collects what an engine says of errors. It never lets one be the
// last.
type complaints struct {
	mu    sync.Mutex // guards what follows
	said  []string
	fatal int
}

func (c *complaints) Infof(string, ...any)         {}
func (c *complaints) Errorf(f string, args ...any) { c.say(fmt.Sprintf(f, args...)) }
func (c *complaints) Fatalf(f string, args ...any) {
	c.say(fmt.Sprintf("fatal: "+f, args...))
	c.mu.Lock()
	c.fatal++
	c.mu.Unlock()
	runtime.Goexit()
}

func (c *complaints) say(s string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, s)
}

// fillable is an engine on a guarded disk, and a writer that stops for
// nothing.
type fillable struct {
	complaints
	guard  *guard
	db     *pebble.DB
	engine pebbleEngine
	full   chan struct{} // an operation waits
	more   chan struct{} // acked has grown
	calm   chan struct{} // nothing waits any more

	acked atomic.Int64 // rows 0 to acked-1 were acknowledged
}

func openFillable(t *testing.T, disk vfs.FS, dir string, memtable uint64, manifest int64) *fillable {
	t.Helper()
	f := &fillable{full: make(chan struct{}, 1), calm: make(chan struct{}, 1), more: make(chan struct{}, 1)}
	f.guard = newGuard(disk, dir, guardOptions{
		Low: -1, ReadOnly: -1, // only what waits makes it full
		OnChange: func(_, to SpaceState, _ vfs.DiskUsage) {
			tell := f.calm
			if to == SpaceFull {
				tell = f.full
			}
			select {
			case tell <- struct{}{}:
			default:
			}
		},
	})
	f.guard.start()
	db, err := pebble.Open(dir, f.options(f.guard.FS(), memtable, manifest))
	if err != nil {
		t.Fatal(err)
	}
	f.db = db
	f.engine.db, f.engine.files, f.engine.cache = db, pebble.NewFileCache(1, 16), pebble.NewCache(1)
	f.engine.snapshots = map[*pebbleSnapshot]struct{}{}
	return f
}

func (f *fillable) options(fs vfs.FS, memtable uint64, manifest int64) *pebble.Options {
	o := &pebble.Options{
		FS: fs, FormatMajorVersion: pebbleFormat, MemTableSize: memtable,
		MaxManifestFileSize:   manifest,
		L0CompactionThreshold: 2, CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		Logger:        f,
		EventListener: &pebble.EventListener{BackgroundError: func(err error) { f.say("in the background: " + err.Error()) }},
	}
	o.WithFSDefaults()
	return o
}

func (f *fillable) soFar() int { return int(f.acked.Load()) }

// reach returns when n rows are acknowledged.
func (f *fillable) reach(n int) {
	for f.soFar() < n {
		<-f.more
	}
}

func fillKey(i int) []byte { return fmt.Appendf(nil, "%06d", i*7919%1_000_003) }

func fillValue(i int) []byte {
	v := make([]byte, 500+i*7919%1000)
	_, _ = rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}).Read(v) // never fails
	return v
}

// write adds rows until end is closed.
func (f *fillable) write(end <-chan struct{}) error {
	for i := f.soFar(); ; i++ {
		select {
		case <-end:
			return nil
		default:
		}
		if err := f.db.Set(fillKey(i), fillValue(i), pebble.Sync); err != nil {
			return err
		}
		f.acked.Add(1)
		select {
		case f.more <- struct{}{}:
		default:
		}
	}
}

// missing returns how many of the first n rows are not in r as written.
func missing(r pebble.Reader, n int) (lost int) {
	for i := range n {
		v, closer, err := r.Get(fillKey(i))
		if err != nil {
			lost++
			continue
		}
		if string(v) != string(fillValue(i)) {
			lost++
		}
		_ = closer.Close()
	}
	return lost
}

// readAll uses every way to read that a store has.
func (f *fillable) readAll(t *testing.T, metrics bool) {
	n := f.soFar()
	if lost := missing(f.db, n); lost > 0 {
		t.Errorf("%d of %d rows cannot be read while the disk is full", lost, n)
	}
	s := f.engine.Snapshot()
	for i := range n {
		if found, err := s.Get(fillKey(i), func([]byte) error { return nil }); !found || err != nil {
			t.Errorf("row %d cannot be read from a snapshot: %v", i, err)
		}
	}
	_ = s.Close()
	it, err := f.db.NewIter(nil)
	if err != nil {
		t.Error(err)
		return
	}
	rows := 0
	for ok := it.First(); ok; ok = it.Next() {
		rows++
	}
	if err := it.Close(); err != nil || rows < n {
		t.Errorf("%d rows, %v; want at least %d", rows, err, n)
	}
	if metrics { // wait for the manifest if it waits
		_ = f.db.Metrics()
	}
}

// close ends f and checks that it made no noise.
func (f *fillable) close(t *testing.T) {
	soon(t, "close", func() {
		if err := f.closeEngine(); err != nil {
			t.Error(err)
		}
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.said) > 5 || f.fatal > 0 {
		t.Errorf("want a handful of errors at most, and no last one; it says %q", f.said)
	}
}

// TestFullDisk fills disks of many sizes, so that the room ends in the middle
// of different things, and gives them room again, twice each.
func TestFullDisk(t *testing.T) {
	var mu sync.Mutex
	met := map[string]int{} // what lacked space at least once, over all disks
	t.Cleanup(func() {
		t.Log("lack of space met at", met)
		for _, kind := range []string{"write .log", "write .sst"} {
			if met[kind] == 0 {
				t.Errorf("no disk was full at %s", kind)
			}
		}
	})
	for size := int64(200 * kib); size < 1200*kib; size += 150*kib + 700 {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			disk := newBudgetFS(size)
			disk.claims = size/100%2 > 0 // some cannot, as those of other systems than Linux
			f := openFillable(t, disk, "", 64*kib, mib)
			for range 2 {
				end, result := make(chan struct{}), make(chan error, 1)
				go func() { result <- f.write(end) }()
				soon(t, "full", func() { <-f.full })
				before := f.soFar()
				soon(t, "read", func() { f.readAll(t, disk.claims) })
				checkAfterCrash(t, disk, before)

				disk.resize(disk.total + 10*mib)
				soon(t, "go on", func() {
					f.reach(before + 10)
					close(end)
					if err := <-result; err != nil {
						t.Error(err)
					}
				})
				soon(t, "calm down", func() { <-f.calm })
				disk.fill(size / 2)
			}
			disk.resize(100 * mib)
			f.close(t)
			checkAfterCrash(t, disk, f.soFar())
			mu.Lock()
			defer mu.Unlock()
			for kind := range maps.Keys(disk.lacked) {
				met[kind]++
			}
			if n := disk.lacked["write MANIFEST"]; disk.claims && n > 0 {
				t.Errorf("the manifest lacked space %d times", n)
			}
		})
	}
}

// TestFullDiskAt lets one thing after the other lack space, a directory entry
// say, while there is room for all else.
func TestFullDiskAt(t *testing.T) {
	for _, at := range []struct{ op, file string }{
		{"create", ".log"},
		{"write", ".log"},
		{"create", ".sst"},
		{"write", ".sst"},
		{"create", "MANIFEST-"},
		{"write", "MANIFEST-"},
		{"create", "marker.manifest"},
	} {
		for _, errno := range []error{syscall.ENOSPC, syscall.EDQUOT} {
			t.Run(at.op+" "+at.file+" "+errno.Error(), func(t *testing.T) {
				t.Parallel()
				disk := newBudgetFS(1 << 40)
				// 1: a new manifest whenever that is allowed.
				f := openFillable(t, disk, "", 16*kib, 1)
				end, result := make(chan struct{}), make(chan error, 1)
				go func() { result <- f.write(end) }()
				var room atomic.Bool
				disk.setFail(func(op, name string) error {
					if room.Load() || op != at.op || !strings.Contains(name, at.file) {
						return nil
					}
					return &os.PathError{Op: op, Path: name, Err: errno}
				})
				soon(t, "full", func() { <-f.full })
				before := f.soFar()
				soon(t, "read", func() { f.readAll(t, at.op == "write" && at.file[0] == '.') })
				checkAfterCrash(t, disk, before)
				room.Store(true)
				soon(t, "go on", func() {
					f.reach(before + 10)
					close(end)
					if err := <-result; err != nil {
						t.Error(err)
					}
				})
				f.close(t)
				checkAfterCrash(t, disk, f.soFar())
			})
		}
	}
}

// checkAfterCrash opens what a power cut would leave of disk now, on one with
// room enough, and looks for n rows.
func checkAfterCrash(t *testing.T, disk *budgetFS, n int) {
	t.Helper()
	clone := disk.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
	var quiet fillable
	db, err := pebble.Open("", quiet.options(clone, mib, mib))
	if err != nil {
		t.Errorf("open after a crash on a full disk: %v", err)
		return
	}
	if lost := missing(db, n); lost > 0 {
		t.Errorf("%d of %d acknowledged rows lost", lost, n)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// TestFullDiskCloses: a store on a full disk, with nothing under way, can be
// closed and is complete after it.
func TestFullDiskCloses(t *testing.T) {
	disk := newBudgetFS(10 * mib)
	f := openFillable(t, disk, "", 64*kib, mib)
	for i := range 50 {
		if err := f.db.Set(fillKey(i), fillValue(i), pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
	disk.fill(0)
	f.close(t)
	checkAfterCrash(t, disk, 50)
}

// tmpfs returns a folder on a real filesystem of 16 MiB.
func tmpfs(t *testing.T) string {
	if dir := os.Getenv("BARKEEP_TMPFS"); dir != "" {
		sub, err := os.MkdirTemp(dir, "full")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(sub) })
		return sub
	}
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("needs root on Linux to mount a tmpfs, or one of 16 MiB named by BARKEEP_TMPFS")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=16m", "barkeep-test", dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a tmpfs: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("unmount: %v: %s", err, out)
		}
	})
	return dir
}

// TestFullTmpfs is the same on a real disk, filled by a file of somebody else.
func TestFullTmpfs(t *testing.T) {
	dir := tmpfs(t)
	f := openFillable(t, vfs.Default, dir, 256*kib, mib)
	if s := newGuard(vfs.Default, dir, guardOptions{Ballast: -1}).check(); s != SpaceOK {
		t.Errorf("an empty store on an empty disk of 16 MiB: %v", s)
	}
	end, result := make(chan struct{}), make(chan error, 1)
	go func() { result <- f.write(end) }()
	hog := filepath.Join(dir, "hog")
	soon(t, "full", func() {
		f.reach(100)
		if err := fillUp(hog); err != nil {
			t.Error(err)
		}
		<-f.full
	})
	began := time.Now()
	before := f.soFar()
	soon(t, "read", func() { f.readAll(t, true) })
	if i, err := os.Stat(filepath.Join(dir, "ballast")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the ballast is still there: %v, %v", i, err)
	}
	read := time.Since(began)
	if err := os.Remove(hog); err != nil {
		t.Fatal(err)
	}
	freed := time.Now()
	soon(t, "go on", func() {
		f.reach(before + 1)
	})
	resumed := time.Since(freed)
	close(end)
	soon(t, "end", func() {
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
	n := f.soFar()
	f.close(t)
	t.Logf("%d rows before, read again in %v while full; first row %v after space was freed; %d rows in all; errors %q",
		before, read, resumed, n, f.said)

	var quiet fillable
	db, err := pebble.Open(dir, quiet.options(vfs.Default, mib, mib))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if lost := missing(db, n); lost > 0 {
		t.Errorf("%d of %d acknowledged rows lost", lost, n)
	}
}

// fillUp writes to a file until the disk is full.
func fillUp(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for p := make([]byte, 64*kib); len(p) > 0; {
		if _, err := f.Write(p); noSpace(err) {
			p = p[:len(p)/2] // the last bytes too
		} else if err != nil {
			return err
		}
	}
	return nil
}

// closeEngine closes as a store does.
func (f *fillable) closeEngine() error {
	f.guard.abort()
	defer f.guard.stop()
	return f.engine.Close()
}
