package api

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// repairRequest is the body of POST /data/repair.
type repairRequest struct {
	Symbol   string          `json:"symbol"`
	Interval series.Interval `json:"interval"`
	Type     string          `json:"repair_type"`
	From     *moment         `json:"from"`
	To       *moment         `json:"to"`
	DryRun   bool            `json:"dry_run"`
	MaxBars  int64           `json:"max_bars"`
	MaxShare float64         `json:"max_share"`
	Now      bool            `json:"now"`
	Approve  bool            `json:"approve"`
	Against  string          `json:"against"`
}

// moment is a time in a body: a number, or a text as in a query.
type moment series.Time

func (m *moment) UnmarshalJSON(b []byte) error {
	t, err := series.ParseTime(strings.Trim(string(b), `"`))
	*m = moment(t)
	return err
}

// healer answers 503 where nothing heals.
func (s *Server) healer(c *gin.Context) *heal.Healer {
	if s.o.Healer == nil {
		fail(c, &Error{http.StatusServiceUnavailable, "no_healing", "healing does not run here: start barkeep serve", ""})
	}
	return s.o.Healer
}

func (s *Server) postRepair(c *gin.Context) { s.repair(c, false) }

// postPlan is postRepair that only plans, for those who may not change anything.
func (s *Server) postPlan(c *gin.Context) { s.repair(c, true) }

func (s *Server) repair(c *gin.Context, planOnly bool) {
	p := parseQuery(c.Request.URL.RawQuery)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	var in repairRequest
	if err := readObject(c.Request.Body, &in, `{"symbol":"BTC-USD","repair_type":"auto"}`); err != nil {
		fail(c, err)
		return
	}
	h := s.healer(c)
	if h == nil {
		return
	}
	r := heal.Request{
		Symbol: in.Symbol, Interval: in.Interval, Type: heal.Type(in.Type), Actor: s.actor(c),
		MaxBars: in.MaxBars, MaxShare: in.MaxShare, Now: in.Now, Approve: in.Approve, Against: in.Against,
	}
	if in.From != nil {
		r.From = series.Time(*in.From)
	}
	if in.To != nil {
		r.To = series.Time(*in.To)
	}
	if err := r.Check(); err != nil {
		fail(c, badField("", "%v", err))
		return
	}
	if in.DryRun || planOnly {
		plan, err := h.Plan(c, r)
		if err != nil {
			fail(c, err)
			return
		}
		c.PureJSON(http.StatusAccepted, gin.H{"repair_id": nil, "status": "planned", "plan": plan})
		return
	}
	x, err := h.Start(c, r)
	if err != nil {
		fail(c, err)
		return
	}
	detail(c, "%s of %s %v: %s", r.Type, r.Symbol, r.Interval, x.ID)
	c.PureJSON(http.StatusAccepted, gin.H{"repair_id": x.ID, "status": x.Status, "plan": x.Plan, "error": x.Error})
}

// actor is who asks, for the journal.
func (s *Server) actor(c *gin.Context) string {
	if s.o.Actor != "" {
		return s.o.Actor
	}
	return c.GetString(actorKey) + " " + c.ClientIP()
}

func (s *Server) getRepairs(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	symbol, status, limit := p.symbol(), p.text("status"), p.limit(500)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	h := s.healer(c)
	if h == nil {
		return
	}
	all, err := h.Repairs(c)
	if err != nil {
		fail(c, err)
		return
	}
	out := []heal.Repair{}
	for _, x := range all {
		if symbol != "" && x.Request.Symbol != symbol || status != "" && string(x.Status) != status || len(out) == limit {
			continue
		}
		// The steps of each are in its own answer.
		x.Outcomes = nil
		if x.Plan != nil {
			x.Plan = &heal.Plan{Bars: x.Plan.Bars, Requests: x.Plan.Requests, Takes: x.Plan.Takes, Over: x.Plan.Over, Series: []heal.SeriesPlan{}}
		}
		out = append(out, x)
	}
	c.PureJSON(http.StatusOK, gin.H{"repairs": out})
}

func (s *Server) getRepair(c *gin.Context) {
	h := s.healer(c)
	if h == nil {
		return
	}
	x, err := h.Repair(c, c.Param("id"))
	if err != nil {
		fail(c, err)
		return
	}
	c.PureJSON(http.StatusOK, x)
}

func (s *Server) cancelRepair(c *gin.Context) {
	h := s.healer(c)
	if h == nil {
		return
	}
	x, err := h.Cancel(c, c.Param("id"))
	if errors.Is(err, heal.ErrNoRepair) {
		fail(c, err)
		return
	}
	if err != nil {
		fail(c, &Error{http.StatusConflict, "has_ended", err.Error(), ""})
		return
	}
	c.PureJSON(http.StatusOK, x)
}

func (s *Server) getQuality(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	symbol, interval, past := p.symbol(), p.interval("interval"), p.past()
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	h := s.healer(c)
	if h == nil {
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
	out := make([]*heal.Quality, 0, len(infos))
	for _, info := range infos {
		var q *heal.Quality
		var err error
		if past == (storage.PastOptions{}) {
			q, err = h.QualityOf(c, healSeries(info))
		} else {
			var cov storage.Coverage
			if cov, err = view.Coverage(c, info.Key, series.Span{}); err == nil {
				q = heal.QualityThen(info.Key, &heal.Coverage{Grid: cov.Grid, Run: cov.Run, States: cov.States, Runs: cov.Runs})
			}
		}
		if err == nil && symbol != "" {
			q.History, err = h.History(c, info.Key)
			if past.At != 0 {
				q.History = slices.DeleteFunc(q.History, func(x heal.Scored) bool { return x.Time > past.At })
			}
		}
		if err != nil {
			fail(c, err)
			return
		}
		out = append(out, q)
	}
	if symbol != "" && interval != 0 {
		c.PureJSON(http.StatusOK, out[0])
		return
	}
	c.PureJSON(http.StatusOK, gin.H{"series": out})
}

// healSeries is a series as a healer rates it.
func healSeries(i storage.Info) heal.Series {
	return heal.Series{Key: i.Key, Grid: i.Grid, Bars: i.Bars, First: i.First, Last: i.Last}
}
