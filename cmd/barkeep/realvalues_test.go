package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// TestRealValues repairs the damaged half of each pair of a public test suite
// with the mended half as its source. Whatever is written is what the source has:
// a bar is afterwards as it was or as the mended file says, never a third thing.
// It prints what was found, repaired and left.
func TestRealValues(t *testing.T) {
	dir := filepath.Join(cmp.Or(testData, filepath.Join("..", "..", "..", "shared", "data")), "yfinance-repair")
	fixed, err := filepath.Glob(filepath.Join(dir, "*-fixed.csv"))
	if err != nil || len(fixed) == 0 {
		t.Skipf("no real market data, give its folder in BARKEEP_TESTDATA: %v", err)
	}
	if testing.Short() {
		t.Skip("a minute under the race detector; make test runs it")
	}
	// What nothing in the file shows: a week that lies on the level of the next one.
	hidden := map[string]int{"AV-L-1wk-bad-stock-split": 1}
	var table strings.Builder
	table.WriteString("| file | bars that differ | found | proposed, then corrected on approval | corrected in all | set aside | left | found in the mended file |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, good := range fixed {
		bad := strings.TrimSuffix(good, "-fixed.csv") + ".csv"
		name := strings.TrimSuffix(filepath.Base(bad), ".csv")
		t.Run(name, func(t *testing.T) {
			interval := "1d"
			if strings.Contains(name, "-1wk-") {
				interval = "1w"
			}
			width, err := series.ParseInterval(interval)
			if err != nil {
				t.Fatal(err)
			}
			key := series.Key{Symbol: "X", Interval: width}
			data, folder := t.TempDir(), t.TempDir()
			text, err := os.ReadFile(good)
			if err != nil {
				t.Fatal(err)
			}
			putFile(t, filepath.Join(folder, "X-"+interval+".csv"), string(text))
			config := filepath.Join(data, "barkeep.yaml")
			putFile(t, config, fmt.Sprintf("endpoints: {own: [{name: mended, url: %q, provider: files}]}\n", "file://"+filepath.ToSlash(folder)))
			load := func(file, data string) *series.Columns {
				code, _, errs := run(t, "", "import", file, "--symbol", "X", "--interval", interval, "--data", data)
				if code != exitDone {
					t.Fatal(errs)
				}
				return storedBars(t, data, key, nil)
			}
			truth := load(good, filepath.Join(data, "truth"))
			before := load(bad, data)
			found := findingsOf(t, data)
			falsely := findingsOf(t, filepath.Join(data, "truth"))
			storedBars(t, data, key, &storage.Symbol{Sources: []string{"mended"}})
			args := []string{"repair", "--symbol", "X", "--interval", interval, "--type", "corruption", "--max-bars", "100000", "--max-share", "1", "--data", data, "--config", config}
			code, out, errs := run(t, "", args...)
			if code != exitDone {
				t.Fatalf("exit %d\n%s%s", code, out, errs)
			}
			byTime := func(c *series.Columns) map[series.Time]series.Bar {
				m := map[series.Time]series.Bar{}
				for i := range c.Time {
					m[c.Time[i]] = c.Bar(i)
				}
				return m
			}
			was := byTime(before)
			proposed := 0
			if m := regexp.MustCompile(`(\d+) proposed`).FindAllStringSubmatch(out, -1); len(m) > 0 {
				// One source alone does not rewrite a stretch: the last number is the sum.
				proposed, _ = strconv.Atoi(m[len(m)-1][1])
				untouched := 0
				is := byTime(storedBars(t, data, key, nil))
				for at, want := range byTime(truth) {
					if !likeBar(was[at], want) && likeBar(is[at], was[at]) && is[at].Volume == was[at].Volume {
						untouched++
					}
				}
				if untouched < proposed {
					t.Errorf("%d bars are proposed, and only %d that differ are as they were", proposed, untouched)
				}
			}
			if code, out, errs = run(t, "", append(args, "--approve")...); code != exitDone {
				t.Fatalf("exit %d\n%s%s", code, out, errs)
			}
			is := byTime(storedBars(t, data, key, nil))
			differ, corrected, left, aside := 0, 0, 0, 0
			for at, want := range byTime(truth) {
				old, ok := was[at]
				if !ok {
					continue
				}
				got, there := is[at]
				wrong := !likeBar(old, want)
				if wrong {
					differ++
				}
				switch {
				case !there:
					aside++
				case wrong && likeBar(got, want):
					corrected++
				case wrong && likeBar(got, old):
					left++
				case !likeBar(got, want):
					t.Errorf("%v is now %v: it was %v, and the source has %v", at, got, old, want)
				}
			}
			if left+aside != hidden[name] {
				t.Errorf("%d bars are left wrong and %d set aside, want %d", left, aside, hidden[name])
			}
			fmt.Fprintf(&table, "| %s | %d of %d | %s | %d | %d | %d | %d | %s |\n", name, differ, truth.Len(), listed(found), proposed, corrected, aside, left, listed(falsely))
		})
	}
	t.Logf("\n%s", table.String())
}

