package fetch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// asking is an Ask at work.
type asking struct {
	p    *Pool
	a    Ask
	g    grid
	list []*candidate

	mu     sync.Mutex // guards out and most and reach of the candidates, causes and the report
	causes []*Error   // why endpoints were not asked at all
	report *Report
	last   *endpoint // who answered last, to tell a failover
}

// ahead is how many windows of a span are fetched at a time. They are given out
// in order, so it also bounds what waits in memory.
const ahead = 4

// maxPages bounds the pages of one question to a vendor that hands out cursors.
const maxPages = 10_000

// Bars asks for the bars of a span and gives them to give in ascending order.
// give is called on one goroutine; an error of it ends the question. The report
// says what was answered, also beside an error: an [*UnansweredError] where a
// part of the span has no answer, or that of the context.
func (p *Pool) Bars(ctx context.Context, a Ask, give func(Batch) error) (*Report, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	ctx, leave, err := p.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	q := &asking{p: p, a: a, report: &Report{Used: map[string]int64{}}}
	q.list, q.causes = p.candidates(a)
	if len(q.list) == 0 {
		q.report.Unanswered = []series.Span{a.Span}
		return q.report, &UnansweredError{Spans: q.report.Unanswered, Causes: q.causes}
	}
	q.g = q.list[0].e.info.grid(a.Interval)
	run := q.g.run(a.Span)
	// What has not begun yet nobody can have.
	if now := q.g.slot(p.clocks.now(q.list[0].e.host.name)) + 1; run.To > now {
		run.To = now
	}
	if run.Empty() {
		return q.report, nil
	}
	q.report.Asked = series.Span{From: q.g.time(run.From), To: q.g.time(run.To)}
	return q.report, q.run(ctx, run, give)
}

// answered is what became of one window.
type answered struct {
	batches []Batch
	err     error // of the context or the pool; an unanswered part is in the report
}

// run fetches the windows of a span, several at a time, and gives them out in
// order.
func (q *asking) run(ctx context.Context, run series.Run, give func(Batch) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	width := series.Slot(slices.MaxFunc(q.list, func(a, b *candidate) int { return a.most - b.most }).most)
	var queue []chan answered
	next := run.From
	begin := func() {
		w := series.Run{From: next, To: min(next+width, run.To)}
		next = w.To
		done := make(chan answered, 1)
		queue = append(queue, done)
		work.Go(func() { done <- q.window(ctx, w) })
	}
	begin() // the first alone: it shows whether anybody answers
	for len(queue) > 0 {
		x := <-queue[0]
		queue = queue[1:]
		if x.err != nil {
			return x.err
		}
		for next < run.To && len(queue) < ahead {
			begin()
		}
		for _, b := range x.batches {
			if err := give(b); err != nil {
				return err
			}
		}
	}
	return q.verdict()
}

// verdict is the error for what nobody answered.
func (q *asking) verdict() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.report
	for _, s := range []*[]series.Span{&r.Spoken, &r.Empty, &r.Silent, &r.Unanswered} {
		*s = series.Normalize(*s)
	}
	if len(r.Unanswered) == 0 {
		return nil
	}
	e := &UnansweredError{Spans: r.Unanswered, Causes: slices.Clone(q.causes)}
	for _, c := range q.list {
		if c.out != nil {
			e.Causes = append(e.Causes, c.out)
			if at := c.out.RetryAt; !at.IsZero() && (e.RetryAt.IsZero() || at.Before(e.RetryAt)) {
				e.RetryAt = at
			}
		}
	}
	return e
}

// window is the state of one stretch of the question.
type window struct {
	*asking
	left []series.Run // not spoken for
	// silent is what one answer said nothing about, and was not asked again yet.
	silent  []series.Run
	tried   map[*candidate]time.Time // until when a candidate is left alone here
	mute    map[*candidate]bool      // said nothing of what is left
	batches []Batch
	until   time.Time // the end of the patience
}

