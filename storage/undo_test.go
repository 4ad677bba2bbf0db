package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
)

var undoKey = series.Key{Symbol: "U", Interval: series.Interval1m}

// undoStore is a store whose clock is *now.
func undoStore(t *testing.T, now *series.Time) *Store {
	t.Helper()
	s, err := Open("store", Options{FS: vfs.NewMem(), Now: func() series.Time { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// putPrice writes bars of one price at the given minutes.
func putPrice(ctx context.Context, t *testing.T, s *Store, price float64, minutes ...int) {
	t.Helper()
	c := &series.Columns{}
	for _, m := range minutes {
		c.Append(series.NewBar(series.Time(m)*series.Minute, price, price, price, price, 1))
	}
	if _, err := s.Write(ctx, undoKey, c, WriteOptions{OnConflict: Replace}); err != nil {
		t.Fatal(err)
	}
}

// prices draws the series, minute=price.
func prices(t *testing.T, s *Store) string {
	t.Helper()
	var out []string
	for b, err := range s.Bars(context.Background(), undoKey, series.Span{}, ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%d=%g", b.Time/series.Minute, b.Close))
	}
	return strings.Join(out, " ")
}

func wantPrices(t *testing.T, s *Store, want string) {
	t.Helper()
	if got := prices(t, s); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestUndoKeeps: what somebody else changed later stays, and the undo says why.
func TestUndoKeeps(t *testing.T) {
	now := 100 * series.Minute
	s := undoStore(t, &now)
	ctx := context.Background()
	mine := WithNote(ctx, Note{Repair: "r"})
	other := WithNote(ctx, Note{Actor: "ann"})
	putPrice(ctx, t, s, 1, 1, 2, 3)
	putPrice(mine, t, s, 2, 1, 2, 3, 4, 5)
	putPrice(other, t, s, 3, 2, 5) // stays
	putPrice(mine, t, s, 4, 2)     // goes back to what ann wrote
	u, err := s.Undo(ctx, JournalOptions{Repair: "r"})
	if err != nil {
		t.Fatal(err)
	}
	wantPrices(t, s, "1=1 2=3 3=1 5=3")
	if u.Skipped != 2 || len(u.Kept) != 2 || u.Restored != 3 || u.Removed != 1 {
		t.Errorf("%+v", u)
	}
	for i, m := range []series.Time{2, 5} {
		k := u.Kept[i]
		if k.Span.From != m*series.Minute || k.Slots != 1 || k.By == 0 || k.Why != "changed later: bars of ann" {
			t.Errorf("kept %+v", k)
		}
	}
}

// TestUndoForming: a bar that was forming when a repair brought it and that
// others have finished is not the repair's to take back; the other way about,
// the forming bar cannot be had back.
func TestUndoForming(t *testing.T) {
	now := 10*series.Minute + 30*series.Second
	s := undoStore(t, &now)
	ctx := context.Background()
	mine := WithNote(ctx, Note{Repair: "r"})
	putPrice(mine, t, s, 1, 9, 10) // 10 is forming
	now += series.Minute           // 11 is
	putPrice(ctx, t, s, 2, 10, 11)
	now += series.Minute
	putPrice(mine, t, s, 3, 11)
	u, err := s.Undo(ctx, JournalOptions{Repair: "r"})
	if err != nil {
		t.Fatal(err)
	}
	wantPrices(t, s, "10=2 11=3")
	if u.Skipped != 2 || u.Removed != 1 || len(u.Kept) != 2 || !strings.HasPrefix(u.Kept[0].Why, "the bar before was still forming") || !strings.HasPrefix(u.Kept[1].Why, "changed later") {
		t.Errorf("%+v", u)
	}
}

// TestUndoMoved: what is written between the look at the journal and the change
// is not overwritten. A folding in between does no harm.
func TestUndoMoved(t *testing.T) {
	now := 5000 * series.Minute
	s := undoStore(t, &now)
	ctx := context.Background()
	mine := WithNote(ctx, Note{Repair: "r"})
	putPrice(ctx, t, s, 1, 1, 2, 2000) // the block of 2000 is the tail, which is not folded
	putPrice(mine, t, s, 2, 1, 2, 3)
	st, err := s.known(undoKey)
	if err != nil {
		t.Fatal(err)
	}
	seqs := []uint64{st.ledger.changes}
	x := &steady{last: st.ledger.changes}
	var p undoPlan
	if err := s.planUndo(ctx, undoKey, seqs, nil, &p); err != nil {
		t.Fatal(err)
	}
	putPrice(ctx, t, s, 3, 3)
	var out Undone
	if err := s.putBack(context.WithValue(ctx, steadyKey{}, x), st, &p, &out); !errors.Is(err, errMoved) || out.Removed != 0 {
		t.Fatal(err, out)
	}
	wantPrices(t, s, "1=2 2=2 3=3 2000=1")
	x = &steady{last: st.ledger.changes}
	p = undoPlan{}
	if err := s.planUndo(ctx, undoKey, seqs, nil, &p); err != nil {
		t.Fatal(err)
	}
	if err := s.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	if st.ledger.changes == x.last {
		t.Fatal("nothing was folded: the test is about that")
	}
	if err := s.putBack(context.WithValue(ctx, steadyKey{}, x), st, &p, &out); err != nil {
		t.Fatal(err)
	}
	wantPrices(t, s, "1=1 2=1 3=3 2000=1")
}
