package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// Endpoint is one base URL of one provider.
type Endpoint struct {
	Name     string // unique in a pool
	Group    string // heading of the configuration that it stands under; may be empty
	Type     string // what it serves: "market_data" if empty
	URL      string // "https://api.binance.com"
	Provider Provider
	Grade    Grade // GradeAuto leaves it to [Pool.Sources]
	Priority int   // lower is asked first
	Weight   int   // share under weighted balancing; 0 stands for 1
	// Limit bounds the requests to this endpoint, beside the vendor's limits;
	// none if Cost is 0.
	Limit Limit
	// HealthCheck is a path that answers 2xx when all is well. Empty leaves it to
	// the provider.
	HealthCheck string
	// Timeout is how long one attempt may take as a whole; 0 stands for 60 s.
	Timeout      time.Duration
	Credentials  Credentials
	AllowPrivate bool // the address may be a private one
}

// Grade is how good a source is for a series.
type Grade uint8

// The grades, the best first.
const (
	GradeAuto Grade = iota
	Primary         // the venue's own data from the provider of choice
	Mirror          // the same venue through another provider
	Proxy           // another venue: asked only if the caller allows it
)

var gradeNames = [...]string{GradeAuto: "auto", Primary: "primary", Mirror: "mirror", Proxy: "proxy"}

// String returns the name of the grade.
func (g Grade) String() string { return gradeNames[g] }

