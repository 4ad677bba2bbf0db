package fetch

import (
	"context"
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
	run  series.Run
	list []*candidate

	mu     sync.Mutex // guards most, reach and out of the candidates, and what follows
	causes []*Error   // why endpoints cannot be asked at all
	sent   int64
	last   *candidate // who answered last, to tell a failover
}

const (
	// aheadMost is how many windows of a span are fetched at a time, and
	// aheadBars how many bars they hold together if one holds less: they wait
	// for their turn in memory.
	aheadMost = 4
	aheadBars = 20_000
	// overlapLeast is how many bars a question must hold for one of them to be
	// spent on comparing it with the answer before.
	overlapLeast = 16
	// contradictions is how often two answers that contradict each other are
	// asked again.
	contradictions = 3
)

// Bars asks for the bars of a span and hands them to give in ascending order.
// give is called on one goroutine; an error of it ends the question. The report
// says what was answered, also beside an error: an [*UnansweredError] where a
// part of the span has no answer, or that of the context.
//
// A span is asked window by window, a few at a time, so that its length does
// not matter. Each window holds the last bar of the one before: where the two
// differ a third answer decides which window was wrong, and that one is asked
// again, elsewhere if possible. A slot that has not ended and has no bar yet is
// neither spoken for nor unanswered.
func (p *Pool) Bars(ctx context.Context, a Ask, give func(Batch) error) (*Report, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	ctx, leave, err := p.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	q := &asking{p: p, a: a}
	q.list, q.causes = p.candidates(a)
	report := &Report{Asked: a.Span, Used: map[string]int64{}}
	if len(q.list) == 0 {
		report.Unanswered = []series.Span{a.Span}
		return report, &UnansweredError{Spans: report.Unanswered, Causes: q.causes}
	}
	q.g = q.list[0].e.info.grid(a.Interval)
	q.run = q.g.run(a.Span)
	// What has not begun yet nobody can have.
	q.run.To = min(q.run.To, q.g.slot(p.clocks.now(q.list[0].e.host.name))+1)
	if q.run.Empty() {
		report.Asked = series.Span{From: a.Span.From, To: a.Span.From}
		return report, nil
	}
	report.Asked = series.Span{From: q.g.time(q.run.From), To: q.g.time(q.run.To)}
	err = q.all(ctx, report, give)
	q.mu.Lock() // a request that was hedged and given up may still come back
	report.Attempts = q.sent
	q.mu.Unlock()
	for _, s := range []*[]series.Span{&report.Spoken, &report.Empty, &report.Silent, &report.Unanswered} {
		*s = series.Normalize(*s)
	}
	if err == nil && len(report.Unanswered) > 0 {
		err = q.verdict(report.Unanswered)
	}
	return report, err
}

// all fetches the windows of the span, several at a time, and gives them out in
// order. A window is given out only when the one after it agrees.
func (q *asking) all(ctx context.Context, report *Report, give func(Batch) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()

	width, ahead := q.width()
	next := q.run.From
	var queue []chan *window
	begin := func() {
		w := series.Run{From: next, To: min(next+width, q.run.To)}
		next = w.To
		done := make(chan *window, 1)
		queue = append(queue, done)
		work.Go(func() { done <- q.window(ctx, w, nil) })
	}
	begin() // the first alone: it shows whether anybody answers
	var before *window
	for len(queue) > 0 {
		x := <-queue[0]
		queue = queue[1:]
		if x.err != nil {
			return x.err
		}
		for !x.stop && next < q.run.To && len(queue) < ahead && q.p.ending.Err() == nil {
			begin()
		}
		var err error
		if before, x, err = q.agree(ctx, before, x); err != nil {
			return err
		}
		if before != nil {
			if err := before.give(report, give); err != nil {
				return err
			}
		}
		if before = x; x.stop {
			// Nobody can answer now. What comes later would not be in order.
			report.Unanswered = append(report.Unanswered, q.g.spans([]series.Run{{From: x.run.To, To: q.run.To}})...)
			break
		}
	}
	if err := before.give(report, give); err != nil {
		return err
	}
	if q.p.ending.Err() != nil && next < q.run.To {
		return ErrClosed
	}
	return nil
}

// width returns how many slots a window holds and how many windows are fetched
// at a time.
func (q *asking) width() (series.Slot, int) {
	most := q.list[0].most
	if most >= overlapLeast {
		most-- // for the bar of the window before
	}
	return series.Slot(most), max(1, min(aheadMost, aheadBars/most))
}

// agree compares the bar that two windows share. If they differ, the one that a
// third answer contradicts is asked again.
func (q *asking) agree(ctx context.Context, a, b *window) (*window, *window, error) {
	for range contradictions {
		if a == nil || !a.contradicts(b) {
			return a, b, nil
		}
		avoid := b
		if v, ok := q.third(ctx, a, b); ok && b.lead != nil && sameBarAs(v, *b.lead) {
			avoid = a
		}
		again := q.window(ctx, avoid.run, avoid.used())
		if again.err != nil {
			return nil, nil, again.err
		}
		if b.lead != nil {
			again.report.Conflicts = append(again.report.Conflicts, Conflict{Kept: rowOf(*a.tail), Other: rowOf(*b.lead)})
		}
		if avoid == a {
			a = again
		} else {
			b = again
		}
	}
	if a.contradicts(b) {
		// Neither can be believed more than the other; a wrong bar is worse than
		// none.
		b.discard("its answers contradict each other")
	}
	return a, b, nil
}

// third asks once more for the bar that a and b do not agree on.
func (q *asking) third(ctx context.Context, a, b *window) (series.Bar, bool) {
	x := q.newWindow(series.Run{From: b.run.From - 1, To: b.run.From})
	c := x.witness(func(c *candidate) bool { return c.e.info.Name == a.tailBy.e.info.Name }, b.leadBy)
	if c == nil {
		return series.Bar{}, false
	}
	s, err := x.fetch(ctx, c, x.run, false, 0)
	if err != nil || s.Bars.Len() != 1 {
		return series.Bar{}, false
	}
	return s.Bars.Bar(0), true
}

// verdict is the error for what nobody answered.
func (q *asking) verdict(spans []series.Span) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := &UnansweredError{Spans: spans, Causes: slices.Clone(q.causes)}
	for _, c := range q.list {
		f := c.cause(q.p)
		if f == nil {
			f = &Error{Kind: HistoryExhausted, Provider: c.e.info.Name, Endpoint: c.e.Name, Message: "its answers do not reach there"}
		}
		e.Causes = append(e.Causes, f)
		at := f.RetryAt
		if at.IsZero() && f.Kind == Unavailable {
			at = time.Now().Add(breakerOpen) // nobody said
		}
		if !at.IsZero() && (e.RetryAt.IsZero() || at.Before(e.RetryAt)) {
			e.RetryAt = at
		}
	}
	return e
}

// of puts a denial in the words of an endpoint.
func (d *denied) of(e *endpoint) *Error {
	return &Error{Kind: d.kind, Provider: e.info.Name, Endpoint: e.Name, Message: d.reason, RetryAt: d.until}
}

// sameBarAs reports whether two bars say the same of their slot.
func sameBarAs(a, b series.Bar) bool { return sameBar(rowOf(a), rowOf(b)) }

func rowOf(b series.Bar) Row {
	return Row{
		Time: b.Time, Open: b.Open, High: b.High, Low: b.Low, Close: b.Close, Volume: b.Volume,
		QuoteVolume: b.QuoteVolume, Trades: b.Trades, VWAP: nan,
	}
}
