// Package generic is a provider made of configuration: a source of bars that
// needs no code.
package generic

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

// Config describes a source. Templates hold {symbol}, {interval}, {from}, {to}
// and {cursor}; in a query the values are escaped.
type Config struct {
	Name   string `json:"name" yaml:"name"`
	Title  string `json:"title" yaml:"title"`
	Venue  string `json:"venue" yaml:"venue"` // where the trades took place; empty is the name
	URL    string `json:"url" yaml:"url"`     // https://host
	Method string `json:"method" yaml:"method"`
	Path   string `json:"path" yaml:"path"`
	Query  string `json:"query" yaml:"query"`
	Body   string `json:"body" yaml:"body"`
	// Headers are sent with each request. A key belongs into api_key_env of the
	// endpoint: {key} stands for it here and in Query.
	Headers map[string]string `json:"headers" yaml:"headers"`
	// Intervals maps our names to the source's: {"1m": "60"}.
	Intervals map[string]string `json:"intervals" yaml:"intervals"`
	// Times is how {from} and {to} are written: s, ms, us, ns, rfc3339, datetime
	// or date. With ToInclusive {to} is the last open time that is wanted.
	Times       string `json:"times" yaml:"times"`
	ToInclusive bool   `json:"to_inclusive" yaml:"to_inclusive"`
	MaxBars     int    `json:"max_bars" yaml:"max_bars"`
	Descending  bool   `json:"descending" yaml:"descending"`
	Empty       string `json:"empty" yaml:"empty"` // omitted, flat or invented; empty is unknown

	// Format of the answer: json or csv. Rows is the path to the rows in JSON:
	// data.candles, or empty for the answer itself.
	Format string `json:"format" yaml:"format"`
	Rows   string `json:"rows" yaml:"rows"`
	// Shape of the rows: rows (a list of lists or of objects), columns (an object
	// of lists) or keyed (an object whose keys are times).
	Shape string `json:"shape" yaml:"shape"`
	// Columns maps time, open, high, low, close, volume and, where there are any,
	// quote_volume, trades and vwap to a name or a number from 0.
	Columns map[string]string `json:"columns" yaml:"columns"`
	// Time is how times of the answer are written, as Times.
	Time string `json:"time" yaml:"time"`
	// Next is the path to the cursor of the next page; empty is a single page.
	Next string `json:"next" yaml:"next"`
	// Errors are looked for before anything else, whatever the status.
	Errors []Rule `json:"errors" yaml:"errors"`
	// Health is the path that shows whether the source answers.
	Health string `json:"health" yaml:"health"`
	// Requests in each WindowSeconds are allowed.
	Requests      int `json:"rate_limit_requests" yaml:"rate_limit_requests"`
	WindowSeconds int `json:"rate_limit_window_seconds" yaml:"rate_limit_window_seconds"`
}

// Rule recognises an error: by the status, by a text at a path, or both.
type Rule struct {
	Status   int        `json:"status" yaml:"status"`
	Path     string     `json:"path" yaml:"path"`         // empty is the whole body as text
	Contains string     `json:"contains" yaml:"contains"` // case does not matter; empty: the path is there
	Kind     fetch.Kind `json:"kind" yaml:"kind"`
}

// units are the names of times.
var units = map[string]wire.Unit{
	"s": wire.Seconds, "ms": wire.Milliseconds, "us": wire.Microseconds, "ns": wire.Nanoseconds,
	"rfc3339": wire.RFC3339, "datetime": wire.DateTime, "date": wire.DateOnly,
}

var empties = map[string]fetch.EmptySlots{"": fetch.EmptyUnknown, "omitted": fetch.EmptyOmitted, "flat": fetch.EmptyFlat, "invented": fetch.EmptyInvented}

// columns in the order of the cells of a row.
var columns = [...]string{"time", "open", "high", "low", "close", "volume", "quote_volume", "trades", "vwap"}

type generic struct {
	wire.Vendor
	c        Config
	in, out  wire.Unit
	pick     [len(columns)]string
	layout   wire.Layout
	secretly bool // the key has a place of its own
}

var placeholder = regexp.MustCompile(`\{[^{}"]*\}`)

