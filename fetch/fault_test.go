package fetch_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/series"
)

// wait passes time on the clock of the bubble.
func wait(d time.Duration) { <-time.After(d) }

// fault is one way in which a vendor or the network goes wrong.
type fault struct {
	name string
	// dial spoils a connection; nil, nil connects.
	dial func(ctx context.Context) (net.Conn, error)
	// spoil changes an answer, and reports whether it wrote it.
	spoil func(w http.ResponseWriter, r *http.Request, b *reply) bool
	skew  time.Duration
	tls   bool   // the server speaks TLS
	host  string // the server's name; "a.test" if empty
	// sometimes is set for lies that agree with each other: if neighbouring
	// answers both have it, no vendor is its own witness. It comes once in a while.
	sometimes bool
}

// raw answers with bytes of one's own and ends the connection.
func raw(w http.ResponseWriter, text string, more ...func(net.Conn)) bool {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(c, text)
	for _, f := range more {
		f(c)
	}
	_ = c.Close()
	return true
}

func head(length int) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", length)
}

func status(code int, header ...string) func(http.ResponseWriter, *http.Request, *reply) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ *reply) bool {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "{}")
		return true
	}
}

func body(kind, text string) func(http.ResponseWriter, *http.Request, *reply) bool {
	return func(w http.ResponseWriter, _ *http.Request, _ *reply) bool {
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, text)
		return true
	}
}

// rows changes the rows of an answer.
func rows(change func(b *reply)) func(http.ResponseWriter, *http.Request, *reply) bool {
	return func(_ http.ResponseWriter, _ *http.Request, b *reply) bool {
		if len(b.rows) > 3 {
			change(b)
		}
		return false
	}
}

// cell rewrites column c of some rows.
func cell(c int, text func(old string) string) func(http.ResponseWriter, *http.Request, *reply) bool {
	return rows(func(b *reply) {
		for i := 1; i < len(b.rows)-1; i += 7 {
			b.rows[i][c] = text(b.rows[i][c])
		}
	})
}

func always(text string) func(string) string { return func(string) string { return text } }

func scaled(f float64) func(string) string {
	return func(old string) string {
		v, _ := strconv.ParseFloat(old, 64)
		return strconv.FormatFloat(v*f, 'f', -1, 64)
	}
}

func bomb(w http.ResponseWriter, _ *http.Request, _ *reply) bool {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	zeros := bytes.Repeat([]byte(" "), 1<<20)
	for range 64 {
		if _, err := z.Write(zeros); err != nil {
			break
		}
	}
	_ = z.Close()
	return true
}

