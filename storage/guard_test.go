package storage

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// noBallast is for tests in which only the waiting matters.
var noBallast = guardOptions{Ballast: -1}

// pass lets d go by; for bubbles of synctest, where that takes no time.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func fileText(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func numbered(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// TestGuardContinuesWrites fills the disk in the middle of a write, lets out
// room in small pieces, and looks for a byte written twice or not at all.
func TestGuardContinuesWrites(t *testing.T) {
	for name, write := range map[string]func(vfs.File, []byte) (int, error){
		"Write":   func(f vfs.File, p []byte) (int, error) { return f.Write(p) },
		"WriteAt": func(f vfs.File, p []byte) (int, error) { return f.WriteAt(p, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newBudgetFS(1 << 20)
				g := newGuard(disk, "", noBallast)
				f, err := g.FS().Create("000001.log", "")
				if err != nil {
					t.Fatal(err)
				}
				disk.fill(100)
				want := numbered(1000)
				var n int
				done := make(chan struct{})
				go func() {
					defer close(done)
					n, err = write(f, bytes.Clone(want)) // a write may change what it is given
				}()
				synctest.Wait()
				if _, waits := g.waiting(); waits != 1 || disk.size("000001.log") != 100 {
					t.Fatalf("%d wait, %d bytes written; want 1 and 100", waits, disk.size("000001.log"))
				}
				for range 9 {
					disk.fill(99)
					pass(retryEvery)
				}
				if got := disk.size("000001.log"); got != 991 {
					t.Fatalf("%d bytes written, want 991", got)
				}
				if since, _ := g.waiting(); since != 9*retryEvery {
					t.Errorf("waited %v, want %v", since, 9*retryEvery)
				}
				disk.fill(1 << 20)
				<-done
				if n != 1000 || err != nil || !bytes.Equal(fileText(t, disk, "000001.log"), want) {
					t.Errorf("wrote %d, %v; what is there is right: %v", n, err, bytes.Equal(fileText(t, disk, "000001.log"), want))
				}
				if since, waits := g.waiting(); since != 0 || waits != 0 {
					t.Errorf("%d still wait, %v", waits, since)
				}
			})
		})
	}
}

// guarded are the operations that need space, each on a file of its own.
var guarded = map[string]func(fs vfs.FS) error{
	"Create":        func(fs vfs.FS) error { return opened(fs.Create("new", "")) },
	"OpenReadWrite": func(fs vfs.FS) error { return opened(fs.OpenReadWrite("new", "")) },
	"ReuseForWrite": func(fs vfs.FS) error { return opened(fs.ReuseForWrite("old", "new", "")) },
	"Link":          func(fs vfs.FS) error { return fs.Link("old", "new") },
	"Rename":        func(fs vfs.FS) error { return fs.Rename("old", "new") },
	"MkdirAll":      func(fs vfs.FS) error { return fs.MkdirAll("a/b", 0o700) },
}

func opened(f vfs.File, err error) error {
	if err != nil {
		return err
	}
	return f.Close()
}

// lack makes every operation of fs fail with errno until it is called.
func lack(fs *budgetFS, errno error) (end func()) {
	var over atomic.Bool
	fs.setFail(func(op, name string) error {
		if over.Load() || op == "remove" || op == "close" {
			return nil
		}
		return &os.PathError{Op: op, Path: name, Err: errno}
	})
	return func() { over.Store(true) }
}

func TestGuardWaits(t *testing.T) {
	for name, op := range guarded {
		for _, errno := range []error{syscall.ENOSPC, syscall.EDQUOT} {
			t.Run(name+" "+errno.Error(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					disk := newBudgetFS(1 << 20)
					if err := opened(disk.Create("old", "")); err != nil {
						t.Fatal(err)
					}
					g := newGuard(disk, "", noBallast)
					enough := lack(disk, errno)
					result := make(chan error, 1)
					go func() { result <- op(g.FS()) }()
					pass(time.Minute)
					since, n := g.waiting()
					if s, _ := g.space(); s != SpaceFull || n != 1 || since != time.Minute {
						t.Fatalf("state %v, %d wait for %v; want full, 1, 1m", s, n, since)
					}
					enough()
					if err := <-result; err != nil {
						t.Error(err)
					}
					if s := g.check(); s != SpaceOK {
						t.Errorf("state %v after the wait, want ok", s)
					}
				})
			})
		}
	}
}

