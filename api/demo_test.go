package api_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/barkeepdb/barkeep/series"
)

// TestDemo gives an empty store a sample, and refuses it to another one.
func TestDemo(t *testing.T) {
	srv, store := newServer(t)
	post := func() *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "http://localhost/v1/demo", http.NoBody)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, r)
		return w
	}
	if w := post(); w.Code != http.StatusCreated {
		t.Fatal(w.Code, w.Body)
	}
	info, err := store.Info(series.Key{Symbol: "DEMO", Interval: series.Interval1m})
	if err != nil || info.Bars != 2*24*60-94 {
		t.Errorf("%d bars, %v", info.Bars, err)
	}
	if w := post(); w.Code != http.StatusConflict {
		t.Errorf("a store with series gets %d %s", w.Code, w.Body)
	}
}
