package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestTortureKill kills a server with SIGKILL under writes of every kind, again
// and again, now and then before it has recovered from the kill before. The
// server of the next cycle is asked for what changed; every fiftieth time the
// whole store is verified and read.
func TestTortureKill(t *testing.T) {
	const whole = 50 // cycles between looking at everything
	count := cycles(100, 2000)
	data := filepath.Join(t.TempDir(), "data")
	r := rand.New(rand.NewPCG(2, 2))
	ws := writersOf(2, 100_000)
	begin := time.Now()
	var bad faults
	var open, writes times
	lost, early := 0, 0
	for i := range count + 1 {
		if i > 0 && r.IntN(8) == 0 {
			v, _ := launch(t, data, time.Duration(r.Int64N(int64(30*time.Millisecond))), nil)
			v.kill()
			early++
		}
		what := changes
		if i == count || i%whole == whole-1 {
			verified(t, data)
			what = everything
		}
		v := mustLaunch(t, data, nil)
		open.add(v.ready)
		if lost += checkAll(t.Context(), &bad, ws, &v.peer, what); bad.any() || i == count {
			v.kill()
			break
		}
		moment := 70 * time.Millisecond
		if r.IntN(8) == 0 {
			ws[r.IntN(len(ws))].wantBig()
			moment = 300 * time.Millisecond // for about half of these to get through
		}
		kill := soon(r, moment)
		var done sync.WaitGroup
		for _, w := range ws {
			done.Go(func() {
				w.run(context.Background(), &v.peer, 0, func(a answer) bool {
					switch {
					case a.err != nil: // killed
						return false
					case !a.acknowledged():
						bad.add("a write without a fault was refused", "%v", a)
						return false
					}
					writes.add(a.took)
					return true
				})
			})
		}
		<-kill
		v.kill()
		done.Wait()
	}
	bad.report(t)
	acked := acknowledged(ws)
	t.Logf("%d cycles, %d killed while they opened, %d bars acknowledged, %d lost, %s (%v a cycle); ready %v; write %v",
		count, early, acked, lost, seconds(begin), (time.Since(begin) / time.Duration(count)).Round(time.Millisecond), &open, &writes)
	if acked == 0 {
		t.Fatal("no bar was acknowledged")
	}
	if open.max() > 5*time.Second {
		t.Errorf("a server needed %v to be ready", open.max())
	}
}

// TestTortureSees is the control of the others: half a write does not pass for
// a whole one, and bars that are taken away behind the back of a writer are
// counted as lost, to the bar.
func TestTortureSees(t *testing.T) {
	v := mustLaunch(t, filepath.Join(t.TempDir(), "data"), nil)
	defer v.kill()
	w := writersOf(3, 2000)[3]
	for range 40 {
		if a := w.once(t.Context(), &v.peer); !a.acknowledged() {
			t.Fatal(a)
		}
	}
	if n, err := w.copy().check(t.Context(), &v.peer, changes); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	whole := write{n: 1000, slots: []int{w.first, w.first + 1, w.first + 2, w.first + 3}}
	half := write{n: 1000, slots: whole.slots[:2]}
	sent := w.copy()
	sent.open = append(sent.open, whole)
	w.open = append(w.open, half) // which begin returns next
	if a := w.once(t.Context(), &v.peer); !a.acknowledged() {
		t.Fatal(a)
	}
	for _, what := range []scope{changes, everything} {
		if n, err := sent.copy().check(t.Context(), &v.peer, what); n != 2 || err == nil {
			t.Errorf("half a write passes: %d, %v", n, err)
		}
	}
	if a, _ := v.ask(t.Context(), http.MethodDelete, fmt.Sprintf("/v1/bars?interval=1m&symbol=%s&from=%d&to=%d",
		url.QueryEscape(w.symbol), timeOf(w.first), timeOf(w.first+2)), "", nil); a.status != http.StatusOK {
		t.Fatal(a)
	}
	for _, what := range []scope{changes, everything} {
		if n, err := w.copy().check(t.Context(), &v.peer, what); n != 2 || err == nil {
			t.Errorf("%d of 2 lost bars are missed, %v", n, err)
		}
	}
}
