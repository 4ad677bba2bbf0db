package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// gapScan is a scan as the API writes it.
type gapScan struct {
	series.Key
	Calendar string    `json:"calendar"`
	From     *int64    `json:"from"` // what was looked at; null for a series without bars
	To       *int64    `json:"to"`
	Expected int64     `json:"expected"`
	Present  int64     `json:"present"`
	Missing  int64     `json:"missing"`
	Gaps     []gapJSON `json:"gaps"`
	// More is the number of gaps behind the limit.
	More int `json:"more,omitempty"`
}

type gapJSON struct {
	From   series.Time  `json:"from"`
	To     series.Time  `json:"to"`
	Bars   int64        `json:"bars"`
	State  series.State `json:"state"`
	Reason string       `json:"reason"`
	// Attempts is how often sources were asked, NextTry when they will be again.
	Attempts int32        `json:"attempts"`
	NextTry  *series.Time `json:"next_try"`
	Fill     string       `json:"fill,omitempty"` // how synthetic bars are invented
}

// maxGaps bounds the gaps of one series in an answer.
const maxGaps = 100_000

// getGaps answers with the gaps of one series, or of every one that the query
// leaves.
func (s *Server) getGaps(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	symbol, interval, b, limit := p.symbol(), p.interval("interval"), p.bounds(), p.limit(maxGaps)
	state := -1
	if v := p.text("state"); v != "" {
		st, err := series.ParseState(v)
		if err != nil {
			p.fail("state", "%v", err)
		}
		state = int(st)
	}
	past := p.past()
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	infos, err := s.selected(symbol, interval)
	if err != nil {
		fail(c, err)
		return
	}
	view, done, err := s.scanner(past)
	if err != nil {
		fail(c, err)
		return
	}
	defer done()
	list := make([]gapScan, 0, len(infos))
	for _, info := range infos {
		scan, err := view.Gaps(c, info.Key, spanOf(info, b))
		if err != nil {
			fail(c, err)
			return
		}
		list = append(list, newGapScan(scan, state, limit))
	}
	if symbol != "" && interval != 0 {
		c.PureJSON(http.StatusOK, list[0])
		return
	}
	c.PureJSON(http.StatusOK, gin.H{"series": list})
}

// scanner scans the store as it is, which needs no snapshot, or as it was.
func (s *Server) scanner(o storage.PastOptions) (scanner, func(), error) {
	if o == (storage.PastOptions{}) {
		return s.store, func() {}, nil
	}
	v, err := s.store.AsOf(o)
	if err != nil {
		return nil, nil, err
	}
	return v, func() { _ = v.Close() }, nil // nothing was written through it
}

// spanOf is the span that a scan looks at: by default from the first bar of
// the series to its last.
func spanOf(info storage.Info, b bounds) series.Span {
	if info.Bars == 0 || b.from == nil && b.to == nil {
		return b.within(series.Span{})
	}
	return b.within(barSpan(info))
}

func newGapScan(scan storage.Scan, state, limit int) gapScan {
	out := gapScan{
		Key: scan.Key, Calendar: scan.Calendar, Expected: scan.Expected, Present: scan.Present, Missing: scan.Missing,
		Gaps: []gapJSON{},
	}
	if !scan.Run.Empty() {
		span := scan.Grid.Span(scan.Run)
		from, to := int64(span.From), int64(span.To)
		out.From, out.To = &from, &to
	}
	for _, g := range scan.Gaps {
		if state >= 0 && g.State != series.State(state) {
			continue
		}
		if len(out.Gaps) == limit {
			out.More++
			continue
		}
		out.Gaps = append(out.Gaps, newGapJSON(&scan, g))
	}
	return out
}

func newGapJSON(scan *storage.Scan, gap series.Gap) gapJSON {
	span := scan.Grid.Span(gap.Run)
	note := scan.Note(gap)
	out := gapJSON{From: span.From, To: span.To, Bars: gap.Len(), State: gap.State, Reason: note.Reason, Attempts: note.Attempts, Fill: note.Fill}
	if note.Next != 0 {
		out.NextTry = &note.Next
	}
	return out
}

// runJSON is a run of slots in one state.
type runJSON struct {
	From  series.Time  `json:"from"`
	To    series.Time  `json:"to"`
	State series.State `json:"state"`
	Bars  int64        `json:"bars"`
}

func (s *Server) getCoverage(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	key, b, limit, past := p.key(), p.bounds(), p.limit(maxGaps), p.past()
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	infos, err := s.selected(key.Symbol, key.Interval)
	if err != nil {
		fail(c, err)
		return
	}
	view, done, err := s.scanner(past)
	if err != nil {
		fail(c, err)
		return
	}
	defer done()
	cov, err := view.Coverage(c, key, spanOf(infos[0], b))
	if err != nil {
		fail(c, err)
		return
	}
	states := make(map[string]int64)
	var total int64
	for st, n := range cov.States {
		states[series.State(st).String()] = n
		total += n
	}
	var completeness *float64
	if share, ok := cov.Completeness(); ok {
		completeness = &share
	}
	runs, more := cov.Runs, 0
	if len(runs) > limit {
		more, runs = len(runs)-limit, runs[:limit]
	}
	list := make([]runJSON, 0, len(runs))
	for _, r := range runs {
		span := cov.Grid.Span(r.Run)
		list = append(list, runJSON{span.From, span.To, r.State, r.Len()})
	}
	c.PureJSON(http.StatusOK, struct {
		series.Key
		States       map[string]int64 `json:"states"`
		Total        int64            `json:"total"`
		Completeness *float64         `json:"completeness"`
		Runs         []runJSON        `json:"runs"`
		More         int              `json:"more,omitempty"`
	}{key, states, total, completeness, list, more})
}
