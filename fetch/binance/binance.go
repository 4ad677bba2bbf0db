// Package binance reads klines of Binance: the spot market, USD-M and COIN-M
// futures.
package binance

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

const document = "binance/binance-spot-api-docs rest-api.md, errors.md; binance-connector-python for futures (read 2026-07)"

var intervals = map[series.Interval]string{
	series.Interval1m: "1m", series.Interval3m: "3m", series.Interval5m: "5m", series.Interval15m: "15m", series.Interval30m: "30m",
	series.Interval1h: "1h", series.Interval2h: "2h", series.Interval4h: "4h", series.Interval6h: "6h", series.Interval8h: "8h",
	series.Interval12h: "12h", series.Interval1d: "1d", series.Interval3d: "3d", series.Interval1w: "1w", series.Interval1M: "1M",
}

// market is what differs between the three.
type market struct {
	name, title, path string
	hosts             []string
	most, weight      int // rows of a request, and what it costs
	budget            int // weight a minute
	volume, quote     int // cells of the row
	unit              fetch.VolumeUnit
}

// Spot is the spot market.
func Spot() fetch.Provider {
	v := provider(market{
		name: "binance-spot", title: "Binance Spot", path: "/api/v3",
		hosts: []string{"https://api.binance.com", "https://data-api.binance.vision", "https://api-gcp.binance.com", "https://api1.binance.com"},
		most:  1000, weight: 2, budget: 6000, volume: 6, quote: 8,
	})
	v.Facts.Intervals[series.Interval1s] = "1s"
	return v
}

// USDM are futures margined in USDT and the like.
func USDM() fetch.Provider {
	// Below 500 rows a request costs 2: the best price for a row.
	return provider(market{
		name: "binance-usdm", title: "Binance USD-M Futures", path: "/fapi/v1", hosts: []string{"https://fapi.binance.com"},
		most: 499, weight: 2, budget: 2400, volume: 6, quote: 8,
	})
}

// COINM are futures margined in coins; their volume counts contracts. A request
// may span 200 days.
func COINM() fetch.Provider {
	v := provider(market{
		name: "binance-coinm", title: "Binance COIN-M Futures", path: "/dapi/v1", hosts: []string{"https://dapi.binance.com"},
		most: 499, weight: 2, budget: 2400, volume: 6, unit: fetch.VolumeContracts,
	})
	for _, i := range []series.Interval{series.Interval1d, series.Interval3d, series.Interval1w, series.Interval1M} {
		delete(v.Facts.Intervals, i)
	}
	v.Facts.Intervals[series.Interval1d] = "1d"
	v.Facts.MaxBars = 199 // days; finer bars are further from the bound
	return v
}

type binance struct {
	wire.Vendor
	limit int
}

func provider(m market) *binance {
	v := &binance{}
	v.Facts = fetch.Info{
		Name: m.name, Title: m.title, Document: document, Hosts: m.hosts, Venue: strings.ToUpper(m.name),
		Intervals: map[series.Interval]string{}, MaxBars: m.most - 1,
		FromInclusive: true, ToInclusive: true, Volume: m.unit, Auth: fetch.AuthNone, Grace: 2 * time.Second,
		Limits: []fetch.Limit{{Cost: m.budget, Window: time.Minute, Scope: fetch.PerIP}},
	}
	if m.name == "binance-spot" {
		v.Facts.Venue = "BINANCE"
	}
	maps.Copy(v.Facts.Intervals, intervals)
	v.limit = m.most
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		return fetch.Request{
			Path: m.path + "/klines", Cost: []int{m.weight},
			Query: wire.Form("symbol", q.Symbol, "interval", name, "startTime", wire.Millis(q.Span.From), "endTime", wire.Millis(q.Span.To-1), "limit", strconv.Itoa(m.most)),
		}, nil
	}
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: m.volume, Quote: m.quote, Trades: 9, Unit: wire.Milliseconds}
	v.Read = func(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
		body, err := answer(a)
		if err != nil {
			return fetch.Page{}, err
		}
		return layout.Lists(body)
	}
	v.Alive = fetch.Request{Path: m.path + "/time", Class: "health"}
	v.Time = func(a fetch.Answer) (series.Time, error) {
		body, err := answer(a)
		if err != nil {
			return 0, err
		}
		t, _ := wire.Member(body, "serverTime")
		return wire.Stamp(t, wire.Milliseconds)
	}
	v.Symbol = func(base, quote string) string {
		if m.unit == fetch.VolumeContracts {
			return base + quote + "_PERP"
		}
		return base + quote
	}
	return v
}

// bannedUntil finds the end of a ban, in milliseconds, in its text.
var bannedUntil = regexp.MustCompile(`banned until (\d{13})`)

// answer checks the envelope: an error is an object with a code, whatever the
// status; 451 has code 0.
func answer(a fetch.Answer) ([]byte, error) {
	f := wire.Status(a)
	body, err := wire.Document(a.Body)
	if err != nil {
		if f != nil {
			return nil, f
		}
		return nil, err
	}
	code, isError := wire.Member(body, "code")
	if !isError {
		if f != nil {
			return nil, f
		}
		return body, nil
	}
	msg, _ := wire.Member(body, "msg")
	text := wire.Text(msg)
	kind := fetch.BadRequest
	switch n := wire.Text(code); {
	case f != nil && (f.Kind == fetch.GeoBlocked || f.Kind == fetch.Banned):
		kind = f.Kind
	case strings.Contains(strings.ToLower(text), "restricted location"):
		kind = fetch.GeoBlocked
	case bannedUntil.MatchString(text):
		kind = fetch.Banned
	case n == "-1121": // invalid symbol
		kind = fetch.UnknownSymbol
	case n == "-1003", n == "-1015": // too many requests, too many orders
		kind = fetch.RateLimited
	case n == "-1000", n == "-1001", n == "-1006", n == "-1007", n == "-1008", n == "-1016":
		kind = fetch.Unavailable
	case n == "-2014", n == "-2015", n == "-1002": // keys
		kind = fetch.NotEntitled
	case f != nil && f.Kind != fetch.UnknownSymbol:
		kind = f.Kind
	}
	e := wire.Fault(kind, wire.Text(code), text)
	if m := bannedUntil.FindStringSubmatch(text); m != nil {
		if ms, err := strconv.ParseInt(m[1], 10, 64); err == nil {
			e.RetryAt = time.UnixMilli(ms)
		}
	}
	return nil, e
}

// Usage is fetch.Meter: the weight used in this minute.
func (v *binance) Usage(h http.Header) []int {
	n, err := strconv.Atoi(h.Get("X-Mbx-Used-Weight-1m"))
	if err != nil {
		n = -1
	}
	return []int{n}
}

// Sign is fetch.Signer. Klines need no signature; a key raises no limit of
// theirs, but some accounts reach a host only with one.
func (v *binance) Sign(r *fetch.Request, _ string, c fetch.Credentials, now time.Time) error {
	r.Header.Set("X-MBX-APIKEY", c.Key.Reveal())
	if c.Secret.Empty() {
		return nil
	}
	if r.Query != "" {
		r.Query += "&"
	}
	r.Query += "timestamp=" + strconv.FormatInt(now.UnixMilli(), 10)
	r.Query += "&signature=" + signature(c.Secret.Reveal(), r.Query+string(r.Body))
	return nil
}

func signature(secret, payload string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(payload))
	return hex.EncodeToString(m.Sum(nil))
}
