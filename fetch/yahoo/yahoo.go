// Package yahoo reads charts of Yahoo Finance.
package yahoo

import (
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

// Provider is Yahoo. Prices are adjusted for splits, so that a split rewrites
// the history; daily bars carry the moment of the session's open.
func Provider() fetch.Provider {
	v := &wire.Vendor{}
	v.Facts = fetch.Info{
		Name: "yahoo", Title: "Yahoo Finance", Venue: "YAHOO",
		Document: "no document of the vendor; yfinance history.py and its tests, recorded answers (read 2026-08)",
		Hosts:    []string{"https://query1.finance.yahoo.com", "https://query2.finance.yahoo.com"},
		Intervals: map[series.Interval]string{
			series.Interval1m: "1m", series.Interval5m: "5m", series.Interval15m: "15m", series.Interval30m: "30m", series.Interval1h: "1h",
			series.Interval1d: "1d", series.Interval1w: "1wk", series.Interval1M: "1mo",
		},
		// Seven days of minutes are the most of a question.
		MaxBars: 7 * 390, FromInclusive: true, ToInclusive: true, Empty: fetch.EmptyOmitted, Volume: fetch.VolumeShares, Daily: -1, Adjusted: fetch.SplitAdjusted, Actions: true,
		Horizon: map[series.Interval]fetch.Horizon{
			series.Interval1m: {Age: 29 * 24 * time.Hour}, series.Interval5m: {Age: 59 * 24 * time.Hour}, series.Interval15m: {Age: 59 * 24 * time.Hour},
			series.Interval30m: {Age: 59 * 24 * time.Hour}, series.Interval1h: {Age: 729 * 24 * time.Hour},
		},
		Grace: time.Hour, Auth: fetch.AuthNone,
		Limits: []fetch.Limit{{Cost: 60, Window: time.Minute, Scope: fetch.PerIP}},
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		from, to := q.Span.From, q.Span.To
		if !q.Interval.Intraday() { // the session of a date opens, by UTC, up to this far from it
			from, to = from-14*series.Hour, to+12*series.Hour
		}
		return fetch.Request{
			Path: "/v8/finance/chart/" + url.PathEscape(q.Symbol), Header: http.Header{"User-Agent": {"Mozilla/5.0 (compatible; barkeep)"}},
			Query: wire.Form("period1", strconv.FormatInt(int64(from/1000), 10), "period2", strconv.FormatInt(int64(to-1)/1000, 10),
				"interval", name, "includePrePost", "false", "events", "div,splits,capitalGains"),
		}, nil
	}
	v.Read = func(q fetch.Query, a fetch.Answer) (fetch.Page, error) {
		f := wire.Status(a)
		body, err := wire.Document(a.Body)
		chart, ok := wire.Member(body, "chart")
		if err != nil || !ok {
			if f != nil {
				return fetch.Page{}, f
			}
			return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the answer is no chart")
		}
		if x, ok := wire.Member(chart, "error"); ok && string(x) != "null" {
			return fetch.Page{}, fault(f, x)
		}
		if f != nil {
			return fetch.Page{}, f
		}
		var result []byte
		list, _ := wire.Member(chart, "result")
		if err := wire.Array(list, func(x []byte) error { result = x; return nil }); err != nil || result == nil {
			return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the chart holds no result")
		}
		return rows(q, result)
	}
	v.Alive = fetch.Request{Path: "/v8/finance/chart/SPY", Query: "range=1d&interval=1d", Class: "health"}
	v.Symbol = func(base, quote string) string { return base + "-" + quote }
	return v
}

func fault(f *fetch.Error, x []byte) error {
	code, _ := wire.Member(x, "code")
	text, _ := wire.Member(x, "description")
	kind := fetch.BadRequest
	if f != nil {
		kind = f.Kind
	}
	switch low := strings.ToLower(wire.Text(text)); {
	case strings.Contains(low, "no data found"), strings.Contains(low, "delisted"), wire.Text(code) == "Not Found":
		kind = fetch.UnknownSymbol
	case strings.Contains(low, "must be within the last"), strings.Contains(low, "data doesn't exist for startdate"):
		kind = fetch.HistoryExhausted
	case strings.Contains(low, "only") && strings.Contains(low, "days worth"):
		kind = fetch.RangeTooBroad
	case strings.Contains(low, "too many requests"):
		kind = fetch.RateLimited
	}
	return wire.Fault(kind, wire.Text(code), wire.Text(text))
}

// rows reads the columns; a row of nulls is a slot without trade and left out,
// and so is the row of the last trade, which comes beside that of its bar.
func rows(q fetch.Query, result []byte) (fetch.Page, error) {
	p, err := columns(result)
	if err != nil {
		return p, err
	}
	p.Spoken, p.Whole = q.Span, true // what is too old is refused, never left out
	meta, _ := wire.Member(result, "meta")
	p.Zone = exchange(meta)
	p.Actions = events(result, meta, p.Zone)
	live, _ := wire.Member(meta, "regularMarketTime")
	seconds, err := strconv.ParseInt(wire.Text(live), 10, 64)
	last := len(p.Rows) - 1
	if err != nil || last < 0 || p.Rows[last].Time != series.Time(seconds)*1000 {
		return p, nil
	}
	same := func(a, b series.Time) bool { // whether they name one bar of a day or longer
		g := series.Grid{Interval: q.Interval}
		return g.SlotAt(fetch.Dated(a, p.Zone)) == g.SlotAt(fetch.Dated(b, p.Zone))
	}
	// Sessions that begin at half past have hours that do, too.
	step := min(q.Interval.Width(), 30*series.Minute)
	if q.Interval.Intraday() && p.Rows[last].Time%step != 0 || !q.Interval.Intraday() && last > 0 && same(p.Rows[last-1].Time, p.Rows[last].Time) {
		p.Rows = p.Rows[:last]
	}
	return p, nil
}

// events reads splits and dividends, to which the gains that funds pay out count:
// what they take off the price is the same. Amounts are freed of later splits, as
// prices are: github.com/ranaroussi/yfinance/issues/481 (read 2026-11), and the
// recorded 0.205 of AAPL in 2020. One that cannot be read is given as one that
// [series.Action.Check] refuses: bars beside it are as good as ever.
func events(result, meta []byte, zone *time.Location) (out []series.Action) {
	all, _ := wire.Member(result, "events")
	home, _ := wire.Member(meta, "currency")
	for _, key := range [...]string{"splits", "dividends", "capitalGains"} {
		list, ok := wire.Member(all, key)
		if !ok {
			continue
		}
		err := wire.Object(list, func(_ string, x []byte) error {
			a := event(x, key == "splits", wire.Text(home), zone)
			if a.Ratio == 1 || a.Kind == series.Dividend && a.Amount == 0 {
				return nil // nothing was changed or paid
			}
			for i := range out { // a dividend and a gain of one date
				if b := &out[i]; b.Kind == a.Kind && b.Ex == a.Ex && b.Currency == a.Currency {
					b.Amount += a.Amount
					return nil
				}
			}
			out = append(out, a)
			return nil
		})
		if err != nil {
			out = append(out, series.Action{})
		}
	}
	return out
}

func event(x []byte, split bool, home string, zone *time.Location) (a series.Action) {
	number := func(name string) float64 {
		text, _ := wire.Member(x, name)
		v, err := wire.Number(text)
		if err != nil {
			return math.NaN()
		}
		return v
	}
	if at := number("date"); math.Abs(at) < 1e11 { // seconds until the year 5138
		a.Ex = fetch.Dated(series.Time(at)*1000, zone)
	}
	if split {
		a.Kind, a.Ratio = series.Split, number("numerator")/number("denominator")
		return a
	}
	a.Kind, a.Amount = series.Dividend, number("amount")
	if money, ok := wire.Member(x, "currency"); ok && wire.Text(money) != home {
		a.Currency = wire.Text(money)
	}
	return a
}

// exchange is the zone whose dates the sessions have. The offset beside it is
// that of today, wrong for the other half of the year.
func exchange(meta []byte) *time.Location {
	name, _ := wire.Member(meta, "exchangeTimezoneName")
	if z, err := time.LoadLocation(wire.Text(name)); err == nil && len(name) > 0 {
		return z
	}
	return time.UTC
}

func columns(result []byte) (fetch.Page, error) {
	stamps, ok := wire.Member(result, "timestamp")
	if !ok {
		return fetch.Page{}, nil // nothing in the range: there is no such member then
	}
	indicators, _ := wire.Member(result, "indicators")
	quotes, _ := wire.Member(indicators, "quote")
	var quote []byte
	if err := wire.Array(quotes, func(x []byte) error { quote = x; return nil }); err != nil {
		return fetch.Page{}, err
	}
	var lists [6][][]byte
	read := func(i int, x []byte) error {
		return wire.Array(x, func(v []byte) error { lists[i] = append(lists[i], v); return nil })
	}
	if err := read(0, stamps); err != nil {
		return fetch.Page{}, err
	}
	for i, key := range [...]string{"open", "high", "low", "close", "volume"} {
		x, ok := wire.Member(quote, key)
		if !ok {
			return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the chart holds no column "+key)
		}
		if err := read(i+1, x); err != nil {
			return fetch.Page{}, err
		}
		if len(lists[i+1]) != len(lists[0]) {
			return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the columns differ in length")
		}
	}
	var keep []int
	for n := range lists[0] {
		nulls := 0
		for _, l := range lists[1:5] {
			if string(l[n]) == "null" {
				nulls++
			}
		}
		if nulls < 4 {
			keep = append(keep, n)
		}
	}
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Unit: wire.Seconds}
	return layout.Rows(len(keep), func(k int) [][]byte {
		cells := make([][]byte, len(lists))
		for i := range lists {
			cells[i] = lists[i][keep[k]]
		}
		return cells
	})
}
