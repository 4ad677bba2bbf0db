package heal

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// These rules look at the holes of a whole series: what a collector leaves out
// has a pattern that no market has.

var ruleStride = Rule{
	ID: "page_stride", Version: 1, Severity: Suspicious, Action: FlagOnly,
	Finds:     "stretches of bars and holes of the same two lengths, again and again: a collector that kept one page and skipped the next ones",
	Threshold: "10 bars and 10 holes or more, 5 times or more, and half of all holes; what repeats every day or week is left out",
	Source:    "a published file of Bybit: 200 minutes kept and 801 skipped, 524 times",
	False:     "none known",
	Holes: func(scan *Scan) (series.Run, string) {
		bars, skipped, n := stride(scan)
		// What repeats every day or every week is no page.
		if n == 0 || scan.Grid.Interval.Intraday() && scan.Grid.Interval.Width()*series.Time(bars+skipped)%series.Day == 0 {
			return series.Run{}, ""
		}
		why := fmt.Sprintf("%d bars were kept and %d skipped, %d times", bars, skipped, n)
		var out series.Run
		for _, r := range joined(scan.Holes) {
			if r.Len() != skipped {
				continue
			}
			if out.Empty() {
				out.From = r.From
			}
			out.To = r.To
		}
		return out, why
	},
}

const (
	cutLeast = 10 // slots of a hole that counts
	cutDays  = 5  // days on which it must begin, or end, at the same time
)

var ruleCut = Rule{
	ID: "regular_truncation", Version: 1, Severity: Suspicious, Action: FlagOnly,
	Finds:     "holes that begin, or end, at the same time of the day: a collector that was cut off, or began late, every day",
	Threshold: "holes of 10 slots and more of an intraday series; 5 days or more, of which most follow each other, and 80% of such holes",
	Source:    "published files of Bittrex: 36 days in a row lack what follows midnight",
	False:     "sessions, where the symbol has no calendar; venues that rest every day",
	Holes: func(scan *Scan) (series.Run, string) {
		if !scan.Grid.Interval.Intraday() {
			return series.Run{}, ""
		}
		var long []series.Run
		for _, r := range joined(scan.Holes) {
			if r.Len() >= cutLeast {
				long = append(long, r)
			}
		}
		at := func(n series.Slot) series.Time { return scan.Grid.Time(n) % series.Day }
		for _, x := range [...]struct {
			word string
			of   func(series.Run) series.Time
		}{
			{"begin", func(r series.Run) series.Time { return at(r.From) }},
			{"end", func(r series.Run) series.Time { return at(r.To) }},
		} {
			times := map[series.Time]int{}
			for _, r := range long {
				times[x.of(r)]++
			}
			var best series.Time
			for t, n := range times {
				if n > times[best] || n == times[best] && t < best {
					best = t
				}
			}
			if n := times[best]; n < cutDays || 5*n < 4*len(long) {
				continue
			}
			those := slices.DeleteFunc(slices.Clone(long), func(r series.Run) bool { return x.of(r) != best })
			next := 0
			for i := 1; i < len(those); i++ {
				if d := scan.Grid.Time(those[i].From) - scan.Grid.Time(those[i-1].From); d < 2*series.Day {
					next++
				}
			}
			if 2*next < len(those) {
				continue // every week is not every day
			}
			return series.Run{From: those[0].From, To: those[len(those)-1].To},
				fmt.Sprintf("%d of %d holes %s at %s UTC; if the market is shut then, the symbol lacks a calendar", len(those), len(long), x.word, best.Std().Format(time.TimeOnly))
		}
		return series.Run{}, ""
	},
}

// holes runs the rules that look at the holes of a whole series.
func (h *Healer) holes(ctx context.Context, s Series, o *InspectOptions) (out []Finding, err error) {
	var scan *Scan
	for _, r := range rules {
		if r.Holes == nil || o.barsOnly || len(o.Rules) > 0 && !slices.Contains(o.Rules, r.ID) {
			continue
		}
		if scan == nil {
			if scan, err = h.store.Scan(ctx, s.Key, series.Span{From: s.First, To: s.Last + 1}); err != nil {
				return nil, err
			}
		}
		run, why := r.Holes(scan)
		if run.Empty() {
			continue
		}
		span := s.Grid.Span(run)
		if o.Span != (series.Span{}) && span.Intersect(o.Span).Empty() {
			continue
		}
		out = append(out, Finding{Key: s.Key, Rule: r.ID, Version: r.Version, Severity: r.Severity, Action: r.Action, From: span.From, To: span.To, Evidence: why})
	}
	slices.SortStableFunc(out, func(a, b Finding) int { return int(a.From/series.Minute - b.From/series.Minute) })
	return out, nil
}
