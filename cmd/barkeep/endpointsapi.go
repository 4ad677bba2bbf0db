package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/series"
)

// endpointsAPI shows a pool to the API, which knows nothing of fetching.
type endpointsAPI struct{ pool *fetch.Pool }

func (e endpointsAPI) Health() []api.EndpointHealth {
	out := []api.EndpointHealth{}
	for _, s := range e.pool.Endpoints() {
		h := api.EndpointHealth{
			Name: s.Name, Group: s.Group, Provider: s.Provider, Type: s.Type, URL: s.URL, Grade: s.Grade.String(), Priority: s.Priority,
			Breaker: fmt.Sprint(s.Breaker), Availability: 100 * s.Availability, Requests: s.Requests, Successes: s.Successes,
			ErrorKinds: map[string]int64{}, Changes: []api.EndpointChange{}, Stretches: []api.EndpointStretch{}, Bars: s.Bars, Rate: s.Rate, P50: ms(s.P50), P95: ms(s.P95), P99: ms(s.P99), Budget: []api.EndpointBudget{},
		}
		for k, n := range s.Errors {
			h.ErrorKinds[fmt.Sprint(k)] += n
			h.Errors += n
		}
		if s.Requests > 0 {
			h.ErrorRate = float64(h.Errors) / float64(s.Requests)
		}
		for _, x := range s.Changes {
			state := map[fetch.EventKind]string{fetch.BreakerOpened: "open", fetch.BreakerHalfOpen: "half_open", fetch.BreakerClosed: "closed", fetch.EndpointPaused: "paused"}[x.Kind]
			h.Changes = append(h.Changes, api.EndpointChange{Time: series.TimeOf(x.Time), State: state, Why: x.Detail, Until: moment(x.Until)})
		}
		for _, x := range s.Stretches {
			kinds := map[string]int64{}
			for k, n := range x.Errors {
				kinds[k.String()] = n
			}
			h.Stretches = append(h.Stretches, api.EndpointStretch{From: series.TimeOf(x.From), Requests: x.Requests, ErrorKinds: kinds})
		}
		for _, b := range s.Budget {
			h.Budget = append(h.Budget, api.EndpointBudget{Left: b.Left, Most: b.Most, Seconds: b.Window.Seconds()})
		}
		if s.Pause != nil {
			h.PausedUntil, h.PausedWhy = moment(s.Pause.Until), fmt.Sprint(s.Pause.Kind)
		}
		if x := s.LastError; x != nil {
			h.LastError = &api.EndpointError{Time: series.TimeOf(x.Time), Kind: fmt.Sprint(x.Kind), Text: x.Text}
		}
		h.LastGood, h.NextProbe = moment(s.LastGood), moment(s.NextProbe)
		out = append(out, h)
	}
	return out
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func moment(t time.Time) *series.Time {
	if t.IsZero() {
		return nil
	}
	x := series.TimeOf(t)
	return &x
}

func (e endpointsAPI) Test(ctx context.Context, t api.EndpointTest) ([]api.EndpointResult, error) {
	var names []string
	for _, s := range e.pool.Endpoints() {
		if t.Name == "" || t.Name == s.Name || t.Name == s.Provider || t.Name == s.Group {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("there is no endpoint, provider or group %s: GET /endpoints/health lists them", t.Name)
	}
	out, err := testEndpoints(ctx, e.pool, names)
	if err != nil || t.Data.Symbol == "" {
		return out, err
	}
	interval := t.Data.Interval
	if interval == 0 {
		interval = series.Interval1h
	}
	for i := range out {
		if out[i].OK {
			e.testBars(ctx, &out[i], t.Data.Symbol, interval)
		}
	}
	return out, nil
}

// testBars asks the provider of an endpoint for its last bars.
func (e endpointsAPI) testBars(ctx context.Context, r *api.EndpointResult, symbol string, interval series.Interval) {
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	now := series.TimeOf(time.Now())
	begun := time.Now()
	_, err := e.pool.Bars(ctx, fetch.Ask{
		Sources: []fetch.Source{{Provider: r.Provider, Symbol: symbol}}, Interval: interval, Patience: -1, Anew: true,
		Span: series.Span{From: now - 10*interval.Width(), To: now},
	}, func(b fetch.Batch) error { r.Bars += b.Bars.Len(); return nil })
	r.LatencyMS = ms(time.Since(begun))
	if err != nil {
		r.OK, r.Status, r.Error = false, statusOf(err), err.Error()
	}
}

const testTimeout = 10 * time.Second

// testEndpoints checks endpoints side by side, those of names or all.
func testEndpoints(ctx context.Context, p *fetch.Pool, names []string) ([]api.EndpointResult, error) {
	providers := map[string]string{}
	var all []string
	for _, s := range p.Endpoints() {
		providers[s.Name] = s.Provider
		all = append(all, s.Name)
	}
	if len(names) == 0 {
		names = all
	}
	for _, n := range names {
		if providers[n] == "" {
			return nil, fmt.Errorf("there is no endpoint %s%s", n, nearest(n, all))
		}
	}
	out := make([]api.EndpointResult, len(names))
	var wg sync.WaitGroup
	for i, n := range names {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, testTimeout)
			defer cancel()
			begun := time.Now()
			err := p.Check(ctx, n)
			out[i] = api.EndpointResult{Name: n, Provider: providers[n], OK: err == nil, Status: statusOf(err), LatencyMS: ms(time.Since(begun))}
			if err != nil {
				out[i].Error = err.Error()
			}
		})
	}
	wg.Wait()
	return out, nil
}

// statusOf is the kind of an error of the pool.
func statusOf(err error) string {
	var un *fetch.UnansweredError
	var one *fetch.Error
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &un):
		return fmt.Sprint(un.Kind())
	case errors.As(err, &one):
		return fmt.Sprint(one.Kind)
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "error"
}
