package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// TestFolderWatched: a hole that a folder could not fill is filled when a file of
// its symbol comes into the folder, long before the next attempt is due, and
// nothing is asked because of files of others.
func TestFolderWatched(t *testing.T) {
	folder, data := t.TempDir(), t.TempDir()
	now := series.TimeOf(time.Now()) / series.Hour * series.Hour
	key := series.Key{Symbol: "ABC/DEF", Interval: series.Interval1m}
	truth := minutesOf(5000, now)
	config := filepath.Join(data, "barkeep.yaml")
	putFile(t, config, fmt.Sprintf("data_healing: {strategy: sources_only}\nendpoints: {own: [{name: shelf, url: %q, provider: files}]}\n", "file://"+filepath.ToSlash(folder)))
	var said bytes.Buffer
	a := &app{stdout: &said, stderr: &said}
	var err error
	if a.cfg, err = load(config, os.Environ(), map[string]string{"data": data}); err != nil {
		t.Fatal(err)
	}
	s, err := a.open(false, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() // in a directory of the test
	pool, err := a.openPool("")
	if err != nil {
		t.Fatal(err)
	}
	h, err := a.newHealing(s, pool)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.close() }() // nothing is under way
	for _, part := range []*series.Columns{slice(truth, 0, 400), slice(truth, 440, 5000)} {
		if _, err := s.Write(t.Context(), key, part, storage.WriteOptions{Source: "venue"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetSymbol(key.Symbol, storage.Symbol{Sources: []string{"shelf"}}); err != nil {
		t.Fatal(err)
	}
	f, err := a.newFolders(s, h.Healer)
	if err != nil || f == nil {
		t.Fatal(f, err)
	}
	// step looks, works, and returns how many bars are missing then and how many
	// repairs there were.
	step := func(auto bool) (missing int64, repairs int) {
		t.Helper()
		if err := f.look(t.Context(), auto); err != nil {
			t.Fatal(err)
		}
		if err := h.Work(t.Context()); err != nil {
			t.Fatal(err)
		}
		info, err := s.Info(key)
		if err != nil {
			t.Fatal(err)
		}
		list, err := h.Repairs(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return int64(truth.Len()) - info.Bars, len(list)
	}
	if missing, repairs := step(true); missing != 40 || repairs != 0 {
		t.Fatalf("%d bars are missing after %d repairs", missing, repairs)
	}
	// The folder has nothing, and the next attempt is hours away.
	if _, err := h.Start(t.Context(), heal.Request{Symbol: key.Symbol, Type: heal.Sources}); err != nil {
		t.Fatal(err)
	}
	if missing, repairs := step(true); missing != 40 || repairs != 1 {
		t.Fatalf("%d bars are missing after %d repairs", missing, repairs)
	}
	write := func(name string, c *series.Columns) {
		t.Helper()
		text := "time,open,high,low,close,volume\n"
		for i := range c.Time {
			b := c.Bar(i)
			text += fmt.Sprintf("%d,%v,%v,%v,%v,%v\n", int64(b.Time), b.Open, b.High, b.Low, b.Close, b.Volume)
		}
		putFile(t, filepath.Join(folder, name), text)
	}
	write("OTHER-1m.csv", truth)
	if missing, repairs := step(true); missing != 40 || repairs != 1 {
		t.Errorf("%d bars are missing after %d repairs because of a file of another symbol", missing, repairs)
	}
	write("ABCDEF-1m-a.csv", slice(truth, 380, 420))
	if missing, repairs := step(false); missing != 40 || repairs != 1 {
		t.Errorf("%d bars are missing after %d repairs while healing is off", missing, repairs)
	}
	write("ABCDEF-1m.csv", slice(truth, 380, 520))
	if missing, repairs := step(true); missing != 0 || repairs != 2 {
		list, _ := h.Repairs(t.Context())
		t.Errorf("%d bars are missing after %d repairs: the new file was not noticed\n%+v\n%s", missing, repairs, list[0], said.String())
	}
	if missing, repairs := step(true); missing != 0 || repairs != 2 {
		t.Errorf("%d bars are missing after %d repairs", missing, repairs)
	}
}
