// Package gate reads candlesticks of Gate: the spot market, which reaches
// 10,000 bars back.
package gate

import (
	"strconv"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

// keeps is how many bars back of now an interval reaches.
const keeps = 10_000

// Provider is the spot market of Gate.
func Provider() fetch.Provider {
	v := &wire.Vendor{}
	v.Facts = fetch.Info{
		Name: "gateio", Title: "Gate", Venue: "GATE",
		Document: "gateio/gateapi-python, Market candlesticks; ccxt issues 10561 and 27887 (read 2025-07)",
		Hosts:    []string{"https://api.gateio.ws"},
		Intervals: map[series.Interval]string{
			series.Interval10s: "10s", series.Interval1m: "1m", series.Interval5m: "5m", series.Interval15m: "15m", series.Interval30m: "30m",
			series.Interval1h: "1h", series.Interval4h: "4h", series.Interval8h: "8h", series.Interval1d: "1d", series.Interval1M: "30d",
		},
		MaxBars: 998, FromInclusive: true, ToInclusive: true, Horizon: map[series.Interval]fetch.Horizon{},
		Grace: 2 * time.Second, Auth: fetch.AuthNone,
		Limits: []fetch.Limit{{Cost: 200, Window: 10 * time.Second, Scope: fetch.PerIP}},
	}
	for i := range v.Facts.Intervals {
		v.Facts.Horizon[i] = fetch.Horizon{Bars: keeps}
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		// A limit beside from and to is an error.
		return fetch.Request{Path: "/api/v4/spot/candlesticks", Query: wire.Form("currency_pair", q.Symbol, "interval", name,
			"from", strconv.FormatInt(int64(q.Span.From/1000), 10), "to", strconv.FormatInt(int64(q.Span.To-1)/1000, 10))}, nil
	}
	layout := wire.Layout{Time: 1, Quote: 2, Close: 3, High: 4, Low: 5, Open: 6, Volume: 7, Unit: wire.Seconds, Final: final}
	v.Read = func(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
		body, err := answer(a)
		if err != nil {
			return fetch.Page{}, err
		}
		// The first form had six columns: without the base volume.
		six := layout
		six.Volume = 0
		first := 0
		_ = wire.Array(body, func(row []byte) error { // judged by Lists
			if first == 0 {
				_ = wire.Array(row, func([]byte) error { first++; return nil })
			}
			return nil
		})
		if first == 6 {
			return six.Lists(body)
		}
		return layout.Lists(body)
	}
	v.Alive = fetch.Request{Path: "/api/v4/spot/time", Class: "health"}
	v.Time = func(a fetch.Answer) (series.Time, error) {
		body, err := answer(a)
		if err != nil {
			return 0, err
		}
		t, _ := wire.Member(body, "server_time")
		return wire.Stamp(t, wire.Milliseconds)
	}
	v.Symbol = func(base, quote string) string { return base + "_" + quote }
	return v
}

// final reads the eighth column, which younger answers have.
func final(cells [][]byte) fetch.Finality {
	if len(cells) < 8 {
		return fetch.FinalUnsaid
	}
	switch wire.Text(cells[7]) {
	case "true":
		return fetch.FinalYes
	case "false":
		return fetch.FinalNo
	}
	return fetch.FinalUnsaid
}

// answer checks the envelope: an error is an object with a label.
func answer(a fetch.Answer) ([]byte, error) {
	f := wire.Status(a)
	body, err := wire.Document(a.Body)
	if err != nil {
		if f != nil {
			return nil, f
		}
		return nil, err
	}
	label, isError := wire.Member(body, "label")
	if !isError {
		if f != nil {
			return nil, f
		}
		return body, nil
	}
	msg, _ := wire.Member(body, "message")
	text := wire.Text(msg)
	kind := fetch.BadRequest
	if f != nil {
		kind = f.Kind
	}
	low := strings.ToLower(text)
	switch l := wire.Text(label); {
	case strings.Contains(low, "too long ago"): // one label serves many faults
		kind = fetch.HistoryExhausted
	case strings.Contains(low, "range too broad"):
		kind = fetch.RangeTooBroad
	case l == "TOO_MANY_REQUESTS", l == "TOO_FAST":
		kind = fetch.RateLimited
	case l == "SERVER_ERROR", l == "INTERNAL", l == "TOO_BUSY":
		kind = fetch.Unavailable
	case l == "INVALID_CURRENCY", l == "INVALID_CURRENCY_PAIR":
		kind = fetch.UnknownSymbol
	case l == "INVALID_KEY", l == "INVALID_SIGNATURE", l == "FORBIDDEN", l == "MISSING_REQUIRED_HEADER":
		kind = fetch.NotEntitled
	}
	return nil, wire.Fault(kind, wire.Text(label), text)
}