// MarshalText writes the name of the grade.
func (g Grade) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText reads the name of a grade.
func (g *Grade) UnmarshalText(b []byte) error {
	for i, name := range gradeNames {
		if name == string(b) {
			*g = Grade(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not one of auto, primary, mirror, proxy", b)
}

// MarketData is the type of endpoints that serve bars.
const MarketData = "market_data"

// endpoint is an endpoint at work.
type endpoint struct {
	Endpoint
	info   *Info
	target target
	host   *host
	group  string // whom a ban hits: the hosts of one provider under one domain
	limits []*limiter
	own    *limiter // nil without a limit of its own
	stats  *stats
	order  int // in the configuration

	mu      sync.Mutex // guards what follows
	delay   series.Time
	delayAt time.Time
	refused map[string]refused // by symbol and interval
}

// refused is that a vendor does not give a series, whoever asks.
type refused struct {
	err   *Error
	until time.Time
}

// refusalMemory is how long it is remembered that a vendor does not give a
// series: to ask it for each page would cost as much as the pages.
var refusalMemory = map[Kind]time.Duration{NotEntitled: time.Hour, UnknownSymbol: 10 * time.Minute}

// refuses remembers that the vendor does not give a series. A folder is asked
// again: it costs nothing, and a file may come in.
func (e *endpoint) refuses(now time.Time, series string, err *Error) {
	if _, local := e.Provider.(Local); local {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refused == nil || len(e.refused) > 10_000 {
		e.refused = map[string]refused{}
	}
	e.refused[series] = refused{err, now.Add(refusalMemory[err.Kind])}
}

// accepts forgets that the vendor did not give a series.
func (e *endpoint) accepts(series string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.refused, series)
}

// refusal is why the vendor does not give a series, if it said so of late.
func (e *endpoint) refusal(now time.Time, series string) *Error {
	e.mu.Lock()
	defer e.mu.Unlock()
	r, ok := e.refused[series]
	if !ok || now.After(r.until) {
		return nil
	}
	return r.err
}

// delayMemory is how long it is remembered that a vendor withholds the newest
// bars, until it is asked for them again: plans change.
const delayMemory = time.Hour

// withhold remembers how old bars have to be.
func (e *endpoint) withhold(now time.Time, delay series.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.delay, e.delayAt = delay, now
}

// withheld is how old bars have to be, or 0.
func (e *endpoint) withheld(now time.Time) series.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now.Sub(e.delayAt) > delayMemory {
		return 0
	}
	return e.delay
}

// host is what is shared by all endpoints of one address.
type host struct {
	name   string // with the port
	places places
	budget budget

	mu       sync.Mutex // guards breakers
	breakers map[string]*breaker
}

func (h *host) breaker(class string, changed func(from, to BreakerState, until time.Time)) *breaker {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.breakers[class]
	if b == nil {
		b = &breaker{changed: changed}
		h.breakers[class] = b
	}
	return b
}

// groupOf names the hosts that a vendor counts together: those of one provider
// under one domain. api.binance.com and api1.binance.com share limits and bans.
func groupOf(provider string, u *url.URL) string {
	name := u.Hostname()
	if _, err := netip.ParseAddr(name); err == nil || !strings.Contains(name, ".") {
		return provider + " " + u.Host // a simulator is told from another by its port
	}
	labels := strings.Split(name, ".")
	n := 2
	// co.uk and the like: a second label that short belongs to the registry.
	if len(labels) > 2 && len(labels[len(labels)-2]) <= 3 && len(labels[len(labels)-1]) == 2 {
		n = 3
	}
	return provider + " " + strings.Join(labels[len(labels)-n:], ".")
}

// places bounds how many requests a host has at a time. Whoever waited longest
// is next.
type places struct {
	mu      sync.Mutex // guards what follows
	taken   int
	waiting []chan struct{}
}

// take waits for a place. most is asked each time, because a host that just got
// up has fewer.
func (p *places) take(ctx context.Context, most func() int) error {
	p.mu.Lock()
	if p.taken < most() && len(p.waiting) == 0 {
		p.taken++
		p.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	p.waiting = append(p.waiting, turn)
	p.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	for i, w := range p.waiting {
		if w == turn {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			p.mu.Unlock()
			return context.Cause(ctx)
		}
	}
	p.mu.Unlock()
	p.give(most) // the turn came at the same moment
	return context.Cause(ctx)
}

// give gives a place back.
func (p *places) give(most func() int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	for len(p.waiting) > 0 && p.taken < max(1, most()) {
		close(p.waiting[0])
		p.waiting = p.waiting[1:]
		p.taken++
	}
}

// denied is why a request was not sent.
type denied struct {
	kind   Kind
	until  time.Time
	reason string
}

func (d *denied) Error() string { return d.reason }

// blocked returns why the endpoint would not send a request of class now.
func (p *Pool) blocked(e *endpoint, class string) *denied {
	if d := p.paused(e); d != nil {
		return d
	}
	now := time.Now()
	if _, at := p.breaker(e, class).look(); at.After(now) {
		return &denied{Unavailable, at, openError{at}.Error()}
	}
	return nil
}

// paused returns the pause of the endpoint or of its group.
func (p *Pool) paused(e *endpoint) *denied {
	for _, whom := range [...]string{e.group, e.scope()} {
		if b, ok := p.pauses.of(whom); ok {
			return &denied{b.Kind, b.Until, b.Reason}
		}
	}
	return nil
}

// scope names what a pause hits that is no ban of the address: one host with
// one key.
func (e *endpoint) scope() string { return e.info.Name + " " + e.host.name + " " + e.Name }

// wait returns how long the limits would keep a request that costs one unit.
func (e *endpoint) wait(now time.Time) time.Duration {
	var d time.Duration
	for _, l := range e.limits {
		d = max(d, l.wait(now, 1))
	}
	if e.own != nil {
		d = max(d, e.own.wait(now, 1))
	}
	return d
}

// admission is the leave to send one request: a permit of the breaker and a
// place at the host.
type admission struct {
	e      *endpoint
	permit *permit
	most   func() int
}

// admit waits until a request may be sent: past the ban and the breaker, with a
// place at the host and inside every limit. The context it returns ends when
// the breaker opens.
func (p *Pool) admit(ctx context.Context, e *endpoint, r Request) (context.Context, *admission, error) {
	if d := p.blocked(e, r.Class); d != nil {
		return nil, nil, d
	}
	b := p.breaker(e, r.Class)
	ctx, permit, err := b.acquire(ctx)
	if err != nil {
		return nil, nil, toDenied(err)
	}
	most := func() int { return max(1, int(float64(p.perHost)*b.share()+0.5)) }
	if err := e.host.places.take(ctx, most); err != nil {
		permit.end(neutral)
		return nil, nil, toDenied(err)
	}
	a := &admission{e, permit, most}
	if err := p.spend(ctx, e, r); err != nil {
		a.end(neutral)
		return nil, nil, toDenied(err)
	}
	return ctx, a, nil
}

// toDenied turns the opening of a breaker into a denial, and leaves the rest.
func toDenied(err error) error {
	if o, ok := errors.AsType[openError](err); ok {
		return &denied{Unavailable, o.until, o.Error()}
	}
	return err
}

// end gives the admission back with what the request showed.
func (a *admission) end(o outcome) {
	a.e.host.places.give(a.most)
	a.e.host.budget.count(o)
	a.permit.end(o)
}

// spend waits until every limit lets r through. It looks for a ban again after
// each wait, that for a place included.
func (p *Pool) spend(ctx context.Context, e *endpoint, r Request) error {
	for {
		if d := p.paused(e); d != nil {
			return d
		}
		d := p.take(e, time.Now(), r.Cost)
		if d <= 0 {
			return nil
		}
		if err := sleep(ctx, d); err != nil {
			return err
		}
	}
}

// take spends a request in all limits at once, or in none and says how long
// that will take.
func (p *Pool) take(e *endpoint, now time.Time, cost []int) time.Duration {
	p.spending.Lock()
	defer p.spending.Unlock()
	at := func(i int) int {
		if i < len(cost) {
			return cost[i]
		}
		return 1
	}
	var d time.Duration
	for i, l := range e.limits {
		d = max(d, l.wait(now, at(i)))
	}
	if e.own != nil {
		d = max(d, e.own.wait(now, 1))
	}
	if d > 0 {
		return d
	}
	for i, l := range e.limits {
		l.take(now, at(i))
	}
	if e.own != nil {
		e.own.take(now, 1)
	}
	return 0
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
