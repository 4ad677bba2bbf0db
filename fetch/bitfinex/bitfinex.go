// Package bitfinex reads candles of Bitfinex.
package bitfinex

import (
	"strconv"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

// Provider is Bitfinex. A minute without trade has no row.
func Provider() fetch.Provider {
	v := &wire.Vendor{}
	v.Facts = fetch.Info{
		Name: "bitfinex", Title: "Bitfinex", Venue: "BITFINEX",
		Document: "docs.bitfinex.com, Candles; gocryptotrader issue 2175 for the limit (read 2026-08)",
		Hosts:    []string{"https://api-pub.bitfinex.com", "https://api.bitfinex.com"},
		Intervals: map[series.Interval]string{
			series.Interval1m: "1m", series.Interval5m: "5m", series.Interval15m: "15m", series.Interval30m: "30m", series.Interval1h: "1h",
			series.Interval3h: "3h", series.Interval6h: "6h", series.Interval12h: "12h", series.Interval1d: "1D", series.Interval1w: "1W", series.Interval1M: "1M",
		},
		MaxBars: 9999, FromInclusive: true, ToInclusive: true, Empty: fetch.EmptyOmitted, Grace: 2 * time.Second, Auth: fetch.AuthNone,
		Limits: []fetch.Limit{{Cost: 30, Window: time.Minute, Scope: fetch.PerIP}},
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		return fetch.Request{
			Path: "/v2/candles/trade:" + name + ":" + q.Symbol + "/hist",
			Query: wire.Form("start", strconv.FormatInt(int64(q.Span.From), 10), "end", strconv.FormatInt(int64(q.Span.To-1), 10),
				"limit", "10000", "sort", "1"),
		}, nil
	}
	layout := wire.Layout{Time: 1, Open: 2, Close: 3, High: 4, Low: 5, Volume: 6, Unit: wire.Milliseconds}
	v.Read = func(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
		body, err := answer(a)
		if err != nil {
			return fetch.Page{}, err
		}
		return layout.Lists(body)
	}
	v.Alive = fetch.Request{Path: "/v2/platform/status", Class: "health"}
	v.Time = func(a fetch.Answer) (series.Time, error) {
		body, err := answer(a)
		if err == nil && strings.HasPrefix(string(body), "[0") {
			err = wire.Fault(fetch.Unavailable, "", "the platform is under maintenance")
		}
		return 0, err
	}
	v.Symbol = func(base, quote string) string {
		if quote == "USDT" {
			quote = "UST"
		}
		if len(base) > 3 || len(quote) > 3 {
			return "t" + base + ":" + quote
		}
		return "t" + base + quote
	}
	return v
}

// answer checks the envelope: an error is an array that begins with "error", or
// an object.
func answer(a fetch.Answer) ([]byte, error) {
	f := wire.Status(a)
	body, err := wire.Document(a.Body)
	if err != nil {
		if f != nil {
			return nil, f
		}
		return nil, err
	}
	var words []string
	if x, ok := wire.Member(body, "error"); ok {
		words = []string{"error", "", wire.Text(x)}
	} else {
		_ = wire.Array(body, func(x []byte) error { // what is no array is judged below
			if len(words) < 3 && (len(x) == 0 || x[0] != '[') {
				words = append(words, wire.Text(x))
			}
			return nil
		})
	}
	if len(words) == 0 || words[0] != "error" {
		if f != nil {
			return nil, f
		}
		return body, nil
	}
	for len(words) < 3 {
		words = append(words, "")
	}
	kind := fetch.BadRequest
	if f != nil {
		kind = f.Kind
	}
	switch low := strings.ToLower(words[2]); {
	case words[1] == "11010", strings.Contains(low, "ratelimit"), strings.Contains(low, "rate_limit"):
		kind = fetch.RateLimited
	case words[1] == "20060", words[1] == "10000", strings.Contains(low, "maintenance"):
		kind = fetch.Unavailable
	case strings.Contains(low, "symbol: invalid"), strings.Contains(low, "invalid symbol"):
		kind = fetch.UnknownSymbol
	case words[1] == "10100", strings.Contains(low, "apikey"):
		kind = fetch.NotEntitled
	}
	e := wire.Fault(kind, words[1], words[2])
	if kind == fetch.RateLimited && a.Time != 0 {
		e.RetryAt = a.Time.Std().Add(time.Minute) // an address is shut out for a minute
	}
	return nil, e
}
