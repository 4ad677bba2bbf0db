package storage_test

import (
	"context"
	"fmt"
	"log"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// A store is opened, written, read and asked for what is missing. In memory
// here; without FS the folder is one on the disk.
func Example() {
	ctx := context.Background()
	store, err := storage.Open("data", storage.Options{FS: vfs.NewMem()})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	key := series.Key{Symbol: "BTCUSDT", Interval: series.Interval1m}
	at := func(clock string) series.Time {
		t, err := series.ParseTime("2024-01-01T" + clock + ":00Z")
		if err != nil {
			log.Fatal(err)
		}
		return t
	}
	bars := series.Columns{
		Time:   []series.Time{at("09:00"), at("09:01"), at("09:05")},
		Open:   []float64{42000, 42010, 42031},
		High:   []float64{42012.5, 42020, 42040},
		Low:    []float64{41990, 42001.5, 42030},
		Close:  []float64{42010, 42005, 42038},
		Volume: []float64{3.2, 1.7, 2.4},
	}
	res, err := store.Write(ctx, key, &bars, storage.WriteOptions{Source: "example"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("written:", res.Written)

	for bar, err := range store.Bars(ctx, key, series.Span{From: at("09:01"), To: at("10:00")}, storage.ReadOptions{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(bar.Time, bar.Close, store.SourceName(bar.Prov.Source()))
	}

	scan, err := store.Gaps(ctx, key, series.Span{})
	if err != nil {
		log.Fatal(err)
	}
	for _, gap := range scan.Gaps {
		fmt.Println("gap:", scan.Grid.Span(gap.Run), gap.Len(), "bars", gap.State)
	}

	var hours series.Columns
	parts, err := store.Resample(ctx, key, series.Interval1h, series.Span{}, &hours)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("hour:", hours.Open[0], hours.High[0], hours.Low[0], hours.Close[0], hours.Volume[0], "complete:", parts[0].Complete())

	// Output:
	// written: 3
	// 2024-01-01T09:01:00Z 42005 example
	// 2024-01-01T09:05:00Z 42038 example
	// gap: [2024-01-01T09:02:00Z, 2024-01-01T09:05:00Z) 3 bars missing
	// hour: 42000 42040 41990 42038 7.3 complete: false
}

// One bar at a time, as it closes.
func ExampleStore_Append() {
	store, err := storage.Open("data", storage.Options{FS: vfs.NewMem()})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	key := series.Key{Symbol: "ETHUSDT", Interval: series.Interval1h}
	bar := series.NewBar(1704067200000, 2282, 2300.5, 2280, 2297.1, 1200)
	if err := store.Append(context.Background(), key, bar, storage.WriteOptions{Source: "binance"}); err != nil {
		log.Fatal(err)
	}
	last, _, err := store.Latest(key)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(last.Time, last.Close)
	// Output: 2024-01-01T00:00:00Z 2297.1
}
