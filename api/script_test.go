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

// shown are the headers that a script prints.
var shown = []string{"Allow", "WWW-Authenticate", "Retry-After"}

// TestScripts runs the requests of testdata and compares the answers.
//
//	load SYMBOL INTERVAL   writes the CSV below
//	ask                    METHOD PATH, headers, an empty line, a body
//
// The token is sent with "auth" beside ask.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		srv, s := newServer(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
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
