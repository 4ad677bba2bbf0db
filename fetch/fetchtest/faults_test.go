package fetchtest

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/vendors"
	"github.com/barkeepdb/barkeep/series"
)

// TestScripted: a vendor that fails at the first request in each way, beside one
// that works: the bars come complete and as they are.
func TestScripted(t *testing.T) {
	now := noon + 30*series.Second
	i := series.Interval1m
	for _, f := range Faults() {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			m := &Market{Symbol: "BTCUSDT", Bars: map[series.Interval]*series.Columns{i: truth(i, 1500, now, 3)}, Now: func() series.Time { return now }}
			bad := httptest.NewServer(Scripted(Vendor("binance-spot", m), func(n int64) *Fault {
				if n == 0 {
					return &f
				}
				return nil
			}))
			defer bad.Close()
			good := httptest.NewServer(Vendor("binance-spot", m))
			defer good.Close()
			p := vendors.ByName("binance-spot")
			pool, err := fetch.New(fetch.Options{Endpoints: []fetch.Endpoint{
				{Name: "bad", URL: bad.URL, Provider: p, AllowPrivate: true},
				{Name: "good", URL: good.URL, Provider: p, Priority: 1, AllowPrivate: true},
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = pool.Close(context.Background()) }()
			c := m.Bars[i]
			span := series.Span{From: c.Time[100], To: c.Time[1300]}
			var got series.Columns
			if _, err := pool.Bars(t.Context(), fetch.Ask{Sources: []fetch.Source{{Provider: "binance-spot", Symbol: "BTCUSDT"}}, Interval: i, Span: span}, func(b fetch.Batch) error {
				for k := range b.Bars.Time {
					got.Append(b.Bars.Bar(k))
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			k := 0
			for x := 100; x < 1300; x++ {
				w := c.Bar(x)
				if k < got.Len() && got.Time[k] == w.Time {
					if b := got.Bar(k); b.Open != w.Open || b.High != w.High || b.Low != w.Low || b.Close != w.Close || b.Volume != w.Volume {
						t.Fatalf("bar %v is %+v, want %+v", w.Time, b, w)
					}
					k++
				} else if w.Volume > 0 {
					t.Fatalf("bar %v is missing", w.Time)
				}
			}
			if k != got.Len() {
				t.Errorf("%d bars too many", got.Len()-k)
			}
		})
	}
}
