package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/series"
)

// supervisor keeps components at work: one that fails or panics is logged,
// counted, and started again after a while that grows with each failure in a
// row. A component that ends without an error has nothing more to do.
type supervisor struct {
	log    *slog.Logger
	notify func() // called after each change of state; must not wait

	mu   sync.Mutex
	list []*component
	wait sync.WaitGroup
	ctx  context.Context
}

// component is one of them. run must return soon after its context ends.
type component struct {
	name string
	run  func(ctx context.Context) error

	state   api.Component
	cancel  context.CancelFunc
	restart bool // it was ended to be started again
}

const (
	firstBackoff = time.Second
	mostBackoff  = 5 * time.Minute
	// calm is how long a component must work for its failures to be forgotten.
	calm = 10 * time.Minute
)

func newSupervisor(ctx context.Context, log *slog.Logger) *supervisor {
	return &supervisor{ctx: ctx, log: log, notify: func() {}}
}

// start keeps run at work under a name.
func (s *supervisor) start(name string, run func(ctx context.Context) error) {
	c := &component{name: name, run: run, state: api.Component{Name: name, State: "running"}}
	s.mu.Lock()
	s.list = append(s.list, c)
	s.mu.Unlock()
	s.wait.Go(func() { s.keep(c) })
}

// end waits for all components; the context that was given to newSupervisor
// must have ended.
func (s *supervisor) end() { s.wait.Wait() }

func (s *supervisor) keep(c *component) {
	backoff := firstBackoff
	for {
		ctx, cancel := context.WithCancel(s.ctx)
		begun := time.Now()
		s.set(c, func() {
			c.cancel, c.restart = cancel, false
			c.state.State, c.state.Since, c.state.NextStart = "running", series.TimeOf(begun), nil
		})
		err := guarded(ctx, c.run)
		cancel()
		if s.ctx.Err() != nil {
			s.set(c, func() { c.state.State = "stopped" })
			return
		}
		again := false
		s.set(c, func() { again = c.restart })
		switch {
		case again:
			backoff = firstBackoff
			continue
		case err == nil:
			s.set(c, func() { c.state.State = "done" })
			return
		}
		if time.Since(begun) > calm {
			backoff = firstBackoff
		}
		s.log.Error("a component failed and is started again", "component", c.name, "error", err, "in", backoff)
		s.set(c, func() {
			next := series.TimeOf(time.Now().Add(backoff))
			c.state.State, c.state.Error, c.state.NextStart = "waiting", err.Error(), &next
			c.state.Failures++
			c.state.Since = series.TimeOf(time.Now())
			ctx, c.cancel = context.WithTimeout(s.ctx, backoff)
		})
		<-ctx.Done() // the time is over, or somebody wants it sooner
		backoff = min(2*backoff, mostBackoff)
	}
}

func (s *supervisor) set(c *component, change func()) {
	s.mu.Lock()
	before := c.state.State
	change()
	after := c.state.State
	s.mu.Unlock()
	if before != after {
		s.notify()
	}
}

// guarded turns a panic into an error.
func guarded(ctx context.Context, run func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	err = run(ctx)
	if err == nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// Components says how each component fares.
func (s *supervisor) Components() []api.Component {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]api.Component, 0, len(s.list))
	for _, c := range s.list {
		x := c.state
		if i := indexLine(x.Error); i >= 0 {
			x.Error = x.Error[:i] // the stack is for the log
		}
		out = append(out, x)
	}
	return out
}

func indexLine(text string) int {
	for i := range len(text) {
		if text[i] == '\n' {
			return i
		}
	}
	return -1
}

// every calls f after each stretch of time until ctx ends or f fails.
func every(ctx context.Context, d time.Duration, f func() error) error {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if err := f(); err != nil {
			return err
		}
	}
}

// atOnce is every, and the first call comes at once.
func atOnce(ctx context.Context, d time.Duration, f func() error) error {
	if err := f(); err != nil {
		return err
	}
	return every(ctx, d, f)
}

var errNoComponent = errors.New("there is no such component")

// Restart ends components and starts them again: those named, or all.
func (s *supervisor) Restart(names []string) ([]api.Component, error) {
	s.mu.Lock()
	for _, n := range names {
		found := false
		for _, c := range s.list {
			found = found || c.name == n
		}
		if !found {
			s.mu.Unlock()
			return nil, fmt.Errorf("%w: %s", errNoComponent, n)
		}
	}
	for _, c := range s.list {
		wanted := len(names) == 0
		for _, n := range names {
			wanted = wanted || n == c.name
		}
		if wanted && (c.state.State == "running" || c.state.State == "waiting") {
			c.restart = true
			c.state.Restarts++
			c.cancel()
		}
	}
	s.mu.Unlock()
	return s.Components(), nil
}
