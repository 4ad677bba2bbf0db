package fetch

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// However requests come, no stretch of time as long as the window holds more
// than the limit.
func TestLimiterKeepsTheLimitInEveryWindow(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 2))
			limit := Limit{Cost: 1 + rng.IntN(200), Window: time.Duration(1+rng.IntN(90)) * time.Second}
			l := newLimiter(limit)
			type sent struct {
				at   time.Time
				cost int
			}
			var all []sent
			begun := time.Now()
			for range 500 {
				cost := 1 + rng.IntN(max(1, l.most/3))
				for {
					d := l.take(time.Now(), cost)
					if d <= 0 {
						break
					}
					pass(d)
				}
				all = append(all, sent{time.Now(), cost})
				if rng.IntN(4) == 0 {
					pass(time.Duration(rng.Int64N(int64(limit.Window) / 5)))
				}
			}
			sum, from := 0, 0
			for _, s := range all {
				sum += s.cost
				for s.at.Sub(all[from].at) >= limit.Window {
					sum -= all[from].cost
					from++
				}
				if sum > limit.Cost {
					t.Fatalf("seed %d: %d of %d in %v", seed, sum, limit.Cost, limit.Window)
				}
			}
			total := 0
			for _, s := range all {
				total += s.cost
			}
			// It must not be slower than the limit by much either.
			if floor := time.Duration(float64(total)/float64(l.most)*1.1*float64(limit.Window)) + 2*limit.Window + 500*limit.Window/5; time.Since(begun) > floor {
				t.Fatalf("seed %d: %d units took %v", seed, total, time.Since(begun))
			}
		})
	}
}

func TestLimiterLearnsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(Limit{Cost: 100, Window: time.Minute})
		l.learn(time.Now(), 80)
		if n := l.left(time.Now()); n != 10 {
			t.Errorf("%d are left, want 10", n)
		}
		if d := l.take(time.Now(), 11); d != time.Minute {
			t.Errorf("wait %v, want a minute", d)
		}
		if d := l.take(time.Now(), 10); d != 0 {
			t.Errorf("wait %v", d)
		}
		l.learn(time.Now(), 85) // less than known: the vendor's window began anew
		pass(time.Minute)
		if n := l.left(time.Now()); n < 80 {
			t.Errorf("%d are left after a minute", n)
		}
	})
}

func TestLimiterLetsADearRequestGoAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(Limit{Cost: 10, Window: time.Minute})
		if d := l.take(time.Now(), 1); d != 0 {
			t.Fatal(d)
		}
		d := l.take(time.Now(), 50)
		if d <= 0 || d > time.Minute+time.Second {
			t.Fatal(d)
		}
		pass(d)
		if d := l.take(time.Now(), 50); d != 0 {
			t.Error(d)
		}
	})
}

func TestBudgetStopsRetries(t *testing.T) {
	var b budget
	for range 4 {
		b.count(failed)
	}
	if !b.retry() {
		t.Error("no retry with 6 of 10 tokens")
	}
	b.count(failed)
	if b.retry() {
		t.Error("a retry with 5 of 10 tokens")
	}
	for range 100 {
		b.count(failed)
	}
	for range 51 {
		b.count(worked)
	}
	if !b.retry() {
		t.Error("no retry after 51 successes")
	}
}
