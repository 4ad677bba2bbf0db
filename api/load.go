package api

import (
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
)

// gate bounds how many requests for data are answered at a time. More would
// not be answered sooner, only all of them later and out of more memory; who is
// refused waits for refuseAfter. What tells how the server does, and what
// controls it, passes always.
type gate struct {
	slots chan struct{}
	// long holds those that take longer than longAfter, such as an export to a
	// client that reads slowly: they must not keep short ones out.
	long    chan struct{}
	waiting atomic.Int64 // for a slot
	refused atomic.Int64
}

const (
	// runningPerCPU was measured with questions for 500 bars at five times the
	// rate that two CPUs stand, client included: 2 for each answered as many as 8
	// did, in a quarter of the time; 64 took 4 s and 820 MiB.
	runningPerCPU = 2
	writesPerRead = 4
	maxLong       = 64
	longAfter     = 250 * time.Millisecond
	refuseAfter   = time.Second
	// waitingPerSlot smooths what comes in bursts: the last of those who wait for
	// short answers on two CPUs waits a tenth of a second.
	waitingPerSlot = 16
)

func newGate(n int) *gate {
	return &gate{slots: make(chan struct{}, n), long: make(chan struct{}, maxLong)}
}

// gates are one for what reads, which is bound by the CPUs, and one for what
// writes, which mostly waits for the disk, and does so together.
type gates struct{ reads, writes *gate }

// newGates lets n reads in; 0 is runningPerCPU.
func newGates(n int, r *prometheus.Registry) gates {
	if n <= 0 {
		n = runningPerCPU * runtime.GOMAXPROCS(0)
	}
	g := gates{newGate(n), newGate(n * writesPerRead)}
	r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "barkeep_http_refused_total", Help: "Requests that were refused because too many were under way.",
	}, func() float64 { return float64(g.refused()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "barkeep_http_under_way", Help: "Requests for data that are being answered.",
	}, func() float64 { return float64(g.reads.busy() + g.writes.busy()) }))
	return g
}

func (g gates) refused() int64 { return g.reads.refused.Load() + g.writes.refused.Load() }

func (g *gate) busy() int { return len(g.slots) + len(g.long) }

// of is the gate that requests of a route go through; nil is none.
func (g gates) of(method, path string) *gate {
	switch {
	case !takesSlot(path):
		return nil
	case method == http.MethodGet || method == http.MethodHead:
		return g.reads
	}
	return g.writes
}

// takesSlot reports whether requests of a route take a slot.
func takesSlot(path string) bool {
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
		if !g.wait() {
			// Not by fail: a fault of ours is logged, and this may come thousands
			// of times a second.
			g.refused.Add(1)
			c.Header("Retry-After", "1")
			c.AbortWithStatusJSON(http.StatusServiceUnavailable, gin.H{"error": &Error{http.StatusServiceUnavailable, "overloaded", "too many requests are under way: ask again in a second, or raise server.max_running", ""}})
			return
		}
	}
	defer g.hold()()
	c.Next()
}

// wait waits for a slot, unless so many wait that its turn would come late: who
// is refused learns it at once.
func (g *gate) wait() bool {
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > waitingPerSlot*int64(cap(g.slots)) {
		return false
	}
	t := time.NewTimer(refuseAfter)
	defer t.Stop()
	select {
	case g.slots <- struct{}{}:
		return true
	case <-t.C:
		return false
	}
}

// hold keeps the slot of a request until the function that it returns is
// called. It becomes one of the long ones when its time has come.
func (g *gate) hold() (release func()) {
	var mu sync.Mutex
	held, done := g.slots, false
	t := time.AfterFunc(longAfter, func() {
		mu.Lock()
		defer mu.Unlock()
		if done {
			return
		}
		select {
		case g.long <- struct{}{}:
			<-held
			held = g.long
		default: // too many long ones: it stays where it is
		}
	})
	return func() {
		t.Stop()
		mu.Lock()
		defer mu.Unlock()
		done = true
		<-held
	}
}

// Refused counts the requests that were refused because too many were under
// way, since the server was made.
func (s *Server) Refused() int64 { return s.gates.refused() }
