package main

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// TestFetchDeclares: the first bars of a vendor that adjusts make the symbol say
// so, and no others come beside them.
func TestFetchDeclares(t *testing.T) {
	s, err := storage.Open(t.TempDir(), storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	key := series.Key{Symbol: "X", Interval: series.Interval1d}
	to := &storeSink{store: s, key: key}
	b := &storeBars{app: &app{}, key: key}
	if err := b.declare(t.Context(), to, "yahoo"); err != nil {
		t.Fatal(err)
	}
	if m, _ := s.Symbol("X"); m.Adjusted != series.AdjustSplit {
		t.Errorf("the symbol says %s, want split", m.Adjusted)
	}
	var c series.Columns
	c.Append(series.NewBar(series.Day, 1, 2, 0.5, 1, 1))
	if _, err := s.Write(t.Context(), key, &c, storage.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	for provider, ok := range map[string]bool{"yahoo": true, "binance-spot": false, "stooq": false} {
		if err := b.declare(t.Context(), to, provider); (err == nil) != ok {
			t.Errorf("%s beside split-adjusted bars: %v", provider, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestAdjustReal adjusts real prices by real actions and compares them with what
// others made of them: Lean's raw days by its factor files, and Yahoo's closes,
// which are freed of splits, by their dividends, with Yahoo's adjusted closes.
func TestAdjustReal(t *testing.T) {
	dir := cmp.Or(testData, filepath.Join("..", "..", "..", "shared", "data"))
	lean := filepath.Join(dir, "lean", "equity", "usa")
	if _, err := os.Stat(lean); err != nil {
		t.Skipf("no real market data, give its folder in BARKEEP_TESTDATA: %v", err)
	}
	table := func(t *testing.T, text string) [][]string {
		t.Helper()
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	number := func(t *testing.T, text string) float64 {
		t.Helper()
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	do := func(t *testing.T, args ...string) string {
		t.Helper()
		code, out, errs := run(t, "", args...)
		if code != exitDone {
			t.Fatalf("%v: %s", args, errs)
		}
		return out
	}
	// closes are the closes of a series by date.
	closes := func(t *testing.T, data, adjust string) map[string]float64 {
		t.Helper()
		out := map[string]float64{}
		for i, row := range table(t, do(t, "query", "--symbol", "X", "--interval", "1d", "--adjust", adjust, "--data", data, "--output", "csv")) {
			if i > 0 {
				out[time.UnixMilli(int64(number(t, row[0]))).UTC().Format(time.DateOnly)] = number(t, row[4])
			}
		}
		return out
	}
	for _, name := range []string{"aapl", "eem", "spy", "qqq"} {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			do(t, "import", filepath.Join(lean, "daily", name+".zip"), "--symbol", "X", "--interval", "1d", "--price-scale", "10000", "--data", data)
			factors := filepath.Join(lean, "factor_files", name+".csv")
			do(t, "actions", "import", factors, "--symbol", "X", "--source", "lean", "--data", data)
			text, err := os.ReadFile(factors)
			if err != nil {
				t.Fatal(err)
			}
			rows := table(t, string(text))
			raw, split, all := closes(t, data, "none"), closes(t, data, "split"), closes(t, data, "all")
			worst := 0.0
			for day, price := range raw {
				i, _ := slices.BinarySearchFunc(rows, strings.ReplaceAll(day, "-", ""), func(row []string, day string) int { return strings.Compare(row[0], day) })
				if i == len(rows) {
					t.Fatalf("no factor of %s", day)
				}
				pf, sf := number(t, rows[i][1]), number(t, rows[i][2])
				for got, want := range map[float64]float64{split[day]: price * sf, all[day]: price * sf * pf} {
					worst = max(worst, math.Abs(got/want-1))
				}
			}
			t.Logf("%d days, %d rows of factors: differs by %.1e at most", len(raw), len(rows), worst)
			if worst > 2e-5 { // the factors have seven digits, those of splits fewer
				t.Errorf("differs by %v", worst)
			}
		})
	}
	files, err := filepath.Glob(filepath.Join(dir, "yfinance-repair", "*-1d-*"))
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, file := range files {
		base := filepath.Base(file)
		if !strings.Contains(base, "div") || !strings.Contains(base, "-fixed") && !strings.Contains(base, "no-bad") {
			continue // the others are wrong on purpose
		}
		t.Run(base, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			rows := table(t, string(bytes.TrimSpace(text)))
			column := func(name string) int { return slices.Index(rows[0], name) }
			var plain strings.Builder
			plain.WriteString("time,open,high,low,close,volume\n")
			want := map[string]float64{}
			for _, row := range rows[1:] {
				if row[column("Close")] == "" || row[column("Adj Close")] == "" {
					continue // nothing traded
				}
				day := row[0][:10]
				fmt.Fprintf(&plain, "%s,%s,%s,%s,%s,0\n", day, row[column("Close")], row[column("Close")], row[column("Close")], row[column("Close")])
				want[day] = number(t, row[column("Adj Close")])
			}
			data := t.TempDir()
			path := filepath.Join(data, "bars.csv")
			putFile(t, path, plain.String())
			do(t, "import", path, "--symbol", "X", "--interval", "1d", "--data", data)
			// Its closes are freed of splits already, so dividends alone count.
			var given strings.Builder
			given.WriteString("ex,kind,value\n")
			for _, row := range rows[1:] {
				if v := number(t, cmp.Or(row[column("Dividends")], "0")); v > 0 {
					fmt.Fprintf(&given, "%s,dividend,%v\n", row[0][:10], v)
				}
			}
			putFile(t, path, given.String())
			do(t, "actions", "import", path, "--symbol", "X", "--data", data)
			got := closes(t, data, "all")
			worst, days := 0.0, 0
			for day, w := range want {
				if g, ok := got[day]; ok && w > 0 {
					worst, days = max(worst, math.Abs(g/w-1)), days+1
				}
			}
			t.Logf("%d days: differs by %.1e at most", days, worst)
			if days == 0 || worst > 1e-6 { // Yahoo's have seven digits
				t.Errorf("%d days differ by up to %v", days, worst)
			}
			compared++
		})
	}
	if compared == 0 {
		t.Error("no file was compared")
	}
}
