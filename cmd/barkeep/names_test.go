package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// TestNames takes the two companies that had the ticker FB out of their map
// files, and changes names by hand.
func TestNames(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	bars := filepath.Join(t.TempDir(), "b.csv")
	if err := os.WriteFile(bars, []byte("time,open,high,low,close,volume\n2003-03-27,1,2,0.5,1.5,3\n2003-03-28,1,2,0.5,1.5,3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	call := func(want int, args ...string) (out, errs string) {
		t.Helper()
		code, out, errs := run(t, "", append(args, "--data", data)...)
		if code != want {
			t.Fatalf("%s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
		}
		return out, errs
	}
	call(exitDone, "import", bars, "--symbol", "FB.OLD", "--interval", "1d", "--calendar", "XNYS")
	files := map[string]string{"old": "19990929,fb\n20030328,fb\n", "new": "20120518,fb,Q\n20501231,fb,Q\n"}
	for name, text := range files {
		files[name] = filepath.Join(t.TempDir(), name+".csv")
		if err := os.WriteFile(files[name], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, _ := call(exitDone, "names", "import", files["old"], "--symbol", "FB.OLD", "--source", "tiingo")
	if !strings.Contains(out, "FB") || !strings.Contains(out, "listed 1999-09-29 to 2003-03-29") {
		t.Error(out)
	}
	// The name was given to another company years later.
	out, errs := call(exitDone, "names", "import", files["new"], "--symbol", "META", "--source", "tiingo")
	if !strings.Contains(out, "2012-05-18") || errs != "" {
		t.Errorf("%s%s", out, errs)
	}
	call(exitDone, "names", "remove", "--symbol", "META", "--source", "tiingo")
	call(exitDone, "names", "add", "--symbol", "META", "--source", "tiingo", "--name", "FB", "--to", "2022-06-09")
	out, errs = call(exitDone, "names", "add", "--symbol", "META", "--source", "tiingo", "--name", "META", "--from", "2022-06-09")
	if !strings.Contains(out, "2022-06-09") || !strings.Contains(errs, "FB.OLD has the name FB at tiingo") {
		t.Errorf("%s%s", out, errs)
	}
	out, _ = call(exitDone, "names", "listing", "--symbol", "META", "--listed", "none", "--delisted", "2030-01-01", "--output", "csv")
	if want := "source,name,from,to\ntiingo,FB,,2022-06-09\ntiingo,META,2022-06-09,\n"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
	_, errs = call(exitUsage, "names", "add", "--symbol", "META", "--source", "tiingo", "--name", "X")
	if !strings.Contains(errs, "two names at one time") {
		t.Error(errs)
	}
	call(exitFailed, "names", "remove", "--symbol", "META", "--source", "nobody")
	call(exitUsage, "names")
	call(exitFailed, "names", "--symbol", "NOPE")
	// After the last session nothing is missing.
	out, _ = call(exitDone, "coverage", "--symbol", "FB.OLD", "--interval", "1d", "--from", "2003-03-27", "--to", "2003-05-01", "--output", "json")
	if !strings.Contains(out, `"unlisted"`) || strings.Contains(out, `"state":"missing"`) {
		t.Error(out)
	}
	for symbol, want := range map[string]string{"FB.OLD": "tiingo=FB@1999-09-29..2003-03-29", "META": "tiingo=META@2022-06-09.."} {
		s, err := storage.Open(data, storage.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		m, _ := s.Symbol(symbol)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		last := m.Sources[len(m.Sources)-1]
		if _, err := series.ParseSourceRef(last); err != nil || last != want {
			t.Errorf("%s: %q %v, want %s", symbol, m.Sources, err, want)
		}
	}
}
