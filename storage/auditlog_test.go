package storage

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
)

var tampers = flag.Int("tampers", 300, "how often the journal is tampered with")

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
	r := rand.New(rand.NewPCG(3, 4))
	for n := range *tampers {
		i := r.IntN(len(keys))
		forged := r.IntN(2) == 0 && i < 90 // what is not taken in has the stamp alone
		b := s.eng.Batch()
		p := stampBefore
		p.journal -= sumOf(keys[i], values[i])
		added := journalKey(1 << 40)
		switch r.IntN(4) {
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
		}
		if err == nil && forged {
			err = b.Set(stampKey, p.encode())
		}
		if err != nil {
			t.Fatal(err)
		}
		put(b)
		rep, err := s.VerifyAudit(ctx, &kept)
		if err != nil || len(rep.Problems) == 0 {
			t.Fatalf("tamper %d of entry %d is not found: %v", n, binary.BigEndian.Uint64(keys[i][1:]), err)
		}
		b = s.eng.Batch()
		for _, x := range []error{b.Set(keys[i], values[i]), b.Delete(added), b.Set(stampKey, stampBefore.encode())} {
			if x != nil {
				t.Fatal(x)
			}
		}
		put(b)
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