// window gets the answers for w from whoever can give them.
func (q *asking) window(ctx context.Context, w series.Run) answered {
	x := &window{
		asking: q, left: []series.Run{w}, tried: map[*candidate]time.Time{}, mute: map[*candidate]bool{},
		until: time.Now().Add(max(0, q.a.Patience)),
	}
	for len(x.left) > 0 {
		c, part, err := x.pick(ctx)
		if err != nil {
			return answered{err: err}
		}
		if c == nil {
			break
		}
		if err := x.ask(ctx, c, part); err != nil {
			return answered{err: err}
		}
	}
	if len(x.silent) > 0 && len(x.left) == 0 {
		if err := x.second(ctx); err != nil {
			return answered{err: err}
		}
	}
	q.mu.Lock()
	q.report.Unanswered = append(q.report.Unanswered, q.g.spans(x.left)...)
	q.report.Silent = append(q.report.Silent, q.g.spans(x.silent)...)
	q.mu.Unlock()
	slices.SortStableFunc(x.batches, func(a, b Batch) int { return cmpTime(a.Bars.Time[0], b.Bars.Time[0]) })
	return answered{batches: x.batches}
}

// pick chooses who is asked next and for what; it waits where somebody will
// answer later and the patience allows it. A nil candidate says that nobody
// will.
func (x *window) pick(ctx context.Context) (*candidate, series.Run, error) {
	for {
		var free []*candidate
		var part series.Run
		soon := time.Time{}
		now := time.Now()
		x.mu.Lock()
		for _, c := range x.list {
			if len(free) > 0 && free[0].grade != c.grade {
				break // a better grade can be asked
			}
			can := x.part(c)
			if c.out != nil || x.mute[c] || can.Empty() {
				continue
			}
			at := x.tried[c]
			if d := x.p.blocked(c.e, ""); d != nil && d.until.After(at) {
				at = d.until
			}
			if at.After(now) {
				if soon.IsZero() || at.Before(soon) {
					soon = at
				}
				continue
			}
			free = append(free, c)
		}
		x.mu.Unlock()
		if len(free) > 0 {
			c := x.p.choose(free)
			x.mu.Lock()
			part = x.part(c)
			x.mu.Unlock()
			return c, part, nil
		}
		if soon.IsZero() || soon.After(x.until) {
			x.blame()
			return nil, series.Run{}, nil
		}
		if err := sleep(ctx, time.Until(soon)); err != nil {
			return nil, series.Run{}, err
		}
	}
}

// blame keeps why the blocked candidates were not asked.
func (x *window) blame() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range x.list {
		if c.out != nil {
			continue
		}
		if d := x.p.blocked(c.e, ""); d != nil {
			c.out = &Error{Kind: d.kind, Provider: c.e.info.Name, Endpoint: c.e.Name, Message: d.reason, RetryAt: d.until}
		} else if x.part(c).Empty() && c.reach > x.g.time(x.left[0].From) {
			c.out = &Error{Kind: HistoryExhausted, Provider: c.e.info.Name, Endpoint: c.e.Name, Message: "its bars begin at " + c.reach.String()}
		} else if x.mute[c] {
			c.out = &Error{Kind: Unavailable, Provider: c.e.info.Name, Endpoint: c.e.Name, Message: "its answer does not reach " + x.g.time(x.left[0].From).String()}
		}
	}
}

// part is the first stretch of what is left that c can be asked for. x.mu must
// be held.
func (x *window) part(c *candidate) series.Run {
	for _, r := range x.left {
		if c.reach > series.MinTime {
			r.From = max(r.From, x.g.slot(c.reach))
		}
		if r.Empty() {
			continue
		}
		r.To = min(r.To, r.From+series.Slot(c.most))
		return r
	}
	return series.Run{}
}

