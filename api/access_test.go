package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/api/dashboard"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// access is a server with a clock that is set by hand and a token of each kind.
type access struct {
	*Server
	now    time.Time
	tokens map[string]string
}

func newAccess(t *testing.T, closeReads bool) *access {
	t.Helper()
	s, err := storage.Open("db", storage.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // in memory: nothing to lose
	a := &access{now: time.Now(), tokens: map[string]string{"none": "", "bad": "barkeep_nobody", "file": "barkeep_test-token"}}
	a.Server = New(Options{Store: s, Token: "barkeep_test-token", CloseReads: closeReads, Now: func() time.Time { return a.now }})
	for name, hours := range map[string]float64{"reader": 0, "operator": 0, "admin": 0, "expired": 1, "revoked": 0} {
		role := name
		if name == "expired" || name == "revoked" {
			role = "admin"
		}
		var v madeToken
		w := a.ask("file", http.MethodPost, "/v1/tokens", fmt.Sprintf(`{"name":%q,"role":%q,"expires_in_hours":%v}`, name, role, hours))
		if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != 201 {
			t.Fatal(w.Code, w.Body)
		}
		a.tokens[name] = v.Token
		if name == "revoked" {
			if w := a.ask("file", http.MethodDelete, "/v1/tokens/"+v.ID, ""); w.Code != 200 {
				t.Fatal(w.Code, w.Body)
			}
		}
	}
	a.now = a.now.Add(2 * time.Hour)
	return a
}

func (a *access) ask(token, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
	if text := a.tokens[token]; text != "" {
		r.Header.Set("Authorization", "Bearer "+text)
	}
	// A stream ends with its request.
	ctx, cancel := context.WithTimeout(r.Context(), 50*time.Millisecond)
	defer cancel()
	if !strings.HasSuffix(path, "/stream") {
		ctx = r.Context()
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r.WithContext(ctx))
	return w
}

// TestAuthorisation asks every route with every kind of token: it is let in
// exactly where the table says so.
func TestAuthorisation(t *testing.T) {
	roles := map[string]Role{"none": 0, "bad": 0, "expired": 0, "revoked": 0, "reader": Reader, "operator": Operator, "admin": Admin, "file": Admin}
	for _, closed := range []bool{false, true} {
		a := newAccess(t, closed)
		asked := 0
		for _, r := range a.table() {
			if r.role < Public || r.role > Admin || r.title == "" {
				t.Errorf("%s %s has no role or no title", r.method, r.path)
			}
			path := strings.NewReplacer("*name", "X/1m", ":id", "nobody", ":name", "24x7").Replace(r.path)
			for token, has := range roles {
				asked++
				w := a.ask(token, r.method, path, "{}")
				let := has >= r.role || r.role == Public || r.role == Reader && !closed
				switch refused := w.Code == 401 || w.Code == 403; {
				case let && refused, !let && !refused:
					t.Errorf("%s %s with %s (reads closed: %v): %d", r.method, r.path, token, closed, w.Code)
				case !let && (w.Code == 403) != (has > 0):
					t.Errorf("%s %s with %s: %d", r.method, r.path, token, w.Code)
				}
			}
		}
		t.Logf("%d requests", asked)
	}
}

// TestHostile asks everything that the router knows, and what it does not know,
// under names and from pages of others, with a good token.
func TestHostile(t *testing.T) {
	a := newAccess(t, false)
	type request struct{ method, path string }
	all := []request{{http.MethodGet, "/nothing"}, {http.MethodPost, "/health"}, {http.MethodOptions, "/v1/bars"}, {http.MethodTrace, "/"}, {"PURGE", "/v1/bars"}}
	if files, ok := dashboard.Files(); ok {
		names, err := fs.Glob(files, "assets/*")
		if err != nil || len(names) == 0 {
			t.Fatal(names, err)
		}
		for _, n := range names {
			all = append(all, request{http.MethodGet, "/" + n})
		}
	}
	for _, r := range a.engine.Routes() {
		all = append(all, request{r.Method, strings.NewReplacer("*name", "X/1m", ":id", "nobody", ":name", "24x7", "*file", "x.js").Replace(r.Path)})
	}
	asked := 0
	for _, r := range all {
		ask := func(header, value string, want int, code string) {
			asked++
			req := httptest.NewRequest(r.method, "http://localhost"+r.path, strings.NewReader("{}"))
			req.Header.Set("Authorization", "Bearer "+a.tokens["file"])
			if req.Header.Set(header, value); header == "Host" {
				req.Host = value
			}
			w := httptest.NewRecorder()
			a.ServeHTTP(w, req)
			if w.Code != want || r.method != http.MethodHead && !strings.Contains(w.Body.String(), code) {
				t.Errorf("%s %s with %s %q: %d", r.method, r.path, header, value, w.Code)
			}
		}
		for _, host := range []string{"evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "127.0.0.2", "0.0.0.0", "169.254.169.254", "[::2]", "localhost@evil.example", ""} {
			ask("Host", host, http.StatusMisdirectedRequest, "host_not_allowed")
		}
		for _, origin := range []string{"http://evil.example", "null", "http://localhost:1", "http://127.0.0.1", "https://localhost.evil.example", "file://", ":"} {
			ask("Origin", origin, http.StatusForbidden, "cross_origin")
		}
		for _, site := range []string{"cross-site", "same-site", "what"} {
			ask("Sec-Fetch-Site", site, http.StatusForbidden, "cross_origin")
		}
	}
	t.Logf("%d requests to %d routes", asked, len(all))
}

// TestForeign tells the pages of others from what a browser asks by itself.
func TestForeign(t *testing.T) {
	for _, x := range []struct {
		site, mode, dest, origin string
		want                     bool
	}{
		{"", "", "", "", false}, // no browser
		{"none", "navigate", "document", "", false},
		{"same-origin", "cors", "empty", "", false},
		{"same-origin", "cors", "empty", "http://localhost:8080", false},
		{"", "", "", "http://localhost:8080", false},
		{"cross-site", "navigate", "document", "", false}, // a link
		{"cross-site", "navigate", "iframe", "", true},
		{"cross-site", "navigate", "embed", "", true},
		{"cross-site", "no-cors", "image", "", true},
		{"same-site", "no-cors", "script", "", true},
		{"same-site", "cors", "empty", "http://localhost:1", true},
		{"", "", "", "http://localhost:1", true},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://localhost:8080/", nil)
		for name, v := range map[string]string{"Sec-Fetch-Site": x.site, "Sec-Fetch-Mode": x.mode, "Sec-Fetch-Dest": x.dest, "Origin": x.origin} {
			if v != "" {
				r.Header.Set(name, v)
			}
		}
		if got := foreign(r); got != x.want {
			t.Errorf("%+v: %v", x, got)
		}
	}
}

// TestTokensAreHidden lists tokens and finds no secret in the answer or in the
// store.
func TestTokensAreHidden(t *testing.T) {
	a := newAccess(t, false)
	list := a.ask("admin", http.MethodGet, "/v1/tokens", "").Body.String()
	for name, token := range a.tokens {
		if token != "" && strings.Contains(list, token) {
			t.Errorf("the list holds the token %s", name)
		}
	}
	for r, err := range a.store.Records(context.Background(), kindToken, "") {
		if err != nil {
			t.Fatal(err)
		}
		for name, token := range a.tokens {
			if token != "" && (strings.Contains(string(r.Value), token) || strings.Contains(r.Name, token)) {
				t.Errorf("the store holds the token %s", name)
			}
		}
	}
}

// TestOpenAPI: every route is in the document, and every parameter has words.
func TestOpenAPI(t *testing.T) {
	s := memoryServer(t)
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Name, Description string
				Schema            map[string]any
			}
		}
	}
	if err := json.Unmarshal(s.schema, &doc); err != nil {
		t.Fatal(err)
	}
	n := 0
	for path, ops := range doc.Paths {
		for method, op := range ops {
			n++
			for _, p := range op.Parameters {
				if p.Description == "" || len(p.Schema) == 0 {
					t.Errorf("%s %s: the parameter %s has no words", method, path, p.Name)
				}
			}
		}
	}
	if n != len(s.table()) {
		t.Errorf("%d operations, %d routes", n, len(s.table()))
	}
}

