package storage

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	pebblerecord "github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
)

// logStore returns a store that was not closed, with all it holds in its log:
// what a crash leaves in which nothing was lost.
func logStore(t testing.TB, seed uint64, rows int) (fs *vfs.MemFS, path string) {
	t.Helper()
	mem := vfs.NewCrashableMem()
	s, err := Open("store", Options{FS: mem})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(seed, 3))
	for i := range rows {
		n := 1
		if i%50 == 49 {
			n = 300
		}
		if _, err := s.Write(t.Context(), minute, ripple(r, series.Slot(300*i), n), WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	fs = mem.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	best := int64(0)
	for _, n := range namesIn(t, fs, "store/db", ".log") {
		info, err := fs.Stat("store/db/" + n)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > best {
			best, path = info.Size(), "store/db/"+n
		}
	}
	return fs, path
}

type batchList struct {
	seqs  []uint64
	reprs [][]byte
}

func (l *batchList) add(seq uint64, repr []byte) error {
	l.seqs, l.reprs = append(l.seqs, seq), append(l.reprs, bytes.Clone(repr))
	return nil
}

func (l *batchList) equal(o *batchList) bool {
	return slices.Equal(l.seqs, o.seqs) && slices.EqualFunc(l.reprs, o.reprs, bytes.Equal)
}

// TestRawLogFlips turns single bits of a log: each that matters is noticed and
// can be put back, and Pebble replays the log that cutLog writes to its end.
func TestRawLogFlips(t *testing.T) {
	for _, rows := range []int{20, 400} { // less and more than a block of the log
		src, path := logStore(t, 1, rows)
		want := dumpOf(t, src)
		whole := contents(t, src, path)
		var all batchList
		end, damaged, err := readLog(src, path, all.add)
		if err != nil || damaged || end < int64(len(whole))-headLog || len(all.seqs) < rows/2 {
			t.Fatal(end, len(whole), damaged, err, len(all.seqs))
		}
		r := rand.New(rand.NewPCG(2, 2))
		for i := range 150 {
			bit := r.IntN(len(whole) * 8)
			fs := vfs.NewMem()
			name := fs.PathBase(path)
			setContents(t, fs, name, flip(whole, bit))
			var got batchList
			_, damaged, err := readLog(fs, name, got.add)
			if err != nil || !got.equal(&all) {
				t.Fatalf("bit %d: %d of %d batches, %v", bit, len(got.seqs), len(all.seqs), err)
			}
			if !damaged {
				// Bytes that fill a block up mean nothing.
				if at := bit / 8 % recordBlock; at < recordBlock-headPlain {
					t.Fatalf("bit %d of %d is not noticed", bit, len(whole)*8)
				}
				continue
			}
			if i > 15 {
				continue
			}
			full := cloneFS(t, src)
			setContents(t, full, path, flip(whole, bit))
			st := mustPreflight(t, full)
			if st.kind != preflightDamage || len(st.damagedLogs) != 1 || st.damagedLogs[0].name != name || !st.damagedLogs[0].lossless {
				t.Fatalf("bit %d: %+v", bit, st)
			}
			cut, err := cutLog(full, "store/db", name, "store/keep")
			if err != nil || cut.batches != len(all.seqs) || cut.mended == 0 {
				t.Fatalf("%+v, %v", cut, err)
			}
			if st := mustPreflight(t, full); st.kind != preflightGood {
				t.Fatalf("after the cut: %+v", st)
			}
			same(t, dumpOf(t, full), want)
			if !bytes.Equal(contents(t, full, "store/keep/"+name), flip(whole, bit)) {
				t.Fatal("the damaged log was not kept")
			}
		}
	}
}

// TestRawLogDamage overwrites pieces of a log: what lies before and behind them
// can be read, and it is noticed.
func TestRawLogDamage(t *testing.T) {
	src, path := logStore(t, 3, 400)
	whole := contents(t, src, path)
	name := src.PathBase(path)
	var all batchList
	if _, _, err := readLog(src, path, all.add); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(4, 4))
	for i := range 200 {
		b := bytes.Clone(whole)
		at := r.IntN(len(b) - 100)
		n := 2 + r.IntN(90)
		for j := range n {
			b[at+j] ^= byte(1 + r.IntN(255))
		}
		fs := cloneFS(t, src)
		setContents(t, fs, path, b)
		var got batchList
		end, damaged, err := readLog(fs, path, got.add)
		if err != nil || !damaged || end > int64(at) {
			t.Fatalf("damage at %d of %d: end %d, %v, %v", at, len(b), end, damaged, err)
		}
		// Nothing but what lies at the damage is missing.
		k := 0
		for j := range all.seqs {
			if k < len(got.seqs) && got.seqs[k] == all.seqs[j] && bytes.Equal(got.reprs[k], all.reprs[j]) {
				k++
			}
		}
		if k != len(got.seqs) || len(all.seqs)-k > 4 {
			t.Fatalf("%d batches of %d, %d of them right", len(got.seqs), len(all.seqs), k)
		}
		if i > 20 {
			continue
		}
		cut, err := cutLog(fs, "store/db", name, "store/keep")
		if err != nil || cut.batches != len(got.seqs) {
			t.Fatalf("%+v, %v", cut, err)
		}
		p := rawOpen(t, fs)
		dump(t, p)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRawLogTorn cuts a log as crashes do, and compares with what Pebble makes
// of it.
func TestRawLogTorn(t *testing.T) {
	src, path := logStore(t, 5, 300)
	whole := contents(t, src, path)
	r := rand.New(rand.NewPCG(6, 6))
	for i := range 45 {
		b := bytes.Clone(whole)
		at := r.IntN(len(b))
		switch i % 3 {
		case 0: // short
			b = b[:at]
		case 1: // a tail of zeros
			clear(b[at&^(sectorBytes-1):])
		case 2: // what an older log left
			old := append(b[at:len(b):len(b)], make([]byte, 3*recordBlock)...)
			b = append(b[:at:at], bytes.Repeat([]byte{0xa5}, len(old))...)
			w := bytes.Buffer{}
			lw := logWriter(pebblerecord.NewLogWriter, &w, 1)
			for range 3000 {
				if _, err := lw.WriteRecord(whole[:min(len(whole), 100)]); err != nil {
					t.Fatal(err)
				}
			}
			if err := lw.Close(); err != nil {
				t.Fatal(err)
			}
			copy(b[at:], w.Bytes()[min(at, w.Len()):])
		}
		fs := cloneFS(t, src)
		setContents(t, fs, path, b)
		var got batchList
		_, damaged, err := readLog(fs, path, got.add)
		if err != nil {
			t.Fatal(err)
		}
		if damaged && i%3 < 2 {
			t.Fatalf("case %d at %d of %d is taken for damage", i%3, at, len(whole))
		}
		db, err := pebble.Open("store/db", &pebble.Options{FS: fs, FormatMajorVersion: pebbleFormat, Logger: quietLogger{}})
		if err != nil {
			// Pebble refuses some torn ends that no later sync speaks against.
			if _, err := cutLog(fs, "store/db", fs.PathBase(path), "store/keep"); err != nil {
				t.Fatal(err)
			}
			if db, err = pebble.Open("store/db", &pebble.Options{FS: fs, FormatMajorVersion: pebbleFormat, Logger: quietLogger{}}); err != nil {
				t.Fatalf("Pebble finds damage in case %d at %d: %v", i%3, at, err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzRawLog(f *testing.F) {
	src, path := logStore(f, 7, 10)
	f.Add(contents(f, src, path))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		fs := vfs.NewMem()
		setContents(t, fs, "000004.log", b)
		end, _, err := readLog(fs, "000004.log", func(uint64, []byte) error { return nil })
		if err != nil || end > int64(len(b)) {
			t.Fatal(end, err)
		}
		setContents(t, fs, "MANIFEST-000001", b)
		if _, err := readManifest(fs, "MANIFEST-000001"); err != nil {
			t.Fatal(err)
		}
		if _, err := decodeEdit(b); err != nil && !errors.Is(err, errEdit) {
			t.Fatal(err)
		}
	})
}
