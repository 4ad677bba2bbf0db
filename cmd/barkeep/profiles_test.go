package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestProfiles: profiles are for the owner of the process, who asks with the
// token and with no browser.
func TestProfiles(t *testing.T) {
	h := newProfiles("token")
	ask := func(method, target string, header http.Header) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, target, nil)
		r.Header = header
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	good := http.Header{"Authorization": {"Bearer token"}}
	for _, name := range []string{"heap", "goroutine", "allocs", "mutex", "block", "threadcreate"} {
		if w := ask(http.MethodGet, "http://localhost:6060/debug/pprof/"+name, good); w.Code != 200 || w.Body.Len() < 20 {
			t.Errorf("%s: %d, %d bytes", name, w.Code, w.Body.Len())
		}
	}
	for target, want := range map[string]int{
		"http://localhost/debug/pprof/": 404, "http://127.0.0.1:6060/": 404, "http://[::1]:6060/debug/pprof/nothing": 404, "http://localhost/debug/pprof/cmdline": 404,
		"http://localhost/debug/pprof/profile?seconds=0": 400, "http://localhost/debug/pprof/trace?seconds=1e9": 400, "http://localhost/debug/pprof/profile?seconds=61": 400,
		"http://evil.example/debug/pprof/heap": 421, "http://127.0.0.1.evil.example:6060/debug/pprof/heap": 421, "http://192.168.0.1/debug/pprof/heap": 421,
	} {
		if w := ask(http.MethodGet, target, good); w.Code != want {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	for _, x := range []struct {
		header http.Header
		want   int
	}{
		{nil, 401},
		{http.Header{"Authorization": {"Bearer other"}}, 401},
		{http.Header{"Authorization": {"token"}}, 401},
		{http.Header{"Authorization": {""}}, 401},
		{http.Header{"Authorization": {"Bearer token"}, "Origin": {"http://localhost:6060"}}, 403},
		{http.Header{"Authorization": {"Bearer token"}, "Sec-Fetch-Site": {"none"}}, 403},
	} {
		if w := ask(http.MethodGet, "http://localhost/debug/pprof/heap", x.header); w.Code != x.want {
			t.Errorf("%v: %d", x.header, w.Code)
		}
	}
	if w := ask(http.MethodPost, "http://localhost/debug/pprof/heap", good); w.Code != 405 {
		t.Error(w.Code)
	}
	h.busy <- struct{}{}
	if w := ask(http.MethodGet, "http://localhost/debug/pprof/profile", good); w.Code != 409 {
		t.Error(w.Code)
	}
	<-h.busy
	// Who leaves ends it.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/debug/pprof/trace?seconds=60", nil)
	r.Header = good
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 200 || w.Body.Len() == 0 {
		t.Error(w.Code, w.Body.Len())
	}
}

// TestProfilesListenApart: they are on no other address, and on none that others
// reach.
func TestProfilesListenApart(t *testing.T) {
	srv := startServer(t, t.TempDir(), time.Second)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/vars"} {
		resp, err := http.Get(srv.url + path) //nolint:noctx // it is short
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body) // the status counts
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	for _, address := range []string{"0.0.0.0:0", ":0", "192.168.0.1:6060", "[::]:0", "6060"} {
		t.Setenv("BARKEEP_DEBUG_LISTEN", address)
		if code, _, errs := run(t, "", "config", "check"); code != exitUsage || !strings.Contains(errs, "debug.listen") {
			t.Errorf("%s: %d %s", address, code, errs)
		}
	}
	a := &app{stdout: io.Discard}
	if err := a.serveProfiles(t.Context(), "0.0.0.0:0", "token"); err == nil || !strings.Contains(err.Error(), "other machines") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.serveProfiles(ctx, "127.0.0.1:0", "token"); err == nil {
		t.Error("it serves")
	}
}
