package storage

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
)

var minute = series.Key{Symbol: "X", Interval: series.Interval1m}

// flat returns n bars of minutes from slot on, each with its slot as price.
func flat(slot series.Slot, n int) *series.Columns {
	c := &series.Columns{}
	for i := range n {
		p := float64(slot) + float64(i)
		c.Append(series.Bar{Time: series.Time(slot+series.Slot(i)) * series.Minute, Open: p, High: p, Low: p, Close: p, Volume: 1, QuoteVolume: math.NaN(), Trades: math.NaN()})
	}
	return c
}

func memStore(t testing.TB) *Store {
	t.Helper()
	s, err := Open("store", Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// overwrite replaces a value in the engine behind the store's back.
func overwrite(t *testing.T, s *Store, key []byte, change func([]byte) []byte) {
	t.Helper()
	var v []byte
	found, err := s.eng.Get(key, func(b []byte) error { v = slices.Clone(b); return nil })
	if err != nil || !found {
		t.Fatal(found, err)
	}
	b := s.eng.Batch()
	if err := b.Set(key, change(v)); err != nil {
		t.Fatal(err)
	}
	if err := s.commit(b); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedBlock damages one block in each way that a bit or a mix-up can,
// and checks that its bars and only its bars are reported.
func TestDamagedBlock(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"flipped bit":      func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
		"flipped version":  func(b []byte) []byte { b[0] ^= 1; return b },
		"cut off":          func(b []byte) []byte { return b[:len(b)-9] },
		"empty":            func([]byte) []byte { return nil },
		"flipped checksum": func(b []byte) []byte { b[len(b)-1] ^= 0x80; return b },
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			s := memStore(t)
			if _, err := s.Write(ctx, minute, flat(0, 5*blockSlots), WriteOptions{}); err != nil {
				t.Fatal(err)
			}
			overwrite(t, s, numberKey(spaceBlock, 1, 2), change)
			bad := series.Span{From: 2 * series.Day, To: 3 * series.Day}
			check := func(err error) {
				t.Helper()
				var c *CorruptError
				if !errors.As(err, &c) || c.Span != bad || c.Key != minute || !errors.Is(err, series.ErrCorrupt) {
					t.Fatalf("error is %v", err)
				}
			}
			var got series.Columns
			check(s.Read(ctx, minute, series.Span{}, ReadOptions{}, &got))
			check(s.Read(ctx, minute, series.Span{From: bad.From + 5*series.Minute, To: bad.From + 6*series.Minute}, ReadOptions{}, &got))
			if err := s.Read(ctx, minute, series.Span{To: 2 * series.Day}, ReadOptions{}, &got); err != nil || got.Len() != 2*blockSlots {
				t.Fatal("bars before the damage:", got.Len(), err)
			}
			var seen []*CorruptError
			o := ReadOptions{OnDamage: func(e *CorruptError) { seen = append(seen, e) }}
			if err := s.Read(ctx, minute, series.Span{}, o, &got); err != nil || got.Len() != 4*blockSlots || len(seen) != 1 {
				t.Fatal("the rest:", got.Len(), seen, err)
			}
			for i := range got.Time {
				if got.Close[i] != float64(got.Time[i]/series.Minute) {
					t.Fatalf("bar %d is %+v", i, got.Bar(i))
				}
			}
			rep, err := s.Verify(ctx, VerifyOptions{})
			if err != nil || len(rep.Damaged) != 1 {
				t.Fatalf("verify: %+v, %v", rep, err)
			}
			check(rep.Damaged[0])
			if rep, err = s.Verify(ctx, VerifyOptions{Repair: true}); err != nil || rep.Repaired != 1 {
				t.Fatalf("repair: %+v, %v", rep, err)
			}
			cov, err := s.Coverage(ctx, minute, series.Span{})
			if err != nil || cov.States[series.StateQuarantined] != blockSlots || cov.States[series.StateObserved] != 4*blockSlots {
				t.Fatalf("coverage: %+v, %v", cov.States, err)
			}
			sc, err := s.Gaps(ctx, minute, series.Span{})
			if err != nil || len(sc.Gaps) != 1 || sc.Gaps[0].State != series.StateQuarantined || sc.Missing != 0 {
				t.Fatalf("gaps: %+v, %v", sc, err)
			}
			// Writing the bars again, as healing does, mends it.
			if _, err := s.Write(ctx, minute, flat(2*blockSlots, blockSlots), WriteOptions{}); err != nil {
				t.Fatal(err)
			}
			if rep, err = s.Verify(ctx, VerifyOptions{}); err != nil || !rep.OK() || rep.Bars != 5*blockSlots {
				t.Fatalf("after mending: %+v, %v", rep, err)
			}
		})
	}
}

