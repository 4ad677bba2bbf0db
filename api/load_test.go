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
	<-srv.gates.reads.slots
	for range 3 { // each gives its slot back
		if w := ask(http.MethodGet, "/v1/series"); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

// TestRefusedSoon: nobody waits longer than refuseAfter to be refused, and who
// gets a slot in time is answered.
func TestRefusedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{slots: make(chan struct{}, 1), long: make(chan struct{}, 1)}
		e := gin.New()
		release := make(chan struct{})
		e.GET("/", g.enter, func(c *gin.Context) { <-release })
		codes := make(chan int, 3)
		ask := func() {
			w := httptest.NewRecorder()
			e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
			codes <- w.Code
		}
		go ask()
		synctest.Wait()
		go ask()
		if code := <-codes; code != 503 { // the clock of the bubble goes on by refuseAfter
			t.Fatal(code)
		}
		<-time.After(longAfter) // in the bubble: the first one is a long one now
		synctest.Wait()
		go ask()
		synctest.Wait()
		if len(g.slots) != 1 || len(g.long) != 1 {
			t.Errorf("%d short and %d long ones", len(g.slots), len(g.long))
		}
		close(release)
		if a, b := <-codes, <-codes; a != 200 || b != 200 {
			t.Error(a, b)
		}
		synctest.Wait()
		if len(g.slots)+len(g.long) != 0 {
			t.Error("a slot was not given back")
		}
	})
}
