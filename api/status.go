package api

import (
	"cmp"
	"context"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/api/alert"
	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// Component is a part of the server that works in the background.
type Component struct {
	Name  string `json:"name"`
	State string `json:"state"` // running, waiting to be started again, done, stopped
	// Since is when it came into that state.
	Since     series.Time  `json:"since"`
	Failures  int          `json:"failures"` // errors and panics since the start
	Restarts  int          `json:"restarts"` // that were asked for
	Error     string       `json:"error,omitempty"`
	NextStart *series.Time `json:"next_start"`
}

// Components are the parts of the server that work in the background. Methods
// are safe for concurrent use.
type Components interface {
	Components() []Component
	// Restart ends those that are named, or all, and starts them again.
	Restart(names []string) ([]Component, error)
}

// dataHealth is how one series fares.
type dataHealth struct {
	series.Key
	Score     *float64          `json:"score"`
	Parts     heal.Parts        `json:"parts"`
	States    map[string]int64  `json:"states"`
	Bars      int64             `json:"bars"`
	Missing   int64             `json:"missing"`
	Gaps      int               `json:"gaps"`
	Worst     *heal.WorstWindow `json:"worst"`
	First     *series.Time      `json:"first"`
	Last      *series.Time      `json:"last"`
	Freshness float64           `json:"freshness_s"` // seconds since the end of the last bar
	Behind    int64             `json:"bars_behind"` // bars that are due since
}

// DataHealth is the answer of GET /data/health.
type DataHealth struct {
	At     series.Time  `json:"at"`
	Status string       `json:"status"`
	Series []dataHealth `json:"series"`
	Totals healthTotals `json:"totals"`
}

type healthTotals struct {
	Series       int              `json:"series"`
	Bars         int64            `json:"bars"`
	Missing      int64            `json:"missing"`
	Gaps         int              `json:"gaps"`
	Quarantined  int64            `json:"quarantined"`
	Score        *float64         `json:"score"` // mean over the series, by expected slots
	Completeness *float64         `json:"completeness"`
	WorstScore   *float64         `json:"worst_score"`
	Worst        *series.Key      `json:"worst_series"`
	States       map[string]int64 `json:"states"`
}

// DataHealth computes how every series fares, from summaries.
func (s *Server) DataHealth(ctx context.Context) (*DataHealth, error) {
	infos, err := s.store.Series()
	if err != nil {
		return nil, err
	}
	out := &DataHealth{At: series.TimeOf(s.now()), Status: healthy, Series: []dataHealth{}}
	out.Totals.States = map[string]int64{}
	var weighted, weight, good float64
	for _, info := range infos {
		d, err := s.dataHealth(ctx, info)
		if err != nil {
			return nil, err
		}
		out.Series = append(out.Series, d)
		t := &out.Totals
		t.Series++
		t.Bars, t.Missing, t.Gaps, t.Quarantined = t.Bars+d.Bars, t.Missing+d.Missing, t.Gaps+d.Gaps, t.Quarantined+info.Quarantined
		var open float64
		for name, n := range d.States {
			t.States[name] += n
			switch name {
			case "closed", "unlisted", "unknown", "forming":
			default:
				open += float64(n)
			}
		}
		if d.Score == nil {
			continue
		}
		weighted, weight = weighted+*d.Score*open, weight+open
		if d.Parts.Completeness != nil {
			good += *d.Parts.Completeness * open
		}
		if t.WorstScore == nil || *d.Score < *t.WorstScore {
			t.WorstScore, t.Worst = d.Score, &info.Key
		}
	}
	if weight > 0 {
		score, complete := weighted/weight, good/weight
		out.Totals.Score, out.Totals.Completeness = &score, &complete
	}
	switch w := out.Totals.WorstScore; {
	case w == nil:
		out.Status = degraded // no data is not health
	case *w < 0.5:
		out.Status = unhealthy
	case *w < 0.95:
		out.Status = degraded
	}
	s.looked.Store(&DataHealth{At: out.At, Status: out.Status, Totals: out.Totals})
	return out, nil
}

func (s *Server) dataHealth(ctx context.Context, info storage.Info) (dataHealth, error) {
	d := dataHealth{Key: info.Key, Bars: info.Bars, States: map[string]int64{}}
	if info.Bars == 0 {
		return d, nil
	}
	d.First, d.Last = &info.First, &info.Last
	cov, err := s.store.Coverage(ctx, info.Key, series.Span{})
	if err != nil {
		return d, err
	}
	for st, n := range cov.States {
		if n > 0 {
			d.States[series.State(st).String()] = n
		}
	}
	d.Missing = cov.States[series.StateMissing]
	for _, r := range cov.Runs {
		if r.State == series.StateMissing || r.State == series.StateUnavailable {
			d.Gaps++
		}
	}
	now := series.TimeOf(s.now())
	end := info.Grid.Time(info.Grid.SlotAt(info.Last) + 1)
	if end < now {
		d.Freshness = float64(now-end) / 1000
		scan, err := s.store.Gaps(ctx, info.Key, series.Span{From: end, To: now})
		if err != nil {
			return d, err
		}
		d.Behind = scan.Expected
	}
	if s.o.Healer == nil {
		return d, nil
	}
	q, err := s.o.Healer.QualityOf(ctx, healSeries(info))
	if err == nil {
		d.Score, d.Parts, d.Worst = q.Score, q.Parts, q.Worst
	}
	return d, err
}

func (s *Server) getDataHealth(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	d, err := s.DataHealth(c)
	if err != nil {
		fail(c, err)
		return
	}
	c.PureJSON(http.StatusOK, d)
}

// resources are what the process uses.
type resources struct {
	Goroutines int     `json:"goroutines"`
	HeapBytes  uint64  `json:"heap_bytes"`
	SysBytes   uint64  `json:"sys_bytes"`
	GCPercent  float64 `json:"gc_cpu_percent"`
	CPUs       int     `json:"cpus"`
}

func readResources() resources {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return resources{runtime.NumGoroutine(), m.HeapAlloc, m.Sys, 100 * m.GCCPUFraction, runtime.GOMAXPROCS(0)}
}

// repairQueue is what the healer has to do.
type repairQueue struct {
	Queued  int           `json:"queued"`
	Running *heal.Repair  `json:"running"`
	Last    []repairShort `json:"last"`
}

func (s *Server) getStatus(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	d, err := s.DataHealth(c)
	if err != nil {
		fail(c, err)
		return
	}
	queue, err := s.repairQueue(c)
	if err != nil {
		fail(c, err)
		return
	}
	firing := []alert.Alert{}
	if s.o.Alerts != nil {
		all, err := s.o.Alerts.Active(c)
		if err != nil {
			fail(c, err)
			return
		}
		for _, a := range all {
			if a.State != alert.Pending {
				firing = append(firing, a)
			}
		}
	}
	checks, overall := s.checks()
	d.Series = worstFirst(d.Series, 10)
	out := gin.H{
		"status": overall, "checks": checks, "version": s.o.Version, "at": d.At,
		"started": series.TimeOf(s.started), "uptime_s": int64(s.now().Sub(s.started) / time.Second),
		"store": s.store.Stats(), "disk": s.store.Health(), "data": d, "healing": queue,
		"endpoints": s.endpointList(), "components": s.componentList(), "resources": readResources(), "alerts": firing,
	}
	c.PureJSON(http.StatusOK, out)
}

// worstFirst is the n series with the lowest scores.
func worstFirst(list []dataHealth, n int) []dataHealth {
	score := func(d dataHealth) float64 {
		if d.Score == nil {
			return 2
		}
		return *d.Score
	}
	slices.SortStableFunc(list, func(a, b dataHealth) int { return cmp.Compare(score(a), score(b)) })
	return list[:min(n, len(list))]
}

func (s *Server) endpointList() []EndpointHealth {
	if s.o.Endpoints == nil {
		return []EndpointHealth{}
	}
	return s.o.Endpoints.Health()
}

func (s *Server) componentList() []Component {
	if s.o.Components == nil {
		return []Component{}
	}
	return s.o.Components.Components()
}

func (s *Server) repairQueue(ctx context.Context) (repairQueue, error) {
	q := repairQueue{Last: []repairShort{}}
	if s.o.Healer == nil {
		return q, nil
	}
	all, err := s.o.Healer.Repairs(ctx)
	if err != nil {
		return q, err
	}
	for _, x := range all {
		switch {
		case x.Status == heal.Queued:
			q.Queued++
		case x.Status == heal.Running:
			x.Outcomes, x.Plan = nil, nil
			q.Running = &x
		case len(q.Last) < 10:
			q.Last = append(q.Last, repairShort{x.ID, x.Request.Type, x.Status, max(x.Started, x.Asked)})
		}
	}
	return q, nil
}

// postRestart restarts components, not the process.
func (s *Server) postRestart(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	var in struct {
		Components []string `json:"components"`
	}
	if c.Request.ContentLength != 0 {
		if err := readObject(c.Request.Body, &in, `{"components":["healer"]}`); err != nil {
			fail(c, err)
			return
		}
	}
	if s.o.Components == nil {
		fail(c, &Error{http.StatusServiceUnavailable, "no_components", "nothing works in the background here: start barkeep serve", ""})
		return
	}
	list, err := s.o.Components.Restart(in.Components)
	if err != nil {
		fail(c, badField("components", "%v", err))
		return
	}
	detail(c, "%s", cmp.Or(strings.Join(in.Components, ", "), "all"))
	c.PureJSON(http.StatusAccepted, gin.H{"components": list})
}
