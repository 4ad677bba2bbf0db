package block_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/storage/block"
)

// bar is a row of a real file.
type bar struct {
	slot                           int // bars of the interval since the epoch
	open, high, low, close, volume float64
}

// dataDir returns the folder of real market data: $BARKEEP_TESTDATA, or a
// checkout of it beside the repository. The data may not be redistributed, so
// the tests that need it are skipped where it is absent.
func dataDir(t testing.TB) string {
	dir := os.Getenv("BARKEEP_TESTDATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no real market data: %v", err)
	}
	return dir
}

// realSizes names real files and the most bytes per bar, all in, that blocks
// of 1440 slots may take of them.
var realSizes = []struct {
	path     string
	interval time.Duration
	limit    float64
}{
	{"binance-2023/BTC_USDT-1m.json", time.Minute, 6.56},
	{"binance-2023/BTC_USDT-5m.json", 5 * time.Minute, 7.93},
	{"bitfinex/LTCUSD-1m-2013.csv.gz", time.Minute, 8.45}, // 84 bars a day
	{"bitfinex/NEOUSD-1m-2017.csv.gz", time.Minute, 7.37},
	{"nautilus/6EH4.XCME_1min_bars_20240101_20240131.csv.gz", time.Minute, 2.16},
	{"lean/future/cme/minute/es", time.Minute, 2.25},
	{"lean/equity/usa/minute/spy", time.Minute, 4.11},
	{"bittrex-2021/ETH_BTC-1m.json", time.Minute, 8.58},
	{"bittrex-2021/4ART_BTC-1m.json", time.Minute, 0.65},
	{"ejtrader/EURCHFh4.csv", 4 * time.Hour, 6.10},
}

func TestRealSizes(t *testing.T) {
	dir := dataDir(t)
	for _, f := range realSizes {
		t.Run(f.path, func(t *testing.T) {
			bars := realBars(t, filepath.Join(dir, f.path), f.interval)
			var sealed, hot int
			blocks := splitBlocks(bars, 1440)
			for _, c := range blocks {
				sealed += len(check(t, c))
				e := block.Encoder{Mode: block.Hot}
				data, err := e.Encode(nil, key, c)
				if err != nil {
					t.Fatal(err)
				}
				hot += len(data)
			}
			n := float64(len(bars))
			t.Logf("%d bars in %d blocks: sealed %.3f B/bar, hot %.3f", len(bars), len(blocks), float64(sealed)/n, float64(hot)/n)
			if float64(sealed)/n > f.limit {
				t.Errorf("sealed blocks take %.3f B/bar, at most %.3f", float64(sealed)/n, f.limit)
			}
		})
	}
}

// splitBlocks cuts bars, which ascend, into blocks of width slots.
func splitBlocks(bars []bar, width int) []*block.Columns {
	var out []*block.Columns
	last := -1
	for _, b := range bars {
		if b.slot/width != last {
			last = b.slot / width
			out = append(out, &block.Columns{})
		}
		c := out[len(out)-1]
		c.Slot = append(c.Slot, uint16(b.slot%width))
		c.Open, c.High = append(c.Open, b.open), append(c.High, b.high)
		c.Low, c.Close = append(c.Low, b.low), append(c.Close, b.close)
		c.Volume = append(c.Volume, b.volume)
		c.Prov = append(c.Prov, 1)
	}
	return out
}

// realBars reads a file, or the first file of each archive of a folder, and
// drops rows that do not ascend or are off the grid.
func realBars(t testing.TB, path string, interval time.Duration) []bar {
	t.Helper()
	var bars []bar
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		names, _ := filepath.Glob(filepath.Join(path, "*.zip"))
		for day, name := range names {
			for _, b := range realRows(t, name, interval) {
				b.slot += day * int(24*time.Hour/interval)
				bars = append(bars, b)
			}
		}
	} else {
		bars = realRows(t, path, interval)
	}
	sort.SliceStable(bars, func(i, j int) bool { return bars[i].slot < bars[j].slot })
	out := bars[:0]
	for _, b := range bars {
		if len(out) == 0 || b.slot > out[len(out)-1].slot {
			out = append(out, b)
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s: no bars", path)
	}
	return out
}

func realRows(t testing.TB, path string, interval time.Duration) []bar {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	switch filepath.Ext(path) {
	case ".json":
		var rows [][6]float64
		if err := json.Unmarshal(raw, &rows); err != nil {
			t.Fatal(err)
		}
		var bars []bar
		for _, r := range rows {
			bars = append(bars, bar{int(int64(r[0]) / interval.Milliseconds()), r[1], r[2], r[3], r[4], r[5]})
		}
		return bars
	case ".gz":
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	case ".zip":
		z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			t.Fatal(err)
		}
		f, err := z.File[0].Open()
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = io.ReadAll(f); err != nil {
			t.Fatal(err)
		}
	}
	return csvBars(t, path, raw, interval)
}

func csvBars(t testing.TB, path string, raw []byte, interval time.Duration) []bar {
	t.Helper()
	r := csv.NewReader(bytes.NewReader(raw))
	if bytes.IndexByte(raw[:bytes.IndexByte(raw, '\n')], '\t') >= 0 {
		r.Comma = '\t'
	}
	r.FieldsPerRecord = -1
	records, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var bars []bar
	for _, rec := range records {
		ms, ok := parseTime(rec[0])
		if !ok || len(rec) < 6 {
			continue
		}
		var v [5]float64
		for i := range v {
			if v[i], err = strconv.ParseFloat(rec[i+1], 64); err != nil {
				t.Fatal(err)
			}
		}
		b := bar{int(ms / interval.Milliseconds()), v[0], v[1], v[2], v[3], v[4]}
		if strings.Contains(path, "bitfinex") { // open, close, high, low
			b.close, b.high, b.low = v[1], v[2], v[3]
		}
		bars = append(bars, b)
	}
	return bars
}

func parseTime(s string) (ms int64, ok bool) {
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return ms, true
	}
	for _, layout := range []string{time.DateTime, "2006-01-02 15:04", "2006.01.02 15:04", time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UnixMilli(), true
		}
	}
	return 0, false
}
