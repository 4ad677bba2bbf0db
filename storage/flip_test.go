package storage_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// TestFlippedTables flips one bit of a table file at a time and checks that
// every bar which is still served is right, that what is not served is
// reported, and that nothing but the damaged stretch is gone.
func TestFlippedTables(t *testing.T) {
	ctx := context.Background()
	src := vfs.NewMem()
	s := open(t, src)
	c := walk(9, t0, btc.Interval, 40*1440)
	if _, err := s.Write(ctx, btc, c, storage.WriteOptions{Source: "x"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := src.List("store/db")
	if err != nil {
		t.Fatal(err)
	}
	var tables []string
	var sizes []int64
	for _, n := range names {
		if strings.HasSuffix(n, ".sst") {
			i, err := src.Stat("store/db/" + n)
			if err != nil {
				t.Fatal(err)
			}
			tables, sizes = append(tables, "store/db/"+n), append(sizes, i.Size())
		}
	}
	if len(tables) == 0 {
		t.Fatal("the store has no tables")
	}
	flips := 120
	if testing.Short() {
		flips = 20
	}
	r := rand.New(rand.NewPCG(1, 2))
	noticed := 0
	for i := range flips {
		fs := vfs.NewMem()
		if ok, err := vfs.Clone(src, fs, "store", "store"); err != nil || !ok {
			t.Fatal(ok, err)
		}
		k := i % len(tables)
		flipBit(t, fs, tables[k], r.Int64N(sizes[k]*8))
		if checkFlipped(t, fs, c) {
			noticed++
		}
	}
	if noticed == 0 {
		t.Fatal("no flip was noticed")
	}
}

func flipBit(t *testing.T, fs vfs.FS, name string, bit int64) {
	t.Helper()
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], bit/8); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << (bit % 8)
	if _, err := f.WriteAt(b[:], bit/8); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// checkFlipped reports whether the damage was noticed, and fails if a wrong bar
// is served or one is missing without a word.
func checkFlipped(t *testing.T, fs vfs.FS, c *series.Columns) bool {
	t.Helper()
	ctx := context.Background()
	s, err := storage.Open("store", storage.Options{FS: fs})
	if err != nil {
		return true // noticed at once
	}
	defer s.Close()
	damaged := map[series.Time]bool{}
	all := false
	o := storage.ReadOptions{OnDamage: func(e *storage.CorruptError) {
		for at := e.Span.From; at < e.Span.To; at += series.Minute {
			damaged[at] = true
		}
	}}
	var got series.Columns
	if err := s.Read(ctx, btc, series.Span{}, o, &got); err != nil {
		if !errors.Is(err, series.ErrCorrupt) {
			t.Fatalf("error does not say that data is damaged: %v", err)
		}
		all = true
		got.Reset()
	}
	have := map[series.Time]series.Bar{}
	for i := range got.Time {
		have[got.Time[i]] = got.Bar(i)
	}
	for i := range c.Time {
		b, ok := have[c.Time[i]]
		if !ok && !all && !damaged[c.Time[i]] {
			t.Fatalf("bar %v is gone and nobody said so", c.Time[i])
		}
		if ok && bits(b) != bits(c.Bar(i)) {
			t.Fatalf("bar %v is %+v, was %+v", c.Time[i], b, c.Bar(i))
		}
	}
	ds, err := s.Damages()
	if err != nil {
		t.Fatal(err)
	}
	// A single bit is put back before anybody misses it.
	return all || len(damaged) > 0 || len(ds) > 0 || s.Stats().Engine.CorruptFiles > 0
}
