package storage

import (
	"bytes"
	"errors"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestBallastIsLaidIn both ways that filesystems know.
func TestBallastIsLaidIn(t *testing.T) {
	for _, claims := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			disk := newBudgetFS(300 * mib)
			disk.claims = claims
			g := newGuard(disk, "", guardOptions{})
			g.start()
			defer g.stop()
			synctest.Wait()
			if got := disk.size("ballast"); got != 3*mib {
				t.Fatalf("ballast of %d bytes, want 3 MiB", got)
			}
			b := fileText(t, disk, "ballast")
			if len(b) != 3*mib {
				t.Errorf("its length is %d, by which the next run knows it", len(b))
			}
			if zeros := bytes.Count(b, []byte{0}) > mib; zeros != claims {
				t.Errorf("it is made of zeros: %v, want %v", zeros, claims)
			}
			tries := disk.triesSoFar()
			pass(time.Hour)
			if disk.triesSoFar() != tries {
				t.Error("it is laid in again though it is there")
			}

			next := newGuard(disk, "", guardOptions{})
			next.start()
			defer next.stop()
			synctest.Wait()
			if disk.triesSoFar() != tries {
				t.Error("the next run does not take it over")
			}
		})
	}
}

// TestBallastHalfDone: what a crash left of the laying in is not taken for it.
func TestBallastHalfDone(t *testing.T) {
	for _, length := range []int{0, mib} {
		synctest.Test(t, func(t *testing.T) {
			disk := newBudgetFS(300 * mib)
			f, err := disk.Create("ballast", "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(make([]byte, length)); err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
			g := newGuard(disk, "", guardOptions{})
			g.start()
			defer g.stop()
			synctest.Wait()
			if got := disk.size("ballast"); got != 3*mib {
				t.Errorf("ballast of %d bytes, want 3 MiB", got)
			}
		})
	}
}

func TestBallastNeedsRoomToSpare(t *testing.T) {
	for _, tc := range []struct {
		name  string
		o     guardOptions
		avail int64
		want  int64
	}{
		{"room", guardOptions{}, 40 * mib, 3 * mib},
		{"enough for the state, not for ballast too", guardOptions{}, 35 * mib, 0},
		{"low", guardOptions{}, 20 * mib, 0},
		{"limits off, room for two", guardOptions{Low: -1, ReadOnly: -1}, 6 * mib, 3 * mib},
		{"limits off, room for one", guardOptions{Low: -1, ReadOnly: -1}, 5 * mib, 0},
		{"off", guardOptions{Ballast: -1}, 300 * mib, 0},
		{"asked for", guardOptions{Ballast: 5 * mib}, 300 * mib, 5 * mib},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := newBudgetFS(300 * mib)
				disk.used = disk.total - tc.avail
				g := newGuard(disk, "", tc.o)
				g.start()
				defer g.stop()
				pass(time.Hour)
				if got := disk.size("ballast"); got != tc.want {
					t.Errorf("ballast of %d bytes, want %d", got, tc.want)
				}
			})
		})
	}
}

// TestBallastIsGivenUp to an operation, which then needs not wait; to the next
// one it is gone. It comes back a minute after there is room again.
func TestBallastIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newBudgetFS(300 * mib)
		var told []string
		g := newGuard(disk, "", guardOptions{OnChange: changes(&told)})
		g.start()
		defer g.stop()
		synctest.Wait()
		f, err := g.FS().Create("000001.log", "")
		if err != nil {
			t.Fatal(err)
		}
		use := func(avail int64) {
			disk.mu.Lock()
			defer disk.mu.Unlock()
			disk.used = disk.total - avail
		}
		use(mib)
		begin := time.Now()
		if n, err := f.Write(make([]byte, 3*mib)); n != 3*mib || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
		if d := time.Since(begin); d != 0 || disk.size("ballast") != 0 {
			t.Fatalf("waited %v with %d bytes of ballast there", d, disk.size("ballast"))
		}
		result := make(chan error, 1)
		go func() {
			_, err := f.Write(make([]byte, 3*mib))
			result <- err
		}()
		pass(time.Minute)
		if since, n := g.waiting(); n != 1 || since != time.Minute {
			t.Fatalf("%d wait for %v, want 1 for a minute", n, since)
		}
		use(200 * mib)
		if err := <-result; err != nil {
			t.Fatal(err)
		}
		if s := g.check(); s != SpaceOK {
			t.Fatalf("state %v, want ok", s)
		}
		pass(ballastCalm - time.Second)
		if n := disk.size("ballast"); n != 0 {
			t.Errorf("%d bytes of ballast too early", n)
		}
		pass(3 * time.Second)
		if n := disk.size("ballast"); n != 3*mib {
			t.Errorf("%d bytes of ballast after a minute, want 3 MiB", n)
		}
		if len(told) != 2 {
			t.Errorf("told %q, want full and ok", told)
		}
	})
}

// TestBallastOfAnEarlierRun is given up by check, before anything is started,
// unless the store is only read.
func TestBallastOfAnEarlierRun(t *testing.T) {
	for _, keep := range []bool{false, true} {
		disk := newBudgetFS(300 * mib)
		first := newGuard(disk, "", guardOptions{})
		if err := first.ballast.fill(3*mib, first.done); err != nil {
			t.Fatal(err)
		}
		disk.used = disk.total
		o, want := guardOptions{}, SpaceReadOnly
		if keep {
			o, want = guardOptions{Ballast: -1}, SpaceFull
		}
		g := newGuard(disk, "", o)
		if s := g.check(); s != want || disk.size("ballast") > 0 != keep {
			t.Errorf("state %v with %d bytes of ballast, want %v", s, disk.size("ballast"), want)
		}
	}
}

// TestBallastYields: laying in stops half-way when the room is needed, when
// the disk is full and when the store closes, and leaves nothing.
func TestBallastYields(t *testing.T) {
	for name, stop := range map[string]func(*guard) error{
		"wanted":  func(g *guard) error { g.ballast.yield.Store(true); return nil },
		"stopped": func(g *guard) error { close(g.done); return nil },
		"full":    func(*guard) error { return syscall.ENOSPC },
	} {
		disk := newBudgetFS(300 * mib)
		g := newGuard(disk, "", guardOptions{})
		var writes int
		disk.setFail(func(op, _ string) error {
			if op != "write" {
				return nil
			}
			if writes++; writes == 2 {
				return stop(g)
			}
			return nil
		})
		err := g.ballast.fill(3*mib, g.done)
		if !errors.Is(err, errUnwanted) && !errors.Is(err, syscall.ENOSPC) || writes != 2 {
			t.Errorf("%s: %v after %d writes", name, err, writes)
		}
		if names, _ := disk.List(""); slices.Contains(names, "ballast") || g.ballast.size.Load() != 0 {
			t.Errorf("%s: the half of it is left", name)
		}
	}
}

// TestBallastThatCannotBeRemoved is tried again with the next look.
func TestBallastThatCannotBeRemoved(t *testing.T) {
	disk := newBudgetFS(300 * mib)
	g := newGuard(disk, "", guardOptions{})
	if err := g.ballast.fill(3*mib, g.done); err != nil {
		t.Fatal(err)
	}
	disk.used = disk.total
	disk.setFail(func(op, _ string) error {
		if op == "remove" {
			return syscall.ENOSPC // as on a filesystem that copies on write
		}
		return nil
	})
	if s := g.check(); s != SpaceFull {
		t.Errorf("state %v, want full", s)
	}
	disk.setFail(nil)
	if s := g.check(); s != SpaceReadOnly {
		t.Errorf("state %v after the ballast could be removed, want read_only", s)
	}
}
