package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// Options are what a pool is made of. Zero values stand for the defaults.
type Options struct {
	Endpoints []Endpoint
	Balance   Balance
	// State is a file that keeps bans and used-up quotas over restarts; empty
	// keeps none.
	State string
	// PerHost is how many requests a host has at a time: 4.
	PerHost int
	// Hedge is how long the answer to a page may take before a second endpoint
	// is asked for it too, at least the 95th percentile of the first one's
	// latency; 0 never asks twice.
	Hedge time.Duration
	// ProbeEvery is how often endpoints are probed that nothing else was asked
	// of, and those that were left alone once their time is over; 0 never
	// probes, and then the next question is the probe.
	ProbeEvery time.Duration
	// Transport replaces [NewTransport].
	Transport http.RoundTripper
	// Logger is told what changes; nil drops it.
	Logger *slog.Logger
	// Observe is called with every event, on the goroutine at work: it must not
	// wait.
	Observe func(Event)
}

// Balance is how an endpoint is chosen among those of one grade that work.
type Balance uint8

// The ways to balance.
const (
	ByPriority   Balance = iota // the lowest priority, then the order of the configuration
	Weighted                    // in turn, by weight
	LeastLatency                // the quickest of late
	PowerOfTwo                  // the less loaded of two at random
)

var balanceNames = [...]string{ByPriority: "priority", Weighted: "weighted", LeastLatency: "least_latency", PowerOfTwo: "p2c"}

// String returns the name of the way.
func (b Balance) String() string { return balanceNames[b] }

