package storage_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// TestConcurrent appends, backfills, deletes, folds, reads, scans and verifies
// at once. A reader sees whole writes in their order: the bars of one writer
// are numbered, and a number is there only if all before it are.
func TestConcurrent(t *testing.T) {
	ctx := context.Background()
	s, err := storage.Open("store", storage.Options{FS: vfs.NewMem(), DecodedBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const steps = 300
	var writers, readers sync.WaitGroup
	var done atomic.Bool
	fail := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	for k := range 3 {
		key := series.Key{Symbol: fmt.Sprintf("S%d", k), Interval: series.Interval1m}
		writers.Go(func() {
			for i := range steps {
				var c series.Columns
				for j := range 1 + i%40 {
					c.Append(series.Bar{Time: t0 + series.Time(i*40+j)*series.Minute, Close: float64(i), Volume: 1})
				}
				_, err := s.Write(ctx, key, &c, storage.WriteOptions{Source: "w", Relaxed: i%3 == 0})
				fail(err)
			}
		})
		writers.Go(func() { // far before, in and out
			for i := range steps / 4 {
				at := t0 - series.Time(1+i%9)*3*series.Day
				var c series.Columns
				for j := range 30 {
					c.Append(series.Bar{Time: at + series.Time(j)*series.Minute, Close: -1})
				}
				_, err := s.Write(ctx, key, &c, storage.WriteOptions{Source: "late"})
				fail(err)
				_, err = s.Delete(ctx, key, series.Span{From: at, To: at + 10*series.Minute})
				fail(err)
			}
		})
		readers.Go(func() {
			for !done.Load() {
				if _, err := s.Info(key); err != nil {
					continue // not written yet
				}
				var c series.Columns
				if err := s.Read(ctx, key, series.Span{From: t0, To: t0 + 100*series.Day}, storage.ReadOptions{}, &c); err != nil {
					t.Error(err)
					return
				}
				n := 0
				for i := 0; n < steps; n++ {
					if i == c.Len() {
						break
					}
					for j := range 1 + n%40 {
						if i >= c.Len() || c.Close[i] != float64(n) {
							t.Errorf("write %d is there in part: bar %d of %d", n, j, 1+n%40)
							return
						}
						i++
					}
				}
				_, err := s.Gaps(ctx, key, series.Span{})
				fail(err)
				_, _, err = s.Latest(key)
				fail(err)
			}
		})
	}
	readers.Go(func() {
		for !done.Load() {
			fail(s.Compact(ctx))
			rep, err := s.Verify(ctx, storage.VerifyOptions{})
			fail(err)
			if !rep.OK() {
				t.Errorf("verify: %+v", rep)
				return
			}
			v, err := s.Snapshot()
			fail(err)
			for _, i := range mustSeries(t, s) {
				_, err := v.Coverage(ctx, i.Key, series.Span{})
				fail(err)
			}
			fail(v.Close())
			s.Stats()
		}
	})
	writers.Wait()
	done.Store(true)
	readers.Wait()
	for _, i := range mustSeries(t, s) {
		want := int64(0)
		for n := range steps {
			want += int64(1 + n%40)
		}
		var c series.Columns
		if err := s.Read(ctx, i.Key, series.Span{From: t0, To: t0 + 100*series.Day}, storage.ReadOptions{}, &c); err != nil || int64(c.Len()) != want {
			t.Errorf("%v: %d bars, want %d, %v", i.Key, c.Len(), want, err)
		}
	}
}

func mustSeries(t *testing.T, s *storage.Store) []storage.Info {
	t.Helper()
	is, err := s.Series()
	if err != nil {
		t.Error(err)
	}
	return is
}