// others reports whether somebody else could be asked now.
func (x *window) others(c *candidate) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	return slices.ContainsFunc(x.list, func(o *candidate) bool {
		return o != c && o.out == nil && !x.mute[o] && !x.tried[o].After(now) && x.p.blocked(o.e, "") == nil && !x.part(o).Empty()
	})
}

// ask asks c for part and takes over what came. The error is that of the
// context.
func (x *window) ask(ctx context.Context, c *candidate, part series.Run) error {
	s, err := x.fetch(ctx, c, part, !x.others(c))
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		x.failed(c, part, err)
		return nil
	}
	x.take(c, part, s)
	return nil
}

// fetch asks c for part, page by page, and settles the answer.
func (x *window) fetch(ctx context.Context, c *candidate, part series.Run, patient bool) (*Settled, error) {
	p, e := x.p, c.e
	q := Query{Symbol: c.symbol, Interval: x.a.Interval, Span: series.Span{From: x.g.time(part.From), To: x.g.time(part.To)}}
	var all Page
	var now series.Time
	for n := 0; ; n++ {
		q.Now = p.clocks.now(e.host.name)
		r, err := e.Provider.Request(q)
		if err != nil {
			return nil, named(err, e)
		}
		var page Page
		cl := &call{pool: p, e: e, r: r, patient: patient, until: x.until}
		cl.judge = func(a Answer) error {
			var err error
			page, err = e.Provider.Page(q, a)
			now = a.Time
			return err
		}
		err = cl.do(ctx)
		x.mu.Lock()
		x.report.Attempts += int64(cl.sent)
		x.mu.Unlock()
		if err != nil {
			return nil, err
		}
		all.Rows, all.Refused = append(all.Rows, page.Rows...), append(all.Refused, page.Refused...)
		all.Spoken = page.Spoken
		if page.Next == "" {
			break
		}
		if page.Next == q.Cursor || n >= maxPages {
			return nil, &Error{Kind: Unavailable, Provider: e.info.Name, Endpoint: e.Name, Message: "its pages do not come to an end"}
		}
		q.Cursor = page.Next
	}
	s := Settle(e.info, q, all, now)
	if len(s.Refused) > 0 && len(s.Refused) == len(all.Rows)+len(all.Refused) && s.Bars.Len() == 0 {
		// An answer of which nothing can be believed is garbage.
		return nil, &Error{Kind: Unavailable, Provider: e.info.Name, Endpoint: e.Name, Message: "no row can be believed: " + s.Refused[0].Reason}
	}
	return s, nil
}

// named gives an error of a provider, which knows no endpoint, its names.
func named(err error, e *endpoint) error {
	f := asError(err)
	if f == nil {
		return &Error{Kind: BadRequest, Provider: e.info.Name, Endpoint: e.Name, Err: err}
	}
	c := *f
	c.Provider, c.Endpoint = e.info.Name, e.Name
	return &c
}

// failed decides what an error means for the candidate.
func (x *window) failed(c *candidate, part series.Run, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.last = nil
	var d *denied
	if errors.As(err, &d) {
		x.tried[c] = d.until
		return
	}
	f := asError(err)
	if f == nil {
		f = &Error{Kind: Unavailable, Provider: c.e.info.Name, Endpoint: c.e.Name, Err: err}
	}
	switch f.Kind {
	case RangeTooBroad:
		if part.Len() > 1 {
			c.most = int(part.Len()+1) / 2
			return
		}
		c.out = f
	case HistoryExhausted:
		// Half of the way at a time finds where it begins; one slot is the end.
		if part.Len() > 1 {
			c.reach = x.g.time(part.From + series.Slot(part.Len()+1)/2)
		} else {
			c.reach = x.g.time(part.To)
		}
	case Unavailable, RateLimited, Banned, QuotaExhausted:
		at := f.RetryAt
		if least := time.Now().Add(backoffBase); at.Before(least) {
			at = least
		}
		x.tried[c] = at
		if f.Kind == Unavailable && !retryable(f) {
			c.out = f
		} else if at.After(x.until) || !x.room() {
			c.out = f
		}
	default: // what a repetition does not change
		c.out = f
	}
}

