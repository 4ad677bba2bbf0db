package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"
)

// TestOverload fills every slot: what asks for data is refused with a time to
// come back, what tells or controls is answered, and all goes on by itself
// when there is room.
func TestOverload(t *testing.T) {
	srv := memoryServer(t)
	ask := func(method, path string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, http.NoBody)
		r.Host = "localhost"
		r.Header.Set("Authorization", "Bearer barkeep_test-token")
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, r)
		return w
	}
	for range cap(srv.gates.reads.slots) {
		srv.gates.reads.slots <- struct{}{}
	}
	srv.gates.reads.waiting.Store(1 << 20) // and enough wait
	for _, path := range []string{"/v1/series", "/v1/bars?symbol=A&interval=1m", "/status", "/compat/binance/api/v3/time"} {
		w := ask(http.MethodGet, path)
		if w.Code != 503 || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), `"code":"overloaded"`) {
			t.Errorf("%s: %d %v %s", path, w.Code, w.Header(), w.Body)
		}
	}
	for _, path := range []string{"/health", "/metrics", "/alerts", "/endpoints/health"} {
		if w := ask(http.MethodGet, path); w.Code != 200 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if n := srv.Refused(); n != 4 {
		t.Errorf("%d were refused", n)
	}
	// Writes have a gate of their own.
	if w := ask(http.MethodPost, "/v1/bars"); w.Code == 503 {
		t.Errorf("a write while reads are refused: %d %s", w.Code, w.Body)
	}
	srv.gates.reads.waiting.Store(0)
	<-srv.gates.reads.slots
	for range 3 { // each gives its slot back
		if w := ask(http.MethodGet, "/v1/series"); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

// TestGate: a long request makes room for another, nobody waits longer than
// refuseAfter, and where enough wait already who comes is refused at once.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{slots: make(chan struct{}, 1), long: make(chan struct{}, 1)}
		e := gin.New()
		release := make(chan struct{})
		e.GET("/", g.enter, func(c *gin.Context) { <-release })
		type outcome struct {
			code int
			took time.Duration
		}
		answers := make(chan outcome, 100)
		ask := func() {
			begin := time.Now()
			w := httptest.NewRecorder()
			e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
			answers <- outcome{w.Code, time.Since(begin)}
		}
		go ask()
		synctest.Wait()
		<-time.After(longAfter) // in the bubble: the first one is a long one now
		synctest.Wait()
		go ask()
		synctest.Wait()
		if len(g.slots) != 1 || len(g.long) != 1 {
			t.Errorf("%d short and %d long ones", len(g.slots), len(g.long))
		}
		for range waitingPerSlot {
			go ask()
		}
		synctest.Wait()
		go ask()
		if x := <-answers; x.code != 503 || x.took != 0 {
			t.Errorf("where enough wait: %d after %v, want 503 at once", x.code, x.took)
		}
		for range waitingPerSlot {
			if x := <-answers; x.code != 503 || x.took != refuseAfter {
				t.Errorf("in the queue: %d after %v, want 503 after %v", x.code, x.took, refuseAfter)
			}
		}
		close(release)
		if a, b := <-answers, <-answers; a.code != 200 || b.code != 200 {
			t.Error(a, b)
		}
		synctest.Wait()
		if len(g.slots)+len(g.long) != 0 {
			t.Error("a slot was not given back")
		}
	})
}