// MarshalText writes the name of the way.
func (b Balance) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads the name of a way.
func (b *Balance) UnmarshalText(text []byte) error {
	for i, name := range balanceNames {
		if name == string(text) {
			*b = Balance(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not one of priority, weighted, least_latency, p2c", text)
}

// Pool gets bars from whichever endpoint is alive. It is safe for concurrent
// use; Close ends it.
//
// Every request, pages and probes included, passes the same way: is the host
// group banned, does the breaker of the host let it through, is there a place
// at the host, do the limits allow it. What fails is asked of another endpoint
// first; only the last one left is tried again, inside the host's retry budget.
type Pool struct {
	endpoints []*endpoint
	balance   Balance
	perHost   int
	hedge     time.Duration
	log       *slog.Logger
	observe   func(Event)

	client  *client
	retrier *retryablehttp.Client
	pauses  *pauses
	clocks  clocks
	origins origins

	spending sync.Mutex // held while a request is spent in all its limits

	mu    sync.Mutex     // guards turns, and the count of work against Close
	turns map[string]int // weighted balancing: the current weight, by endpoint

	ending context.Context // ends when Close is called: no more is begun
	end    context.CancelFunc
	ended  context.Context // ends when Close has no more patience
	kill   context.CancelFunc
	work   sync.WaitGroup // what Close waits for
	idle   func()         // closes idle connections of a transport of ours
}

// ErrClosed is the answer of a pool that was closed.
var ErrClosed = errors.New("the pool of endpoints is closed")

// New returns a pool. Close must be called to end it. A file of bans that
// cannot be read is logged and replaced; everything else that is wrong is an
// error.
func New(o Options) (*Pool, error) {
	p := &Pool{
		balance: o.Balance, perHost: o.PerHost, hedge: o.Hedge, log: o.Logger, observe: o.Observe,
		retrier: newRetrier(), turns: map[string]int{}, idle: func() {},
	}
	if p.perHost <= 0 {
		p.perHost = 4
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	rt := o.Transport
	if rt == nil {
		t := NewTransport(TransportOptions{})
		rt, p.idle = t, t.CloseIdleConnections
	}
	p.client = newClient(rt)
	if err := p.connect(o.Endpoints); err != nil {
		return nil, err
	}
	var err error
	if p.pauses, err = openPauses(o.State); err != nil {
		p.log.Warn("bans of before are not known", "error", err)
	}
	p.ending, p.end = context.WithCancel(context.Background())
	p.ended, p.kill = context.WithCancel(context.Background())
	if o.ProbeEvery > 0 {
		p.work.Go(func() { p.probe(o.ProbeEvery) })
	}
	return p, nil
}

// connect makes the endpoints and what they share.
func (p *Pool) connect(list []Endpoint) error {
	hosts := map[string]*host{}
	limits := map[string]*limiter{}
	names := map[string]bool{}
	var errs []error
	for i, c := range list {
		if c.Name == "" || names[c.Name] {
			errs = append(errs, fmt.Errorf("endpoint %d has no name of its own: %q", i+1, c.Name))
			continue
		}
		names[c.Name] = true
		if c.Provider == nil {
			errs = append(errs, fmt.Errorf("endpoint %s has no provider", c.Name))
			continue
		}
		check := checkURL
		if _, ok := c.Provider.(Local); ok {
			check = checkFolder
		}
		u, err := check(c.URL)
		if err != nil {
			errs = append(errs, fmt.Errorf("endpoint %s: %w", c.Name, err))
			continue
		}
		e := &endpoint{Endpoint: c, info: c.Provider.Info(), stats: &stats{}, order: i}
		if e.Type == "" {
			e.Type = MarketData
		}
		e.Weight = max(1, e.Weight)
		e.target = target{base: u, private: c.AllowPrivate, timeout: c.Timeout}
		if e.target.timeout <= 0 {
			e.target.timeout = 60 * time.Second
		}
		name := u.Host
		if u.Scheme == "file" {
			name = u.String() // each folder stands for itself
		}
		if e.host = hosts[name]; e.host == nil {
			e.host = &host{name: name, breakers: map[string]*breaker{}}
			hosts[name] = e.host
		}
		e.group = groupOf(e.info.Name, u)
		for n, l := range e.info.Limits {
			whose := e.group
			if l.Scope == PerKey && !e.Credentials.Key.Empty() {
				whose += " " + e.Credentials.Key.Reveal()
			}
			whose += " " + strconv.Itoa(n)
			if limits[whose] == nil {
				limits[whose] = newLimiter(l)
			}
			e.limits = append(e.limits, limits[whose])
		}
		if c.Limit.Cost > 0 && c.Limit.Window > 0 {
			e.own = newLimiter(c.Limit)
			e.own.most = c.Limit.Cost // what a person wrote is meant as it is
		}
		p.endpoints = append(p.endpoints, e)
	}
	return errors.Join(errs...)
}

// checkURL reads the base URL of an endpoint.
func checkURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("url is not an address: give https://host")
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return nil, fmt.Errorf("url %q is not an address: give https://host", bare(u))
	case u.User != nil:
		return nil, fmt.Errorf("url %s holds a user or a password: name the key with api_key_env", bare(u))
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("url %s holds a query: give the base address only, and the key with api_key_env", bare(u))
	}
	return u, nil
}

// checkFolder reads the URL of an endpoint that is files of this machine.
func checkFolder(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "file" || u.Host != "" || len(u.Path) < 2 || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("url %q is not a folder: give file:///FOLDER, from the root", text)
	}
	return u, nil
}

// Close ends the pool: it begins nothing more, waits for the pages that are
// under way until ctx ends, and then gives them up.
func (p *Pool) Close(ctx context.Context) error {
	p.mu.Lock()
	p.end()
	p.mu.Unlock()
	done := make(chan struct{})
	go func() {
		p.work.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.kill()
	<-done
	p.idle()
	return err
}

// enter begins work that Close waits for. The context it returns ends with the
// pool.
func (p *Pool) enter(ctx context.Context) (context.Context, func(), error) {
	p.mu.Lock()
	if p.ending.Err() != nil {
		p.mu.Unlock()
		return nil, nil, ErrClosed
	}
	p.work.Add(1) // under the lock, so that Close cannot miss it
	p.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(p.ended, func() { cancel(ErrClosed) })
	return ctx, func() {
		stop()
		cancel(nil)
		p.work.Done()
	}, nil
}

// breaker returns the breaker of a class of requests to the host of e.
func (p *Pool) breaker(e *endpoint, class string) *breaker {
	return e.host.breaker(class, func(_, to BreakerState, until time.Time) {
		kind := map[BreakerState]EventKind{Open: BreakerOpened, HalfOpen: BreakerHalfOpen, Closed: BreakerClosed}[to]
		if to != Open {
			until = time.Time{}
		}
		p.tell(e, kind, class, until)
	})
}

// choose picks one of several candidates that can be asked now.
func (p *Pool) choose(list []*candidate) *candidate {
	now := time.Now()
	// Whoever has to wait for a limit is asked after the others, but is asked:
	// the last one is never dropped.
	free := slices.DeleteFunc(slices.Clone(list), func(c *candidate) bool { return c.e.wait(now) > 0 })
	if len(free) == 0 {
		return slices.MinFunc(list, func(a, b *candidate) int { return cmp.Compare(a.e.wait(now), b.e.wait(now)) })
	}
	if len(free) == 1 {
		return free[0]
	}
	switch p.balance {
	case Weighted:
		return p.inTurn(free)
	case LeastLatency:
		return slices.MinFunc(free, func(a, b *candidate) int {
			la, _ := a.e.stats.load()
			lb, _ := b.e.stats.load()
			return cmp.Or(cmp.Compare(la, lb), byRank(a, b))
		})
	case PowerOfTwo:
		i := rand.N(len(free))
		j := rand.N(len(free) - 1)
		if j >= i {
			j++
		}
		if pressure(free[j]) < pressure(free[i]) {
			i = j
		}
		return free[i]
	}
	return slices.MinFunc(free, byRank)
}

func byRank(a, b *candidate) int {
	return cmp.Or(cmp.Compare(a.e.Priority, b.e.Priority), cmp.Compare(a.source, b.source), cmp.Compare(a.e.order, b.e.order))
}

// pressure is what a request would meet at an endpoint.
func pressure(c *candidate) float64 {
	latency, running := c.e.stats.load()
	return float64(latency) * float64(running+1)
}

// inTurn is smooth weighted round robin: each gains its weight, the one with
// the most is taken and pays the sum.
func (p *Pool) inTurn(list []*candidate) *candidate {
	p.mu.Lock()
	defer p.mu.Unlock()
	sum := 0
	best := list[0]
	for _, c := range list {
		sum += c.e.Weight
		p.turns[c.e.Name] += c.e.Weight
		if p.turns[c.e.Name] > p.turns[best.e.Name] {
			best = c
		}
	}
	p.turns[best.e.Name] -= sum
	return best
}
