package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The torture tests run the program as an operator does, do to it what
// machines do (SIGKILL, full disks, failing disks, power cuts), and hold it to
// two promises: what was acknowledged is there afterwards, and what was not is
// there as a whole or not at all. `make gate` runs a few cycles of each, `make
// torture` as many as a night has.
var long = flag.Bool("long", false, "run the torture tests at their long counts")

// cycles is how often a torture test does its worst.
func cycles(gate, many int) int {
	switch {
	case *long:
		return many
	case testing.Short():
		return max(gate/10, 1)
	}
	return gate
}

// victim is a running barkeep serve in a process of its own.
type victim struct {
	peer
	cmd    *exec.Cmd
	ready  time.Duration // from the start of the process to its first answer
	ended  chan struct{} // closed when the process is gone
	stderr *tail
}

// errNotReady is the error of a server that neither serves nor ends.
var errNotReady = errors.New("the server does not say that it serves")

// launch serves data. It returns when the server says where it listens, when
// it has ended, or after limit; in the latter two cases with an error beside
// the victim. prepare, where set, changes the command first.
func launch(t testing.TB, data string, limit time.Duration, prepare func(*exec.Cmd)) (*victim, error) {
	t.Helper()
	c := program(t.Context(), "serve", "--listen", "127.0.0.1:0", "--data", data)
	v := &victim{cmd: c, ended: make(chan struct{}), stderr: &tail{}}
	c.Stderr = v.stderr
	if prepare != nil {
		prepare(c)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	address := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if _, after, ok := strings.Cut(lines.Text(), " on http://"); ok {
				address <- "http://" + strings.Fields(after)[0]
			}
		}
		_ = c.Wait() // ProcessState tells
		close(v.ended)
	}()
	select {
	case v.url = <-address:
	case <-v.ended:
		return v, fmt.Errorf("the server ended at once with %d: %s", c.ProcessState.ExitCode(), v.stderr)
	case <-time.After(limit):
		return v, fmt.Errorf("%w after %v: %s", errNotReady, limit, v.stderr)
	}
	v.ready = time.Since(begin)
	token, err := os.ReadFile(filepath.Join(data, tokenFile))
	if err != nil {
		t.Fatal(err)
	}
	v.token = strings.TrimSpace(string(token))
	v.open()
	return v, nil
}

// mustLaunch is launch for a server that has no reason to fail.
func mustLaunch(t *testing.T, data string, prepare func(*exec.Cmd)) *victim {
	t.Helper()
	v, err := launch(t, data, 10*time.Second, prepare)
	if err != nil {
		v.kill()
		t.Fatal(err)
	}
	return v
}

// kill ends the process with SIGKILL and waits until it is gone.
func (v *victim) kill() {
	_ = v.cmd.Process.Kill() // it may have ended by itself
	<-v.ended
	v.hangUp()
}

// interrupt asks the process to end and returns its exit code, -1 if it had to
// be killed.
func (v *victim) interrupt() int {
	_ = v.cmd.Process.Signal(os.Interrupt) // it may have ended by itself
	select {
	case <-v.ended:
	case <-time.After(20 * time.Second):
	}
	v.kill()
	return v.cmd.ProcessState.ExitCode()
}

// alive reports whether the process is still there.
func (v *victim) alive() bool {
	select {
	case <-v.ended:
		return false
	default:
		return true
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 4 << 10

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, p...)
	if n := len(w.text); n > 4*tailBytes {
		w.text = append(w.text[:0], w.text[n-tailBytes:]...)
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(bytes.TrimSpace(w.text[max(0, len(w.text)-tailBytes):]))
}

// verifyReport is what barkeep verify --output json prints.
type verifyReport struct {
	Bars     int64    `json:"bars"`
	Damaged  []damage `json:"damaged"`
	Problems []string `json:"problems"`
	Seq      uint64   `json:"seq"`
	Root     string   `json:"root"`
}

// verified runs barkeep verify on a store that nobody serves, and fails unless
// it finds nothing.
func verified(t *testing.T, data string) verifyReport {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := program(ctx, "verify", "--data", data, "--output", "json")
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var rep verifyReport
	if jerr := json.Unmarshal(out.Bytes(), &rep); err != nil || jerr != nil {
		t.Fatalf("verify: %v, %v\n%s%s", err, jerr, out.String(), errs.String())
	}
	return rep
}

// faults counts by kind what should not have happened, and keeps the first of
// each: a server that breaks a promise usually breaks it a thousand times.
type faults struct {
	mu    sync.Mutex
	count map[string]int
	first map[string]string
}

func (f *faults) add(kind, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count == nil {
		f.count, f.first = map[string]int{}, map[string]string{}
	}
	if f.count[kind]++; f.count[kind] == 1 {
		text := fmt.Sprintf(format, args...)
		f.first[kind] = text[:min(len(text), 1500)]
	}
}

func (f *faults) any() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.count) > 0
}

func (f *faults) report(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, kind := range slices.Sorted(maps.Keys(f.count)) {
		t.Errorf("%d times: %s; the first: %s", f.count[kind], kind, f.first[kind])
	}
}

// times are durations that somebody promised a limit for.
type times struct {
	mu  sync.Mutex
	all []time.Duration
}

func (x *times) add(d time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.all = append(x.all, d)
}

// String is the median, the 99th percentile and the longest.
func (x *times) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.all) == 0 {
		return "none"
	}
	slices.Sort(x.all)
	at := func(q int) time.Duration {
		d := x.all[(len(x.all)-1)*q/100]
		if d < 10*time.Millisecond {
			return d.Round(10 * time.Microsecond)
		}
		return d.Round(time.Millisecond)
	}
	return fmt.Sprintf("p50 %v p99 %v max %v", at(50), at(99), at(100))
}

func (x *times) max() time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.all) == 0 {
		return 0
	}
	return slices.Max(x.all)
}

func seconds(since time.Time) string { return fmt.Sprintf("%.1f s", time.Since(since).Seconds()) }
