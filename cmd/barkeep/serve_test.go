package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rewrite is what `make golden` passes.
var rewrite = flag.Bool("rewrite", false, "rewrite the expected output of the scripts")

// server is a running barkeep serve.
type server struct {
	url  string
	dir  string
	out  *bufio.Reader
	stop context.CancelFunc
	done chan int
	errs *bytes.Buffer
}

var address = regexp.MustCompile(`http://\S+`)

// startServer runs barkeep serve on a free port until the test ends.
func startServer(t *testing.T, dir string, grace time.Duration) *server {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	pr, pw := io.Pipe()
	s := &server{dir: dir, out: bufio.NewReader(pr), stop: stop, done: make(chan int, 1), errs: &bytes.Buffer{}}
	go func() {
		a := &app{stdin: strings.NewReader(""), stdout: pw, stderr: s.errs, grace: grace}
		code := a.run(ctx, []string{"serve", "--data", dir, "--listen", "127.0.0.1:0"})
		_ = pw.Close() // never fails
		s.done <- code
	}()
	for s.url == "" {
		line, err := s.out.ReadString('\n')
		if err != nil {
			t.Fatalf("serve ended: %v %s", err, s.errs)
		}
		if strings.HasPrefix(line, "serving") {
			s.url = address.FindString(line)
		}
	}
	go io.Copy(io.Discard, s.out) //nolint:errcheck // it ends with the server
	t.Cleanup(stop)
	return s
}

// run runs the program and returns its code and what it printed.
func run(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Run(t.Context(), args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

const rows = `time,open,high,low,close,volume
2024-01-01T09:00:00Z,100,110,90,105,1.5
2024-01-01T09:01:00Z,105,106,104,105.5,2.25
2024-01-01T09:04:00Z,105.5,107,105,106,0
`

const hours = `time,open,high,low,close,volume
2024-01-02T14:30:00Z,1,2,0.5,1.5,10
2024-01-02T15:30:00Z,1,2,0.5,1.5,10
2024-01-02T16:30:00Z,1,2,0.5,1.5,10
`

// TestServe: every verb says the same over HTTP as over the directory, the
// token file is private, a second program is told who has the store, and the
// server ends cleanly.
func TestServe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := startServer(t, dir, time.Minute)

	info, err := os.Stat(filepath.Join(dir, tokenFile))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the token has mode %v", info.Mode())
	}
	if code, out, errs := run(t, rows, "import", "-", "--symbol", "BTC/USDT", "--interval", "1m", "--url", s.url, "--data", dir); code != 0 || !strings.Contains(out, "3 written") {
		t.Fatalf("import: %d %s %s", code, out, errs)
	}
	if code, _, errs := run(t, rows, "import", "-", "--symbol", "BTC/USDT", "--interval", "1m", "--url", s.url, "--data", t.TempDir()); code != 1 || !strings.Contains(errs, "BARKEEP_TOKEN") {
		t.Errorf("import without the token: %d %s", code, errs)
	}
	if code, _, errs := run(t, "", "series", "--data", dir); code != 1 || !strings.Contains(errs, "barkeep serve") || !strings.Contains(errs, "--url") {
		t.Errorf("a second program: %d %s", code, errs)
	}
	if code, _, errs := run(t, "", "query", "--symbol", "X", "--interval", "1m", "--url", s.url); code != 1 || !strings.Contains(errs, "nothing is stored of X") {
		t.Errorf("query of nothing: %d %s", code, errs)
	}

	if code, out, errs := run(t, hours, "import", "-", "--symbol", "SPY", "--url", s.url, "--data", dir); code != 0 ||
		!strings.Contains(out, "SPY 1h: 3 bars") || !strings.Contains(out, "its bars open 30m0s after the full 1h") {
		t.Errorf("import without --interval: %d %s %s", code, out, errs)
	}

	verbs := [][]string{
		{"series"},
		{"gaps"},
		{"gaps", "--symbol", "BTC/USDT", "--interval", "1m", "--output", "json"},
		{"coverage", "--symbol", "BTC/USDT", "--interval", "1m"},
		{"query", "--symbol", "BTC/USDT", "--interval", "5m", "--output", "csv"},
		{"query", "--symbol", "BTC/USDT", "--interval", "1m", "--fill", "prev"},
		{"export", "--symbol", "BTC/USDT", "--interval", "1m", "--format", "json"},
		{"export", "--symbol", "BTC/USDT", "--interval", "1m", "--plain"},
	}
	remote := make([]string, len(verbs))
	for i, args := range verbs {
		code, out, errs := run(t, "", append(args, "--url", s.url)...)
		if code != 0 {
			t.Fatalf("%v: %d %s", args, code, errs)
		}
		remote[i] = out
	}

	s.stop()
	if code := <-s.done; code != 0 {
		t.Errorf("serve ended with %d: %s", code, s.errs)
	}
	if _, err := http.Get(s.url + "/health"); err == nil {
		t.Error("the server still answers")
	}
	for i, args := range verbs {
		if code, out, errs := run(t, "", append(args, "--data", dir)...); code != 0 || out != remote[i] {
			t.Errorf("%v: %d %s\n%swant\n%s", args, code, errs, out, remote[i])
		}
	}
}

