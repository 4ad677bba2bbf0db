package storage

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

type pairList []rawPair

func (l *pairList) add(p rawPair) error {
	p.key, p.value = bytes.Clone(p.key), bytes.Clone(p.value)
	*l = append(*l, p)
	return nil
}

func (p *rawPair) equal(o *rawPair) bool {
	return p.seq == o.seq && p.kind == o.kind && bytes.Equal(p.key, o.key) && bytes.Equal(p.value, o.value)
}

func (p rawPair) String() string {
	return fmt.Sprintf("%x#%d,%d=%x", p.key, p.seq, p.kind, p.value)
}

// pebbleTable reads a table as Pebble does.
func pebbleTable(t testing.TB, fs vfs.FS, path string) (want pairList) {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r, err := sstable.NewReader(context.Background(), &mendedFile{f: f, size: info.Size()}, sstable.ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rd, err := r.NewRawRangeDelIter(context.Background(), sstable.NoFragmentTransforms, sstable.NoReadEnv)
	if err != nil {
		t.Fatal(err)
	}
	if rd != nil {
		for s, err := rd.First(); s != nil; s, err = rd.Next() {
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range s.Keys {
				_ = want.add(rawPair{key: s.Start, value: s.End, seq: uint64(k.SeqNum()), kind: k.Kind()})
			}
		}
		rd.Close()
	}
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		t.Fatal(err)
	}
	for kv := it.First(); kv != nil; kv = it.Next() {
		v, _, err := kv.Value(nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = want.add(rawPair{key: kv.K.UserKey, value: v, seq: uint64(kv.SeqNum()), kind: kv.Kind()})
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return want
}

// checkRead compares what was read of a damaged table with what was in it.
func checkRead(t testing.TB, got, want pairList, bad []keyRange) (missed int) {
	t.Helper()
	i := 0
	for _, w := range want {
		if i < len(got) && got[i].equal(&w) {
			i++
			continue
		}
		missed++
		if !anyHas(bad, w.key) {
			t.Fatalf("%x is missed outside of the bad ranges %x", w.key, bad)
		}
	}
	if i != len(got) {
		t.Fatalf("%v is not what was in the table", got[i])
	}
	return missed
}

// bigTable has a two-level index and a range deletion.
func bigTable(t testing.TB, fs vfs.FS, n int) {
	t.Helper()
	f, err := fs.Create("000009.sst", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), sstable.WriterOptions{
		TableFormat: sstable.TableFormatPebblev7, Compression: sstable.NoCompression, BlockSize: 1 << 10, IndexBlockSize: 512,
	})
	r := rand.New(rand.NewPCG(1, 9))
	if err := w.DeleteRange([]byte("k000100"), []byte("k000200")); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		v := make([]byte, r.IntN(300))
		for j := range v {
			v[j] = byte(r.Uint32())
		}
		if err := w.Set(fmt.Appendf(nil, "k%06d", i), v); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRawTable(t *testing.T) {
	fs := busyStore(t, 5, 60)
	for _, n := range namesIn(t, fs, "store/db", ".sst") {
		path := "store/db/" + n
		want := pebbleTable(t, fs, path)
		var got pairList
		bad, err := readTable(fs, path, nil, nil, got.add)
		if err != nil || len(bad) > 0 {
			t.Fatal(n, bad, err)
		}
		if m := checkRead(t, got, want, nil); m > 0 {
			t.Fatal(n, m)
		}
		if len(want) == 0 {
			continue
		}
		r := rand.New(rand.NewPCG(2, 2))
		for range 5 { // bounds
			lo, hi := want[r.IntN(len(want))].key, want[r.IntN(len(want))].key
			var part pairList
			if bad, err := readTable(fs, path, lo, hi, part.add); err != nil || len(bad) > 0 {
				t.Fatal(bad, err)
			}
			var in pairList
			for _, p := range want {
				if (keyRange{lo, hi}).has(p.key) && p.kind != 15 {
					in = append(in, p)
				}
			}
			k := 0
			for _, p := range part {
				if p.kind == 15 {
					continue
				}
				if k == len(in) || !in[k].equal(&p) {
					t.Fatalf("%v in %x %x", p, lo, hi)
				}
				k++
			}
			if k != len(in) {
				t.Fatal(k, len(in))
			}
		}
	}
}

// TestRawTableFlips turns single bits: nothing is missed.
func TestRawTableFlips(t *testing.T) {
	src := busyStore(t, 6, 60)
	for _, n := range namesIn(t, src, "store/db", ".sst") {
		path := "store/db/" + n
		want := pebbleTable(t, src, path)
		whole := contents(t, src, path)
		fs := vfs.NewMem()
		r := rand.New(rand.NewPCG(3, uint64(len(whole))))
		for range 60 {
			bit := r.IntN(len(whole) * 8)
			if r.IntN(4) == 0 {
				bit = (len(whole) - 1 - r.IntN(min(2000, len(whole)))) * 8
			}
			setContents(t, fs, n, flip(whole, bit))
			var got pairList
			bad, err := readTable(fs, n, nil, nil, got.add)
			if err != nil || len(bad) > 0 || checkRead(t, got, want, bad) > 0 {
				t.Fatalf("%s, bit %d of %d: %x, %v", n, bit, len(whole)*8, bad, err)
			}
		}
	}
}

// TestRawTableDamage overwrites and cuts pieces out of a table of many blocks.
func TestRawTableDamage(t *testing.T) {
	src := vfs.NewMem()
	bigTable(t, src, 4000)
	want := pebbleTable(t, src, "000009.sst")
	whole := contents(t, src, "000009.sst")
	fs := vfs.NewMem()
	r := rand.New(rand.NewPCG(4, 4))
	missed, partial := 0, 0
	const rounds = 400
	for i := range rounds {
		b := bytes.Clone(whole)
		at, n := r.IntN(len(b)), 2+r.IntN(60)
		switch i % 4 {
		case 0: // anywhere
		case 1: // behind the data
			at = len(b) - 1 - r.IntN(len(b)/20)
		case 2:
			at, n = at&^4095, 4096
		case 3:
			if r.IntN(2) == 0 {
				b = b[:at]
			}
		}
		for j := at; j < min(len(b), at+n); j++ {
			b[j] ^= byte(1 + r.IntN(255))
			if i%4 == 2 {
				b[j] = 0
			}
		}
		setContents(t, fs, "x.sst", b)
		var got pairList
		bad, err := readTable(fs, "x.sst", nil, nil, got.add)
		if err != nil {
			t.Fatal(err)
		}
		m := checkRead(t, got, want, bad)
		missed += m
		if m > 0 {
			partial++
		}
		if i%4 == 0 && m > 40 {
			t.Errorf("damage of %d bytes at %d of %d misses %d keys, bad %x", n, at, len(whole), m, bad)
		}
	}
	t.Logf("%d of %d damages missed keys, %.1f on average of %d", partial, rounds, float64(missed)/rounds, len(want))
}

func FuzzRawTable(f *testing.F) {
	fs := vfs.NewMem()
	bigTable(f, fs, 200)
	f.Add(contents(f, fs, "000009.sst"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		fs := vfs.NewMem()
		setContents(t, fs, "x.sst", b)
		if _, err := readTable(fs, "x.sst", nil, nil, func(rawPair) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
}
