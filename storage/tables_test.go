package storage

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
)

// damageFile changes a file in place, as a disk would.
func damageFile(t testing.TB, fs vfs.FS, path string, at int64, b []byte) {
	t.Helper()
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func anyTable(t testing.TB, p *pebbleEngine, r *rand.Rand) string {
	t.Helper()
	paths, err := p.tablePaths()
	if err != nil {
		t.Fatal(err)
	}
	return paths[r.IntN(len(paths))]
}

func checkLevels(t testing.TB, p *pebbleEngine) {
	t.Helper()
	if err := p.db.CheckLevels(nil); err != nil {
		t.Fatal(err)
	}
}

// checkRepaired compares a repaired database with what it held.
func checkRepaired(t testing.TB, got, want map[string]string, lost []keyRange) (missing int) {
	t.Helper()
	for k, v := range want {
		if got[k] != v {
			missing++
			if !anyHas(lost, []byte(k)) {
				t.Fatalf("key %x is not what it was, outside of %x", k, lost)
			}
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok && !anyHas(lost, []byte(k)) {
			t.Fatalf("key %x is back, outside of %x", k, lost)
		}
	}
	return missing
}

// TestRepairTableMerge reads all tables without the database and compares.
func TestRepairTableMerge(t *testing.T) {
	for seed := range uint64(4) {
		fs := busyStore(t, 20+seed, 60)
		p := rawOpen(t, fs)
		want := dump(t, p)
		ts, err := p.tables(keyRange{})
		if err != nil {
			t.Fatal(err)
		}
		m := &tableMerge{}
		for _, x := range ts {
			if err := m.add(p, x, x.bounds); err != nil {
				t.Fatal(err)
			}
		}
		got := map[string]string{}
		if err := m.live(func(k, v []byte) error { got[string(k)] = string(v); return nil }); err != nil {
			t.Fatal(err)
		}
		m.stop()
		same(t, got, want)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// hookFS calls stat before each Stat.
type hookFS struct {
	vfs.FS
	stat func(path string)
}

func (h *hookFS) Stat(path string) (vfs.FileInfo, error) {
	h.stat(path)
	return h.FS.Stat(path)
}

// TestCheckTablesMoved looks at tables while a compaction puts them away.
func TestCheckTablesMoved(t *testing.T) {
	fs := busyStore(t, 31, 60)
	p := rawOpen(t, fs)
	defer p.Close()
	before, err := p.tablePaths()
	if err != nil {
		t.Fatal(err)
	}
	gone := func() bool {
		return slices.ContainsFunc(before, func(path string) bool {
			_, err := fs.Stat(path)
			return isNotExist(err)
		})
	}
	h := &hookFS{FS: p.fs}
	h.stat = func(string) {
		h.stat = func(string) {}
		for range 50 { // one that the engine began itself may have left nothing to do
			for _, k := range []byte{1, 254} { // what lies between has to be written anew
				if err := p.db.Set([]byte{k}, nil, nil); err != nil {
					t.Error(err)
				}
			}
			if err := errors.Join(p.db.Flush(), p.db.Compact(t.Context(), []byte{0}, []byte{255}, false)); err != nil {
				t.Error(err)
			}
			for range 20 {
				if gone() {
					return
				}
				<-time.After(10 * time.Millisecond)
			}
		}
	}
	p.fs = h
	bad, err := p.checkTables()
	if err != nil || len(bad) > 0 {
		t.Errorf("%q are called damaged, %v", bad, err)
	}
	if !gone() {
		t.Error("no table was put away: the test shows nothing")
	}
	// What is missing and needed is damaged.
	now, err := p.tablePaths()
	if err != nil {
		t.Fatal(err)
	}
	if err := fs.Remove(now[0]); err != nil {
		t.Fatal(err)
	}
	if bad, err := p.checkTables(); err != nil || !slices.Equal(bad, now[:1]) {
		t.Errorf("%q are called damaged, must be %q; %v", bad, now[:1], err)
	}
}

// TestRepairTableFlips turns single bits of tables in a running database.
func TestRepairTableFlips(t *testing.T) {
	src := busyStore(t, 30, 80)
	r := rand.New(rand.NewPCG(1, 30))
	for range 25 {
		fs := cloneFS(t, src)
		p := rawOpen(t, fs)
		path := anyTable(t, p, r)
		whole := contents(t, fs, path)
		bit := r.IntN(len(whole) * 8)
		want := dumpOf(t, src)
		damageFile(t, fs, path, int64(bit/8), []byte{whole[bit/8] ^ 1<<(bit%8)})
		lost, err := p.repairTable(path, "store/keep")
		if err != nil || len(lost) > 0 {
			t.Fatalf("%s, bit %d: %x, %v", path, bit, lost, err)
		}
		same(t, dump(t, p), want)
		checkLevels(t, p)
		paths, err := p.tablePaths()
		if err != nil || slices.Contains(paths, path) {
			t.Fatal("the damaged file is still in use", err)
		}
		if bad, err := p.checkTables(); err != nil || len(bad) > 0 {
			t.Fatal(bad, err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		same(t, dumpOf(t, fs), want)
		if got := namesIn(t, fs, "store/keep", ""); len(got) != 1 || !bytes.Equal(contents(t, fs, "store/keep/"+got[0]), flip(whole, bit)) {
			t.Fatal("the damaged file was not kept:", got)
		}
		st, err := Open("store", Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRepairTableDamage overwrites pieces of tables, of several at a time, and
// removes and cuts some.
func TestRepairTableDamage(t *testing.T) {
	src := busyStore(t, 31, 80)
	want := dumpOf(t, src)
	r := rand.New(rand.NewPCG(1, 31))
	missing := 0
	for i := range 40 {
		fs := cloneFS(t, src)
		p := rawOpen(t, fs)
		if i%4 == 3 {
			// Tables that share a file.
			if err := p.db.Excise(t.Context(), pebble.KeyRange{Start: []byte("zz"), End: []byte("zzz")}); err != nil {
				t.Fatal(err)
			}
		}
		paths, err := p.tablePaths()
		if err != nil {
			t.Fatal(err)
		}
		var hit []string
		for range 1 + r.IntN(3) {
			path := paths[r.IntN(len(paths))]
			info, err := fs.Stat(path)
			if err != nil {
				continue // removed already
			}
			hit = append(hit, path)
			switch r.IntN(8) {
			case 0:
				if err := fs.Remove(path); err != nil {
					t.Fatal(err)
				}
			case 1:
				b := contents(t, fs, path)
				if err := fs.Remove(path); err != nil {
					t.Fatal(err)
				}
				setContents(t, fs, path, b[:r.IntN(len(b))])
			default:
				for range 1 + r.IntN(3) {
					b := make([]byte, 2+r.IntN(50))
					for j := range b {
						b[j] = byte(r.Uint32())
					}
					damageFile(t, fs, path, r.Int64N(max(1, info.Size()-50)), b)
				}
			}
		}
		var lost []keyRange
		for _, path := range hit {
			l, err := p.repairTable(path, "store/keep")
			if err != nil {
				t.Fatalf("%v: %v", hit, err)
			}
			lost = append(lost, l...)
		}
		missing += checkRepaired(t, dump(t, p), want, lost)
		checkLevels(t, p)
		now, err := p.tablePaths()
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range hit {
			if slices.Contains(now, path) {
				t.Fatal(path, "is still in use")
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		checkRepaired(t, dumpOf(t, fs), want, lost)
	}
	t.Logf("%.1f of %d keys lost on average", float64(missing)/40, len(want))
}

// TestRepairTableShared damages files that several tables share.
func TestRepairTableShared(t *testing.T) {
	src := busyStore(t, 32, 80)
	fs := cloneFS(t, src)
	p := rawOpen(t, fs)
	want := dump(t, p)
	var keys []string
	for k := range want {
		if k[0] == spaceBlock {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for i := range 4 { // holes
		at := len(keys) * (i + 1) / 6
		lo, hi := []byte(keys[at]), []byte(keys[at+2])
		if err := p.db.Excise(t.Context(), pebble.KeyRange{Start: lo, End: hi}); err != nil {
			t.Fatal(err)
		}
		delete(want, keys[at])
		delete(want, keys[at+1])
	}
	same(t, dump(t, p), want)
	all, err := p.tables(keyRange{})
	if err != nil {
		t.Fatal(err)
	}
	parts := map[uint64]int{}
	for _, x := range all {
		parts[x.file]++
	}
	for file, n := range parts {
		if n < 2 {
			continue
		}
		path := p.fs.PathJoin(p.dir, tableName(file))
		b := contents(t, fs, path)
		damageFile(t, fs, path, int64(len(b)/2), []byte{^b[len(b)/2], ^b[len(b)/2+1]})
		lost, err := p.repairTable(path, "store/keep")
		if err != nil {
			t.Fatal(err)
		}
		n := checkRepaired(t, dump(t, p), want, lost)
		t.Logf("%s in %d parts: %d keys lost", path, parts[file], n)
		if n > 20 {
			t.Fatalf("lost %d keys, %x", n, lost)
		}
	}
	checkLevels(t, p)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRepairTableCrash cuts the power at every sync of a repair.
func TestRepairTableCrash(t *testing.T) {
	src := busyStore(t, 33, 60)
	want := dumpOf(t, src)
	for seed := range uint64(3) {
		mem := vfs.NewCrashableMem()
		if ok, err := vfs.Clone(src, mem, "store", "store", vfs.CloneSync); err != nil || !ok {
			t.Fatal(ok, err)
		}
		for _, d := range []string{".", "store"} {
			if err := syncDir(mem, d); err != nil {
				t.Fatal(err)
			}
		}
		r := rand.New(rand.NewPCG(seed, 33))
		fs := &syncSpy{FS: mem}
		p := rawOpen(t, fs)
		path := anyTable(t, p, r)
		b := contents(t, fs, path)
		bit := r.IntN(len(b) * 8)
		damageFile(t, fs, path, int64(bit/8), []byte{b[bit/8] ^ 1<<(bit%8)})
		if f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified); err != nil || f.Sync() != nil || f.Close() != nil {
			t.Fatal(err)
		}
		cuts := 0
		fs.before = func() {
			clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
			cuts++
			if st := mustPreflight(t, clone); st.kind != preflightGood {
				t.Errorf("cut %d: %+v", cuts, st)
				return
			}
			q := rawOpen(t, clone)
			if ts, err := q.tablePaths(); err == nil && slices.Contains(ts, path) {
				if lost, err := q.repairTable(path, "store/keep"); err != nil || len(lost) > 0 {
					t.Errorf("cut %d: %v, %v", cuts, lost, err)
				}
			}
			same(t, dump(t, q), want)
			if err := q.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := p.repairTable(path, "store/keep"); err != nil {
			t.Fatal(err)
		}
		fs.before = nil
		same(t, dump(t, p), want)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if cuts == 0 {
			t.Fatal("nothing was synced")
		}
	}
}

// syncSpy calls before ahead of every sync. The repair syncs from one goroutine
// at a time; what compactions do meanwhile is left alone.
type syncSpy struct {
	vfs.FS
	before func()
}

func (s *syncSpy) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, c)
	if err == nil && strings.Contains(name, "/tmp/") {
		f = spiedFile{f, s}
	}
	return f, err
}

func (s *syncSpy) OpenDir(name string) (vfs.File, error) {
	f, err := s.FS.OpenDir(name)
	return spiedFile{f, s}, err
}

type spiedFile struct {
	vfs.File
	s *syncSpy
}

func (f spiedFile) Sync() error {
	if b := f.s.before; b != nil {
		b()
	}
	return f.File.Sync()
}

// TestRepairTableMissing opens a database whose tables are gone.
func TestRepairTableMissing(t *testing.T) {
	src := busyStore(t, 34, 60)
	want := dumpOf(t, src)
	for i, n := range namesIn(t, src, "store/db", ".sst") {
		fs := cloneFS(t, src)
		if err := fs.Remove("store/db/" + n); err != nil {
			t.Fatal(err)
		}
		st := mustPreflight(t, fs)
		if len(st.missing) == 0 {
			continue // was not in use
		}
		if err := fillMissing(fs, "store/db", st); err != nil {
			t.Fatal(err)
		}
		db, err := pebble.Open("store/db", &pebble.Options{
			FS: fs, FormatMajorVersion: pebbleFormat, DisableConsistencyCheck: true, Logger: pebbleLogger{Options{}.withDefaults().Logger, exit},
			EventListener: &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}, BackgroundError: func(error) {}},
		})
		if err != nil {
			t.Fatal(err)
		}
		p := &pebbleEngine{db: db, files: pebble.NewFileCache(1, 16), cache: pebble.NewCache(1), fs: fs, dir: "store/db", tmp: "store/tmp"}
		bad, err := p.checkTables()
		if err != nil || !slices.Equal(bad, []string{"store/db/" + n}) {
			t.Fatal(bad, err)
		}
		lost, err := p.repairTable(bad[0], "store/keep")
		if err != nil || len(lost) == 0 {
			t.Fatal(lost, err)
		}
		missing := checkRepaired(t, dump(t, p), want, lost)
		t.Logf("table %d: %d of %d keys", i, missing, len(want))
		checkLevels(t, p)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		checkRepaired(t, dumpOf(t, fs), want, lost)
	}
}

// TestRepairTableSnapshot reads through a snapshot that is older than repairs.
func TestRepairTableSnapshot(t *testing.T) {
	fs := busyStore(t, 35, 40)
	p := rawOpen(t, fs)
	defer p.Close()
	want := dump(t, p)
	snap, idle := p.Snapshot(), p.Snapshot()
	read := func() map[string]string {
		c, err := snap.Cursor(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for ok := c.First(); ok; ok = c.Next() {
			v, err := c.Value()
			if err != nil {
				t.Fatal(err)
			}
			got[string(c.Key())] = string(v)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		for k, v := range want {
			ok, err := snap.Get([]byte(k), func(b []byte) error { delete(got, k+"?"); got[k+"?"] = string(b); return nil })
			if err != nil || !ok || got[k+"?"] != v {
				t.Fatal(ok, err)
			}
			delete(got, k+"?")
		}
		return got
	}
	for range 2 {
		paths, err := p.tablePaths()
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if _, err := p.repairTable(path, "store/keep"); err != nil {
				t.Fatal(err)
			}
		}
		same(t, read(), want)
		if err := p.db.DeleteRange([]byte{0}, []byte{255}, pebble.Sync); err != nil {
			t.Fatal(err)
		}
		same(t, read(), want)
		if ok, err := snap.Get([]byte("nothing"), nil); ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	for _, s := range []snapshot{snap, idle} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRepairTableBusy repairs while the store is written and read.
func TestRepairTableBusy(t *testing.T) {
	fs := vfs.NewMem()
	s, err := Open("store", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	busy(t, s, 36, 40)
	p := s.eng.(*pebbleEngine)
	stop, done := make(chan struct{}), make(chan error, 2)
	go func() {
		r := rand.New(rand.NewPCG(1, 36))
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := s.Write(t.Context(), minute, ripple(r, series.Slot(r.IntN(9000)), 1+r.IntN(900)), WriteOptions{OnConflict: Replace}); err != nil {
				done <- err
				return
			}
		}
	}()
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			var c series.Columns
			if err := s.Read(t.Context(), minute, series.Span{}, ReadOptions{}, &c); err != nil {
				done <- err
				return
			}
		}
	}()
	r := rand.New(rand.NewPCG(2, 36))
	for range 30 {
		path := anyTable(t, p, r)
		if lost, err := p.repairTable(path, "store/keep"); err != nil || len(lost) > 0 {
			t.Fatal(lost, err)
		}
	}
	close(stop)
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if rep, err := s.Verify(t.Context(), VerifyOptions{}); err != nil || !rep.OK() {
		t.Fatalf("%+v, %v", rep, err)
	}
	checkLevels(t, p)
}
