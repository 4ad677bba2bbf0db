package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/fetch/fetchtest"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// gappyFiles are real files with holes on the 24x7 grid.
var gappyFiles = []struct {
	file, symbol, interval string
	long                   bool
}{
	{"bittrex-2021/ETH_BTC-1m.json", "ETH/BTC", "1m", false},
	{"bittrex-2021/ETH_BTC-5m.json", "ETH/BTC", "5m", false},
	{"bittrex-2021/4ART_BTC-1m.json", "4ART/BTC", "1m", false},
	{"bittrex-2021/4ART_BTC-5m.json", "4ART/BTC", "5m", false},
	{"binance-2023/BTC_USDT-1m.json", "BTC/USDT", "1m", false},
	{"binance-2023/BTC_USDT-5m.json", "BTC/USDT", "5m", false},
	{"binance-2020/ETH_USDT-5m.json", "ETH/USDT", "5m", false},
	{"bitfinex/LTCUSD-1m-2013.csv.gz", "LTC/USD", "1m", true},
	{"bybit-parquet/ETHUSDT_1m-thin.parquet", "ETH/USDT", "1m", true},
	{"cryptodatadownload/Coinbase_BTCUSD_1h-v2020-10.csv", "BTC/USD", "1h", false},
	{"cryptodatadownload/Coinbase_BTCUSD_d.csv", "BTC/USD", "1d", false},
}

// TestRealFilesAreHealed repairs real files from a simulated vendor at two
// addresses, one of which fails now and then. What the vendor has is the file
// and, in its holes, bars that are made up here: in two of three holes every
// slot traded, in the others half of them or none. The series is then what the
// vendor has, bar for bit, and what did not trade is not called missing.
func TestRealFilesAreHealed(t *testing.T) {
	dir := cmp.Or(testData, filepath.Join("..", "..", "..", "shared", "data"))
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no real market data, give its folder in BARKEEP_TESTDATA: %v", err)
	}
	for i, f := range gappyFiles {
		t.Run(f.file, func(t *testing.T) {
			if testing.Short() && f.long {
				t.Skip("hundreds of thousands of holes: minutes under the race detector; make test runs it")
			}
			data := t.TempDir()
			interval, err := series.ParseInterval(f.interval)
			if err != nil {
				t.Fatal(err)
			}
			key := series.Key{Symbol: f.symbol, Interval: interval}
			importJSON(t, []string{"import", filepath.Join(dir, f.file), "--symbol", f.symbol, "--interval", f.interval, "--data", data, "--output", "json"})
			vendorSymbol := strings.ReplaceAll(f.symbol, "/", "")
			before := storedBars(t, data, key, &storage.Symbol{Sources: []string{"binance-spot=" + vendorSymbol}})
			truth, silent := inHoles(before, interval, rand.New(rand.NewPCG(1, uint64(i))))

			market := &fetchtest.Market{
				Symbol: vendorSymbol, Bars: map[series.Interval]*series.Columns{interval: truth},
				Now: func() series.Time { return series.TimeOf(time.Now()) },
			}
			first := flaky(t, "binance-spot", market, 7, 0)
			second := httptest.NewServer(fetchtest.Vendor("binance-spot", market))
			t.Cleanup(second.Close)
			config := filepath.Join(data, "barkeep.yaml")
			text := "endpoints:\n  crypto:\n"
			for n, url := range []string{first.URL, second.URL} {
				text += fmt.Sprintf("    - {name: e%d, url: %q, provider: binance-spot, priority: %d, allow_private: true}\n", n, url, n)
			}
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			to := (before.Time[before.Len()-1] + 1).String()
			args := []string{"repair", "--symbol", f.symbol, "--interval", f.interval, "--to", to, "--max-bars", "10000000", "--max-share", "1", "--data", data, "--config", config}
			begin := time.Now()
			if code, out, errs := run(t, "", args...); code != exitDone {
				t.Fatalf("exit %d\n%s%s", code, out, errs)
			}
			took := time.Since(begin)

			after := storedBars(t, data, key, nil)
			if err := sameBars(after, truth); err != nil {
				t.Error(err)
			}
			code, out, errs := run(t, "", args...)
			if code != exitDone || !strings.Contains(out, "0 bars written, 0 filled") {
				t.Errorf("again: exit %d\n%s%s", code, out, errs)
			}
			code, out, errs = run(t, "", "coverage", "--symbol", f.symbol, "--interval", f.interval, "--to", to, "--data", data, "--output", "json")
			if code != exitDone {
				t.Fatal(errs)
			}
			var c struct {
				States map[string]int64 `json:"states"`
			}
			if err := json.Unmarshal([]byte(out), &c); err != nil {
				t.Fatal(err)
			}
			// Absence is believed when it was seen twice, half an hour apart, and
			// the rest of a small hole may be made up while reading.
			if c.States["observed"] != int64(truth.Len()) || c.States["unavailable"]+c.States["synthetic"] != silent || c.States["missing"] != 0 {
				t.Errorf("%d bars and %d silent slots became %v", truth.Len(), silent, c.States)
			}
			written := int64(truth.Len() - before.Len())
			t.Logf("%d bars, %d missing: %d written, %d unavailable, %d synthetic; %v", before.Len(), written+silent, written, c.States["unavailable"], c.States["synthetic"], took.Round(time.Millisecond))
		})
	}
}

// storedBars reads a series, and describes its symbol before if symbol is not nil.
func storedBars(t *testing.T, data string, key series.Key, symbol *storage.Symbol) *series.Columns {
	t.Helper()
	s, err := storage.Open(data, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if symbol != nil {
		if err := s.SetSymbol(key.Symbol, *symbol); err != nil {
			t.Fatal(err)
		}
	}
	var c series.Columns
	if err := s.Read(context.Background(), key, series.Span{}, storage.ReadOptions{}, &c); err != nil {
		t.Fatal(err)
	}
	return &c
}

// inHoles returns the bars of c with others in its holes, and the number of
// slots that stay without.
func inHoles(c *series.Columns, interval series.Interval, rng *rand.Rand) (*series.Columns, int64) {
	g := series.Grid{Interval: interval}
	var out series.Columns
	var silent int64
	for i := range c.Time {
		out.Append(c.Bar(i))
		if i+1 == c.Len() {
			break
		}
		share := [...]float64{1, 1, 1, 1, 0.5, 0}[rng.IntN(6)]
		last := c.Close[i]
		for n := g.SlotAt(c.Time[i]) + 1; n < g.SlotAt(c.Time[i+1]); n++ {
			if rng.Float64() >= share {
				silent++
				continue
			}
			b := series.NewBar(g.Time(n), last, last, last, last*math.Exp(rng.NormFloat64()*1e-5), 0.25+float64(rng.IntN(1000))/8)
			b.High, b.Low = max(b.Open, b.Close), min(b.Open, b.Close)
			out.Append(b)
		}
	}
	return &out, silent
}

func sameBars(got, want *series.Columns) error {
	for i := range min(got.Len(), want.Len()) {
		g, w := got.Bar(i), want.Bar(i)
		if g.Time != w.Time || g.Open != w.Open || g.High != w.High || g.Low != w.Low || g.Close != w.Close || g.Volume != w.Volume {
			return fmt.Errorf("bar %d is %+v, want %+v", i, g, w)
		}
	}
	if got.Len() != want.Len() {
		return fmt.Errorf("%d bars, want %d", got.Len(), want.Len())
	}
	return nil
}
