package api

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
)

// Endpoints are what bars are fetched from. Methods are safe for concurrent
// use.
type Endpoints interface {
	// Health says how each endpoint fares.
	Health() []EndpointHealth
	// Test asks endpoints whether they work, those that t names or all.
	Test(ctx context.Context, t EndpointTest) ([]EndpointResult, error)
}

// EndpointHealth is how an endpoint fares. Latencies are of the last requests,
// rates of the last five minutes.
type EndpointHealth struct {
	Name         string           `json:"name"`
	Group        string           `json:"group"`
	Provider     string           `json:"provider"`
	Type         string           `json:"type"`
	URL          string           `json:"url"`
	Grade        string           `json:"grade"`
	Priority     int              `json:"priority"`
	Breaker      string           `json:"breaker"`      // closed, open, half_open
	Availability float64          `json:"availability"` // per cent
	Requests     int64            `json:"requests"`
	Successes    int64            `json:"successes"`
	Errors       int64            `json:"errors"`
	ErrorRate    float64          `json:"error_rate"` // errors among requests
	ErrorKinds   map[string]int64 `json:"error_kinds"`
	Bars         int64            `json:"bars"`
	Rate         float64          `json:"requests_per_second"`
	P50          float64          `json:"latency_p50_ms"`
	P95          float64          `json:"latency_p95_ms"`
	P99          float64          `json:"latency_p99_ms"`
	Budget       []EndpointBudget `json:"budget"`
	PausedUntil  *series.Time     `json:"paused_until"` // by a ban, a limit or a quota
	PausedWhy    string           `json:"paused_why,omitempty"`
	LastError    *EndpointError   `json:"last_error"`
	LastGood     *series.Time     `json:"last_good"`
	NextProbe    *series.Time     `json:"next_probe"`
	// Changes are the last changes of its breaker and the times for which it was
	// left alone, and Stretches the requests of the last day in stretches of ten
	// minutes that had any; both the oldest first, and since the start.
	Changes   []EndpointChange  `json:"changes"`
	Stretches []EndpointStretch `json:"stretches"`
}

// EndpointChange is a change in the life of an endpoint.
type EndpointChange struct {
	Time  series.Time  `json:"time"`
	State string       `json:"state"`         // closed, open, half_open, paused
	Why   string       `json:"why,omitempty"` // of a pause its reason, of a breaker which requests it is for; empty is all
	Until *series.Time `json:"until"`
}

// EndpointStretch counts the requests of ten minutes.
type EndpointStretch struct {
	From       series.Time      `json:"from"`
	Requests   int64            `json:"requests"`
	ErrorKinds map[string]int64 `json:"error_kinds"`
}

// EndpointBudget is what is left of a rate limit in its window.
type EndpointBudget struct {
	Left    int     `json:"left"`
	Most    int     `json:"most"`
	Seconds float64 `json:"window_s"`
}

// EndpointError is the newest error of an endpoint.
type EndpointError struct {
	Time series.Time `json:"time"`
	Kind string      `json:"kind"`
	Text string      `json:"text"`
}

// EndpointTest is the body of POST /endpoints/test.
type EndpointTest struct {
	Type string `json:"endpoint_type"`
	Name string `json:"name"` // of an endpoint, a provider or a group; empty is all
	Data struct {
		// Symbol has the last bars asked for; without it only whether the
		// endpoint answers.
		Symbol   string          `json:"symbol"`
		Interval series.Interval `json:"interval"`
	} `json:"test_data"`
}

// EndpointResult is what a test found.
type EndpointResult struct {
	Name      string  `json:"name"`
	Provider  string  `json:"provider"`
	OK        bool    `json:"ok"`
	Status    string  `json:"status"` // ok, or the kind of the error
	LatencyMS float64 `json:"latency_ms"`
	Bars      int     `json:"bars"`
	Error     string  `json:"error"`
}

func (s *Server) endpoints(c *gin.Context) Endpoints {
	if s.o.Endpoints == nil {
		fail(c, &Error{http.StatusServiceUnavailable, "no_endpoints", "nothing is fetched here: start barkeep serve", ""})
	}
	return s.o.Endpoints
}

func (s *Server) getEndpoints(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	list := []EndpointHealth{}
	if s.o.Endpoints != nil {
		list = s.o.Endpoints.Health()
	}
	c.PureJSON(http.StatusOK, gin.H{"endpoints": list})
}

func (s *Server) testEndpoints(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	t := EndpointTest{Type: "market_data"}
	if err := readObject(c.Request.Body, &t, `{"endpoint_type":"market_data","name":"binance-spot"}`); err != nil {
		fail(c, err)
		return
	}
	if t.Type != "market_data" {
		fail(c, badField("endpoint_type", "endpoint_type %q is not market_data, the only type that there is", t.Type))
		return
	}
	if t.Data.Symbol != "" {
		if err := series.CheckSymbol(t.Data.Symbol); err != nil {
			fail(c, badField("test_data.symbol", "%v", err))
			return
		}
	}
	e := s.endpoints(c)
	if e == nil {
		return
	}
	list, err := e.Test(c, t)
	if err != nil {
		fail(c, badField("name", "%v", err))
		return
	}
	c.PureJSON(http.StatusOK, gin.H{"endpoints": list})
}
