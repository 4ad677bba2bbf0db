package fetch

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

var nan = math.NaN()

// window is one stretch of a question at work.
type window struct {
	*asking
	run  series.Run
	left []series.Run // not spoken for
	// asked is what a candidate was asked here and did not speak for.
	asked    map[*candidate][]series.Run
	tried    map[*candidate]time.Time // until when a candidate is left alone here
	failures map[*candidate]int       // in a row
	avoid    []*candidate             // whose answer for this window was wrong before
	// again says that an answer held rows that were refused: a repetition may
	// bring them whole.
	again    bool
	doubts   []doubt
	patience time.Duration // what is left of it

	batches []Batch
	// tail is the final bar of the last slot of the window, by tailBy, and lead
	// that of the slot before it, for which leadBy was asked; nil where there is
	// none.
	lead, tail     *series.Bar
	leadBy, tailBy *candidate

	report Report
	stop   bool  // nobody can answer now, nor what comes after
	err    error // of the context or the pool
}

// doubt is what one answer is not enough for: a stretch of silence, or a slot
// with two different rows.
type doubt struct {
	run series.Run
	by  *candidate
}

func (q *asking) newWindow(w series.Run) *window {
	return &window{
		asking: q, run: w, left: []series.Run{w}, patience: max(0, q.a.Patience),
		asked: map[*candidate][]series.Run{}, tried: map[*candidate]time.Time{}, failures: map[*candidate]int{},
		report: Report{Used: map[string]int64{}},
	}
}

// window gets the answers for w from whoever can give them, rather not from
// those to avoid.
func (q *asking) window(ctx context.Context, w series.Run, avoid []*candidate) *window {
	x := q.newWindow(w)
	x.avoid = avoid
	for len(x.left) > 0 && x.err == nil {
		c, part := x.pick(ctx)
		if c == nil {
			break
		}
		x.ask(ctx, c, part)
	}
	for i := 0; i < len(x.doubts) && x.err == nil; i++ {
		x.err = x.second(ctx, x.doubts[i])
	}
	if x.err != nil {
		return x
	}
	x.report.Unanswered = append(x.report.Unanswered, q.g.spans(x.left)...)
	slices.SortStableFunc(x.batches, func(a, b Batch) int { return cmpTime(a.Bars.Time[0], b.Bars.Time[0]) })
	x.untangle()
	x.ends()
	return x
}

// untangle cuts batches that lie inside each other, so that every bar comes
// after those before it.
func (x *window) untangle() {
	for i := 0; i+1 < len(x.batches); i++ {
		b, after := x.batches[i], x.batches[i+1].Bars.Time[0]
		n, _ := slices.BinarySearch(b.Bars.Time, after)
		if n == b.Bars.Len() {
			continue
		}
		head, tail := b, b
		head.Bars, tail.Bars = cut(b.Bars, 0, n), cut(b.Bars, n, b.Bars.Len())
		x.batches[i] = head
		x.batches = append(x.batches, tail)
		slices.SortStableFunc(x.batches[i+1:], func(a, b Batch) int { return cmpTime(a.Bars.Time[0], b.Bars.Time[0]) })
	}
}

// cut copies bars i to j.
func cut(c *series.Columns, i, j int) *series.Columns {
	out := columns(j - i)
	for ; i < j; i++ {
		out.Append(c.Bar(i))
	}
	return &out
}

// ends keeps the last bar of the window, to compare it with the next one.
func (x *window) ends() {
	if len(x.batches) == 0 {
		return
	}
	b := x.batches[len(x.batches)-1]
	bar := b.Bars.Bar(b.Bars.Len() - 1)
	if x.g.slot(bar.Time) != x.run.To-1 || bar.Prov.Forming() {
		return
	}
	for _, c := range x.list {
		if c.e.Name == b.Endpoint {
			x.tail, x.tailBy = &bar, c
		}
	}
}

// contradicts reports whether b, the window after x, begins with another bar
// than that with which x ends. Providers differ among each other; one should
// not differ from itself.
func (x *window) contradicts(b *window) bool {
	if x.tail == nil || b.leadBy == nil || x.tailBy.e.info != b.leadBy.e.info {
		return false
	}
	return b.lead == nil || !sameBarAs(*x.tail, *b.lead)
}

