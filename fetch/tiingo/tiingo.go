// Package tiingo reads prices of Tiingo: end of day, and intraday of IEX.
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
		f := wire.Status(a)
		body, err := wire.Document(a.Body)
		if err != nil {
			if f != nil {
				return fetch.Page{}, f
			}
			return fetch.Page{}, err
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
			return fetch.Page{}, f
		}
		layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Unit: wire.RFC3339}
		if !has(body, columns[5]) {
			layout.Volume = 0
		}
		return layout.Objects(body, columns...)
	}
	v.Alive = fetch.Request{Path: "/api/test", Class: "health"}
	return v
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
