package fetch

import (
	"context"
	"slices"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// gradeWait is how long a better grade is waited for before a worse one is
// asked: less than a failover may take, and enough for a hiccup.
const gradeWait = time.Second

// pick chooses who is asked next and for what. It waits where somebody will
// answer later and the patience allows it; nil says that nobody will, or that
// x.err is set.
func (x *window) pick(ctx context.Context) (*candidate, series.Run) {
	for {
		free, soon, better := x.free()
		now := time.Now()
		wait := soon.Sub(now)
		switch {
		case len(free) > 0 && (better.IsZero() || better.Sub(now) > min(gradeWait, x.patience)):
			c := x.p.choose(free)
			x.mu.Lock()
			defer x.mu.Unlock()
			return c, x.part(c)
		case len(free) > 0:
			wait = better.Sub(now)
		case soon.IsZero() && x.again:
			x.again = false
			clear(x.asked)
			continue
		case soon.IsZero() || wait > x.patience:
			x.stop = !soon.IsZero() || !slices.ContainsFunc(x.list, func(c *candidate) bool { return !x.lost(c) })
			return nil, series.Run{}
		}
		x.patience -= wait
		if err := sleep(ctx, wait); err != nil {
			x.err = err
			return nil, series.Run{}
		}
	}
}

// free lists who can be asked now, all of the best grade that has any; when the
// first of the others can; and when the first of a better grade can.
func (x *window) free() (free []*candidate, soon, better time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	for i, c := range x.list {
		if len(free) > 0 && c.grade != free[0].grade {
			break
		}
		if i > 0 && c.grade != x.list[i-1].grade {
			better = soon
		}
		if c.gone() || x.part(c).Empty() {
			continue
		}
		at := x.tried[c]
		if d := x.p.blocked(c.e, ""); d != nil && d.until.After(at) {
			at = d.until
		}
		if !at.After(now) {
			free = append(free, c)
		} else if soon.IsZero() || at.Before(soon) {
			soon = at
		}
	}
	// Who was wrong about this window is asked again only if nobody else can be.
	if rest := slices.DeleteFunc(slices.Clone(free), func(c *candidate) bool { return slices.Contains(x.avoid, c) }); len(rest) > 0 {
		free = rest
	}
	return free, soon, better
}

// part is the first stretch of what is left that c can be asked for. x.mu must
// be held.
func (x *window) part(c *candidate) series.Run {
	for _, r := range series.Subtract(nil, x.left, x.asked[c]) {
		if c.reach > series.MinTime {
			r.From = max(r.From, x.g.SlotFrom(c.reach-x.g.shift))
		}
		if c.ripe < series.MaxTime {
			r.To = min(r.To, x.g.slot(c.ripe)) // the slot that holds it has not ended before
		}
		if !r.Empty() {
			r.To = min(r.To, r.From+series.Slot(c.most))
			return r
		}
	}
	return series.Run{}
}

// others reports whether somebody else could be asked now.
func (x *window) others(c *candidate) bool {
	free, _, _ := x.free()
	return slices.ContainsFunc(free, func(o *candidate) bool { return o != c })
}

// lost reports whether c is no good for the rest of the question.
func (x *window) lost(c *candidate) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return c.gone()
}

// gone reports whether the candidate is not asked any more, or not yet again.
// asking.mu must be held.
func (c *candidate) gone() bool {
	return c.out != nil && (c.out.RetryAt.IsZero() || time.Now().Before(c.out.RetryAt))
}

// cause is why a candidate gives no answer; nil if it just did not reach.
// asking.mu must be held.
func (c *candidate) cause(p *Pool) *Error {
	if c.gone() {
		return c.out
	}
	if d := p.blocked(c.e, ""); d != nil {
		return d.of(c.e)
	}
	if c.why == nil {
		return c.young
	}
	return c.why
}