// used lists who gave the bars of the window.
func (x *window) used() (out []*candidate) {
	for _, c := range x.list {
		if x.report.Used[c.e.Name] > 0 {
			out = append(out, c)
		}
	}
	return out
}

// discard takes the answers of the window back.
func (x *window) discard(reason string) {
	for _, c := range x.used() {
		x.mu.Lock()
		c.out = &Error{Kind: Unavailable, Provider: c.e.info.Name, Endpoint: c.e.Name, Message: reason}
		x.mu.Unlock()
	}
	x.batches, x.leadBy, x.tail, x.stop = nil, nil, nil, true
	x.report.Bars, x.report.Used = 0, map[string]int64{}
	x.report.Spoken, x.report.Empty, x.report.Silent = nil, nil, nil
	x.report.Unanswered = x.g.spans([]series.Run{x.run})
}

// give hands the window out and adds its report to r.
func (x *window) give(r *Report, give func(Batch) error) error {
	for _, b := range x.batches {
		if err := give(b); err != nil {
			return err
		}
		n := int64(b.Bars.Len())
		r.Bars += n
		r.Used[b.Endpoint] += n
		for _, c := range x.list {
			if c.e.Name == b.Endpoint {
				c.e.stats.delivered(b.Bars.Len())
				break
			}
		}
	}
	o := &x.report
	r.Pages += o.Pages
	r.Spoken, r.Empty = append(r.Spoken, o.Spoken...), append(r.Empty, o.Empty...)
	r.Silent, r.Unanswered = append(r.Silent, o.Silent...), append(r.Unanswered, o.Unanswered...)
	// A long span is told in few ranges, not in one for each window.
	r.Spoken, r.Silent = series.Normalize(r.Spoken), series.Normalize(r.Silent)
	r.Conflicts, r.Refused = append(r.Conflicts, o.Conflicts...), append(r.Refused, o.Refused...)
	r.Outside, r.Duplicates, r.Blank = r.Outside+o.Outside, r.Duplicates+o.Duplicates, r.Blank+o.Blank
	return nil
}

// ask asks c for part and takes over what came.
func (x *window) ask(ctx context.Context, c *candidate, part series.Run) {
	lead := part
	if most, _ := x.bounds(c); part.From == x.run.From && part.From > x.asking.run.From && most >= overlapLeast {
		lead.From--
		// The bar before takes the place of the last one where no more are allowed.
		lead.To = min(lead.To, lead.From+series.Slot(most))
		part = part.Intersect(lead)
	}
	begun := time.Now()
	s, by, err := x.hedged(ctx, c, lead)
	switch {
	case err == nil:
		x.failures[by] = 0
		if lead.From < part.From {
			x.follow(by, s)
		}
		x.take(by, part, s)
	case ctx.Err() != nil:
		x.err = context.Cause(ctx)
	default:
		x.patience = max(0, x.patience-time.Since(begun))
		x.failed(c, part, err)
	}
}

// bounds are how many bars c gives at most and how far back it reaches, which
// other windows learn meanwhile.
func (x *window) bounds(c *candidate) (most int, reach series.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return c.most, c.reach
}

// follow keeps the bar of the slot before the window, for which by was asked
// too.
func (x *window) follow(by *candidate, s *Settled) {
	at := x.g.time(x.run.From - 1)
	if _, reach := x.bounds(by); at < reach {
		return
	}
	x.lead, x.leadBy = nil, by
	if s.Bars.Len() > 0 && x.g.slot(s.Bars.Time[0]) == x.run.From-1 {
		if b := s.Bars.Bar(0); b.Prov.Forming() {
			x.leadBy = nil
		} else {
			x.lead = &b
		}
	}
}

