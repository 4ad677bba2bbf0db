// Package tiingo reads prices of Tiingo: end of day, intraday of IEX, crypto and
// forex.
package tiingo

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

type tiingo struct{ wire.Vendor }

// Provider is Tiingo: prices as traded. Intraday bars are of IEX alone.
func Provider() fetch.Provider { return provider(false) }

// Adjusted are the days of Tiingo freed of splits and dividends.
func Adjusted() fetch.Provider { return provider(true) }

func provider(adjusted bool) fetch.Provider {
	v := &tiingo{}
	v.Facts = fetch.Info{
		Name: "tiingo", Title: "Tiingo", Venue: "TIINGO", Document: "api.tiingo.com/documentation, End-of-day, IEX; tiingo-python issue 52 (read 2026-08)",
		Hosts: []string{"https://api.tiingo.com"},
		Intervals: map[series.Interval]string{
			series.Interval1m: "1Min", series.Interval5m: "5Min", series.Interval15m: "15Min", series.Interval30m: "30Min", series.Interval1h: "1Hour",
			series.Interval1d: "daily",
		},
		MaxBars: 5000, FromInclusive: true, ToInclusive: true, Empty: fetch.EmptyOmitted, Volume: fetch.VolumeShares, Daily: -1,
		Grace: time.Hour, Auth: fetch.AuthKey,
		Limits: []fetch.Limit{{Cost: 50, Window: time.Hour, Scope: fetch.PerKey}},
	}
	columns := []string{"date", "open", "high", "low", "close", "volume"}
	if adjusted {
		v.Facts.Name, v.Facts.Title, v.Facts.Adjusted = "tiingo-all", "Tiingo, freed of splits and dividends", fetch.FullyAdjusted
		v.Facts.Intervals = map[series.Interval]string{series.Interval1d: v.Facts.Intervals[series.Interval1d]}
		columns = []string{"date", "adjOpen", "adjHigh", "adjLow", "adjClose", "adjVolume"}
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		first, last := q.Span.From.Std().Format(time.DateOnly), (q.Span.To - 1).Std().Format(time.DateOnly)
		if q.Interval == series.Interval1d {
			return fetch.Request{Path: "/tiingo/daily/" + url.PathEscape(q.Symbol) + "/prices", Query: wire.Form("startDate", first, "endDate", last, "resampleFreq", name, "format", "json")}, nil
		}
		// The volume comes only if it is asked for.
		return fetch.Request{Path: "/iex/" + url.PathEscape(q.Symbol) + "/prices", Query: wire.Form("startDate", first, "endDate", last, "resampleFreq", name, "format", "json", "columns", "open,high,low,close,volume")}, nil
	}
	v.Read = func(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
		body, err := document(a)
		if err != nil {
			return fetch.Page{}, err
		}
		layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Unit: wire.RFC3339}
		if !has(body, columns[5]) {
			layout.Volume = 0
		}
		return layout.Objects(body, columns...)
	}
	v.Alive = alive
	return v
}

// Crypto is the crypto market of Tiingo, prices over all its exchanges.
func Crypto() fetch.Provider {
	v := &tiingo{}
	v.Facts = pairs("tiingo-crypto", "Tiingo, crypto", "api.tiingo.com/documentation/crypto (read 2026-11)")
	v.Facts.Intervals[series.Interval1d] = "1day"
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		return fetch.Request{Path: "/tiingo/crypto/prices", Query: wire.Form("tickers", q.Symbol, "startDate", q.Span.From.Std().Format(time.DateOnly),
			"endDate", (q.Span.To - 1).Std().Format(time.DateOnly), "resampleFreq", name)}, nil
	}
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Quote: 7, Trades: 8, Unit: wire.RFC3339}
	v.Read = func(q fetch.Query, a fetch.Answer) (fetch.Page, error) {
		body, err := document(a)
		if err != nil {
			return fetch.Page{}, err
		}
		var rows []byte
		if err := wire.Array(body, func(x []byte) error {
			if name, _ := wire.Member(x, "ticker"); strings.EqualFold(wire.Text(name), q.Symbol) || q.Symbol == "" {
				rows, _ = wire.Member(x, "priceData")
			}
			return nil
		}); err != nil {
			return fetch.Page{}, err
		}
		if rows == nil { // an unknown ticker is left out of the list, and so is one without bars
			return fetch.Page{}, nil
		}
		return layout.Objects(rows, "date", "open", "high", "low", "close", "volume", "volumeNotional", "tradesDone")
	}
	v.Alive = alive
	v.Symbol = func(base, quote string) string { return strings.ToLower(base + quote) }
	return v
}

