package fetch

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// EndpointStatus is how an endpoint fares.
type EndpointStatus struct {
	Name     string `json:"name"`
	Group    string `json:"group,omitempty"`
	Type     string `json:"type"`
	Provider string `json:"provider"`
	URL      string `json:"url"`
	Grade    Grade  `json:"grade"`
	Priority int    `json:"priority"`

	Requests  int64          `json:"requests"`
	Successes int64          `json:"successes"`
	Errors    map[Kind]int64 `json:"errors"` // by kind
	Bars      int64          `json:"bars"`
	// Availability is the share of requests of the last five minutes that the
	// server answered in its own words, errors of ours included; NaN-free: 1
	// without any.
	Availability float64 `json:"availability"`
	Rate         float64 `json:"rate"` // requests a second in the last five minutes

	P50 time.Duration `json:"latency_p50"`
	P95 time.Duration `json:"latency_p95"`
	P99 time.Duration `json:"latency_p99"`

	// Budget is what is left of each limit, the vendor's first, then the
	// endpoint's own.
	Budget    []Budget      `json:"budget"`
	Breaker   BreakerState  `json:"breaker"`
	Pause     *Pause        `json:"pause,omitempty"`
	ClockSkew time.Duration `json:"clock_skew"` // of the server, against ours
	LastError *LastError    `json:"last_error,omitempty"`
	LastGood  time.Time     `json:"last_good,omitzero"`
	NextProbe time.Time     `json:"next_probe,omitzero"` // when it is tried next, if it is left alone
	// Changes are the last changes of its breaker and pauses, and Stretches the
	// requests of the last day, the oldest first.
	Changes   []Change  `json:"-"`
	Stretches []Stretch `json:"-"`
}

// Budget is what is left of a limit in its window.
type Budget struct {
	Left   int           `json:"left"`
	Most   int           `json:"most"`
	Window time.Duration `json:"window"`
}

