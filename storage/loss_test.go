package storage

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
)

// reopen closes s and opens its folder again.
func reopen(t *testing.T, fs vfs.FS, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open("store", Options{FS: fs, Scrub: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// copyOf is the filesystem fs as it is now.
func copyOf(t *testing.T, fs vfs.FS) vfs.FS {
	t.Helper()
	out := vfs.NewMem()
	if ok, err := vfs.Clone(fs, out, "store", "store"); err != nil || !ok {
		t.Fatal(ok, err)
	}
	return out
}

// replaceDB puts the database of from in the place of that of to.
func replaceDB(t *testing.T, from, to vfs.FS) {
	t.Helper()
	if err := to.RemoveAll("store/db"); err != nil {
		t.Fatal(err)
	}
	if ok, err := vfs.Clone(from, to, "store/db", "store/db"); err != nil || !ok {
		t.Fatal(ok, err)
	}
}

// TestRollback puts an old copy of the database in place: what came after it is
// named by series and span, and quarantined until it is written again.
func TestRollback(t *testing.T) {
	ctx := context.Background()
	other := series.Key{Symbol: "Y", Interval: series.Interval1h}
	for _, tc := range []struct {
		name string
		then func(t *testing.T, s *Store)
		key  series.Key
		span series.Span
		slot int64 // quarantined
	}{
		{
			"appended", func(t *testing.T, s *Store) {
				if _, err := s.Write(ctx, minute, flat(2000, 50), WriteOptions{}); err != nil {
					t.Fatal(err)
				}
			}, minute, series.Span{From: 2000 * series.Minute, To: 2050 * series.Minute}, 50,
		},
		{
			// Whatever the block held may be what was replaced.
			"replaced", func(t *testing.T, s *Store) {
				c := flat(5, 1)
				c.Close[0] = 7
				if _, err := s.Write(ctx, minute, c, WriteOptions{}); err != nil {
					t.Fatal(err)
				}
			}, minute, series.Span{To: series.Day}, blockSlots,
		},
		{
			"deleted", func(t *testing.T, s *Store) {
				if _, err := s.Delete(ctx, minute, series.Span{From: 60 * series.Minute, To: 90 * series.Minute}); err != nil {
					t.Fatal(err)
				}
			}, minute, series.Span{To: series.Day}, blockSlots,
		},
		{
			"a new series", func(t *testing.T, s *Store) {
				c := flat(0, 3)
				for i := range c.Time {
					c.Time[i] *= 60
				}
				if _, err := s.Write(ctx, other, c, WriteOptions{}); err != nil {
					t.Fatal(err)
				}
			}, other, series.Span{To: 3 * series.Hour}, 3,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fs := vfs.NewMem()
			s, err := Open("store", Options{FS: fs, Scrub: -1})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Write(ctx, minute, flat(0, 1500), WriteOptions{}); err != nil {
				t.Fatal(err)
			}
			s = reopen(t, fs, s)
			if ds, err := s.Damages(); err != nil || len(ds) != 0 {
				t.Fatalf("damage without any: %v, %v", ds, err)
			}
			if err := s.Sync(ctx); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			old := copyOf(t, fs)
			if s, err = Open("store", Options{FS: fs, Scrub: -1}); err != nil {
				t.Fatal(err)
			}
			tc.then(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			replaceDB(t, old, fs)

			ro, err := Open("store", Options{FS: fs, ReadOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			if ds := ro.FoundNow(); !slices.ContainsFunc(ds, func(d Damage) bool { return d.Key == tc.key }) && tc.key != other {
				t.Errorf("open for reading only, it says %v", ds)
			}
			if err := ro.Close(); err != nil {
				t.Fatal(err)
			}
			if s, err = Open("store", Options{FS: fs, Scrub: -1}); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			ds, err := s.Damages()
			if err != nil || !slices.ContainsFunc(ds, func(d Damage) bool { return d.Key == tc.key && d.Span == tc.span }) ||
				!slices.ContainsFunc(ds, func(d Damage) bool { return strings.Contains(d.What, "commits are lost") }) {
				t.Fatalf("damages: %v, %v; want %v of %v", ds, err, tc.span, tc.key)
			}
			cov, err := s.Coverage(ctx, tc.key, tc.span)
			if err != nil || cov.States[series.StateQuarantined] != tc.slot {
				t.Fatalf("coverage: %v, %v", cov.States, err)
			}
			rep, err := s.Verify(ctx, VerifyOptions{})
			if err != nil || len(rep.Problems) > 0 {
				t.Fatalf("verify: %+v, %v", rep, err)
			}
			// Once found it is known; nothing new at the next opening.
			s = reopen(t, fs, s)
			if again, err := s.Damages(); err != nil || len(again) != len(ds) || len(s.FoundNow()) > 0 {
				t.Fatalf("again: %v, %v", again, err)
			}
		})
	}
}

// TestLostFiles takes files away that stand beside the database.
func TestLostFiles(t *testing.T) {
	ctx := context.Background()
	for name, tc := range map[string]struct {
		spoil func(fs vfs.FS) error
		says  string
	}{
		"HEAD":     {func(fs vfs.FS) error { return fs.Remove("store/HEAD") }, "HEAD is missing"},
		"trail":    {func(fs vfs.FS) error { return fs.Remove("store/trail.1") }, "trail.1 is missing"},
		"database": {func(fs vfs.FS) error { return fs.RemoveAll("store/db") }, "commits are lost"},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s, err := Open("store", Options{FS: fs, Scrub: -1})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Write(ctx, minute, flat(0, 300), WriteOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := tc.spoil(fs); err != nil {
				t.Fatal(err)
			}
			if s, err = Open("store", Options{FS: fs, Scrub: -1}); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if ds, err := s.Damages(); err != nil || !slices.ContainsFunc(ds, func(d Damage) bool { return strings.Contains(d.What, tc.says) }) {
				t.Fatalf("damages: %v, %v", ds, err)
			}
			if name != "database" {
				return
			}
			// The trail knows the name of the series and where it had bars.
			cov, err := s.Coverage(ctx, minute, series.Span{To: 300 * series.Minute})
			if err != nil || cov.States[series.StateQuarantined] != 300 {
				t.Fatalf("coverage: %v, %v", cov.States, err)
			}
		})
	}
}

// TestScrub damages a block behind the store's back: the scrubber finds it, sets
// it aside and says so.
func TestScrub(t *testing.T) {
	ctx := context.Background()
	s := memStore(t)
	if _, err := s.Write(ctx, minute, flat(0, 3*blockSlots), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	overwrite(t, s, numberKey(spaceBlock, 1, 1), spoil)
	if err := s.scrubPass(ctx); err != nil {
		t.Fatal(err)
	}
	ds, err := s.Damages()
	want := series.Span{From: series.Day, To: 2 * series.Day}
	if err != nil || len(ds) != 1 || ds[0].Span != want || ds[0].Found != foundScrub || ds[0].Bars != blockSlots {
		t.Fatalf("%+v, %v", ds, err)
	}
	if st := s.Stats().Scrub; st.Passes != 1 || st.Damaged != 1 || st.Bytes == 0 {
		t.Errorf("stats: %+v", st)
	}
	if err := s.scrubPass(ctx); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Damages(); err != nil || len(again) != 1 {
		t.Errorf("found twice: %v, %v", again, err)
	}
}

// TestTrailReads reads trails that are damaged in each way that matters.
func TestTrailReads(t *testing.T) {
	var b []byte
	var sizes []int
	for i := range 5 {
		r := trailRecord{kind: trailChange, series: 3, change: uint64(i), op: opWrite, runs: []series.Run{{From: series.Slot(i) * 10, To: series.Slot(i)*10 + 4}, {From: 1000, To: 2000}}}
		x := r.encode(stamp{seq: uint64(i + 1)})
		b, sizes = append(b, x...), append(sizes, len(x))
	}
	for name, tc := range map[string]struct {
		spoil func(b []byte) []byte
		m     headMark
		n     int
		bad   bool
	}{
		"whole":                  {func(b []byte) []byte { return b }, headMark{clean: true, stamp: stamp{seq: 5}}, 5, false},
		"a bit":                  {func(b []byte) []byte { b[sizes[0]+20] ^= 1; return b }, headMark{clean: true, stamp: stamp{seq: 5}}, 4, true},
		"a length":               {func(b []byte) []byte { b[sizes[0]+3] = 0xff; return b }, headMark{clean: true, stamp: stamp{seq: 5}}, 4, true},
		"cut off":                {func(b []byte) []byte { return b[:len(b)-9] }, headMark{clean: true, stamp: stamp{seq: 5}}, 4, true},
		"torn by a power cut":    {func(b []byte) []byte { return b[:len(b)-9] }, headMark{sure: uint64(sizes[0]), stamp: stamp{seq: 5}}, 4, false},
		"a bit that was durable": {func(b []byte) []byte { b[20] ^= 1; return b }, headMark{sure: uint64(sizes[0]), stamp: stamp{seq: 5}}, 4, true},
	} {
		fs := vfs.NewMem()
		if err := writeFile(fs, trailName(0), tc.spoil(slices.Clone(b))); err != nil {
			t.Fatal(err)
		}
		rs, bad, err := readTrail(fs, "", tc.m)
		if err != nil || len(rs) != tc.n || (bad != "") != tc.bad {
			t.Errorf("%s: %d records, %q, %v", name, len(rs), bad, err)
		}
		for _, r := range rs {
			if i := series.Slot(r.change) * 10; len(r.runs) != 2 || r.runs[0] != (series.Run{From: i, To: i + 4}) || r.stamp.seq != r.change+1 {
				t.Errorf("%s: record %+v", name, r)
			}
		}
	}
}

func FuzzTrail(f *testing.F) {
	for _, r := range []trailRecord{
		{kind: trailPair, key: []byte("ss"), value: []byte("{}")},
		{kind: trailState, series: 1, bars: 9, runs: []series.Run{{From: -5, To: 5}}},
	} {
		f.Add(r.encode(stamp{seq: 7}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for at := 0; at < len(b); {
			r, rest, skipped := nextRecord(b[at:])
			if r == nil {
				return
			}
			if got := r.encode(r.stamp); !slices.Equal(got, b[at+skipped:at+skipped+r.size]) && r.kind != trailState && r.kind != trailChange {
				t.Fatalf("record %x is written as %x", b[at+skipped:at+skipped+r.size], got)
			}
			at = len(b) - len(rest)
		}
	})
}

// TestFewRuns covers many runs with few.
func TestFewRuns(t *testing.T) {
	var rs []series.Run
	for i := range 40 {
		from := series.Slot(i*10 + i/10*1000)
		rs = append(rs, series.Run{From: from, To: from + 3})
	}
	out := fewRuns(rs)
	if len(out) > trailRuns || len(series.Subtract(nil, rs, out)) > 0 || series.Total(out) > 450 {
		t.Errorf("%v", out)
	}
}

// stuckFS holds the syncs of the log until it is let go.
type stuckFS struct {
	vfs.FS
	mu   sync.Mutex
	held chan struct{} // nil lets pass
}

func (s *stuckFS) wait() {
	s.mu.Lock()
	c := s.held
	s.mu.Unlock()
	if c != nil {
		<-c
	}
}

func (s *stuckFS) hold() (letGo func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = make(chan struct{})
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(s.held)
		s.held = nil
	}
}

func (s *stuckFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, c)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return stuckFile{f, s}, nil
}

func (s *stuckFS) Lock(string) (io.Closer, error) { return nopCloser{}, nil }

type stuckFile struct {
	vfs.File
	s *stuckFS
}

func (f stuckFile) Sync() error     { f.s.wait(); return f.File.Sync() }
func (f stuckFile) SyncData() error { f.s.wait(); return f.File.SyncData() }
func (f stuckFile) SyncTo(n int64) (bool, error) {
	f.s.wait()
	return f.File.SyncTo(n)
}

// TestStuckDisk writes while the disk does not answer: the write gives up in
// time and says so, reads go on, and what was begun is there in the end.
func TestStuckDisk(t *testing.T) {
	ctx := context.Background()
	fs := &stuckFS{FS: vfs.NewMem()}
	s, err := Open("store", Options{FS: fs, WriteTimeout: diskGrace, Scrub: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(ctx, minute, flat(0, 3), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	letGo := fs.hold()
	begun := time.Now()
	_, err = s.Write(ctx, minute, flat(3, 1), WriteOptions{})
	u, ok := errors.AsType[*UnavailableError](err)
	if !ok || u.Reason != Stalled || !u.Unknown || time.Since(begun) > 10*diskGrace {
		t.Fatalf("after %v: %v", time.Since(begun), err)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err = s.Write(short, minute, flat(4, 1), WriteOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a caller that does not wait: %v", err)
	}
	var got series.Columns
	if err := s.Read(ctx, minute, series.Span{}, ReadOptions{}, &got); err != nil || got.Len() < 3 {
		t.Fatalf("read: %d, %v", got.Len(), err)
	}
	if _, err := s.Gaps(ctx, minute, series.Span{}); err != nil {
		t.Fatal(err)
	}
	letGo()
	// To repeat it is safe.
	if _, err := s.Write(ctx, minute, flat(3, 2), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open("store", Options{FS: fs, Scrub: -1}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if i, err := s.Info(minute); err != nil || i.Bars != 5 || len(s.FoundNow()) > 0 {
		t.Fatalf("%+v, %v, %v", i, err, s.FoundNow())
	}
}