// faults are the classes of docs/fetching.md.
var faults = []fault{
	{name: "DNS: no such host", dial: func(context.Context) (net.Conn, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "a.test", IsNotFound: true}
	}},
	{name: "DNS: slow", dial: func(context.Context) (net.Conn, error) { wait(4 * time.Second); return nil, nil }},
	{name: "connection refused", dial: func(context.Context) (net.Conn, error) { return nil, syscall.ECONNREFUSED }},
	{name: "connect: no answer", dial: func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }},
	{name: "TLS: certificate of another name", tls: true},
	{name: "TLS: handshake stalls", tls: true, host: "example.com", dial: func(context.Context) (net.Conn, error) {
		a, b := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, b) }()
		return a, nil
	}},
	{name: "reset before the headers", spoil: func(w http.ResponseWriter, _ *http.Request, _ *reply) bool { return raw(w, "") }},
	{name: "reset in the body", spoil: func(w http.ResponseWriter, _ *http.Request, b *reply) bool {
		return raw(w, head(len(b.text()))+b.text()[:len(b.text())/2])
	}},
	{name: "header stalls", spoil: func(_ http.ResponseWriter, r *http.Request, _ *reply) bool { <-r.Context().Done(); return true }},
	{name: "body stalls", spoil: func(w http.ResponseWriter, _ *http.Request, b *reply) bool {
		return raw(w, head(len(b.text()))+b.text()[:len(b.text())/2], func(net.Conn) { wait(10 * time.Minute) })
	}},
	{name: "body drips", spoil: func(w http.ResponseWriter, _ *http.Request, b *reply) bool {
		return raw(w, head(len(b.text())), func(c net.Conn) {
			for i := range b.text() {
				if _, err := c.Write([]byte(b.text()[i : i+1])); err != nil {
					return
				}
				wait(time.Second)
			}
		})
	}},
	{name: "body cut, length right", spoil: func(w http.ResponseWriter, _ *http.Request, b *reply) bool {
		half := b.text()[:len(b.text())/2]
		return raw(w, head(len(half))+half)
	}},
	{name: "length too large", spoil: func(w http.ResponseWriter, _ *http.Request, b *reply) bool {
		return raw(w, head(len(b.text())+100)+b.text())
	}},
	{name: "length too small", spoil: func(w http.ResponseWriter, _ *http.Request, b *reply) bool {
		return raw(w, head(len(b.text())-5)+b.text())
	}},
	{name: "gzip damaged", spoil: func(w http.ResponseWriter, _ *http.Request, b *reply) bool {
		var z bytes.Buffer
		g := gzip.NewWriter(&z)
		_, _ = io.WriteString(g, b.text())
		_ = g.Close()
		z.Bytes()[z.Len()/2] ^= 0x55
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(z.Bytes())
		return true
	}},
	{name: "gzip bomb", spoil: bomb},
	{name: "429 with Retry-After", spoil: status(429, "Retry-After", "7")},
	{name: "429 without Retry-After", spoil: status(429)},
	{name: "429 Retry-After too long for an integer", spoil: status(429, "Retry-After", "9223372036854775807000")},
	{name: "429 Retry-After negative", spoil: status(429, "Retry-After", "-5")},
	{name: "429 Retry-After a date", spoil: func(w http.ResponseWriter, _ *http.Request, _ *reply) bool {
		w.Header().Set("Retry-After", time.Now().Add(20*time.Second).UTC().Format(http.TimeFormat))
		w.WriteHeader(429)
		return true
	}},
	{name: "418 ban", spoil: status(418, "Retry-After", "120")},
	{name: "403 ban", spoil: status(403)},
	{name: "451", spoil: status(451)},
	{name: "500", spoil: status(500)},
	{name: "502", spoil: status(502)},
	{name: "503 with Retry-After", spoil: status(503, "Retry-After", "30")},
	{name: "504", spoil: status(504)},
	{name: "404 of a proxy", spoil: func(w http.ResponseWriter, _ *http.Request, _ *reply) bool {
		w.WriteHeader(530)
		return true
	}},
	{name: "200 with an error", spoil: body("application/json", `{"code":-1000,"msg":"an unknown error occurred"}`)},
	{name: "200 with a rate limit", spoil: body("application/json", `{"code":-1003,"msg":"too many requests"}`)},
	{name: "maintenance page", spoil: body("text/html; charset=utf-8", "<!DOCTYPE html><h1>Be right back</h1>")},
	{name: "maintenance page that says it is JSON", spoil: body("application/json", "<html></html>")},
	{name: "nothing at all", spoil: body("application/json", "")},
	{name: "empty list", spoil: rows(func(b *reply) { b.rows = nil })},
	{name: "first half of the rows", spoil: rows(func(b *reply) { b.rows = b.rows[:len(b.rows)/2] })},
	{name: "second half of the rows", spoil: rows(func(b *reply) { b.rows = b.rows[len(b.rows)/2:] })},
	{name: "rows twice", spoil: rows(func(b *reply) { b.rows = append(b.rows, b.rows...) })},
	{name: "rows twice and different", spoil: rows(func(b *reply) {
		for _, r := range b.rows[:3] {
			b.rows = append([][]string{{r[0], "1", "1", "1", "1", "1"}}, b.rows...)
		}
	}), sometimes: true},
	{name: "rows in any order", spoil: rows(func(b *reply) {
		rand.Shuffle(len(b.rows), func(i, j int) { b.rows[i], b.rows[j] = b.rows[j], b.rows[i] })
	})},
	{name: "newest first", spoil: rows(func(b *reply) {
		for i, j := 0, len(b.rows)-1; i < j; i, j = i+1, j-1 {
			b.rows[i], b.rows[j] = b.rows[j], b.rows[i]
		}
	})},
	{name: "rows outside of the question", spoil: rows(func(b *reply) {
		t, _ := strconv.ParseInt(b.rows[0][0], 10, 64)
		for i := range 50 {
			b.rows = append(b.rows, truth(series.Time(t)-series.Time(i+1)*series.Minute))
		}
	})},
	{name: "only rows outside of the question", spoil: rows(func(b *reply) {
		for i, r := range b.rows {
			t, _ := strconv.ParseInt(r[0], 10, 64)
			b.rows[i] = truth(series.Time(t) - 30*series.Day)
		}
	})},
	{name: "another symbol", spoil: func(_ http.ResponseWriter, _ *http.Request, b *reply) bool { b.symbol = "Y"; return false }},
	{name: "prices a hundredfold", spoil: rows(func(b *reply) {
		for _, r := range b.rows {
			for c := 1; c < 5; c++ {
				r[c] = scaled(100)(r[c])
			}
		}
	}), sometimes: true},
	{name: "shifted by one bar", spoil: rows(func(b *reply) {
		for i := len(b.rows) - 1; i > 0; i-- {
			b.rows[i] = append(b.rows[i][:1:1], b.rows[i-1][1:]...)
		}
		b.rows = b.rows[1:]
	}), sometimes: true},
	{name: "a price null", spoil: cell(1, always("null"))},
	{name: "a price 1e400", spoil: cell(2, always("1e400"))},
	{name: "a price NaN", spoil: cell(3, always("NaN"))},
	{name: "a volume negative", spoil: cell(5, always("-1"))},
	{name: "high below low", spoil: cell(2, scaled(0.5))},
	{name: "close above high", spoil: cell(4, scaled(2))},
	{name: "times in seconds", spoil: cell(0, func(s string) string { return s[:len(s)-3] })},
	{name: "times in microseconds", spoil: cell(0, func(s string) string { return s + "000" })},
	{name: "times between slots", spoil: cell(0, func(s string) string { return s[:len(s)-4] + "7000" })},
	{name: "time null", spoil: cell(0, always("null"))},
	{name: "a column more", spoil: rows(func(b *reply) {
		for i := range b.rows {
			b.rows[i] = append(b.rows[i], "0")
		}
	})},
	{name: "a column less", spoil: rows(func(b *reply) {
		for i := range b.rows {
			b.rows[i] = b.rows[i][:5]
		}
	})},
	{name: "clock two hours ahead", skew: 2 * time.Hour},
	{name: "clock two hours behind", skew: -2 * time.Hour},
	{name: "redirect in a circle", spoil: func(w http.ResponseWriter, r *http.Request, _ *reply) bool {
		http.Redirect(w, r, r.URL.String(), http.StatusFound)
		return true
	}},
	{name: "redirect to another host", spoil: func(w http.ResponseWriter, r *http.Request, _ *reply) bool {
		http.Redirect(w, r, "http://evil.test"+r.URL.RequestURI(), http.StatusFound)
		return true
	}},
	{name: "ten times slower", spoil: func(http.ResponseWriter, *http.Request, *reply) bool { wait(10 * time.Second); return false }},
	{name: "up and down every 3 s", spoil: func(w http.ResponseWriter, r *http.Request, b *reply) bool {
		return time.Now().Unix()/3%2 == 0 && status(503)(w, r, b)
	}},
}

