package fetch_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/binance"
	"github.com/barkeepdb/barkeep/fetch/fetchtest"
	"github.com/barkeepdb/barkeep/series"
)

// A pool of two endpoints answers although the one that is asked first is
// down. The servers here are a dead one and a simulator of the vendor.
func ExamplePool() {
	from := series.Time(1704067200000) // 2024-01-01T00:00:00Z
	var bars series.Columns
	for i := range series.Time(5) {
		price := 42000 + float64(i)
		bars.Append(series.NewBar(from+i*series.Minute, price, price+1, price-1, price, 1))
	}
	market := &fetchtest.Market{
		Symbol: "BTCUSDT", Now: func() series.Time { return from + series.Hour },
		Bars: map[series.Interval]*series.Columns{series.Interval1m: &bars},
	}
	works := httptest.NewServer(fetchtest.Vendor("binance-spot", market))
	defer works.Close()
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "maintenance", http.StatusServiceUnavailable)
	}))
	defer down.Close()

	vendor := binance.Spot()
	pool, err := fetch.New(fetch.Options{Endpoints: []fetch.Endpoint{
		{Name: "first", URL: down.URL, Provider: vendor, Priority: 1, AllowPrivate: true},
		{Name: "second", URL: works.URL, Provider: vendor, Priority: 2, AllowPrivate: true},
	}})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	defer pool.Close(ctx)

	report, err := pool.Bars(ctx, fetch.Ask{
		Sources:  []fetch.Source{{Provider: "binance-spot", Symbol: "BTCUSDT"}},
		Interval: series.Interval1m,
		Span:     series.Span{From: from, To: from + 5*series.Minute},
	}, func(b fetch.Batch) error {
		fmt.Println(b.Bars.Len(), "bars from", b.Endpoint, "first", b.Bars.Time[0], "last close", b.Bars.Close[b.Bars.Len()-1])
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Used)
	// Output:
	// 5 bars from second first 2024-01-01T00:00:00Z last close 42004
	// map[second:5]
}
