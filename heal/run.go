package heal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// saveEvery is how often a repair under way is saved. What it did since is
// found in the store, so that nothing hangs on it.
const saveEvery = 500 * time.Millisecond

// carryOut runs one repair. An error means that the store cannot go on; what
// sources do ends up in the repair.
func (h *Healer) carryOut(ctx context.Context, x *Repair) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h.mu.Lock()
	if x.Status.Ended() {
		h.mu.Unlock()
		return nil
	}
	resumed := x.Status == Running
	x.Status = Running
	if x.Started == 0 {
		x.Started = h.now()
	}
	h.cancels[x.ID] = cancel
	r := x.Request
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.cancels, x.ID)
		h.mu.Unlock()
	}()

	p, pol, err := h.plan(ctx, r)
	if err == nil && p.Over != "" && !resumed {
		// More was found missing since the repair was asked for.
		err = errors.New(p.Over)
	}
	if err == nil {
		h.mu.Lock()
		if !resumed || len(x.Plan.Series) == 0 {
			x.Plan = p
		}
		x.Step, x.Steps = 0, 0
		for _, s := range p.Series {
			x.Steps += len(s.Windows) + len(s.Steps)
		}
		h.mu.Unlock()
		run := &running{h: h, x: x, pol: &pol, change: Change{Actor: r.Actor, Repair: x.ID, Rule: "gap", Version: 1}, saved: time.Now()}
		for i := range p.Series {
			if err = run.series(ctx, &p.Series[i]); err != nil {
				break
			}
		}
	}
	return h.end(ctx, x, err)
}

// end records how a repair ended.
func (h *Healer) end(ctx context.Context, x *Repair, err error) error {
	h.mu.Lock()
	switch {
	case x.Status == Cancelled:
	case err == nil:
		x.Status, x.Ended = Done, h.now()
	case ctx.Err() != nil:
		// The process ends: the repair goes on when it starts again.
		h.mu.Unlock()
		return ctx.Err()
	default:
		x.Status, x.Ended, x.Error = Failed, h.now(), err.Error()
	}
	out := x.clone()
	h.mu.Unlock()
	h.observe(out)
	// A cancelled context must not keep the end from being recorded.
	return h.save(context.WithoutCancel(ctx), &out)
}

// running is a repair at work.
type running struct {
	h      *Healer
	x      *Repair
	pol    *Policy
	change Change
	saved  time.Time
	now    series.Time

	same, differ int64          // bars of answers that were compared with stored ones
	lies         map[string]int // windows of the series in which a source contradicted
}

func (r *running) series(ctx context.Context, p *SeriesPlan) error {
	h := r.h
	r.now = h.now()
	all, err := h.store.Series(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(s Series) bool { return s.Key == p.Key })
	if i < 0 {
		return fmt.Errorf("%w: %s", series.ErrNoSeries, p.Key)
	}
	s := all[i]
	if err := r.explainKnown(ctx, p); err != nil {
		return err
	}
	for _, a := range p.Audits {
		if err := r.audit(ctx, s, p, a); err != nil {
			return err
		}
	}
	for i := range p.Steps {
		mend := r.rescale
		if p.Steps[i].lag != 0 {
			mend = r.relabel
		}
		if err := mend(ctx, s, p, &p.Steps[i]); err != nil {
			return err
		}
		if err := r.progress(ctx); err != nil {
			return err
		}
	}
	for _, w := range p.Windows {
		step := r.window
		if r.x.Request.Type == Corruption {
			step = r.correct
		}
		if err := step(ctx, s, p, w); err != nil {
			return err
		}
		if err := r.progress(ctx); err != nil {
			return err
		}
	}
	if err := h.agreed(ctx, s.Key, r.same, r.differ); err != nil {
		return err
	}
	r.same, r.differ, r.lies = 0, 0, nil
	return r.fills(ctx, p)
}