// spoiled is a server with faults; which says what the n-th request or
// connection meets, -1 for nothing.
func spoiled(list []fault, which func() int) *server {
	s := &server{name: "a.test"}
	for _, f := range list {
		if f.host != "" {
			s.name = f.host
		}
		if f.tls && s.tls == nil {
			s.tls = httptest.NewUnstartedServer(nil)
		}
		s.skew += f.skew
	}
	var mu sync.Mutex // guards what follows, and calls of which
	s.dial = func(ctx context.Context) (net.Conn, error) {
		mu.Lock()
		i := which()
		mu.Unlock()
		if i >= 0 && list[i].dial != nil {
			return list[i].dial(ctx)
		}
		return nil, nil
	}
	lied := -6
	s.spoil = func(n int, w http.ResponseWriter, r *http.Request, b *reply) bool {
		mu.Lock()
		i := which()
		if i >= 0 && list[i].sometimes {
			if n-lied < 8 {
				i = -1
			} else {
				lied = n
			}
		}
		mu.Unlock()
		return i >= 0 && list[i].spoil != nil && list[i].spoil(w, r, b)
	}
	return s
}

// throughFaults asks for 1500 minutes and the one that is open from a server
// with faults and a healthy one.
func throughFaults(t *testing.T, list []fault, which func() int, o fetch.Options) {
	wait(100 * 24 * time.Hour) // times of day one are short of digits
	bad, healthy := spoiled(list, which), &server{name: "b.test"}
	w := newWorld(t, bad, healthy)
	p := w.pool(o, newVendor(nil), bad.name, "b.test")
	span := lastMinutes(1500)
	span.To += series.Minute
	n, r, err := collect(t, p, askFor(span))
	if err != nil || n != 1501 && n != 1500 { // the open bar may be missing
		t.Errorf("%d bars, error %v, report %+v", n, err, r)
		for _, e := range p.Endpoints() {
			t.Logf("%s: %d requests, errors %v, breaker %v, pause %v, last %v", e.Name, e.Requests, e.Errors, e.Breaker, e.Pause, e.LastError)
		}
	}
}

