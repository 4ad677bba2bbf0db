package fetch

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pass waits on the clock of the bubble.
func pass(d time.Duration) { <-time.After(d) }

func try(b *breaker, o outcome) error {
	_, p, err := b.acquire(context.Background())
	if err != nil {
		return err
	}
	p.end(o)
	return nil
}

func tripped(t *testing.T) *breaker {
	t.Helper()
	b := &breaker{}
	for range breakerConsecutive {
		if err := try(b, failed); err != nil {
			t.Fatal(err)
		}
	}
	if s, _ := b.look(); s != Open {
		t.Fatalf("the breaker is %v after %d failures", s, breakerConsecutive)
	}
	return b
}

func TestBreakerOpens(t *testing.T) {
	for _, c := range []struct {
		name     string
		outcomes []outcome
		gap      time.Duration
		want     BreakerState
	}{
		{"five failures in a row", []outcome{failed, failed, failed, failed, failed}, 0, Open},
		{"four", []outcome{failed, failed, failed, failed}, 0, Closed},
		{"half of ten", []outcome{worked, failed, worked, failed, worked, failed, worked, failed, worked, failed}, 0, Open},
		{"less than half", []outcome{worked, failed, worked, worked, worked, failed, worked, failed, worked, worked, failed}, 0, Closed},
		{"half of few", []outcome{worked, failed, worked, failed, worked, failed}, 0, Closed},
		{"half of ten, long ago", []outcome{worked, failed, worked, failed, worked, failed, worked, failed, worked, failed}, 10 * time.Second, Closed},
		{"given up by the caller", []outcome{neutral, neutral, neutral, neutral, neutral, neutral}, 0, Closed},
		{"given up in between", []outcome{failed, failed, neutral, failed, failed, neutral, failed}, 0, Open},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &breaker{}
				for _, o := range c.outcomes {
					if err := try(b, o); err != nil {
						t.Fatal(err)
					}
					pass(c.gap)
				}
				if s, _ := b.look(); s != c.want {
					t.Errorf("it is %v, want %v", s, c.want)
				}
			})
		})
	}
}

func TestBreakerOpenTimeGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := tripped(t)
		want := breakerOpen
		for range 10 {
			_, until := b.look()
			d := time.Until(until)
			if low, high := float64(want)*(1-breakerJitter), float64(want)*(1+breakerJitter); float64(d) < low || float64(d) > high {
				t.Fatalf("it is open for %v, want %v ± 20%%", d, want)
			}
			pass(d - 1)
			if err := try(b, worked); err == nil {
				t.Fatal("it let a request through too early")
			}
			pass(1)
			if err := try(b, failed); err != nil {
				t.Fatal("it let no request through in time")
			}
			want = min(2*want, breakerOpenMax)
		}
	})
}

func TestBreakerClosesAfterTwoSuccesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := tripped(t)
		_, until := b.look()
		pass(time.Until(until))
		for i, want := range []BreakerState{HalfOpen, Closed} {
			if err := try(b, worked); err != nil {
				t.Fatal(err)
			}
			if s, _ := b.look(); s != want {
				t.Errorf("it is %v after %d successes", s, i+1)
			}
		}
		if s := b.share(); s != 0 {
			t.Errorf("just closed it gives %v of its places", s)
		}
		pass(slowStart)
		if s := b.share(); s != 1 {
			t.Errorf("after the slow start it gives %v", s)
		}
	})
}

func TestBreakerForgetsOutcomesOfAnOlderGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &breaker{}
		_, late, err := b.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range breakerConsecutive {
			_ = try(b, failed)
		}
		_, until := b.look()
		pass(time.Until(until))
		if err := try(b, worked); err != nil { // half-open now
			t.Fatal(err)
		}
		late.end(failed)
		if s, _ := b.look(); s != HalfOpen {
			t.Errorf("a request of before made it %v", s)
		}
	})
}

func TestBreakerEndsWhatIsUnderWayWhenItOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &breaker{}
		ctx, p, err := b.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range breakerConsecutive {
			_ = try(b, failed)
		}
		if _, ok := errors.AsType[openError](context.Cause(ctx)); !ok {
			t.Errorf("the request goes on: %v", context.Cause(ctx))
		}
		p.end(neutral)
	})
}

// Of a thousand callers one may try a host that was open.
func TestBreakerLetsOneProbeThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := tripped(t)
		_, until := b.look()
		pass(time.Until(until))
		var through, most atomic.Int64
		var work sync.WaitGroup
		for range 1000 {
			work.Go(func() {
				_, p, err := b.acquire(t.Context())
				if err != nil {
					return
				}
				most.Store(max(most.Load(), through.Add(1)))
				pass(time.Second)
				p.end(neutral) // given up: the next one may try
			})
		}
		work.Wait()
		if n := through.Load(); n != 1 {
			t.Errorf("%d requests went through at once", n)
		}
		if err := try(b, worked); err != nil {
			t.Errorf("a probe that was given up kept its place: %v", err)
		}
	})
}

// Whatever happens to a breaker, a host that works is used again: no schedule
// of outcomes, cancellations and waits gets it stuck.
func TestBreakerIsNeverStuck(t *testing.T) {
	for seed := range uint64(10_000) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			b := &breaker{}
			var running []*permit
			for range 60 {
				switch rng.IntN(4) {
				case 0, 1:
					if _, p, err := b.acquire(t.Context()); err == nil {
						running = append(running, p)
					}
				case 2:
					if n := len(running); n > 0 {
						i := rng.IntN(n)
						running[i].end(outcome(rng.IntN(3)))
						running = append(running[:i], running[i+1:]...)
					}
				case 3:
					pass(time.Duration(rng.Int64N(int64(time.Minute))))
				}
				probes := 0
				for _, p := range running {
					if p.probe && p.generation == b.generation {
						probes++
					}
				}
				if probes > 1 {
					t.Fatalf("seed %d: %d probes", seed, probes)
				}
			}
			for _, p := range running {
				p.end(neutral)
			}
			pass(2 * breakerOpenMax)
			for range breakerCloses {
				if err := try(b, worked); err != nil {
					t.Fatalf("seed %d: stuck: %v", seed, err)
				}
			}
			if s, _ := b.look(); s != Closed {
				t.Fatalf("seed %d: it works and is %v", seed, s)
			}
		})
	}
}
