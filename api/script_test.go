package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
	"github.com/barkeepdb/barkeep/storage"
)

// token is what the servers of the tests take.
const token = "barkeep_test-token"

// now is the clock of the tests: 2024-02-01T00:00:00Z.
const now series.Time = 1706745600000

// newServer returns an API over an empty store in memory.
func newServer(t testing.TB) (*api.Server, *storage.Store) {
	t.Helper()
	s, err := storage.Open("db", storage.Options{FS: vfs.NewMem(), Now: func() series.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // some tests close it before
	return api.New(api.Options{Store: s, Token: token, Version: "test", Now: now.Std, MaxBody: 1 << 20}), s
}

// load writes CSV rows into the store.
func load(t testing.TB, s *storage.Store, key series.Key, source, csv string) {
	t.Helper()
	rd, err := barfile.Open(strings.NewReader(csv), barfile.Options{Interval: key.Interval})
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close() // it was only read
	var cols series.Columns
	if _, err := rd.Next(&cols, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(context.Background(), key, &cols, storage.WriteOptions{Source: source}); err != nil {
		t.Fatal(err)
	}
}

// troubled is a store that a script makes trouble for.
type troubled struct {
	*storage.Store
	health  storage.Health
	damages []storage.Damage // all of them were found since the start
	err     error            // of writes
	left    int              // writes that go well before
}

func (s *troubled) Health() storage.Health             { return s.health }
func (s *troubled) FoundNow() []storage.Damage         { return s.damages }
func (s *troubled) Damages() ([]storage.Damage, error) { return s.damages, nil }

func (s *troubled) Write(ctx context.Context, key series.Key, c *series.Columns, o storage.WriteOptions) (storage.WriteResult, error) {
	if s.left--; s.err != nil && s.left < 0 {
		return storage.WriteResult{}, s.err
	}
	return s.Store.Write(ctx, key, c, o)
}

// disk sets what the store says of its disk.
func (s *troubled) disk(t *testing.T, d *datadriven.TestData) {
	s.health = storage.Health{}
	for name, to := range map[string]*int64{
		"space": (*int64)(nil), "free": &s.health.Free, "total": &s.health.Total,
		"waiting_ms": (*int64)(&s.health.Waiting), "slow_ms": (*int64)(&s.health.SlowSince),
	} {
		if !d.HasArg(name) {
			continue
		}
		if to == nil {
			var state string
			d.ScanArgs(t, name, &state)
			for ; s.health.Space.String() != state; s.health.Space++ { // ends by itself or panics
			}
			continue
		}
		d.ScanArgs(t, name, to)
		if strings.HasSuffix(name, "_ms") {
			*to *= int64(time.Millisecond)
		}
	}
}

// refuse sets the error that writes get, after some that go well.
func (s *troubled) refuse(t *testing.T, d *datadriven.TestData) {
	e := &storage.UnavailableError{Unknown: d.HasArg("unknown"), Detail: strings.TrimSpace(d.Input)}
	var reason string
	d.ScanArgs(t, "reason", &reason)
	for ; e.Reason.String() != reason; e.Reason++ {
		if e.Reason > storage.Damaged {
			d.Fatalf(t, "no reason %s", reason)
		}
	}
	ms := 0
	d.MaybeScanArgs(t, "retry_ms", &ms)
	e.RetryAfter = time.Duration(ms) * time.Millisecond
	s.left = 0
	d.MaybeScanArgs(t, "after", &s.left)
	s.err = e
}

// find adds a damage; without a symbol it is about no series.
func (s *troubled) find(t *testing.T, d *datadriven.TestData) {
	x := storage.Damage{ID: uint64(len(s.damages) + 7), At: now, What: strings.TrimSpace(d.Input), Found: "open"}
	if d.HasArg("symbol") {
		d.ScanArgs(t, "symbol", &x.Key.Symbol)
		x.Key.Interval = series.Interval1m
	}
	d.MaybeScanArgs(t, "bars", &x.Bars)
	if x.Bars > 0 {
		x.Span = series.Span{From: now - series.Time(x.Bars)*series.Minute, To: now}
	}
	s.damages = append(s.damages, x)
}

// shown are the headers that a script prints.
var shown = []string{"Allow", "WWW-Authenticate", "Retry-After"}

// TestScripts runs the requests of testdata and compares the answers.
//
//	load SYMBOL INTERVAL   writes the CSV below
//	ask                    METHOD PATH, headers, an empty line, a body
//	disk space= free= ...  what the store says of its disk
//	refuse reason= ...     makes writes fail, with the detail below
//	find symbol= bars=     a damage, with what happened below
//
// The token is sent with "auth" beside ask.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		_, s := newServer(t)
		bad := &troubled{Store: s}
		srv := api.New(api.Options{Store: bad, Token: token, Version: "test", Now: now.Std, MaxBody: 1 << 20})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "disk":
				bad.disk(t, d)
				return ""
			case "refuse":
				bad.refuse(t, d)
				return ""
			case "find":
				bad.find(t, d)
				return ""
			case "load":
				var symbol, interval string
				d.ScanArgs(t, "symbol", &symbol)
				d.ScanArgs(t, "interval", &interval)
				i, err := series.ParseInterval(interval)
				if err != nil {
					d.Fatalf(t, "%v", err)
				}
				load(t, s, series.Key{Symbol: symbol, Interval: i}, "import", d.Input)
				return ""
			case "ask":
				return ask(srv, d.Input, d.HasArg("auth"))
			}
			d.Fatalf(t, "unknown command %s", d.Cmd)
			return ""
		})
	})
}

