package fetch

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// BreakerState is what a breaker does with requests.
type BreakerState uint8

// The states of a breaker.
const (
	Closed   BreakerState = iota // requests pass, outcomes are counted
	Open                         // nothing passes until the open time is over
	HalfOpen                     // one request at a time passes, to try
)

var breakerNames = [...]string{Closed: "closed", Open: "open", HalfOpen: "half-open"}

// String returns the name of the state.
func (s BreakerState) String() string { return breakerNames[s] }

// MarshalText writes the name of the state.
func (s BreakerState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// The figures of a breaker.
const (
	breakerWindow      = 30 * time.Second // outcomes older than this are forgotten
	breakerSamples     = 10               // with fewer the share of failures says nothing
	breakerShare       = 0.5              // of failures, at which it opens
	breakerConsecutive = 5                // failures, at which it opens whatever the share
	breakerOpen        = 5 * time.Second  // the first open time; each further one is twice as long
	breakerOpenMax     = 5 * time.Minute
	breakerJitter      = 0.2 // of the open time, so that breakers do not try in step
	breakerCloses      = 2   // successes in a row that close it
	slowStart          = 10 * time.Second
)

// breaker keeps requests from one class of one host that does not work. Its
// state changes only under its lock, and each change starts a new generation:
// the outcome of a request that was let through by an older one is ignored.
type breaker struct {
	changed func(from, to BreakerState, until time.Time) // called without the lock

	mu         sync.Mutex // guards what follows
	state      BreakerState
	generation uint64
	outcomes   []outcomeAt // closed: those of the window
	failures   int         // closed: how many of them failed
	row        int         // closed: failures in a row; half-open: successes in a row
	opened     int         // times it opened since it was last closed for good
	until      time.Time   // open: when it lets one through
	probing    bool        // half-open: one is under way
	closedAt   time.Time   // when it last closed; zero if it never opened
	running    map[*permit]struct{}
}

type outcomeAt struct {
	at     time.Time
	failed bool
}

// outcome is what a request says of its host.
type outcome uint8

const (
	neutral outcome = iota // given up by the caller: it says nothing
	worked
	failed
)

// permit is the leave to send one request. It must be ended exactly once.
type permit struct {
	b          *breaker
	generation uint64
	probe      bool
	cancel     context.CancelCauseFunc // ends the request when the breaker opens
}

// openError says that a breaker let nothing through.
type openError struct{ until time.Time }

func (e openError) Error() string {
	return "the endpoint does not work and is left alone until " + e.until.UTC().Format(time.RFC3339)
}

// acquire asks to send a request. The returned context ends when the breaker
// opens: whoever waits for an answer goes elsewhere at once.
func (b *breaker) acquire(ctx context.Context) (context.Context, *permit, error) {
	b.mu.Lock()
	now := time.Now()
	from := b.state
	if b.state == Open && !now.Before(b.until) {
		b.enter(HalfOpen)
	}
	switch {
	case b.state == Open:
		until := b.until
		b.mu.Unlock()
		return nil, nil, openError{until}
	case b.state == HalfOpen && b.probing:
		b.mu.Unlock()
		return nil, nil, openError{now.Add(probePoll)}
	}
	p := &permit{b: b, generation: b.generation, probe: b.state == HalfOpen}
	b.probing = p.probe
	ctx, p.cancel = context.WithCancelCause(ctx)
	if b.running == nil {
		b.running = map[*permit]struct{}{}
	}
	b.running[p] = struct{}{}
	to := b.state
	b.mu.Unlock()
	b.tell(from, to, time.Time{})
	return ctx, p, nil
}

// probePoll is when to ask again while another one is trying the host.
const probePoll = 250 * time.Millisecond

// end reports how the request of p went.
func (p *permit) end(o outcome) {
	p.cancel(nil)
	b := p.b
	b.mu.Lock()
	delete(b.running, p)
	if p.generation != b.generation {
		b.mu.Unlock()
		return
	}
	from := b.state
	if p.probe {
		b.probing = false
		b.probed(o)
	} else {
		b.counted(o)
	}
	to, until := b.state, b.until
	b.mu.Unlock()
	b.tell(from, to, until)
}

// probed takes the outcome of a half-open breaker's one request.
func (b *breaker) probed(o outcome) {
	switch o {
	case failed:
		b.enter(Open)
	case worked:
		if b.row++; b.row >= breakerCloses {
			b.enter(Closed)
		}
	}
}

// counted takes the outcome of a closed breaker's request.
func (b *breaker) counted(o outcome) {
	if o == neutral {
		return
	}
	now := time.Now()
	b.forget(now)
	b.outcomes = append(b.outcomes, outcomeAt{now, o == failed})
	if o == worked {
		b.row = 0
		if b.opened > 0 && now.Sub(b.closedAt) > breakerOpenMax {
			b.opened = 0 // it has worked long enough to be trusted again
		}
		return
	}
	b.failures++
	b.row++
	if b.row >= breakerConsecutive || len(b.outcomes) >= breakerSamples && float64(b.failures) >= breakerShare*float64(len(b.outcomes)) {
		b.enter(Open)
	}
}

// forget drops the outcomes that are older than the window.
func (b *breaker) forget(now time.Time) {
	n := 0
	for n < len(b.outcomes) && now.Sub(b.outcomes[n].at) > breakerWindow {
		if b.outcomes[n].failed {
			b.failures--
		}
		n++
	}
	b.outcomes = b.outcomes[n:]
}

// enter changes the state. b.mu must be held.
func (b *breaker) enter(s BreakerState) {
	b.state = s
	b.generation++
	b.outcomes, b.failures, b.row, b.probing = nil, 0, 0, false
	switch s {
	case Open:
		d := breakerOpenMax
		if b.opened < 6 { // 5 s << 6 is above the most
			d = min(breakerOpen<<b.opened, breakerOpenMax)
		}
		d = time.Duration(float64(d) * (1 + breakerJitter*(2*rand.Float64()-1)))
		b.opened++
		b.until = time.Now().Add(d)
		for p := range b.running {
			p.cancel(openError{b.until})
		}
	case Closed:
		b.closedAt = time.Now()
	case HalfOpen:
	}
}

func (b *breaker) tell(from, to BreakerState, until time.Time) {
	if from != to && b.changed != nil {
		b.changed(from, to, until)
	}
}

// look returns the state as a request would find it, and from when on one may
// pass; the zero time is at once.
func (b *breaker) look() (BreakerState, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	switch {
	case b.state == Open && now.Before(b.until):
		return Open, b.until
	case b.state == Open:
		return HalfOpen, time.Time{}
	case b.state == HalfOpen && b.probing:
		return HalfOpen, now.Add(probePoll)
	}
	return b.state, time.Time{}
}

// share is the part of a host's places that may be used: after it closed, a
// breaker gives them back one by one, so that a host that just got up is not
// thrown down again.
func (b *breaker) share() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closedAt.IsZero() {
		return 1
	}
	return min(1, float64(time.Since(b.closedAt))/float64(slowStart))
}
