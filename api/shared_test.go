package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/storage"
)

// guarded is a server over an empty store with a clock that is set by hand.
func guarded(t *testing.T, o Options) (*Server, *time.Time) {
	t.Helper()
	store, err := storage.Open("db", storage.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() }) // in memory: nothing to lose
	now := time.Unix(1_700_000_000, 0)
	o.Store, o.Token, o.Now = store, "barkeep_test-token", func() time.Time { return now }
	return New(o), &now
}

// from asks as a peer.
func from(s *Server, peer, token, method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost"+target, strings.NewReader(body))
	r.RemoteAddr = peer
	r.Header.Set("X-Forwarded-For", "127.0.0.1") // believed by nobody
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// TestShared: who reaches a server from another machine needs a token for
// reads, too, on every route that is not public.
func TestShared(t *testing.T) {
	s, _ := guarded(t, Options{Shared: true})
	for _, r := range s.table() {
		if r.role != Reader || strings.HasSuffix(r.path, "/stream") {
			continue
		}
		path := strings.NewReplacer("*name", "X/1m", ":id", "nobody", ":name", "24x7").Replace(r.path)
		for peer, open := range map[string]bool{
			"127.0.0.1:5": true, "[::1]:5": true, "[::ffff:127.0.0.1]:5": true,
			"192.0.2.1:5": false, "[2001:db8::1]:5": false, "": false,
		} {
			if w := from(s, peer, "", r.method, path, "{}"); (w.Code != http.StatusUnauthorized) != open {
				t.Errorf("%s %s from %q: %d", r.method, path, peer, w.Code)
			}
			if w := from(s, peer, "barkeep_test-token", r.method, path, "{}"); w.Code == 401 || w.Code == 403 {
				t.Errorf("%s %s from %q with a token: %d", r.method, path, peer, w.Code)
			}
		}
	}
}

// TestAllow: only the networks that are named get an answer, on any route.
func TestAllow(t *testing.T) {
	s, _ := guarded(t, Options{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("::1/128")}})
	for _, r := range s.table() {
		if strings.HasSuffix(r.path, "/stream") {
			continue
		}
		path := strings.NewReplacer("*name", "X/1m", ":id", "nobody", ":name", "24x7").Replace(r.path)
		for peer, open := range map[string]bool{
			"192.0.2.7:1": true, "[::ffff:192.0.2.7]:1": true, "[::1]:1": true, "192.0.3.1:1": false, "127.0.0.1:1": false, "": false,
		} {
			w := from(s, peer, "barkeep_test-token", r.method, path, "{}")
			if refused := strings.Contains(w.Body.String(), "address_not_allowed"); refused == open || refused && w.Code != http.StatusForbidden {
				t.Errorf("%s %s from %q: %d %s", r.method, path, peer, w.Code, w.Body)
			}
		}
	}
}

// TestRates: a token that asks too often waits, and others do not.
func TestRates(t *testing.T) {
	s, now := guarded(t, Options{Rate: 5})
	var made madeToken
	if err := json.Unmarshal(from(s, "127.0.0.1:1", "barkeep_test-token", "POST", "/v1/tokens", `{"name":"x","role":"admin"}`).Body.Bytes(), &made); err != nil {
		t.Fatal(err)
	}
	ask := func(token string) *httptest.ResponseRecorder {
		return from(s, "127.0.0.1:1", token, "GET", "/v1/tokens", "")
	}
	for i := range 10 { // two seconds' worth at once
		if w := ask(made.Token); w.Code != 200 {
			t.Fatal(i, w.Code, w.Body)
		}
	}
	if w := ask(made.Token); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "1" {
		t.Error(w.Code, w.Header(), w.Body)
	}
	if w := ask("barkeep_test-token"); w.Code != 200 {
		t.Error("another token waits, too", w.Code)
	}
	for range 20 {
		if w := ask("barkeep_nobody"); w.Code != http.StatusUnauthorized {
			t.Error(w.Code)
		}
	}
	if n := len(s.guard.rates.buckets); n != 2 {
		t.Errorf("%d buckets for two tokens", n)
	}
	*now = now.Add(200 * time.Millisecond)
	if w := ask(made.Token); w.Code != 200 {
		t.Error(w.Code)
	}
	if w := ask(made.Token); w.Code != http.StatusTooManyRequests {
		t.Error(w.Code)
	}
}

// TestLinks: a link opens the one question it was made for, until it expires.
func TestLinks(t *testing.T) {
	s, now := guarded(t, Options{CloseReads: true})
	const peer, query = "127.0.0.1:1", "symbol=BTC%2FUSDT&interval=1h&format=csv"
	if w := from(s, peer, "", "POST", "/v1/links", `{"query":"`+query+`"}`); w.Code != http.StatusUnauthorized {
		t.Fatal(w.Code)
	}
	var link madeLink
	w := from(s, peer, "barkeep_test-token", "POST", "/v1/links", `{"query":"`+query+`","expires_in_s":60}`)
	if err := json.Unmarshal(w.Body.Bytes(), &link); err != nil || w.Code != 201 {
		t.Fatal(w.Code, w.Body)
	}
	// The series is not there, which only those hear who are let in.
	for _, method := range []string{"GET", "HEAD"} {
		if w := from(s, peer, "", method, link.URL, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d %s", method, w.Code, w.Body)
		}
	}
	swap := func(old, by string) string { return strings.Replace(link.URL, old, by, 1) }
	for name, c := range map[string]struct{ method, url string }{
		"another symbol":   {"GET", swap("BTC", "ETH")},
		"one more":         {"GET", swap("?", "?limit=1&")},
		"behind the seal":  {"GET", link.URL + "&limit=1"},
		"longer":           {"GET", swap("exp=1", "exp=2")},
		"another seal":     {"GET", link.URL[:len(link.URL)-1] + "z"},
		"another path":     {"GET", swap("/v1/bars", "/v1/gaps")},
		"a write":          {"POST", link.URL},
		"a deletion":       {"DELETE", link.URL},
		"without the seal": {"GET", link.URL[:strings.Index(link.URL, "&sig=")]},
	} {
		if w := from(s, peer, "", c.method, c.url, ""); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	*now = now.Add(time.Minute)
	if w := from(s, peer, "", "GET", link.URL, ""); w.Code != http.StatusUnauthorized {
		t.Errorf("expired: %d", w.Code)
	}
	for _, body := range []string{`{"query":"a=b","expires_in_s":3601}`, `{"query":"a=b","expires_in_s":-1}`, `{"query":""}`, `{"query":"a=b\nc"}`, `{}`} {
		if w := from(s, peer, "barkeep_test-token", "POST", "/v1/links", body); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", body, w.Code)
		}
	}
}
