package fetch_test

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/series"
)

// The tests of the pool run in a small world: vendors behind a network of pipes,
// with the clock of testing/synctest, so that an hour of outage takes no time.

// vendor is a provider for tests: bars as JSON arrays, strictly read.
type vendor struct{ info fetch.Info }

func newVendor(change func(*fetch.Info)) *vendor {
	v := &vendor{fetch.Info{
		Name: "vendor", Title: "Vendor", Venue: "V", MaxBars: 500, Empty: fetch.EmptyOmitted,
		Intervals: map[series.Interval]string{series.Interval1m: "1m", series.Interval1d: "1d"},
	}}
	if change != nil {
		change(&v.info)
	}
	return v
}

func (v *vendor) Info() *fetch.Info { return &v.info }

func (v *vendor) Request(q fetch.Query) (fetch.Request, error) {
	p := url.Values{
		"symbol": {q.Symbol}, "interval": {q.Interval.String()},
		"from": {strconv.FormatInt(int64(q.Span.From), 10)}, "to": {strconv.FormatInt(int64(q.Span.To), 10)},
	}
	return fetch.Request{Path: "/bars", Query: p.Encode()}, nil
}

type vendorBody struct {
	Symbol string
	Code   int
	Bars   [][]json.Number
}

func (v *vendor) Page(q fetch.Query, a fetch.Answer) (fetch.Page, error) {
	fail := func(k fetch.Kind, text string) (fetch.Page, error) {
		return fetch.Page{}, &fetch.Error{Kind: k, Provider: v.info.Name, Status: a.Status, Message: text}
	}
	switch a.Status {
	case 200:
	case 404:
		return fail(fetch.UnknownSymbol, "no such symbol")
	case 403, 418:
		return fail(fetch.Banned, "banned")
	case 429:
		return fail(fetch.RateLimited, "slow down")
	case 410:
		return fail(fetch.HistoryExhausted, "too old")
	case 413:
		return fail(fetch.RangeTooBroad, "too many")
	case 451:
		return fail(fetch.GeoBlocked, "not here")
	case 401:
		return fail(fetch.NotEntitled, "no key")
	case 400:
		return fail(fetch.BadRequest, "bad")
	default:
		return fail(fetch.Unavailable, http.StatusText(a.Status))
	}
	var b vendorBody
	if err := json.Unmarshal(a.Body, &b); err != nil {
		return fail(fetch.Unavailable, "not JSON")
	}
	switch {
	case b.Code == -1003:
		return fail(fetch.RateLimited, "code -1003")
	case b.Code != 0:
		return fail(fetch.Unavailable, "code "+strconv.Itoa(b.Code))
	case b.Symbol != q.Symbol:
		return fail(fetch.Unavailable, "the answer is about another symbol")
	}
	var p fetch.Page
	for _, r := range b.Bars {
		row, err := readRow(r)
		if err != nil {
			p.Refused = append(p.Refused, fetch.Refusal{Time: row.Time, Reason: err.Error()})
			continue
		}
		p.Rows = append(p.Rows, row)
	}
	return p, nil
}

func readRow(r []json.Number) (fetch.Row, error) {
	row := fetch.Row{QuoteVolume: math.NaN(), Trades: math.NaN(), VWAP: math.NaN()}
	if len(r) > 0 {
		t, err := r[0].Int64()
		if err != nil {
			return row, err
		}
		row.Time = series.Time(t)
	}
	if len(r) != 6 {
		return row, fmt.Errorf("%d columns", len(r))
	}
	for i, f := range []*float64{&row.Open, &row.High, &row.Low, &row.Close, &row.Volume} {
		v, err := r[i+1].Float64()
		if err != nil {
			return row, err
		}
		*f = v
	}
	return row, nil
}

func (v *vendor) Health() fetch.Request { return fetch.Request{Path: "/time"} }

