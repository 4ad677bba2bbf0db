// Package alpaca reads bars of Alpaca: stocks of the United States, and crypto.
package alpaca

import (
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

var intervals = map[series.Interval]string{
	series.Interval1m: "1Min", series.Interval3m: "3Min", series.Interval5m: "5Min", series.Interval10m: "10Min", series.Interval15m: "15Min",
	series.Interval30m: "30Min", series.Interval45m: "45Min", series.Interval1h: "1Hour", series.Interval2h: "2Hour", series.Interval3h: "3Hour",
	series.Interval4h: "4Hour", series.Interval6h: "6Hour", series.Interval8h: "8Hour", series.Interval12h: "12Hour",
	series.Interval1d: "1Day", series.Interval1w: "1Week", series.Interval1M: "1Month",
}

type alpaca struct{ wire.Vendor }

// Stocks are stocks of the United States from all exchanges, prices as traded or
// adjusted by Alpaca. Without a subscription the newest 15 minutes are not served.
func Stocks(a fetch.Adjustment) fetch.Provider {
	word := [...]string{fetch.Unadjusted: "raw", fetch.SplitAdjusted: "split", fetch.FullyAdjusted: "all"}[a]
	name, title := "alpaca", "Alpaca, stocks"
	if a != fetch.Unadjusted {
		name, title = name+"-"+word, title+", "+[...]string{fetch.SplitAdjusted: "freed of splits", fetch.FullyAdjusted: "freed of splits and dividends"}[a]
	}
	v := stocks(name, title, "adjustment", word)
	v.Facts.Adjusted = a
	return v
}

// IEX is the part of the stocks' trades that took place at one exchange: a few
// hundredths of the volume, and newer than a quarter of an hour without a
// subscription.
func IEX() fetch.Provider {
	v := stocks("alpaca-iex", "Alpaca, stocks at IEX", "adjustment", "raw", "feed", "iex")
	v.Facts.Venue = "IEX"
	return v
}

func stocks(name, title string, more ...string) *alpaca {
	v := provider(name, title, "/v2/stocks/bars", fetch.AuthKey, more...)
	v.Facts.Venue, v.Facts.Volume, v.Facts.Daily = "US-SIP", fetch.VolumeShares, -1
	return v
}

// Crypto is the crypto market of Alpaca; it needs no key.
func Crypto() fetch.Provider {
	v := provider("alpaca-crypto", "Alpaca, crypto", "/v1beta3/crypto/us/bars", fetch.AuthOptional)
	v.Facts.Venue, v.Facts.Empty = "ALPACA", fetch.EmptyOmitted
	// Its days begin at midnight of Chicago, 05:00 or 06:00 UTC (alpaca-py issue
	// 169): no days of anybody else's.
	v.Facts.Intervals = maps.Clone(intervals)
	maps.DeleteFunc(v.Facts.Intervals, func(i series.Interval, _ string) bool { return !i.Intraday() })
	v.Symbol = func(base, quote string) string { return base + "/" + quote }
	return v
}

func provider(name, title, path string, auth fetch.Auth, more ...string) *alpaca {
	v := &alpaca{}
	v.Facts = fetch.Info{
		Name: name, Title: title, Document: "alpacahq/alpaca-docs oas/data/openapi.yaml (read 2025-04)", Hosts: []string{"https://data.alpaca.markets"},
		Intervals: intervals, MaxBars: 9999, Paged: true, FromInclusive: true, ToInclusive: true, Grace: 15 * time.Minute, Auth: auth,
		Limits: []fetch.Limit{{Cost: 200, Window: time.Minute, Scope: fetch.PerKey}},
	}
	v.Ask = func(q fetch.Query, name string) (fetch.Request, error) {
		pairs := append([]string{
			"symbols", q.Symbol, "timeframe", name, "start", q.Span.From.Std().Format(time.RFC3339),
			"end", (q.Span.To - 1000).Std().Format(time.RFC3339), "limit", "10000", "page_token", q.Cursor,
		}, more...)
		return fetch.Request{Path: path, Query: wire.Form(pairs...)}, nil
	}
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Trades: 7, VWAP: 8, Unit: wire.RFC3339}
	v.Read = func(q fetch.Query, a fetch.Answer) (fetch.Page, error) {
		f := wire.Status(a)
		body, err := wire.Document(a.Body)
		if err != nil || f != nil {
			return fetch.Page{}, fault(f, body, err, a.Time)
		}
		bars, ok := wire.Member(body, "bars")
		if !ok {
			return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the answer holds no bars")
		}
		if bars[0] == '{' { // by symbol
			list := []byte("[]") // a symbol without bars is not named
			_ = wire.Object(bars, func(key string, x []byte) error {
				if key == q.Symbol || q.Symbol == "" {
					list = x
				}
				return nil
			})
			bars = list
		}
		p := fetch.Page{}
		if string(bars) != "null" {
			if p, err = layout.Objects(bars, "t", "o", "h", "l", "c", "v", "n", "vw"); err != nil {
				return p, err
			}
		}
		if next, ok := wire.Member(body, "next_page_token"); ok && string(next) != "null" {
			p.Next = wire.Text(next)
		}
		return p, nil
	}
	v.Alive = fetch.Request{Path: "/v1beta3/crypto/us/latest/bars", Query: "symbols=BTC%2FUSD", Class: "health"}
	return v
}

// delay is how old bars of all exchanges have to be for keys without a
// subscription.
const delay = 15 * series.Minute

func fault(f *fetch.Error, body []byte, err error, now series.Time) error {
	if f == nil {
		return err
	}
	if x, ok := wire.Member(body, "message"); ok {
		f.Message = wire.Text(x)
		if strings.Contains(strings.ToLower(f.Message), "invalid symbol") {
			f.Kind = fetch.UnknownSymbol
		}
		if strings.Contains(f.Message, "querying recent SIP data") {
			f.Kind, f.Before = fetch.NotEntitled, now-delay-series.Minute // clocks differ
		}
	}
	return f
}

// Sign is fetch.Signer: key and secret travel in headers.
func (v *alpaca) Sign(r *fetch.Request, _ string, c fetch.Credentials, _ time.Time) error {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Apca-Api-Key-Id", c.Key.Reveal())
	r.Header.Set("Apca-Api-Secret-Key", c.Secret.Reveal())
	return nil
}
