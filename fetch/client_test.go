package fetch

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

func TestPublic(t *testing.T) {
	for addr, want := range map[string]bool{
		"1.1.1.1": true, "2606:4700::1111": true, "172.32.0.1": true,
		"127.0.0.1": false, "127.1.2.3": false, "::1": false, "0.0.0.0": false, "::": false,
		"10.0.0.1": false, "172.16.5.5": false, "192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false,
		"fc00::1": false, "fe80::1": false, "fe80::1%eth0": false, "ff02::1": false, "224.0.0.1": false, "255.255.255.255": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "2001:db8::1": false,
		"198.18.0.1": false, "192.0.0.8": false, "203.0.113.7": false, "240.0.0.1": false, "0.1.2.3": false,
	} {
		if got := public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("public(%s) = %v", addr, got)
		}
	}
}

func get(t *testing.T, c *client, base string, private bool) (*raw, error) {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	return c.send(t.Context(), target{u, private, time.Minute}, Request{Path: "/x", Query: "apikey=s3cret-value"})
}

// The guard looks at what is dialled: a name that resolves to the inside, and a
// redirect, do not pass either.
func TestPrivateAddressesNeedLeave(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "inside") }))
	defer s.Close()
	tr := NewTransport(TransportOptions{})
	defer tr.CloseIdleConnections()
	c := newClient(tr)
	port := s.URL[strings.LastIndex(s.URL, ":"):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
		_, err := get(t, c, "http://"+host+port, false)
		if err == nil || !strings.Contains(err.Error(), "allow_private") {
			t.Errorf("%s: error %v", host, err)
		}
	}
	a, err := get(t, c, s.URL, true)
	if err != nil || string(a.body) != "inside" {
		t.Errorf("with leave: %v", err)
	}
}

func TestTLSIsVerified(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
	s.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	s.Config.ErrorLog = nil
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	for name, o := range map[string]TransportOptions{"not trusted": {}, "TLS 1.1": {Roots: roots}} {
		tr := NewTransport(o)
		if _, err := get(t, newClient(tr), s.URL, true); err == nil {
			t.Errorf("%s: no error", name)
		}
		tr.CloseIdleConnections()
	}
}

func TestRedirects(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("went to another host") }))
	defer other.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/same/x":
			http.Redirect(w, r, "/end", http.StatusFound)
		case "/other/x":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case "/loop/x":
			http.Redirect(w, r, "/loop/x", http.StatusFound)
		default:
			fmt.Fprint(w, "end")
		}
	}))
	defer s.Close()
	tr := NewTransport(TransportOptions{})
	defer tr.CloseIdleConnections()
	c := newClient(tr)
	for path, want := range map[string]error{"/same": nil, "/other": errElsewhere, "/loop": errRedirects} {
		if _, err := get(t, c, s.URL+path, true); !errors.Is(err, want) {
			t.Errorf("%s: error %v, want %v", path, err, want)
		}
	}
}

func TestErrorsHoldNoQuery(t *testing.T) {
	tr := NewTransport(TransportOptions{})
	c := newClient(tr)
	// One that repeats the request where it cannot be read.
	bases := []string{"http://127.0.0.1:1", "http://name.invalid", "https://127.0.0.1:1"}
	for _, form := range []string{"HTTP/1.1 200 OK\r\nX: \x1b%s\r\n\r\n", "HTTP/1.1 2%s\r\n\r\n", "%s\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n", "HTTP/1.1 302 OK\r\nLocation: http://%%zz%s\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n", "HTTP/%s 200 OK\r\n\r\n"} {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // the test is over
		bases = append(bases, "http://"+l.Addr().String())
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				first, _ := bufio.NewReader(conn).ReadString('\n') // what came is repeated
				fmt.Fprintf(conn, form, strings.TrimSpace(first))
				_ = conn.Close() // it has said enough
			}
		}()
	}
	for _, base := range bases {
		_, err := get(t, c, base, true)
		if err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "apikey") {
			t.Errorf("%s: error %v", base, err)
		}
	}
	u, err := url.Parse("https://user:pass@host/path?apikey=s3cret#x")
	if err != nil {
		t.Fatal(err)
	}
	if got := bare(u); got != "https://host/path?..." {
		t.Errorf("bare: %s", got)
	}
}