// ask sends the request that a script writes and returns the answer as text.
func ask(srv *api.Server, script string, auth bool) string {
	head, body, _ := strings.Cut(script, "\n\n")
	lines := strings.Split(head, "\n")
	method, target, _ := strings.Cut(lines[0], " ")
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "localhost:8080"
	if auth {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for _, l := range lines[1:] {
		name, v, _ := strings.Cut(l, ": ")
		if name == "Host" {
			r.Host = v
		} else {
			r.Header.Set(name, v)
		}
	}
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, r)
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s\n", w.Code, w.Header().Get("Content-Type"))
	for _, h := range shown {
		if v := w.Header().Get(h); v != "" {
			fmt.Fprintf(&b, "%s: %s\n", h, v)
		}
	}
	if text := strings.TrimRight(w.Body.String(), "\n"); text != "" {
		b.WriteString(text + "\n")
	}
	return b.String()
}

// TestRequestID: a harmless id is kept, another one replaced.
func TestRequestID(t *testing.T) {
	srv, _ := newServer(t)
	for given, kept := range map[string]bool{"abc-1.2_3": true, "": false, "a b": false, "x\ny": false, strings.Repeat("a", 65): false} {
		r := httptest.NewRequest("GET", "/health", nil)
		r.Host = "localhost"
		r.Header.Set("X-Request-Id", given)
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, r)
		got := w.Header().Get("X-Request-Id")
		if got == "" || (got == given) != kept {
			t.Errorf("id %q came back as %q", given, got)
		}
	}
}

// brokenStore fails at everything but its name list.
type brokenStore struct {
	*storage.Store
	err error
}

func (b brokenStore) Series() ([]storage.Info, error)       { return nil, b.err }
func (b brokenStore) Info(series.Key) (storage.Info, error) { return storage.Info{}, b.err }

// TestErrors: what comes up from below has one status each, and what is our
// fault tells the client nothing but where to look.
func TestErrors(t *testing.T) {
	_, s := newServer(t)
	for _, tt := range []struct {
		err  error
		want string
	}{
		{storage.ErrClosed, `503 application/json; charset=utf-8
Retry-After: 5
{"error":{"code":"closing","message":"store is closed"}}
`},
		{&storage.CorruptError{Key: series.Key{Symbol: "A", Interval: series.Interval1m}, Reason: "checksum"}, `500 application/json; charset=utf-8
{"error":{"code":"damaged","message":"A 1m: bars of [1970-01-01T00:00:00Z, 1970-01-01T00:00:00Z) are damaged: checksum"}}
`},
		{errors.New("secret detail"), `500 application/json; charset=utf-8
{"error":{"code":"internal","message":"the server failed at this request: its log says why under the id of X-Request-Id"}}
`},
	} {
		srv := api.New(api.Options{Store: brokenStore{s, tt.err}, Token: token})
		if got := ask(srv, "GET /v1/bars?symbol=A&interval=1m", false); got != tt.want {
			t.Errorf("%v:\n%s\nwant\n%s", tt.err, got, tt.want)
		}
		if got := ask(srv, "GET /health", false); !strings.HasPrefix(got, "503 ") {
			t.Errorf("%v: health is %s", tt.err, got)
		}
	}
}

// Example opens a store in memory and asks the handler, as a program that
// embeds Barkeep would.
func Example() {
	s, err := storage.Open("db", storage.Options{FS: vfs.NewMem()})
	if err != nil {
		panic(err)
	}
	defer s.Close() // it is in memory
	key := series.Key{Symbol: "BTCUSDT", Interval: series.Interval1m}
	var c series.Columns
	start := series.TimeOf(time.Date(2024, 1, 1, 9, 0, 0, 0, time.UTC))
	for _, minute := range []series.Time{0, 1, 5} {
		c.Append(series.Bar{Time: start + minute*series.Minute, Open: 1, High: 2, Low: 1, Close: 2, Volume: 3})
	}
	if _, err := s.Write(context.Background(), key, &c, storage.WriteOptions{Source: "example"}); err != nil {
		panic(err)
	}
	handler := api.New(api.Options{Store: s})
	r := httptest.NewRequest("GET", "http://localhost/v1/gaps?symbol=BTCUSDT&interval=1m", nil)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)
	// Output: 200 {"symbol":"BTCUSDT","interval":"1m","calendar":"24x7","from":1704099600000,"to":1704099960000,"expected":6,"present":3,"missing":3,"gaps":[{"from":1704099720000,"to":1704099900000,"bars":3,"state":"missing","reason":"","attempts":0,"next_try":null}]}
}