// LastError is the newest error of an endpoint.
type LastError struct {
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`
	Text string    `json:"text"`
}

// Event is a change in the life of an endpoint, for logs, metrics and journals.
type Event struct {
	Time     time.Time `json:"time"`
	Kind     EventKind `json:"event"`
	Endpoint string    `json:"endpoint"`
	Provider string    `json:"provider"`
	Detail   string    `json:"detail,omitempty"`
	Until    time.Time `json:"until,omitzero"`
}

// EventKind is what happened.
type EventKind string

// The events.
const (
	BreakerOpened   EventKind = "breaker_opened"
	BreakerHalfOpen EventKind = "breaker_half_open"
	BreakerClosed   EventKind = "breaker_closed"
	EndpointPaused  EventKind = "endpoint_paused" // rate limit, ban, quota or geography
	FailedOver      EventKind = "failed_over"     // the next page is asked elsewhere
	RequestFailed   EventKind = "request_failed"
	ClockDiffers    EventKind = "clock_differs"
)

// level is how loud an event is logged.
func (k EventKind) level() slog.Level {
	switch k {
	case RequestFailed, BreakerHalfOpen:
		return slog.LevelDebug
	case BreakerClosed:
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// tell hands an event to the log and to the observer.
func (p *Pool) tell(e *endpoint, kind EventKind, detail string, until time.Time) {
	ev := Event{Time: time.Now(), Kind: kind, Endpoint: e.Name, Provider: e.info.Name, Detail: scrub(detail, e.Credentials), Until: until}
	attrs := []slog.Attr{slog.String("event", string(kind)), slog.String("endpoint", ev.Endpoint), slog.String("provider", ev.Provider)}
	if ev.Detail != "" {
		attrs = append(attrs, slog.String("detail", ev.Detail))
	}
	if !until.IsZero() {
		attrs = append(attrs, slog.Time("until", until.UTC().Truncate(time.Millisecond)))
	}
	p.log.LogAttrs(context.Background(), kind.level(), "endpoint event", attrs...)
	switch kind {
	case BreakerOpened, BreakerHalfOpen, BreakerClosed, EndpointPaused:
		e.stats.changed(Change{ev.Time, kind, ev.Detail, until})
	}
	if p.observe != nil {
		p.observe(ev)
	}
}

const (
	statsWindow  = 5 * time.Minute
	statsBuckets = 30
	statsSamples = 512
	latencyDecay = 0.3 // weight of the newest latency in the average
)

// stats counts what an endpoint did.
type stats struct {
	mu        sync.Mutex // guards what follows
	requests  int64
	successes int64
	bars      int64
	errors    [numKinds]int64
	buckets   [statsBuckets]statsBucket
	latencies []time.Duration // the last statsSamples, as a ring
	at        int
	average   time.Duration // of latency, weighted to the newest; 0 is unknown
	running   int
	last      *LastError
	lastGood  time.Time
	stretches []Stretch // of the last day that had requests, the oldest first
	changes   []Change  // the last ones, the oldest first
}

type statsBucket struct {
	number    int64 // of the stretch of time that it counts
	all, down int64
}

const bucketWidth = statsWindow / statsBuckets

// begin counts a request that is under way.
func (s *stats) begin() {
	s.mu.Lock()
	s.running++
	s.mu.Unlock()
}

// end counts a request with what came of it; err is nil or has a kind. A
// request that the caller gave up does not count.
func (s *stats) end(took time.Duration, o outcome, err *Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if o == neutral && err == nil {
		return
	}
	now := time.Now()
	s.requests++
	s.stretch(now, err)
	number := now.UnixNano() / int64(bucketWidth)
	b := &s.buckets[number%statsBuckets]
	if b.number != number {
		*b = statsBucket{number: number}
	}
	b.all++
	if o == failed {
		b.down++
	}
	if err != nil {
		s.errors[err.Kind]++
		s.last = &LastError{now, err.Kind, err.Error()}
	} else {
		s.successes++
		s.lastGood = now
	}
	if o == failed {
		return // how fast it fails does not speak for it
	}
	if len(s.latencies) < statsSamples {
		s.latencies = append(s.latencies, took)
	} else {
		s.latencies[s.at] = took
		s.at = (s.at + 1) % statsSamples
	}
	if s.average == 0 {
		s.average = took
	}
	s.average += time.Duration(latencyDecay * float64(took-s.average))
}

// load is how long a request would take by the looks of it, for balancing.
func (s *stats) load() (latency time.Duration, running int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.average, s.running
}

// p95 is the latency that one in twenty exceeds; ok is false while too few are
// known.
func (s *stats) p95() (d time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.latencies) < 20 {
		return 0, false
	}
	v := slices.Clone(s.latencies)
	slices.Sort(v)
	return percentile(v, 95), true
}

func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)-1)*p/100]
}

func (s *stats) fill(out *EndpointStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Requests, out.Successes, out.Bars = s.requests, s.successes, s.bars
	out.Errors = map[Kind]int64{}
	for k, n := range s.errors {
		if n > 0 {
			out.Errors[Kind(k)] = n
		}
	}
	v := slices.Clone(s.latencies)
	slices.Sort(v)
	out.P50, out.P95, out.P99 = percentile(v, 50), percentile(v, 95), percentile(v, 99)
	if s.last != nil {
		l := *s.last
		out.LastError = &l
	}
	out.LastGood = s.lastGood
	out.Changes = slices.Clone(s.changes)
	for _, x := range s.stretches {
		if time.Since(x.From) < stretchesKept*StretchWidth {
			x.Errors = maps.Clone(x.Errors)
			out.Stretches = append(out.Stretches, x)
		}
	}
	var all, down int64
	newest := time.Now().UnixNano() / int64(bucketWidth)
	for _, b := range s.buckets {
		if newest-b.number < statsBuckets {
			all += b.all
			down += b.down
		}
	}
	out.Availability = 1
	if all > 0 {
		out.Availability = 1 - float64(down)/float64(all)
	}
	out.Rate = float64(all) / statsWindow.Seconds()
}

// Endpoints returns the status of every endpoint, in the order of the
// configuration.
func (p *Pool) Endpoints() []EndpointStatus {
	now := time.Now()
	out := make([]EndpointStatus, 0, len(p.endpoints))
	for _, e := range p.endpoints {
		s := EndpointStatus{
			Name: e.Name, Group: e.Group, Type: e.Type, Provider: e.info.Name, URL: bare(e.target.base),
			Grade: e.Grade, Priority: e.Priority, ClockSkew: p.clocks.offset(e.host.name),
		}
		e.stats.fill(&s)
		for i, l := range e.limits {
			s.Budget = append(s.Budget, Budget{l.left(now), l.most, e.info.Limits[i].Window})
		}
		if e.own != nil {
			s.Budget = append(s.Budget, Budget{e.own.left(now), e.own.most, e.own.window})
		}
		var at time.Time
		if s.Breaker, at = p.breaker(e, "").look(); s.Breaker != Closed {
			s.NextProbe = at
		}
		for _, g := range [...]string{e.group, e.scope()} {
			if b, ok := p.pauses.of(g); ok && (s.Pause == nil || b.Until.After(s.Pause.Until)) {
				s.Pause = &b
			}
		}
		if s.Pause != nil && s.Pause.Until.After(s.NextProbe) {
			s.NextProbe = s.Pause.Until
		}
		out = append(out, s)
	}
	return out
}

// asError finds the Error in err.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return nil
}

func (s *stats) delivered(bars int) {
	s.mu.Lock()
	s.bars += int64(bars)
	s.mu.Unlock()
}

// idleFor reports whether nothing was asked for d.
func (s *stats) idleFor(d time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running > 0 || time.Since(s.lastGood) < d {
		return false
	}
	return s.last == nil || time.Since(s.last.Time) >= d
}
