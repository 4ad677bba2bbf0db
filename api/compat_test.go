package api

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

const compatStart series.Time = 1704067200000 // 2024-01-01

// compatServer holds 2,000 minutes of a pair, and a symbol without a quote.
func compatServer(t *testing.T) *Server {
	t.Helper()
	s := memoryServer(t)
	c := &series.Columns{}
	for i := range 2000 {
		p := 100 + float64(i)/100
		b := series.NewBar(compatStart+series.Time(i)*series.Minute, p, p+0.5, p-0.5, p+0.25, 1.5)
		b.Trades = 7
		c.Append(b)
	}
	for _, symbol := range []string{"BTC/USDT", "AAPL"} {
		if _, err := s.store.Write(t.Context(), series.Key{Symbol: symbol, Interval: series.Interval1m}, c, storage.WriteOptions{Source: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func get(t *testing.T, s *Server, path string, to any) int {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil))
	if to != nil {
		if err := json.Unmarshal(w.Body.Bytes(), to); err != nil {
			t.Fatalf("%s: %v: %s", path, err, w.Body)
		}
	}
	return w.Code
}

func TestBinance(t *testing.T) {
	s := compatServer(t)
	at := func(i int) int64 { return int64(compatStart) + int64(i)*60_000 }
	for _, c := range []struct {
		query       string
		first, last int
	}{
		{"", 1500, 1999},
		{"&limit=3", 1997, 1999},
		{"&limit=5000", 1000, 1999},
		{fmt.Sprintf("&startTime=%d", at(10)), 10, 509},
		{fmt.Sprintf("&startTime=%d&limit=2", at(10)+1), 11, 12},
		{fmt.Sprintf("&endTime=%d&limit=2", at(10)), 9, 10}, // inclusive
		{fmt.Sprintf("&startTime=%d&endTime=%d", at(10), at(12)), 10, 12},
	} {
		var rows [][12]any
		if code := get(t, s, "/compat/binance/api/v3/klines?symbol=BTCUSDT&interval=1m"+c.query, &rows); code != 200 || len(rows) != c.last-c.first+1 {
			t.Errorf("%s: %d, %d rows", c.query, code, len(rows))
			continue
		}
		if first, last := int64(rows[0][0].(float64)), int64(rows[len(rows)-1][0].(float64)); first != at(c.first) || last != at(c.last) {
			t.Errorf("%s: from %d to %d", c.query, first, last)
		}
		if r := rows[0]; int64(r[6].(float64)) != at(c.first+1)-1 || r[5] != "1.50000000" || r[8].(float64) != 7 || r[11] != "0" {
			t.Errorf("%s: %v", c.query, r)
		}
	}
	var rows [][12]any
	if code := get(t, s, "/compat/binance/api/v3/klines?symbol=BTCUSDT&interval=1h&limit=1", &rows); code != 200 || rows[0][1] != "119.80000000" {
		t.Error(code, rows)
	}
	for query, want := range map[string]int{
		"interval=1m": -1102, "symbol=BTCUSDT": -1102, "symbol=NOPE&interval=1m": -1121, "symbol=BTCUSDT&interval=7m": -1120,
		"symbol=BTCUSDT&interval=1m&limit=x": -1100, "symbol=BTCUSDT&interval=1m&startTime=-1": -1100,
	} {
		var e struct {
			Code int
			Msg  string
		}
		if code := get(t, s, "/compat/binance/api/v3/klines?"+query, &e); code != 400 || e.Code != want || e.Msg == "" {
			t.Errorf("%s: %d, %+v", query, code, e)
		}
	}
	var info struct {
		Symbols []struct{ Symbol, Status, BaseAsset, QuoteAsset string }
	}
	if code := get(t, s, `/compat/binance/api/v3/exchangeInfo?symbols=["BTCUSDT"]`, &info); code != 200 || len(info.Symbols) != 1 || info.Symbols[0].BaseAsset != "BTC" || info.Symbols[0].QuoteAsset != "USDT" {
		t.Error(code, info)
	}
	if code := get(t, s, `/compat/binance/api/v3/exchangeInfo?symbol=NOPE`, nil); code != 400 {
		t.Error(code)
	}
}

// TestUDF walks the protocol as a chart does: symbol, history, further back
// until there is nothing.
func TestUDF(t *testing.T) {
	s := compatServer(t)
	var sym udfSymbol
	if get(t, s, "/udf/symbols?symbol=BTC/USDT", &sym); sym.PriceScale != 100 || !sym.Intraday || !sym.Daily || sym.Seconds || sym.Session != "24x7" {
		t.Errorf("%+v", sym)
	}
	var found []struct{ Symbol string }
	if get(t, s, "/udf/search?query=btcu&limit=5", &found); len(found) != 1 || found[0].Symbol != "BTC/USDT" {
		t.Error(found)
	}
	type history struct {
		S        string
		Errmsg   string
		T        []int64
		C        []float64
		NextTime int64
	}
	from := int64(compatStart / 1000)
	to, seen := from+2000*60, 0
	for range 10 {
		var h history
		get(t, s, fmt.Sprintf("/udf/history?symbol=BTC/USDT&resolution=1&from=%d&to=%d&countback=300", to-60, to), &h)
		if h.S == "no_data" {
			break
		}
		if h.S != "ok" || len(h.T) > 300 || h.T[len(h.T)-1] >= to {
			t.Fatalf("%+v", h)
		}
		seen += len(h.T)
		to = h.T[0]
	}
	if seen != 2000 {
		t.Errorf("%d bars", seen)
	}
	var h history
	if get(t, s, fmt.Sprintf("/udf/history?symbol=BTC/USDT&resolution=60&from=%d&to=%d", from, from+7200), &h); h.S != "ok" || len(h.T) != 2 {
		t.Errorf("%+v", h)
	}
	h = history{}
	if get(t, s, fmt.Sprintf("/udf/history?symbol=BTC/USDT&resolution=1D&from=%d&to=%d", from+86400*10, from+86400*11), &h); h.S != "no_data" || h.NextTime != from+86400 {
		t.Errorf("%+v", h)
	}
	h = history{}
	if get(t, s, "/udf/history?symbol=NOPE&resolution=1&from=0&to=1", &h); h.S != "error" || h.Errmsg != "unknown_symbol" {
		t.Errorf("%+v", h)
	}
	if get(t, s, "/udf/history?symbol=AAPL&resolution=7&from=0&to=1", &h); h.S != "error" {
		t.Errorf("%+v", h)
	}
	var cols map[string][]any
	if get(t, s, "/udf/symbol_info?group=x", &cols); len(cols["symbol"]) != 2 || len(cols["pricescale"]) != 2 {
		t.Error(cols)
	}
}

func TestLines(t *testing.T) {
	s := compatServer(t)
	post := func(query, body string) (int, string) {
		r := httptest.NewRequest(http.MethodPost, "http://localhost/api/v2/write"+query, strings.NewReader(body))
		r.Header.Set("Authorization", "Token barkeep_test-token")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	const fields = "open=1,high=2,low=0.5,close=1.5,volume=3i,note=\"a b,c\""
	code, body := post("?precision=s", "# words\n\nSOL/USDT,interval=1m,source=feed "+fields+" 1700000040\nSOL/USDT,interval=5m "+fields+" 1700000100\n")
	if code != 204 {
		t.Fatal(code, body)
	}
	for interval, source := range map[string]string{"1m": "feed", "5m": "influx"} {
		var v struct {
			Bars []struct {
				Open, Volume float64
				Source       string
			}
		}
		if get(t, s, "/v1/bars?symbol=SOL/USDT&interval="+interval, &v); len(v.Bars) != 1 || v.Bars[0].Open != 1 || v.Bars[0].Volume != 3 || v.Bars[0].Source != source {
			t.Errorf("%s: %+v", interval, v)
		}
	}
	for body, want := range map[string]string{
		"A " + fields + " 1700000040":                                  "line 1: the tag interval is missing",
		"A,interval=7m " + fields + " 1700000040":                      "line 1: interval",
		"A,interval=1m " + fields:                                      "timestamp is missing",
		"A,interval=1m open=1 1700000040":                              "the field high is missing",
		"B,interval=1m " + fields + " 1700000040\nA,interval=1m x y":   "line 2",
		"A,interval=1m open=NaN,high=1,low=1,close=1,volume=1 1700000": "open is NaN",
		"A,interval=1m": "there are no fields",
	} {
		if code, got := post("?precision=s", body); code != 400 || !strings.Contains(got, want) {
			t.Errorf("%q: %d %s", body, code, got)
		}
	}
	if code, body := post("?precision=ns", "A,interval=1m "+fields+" 1700000040000000001"); code != 400 || !strings.Contains(body, "precision") {
		t.Error(code, body)
	}
	if code := get(t, s, "/v1/series?symbol=B", nil); code != 404 {
		t.Error("lines before a wrong one were written")
	}
}

func FuzzLine(f *testing.F) {
	f.Add("A,interval=1m open=1,high=2,low=0.5,close=1.5,volume=3i 1700000040", 1e9)
	f.Add(`A\ B\,C,interval=1m,so\=urce=x open=1,n="a \" b,c",high=2,low=0.5,close=1.5,volume=3 1`, 1.0)
	f.Fuzz(func(t *testing.T, text string, unit float64) {
		switch unit {
		case 1, 1e3, 1e6, 1e9, 60e9, 3600e9:
		default:
			return
		}
		k, bar, err := parseLine(text, unit)
		if err != nil {
			return
		}
		if k.key.Check() != nil || bar.Check() != nil || bar.Time < series.MinTime || bar.Time > series.MaxTime || math.IsNaN(bar.Open) {
			t.Errorf("%q is taken for %v %+v", text, k, bar)
		}
	})
}
