package heal_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/heal/healtest"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// TestKnownSplits has a split that is known: raw prices that show it are true,
// and of others the finding says whether it is missing or was applied twice.
func TestKnownSplits(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 17))
	key := series.Key{Symbol: "SHARE", Interval: series.Interval1d}
	flat := healtest.Days(history(r, 900, 1))
	for i := range flat.Volume {
		flat.Volume[i] = 100 + float64(r.IntN(20))
	}
	ex := flat.Time[450]
	for _, x := range []struct {
		name     string
		adjusted series.Adjust
		before   float64 // what the prices before are multiplied by
		ratio    float64 // of the known split; 0 is none
		rule     string
		says     string
	}{
		{"raw, known", series.AdjustNone, 4, 4, "", ""},
		{"raw, not known", series.AdjustNone, 4, 0, "split", "miss a split"},
		{"raw reverse split, known", series.AdjustNone, 0.1, 0.1, "", ""},
		{"adjusted, known", series.AdjustSplit, 1, 4, "", ""},
		{"adjusted, missing", series.AdjustSplit, 4, 4, "split", "the split 4:1 of 1991-03-27 is missing"},
		{"adjusted, twice", series.AdjustAll, 0.25, 4, "split", "the split 4:1 of 1991-03-27 was applied twice"},
		{"said to be raw, and adjusted", series.AdjustNone, 1, 4, "mixed_adjustment", "does not show"},
		{"twice, not known", series.AdjustNone, 0.25, 0, "split", "applied twice"},
		{"another split is known", series.AdjustNone, 4, 2, "split", "miss a split"},
	} {
		t.Run(x.name, func(t *testing.T) {
			w := newWorld(t, heal.Policy{})
			bars := healtest.Clone(flat)
			multiply(bars, 0, 450, x.before, 1/x.before)
			w.write(key, bars)
			if err := w.store.SetSymbol(key.Symbol, storage.Symbol{Adjusted: x.adjusted}); err != nil {
				t.Fatal(err)
			}
			for _, source := range []string{"a", "b"} { // both say the same
				v, err := json.Marshal(series.Action{Kind: series.Split, Ex: ex, Ratio: x.ratio})
				if err != nil || x.ratio == 0 {
					break
				}
				name := fmt.Sprintf("%s|%013d|split|%s", key.Symbol, int64(ex), source)
				if err := w.store.PutRecords(context.Background(), []storage.Record{{Kind: heal.KindAction, Name: name, Value: v}}); err != nil {
					t.Fatal(err)
				}
			}
			var found []heal.Finding
			if err := w.heal.Inspect(context.Background(), key, heal.InspectOptions{}, func(f heal.Finding) error {
				found = append(found, f)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			switch {
			case x.rule == "" && len(found) > 0:
				t.Errorf("found %v", found)
			case x.rule != "" && (len(found) == 0 || found[0].Rule != x.rule || found[0].From != ex || !strings.Contains(found[0].Evidence, x.says)):
				t.Errorf("found %v, want %s at %v that says %q", found, x.rule, ex, x.says)
			}
		})
	}
}
