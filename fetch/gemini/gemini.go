// Package gemini reads candles of Gemini: a window of the newest ones only.
package gemini

import (
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

// Provider is Gemini. It takes no range: it fills the tail of a series.
func Provider() fetch.Provider {
	v := &wire.Vendor{}
	v.Facts = fetch.Info{
		Name: "gemini", Title: "Gemini", Venue: "GEMINI", Document: "docs.gemini.com, Candles; the wire names are those of ccxt (read 2026-08)",
		Hosts: []string{"https://api.gemini.com"},
		Intervals: map[series.Interval]string{
			series.Interval1m: "1m", series.Interval5m: "5m", series.Interval15m: "15m", series.Interval30m: "30m",
			series.Interval1h: "1hr", series.Interval6h: "6hr", series.Interval1d: "1day",
		},
		Descending: true, EndAnchored: true, Grace: 2 * time.Second, Auth: fetch.AuthNone,
		// About a day of minutes and about a year of days are seen.
		Horizon: map[series.Interval]fetch.Horizon{
			series.Interval1m: {Age: 24 * time.Hour}, series.Interval5m: {Age: 6 * 24 * time.Hour}, series.Interval15m: {Age: 18 * 24 * time.Hour},
			series.Interval30m: {Age: 36 * 24 * time.Hour}, series.Interval1h: {Age: 60 * 24 * time.Hour}, series.Interval6h: {Age: 365 * 24 * time.Hour},
			series.Interval1d: {Age: 365 * 24 * time.Hour},
		},
		Limits: []fetch.Limit{{Cost: 120, Window: time.Minute, Scope: fetch.PerIP}},
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		return fetch.Request{Path: "/v2/candles/" + strings.ToLower(q.Symbol) + "/" + name}, nil
	}
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Unit: wire.Milliseconds}
	v.Read = func(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
		body, err := answer(a)
		if err != nil {
			return fetch.Page{}, err
		}
		return layout.Lists(body)
	}
	v.Alive = fetch.Request{Path: "/v1/pubticker/btcusd", Class: "health"}
	v.Symbol = func(base, quote string) string { return strings.ToLower(base + quote) }
	return v
}

// answer checks the envelope: an error has result, reason and message.
func answer(a fetch.Answer) ([]byte, error) {
	f := wire.Status(a)
	body, err := wire.Document(a.Body)
	if err != nil {
		if f != nil {
			return nil, f
		}
		return nil, err
	}
	reason, isError := wire.Member(body, "reason")
	if !isError {
		if f != nil {
			return nil, f
		}
		return body, nil
	}
	kind := fetch.BadRequest
	if f != nil {
		kind = f.Kind
	}
	switch wire.Text(reason) {
	case "RateLimit", "RateLimited":
		kind = fetch.RateLimited
	case "Maintenance", "System", "MarketNotOpen":
		kind = fetch.Unavailable
	case "InvalidSymbol", "Bad Request", "UnsupportedSymbol":
		kind = fetch.UnknownSymbol
	case "InvalidApiKey", "InvalidSignature", "MissingRole":
		kind = fetch.NotEntitled
	}
	msg, _ := wire.Member(body, "message")
	return nil, wire.Fault(kind, wire.Text(reason), wire.Text(msg))
}
