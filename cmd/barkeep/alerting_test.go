package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// TestIncident: series of one source that stall together are one incident,
// those of different sources are not.
func TestIncident(t *testing.T) {
	s, err := storage.Open("db", storage.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // in memory: nothing to lose
	w := &watcher{store: s}
	for _, x := range []struct {
		stale, live int
		want        bool
	}{{0, 1, false}, {1, 1, false}, {2, 2, false}, {3, 3, true}, {3, 6, true}, {3, 7, false}, {20, 30, true}} {
		all := map[string]*standing{}
		for i := range x.live {
			key := series.Key{Symbol: fmt.Sprintf("A%d", i), Interval: series.Interval1m}
			if err := s.SetSymbol(key.Symbol, storage.Symbol{Calendar: "24x7", Sources: []string{"binance=" + key.Symbol, "kraken"}}); err != nil {
				t.Fatal(err)
			}
			w.stand(all, key, i < x.stale)
		}
		w.stand(all, series.Key{Symbol: "unknown", Interval: series.Interval1m}, true)
		if len(all) != 1 || all["binance"].incident() != x.want {
			t.Errorf("%d of %d: %v", x.stale, x.live, all)
		}
		if text := all["binance"].String(); !strings.Contains(text, fmt.Sprintf("%d of %d series", x.stale, x.live)) {
			t.Error(text)
		}
	}
}

// TestAlertsAreDocumented: docs/alerts.md has a row for each rule, with its type
// and severity, and rules that explain others exist.
func TestAlertsAreDocumented(t *testing.T) {
	docs, err := os.ReadFile("../../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, r := range alertRules {
		known[r.ID] = true
		if row := fmt.Sprintf("| `%s` | %s, %s |", r.ID, r.Type, r.Severity); !strings.Contains(string(docs), row) {
			t.Errorf("docs/alerts.md lacks the row %s", row)
		}
	}
	for _, r := range alertRules {
		for _, b := range r.Behind {
			if !known[b] {
				t.Errorf("%s stands behind %s, which there is not", r.ID, b)
			}
		}
	}
}
