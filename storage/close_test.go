package storage_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// TestClosed calls everything on a closed store: each answers ErrClosed.
func TestClosed(t *testing.T) {
	ctx := context.Background()
	s, err := storage.Open("store", storage.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	c := walk(1, t0, btc.Interval, 100)
	if _, err := s.Write(ctx, btc, c, storage.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	// A loop that is under way goes on to its end while Close waits.
	var closing sync.WaitGroup
	n := 0
	for _, err := range s.Bars(ctx, btc, series.Span{}, storage.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			closing.Go(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		n++
	}
	closing.Wait()
	if n != 100 {
		t.Errorf("the loop saw %d bars", n)
	}
	var dst series.Columns
	for name, call := range map[string]func() error{
		"Write":  func() error { _, err := s.Write(ctx, btc, c, storage.WriteOptions{}); return err },
		"Append": func() error { return s.Append(ctx, btc, c.Bar(0), storage.WriteOptions{}) },
		"Append relaxed": func() error {
			return s.Append(ctx, btc, c.Bar(0), storage.WriteOptions{Relaxed: true})
		},
		"Delete":   func() error { _, err := s.Delete(ctx, btc, series.Span{}); return err },
		"Read":     func() error { return s.Read(ctx, btc, series.Span{}, storage.ReadOptions{}, &dst) },
		"Gaps":     func() error { _, err := s.Gaps(ctx, btc, series.Span{}); return err },
		"GapsAll":  func() error { _, err := s.GapsAll(ctx, series.Span{}); return err },
		"Coverage": func() error { _, err := s.Coverage(ctx, btc, series.Span{}); return err },
		"Resample": func() error {
			_, err := s.Resample(ctx, btc, series.Interval1h, series.Span{}, &dst)
			return err
		},
		"Latest":    func() error { _, _, err := s.Latest(btc); return err },
		"Info":      func() error { _, err := s.Info(btc); return err },
		"Series":    func() error { _, err := s.Series(); return err },
		"Snapshot":  func() error { _, err := s.Snapshot(); return err },
		"Compact":   func() error { return s.Compact(ctx) },
		"Verify":    func() error { _, err := s.Verify(ctx, storage.VerifyOptions{}); return err },
		"SetSymbol": func() error { return s.SetSymbol("X", storage.Symbol{}) },
		"SetPhase":  func() error { return s.SetPhase(series.Key{Symbol: "X", Interval: series.Interval1h}, 1) },
		"SetAside":  func() error { return s.SetAside(ctx, []storage.Entry{{Key: btc}}) },
		"Explain":   func() error { return s.Explain(ctx, btc, nil) },
		"Source":    func() error { _, err := s.Source("new"); return err },
		"Backup":    func() error { _, err := s.Backup(ctx, "copy", storage.BackupOptions{}); return err },
		"Close":     s.Close,
		"Bars": func() error {
			for _, err := range s.Bars(ctx, btc, series.Span{}, storage.ReadOptions{}) {
				return err
			}
			return nil
		},
		"Aside": func() error {
			for _, err := range s.Aside(ctx, nil) {
				return err
			}
			return nil
		},
	} {
		if err := call(); !errors.Is(err, storage.ErrClosed) {
			t.Errorf("%s on a closed store: %v", name, err)
		}
	}
	if st := s.Stats(); st != (storage.Stats{}) {
		t.Errorf("Stats on a closed store: %+v", st)
	}
}
