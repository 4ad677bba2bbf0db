package heal_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
)

// TestRadar follows bars of a source for weeks. It revises the prices of some
// within an hour, and the volume of each within a day; nothing later.
func TestRadar(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, heal.Policy{Strategy: heal.SourcesOnly, MaxShare: -1})
	w.venue.names = []string{"venue"}
	truth := history(rand.New(rand.NewPCG(3, 3)), 40*1440, 1)
	w.venue.truth[btc] = truth
	revised := map[series.Time]bool{}
	w.venue.lies = []func(series.Key, *series.Columns){func(_ series.Key, c *series.Columns) {
		for i := range c.Time {
			age := w.clock.now - c.Time[i] - series.Minute
			if age >= 30*series.Minute && c.Time[i]/series.Minute%10 == 8 {
				c.Close[i] = c.Open[i]
				revised[c.Time[i]] = true
			}
			if age >= 5*series.Hour {
				c.Volume[i]++
			}
		}
	}}
	for hour := range 24 * 30 {
		now := truth.Time[0] + series.Time(hour+1)*series.Hour
		w.clock.now = now
		var c series.Columns
		for i := hour * 60; i < hour*60+60; i++ {
			c.Append(truth.Bar(i))
		}
		w.write(btc, &c)
		for _, wait := range []series.Time{0, 2 * series.Minute} {
			w.clock.now = now + wait
			if err := w.heal.Radar(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	sources, last, err := w.heal.Revisions(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) != 1 || sources[0].Source != "venue" {
		t.Fatalf("%+v", sources)
	}
	x := sources[0]
	for i, want := range []struct{ prices, volumes bool }{{false, false}, {true, false}, {false, true}, {false, false}} {
		a := x.Ages[i]
		if a.Reads < 200 || a.Prices > 0 != want.prices || a.Volumes > 0 != want.volumes {
			t.Errorf("age %v: %+v", a.Age, a)
		}
	}
	if x.Final == nil || *x.Final != time.Hour {
		t.Errorf("final after %v, want an hour", x.Final)
	}
	if len(last) != 500 || last[0].Before == last[0].After || last[0].Source != "venue" {
		t.Errorf("%d revisions, %+v", len(last), last[0])
	}
	for _, r := range last {
		if prices := [4]float64(r.Before[:4]) != [4]float64(r.After[:4]); prices && !revised[r.Time] {
			t.Errorf("%+v was not revised", r)
		}
	}
}
