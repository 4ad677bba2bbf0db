// Package okx reads candles of OKX: the newest from one route, older ones from
// another.
package okx

import (
	"strconv"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

// newest is how many bars the route of new candles has.
const newest = 1440

// Provider is OKX.
func Provider() fetch.Provider {
	v := &wire.Vendor{}
	v.Facts = fetch.Info{
		Name: "okx", Title: "OKX", Venue: "OKX",
		Document: "okx.com/docs-v5, Get candlesticks, Get candlesticks history; ccxt issues 21036, 21040 and 21049 (read 2026-08)",
		Hosts:    []string{"https://www.okx.com", "https://aws.okx.com"},
		// Bars of six hours and longer open at 16:00 UTC unless asked for as utc.
		Intervals: map[series.Interval]string{
			series.Interval1m: "1m", series.Interval3m: "3m", series.Interval5m: "5m", series.Interval15m: "15m", series.Interval30m: "30m",
			series.Interval1h: "1H", series.Interval2h: "2H", series.Interval4h: "4H", series.Interval6h: "6Hutc", series.Interval12h: "12Hutc",
			series.Interval1d: "1Dutc", series.Interval1w: "1Wutc", series.Interval1M: "1Mutc",
		},
		MaxBars: 100, Descending: true, Grace: 2 * time.Second, Auth: fetch.AuthNone,
		Limits: []fetch.Limit{{Cost: 20, Window: 2 * time.Second, Scope: fetch.PerIP}},
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		path := "/api/v5/market/history-candles"
		if w := q.Interval.Width(); w > 0 && q.Now > 0 && q.Span.From > q.Now-(newest-10)*w {
			path = "/api/v5/market/candles"
		}
		// Both cursors are exclusive.
		return fetch.Request{Path: path, Query: wire.Form("instId", q.Symbol, "bar", name,
			"before", strconv.FormatInt(int64(q.Span.From-1), 10), "after", strconv.FormatInt(int64(q.Span.To), 10), "limit", "100")}, nil
	}
	v.Read = func(q fetch.Query, a fetch.Answer) (fetch.Page, error) {
		data, err := answer(a)
		if err != nil {
			return fetch.Page{}, err
		}
		layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Quote: 7, Unit: wire.Milliseconds, Final: final}
		if strings.Count(q.Symbol, "-") > 1 { // a derivative: column 6 counts contracts
			layout.Volume, layout.Quote = 7, 8
		}
		return layout.Lists(data)
	}
	v.Alive = fetch.Request{Path: "/api/v5/public/time", Class: "health"}
	v.Time = func(a fetch.Answer) (series.Time, error) {
		data, err := answer(a)
		if err != nil {
			return 0, err
		}
		var t series.Time
		err = wire.Array(data, func(x []byte) error {
			ts, _ := wire.Member(x, "ts")
			var err error
			t, err = wire.Stamp(ts, wire.Milliseconds)
			return err
		})
		return t, err
	}
	v.Symbol = func(base, quote string) string { return base + "-" + quote }
	return v
}

// final reads confirm, the last of nine columns.
func final(cells [][]byte) fetch.Finality {
	if len(cells) < 9 {
		return fetch.FinalUnsaid
	}
	switch wire.Text(cells[8]) {
	case "1":
		return fetch.FinalYes
	case "0":
		return fetch.FinalNo
	}
	return fetch.FinalUnsaid
}

// answer checks the envelope: the code decides, whatever the status.
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
	if wire.Text(code) == "0" && f == nil {
		data, ok := wire.Member(body, "data")
		if !ok {
			return nil, wire.Fault(fetch.Unavailable, "", "the answer holds no data")
		}
		return data, nil
	}
	kind := fetch.BadRequest
	if f != nil {
		kind = f.Kind
	}
	switch n := wire.Text(code); n {
	case "50011", "50061", "50040":
		kind = fetch.RateLimited
	case "50001", "50004", "50005", "50013", "50026", "50000", "50063":
		kind = fetch.Unavailable
	case "51001":
		kind = fetch.UnknownSymbol
	case "51000", "50014", "50002", "51003":
		kind = fetch.BadRequest
	case "50010", "50030", "50110", "50111", "50113", "50100", "50101", "50102", "50103", "50104", "50105":
		kind = fetch.NotEntitled
	}
	msg, _ := wire.Member(body, "msg")
	return nil, wire.Fault(kind, wire.Text(code), wire.Text(msg))
}
