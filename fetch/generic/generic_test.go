package generic_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/generic"
	"github.com/barkeepdb/barkeep/series"
)

const noon = series.Time(1_700_049_600_000) // 2023-11-15 12:00 UTC

const lists = `
name: acme
title: Acme Exchange
url: https://api.acme.example
path: /v1/bars/{symbol}
query: tf={interval}&from={from}&to={to}&page={cursor}
intervals: {1m: "60", 1h: "3600"}
times: s
to_inclusive: true
max_bars: 500
rows: data.candles
columns: {time: "0", open: "1", high: "2", low: "3", close: "4", volume: "5"}
time: s
next: data.next
errors:
  - {path: error, contains: slow down, kind: RateLimited}
  - {path: error, kind: BadRequest}
rate_limit_requests: 10
rate_limit_window_seconds: 1
`

func read(t *testing.T, text string) (fetch.Provider, error) {
	t.Helper()
	var c generic.Config
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		t.Fatal(err)
	}
	return generic.New(c)
}

func ask(t *testing.T, p fetch.Provider) fetch.Request {
	t.Helper()
	r, err := p.Request(fetch.Query{Symbol: "BTC/USD", Interval: series.Interval1m, Span: series.Span{From: noon, To: noon + 3*series.Minute}, Cursor: "a&b"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func answer(p fetch.Provider, status int, body string) (fetch.Page, error) {
	return p.Page(fetch.Query{Symbol: "X", Interval: series.Interval1m}, fetch.Answer{Status: status, Header: http.Header{}, Body: []byte(body)})
}

func TestLists(t *testing.T) {
	p, err := read(t, lists)
	if err != nil {
		t.Fatal(err)
	}
	if r := ask(t, p); r.Path != "/v1/bars/BTC%2FUSD" || r.Query != "tf=60&from=1700049600&to=1700049720&page=a%26b" {
		t.Errorf("it asks %s?%s", r.Path, r.Query)
	}
	if i := p.Info(); i.MaxBars != 500 || !i.Paged || i.Limits[0].Cost != 10 || i.Auth != fetch.AuthNone {
		t.Errorf("info %+v", i)
	}
	page, err := answer(p, 200, `{"data":{"candles":[[1700049600,1,2,0.5,1.5,"9"],[1700049660,1,2,0.5]],"next":"p2"}}`)
	if err != nil || len(page.Rows) != 1 || len(page.Refused) != 1 || page.Next != "p2" || page.Rows[0].Close != 1.5 || page.Rows[0].Time != noon {
		t.Errorf("%+v, %v", page, err)
	}
	for _, x := range []struct {
		status int
		body   string
		kind   fetch.Kind
	}{
		{200, `{"error":"please SLOW DOWN"}`, fetch.RateLimited},
		{200, `{"error":"no"}`, fetch.BadRequest},
		{404, `{}`, fetch.UnknownSymbol},
		{200, `<html>`, fetch.Unavailable},
		{200, `{"data":{}}`, fetch.Unavailable},
		{200, `{"data":{"candles":[1]}}`, fetch.Unavailable},
	} {
		_, err := answer(p, x.status, x.body)
		var e *fetch.Error
		if !errors.As(err, &e) || e.Kind != x.kind || e.Provider != "acme" {
			t.Errorf("%d %s is %v, want %v", x.status, x.body, err, x.kind)
		}
	}
}

// TestShapes: the same bar in every shape.
func TestShapes(t *testing.T) {
	const head = "name: a\nurl: https://a.example\npath: /{symbol}\nintervals: {1m: m}\n"
	for name, x := range map[string]struct{ config, body string }{
		"objects":  {"columns: {time: t, open: ohlc.o, high: ohlc.h, low: ohlc.l, close: ohlc.c, volume: v, trades: n}\n", `[{"t":1700049600000,"ohlc":{"o":1,"h":2,"l":0.5,"c":1.5},"v":9,"n":3}]`},
		"columnar": {"shape: columns\ntime: s\ncolumns: {time: t, open: o, high: h, low: l, close: c, volume: v}\n", `{"s":"ok","t":[1700049600],"o":[1],"h":[2],"l":[0.5],"c":[1.5],"v":[9]}`},
		"keyed":    {"shape: keyed\nrows: Series\ntime: datetime\ncolumns: {open: 1. open, high: 2. high, low: 3. low, close: 4. close, volume: 5. volume}\n", ``},
		"csv":      {"format: csv\ntime: rfc3339\ncolumns: {time: Date, open: Open, high: High, low: Low, close: Close, volume: Volume}\n", "Date,Open,High,Low,Close,Volume\n2023-11-15T12:00:00Z,1,2,0.5,1.5,9\n"},
		"bare csv": {"format: csv\ntime: us\ncolumns: {time: \"0\", open: \"1\", high: \"2\", low: \"3\", close: \"4\", volume: \"5\"}\n", "1700049600000000,1,2,0.5,1.5,9\n"},
	} {
		if name == "keyed" { // a path has no dots in its names
			x.config = strings.NewReplacer("1. ", "", "2. ", "", "3. ", "", "4. ", "", "5. ", "").Replace(x.config)
			x.body = `{"Meta":{},"Series":{"2023-11-15 12:00:00":{"open":"1","high":"2","low":"0.5","close":"1.5","volume":"9"}}}`
		}
		p, err := read(t, head+x.config)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		page, err := answer(p, 200, x.body)
		if err != nil || len(page.Rows) != 1 {
			t.Errorf("%s: %+v, %v", name, page, err)
			continue
		}
		if r := page.Rows[0]; r.Time != noon || r.Open != 1 || r.High != 2 || r.Low != 0.5 || r.Close != 1.5 || r.Volume != 9 {
			t.Errorf("%s: %+v", name, r)
		}
	}
	p, err := read(t, head+"shape: columns\ncolumns: {time: t, open: o, high: o, low: o, close: o}\n")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := answer(p, 200, `{"t":[1700049600000,1700049660000],"o":[1]}`); err == nil {
		t.Error("columns of two lengths are taken")
	}
}

// TestKey: a key has its place and is nowhere else.
func TestKey(t *testing.T) {
	p, err := read(t, "name: a\nurl: https://a.example\npath: /{symbol}\nquery: k={key}\nheaders: {Authorization: \"Bearer {key}\"}\nintervals: {1m: m}\ncolumns: {time: \"0\", open: \"1\", high: \"2\", low: \"3\", close: \"4\"}\n")
	if err != nil {
		t.Fatal(err)
	}
	if p.Info().Auth != fetch.AuthKey {
		t.Error("it does not say that it needs a key")
	}
	r := ask(t, p)
	if err := p.(fetch.Signer).Sign(&r, "", fetch.Credentials{Key: fetch.NewSecret("s3&cret")}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if r.Query != "k=s3%26cret" || r.Header.Get("Authorization") != "Bearer s3&cret" {
		t.Errorf("signed is %s %v", r.Query, r.Header)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, x := range []struct{ old, new, err string }{
		{"name: acme", "name: \"\"", "name: is missing"},
		{"https://api.acme.example", "api.acme.example", "url: this is not an address"},
		{"https://api.acme.example", "https://u:p@api.acme.example", "url:"},
		{"path: /v1", "path: v1", "path: \"v1/bars/{symbol}\" does not begin with /"},
		{"{from}", "{start}", "query: {start} is unknown: use {symbol}"},
		{"/{symbol}", "/x", "{symbol} is nowhere"},
		{"times: s", "times: seconds", "times: \"seconds\" is not one of s, ms"},
		{"1m: \"60\"", "1min: \"60\"", "intervals:"},
		{"intervals: {1m: \"60\", 1h: \"3600\"}", "intervals: {}", "intervals: is empty"},
		{"volume: \"5\"", "vol: \"5\"", "columns: \"vol\" is unknown: use time, open"},
		{", close: \"4\"", "", "columns: close is missing"},
		{"max_bars: 500", "max_bars: -1", "max_bars: -1 is below 0"},
		{"rate_limit_requests: 10", "rate_limit_requests: 0", "rate_limit_requests: give"},
		{"rows: data", "empty: maybe\nrows: data", "empty: \"maybe\" is not one of omitted"},
		{"rows: data", "format: xml\nrows: data", "format: \"xml\" is not one of json, csv"},
		{"rows: data", "shape: table\nrows: data", "shape: \"table\""},
	} {
		text := strings.Replace(lists, x.old, x.new, 1)
		if text == lists {
			t.Fatalf("%q is not in the configuration", x.old)
		}
		if _, err := read(t, text); err == nil || !strings.Contains(err.Error(), x.err) {
			t.Errorf("%q: %v, want %s", x.new, err, x.err)
		}
	}
}