// TestGuardAborts has one operation wait, aborts, and tries another.
func TestGuardAborts(t *testing.T) {
	for name, op := range guarded {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newBudgetFS(1 << 20)
				g := newGuard(disk, "", noBallast)
				lack(disk, syscall.ENOSPC)
				result := make(chan error, 1)
				go func() { result <- op(g.FS()) }()
				pass(time.Second)
				begin := time.Now()
				g.abort()
				g.abort() // more than once does no harm
				if err := <-result; !vfs.IsNoSpaceError(err) {
					t.Errorf("the waiting one got %v, want a lack of space", err)
				}
				if err := op(g.FS()); !vfs.IsNoSpaceError(err) {
					t.Errorf("the later one got %v, want a lack of space", err)
				}
				if d := time.Since(begin); d != 0 {
					t.Errorf("that took %v", d)
				}
			})
		})
	}
}

// TestGuardReportsLongestWait has three operations wait, the first of which
// ends first.
func TestGuardReportsLongestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newBudgetFS(1 << 20)
		g := newGuard(disk, "", noBallast)
		var missing atomic.Int32
		disk.setFail(func(_, name string) error {
			if name[0] <= byte(missing.Load()) {
				return nil
			}
			return syscall.ENOSPC
		})
		for _, name := range []string{"1", "2", "3"} {
			go func() { _ = opened(g.FS().Create(name, "")) }()
			pass(time.Second)
		}
		for i, want := range []time.Duration{3 * time.Second, 2*time.Second + retryEvery, time.Second + 2*retryEvery, 0} {
			if since, n := g.waiting(); n != 3-i || since != want {
				t.Errorf("%d wait for %v, want %d for %v", n, since, 3-i, want)
			}
			missing.Store(int32('1' + i))
			pass(retryEvery)
		}
	})
}

// TestGuardPassesSyncErrors: no error of a sync is ever tried again.
func TestGuardPassesSyncErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newBudgetFS(1 << 20)
		g := newGuard(disk, "", noBallast)
		f, err := g.FS().Create("000001.log", "")
		if err != nil {
			t.Fatal(err)
		}
		calls := 0
		disk.setFail(func(string, string) error { calls++; return syscall.ENOSPC })
		begin := time.Now()
		for _, sync := range []func() error{f.Sync, f.SyncData} {
			if err := sync(); err != syscall.ENOSPC { //nolint:errorlint // untouched is the point
				t.Errorf("got %v, want the error itself", err)
			}
		}
		if calls != 2 || time.Since(begin) != 0 {
			t.Errorf("%d calls in %v, want 2 in 0s", calls, time.Since(begin))
		}
		if s, _ := g.space(); s != SpaceOK {
			t.Errorf("state %v, want ok", s)
		}
	})
}

// TestGuardBrakes measures how far apart errors come out, by kind of file.
func TestGuardBrakes(t *testing.T) {
	for _, tc := range []struct {
		name string
		want []time.Duration // one after the other
	}{
		{"000001.sst", []time.Duration{0, brakeDelay, brakeDelay, brakeDelay}},
		{"000001.blob", []time.Duration{0, brakeDelay, brakeDelay, brakeDelay}},
		{"000001.log", []time.Duration{0, 0, 0, 0}},
		{"MANIFEST-000001", []time.Duration{0, 0, 0, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newBudgetFS(1 << 20)
				g := newGuard(disk, "", noBallast)
				f, err := g.FS().Create(tc.name, "")
				if err != nil {
					t.Fatal(err)
				}
				disk.setFail(func(string, string) error { return syscall.EIO })
				for i, op := range []func() error{
					func() error { _, err := g.FS().Create(tc.name, ""); return err },
					func() error { _, err := f.Write([]byte("x")); return err },
					f.Sync,
					f.Close,
				} {
					begin := time.Now()
					if err := op(); !errors.Is(err, syscall.EIO) {
						t.Errorf("operation %d: %v, want EIO", i, err)
					}
					if d := time.Since(begin); d != tc.want[i] {
						t.Errorf("operation %d took %v, want %v", i, d, tc.want[i])
					}
				}
				pass(brakeMemory)
				begin := time.Now()
				_ = f.Sync()
				if d := time.Since(begin); d != 0 {
					t.Errorf("after %v of quiet an error took %v", brakeMemory, d)
				}
			})
		})
	}
}

