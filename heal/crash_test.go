package heal_test

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/heal/healstore"
	"github.com/barkeepdb/barkeep/heal/healtest"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

var kills = flag.Int("kills", 60, "at how many points a repair is killed")

// TestKilled kills a repair at many points: after it the store is whole, the
// repair goes on by itself, and bars, evidence and journal agree: what the
// journal says of the repair, taken back, leaves the store as it was before.
func TestKilled(t *testing.T) {
	ctx := context.Background()
	for n := 0; n < *kills; {
		seed := uint64(n)
		r := rand.New(rand.NewPCG(seed, 5))
		fs := vfs.NewCrashableMem()
		clk := &clock{now: t0 + 30*series.Day}
		s, err := storage.Open("store", storage.Options{FS: fs, Now: clk.time})
		if err != nil {
			t.Fatal(err)
		}
		truth := history(r, 1500, 0.9)
		left := damage(r, truth, 10)
		if _, err := s.Write(ctx, btc, left, storage.WriteOptions{Source: "venue"}); err != nil {
			t.Fatal(err)
		}
		v := &venue{truth: map[series.Key]*series.Columns{btc: truth}, names: []string{"venue"}, page: 60}
		var clones []*vfs.MemFS
		v.end = func() {
			if len(clones) < 12 && r.IntN(3) == 0 {
				clones = append(clones, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r}))
			}
		}
		pol := heal.Policy{Strategy: heal.SourcesFirst, MaxShare: -1}
		begin := func(s *storage.Store) *heal.Healer {
			t.Helper()
			h, err := heal.New(heal.Options{Store: healstore.New(s), Source: v, Policy: pol, Now: clk.time})
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		h := begin(s)
		x, err := h.Start(ctx, heal.Request{Symbol: btc.Symbol, To: truth.Time[truth.Len()-1] + series.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Work(ctx); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		v.end = nil
		for _, fs := range clones {
			n++
			s, err := storage.Open("store", storage.Options{FS: fs, Now: clk.time})
			if err != nil {
				t.Fatal(err)
			}
			if found := s.FoundNow(); len(found) > 0 {
				t.Fatalf("seed %d: a crash is taken for damage: %v", seed, found)
			}
			h := begin(s)
			if err := h.Work(ctx); err != nil {
				t.Fatal(err)
			}
			y, err := h.Repair(ctx, x.ID)
			if err != nil || y.Status != heal.Done {
				t.Fatalf("seed %d: the repair is %s: %v", seed, y.Status, err)
			}
			var got series.Columns
			if err := s.Read(ctx, btc, series.Span{}, storage.ReadOptions{}, &got); err != nil {
				t.Fatal(err)
			}
			if err := same(&got, truth); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if _, err := h.Undo(ctx, x.ID, "test"); err != nil {
				t.Fatal(err)
			}
			got.Reset()
			if err := s.Read(ctx, btc, series.Span{}, storage.ReadOptions{}, &got); err != nil {
				t.Fatal(err)
			}
			if err := same(&got, left); err != nil {
				t.Fatalf("seed %d: taken back: %v", seed, err)
			}
			if c, err := s.Coverage(ctx, btc, series.Span{}); err != nil || c.States[series.StateObserved]+c.States[series.StateMissing] != c.Run.Len() {
				t.Fatalf("seed %d: taken back: %v, %v", seed, c.States, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestKilledCorrecting kills a repair of wrong values at many points: it goes on
// by itself and ends with the truth, and taken back leaves what was there.
func TestKilledCorrecting(t *testing.T) {
	ctx := context.Background()
	for n, seed := 0, uint64(0); n < *kills/2; seed++ {
		r := rand.New(rand.NewPCG(seed, 19))
		fs := vfs.NewCrashableMem()
		clk := &clock{now: t0 + 30*series.Day}
		s, err := storage.Open("store", storage.Options{FS: fs, Now: clk.time})
		if err != nil {
			t.Fatal(err)
		}
		truth := history(r, 3000, 1)
		bad := truth
		places := map[string]int{"a bar at half of the price": 1, "a bar a hundred times too high": 2, "high and low exchanged": 4}
		for _, f := range healtest.Faults() {
			if n := places[f.Name]; n > 0 {
				bad, _ = healtest.Apply(r, bad, f, n)
			}
		}
		bad = healtest.Clone(bad)
		multiply(bad, 0, 150, 0.01, 1)
		multiply(bad, 2700, 2900, 100, 1)
		if _, err := s.Write(ctx, btc, bad, storage.WriteOptions{Source: "venue"}); err != nil {
			t.Fatal(err)
		}
		v := &venue{truth: map[series.Key]*series.Columns{btc: truth}, names: []string{"a", "b"}, page: 60}
		var clones []*vfs.MemFS
		v.end = func() {
			if len(clones) < 8 && r.IntN(4) == 0 {
				clones = append(clones, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r}))
			}
		}
		begin := func(s *storage.Store) *heal.Healer {
			t.Helper()
			h, err := heal.New(heal.Options{Store: healstore.New(s), Source: v, Policy: heal.Policy{MaxShare: -1}, Now: clk.time})
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		h := begin(s)
		x, err := h.Start(ctx, heal.Request{Symbol: btc.Symbol, Type: heal.Corruption})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(h.Work(ctx), s.Close()); err != nil {
			t.Fatal(err)
		}
		v.end = nil
		for _, fs := range clones {
			n++
			s, err := storage.Open("store", storage.Options{FS: fs, Now: clk.time})
			if err != nil {
				t.Fatal(err)
			}
			h := begin(s)
			if err := h.Work(ctx); err != nil {
				t.Fatal(err)
			}
			var got series.Columns
			read := func() {
				t.Helper()
				got.Reset()
				if err := s.Read(ctx, btc, series.Span{}, storage.ReadOptions{}, &got); err != nil {
					t.Fatal(err)
				}
			}
			if y, err := h.Repair(ctx, x.ID); err != nil || y.Status != heal.Done {
				t.Fatalf("seed %d: the repair is %s: %v", seed, y.Status, err)
			}
			if read(); same(&got, truth) != nil {
				t.Fatalf("seed %d: %v", seed, same(&got, truth))
			}
			if _, err := h.Undo(ctx, x.ID, "test"); err != nil {
				t.Fatal(err)
			}
			if read(); same(&got, bad) != nil {
				t.Fatalf("seed %d: taken back: %v", seed, same(&got, bad))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