func (v *vendor) Clock(a fetch.Answer) (series.Time, error) {
	if a.Status != 200 {
		return 0, &fetch.Error{Kind: fetch.Unavailable, Status: a.Status}
	}
	n, err := strconv.ParseInt(string(a.Body), 10, 64)
	return series.Time(n), err
}

// truth is the bar of the world at t.
func truth(t series.Time) []string {
	n := int64(t / series.Minute)
	p := float64(20000+n*7919%5000) / 8
	num := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	return []string{strconv.FormatInt(int64(t), 10), num(p), num(p + 2.25), num(p - 3.5), num(p + 0.125), num(float64(1+n%97) / 16)}
}

// server is one host of the world.
type server struct {
	name    string
	handler http.Handler // nil: bars of the world
	tls     *httptest.Server
	down    atomic.Bool
	// dial spoils or replaces connections; nil connects.
	dial func(ctx context.Context) (net.Conn, error)
	// spoil changes what is answered; nil changes nothing. n counts from 0.
	spoil func(n int, w http.ResponseWriter, r *http.Request, b *reply) (done bool)
	skew  time.Duration // of its clock
	omit  func(series.Time) bool

	hits  atomic.Int64
	mu    sync.Mutex
	at    []time.Time // of the requests
	conns chan net.Conn
	srv   *http.Server
}

// reply is what a server is about to say.
type reply struct {
	symbol string
	rows   [][]string
	extra  string // further fields
}

func (b *reply) text() string {
	var s strings.Builder
	fmt.Fprintf(&s, `{"symbol":%q%s,"bars":[`, b.symbol, b.extra)
	for i, r := range b.rows {
		if i > 0 {
			s.WriteByte(',')
		}
		s.WriteString("[" + strings.Join(r, ",") + "]")
	}
	s.WriteString("]}")
	return s.String()
}

func (s *server) times() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.at)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := int(s.hits.Add(1)) - 1
	s.mu.Lock()
	s.at = append(s.at, time.Now())
	s.mu.Unlock()
	now := time.Now().Add(s.skew)
	w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	if s.down.Load() {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	if s.handler != nil {
		s.handler.ServeHTTP(w, r)
		return
	}
	if r.URL.Path == "/time" {
		fmt.Fprint(w, now.UnixMilli())
		return
	}
	v := r.URL.Query()
	from, _ := strconv.ParseInt(v.Get("from"), 10, 64)
	to, _ := strconv.ParseInt(v.Get("to"), 10, 64)
	interval, _ := series.ParseInterval(v.Get("interval"))
	b := &reply{symbol: v.Get("symbol")}
	for t := series.Time(from); t < series.Time(to) && t <= series.TimeOf(time.Now()); t += interval.Width() {
		if s.omit == nil || !s.omit(t) {
			b.rows = append(b.rows, truth(t))
		}
	}
	if s.spoil != nil && s.spoil(n, w, r, b) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	text := b.text()
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, text)
		_ = z.Close()
		return
	}
	_, _ = io.WriteString(w, text)
}

// world is the servers and the way to them.
type world struct {
	t       testing.TB
	servers map[string]*server
	roots   *x509.CertPool
	tr      *http.Transport
}