// hedged asks c, and if its answer takes longer than usual another endpoint of
// the same provider too; the first good answer counts.
func (x *window) hedged(ctx context.Context, c *candidate, part series.Run) (*Settled, *candidate, error) {
	patient := !x.others(c)
	spare := x.spare(c)
	if spare == nil {
		s, err := x.fetch(ctx, c, part, patient, x.patience)
		return s, c, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // whoever is later is given up
	type result struct {
		s   *Settled
		c   *candidate
		err error
	}
	results := make(chan result, 2)
	start := func(c *candidate, patience time.Duration) {
		x.p.work.Go(func() {
			s, err := x.fetch(ctx, c, part, false, patience)
			results <- result{s, c, err}
		})
	}
	start(c, x.patience)
	wait := x.p.hedge
	if usual, ok := c.e.stats.p95(); ok {
		wait = max(wait, usual)
	}
	late := time.NewTimer(wait)
	defer late.Stop()
	running := 1
	var first error
	for {
		select {
		case <-late.C:
			start(spare, 0)
			running++
		case r := <-results:
			if r.err == nil {
				return r.s, r.c, nil
			}
			if r.c == c || first == nil {
				first = r.err
			}
			if running--; running == 0 {
				return nil, c, first
			}
		}
	}
}

// spare is who is asked beside c if c is slow; nil without hedging.
func (x *window) spare(c *candidate) *candidate {
	if x.p.hedge <= 0 {
		return nil
	}
	o := x.witness(func(o *candidate) bool { return o.source == c.source && o.e.host != c.e.host && o.most >= c.most }, c)
	if o == c {
		return nil
	}
	return o
}

// fetch asks c for part, page by page, and settles the answer.
func (x *window) fetch(ctx context.Context, c *candidate, part series.Run, patient bool, patience time.Duration) (*Settled, error) {
	p, e := x.p, c.e
	q := Query{Symbol: c.symbol, Interval: x.a.Interval, Span: series.Span{From: x.g.time(part.From), To: x.g.time(part.To)}}
	var all Page
	var now series.Time
	for {
		q.Now = p.clocks.now(e.host.name)
		r, err := e.Provider.Request(q)
		if err != nil {
			return nil, named(err, e)
		}
		var page Page
		cl := &call{pool: p, e: e, r: r, patient: patient, patience: patience}
		cl.judge = func(a Answer) (err error) {
			now = a.Time
			page, err = e.Provider.Page(q, a)
			return err
		}
		err = cl.do(ctx)
		x.mu.Lock()
		x.sent += int64(cl.sent)
		x.mu.Unlock()
		if err != nil {
			return nil, err
		}
		all.Rows, all.Refused = append(all.Rows, page.Rows...), append(all.Refused, page.Refused...)
		all.Spoken, all.Next, all.Whole, all.Zone = page.Spoken, page.Next, page.Whole, page.Zone
		if page.Next == "" || len(all.Rows) > maxRows {
			break // what is cut off is not spoken for, and asked next
		}
		if page.Next == q.Cursor {
			return nil, &Error{Kind: Unavailable, Provider: e.info.Name, Endpoint: e.Name, Message: "its pages go in a circle"}
		}
		q.Cursor = page.Next
	}
	p.origins.mark(all.Rows)
	s := Settle(e.info, q, all, now)
	if n := len(s.Refused); n > 0 && n == len(all.Rows)+len(all.Refused) {
		return nil, &Error{Kind: Unavailable, Provider: e.info.Name, Endpoint: e.Name, Message: "no row can be believed: " + s.Refused[0].Reason}
	}
	return s, nil
}

// maxRows bounds what the pages of one question hold together.
const maxRows = 2 * wholeSpan

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
	if d, ok := errors.AsType[*denied](err); ok {
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
			c.most = min(c.most, int(part.Len()+1)/2)
			return
		}
	case NotEntitled, UnknownSymbol:
		if f.Before != 0 && x.g.slot(f.Before) < part.To {
			delay := x.p.clocks.now(c.e.host.name) - f.Before
			c.withhold(f.Before, delay, f.Message)
			c.e.withhold(time.Now(), delay)
			return
		}
		c.e.refuses(time.Now(), c.symbol+" "+x.a.Interval.String(), f)
	case HistoryExhausted:
		// It may have the later half: where it begins is found in a few steps.
		c.reach, c.why = max(c.reach, x.g.time(part.From+series.Slot(part.Len()+1)/2)), f
		return
	case Unavailable, RateLimited, Banned, QuotaExhausted:
		// One that cannot do better is left alone for a while, the others here
		// only.
		at := time.Now().Add(jitter(backoffBase << min(x.failures[c], 7)))
		x.failures[c]++
		if f.RetryAt.After(at) {
			at = f.RetryAt
		}
		x.tried[c], c.why = at, f
		if f.Kind != Unavailable || retryable(f) {
			return
		}
		f = temporary(f, time.Now().Add(time.Minute))
	}
	c.out = f
}

