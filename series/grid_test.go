package series_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/barkeepdb/barkeep/series"
)

func TestGridTable(t *testing.T) {
	for _, x := range []struct {
		interval string
		phase    series.Time
		at       string
		slot     series.Slot
		open     string // when the slot opens
		end      string
	}{
		{"1m", 0, "1970-01-01T00:00:59.999Z", 0, "1970-01-01", "1970-01-01T00:01:00Z"},
		{"1m", 0, "1969-12-31T23:59:59.999Z", -1, "1969-12-31T23:59:00Z", "1970-01-01"},
		{"5m", 0, "2024-02-29T12:07:00Z", 5697361, "2024-02-29T12:05:00Z", "2024-02-29T12:10:00Z"},
		{"1h", 30 * series.Minute, "2024-03-08T15:29:00Z", 474974, "2024-03-08T14:30:00Z", "2024-03-08T15:30:00Z"},
		{"1h", 30 * series.Minute, "1970-01-01T00:29:00Z", -1, "1969-12-31T23:30:00Z", "1970-01-01T00:30:00Z"},
		{"1d", 0, "2024-02-29T23:59:00Z", 19782, "2024-02-29", "2024-03-01"},
		{"1d", 16 * series.Hour, "2024-02-29T15:00:00Z", 19781, "2024-02-28T16:00:00Z", "2024-02-29T16:00:00Z"},
		{"3d", 0, "1970-01-03T12:00:00Z", 0, "1970-01-01", "1970-01-04"},
		{"1w", 0, "1970-01-01", 0, "1969-12-29", "1970-01-05"},
		{"1w", 0, "1969-12-28T23:00:00Z", -1, "1969-12-22", "1969-12-29"},
		{"1w", 0, "2024-02-29", 2826, "2024-02-26", "2024-03-04"},
		{"1M", 0, "2024-02-29T23:59:59Z", 649, "2024-02-01", "2024-03-01"},
		{"1M", 0, "1969-12-31", -1, "1969-12-01", "1970-01-01"},
		{"1M", 0, "1900-02-28", -839, "1900-02-01", "1900-03-01"},
	} {
		g := grid(t, x.interval)
		g.Phase = x.phase
		at := moment(x.at)
		n := g.SlotAt(at)
		if n != x.slot || g.Time(n) != moment(x.open) || g.Time(n+1) != moment(x.end) {
			t.Errorf("%v at %s: slot %d from %s to %s, want %d from %s to %s",
				g, x.at, n, g.Time(n), g.Time(n+1), x.slot, x.open, x.end)
		}
	}
}

func TestGridCheck(t *testing.T) {
	for _, x := range []struct {
		g  series.Grid
		ok bool
	}{
		{series.Grid{Interval: series.Interval1h}, true},
		{series.Grid{Interval: series.Interval1h, Phase: series.Hour - 1}, true},
		{series.Grid{Interval: series.Interval1h, Phase: series.Hour}, false},
		{series.Grid{Interval: series.Interval1h, Phase: -1}, false},
		{series.Grid{Interval: series.Interval3d, Phase: 2 * series.Day}, true},
		{series.Grid{Interval: series.Interval1w, Phase: 1}, false},
		{series.Grid{Interval: series.Interval1M, Phase: 1}, false},
		{series.Grid{Interval: series.Interval1M}, true},
		{series.Grid{}, false},
		{series.Grid{Interval: 99}, false},
	} {
		if err := x.g.Check(); (err == nil) != x.ok {
			t.Errorf("Check of %v: %v", x.g, err)
		}
	}
}

// genGrid draws a grid of any interval, with a phase where it may have one.
func genGrid() *rapid.Generator[series.Grid] {
	return rapid.Custom(func(t *rapid.T) series.Grid {
		g := series.Grid{Interval: rapid.SampledFrom(series.Intervals()).Draw(t, "interval")}
		if w := g.Interval.Width(); g.Interval < series.Interval1w && rapid.Bool().Draw(t, "phased") {
			g.Phase = series.Time(rapid.Int64Range(0, int64(w)-1).Draw(t, "phase"))
		}
		return g
	})
}

func genTime() *rapid.Generator[series.Time] {
	from := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	to := time.Date(2101, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	return rapid.Map(rapid.Int64Range(from, to), func(ms int64) series.Time { return series.Time(ms) })
}

func TestGridRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := genGrid().Draw(t, "grid")
		at := genTime().Draw(t, "time")
		if err := g.Check(); err != nil {
			t.Fatal(err)
		}
		n := g.SlotAt(at)
		open, end := g.Time(n), g.Time(n+1)
		if at < open || at >= end {
			t.Fatalf("slot %d from %s to %s does not hold %s", n, open, end, at)
		}
		if g.SlotAt(open) != n || g.SlotAt(end) != n+1 || g.SlotAt(end-1) != n || g.SlotAt(open-1) != n-1 {
			t.Fatalf("slot %d does not round trip", n)
		}
		if !g.On(open) || g.On(at) != (at == open) {
			t.Fatalf("On(%s) is wrong", at)
		}
		if from := g.SlotFrom(at); from != n && from != n+1 || g.Time(from) < at || g.Time(from-1) >= at {
			t.Fatalf("SlotFrom(%s) = %d beside slot %d", at, from, n)
		}
		if w := g.Interval.Width(); w != 0 && end-open != w {
			t.Fatalf("slot %d is %d ms wide", n, end-open)
		}
		if g.Interval == series.Interval1M {
			if d := open.Std(); d.Day() != 1 || dayStart(open) != open || d.AddDate(0, 1, 0) != end.Std() {
				t.Fatalf("month %d is from %s to %s", n, open, end)
			}
		}
		if g.Interval == series.Interval1w && open.Std().Weekday() != time.Monday {
			t.Fatalf("week %d starts on %s", n, open.Std().Weekday())
		}
		// Runs and spans.
		s := series.Span{From: at, To: at + series.Time(rapid.Int64Range(-5, int64(400*series.Day)).Draw(t, "length"))}
		run := g.Run(s)
		if s.Empty() {
			if !run.Empty() {
				t.Fatalf("Run(%v) = %v", s, run)
			}
			return
		}
		if g.Time(run.From) < s.From || g.Time(run.From-1) >= s.From || g.Time(run.To) < s.To || g.Time(run.To-1) >= s.To && !run.Empty() {
			t.Fatalf("Run(%v) = %v", s, run)
		}
		if !run.Empty() && g.Run(g.Span(run)) != run {
			t.Fatalf("run %v does not round trip", run)
		}
	})
}

func dayStart(t series.Time) series.Time {
	return series.Grid{Interval: series.Interval1d}.Time(series.Grid{Interval: series.Interval1d}.SlotAt(t))
}
