package storage

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
)

// roomFS is a disk that has as much room as it is told.
type roomFS struct {
	vfs.FS
	free atomic.Uint64
}

func (r *roomFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	const total = 1 << 30
	free := r.free.Load()
	return vfs.DiskUsage{AvailBytes: free, TotalBytes: total, UsedBytes: total - free}, nil
}

// onFullDisk is a store with two bars that was opened on a full disk.
func onFullDisk(t *testing.T) (*Store, *roomFS) {
	t.Helper()
	disk := &roomFS{FS: vfs.NewMem()}
	disk.free.Store(1 << 29)
	o := Options{FS: disk, Ballast: -1, Now: func() series.Time { return series.Hour }}
	s, err := Open("store", o)
	if err != nil {
		t.Fatal(err)
	}
	putPrice(t.Context(), t, s, 7, 1, 2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	disk.free.Store(0)
	if s, err = Open("store", o); err != nil {
		t.Fatal(err)
	}
	return s, disk
}

// TestRegainUnderReading has readers of whom one always has a snapshot open:
// the store takes writes again all the same. It runs on the real clock, because
// a fake one stands while somebody waits for a lock.
func TestRegainUnderReading(t *testing.T) {
	s, disk := onFullDisk(t)
	end := make(chan struct{})
	var readers sync.WaitGroup
	for i := range 3 {
		readers.Go(func() {
			<-time.After(time.Duration(i) * 10 * time.Millisecond)
			for {
				v, err := s.Snapshot()
				if err != nil {
					t.Error(err)
					return
				}
				<-time.After(30 * time.Millisecond)
				if err := v.Close(); err != nil {
					t.Error(err)
				}
				select {
				case <-end:
					return
				default:
				}
			}
		})
	}
	disk.free.Store(1 << 29)
	var err error
	since := time.Now()
	for {
		<-time.After(10 * time.Millisecond)
		c := &series.Columns{}
		c.Append(series.NewBar(3*series.Minute, 8, 8, 8, 8, 1))
		_, err = s.Write(t.Context(), undoKey, c, WriteOptions{})
		if err == nil || time.Since(since) > time.Minute {
			break
		}
	}
	if err != nil {
		t.Errorf("no write was taken for %v after there was room: %v", time.Since(since), err)
	}
	close(end)
	readers.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRegainWaitsForSnapshots opens a store on a full disk, which then gets
// room. The files are opened anew for writing, but not under a snapshot.
func TestRegainWaitsForSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s, disk := onFullDisk(t)
		v, err := s.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		disk.free.Store(1 << 29)
		<-time.After(time.Minute)
		bars := 0
		for c, err := range v.Chunks(ctx, undoKey, series.Span{}, ReadOptions{}) {
			if err != nil {
				t.Fatal("a snapshot that was taken on the full disk: ", err)
			}
			bars += c.Len()
		}
		if bars != 2 {
			t.Errorf("%d bars in the snapshot, want 2", bars)
		}
		c := &series.Columns{}
		c.Append(series.NewBar(3*series.Minute, 8, 8, 8, 8, 1))
		if _, err := s.Write(ctx, undoKey, c, WriteOptions{}); !errors.As(err, new(*UnavailableError)) {
			t.Errorf("a write while the snapshot is open: %v, want an UnavailableError", err)
		}
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		if _, err := s.Write(ctx, undoKey, c, WriteOptions{}); err != nil {
			t.Error("a write when there is room: ", err)
		}
		wantPrices(t, s, "1=7 2=7 3=8")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
