package api

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/barkeepdb/barkeep/series"
)

// params reads query parameters and keeps the first fault. A parameter that
// nobody asked for is a fault too: a misspelled "form" would otherwise answer
// the whole series.
type params struct {
	values url.Values
	asked  map[string]bool
	err    error
}

func parseQuery(raw string) *params {
	v, err := url.ParseQuery(raw)
	p := &params{values: v, asked: map[string]bool{}}
	if err != nil {
		p.err = badField("", "the query string cannot be read: %v", err)
	}
	return p
}

func (p *params) fail(name, format string, args ...any) {
	if p.err == nil {
		p.err = badField(name, format, args...)
	}
}

// text returns a parameter, "" where it is absent.
func (p *params) text(name string) string {
	p.asked[name] = true
	switch v := p.values[name]; len(v) {
	case 0:
		return ""
	case 1:
		return v[0]
	default:
		p.fail(name, "%s is given %d times: give it once", name, len(v))
		return v[0]
	}
}

// choice returns a parameter that is one of names; the first is the default.
func (p *params) choice(name string, names ...string) string {
	v := p.text(name)
	if v == "" {
		return names[0]
	}
	if !slices.Contains(names, v) {
		p.fail(name, "%s %q is not one of %s", name, v, strings.Join(names, ", "))
	}
	return v
}

// share returns a number from 0 to 1; absent is 0.
func (p *params) share(name string) float64 {
	v := p.text(name)
	if v == "" {
		return 0
	}
	x, err := strconv.ParseFloat(v, 64)
	if err != nil || !(x >= 0 && x <= 1) {
		p.fail(name, "%s %q is not a number from 0 to 1", name, v)
	}
	return x
}

func (p *params) flag(name string) bool { return p.choice(name, "false", "true") == "true" }

// limit returns a number from 1 to most; absent is most.
func (p *params) limit(most int) int {
	v := p.text("limit")
	if v == "" {
		return most
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > most {
		p.fail("limit", "limit %q is not a number from 1 to %d", v, most)
	}
	return n
}

// time returns an instant, nil where it is absent.
func (p *params) time(name string) *series.Time {
	v := p.text(name)
	if v == "" {
		return nil
	}
	// In a query string + is a space: 12:00:00+02:00 arrives as 12:00:00 02:00.
	if i := len(v) - 6; i > 10 && v[i] == ' ' {
		v = v[:i] + "+" + v[i+1:]
	}
	t, err := series.ParseTime(v)
	if err != nil {
		p.fail(name, "%s: %v", name, err)
	}
	return &t
}

// bounds are from and to as given, and nil where they are not.
type bounds struct{ from, to *series.Time }

func (p *params) bounds() bounds {
	b := bounds{p.time("from"), p.time("to")}
	if b.from != nil && b.to != nil && *b.from >= *b.to {
		p.fail("from", "from %v is not before to %v: from is inclusive, to exclusive", *b.from, *b.to)
	}
	return b
}

// within returns the bounds with those that are open taken from all.
func (b bounds) within(all series.Span) series.Span {
	if b.from != nil {
		all.From = *b.from
	}
	if b.to != nil {
		all.To = *b.to
	}
	return all
}

// symbol returns the symbol, "" where it is absent.
func (p *params) symbol() string {
	s := p.text("symbol")
	if s != "" {
		if err := series.CheckSymbol(s); err != nil {
			p.fail("symbol", "%v", err)
		}
	}
	return s
}

// needSymbol returns the symbol, which has to be there.
func (p *params) needSymbol() string {
	s := p.symbol()
	if s == "" {
		p.fail("symbol", "symbol is missing: name it, such as symbol=GOOGL")
	}
	return s
}

// interval returns the interval, 0 where it is absent.
func (p *params) interval(name string) series.Interval {
	v := p.text(name)
	if v == "" {
		return 0
	}
	i, err := series.ParseInterval(v)
	if err != nil {
		p.fail(name, "%v", err)
	}
	return i
}

// key returns a series; both halves are needed.
func (p *params) key() series.Key {
	k := series.Key{Symbol: p.symbol(), Interval: p.interval("interval")}
	if k.Symbol == "" {
		p.fail("symbol", "symbol is missing: name the series, such as symbol=BTCUSDT&interval=1m")
	}
	if k.Interval == 0 {
		p.fail("interval", "interval is missing: name the width of the bars, such as interval=1m")
	}
	return k
}

// done returns the first fault, an unknown parameter included.
func (p *params) done() error {
	if p.err != nil {
		return p.err
	}
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if !p.asked[name] {
			return badField(name, "parameter %q is unknown here: known are %s", name, strings.Join(slices.Sorted(maps.Keys(p.asked)), ", "))
		}
	}
	return nil
}

// cursor is where the next page goes on: from this time on in ascending
// order, before it in descending order. Clients hand it back unread.
type cursor struct {
	at   series.Time
	desc bool
}

func (c cursor) String() string {
	way := "a"
	if c.desc {
		way = "d"
	}
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "1%s%d", way, int64(c.at)))
}

func (p *params) cursor(desc bool) *cursor {
	v := p.text("cursor")
	if v == "" {
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(v)
	if err == nil && len(raw) > 2 && raw[0] == '1' && (raw[1] == 'a' || raw[1] == 'd') {
		n, err := strconv.ParseInt(string(raw[2:]), 10, 64)
		if c := (cursor{series.Time(n), raw[1] == 'd'}); err == nil && c.desc == desc && c.at >= series.MinTime && c.at <= series.MaxTime {
			return &c
		}
	}
	p.fail("cursor", "cursor %.40q is not one of this query: give back next as it came, with the same parameters", v)
	return nil
}
