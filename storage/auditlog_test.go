package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
)

var tampers = flag.Int("tampers", 1000, "how often the journal is tampered with")

// TestTampers changes the journal behind the back of the store, and the stamp
// with it in half of all cases, as somebody would who knows the format: the
// audit finds every one, by the log or by a head kept elsewhere.
func TestTampers(t *testing.T) {
	ctx := context.Background()
	s, err := Open("store", Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key := series.Key{Symbol: "X", Interval: series.Interval1m}
	write := func(n int) {
		c := &series.Columns{}
		for i := range 5 {
			c.Append(series.NewBar(series.Time(n*7+i)*series.Minute, 1, 2, 0.5, float64(n+i), 3))
		}
		if _, err := s.Write(ctx, key, c, WriteOptions{Source: fmt.Sprint("s", n%3)}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 60 {
		s.seq.Add(1) // a number that no entry has
		write(n)
	}
	kept, err := s.AuditHead(ctx)
	if err != nil || kept.Size != 60 {
		t.Fatal(kept, err)
	}
	for n := range 30 {
		write(100 + n)
	}
	if rep, err := s.VerifyAudit(ctx, &kept); err != nil || len(rep.Problems) > 0 || rep.Entries != 90 {
		t.Fatal(rep, err)
	}
	head, err := s.AuditHead(ctx)
	if err != nil || head.Size != 90 || head.Root == kept.Root {
		t.Fatal(head, err)
	}
	for n := range 10 { // not taken in
		write(200 + n)
	}
	if err := s.Compact(ctx); err != nil { // or it folds meanwhile
		t.Fatal(err)
	}
	var keys, values [][]byte
	if err := eachPair(s.eng, []byte{spaceJournal}, []byte{spaceJournal + 1}, func(k, v []byte) error {
		keys, values = append(keys, append([]byte{}, k...)), append(values, append([]byte{}, v...))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	stampBefore, _, err := s.readStamp()
	if err != nil {
		t.Fatal(err)
	}
	put := func(b batch) {
		t.Helper()
		if err := s.commit(b); err != nil {
			t.Fatal(err)
		}
	}
	// What the log was when the first head was made.
	chunk, _, err := s.Record(ctx, kindLeaf, chunkName(0))
	if err != nil {
		t.Fatal(err)
	}
	old, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	newest, _, err := s.Record(ctx, kindHead, headRecord)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for n := range *tampers {
		against := &kept
		i := r.IntN(len(keys))
		forged := r.IntN(2) == 0 && i < 90 // what is not taken in has the stamp alone
		b := s.eng.Batch()
		p := stampBefore
		p.journal -= sumOf(keys[i], values[i])
		var added [][]byte
		var rolled []Record
		switch r.IntN(7) {
		case 0: // one bit
			v := append([]byte{}, values[i]...)
			v[r.IntN(len(v))] ^= 1 << r.IntN(8)
			p.journal += sumOf(keys[i], v)
			err = b.Set(keys[i], v)
		case 1: // removed
			p.entries--
			err = b.Delete(keys[i])
		case 2: // the entry of another change
			k := (i + 1 + r.IntN(len(keys)-1)) % len(keys)
			p.journal += sumOf(keys[i], values[k])
			err = b.Set(keys[i], values[k])
		case 3: // cut
			v := values[i][:r.IntN(len(values[i]))]
			p.journal += sumOf(keys[i], v)
			err = b.Set(keys[i], v)
		case 4: // added between others
			k := r.IntN(90)
			at := journalKey(binary.BigEndian.Uint64(keys[k][1:]) - 1)
			if slices.ContainsFunc(keys, func(x []byte) bool { return bytes.Equal(x, at) }) || binary.BigEndian.Uint64(at[1:]) == 0 {
				at = append(at, byte(r.IntN(256)))
			}
			added, forged = [][]byte{at}, true
			p.journal += sumOf(keys[i], values[i]) + sumOf(at, values[k])
			p.entries++
			err = b.Set(at, values[k])
		case 5: // two in each other's place
			k := (i + 1 + r.IntN(len(keys)-1)) % len(keys)
			forged = forged && k < 90
			p.journal += sumOf(keys[i], values[k]) - sumOf(keys[k], values[k]) + sumOf(keys[k], values[i])
			added = [][]byte{keys[k]}
			err = errors.Join(b.Set(keys[i], values[k]), b.Set(keys[k], values[i]))
		case 6: // everything since the first head undone, log and stamp with it
			against, forged = &head, true
			p = stampBefore
			for k := 60; k < len(keys); k++ {
				p.journal -= sumOf(keys[k], values[k])
				p.entries--
				added = append(added, keys[k])
				err = errors.Join(err, b.Delete(keys[k]))
			}
			rolled = []Record{{kindLeaf, chunkName(0), chunk}, {kindHead, headRecord, newest}}
			if x := s.PutRecords(ctx, []Record{{kindLeaf, chunkName(0), chunk[:60*leafSize]}, {kindHead, headRecord, old}}); x != nil {
				t.Fatal(x)
			}
			// Records are part of the root.
			if q, _, x := s.readStamp(); x != nil {
				t.Fatal(x)
			} else {
				p.seq, p.root, p.at = q.seq, q.root, q.at
			}
		}
		if err == nil && forged {
			err = b.Set(stampKey, p.encode())
		}
		if err != nil {
			t.Fatal(err)
		}
		put(b)
		rep, err := s.VerifyAudit(ctx, against)
		if err != nil || len(rep.Problems) == 0 {
			t.Fatalf("tamper %d of entry %d is not found: %v", n, binary.BigEndian.Uint64(keys[i][1:]), err)
		}
		b = s.eng.Batch()
		for _, k := range added {
			if m := slices.IndexFunc(keys, func(x []byte) bool { return bytes.Equal(x, k) }); m >= 0 {
				err = errors.Join(err, b.Set(k, values[m]))
			} else {
				err = errors.Join(err, b.Delete(k))
			}
		}
		if err := errors.Join(err, b.Set(keys[i], values[i]), b.Set(stampKey, stampBefore.encode())); err != nil {
			t.Fatal(err)
		}
		put(b)
		if rolled == nil {
			continue
		}
		if err := s.PutRecords(ctx, rolled); err != nil {
			t.Fatal(err)
		}
		if stampBefore, _, err = s.readStamp(); err != nil {
			t.Fatal(err)
		}
	}
	// A forged log has another head than the one that was kept.
	ls, err := s.leaves(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ls[3].hash[0] ^= 1
	if len(checkHead(ls, kept, "kept")) == 0 {
		t.Error("a forged log is taken for the old one")
	}
	if rep, err := s.VerifyAudit(ctx, &kept); err != nil || len(rep.Problems) > 0 {
		t.Fatal(rep, err)
	}
}