// TestDamagedTail damages the newest block, whose summary is in the ledger.
func TestDamagedTail(t *testing.T) {
	ctx := context.Background()
	s := memStore(t)
	if _, err := s.Write(ctx, minute, flat(0, 2*blockSlots+700), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	overwrite(t, s, numberKey(spaceBlock, 1, 2), func(b []byte) []byte { b[60] ^= 1; return b })
	rep, err := s.Verify(ctx, VerifyOptions{Repair: true})
	if err != nil || rep.Repaired != 1 {
		t.Fatalf("%+v, %v", rep, err)
	}
	last, ok, err := s.Latest(minute)
	if err != nil || !ok || last.Time != series.Time(2*blockSlots-1)*series.Minute || last.Close != 2*blockSlots-1 {
		t.Fatalf("latest: %+v, %v, %v", last, ok, err)
	}
	for range 2 { // the second time nothing changes
		res, err := s.Write(ctx, minute, flat(2*blockSlots, 700), WriteOptions{})
		if err != nil || res.Written+res.Unchanged != 700 {
			t.Fatalf("%+v, %v", res, err)
		}
		if rep, err = s.Verify(ctx, VerifyOptions{}); err != nil || !rep.OK() || rep.Bars != 2*blockSlots+700 || rep.Blocks != 3 {
			t.Fatalf("%+v, %v", rep, err)
		}
	}
}

// TestDamagedRows damages a group of rows that waits to be folded.
func TestDamagedRows(t *testing.T) {
	ctx := context.Background()
	s := memStore(t)
	for i := range 3 {
		if err := s.Append(ctx, minute, flat(series.Slot(i), 1).Bar(0), WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := s.eng.Cursor([]byte{spaceRows}, []byte{spaceRows + 1})
	if err != nil {
		t.Fatal(err)
	}
	if !c.First() {
		t.Fatal("no rows")
	}
	key := slices.Clone(c.Key())
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	overwrite(t, s, key, func(b []byte) []byte { b[20] ^= 1; return b })
	var got series.Columns
	if err := s.Read(ctx, minute, series.Span{}, ReadOptions{}, &got); !errors.Is(err, series.ErrCorrupt) {
		t.Fatalf("error is %v", err)
	}
}

// TestDamagedSummaries damages the pages and the ledger.
func TestDamagedSummaries(t *testing.T) {
	ctx := context.Background()
	s := memStore(t)
	if _, err := s.Write(ctx, minute, flat(0, 3*blockSlots), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	page := numberKey(spaceCoverage, 1, 0)
	var whole []byte
	overwrite(t, s, page, func(b []byte) []byte { whole = slices.Clone(b); return append(b, 77, 1) })
	if _, err := s.Gaps(ctx, minute, series.Span{}); !errors.Is(err, series.ErrCorrupt) {
		t.Fatalf("gaps: %v", err)
	}
	if rep, err := s.Verify(ctx, VerifyOptions{}); err != nil || rep.OK() || !strings.Contains(rep.Problems[0], "damaged") {
		t.Fatalf("verify: %+v, %v", rep, err)
	}
	overwrite(t, s, page, func([]byte) []byte { return whole })
	overwrite(t, s, numberKey(spaceStats, 1, 0), func(b []byte) []byte { b[len(b)-3] ^= 1; return b })
	if rep, err := s.Verify(ctx, VerifyOptions{}); err != nil || len(rep.Damaged) != 1 {
		t.Fatalf("verify: %+v, %v", rep, err)
	}
}
