package api

import (
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

func askHistory(t *testing.T, srv *Server, query string) (int, MetricHistory) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/v1/metrics/history"+query, http.NoBody)
	r.Host = "localhost"
	r.Header.Set("Authorization", "Bearer barkeep_test-token")
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, r)
	var h MetricHistory
	if err := json.Unmarshal(w.Body.Bytes(), &h); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return w.Code, h
}

// TestMetricHistory plays three days, a minute at a time, with a restart inside
// a step: points are bounded, and coarser ones sum up the finer ones.
func TestMetricHistory(t *testing.T) {
	store, err := storage.Open("db", storage.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() }) // in memory: nothing to lose
	start := time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
	now := start
	var free prometheus.Gauge
	newServer := func() *Server {
		srv := New(Options{Store: store, Token: "barkeep_test-token", Now: func() time.Time { return now }})
		// A registry of its own: the metrics of a test do not change by themselves.
		srv.metrics.registry = prometheus.NewRegistry()
		free = prometheus.NewGauge(prometheus.GaugeOpts{Name: "barkeep_data_gaps"})
		changes := prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "barkeep_store_changes_total"}, func() float64 { return now.Sub(start).Seconds() * 3 })
		srv.metrics.registry.MustRegister(free, changes)
		return srv
	}
	srv := newServer()
	const minutes = 3 * 24 * 60
	for i := range minutes {
		if i == 2000 {
			srv = newServer()
		}
		now = start.Add(time.Duration(i)*time.Minute + 300*time.Millisecond)
		free.Set(float64(i))
		if err := srv.KeepMetrics(t.Context()); err != nil {
			t.Fatal(i, err)
		}
	}
	count := func(kind string) (n int) {
		for _, err := range store.Records(t.Context(), kind, "") {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	if n := count("metric/1m"); n != 2880 {
		t.Errorf("%d points of a minute", n)
	}
	if n := count("metric/15m"); n != minutes/15-1 {
		t.Errorf("%d points of 15 minutes", n)
	}
	if n := count("metric/6h"); n != minutes/360-1 {
		t.Errorf("%d points of 6 hours", n)
	}
	code, h := askHistory(t, srv, "?metric=barkeep_data_gaps,barkeep_store_changes_total")
	if code != 200 || h.StepSeconds != 60 || len(h.Points) < 1439 || len(h.Points) > 1440 {
		t.Errorf("%d: step %d, %d points", code, h.StepSeconds, len(h.Points))
	}
	last := h.Points[len(h.Points)-1]
	if last.Values["barkeep_data_gaps"] != minutes-1 || math.Abs(last.Values["barkeep_store_changes_total"]-3) > 1e-9 {
		t.Errorf("last point %v", last)
	}
	_, h = askHistory(t, srv, "?from=2024-03-01")
	if h.StepSeconds != 900 || len(h.Points) != minutes/15-1 {
		t.Fatalf("step %d, %d points", h.StepSeconds, len(h.Points))
	}
	p := h.Points[1]
	if p.Time != series.TimeOf(start.Add(15*time.Minute)) || p.Values["barkeep_data_gaps"] != 22 || p.Max["barkeep_data_gaps"] != 29 {
		t.Errorf("point %+v", p)
	}
	_, h = askHistory(t, srv, "?from=2024-01-01")
	if h.StepSeconds != 21600 || len(h.Points) != minutes/360-1 {
		t.Fatalf("step %d, %d points", h.StepSeconds, len(h.Points))
	}
	if p := h.Points[2]; p.Values["barkeep_data_gaps"] != 720+179.5 || p.Max["barkeep_data_gaps"] != 1079 {
		t.Errorf("point %+v", p)
	}
	if code, _ := askHistory(t, srv, "?metric=nothing"); code != 400 {
		t.Errorf("%d for a metric without history", code)
	}
}
