package fetch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/barkeepdb/barkeep/series"
)

// Contract is how an endpoint answers small questions: what nobody promises and
// everybody relies on. Words are empty where the answers did not show it.
type Contract struct {
	Provider string      `json:"provider"`
	Endpoint string      `json:"endpoint"`
	Symbol   string      `json:"symbol"`
	Interval string      `json:"interval"`
	At       series.Time `json:"at"`

	// Start is inclusive where the bar at the start of a question comes, and End
	// exclusive where none comes behind its end; cut, where the last bar that was
	// asked for is missing.
	Start string `json:"start"`
	End   string `json:"end"`
	Order string `json:"order"` // ascending, descending, mixed
	// Forming says whether the bar that has not ended comes: included, left out.
	Forming string `json:"forming"`
	Empty   string `json:"empty"`  // of slots without a trade: omitted, flat, both
	Volume  string `json:"volume"` // base, quote
	// Stamp is close where times are those at which bars end.
	Stamp string `json:"stamp"`
	// Daily is the offset from 00:00 UTC at which days open, in milliseconds; -1
	// where it differs from day to day.
	Daily *series.Time `json:"daily"`
	Rows  int          `json:"rows"` // that were looked at
}

// Differences says what is not as it was, in words for a person. What one of the
// two does not know is no difference.
func (c *Contract) Differences(was *Contract) (out []string) {
	for _, x := range []struct{ what, now, then string }{
		{"start", c.Start, was.Start},
		{"end", c.End, was.End},
		{"order", c.Order, was.Order},
		{"forming bar", c.Forming, was.Forming},
		{"slots without a trade", c.Empty, was.Empty},
		{"volume", c.Volume, was.Volume},
		{"stamp", c.Stamp, was.Stamp},
	} {
		if x.now != x.then && x.now != "" && x.then != "" {
			out = append(out, fmt.Sprintf("%s: %s, was %s", x.what, x.now, x.then))
		}
	}
	if c.Daily != nil && was.Daily != nil && *c.Daily != *was.Daily {
		out = append(out, fmt.Sprintf("days open at %d ms, was %d", *c.Daily, *was.Daily))
	}
	return out
}

// contractBars is how many bars the first question of a contract is for, and
// contractLeast how many must come.
const (
	contractBars  = 60
	contractLeast = 20
)

