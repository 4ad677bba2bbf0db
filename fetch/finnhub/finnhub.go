// Package finnhub reads candles of Finnhub. A symbol with a colon is crypto,
// one like OANDA:EUR_USD forex.
package finnhub

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

type finnhub struct{ wire.Vendor }

// Provider is Finnhub. Daily prices are adjusted for splits, intraday ones are not.
func Provider() fetch.Provider {
	v := &finnhub{}
	v.Facts = fetch.Info{
		Name: "finnhub", Title: "Finnhub", Venue: "FINNHUB", Document: "finnhub.io/docs/api, stock-candles; Finnhub-API issues 491 and 534 (read 2026-08)",
		Hosts: []string{"https://finnhub.io"},
		Intervals: map[series.Interval]string{
			series.Interval1m: "1", series.Interval5m: "5", series.Interval15m: "15", series.Interval30m: "30", series.Interval1h: "60",
			series.Interval1d: "D", series.Interval1w: "W", series.Interval1M: "M",
		},
		MaxBars: 600, FromInclusive: true, ToInclusive: true, Empty: fetch.EmptyOmitted, Volume: fetch.VolumeShares, Daily: -1, Adjusted: fetch.SplitAdjusted, IntradayRaw: true,
		Grace: time.Hour, Auth: fetch.AuthKey,
		Limits: []fetch.Limit{{Cost: 60, Window: time.Minute, Scope: fetch.PerKey}},
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		class := "stock"
		if venue, _, ok := strings.Cut(q.Symbol, ":"); ok {
			class = "crypto"
			if venue == "OANDA" || venue == "FXCM" || venue == "FOREX" {
				class = "forex"
			}
		}
		return fetch.Request{Path: "/api/v1/" + class + "/candle", Query: wire.Form("symbol", q.Symbol, "resolution", name,
			"from", strconv.FormatInt(int64(q.Span.From/1000), 10), "to", strconv.FormatInt(int64(q.Span.To-1)/1000, 10))}, nil
	}
	v.Read = func(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
		f := wire.Status(a)
		body, err := wire.Document(a.Body)
		if err != nil {
			if f != nil {
				return fetch.Page{}, f
			}
			return fetch.Page{}, err
		}
		if x, ok := wire.Member(body, "error"); ok || f != nil {
			return fetch.Page{}, fault(f, x)
		}
		return columns(body)
	}
	v.Alive = fetch.Request{Path: "/api/v1/stock/market-status", Query: "exchange=US", Class: "health"}
	return v
}

func fault(f *fetch.Error, words []byte) error {
	if f == nil {
		f = wire.Fault(fetch.BadRequest, "", "")
	}
	if len(words) > 0 {
		f.Message = wire.Text(words)
	}
	switch low := strings.ToLower(f.Message); {
	case strings.Contains(low, "don't have access"), strings.Contains(low, "invalid api key"):
		f.Kind = fetch.NotEntitled
	case strings.Contains(low, "limit reached"):
		f.Kind = fetch.RateLimited
	case strings.Contains(low, "symbol not supported"), strings.Contains(low, "invalid symbol"):
		f.Kind = fetch.UnknownSymbol
	}
	return f
}

// columns reads lists of equal length; no_data is an answer without bars.
func columns(body []byte) (fetch.Page, error) {
	status, _ := wire.Member(body, "s")
	if wire.Text(status) == "no_data" {
		return fetch.Page{}, nil
	}
	if wire.Text(status) != "ok" {
		return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the answer is neither ok nor no_data")
	}
	var lists [6][][]byte
	for i, key := range [...]string{"t", "o", "h", "l", "c", "v"} {
		x, ok := wire.Member(body, key)
		if !ok {
			return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the answer holds no column "+key)
		}
		if err := wire.Array(x, func(v []byte) error { lists[i] = append(lists[i], v); return nil }); err != nil {
			return fetch.Page{}, err
		}
		if len(lists[i]) != len(lists[0]) {
			return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the columns differ in length")
		}
	}
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Unit: wire.Seconds}
	return layout.Rows(len(lists[0]), func(n int) [][]byte {
		cells := make([][]byte, len(lists))
		for i := range lists {
			cells[i] = lists[i][n]
		}
		return cells
	})
}

// Sign is fetch.Signer.
func (v *finnhub) Sign(r *fetch.Request, _ string, c fetch.Credentials, _ time.Time) error {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("X-Finnhub-Token", c.Key.Reveal())
	return nil
}