// Forex is the forex market of Tiingo. It has no volume.
func Forex() fetch.Provider {
	v := &tiingo{}
	v.Facts = pairs("tiingo-fx", "Tiingo, forex", "api.tiingo.com/documentation/forex (read 2026-11)")
	v.Facts.Volume = fetch.VolumeNone
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		return fetch.Request{Path: "/tiingo/fx/" + url.PathEscape(q.Symbol) + "/prices", Query: wire.Form("startDate", q.Span.From.Std().Format(time.DateOnly),
			"endDate", (q.Span.To - 1).Std().Format(time.DateOnly), "resampleFreq", name, "format", "json")}, nil
	}
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Unit: wire.RFC3339}
	v.Read = func(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
		body, err := document(a)
		if err != nil {
			return fetch.Page{}, err
		}
		return layout.Objects(body, "date", "open", "high", "low", "close")
	}
	v.Alive = alive
	v.Symbol = func(base, quote string) string { return strings.ToLower(base + quote) }
	return v
}

var alive = fetch.Request{Path: "/api/test", Class: "health"}

// pairs are the facts that the markets of pairs share.
func pairs(name, title, document string) fetch.Info {
	return fetch.Info{
		Name: name, Title: title, Venue: strings.ToUpper(name), Document: document, Hosts: []string{"https://api.tiingo.com"},
		Intervals: map[series.Interval]string{
			series.Interval1m: "1min", series.Interval5m: "5min", series.Interval15m: "15min", series.Interval30m: "30min", series.Interval1h: "1hour",
		},
		MaxBars: 4000, FromInclusive: true, ToInclusive: true, Empty: fetch.EmptyOmitted, Grace: time.Hour, Auth: fetch.AuthKey,
		Limits: []fetch.Limit{{Cost: 50, Window: time.Hour, Scope: fetch.PerKey}},
	}
}

// document is the body of an answer, or what it says is wrong.
func document(a fetch.Answer) ([]byte, error) {
	f := wire.Status(a)
	body, err := wire.Document(a.Body)
	if err != nil {
		if f != nil {
			return nil, f
		}
		return nil, err
	}
	if x, ok := wire.Member(body, "detail"); ok || f != nil {
		if f == nil {
			f = wire.Fault(fetch.Unavailable, "", "")
		}
		if ok {
			f.Message = wire.Text(x)
		}
		switch low := strings.ToLower(f.Message); {
		case strings.Contains(low, "not found"):
			f.Kind = fetch.UnknownSymbol
		case strings.Contains(low, "request allocation"), strings.Contains(low, "over your"):
			f.Kind = fetch.QuotaExhausted
		case strings.Contains(low, "invalid token"), strings.Contains(low, "supply a token"):
			f.Kind = fetch.NotEntitled
		}
		return nil, f
	}
	return body, nil
}

// has reports whether the first row has a member.
func has(body []byte, name string) (found bool) {
	first := true
	_ = wire.Array(body, func(row []byte) error { // judged when it is read
		if first {
			_, found = wire.Member(row, name)
		}
		first = false
		return nil
	})
	return found
}

// Sign is fetch.Signer.
func (v *tiingo) Sign(r *fetch.Request, _ string, c fetch.Credentials, _ time.Time) error {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Authorization", "Token "+c.Key.Reveal())
	return nil
}
