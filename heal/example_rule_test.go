package heal_test

import (
	"context"
	"fmt"
	"log"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/heal/healstore"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// A rule of your own finds what only you know to be wrong: here a vendor that
// writes 9999 where it has no price.
func ExampleRegisterRule() {
	const id = "vendor_9999"
	if heal.RuleOf(id) == nil { // an id is registered once in a program
		heal.RegisterRule(&heal.Rule{
			ID: id, Version: 1, Severity: heal.Violation, Action: heal.FlagOnly,
			Finds: "9999 in the place of a price that is not known",
			Check: func(w *heal.Window) {
				for i := w.From; i < w.To; i++ {
					if w.Bars.Close[i] == 9999 {
						w.Report(i, i+1, nil, "close is %v", w.Bars.Close[i])
					}
				}
			},
		})
	}

	ctx := context.Background()
	now := func() series.Time { return 1704067200000 + series.Hour }
	s, err := storage.Open("store", storage.Options{FS: vfs.NewMem(), Now: now})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	key := series.Key{Symbol: "BTC-USD", Interval: series.Interval1m}
	var bars series.Columns
	for i, price := range []float64{9990, 9999, 9991} {
		bars.Append(series.NewBar(1704067200000+series.Time(i)*series.Minute, price, price, price, price, 1))
	}
	if _, err := s.Write(ctx, key, &bars, storage.WriteOptions{Source: "example"}); err != nil {
		log.Fatal(err)
	}

	h, err := heal.New(heal.Options{Store: healstore.New(s), Now: now})
	if err != nil {
		log.Fatal(err)
	}
	err = h.Inspect(ctx, key, heal.InspectOptions{Rules: []string{id}}, func(f heal.Finding) error {
		fmt.Println(f.Rule, f.From, f.Evidence)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: vendor_9999 2024-01-01T00:01:00Z close is 9999
}
