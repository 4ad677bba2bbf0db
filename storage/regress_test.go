package storage

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
)

// Each test of this file was a bug once.

func spoil(b []byte) []byte { b[len(b)/2] ^= 4; return b }

// A relaxed bar for a damaged block must not keep the rest of the series, nor
// other series, from being read, mended and closed.
func TestRelaxedOnDamage(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	s, err := Open("store", Options{FS: fs, RelaxedDelay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(ctx, minute, flat(0, 3*blockSlots), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	overwrite(t, s, numberKey(spaceBlock, 1, 0), spoil)
	if err := s.Append(ctx, minute, flat(5, 1).Bar(0), WriteOptions{Relaxed: true}); err != nil {
		t.Fatal(err)
	}
	others := []series.Key{{Symbol: "Y", Interval: series.Interval1m}, {Symbol: "Z", Interval: series.Interval1m}}
	for _, k := range others {
		if err := s.Append(ctx, k, flat(7, 1).Bar(0), WriteOptions{Relaxed: true}); err != nil {
			t.Fatal(err)
		}
	}
	var got series.Columns
	if err := s.Read(ctx, minute, series.Span{From: series.Day, To: 3 * series.Day}, ReadOptions{}, &got); err != nil || got.Len() != 2*blockSlots {
		t.Fatal("the rest cannot be read:", got.Len(), err)
	}
	// The damage is recorded by whoever writes over it; what it took stays
	// quarantined.
	ds, err := s.Damages()
	if err != nil || len(ds) != 1 || ds[0].Key != minute || ds[0].Bars != blockSlots {
		t.Fatalf("damages: %+v, %v", ds, err)
	}
	cov, err := s.Coverage(ctx, minute, series.Span{})
	if err != nil || cov.States[series.StateQuarantined] != blockSlots-1 {
		t.Fatalf("coverage: %+v, %v", cov.States, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open("store", Options{FS: fs}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, k := range append(others, minute) {
		if i, err := s.Info(k); err != nil || i.Bars == 0 {
			t.Errorf("%v: %+v, %v", k, i, err)
		}
	}
}

// Whether a bar is forming is decided when it comes.
func TestRelaxedForming(t *testing.T) {
	ctx := context.Background()
	now := 90 * series.Second
	s, err := Open("store", Options{FS: vfs.NewMem(), RelaxedDelay: time.Hour, Now: func() series.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	bar := func(v float64) series.Bar { return series.NewBar(series.Minute, v, v, v, v, v) }
	for _, v := range []float64{1, 2, 3} { // the live bar, again and again
		if err := s.Append(ctx, minute, bar(v), WriteOptions{Relaxed: true}); err != nil {
			t.Fatal(err)
		}
	}
	now = 150 * series.Second
	if b, ok, err := s.Latest(minute); err != nil || !ok || !b.Prov.Forming() || b.Close != 3 {
		t.Fatalf("%+v, %v, %v", b, ok, err)
	}
	if err := s.Append(ctx, minute, bar(9), WriteOptions{OnConflict: Keep}); err != nil {
		t.Fatal(err)
	}
	if b, _, err := s.Latest(minute); err != nil || b.Prov.Forming() || b.Close != 9 {
		t.Fatalf("the final bar lost: %+v, %v", b, err)
	}
	for e, err := range s.Aside(ctx, nil) {
		t.Errorf("quarantine holds %+v, %v", e, err)
	}
}

// What a relaxed append cannot store it says at once.
func TestRelaxedRefuses(t *testing.T) {
	ctx := context.Background()
	s := memStore(t)
	b := flat(1, 1).Bar(0)
	b.Prov = series.NewProv(series.Synthetic, 0)
	if err := s.Append(ctx, minute, b, WriteOptions{Relaxed: true}); err == nil {
		t.Error("a synthetic bar was acknowledged")
	}
	b = flat(1, 1).Bar(0)
	b.Time = series.MinTime - series.Minute
	if err := s.Append(ctx, minute, b, WriteOptions{Relaxed: true}); err == nil {
		t.Error("a bar before the year 1 was acknowledged")
	}
	dir := t.TempDir()
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Write(ctx, minute, flat(0, 3), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if d, err = Open(dir, Options{ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Append(ctx, minute, flat(9, 1).Bar(0), WriteOptions{Relaxed: true}); !errors.Is(err, errReadOnly) {
		t.Errorf("append to a read-only store: %v", err)
	}
	if _, _, err := d.Latest(minute); err != nil {
		t.Error(err)
	}
}

// Blocks set aside at the ends of a series stay visible.
func TestDamagedEnds(t *testing.T) {
	ctx := context.Background()
	for _, bad := range [][]int64{{0}, {2}, {0, 2}, {0, 1, 2}} {
		s := memStore(t)
		if _, err := s.Write(ctx, minute, flat(0, 3*blockSlots), WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, b := range bad {
			overwrite(t, s, numberKey(spaceBlock, 1, b), spoil)
		}
		lost := int64(len(bad)) * blockSlots
		for round := range 2 {
			rep, err := s.Verify(ctx, VerifyOptions{Repair: true})
			if err != nil || len(rep.Damaged) != len(bad) {
				t.Fatalf("%v, round %d: %+v, %v", bad, round, rep, err)
			}
		}
		sc, err := s.Gaps(ctx, minute, series.Span{})
		if err != nil || sc.Expected != 3*blockSlots || sc.Present != 3*blockSlots-lost || sc.Missing != 0 {
			t.Fatalf("%v: %+v, %v", bad, sc, err)
		}
		var got series.Columns
		if err := s.Read(ctx, minute, series.Span{To: 3 * series.Day}, ReadOptions{}, &got); !errors.Is(err, series.ErrCorrupt) {
			t.Fatalf("%v: read says %v", bad, err)
		}
		seen := 0
		o := ReadOptions{OnDamage: func(*CorruptError) { seen++ }}
		if err := s.Read(ctx, minute, series.Span{}, o, &got); err != nil || seen != len(bad) || int64(got.Len()) != 3*blockSlots-lost {
			t.Fatalf("%v: %d bars, %d times damage, %v", bad, got.Len(), seen, err)
		}
		// To delete a minute of a damaged day does not forget the day.
		at := series.Time(bad[0])*series.Day + series.Hour
		if _, err := s.Delete(ctx, minute, series.Span{From: at, To: at + series.Minute}); err != nil {
			t.Fatal(err)
		}
		if cov, err := s.Coverage(ctx, minute, series.Span{}); err != nil || cov.States[series.StateQuarantined] != lost {
			t.Fatalf("%v: %v, %v", bad, cov.States, err)
		}
		if _, err := s.Write(ctx, minute, flat(0, 3*blockSlots), WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		if rep, err := s.Verify(ctx, VerifyOptions{}); err != nil || !rep.OK() || rep.Bars != 3*blockSlots {
			t.Fatalf("%v mended: %+v, %v", bad, rep, err)
		}
	}
}

// Numbers of quarantined bars are not given twice.
func TestAsideAfterReopen(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	for _, reason := range []string{"one", "two", "three"} {
		s, err := Open("store", Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SetAside(ctx, []Entry{{Key: minute, Time: 60000, HasTime: true, Reason: reason}}); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, err := range s.Aside(ctx, nil) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if want := map[string]int{"one": 1, "two": 2, "three": 3}[reason]; n != want {
			t.Fatalf("%d entries after %q", n, reason)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// The grid stays once something is keyed by it.
func TestGridStays(t *testing.T) {
	ctx := context.Background()
	s := memStore(t)
	hour := series.Key{Symbol: "H", Interval: series.Interval1h}
	var c series.Columns
	for i := range 5 {
		c.Append(series.NewBar(series.Time(i)*series.Hour, 1, 1, 1, 1, 1))
	}
	if _, err := s.Write(ctx, hour, &c, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	snap, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	if _, err := s.Delete(ctx, hour, series.Span{}); err != nil {
		t.Fatal(err)
	}
	for i := range c.Time {
		c.Time[i] += 30 * series.Minute
	}
	if res, err := s.Write(ctx, hour, &c, WriteOptions{}); err != nil || len(res.Refused) != 5 {
		t.Fatalf("%+v, %v", res, err)
	}
	var got series.Columns
	if err := snap.Read(ctx, hour, series.Span{}, ReadOptions{}, &got); err != nil || got.Len() != 5 || got.Time[0] != 0 {
		t.Fatalf("the snapshot has %v, %v", got.Time, err)
	}
	if err := s.SetPhase(hour, series.Minute); err == nil {
		t.Error("the grid of a series that had bars was moved")
	}
}

// A series may be asked while its first write moves the grid; the race detector
// watches.
func TestGridMovesUnderReaders(t *testing.T) {
	ctx := context.Background()
	s := memStore(t)
	hour := series.Key{Symbol: "H", Interval: series.Interval1h}
	if _, err := s.Write(ctx, hour, &series.Columns{}, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		var err error
		for err == nil {
			var i Info
			if i, err = s.Info(hour); i.Bars > 0 {
				break
			}
			_, gapErr := s.Gaps(ctx, hour, series.Span{To: series.Day})
			_, covErr := s.Coverage(ctx, hour, series.Span{To: series.Day})
			err = errors.Join(err, gapErr, covErr)
		}
		done <- err
	}()
	var c series.Columns
	for i := range 5 {
		c.Append(series.NewBar(series.Time(i)*series.Hour+30*series.Minute, 1, 1, 1, 1, 1))
	}
	if res, err := s.Write(ctx, hour, &c, WriteOptions{}); err != nil || res.Written != 5 {
		t.Fatalf("%+v, %v", res, err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// One block that cannot be read does not keep the others from being folded,
// and what was late before a restart is folded after it.
func TestFoldGoesOn(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	s, err := Open("store", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	late := &series.Columns{}
	for i := range 5 {
		late.Append(flat(series.Slot(i*blockSlots+7), 1).Bar(0))
	}
	var c series.Columns
	all := flat(0, 6*blockSlots)
	for i := range all.Time {
		if i%blockSlots != 7 {
			c.Append(all.Bar(i))
		}
	}
	if _, err := s.Write(ctx, minute, &c, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(ctx, minute, late, WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	overwrite(t, s, rowsKey(1, 2, s.seq.Load()), spoil)
	if err := s.Compact(ctx); !errors.Is(err, series.ErrCorrupt) {
		t.Fatalf("compact says %v", err)
	}
	if p := s.Stats().Pending; p != 1 {
		t.Fatalf("%d blocks wait, want the damaged one", p)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open("store", Options{FS: fs}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// Left over rows are folded without a write that says so.
	if len(s.wake) == 0 && !s.lookup(minute).late.Load() {
		t.Error("nobody knows of the rows that wait")
	}
}

// A verification that is under way when the store is closed leaks nothing.
func TestVerifyWhileClosing(t *testing.T) {
	ctx := context.Background()
	s, err := Open("store", Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(ctx, minute, flat(0, 50*blockSlots), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	started := false
	_, err = s.Verify(ctx, VerifyOptions{Progress: func(int64, int64) {
		if !started {
			started = true
			go func() { closed <- s.Close() }()
			for s.enter() == nil { // until Close has begun
				s.leave()
			}
		}
	}})
	if err != nil {
		t.Error("verify:", err)
	}
	if err := <-closed; err != nil {
		t.Error("close:", err)
	}
}
