package storage_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// model is a store in the simplest form that can be right: a map.
type model struct {
	grid series.Grid
	bars map[series.Slot]series.Bar
	// aside are the slots of bars that went to quarantine.
	aside map[series.Slot]bool
}

func (m *model) clone() *model { return &model{m.grid, maps.Clone(m.bars), maps.Clone(m.aside)} }

func bits(b series.Bar) [7]uint64 {
	out := [7]uint64{}
	for i, f := range [...]float64{b.Open, b.High, b.Low, b.Close, b.Volume, b.QuoteVolume, b.Trades} {
		out[i] = math.Float64bits(f)
		if i >= 5 && f != f {
			out[i] = 1 // absent
		}
	}
	return out
}

// put applies one bar as the documentation of Conflict says.
func (m *model) put(b series.Bar, oc storage.Conflict) {
	slot := m.grid.SlotAt(b.Time)
	have, ok := m.bars[slot]
	if ok {
		r, h := b.Prov.Rank(), have.Prov.Rank()
		switch same := bits(b) == bits(have); {
		case r == h && !same && oc == storage.Quarantine:
			m.aside[slot] = true
			return
		case r < h, same && r == h, r == h && oc != storage.Replace:
			return
		}
	}
	m.bars[slot] = b
}

func (m *model) slots() []series.Slot { return slices.Sorted(maps.Keys(m.bars)) }

// runs gathers the slots of run for which in is true.
func runs(run series.Run, in func(series.Slot) bool) []series.Run {
	var out []series.Run
	for n := run.From; n < run.To; n++ {
		if in(n) {
			out = series.Join(out, series.Run{From: n, To: n + 1})
		}
	}
	return out
}

// checkAgainst compares everything that can be asked of a series with the
// model, slot by slot.
func checkAgainst(ctx context.Context, t *testing.T, s interface {
	Read(context.Context, series.Key, series.Span, storage.ReadOptions, *series.Columns) error
	Gaps(context.Context, series.Key, series.Span) (storage.Scan, error)
	Coverage(context.Context, series.Key, series.Span) (storage.Coverage, error)
}, key series.Key, m *model, r *rand.Rand,
) {
	t.Helper()
	slots := m.slots()
	span := series.Span{}
	run := series.Run{}
	if len(slots) > 0 {
		run = series.Run{From: slots[0], To: slots[len(slots)-1] + 1}
	}
	if r.IntN(2) == 0 && len(slots) > 0 {
		a := slots[0] + series.Slot(r.Int64N(run.Len()+40)) - 20
		b := a + series.Slot(r.Int64N(3000))
		run = series.Run{From: a, To: b + 1}
		span = m.grid.Span(run)
	}
	var got series.Columns
	if err := s.Read(ctx, key, span, storage.ReadOptions{}, &got); err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(slices.Clone(slots), func(n series.Slot) bool { return !run.Contains(n) })
	if got.Len() != len(want) {
		t.Fatalf("read %d bars of %v, want %d", got.Len(), run, len(want))
	}
	for i, n := range want {
		b, w := got.Bar(i), m.bars[n]
		if b.Time != m.grid.Time(n) || bits(b) != bits(w) || b.Prov.Rank() != w.Prov.Rank() {
			t.Fatalf("slot %d: got %+v, want %+v", n, b, w)
		}
	}
	has := func(n series.Slot) bool { _, ok := m.bars[n]; return ok }
	sc, err := s.Gaps(ctx, key, span)
	if err != nil {
		t.Fatal(err)
	}
	absent := runs(run, func(n series.Slot) bool { return !has(n) && !m.aside[n] })
	if sc.Present != int64(len(want)) || sc.Missing != series.Total(absent) || sc.Expected != run.Len() {
		t.Fatalf("scan of %v: %d present, %d missing, %d expected; want %d, %d, %d", run, sc.Present, sc.Missing, sc.Expected, len(want), series.Total(absent), run.Len())
	}
	for _, g := range sc.Gaps {
		if g.State == series.StateMissing {
			if len(absent) == 0 || g.Run != absent[0] {
				t.Fatalf("gap is %v, want %v", g, absent)
			}
			absent = absent[1:]
			continue
		}
		for n := g.From; n < g.To; n++ {
			if g.State != series.StateQuarantined || has(n) || !m.aside[n] {
				t.Fatalf("slot %d is %v", n, g.State)
			}
		}
	}
	if len(absent) > 0 {
		t.Fatalf("gaps left out: %v", absent)
	}
	cov, err := s.Coverage(ctx, key, span)
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	at := run.From
	for _, g := range cov.Runs {
		if g.From != at {
			t.Fatalf("coverage leaves %v to %v out", at, g.From)
		}
		at = g.To
		sum += g.Len()
		for n := g.From; n < g.To; n++ {
			b, ok := m.bars[n]
			want := series.StateMissing
			switch {
			case ok && b.Prov.Kind() == series.Corrected:
				want = series.StateCorrected
			case ok:
				want = series.StateObserved
			case m.aside[n]:
				want = series.StateQuarantined
			}
			if g.State != want {
				t.Fatalf("slot %d is %v, want %v", n, g.State, want)
			}
		}
	}
	if sum != run.Len() {
		t.Fatalf("coverage counts %d of %d slots", sum, run.Len())
	}
}

