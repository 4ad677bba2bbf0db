package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// TestVerifyDamage goes the way of an operator with a bad disk: verify names
// what is damaged, --repair sets it aside, and importing the file again mends
// the series.
func TestVerifyDamage(t *testing.T) {
	dir := t.TempDir()
	file, data := filepath.Join(dir, "bars.csv"), filepath.Join(dir, "data")
	writeNoise(t, file, 50_000)
	load := []string{"import", file, "--symbol", "BTC", "--interval", "1m", "--data", data}
	if code, out, errs := run(t, "", load...); code != 0 || !strings.Contains(out, "50000 written") {
		t.Fatalf("import: %d %s %s", code, out, errs)
	}
	// Opening the store again moves the log into a table.
	if code, out, errs := run(t, "", load...); code != 0 || !strings.Contains(out, "50000 unchanged") {
		t.Fatalf("import: %d %s %s", code, out, errs)
	}
	damageTable(t, filepath.Join(data, "db"))

	steps := []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"verify"}, 1, []string{"BTC", "1m", "2023-"}},
		{[]string{"verify", "--check"}, 3, []string{"BTC"}},
		{[]string{"verify", "--output", "json", "--check"}, 3, []string{`"damaged":[{"symbol":"BTC","interval":"1m","from":`}},
		{[]string{"verify", "--repair"}, 1, []string{"what is damaged is in quarantine now"}},
		{[]string{"gaps"}, 0, []string{"BTC", "quarantined"}},
		{[]string{"verify", "--check"}, 3, []string{"set aside as damaged, to be fetched again"}},
		{load[:len(load)-2], 0, []string{"0 conflicts, 0 rejected", "50000 bars", " 0 gaps"}},
		{[]string{"verify", "--check"}, 0, []string{"50000 bars", " 0 damaged, 0 problems"}},
	}
	for _, s := range steps {
		code, out, errs := run(t, "", append(s.args, "--data", data)...)
		if code != s.code {
			t.Errorf("%v: exit code %d, want %d", s.args, code, s.code)
		}
		for _, w := range s.want {
			if !strings.Contains(out, w) {
				t.Errorf("%v: no %q in its output", s.args, w)
			}
		}
		if t.Failed() {
			t.Fatalf("%v:\n%s%s", s.args, out, errs)
		}
	}
}

// TestVerifyUnopenable: a store that does not open for reading is a finding
// like others, and stays as it is until --repair is said. That names what
// happened and keeps the files as they were.
func TestVerifyUnopenable(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if code, _, errs := run(t, rows, "import", "-", "--symbol", "BTC", "--interval", "1m", "--data", data); code != 0 {
		t.Fatal(errs)
	}
	manifests, err := filepath.Glob(filepath.Join(data, "db", "MANIFEST-*"))
	if err != nil || len(manifests) == 0 {
		t.Fatal(manifests, err)
	}
	for _, m := range manifests {
		if err := os.Remove(m); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"series"}, 1, nil},
		{[]string{"verify"}, 1, []string{"problem: store " + data + " is damaged: ", "which is missing", "barkeep verify --repair"}},
		{[]string{"verify", "--check"}, 3, nil},
		{[]string{"verify", "--check", "--output", "json"}, 3, []string{`"problems":["store `, `"damages":[],"damaged_files":null`}},
		{[]string{"verify", "--repair", "--output", "json"}, 1, []string{
			`"bars":3,`, `"problems":[],"repaired":true,"seq":`, `"damages":[{"id":`, "the database was rebuilt", `"found":"open"}`,
			`"damaged_files":"` + filepath.Join(data, "damaged"),
		}},
		{[]string{"verify", "--check"}, 0, []string{" 3 bars", " 0 damaged, 0 problems", "damaged files are kept in " + filepath.Join(data, "damaged")}},
		{[]string{"damages"}, 0, []string{"the database was rebuilt from its files"}},
		{[]string{"damages", "--limit", "1", "--output", "json"}, 0, []string{`{"damages":[{"id":`}},
	} {
		code, out, errs := run(t, "", append(s.args, "--data", data)...)
		if code != s.code {
			t.Errorf("%v: exit code %d, want %d", s.args, code, s.code)
		}
		for _, w := range s.want {
			if !strings.Contains(out, w) {
				t.Errorf("%v: no %q in its output", s.args, w)
			}
		}
		if t.Failed() {
			t.Fatalf("%v:\n%s%s", s.args, out, errs)
		}
	}
	kept, err := filepath.Glob(filepath.Join(data, "damaged", "*", "*"))
	if err != nil || len(kept) == 0 {
		t.Errorf("nothing is kept: %v %v", kept, err)
	}
}

