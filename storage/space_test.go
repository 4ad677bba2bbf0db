package storage

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

func TestSpaceStateString(t *testing.T) {
	for s, want := range []string{"ok", "low", "read_only", "full", "SpaceState(4)"} {
		if got := SpaceState(s).String(); got != want {
			t.Errorf("state %d is %q, want %q", s, got, want)
		}
	}
}

func TestSpaceLimits(t *testing.T) {
	for _, tc := range []struct {
		name                 string
		o                    guardOptions
		total                uint64
		low, ro, full, stock uint64 // stock is the ballast
	}{
		{"large disk", guardOptions{}, 1000 * gib, 2 * gib, gib, 256 * kib, 64 * mib},
		{"small disk", guardOptions{}, 2000 * mib, 200 * mib, 100 * mib, 256 * kib, 20 * mib},
		{"tiny disk", guardOptions{}, 16000 * kib, 1600 * kib, 800 * kib, 256 * kib, 160 * kib},
		{"tiniest disk", guardOptions{}, 2000 * kib, 200 * kib, 100 * kib, 50 * kib, 20 * kib},
		{"asked for", guardOptions{Low: 5, ReadOnly: 4, Ballast: 3}, gib, 5, 4, 2, 3},
		{"off", guardOptions{Low: -1, ReadOnly: -1, Ballast: -1}, gib, 0, 0, 0, 0},
		{"cannot tell", guardOptions{}, 0, 0, 0, 0, 0},
	} {
		l := tc.o.limits(tc.total)
		if want := (limits{SpaceLow: tc.low, SpaceReadOnly: tc.ro, SpaceFull: tc.full}); l != want {
			t.Errorf("%s: limits %d, want %d", tc.name, l, want)
		}
		if got := tc.o.ballast(tc.total); got != int64(tc.stock) {
			t.Errorf("%s: ballast %d, want %d", tc.name, got, tc.stock)
		}
	}
}

// TestSpaceHysteresis: limits at 1000, 500 and 100 bytes; better from 1100,
// 550 and 110 on.
func TestSpaceHysteresis(t *testing.T) {
	l := limits{SpaceLow: 1000, SpaceReadOnly: 500, SpaceFull: 100}
	for _, tc := range []struct {
		from  SpaceState
		avail uint64
		want  SpaceState
	}{
		{SpaceOK, 1000, SpaceOK},
		{SpaceOK, 999, SpaceLow},
		{SpaceOK, 499, SpaceReadOnly},
		{SpaceOK, 99, SpaceFull},
		{SpaceOK, 0, SpaceFull},

		{SpaceLow, 1099, SpaceLow},
		{SpaceLow, 1100, SpaceOK},
		{SpaceLow, 500, SpaceLow},
		{SpaceLow, 499, SpaceReadOnly},

		{SpaceReadOnly, 549, SpaceReadOnly},
		{SpaceReadOnly, 550, SpaceLow},
		{SpaceReadOnly, 1099, SpaceLow},
		{SpaceReadOnly, 1100, SpaceOK},
		{SpaceReadOnly, 100, SpaceReadOnly},
		{SpaceReadOnly, 99, SpaceFull},

		{SpaceFull, 109, SpaceFull},
		{SpaceFull, 110, SpaceReadOnly},
		{SpaceFull, 550, SpaceLow},
		{SpaceFull, 1100, SpaceOK},
	} {
		if got := l.next(tc.from, tc.avail); got != tc.want {
			t.Errorf("from %v with %d bytes: %v, want %v", tc.from, tc.avail, got, tc.want)
		}
		if again := l.next(tc.want, tc.avail); again != tc.want {
			t.Errorf("%v does not hold with %d bytes: %v", tc.want, tc.avail, again)
		}
	}
}

// changes collects what OnChange is told; for bubbles.
func changes(to *[]string) func(from, to SpaceState, u vfs.DiskUsage) {
	return func(a, b SpaceState, u vfs.DiskUsage) {
		*to = append(*to, fmt.Sprintf("%v to %v at %d", a, b, u.AvailBytes))
	}
}

// TestSpaceWatch follows a disk that fills and empties.
func TestSpaceWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newBudgetFS(100 * mib)
		var told []string
		g := newGuard(disk, "", guardOptions{Ballast: -1, OnChange: changes(&told)})
		g.start()
		defer g.stop()
		for _, tc := range []struct {
			total int64
			after time.Duration
			want  SpaceState
		}{
			{100 * mib, 0, SpaceOK},
			{100 * mib, calmPoll, SpaceOK},
		} {
			disk.resize(tc.total)
			pass(tc.after)
			if s, u := g.space(); s != tc.want || u.TotalBytes != uint64(tc.total) {
				t.Errorf("%v of %d, want %v of %d", s, u.TotalBytes, tc.want, tc.total)
			}
		}
		// The disk stays as large while others use it.
		use := func(avail int64) {
			disk.mu.Lock()
			defer disk.mu.Unlock()
			disk.used = disk.total - avail
		}
		for _, tc := range []struct {
			avail int64
			after time.Duration
			want  SpaceState
		}{
			{9 * mib, calmPoll, SpaceLow},
			{4 * mib, alarmPoll, SpaceReadOnly},
			{100 * kib, alarmPoll, SpaceFull},
			{270 * kib, alarmPoll, SpaceFull},
			{300 * kib, alarmPoll, SpaceReadOnly},
			{50 * mib, alarmPoll, SpaceOK},
		} {
			use(tc.avail)
			pass(tc.after)
			if s, u := g.space(); s != tc.want || u.AvailBytes != uint64(tc.avail) {
				t.Errorf("with %d bytes: %v at %d, want %v", tc.avail, s, u.AvailBytes, tc.want)
			}
		}
		use(100)
		if s := g.check(); s != SpaceFull {
			t.Errorf("check says %v, want full", s)
		}
		want := []string{
			"ok to low at 9437184", "low to read_only at 4194304", "read_only to full at 102400",
			"full to read_only at 307200", "read_only to ok at 52428800", "ok to full at 100",
		}
		if !slices.Equal(told, want) {
			t.Errorf("told\n%q, want\n%q", told, want)
		}
	})
}

// TestSpaceOfFilesystemsThatCannotTell: only an operation that waits makes
// one full.
func TestSpaceOfFilesystemsThatCannotTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		g := newGuard(mem, "", guardOptions{})
		g.start()
		pass(10 * time.Minute)
		if s, u := g.space(); s != SpaceOK || u != (vfs.DiskUsage{}) {
			t.Errorf("%v of %v, want ok of nothing", s, u)
		}
		if names, err := mem.List(""); err != nil || len(names) != 0 {
			t.Errorf("it holds %q, %v; want nothing", names, err)
		}
		w := g.enter()
		synctest.Wait()
		if s := g.check(); s != SpaceFull {
			t.Errorf("%v while something waits, want full", s)
		}
		g.leave(w)
		synctest.Wait()
		if s, _ := g.space(); s != SpaceOK {
			t.Errorf("%v after it, want ok", s)
		}
		g.stop()
		g.stop() // more than once does no harm
	})
}
