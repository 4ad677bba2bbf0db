package fetch

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Check asks an endpoint whether it works: the path of its configuration, or
// what its provider asks for, through all that a question for bars passes.
func (p *Pool) Check(ctx context.Context, name string) error {
	for _, e := range p.endpoints {
		if e.Name != name {
			continue
		}
		ctx, leave, err := p.enter(ctx)
		if err != nil {
			return err
		}
		defer leave()
		return p.check(ctx, e)
	}
	return errors.New("there is no endpoint " + name)
}

func (p *Pool) check(ctx context.Context, e *endpoint) error {
	c := &call{pool: p, e: e}
	if e.HealthCheck != "" {
		c.r = Request{Path: e.HealthCheck}
		c.judge = func(a Answer) error {
			if a.Status/100 != 2 {
				return &Error{Kind: Unavailable, Status: a.Status, Message: http.StatusText(a.Status)}
			}
			return nil
		}
		return c.do(ctx)
	}
	c.r = e.Provider.Health()
	sent := time.Now()
	c.judge = func(a Answer) error {
		t, err := e.Provider.Clock(a)
		if err == nil && t != 0 {
			p.clocks.exact(e.host.name, t, sent, time.Now())
		}
		return err
	}
	return c.do(ctx)
}

// probe checks endpoints that nothing was asked of for a while, and those that
// were left alone as soon as they may be asked again.
func (p *Pool) probe(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-p.ending.Done():
			return
		case <-tick.C:
		}
		for _, e := range p.endpoints {
			if e.Type != MarketData || p.blocked(e, "") != nil || !e.stats.idleFor(every) {
				continue
			}
			ctx, leave, err := p.enter(context.Background())
			if err != nil {
				return
			}
			_ = p.check(ctx, e) // it is counted and told already
			leave()
		}
	}
}