// writeNoise writes bars that hardly pack, so that the blocks of a store lie
// far apart in its files.
func writeNoise(t *testing.T, file string, rows int) {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	var b bytes.Buffer
	b.WriteString("time,open,high,low,close,volume\n")
	for i := range rows {
		fmt.Fprintf(&b, "%d,%v,%v,%v,%v,%v\n", 1672531200000+int64(i)*60000, 100+r.Float64(), 102+r.Float64(), 98+r.Float64(), 100+r.Float64(), r.Float64())
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// damageTable turns around a few bytes in the middle of the largest table.
func damageTable(t *testing.T, db string) {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(db, "*.sst"))
	if err != nil {
		t.Fatal(err)
	}
	var largest string
	var content []byte
	for _, name := range tables {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > len(content) {
			largest, content = name, b
		}
	}
	if len(content) == 0 {
		t.Fatal("the store has no tables")
	}
	damaged := bytes.Clone(content)
	for i := range 4 {
		damaged[len(damaged)/2+i] ^= 0xff
	}
	if err := os.WriteFile(largest, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDamageRefetched flips bits in a table of the store: verify names what is
// lost and sets it aside, a repair fetches it from a source, and the series is bit
// for bit what it was. An undo of the repair leaves the damage named.
func TestDamageRefetched(t *testing.T) {
	now := series.TimeOf(time.Now()) / series.Hour * series.Hour
	folder, data := t.TempDir(), t.TempDir()
	var text strings.Builder
	text.WriteString("time,open,high,low,close,volume\n")
	c := minutesOf(40_000, now)
	for i := range c.Time {
		b := c.Bar(i)
		fmt.Fprintf(&text, "%d,%v,%v,%v,%v,%v\n", int64(b.Time), b.Open, b.High, b.Low, b.Close, b.Volume)
	}
	file := filepath.Join(folder, "ABCDEF-1m.csv")
	putFile(t, file, text.String())
	key := series.Key{Symbol: "ABC/DEF", Interval: series.Interval1m}
	load := []string{"import", file, "--symbol", key.Symbol, "--interval", "1m", "--data", data}
	for range 2 { // opening the store again moves the log into a table
		if code, _, errs := run(t, "", load...); code != exitDone {
			t.Fatal(errs)
		}
	}
	truth := storedBars(t, data, key, &storage.Symbol{Sources: []string{"shelf"}})
	config := filepath.Join(data, "barkeep.yaml")
	putFile(t, config, fmt.Sprintf("data_healing: {strategy: sources_only}\nendpoints: {own: [{name: shelf, url: %q, provider: files}]}\n", "file://"+filepath.ToSlash(folder)))
	damageTable(t, filepath.Join(data, "db"))

	if code, out, _ := run(t, "", "verify", "--check", "--data", data); code != 3 || !strings.Contains(out, key.Symbol) {
		t.Fatalf("damage is not found: exit %d\n%s", code, out)
	}
	if code, out, _ := run(t, "", "verify", "--repair", "--data", data); code != 1 || !strings.Contains(out, "in quarantine now") {
		t.Fatalf("damage is not set aside: exit %d\n%s", code, out)
	}
	// missing is how many bars cannot be read any more.
	missing := func() int {
		s, err := storage.Open(data, storage.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var left series.Columns
		err = s.Read(t.Context(), key, series.Span{}, storage.ReadOptions{OnDamage: func(*storage.CorruptError) {}}, &left)
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
		return truth.Len() - left.Len()
	}
	lost := missing()
	if lost == 0 {
		t.Fatal("no bar was lost")
	}
	args := []string{"repair", "--symbol", key.Symbol, "--interval", "1m", "--to", (truth.Time[truth.Len()-1] + 1).String(), "--max-bars", "1000000", "--max-share", "1", "--data", data, "--config", config}
	code, out, errs := run(t, "", args...)
	if code != exitDone || !strings.Contains(out, fmt.Sprintf("%d bars written", lost)) {
		t.Fatalf("%d bars were lost; exit %d\n%s%s", lost, code, out, errs)
	}
	if err := sameBars(storedBars(t, data, key, nil), truth); err != nil {
		t.Error(err)
	}
	if code, out, errs := run(t, "", "verify", "--check", "--data", data); code != exitDone || !strings.Contains(out, " 0 damaged, 0 problems") {
		t.Errorf("after the repair: exit %d\n%s%s", code, out, errs)
	}
	t.Logf("%d of %d bars were lost and fetched", lost, truth.Len())
	id := regexp.MustCompile(`repair (r[0-9a-f]+) is done`).FindStringSubmatch(out)
	if id == nil {
		t.Fatalf("no repair in %s", out)
	}
	if code, out, errs := run(t, "", "undo", id[1], "--data", data); code != exitDone {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	if n := missing(); n != lost {
		t.Errorf("undone, %d bars are gone, want %d", n, lost)
	}
}