// progress counts a window, and saves the repair now and then.
func (r *running) progress(ctx context.Context) error {
	h := r.h
	h.mu.Lock()
	r.x.Step++
	var out Repair
	due := time.Since(r.saved) >= saveEvery
	if due {
		out = r.x.clone()
	}
	h.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if !due {
		return nil
	}
	r.saved = time.Now()
	h.observe(out)
	return h.save(ctx, &out)
}

// explainKnown records what the plan could say without asking. The scan is done
// again: notes hold more than a plan shows.
func (r *running) explainKnown(ctx context.Context, p *SeriesPlan) error {
	var gaps []series.Absence
	for _, e := range p.Explain {
		scan, err := r.h.store.Scan(ctx, p.Key, e.span())
		if err != nil {
			return err
		}
		for _, o := range scan.Holes {
			if o.State == e.State && o.Note.Reason == e.Reason {
				continue
			}
			o.State, o.Note.Reason, o.Note.Fill = e.State, e.Reason, ""
			o.Note.Last = r.now
			switch e.State {
			case series.StateOutage, series.StateUnavailable:
				o.Note.Next = r.now + series.Time(r.pol.RetryMost/time.Millisecond)
			case series.StateMissing: // why, as it seems; it is asked for as before
				o.Note.Last = 0
			default:
				o.Note.Next = 0
			}
			gaps = append(gaps, o)
		}
	}
	if len(gaps) == 0 {
		return nil
	}
	c := r.change
	c.Rule = "known"
	if err := r.h.store.Explain(ctx, p.Key, gaps, c); err != nil {
		return err
	}
	r.count(gaps)
	return nil
}

// count adds what became of slots to the repair.
func (r *running) count(gaps []series.Absence) map[string]int64 {
	states := map[string]int64{}
	for _, g := range gaps {
		states[g.State.String()] += g.Len()
	}
	r.h.mu.Lock()
	defer r.h.mu.Unlock()
	for k, n := range states {
		r.x.States[k] += n
	}
	return states
}

// audit asks for coarser bars and explains the slots that they prove empty.
func (r *running) audit(ctx context.Context, s Series, p *SeriesPlan, a Step) error {
	key := series.Key{Symbol: s.Symbol, Interval: p.coarse}
	var bars series.Columns
	source, digest := "", ""
	out, err := r.h.source.Fetch(ctx, key, a.span(), nil, func(x Answer) error {
		if x.Proxy {
			return nil
		}
		source, digest = x.Source, digest+x.Digest+" "
		for i := range x.Bars.Time {
			bars.Append(x.Bars.Bar(i))
		}
		return nil
	})
	r.spent(out.Requests)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && bars.Len() == 0 {
		return nil // the windows will tell
	}
	scan, err := r.h.store.Scan(ctx, s.Key, a.span())
	if err != nil {
		return err
	}
	holes := due(scan.Holes, r.x.Request, r.now, new(int64))
	proven, _, err := r.h.prove(ctx, s, series.Grid{Interval: p.coarse}, &bars, scan, holes)
	if err != nil || len(proven) == 0 {
		return err
	}
	c := r.change
	c.Rule, c.Evidence = "conservation", fmt.Sprintf("%s %s %s", source, p.coarse, strings.TrimSpace(digest))
	if err := r.h.store.Explain(ctx, s.Key, proven, c); err != nil {
		return err
	}
	r.count(proven)
	return nil
}

func (r *running) spent(requests int64) {
	r.h.mu.Lock()
	r.x.Requests += requests
	r.h.mu.Unlock()
}

