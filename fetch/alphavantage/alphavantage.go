// Package alphavantage reads time series of Alpha Vantage. A symbol with a
// slash, EUR/USD, is forex.
package alphavantage

import (
	"math"
	"strings"
	"sync"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

type alphavantage struct{ wire.Vendor }

// Provider is Alpha Vantage. It answers with status 200 whatever happens.
func Provider() fetch.Provider {
	v := &alphavantage{}
	v.Facts = fetch.Info{
		Name: "alphavantage", Title: "Alpha Vantage", Venue: "ALPHAVANTAGE", Document: "alphavantage.co/documentation; pricehist tests (read 2026-08)",
		Hosts: []string{"https://www.alphavantage.co"},
		Intervals: map[series.Interval]string{
			series.Interval1m: "1min", series.Interval5m: "5min", series.Interval15m: "15min", series.Interval30m: "30min", series.Interval1h: "60min",
			series.Interval1d: "DAILY", series.Interval1w: "WEEKLY", series.Interval1M: "MONTHLY",
		},
		Descending: true, Empty: fetch.EmptyOmitted, Volume: fetch.VolumeShares, Daily: -1, Grace: 6 * time.Hour, Auth: fetch.AuthKey,
		Limits: []fetch.Limit{{Cost: 5, Window: time.Minute, Scope: fetch.PerKey}, {Cost: 25, Window: 24 * time.Hour, Scope: fetch.PerKey}},
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		from, to, forex := strings.Cut(q.Symbol, "/")
		who, family := []string{"symbol", q.Symbol}, "TIME_SERIES_"
		if forex {
			who, family = []string{"from_symbol", from, "to_symbol", to}, "FX_"
		}
		what := []string{"function", family + name, "outputsize", "full"}
		if q.Interval.Intraday() {
			what = []string{"function", family + "INTRADAY", "interval", name, "outputsize", "full"}
			if !forex {
				what = append(what, "month", month(q), "extended_hours", "false", "adjusted", "false")
			}
		}
		return fetch.Request{Path: "/query", Query: wire.Form(append(what, who...)...)}, nil
	}
	v.Read = func(q fetch.Query, a fetch.Answer) (fetch.Page, error) {
		f := wire.Status(a)
		body, err := wire.Document(a.Body)
		if err != nil || f != nil {
			if f != nil {
				return fetch.Page{}, f
			}
			return fetch.Page{}, err
		}
		p, err := read(body)
		if err == nil && q.Interval.Intraday() && !strings.Contains(q.Symbol, "/") {
			p.Next = after(month(q), q.Span.To)
		}
		return p, err
	}
	v.Alive = fetch.Request{Path: "/query", Query: "function=MARKET_STATUS", Class: "health"}
	return v
}

// newYork is where months of bars of minutes begin and end.
var newYork = sync.OnceValue(func() *time.Location {
	z, err := time.LoadLocation("America/New_York")
	if err != nil {
		return time.UTC // months overlap what is asked less, and the rest is asked again
	}
	return z
})

// month is the one that is asked for: a question is answered a month at a time.
func month(q fetch.Query) string {
	if q.Cursor != "" {
		return q.Cursor
	}
	return q.Span.From.Std().In(newYork()).Format("2006-01")
}

// after is the month that follows, or empty if it begins at to or later.
func after(month string, to series.Time) string {
	t, err := time.ParseInLocation("2006-01", month, newYork())
	if err != nil {
		return ""
	}
	if t = t.AddDate(0, 1, 0); series.TimeOf(t) >= to {
		return ""
	}
	return t.Format("2006-01")
}

func read(body []byte) (fetch.Page, error) {
	var rows []byte
	zone := time.UTC
	var fault error
	err := wire.Object(body, func(key string, v []byte) error {
		switch {
		case strings.HasPrefix(key, "Time Series"), strings.HasSuffix(key, "Time Series"):
			rows = v
		case key == "Meta Data":
			return wire.Object(v, func(key string, x []byte) error {
				if strings.HasSuffix(key, "Time Zone") {
					if z, err := time.LoadLocation(wire.Text(x)); err == nil {
						zone = z
					}
				}
				return nil
			})
		case key == "Information", key == "Note", key == "Error Message":
			fault = words(key, wire.Text(v))
		}
		return nil
	})
	switch {
	case err != nil:
		return fetch.Page{}, err
	case fault != nil:
		return fetch.Page{}, fault
	case rows == nil:
		return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the answer holds no time series")
	}
	return keyed(rows, zone)
}

// words reads what comes instead of bars.
func words(key, text string) error {
	low := strings.ToLower(text)
	kind := fetch.Unavailable
	switch {
	case key == "Error Message" && strings.Contains(low, "apikey"):
		kind = fetch.NotEntitled
	case key == "Error Message":
		kind = fetch.UnknownSymbol
	case strings.Contains(low, "per day"), strings.Contains(low, "daily"):
		kind = fetch.QuotaExhausted
	case strings.Contains(low, "per minute"), strings.Contains(low, "per second"), key == "Note":
		kind = fetch.RateLimited
	case strings.Contains(low, "premium"), strings.Contains(low, "api key"):
		kind = fetch.NotEntitled
	}
	return wire.Fault(kind, key, text)
}

// keyed reads an object whose keys are dates, or times in a zone, and whose
// members are numbered: "1. open".
func keyed(rows []byte, zone *time.Location) (fetch.Page, error) {
	var all [][][]byte
	var at []series.Time
	hasVolume := false
	err := wire.Object(rows, func(key string, v []byte) error {
		t, err := time.ParseInLocation(time.DateTime, key, zone)
		if err != nil {
			// A date is that of a session: no instant of the zone.
			if t, err = time.Parse(time.DateOnly, key); err != nil {
				return wire.Fault(fetch.Unavailable, "", "the time "+key+" is not understood")
			}
		}
		cells := make([][]byte, 6)
		if err := wire.Object(v, func(name string, x []byte) error {
			_, word, _ := strings.Cut(name, " ")
			for i, w := range [...]string{"open", "high", "low", "close", "volume"} {
				if word == w {
					cells[i+1] = x
				}
			}
			return nil
		}); err != nil {
			return err
		}
		hasVolume = hasVolume || cells[5] != nil
		at, all = append(at, series.TimeOf(t)), append(all, cells)
		return nil
	})
	if err != nil {
		return fetch.Page{}, err
	}
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Unit: wire.Milliseconds}
	if !hasVolume {
		layout.Volume = 0
	}
	p, err := layout.Rows(len(all), func(n int) [][]byte {
		all[n][0] = []byte(wire.Millis(at[n]))
		return all[n]
	})
	for i := range p.Rows {
		if math.IsNaN(p.Rows[i].Volume) {
			p.Rows[i].Volume = 0 // forex has none
		}
	}
	return p, err
}

// Sign is fetch.Signer: the key travels in the query.
func (v *alphavantage) Sign(r *fetch.Request, _ string, c fetch.Credentials, _ time.Time) error {
	r.Query += "&" + wire.Form("apikey", c.Key.Reveal())
	return nil
}