// TestStream listens, misses something, and goes on where it stopped.
func TestStream(t *testing.T) {
	s := memoryServer(t)
	srv := httptest.NewServer(s)
	defer srv.Close()
	listen := func(query, last string) (next func() (kind, id, data string), stop func()) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/v1/stream"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		if last != "" {
			req.Header.Set("Last-Event-ID", last)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(resp.Body)
		return func() (kind, id, data string) {
			for lines.Scan() {
				name, text, _ := strings.Cut(lines.Text(), ": ")
				switch name {
				case "event":
					kind = text
				case "id":
					id = text
				case "data":
					data = text
				case "":
					if kind != "" {
						return kind, id, data
					}
				}
			}
			return "end", "", ""
		}, func() { _ = resp.Body.Close() }
	}
	key := series.Key{Symbol: "X", Interval: series.Interval1m}
	next, stop := listen("?symbol=X&events=bar,gap", "")
	if kind, _, _ := next(); kind != "hello" {
		t.Fatal(kind)
	}
	s.Publish(EventBar, series.Key{Symbol: "Y", Interval: series.Interval1m}, 1)
	s.Publish(EventRepair, key, 2)
	s.Publish(EventBar, key, 3)
	kind, id, data := next()
	if kind != EventBar || data != "3" {
		t.Fatal(kind, data)
	}
	stop()
	s.Publish(EventGap, key, 4)
	next, stop = listen("?symbol=X", id)
	next()
	if kind, _, data := next(); kind != EventGap || data != "4" {
		t.Fatal(kind, data)
	}
	stop()
	for n := range 2 * eventsKept {
		s.Publish(EventGap, key, n)
	}
	next, stop = listen("", id)
	next()
	if kind, _, _ := next(); kind != "missed" {
		t.Fatal(kind)
	}
	if kind, _, data := next(); kind != EventGap || data != fmt.Sprint(eventsKept+1) && data != fmt.Sprint(eventsKept) {
		t.Fatal(kind, data)
	}
	stop()
	next, stop = listen("", "other-7")
	next()
	s.Publish(EventAlert, series.Key{}, 5)
	if kind, _, _ := next(); kind != "missed" {
		t.Fatal(kind)
	}
	stop()
}