// New checks a configuration. The error lists all that is wrong, each with its
// key and what to write.
func New(c Config) (fetch.Provider, error) {
	g := &generic{c: c}
	var errs []error
	fail := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: "+format, append([]any{key}, args...)...))
	}
	c.Times, c.Time = cmp.Or(c.Times, "ms"), cmp.Or(c.Time, "ms")
	c.Format, c.Shape = cmp.Or(c.Format, "json"), cmp.Or(c.Shape, "rows")
	if c.Name == "" {
		fail("name", "is missing")
	}
	if u, err := url.Parse(c.URL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.User != nil {
		fail("url", "this is not an address: give https://host")
	}
	if !strings.HasPrefix(c.Path, "/") {
		fail("path", "%q does not begin with /", c.Path)
	}
	for key, template := range map[string]string{"path": c.Path, "query": c.Query, "body": c.Body} {
		for _, p := range placeholder.FindAllString(template, -1) {
			if !slices.Contains([]string{"{symbol}", "{interval}", "{from}", "{to}", "{cursor}", "{key}"}, p) && key != "body" {
				fail(key, "%s is unknown: use {symbol}, {interval}, {from}, {to}, {cursor}, {key}", p)
			}
		}
	}
	if all := c.Path + c.Query + c.Body; !strings.Contains(all, "{symbol}") {
		fail("query", "{symbol} is nowhere in path, query and body")
	}
	var ok bool
	if g.out, ok = units[c.Times]; !ok {
		fail("times", "%q is not one of s, ms, us, ns, rfc3339, datetime, date", c.Times)
	}
	if g.in, ok = units[c.Time]; !ok {
		fail("time", "%q is not one of s, ms, us, ns, rfc3339, datetime, date", c.Time)
	}
	empty, ok := empties[c.Empty]
	if !ok {
		fail("empty", "%q is not one of omitted, flat, invented", c.Empty)
	}
	if c.Format != "json" && c.Format != "csv" {
		fail("format", "%q is not one of json, csv", c.Format)
	}
	if !slices.Contains([]string{"rows", "columns", "keyed"}, c.Shape) || c.Format == "csv" && c.Shape != "rows" {
		fail("shape", "%q is not one of rows, columns, keyed (rows for csv)", c.Shape)
	}
	if c.MaxBars < 0 {
		fail("max_bars", "%d is below 0", c.MaxBars)
	}
	names := map[series.Interval]string{}
	for ours, theirs := range c.Intervals {
		i, err := series.ParseInterval(ours)
		if err != nil {
			fail("intervals", "%v", err)
			continue
		}
		names[i] = theirs
	}
	if len(names) == 0 {
		fail("intervals", `is empty: give {"1m": "what the source calls it"}`)
	}
	g.readColumns(c, fail)
	for i, r := range c.Errors {
		if r.Kind == 0 || r.Status == 0 && r.Path == "" && r.Contains == "" {
			fail(fmt.Sprintf("errors %d", i+1), "give a kind, and a status, a path or contains")
		}
	}
	if (c.Requests > 0) != (c.WindowSeconds > 0) || c.Requests < 0 {
		fail("rate_limit_requests", "give rate_limit_requests and rate_limit_window_seconds, both above 0")
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	g.c = c
	g.secretly = strings.Contains(c.Query, "{key}")
	for _, v := range c.Headers {
		g.secretly = g.secretly || strings.Contains(v, "{key}")
	}
	limit := fetch.Limit{Cost: c.Requests, Window: time.Duration(c.WindowSeconds) * time.Second}
	if c.Requests == 0 {
		limit = fetch.Limit{Cost: 5, Window: time.Second} // what a stranger bears
	}
	g.Facts = fetch.Info{
		Name: c.Name, Title: cmp.Or(c.Title, c.Name), Venue: cmp.Or(c.Venue, c.Name), Document: "configuration", Hosts: []string{c.URL},
		Intervals: names, MaxBars: c.MaxBars, Paged: c.Next != "", Descending: c.Descending, FromInclusive: true, ToInclusive: c.ToInclusive,
		Empty: empty, Grace: 10 * time.Second, Limits: []fetch.Limit{limit},
	}
	if g.secretly {
		g.Facts.Auth = fetch.AuthKey
	}
	g.Ask, g.Read = g.ask, g.read
	g.Alive = fetch.Request{Path: cmp.Or(c.Health, "/"), Class: "health"}
	return g, nil
}

func (g *generic) readColumns(c Config, fail func(key, format string, args ...any)) {
	for k := range c.Columns {
		if !slices.Contains(columns[:], k) {
			fail("columns", "%q is unknown: use %s", k, strings.Join(columns[:], ", "))
		}
	}
	at := func(i int) int {
		g.pick[i] = c.Columns[columns[i]]
		if g.pick[i] == "" {
			return 0
		}
		return i + 1
	}
	g.layout = wire.Layout{
		Time: at(0), Open: at(1), High: at(2), Low: at(3), Close: at(4), Volume: at(5), Quote: at(6), Trades: at(7), VWAP: at(8), Unit: g.in,
	}
	for i := range 5 {
		if g.pick[i] == "" && (i > 0 || c.Shape != "keyed") {
			fail("columns", "%s is missing", columns[i])
		}
	}
	if c.Shape == "keyed" {
		g.layout.Time = 1
	}
}

// write writes a time of the question.
func (g *generic) write(t series.Time) string {
	switch g.out {
	case wire.Seconds:
		return strconv.FormatInt(int64(t)/1000, 10)
	case wire.Microseconds:
		return strconv.FormatInt(int64(t)*1000, 10)
	case wire.Nanoseconds:
		return strconv.FormatInt(int64(t)*1_000_000, 10)
	case wire.RFC3339:
		return t.Std().Format(time.RFC3339)
	case wire.DateTime:
		return t.Std().Format(time.DateTime)
	case wire.DateOnly:
		return t.Std().Format(time.DateOnly)
	}
	return strconv.FormatInt(int64(t), 10)
}

func (g *generic) ask(q fetch.Query, name string) (fetch.Request, error) {
	to := q.Span.To
	if g.c.ToInclusive {
		to = series.Grid{Interval: q.Interval}.Time(series.Grid{Interval: q.Interval}.SlotAt(to - 1))
	}
	values := []string{"{symbol}", q.Symbol, "{interval}", name, "{from}", g.write(q.Span.From), "{to}", g.write(to), "{cursor}", q.Cursor}
	fill := func(template string, escape func(string) string) string {
		list := slices.Clone(values)
		for i := 1; i < len(list); i += 2 {
			list[i] = escape(list[i])
		}
		return strings.NewReplacer(list...).Replace(template)
	}
	r := fetch.Request{Method: g.c.Method, Path: fill(g.c.Path, url.PathEscape), Query: fill(g.c.Query, url.QueryEscape), Header: http.Header{}}
	if g.c.Body != "" {
		r.Body = []byte(fill(g.c.Body, func(s string) string { return strings.Trim(strconv.Quote(s), `"`) }))
	}
	for k, v := range g.c.Headers {
		r.Header.Set(k, v)
	}
	return r, nil
}

// Sign is fetch.Signer: it puts the key in its place.
func (g *generic) Sign(r *fetch.Request, _ string, c fetch.Credentials, _ time.Time) error {
	key := c.Key.Reveal()
	r.Query = strings.ReplaceAll(r.Query, "{key}", url.QueryEscape(key))
	for _, vs := range r.Header {
		for i := range vs {
			vs[i] = strings.ReplaceAll(vs[i], "{key}", key)
		}
	}
	return nil
}

func (g *generic) read(_ fetch.Query, a fetch.Answer) (fetch.Page, error) {
	if g.c.Format == "csv" {
		if err := g.fault(a, nil); err != nil {
			return fetch.Page{}, err
		}
		return g.readCSV(a.Body)
	}
	body, err := wire.Document(a.Body)
	if ferr := g.fault(a, body); ferr != nil {
		return fetch.Page{}, ferr
	}
	if err != nil {
		return fetch.Page{}, err
	}
	rows, ok := at(body, g.c.Rows)
	if !ok {
		return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the answer holds no "+g.c.Rows)
	}
	p, err := g.readJSON(rows)
	if err != nil || g.c.Next == "" {
		return p, err
	}
	if next, ok := at(body, g.c.Next); ok && string(next) != "null" {
		p.Next = wire.Text(next)
	}
	return p, nil
}

// fault looks for the errors of the configuration, then at the status.
func (g *generic) fault(a fetch.Answer, body []byte) error {
	for _, r := range g.c.Errors {
		text, found := string(a.Body), true
		if r.Path != "" {
			var v []byte
			if v, found = at(body, r.Path); found {
				text = wire.Text(v)
			}
		}
		if (r.Status == 0 || r.Status == a.Status) && found && strings.Contains(strings.ToLower(text), strings.ToLower(r.Contains)) {
			return wire.Fault(r.Kind, "", text)
		}
	}
	if f := wire.Status(a); f != nil {
		return f
	}
	return nil
}

// at finds what a path of members and numbers leads to.
func at(v []byte, path string) ([]byte, bool) {
	if path == "" {
		return v, len(v) > 0
	}
	for key := range strings.SplitSeq(path, ".") {
		x, ok := wire.Member(v, key)
		if !ok {
			want, err := strconv.Atoi(key)
			n := 0
			_ = wire.Array(v, func(item []byte) error { // no array: not found
				if err == nil && n == want {
					x, ok = item, true
				}
				n++
				return nil
			})
		}
		if !ok {
			return nil, false
		}
		v = x
	}
	return v, true
}

func (g *generic) readJSON(rows []byte) (fetch.Page, error) {
	switch g.c.Shape {
	case "columns":
		return g.readColumnar(rows)
	case "keyed":
		var all [][][]byte
		err := wire.Object(rows, func(key string, v []byte) error {
			cells := g.cells(v)
			cells[0] = []byte(key)
			all = append(all, cells)
			return nil
		})
		if err != nil {
			return fetch.Page{}, err
		}
		return g.layout.Rows(len(all), func(i int) [][]byte { return all[i] })
	}
	var all [][][]byte
	err := wire.Array(rows, func(v []byte) error {
		if len(v) == 0 || v[0] != '[' && v[0] != '{' {
			return errors.New("a row is neither a list nor an object")
		}
		all = append(all, g.cells(v))
		return nil
	})
	if err != nil {
		return fetch.Page{}, err
	}
	return g.layout.Rows(len(all), func(i int) [][]byte { return all[i] })
}

// cells picks the cells of a row.
func (g *generic) cells(v []byte) [][]byte {
	out := make([][]byte, len(columns))
	for i, path := range g.pick {
		if path != "" {
			out[i], _ = at(v, path)
		}
	}
	return out
}

func (g *generic) readColumnar(rows []byte) (fetch.Page, error) {
	lists := make([][][]byte, len(columns))
	for i, path := range g.pick {
		if path == "" {
			continue
		}
		v, ok := at(rows, path)
		if !ok {
			return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the answer holds no "+path)
		}
		if err := wire.Array(v, func(x []byte) error { lists[i] = append(lists[i], x); return nil }); err != nil {
			return fetch.Page{}, err
		}
		if len(lists[i]) != len(lists[0]) {
			return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the columns differ in length")
		}
	}
	return g.layout.Rows(len(lists[0]), func(n int) [][]byte {
		cells := make([][]byte, len(columns))
		for i := range lists {
			if lists[i] != nil {
				cells[i] = lists[i][n]
			}
		}
		return cells
	})
}

func (g *generic) readCSV(body []byte) (fetch.Page, error) {
	all, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
	if err != nil || len(all) == 0 {
		return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the answer is no CSV")
	}
	var where [len(columns)]int
	header := false
	for i, name := range g.pick {
		where[i] = -1
		if name == "" {
			continue
		}
		if n, err := strconv.Atoi(name); err == nil {
			where[i] = n
			continue
		}
		header = true
		if where[i] = slices.IndexFunc(all[0], func(h string) bool { return strings.EqualFold(strings.TrimSpace(h), name) }); where[i] < 0 {
			return fetch.Page{}, wire.Fault(fetch.Unavailable, "", "the CSV has no column "+name)
		}
	}
	if header {
		all = all[1:]
	}
	return g.layout.Rows(len(all), func(n int) [][]byte {
		cells := make([][]byte, len(columns))
		for i, w := range where {
			if w >= 0 && w < len(all[n]) {
				cells[i] = []byte(strings.TrimSpace(all[n][w]))
			}
		}
		return cells
	})
}
