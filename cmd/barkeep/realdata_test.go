package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// realFlags are what a user gives for a file beside its name.
var realFlags = map[string]string{
	"backtrader/2006-min-005.txt":                           "--tz Europe/Paris --stamp end",
	"eqker/AAPL_1min.csv":                                   "--tz America/New_York --stamp end",
	"eqker/SPY_1min.csv":                                    "--tz America/New_York --stamp end",
	"eqker/UGA_1min.csv":                                    "--tz America/New_York --stamp end --interval 1m",
	"eqker/VIX_1min.csv":                                    "--tz America/New_York --stamp end",
	"mplfinance/SP500_NOV2019_IDay.csv":                     "--tz America/New_York",
	"pyalgotrade/nt-spy-minute-2011.csv":                    "--tz UTC --stamp end",
	"ejtrader/EURCHFh4.csv":                                 "--tz UTC --price-scale 100000",
	"bitfinex/LTCUSD-1m-2013.csv.gz":                        "--interval 1m",
	"bitfinex/LTCUSD-1m-2013.json":                          "--interval 1m",
	"nautilus/6EH4.XCME_1min_bars_20240101_20240131.csv.gz": "--stamp end",
}

// realDiffers are files whose figures are other than measured, by what is added
// to bars, missing and gaps, and why.
var realDiffers = map[string]struct {
	bars, missing, gaps int64
	why                 string
}{
	"cryptodatadownload/Poloniex_XRPUSDT_d.csv":  {-53, 53, 0, "the figures count 53 rows off the grid as days"},
	"yfinance-repair/CLC-L-1d-bad-div.csv":       {-1, 0, 0, "the last row has no prices: it goes to quarantine, and the series ends a day earlier"},
	"yfinance-repair/CLC-L-1d-bad-div-fixed.csv": {-1, 0, 0, "as above"},
}

// TestRealFiles imports every measured file with the program, and finds the
// rows, gaps and missing bars that another program measured, on the 24x7 grid.
// A second import writes nothing.
func TestRealFiles(t *testing.T) {
	dir := cmp.Or(testData, filepath.Join("..", "..", "..", "shared", "data"))
	raw, err := os.ReadFile(filepath.Join(dir, "MEASURED.json"))
	if err != nil {
		t.Skipf("no real market data, give its folder in BARKEEP_TESTDATA: %v", err)
	}
	var files map[string]struct {
		Measured struct {
			Rows        int64 `json:"rows"`
			Identical   int64 `json:"dup_identical"`
			Conflicting int64 `json:"dup_conflicting"`
			Missing     int64 `json:"missing_24x7"`
			Gaps        int64 `json:"gaps"`
		} `json:"measured"`
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	delete(all, "lean") // measured over files that are not all here
	if raw, err = json.Marshal(all); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &files); err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	n := 0
	for name, f := range files {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		n++
		t.Run(name, func(t *testing.T) {
			symbol := strings.Map(func(r rune) rune {
				if strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/^=", r) {
					return r
				}
				return '_'
			}, name)
			symbol = symbol[:min(len(symbol), 64)]
			args := append([]string{"import", path, "--symbol", symbol, "--data", data, "--output", "json"}, strings.Fields(realFlags[name])...)
			first, second := importJSON(t, args), importJSON(t, args)
			d := realDiffers[name]
			w := f.Measured
			bars := w.Rows - w.Identical - w.Conflicting + d.bars
			if first.Series.Bars != bars || first.Series.Missing != w.Missing+d.missing || first.Series.Gaps != w.Gaps+d.gaps {
				t.Errorf("%d bars, %d missing in %d gaps; measured %d, %d in %d (%s)", first.Series.Bars, first.Series.Missing, first.Series.Gaps, bars, w.Missing+d.missing, w.Gaps+d.gaps, d.why)
			}
			if got := second.Files[0].Written; got != 0 {
				t.Errorf("a second import wrote %d bars", got)
			}
		})
	}
	if n == 0 {
		t.Error("none of the measured files is there")
	}
}

type importJSONReport struct {
	Files []struct {
		Written int64 `json:"written"`
	} `json:"files"`
	Series struct {
		Bars    int64 `json:"bars"`
		Missing int64 `json:"missing"`
		Gaps    int64 `json:"gaps"`
	} `json:"series"`
}

func importJSON(t *testing.T, args []string) importJSONReport {
	t.Helper()
	var out, errs bytes.Buffer
	if code := Run(t.Context(), args, strings.NewReader(""), &out, &errs); code != exitDone {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	var r importJSONReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return r
}