func TestPathsAreEscapedOnce(t *testing.T) {
	base, err := url.Parse("https://host/base/")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/x":         "https://host/base/x?q=1",
		"/BTC%2FUSD": "https://host/base/BTC%2FUSD?q=1",
		"/a b":       "https://host/base/a%20b?q=1",
	} {
		r, err := target{base: base}.request(t.Context(), Request{Path: path, Query: "q=1"})
		if err != nil || r.URL.String() != want {
			t.Errorf("%s: %v, error %v", path, r.URL, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": -1, "soon": -1, "NaN": -1, "0": 0, "-1": 0, "-9223372036854775809": 0, "7": 7 * time.Second, " 1.5 ": 1500 * time.Millisecond,
		"9223372036854775807": 365 * 24 * time.Hour, "1e300": 365 * 24 * time.Hour, "+Inf": 365 * 24 * time.Hour,
		"Wed, 21 Oct 2015 07:28:10 GMT": 10 * time.Second, "Wed, 21 Oct 2015 07:27:00 GMT": 0,
		"Wed, 21 Oct 9999 07:28:00 GMT": 365 * 24 * time.Hour,
	} {
		h := http.Header{"Date": {"Wed, 21 Oct 2015 07:28:00 GMT"}}
		if text != "" {
			h.Set("Retry-After", text)
		}
		d, ok := RetryAfter(h)
		if want < 0 != !ok || ok && d != want {
			t.Errorf("Retry-After %q: %v %v, want %v", text, d, ok, want)
		}
	}
}

func TestMarkup(t *testing.T) {
	for _, c := range []struct {
		kind, body string
		want       bool
	}{
		{"application/json", `{"a":1}`, false},
		{"text/html; charset=utf-8", "", true},
		{"", " \n<!DOCTYPE html>", true},
		{"application/json", "\xef\xbb\xbf<html>", true},
		{"text/plain", "", false},
		{"text/csv", "time,open\n", false},
	} {
		if got := markup(&raw{header: http.Header{"Content-Type": {c.kind}}, body: []byte(c.body)}); got != c.want {
			t.Errorf("%q %q: %v", c.kind, c.body, got)
		}
	}
}

func TestClocks(t *testing.T) {
	now := time.Now()
	at := func(d time.Duration) series.Time { return series.TimeOf(now.Add(d)) }
	for _, c := range []struct {
		name  string
		hosts map[string]time.Duration
		want  map[string]time.Duration
	}{
		{"a little", map[string]time.Duration{"a": 3 * time.Second}, map[string]time.Duration{"a": 3 * time.Second, "new": 0}},
		{"one far ahead of ours", map[string]time.Duration{"a": time.Hour}, map[string]time.Duration{"a": 0}},
		{"one far behind ours", map[string]time.Duration{"a": -time.Hour}, map[string]time.Duration{"a": -time.Hour}},
		{"one lies, two do not", map[string]time.Duration{"a": time.Hour, "b": 0}, map[string]time.Duration{"a": 0, "b": 0}},
		{"ours is wrong", map[string]time.Duration{"a": time.Hour, "b": time.Hour}, map[string]time.Duration{"a": time.Hour, "b": time.Hour, "new": time.Hour}},
	} {
		var k clocks
		for host, d := range c.hosts {
			for range 3 {
				k.exact(host, at(d), now.Add(-50*time.Millisecond), now.Add(50*time.Millisecond))
			}
			k.exact(host, at(d+time.Minute), now, now) // one answer that was on its way for long
		}
		for host, want := range c.want {
			if got := k.offset(host); (got - want).Abs() > 100*time.Millisecond {
				t.Errorf("%s: %s is %v ahead, want %v", c.name, host, got, want)
			}
		}
	}
}

func TestGroups(t *testing.T) {
	for text, want := range map[string]string{
		"https://api.binance.com": "p binance.com", "https://api1.binance.com:443": "p binance.com", "https://data-api.binance.vision": "p binance.vision",
		"http://127.0.0.1:8080": "p 127.0.0.1:8080", "http://localhost:1": "p localhost:1", "https://api.bank.co.uk": "p bank.co.uk",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := groupOf("p", u); got != want {
			t.Errorf("%s belongs to %q, want %q", text, got, want)
		}
	}
}

func TestPlacesKeepTheirOrder(t *testing.T) {
	var p places
	most := func() int { return 1 }
	if err := p.take(t.Context(), most); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.take(ctx, most); err == nil {
		t.Error("a second place")
	}
	p.give(most)
	if err := p.take(t.Context(), most); err != nil || p.taken != 1 || len(p.waiting) != 0 {
		t.Errorf("places %+v, error %v", p.taken, err)
	}
}
