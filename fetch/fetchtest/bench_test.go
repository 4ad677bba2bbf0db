package fetchtest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/vendors"
	"github.com/barkeepdb/barkeep/series"
)

// BenchmarkYear fetches a year of minutes from a server on this machine that
// has its answers ready: what it measures is the way from the socket to the
// columns.
func BenchmarkYear(b *testing.B) {
	for _, name := range []string{"binance-spot", "alpaca"} {
		b.Run(name, func(b *testing.B) { benchmarkYear(b, name) })
	}
}

func benchmarkYear(b *testing.B, name string) {
	const n = 365 * 1440
	now := series.TimeOf(time.Now())
	m := &Market{Symbol: symbols[name], Bars: map[series.Interval]*series.Columns{series.Interval1m: truth(series.Interval1m, n+1, now, 1)}, Now: func() series.Time { return now }}
	traded := 0
	for _, v := range m.Bars[series.Interval1m].Volume[:n] {
		if v > 0 {
			traded++
		}
	}
	h := Vendor(name, m)
	var mu sync.Mutex // guards ready
	ready := map[string][]byte{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		body := ready[r.URL.RawQuery]
		mu.Unlock()
		if body == nil {
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, r)
			body = bytes.Clone(rec.Body.Bytes())
			mu.Lock()
			ready[r.URL.RawQuery] = body
			mu.Unlock()
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body) // who asked may have gone
	}))
	defer s.Close()
	c := m.Bars[series.Interval1m]
	span := series.Span{From: c.Time[0], To: c.Time[n-1] + series.Minute}
	p := vendors.ByName(name)
	var keys fetch.Credentials
	if p.Info().Auth == fetch.AuthKey { // others would sign, and ask otherwise each time
		keys = fetch.Credentials{Key: fetch.NewSecret("key"), Secret: fetch.NewSecret("secret")}
	}
	year := func(each func(bars int)) {
		pool, err := fetch.New(fetch.Options{Endpoints: []fetch.Endpoint{{Name: "sim", URL: s.URL, Provider: p, AllowPrivate: true, Credentials: keys}}})
		if err != nil {
			b.Fatal(err)
		}
		bars := 0
		_, err = pool.Bars(context.Background(), fetch.Ask{Sources: []fetch.Source{{Provider: name, Symbol: m.Symbol}}, Interval: series.Interval1m, Span: span}, func(x fetch.Batch) error {
			was := bars
			bars += x.Bars.Len()
			if bars/250_000 != was/250_000 { // twice a year
				each(bars)
			}
			return nil
		})
		if err != nil || bars != n && bars != traded {
			b.Fatal(fmt.Errorf("%d bars, %w", bars, err))
		}
		if err := pool.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	year(func(int) {}) // the answers are ready from now on
	var before, peak runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most := uint64(0)
	for b.Loop() {
		year(func(int) { // what is alive
			runtime.GC()
			runtime.ReadMemStats(&peak)
			most = max(most, peak.HeapAlloc)
		})
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "bars/s")
	b.ReportMetric((float64(most)-float64(before.HeapAlloc))/(1<<20), "MiB-above")
}
