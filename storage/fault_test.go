package storage_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// faultRow is one row of the sweep: which calls fail, and how.
type faultRow struct {
	call  ioCall
	name  string
	err   error
	short bool
	times int
}

// faultRows are all rows for calls that a run without faults makes.
func faultRows(calls map[ioCall]int) []faultRow {
	var out []faultRow
	for c := range calls {
		if !hasFatal && mayBeFatal(c) {
			continue
		}
		out = append(out, faultRow{c, "EIO", errDisk, false, 1})
		switch c.kind {
		case ioWrite:
			out = append(out, faultRow{c, "ENOSPC", errFull, false, 4}, faultRow{c, "short", errFull, true, 1})
		case ioCreate, ioSync, ioRename, ioLink, ioMkdir:
			// The disk is full for a while, and then there is room again.
			out = append(out, faultRow{c, "ENOSPC", errFull, false, 4})
		}
	}
	slices.SortFunc(out, func(a, b faultRow) int {
		return slices.Compare([]string{string(a.call.class), string(a.call.kind), a.name}, []string{string(b.call.class), string(b.call.kind), b.name})
	})
	return out
}

// mayBeFatal reports whether the engine ends the process if a call fails.
func mayBeFatal(c ioCall) bool {
	switch c.class {
	case fileLog, fileManifest, fileMarker, fileHead, fileTrail, fileDir:
		return true
	}
	return false
}

// sweepOps is a small life of a store: every kind of file is written, read,
// replaced and removed.
func sweepOps(big bool) []*simOp {
	g := newScript(1)
	btc, eth := simKeys[0], simKeys[1]
	var out []*simOp
	add := func(kind simKind, k series.Key) *simOp {
		o := &simOp{kind: kind, key: k, now: g.now, src: 1, write: storage.WriteOptions{Source: truthSources[1]}, chance: uint64(len(out))}
		out = append(out, o)
		return o
	}
	write := func(k series.Key, from series.Slot, n int, wild bool) *simOp {
		o := add(simWrite, k)
		o.bars = &series.Columns{}
		for i := range n {
			o.bars.Append(g.bar(k, from+series.Slot(i), wild))
		}
		return o
	}
	tail := g.tail[btc]
	write(btc, tail-8000, 300, false)
	write(btc, tail-7000, 5200, true) // goes in as tables
	write(eth, tail, 5, false)
	o := add(simExplain, btc)
	o.gap = series.Absence{Run: series.Run{From: tail - 9000, To: tail - 8500}, State: series.StateHalted, Note: series.Note{Reason: "halted"}}
	g.aside(add(simAside, btc))
	add(simSymbol, eth).sym = storage.Symbol{TickSize: 0.5}
	add(simDelete, btc).run = series.Run{From: tail - 5000, To: tail - 4500}
	write(btc, tail-9500, 3, false) // late
	add(simCompact, btc)
	write(btc, tail-7800, 100, false).write.OnConflict = storage.Quarantine
	add(simReopen, btc)
	add(simCheckpoint, btc)
	write(eth, tail+5, 5, false).write.Relaxed = true
	write(eth, tail+10, 1, false)
	if big {
		o := add(simWrite, simKeys[1])
		o.bars = walk(2, g.now-400*series.Day, series.Interval1m, 250000)
	}
	write(eth, tail-9000, 5200, true)
	add(simDelete, btc).run = series.Run{From: tail - 8000, To: tail - 7950}
	add(simVerify, btc)
	add(simReopen, btc)
	write(btc, tail+1, 2, false)
	add(simCoverage, btc).run = series.Run{From: tail - 5100, To: tail - 4000}
	return out
}

// sweepRun lives the small life with one fault and reports how it ended and
// whether the fault was hit.
func sweepRun(f *fault, big bool, calls map[ioCall]int) (end string, hit bool, err error) {
	ctx := context.Background()
	count := newTally()
	d := &sim{name: "sweep", truth: newTruth(), count: count, sweep: f}
	d.now.Store(int64(t0 + 20*series.Day))
	ops := sweepOps(big)
	first := &simOp{kind: simReopen, now: ops[0].now}
	err = d.mount(vfs.NewCrashableMem())
	fs := d.fs
	defer func() { hit = fs.failed() > 0 }()
	switch {
	case isHarness(err):
		return "", true, err
	case err != nil:
		count.add("errors", 1)
		if errors.Is(err, errFatal) {
			count.add("fatal", 1)
		} else if fs.failed() == 0 {
			return "", false, err
		} else {
			d.cut(first, nil)
		}
		if err := d.crash(ctx, first, d.takePoint(), true); err != nil {
			return "", true, err
		}
	}
	for i, o := range ops {
		if err := d.step(ctx, o); err != nil {
			return "", true, fmt.Errorf("operation %d (%v): %w", i, o, err)
		}
	}
	for _, percent := range []int{0, 100} {
		last := &simOp{kind: simVerify, now: ops[0].now, percent: percent, chance: 9}
		d.answered.Store(true)
		d.cut(last, nil)
		if err := d.crash(ctx, last, d.takePoint(), false); err != nil {
			return "", true, fmt.Errorf("at the end: %w", err)
		}
	}
	if err := d.close(); err != nil && fs.failed() == 0 {
		return "", true, err
	}
	for c, n := range fs.count {
		if calls != nil {
			calls[c] += n
		}
	}
	switch {
	case count.get("fatal") > 0:
		end = "fatal"
	case count.get("errors") > 0:
		end = "errors"
	default:
		end = "none the wiser"
	}
	return end, true, nil
}

// TestTortureFaults lets the n-th call of every kind on every class of files
// fail, for n from 1 on. A run must end with an error, with a stop of the
// engine, or as if nothing had been; what was acknowledged must be there after
// the next opening, and nothing may hang. Where a disk is full, it is for a few
// calls.
func TestTortureFaults(t *testing.T) {
	calls := map[ioCall]int{}
	if _, _, err := sweepRun(nil, false, calls); err != nil {
		t.Fatal("without a fault:", err)
	}
	count := newTally("cycles", "rows", "errors", "fatal", "none the wiser", "lost")
	limit := 20
	if testing.Short() {
		limit = 3
	}
	rows := faultRows(calls)
	count.add("rows", len(rows))
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 2 {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(rows); i = next.Add(1) - 1 {
				sweepRow(t, rows[i], limit, count)
			}
		})
	}
	wg.Wait()
	t.Log(count)
}

func sweepRow(t *testing.T, row faultRow, limit int, count *tally) {
	for n := 1; *long || n <= limit; n++ {
		f := &fault{match: row.call, nth: n, times: row.times, err: row.err, short: row.short}
		if testing.Verbose() { // who was it, if the engine ends the process
			fmt.Println(f)
		}
		end, hit, err := sweepRun(f, n == 7 && row.call.kind == ioWrite, nil)
		count.add("cycles", 1)
		if err != nil {
			if errors.Is(err, errLost) {
				count.add("lost", 1)
			}
			t.Errorf("%v: %v", f, err)
			return
		}
		count.add(end, 1)
		if !hit {
			return
		}
	}
}
