package heal_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// exchange writes hours of sessions of Hong Kong in 2023, without those of the
// dates left out.
func (w *world) exchange(symbol string, interval series.Interval, left ...string) series.Key {
	w.t.Helper()
	key := series.Key{Symbol: symbol, Interval: interval}
	if err := w.store.SetSymbol(symbol, storage.Symbol{Calendar: "XHKG"}); err != nil {
		w.t.Fatal(err)
	}
	cal, err := w.store.Calendars().Get("XHKG")
	if err != nil {
		w.t.Fatal(err)
	}
	from, to := dayOf("2023-08-01"), dayOf("2023-10-01")
	all, kept := &series.Columns{}, &series.Columns{}
	grid := series.Grid{Interval: interval}
	for x := range cal.Sessions(series.Span{From: from, To: to}) {
		run := series.Run{From: grid.SlotAt(x.Open), To: grid.SlotFrom(x.Close)}
		if !interval.Intraday() {
			run = series.Run{From: grid.SlotAt(x.Date), To: grid.SlotAt(x.Date) + 1}
		}
		for n := run.From; n < run.To; n++ {
			if interval.Intraday() && cal.OpenTime(grid.Span(series.Run{From: n, To: n + 1})) == 0 {
				continue
			}
			b := series.NewBar(grid.Time(n), 10, 11, 9, 10+float64(n%7)/10, 100+float64(n%5))
			gone := false
			for _, d := range left {
				gone = gone || x.Date == dayOf(d)
			}
			if !gone {
				kept.Append(b)
			}
			all.Append(b)
		}
	}
	w.write(key, kept)
	w.venue.truth[key] = kept // nothing traded then
	return key
}

func dayOf(date string) series.Time {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		panic(err)
	}
	return series.TimeOf(t)
}

// TestClosures has a typhoon that the calendar may not know: the session is
// proposed once sources were asked and had nothing, approved, and undone. A
// session that one series has bars of is not.
func TestClosures(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t, heal.Policy{MaxShare: -1, Strategy: heal.SourcesOnly})
	w.venue.more = nil
	year := series.Span{From: dayOf("2023-01-01"), To: dayOf("2024-01-01")}
	const shut, open = "2023-08-16", "2023-08-22"
	a := w.exchange("0005.HK", series.Interval1h, shut, open)
	b := w.exchange("0700.HK", series.Interval1d, shut, open)
	c := w.exchange("0001.HK", series.Interval1h, shut)
	list := func() map[string]heal.Closure {
		t.Helper()
		got, err := w.heal.Closures(ctx, year)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]heal.Closure{}
		for _, x := range got {
			out[x.Date] = x
		}
		return out
	}
	if got := list(); len(got) != 0 {
		t.Fatalf("nobody was asked, and proposed are %v", got)
	}
	if _, err := w.heal.Close(ctx, "XHKG", shut, "ann"); !errors.Is(err, heal.ErrNoClosure) {
		t.Fatalf("a session that is not proposed: %v", err)
	}
	w.repair(heal.Request{Symbol: a.Symbol})
	w.repair(heal.Request{Symbol: b.Symbol})
	got := list()
	x, ok := got[shut]
	if !ok || len(got) != 1 || len(x.Series) != 3 || x.Asked == 0 || x.Slots == 0 || len(x.Evidence) == 0 {
		t.Fatalf("proposed are %+v", got)
	}

	before := w.states(a, year)
	rep, err := w.heal.Close(ctx, "XHKG", shut, "ann")
	if err != nil || rep.Status != heal.Done || rep.States["closed"] != x.Slots {
		t.Fatalf("%v: %s, %v of %d slots", err, rep.Status, rep.States, x.Slots)
	}
	if again, err := w.heal.Close(ctx, "XHKG", shut, "ann"); err != nil || again.ID != rep.ID {
		t.Errorf("approved twice: %v, %v", again.ID, err)
	}
	if got := list()[shut]; got.Approved != rep.ID {
		t.Errorf("approved as %q, want %q", got.Approved, rep.ID)
	}
	w.begin(heal.Policy{MaxShare: -1, Strategy: heal.SourcesOnly}) // it holds after a restart
	asked := len(w.venue.asked)
	w.clock.now += 200 * series.Day
	late := w.exchange("0011.HK", series.Interval1h, shut)
	for _, key := range []series.Key{c, late} {
		w.repair(heal.Request{Symbol: key.Symbol})
		s := w.states(key, series.Span{From: dayOf(shut), To: dayOf(shut) + series.Day})
		if s[series.StateMissing]+s[series.StateUnavailable] != 0 {
			t.Errorf("%v: the session is %v", key, s)
		}
	}
	for _, q := range w.venue.asked[asked:] {
		if q.From <= dayOf(shut)+2*series.Hour && q.To >= dayOf(shut)+8*series.Hour {
			t.Errorf("%v was asked for after the approval", q)
		}
	}
	w.clock.now -= 200 * series.Day
	if _, err := w.heal.Undo(ctx, rep.ID, "ann"); err != nil {
		t.Fatal(err)
	}
	if s := w.states(a, year); s != before {
		t.Errorf("undone: %v, before: %v", s, before)
	}
	if got := list()[shut]; got.Approved != "" {
		t.Errorf("undone, and still approved: %+v", got)
	}
}
