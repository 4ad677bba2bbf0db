package api

import (
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/api/alert"
	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
)

// Options configure the API. Store is needed; the zero value of the rest is
// safe: no writes, loopback names only.
type Options struct {
	Store Store
	// Healer plans and carries out repairs; nil answers 503 where it is needed.
	Healer *heal.Healer
	// Endpoints are what the healer fetches from; nil is none.
	Endpoints Endpoints
	// Components are what works in the background; nil is nothing.
	Components Components
	// Token is what writes must carry as "Authorization: Bearer ..."; empty
	// refuses every write.
	Token string
	// Actor is who asks, where all requests come from one caller; empty tells
	// them apart by their tokens.
	Actor string
	// Alerts are what is watched; nil is nothing.
	Alerts *alert.Engine
	// Config reads and changes settings; nil answers 503.
	Config Config
	// Ending ends the streams of events when it is closed; nil never does.
	Ending <-chan struct{}
	// CloseReads asks for the token on reads too, except /health.
	CloseReads bool
	// Hosts are names that the Host header may carry beside localhost,
	// 127.0.0.1 and [::1], without a port.
	Hosts []string
	// Shared says that other machines can reach the server: their reads need a
	// token even where CloseReads is false.
	Shared bool
	// Allow are the networks whose requests are answered; nil is all. What
	// counts is who holds the connection.
	Allow []netip.Prefix
	// Rate is how many requests a second one token may make; 0 sets no limit.
	Rate float64
	// MaxBody bounds the body of a request in bytes; 0 is 64 MiB.
	MaxBody int64
	// MaxRunning bounds how many requests that read data are answered at a time,
	// and, times 4, how many of those that write; 0 is 2 for each CPU. A few more wait, the rest is refused with 503. Those that take
	// longer than a quarter of a second are not counted, of which there may be 64.
	MaxRunning int
	// Plain answers without compression, whatever a client takes.
	Plain bool
	// Version is told by /health.
	Version string
	// Now is the clock; nil is the wall clock.
	Now func() time.Time
	// Logger gets one record per request and every fault; nil discards.
	Logger *slog.Logger
}

const defaultMaxBody = 64 << 20

// Server is the HTTP API as a handler. It may serve many requests at a time.
type Server struct {
	o        Options
	store    Store
	log      *slog.Logger
	now      func() time.Time
	started  time.Time
	guard    guard
	gates    gates
	metrics  *metrics
	backups  chan struct{} // holds one while a backup is made
	knowing  sync.Mutex    // of those who change what is known of a symbol
	engine   *gin.Engine
	handler  http.Handler // engine behind what compresses
	events   *events
	pieces   rangedFiles
	schema   []byte                     // the OpenAPI document
	looked   atomic.Pointer[DataHealth] // the last look at the data, without its series
	counted  counted                    // of KeepMetrics
	controls atomic.Uint64              // that were kept since the start
	hours    udfCalendars
	rolled   [len(steps)]series.Time // up to when KeepMetrics has summed up
}

// New returns the API over o.Store. It puts gin into release mode, which gin
// keeps for the whole process.
func New(o Options) *Server {
	if o.MaxBody <= 0 {
		o.MaxBody = defaultMaxBody
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		o: o, store: o.Store, log: o.Logger, now: o.Now, started: o.Now(),
		guard: newGuard(o), metrics: newMetrics(o.Store), backups: make(chan struct{}, 1),
		events: newEvents(),
	}
	s.metrics.registry.MustRegister(liveCollector{s})
	s.gates = newGates(o.MaxRunning, s.metrics.registry)
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	// The address of the peer is the only one that is true: nobody's
	// X-Forwarded-For is believed.
	_ = e.SetTrustedProxies(nil)
	e.HandleMethodNotAllowed = true
	e.RedirectTrailingSlash = false
	e.RedirectFixedPath = false
	e.ContextWithFallback = true
	e.Use(s.requestID, s.record, s.headers, s.guard.peer, s.guard.host, s.guard.origin)
	e.NoRoute(func(c *gin.Context) {
		fail(c, &Error{http.StatusNotFound, "no_such_route", "no route " + c.Request.URL.Path + ": docs/http.md lists them", ""})
	})
	e.NoMethod(func(c *gin.Context) {
		fail(c, &Error{
			http.StatusMethodNotAllowed, "method_not_allowed",
			c.Request.URL.Path + " does not take " + c.Request.Method + ": use " + c.Writer.Header().Get("Allow"), "",
		})
	})
	s.engine, s.handler = e, e
	if !o.Plain {
		s.handler = compressed(e)
	}
	s.routes()
	s.schema = s.openAPI()
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }
