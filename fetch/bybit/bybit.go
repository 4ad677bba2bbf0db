// Package bybit reads klines of Bybit, version 5 of its API. A symbol may name
// its category: "linear:BTCUSDT", "inverse:BTCUSD"; without one it is spot.
package bybit

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

// silence is what Bybit wants after it shut an address out with status 403.
const silence = 10 * time.Minute

type bybit struct{ wire.Vendor }

// Provider is Bybit.
func Provider() fetch.Provider {
	v := &bybit{}
	v.Facts = fetch.Info{
		Name: "bybit", Title: "Bybit", Venue: "BYBIT", Document: "bybit-exchange/docs v5/market/kline.mdx (read 2026-07)",
		Hosts: []string{"https://api.bybit.com", "https://api.bytick.com"},
		Intervals: map[series.Interval]string{
			series.Interval1m: "1", series.Interval3m: "3", series.Interval5m: "5", series.Interval15m: "15", series.Interval30m: "30",
			series.Interval1h: "60", series.Interval2h: "120", series.Interval4h: "240", series.Interval6h: "360", series.Interval12h: "720",
			series.Interval1d: "D", series.Interval1w: "W", series.Interval1M: "M",
		},
		MaxBars: 999, Descending: true, FromInclusive: true, ToInclusive: true, Grace: 2 * time.Second, Auth: fetch.AuthNone,
		Limits: []fetch.Limit{{Cost: 600, Window: 5 * time.Second, Scope: fetch.PerIP}},
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		category, symbol := "spot", q.Symbol
		if c, s, ok := strings.Cut(q.Symbol, ":"); ok {
			category, symbol = c, s
		}
		return fetch.Request{Path: "/v5/market/kline", Query: wire.Form("category", category, "symbol", symbol, "interval", name,
			"start", strconv.FormatInt(int64(q.Span.From), 10), "end", strconv.FormatInt(int64(q.Span.To-1), 10), "limit", "1000")}, nil
	}
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Quote: 7, Unit: wire.Milliseconds}
	v.Read = func(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
		result, err := answer(a)
		if err != nil {
			return fetch.Page{}, err
		}
		list, ok := wire.Member(result, "list")
		if !ok {
			return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the answer holds no list")
		}
		return layout.Lists(list)
	}
	v.Alive = fetch.Request{Path: "/v5/market/time", Class: "health"}
	v.Time = func(a fetch.Answer) (series.Time, error) {
		if _, err := answer(a); err != nil {
			return 0, err
		}
		t, _ := wire.Member(a.Body, "time")
		return wire.Stamp(t, wire.Milliseconds)
	}
	v.Symbol = func(base, quote string) string { return base + quote }
	return v
}

// answer checks the envelope and returns the result.
func answer(a fetch.Answer) ([]byte, error) {
	f := wire.Status(a)
	body, err := wire.Document(a.Body)
	low := strings.ToLower(string(a.Body[:min(len(a.Body), 2048)]))
	if a.Status == http.StatusForbidden && f != nil && f.Kind != fetch.GeoBlocked && strings.Contains(low, "too frequent") {
		e := wire.Fault(fetch.Banned, "", "access too frequent")
		e.RetryAt = time.Now().Add(silence)
		if a.Time != 0 {
			e.RetryAt = a.Time.Std().Add(silence)
		}
		return nil, e
	}
	if err != nil {
		if f != nil {
			return nil, f
		}
		return nil, err
	}
	code, ok := wire.Member(body, "retCode")
	if !ok {
		if f != nil {
			return nil, f
		}
		return nil, wire.Fault(fetch.Unavailable, "", "the answer holds no retCode")
	}
	if wire.Text(code) == "0" && f == nil {
		result, ok := wire.Member(body, "result")
		if !ok {
			return nil, wire.Fault(fetch.Unavailable, "", "the answer holds no result")
		}
		return result, nil
	}
	msg, _ := wire.Member(body, "retMsg")
	text := wire.Text(msg)
	kind := fetch.BadRequest
	if f != nil {
		kind = f.Kind
	}
	switch wire.Text(code) {
	case "10006", "10018", "10429":
		kind = fetch.RateLimited
	case "10000", "10016", "10019", "170007", "10014":
		kind = fetch.Unavailable
	case "10009", "10024":
		kind = fetch.GeoBlocked
	case "10003", "10004", "10005", "10007", "33004":
		kind = fetch.NotEntitled
	case "10029", "170121":
		kind = fetch.UnknownSymbol
	case "10001":
		kind = fetch.BadRequest
		if t := strings.ToLower(text); strings.Contains(t, "symbol") && (strings.Contains(t, "invalid") || strings.Contains(t, "not supported")) {
			kind = fetch.UnknownSymbol
		}
	}
	return nil, wire.Fault(kind, wire.Text(code), text)
}
