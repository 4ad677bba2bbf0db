package fetchtest

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/vendors"
	"github.com/barkeepdb/barkeep/series"
)

// TestScripted: each vendor fails at the first request in each way, beside an
// endpoint of its own that works: the bars come complete and as they are.
func TestScripted(t *testing.T) {
	now := series.TimeOf(time.Now()) // how far back a vendor reaches goes by our clock
	i := series.Interval1m
	const n, from, to = 700, 100, 400 // few pages: vendors count requests by the minute
	for _, name := range Vendors() {
		if vendors.ByName(name).Info().Intervals[i] == "" {
			continue // another route of a vendor that is here
		}
		c := truth(i, n, now, 3)
		for _, f := range Faults() {
			t.Run(name+"/"+f.Name, func(t *testing.T) {
				t.Parallel()
				m := &Market{Symbol: symbols[name], Bars: map[series.Interval]*series.Columns{i: c}, Now: func() series.Time { return now }}
				bad := httptest.NewServer(Scripted(Vendor(name, m), func(n int64) *Fault {
					if n == 0 {
						return &f
					}
					return nil
				}))
				defer bad.Close()
				good := httptest.NewServer(Vendor(name, m))
				defer good.Close()
				p := vendors.ByName(name)
				keys := fetch.Credentials{Key: fetch.NewSecret("key"), Secret: fetch.NewSecret("secret")}
				pool, err := fetch.New(fetch.Options{Endpoints: []fetch.Endpoint{
					{Name: "bad", URL: bad.URL, Provider: p, AllowPrivate: true, Credentials: keys},
					{Name: "good", URL: good.URL, Provider: p, Priority: 1, AllowPrivate: true, Credentials: keys},
				}})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = pool.Close(context.Background()) }()
				span := series.Span{From: c.Time[from], To: c.Time[to]}
				var got series.Columns
				if _, err := pool.Bars(t.Context(), fetch.Ask{Sources: []fetch.Source{{Provider: name, Symbol: m.Symbol}}, Interval: i, Span: span}, func(b fetch.Batch) error {
					for k := range b.Bars.Time {
						got.Append(b.Bars.Bar(k))
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				k := 0
				for x := from; x < to; x++ {
					w := c.Bar(x)
					if k < got.Len() && got.Time[k] == w.Time {
						if b := got.Bar(k); b.Open != w.Open || b.High != w.High || b.Low != w.Low || b.Close != w.Close || b.Volume != w.Volume && p.Info().Volume != fetch.VolumeNone {
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
}
