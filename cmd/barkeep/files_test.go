package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// TestFolderHeals repairs a series out of a folder of files: the real ones where
// they are, and made-up ones. What a file has is then stored bit for bit, and what
// it lacks is not called a time without trades.
func TestFolderHeals(t *testing.T) {
	now := series.TimeOf(time.Now()) / series.Hour * series.Hour
	made := t.TempDir()
	var text strings.Builder
	text.WriteString("time,open,high,low,close,volume\n")
	c := minutesOf(3000, now)
	for i := range c.Time {
		if b := c.Bar(i); i < 1000 || i >= 1100 {
			fmt.Fprintf(&text, "%d,%v,%v,%v,%v,%v\n", int64(b.Time), b.Open, b.High, b.Low, b.Close, b.Volume)
		}
	}
	putFile(t, filepath.Join(made, "ABCDEF-1m.csv"), text.String())
	for _, x := range []struct{ dir, file, symbol, interval string }{
		{made, "ABCDEF-1m.csv", "ABC/DEF", "1m"},
		{"binance-2020", "ETH_USDT-5m.json", "ETH/USDT", "5m"},
		{"bittrex-2021", "4ART_BTC-5m.json", "4ART/BTC", "5m"},
		{"cryptodatadownload", "Coinbase_BTCUSD_d.csv", "BTC/USD", "1d"},
	} {
		t.Run(x.file, func(t *testing.T) {
			folder := x.dir
			if folder != made {
				source := filepath.Join(cmp.Or(testData, filepath.Join("..", "..", "..", "shared", "data")), x.dir, x.file)
				b, err := os.ReadFile(source)
				if err != nil {
					t.Skipf("no real market data, give its folder in BARKEEP_TESTDATA: %v", err)
				}
				folder = t.TempDir()
				putFile(t, filepath.Join(folder, x.file), string(b))
			}
			data := t.TempDir()
			interval, err := series.ParseInterval(x.interval)
			if err != nil {
				t.Fatal(err)
			}
			key := series.Key{Symbol: x.symbol, Interval: interval}
			importJSON(t, []string{"import", filepath.Join(folder, x.file), "--symbol", x.symbol, "--interval", x.interval, "--data", data, "--output", "json"})
			truth := storedBars(t, data, key, &storage.Symbol{Sources: []string{"shelf"}})
			n := truth.Len()
			hole := series.Span{From: truth.Time[n/3], To: truth.Time[n/2]}
			s, err := storage.Open(data, storage.Options{})
			if err != nil {
				t.Fatal(err)
			}
			gone, err := s.Delete(t.Context(), key, hole)
			if err != nil || s.Close() != nil {
				t.Fatal(err)
			}
			config := filepath.Join(data, "barkeep.yaml")
			putFile(t, config, fmt.Sprintf("data_healing: {strategy: sources_only}\nendpoints: {own: [{name: shelf, url: %q, provider: files}]}\n", "file://"+filepath.ToSlash(folder)))
			args := []string{"repair", "--symbol", x.symbol, "--interval", x.interval, "--to", (truth.Time[n-1] + 1).String(), "--max-bars", "10000000", "--max-share", "1", "--data", data, "--config", config}
			code, out, errs := run(t, "", args...)
			if code != exitDone || !strings.Contains(out, fmt.Sprintf("%d bars written", gone)) {
				t.Fatalf("%d bars were deleted; exit %d\n%s%s", gone, code, out, errs)
			}
			if err := sameBars(storedBars(t, data, key, nil), truth); err != nil {
				t.Error(err)
			}
			code, out, errs = run(t, "", "coverage", "--symbol", x.symbol, "--interval", x.interval, "--data", data, "--output", "json")
			if code != exitDone || strings.Contains(out, `"no_trade":`) && !strings.Contains(out, `"no_trade":0`) {
				t.Errorf("a folder was believed about what it lacks: %s%s", out, errs)
			}
			t.Logf("%d of %d bars were written again", gone, n)
		})
	}
}

// putFile writes a file that is old enough to be whole.
func putFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(name, old, old); err != nil {
		t.Fatal(err)
	}
}
