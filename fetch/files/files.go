// Package files serves bars out of a folder of files, as if it were a vendor.
//
// A [Provider] asks and reads as every other one does; its requests have the
// scheme file, and a [Transport] answers them out of the folder. So a folder has
// breakers, limits, statistics and provenance as any other endpoint has, and a
// file that is wrong is refused like a wrong answer.
//
// # Which files are asked
//
// Those whose name holds the symbol, whatever stands between its parts, and the
// interval, if the name or a folder above says one: BTCUSDT-1m-2024-01.zip,
// BTC_USDT-1m.feather, 1d/AAPL.csv, spot/monthly/klines/BTCUSDT/1m/.... Where
// nothing says the interval the rows do. A symbol with a * or a dot in its last
// part is a pattern of path.Match over the path inside the folder instead.
//
// # What a file must be
//
// Bars, in whatever format [barfile] reads. A file beside which NAME.CHECKSUM,
// NAME.sha256 or SHA256SUMS names another SHA-256 is evidence of damage: it is
// refused as a whole, and so is every question whose bars it may hold, because
// the bars of the files around it would make its own look absent.
//
// What a folder lacks was never put there, so its absence says nothing of the
// market.
package files

import (
	"math"
	"strconv"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

// maxBars is how many bars one question may ask for. A file is read as a whole
// for each, unless it was read just before.
const maxBars = 50_000

type shelf struct{ wire.Vendor }

// Local is fetch.Local.
func (*shelf) Local() {}

// Request is fetch.Provider. Symbols are names of files, in which any character
// may be.
func (v *shelf) Request(q fetch.Query) (fetch.Request, error) {
	name, ok := v.Facts.Intervals[q.Interval]
	if !ok || q.Symbol == "" {
		return v.Vendor.Request(q)
	}
	return v.Ask(q, name)
}

// Provider returns the provider of an endpoint whose URL is file:///FOLDER. Its
// bars carry name as their source; venue is where the trades took place, if the
// files are of one.
func Provider(name, venue string) fetch.Provider {
	v := &shelf{}
	v.Facts = fetch.Info{
		Name: name, Title: "Files", Document: "docs/providers.md", Venue: venue,
		Intervals: map[series.Interval]string{}, MaxBars: maxBars, FromInclusive: true,
		Empty: fetch.EmptySilent,
	}
	for _, i := range series.Intervals() {
		v.Facts.Intervals[i] = i.String()
	}
	v.Ask = func(q fetch.Query, interval string) (fetch.Request, error) {
		return fetch.Request{Path: barsPath, Query: wire.Form(
			"symbol", q.Symbol, "interval", interval,
			"from", wire.Millis(q.Span.From), "to", wire.Millis(q.Span.To))}, nil
	}
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Quote: 7, Trades: 8, Unit: wire.Milliseconds}
	v.Read = func(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
		switch a.Status {
		case statusNone:
			return fetch.Page{}, wire.Fault(fetch.UnknownSymbol, "", message(a.Body))
		case statusWrong:
			return fetch.Page{}, wire.Fault(fetch.BadRequest, "wrong_file", message(a.Body))
		}
		if f := wire.Status(a); f != nil {
			return fetch.Page{}, f
		}
		rows, ok := wire.Member(a.Body, "rows")
		if !ok {
			return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "no rows")
		}
		return layout.Lists(rows)
	}
	v.Alive = fetch.Request{Path: healthPath, Class: "health"}
	return v
}

func message(body []byte) string {
	m, _ := wire.Member(body, "message")
	return wire.Text(m)
}

// appendRow writes a bar as an array. An absent figure is null.
func appendRow(dst []byte, c *series.Columns, i int) []byte {
	number := func(dst []byte, col []float64) []byte {
		dst = append(dst, ',')
		if i >= len(col) || math.IsNaN(col[i]) || math.IsInf(col[i], 0) {
			return append(dst, "null"...)
		}
		return strconv.AppendFloat(dst, col[i], 'g', -1, 64)
	}
	dst = append(dst, '[')
	dst = strconv.AppendInt(dst, int64(c.Time[i]), 10)
	for _, col := range [...][]float64{c.Open, c.High, c.Low, c.Close, c.Volume, c.QuoteVolume, c.Trades} {
		dst = number(dst, col)
	}
	return append(dst, ']')
}

// settled is how old a file must be to be read: one that is still being written
// is not whole.
const settled = 2 * time.Second
