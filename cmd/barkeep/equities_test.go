package main

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/fetch/fetchtest"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// stock is five years of days of a share of the New York Stock Exchange with one
// split, and a month of its minutes.
type stock struct {
	days, minutes *series.Columns
	split         series.Action
}

func newStock(t *testing.T, now series.Time) *stock {
	t.Helper()
	cal, err := series.CalendarByName("XNYS")
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(5, 1))
	s := &stock{days: &series.Columns{}, minutes: &series.Columns{}}
	s.split = series.Action{Kind: series.Split, Ratio: 4}
	price := 400.0
	bar := func(at series.Time, step float64, volume int) series.Bar {
		o := math.Round(price*100) / 100
		price *= math.Exp(step * rnd.NormFloat64())
		c := math.Round(price*100) / 100
		h, l := max(o, c)+float64(rnd.IntN(200))/100*step*10, min(o, c)-float64(rnd.IntN(200))/100*step*10
		return series.NewBar(at, o, math.Round(h*100+0.5)/100, math.Round(l*100-0.5)/100, c, float64(volume+rnd.IntN(volume)))
	}
	var last []series.Session
	n := 0
	for x := range cal.Sessions(series.Span{From: now - 5*366*series.Day, To: now}) {
		if x.Close > now-series.Day { // of today nobody speaks yet
			break
		}
		if n++; n == 900 {
			s.split.Ex, price = x.Date, price/4
		}
		s.days.Append(bar(x.Date, 0.015, 1_000_000))
		last = append(last, x)
	}
	for _, x := range last[len(last)-21:] {
		for at := x.Open; at < x.Close; at += series.Minute {
			s.minutes.Append(bar(at, 0.0005, 1000))
		}
	}
	return s
}

// adjusted frees the bars of the split.
func (s *stock) adjusted(c *series.Columns) *series.Columns {
	out := &series.Columns{}
	series.NewFactors([]series.Factor{{At: s.split.Ex, Keep: 1, Ratio: s.split.Ratio}}).Apply(out, c)
	return out
}

// lie changes what a vendor knows.
func lie(c *series.Columns, change func(b *series.Bar, n int)) *series.Columns {
	out := &series.Columns{}
	for n := range c.Time {
		b := c.Bar(n)
		change(&b, n)
		out.Append(b)
	}
	return out
}

func scaled(f float64) func(*series.Columns) *series.Columns {
	return func(c *series.Columns) *series.Columns {
		return lie(c, func(b *series.Bar, _ int) { b.Open, b.High, b.Low, b.Close = b.Open*f, b.High*f, b.Low*f, b.Close*f })
	}
}

// late gives each bar the values of the one before.
func late(c *series.Columns) *series.Columns {
	return lie(c, func(b *series.Bar, n int) {
		if n > 0 {
			at := b.Time
			*b = c.Bar(n - 1)
			b.Time = at
		}
	})
}

