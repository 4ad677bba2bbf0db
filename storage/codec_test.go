package storage

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage/block"
)

// randomPage makes a page of every kind of presence.
func randomPage(r *rand.Rand) *page {
	p := &page{number: r.Int64N(100) - 50}
	for b := range int64(pageBlocks) {
		if r.IntN(3) == 0 {
			continue
		}
		s := &summary{block: p.number*pageBlocks + b}
		var cols block.Columns
		share := r.Float64() * 1.2
		for i := range blockSlots {
			if r.Float64() < share {
				cols.Slot = append(cols.Slot, uint16(i))
				cols.Prov = append(cols.Prov, uint32(r.IntN(2)*r.IntN(2)*r.IntN(2)))
			}
		}
		*s = *newSummary(s.block, &cols)
		if r.IntN(4) == 0 && len(s.present) > 0 {
			s.rows = r.Uint32() >> r.IntN(32)
		}
		s.stats.version, s.stats.open, s.stats.volume = r.Uint64(), r.NormFloat64(), math.NaN()
		if len(s.present) == 0 {
			s = &summary{block: s.block, damaged: true}
		}
		p.put(s)
	}
	return p
}

func TestPageRoundTrip(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 5))
		p := randomPage(r)
		coverage, stats := p.encode()
		q, err := decodePage(p.number, coverage, stats)
		if err != nil {
			t.Fatal(err)
		}
		c2, s2 := q.encode()
		if !bytes.Equal(coverage, c2) || !bytes.Equal(stats, s2) || len(p.blocks) != len(q.blocks) {
			t.Fatalf("seed %d: page changed", seed)
		}
		for i := range p.blocks {
			a, b := *p.blocks[i], *q.blocks[i]
			if !slices.Equal(a.present, b.present) || !slices.Equal(a.marks, b.marks) || a.rows != b.rows || a.damaged != b.damaged || !a.stats.same(&b.stats) {
				t.Fatalf("seed %d: block %d changed: %+v, %+v", seed, a.block, a, b)
			}
		}
		// The form that gap scans use holds the same slots.
		var runs, want []series.Run
		rd := pageReader{runs: &runs, runsOnly: true}
		if err := rd.reset(p.number, coverage); err != nil {
			t.Fatal(err)
		}
		for rd.next() {
		}
		for _, s := range p.blocks {
			for _, x := range s.present {
				start := blockStart(s.block)
				want = series.Join(want, series.Run{From: start + series.Slot(x.from), To: start + series.Slot(x.to)})
			}
		}
		if rd.err != nil || !slices.Equal(runs, want) {
			t.Fatalf("seed %d: runs %v, want %v, %v", seed, runs, want, rd.err)
		}
	}
}

func FuzzPage(f *testing.F) {
	for seed := range uint64(5) {
		c, s := randomPage(rand.New(rand.NewPCG(seed, 5))).encode()
		f.Add(c, s)
	}
	f.Fuzz(func(t *testing.T, coverage, stats []byte) {
		p, err := decodePage(3, coverage, stats)
		if err != nil {
			return
		}
		for _, s := range p.blocks {
			if s.count() > blockSlots {
				t.Fatal("a block holds more bars than slots")
			}
			at := uint16(0)
			for _, x := range s.present {
				if x.from < at || x.to <= x.from || x.to > blockSlots {
					t.Fatalf("present %v", s.present)
				}
				at = x.to
			}
		}
	})
}

func FuzzLedger(f *testing.F) {
	l := &ledger{changes: 7, bars: 3, blocks: 1, first: 1, last: 5, tail: &summary{present: []span16{{1, 2}, {4, 6}}, marks: []mark{{span16{4, 5}, series.StateCorrected}}, rows: 2}}
	l.lastBar = flat(5, 1).Bar(0)
	f.Add(l.encode())
	g := series.Grid{Interval: series.Interval1m}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := decodeLedger(g, b)
		if err != nil {
			return
		}
		if again := l.encode(); !bytes.Equal(again, b) {
			if m, err := decodeLedger(g, again); err != nil || m.bars != l.bars {
				t.Fatal("a ledger that decodes does not encode")
			}
		}
	})
}

func FuzzRows(f *testing.F) {
	key := rowsKey(1, 2, 3)
	v := beginRows(nil, 99)
	b := flat(7, 1).Bar(0)
	v = endRows(appendRow(v, 7, &b), key)
	f.Add(v)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4 { // get past the checksum
			b = endRows(b[:len(b)-4:len(b)-4], key)
		}
		_ = eachRow(key, b, func(slot uint16, _ *series.Bar) {
			if slot >= blockSlots {
				t.Fatal("slot", slot)
			}
		})
	})
}

func FuzzJournal(f *testing.F) {
	e := journalEntry{op: opWrite, series: 4, at: 5, source: 6, added: 7, replaced: 1, runs: []series.Run{{From: -5, To: 2}, {From: 9, To: 10}}, before: []beforeBlock{{block: -3, version: 9, data: []byte("abc")}}}
	f.Add(e.encode())
	e.note = Note{Actor: "a", Cause: "c", Repair: "r", Rule: "gap", Version: 2, Evidence: "e", Until: 9}
	e.renewed, e.explained = []series.Run{{From: 3, To: 4}}, []series.Run{{From: 20, To: 22}}
	e.evidence = []series.Absence{{Run: series.Run{From: 20, To: 21}, State: series.StateOutage, Note: series.Note{Reason: "x"}}}
	e.asides, e.discards = []asidePair{{time: -60, id: 7}}, []asidePair{{60, 8, []byte("{}")}}
	f.Add(e.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeJournal(b)
		if err != nil {
			return
		}
		again, err := decodeJournal(e.encode())
		if err != nil || !reflect.DeepEqual(e, again) {
			t.Fatalf("%+v, %+v, %v", e, again, err)
		}
	})
}

