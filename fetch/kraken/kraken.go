// Package kraken reads bars of Kraken: OHLC of the spot market, which reaches
// 720 bars back, its trades for what lies behind, and the charts of the futures
// market.
package kraken

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

// keeps is how many bars the OHLC route has beside the forming one.
const keeps = 720

var minutes = map[series.Interval]string{
	series.Interval1m: "1", series.Interval5m: "5", series.Interval15m: "15", series.Interval30m: "30", series.Interval1h: "60",
	series.Interval4h: "240", series.Interval1d: "1440", series.Interval1w: "10080",
}

func seconds(t series.Time) string { return strconv.FormatInt(int64(t/1000), 10) }

// Spot is the spot market: OHLC, and trades for what lies behind it.
func Spot() fetch.Provider {
	v := &wire.Vendor{}
	v.Facts = fetch.Info{
		Name: "kraken", Title: "Kraken", Venue: "KRAKEN",
		Document: "docs.kraken.com, Get OHLC Data; krakenfx/kraken-cli for errors (read 2026-08)",
		Hosts:    []string{"https://api.kraken.com"}, Intervals: minutes, MaxBars: keeps,
		EndAnchored: true, Horizon: map[series.Interval]fetch.Horizon{}, Empty: fetch.EmptyFlat,
		Grace: 2 * time.Second, Auth: fetch.AuthNone,
		Limits: []fetch.Limit{{Cost: 1, Window: time.Second, Scope: fetch.PerIP}},
	}
	v.Facts.Paged = true
	for i := range minutes {
		if i.Width() > series.Hour { // those of an hour and less are made of trades behind it
			v.Facts.Horizon[i] = fetch.Horizon{Bars: keeps}
		}
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		if deep(q) {
			return askTrades(q), nil
		}
		// since is exclusive and names open times; there is no end.
		return fetch.Request{Path: "/0/public/OHLC", Query: wire.Form("pair", q.Symbol, "interval", name, "since", seconds(q.Span.From-1000))}, nil
	}
	v.Read = func(q fetch.Query, a fetch.Answer) (fetch.Page, error) {
		result, err := spotAnswer(a)
		if err != nil {
			return fetch.Page{}, err
		}
		if isTrades(result) {
			return trades(q, result)
		}
		return ohlc(result)
	}
	v.Alive = fetch.Request{Path: "/0/public/Time", Class: "health"}
	v.Time = func(a fetch.Answer) (series.Time, error) {
		result, err := spotAnswer(a)
		if err != nil {
			return 0, err
		}
		t, _ := wire.Member(result, "unixtime")
		return wire.Stamp(t, wire.Seconds)
	}
	v.Symbol = func(base, quote string) string { return asset(base) + asset(quote) }
	return v
}

// asset is Kraken's name of a currency.
func asset(s string) string {
	switch s {
	case "BTC":
		return "XBT"
	case "DOGE":
		return "XDG"
	}
	return s
}

// ohlc reads the rows: the only member that is not last, whatever its name. The
// rows up to last have ended.
func ohlc(result []byte) (fetch.Page, error) {
	var rows []byte
	last := series.MinTime
	if x, ok := wire.Member(result, "last"); ok {
		t, err := wire.Stamp(x, wire.Seconds)
		if err != nil {
			return fetch.Page{}, err
		}
		last = t
	}
	err := wire.Object(result, func(key string, v []byte) error {
		if key != "last" {
			rows = v
		}
		return nil
	})
	if err != nil {
		return fetch.Page{}, err
	}
	layout := wire.Layout{
		Time: 1, Open: 2, High: 3, Low: 4, Close: 5, VWAP: 6, Volume: 7, Trades: 8, Unit: wire.Seconds,
		Final: func(cells [][]byte) fetch.Finality {
			if t, err := wire.Stamp(cells[0], wire.Seconds); err == nil && t <= last {
				return fetch.FinalYes
			}
			return fetch.FinalNo
		},
	}
	return layout.Lists(rows)
}

// throttled is a pause that ends at a time in seconds.
var throttled = regexp.MustCompile(`Throttled: ?(\d{9,11})`)