// TestModel does random things to a store and to the model, and compares.
func TestModel(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, uint64(seed), 70) })
	}
}

func runModel(t *testing.T, seed uint64, steps int) {
	ctx := context.Background()
	r := rand.New(rand.NewPCG(seed, 7))
	keys := []series.Key{{Symbol: "A", Interval: series.Interval1m}, {Symbol: "A", Interval: series.Interval1d}, {Symbol: "B", Interval: series.Interval1M}}
	key := keys[min(seed%7, 2)]
	m := &model{grid: series.Grid{Interval: key.Interval}, bars: map[series.Slot]series.Bar{}, aside: map[series.Slot]bool{}}
	fs := vfs.NewMem()
	// The clock stands at the end of time, so that no slot is in the future.
	open := func() *storage.Store {
		s, err := storage.Open("store", storage.Options{FS: fs, Now: func() series.Time { return series.MaxTime }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	defer func() { _ = s.Close() }()
	base := m.grid.SlotAt(t0)
	if key.Interval > series.Interval1m {
		base = -20000 // before the epoch
		if key.Interval == series.Interval1M {
			base = -900
		}
	}
	reach := []int64{3000, 60000, 100000}[r.IntN(3)]
	if key.Interval == series.Interval1M {
		reach = 1500
	}
	bar := func(n series.Slot) series.Bar {
		b := series.Bar{Time: m.grid.Time(n), Open: float64(r.IntN(10)), High: 12, Low: 1, Close: float64(r.IntN(1000)) / 100, Volume: float64(r.IntN(3)), QuoteVolume: math.NaN(), Trades: math.NaN()}
		if r.IntN(4) == 0 {
			b.QuoteVolume = r.Float64()
		}
		if r.IntN(6) == 0 {
			b.Trades = float64(r.IntN(9))
		}
		if r.IntN(8) == 0 {
			b.Prov = series.NewProv(series.Corrected, 0)
		}
		if r.IntN(50) == 0 {
			b.Close = math.Float64frombits(r.Uint64())
		}
		return b
	}
	type shot struct {
		snap *storage.Snapshot
		m    *model
	}
	var shots []shot
	for step := range steps {
		what := r.IntN(12)
		switch {
		case what < 5: // a stretch of bars, dense or sparse, in some order
			n := 1 + r.IntN([]int{1, 10, 200, 4000}[r.IntN(4)])
			from := base + series.Slot(r.Int64N(reach))
			if r.IntN(2) == 0 && len(m.bars) > 0 {
				from = slices.Max(m.slots()) - 3 + series.Slot(r.IntN(6))
			}
			var c series.Columns
			oc := storage.Conflict(r.IntN(3))
			seen := map[series.Slot]bool{}
			for i := range n {
				slot := from + series.Slot(i)
				if r.IntN(10) == 0 {
					slot = from + series.Slot(r.Int64N(5000))
				}
				if seen[slot] || key.Interval != series.Interval1m && slot > m.grid.SlotAt(t0) {
					continue
				}
				seen[slot] = true
				c.Append(bar(slot))
			}
			o := storage.WriteOptions{Source: "model", OnConflict: oc, Relaxed: r.IntN(4) == 0}
			res, err := s.Write(ctx, key, &c, o)
			if err != nil {
				t.Fatal(err)
			}
			if res.Read != res.Written+res.Unchanged+res.Conflicts+len(res.Refused) {
				t.Fatalf("step %d: counts do not add up: %+v", step, res)
			}
			for i := range c.Time {
				m.put(c.Bar(i), oc)
			}
		case what < 7: // append
			from := base
			if len(m.bars) > 0 {
				from = slices.Max(m.slots())
			}
			o := storage.WriteOptions{Source: "model", Relaxed: r.IntN(2) == 0}
			for range r.IntN(130) {
				from += series.Slot(1 + r.IntN(2)*r.IntN(40))
				if key.Interval != series.Interval1m && from > m.grid.SlotAt(t0) {
					break
				}
				b := bar(from)
				if err := s.Append(ctx, key, b, o); err != nil {
					t.Fatal(err)
				}
				m.put(b, storage.Replace)
			}
		case what < 9: // delete
			if len(m.bars) == 0 {
				continue
			}
			a := base + series.Slot(r.Int64N(reach))
			run := series.Run{From: a, To: a + 1 + series.Slot(r.Int64N([]int64{3, 500, 20000}[r.IntN(3)]))}
			n, err := s.Delete(ctx, key, m.grid.Span(run))
			if err != nil {
				t.Fatal(err)
			}
			before := len(m.bars)
			maps.DeleteFunc(m.bars, func(n series.Slot, _ series.Bar) bool { return run.Contains(n) })
			if int(n) != before-len(m.bars) {
				t.Fatalf("deleted %d, want %d", n, before-len(m.bars))
			}
		case what == 9:
			if err := s.Compact(ctx); err != nil {
				t.Fatal(err)
			}
		case what == 10:
			for _, x := range shots {
				checkAgainst(ctx, t, x.snap, key, x.m, r)
				if err := x.snap.Close(); err != nil {
					t.Fatal(err)
				}
			}
			shots = shots[:0]
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open()
		case what == 11:
			if _, err := s.Info(key); err != nil {
				continue // no such series yet
			}
			snap, err := s.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			shots = append(shots, shot{snap, m.clone()})
		}
		if _, err := s.Info(key); err != nil {
			continue
		}
		checkAgainst(ctx, t, s, key, m, r)
		checkTotals(t, s, key, m)
	}
	for _, x := range shots {
		checkAgainst(ctx, t, x.snap, key, x.m, r)
		_ = x.snap.Close()
	}
	rep, err := s.Verify(ctx, storage.VerifyOptions{})
	if err != nil || !rep.OK() || rep.Bars != int64(len(m.bars)) {
		t.Fatalf("verify: %+v, %v; want %d bars", rep, err, len(m.bars))
	}
}

func checkTotals(t *testing.T, s *storage.Store, key series.Key, m *model) {
	t.Helper()
	info, err := s.Info(key)
	if err != nil {
		t.Fatal(err)
	}
	slots := m.slots()
	if info.Bars != int64(len(slots)) {
		t.Fatalf("info counts %d bars, want %d", info.Bars, len(slots))
	}
	last, ok, err := s.Latest(key)
	if err != nil || ok != (len(slots) > 0) {
		t.Fatal(ok, err)
	}
	if !ok {
		return
	}
	lo, hi := slots[0], slots[len(slots)-1]
	if info.First != m.grid.Time(lo) || info.Last != m.grid.Time(hi) {
		t.Fatalf("info says %v to %v, want %v to %v", info.First, info.Last, m.grid.Time(lo), m.grid.Time(hi))
	}
	if last.Time != m.grid.Time(hi) || bits(last) != bits(m.bars[hi]) {
		t.Fatalf("latest is %+v, want %+v", last, m.bars[hi])
	}
}

// TestDuplicates settles bars that claim one slot within one write.
func TestDuplicates(t *testing.T) {
	for _, tc := range []struct {
		oc   storage.Conflict
		want float64
	}{{storage.Replace, 3}, {storage.Keep, 2}, {storage.Quarantine, 2}} {
		ctx := context.Background()
		s := open(t, vfs.NewMem())
		var c series.Columns
		for _, v := range []float64{2, 2, 3} {
			c.Append(series.Bar{Time: t0, Open: v, High: v, Low: v, Close: v, QuoteVolume: math.NaN(), Trades: math.NaN()})
		}
		c.Append(series.Bar{Time: t0 + 1, Open: 1, QuoteVolume: math.NaN(), Trades: math.NaN()})
		res, err := s.Write(ctx, btc, &c, storage.WriteOptions{OnConflict: tc.oc})
		if err != nil {
			t.Fatal(err)
		}
		if res.Written != 1 || res.Unchanged != 1 || res.Conflicts != 1 || len(res.Refused) != 1 {
			t.Errorf("%v: %+v", tc.oc, res)
		}
		b, _, err := s.Latest(btc)
		if err != nil || b.Close != tc.want {
			t.Errorf("%v: close is %v, want %v", tc.oc, b.Close, tc.want)
		}
		var aside []storage.Entry
		for e, err := range s.Aside(ctx, nil) {
			if err != nil {
				t.Fatal(err)
			}
			aside = append(aside, e)
		}
		if len(aside) != 1 || aside[0].Bar.Close != 5-tc.want || aside[0].Key != btc {
			t.Errorf("%v: quarantine is %+v", tc.oc, aside)
		}
	}
}

// TestOffGrid writes bars of which some open off the grid: none of those is
// stored, and the ones beside them keep their own times.
func TestOffGrid(t *testing.T) {
	ctx := context.Background()
	hour := series.Key{Symbol: "H", Interval: series.Interval1h}
	const off = 30 * series.Minute
	for _, tc := range []struct {
		name    string
		times   []series.Time
		phase   series.Time
		refused int
	}{
		{"on the grid", []series.Time{t0, t0 + series.Hour, t0 + 2*series.Hour}, 0, 0},
		{"one off at the start", []series.Time{t0 + off, t0 + series.Hour, t0 + 2*series.Hour}, 0, 1},
		{"a stretch off", []series.Time{t0, t0 + off, t0 + off + series.Hour, t0 + off + 2*series.Hour, t0 + 9*series.Hour}, 0, 3},
		{"all off alike", []series.Time{t0 + off, t0 + off + series.Hour, t0 + off + 2*series.Hour}, off, 0},
		{"off in two ways", []series.Time{t0 + off, t0 + off + series.Hour, t0 + series.Minute}, 0, 3},
		{"a single bar", []series.Time{t0 + off}, 0, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := open(t, vfs.NewMem())
			c := &series.Columns{}
			for i, at := range tc.times {
				c.Append(series.Bar{Time: at, Close: float64(i + 1), QuoteVolume: math.NaN(), Trades: math.NaN()})
			}
			res, err := s.Write(ctx, hour, c, storage.WriteOptions{})
			if err != nil || len(res.Refused) != tc.refused || res.Written != len(tc.times)-tc.refused {
				t.Fatalf("%+v, %v", res, err)
			}
			refused := map[series.Time]bool{}
			for _, x := range res.Refused {
				if x.Time != tc.times[x.Row] {
					t.Errorf("row %d is reported as %v", x.Row, x.Time)
				}
				refused[x.Time] = true
			}
			for b, err := range s.Bars(ctx, hour, series.Span{}, storage.ReadOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				i := slices.Index(tc.times, b.Time)
				if i < 0 || refused[b.Time] || b.Close != float64(i+1) {
					t.Errorf("stored %+v", b)
				}
			}
			info, err := s.Info(hour)
			if err != nil || info.Grid.Phase != tc.phase || info.Bars != int64(res.Written) {
				t.Errorf("%+v, %v", info, err)
			}
		})
	}
}
