//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestTortureFsync lets calls of fsync fail, one of a thread or all from one on.
// Linux forgets what a failed fsync was about, and the next one succeeds. So the
// only honest answer is to end: with 70, after saying why, and with nothing lost
// that was acknowledged.
func TestTortureFsync(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("no strace here, which is what lets fsync fail")
	}
	if out, err := exec.CommandContext(t.Context(), strace, "-f", "-qq", "-o", os.DevNull, "-e", "inject=fsync:error=EIO", "true").CombinedOutput(); err != nil {
		t.Skipf("strace may not trace here: %v %s", err, out)
	}
	calls := []string{"fdatasync,fsync"}
	when := []string{"1+", "2+", "5+", "40+", "3", "20"}
	if *long {
		calls = append(calls, "fdatasync", "fsync")
		when = nil
		for _, n := range []string{"1", "2", "3", "4", "5", "6", "8", "10", "15", "25", "40", "80", "150"} {
			when = append(when, n, n+"+")
		}
	}
	begin := time.Now()
	var bad faults
	count, spared, lost, injected, acked := 0, 0, 0, 0, int64(0)
	for _, call := range calls {
		for _, n := range when {
			count++
			f := failing{T: t, bad: &bad, strace: strace, call: call, when: n, dir: t.TempDir(), ws: writersOf(uint64(count), 1000)}
			lost += f.run()
			injected += f.injected
			if f.spared {
				spared++
			}
			acked += acknowledged(f.ws)
		}
	}
	bad.report(t)
	t.Logf("%d runs, %d of them without a failed call, %d calls failed, %d bars acknowledged, %d lost, %s", count, spared, injected, acked, lost, seconds(begin))
	if spared > count/2 {
		t.Error("in most runs no call failed")
	}
}

// failing is a server whose calls fail.
type failing struct {
	*testing.T
	bad      *faults
	strace   string
	call     string // system calls, with commas
	when     string // which calls of a thread: the fifth is 5, and all from it on 5+
	dir      string
	ws       []*writer
	injected int
	spared   bool // no call failed
}

// run returns how many bars are lost.
func (f *failing) run() int {
	data, trace := filepath.Join(f.dir, "data"), filepath.Join(f.dir, "trace")
	sound := mustLaunch(f.T, data, nil)
	f.write(sound, 100*time.Millisecond)
	if code := sound.interrupt(); code != 0 {
		f.Fatalf("a server without a fault ended with %d: %s", code, sound.stderr)
	}
	what := fmt.Sprintf("%s, calls %s of a thread", f.call, f.when)
	v, err := launch(f.T, data, 20*time.Second, func(c *exec.Cmd) {
		c.Path = f.strace
		c.Args = append([]string{
			f.strace, "-f", "-qq", "-o", trace, "-e", "trace=" + f.call,
			"-e", fmt.Sprintf("inject=%s:error=EIO:when=%s", f.call, f.when),
		}, c.Args...)
		// strace that is killed leaves what it traces alive.
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	})
	serves := err == nil
	if serves {
		f.write(v, 10*time.Second)
	}
	select {
	case <-v.ended:
	case <-time.After(2 * time.Second): // strace ends a moment after the server
	}
	alive := v.alive()
	if alive {
		_ = syscall.Kill(-v.cmd.Process.Pid, syscall.SIGKILL) // it may end right now
		<-v.ended
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		f.Fatal(err)
	}
	n := bytes.Count(text, []byte("(INJECTED)"))
	f.injected += n
	code := v.cmd.ProcessState.ExitCode()
	switch {
	case n == 0 && serves: // no thread came so far
		f.spared = true
	case alive:
		f.bad.add("the server went on after a failed fsync", "%s: %d failed; %s", what, n, v.stderr)
	case code != 70 && (serves || code != 1): // one that fails while it opens may also return the error
		f.bad.add("the server did not end with 70", "%s: %d; %s", what, code, v.stderr)
	case !strings.Contains(v.stderr.String(), syscall.EIO.Error()):
		f.bad.add("the server did not say why it ended", "%s: %s", what, v.stderr)
	}
	verified(f.T, data)
	again := mustLaunch(f.T, data, nil)
	defer again.kill()
	return checkAll(f.Context(), f.bad, f.ws, &again.peer, everything)
}

// write lets the clients write until the server is gone, at most for a while,
// and sends again what was not acknowledged, as clients do.
func (f *failing) write(v *victim, most time.Duration) {
	ctx, cancel := context.WithTimeout(f.Context(), most)
	defer cancel()
	var done sync.WaitGroup
	for _, w := range f.ws {
		done.Go(func() {
			w.run(ctx, &v.peer, 2*time.Millisecond, func(a answer) bool { return a.err == nil })
		})
	}
	done.Wait()
	v.hangUp()
}
