package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
)

// The kinds of events of GET /v1/stream.
const (
	EventBar    = "bar"    // bars were written
	EventGap    = "gap"    // what is absent, or why, changed
	EventRepair = "repair" // a repair went on
	EventAlert  = "alert"
	EventHealth = "health"
)

var eventKinds = []string{EventBar, EventGap, EventRepair, EventAlert, EventHealth}

// events keeps the last events and wakes those who listen. Nobody who is slow
// holds anybody up: who falls behind more than the ring keeps is told so.
type events struct {
	mu     sync.Mutex
	ring   []event // a ring by id
	next   uint64  // id of the next one, from 1
	wake   chan struct{}
	listen int
}

// event is one event, encoded once.
type event struct {
	id   uint64
	kind string
	key  series.Key // zero where it is not about one series
	data []byte
}

const (
	eventsKept = 1024
	// streams bounds those who listen at a time.
	streams = 200
	// beat is how often a quiet stream says that it is alive.
	beat = 15 * time.Second
)

func newEvents() *events {
	return &events{ring: make([]event, eventsKept), next: 1, wake: make(chan struct{})}
}

// Publish hands an event to everybody who listens to GET /v1/stream. data must
// have a JSON form. It does not wait.
func (s *Server) Publish(kind string, key series.Key, data any) {
	b, err := json.Marshal(data)
	if err != nil {
		s.log.Error("an event cannot be written", "kind", kind, "error", err)
		return
	}
	e := s.events
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ring[e.next%eventsKept] = event{e.next, kind, key, b}
	e.next++
	close(e.wake)
	e.wake = make(chan struct{})
}

// after returns the events behind id, what to wait for if there are none, and
// whether some are not kept any more.
func (e *events) after(id uint64) (list []event, wake <-chan struct{}, missed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	from := id + 1
	if oldest := uint64(max(1, int64(e.next)-eventsKept)); from < oldest {
		from, missed = oldest, true
	}
	for ; from < e.next; from++ {
		list = append(list, e.ring[from%eventsKept])
	}
	return list, e.wake, missed
}

func (e *events) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.listen >= streams {
		return false
	}
	e.listen++
	return true
}

func (e *events) leave() {
	e.mu.Lock()
	e.listen--
	e.mu.Unlock()
}

// getStream streams events until the client leaves. Ids are those of this run of
// the server: after a restart, and where more was missed than is kept, the
// event "missed" says that the client should read everything anew.
func (s *Server) getStream(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	symbol, interval := p.symbol(), p.interval("interval")
	kinds := eventKinds
	if text := p.text("events"); text != "" {
		kinds = strings.Split(text, ",")
		for _, k := range kinds {
			if !slices.Contains(eventKinds, k) {
				p.fail("events", "event %q is not one of %s", k, strings.Join(eventKinds, ", "))
			}
		}
	}
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	if !s.events.enter() {
		c.Header("Retry-After", "30")
		fail(c, &Error{http.StatusServiceUnavailable, "too_many_streams", fmt.Sprintf("%d streams are open already: close one", streams), ""})
		return
	}
	defer s.events.leave()
	s.events.mu.Lock()
	last := s.events.next - 1
	s.events.mu.Unlock()
	strange := false // the client knows events of another run of the server
	// An id is the start of the server and the number of the event.
	if given := c.GetHeader("Last-Event-ID"); given != "" {
		run, text, _ := strings.Cut(given, "-")
		if n, err := strconv.ParseUint(text, 10, 64); err == nil && run == s.runID() && n <= last {
			last = n
		} else {
			strange = true
		}
	}
	out := http.NewResponseController(c.Writer)
	c.Header("Content-Type", "text/event-stream")
	c.Header("Cache-Control", "no-store")
	c.Status(http.StatusOK)
	if c.Request.Method == http.MethodHead {
		c.Writer.WriteHeaderNow()
		return
	}
	write := func(text string) bool {
		if _, err := c.Writer.WriteString(text); err != nil {
			return false
		}
		return out.Flush() == nil
	}
	if !write(fmt.Sprintf("retry: 2000\nid: %s-%d\nevent: hello\ndata: {}\n\n", s.runID(), last)) {
		return
	}
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		list, wake, missed := s.events.after(last)
		if missed || strange {
			strange = false
			if !write("event: missed\ndata: {}\n\n") {
				return
			}
		}
		for _, e := range list {
			last = e.id
			if !slices.Contains(kinds, e.kind) || e.key != (series.Key{}) &&
				(symbol != "" && e.key.Symbol != symbol || interval != 0 && e.key.Interval != interval) {
				continue
			}
			if !write(fmt.Sprintf("id: %s-%d\nevent: %s\ndata: %s\n\n", s.runID(), e.id, e.kind, e.data)) {
				return
			}
		}
		select {
		case <-c.Request.Context().Done():
			return
		case <-s.o.Ending:
			return
		case <-wake:
		case <-tick.C:
			if !write(": alive\n\n") {
				return
			}
		}
	}
}

// runID tells the runs of a server apart.
func (s *Server) runID() string { return strconv.FormatInt(s.started.UnixMilli(), 36) }