// window asks for one window, of one source after the other, until one answers
// that agrees with the store.
func (r *running) window(ctx context.Context, s Series, p *SeriesPlan, w Step) error {
	h := r.h
	g := s.Grid
	span := w.span()
	scan, err := h.store.Scan(ctx, s.Key, span)
	if err != nil {
		return err
	}
	holes := due(scan.Holes, r.x.Request, r.now, new(int64))
	if len(holes) == 0 {
		return nil // an audit explained them, or somebody wrote the bars
	}
	out := Outline{Key: s.Key, From: w.From, To: w.To}
	asked, _, err := h.anchored(ctx, s, scan.Calendar, w)
	if err != nil {
		return err
	}
	var stored series.Columns
	for i := range asked {
		asked[i].To = min(asked[i].To, max(r.now, w.To))
		var some series.Columns
		if err := h.store.Read(ctx, s.Key, asked[i], &some); err != nil {
			return err
		}
		for n := range some.Time {
			stored.Append(some.Bar(n))
		}
	}
	rejected := r.distrusted()
	var o Outcome
	var got *answers
	for {
		got = &answers{}
		var ferr error
		o, ferr = r.ask(ctx, s.Key, asked, rejected, got.add)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if ferr != nil && o.Why == "" {
			o.Why = ferr.Error()
		}
		name, why, same, differ := got.contradicts(g, &stored, r.pol.Tolerance)
		r.same, r.differ = r.same+same, r.differ+differ
		if why == "" {
			break
		}
		rejected = append(rejected, name)
		r.distrust(name)
		out.Rejected = append(out.Rejected, name+": "+why)
		h.log.Warn("a source contradicts the stored bars and is not believed", "source", name, "series", s.Key, "span", w.span(), "why", why)
	}
	if alone := got.unspoken(&stored) && !slices.ContainsFunc(got.list, func(a *Answer) bool { return a.Proxy }); alone {
		var doubted []string
		if got, doubted, err = r.witness(ctx, s, asked, got, rejected); err != nil {
			return err
		}
		for _, why := range doubted {
			rejected = append(rejected, why)
			h.log.Warn("a source is not believed", "series", s.Key, "span", w.span(), "why", why)
		}
		out.Rejected = append(out.Rejected, doubted...)
	}
	c := r.change
	c.Evidence = got.evidence(out.Rejected)
	for _, a := range got.list {
		bars := a.missing(g, scan.Holes)
		if bars.Len() == 0 {
			continue
		}
		for _, part := range a.bySource(bars) {
			n, err := h.store.Write(ctx, s.Key, &part.bars, part.source, c)
			if err != nil {
				return err
			}
			out.Written += int64(n)
		}
		if !slices.Contains(out.Sources, a.Source) {
			out.Sources = append(out.Sources, a.Source)
		}
	}
	// What counts is what the store has now, not what was handed to it.
	after, err := h.store.Scan(ctx, s.Key, span)
	if err != nil {
		return err
	}
	if was, is := total(scan.Holes), total(after.Holes); was-is != out.Written && out.Written > 0 {
		return fmt.Errorf("%s %v: %d bars were written, but %d slots have one now", s.Key, span, out.Written, was-is)
	}
	left := withinAll(after.Holes, joined(holes))
	if gaps := r.judge(g, left, o, len(rejected) > 0, got.names()); len(gaps) > 0 {
		if err := h.store.Explain(ctx, s.Key, gaps, c); err != nil {
			return err
		}
		out.States = r.count(gaps)
	}
	if len(o.Unanswered) > 0 {
		out.Error = o.Why
	}
	h.mu.Lock()
	r.x.Written += out.Written
	if len(r.x.Outcomes) < outlinesMost {
		r.x.Outcomes = append(r.x.Outcomes, out)
	}
	h.mu.Unlock()
	return nil
}

func total(holes []series.Absence) (n int64) {
	for _, o := range holes {
		n += o.Len()
	}
	return n
}

// withinAll returns the parts of holes inside of runs; both ascend.
func withinAll(holes []series.Absence, runs []series.Run) (out []series.Absence) {
	for _, r := range runs {
		out = append(out, within(holes, r)...)
	}
	return out
}

