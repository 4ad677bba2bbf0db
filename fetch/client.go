package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// TransportOptions are the deadlines of the way to a server. Zero stands for
// the default.
type TransportOptions struct {
	Connect time.Duration // to resolve the name and connect: 5 s
	TLS     time.Duration // for the handshake: 5 s
	Header  time.Duration // from the request to the first line of the answer: 15 s
	// Private lets all requests reach private addresses, not only those of the
	// endpoints that may.
	Private bool
	// Dial replaces the way to connect, for tests; the guard against private
	// addresses is in the usual one only.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Roots replaces the certificates that the machine trusts, for tests.
	Roots *x509.CertPool
}

// NewTransport returns the transport that all endpoints of a pool share. It
// verifies certificates, speaks TLS 1.2 or better, and connects to public
// addresses only, unless an endpoint allows private ones. It uses no proxy.
func NewTransport(o TransportOptions) *http.Transport {
	def := func(d, usual time.Duration) time.Duration {
		if d > 0 {
			return d
		}
		return usual
	}
	connect := def(o.Connect, 5*time.Second)
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: connect, KeepAlive: 30 * time.Second, ControlContext: guard}).DialContext
	}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, connect)
			defer cancel()
			if o.Private {
				ctx = allowPrivate(ctx, true)
			}
			return dial(ctx, network, address)
		},
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots},
		TLSHandshakeTimeout:    def(o.TLS, 5*time.Second),
		ResponseHeaderTimeout:  def(o.Header, 15*time.Second),
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        60 * time.Second,
		ForceAttemptHTTP2:      true,
	}
}

const (
	// MaxBody is the size of the largest body that is read, decompressed. 50,000
	// rows of the most talkative vendor are a third of it.
	MaxBody = 16 << 20

	bodyDeadline = 60 * time.Second // for the whole body, however it drips
	maxRedirects = 3
	agent        = "barkeep (+https://github.com/barkeepdb/barkeep)"
)

var (
	errBodyDeadline = errors.New("the body did not arrive in time")
	errDeadline     = errors.New("no answer in time")
	errBodySize     = fmt.Errorf("the body is larger than %d MiB", MaxBody>>20)
	errUnreadable   = errors.New("the answer cannot be read")
	errMethod       = errors.New("only GET is redirected")
	errElsewhere    = errors.New("redirected to another host")
	errRedirects    = errors.New("redirected in a circle")
)

// client sends requests and reads answers whole.
type client struct {
	http http.Client
}

func newClient(rt http.RoundTripper) *client {
	return &client{http.Client{Transport: rt, CheckRedirect: checkRedirect}}
}

// checkRedirect follows a vendor on its own host only: somewhere else the
// answer would be someone else's, and the key would go there.
func checkRedirect(r *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case len(via) > maxRedirects:
		return errRedirects
	case first.Method != http.MethodGet:
		return errMethod
	case r.URL.Host != first.URL.Host, r.URL.Scheme != first.URL.Scheme:
		return errElsewhere
	}
	return nil
}

// target is where a request goes.
type target struct {
	base    *url.URL
	private bool          // it may be a private address
	timeout time.Duration // of one attempt as a whole
}

// raw is an answer as it came, before anybody judged it.
type raw struct {
	status     int
	header     http.Header
	body       []byte
	sent, came time.Time // when the request left and the first line of the answer was there
}

// send sends r once. The error, if any, is of the network or of HTTP and holds
// no address with a query.
func (c *client) send(ctx context.Context, t target, r Request) (*raw, error) {
	ctx, cancel := context.WithCancelCause(allowPrivate(ctx, t.private))
	defer cancel(nil)
	late := time.AfterFunc(t.timeout, func() { cancel(errDeadline) })
	defer late.Stop()

	req, err := t.request(ctx, r)
	if err != nil {
		return nil, err
	}
	a := &raw{sent: time.Now()}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, plain(ctx, err)
	}
	defer resp.Body.Close()
	a.came = time.Now()
	dripping := time.AfterFunc(bodyDeadline, func() { cancel(errBodyDeadline) })
	defer dripping.Stop()
	a.status, a.header = resp.StatusCode, resp.Header
	if a.body, err = readBody(resp); err != nil {
		return nil, plain(ctx, err)
	}
	return a, nil
}

// request writes r as an HTTP request.
func (t target) request(ctx context.Context, r Request) (*http.Request, error) {
	u := *t.base
	u.Path = strings.TrimSuffix(u.Path, "/") + r.Path
	// A path that is escaped already, such as one with a slash in a symbol, must
	// not be escaped again.
	if p, err := url.PathUnescape(r.Path); err == nil && p != r.Path {
		u.Path, u.RawPath = strings.TrimSuffix(t.base.Path, "/")+p, strings.TrimSuffix(t.base.EscapedPath(), "/")+r.Path
	}
	u.RawQuery = r.Query
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	var body io.Reader
	if r.Body != nil {
		body = bytes.NewReader(r.Body)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, errors.New("the request has no valid address")
	}
	for name, values := range r.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", agent)
	}
	return req, nil
}

// plain says which deadline passed, and otherwise what went wrong in words of
// our own side: without the address, and without what the other one said.
// net/http quotes what it cannot read of an answer, and that may repeat the
// request, its key included.
func plain(ctx context.Context, err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
		return cause
	}
	for _, known := range []error{
		errElsewhere, errRedirects, errMethod, errBodySize,
		context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, http.ErrSchemeMismatch,
	} {
		if errors.Is(err, known) {
			return known
		}
	}
	if e, ok := errors.AsType[*net.OpError](err); ok { // to look up, dial, read and write
		return e
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return e
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return e
	}
	return errUnreadable
}

// readBody reads the body, up to MaxBody.
func readBody(resp *http.Response) ([]byte, error) {
	var b bytes.Buffer
	if n := resp.ContentLength; n > 0 && n <= MaxBody {
		b.Grow(int(n) + bytes.MinRead) // or the last read would double it
	}
	n, err := b.ReadFrom(io.LimitReader(resp.Body, MaxBody+1))
	if err != nil {
		return nil, err
	}
	if n > MaxBody {
		return nil, errBodySize
	}
	return b.Bytes(), nil
}

// markup reports whether an answer is a web page: what a firewall, a proxy or a
// server under maintenance sends instead of data.
func markup(a *raw) bool {
	media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	switch strings.ToLower(strings.TrimSpace(media)) {
	case "text/html", "application/xhtml+xml":
		return true
	}
	body := bytes.TrimLeft(bytes.TrimPrefix(a.body, []byte("\xef\xbb\xbf")), " \t\r\n")
	return len(body) > 0 && body[0] == '<'
}

// RetryAfter reads how long a server wants to be left alone: a number of
// seconds, or a date, which is taken against the server's own. It is never
// negative, and ok is false if the server says nothing that can be read.
func RetryAfter(h http.Header) (d time.Duration, ok bool) {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0, false
	}
	const most = 365 * 24 * time.Hour // more than any pause that is believed
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		switch {
		case n != n:
			return 0, false
		case n <= 0:
			return 0, true
		case n > most.Seconds():
			return most, true
		}
		return time.Duration(n * float64(time.Second)), true
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return max(0, min(at.Sub(now), most)), true
}

// date is the moment that the headers of an answer say its content is of: a
// cached answer is as old as its Age.
func date(h http.Header) (series.Time, bool) {
	d, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0, false
	}
	return series.TimeOf(d), true
}

func age(h http.Header) time.Duration {
	n, err := strconv.ParseUint(strings.TrimSpace(h.Get("Age")), 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
