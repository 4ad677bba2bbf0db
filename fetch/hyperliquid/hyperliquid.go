// Package hyperliquid reads candles of Hyperliquid: the newest 5,000 of an
// interval.
package hyperliquid

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

// keeps is how many bars back of now an interval reaches.
const keeps = 5000

// Provider is Hyperliquid.
func Provider() fetch.Provider {
	v := &wire.Vendor{}
	v.Facts = fetch.Info{
		Name: "hyperliquid", Title: "Hyperliquid", Venue: "HYPERLIQUID",
		Document: "hyperliquid.gitbook.io, Info endpoint, candleSnapshot; ccxt issues 23243 and 27160 (read 2026-08)",
		Hosts:    []string{"https://api.hyperliquid.xyz"},
		Intervals: map[series.Interval]string{
			series.Interval1m: "1m", series.Interval3m: "3m", series.Interval5m: "5m", series.Interval15m: "15m", series.Interval30m: "30m",
			series.Interval1h: "1h", series.Interval2h: "2h", series.Interval4h: "4h", series.Interval8h: "8h", series.Interval12h: "12h",
			series.Interval1d: "1d", series.Interval3d: "3d", series.Interval1w: "1w", series.Interval1M: "1M",
		},
		MaxBars: keeps - 1, FromInclusive: true, ToInclusive: true, Horizon: map[series.Interval]fetch.Horizon{},
		Grace: 2 * time.Second, Auth: fetch.AuthNone,
		Limits: []fetch.Limit{{Cost: 1200, Window: time.Minute, Scope: fetch.PerIP}},
	}
	for i := range v.Facts.Intervals {
		v.Facts.Horizon[i] = fetch.Horizon{Bars: keeps}
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		type inner struct {
			Coin      string      `json:"coin"`
			Interval  string      `json:"interval"`
			StartTime series.Time `json:"startTime"`
			EndTime   series.Time `json:"endTime"`
		}
		body, err := json.Marshal(struct {
			Type string `json:"type"`
			Req  inner  `json:"req"`
		}{"candleSnapshot", inner{q.Symbol, name, max(q.Span.From, 0), q.Span.To - 1}})
		if err != nil {
			return fetch.Request{}, err
		}
		cost := 20
		if w := q.Interval.Width(); w > 0 { // and one for each 60 rows
			cost += int((q.Span.To - q.Span.From) / w / 60)
		}
		return fetch.Request{Method: http.MethodPost, Path: "/info", Header: http.Header{"Content-Type": {"application/json"}}, Body: body, Cost: []int{cost}}, nil
	}
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Trades: 7, Unit: wire.Milliseconds}
	v.Read = func(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
		f := wire.Status(a)
		if f != nil {
			// 422 is plain text; an unknown coin is a 500 with null.
			if a.Status == http.StatusInternalServerError && strings.TrimSpace(string(a.Body)) == "null" {
				f.Kind = fetch.UnknownSymbol
			}
			return fetch.Page{}, f
		}
		body, err := wire.Document(a.Body)
		if err != nil {
			return fetch.Page{}, err
		}
		if string(body) == "null" {
			return fetch.Page{}, wire.Fault(fetch.UnknownSymbol, "", "null")
		}
		return layout.Objects(body, "t", "o", "h", "l", "c", "v", "n")
	}
	v.Alive = fetch.Request{
		Method: http.MethodPost, Path: "/info", Class: "health", Header: http.Header{"Content-Type": {"application/json"}},
		Body: []byte(`{"type":"exchangeStatus"}`), Cost: []int{20},
	}
	v.Time = func(a fetch.Answer) (series.Time, error) {
		body, err := wire.Document(a.Body)
		if err != nil {
			return 0, err
		}
		t, ok := wire.Member(body, "time")
		if !ok {
			return 0, nil
		}
		return wire.Stamp(t, wire.Milliseconds)
	}
	v.Symbol = func(base, quote string) string {
		if quote == "USD" || quote == "USDC" {
			return base // perpetuals are named by their coin
		}
		return ""
	}
	return v
}
