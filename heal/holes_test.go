package heal_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
)

// TestCollectors loses bars as collectors do, and at random: only the first is a
// pattern, and it is found whatever part of it is asked for.
func TestCollectors(t *testing.T) {
	r := rand.New(rand.NewPCG(18, 18))
	truth := history(r, 20*1440, 1)
	for _, x := range []struct {
		name string
		gone func(i int) bool
		rule string
		says string
	}{
		{"sound", func(int) bool { return false }, "", ""},
		{"at random", func(int) bool { return r.IntN(50) == 0 }, "", ""},
		{"pages", func(i int) bool { return i%1000 >= 200 }, "page_stride", "200 bars were kept and 800 skipped"},
		{"days that end early", func(i int) bool { return i%1440 >= 1440-60-i/1440 }, "regular_truncation", "holes end at 00:00:00 UTC"},
		{"days that begin late", func(i int) bool { return i%1440 < 100 }, "regular_truncation", "holes begin at 00:00:00 UTC"},
		{"two outages", func(i int) bool { return i > 3000 && i < 3300 || i > 9000 && i < 9100 }, "", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			left := &series.Columns{}
			for i := range truth.Time {
				if i == 0 || i == truth.Len()-1 || !x.gone(i) {
					left.Append(truth.Bar(i))
				}
			}
			w := newWorld(t, heal.Policy{})
			w.write(btc, left)
			for _, span := range []series.Span{{}, {From: t0 + 5*series.Day, To: t0 + 6*series.Day}} {
				var found []heal.Finding
				if err := w.heal.Inspect(context.Background(), btc, heal.InspectOptions{Span: span}, func(f heal.Finding) error {
					found = append(found, f)
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				switch {
				case x.rule == "" && len(found) > 0:
					t.Errorf("%v: found %v", span, found)
				case x.rule != "" && (len(found) != 1 || found[0].Rule != x.rule || !strings.Contains(found[0].Evidence, x.says)):
					t.Errorf("%v: found %v, want %s that says %q", span, found, x.rule, x.says)
				}
			}
		})
	}
}