// judge says what is known of the slots that stay without a bar after a
// question.
func (r *running) judge(g series.Grid, left []series.Absence, o Outcome, rejected bool, names []string) []series.Absence {
	empty, silent := runsOf(g, o.Empty), runsOf(g, o.Silent)
	who := strings.Join(names, ", ")
	if who == "" {
		who = "the sources"
	}
	var out []series.Absence
	take := func(part []series.Run, holes []series.Absence, say func(series.Absence) series.Absence) []series.Absence {
		if len(part) == 0 {
			return holes
		}
		var taken []series.Absence
		for _, x := range withinAll(holes, part) {
			y := say(x)
			taken = append(taken, x)
			out = append(out, y)
		}
		return without(holes, taken)
	}
	left = take(empty, left, func(x series.Absence) series.Absence {
		n := r.observed(x)
		if x.State == series.StateUnavailable && x.Note.First != 0 && r.now-x.Note.First >= series.Time(r.pol.Corroborate/time.Millisecond) {
			n.Reason = fmt.Sprintf("%s had bars around it and none here, again", who)
			n.Next = r.now + 180*series.Day
			return series.Absence{Run: x.Run, State: series.StateNoTrade, Note: n}
		}
		n.Reason = fmt.Sprintf("%s had bars around it and none here", who)
		return series.Absence{Run: x.Run, State: series.StateUnavailable, Note: n}
	})
	left = take(silent, left, func(x series.Absence) series.Absence {
		n := r.observed(x)
		n.Reason = fmt.Sprintf("%s had no bars", who)
		return series.Absence{Run: x.Run, State: series.StateUnavailable, Note: n}
	})
	for _, x := range left {
		// Nobody was heard: that is no observation.
		if x.State == series.StateSynthetic {
			x.State, x.Note.Fill = series.StateMissing, ""
		}
		x.Note.Attempts++
		x.Note.Last = r.now
		x.Note.Next = r.now + r.pol.wait(x.Note.Attempts)
		if o.RetryAt > r.now {
			x.Note.Next = o.RetryAt
		}
		x.Note.Reason = cmp.Or(o.Why, "not answered")
		if rejected {
			x.Note.Reason = "sources contradict the stored bars around it"
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b series.Absence) int { return cmp.Compare(a.From, b.From) })
	return out
}

// observed is the note of a slot after one more observation of its absence.
func (r *running) observed(x series.Absence) series.Note {
	n := x.Note
	n.Fill = ""
	if n.First == 0 || x.State == series.StateMissing {
		n.First = r.now
	}
	n.Attempts++
	n.Last = r.now
	n.Next = r.now + r.pol.wait(n.Attempts)
	return n
}

func runsOf(g series.Grid, spans []series.Span) []series.Run {
	out := make([]series.Run, 0, len(spans))
	for _, s := range spans {
		out = append(out, g.Run(s))
	}
	return series.Normalize(out)
}

// fills records what is to be invented while reading of what is still open.
func (r *running) fills(ctx context.Context, p *SeriesPlan) error {
	var gaps []series.Absence
	for _, f := range p.Fills {
		scan, err := r.h.store.Scan(ctx, p.Key, f.span())
		if err != nil {
			return err
		}
		for _, o := range scan.Holes {
			switch o.State {
			case series.StateMissing, series.StateUnavailable:
			default:
				continue // explained meanwhile, or filled already
			}
			fill := f.Fill
			if r.x.Request.Type == Auto {
				// What is left of a hole may be small where the hole was not.
				if fill = r.pol.fillFor(o.Len()); fill == "" {
					continue
				}
				asked := o.State == series.StateUnavailable || len(p.Windows) == 0
				if !asked && r.pol.Strategy == SourcesFirst {
					continue // a source that is down may have it
				}
			}
			o.State, o.Note.Fill = series.StateSynthetic, fill
			gaps = append(gaps, o)
		}
	}
	if len(gaps) == 0 {
		return nil
	}
	c := r.change
	c.Rule = "fill"
	if err := r.h.store.Explain(ctx, p.Key, gaps, c); err != nil {
		return err
	}
	r.count(gaps)
	r.h.mu.Lock()
	r.x.Filled += total(gaps)
	r.h.mu.Unlock()
	return nil
}

// answers are what sources said of one window.
type answers struct{ list []*Answer }