// temporary is f with a moment at which to try again.
func temporary(f *Error, at time.Time) *Error {
	c := *f
	c.RetryAt = at
	return &c
}

// take takes over an answer of c, of which part was wanted.
func (x *window) take(c *candidate, part series.Run, s *Settled) {
	spoken := series.Intersect(nil, x.runs(s.Spoken), []series.Run{part})
	spoken = series.Intersect(nil, spoken, x.left)
	// What has not ended and has no bar yet is not missing. But where a server
	// gives bars of what is its own future, its clock proves nothing.
	ended := max(s.ended, part.From)
	for _, f := range s.Refused {
		if part.Contains(x.g.slot(f.Time)) {
			ended = max(ended, x.g.slot(f.Time)+1)
		}
	}
	pending := series.Intersect(nil, []series.Run{{From: ended, To: part.To}}, x.left)
	x.left = series.Subtract(nil, series.Subtract(nil, x.left, spoken), pending)
	x.asked[c] = series.Union(nil, x.asked[c], []series.Run{part})
	x.again = x.again || len(s.Refused) > 0

	for _, r := range series.Intersect(nil, x.runs(s.Silent), spoken) {
		x.doubts = append(x.doubts, doubt{r, c})
		x.report.Silent = append(x.report.Silent, x.g.spans([]series.Run{r})...)
	}
	for _, f := range s.Conflicts {
		n := x.g.slot(f.Kept.Time)
		if one := (series.Run{From: n, To: n + 1}); part.Contains(n) {
			x.doubts = append(x.doubts, doubt{one, c})
		}
	}
	x.deliver(c, &s.Bars, spoken)
	r := &x.report
	r.Pages++
	r.Spoken = append(r.Spoken, x.g.spans(spoken)...)
	r.Empty = append(r.Empty, x.g.spans(series.Intersect(nil, x.runs(s.Empty), spoken))...)
	r.Conflicts, r.Refused = append(r.Conflicts, s.Conflicts...), append(r.Refused, s.Refused...)
	r.Outside, r.Duplicates, r.Blank = r.Outside+int64(s.Outside), r.Duplicates+int64(s.Duplicates), r.Blank+int64(s.Blank)

	x.mu.Lock()
	was := x.last
	x.last, c.why = c, nil
	c.e.accepts(c.symbol + " " + x.a.Interval.String())
	x.mu.Unlock()
	if was != nil && was.e != c.e && x.p.balance == ByPriority && byRank(was, c) < 0 {
		x.p.tell(c.e, FailedOver, "asked instead of "+was.e.Name, time.Time{})
	}
}

// runs returns spans as slots.
func (q *asking) runs(spans []series.Span) []series.Run {
	out := make([]series.Run, 0, len(spans))
	for _, s := range spans {
		out = append(out, q.g.run(s))
	}
	return out
}

// deliver keeps the bars of an answer that lie in runs.
func (x *window) deliver(c *candidate, bars *series.Columns, runs []series.Run) {
	if n := bars.Len(); n == 0 || len(runs) == 0 {
		return
	} else if len(runs) != 1 || x.g.slot(bars.Time[0]) < runs[0].From || x.g.slot(bars.Time[n-1]) >= runs[0].To {
		some := columns(n)
		k := 0
		for i, t := range bars.Time {
			s := x.g.slot(t)
			for k < len(runs) && runs[k].To <= s {
				k++
			}
			if k < len(runs) && runs[k].Contains(s) {
				some.Append(bars.Bar(i))
			}
		}
		if some.Len() == 0 {
			return
		}
		bars = &some
	}
	x.batches = append(x.batches, Batch{Bars: bars, Provider: c.e.info.Name, Endpoint: c.e.Name, Symbol: c.symbol, Grade: c.grade})
	x.report.Used[c.e.Name] += int64(bars.Len())
}

