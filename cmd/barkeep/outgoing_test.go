package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/api/alert"
	"github.com/barkeepdb/barkeep/fetch"
)

// TestReceiversAreOutside: every setting that names somebody to speak to is
// tried with addresses of this machine and of its network.
func TestReceiversAreOutside(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // it only counted
	_, port, _ := net.SplitHostPort(l.Addr().String())
	var taken atomic.Int64
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			taken.Add(1)
			_ = conn.Close() // counted
		}
	}()
	receivers := map[string]func(c *Config, host string){
		"webhook":      func(c *Config, host string) { c.AlertWebhook = "http://" + host + "/hidden" },
		"slack":        func(c *Config, host string) { c.AlertSlack = "http://" + host + "/hidden" },
		"discord":      func(c *Config, host string) { c.AlertDiscord = "https://" + host + "/hidden" },
		"alertmanager": func(c *Config, host string) { c.Alertmanager = "http://user:hidden@" + host },
		"email": func(c *Config, host string) {
			c.AlertMailServer, c.AlertMailUser, c.AlertMailPassword = host, "me", "hidden"
		},
		"heartbeat": func(c *Config, host string) { c.Heartbeat = "http://" + host + "/hidden" },
	}
	send := func(name, host string, private bool) error {
		a := &app{cfg: &loaded{}}
		a.cfg.AlertPrivate = private
		receivers[name](&a.cfg.Config, host)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if name == "heartbeat" {
			var got error
			_ = alert.Heartbeat(ctx, alertClient(a.alertTransport()), a.cfg.Heartbeat, time.Hour, func(err error) { // it ends with ctx
				got = err
				cancel()
			})
			return got
		}
		list := a.channels()
		if len(list) != 1 || list[0].Name() != name {
			t.Fatalf("%s: %d channels", name, len(list))
		}
		return list[0].Send(ctx, alert.Notice{ID: "n", Rule: "disk"})
	}
	tried := 0
	for name := range receivers {
		for _, host := range []string{
			"127.0.0.1", "127.1.2.3", "localhost", "0.0.0.0", "[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]",
			"10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "[fd00::1]", "169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "[fe80::1]",
		} {
			tried++
			err := send(name, host+":"+port, false)
			if err == nil || !strings.Contains(err.Error(), "is not a public address") && !strings.Contains(err.Error(), "neighbour") || strings.Contains(err.Error(), "hidden") {
				t.Errorf("%s to %s: %v", name, host, err)
			}
		}
		for _, host := range []string{"2130706433", "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1."} { // no names, and no addresses
			tried++
			if err := send(name, host+":"+port, false); err == nil {
				t.Errorf("%s to %s: no error", name, host)
			}
		}
	}
	if n := taken.Load(); n != 0 {
		t.Errorf("%d connections arrived", n)
	}
	t.Logf("%d tries", tried)
	for name := range receivers {
		was := taken.Load()
		if err := send(name, "127.0.0.1:"+port, true); err == nil || taken.Load() == was {
			t.Errorf("%s with alerts.allow_private: %v, %d arrived", name, err, taken.Load()-was)
		}
		if err := send(name, "169.254.169.254:80", true); err == nil || !strings.Contains(err.Error(), "neighbour") {
			t.Errorf("%s to the neighbour with alerts.allow_private: %v", name, err)
		}
	}
}

// TestReceiversDoNotRedirect: who is sent elsewhere does not go.
func TestReceiversDoNotRedirect(t *testing.T) {
	var arrived atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived.Add(1) }))
	defer inside.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		outside := httptest.NewServer(http.RedirectHandler(inside.URL, code))
		a := &app{cfg: &loaded{}}
		a.cfg.AlertPrivate, a.cfg.AlertWebhook = true, outside.URL
		if err := a.channels()[0].Send(t.Context(), alert.Notice{ID: "n"}); err == nil {
			t.Errorf("%d: no error", code)
		}
		outside.Close()
	}
	if arrived.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

// TestEndpointsAreOutside: endpoints of the configuration lead inside only where
// it says so, health checks included.
func TestEndpointsAreOutside(t *testing.T) {
	var arrived atomic.Int64
	inside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived.Add(1)
		_, _ = w.Write([]byte("{}")) // whoever asked has an answer
	}))
	defer inside.Close()
	for _, private := range []bool{false, true} {
		list, errs := readEndpoints(map[string]any{"crypto": []any{map[string]any{
			"name": "e", "url": inside.URL, "provider": "binance-spot", "health_check_endpoint": "/latest/meta-data", "allow_private": private,
		}}})
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		p, err := fetch.New(fetch.Options{Endpoints: list})
		if err != nil {
			t.Fatal(err)
		}
		results, err := endpointsAPI{p}.Test(t.Context(), api.EndpointTest{})
		if err != nil || len(results) != 1 {
			t.Fatal(results, err)
		}
		for _, r := range results {
			if !private && (r.OK || !strings.Contains(r.Error, "not a public address")) {
				t.Errorf("%+v", r)
			}
		}
		if private == (arrived.Load() == 0) {
			t.Errorf("allow_private %v: %d requests arrived", private, arrived.Load())
		}
		if err := p.Close(t.Context()); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}
