package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
)

// logical is what a rebuilt database must hold of a dump: no summary pages, and
// no rows that are folded.
func logical(all map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range all {
		switch k[0] {
		case spaceCoverage, spaceStats:
			continue
		case spaceRows:
			b := all[string(spaceBlock)+k[1:13]]
			if b != "" && binary.BigEndian.Uint64([]byte(k[13:])) <= binary.LittleEndian.Uint64([]byte(b)) {
				continue
			}
		}
		out[k] = v
	}
	return out
}

// heldStore lives with a cleaner that holds, so that obsolete files are there
// as well. Some of them hold what was deleted or replaced.
func heldStore(t testing.TB, seed uint64, rounds int) vfs.FS {
	t.Helper()
	ctx := context.Background()
	fs := vfs.NewMem()
	for range 2 {
		s, err := Open("store", Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		p := s.eng.(*pebbleEngine)
		if err := p.cleaner.hold(fs, "store/held"); err != nil {
			t.Fatal(err)
		}
		busy(t, s, seed, rounds)
		for i := range 5 {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			from := series.Slot(r.IntN(5000))
			if err := s.Explain(ctx, minute, []series.Absence{{Run: series.Run{From: from, To: from + 900}, State: series.StateClosed, Note: series.Note{Reason: "x"}}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.db.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := p.db.Compact(ctx, []byte{0}, []byte{255}, false); err != nil {
			t.Fatal(err)
		}
		busy(t, s, seed+1000, rounds/2)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return fs
}

func loseManifests(t testing.TB, fs vfs.FS, dirs ...string) {
	t.Helper()
	for _, d := range dirs {
		for _, n := range namesIn(t, fs, d, "") {
			if strings.HasPrefix(n, "MANIFEST") || strings.HasPrefix(n, "marker") {
				if err := fs.Remove(d + "/" + n); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestRebuild(t *testing.T) {
	for seed := range uint64(3) {
		fs := heldStore(t, 50+seed, 40)
		want := logical(dumpOf(t, fs))
		held := namesIn(t, fs, "store/held", ".sst")
		for _, manifests := range []bool{true, false} {
			if !manifests {
				loseManifests(t, fs, "store/db", "store/held")
				if st := mustPreflight(t, fs); st.kind != preflightLost {
					t.Fatalf("%+v", st)
				}
			}
			var last, total int64
			rep, err := rebuildDB(fs, []string{"store/db", "store/held"}, "store/new", func(d, n int64) { last, total = d, n })
			if err != nil || len(rep.damagedFiles)+len(rep.damaged)+len(rep.unreadable) > 0 || rep.unclear > 0 || last != total {
				t.Fatalf("%+v, %v, %d of %d", rep, err, last, total)
			}
			if len(held) == 0 || rep.stale == 0 {
				t.Fatalf("the test has nothing to choose from: %d held, %d stale", len(held), rep.stale)
			}
			out := vfs.NewMem()
			if ok, err := vfs.Clone(fs, out, "store/new", "store/db"); err != nil || !ok {
				t.Fatal(ok, err)
			}
			if st := mustPreflight(t, out); st.kind != preflightGood {
				t.Fatalf("%+v", st)
			}
			p := rawOpen(t, out)
			got := dump(t, p)
			checkLevels(t, p)
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			same(t, got, want)
		}
	}
}

// TestRebuildRepaired rebuilds a database that was repaired before.
func TestRebuildRepaired(t *testing.T) {
	fs := heldStore(t, 70, 40)
	p := rawOpen(t, fs)
	if err := p.cleaner.hold(fs, "store/held"); err != nil {
		t.Fatal(err)
	}
	want := logical(dump(t, p))
	for range 3 {
		paths, err := p.tablePaths()
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if lost, err := p.repairTable(path, "store/keep"); err != nil || len(lost) > 0 {
				t.Fatal(lost, err)
			}
		}
	}
	same(t, logical(dump(t, p)), want)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	loseManifests(t, fs, "store/db", "store/held")
	rep, err := rebuildDB(fs, []string{"store/db", "store/held"}, "store/new", nil)
	if err != nil || rep.unclear > 0 {
		t.Fatalf("%+v, %v", rep, err)
	}
	out := vfs.NewMem()
	if ok, err := vfs.Clone(fs, out, "store/new", "store/db"); err != nil || !ok {
		t.Fatal(ok, err)
	}
	same(t, dumpOf(t, out), want)
}

// TestRebuildDamaged rebuilds from files of which some are damaged, beside a
// lost MANIFEST: whatever is not what it was is reported.
func TestRebuildDamaged(t *testing.T) {
	src := busyStore(t, 80, 60)
	want := logical(dumpOf(t, src))
	loseManifests(t, src, "store/db")
	r := rand.New(rand.NewPCG(1, 80))
	for range 12 {
		fs := cloneFS(t, src)
		names := append(namesIn(t, fs, "store/db", ".sst"), namesIn(t, fs, "store/db", ".log")...)
		for range 2 {
			path := "store/db/" + names[r.IntN(len(names))]
			info, err := fs.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 40)
			for j := range b {
				b[j] = byte(r.Uint32())
			}
			if info.Size() > 100 {
				damageFile(t, fs, path, r.Int64N(info.Size()-50), b)
			}
		}
		rep, err := rebuildDB(fs, []string{"store/db"}, "store/new", nil)
		if err != nil {
			t.Fatal(err)
		}
		out := vfs.NewMem()
		if ok, err := vfs.Clone(fs, out, "store/new", "store/db"); err != nil || !ok {
			t.Fatal(ok, err)
		}
		got := dumpOf(t, out)
		logs := false
		for _, f := range rep.damagedFiles {
			logs = logs || strings.HasSuffix(f, ".log")
		}
		for k, v := range want {
			if got[k] != v && !logs && !anyHas(rep.unreadable, []byte(k)) {
				t.Fatalf("%x is not what it was, and %+v does not say so", k, rep)
			}
			if g, ok := got[k]; ok && g != v && k[0] == spaceBlock && !wholeBlock([]byte(k), []byte(g)) {
				t.Fatalf("%x is damaged", k)
			}
		}
	}
}

// TestRebuildBlocks leaves out blocks whose own checksum does not fit.
func TestRebuildBlocks(t *testing.T) {
	s, err := Open("store", Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	fs := s.opts.FS
	if _, err := s.Write(t.Context(), minute, flat(0, 3*blockSlots), WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	key := numberKey(spaceBlock, 1, 1)
	overwrite(t, s, key, func(b []byte) []byte { b[len(b)/2] ^= 1; binary.LittleEndian.PutUint64(b, 1<<20); return b })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	loseManifests(t, fs, "store/db")
	rep, err := rebuildDB(fs, []string{"store/db"}, "store/new", nil)
	if err != nil || len(rep.damaged) != 1 || !bytes.Equal(rep.damaged[0], key) {
		t.Fatalf("%+v, %v", rep, err)
	}
}
