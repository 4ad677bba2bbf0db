package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/storage"
)

// client asks the HTTP API: that of a running server under --url, or else one
// over the store in --data that lives inside this process. Either way a verb
// is written once, and JSON is the HTTP shape.
type client struct {
	base  string
	token string
	http  *http.Client
	local *inProcess     // nil under --url
	store *storage.Store // to close with the client; nil where it is not ours

	healing *healing // carries out repairs in this process; nil where a server does
}

// connect returns a client for reading. Nothing is created: a mistyped --data
// must not make an empty store that answers "no such series".
func (a *app) connect() (*client, error) {
	if a.cfg.URL != "" {
		return &client{base: a.cfg.URL, token: a.clientToken(), http: &http.Client{}}, nil
	}
	if a.store != nil {
		return a.inside(a.store, nil, a.healing)
	}
	if !storeExists(a.cfg.Data) {
		return nil, fmt.Errorf("there is no store in %s: import a file first, name the directory with --data, or a running server with --url", a.cfg.Data)
	}
	s, err := a.open(true, "barkeep")
	if err != nil {
		return nil, err
	}
	return a.inside(s, s, nil)
}

// connectToChange returns a client that may change the store, and carry out
// repairs where the store is its own.
func (a *app) connectToChange() (*client, error) {
	if a.cfg.URL != "" || a.store != nil {
		return a.connect()
	}
	if !storeExists(a.cfg.Data) {
		return nil, fmt.Errorf("there is no store in %s: import a file first, name the directory with --data, or a running server with --url", a.cfg.Data)
	}
	s, err := a.open(false, "barkeep")
	if err != nil {
		return nil, err
	}
	pool, err := a.openPool(a.bansFile())
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	h, err := a.newHealing(s, pool)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return a.inside(s, s, h)
}

// localToken is the token of an API that lives in this process only.
const localToken = "in-process"

// inside returns a client over s that closes own. Without h it makes a healer
// that fetches nothing.
func (a *app) inside(s, own *storage.Store, h *healing) (*client, error) {
	mine := h
	if h == nil {
		var err error
		if h, err = a.newHealing(s, nil); err != nil {
			return nil, err
		}
	}
	if own == nil {
		mine = nil // whoever opened the store ends it
	}
	local := &inProcess{handler: api.New(api.Options{Store: s, Healer: h.Healer, Token: localToken, Actor: "command line", Version: buildVersion()})}
	return &client{base: "http://localhost", token: localToken, http: &http.Client{Transport: local}, local: local, store: own, healing: mine}, nil
}

func storeExists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "db"))
	return err == nil
}

// open opens the store in --data.
func (a *app) open(readOnly bool, owner string) (*storage.Store, error) {
	calendars, err := a.calendars()
	if err != nil {
		return nil, err
	}
	return storage.Open(a.cfg.Data, storage.Options{
		Calendars: calendars,
		ReadOnly:  readOnly, Owner: owner,
		CacheBytes: a.cfg.Cache, DecodedBytes: a.cfg.DecodedCache,
		SpaceLow: a.cfg.SpaceLow, SpaceReadOnly: a.cfg.SpaceReadOnly, Ballast: a.cfg.Ballast,
		Scrub: a.cfg.ScrubRate, WriteTimeout: a.cfg.WriteTimeout,
		Logger: a.logger(), Fatal: a.fatal,
	})
}

func (c *client) close() error {
	if c.local != nil {
		c.local.wait.Wait()
	}
	if c.store == nil {
		return nil
	}
	return errors.Join(c.healing.close(), c.store.Close())
}

// do sends a request and returns the answer; an error status is an error.
func (c *client) do(ctx context.Context, method, path string, q url.Values, contentType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path+"?"+q.Encode(), body)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.http.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("no server answers at %s: start one with barkeep serve", c.base)
	}
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close() // it was only read
	var e struct {
		Error struct{ Code, Message string } `json:"error"`
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if json.Unmarshal(text, &e) != nil || e.Error.Message == "" {
		return nil, fmt.Errorf("%s answers %s", c.base, resp.Status)
	}
	if e.Error.Code == "token_needed" {
		return nil, fmt.Errorf("%s: give it in BARKEEP_TOKEN, or name the server's directory with --data", e.Error.Message)
	}
	if resp.StatusCode == http.StatusBadRequest {
		return nil, usageError{errors.New(e.Error.Message)}
	}
	return nil, &refused{e.Error.Code, e.Error.Message}
}

// refused is an error that the API answered.
type refused struct{ code, message string }

func (r *refused) Error() string { return r.message }

// get returns the body of an answer; the caller closes it.
func (c *client) get(ctx context.Context, path string, q url.Values) (io.ReadCloser, error) {
	resp, err := c.do(ctx, http.MethodGet, path, q, "", nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// show prints an answer: as it came under --output json, else through rows,
// which is given the decoded body.
func show[T any](ctx context.Context, a *app, path string, q url.Values, rows func(T) error) (err error) {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	body, err := c.get(ctx, path, q)
	if err != nil {
		return err
	}
	defer body.Close() // it was only read
	var v T
	var in io.Reader = body
	if a.cfg.Output == "json" {
		in = io.TeeReader(body, a.stdout)
	}
	if err := json.NewDecoder(in).Decode(&v); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil { // prints the rest of it
		return err
	}
	return rows(v)
}

// query builds parameters out of pairs; empty values are left out.
func query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// inProcess carries requests to a handler of this process and streams the
// answers.
type inProcess struct {
	handler http.Handler
	wait    sync.WaitGroup // for the handlers
}

func (t *inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	in := req.Clone(req.Context())
	in.RequestURI = req.URL.RequestURI()
	in.Host = req.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	pr, pw := io.Pipe()
	w := &pipeResponse{header: http.Header{}, pipe: pw, ready: make(chan struct{})}
	t.wait.Go(func() {
		var err error
		defer func() {
			if p := recover(); p != nil {
				if err, _ = p.(error); err == nil {
					err = fmt.Errorf("%v", p)
				} else if errors.Is(err, http.ErrAbortHandler) {
					err = io.ErrUnexpectedEOF // the handler cut its answer
				}
			}
			w.WriteHeader(http.StatusOK)
			_ = pw.CloseWithError(err) // never fails
		}()
		t.handler.ServeHTTP(w, in)
	})
	<-w.ready
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.sent, Body: pr, ContentLength: -1, Request: req,
	}, nil
}

// pipeResponse is the http.ResponseWriter of inProcess.
type pipeResponse struct {
	header, sent http.Header
	status       int
	pipe         *io.PipeWriter
	ready        chan struct{}
}

func (w *pipeResponse) Header() http.Header { return w.header }

func (w *pipeResponse) WriteHeader(status int) {
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
		close(w.ready)
	}
}

func (w *pipeResponse) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pipe.Write(p)
}

func (w *pipeResponse) Flush() { w.WriteHeader(http.StatusOK) }

// clientToken is the token to send: the configured one, or that of a server
// whose data directory can be read.
func (a *app) clientToken() string {
	if a.cfg.Token != "" {
		return a.cfg.Token
	}
	// The token of this machine's store is for servers of this machine only.
	if u, err := url.Parse(a.cfg.URL); err != nil || !isLoopback(net.JoinHostPort(u.Hostname(), "0")) {
		return ""
	}
	text, _ := os.ReadFile(filepath.Join(a.cfg.Data, tokenFile))
	return strings.TrimSpace(string(text))
}
