package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// The test binary is the program when it is told so: the kill tests end it
// with SIGKILL, which no test in one process can survive.
const runEnv = "RUN_AS_BARKEEP"

func init() {
	if os.Getenv(runEnv) == "1" {
		os.Exit(Main())
	}
}

func program(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, os.Args[0], args...)
	c.Env = append(os.Environ(), runEnv+"=1")
	return c
}

// kills is how often each kill test ends the program.
func kills() int {
	if testing.Short() {
		return 8
	}
	return 30
}

// soon is a channel that closes after a random part of at most a moment.
func soon(r *rand.Rand, moment time.Duration) <-chan time.Time {
	return time.After(time.Duration(r.Int64N(int64(moment))))
}

// TestKillImport kills an import again and again. After each kill the store
// verifies and holds nothing but right bars; in the end an import that is left
// alone completes the series.
func TestKillImport(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "bars.csv")
	const rows = 1_500_000
	writeBars(t, file, rows)
	data := filepath.Join(dir, "data")
	args := []string{"import", file, "--symbol", "X", "--interval", "1m", "--data", data}
	r := rand.New(rand.NewPCG(1, 1))
	most := int64(0)
	killed := 0
	for range kills() {
		c := program(t.Context(), args...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		<-soon(r, 400*time.Millisecond)
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); err != nil {
			killed++
		}
		n := verifyBars(t, data)
		if n < most {
			t.Fatalf("%d bars after a kill, there were %d before", n, most)
		}
		most = n
	}
	if killed == 0 {
		t.Fatal("no import was killed before its end")
	}
	out, err := program(t.Context(), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := verifyBars(t, data); n != rows {
		t.Fatalf("%d bars after an import to the end, want %d", n, rows)
	}
	t.Logf("%d kills, %d of them before the end", kills(), killed)
}

// writeBars writes minutes whose values follow from their number.
func writeBars(t *testing.T, file string, rows int) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "time,open,high,low,close,volume")
	for i := range rows {
		p := closeOf(i)
		fmt.Fprintf(w, "%d,%.2f,%.2f,%.2f,%.2f,%d\n", firstBar+int64(i)*60000, p, p+1, p-1, p, i%7)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

const firstBar = int64(1600000020000)

func closeOf(i int) float64 { return float64(10000+i%5000) / 100 }

// verifyBars opens the store that a kill left, verifies it and compares every
// bar with what was written. It returns their number.
func verifyBars(t *testing.T, data string) int64 {
	t.Helper()
	if _, err := os.Stat(data); err != nil {
		return 0 // killed before it made the folder
	}
	s, err := storage.Open(data, storage.Options{})
	if err != nil {
		t.Fatal("open after a kill:", err)
	}
	defer s.Close()
	rep, err := s.Verify(t.Context(), storage.VerifyOptions{})
	if err != nil || !rep.OK() {
		t.Fatalf("verify after a kill: %+v, %v", rep, err)
	}
	key := series.Key{Symbol: "X", Interval: series.Interval1m}
	if _, err := s.Info(key); err != nil {
		return 0
	}
	for c, err := range s.Chunks(t.Context(), key, series.Span{}, storage.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		for i, at := range c.Time {
			n := int((int64(at) - firstBar) / 60000)
			if c.Close[i] != closeOf(n) || c.Volume[i] != float64(n%7) {
				t.Fatalf("bar %d is %+v", n, c.Bar(i))
			}
		}
	}
	return rep.Bars
}

// TestKillServe kills a server while bars are appended over HTTP. Every bar
// whose write was answered is there afterwards.
func TestKillServe(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	r := rand.New(rand.NewPCG(2, 2))
	next := 0 // number of the bar to be written; all before it are acknowledged
	for range kills() {
		next = appendUntilKilled(t, r, data, next)
		if n := verifyBars(t, data); n < int64(next) || n > int64(next)+1 {
			t.Fatalf("%d bars after a kill, %d were acknowledged", n, next)
		}
	}
	t.Logf("%d kills, %d bars acknowledged, none lost", kills(), next)
	if next == 0 {
		t.Fatal("no bar was acknowledged")
	}
}

// appendUntilKilled serves data, appends bars from number next on and kills
// the server at a random moment. It returns the number after the last
// acknowledged bar.
func appendUntilKilled(t *testing.T, r *rand.Rand, data string, next int) int {
	t.Helper()
	c := program(t.Context(), "serve", "--listen", "127.0.0.1:0", "--data", data)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	url := ""
	lines := bufio.NewScanner(out)
	for url == "" && lines.Scan() {
		if _, after, ok := strings.Cut(lines.Text(), " on http://"); ok {
			url = "http://" + strings.Fields(after)[0]
		}
	}
	if url == "" {
		t.Fatal("the server did not say where it listens")
	}
	token, err := os.ReadFile(filepath.Join(data, "token"))
	if err != nil {
		t.Fatal(err)
	}
	kill := soon(r, 250*time.Millisecond)
	go func() {
		<-kill
		_ = c.Process.Kill() // Wait tells
	}()
	client := &http.Client{}
	defer client.CloseIdleConnections()
	for post(client, url, strings.TrimSpace(string(token)), next) {
		next++
	}
	_ = c.Wait() // killed
	return next
}

// post appends one bar and reports whether that was acknowledged.
func post(client *http.Client, url, token string, n int) bool {
	p := closeOf(n)
	body, err := json.Marshal(map[string]any{"bars": []map[string]any{{
		"time": firstBar + int64(n)*60000, "open": p, "high": p + 1, "low": p - 1, "close": p, "volume": n % 7,
	}}})
	if err != nil {
		return false
	}
	req, err := http.NewRequest(http.MethodPost, url+"/v1/bars?symbol=X&interval=1m&source=kill", strings.NewReader(string(body)))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var res struct{ Written, Unchanged int }
	if json.NewDecoder(resp.Body).Decode(&res) != nil || resp.StatusCode != http.StatusOK {
		return false
	}
	return res.Written+res.Unchanged == 1
}
