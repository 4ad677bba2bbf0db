package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestTortureSlow: a thousand connections that send nothing, their header, their
// next one or their body byte by byte, or do not read the answer, are cut within
// ten seconds, while /health answers others.
func TestTortureSlow(t *testing.T) {
	// The server lets go after six seconds; what must hold is ten.
	const connections, limit = 1000, 10 * time.Second
	slowest := 500 * time.Millisecond // of /health: attackers and server share the machine
	if *long {
		slowest = 50 * time.Millisecond
	}
	dir := t.TempDir()
	var csv strings.Builder
	csv.WriteString("time,open,high,low,close,volume\n")
	for i := range 200_000 {
		fmt.Fprintf(&csv, "%d,%d.5,%d.5,%d.5,%d.5,1\n", 1704067200000+int64(i)*60_000, 100+i%997, 101+i%997, 99+i%997, 100+i%997)
	}
	if code, _, errs := run(t, csv.String(), "import", "-", "--symbol", "X", "--interval", "1m", "--data", dir); code != exitDone {
		t.Fatal(errs)
	}
	srv := startServer(t, dir, time.Second)
	token, err := os.ReadFile(filepath.Join(dir, tokenFile))
	if err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(srv.url, "http://")
	for _, attack := range []struct {
		name, first string
		trickle     string // sent every half second; empty sends nothing more
		reads       bool   // whether the attacker reads what comes
		limit       time.Duration
	}{
		{"nothing", "", "", true, limit},
		{"next", "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", "\r\n", true, limit},
		{"header", "GET /health HTTP/1.1\r\nHost: localhost\r\n", "X-A: b\r\n", true, limit},
		{"body", "POST /v1/bars?symbol=Y&interval=1m HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\nContent-Length: 1000000\r\nAuthorization: Bearer " + strings.TrimSpace(string(token)) + "\r\n\r\ntime,open,high,low,close,volume\n", "1", true, limit},
		// Here the time begins when the buffers on the way are full.
		{"read", "GET /v1/bars?symbol=X&interval=1m&format=csv HTTP/1.1\r\nHost: localhost\r\n\r\n", "", false, limit},
	} {
		t.Run(attack.name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			var health sync.WaitGroup
			var took []time.Duration
			health.Go(func() {
				c := &http.Client{}
				for tick := time.NewTicker(20 * time.Millisecond); ; {
					select {
					case <-ctx.Done():
						tick.Stop()
						return
					case <-tick.C:
					}
					start := time.Now()
					resp, err := c.Get(srv.url + "/health") //nolint:noctx // it is short
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body) // only its time counts
					_ = resp.Body.Close()
					took = append(took, time.Since(start))
				}
			})
			held := make([]time.Duration, connections)
			var all sync.WaitGroup
			for i := range connections {
				all.Go(func() { held[i] = hold(t, host, attack.first, attack.trickle, attack.reads, 3*limit) })
			}
			all.Wait()
			stop()
			health.Wait()
			slices.Sort(took)
			p99 := took[len(took)*99/100]
			t.Logf("%d connections held for at most %v; health p50 %v p99 %v of %d", connections, slices.Max(held), took[len(took)/2], p99, len(took))
			if longest := slices.Max(held); longest > attack.limit {
				t.Errorf("one was held for %v", longest)
			}
			if p99 > slowest && len(took) >= 100 { // of fewer it is the slowest one
				t.Errorf("health took %v", p99)
			}
		})
	}
}

// hold keeps a connection as long as the server lets it, and returns how long
// that was.
func hold(t *testing.T, host, first, trickle string, reads bool, most time.Duration) time.Duration {
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", host)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer conn.Close() // the server has left
	if tcp, ok := conn.(*net.TCPConn); ok && !reads {
		_ = tcp.SetReadBuffer(4096) // so that the answer does not fit
	}
	start := time.Now()
	if _, err := io.WriteString(conn, first); err != nil {
		return time.Since(start)
	}
	cut := make(chan struct{})
	if reads {
		go func() {
			_, _ = io.Copy(io.Discard, conn) // until the server ends it
			close(cut)
		}()
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for time.Since(start) < most {
		select {
		case <-cut:
			return time.Since(start)
		case <-tick.C:
		}
		// Who does not read notices by writing: the other end has gone.
		more := trickle
		if !reads {
			more = "\r\n"
		}
		if _, err := io.WriteString(conn, more); err != nil {
			return time.Since(start)
		}
	}
	return most
}
