// Package bitstamp reads OHLC data of Bitstamp.
package bitstamp

import (
	"strconv"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

// Provider is Bitstamp. It gives the newest rows up to an end and ignores the
// start; a minute without trade carries a price of later.
func Provider() fetch.Provider {
	v := &wire.Vendor{}
	v.Facts = fetch.Info{
		Name: "bitstamp", Title: "Bitstamp", Venue: "BITSTAMP",
		Document: "bitstamp.net/api, OHLC data; ccxt issue 20222 (read 2026-08)",
		Hosts:    []string{"https://www.bitstamp.net"},
		Intervals: map[series.Interval]string{
			series.Interval1m: "60", series.Interval3m: "180", series.Interval5m: "300", series.Interval15m: "900", series.Interval30m: "1800",
			series.Interval1h: "3600", series.Interval2h: "7200", series.Interval4h: "14400", series.Interval6h: "21600", series.Interval12h: "43200",
			series.Interval1d: "86400", series.Interval3d: "259200",
		},
		MaxBars: 999, ToInclusive: true, EndAnchored: true, Empty: fetch.EmptyInvented, Grace: 2 * time.Second, Auth: fetch.AuthNone,
		Limits: []fetch.Limit{{Cost: 400, Window: time.Second, Scope: fetch.PerIP}, {Cost: 8000, Window: 10 * time.Minute, Scope: fetch.PerIP}},
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		step, err := strconv.ParseInt(name, 10, 64)
		if err != nil {
			return fetch.Request{}, err
		}
		end := int64(q.Span.To)/1000 - step
		n := (int64(q.Span.To-q.Span.From)/1000 + step - 1) / step
		return fetch.Request{
			Path:  "/api/v2/ohlc/" + strings.ToLower(q.Symbol) + "/",
			Query: wire.Form("step", name, "limit", strconv.FormatInt(max(1, min(n, 1000)), 10), "end", strconv.FormatInt(end, 10)),
		}, nil
	}
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Unit: wire.Seconds}
	v.Read = func(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
		f := wire.Status(a)
		body, err := wire.Document(a.Body)
		if err != nil {
			if f != nil {
				return fetch.Page{}, f
			}
			return fetch.Page{}, err
		}
		data, ok := wire.Member(body, "data")
		if !ok || f != nil {
			return fetch.Page{}, fault(f, body)
		}
		list, ok := wire.Member(data, "ohlc")
		if !ok {
			return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the answer holds no ohlc")
		}
		return layout.Objects(list, "timestamp", "open", "high", "low", "close", "volume")
	}
	v.Alive = fetch.Request{Path: "/api/v2/ticker/btcusd/", Class: "health"}
	v.Symbol = func(base, quote string) string { return strings.ToLower(base + quote) }
	return v
}

// fault reads an error: {"status":"error","reason":...,"code":...}, or a list
// of errors with field and code.
func fault(f *fetch.Error, body []byte) error {
	text, code := "", ""
	for _, key := range [...]string{"reason", "message", "error"} {
		if x, ok := wire.Member(body, key); ok && text == "" {
			text = wire.Text(x)
		}
	}
	if x, ok := wire.Member(body, "code"); ok {
		code = wire.Text(x)
	}
	kind := fetch.BadRequest
	if f != nil {
		kind = f.Kind
	}
	switch low := strings.ToLower(code + " " + text); {
	case strings.Contains(low, "invalid_currency_pair"), strings.Contains(low, "currency pair"), strings.Contains(low, "not_found"):
		kind = fetch.UnknownSymbol
	case strings.Contains(low, "limit exceeded"), strings.Contains(low, "limit_exceeded"), strings.Contains(low, "too many"):
		kind = fetch.RateLimited
	}
	if text == "" {
		text = string(body[:min(len(body), 200)])
	}
	return wire.Fault(kind, code, text)
}
