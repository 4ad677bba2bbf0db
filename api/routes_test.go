package api

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/barkeepdb/barkeep/storage"
)

func memoryServer(t *testing.T) *Server {
	t.Helper()
	s, err := storage.Open("db", storage.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // in memory: nothing to lose
	return New(Options{Store: s, Token: "barkeep_test-token"})
}

// TestRoutesAreDocumented: docs/http.md lists every route, and every GET has
// its HEAD.
func TestRoutesAreDocumented(t *testing.T) {
	docs, err := os.ReadFile("../docs/http.md")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, r := range memoryServer(t).engine.Routes() {
		have[r.Method+" "+r.Path] = true
		path := strings.NewReplacer("*name", "{symbol}", ":name", "{name}", ":id", "{id}").Replace(r.Path)
		if !strings.Contains(string(docs), path) {
			t.Errorf("docs/http.md lacks %s %s", r.Method, path)
		}
	}
	for r := range have {
		if path, ok := strings.CutPrefix(r, "GET "); ok && !have["HEAD "+path] {
			t.Errorf("%s has no HEAD", r)
		}
	}
}

// TestInterrupted: a body that the store takes in part says how much, and
// keeps its status and when to come again.
func TestInterrupted(t *testing.T) {
	full := &storage.UnavailableError{Reason: storage.DiskFull, RetryAfter: 3 * time.Second}
	err := interrupted(full, 262144)
	e := asError(err)
	if e.Status != 507 || e.Code != "disk_full" || retryAfter(err, e.Status) != "3" || !strings.Contains(e.Message, "the 262144 rows before it are written") {
		t.Errorf("%+v, again after %s", e, retryAfter(err, e.Status))
	}
	if e := asError(interrupted(full, 0)); strings.Contains(e.Message, "rows before") {
		t.Errorf("nothing was written, and it says %q", e.Message)
	}
}

// deadlines is an answer that keeps the deadlines that were set.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.read = append(d.read, t)
	return nil
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.write = append(d.write, t)
	return nil
}

// TestDeadlines: once a request is read, no deadline of the server may cancel
// what it asks for, and the answer gets one of its own, however late it comes.
func TestDeadlines(t *testing.T) {
	srv := memoryServer(t)
	for _, r := range []*http.Request{
		httptest.NewRequest(http.MethodGet, "/v1/series", http.NoBody),
		httptest.NewRequest(http.MethodGet, "/openapi.json", http.NoBody), // which is compressed
		httptest.NewRequest(http.MethodPost, "/v1/bars?symbol=A&interval=1m", strings.NewReader("time,open,high,low,close\n1704099600000,1,2,1,2\n")),
	} {
		r.Host = "localhost"
		r.Header.Set("Authorization", "Bearer barkeep_test-token")
		r.Header.Set("Accept-Encoding", "gzip")
		d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		srv.ServeHTTP(d, r)
		if n := len(d.read); d.Code != 200 || n == 0 || !d.read[n-1].IsZero() || len(d.write) == 0 {
			t.Errorf("%s: %d %s, deadlines %v for reading, %v for writing", r.Method, d.Code, d.Body, d.read, d.write)
		}
	}
}

// sipper is a client that takes rate bytes a second, in steps of a second.
type sipper struct {
	gin.ResponseWriter
	rate     int
	deadline time.Time
}

func (r *sipper) SetWriteDeadline(t time.Time) error {
	r.deadline = t
	return nil
}

func (r *sipper) Write(p []byte) (n int, err error) {
	for n < len(p) {
		if wait := time.Until(r.deadline); wait <= time.Second {
			<-time.After(wait)
			return n, os.ErrDeadlineExceeded
		}
		<-time.After(time.Second)
		n = min(n+r.rate, len(p))
	}
	return n, nil
}

// TestUnread: who does not read is cut after stall, who reads a byte now and
// then soon after, and who reads on may take as long as it takes.
func TestUnread(t *testing.T) {
	for _, x := range []struct {
		rate        int
		least, most time.Duration
	}{
		{0, stall, stall},
		{1, stall - time.Second, stall + time.Second},
		{100, stall - time.Second, stall + time.Second},
		{slowest / 2, stall, 3 * stall},
		{slowest, time.Hour, time.Hour},
		{100 * slowest, time.Hour, time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := &sipper{rate: x.rate}
			w := &patientWriter{ResponseWriter: r, rc: http.NewResponseController(r)}
			start, err := time.Now(), error(nil)
			for err == nil && time.Since(start) < time.Hour {
				_, err = w.Write(make([]byte, slowest))
			}
			if took := time.Since(start); took < x.least || took > max(x.most, stall+time.Second) || (err == nil) != (x.least == time.Hour) {
				t.Errorf("%d bytes a second: cut after %v, error %v", x.rate, took, err)
			}
		})
	}
	if stall > 6*time.Second {
		t.Error("nobody may be held for ten seconds")
	}
}

// TestMetrics: the metrics are named as Prometheus wants them.
func TestMetrics(t *testing.T) {
	families, err := memoryServer(t).metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "barkeep_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for _, f := range families {
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if l.GetName() == "symbol" {
					t.Errorf("%s has a label per symbol", f.GetName())
				}
			}
		}
	}
}
