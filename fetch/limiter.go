package fetch

import (
	"sync"
	"time"
)

// limiter keeps what is sent below a vendor's limit in every stretch of time as
// long as its window, whatever windows the vendor itself counts in.
type limiter struct {
	most   int
	window time.Duration

	mu      sync.Mutex // guards what follows
	sent    []spent    // oldest first
	in      int        // their sum
	foreign time.Time  // until when usage that is not ours counts
	others  int
}

// spent is the cost of what was sent in one part of the window.
type spent struct {
	until time.Time // when it counts no more
	cost  int
}

// limitShare is the part of a limit that is used: others may share the address,
// and the vendor's clock is not ours.
const limitShare = 0.9

// limitParts is in how many parts a window is counted.
const limitParts = 64

func newLimiter(l Limit) *limiter {
	return &limiter{most: max(1, int(float64(l.Cost)*limitShare)), window: l.Window}
}

// take spends cost if the limit allows it now, and else returns how long to
// wait before asking again.
func (l *limiter) take(now time.Time, cost int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	cost = min(cost, l.most) // a request dearer than the limit goes alone
	if wait := l.waitLocked(now, cost); wait > 0 {
		return wait
	}
	part := l.window / limitParts
	// A part ends late, never early, and travel takes time of its own.
	until := now.Truncate(part).Add(part + l.window)
	if n := len(l.sent); n > 0 && !l.sent[n-1].until.Before(until) {
		l.sent[n-1].cost += cost
	} else {
		l.sent = append(l.sent, spent{until, cost})
	}
	l.in += cost
	return 0
}

// wait returns how long a request of cost would have to wait now.
func (l *limiter) wait(now time.Time, cost int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waitLocked(now, min(cost, l.most))
}

func (l *limiter) waitLocked(now time.Time, cost int) time.Duration {
	l.forget(now)
	over := l.in + l.others + cost - l.most
	if over <= 0 {
		return 0
	}
	others := l.others
	for _, s := range l.sent {
		if others > 0 && l.foreign.Before(s.until) {
			if over -= others; over <= 0 {
				return l.foreign.Sub(now)
			}
			others = 0
		}
		if over -= s.cost; over <= 0 {
			return s.until.Sub(now)
		}
	}
	return l.foreign.Sub(now)
}

func (l *limiter) forget(now time.Time) {
	n := 0
	for n < len(l.sent) && !now.Before(l.sent[n].until) {
		l.in -= l.sent[n].cost
		n++
	}
	l.sent = l.sent[n:]
	if l.others > 0 && !now.Before(l.foreign) {
		l.others = 0
	}
}

// learn takes over what the vendor says is used by now. What is more than ours
// was spent by others, or by us before a restart.
func (l *limiter) learn(now time.Time, used int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(now)
	if more := used - l.in; more > l.others {
		l.others, l.foreign = more, now.Add(l.window)
	}
}

// left is what may be spent now.
func (l *limiter) left(now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(now)
	return max(0, l.most-l.in-l.others)
}

// budget bounds retries: full it holds ten tokens, a failure takes one, a
// success gives a tenth back, and retries stop while half of it is gone.
// (gRPC A6, client retry throttling)
type budget struct {
	mu    sync.Mutex
	spent float64 // 0 is full
}

const (
	budgetSize = 10
	budgetGain = 0.1
)

func (b *budget) count(o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch o {
	case failed:
		b.spent = min(budgetSize, b.spent+1)
	case worked:
		b.spent = max(0, b.spent-budgetGain)
	}
}

func (b *budget) retry() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return budgetSize-b.spent > budgetSize/2
}
