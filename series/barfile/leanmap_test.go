package barfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
)

// drawMap is a map on one line.
func drawMap(m barfile.TickerMap) string {
	day := func(t series.Time) string {
		if t == series.MinTime || t == series.MaxTime {
			return ""
		}
		return t.Std().Format(time.DateOnly)
	}
	var b strings.Builder
	if m.Listed != nil {
		fmt.Fprintf(&b, "listed %s ", day(*m.Listed))
	}
	for _, n := range m.Names {
		fmt.Fprintf(&b, "%s@%s..%s ", n.Name, day(n.From), day(n.To))
	}
	if m.Delisted != nil {
		fmt.Fprintf(&b, "delisted %s", day(*m.Delisted))
	}
	return strings.TrimSpace(b.String())
}

func TestReadTickerMap(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"20040819,goog,Q\n20140402,goog,Q\n20501231,googl,Q\n", "listed 2004-08-19 GOOG@2004-08-19..2014-04-03 GOOGL@2014-04-03.."},
		{"20140327,goocv,Q\n20140402,goocv,Q\n20501231,goog,Q", "listed 2014-03-27 GOOCV@2014-03-27..2014-04-03 GOOG@2014-04-03.."},
		{"19980102,nb,N\n19980930,nb,N\n20501231,bac,N\n", "NB@..1998-10-01 BAC@1998-10-01.."},
		{"19990929,fb\n20030328,fb\n", "listed 1999-09-29 FB@1999-09-29..2003-03-29 delisted 2003-03-29"},
		{"20100101,a\n20110101,b\n20120101,a\n", "listed 2010-01-01 A@2010-01-01..2010-01-02 B@2010-01-02..2011-01-02 A@2011-01-02..2012-01-02 delisted 2012-01-02"},
		{"20501231,a\n", "A@.."},
		{"20101231,a\n", "A@..2011-01-01 delisted 2011-01-01"},
	} {
		if m, err := barfile.ReadTickerMap(strings.NewReader(c.text)); err != nil || drawMap(m) != c.want {
			t.Errorf("%q: %s %v\nwant %s", c.text, drawMap(m), err, c.want)
		}
	}
	for _, text := range []string{
		"", "20200101\n", "20200101,a,b,c,d\n", "2020-01-01,a\n", "20200101,\n", "20200102,a\n20200101,b\n", "20200102,a\n20200102,b\n", "20200101,a b\n",
		"20501231,a\n20501231,b\n",
		"time,open\n", strings.Repeat("20200101,a\n", 2), "\"",
	} {
		if m, err := barfile.ReadTickerMap(strings.NewReader(text)); err == nil {
			t.Errorf("%q is %s", text, drawMap(m))
		}
	}
}

// TestRealTickerMaps reads every map file of Lean that is there.
func TestRealTickerMaps(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(dataDir, "lean/equity/usa/map_files/*.csv"))
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := barfile.ReadTickerMap(file)
		_ = file.Close() // it was only read
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		t.Logf("%-12s %s", filepath.Base(name), drawMap(m))
	}
	if len(files) == 0 {
		t.Log("no map files here: BARKEEP_TESTDATA names their folder")
	}
}

func FuzzReadTickerMap(f *testing.F) {
	f.Add("20040819,goog,Q\n20140402,goog,Q\n20501231,googl,Q\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := barfile.ReadTickerMap(strings.NewReader(text))
		if err != nil {
			return
		}
		for i, n := range m.Names {
			if n.From >= n.To || i > 0 && n.From != m.Names[i-1].To {
				t.Fatalf("%q: %s", text, drawMap(m))
			}
		}
	})
}
