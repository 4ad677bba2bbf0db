package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/fetch/fetchtest"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// TestRenamed repairs a series whose symbol had another name at its vendor until
// a day, from which on the old name is that of something else: each part comes
// under its own name, and nothing is asked of a name when it was not right.
func TestRenamed(t *testing.T) {
	day := series.TimeOf(time.Now())/series.Day*series.Day - series.Day
	key := series.Key{Symbol: "COIN/USDT", Interval: series.Interval1m}
	truth := minutesOf(2000, day+1000*series.Minute) // a thousand minutes on each side
	other := series.Columns{}
	for i := range truth.Time {
		other.Append(series.NewBar(truth.Time[i], 7, 8, 6, 7, 1))
	}
	var mu sync.Mutex
	var early, late []string // questions that should not be
	vendor := func(symbol string, c *series.Columns) http.Handler {
		return fetchtest.Vendor("binance-spot", &fetchtest.Market{
			Symbol: symbol, Bars: map[series.Interval]*series.Columns{series.Interval1m: c},
			Now: func() series.Time { return series.TimeOf(time.Now()) },
		})
	}
	old, recent := vendor("OLDUSDT", func() *series.Columns {
		var c series.Columns
		for i := range truth.Time {
			if b := truth.Bar(i); b.Time < day {
				c.Append(b)
			} else {
				c.Append(other.Bar(i))
			}
		}
		return &c
	}()), vendor("NEWUSDT", truth)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		start, _ := strconv.ParseInt(q.Get("startTime"), 10, 64) // 0 where there is none
		end, _ := strconv.ParseInt(q.Get("endTime"), 10, 64)
		mu.Lock()
		switch q.Get("symbol") {
		case "OLDUSDT":
			if series.Time(end) >= day+series.Minute {
				late = append(late, r.URL.RawQuery)
			}
			mu.Unlock()
			old.ServeHTTP(w, r)
			return
		case "NEWUSDT":
			if start != 0 && series.Time(start) < day-series.Minute {
				early = append(early, r.URL.RawQuery)
			}
		}
		mu.Unlock()
		recent.ServeHTTP(w, r)
	}))
	defer web.Close()

	data := t.TempDir()
	s, err := storage.Open(data, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var ours series.Columns
	for i := range truth.Time {
		if i < 700 || i >= 1300 { // the hole is on both sides of the day
			ours.Append(truth.Bar(i))
		}
	}
	if _, err := s.Write(t.Context(), key, &ours, storage.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	date := day.Std().Format(time.DateOnly)
	if err := s.SetSymbol(key.Symbol, storage.Symbol{Sources: []string{"binance-spot=OLDUSDT@.." + date, "binance-spot=NEWUSDT@" + date + ".."}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(data, "barkeep.yaml")
	if err := os.WriteFile(config, []byte(fmt.Sprintf("endpoints: {crypto: [{name: v, url: %q, provider: binance-spot, allow_private: true}]}\n", web.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := run(t, "", "repair", "--symbol", key.Symbol, "--interval", "1m", "--to", truth.Time[1999].String(), "--max-bars", "10000", "--max-share", "1", "--data", data, "--config", config)
	if code != exitDone || !strings.Contains(out, "600 bars written") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if err := sameBars(storedBars(t, data, key, nil), truth); err != nil {
		t.Error(err)
	}
	if len(early)+len(late) > 0 {
		t.Errorf("names were asked for when they were not right: %q %q", early, late)
	}
}

// TestMoved repairs a series whose instrument moved to another venue: before and
// from that day on it is asked for where it was traded then, and nowhere else,
// although other venues are not allowed.
func TestMoved(t *testing.T) {
	day := series.TimeOf(time.Now())/series.Day*series.Day - series.Day
	key := series.Key{Symbol: "COIN/USDT", Interval: series.Interval1m}
	truth := minutesOf(2000, day+1000*series.Minute)
	var mu sync.Mutex
	asked := map[string]int{}
	var config strings.Builder
	config.WriteString("endpoints:\n  crypto:\n")
	for _, name := range []string{"binance-spot", "bybit"} {
		vendor := fetchtest.Vendor(name, &fetchtest.Market{
			Symbol: "COINUSDT", Bars: map[series.Interval]*series.Columns{series.Interval1m: truth},
			Now: func() series.Time { return series.TimeOf(time.Now()) },
		})
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "kline") {
				mu.Lock()
				asked[name]++
				mu.Unlock()
			}
			vendor.ServeHTTP(w, r)
		}))
		defer web.Close()
		fmt.Fprintf(&config, "    - {name: %s, url: %q, provider: %s, allow_private: true}\n", name, web.URL, name)
	}
	data := t.TempDir()
	s, err := storage.Open(data, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var ours series.Columns
	for i := range truth.Time {
		if i < 700 || i >= 1300 { // the hole is on both sides of the day
			ours.Append(truth.Bar(i))
		}
	}
	if _, err := s.Write(t.Context(), key, &ours, storage.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	date := day.Std().Format(time.DateOnly)
	if err := s.SetSymbol(key.Symbol, storage.Symbol{Sources: []string{"binance-spot=COINUSDT@.." + date, "bybit=spot:COINUSDT@" + date + ".."}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(data, "barkeep.yaml")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := run(t, "", "repair", "--symbol", key.Symbol, "--interval", "1m", "--to", truth.Time[1999].String(), "--max-bars", "10000", "--max-share", "1", "--data", data, "--config", file)
	if code != exitDone || !strings.Contains(out, "600 bars written") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	if asked["binance-spot"] == 0 || asked["bybit"] == 0 {
		t.Errorf("asked: %v", asked)
	}
	by := map[string][2]int{} // bars before and from the day on
	code, out, errs = run(t, "", "query", "--symbol", key.Symbol, "--interval", "1m", "--output", "csv", "--data", data)
	if code != exitDone {
		t.Fatalf("exit %d %s", code, errs)
	}
	for _, name := range []string{"binance-spot", "bybit"} {
		for line := range strings.Lines(out) {
			if ms, _ := strconv.ParseInt(strings.SplitN(line, ",", 2)[0], 10, 64); strings.Contains(line, name) {
				n := by[name]
				if series.Time(ms) < day {
					n[0]++
				} else {
					n[1]++
				}
				by[name] = n
			}
		}
	}
	if by["binance-spot"] != [2]int{300, 0} || by["bybit"] != [2]int{0, 300} {
		t.Errorf("bars before and from the day on: %v\n%.300s", by, out)
	}
}

// TestAdjustedAlike: prices that are freed of splits are not healed with those
// that were traded, and the refusal says why.
func TestAdjustedAlike(t *testing.T) {
	now := series.TimeOf(time.Now()) / series.Hour * series.Hour
	key := series.Key{Symbol: "COIN/USDT", Interval: series.Interval1m}
	truth := minutesOf(500, now)
	web := httptest.NewServer(fetchtest.Vendor("binance-spot", &fetchtest.Market{
		Symbol: "COINUSDT", Bars: map[series.Interval]*series.Columns{series.Interval1m: truth}, Now: func() series.Time { return series.TimeOf(time.Now()) },
	}))
	defer web.Close()
	for adjusted, want := range map[series.Adjust]string{
		series.AdjustNone:  "100 bars written",
		series.AdjustSplit: "the stored prices of COIN/USDT are adjusted (split), and those of binance-spot are not so",
	} {
		data := t.TempDir()
		s, err := storage.Open(data, storage.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var ours series.Columns
		for i := range truth.Time {
			if i < 200 || i >= 300 {
				ours.Append(truth.Bar(i))
			}
		}
		if _, err := s.Write(t.Context(), key, &ours, storage.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := s.SetSymbol(key.Symbol, storage.Symbol{Sources: []string{"binance-spot"}, Adjusted: adjusted}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		config := filepath.Join(data, "barkeep.yaml")
		if err := os.WriteFile(config, []byte(fmt.Sprintf("data_healing: {strategy: sources_only}\nendpoints: {crypto: [{name: v, url: %q, provider: binance-spot, allow_private: true}]}\n", web.URL)), 0o600); err != nil {
			t.Fatal(err)
		}
		_, out, errs := run(t, "", "repair", "--symbol", key.Symbol, "--interval", "1m", "--to", now.String(), "--max-bars", "10000", "--max-share", "1", "--data", data, "--config", config)
		if !strings.Contains(out+errs, want) {
			t.Errorf("adjusted %s: no %q in\n%s%s", adjusted, want, out, errs)
		}
	}
}
