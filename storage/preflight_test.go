package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
)

// ripple returns n bars of minutes from slot on whose prices move.
func ripple(r *rand.Rand, slot series.Slot, n int) *series.Columns {
	c := &series.Columns{}
	p := 100 + r.Float64()
	for i := range n {
		p += float64(r.IntN(9)-4) / 100
		c.Append(series.Bar{Time: series.Time(slot+series.Slot(i)) * series.Minute, Open: p, High: p + 0.01, Low: p - 0.01, Close: p, Volume: float64(r.IntN(50)), QuoteVolume: math.NaN(), Trades: math.NaN()})
	}
	return c
}

// busy lives through what stores live through: loads, late and single bars,
// quarantine, evidence, folding, deletes of whole blocks and of parts.
func busy(t testing.TB, s *Store, seed uint64, rounds int) {
	t.Helper()
	ctx := context.Background()
	r := rand.New(rand.NewPCG(seed, 77))
	keys := []series.Key{minute, {Symbol: "Y", Interval: series.Interval1m}, {Symbol: "Z", Interval: series.Interval1m}}
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	at := make([]series.Slot, len(keys))
	for i := range rounds {
		k := i % len(keys)
		switch r.IntN(8) {
		case 0:
			n := 3000 + r.IntN(40000)
			_, err := s.Write(ctx, keys[k], ripple(r, at[k], n), WriteOptions{Source: "a"})
			must(err)
			at[k] += series.Slot(n)
		case 1, 2:
			for range 1 + r.IntN(60) {
				must(s.Append(ctx, keys[k], ripple(r, at[k], 1).Bar(0), WriteOptions{Source: "a"}))
				at[k]++
			}
		case 3, 4: // late, over bars that are there
			_, err := s.Write(ctx, keys[k], ripple(r, series.Slot(r.Int64N(int64(at[k])+1)), 1+r.IntN(40)), WriteOptions{Source: "b", OnConflict: Replace})
			must(err)
		case 5:
			_, err := s.Write(ctx, keys[k], ripple(r, series.Slot(r.Int64N(int64(at[k])+1)), 1+r.IntN(5)), WriteOptions{Source: "c", OnConflict: Quarantine})
			must(err)
		case 6:
			from := series.Time(r.Int64N(int64(at[k])+1)) * series.Minute
			if _, err := s.Delete(ctx, keys[k], series.Span{From: from, To: from + series.Time(r.IntN(4000))*series.Minute}); err != nil && !errors.Is(err, series.ErrNoSeries) {
				t.Fatal(err)
			}
		case 7:
			must(s.Compact(ctx))
			if r.IntN(2) == 0 {
				must(s.eng.(*pebbleEngine).db.Flush())
			}
		}
	}
}

// busyStore returns the files of a store that was closed.
func busyStore(t testing.TB, seed uint64, rounds int) vfs.FS {
	t.Helper()
	fs := vfs.NewMem()
	s, err := Open("store", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	busy(t, s, seed, rounds)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return fs
}

func cloneFS(t testing.TB, src vfs.FS) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewMem()
	if ok, err := vfs.Clone(src, fs, "store", "store"); err != nil || !ok {
		t.Fatal(ok, err)
	}
	return fs
}

