package heal_test

import (
	"context"
	"fmt"
	"log"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/heal/healstore"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// A filler of your own is a type of repair. Its bars are made while reading,
// say that they are synthetic, and vanish when a real bar is written.
func ExampleRegisterFiller() {
	heal.RegisterFiller("midpoint", func(before, after *series.Bar, times []series.Time) []series.Bar {
		if before == nil || after == nil {
			return nil
		}
		middle := (before.Close + after.Open) / 2
		var out []series.Bar
		for _, t := range times {
			out = append(out, series.NewBar(t, middle, middle, middle, middle, 0))
		}
		return out
	})

	ctx := context.Background()
	now := func() series.Time { return 1704067200000 + series.Hour }
	s, err := storage.Open("store", storage.Options{FS: vfs.NewMem(), Now: now})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	key := series.Key{Symbol: "BTC-USD", Interval: series.Interval1m}
	var bars series.Columns
	bars.Append(series.NewBar(1704067200000, 10, 11, 9, 10, 1))
	bars.Append(series.NewBar(1704067200000+3*series.Minute, 20, 21, 19, 20, 1))
	if _, err := s.Write(ctx, key, &bars, storage.WriteOptions{Source: "example"}); err != nil {
		log.Fatal(err)
	}

	h, err := heal.New(heal.Options{Store: healstore.New(s), Now: now})
	if err != nil {
		log.Fatal(err)
	}
	r, err := h.Start(ctx, heal.Request{Symbol: key.Symbol, Type: "midpoint", To: 1704067200000 + 4*series.Minute})
	if err != nil {
		log.Fatal(err)
	}
	if err := h.Work(ctx); err != nil {
		log.Fatal(err)
	}
	r, err = h.Repair(ctx, r.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Status, r.Filled, slices.Contains(heal.Types(), "midpoint"))
	// Output: done 2 true
}
