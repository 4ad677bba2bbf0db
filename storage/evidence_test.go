package storage_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// TestExplainMany explains random runs, many at a time and overlapping, and
// compares every slot with a map of slots.
func TestExplainMany(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	s := open(t, fs)
	r := rand.New(rand.NewPCG(1, 2))
	base := series.Grid{Interval: btc.Interval}.SlotAt(t0)
	const slots = 3000
	if _, err := s.Write(ctx, btc, walk(1, t0-series.Minute, btc.Interval, 1), storage.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	type reason struct {
		state series.State
		note  series.Note
	}
	want := make([]reason, slots)
	for i := range want {
		want[i].state = series.StateMissing
	}
	states := []series.State{series.StateNoTrade, series.StateOutage, series.StateUnavailable, series.StateMissing, series.StateSynthetic}
	for round := range 200 {
		var gaps []series.Absence
		for range 1 + r.IntN(8) {
			from := r.IntN(slots)
			to := min(slots, from+1+r.IntN(200))
			x := reason{state: states[r.IntN(len(states))]}
			if n := r.IntN(5); n > 0 || x.state == series.StateSynthetic {
				x.note = series.Note{Reason: string(rune('a' + n)), Attempts: int32(r.IntN(3)), Next: series.Time(r.IntN(2)) * t0}
			}
			if x.state == series.StateSynthetic {
				x.note.Fill = "prev"
			}
			for i := from; i < to; i++ {
				want[i] = x
			}
			gaps = append(gaps, series.Absence{Run: series.Run{From: base + series.Slot(from), To: base + series.Slot(to)}, State: x.state, Note: x.note})
		}
		if err := s.Explain(ctx, btc, gaps); err != nil {
			t.Fatal(err)
		}
		lo := r.IntN(slots)
		hi := lo + r.IntN(slots-lo) + 1
		grid := series.Grid{Interval: btc.Interval}
		scan, err := s.Gaps(ctx, btc, grid.Span(series.Run{From: base + series.Slot(lo), To: base + series.Slot(hi)}))
		if err != nil {
			t.Fatal(err)
		}
		at := lo
		for _, g := range scan.Gaps {
			for slot := g.From; slot < g.To; slot++ {
				i := int(slot - base)
				if got := (reason{g.State, scan.Note(g)}); i != at || got != want[i] {
					t.Fatalf("round %d: slot %d is %v, want %d as %v", round, i, got, at, want[at])
				}
				at++
			}
		}
		if at != hi {
			t.Fatalf("round %d: the gaps end at %d, want %d", round, at, hi)
		}
	}
	rep, err := s.Verify(ctx, storage.VerifyOptions{})
	if err != nil || !rep.OK() {
		t.Errorf("verify: %+v, %v", rep, err)
	}
	for _, g := range []series.Absence{
		{Run: series.Run{From: 5, To: 5}, State: series.StateNoTrade},
		{Run: series.Run{From: 5, To: 6}, State: series.StateObserved},
		{Run: series.Run{From: 5, To: 6}, State: series.StateSynthetic},
		{Run: series.Run{From: 5, To: 6}, State: series.StateNoTrade, Note: series.Note{Fill: "prev"}},
		{Run: series.Run{From: 5, To: 6}, State: series.StateNoTrade, Note: series.Note{Attempts: -1}},
	} {
		if err := s.Explain(ctx, btc, []series.Absence{g}); err == nil {
			t.Errorf("%v is taken", g)
		}
	}
}