// Contract asks an endpoint small questions about a symbol that trades, and says
// how it answers them. The questions pass all that others pass, limits included.
func (p *Pool) Contract(ctx context.Context, name, symbol string, interval series.Interval) (*Contract, error) {
	i := slices.IndexFunc(p.endpoints, func(e *endpoint) bool { return e.Name == name })
	if i < 0 {
		return nil, errors.New("there is no endpoint " + name)
	}
	e := p.endpoints[i]
	width := interval.Width()
	if width == 0 {
		return nil, fmt.Errorf("a contract is probed with an interval of one length, not with %s", interval)
	}
	ctx, leave, err := p.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	now := p.clocks.now(e.host.name)
	g := e.info.grid(interval)
	floor := g.Time(g.SlotAt(now))
	ask := func(interval series.Interval, span series.Span) (Page, error) {
		q := Query{Symbol: symbol, Interval: interval, Span: span, Now: now}
		r, err := e.Provider.Request(q)
		if err != nil {
			return Page{}, err
		}
		var page Page
		c := &call{pool: p, e: e, r: r}
		c.judge = func(a Answer) (err error) {
			page, err = e.Provider.Page(q, a)
			return err
		}
		return page, c.do(ctx)
	}
	out := &Contract{Provider: e.info.Name, Endpoint: e.Name, Symbol: symbol, Interval: interval.String(), At: now}

	// Bars that have ended long enough to be settled.
	to := floor - series.Time(e.info.Grace.Milliseconds())
	to = g.Time(g.SlotAt(to))
	page, err := ask(interval, series.Span{From: to - contractBars*width, To: to})
	if err != nil {
		return nil, err
	}
	out.Rows = len(page.Rows)
	times := rowTimes(page.Rows)
	if len(times) < contractLeast {
		return nil, fmt.Errorf("%s has %d bars of %s in the last %d: probe with a symbol that trades now", symbol, len(times), interval, contractBars)
	}
	out.Order, out.Empty, out.Volume = orderOf(page.Rows), emptyOf(g.Grid, page.Rows, times), volumeOf(page.Rows)

	a, b := times[5], times[len(times)-6]
	if page, err = ask(interval, series.Span{From: a, To: b}); err != nil {
		return nil, err
	}
	got := rowTimes(page.Rows)
	out.Rows += len(page.Rows)
	out.Start, out.End = "exclusive", "cut"
	if slices.Contains(got, a) {
		out.Start = "inclusive"
	}
	switch {
	case slices.Contains(got, b):
		out.End = "inclusive"
	case slices.Contains(got, times[len(times)-7]):
		out.End = "exclusive"
	}

	if page, err = ask(interval, series.Span{From: floor - 5*width, To: floor + width}); err != nil {
		return nil, err
	}
	out.Rows += len(page.Rows)
	out.Stamp, out.Forming = "open", "left out"
	for _, t := range rowTimes(page.Rows) {
		switch {
		case t > now:
			out.Stamp = "close"
		case t >= floor:
			out.Forming = "included"
		}
	}
	if out.Stamp == "close" {
		out.Forming = "included"
	}

	if _, ok := e.info.Intervals[series.Interval1d]; ok && interval != series.Interval1d {
		midnight := now - now%series.Day
		if page, err = ask(series.Interval1d, series.Span{From: midnight - 10*series.Day, To: midnight}); err == nil && len(page.Rows) > 0 {
			out.Rows += len(page.Rows)
			at := page.Rows[0].Time % series.Day
			for _, r := range page.Rows {
				if r.Time%series.Day != at {
					at = -1
					break
				}
			}
			out.Daily = &at
		}
	}
	return out, nil
}

// rowTimes are the times of rows, sorted, each once.
func rowTimes(rows []Row) []series.Time {
	out := make([]series.Time, 0, len(rows))
	for _, r := range rows {
		out = append(out, r.Time)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func orderOf(rows []Row) string {
	up := slices.IsSortedFunc(rows, func(a, b Row) int { return int(min(1, max(-1, a.Time-b.Time))) })
	down := slices.IsSortedFunc(rows, func(a, b Row) int { return int(min(1, max(-1, b.Time-a.Time))) })
	switch {
	case up && !down:
		return "ascending"
	case down && !up:
		return "descending"
	}
	return "mixed"
}

// emptyOf says what becomes of slots without a trade, if there were any.
func emptyOf(g series.Grid, rows []Row, times []series.Time) string {
	flat := slices.ContainsFunc(rows, func(r Row) bool {
		return r.Volume == 0 && r.Open == r.High && r.High == r.Low && r.Low == r.Close
	})
	gone := int64(g.SlotAt(times[len(times)-1])-g.SlotAt(times[0]))+1 > int64(len(times))
	switch {
	case flat && gone:
		return "both"
	case flat:
		return "flat"
	case gone:
		return "omitted"
	}
	return ""
}

// volumeOf tells by the quote volume what the volume counts, if there is one.
func volumeOf(rows []Row) string {
	var quote, asBase, asQuote float64
	for _, r := range rows {
		if math.IsNaN(r.QuoteVolume) || math.IsNaN(r.Volume) {
			continue
		}
		quote, asBase, asQuote = quote+r.QuoteVolume, asBase+r.Volume*r.Close, asQuote+r.Volume
	}
	near := func(a, b float64) bool { return a > 0 && math.Abs(a-b) < 0.1*a }
	switch {
	case near(quote, asBase) && !near(quote, asQuote):
		return "base"
	case near(quote, asQuote) && !near(quote, asBase):
		return "quote"
	}
	return ""
}
