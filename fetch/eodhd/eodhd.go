// Package eodhd reads prices of EODHD: end of day and intraday.
package eodhd

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

type eodhd struct{ wire.Vendor }

// Provider is EODHD. Its symbols name the exchange: AAPL.US, EURUSD.FOREX.
func Provider() fetch.Provider {
	v := &eodhd{}
	v.Facts = fetch.Info{
		Name: "eodhd", Title: "EODHD", Venue: "EODHD", Document: "EodHistoricalData/eodhd-claude-skills (read 2026-06)", Hosts: []string{"https://eodhd.com"},
		Intervals: map[series.Interval]string{
			series.Interval1m: "1m", series.Interval5m: "5m", series.Interval1h: "1h", series.Interval1d: "d", series.Interval1w: "w", series.Interval1M: "m",
		},
		MaxBars: 7000, FromInclusive: true, ToInclusive: true, Volume: fetch.VolumeShares, Daily: -1, Grace: 3 * time.Hour, Auth: fetch.AuthKey,
		Limits: []fetch.Limit{{Cost: 1000, Window: time.Minute, Scope: fetch.PerKey}, {Cost: 100_000, Window: 24 * time.Hour, Scope: fetch.PerKey}},
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		symbol := url.PathEscape(q.Symbol)
		if q.Interval.Intraday() {
			return fetch.Request{Path: "/api/intraday/" + symbol, Cost: []int{5, 5}, Query: wire.Form("interval", name,
				"from", strconv.FormatInt(int64(q.Span.From/1000), 10), "to", strconv.FormatInt(int64(q.Span.To-1)/1000, 10), "fmt", "json")}, nil
		}
		return fetch.Request{Path: "/api/eod/" + symbol, Query: wire.Form("from", q.Span.From.Std().Format(time.DateOnly),
			"to", (q.Span.To - 1).Std().Format(time.DateOnly), "period", name, "order", "a", "fmt", "json")}, nil
	}
	v.Read = func(q fetch.Query, a fetch.Answer) (fetch.Page, error) {
		f := wire.Status(a)
		body, err := wire.Document(a.Body)
		if err != nil || f != nil {
			if f == nil {
				return fetch.Page{}, err
			}
			if x, ok := wire.Member(body, "error"); ok {
				f.Message = wire.Text(x)
			}
			if strings.Contains(strings.ToLower(f.Message), "not found") {
				f.Kind = fetch.UnknownSymbol
			}
			return fetch.Page{}, f
		}
		if x, ok := wire.Member(body, "error"); ok {
			return fetch.Page{}, wire.Fault(fetch.BadRequest, "", wire.Text(x))
		}
		layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Unit: wire.Seconds}
		key := "timestamp"
		if !q.Interval.Intraday() {
			key, layout.Unit = "date", wire.DateOnly
		}
		return layout.Objects(body, key, "open", "high", "low", "close", "volume")
	}
	v.Alive = fetch.Request{Path: "/api/exchange-details/US", Query: "fmt=json", Class: "health"}
	return v
}

// Sign is fetch.Signer: the token travels in the query.
func (v *eodhd) Sign(r *fetch.Request, _ string, c fetch.Credentials, _ time.Time) error {
	if r.Query != "" {
		r.Query += "&"
	}
	r.Query += wire.Form("api_token", c.Key.Reveal())
	return nil
}
