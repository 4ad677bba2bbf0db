// Package twelvedata reads time series of Twelve Data.
package twelvedata

import (
	"math"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

type twelvedata struct{ wire.Vendor }

// Provider is Twelve Data. Both dates give all values between them, if no
// output size is named.
func Provider() fetch.Provider {
	v := &twelvedata{}
	v.Facts = fetch.Info{
		Name: "twelvedata", Title: "Twelve Data", Venue: "TWELVEDATA", Document: "twelvedata.com/docs, Time series; support article 5214728 (read 2026-08)",
		Hosts: []string{"https://api.twelvedata.com"},
		Intervals: map[series.Interval]string{
			series.Interval1m: "1min", series.Interval5m: "5min", series.Interval15m: "15min", series.Interval30m: "30min", series.Interval45m: "45min",
			series.Interval1h: "1h", series.Interval2h: "2h", series.Interval4h: "4h", series.Interval1d: "1day", series.Interval1w: "1week", series.Interval1M: "1month",
		},
		MaxBars: 4999, FromInclusive: true, ToInclusive: true, Empty: fetch.EmptyOmitted, Volume: fetch.VolumeShares, Daily: -1,
		Adjusted: fetch.SplitAdjusted, Grace: time.Hour, Auth: fetch.AuthKey,
		Limits: []fetch.Limit{{Cost: 8, Window: time.Minute, Scope: fetch.PerKey}, {Cost: 800, Window: 24 * time.Hour, Scope: fetch.PerKey}},
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		return fetch.Request{Path: "/time_series", Query: wire.Form("symbol", q.Symbol, "interval", name, "start_date", q.Span.From.Std().Format(time.DateTime),
			"end_date", (q.Span.To - 1).Std().Format(time.DateTime), "timezone", "UTC", "order", "ASC")}, nil
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
		status, _ := wire.Member(body, "status")
		if wire.Text(status) == "error" || f != nil {
			return fetch.Page{}, fault(f, body)
		}
		values, ok := wire.Member(body, "values")
		if !ok {
			return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the answer holds no values")
		}
		return read(values)
	}
	v.Alive = fetch.Request{Path: "/api_usage", Class: "health"}
	v.Symbol = func(base, quote string) string { return base + "/" + quote }
	return v
}

// read reads values whose times are dates or times of UTC; forex has no volume.
func read(values []byte) (fetch.Page, error) {
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Unit: wire.DateOnly}
	first := true
	_ = wire.Array(values, func(row []byte) error { // judged when it is read
		if !first {
			return nil
		}
		first = false
		if t, _ := wire.Member(row, "datetime"); len(wire.Text(t)) > len(time.DateOnly) {
			layout.Unit = wire.DateTime
		}
		if _, ok := wire.Member(row, "volume"); !ok {
			layout.Volume = 0
		}
		return nil
	})
	p, err := layout.Objects(values, "datetime", "open", "high", "low", "close", "volume")
	for i := range p.Rows {
		if math.IsNaN(p.Rows[i].Volume) {
			p.Rows[i].Volume = 0
		}
	}
	return p, err
}

// fault reads the code in the body, which may come under status 200.
func fault(f *fetch.Error, body []byte) error {
	code, _ := wire.Member(body, "code")
	msg, _ := wire.Member(body, "message")
	text := wire.Text(msg)
	low := strings.ToLower(text)
	kind := fetch.BadRequest
	if f != nil {
		kind = f.Kind
	}
	switch wire.Text(code) {
	case "429":
		kind = fetch.RateLimited
		if strings.Contains(low, "day") {
			kind = fetch.QuotaExhausted
		}
	case "401", "403":
		kind = fetch.NotEntitled
	case "404":
		kind = fetch.UnknownSymbol
	case "500":
		kind = fetch.Unavailable
	case "400":
		kind = fetch.BadRequest
		switch {
		case strings.Contains(low, "no data is available"):
			kind = fetch.HistoryExhausted
		case strings.Contains(low, "symbol") && strings.Contains(low, "not found"):
			kind = fetch.UnknownSymbol
		}
	}
	return wire.Fault(kind, wire.Text(code), text)
}

// Sign is fetch.Signer: the key travels in the query.
func (v *twelvedata) Sign(r *fetch.Request, _ string, c fetch.Credentials, _ time.Time) error {
	r.Query += "&" + wire.Form("apikey", c.Key.Reveal())
	return nil
}