// newWorld starts servers. It belongs inside synctest.Test.
func newWorld(t testing.TB, servers ...*server) *world {
	w := &world{t: t, servers: map[string]*server{}, roots: x509.NewCertPool()}
	for _, s := range servers {
		w.servers[s.name] = s
		s.conns = make(chan net.Conn)
		l := &listener{s.conns, make(chan struct{}), sync.Once{}}
		if s.tls != nil {
			s.tls.Config.Handler = s
			s.tls.Listener = l
			s.tls.StartTLS()
			w.roots.AddCert(s.tls.Certificate())
		} else {
			s.srv = &http.Server{Handler: s, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
			go func() { _ = s.srv.Serve(l) }()
		}
	}
	w.tr = fetch.NewTransport(fetch.TransportOptions{Dial: w.dial, Roots: w.roots})
	t.Cleanup(func() {
		wait(time.Hour) // connections that nobody waits for any more
		w.tr.CloseIdleConnections()
		for _, s := range servers {
			if s.tls != nil {
				s.tls.CloseClientConnections()
				s.tls.Close()
			} else {
				_ = s.srv.Close()
			}
		}
	})
	return w
}

func (w *world) dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(address)
	s := w.servers[host]
	if s == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if s.dial != nil {
		c, err := s.dial(ctx)
		if c != nil || err != nil {
			return c, err
		}
	}
	a, b := net.Pipe()
	select {
	case s.conns <- b:
		return a, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type listener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

// pool starts a pool of one endpoint per server, in the order of priority.
func (w *world) pool(o fetch.Options, v fetch.Provider, names ...string) *fetch.Pool {
	w.t.Helper()
	for i, name := range names {
		scheme := "http://"
		if w.servers[name] != nil && w.servers[name].tls != nil {
			scheme = "https://"
		}
		o.Endpoints = append(o.Endpoints, fetch.Endpoint{Name: name, URL: scheme + name, Provider: v, Priority: i})
	}
	o.Transport = w.tr
	p, err := fetch.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			w.t.Error(err)
		}
	})
	return p
}

// lastMinutes is the span of n minutes before the one that is open now.
func lastMinutes(n int) series.Span {
	now := series.TimeOf(time.Now()) / series.Minute * series.Minute
	return series.Span{From: now - series.Time(n)*series.Minute, To: now}
}

func askFor(span series.Span) fetch.Ask {
	return fetch.Ask{
		Sources: []fetch.Source{{Provider: "vendor", Symbol: "X"}}, Interval: series.Interval1m, Span: span,
	}
}

// collect asks and checks that whatever comes is in order and true.
func collect(t testing.TB, p *fetch.Pool, a fetch.Ask) (bars int, r *fetch.Report, err error) {
	t.Helper()
	last := series.MinTime
	r, err = p.Bars(t.Context(), a, func(b fetch.Batch) error {
		for i := range b.Bars.Len() {
			x := b.Bars.Bar(i)
			if x.Time <= last || !a.Span.Contains(x.Time) {
				return fmt.Errorf("bar at %v after %v", x.Time, last)
			}
			last = x.Time
			want := truth(x.Time)
			for k, v := range []float64{x.Open, x.High, x.Low, x.Close, x.Volume} {
				if f, _ := strconv.ParseFloat(want[k+1], 64); f != v {
					return fmt.Errorf("WRONG bar at %v from %s: %+v", x.Time, b.Endpoint, x)
				}
			}
			if ended := x.Time+a.Interval.Width() <= series.TimeOf(time.Now()); !ended && !x.Prov.Forming() {
				return fmt.Errorf("WRONG: the bar at %v is called final", x.Time)
			}
			bars++
		}
		return nil
	})
	if err != nil {
		if _, typed := errors.AsType[*fetch.UnansweredError](err); !typed {
			t.Errorf("error of another type: %v", err)
		}
	}
	if r != nil && int64(bars) != r.Bars {
		t.Errorf("%d bars were given and %d reported", bars, r.Bars)
	}
	return bars, r, err
}

// keyed is the vendor with a key in the query, the worst place for one.
type keyed struct{ *vendor }

func (k keyed) Sign(r *fetch.Request, _ string, c fetch.Credentials, _ time.Time) error {
	r.Query += "&apikey=" + url.QueryEscape(c.Key.Reveal())
	return nil
}

// Page repeats what the server says, as vendors do.
func (k keyed) Page(q fetch.Query, a fetch.Answer) (fetch.Page, error) {
	if a.Status != 200 {
		return fetch.Page{}, &fetch.Error{Kind: fetch.Unavailable, Status: a.Status, Message: string(a.Body)}
	}
	return k.vendor.Page(q, a)
}

func debugLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
