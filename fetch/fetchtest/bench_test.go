package fetchtest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
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
	const n = 365 * 1440
	now := series.TimeOf(time.Now())
	m := &Market{Symbol: "BTCUSDT", Bars: map[series.Interval]*series.Columns{series.Interval1m: truth(series.Interval1m, n+1, now, 1)}, Now: func() series.Time { return now }}
	h := Vendor("binance-spot", m)
	ready := map[string][]byte{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body := ready[r.URL.RawQuery]; body != nil {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(body) // who asked may have gone
			return
		}
		h.ServeHTTP(w, r)
	}))
	defer s.Close()
	c := m.Bars[series.Interval1m]
	span := series.Span{From: c.Time[0], To: c.Time[n-1] + series.Minute}
	p := vendors.ByName("binance-spot")
	for from := span.From; from < span.To; from += 999 * series.Minute {
		r, err := p.Request(fetch.Query{Symbol: "BTCUSDT", Interval: series.Interval1m, Span: series.Span{From: from, To: min(from+999*series.Minute, span.To)}})
		if err != nil {
			b.Fatal(err)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, r.Path+"?"+r.Query, http.NoBody))
		ready[r.Query] = bytes.Clone(w.Body.Bytes())
	}
	var before, peak runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most := uint64(0)
	for b.Loop() {
		pool, err := fetch.New(fetch.Options{Endpoints: []fetch.Endpoint{{Name: "sim", URL: s.URL, Provider: p, AllowPrivate: true}}})
		if err != nil {
			b.Fatal(err)
		}
		bars := 0
		_, err = pool.Bars(context.Background(), fetch.Ask{Sources: []fetch.Source{{Provider: "binance-spot", Symbol: "BTCUSDT"}}, Interval: series.Interval1m, Span: span}, func(x fetch.Batch) error {
			bars += x.Bars.Len()
			if bars/250_000 != (bars-x.Bars.Len())/250_000 { // what is alive, twice a year
				runtime.GC()
				runtime.ReadMemStats(&peak)
				most = max(most, peak.HeapAlloc)
			}
			return nil
		})
		if err != nil || bars != n {
			b.Fatal(fmt.Errorf("%d bars, %w", bars, err))
		}
		if err := pool.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "bars/s")
	b.ReportMetric((float64(most)-float64(before.HeapAlloc))/(1<<20), "MiB-above")
}
