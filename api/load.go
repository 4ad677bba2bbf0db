package api

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
)

// gate bounds how many requests for data are answered at a time. More would
// not be answered sooner, only all of them later and out of more memory; who is
// refused knows it within refuseAfter. What tells how the server does, and what
// controls it, passes always.
type gate struct {
	slots   chan struct{}
	refused atomic.Int64
}

const (
	defaultMaxRunning = 128
	refuseAfter       = 10 * time.Millisecond
)

func newGate(n int, r *prometheus.Registry) *gate {
	if n <= 0 {
		n = defaultMaxRunning
	}
	g := &gate{slots: make(chan struct{}, n)}
	r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "barkeep_http_refused_total", Help: "Requests that were refused because too many were under way.",
	}, func() float64 { return float64(g.refused.Load()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "barkeep_http_under_way", Help: "Requests for data that are being answered.",
	}, func() float64 { return float64(len(g.slots)) }))
	return g
}

// guards reports whether requests of a route take a slot.
func (*gate) guards(path string) bool {
	switch path {
	case "/status", "/data/health", "/write", "/api/v2/write":
		return true
	case "/v1/stream", "/v1/config", "/v1/backups": // open for long, or wanted in need
		return false
	}
	for _, part := range []string{"/v1/", "/compat/", "/udf/"} {
		if strings.HasPrefix(path, part) {
			return true
		}
	}
	return false
}

// enter takes a slot for the request, or refuses it.
func (g *gate) enter(c *gin.Context) {
	select {
	case g.slots <- struct{}{}:
	default:
		t := time.NewTimer(refuseAfter)
		defer t.Stop()
		select {
		case g.slots <- struct{}{}:
		case <-t.C:
			// Not by fail: a fault of ours is logged, and this may come thousands
			// of times a second.
			g.refused.Add(1)
			c.Header("Retry-After", "1")
			c.AbortWithStatusJSON(http.StatusServiceUnavailable, gin.H{"error": &Error{http.StatusServiceUnavailable, "overloaded", "too many requests are under way: ask again in a second, or raise server.max_running", ""}})
			return
		}
	}
	defer func() { <-g.slots }()
	c.Next()
}

// Refused counts the requests that were refused because too many were under
// way, since the server was made.
func (s *Server) Refused() int64 { return s.gate.refused.Load() }
