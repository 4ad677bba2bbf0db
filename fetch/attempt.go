package fetch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/barkeepdb/barkeep/series"
)

// call is one request and what came of its last attempt.
type call struct {
	pool *Pool
	e    *endpoint
	r    Request
	// judge reads the answer; an error without a kind is garbage.
	judge func(Answer) error
	// patient says that nobody else can be asked: it is tried again here.
	patient  bool
	patience time.Duration // how long it may take until a retry begins
	until    time.Time     // when that is over

	err      error // of the last attempt: an *Error, a *denied, or that of the context
	sent     int   // attempts that left
	mayRetry bool  // what the last attempt says
	wait     time.Duration
}

type callKey struct{}

const (
	attempts    = 3
	backoffBase = 250 * time.Millisecond
	backoffCap  = 30 * time.Second
)

// newRetrier returns the client that repeats calls. It sees empty shells: what
// is sent is in the call, because each attempt is admitted, signed and judged
// anew, and a body that broke off after a 200 is a failed attempt too.
func newRetrier() *retryablehttp.Client {
	return &retryablehttp.Client{
		HTTPClient: &http.Client{Transport: attempter{}},
		RetryMax:   attempts - 1,
		CheckRetry: func(ctx context.Context, resp *http.Response, err error) (bool, error) {
			c, _ := ctx.Value(callKey{}).(*call)
			return err == nil && resp != nil && c != nil && c.again(ctx), nil
		},
		Backoff: func(_, _ time.Duration, _ int, resp *http.Response) time.Duration {
			c, _ := resp.Request.Context().Value(callKey{}).(*call)
			return c.wait
		},
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
}

// again reports whether to try again, and sets how long to wait before.
func (c *call) again(ctx context.Context) bool {
	if !c.patient || !c.mayRetry || ctx.Err() != nil || !c.e.host.budget.retry() {
		return false
	}
	// Full jitter: clients that failed together do not come back together.
	c.wait = jitter(min(backoffCap, backoffBase<<c.sent))
	if e := asError(c.err); e != nil && !e.RetryAt.IsZero() {
		c.wait += max(0, time.Until(e.RetryAt))
	}
	return time.Now().Add(c.wait).Before(c.until)
}

// jitter is a random time up to d.
func jitter(d time.Duration) time.Duration { return 1 + rand.N(d) }

// attempter makes an attempt of the call that is in the context.
type attempter struct{}

func (attempter) RoundTrip(shell *http.Request) (*http.Response, error) {
	c, _ := shell.Context().Value(callKey{}).(*call)
	c.err = c.attempt(shell.Context())
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: shell}, nil
}

// do makes the call and returns what came of its last attempt.
func (c *call) do(ctx context.Context) error {
	c.until = time.Now().Add(c.patience)
	shell, err := retryablehttp.NewRequestWithContext(context.WithValue(ctx, callKey{}, c), http.MethodGet, "http://call.invalid", nil)
	if err != nil {
		return err
	}
	resp, err := c.pool.retrier.Do(shell)
	if resp != nil {
		_ = resp.Body.Close() // it is empty
	}
	if err != nil && c.err == nil {
		c.err = err
	}
	if ctx.Err() != nil && c.err != nil {
		return context.Cause(ctx)
	}
	return c.err
}

// attempt sends the request once.
func (c *call) attempt(ctx context.Context) error {
	p, e := c.pool, c.e
	c.mayRetry = false
	within, leave, err := p.admit(ctx, e, c.r)
	if err != nil {
		return err
	}
	o := neutral
	defer func() { leave.end(o) }()
	r, err := e.signed(c.r, p.clocks.now(e.host.name))
	if err != nil {
		return err
	}
	e.stats.begin()
	c.sent++
	begun := time.Now()
	a, err := p.client.send(within, e.target, r)
	took := time.Since(begun)
	if err != nil {
		if within.Err() != nil { // given up, or the breaker opened meanwhile
			e.stats.end(took, neutral, nil)
			return toDenied(context.Cause(within))
		}
		o = failed
		return c.failed(took, o, &Error{Kind: Unavailable, Err: err})
	}
	answer := p.answer(e, a)
	p.learn(e, a)
	err = c.judge(answer)
	if err == nil && markup(a) {
		err = errMarkup
	}
	if err == nil {
		o = worked
		e.stats.end(took, o, nil)
		p.pauses.worked(e.group)
		return nil
	}
	bad := asError(err)
	if bad == nil {
		bad = &Error{Kind: Unavailable, Err: err}
	}
	fault := *bad // it may be shared
	if fault.Status == 0 {
		fault.Status = a.status
	}
	o = says(fault.Kind)
	p.heed(e, &fault, a.header)
	return c.failed(took, o, &fault)
}