// TestRealExtremes inspects true extremes: nothing that changes bars by itself
// finds anything in them, and a repair with a source that says the same and one
// that cuts what is far away changes nothing, though a person approves.
func TestRealExtremes(t *testing.T) {
	dir := cmp.Or(testData, filepath.Join("..", "..", "..", "shared", "data"))
	var files []string
	for _, pattern := range []string{"yfinance-repair/*no-bad-divs.csv", "ejtrader/*.csv", "lean/equity/usa/daily/*.zip"} {
		list, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, list...)
	}
	if len(files) == 0 {
		t.Skip("no real market data, give its folder in BARKEEP_TESTDATA")
	}
	done := 0
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data := t.TempDir()
			args := []string{"import", file, "--symbol", "X", "--tz", "UTC", "--data", data}
			if strings.HasSuffix(file, ".zip") {
				args = append(args, "--interval", "1d", "--price-scale", "10000")
			}
			if code, _, errs := run(t, "", args...); code != exitDone {
				t.Fatal(errs)
			}
			found := findingsOf(t, data)
			if n := found["non_finite"]; n > 0 {
				t.Errorf("%d bars are set aside by themselves", n)
			}
			// A source that says the same, and a liar who cuts what is far away, before
			// it and behind it.
			interval := "1d"
			if strings.HasPrefix(filepath.Base(file), "EURCHFh4") {
				interval = "4h"
			}
			width, err := series.ParseInterval(interval)
			if err != nil {
				t.Fatal(err)
			}
			key := series.Key{Symbol: "X", Interval: width}
			for _, order := range [][]string{{"honest", "liar"}, {"liar", "honest"}} {
				before := storedBars(t, data, key, &storage.Symbol{Sources: order})
				var endpoints []string
				for _, name := range order {
					bars, folder := before, t.TempDir()
					if name == "liar" {
						bars = cutWicks(before)
					}
					putFile(t, filepath.Join(folder, "X-"+interval+".csv"), csvOf(bars))
					endpoints = append(endpoints, fmt.Sprintf("{name: %s, url: %q, provider: files}", name, "file://"+filepath.ToSlash(folder)))
				}
				config := filepath.Join(t.TempDir(), "barkeep.yaml")
				putFile(t, config, "endpoints: {own: ["+strings.Join(endpoints, ", ")+"]}\n")
				code, out, errs := run(t, "", "repair", "--symbol", "X", "--interval", interval, "--type", "corruption", "--data", data, "--config", config, "--max-bars", "100000", "--max-share", "1", "--approve")
				if code != exitDone || !strings.Contains(out, " 0 bars written") || strings.Contains(out, "quarantined") {
					t.Errorf("%v: exit %d\n%s%s", order, code, out, errs)
				}
				if err := sameBars(storedBars(t, data, key, nil), before); err != nil {
					t.Errorf("%v: %v", order, err)
				}
			}
			t.Logf("%s", listed(found))
			done++
		})
	}
	if done < 3 {
		t.Errorf("only %d files were inspected", done)
	}
}

// findingsOf counts the bars that each rule finds, and findings about holes.
func findingsOf(t *testing.T, data string) map[string]int64 {
	t.Helper()
	code, out, errs := run(t, "", "inspect", "--data", data, "--output", "json")
	if code != exitDone {
		t.Fatal(errs)
	}
	var v struct{ Findings []heal.Finding }
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int64{}
	for _, f := range v.Findings {
		counts[f.Rule] += int64(max(f.Bars, 1)) // of holes there are none
	}
	return counts
}

func listed(counts map[string]int64) string {
	var out []string
	for _, rule := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("%s %d", rule, counts[rule]))
	}
	return cmp.Or(strings.Join(out, ", "), "nothing")
}

// likeBar compares prices to the digits that the files have.
func likeBar(a, b series.Bar) bool {
	near := func(x, y float64) bool { return math.Abs(x-y) <= 1e-4*math.Max(math.Abs(x), math.Abs(y)) }
	return near(a.Open, b.Open) && near(a.High, b.High) && near(a.Low, b.Low) && near(a.Close, b.Close)
}

// csvOf writes bars as a file.
func csvOf(c *series.Columns) string {
	var b strings.Builder
	b.WriteString("time,open,high,low,close,volume\n")
	for i, at := range c.Time {
		fmt.Fprintf(&b, "%d,%v,%v,%v,%v,%v\n", int64(at), c.Open[i], c.High[i], c.Low[i], c.Close[i], c.Volume[i])
	}
	return b.String()
}

// cutWicks is what a vendor makes of bars who takes a wick of more than 5% for an
// error.
func cutWicks(c *series.Columns) *series.Columns {
	out := &series.Columns{}
	for i := range c.Time {
		b := c.Bar(i)
		b.High, b.Low = min(b.High, 1.05*max(b.Open, b.Close)), max(b.Low, 0.95*min(b.Open, b.Close))
		out.Append(b)
	}
	return out
}