// spotAnswer checks the envelope: errors come under status 200.
func spotAnswer(a fetch.Answer) ([]byte, error) {
	f := wire.Status(a)
	body, err := wire.Document(a.Body)
	if err != nil {
		if f != nil {
			return nil, f
		}
		return nil, err
	}
	text := ""
	if list, ok := wire.Member(body, "error"); ok {
		_ = wire.Array(list, func(x []byte) error { // what is no list says nothing
			if s := wire.Text(x); text == "" && !strings.HasPrefix(s, "W") { // W is a warning
				text = s
			}
			return nil
		})
	}
	if text == "" {
		if f != nil {
			return nil, f
		}
		result, ok := wire.Member(body, "result")
		if !ok {
			return nil, wire.Fault(fetch.Unavailable, "", "the answer holds no result")
		}
		return result, nil
	}
	kind := fetch.Unavailable
	switch {
	case strings.Contains(text, "Too many requests"), strings.Contains(text, "Rate limit"), strings.Contains(text, "Throttled"):
		kind = fetch.RateLimited
	case strings.Contains(text, "Temporary lockout"):
		kind = fetch.Banned
	case strings.Contains(text, "Unknown asset"), strings.Contains(text, "Invalid asset"):
		kind = fetch.UnknownSymbol
	case strings.Contains(text, "Permission denied"), strings.Contains(text, "Invalid key"), strings.Contains(text, "Invalid signature"):
		kind = fetch.NotEntitled
	case strings.HasPrefix(text, "EGeneral:Invalid arguments"), strings.HasPrefix(text, "EQuery"), strings.HasPrefix(text, "EGeneral:Unknown Method"):
		kind = fetch.BadRequest
	}
	e := wire.Fault(kind, text, text)
	if m := throttled.FindStringSubmatch(text); m != nil {
		if s, err := strconv.ParseInt(m[1], 10, 64); err == nil {
			e.RetryAt = time.Unix(s, 0)
		}
	}
	return nil, e
}

// Futures is the charts route of the futures market.
func Futures() fetch.Provider {
	v := &wire.Vendor{}
	v.Facts = fetch.Info{
		Name: "kraken-futures", Title: "Kraken Futures", Venue: "KRAKEN-FUTURES",
		Document: "docs.kraken.com, Futures REST, Charts (read 2026-08)",
		Hosts:    []string{"https://futures.kraken.com"},
		Intervals: map[series.Interval]string{
			series.Interval1m: "1m", series.Interval5m: "5m", series.Interval15m: "15m", series.Interval30m: "30m", series.Interval1h: "1h",
			series.Interval4h: "4h", series.Interval12h: "12h", series.Interval1d: "1d", series.Interval1w: "1w",
		},
		MaxBars: 2000, FromInclusive: true, ToInclusive: true, Volume: fetch.VolumeContracts, Grace: 2 * time.Second, Auth: fetch.AuthNone,
		Limits: []fetch.Limit{{Cost: 5, Window: time.Second, Scope: fetch.PerIP}},
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		return fetch.Request{
			Path:  "/api/charts/v1/trade/" + q.Symbol + "/" + name,
			Query: wire.Form("from", seconds(q.Span.From), "to", seconds(q.Span.To-1000)),
		}, nil
	}
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Unit: wire.Milliseconds}
	v.Read = func(q fetch.Query, a fetch.Answer) (fetch.Page, error) {
		f := wire.Status(a)
		body, err := wire.Document(a.Body)
		if err != nil {
			if f != nil {
				return fetch.Page{}, f
			}
			return fetch.Page{}, err
		}
		list, ok := wire.Member(body, "candles")
		if !ok || f != nil {
			if f == nil {
				f = wire.Fault(fetch.Unavailable, "", "the answer holds no candles")
			}
			if x, ok := wire.Member(body, "error"); ok {
				f.Code = wire.Text(x)
			}
			return fetch.Page{}, f
		}
		p, err := layout.Objects(list, "time", "open", "high", "low", "close", "volume")
		if more, _ := wire.Member(body, "more_candles"); err == nil && string(more) == "true" && len(p.Rows) > 0 {
			// Cut at the end: it speaks up to its last row.
			end := p.Rows[0].Time
			for _, r := range p.Rows {
				end = max(end, r.Time)
			}
			p.Spoken = series.Span{From: q.Span.From, To: min(q.Span.To, end+1)}
		}
		return p, err
	}
	v.Alive = fetch.Request{Path: "/derivatives/api/v3/instruments/status", Class: "health"}
	return v
}