var errMarkup = errors.New("the answer is a web page")

// says is what an error says of its host: only what does not work counts
// against it. Limits and bans are for the limiter.
func says(k Kind) outcome {
	switch k {
	case Unavailable:
		return failed
	case RateLimited, Banned, QuotaExhausted:
		return neutral
	}
	return worked
}

// failed completes and counts an error of an attempt.
func (c *call) failed(took time.Duration, o outcome, err *Error) error {
	e := c.e
	err.Provider, err.Endpoint = e.info.Name, e.Name
	err.Message = scrub(err.Message, e.Credentials)
	if err.Err != nil {
		if text := err.Err.Error(); scrub(text, e.Credentials) != text {
			err.Err = errors.New(scrub(text, e.Credentials))
		}
	}
	c.mayRetry = err.Kind == Unavailable && retryable(err)
	e.stats.end(took, o, err)
	c.pool.tell(e, RequestFailed, err.Error(), err.RetryAt)
	return err
}

// retryable reports whether the same server may answer better a moment later.
func retryable(e *Error) bool {
	switch {
	case errors.Is(e.Err, errElsewhere), errors.Is(e.Err, errRedirects), errors.Is(e.Err, errBodySize):
		return false
	case e.Status == 0, e.Status < 300:
		return true // the network, or garbage
	}
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout,
		520, 521, 522, 523, 524: // Cloudflare's words for a server behind it that fails
		return true
	}
	return false
}

// signed returns r with what the vendor demands of a caller.
func (e *endpoint) signed(r Request, now series.Time) (Request, error) {
	s, ok := e.Provider.(Signer)
	have := !e.Credentials.Key.Empty()
	if !have && (e.info.Auth == AuthKey || e.info.Auth == AuthSigned) {
		return r, &Error{Kind: NotEntitled, Provider: e.info.Name, Endpoint: e.Name, Message: "a key is needed: set api_key_env of the endpoint"}
	}
	if !ok || !have {
		return r, nil
	}
	r.Header = r.Header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if err := s.Sign(&r, e.host.name, e.Credentials, now.Std()); err != nil {
		return r, &Error{Kind: BadRequest, Provider: e.info.Name, Endpoint: e.Name, Err: errors.New(scrub(err.Error(), e.Credentials))}
	}
	return r, nil
}

// answer is a with the time of the server when it wrote it: a cached answer is
// older than its arrival.
func (p *Pool) answer(e *endpoint, a *raw) Answer {
	if d, ok := date(a.header); ok {
		p.clocks.coarse(e.host.name, d+series.Time(age(a.header).Milliseconds()), a.sent, a.came)
		if d, ok := p.clocks.differs(e.host.name); ok {
			p.tell(e, ClockDiffers, fmt.Sprintf("its clock is %v ahead of ours", d.Round(time.Second/10)), time.Time{})
		}
	}
	t := series.TimeOf(a.sent.Add(p.clocks.offset(e.host.name) - age(a.header)))
	return Answer{Status: a.status, Header: a.header, Body: a.body, Time: t}
}

// learn takes over what the headers say of the limits.
func (p *Pool) learn(e *endpoint, a *raw) {
	m, ok := e.Provider.(Meter)
	if !ok {
		return
	}
	for i, used := range m.Usage(a.header) {
		if used >= 0 && i < len(e.limits) {
			e.limits[i].learn(time.Now(), used)
		}
	}
}

// heed keeps away from an endpoint as long as it wants. It sets the moment in f
// from which on it may be asked again, on our clock.
func (p *Pool) heed(e *endpoint, f *Error, h http.Header) {
	if _, ok := longestPause[f.Kind]; !ok || f.Kind == NotEntitled {
		return
	}
	var until time.Time
	if !f.RetryAt.IsZero() { // on the server's clock
		until = f.RetryAt.Add(-p.clocks.offset(e.host.name))
	}
	if d, ok := RetryAfter(h); ok {
		if at := time.Now().Add(d); at.After(until) {
			until = at
		}
	}
	if f.Kind == Unavailable && until.IsZero() {
		return
	}
	whom := e.group
	if f.Kind == GeoBlocked || f.Kind == Unavailable || f.Kind == QuotaExhausted && !e.Credentials.Key.Empty() {
		whom = e.scope()
	}
	b, err := p.pauses.add(whom, f.Kind, until, fmt.Sprintf("%s: %s", f.Kind, scrub(f.Message, e.Credentials)))
	if err != nil {
		p.log.Warn("a ban could not be kept, and is forgotten when the program ends", "error", err)
	}
	f.RetryAt = b.Until
	p.tell(e, EndpointPaused, b.Reason, b.Until)
}
