package series_test

import (
	"testing"

	"github.com/barkeepdb/barkeep/series"
)

func TestPerDay(t *testing.T) {
	for text, want := range map[string]int64{"1s": 86400, "1m": 1440, "1h": 24, "12h": 2, "1d": 1, "1w": 1, "1M": 1} {
		i, err := series.ParseInterval(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := i.PerDay(); got != want {
			t.Errorf("%d bars of %s in a day, want %d", got, text, want)
		}
	}
}