// TestGuardBrakesTogether: errors of many goroutines share the rate, and abort
// does away with it.
func TestGuardBrakesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newBudgetFS(1 << 20)
		g := newGuard(disk, "", noBallast)
		disk.setFail(func(string, string) error { return syscall.EIO })
		var failed atomic.Int32
		end := make(chan struct{})
		for range 3 {
			go func() { // a flush and two compactions that start over at once
				for {
					select {
					case <-end:
						return
					default:
					}
					_, _ = g.FS().Create("000001.sst", "")
					if failed.Add(1) > 1000 {
						return
					}
				}
			}()
		}
		pass(5 * time.Second)
		if n := failed.Load(); n < 15 || n > 25 {
			t.Errorf("%d errors in 5 s, want about 20", n)
		}
		close(end)
		begin := time.Now()
		g.abort()
		synctest.Wait()
		if d := time.Since(begin); d != 0 {
			t.Errorf("took %v to end", d)
		}
	})
}

func TestGuardLeavesTheRestAlone(t *testing.T) {
	dir := t.TempDir()
	g := newGuard(vfs.Default, dir, noBallast)
	fs := g.FS()
	if fs.Unwrap() != vfs.Default || vfs.Root(fs) != vfs.Default {
		t.Error("the filesystem below cannot be reached")
	}
	name := filepath.Join(dir, "file")
	f, err := fs.Create(name, "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Fd() == vfs.InvalidFd {
		t.Error("a file open for writing has lost its descriptor")
	}
	for kind, open := range map[string]func() (vfs.File, error){
		"file": func() (vfs.File, error) { return fs.Open(name) },
		"dir":  func() (vfs.File, error) { return fs.OpenDir(dir) },
	} {
		r, err := open()
		if err != nil {
			t.Fatal(err)
		}
		if _, wrapped := r.(*guardFile); wrapped {
			t.Errorf("a %s open for reading is wrapped", kind)
		}
		_ = r.Close()
	}
	if _, err := fs.Create(filepath.Join(dir, "no", "file"), ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that the folder does not exist", err)
	}
	p := make([]byte, 512)
	if n := testing.AllocsPerRun(100, func() {
		_, _ = f.Write(p)
		_, _ = g.waiting()
		_, _ = g.space()
	}); n != 0 {
		t.Errorf("a write with its questions allocates %v times", n)
	}
}

// TestGuardClaims: a log takes no room before it uses it, a manifest does, so
// that it need not wait.
func TestGuardClaims(t *testing.T) {
	disk := newBudgetFS(1 << 20)
	disk.claims = true
	g := newGuard(disk, "", noBallast)
	if err := disk.MkdirAll("db", 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := g.FS().Create("db/000001.log", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Preallocate(0, 1<<19); err != nil || disk.size("db/000001.log") != 0 {
		t.Errorf("a log claims %d bytes, %v; want 0", disk.size("db/000001.log"), err)
	}
	manifest, err := g.FS().Create("db/MANIFEST-000001", "")
	if err != nil {
		t.Fatal(err)
	}
	for range 400 { // more than one claim
		if _, err := manifest.Write(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	disk.fill(0)
	for range manifestReserve / 2 / 100 {
		if _, err := manifest.Write(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if n := disk.lacked["write MANIFEST"]; n != 0 {
		t.Errorf("the manifest lacked space %d times", n)
	}
}