// TestInterruptedImport: an import that is told to stop says how to go on, and
// writes nothing twice.
func TestInterruptedImport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	args := []string{"import", "-", "--symbol", "A", "--interval", "1m", "--data", dir}
	if code := Run(ctx, args, strings.NewReader(rows), &out, &errs); code != 1 || !strings.Contains(errs.String(), "the same command goes on") {
		t.Fatalf("%d %s", code, errs.String())
	}
	for _, want := range []string{"3 written", "0 written, 3 unchanged"} {
		if code, out, errs := run(t, rows, args...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%d %s %s, want %s", code, out, errs, want)
		}
	}
}

// TestToken: the token of a directory is made once.
func TestToken(t *testing.T) {
	dir := t.TempDir()
	first, made, err := adminToken(dir)
	if err != nil || !made || len(first) < 40 {
		t.Fatal(first, made, err)
	}
	second, made, err := adminToken(dir)
	if err != nil || made || second != first {
		t.Fatal(second, made, err)
	}
	if err := os.WriteFile(filepath.Join(dir, tokenFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := adminToken(dir); err == nil {
		t.Error("an empty file is taken for a token")
	}
}

// TestExitCodes: 0 done, 1 failed, 2 wrong usage, 3 findings under --check.
func TestExitCodes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for _, tt := range []struct {
		code int
		args []string
	}{
		{0, []string{"import", "-", "--symbol", "A", "--interval", "1m", "--data", dir}},
		{0, []string{"gaps", "--data", dir}},
		{3, []string{"gaps", "--check", "--data", dir}},
		{0, []string{"gaps", "--check", "--data", dir, "--to", "2024-01-01T09:02:00Z"}},
		{0, []string{"verify", "--check", "--data", dir}},
		{1, []string{"verify", "--data", dir + "-none"}},
		{1, []string{"query", "--symbol", "B", "--interval", "1m", "--data", dir}},
		{2, []string{"query", "--symbol", "A", "--interval", "1m", "--from", "noon", "--data", dir}},
		{2, []string{"query", "--symbol", "A", "--interval", "1m", "--fill", "magic", "--data", dir}},
		{2, []string{"nonsense"}},
		{2, []string{"gaps", "--nonsense"}},
		{2, []string{"gaps", "nonsense"}},
		{2, []string{"serve", "--listen", "0.0.0.0:0"}},
	} {
		if code, _, errs := run(t, rows, tt.args...); code != tt.code {
			t.Errorf("%v ends with %d, want %d: %s", tt.args, code, tt.code, errs)
		}
	}
}

// TestStopWhileReading: a server that is told to stop while a client reads
// slowly gives it up and still closes the store in order.
func TestStopWhileReading(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := startServer(t, dir, 100*time.Millisecond)
	var b strings.Builder
	b.WriteString("time,open,high,low,close,volume\n")
	for i := range 300_000 {
		b.WriteString(strconv.Itoa(1704067200+60*i) + "," + strconv.Itoa(100+i%977) + ",2000,1," + strconv.Itoa(100+i%991) + "," + strconv.Itoa(i) + "\n")
	}
	if code, _, errs := run(t, b.String(), "import", "-", "--symbol", "A", "--interval", "1m", "--url", s.url, "--data", dir); code != 0 {
		t.Fatal(errs)
	}
	resp, err := http.Get(s.url + "/v1/bars?symbol=A&interval=1m&format=ndjson")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	s.stop() // the body is not read: the server fills its buffers and waits
	if code := <-s.done; code != 0 {
		t.Errorf("serve ended with %d: %s", code, s.errs)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("half an answer looks like a whole one")
	}
	if code, out, errs := run(t, "", "verify", "--data", dir); code != 0 {
		t.Errorf("verify: %d %s %s", code, out, errs)
	}
}