func (a *answers) add(x Answer) error {
	if n := len(a.list); n > 0 && a.list[n-1].Source == x.Source {
		last := a.list[n-1]
		for i := range x.Bars.Time {
			last.Bars.Append(x.Bars.Bar(i))
		}
		last.Digest += " " + x.Digest
		return nil
	}
	own := x
	own.Bars = &series.Columns{}
	for i := range x.Bars.Time {
		own.Bars.Append(x.Bars.Bar(i))
	}
	a.list = append(a.list, &own)
	return nil
}

func (a *answers) names() []string {
	m := map[string]bool{}
	for _, x := range a.list {
		m[x.Source] = true
	}
	return slices.Sorted(maps.Keys(m))
}

// evidence says who was asked and what they said, as digests.
func (a *answers) evidence(rejected []string) string {
	var out []string
	for _, x := range a.list {
		out = append(out, x.Source+" "+x.Digest)
	}
	for _, x := range rejected {
		out = append(out, "not believed: "+x)
	}
	return strings.Join(out, "; ")
}

// contradicts returns a source whose bars are not those that are stored, and in
// what. A source that says nothing about stored bars contradicts none.
func (a *answers) contradicts(g series.Grid, stored *series.Columns, tolerance float64) (name, why string, agree, not int64) {
	at := make(map[series.Time]int, stored.Len())
	for i, t := range stored.Time {
		at[t] = i
	}
	for _, x := range a.list {
		var same, differ int
		for i, t := range x.Bars.Time {
			j, there := at[t]
			if !there {
				continue
			}
			mine, theirs := stored.Bar(j), x.Bars.Bar(i)
			if mine.Prov.Kind() != series.Observed || mine.Prov.Forming() || theirs.Prov.Forming() {
				continue
			}
			if close4(mine, theirs, tolerance) {
				same++
				continue
			}
			if differ++; why == "" {
				why = fmt.Sprintf("its bar of %v closes at %v, the stored one at %v", t, theirs.Close, mine.Close)
			}
		}
		// One revised bar among many is not a contradiction; a bar that differs
		// alone is.
		agree, not = agree+int64(same), not+int64(differ)
		if differ > 0 && 4*differ >= same+differ {
			return x.Source, why, agree, not
		}
		if lag := shifted(g, stored, x.Bars); lag != 0 {
			return x.Source, fmt.Sprintf("its bars are those of %+d slots", lag), agree, not
		}
		why = ""
	}
	return "", "", agree, not
}

// close4 reports whether all four prices agree.
func close4(a, b series.Bar, tolerance float64) bool {
	for _, p := range [...][2]float64{{a.Open, b.Open}, {a.High, b.High}, {a.Low, b.Low}, {a.Close, b.Close}} {
		if diff := p[0] - p[1]; diff > tolerance*abs(p[0]) || -diff > tolerance*abs(p[0]) {
			return false
		}
	}
	return true
}

func abs(x float64) float64 {
	if x < 0 {
		return -x
	}
	return x
}

// said is bars of an answer that one source said.
type said struct {
	source string
	bars   series.Columns
}

// bySource parts bars of an answer by who said them first.
func (a *Answer) bySource(bars *series.Columns) []*said {
	if a.Origin == nil {
		return []*said{{a.Source, *bars}}
	}
	var list []*said
	for i := range bars.Time {
		b := bars.Bar(i)
		name := a.Origin(b.Prov.Source())
		k := slices.IndexFunc(list, func(x *said) bool { return x.source == name })
		if k < 0 {
			k = len(list)
			list = append(list, &said{source: name})
		}
		b.Prov = b.Prov.WithSource(0) // it is a number of the pool
		list[k].bars.Append(b)
	}
	return list
}

// missing returns the bars of an answer that have ended and whose slots are
// holes.
func (a *Answer) missing(g series.Grid, holes []series.Absence) *series.Columns {
	out := &series.Columns{}
	k := 0
	for i, t := range a.Bars.Time {
		slot := g.SlotAt(t)
		for k < len(holes) && holes[k].To <= slot {
			k++
		}
		if k == len(holes) {
			break
		}
		if b := a.Bars.Bar(i); slot >= holes[k].From && g.Time(slot) == t && !b.Prov.Forming() {
			out.Append(b)
		}
	}
	return out
}