// second asks once more about a doubt, rather of another endpoint, because an
// edge that lost bars loses them again. The neighbours are asked for too: with
// bars on both sides silence becomes evidence.
func (x *window) second(ctx context.Context, d doubt) error {
	for rest := d.run; !rest.Empty(); {
		c := x.witness(func(c *candidate) bool { return c.grade != Proxy || d.by.grade == Proxy }, d.by)
		if c == nil {
			return nil
		}
		wide := series.Run{From: rest.From - 1, To: rest.To + 1}.Intersect(x.asking.run)
		most, _ := x.bounds(c)
		wide.To = min(wide.To, wide.From+series.Slot(most))
		part := rest.Intersect(wide)
		if part.Empty() {
			part = series.Run{From: rest.From, To: rest.From + 1} // one bar at a time is all it gives
			wide = part
		}
		rest.From = part.To
		s, err := x.fetch(ctx, c, wide, false, 0)
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			continue // it stays the word of one
		}
		if wide.From < x.run.From {
			x.follow(c, s)
		}
		x.weigh(c, part, s)
	}
	return nil
}

// weigh takes over what a second answer says about part.
func (x *window) weigh(c *candidate, part series.Run, s *Settled) {
	var found []series.Run
	for i, t := range s.Bars.Time {
		n := x.g.slot(t)
		if part.Contains(n) && !x.amend(n, s.Bars.Bar(i)) {
			found = series.Join(found, series.Run{From: n, To: n + 1})
		}
	}
	x.deliver(c, &s.Bars, found)
	empty := series.Intersect(nil, x.runs(s.Empty), []series.Run{part})
	x.report.Pages++
	x.report.Empty = append(x.report.Empty, x.g.spans(empty)...)
	settled := x.g.spans(series.Union(nil, found, empty))
	x.report.Silent = series.Subtract(nil, series.Normalize(x.report.Silent), settled)
	if len(found) > 0 {
		// The first answer was cut, and so may this one be.
		for _, r := range series.Intersect(nil, x.runs(x.report.Silent), []series.Run{part}) {
			x.doubts = append(x.doubts, doubt{r, c})
		}
	}
}

// amend looks for the bar of slot n among those that are held, and reports
// whether there is one. If it was in conflict with the one that the second
// answer confirms, that one takes its place.
func (x *window) amend(n series.Slot, confirmed series.Bar) bool {
	at := x.g.time(n)
	for _, b := range x.batches {
		i, ok := slices.BinarySearchFunc(b.Bars.Time, at, cmpTime)
		if !ok {
			continue
		}
		for k := range x.report.Conflicts {
			f := &x.report.Conflicts[k]
			if f.Kept.Time == at && sameBar(f.Other, rowOf(confirmed)) {
				f.Kept, f.Other = f.Other, f.Kept
				put(b.Bars, i, f.Kept)
			}
		}
		return true
	}
	return false
}

// put writes the values of r over bar i.
func put(c *series.Columns, i int, r Row) {
	c.Open[i], c.High[i], c.Low[i], c.Close[i], c.Volume[i] = r.Open, r.High, r.Low, r.Close, r.Volume
	if len(c.QuoteVolume) > i {
		c.QuoteVolume[i] = r.QuoteVolume
	}
	if len(c.Trades) > i {
		c.Trades[i] = r.Trades
	}
}

// witness is who else is asked about what by said: another host, then another
// endpoint, and by itself at last.
func (x *window) witness(fits func(*candidate) bool, by *candidate) *candidate {
	x.mu.Lock()
	defer x.mu.Unlock()
	var best *candidate
	rank := 0
	for _, c := range x.list {
		if c.gone() || !fits(c) && c != by || c.reach > x.g.time(x.run.From) || x.p.blocked(c.e, "") != nil {
			continue
		}
		r := 1
		switch {
		case c.e.host != by.e.host:
			r = 3
		case c != by:
			r = 2
		}
		if r > rank {
			best, rank = c, r
		}
	}
	return best
}
