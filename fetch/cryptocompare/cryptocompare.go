// Package cryptocompare reads histories of CryptoCompare: an index over many
// venues, or one venue. A symbol is BTC-USD, or BTC-USD@Kraken.
package cryptocompare

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

type cryptocompare struct{ wire.Vendor }

// Provider is CryptoCompare.
func Provider() fetch.Provider {
	v := &cryptocompare{}
	v.Facts = fetch.Info{
		Name: "cryptocompare", Title: "CryptoCompare", Venue: "CCCAGG",
		Document:  "min-api.cryptocompare.com/documentation, Historical data; rotki issue 2011 (read 2026-08)",
		Hosts:     []string{"https://min-api.cryptocompare.com"},
		Intervals: map[series.Interval]string{series.Interval1m: "histominute", series.Interval1h: "histohour", series.Interval1d: "histoday"},
		MaxBars:   2000, ToInclusive: true, EndAnchored: true, Empty: fetch.EmptyFlat, Grace: time.Minute, Auth: fetch.AuthOptional,
		Horizon: map[series.Interval]fetch.Horizon{series.Interval1m: {Age: 7 * 24 * time.Hour}},
		Limits:  []fetch.Limit{{Cost: 20, Window: time.Second, Scope: fetch.PerIP}},
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		pair, venue, _ := strings.Cut(q.Symbol, "@")
		base, quote, ok := strings.Cut(pair, "-")
		if !ok {
			return fetch.Request{}, &fetch.Error{Kind: fetch.BadRequest, Provider: v.Facts.Name, Message: "symbol " + q.Symbol + " is not of the form BTC-USD or BTC-USD@Kraken"}
		}
		// limit rows come beside the one at toTs.
		n := max(1, (int64(q.Span.To-q.Span.From)-1)/int64(q.Interval.Width()))
		return fetch.Request{Path: "/data/v2/" + name, Query: wire.Form("fsym", base, "tsym", quote, "limit", strconv.FormatInt(min(n, 2000), 10),
			"toTs", strconv.FormatInt(int64(q.Span.To-q.Interval.Width())/1000, 10), "e", venue)}, nil
	}
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Quote: 7, Unit: wire.Seconds}
	v.Read = func(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
		body, err := answer(a)
		if err != nil {
			return fetch.Page{}, err
		}
		data, _ := wire.Member(body, "Data")
		list, ok := wire.Member(data, "Data")
		if !ok {
			return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the answer holds no Data")
		}
		return layout.Objects(list, "time", "open", "high", "low", "close", "volumefrom", "volumeto")
	}
	v.Alive = fetch.Request{Path: "/data/price", Query: "fsym=BTC&tsyms=USD", Class: "health"}
	v.Time = func(a fetch.Answer) (series.Time, error) {
		_, err := answer(a)
		return 0, err
	}
	v.Symbol = func(base, quote string) string { return base + "-" + quote }
	return v
}

// answer checks the envelope: errors come under status 200.
func answer(a fetch.Answer) ([]byte, error) {
	f := wire.Status(a)
	body, err := wire.Document(a.Body)
	if err != nil {
		if f != nil {
			return nil, f
		}
		return nil, err
	}
	response, _ := wire.Member(body, "Response")
	if wire.Text(response) != "Error" {
		if f != nil {
			return nil, f
		}
		return body, nil
	}
	msg, _ := wire.Member(body, "Message")
	code, _ := wire.Member(body, "Type")
	text := wire.Text(msg)
	kind := fetch.BadRequest
	switch low := strings.ToLower(text); {
	case strings.Contains(low, "rate limit"):
		kind = fetch.RateLimited
		if strings.Contains(low, "month") || strings.Contains(low, "day") {
			kind = fetch.QuotaExhausted
		}
	case strings.Contains(low, "does not exist"), strings.Contains(low, "no data for the symbol"), strings.Contains(low, "market does not"):
		kind = fetch.UnknownSymbol
	case strings.Contains(low, "api key"), strings.Contains(low, "api_key"), wire.Text(code) == "95":
		kind = fetch.NotEntitled
	case strings.Contains(low, "only available for the last"):
		kind = fetch.HistoryExhausted
	}
	return nil, wire.Fault(kind, wire.Text(code), text)
}

// Sign is fetch.Signer: a key raises the limits.
func (v *cryptocompare) Sign(r *fetch.Request, _ string, c fetch.Credentials, _ time.Time) error {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Authorization", "Apikey "+c.Key.Reveal())
	return nil
}
