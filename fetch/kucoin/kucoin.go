// Package kucoin reads klines of KuCoin: the spot market and futures.
package kucoin

import (
	"strconv"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

// Spot is the spot market.
func Spot() fetch.Provider {
	v := &wire.Vendor{}
	v.Facts = fetch.Info{
		Name: "kucoin", Title: "KuCoin", Venue: "KUCOIN",
		Document: "docs.kucoin.com, Get Klines; kucoin-api-docs issue 125 (read 2026-08)",
		Hosts:    []string{"https://api.kucoin.com"},
		Intervals: map[series.Interval]string{
			series.Interval1m: "1min", series.Interval3m: "3min", series.Interval5m: "5min", series.Interval15m: "15min", series.Interval30m: "30min",
			series.Interval1h: "1hour", series.Interval2h: "2hour", series.Interval4h: "4hour", series.Interval6h: "6hour", series.Interval8h: "8hour",
			series.Interval12h: "12hour", series.Interval1d: "1day", series.Interval1w: "1week", series.Interval1M: "1month",
		},
		MaxBars: 1499, Descending: true, FromInclusive: true, Empty: fetch.EmptyOmitted, Grace: 2 * time.Second, Auth: fetch.AuthNone,
		Limits: []fetch.Limit{{Cost: 2000, Window: 30 * time.Second, Scope: fetch.PerIP}},
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		return fetch.Request{Path: "/api/v1/market/candles", Cost: []int{3}, Query: wire.Form("symbol", q.Symbol, "type", name,
			"startAt", strconv.FormatInt(int64(q.Span.From/1000), 10), "endAt", strconv.FormatInt(int64(q.Span.To/1000), 10))}, nil
	}
	layout := wire.Layout{Time: 1, Open: 2, Close: 3, High: 4, Low: 5, Volume: 6, Quote: 7, Unit: wire.Seconds}
	v.Read = func(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
		data, err := answer(a)
		if err != nil {
			return fetch.Page{}, err
		}
		return layout.Lists(data)
	}
	v.Alive = fetch.Request{Path: "/api/v1/timestamp", Class: "health"}
	v.Time = stamp
	v.Symbol = func(base, quote string) string { return base + "-" + quote }
	return v
}

// Futures is the futures market; its volume counts lots.
func Futures() fetch.Provider {
	v := &wire.Vendor{}
	v.Facts = fetch.Info{
		Name: "kucoin-futures", Title: "KuCoin Futures", Venue: "KUCOIN-FUTURES", Document: "docs.kucoin.com, Futures, Get Klines (read 2026-08)",
		Hosts: []string{"https://api-futures.kucoin.com"},
		Intervals: map[series.Interval]string{
			series.Interval1m: "1", series.Interval5m: "5", series.Interval15m: "15", series.Interval30m: "30", series.Interval1h: "60",
			series.Interval2h: "120", series.Interval4h: "240", series.Interval8h: "480", series.Interval12h: "720", series.Interval1d: "1440", series.Interval1w: "10080",
		},
		MaxBars: 499, FromInclusive: true, ToInclusive: true, Volume: fetch.VolumeContracts, Grace: 2 * time.Second, Auth: fetch.AuthNone,
		Limits: []fetch.Limit{{Cost: 2000, Window: 30 * time.Second, Scope: fetch.PerIP}},
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		return fetch.Request{Path: "/api/v1/kline/query", Cost: []int{3}, Query: wire.Form("symbol", q.Symbol, "granularity", name,
			"from", strconv.FormatInt(int64(q.Span.From), 10), "to", strconv.FormatInt(int64(q.Span.To-1), 10))}, nil
	}
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Unit: wire.Milliseconds}
	v.Read = func(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
		data, err := answer(a)
		if err != nil {
			return fetch.Page{}, err
		}
		return layout.Lists(data)
	}
	v.Alive = fetch.Request{Path: "/api/v1/timestamp", Class: "health"}
	v.Time = stamp
	return v
}

func stamp(a fetch.Answer) (series.Time, error) {
	data, err := answer(a)
	if err != nil {
		return 0, err
	}
	return wire.Stamp(data, wire.Milliseconds)
}

// answer checks the envelope and returns the data.
func answer(a fetch.Answer) ([]byte, error) {
	f := wire.Status(a)
	body, err := wire.Document(a.Body)
	if err != nil {
		if f != nil {
			return nil, f
		}
		return nil, err
	}
	code, ok := wire.Member(body, "code")
	if !ok {
		if f != nil {
			return nil, f
		}
		return nil, wire.Fault(fetch.Unavailable, "", "the answer holds no code")
	}
	if wire.Text(code) == "200000" && f == nil {
		data, ok := wire.Member(body, "data")
		if !ok {
			return nil, wire.Fault(fetch.Unavailable, "", "the answer holds no data")
		}
		// The unified route nests the rows.
		if list, ok := wire.Member(data, "list"); ok {
			return list, nil
		}
		return data, nil
	}
	msg, _ := wire.Member(body, "msg")
	text := wire.Text(msg)
	kind := fetch.BadRequest
	if f != nil {
		kind = f.Kind
	}
	switch wire.Text(code) {
	case "429000", "200002", "1015":
		kind = fetch.RateLimited
	case "500000", "503000", "230005":
		kind = fetch.Unavailable
	case "400001", "400002", "400003", "400004", "400005", "400006", "400007", "411100":
		kind = fetch.NotEntitled
	case "900001":
		kind = fetch.UnknownSymbol
	case "400100":
		kind = fetch.BadRequest
		if t := strings.ToLower(text); strings.Contains(t, "symbol") || strings.Contains(t, "trading pair") {
			kind = fetch.UnknownSymbol
		}
	}
	return nil, wire.Fault(kind, wire.Text(code), text)
}