// room reports whether the patience is not used up.
func (x *window) room() bool { return time.Now().Before(x.until) }

// take takes over an answer.
func (x *window) take(c *candidate, part series.Run, s *Settled) {
	spoken := make([]series.Run, 0, len(s.Spoken))
	for _, r := range s.Spoken {
		spoken = append(spoken, x.g.run(r))
	}
	spoken = series.Intersect(nil, series.Normalize(spoken), x.left)
	if len(spoken) == 0 {
		x.mute[c] = true
	}
	x.left = series.Subtract(nil, x.left, spoken)
	for _, r := range s.Silent {
		x.silent = series.Union(nil, x.silent, series.Intersect(nil, []series.Run{x.g.run(r)}, spoken))
	}
	x.deliver(c, s.Bars, spoken)
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.report
	r.Pages++
	r.Spoken = append(r.Spoken, x.g.spans(spoken)...)
	r.Empty = append(r.Empty, s.Empty...)
	r.Conflicts, r.Refused = append(r.Conflicts, s.Conflicts...), append(r.Refused, s.Refused...)
	r.Outside, r.Duplicates, r.Blank = r.Outside+int64(s.Outside), r.Duplicates+int64(s.Duplicates), r.Blank+int64(s.Blank)
	if x.last != nil && x.last != c.e {
		x.p.tell(c.e, FailedOver, fmt.Sprintf("asked instead of %s", x.last.Name), time.Time{})
	}
	x.last = c.e
}

// deliver keeps the bars of an answer that lie in runs.
func (x *window) deliver(c *candidate, bars series.Columns, runs []series.Run) {
	out := &series.Columns{}
	if len(runs) == 1 && bars.Len() > 0 && runs[0].From <= x.g.slot(bars.Time[0]) && x.g.slot(bars.Time[bars.Len()-1]) < runs[0].To {
		out = &bars
	} else {
		for i, t := range bars.Time {
			n := x.g.slot(t)
			if slices.ContainsFunc(runs, func(r series.Run) bool { return r.Contains(n) }) {
				out.Append(bars.Bar(i))
			}
		}
	}
	if out.Len() == 0 {
		return
	}
	x.batches = append(x.batches, Batch{Bars: out, Provider: c.e.info.Name, Endpoint: c.e.Name, Symbol: c.symbol, Grade: c.grade})
	x.mu.Lock()
	x.report.Bars += int64(out.Len())
	x.report.Used[c.e.Name] += int64(out.Len())
	x.mu.Unlock()
	c.e.stats.delivered(out.Len())
}

// second asks once more for what one answer was silent about: of another
// endpoint if there is one, because an edge that lost bars loses them again.
func (x *window) second(ctx context.Context) error {
	for _, r := range slices.Clone(x.silent) {
		c := x.witness(r)
		if c == nil {
			return nil
		}
		s, err := x.fetch(ctx, c, r, false)
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			continue // it stays silence of one
		}
		var held []series.Run
		for _, t := range s.Bars.Time {
			n := x.g.slot(t)
			held = series.Join(held, series.Run{From: n, To: n + 1})
		}
		held = series.Intersect(nil, held, []series.Run{r})
		x.silent = series.Subtract(nil, x.silent, held)
		x.deliver(c, s.Bars, held)
	}
	return nil
}

// witness is who is asked a second time about r.
func (x *window) witness(r series.Run) *candidate {
	x.mu.Lock()
	defer x.mu.Unlock()
	var best *candidate
	for _, c := range x.list {
		if c.out != nil || c.grade == Proxy || x.p.blocked(c.e, "") != nil || c.reach > x.g.time(r.From) || r.Len() > int64(c.most) {
			continue
		}
		if best == nil || best.e == x.last && c.e != x.last {
			best = c
		}
	}
	return best
}
