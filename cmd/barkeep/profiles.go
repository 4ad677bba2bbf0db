package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"strings"
	"time"
)

// maxProfile bounds how long a profile of the processor or a trace may run.
const maxProfile = 60 * time.Second

// profiles serves what the runtime knows of the process, to its owner: on a
// loopback listener of its own, with the admin token, and to no browser. A heap
// holds what was written, and a profile slows everything down. net/http/pprof
// would put the same on every server of the process that has no handler.
type profiles struct {
	token [sha256.Size]byte
	busy  chan struct{} // holds one while the processor is profiled or traced
}

func newProfiles(token string) *profiles {
	return &profiles{token: sha256.Sum256([]byte(token)), busy: make(chan struct{}, 1)}
}

func (p *profiles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	w.Header().Set("Cache-Control", "no-store")
	if status, text := p.refuse(r); status != 0 {
		http.Error(w, text, status)
		return
	}
	name, ok := strings.CutPrefix(r.URL.Path, "/debug/pprof/")
	d, err := profileTime(r.URL.Query().Get("seconds"))
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case ok && name == "profile":
		p.during(w, r, d, func() error { return pprof.StartCPUProfile(w) }, pprof.StopCPUProfile)
	case ok && name == "trace":
		p.during(w, r, d, func() error { return trace.Start(w) }, trace.Stop)
	case ok && pprof.Lookup(name) != nil:
		w.Header().Set("Content-Type", "application/octet-stream")
		_ = pprof.Lookup(name).WriteTo(w, 0) // who asked may have left
	default:
		var names []string
		for _, x := range pprof.Profiles() {
			names = append(names, x.Name())
		}
		http.Error(w, "there are /debug/pprof/ with profile, trace, "+strings.Join(names, ", "), http.StatusNotFound)
	}
}

// refuse says why a request is not answered; 0 is not.
func (p *profiles) refuse(r *http.Request) (status int, text string) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); host != "localhost" && (err != nil || !addr.IsLoopback()) {
		return http.StatusMisdirectedRequest, "use localhost or 127.0.0.1"
	}
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		return http.StatusForbidden, "browsers are not answered here"
	}
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	given := sha256.Sum256([]byte(token))
	if !bearer || subtle.ConstantTimeCompare(given[:], p.token[:]) != 1 {
		return http.StatusUnauthorized, "send the admin token as \"Authorization: Bearer TOKEN\""
	}
	if r.Method != http.MethodGet {
		return http.StatusMethodNotAllowed, "use GET"
	}
	return 0, ""
}

func profileTime(seconds string) (time.Duration, error) {
	if seconds == "" {
		return 10 * time.Second, nil
	}
	n, err := strconv.Atoi(seconds)
	if d := time.Duration(n) * time.Second; err == nil && n > 0 && n <= int(maxProfile/time.Second) {
		return d, nil
	}
	return 0, fmt.Errorf("seconds is a number from 1 to %d", maxProfile/time.Second)
}

// during runs something for a while, once at a time.
func (p *profiles) during(w http.ResponseWriter, r *http.Request, d time.Duration, start func() error, stop func()) {
	select {
	case p.busy <- struct{}{}:
		defer func() { <-p.busy }()
	default:
		http.Error(w, "a profile is under way", http.StatusConflict)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := start(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer stop()
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
}

// serveProfiles answers on an address of its own until ctx ends.
func (a *app) serveProfiles(ctx context.Context, address, token string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return errors.Join(fmt.Errorf("debug.listen %s can be reached from other machines", l.Addr()), l.Close())
	}
	a.printf("profiles are at http://%s/debug/pprof/\n", l.Addr())
	srv := &http.Server{Handler: newProfiles(token), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: maxProfile + 5*time.Second, MaxHeaderBytes: 8 << 10}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); ctx.Err() == nil {
		return err
	}
	return ctx.Err()
}
