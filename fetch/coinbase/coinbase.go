// Package coinbase reads candles of Coinbase, through the Exchange API and the
// Advanced Trade API. Both are one venue.
package coinbase

import (
	"strconv"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

func seconds(t series.Time) string { return strconv.FormatInt(int64(t/1000), 10) }

func pair(base, quote string) string { return base + "-" + quote }

// last is the last open time before the end of a span.
func last(q fetch.Query) series.Time { return q.Span.To - max(q.Interval.Width(), 1) }

// Exchange is the API of Coinbase Exchange. An edge cache may serve bars that
// are five minutes old.
func Exchange() fetch.Provider {
	v := &wire.Vendor{}
	v.Facts = fetch.Info{
		Name: "coinbase-exchange", Title: "Coinbase Exchange", Venue: "COINBASE",
		Document: "docs.cdp.coinbase.com, Exchange API, Get product candles; ccxt issue 5891 (read 2026-08)",
		Hosts:    []string{"https://api.exchange.coinbase.com"},
		Intervals: map[series.Interval]string{
			series.Interval1m: "60", series.Interval5m: "300", series.Interval15m: "900", series.Interval1h: "3600",
			series.Interval6h: "21600", series.Interval1d: "86400",
		},
		MaxBars: 299, Descending: true, FromInclusive: true, ToInclusive: true, Empty: fetch.EmptyOmitted,
		Grace: 5 * time.Minute, Auth: fetch.AuthNone,
		Limits: []fetch.Limit{{Cost: 10, Window: time.Second, Scope: fetch.PerIP}},
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		// With one of start and end missing both are ignored.
		return fetch.Request{
			Path:  "/products/" + q.Symbol + "/candles",
			Query: wire.Form("granularity", name, "start", seconds(q.Span.From), "end", seconds(last(q))),
		}, nil
	}
	layout := wire.Layout{Time: 1, Low: 2, High: 3, Open: 4, Close: 5, Volume: 6, Unit: wire.Seconds}
	v.Read = func(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
		body, err := exchangeAnswer(a)
		if err != nil {
			return fetch.Page{}, err
		}
		return layout.Lists(body)
	}
	v.Alive = fetch.Request{Path: "/time", Class: "health"}
	v.Time = func(a fetch.Answer) (series.Time, error) {
		body, err := exchangeAnswer(a)
		if err != nil {
			return 0, err
		}
		iso, _ := wire.Member(body, "iso")
		return isoTime(wire.Text(iso)), nil
	}
	v.Symbol = pair
	return v
}

// isoTime is 0 where the text is no time.
func isoTime(s string) series.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0
	}
	return series.TimeOf(t)
}

// exchangeAnswer checks the envelope: an error is an object with a message.
func exchangeAnswer(a fetch.Answer) ([]byte, error) {
	f := wire.Status(a)
	body, err := wire.Document(a.Body)
	if err != nil {
		if f != nil {
			return nil, f
		}
		return nil, err
	}
	msg, isError := wire.Member(body, "message")
	switch {
	case !isError && f != nil:
		return nil, f
	case !isError:
		return body, nil
	}
	kind := fetch.BadRequest
	if f != nil {
		kind = f.Kind
	}
	text := wire.Text(msg)
	switch low := strings.ToLower(text); {
	case strings.Contains(low, "aggregations requested exceeds"):
		kind = fetch.RangeTooBroad
	case strings.Contains(low, "rate limit"):
		kind = fetch.RateLimited
	case strings.Contains(low, "notfound"), strings.Contains(low, "not found"):
		kind = fetch.UnknownSymbol
	}
	return nil, wire.Fault(kind, "", text)
}

// Advanced is the public part of the Advanced Trade API.
func Advanced() fetch.Provider {
	v := &wire.Vendor{}
	v.Facts = fetch.Info{
		Name: "coinbase-advanced", Title: "Coinbase Advanced Trade", Venue: "COINBASE",
		Document: "docs.cdp.coinbase.com, Advanced Trade API, Get public product candles (read 2026-08)",
		Hosts:    []string{"https://api.coinbase.com"},
		Intervals: map[series.Interval]string{
			series.Interval1m: "ONE_MINUTE", series.Interval5m: "FIVE_MINUTE", series.Interval15m: "FIFTEEN_MINUTE", series.Interval30m: "THIRTY_MINUTE",
			series.Interval1h: "ONE_HOUR", series.Interval2h: "TWO_HOUR", series.Interval4h: "FOUR_HOUR", series.Interval6h: "SIX_HOUR", series.Interval1d: "ONE_DAY",
		},
		MaxBars: 299, Descending: true, FromInclusive: true, ToInclusive: true, Empty: fetch.EmptyOmitted,
		Grace: 10 * time.Second, Auth: fetch.AuthNone,
		Limits: []fetch.Limit{{Cost: 10, Window: time.Second, Scope: fetch.PerIP}},
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		return fetch.Request{
			Path:  "/api/v3/brokerage/market/products/" + q.Symbol + "/candles",
			Query: wire.Form("start", seconds(q.Span.From), "end", seconds(last(q)), "granularity", name, "limit", "300"),
		}, nil
	}
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Unit: wire.Seconds}
	v.Read = func(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
		body, err := advancedAnswer(a)
		if err != nil {
			return fetch.Page{}, err
		}
		list, ok := wire.Member(body, "candles")
		if !ok {
			return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the answer holds no candles")
		}
		return layout.Objects(list, "start", "open", "high", "low", "close", "volume")
	}
	v.Alive = fetch.Request{Path: "/api/v3/brokerage/time", Class: "health"}
	v.Time = func(a fetch.Answer) (series.Time, error) {
		body, err := advancedAnswer(a)
		if err != nil {
			return 0, err
		}
		ms, _ := wire.Member(body, "epochMillis")
		return wire.Stamp(ms, wire.Milliseconds)
	}
	v.Symbol = pair
	return v
}

// advancedAnswer checks the envelope: errors are a list with ids, or one error
// with a message.
func advancedAnswer(a fetch.Answer) ([]byte, error) {
	f := wire.Status(a)
	body, err := wire.Document(a.Body)
	if err != nil {
		if f != nil {
			return nil, f
		}
		return nil, err
	}
	code, text := "", ""
	if list, ok := wire.Member(body, "errors"); ok {
		_ = wire.Array(list, func(x []byte) error { // what is no list says nothing
			id, _ := wire.Member(x, "id")
			msg, _ := wire.Member(x, "message")
			code, text = wire.Text(id), wire.Text(msg)
			return nil
		})
	} else if x, ok := wire.Member(body, "error"); ok {
		msg, _ := wire.Member(body, "message")
		code, text = wire.Text(x), wire.Text(msg)
	}
	if code == "" && f == nil {
		return body, nil
	}
	kind := fetch.BadRequest
	if f != nil {
		kind = f.Kind
	}
	low := strings.ToLower(code + " " + text)
	switch {
	case strings.Contains(low, "rate_limit"), strings.Contains(low, "too many requests"):
		kind = fetch.RateLimited
	case strings.Contains(low, "number of candles"), strings.Contains(low, "less than"):
		kind = fetch.RangeTooBroad
	case strings.Contains(low, "not_found"), strings.Contains(low, "productid is invalid"):
		kind = fetch.UnknownSymbol
	case strings.Contains(low, "internal"), strings.Contains(low, "unavailable"):
		kind = fetch.Unavailable
	}
	if text == "" && f != nil {
		text = f.Message
	}
	return nil, wire.Fault(kind, code, text)
}