func rawOpen(t testing.TB, fs vfs.FS) *pebbleEngine {
	t.Helper()
	if err := fs.MkdirAll("store/tmp", 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := openPebble(fs, "store/db", "store/tmp", false, Options{FS: fs}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// dump returns every pair that the engine has.
func dump(t testing.TB, p *pebbleEngine) map[string]string {
	t.Helper()
	it, err := p.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for ok := it.First(); ok; ok = it.Next() {
		all[string(it.Key())] = string(it.Value())
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

func dumpOf(t testing.TB, fs vfs.FS) map[string]string {
	t.Helper()
	p := rawOpen(t, cloneFS(t, fs))
	defer p.Close()
	return dump(t, p)
}

func namesIn(t testing.TB, fs vfs.FS, dir, suffix string) []string {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, suffix) })
	slices.Sort(names)
	return names
}

func contents(t testing.TB, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func setContents(t testing.TB, fs vfs.FS, path string, b []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func flip(b []byte, bit int) []byte {
	b = bytes.Clone(b)
	b[bit/8] ^= 1 << (bit % 8)
	return b
}

func mustPreflight(t testing.TB, fs vfs.FS) preflightState {
	t.Helper()
	st, err := preflight(fs, "store/db")
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestPreflightHealthy(t *testing.T) {
	fs := vfs.NewMem()
	if st := mustPreflight(t, fs); st.kind != preflightNew {
		t.Fatalf("%+v", st)
	}
	s, err := Open("store", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	if st := mustPreflight(t, fs); st.kind != preflightGood {
		t.Fatalf("just made: %+v", st)
	}
	busy(t, s, 1, 40)
	if st := mustPreflight(t, fs); st.kind != preflightGood {
		t.Fatalf("in use: %+v", st)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if st := mustPreflight(t, fs); st.kind != preflightGood {
		t.Fatalf("closed: %+v", st)
	}
}

// TestPreflightCrash cuts the power at random: what a crash leaves is good.
func TestPreflightCrash(t *testing.T) {
	for seed := range uint64(6) {
		fs := vfs.NewCrashableMem()
		s, err := Open("store", Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(seed, 5))
		for i := range 12 {
			busy(t, s, seed*100+uint64(i), 4)
			if st := mustPreflight(t, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})); st.kind != preflightGood {
				t.Fatalf("seed %d, cut %d: %+v", seed, i, st)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPreflightMarker(t *testing.T) {
	src := busyStore(t, 2, 30)
	want := dumpOf(t, src)
	for _, marker := range []string{"manifest", "format-version"} {
		fs := cloneFS(t, src)
		for _, n := range namesIn(t, fs, "store/db", "") {
			if strings.HasPrefix(n, "marker."+marker) {
				if err := fs.Remove("store/db/" + n); err != nil {
					t.Fatal(err)
				}
			}
		}
		setContents(t, fs, "store/db/marker.x", nil)
		st := mustPreflight(t, fs)
		if st.kind != preflightMarker {
			t.Fatalf("%s: %+v", marker, st)
		}
		if err := fixMarker(fs, "store/db", st); err != nil {
			t.Fatal(err)
		}
		if st := mustPreflight(t, fs); st.kind != preflightGood {
			t.Fatalf("%s after: %+v", marker, st)
		}
		same(t, dumpOf(t, fs), want)
	}
	fs := cloneFS(t, src)
	st := mustPreflight(t, fs)
	if err := fs.Remove("store/db/" + st.manifest); err != nil {
		t.Fatal(err)
	}
	if st := mustPreflight(t, fs); st.kind != preflightLost {
		t.Fatalf("without MANIFEST: %+v", st)
	}
}

func same(t testing.TB, got, want map[string]string) {
	t.Helper()
	for k, v := range want {
		if g, ok := got[k]; !ok || g != v {
			t.Fatalf("key %x: got %d bytes (%v), want %d", k, len(g), ok, len(v))
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			t.Fatalf("key %x came from nowhere", k)
		}
	}
}

// TestPreflightManifestFlips turns single bits of the MANIFEST: each is noticed,
// or means nothing; each can be put back.
func TestPreflightManifestFlips(t *testing.T) {
	src := busyStore(t, 3, 40)
	want := dumpOf(t, src)
	name := mustPreflight(t, src).manifest
	path := "store/db/" + name
	whole := contents(t, src, path)
	r := rand.New(rand.NewPCG(1, 1))
	for range 150 {
		bit := r.IntN(len(whole) * 8)
		fs := cloneFS(t, src)
		setContents(t, fs, path, flip(whole, bit))
		st := mustPreflight(t, fs)
		if st.damagedManifest == nil {
			t.Fatalf("flip of bit %d of %d is not noticed: %+v", bit, len(whole)*8, st)
		}
		if !st.damagedManifest.lossless {
			t.Fatalf("flip of bit %d cannot be mended: %+v", bit, st.damagedManifest)
		}
		if err := mendManifest(fs, "store/db", name, "store/keep"); err != nil {
			t.Fatal(err)
		}
		if st := mustPreflight(t, fs); st.kind != preflightGood {
			t.Fatalf("after mending: %+v", st)
		}
		same(t, dumpOf(t, fs), want)
		if len(namesIn(t, fs, "store/keep", "")) != 1 {
			t.Fatal("the damaged file was not kept")
		}
	}
	for range 30 { // more than a bit
		fs := cloneFS(t, src)
		b := bytes.Clone(whole)
		at := r.IntN(len(b) - 8)
		for i := range 8 {
			b[at+i] ^= byte(1 + r.IntN(255))
		}
		setContents(t, fs, path, b)
		if st := mustPreflight(t, fs); st.damagedManifest == nil && st.manifest != "" {
			t.Fatalf("damage at %d is not noticed: %+v", at, st)
		}
	}
}

func TestPreflightTables(t *testing.T) {
	fs := busyStore(t, 4, 40)
	tables := namesIn(t, fs, "store/db", ".sst")
	if len(tables) < 2 {
		t.Skip("too few tables")
	}
	if err := fs.Remove("store/db/" + tables[0]); err != nil {
		t.Fatal(err)
	}
	setContents(t, fs, "store/db/"+tables[1], contents(t, fs, "store/db/"+tables[1])[:100])
	st := mustPreflight(t, fs)
	if st.kind != preflightDamage || !slices.Equal(st.missing, tables[:1]) || !slices.Equal(st.wrongSize, tables[1:2]) {
		t.Fatalf("%+v of %v", st, tables)
	}
}

func TestPreflightOptions(t *testing.T) {
	src := busyStore(t, 5, 20)
	want := dumpOf(t, src)
	names := namesIn(t, src, "store/db", "")
	i := slices.IndexFunc(names, func(n string) bool { return strings.HasPrefix(n, "OPTIONS") })
	path := "store/db/" + names[i]
	whole := contents(t, src, path)
	r := rand.New(rand.NewPCG(1, 5))
	bad := 0
	for range 150 {
		fs := cloneFS(t, src)
		setContents(t, fs, path, flip(whole, r.IntN(len(whole)*8)))
		st := mustPreflight(t, fs)
		if st.badOptions != "" {
			bad++
		}
		if err := dropOptions(fs, "store/db", st, "store/keep"); err != nil {
			t.Fatal(err)
		}
		same(t, dumpOf(t, fs), want)
	}
	if bad == 0 {
		t.Fatal("no flip matters")
	}
}

func TestHoldCleaner(t *testing.T) {
	fs := vfs.NewMem()
	var c holdCleaner
	cl := c.cleaner()
	if fmt.Sprint(cl) != "delete" {
		t.Fatal(cl)
	}
	setContents(t, fs, "a", []byte("a"))
	if err := c.clean(fs, "a"); err != nil {
		t.Fatal(err)
	}
	if err := c.hold(fs, "held"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		setContents(t, fs, "b", []byte("b"))
		if err := c.clean(fs, "b"); err != nil {
			t.Fatal(err)
		}
	}
	if got := namesIn(t, fs, "", ""); !slices.Equal(got, []string{"held"}) {
		t.Fatal(got)
	}
	if n, err := c.keepHeld("kept/x"); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if got := namesIn(t, fs, "kept/x", ""); !slices.Equal(got, []string{"b", "b.1"}) {
		t.Fatal(got)
	}
	if err := c.hold(fs, "held"); err != nil {
		t.Fatal(err)
	}
	setContents(t, fs, "c", nil)
	if err := c.clean(fs, "c"); err != nil {
		t.Fatal(err)
	}
	if err := c.release(); err != nil {
		t.Fatal(err)
	}
	if got := namesIn(t, fs, "", ""); !slices.Equal(got, []string{"kept"}) {
		t.Fatal(got)
	}
}
