// Package barkeep reads bars of another instance of this program.
//
// What a source said, and what a repair corrected, is taken; what was made up
// there, by a fill or out of finer bars, is not. Each bar says who said it there
// ([fetch.Row.Origin]). What the other instance lacks it
// may never have had, so its absence says nothing of the market.
package barkeep

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

// maxBars is how many bars one question may ask for: 3 MiB of JSON.
const maxBars = 20_000

type instance struct{ wire.Vendor }

// Provider returns the provider of an endpoint that is another instance. Its bars
// carry name as their source; venue is where the trades took place, if all of
// what is asked of it is of one.
func Provider(name, venue string) fetch.Provider {
	v := &instance{}
	v.Facts = fetch.Info{
		Name: name, Title: "Barkeep", Document: "docs/http.md", Venue: venue,
		Intervals: map[series.Interval]string{}, MaxBars: maxBars, Paged: true, FromInclusive: true,
		Empty: fetch.EmptySilent, Auth: fetch.AuthOptional,
	}
	for _, i := range series.Intervals() {
		v.Facts.Intervals[i] = i.String()
	}
	v.Ask = func(q fetch.Query, interval string) (fetch.Request, error) {
		return fetch.Request{Path: "/v1/bars", Query: wire.Form(
			"symbol", q.Symbol, "interval", interval, "resample_from", interval, // what is stored, not what is made of it
			"from", wire.Millis(q.Span.From), "to", wire.Millis(q.Span.To), "fill", "none", "limit", "20000", "cursor", q.Cursor)}, nil
	}
	layout := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Quote: 7, Trades: 8, Unit: wire.Milliseconds}
	v.Read = func(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
		if f := wire.Status(a); f != nil {
			if e, ok := wire.Member(a.Body, "error"); ok {
				if code, ok := wire.Member(e, "code"); ok {
					f.Code = wire.Text(code)
				}
				if m, ok := wire.Member(e, "message"); ok {
					f.Message = wire.Text(m)
				}
			}
			return fetch.Page{}, f
		}
		body, err := wire.Document(a.Body)
		if err != nil {
			return fetch.Page{}, err
		}
		bars, ok := wire.Member(body, "bars")
		if !ok {
			return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the answer holds no bars: this is no Barkeep")
		}
		if adjust, ok := wire.Member(body, "adjust"); ok && wire.Text(adjust) != "none" {
			return fetch.Page{}, wire.Fault(fetch.BadRequest, "adjusted", "the prices that are stored there are adjusted ("+wire.Text(adjust)+")")
		}
		said := []byte{'['}
		origins := map[series.Time]string{}
		if err := wire.Array(bars, func(bar []byte) error {
			kind, _ := wire.Member(bar, "kind")
			forming, _ := wire.Member(bar, "forming")
			if k := wire.Text(kind); k != "observed" && k != "corrected" || bytes.Equal(forming, []byte("true")) {
				return nil
			}
			if len(said) > 1 {
				said = append(said, ',')
			}
			said = append(said, bar...)
			source, _ := wire.Member(bar, "source")
			t, _ := wire.Member(bar, "time")
			if ms, err := strconv.ParseInt(wire.Text(t), 10, 64); err == nil && len(source) > 0 {
				origins[series.Time(ms)] = origin(wire.Text(source))
			}
			return nil
		}); err != nil {
			return fetch.Page{}, err
		}
		p, err := layout.Objects(append(said, ']'), "time", "open", "high", "low", "close", "volume", "quote_volume", "trades")
		if err != nil {
			return p, err
		}
		for i := range p.Rows {
			p.Rows[i].Origin = origins[p.Rows[i].Time]
		}
		if next, ok := wire.Member(body, "next"); ok && !bytes.Equal(next, []byte("null")) {
			p.Next = wire.Text(next)
		}
		return p, nil
	}
	v.Alive = fetch.Request{Path: "/health", Class: "health"}
	return v
}

// origin is the name of a source there; one that is not known, or cannot be a
// name here, is none.
func origin(name string) string {
	if name == "unknown" || len(name) > 64 || strings.ContainsFunc(name, unicode.IsControl) || !utf8.ValidString(name) {
		return ""
	}
	return name
}

// Sign is fetch.Signer: the token travels in a header.
func (v *instance) Sign(r *fetch.Request, _ string, c fetch.Credentials, _ time.Time) error {
	if c.Key.Empty() {
		return nil
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Authorization", "Bearer "+c.Key.Reveal())
	return nil
}