// TestFiveSources backfills five years of days and a month of minutes of a share
// from five vendors, of which one bans, one refuses for want of a plan, two lie
// in different ways and one is right; the prices as traded, and those that the
// vendors freed of a split. What stands in the store is what the right one says,
// and the prices as traded, adjusted while reading, are the adjusted ones.
func TestFiveSources(t *testing.T) {
	now := series.TimeOf(time.Now())
	s := newStock(t, now)
	type source struct {
		provider string
		what     string // does what
		banned   bool
		denied   bool
		lie      func(*series.Columns) *series.Columns
	}
	configured := []source{
		{provider: "alphavantage", what: "not entitled", denied: true}, // the first is of another venue than the rest
		{provider: "polygon", what: "bans", banned: true},
		{provider: "eodhd", what: "a thousandth too high", lie: scaled(1.001)},
		{provider: "tiingo", what: "one bar late", lie: late},
		{provider: "alpaca", what: "right"},
		{provider: "twelvedata", what: "not entitled", denied: true},
		{provider: "polygon-split", what: "bans", banned: true},
		{provider: "yahoo", what: "in cents", lie: scaled(100)},
		{provider: "finnhub", what: "one bar late", lie: late},
		{provider: "alpaca-split", what: "right"},
	}
	var mu sync.Mutex
	asked := map[string]int{}
	var config strings.Builder
	fmt.Fprintf(&config, "data_healing: {allow_other_venues: true}\nendpoints:\n  equities:\n")
	t.Setenv("TEST_KEY", "a key")
	for i, x := range configured {
		m := &fetchtest.Market{Symbol: "IBM", Now: func() series.Time { return series.TimeOf(time.Now()) }, Denied: x.denied, Delay: 15 * series.Minute}
		m.Actions = []series.Action{s.split}
		m.Bars = map[series.Interval]*series.Columns{series.Interval1d: s.days, series.Interval1m: s.minutes}
		if x.lie != nil {
			for iv, c := range m.Bars {
				m.Bars[iv] = x.lie(c)
			}
		}
		if strings.HasPrefix(x.provider, "eodhd") { // its volumes are freed of splits, its prices are not
			m.Actions = nil
		}
		vendor := fetchtest.Vendor(x.provider, m)
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			asked[x.provider]++
			mu.Unlock()
			if x.banned {
				w.Header().Set("Retry-After", "3600")
				w.WriteHeader(http.StatusTeapot)
				return
			}
			vendor.ServeHTTP(w, r)
		}))
		defer web.Close()
		fmt.Fprintf(&config, "    - {name: e%d, url: %q, provider: %s, priority: %d, allow_private: true, api_key_env: TEST_KEY, api_secret_env: TEST_KEY}\n", i, web.URL, x.provider, i)
	}
	data := t.TempDir()
	file := filepath.Join(data, "barkeep.yaml")
	if err := os.WriteFile(file, []byte(config.String()), 0o600); err != nil {
		t.Fatal(err)
	}

	// What the user has: the last sessions, from a file of their own.
	db, err := storage.Open(data, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	truth := map[series.Key]*series.Columns{}
	for symbol, adjusted := range map[string]series.Adjust{"IBM": series.AdjustNone, "IBM.A": series.AdjustSplit} {
		var sources []string
		for i, x := range configured {
			if i/5 == int(adjusted) {
				sources = append(sources, x.provider+"=IBM")
			}
		}
		if err := db.SetSymbol(symbol, storage.Symbol{Calendar: "XNYS", Sources: sources, Adjusted: adjusted}); err != nil {
			t.Fatal(err)
		}
		for iv, c := range map[series.Interval]*series.Columns{series.Interval1d: s.days, series.Interval1m: s.minutes} {
			key := series.Key{Symbol: symbol, Interval: iv}
			if truth[key] = c; adjusted == series.AdjustSplit {
				truth[key] = s.adjusted(c)
			}
			var seed series.Columns
			for n := truth[key].Len() - 12; n < truth[key].Len(); n++ {
				seed.Append(truth[key].Bar(n))
			}
			if _, err := db.Write(t.Context(), key, &seed, storage.WriteOptions{Source: "own.csv"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	for key, want := range truth {
		code, out, errs := run(t, "", "repair", "--symbol", key.Symbol, "--interval", key.Interval.String(), "--from", want.Time[0].String(),
			"--max-bars", "100000", "--max-share", "1", "--data", data, "--config", file)
		if code != exitDone {
			t.Errorf("%s: exit %d\n%s%s", key, code, out, errs)
		}
	}

	db, err = storage.Open(data, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	used := map[string]map[string]int{}
	for key, want := range truth {
		var got series.Columns
		if err := db.Read(t.Context(), key, series.Span{}, storage.ReadOptions{}, &got); err != nil {
			t.Fatal(err)
		}
		if err := sameBars(&got, want); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		for n := range got.Time {
			name := db.SourceName(got.Bar(n).Prov.Source())
			if used[name] == nil {
				used[name] = map[string]int{}
			}
			used[name][key.String()]++
		}
	}
	for _, x := range configured {
		bars := used[x.provider]
		if x.what == "right" && len(bars) != 2 || x.what != "right" && len(bars) > 0 {
			t.Errorf("%s, which is %s, gave %v", x.provider, x.what, bars)
		}
		t.Logf("| %s | %s | %d requests | %v |", x.provider, x.what, asked[x.provider], bars)
	}
	for _, x := range configured {
		if asked[x.provider] == 0 {
			t.Errorf("%s was never asked", x.provider)
		}
	}
	t.Logf("| own.csv | | | %v |", used["own.csv"])
	if names := slices.Sorted(maps.Keys(used)); !slices.Equal(names, []string{"alpaca", "alpaca-split", "own.csv"}) {
		t.Errorf("sources are %v", names)
	}
}
