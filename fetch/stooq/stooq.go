// Package stooq reads the CSV files of Stooq.
package stooq

import (
	"bytes"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

type stooq struct{ wire.Vendor }

// header is the only first line that is believed.
const header = "Date,Open,High,Low,Close,Volume"

// Provider is Stooq: daily, weekly and monthly bars. Since March 2026 a key is
// needed; without one a web page comes under status 200.
func Provider() fetch.Provider {
	v := &stooq{}
	v.Facts = fetch.Info{
		Name: "stooq", Title: "Stooq", Venue: "STOOQ", Document: "stooq.com/q/d; pandas-datareader issue 1012 (read 2026-08)", Hosts: []string{"https://stooq.com"},
		Intervals:     map[series.Interval]string{series.Interval1d: "d", series.Interval1w: "w", series.Interval1M: "m"},
		FromInclusive: true, ToInclusive: true, Empty: fetch.EmptyOmitted, Stamp: fetch.StampDate, Volume: fetch.VolumeShares, Daily: -1,
		Adjusted: fetch.FullyAdjusted, Grace: 6 * time.Hour, Auth: fetch.AuthKey,
		Limits: []fetch.Limit{{Cost: 1, Window: time.Second, Scope: fetch.PerIP}},
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		return fetch.Request{Path: "/q/d/l/", Query: wire.Form("s", strings.ToLower(q.Symbol), "i", name,
			"d1", q.Span.From.Std().Format("20060102"), "d2", (q.Span.To - 1).Std().Format("20060102"))}, nil
	}
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Unit: wire.DateOnly}
	v.Read = func(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
		body := bytes.TrimSpace(a.Body)
		low := strings.ToLower(string(body[:min(len(body), 2048)]))
		switch {
		case strings.Contains(low, "apikey"), strings.Contains(low, "api key"):
			return fetch.Page{}, wire.Fault(fetch.NotEntitled, "", "a key is asked for")
		case strings.Contains(low, "daily hits limit"):
			return fetch.Page{}, wire.Fault(fetch.QuotaExhausted, "", string(body[:min(len(body), 200)]))
		case strings.HasPrefix(low, "no data"):
			return fetch.Page{}, wire.Fault(fetch.UnknownSymbol, "", "No data")
		}
		if f := wire.Status(a); f != nil {
			return fetch.Page{}, f
		}
		lines := strings.Split(strings.ReplaceAll(string(body), "\r\n", "\n"), "\n")
		volume := lines[0] == header
		if !volume && lines[0] != strings.TrimSuffix(header, ",Volume") {
			return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the first line is not "+header)
		}
		l := layout
		if !volume {
			l.Volume = 0
		}
		return l.Rows(len(lines)-1, func(n int) [][]byte {
			var cells [][]byte
			for c := range strings.SplitSeq(lines[n+1], ",") {
				cells = append(cells, []byte(c))
			}
			return cells
		})
	}
	v.Alive = fetch.Request{Path: "/q/l/", Query: "s=spy.us&f=sd2t2ohlcv&e=csv", Class: "health"}
	return v
}

// Sign is fetch.Signer: the key travels in the query.
func (v *stooq) Sign(r *fetch.Request, _ string, c fetch.Credentials, _ time.Time) error {
	r.Query += "&" + wire.Form("apikey", c.Key.Reveal())
	return nil
}
