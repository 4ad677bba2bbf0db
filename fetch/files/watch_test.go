package files

import (
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestWatch: new and changed files are told once, to those whose symbol they are
// of, and not while they are being written.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "A-1m.csv", minutes(january, 10))
	w, err := NewTransport(nil).Watch("file://" + filepath.ToSlash(dir))
	if err != nil {
		t.Fatal(err)
	}
	symbols := []string{"A", "B", "market.csv#ticker=C", "D", "E"}
	look := func(what string, want ...string) {
		t.Helper()
		got, err := w.Fresh(symbols)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v %v, want %v", what, got, err, want)
		}
	}
	look("what was there before")
	put(t, dir, "B-1m.csv", minutes(january, 10))
	putBytes(t, dir, "market.csv", []byte("ticker,"+head+csvOf(minutes(january, 10), "C")))
	putBytes(t, dir, "all.zip", pack(t, "zip", []string{"D-1m.csv", "X-1m.csv"}, map[string]string{"D-1m.csv": head, "X-1m.csv": head}))
	look("new files", "B", "market.csv#ticker=C", "D")
	look("the same again")
	put(t, dir, "A-1m.csv", minutes(january, 20))
	look("a changed file", "A")
	putFresh(t, dir, "E-1m.csv", head)
	putFresh(t, dir, "A-1m.csv", head)
	look("files that are being written")
	old := time.Now().Add(-time.Minute)
	for _, name := range []string{"E-1m.csv", "A-1m.csv"} {
		touch(t, filepath.Join(dir, name), old)
	}
	look("files that are whole", "A", "E")
	if w, err = NewTransport(nil).Watch("file://" + filepath.ToSlash(filepath.Join(dir, "nothing"))); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Fresh(symbols); err == nil {
		t.Error("a folder that is not there has no error")
	}
}
