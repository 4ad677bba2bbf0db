package alert

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// TestFullDisk: a disk that is full for an hour is told of while it is full, its
// end is told once, and after a restart nothing is told again.
func TestFullDisk(t *testing.T) {
	ctx := t.Context()
	now := series.Time(1_700_000_000_000)
	st, rec := &memory{m: map[string][]byte{}}, &receiver{}
	rules := []Rule{{ID: "disk", Type: Capacity, Severity: Critical, Clear: time.Minute}}
	begin := func() *Engine {
		return New(Options{Store: st, Rules: rules, Channels: []Channel{rec}, Now: func() series.Time { return now }})
	}
	e := begin()
	full := false
	st.fail = func() bool { return full }
	step := func(cs ...Condition) {
		t.Helper()
		now += series.Minute
		if err := e.Evaluate(ctx, cs); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Deliver(ctx); err != nil {
			t.Fatal(err)
		}
	}
	step()
	full = true
	for range 60 {
		step(Condition{Rule: "disk", Subject: "/"})
	}
	if len(rec.got) != 1 || len(st.m) != 0 {
		t.Fatalf("told %v with %d records on the disk", rec.got, len(st.m))
	}
	if active, err := e.Active(ctx); err != nil || len(active) != 1 || active[0].State != Firing {
		t.Fatal(active, err)
	}
	full = false
	step(Condition{Rule: "disk", Subject: "/"})
	e = begin() // nothing is forgotten
	step(Condition{Rule: "disk", Subject: "/"})
	step()
	step()
	step()
	if len(rec.got) != 2 {
		t.Fatalf("told %v", rec.got)
	}
	if h, err := begin().History(ctx); err != nil || len(h) != 1 {
		t.Fatal(h, err)
	}
}

// TestSpool compares reads with a store that never fails.
func TestSpool(t *testing.T) {
	ctx := context.Background()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		below, want := &memory{m: map[string][]byte{}}, &memory{m: map[string][]byte{}}
		s := &spool{below: below, log: slog.New(slog.DiscardHandler)}
		below.fail = func() bool { return r.IntN(2) == 0 }
		for i := range 40 {
			one := Record{Kind: fmt.Sprint("k", r.IntN(2)), Name: fmt.Sprint(r.IntN(8)), Value: []byte{byte(i)}}
			if r.IntN(3) == 0 {
				one.Value = nil
			}
			if s.PutRecords(ctx, []Record{one}) != nil || want.PutRecords(ctx, []Record{one}) != nil {
				t.Fatal("a change was refused")
			}
			for _, kind := range []string{"k0", "k1"} {
				from := fmt.Sprint(r.IntN(8))
				list := func(s Store) (out []string) {
					for x, err := range s.Records(ctx, kind, from) {
						if err != nil {
							t.Fatal(err)
						}
						out = append(out, fmt.Sprint(x))
					}
					return out
				}
				if a, b := list(s), list(want); !slices.Equal(a, b) {
					t.Fatalf("seed %d, change %d: %s from %s is %v, not %v", seed, i, kind, from, a, b)
				}
			}
		}
	}
}