func TestFaults(t *testing.T) {
	if len(faults) < 28 {
		t.Fatal("too few")
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				throughFaults(t, []fault{f}, func() int { return 0 }, fetch.Options{})
			})
		})
	}
}

func TestPairsOfFaults(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 5))
		a, b := faults[rng.IntN(len(faults))], faults[rng.IntN(len(faults))]
		t.Run(fmt.Sprintf("%d %s, %s", seed, a.name, b.name), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				throughFaults(t, []fault{a, b}, func() int {
					if i := rng.IntN(4); i < 2 {
						return i
					}
					return -1
				}, fetch.Options{Balance: fetch.Balance(seed % 4)})
			})
		})
	}
}

// A vendor alone must give all or say why not, and never a wrong bar.
func TestFaultsOfTheOnlyEndpoint(t *testing.T) {
	whole := 0
	for seed, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wait(100 * 24 * time.Hour)
				rng := rand.New(rand.NewPCG(uint64(seed), 6))
				bad := spoiled([]fault{f}, func() int { return rng.IntN(3) - 2 })
				p := newWorld(t, bad).pool(fetch.Options{}, newVendor(nil), bad.name)
				span := lastMinutes(1500)
				n, r, err := collect(t, p, askFor(span))
				if err == nil && n != 1500 {
					t.Errorf("%d bars and no error, report %+v", n, r)
				}
				if u, ok := errors.AsType[*fetch.UnansweredError](err); ok {
					if u.Kind() == 0 || len(u.Causes) == 0 || !strings.Contains(u.Error(), bad.name) {
						t.Errorf("the error says too little: %v", err)
					}
					if int64(n)+series.Total(r.Unanswered)/int64(series.Minute) < 1500 && f.skew == 0 {
						t.Errorf("%d bars, unanswered %v", n, r.Unanswered)
					}
				} else {
					whole++
				}
			})
		})
	}
	t.Logf("%d of %d classes, in one request of three, were got over by repetition alone", whole, len(faults))
}