// TestJournal walks the journal backwards and finds every earlier state: what
// time travel and undo will stand on.
func TestJournal(t *testing.T) {
	ctx := context.Background()
	s := memStore(t)
	r := rand.New(rand.NewPCG(1, 6))
	type state map[series.Slot]float64
	now := state{}
	states := []state{{}}
	clone := func() state {
		c := state{}
		maps.Copy(c, now)
		return c
	}
	for i := range 120 {
		from := series.Slot(r.IntN(9000))
		n := 1 + r.IntN([]int{2, 40, 3000}[r.IntN(3)])
		if r.IntN(4) == 0 {
			if _, err := s.Delete(ctx, minute, series.Span{From: series.Time(from) * series.Minute, To: series.Time(from+series.Slot(n)) * series.Minute}); err != nil && !errors.Is(err, series.ErrNoSeries) {
				t.Fatal(err)
			}
			for k := range now {
				if k >= from && k < from+series.Slot(n) {
					delete(now, k)
				}
			}
		} else {
			c := flat(from, n)
			for k := range c.Close {
				c.Close[k] = float64(i)
				now[from+series.Slot(k)] = float64(i)
			}
			if _, err := s.Write(ctx, minute, c, WriteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		states = append(states, clone())
		if i%30 == 29 {
			if err := s.Compact(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	c, err := s.eng.Cursor([]byte{spaceJournal}, []byte{spaceJournal + 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var entries []*journalEntry
	for ok := c.First(); ok; ok = c.Next() {
		v, err := c.Value()
		if err != nil {
			t.Fatal(err)
		}
		e, err := decodeJournal(slices.Clone(v))
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	var dec block.Decoder
	known := len(states) - 1
	for _, e := range slices.Backward(entries) {
		if e.op == opFold {
			continue
		}
		for _, run := range e.runs {
			for n := run.From; n < run.To; n++ {
				delete(now, n)
			}
		}
		for _, b := range e.before {
			var cols block.Columns
			if err := dec.Decode(blockCheckKey(e.series, b.block, b.version), b.data, blockSlots, block.All, &cols); err != nil {
				t.Fatal(err)
			}
			for i, slot := range cols.Slot {
				now[blockStart(b.block)+series.Slot(slot)] = cols.Close[i]
			}
		}
		// A delete of nothing leaves no entry: skip over its state.
		for known--; known > 0 && reflect.DeepEqual(states[known], states[known-1]) && !reflect.DeepEqual(states[known], now); known-- {
		}
		for known > 0 && !reflect.DeepEqual(states[known], now) && reflect.DeepEqual(states[known], states[known+1]) {
			known--
		}
		if !reflect.DeepEqual(states[known], now) {
			t.Fatalf("state %d: journal leads to %d bars, had %d", known, len(now), len(states[known]))
		}
	}
	if len(now) != 0 {
		t.Fatalf("%d bars are left at the start of the journal", len(now))
	}
}

func TestEngineCompareAndSet(t *testing.T) {
	s := memStore(t)
	set := func(expect, value string) error {
		b := s.eng.Batch()
		var e []byte
		if expect != "" {
			e = []byte(expect)
		}
		b.Expect([]byte("zz"), e)
		if err := b.Set([]byte("zz"), []byte(value)); err != nil {
			return err
		}
		return s.commit(b)
	}
	for _, x := range []struct {
		expect, value string
		err           error
	}{{"", "a", nil}, {"", "b", errStale}, {"b", "c", errStale}, {"a", "c", nil}, {"c", "d", nil}} {
		if err := set(x.expect, x.value); !errors.Is(err, x.err) {
			t.Errorf("set %q for %q: %v", x.value, x.expect, err)
		}
	}
}

func TestMigration(t *testing.T) {
	fs := vfs.NewMem()
	s, err := Open("store", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	var ran []int
	step := func(to int) migration {
		return migration{to, "test", func(engine) error { ran = append(ran, to); return nil }}
	}
	boom := errors.New("boom")
	const a, b, c = formatNow + 1, formatNow + 2, formatNow + 3
	broken := migration{b, "test", func(engine) error { return boom }}
	if err := s.migrate(c, []migration{step(a), broken, step(c)}); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if err := s.migrate(c, []migration{step(a), step(b), step(c)}); err != nil || !slices.Equal(ran, []int{a, b, c}) {
		t.Fatal(err, ran)
	}
	if err := s.migrate(c+2, []migration{step(c + 2)}); err == nil || !strings.Contains(err.Error(), "no migration") {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var newer *FormatError
	if _, err := Open("store", Options{FS: fs}); !errors.As(err, &newer) || newer.Have != c || newer.Known != formatNow {
		t.Fatalf("a newer store: %v", err)
	}
}

func TestTwoOpeners(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{Owner: "the first one"})
	if err != nil {
		t.Fatal(err)
	}
	var locked *LockedError
	if _, err := Open(dir, Options{}); !errors.As(err, &locked) || !strings.Contains(err.Error(), "the first one") {
		t.Fatalf("second opener: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir, Options{ReadOnly: true}); err != nil {
		t.Fatal("read-only:", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
