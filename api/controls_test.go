package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func (a *access) controls(t *testing.T) (list []Control) {
	t.Helper()
	var v struct{ Controls []Control }
	if w := a.ask("admin", http.MethodGet, "/v1/controls", ""); w.Code != 200 || json.Unmarshal(w.Body.Bytes(), &v) != nil {
		t.Fatal(w.Code, w.Body)
	}
	return v.Controls
}

// TestControls: every route that controls something leaves who asked, and what
// was refused leaves nothing.
func TestControls(t *testing.T) {
	a := newAccess(t, false)
	was := a.controls(t)
	revoked := slices.ContainsFunc(was, func(x Control) bool {
		return x.Method == http.MethodDelete && strings.Contains(x.Detail, `"revoked"`)
	})
	if len(was) != 6 || !revoked {
		t.Errorf("%+v", was)
	}
	for _, x := range []struct {
		method, path, body, detail string
		code                       int
	}{
		{http.MethodPost, "/v1/bars?symbol=A&interval=1m", "time,open,high,low,close\n1704099600000,1,2,1,2\n", "", 200}, // in the journal
		{http.MethodDelete, "/v1/bars?symbol=A&interval=1m&all=true", "", "1 bars of A 1m", 200},
		{http.MethodPut, "/v1/symbols/B", `{"tick_size":0.5}`, "", 200},
		{http.MethodPost, "/v1/audit/head", "", "", 200},
		{http.MethodPost, "/data/repair", "{}", "", 503}, // nothing heals here, and it was asked for
		{http.MethodPut, "/v1/config", `{"log.level":"debug","token":"secret"}`, "log.level, token", 503},
		{http.MethodPost, "/v1/plan", "{}", "", 503}, // for readers, too
		{http.MethodPost, "/v1/tokens", `{"role":"secret"}`, "", 400},
		{http.MethodPost, "/v1/tokens?key=secret", `{}`, "", 400},
	} {
		before := len(a.controls(t))
		w := a.ask("admin", x.method, x.path, x.body)
		path, _, _ := strings.Cut(x.path, "?")
		list := a.controls(t)
		noted := len(list) > before
		if w.Code != x.code || noted != (x.code != 400 && path != "/v1/plan" && x.method+path != "POST/v1/bars") {
			t.Errorf("%s %s: %d, %d controls after %d: %s", x.method, x.path, w.Code, len(list), before, w.Body)
		}
		if noted {
			if got := list[0]; got.Actor != "token admin 192.0.2.1" || got.Method != x.method || got.Path != path || got.Status != x.code || got.Detail != x.detail || got.RequestID == "" {
				t.Errorf("%+v", got)
			}
		}
		if text := fmt.Sprint(list); strings.Contains(text, "secret") {
			t.Errorf("%s %s tells a secret: %s", x.method, x.path, text)
		}
	}
	before := len(a.controls(t))
	for _, r := range a.table() {
		if r.method == http.MethodGet {
			continue
		}
		path := strings.NewReplacer("*name", "X/1m", ":id", "nobody", ":name", "24x7").Replace(r.path)
		for _, token := range []string{"none", "bad", "expired", "revoked", "reader"} {
			if r.role > Reader {
				a.ask(token, r.method, path, "{}")
			}
		}
		if (r.role >= Operator) != notes(r) && !strings.HasSuffix(r.path, "write") && r.path != "/v1/bars" {
			t.Errorf("%s %s is noted: %v", r.method, r.path, notes(r))
		}
	}
	if n := len(a.controls(t)); n != before {
		t.Errorf("%d requests that were refused are among the controls", n-before)
	}
}

// TestControlsAreBounded keeps the newest.
func TestControlsAreBounded(t *testing.T) {
	s := memoryServer(t)
	for i := range controlsKept + 150 {
		if err := s.keepControl(t.Context(), Control{At: 1, Path: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for _, err := range s.store.Records(context.Background(), kindControl, "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n > controlsKept+100 {
		t.Errorf("%d are kept", n)
	}
}

// TestHeaders: every answer tells browsers what they may not do with it,
// refusals included.
func TestHeaders(t *testing.T) {
	a := newAccess(t, true)
	seen := 0
	for _, r := range append(a.engine.Routes(), a.engine.Routes()[0]) {
		path := strings.NewReplacer("*name", "X/1m", ":id", "nobody", ":name", "24x7", "*file", "x.js").Replace(r.Path)
		for _, x := range []struct{ token, host, path string }{{"admin", "localhost", path}, {"none", "localhost", path}, {"admin", "evil.example", path}, {"admin", "localhost", path + "/nothing"}} {
			req := httptest.NewRequest(r.Method, "http://"+x.host+x.path, strings.NewReader("{}"))
			req.Header.Set("Authorization", "Bearer "+a.tokens[x.token])
			ctx, cancel := context.WithCancel(req.Context())
			cancel() // streams end at once
			w := httptest.NewRecorder()
			a.ServeHTTP(w, req.WithContext(ctx))
			h := w.Header()
			seen++
			policy := h.Get("Content-Security-Policy")
			if !strings.HasPrefix(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
				t.Errorf("%s %s: policy %q", r.Method, x.path, policy)
			}
			for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin"} {
				if h.Get(name) != want {
					t.Errorf("%s %s: %s %q", r.Method, x.path, name, h.Get(name))
				}
			}
			if h.Get("Cache-Control") == "" || h.Get(requestIDHeader) == "" || h.Get("Server") != "" {
				t.Errorf("%s %s: %v", r.Method, x.path, h)
			}
			for name := range h {
				if strings.HasPrefix(name, "Access-Control-") || name == "Set-Cookie" {
					t.Errorf("%s %s has %s", r.Method, x.path, name)
				}
			}
		}
	}
	t.Logf("%d answers", seen)
}
