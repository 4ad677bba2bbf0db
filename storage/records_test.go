package storage_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/storage"
)

// TestRecords writes, replaces and removes records, opens the store again, and
// has it verified: what is there adds up.
func TestRecords(t *testing.T) {
	ctx := context.Background()
	fs := vfs.NewMem()
	s := open(t, fs)
	put := func(rs ...storage.Record) {
		t.Helper()
		if err := s.PutRecords(ctx, rs); err != nil {
			t.Fatal(err)
		}
	}
	list := func(kind, from string) (out string) {
		t.Helper()
		for r, err := range s.Records(ctx, kind, from) {
			if err != nil {
				t.Fatal(err)
			}
			out += fmt.Sprintf("%s=%s ", r.Name, r.Value)
		}
		return out
	}
	put(storage.Record{Kind: "alert", Name: "b", Value: []byte("1")}, storage.Record{Kind: "alert", Name: "a", Value: []byte("0")}, storage.Record{Kind: "alert", Name: "a", Value: []byte("2")})
	put(storage.Record{Kind: "alert/x", Name: "c", Value: []byte("3")}, storage.Record{Kind: "alert", Name: "d", Value: []byte{}})
	put(storage.Record{Kind: "alert", Name: "b"})
	put(storage.Record{Kind: "alert", Name: "nobody"})
	check := func() {
		t.Helper()
		if got := list("alert", ""); got != "a=2 d= " {
			t.Errorf("records are %q", got)
		}
		if got := list("alert", "b") + list("alert/x", ""); got != "d= c=3 " {
			t.Errorf("records from b are %q", got)
		}
		v, found, err := s.Record(ctx, "alert", "a")
		if err != nil || !found || string(v) != "2" {
			t.Errorf("record is %q, %v, %v", v, found, err)
		}
		if _, found, err := s.Record(ctx, "alert", "b"); found || err != nil {
			t.Errorf("a removed record is found: %v", err)
		}
		rep, err := s.Verify(ctx, storage.VerifyOptions{})
		if err != nil || !rep.OK() {
			t.Errorf("verify: %+v, %v", rep, err)
		}
	}
	check()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, fs)
	check()
	if found := s.FoundNow(); len(found) > 0 {
		t.Errorf("opening found %v", found)
	}
	for _, r := range []storage.Record{{}, {Kind: "A", Name: "x"}, {Kind: "a"}, {Kind: "a", Name: strings.Repeat("x", 201)}, {Kind: "a", Name: "x", Value: make([]byte, 1<<20+1)}} {
		if err := s.PutRecords(ctx, []storage.Record{r}); err == nil {
			t.Errorf("%.30v is taken", r)
		}
	}
}
