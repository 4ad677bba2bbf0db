// Package polygon reads aggregates of Polygon, renamed Massive.
package polygon

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

type polygon struct{ wire.Vendor }

// Provider is Polygon: prices as traded, or freed of splits. Its limit counts base bars, minutes for
// everything below a day, so that a question never spans more than a month.
func Provider(adjusted bool) fetch.Provider {
	v := &polygon{}
	v.Facts = fetch.Info{
		Name: "polygon", Title: "Polygon (Massive)", Venue: "US-SIP", Document: "massive-com/client-python .massive/rest.json (read 2026-07)",
		Hosts: []string{"https://api.polygon.io", "https://api.massive.com"},
		Intervals: map[series.Interval]string{
			series.Interval1s: "1/second", series.Interval1m: "1/minute", series.Interval5m: "5/minute", series.Interval15m: "15/minute",
			series.Interval30m: "30/minute", series.Interval1h: "1/hour", series.Interval4h: "4/hour", series.Interval1d: "1/day",
			series.Interval1w: "1/week", series.Interval1M: "1/month",
		},
		MaxBars: 600, Paged: true, FromInclusive: true, ToInclusive: true, Empty: fetch.EmptyOmitted, Volume: fetch.VolumeShares, Daily: -1,
		Grace: 15 * time.Minute, Auth: fetch.AuthKey,
		Limits: []fetch.Limit{{Cost: 5, Window: time.Minute, Scope: fetch.PerKey}},
	}
	if adjusted {
		v.Facts.Name, v.Facts.Title, v.Facts.Adjusted = "polygon-split", v.Facts.Title+", freed of splits", fetch.SplitAdjusted
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		if q.Cursor != "" {
			u, err := url.Parse(q.Cursor)
			if err != nil {
				return fetch.Request{}, &fetch.Error{Kind: fetch.Unavailable, Provider: v.Facts.Name, Message: "next_url is no address"}
			}
			return fetch.Request{Path: u.Path, Query: u.RawQuery}, nil
		}
		return fetch.Request{
			Path: "/v2/aggs/ticker/" + url.PathEscape(q.Symbol) + "/range/" + name + "/" +
				strconv.FormatInt(int64(q.Span.From), 10) + "/" + strconv.FormatInt(int64(q.Span.To-1), 10),
			Query: "adjusted=" + strconv.FormatBool(adjusted) + "&sort=asc&limit=50000",
		}, nil
	}
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Trades: 7, VWAP: 8, Unit: wire.Milliseconds}
	v.Read = func(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
		f := wire.Status(a)
		body, err := wire.Document(a.Body)
		if err != nil || f != nil {
			return fetch.Page{}, fault(f, body, err)
		}
		if status, ok := wire.Member(body, "status"); ok && wire.Text(status) != "OK" && wire.Text(status) != "DELAYED" {
			return fetch.Page{}, fault(wire.Fault(fetch.Unavailable, wire.Text(status), ""), body, nil)
		}
		p := fetch.Page{}
		if results, ok := wire.Member(body, "results"); ok && string(results) != "null" {
			if p, err = layout.Objects(results, "t", "o", "h", "l", "c", "v", "n", "vw"); err != nil {
				return p, err
			}
		} else if _, ok := wire.Member(body, "resultsCount"); !ok {
			if _, ok := wire.Member(body, "queryCount"); !ok {
				return p, wire.Fault(fetch.Unavailable, "", "the answer holds no results")
			}
		}
		if next, ok := wire.Member(body, "next_url"); ok && string(next) != "null" {
			p.Next = wire.Text(next) // without the key
		}
		return p, nil
	}
	v.Alive = fetch.Request{Path: "/v1/marketstatus/now", Class: "health"}
	v.Symbol = func(base, quote string) string { return "X:" + base + quote }
	return v
}

func fault(f *fetch.Error, body []byte, err error) error {
	if f == nil {
		return err
	}
	for _, key := range [...]string{"error", "message"} {
		if x, ok := wire.Member(body, key); ok {
			f.Message = wire.Text(x)
		}
	}
	switch low := strings.ToLower(f.Message + " " + f.Code); {
	case strings.Contains(low, "exceeded the maximum requests"):
		f.Kind = fetch.RateLimited
	case strings.Contains(low, "not_authorized"), strings.Contains(low, "not entitled"), strings.Contains(low, "upgrade your plan"), strings.Contains(low, "unknown api key"):
		f.Kind = fetch.NotEntitled
	case strings.Contains(low, "not_found"), strings.Contains(low, "ticker not found"):
		f.Kind = fetch.UnknownSymbol
	}
	return f
}

// Sign is fetch.Signer.
func (v *polygon) Sign(r *fetch.Request, _ string, c fetch.Credentials, _ time.Time) error {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Authorization", "Bearer "+c.Key.Reveal())
	return nil
}
