package heal

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// Request asks for a repair.
type Request struct {
	Symbol   string          `json:"symbol"`
	Interval series.Interval `json:"interval,omitempty"` // 0 is every interval of the symbol
	Type     Type            `json:"repair_type"`
	// From and To bound the open times, To exclusive; 0 is the first bar, and now.
	From  series.Time `json:"from,omitempty"`
	To    series.Time `json:"to,omitempty"`
	Actor string      `json:"actor,omitempty"`
	// MaxBars and MaxShare replace those of the policy; 0 keeps them.
	MaxBars  int64   `json:"max_bars,omitempty"`
	MaxShare float64 `json:"max_share,omitempty"`
	// Now asks for holes too whose next attempt is not due yet.
	Now bool `json:"now,omitempty"`
	// Approve carries out what fewer sources say than Policy.Witnesses asks for, as
	// long as none says otherwise: the person who asks is the other witness.
	Approve bool `json:"approve,omitempty"`
	// Against is the symbol of a second stored series of the same instrument: a
	// corruption repair then gives the stretches with wrong times that
	// [Healer.Shifts] finds their own, and nothing else.
	Against string `json:"against,omitempty"`
}

// Check returns an error that names what cannot be asked.
func (r *Request) Check() error {
	if r.Type == "" {
		r.Type = Auto
	}
	if err := series.CheckSymbol(r.Symbol); err != nil {
		return err
	}
	if r.From != 0 && r.To != 0 && r.To <= r.From {
		return fmt.Errorf("to %v is not after from %v", r.To, r.From)
	}
	if r.MaxBars < 0 || r.MaxShare < 0 || r.MaxShare > 1 {
		return fmt.Errorf("max_bars is %d and max_share %v: give a number of bars, and a share between 0 and 1", r.MaxBars, r.MaxShare)
	}
	if r.Against != "" {
		if r.Type != Corruption || r.Interval == 0 || r.Against == r.Symbol {
			return fmt.Errorf("against compares one series with that of another symbol: give the repair type %s, an interval, and another symbol than %s", Corruption, r.Symbol)
		}
		if err := series.CheckSymbol(r.Against); err != nil {
			return err
		}
	}
	return r.Type.Check()
}

// Plan is what a repair will do. Carried out, it asks for these windows in this
// order and for nothing else; a window whose holes an audit explained is left
// out.
type Plan struct {
	Series   []SeriesPlan  `json:"series"`
	Bars     int64         `json:"bars"`     // at most so many are written or invented
	Requests int64         `json:"requests"` // about so many are sent
	Takes    time.Duration `json:"takes_ns"` // about so long
	// Over says which limit the plan passes; it is not carried out then.
	Over string `json:"over,omitempty"`
}

// SeriesPlan is the part of a plan that is about one series.
type SeriesPlan struct {
	series.Key
	Missing int64    `json:"missing"` // slots that are looked at
	Waiting int64    `json:"waiting"` // slots whose next attempt is not due
	Sources []string `json:"sources"`
	NoAsk   string   `json:"no_sources,omitempty"` // why no source is asked
	Explain []Step   `json:"explain"`              // what is known without asking
	Audits  []Step   `json:"audits"`               // coarser bars that are asked for first
	Windows []Step   `json:"windows"`              // what is asked for, the most valuable first
	Fills   []Step   `json:"fills"`                // what is invented if nobody has it
	// Steps are changes of level, of which one side may be in another unit, or not
	// adjusted for a split: what is asked about, and what it would be corrected by.
	Steps []Finding `json:"steps,omitempty"`

	grid    series.Grid
	coarse  series.Interval
	every   time.Duration // a request
	page    int64
	touched []series.Run // slots that may get a bar
	asks    int64        // requests that the steps take, about
}

// Step is a span of a plan.
type Step struct {
	From   series.Time  `json:"from"`
	To     series.Time  `json:"to"`
	Bars   int64        `json:"bars"`            // slots without a bar in it
	State  series.State `json:"state,omitempty"` // what they are explained as
	Reason string       `json:"reason,omitempty"`
	Fill   string       `json:"fill,omitempty"`
	Cost   int64        `json:"requests,omitempty"`
	Value  float64      `json:"value,omitempty"` // bars a request, recent ones counted more
}

func (s Step) span() series.Span { return series.Span{From: s.From, To: s.To} }

// pad is how many stored bars on each side of a window are asked for again, to
// see whether the source agrees with them.
const pad = 3

// windowMost bounds the slots of one window where pages are small.
const windowMost = 5000

// Plan says what a repair would do. It changes nothing and asks nobody.
func (h *Healer) Plan(ctx context.Context, r Request) (*Plan, error) {
	p, _, err := h.plan(ctx, r)
	return p, err
}

// plan also returns the policy that the plan was made by.
func (h *Healer) plan(ctx context.Context, r Request) (*Plan, Policy, error) {
	pol := h.Policy()
	if err := r.Check(); err != nil {
		return nil, pol, err
	}
	if r.MaxBars != 0 {
		pol.MaxBars = r.MaxBars
	}
	if r.MaxShare != 0 {
		pol.MaxShare, pol.ShareFloor = r.MaxShare, 0
	}
	all, err := h.store.Series(ctx)
	if err != nil {
		return nil, pol, err
	}
	p := &Plan{Series: []SeriesPlan{}}
	found := false
	for _, s := range all {
		if s.Symbol != r.Symbol || r.Interval != 0 && s.Interval != r.Interval {
			continue
		}
		found = true
		if s.Bars == 0 && r.From == 0 {
			continue
		}
		sp, share, err := h.planSeries(ctx, s, all, r, &pol)
		if err != nil {
			return nil, pol, err
		}
		if sp == nil {
			continue
		}
		p.add(sp, share, &pol)
	}
	if !found {
		return nil, pol, fmt.Errorf("%w of %s", series.ErrNoSeries, r.Symbol)
	}
	if pol.MaxBars > 0 && p.Bars > pol.MaxBars && p.Over == "" {
		p.Over = fmt.Sprintf("%d bars would be changed, and one run may change %d: narrow from and to, or raise max_bars", p.Bars, pol.MaxBars)
	}
	return p, pol, nil
}

func (p *Plan) add(sp *SeriesPlan, expected int64, pol *Policy) {
	for _, steps := range [...][]Step{sp.Audits, sp.Windows} {
		for _, w := range steps {
			p.Requests += w.Cost
			p.Takes += time.Duration(w.Cost) * sp.every
		}
	}
	p.Requests += sp.asks
	p.Takes += time.Duration(sp.asks) * sp.every
	bars := series.Total(series.Normalize(sp.touched))
	p.Bars += bars
	if most := max(int64(pol.MaxShare*float64(expected)), pol.ShareFloor); pol.MaxShare > 0 && bars > most && p.Over == "" {
		p.Over = fmt.Sprintf("%d bars of %s would be changed, %.3g%% of it, and one run may change %d: narrow from and to, or raise max_share",
			bars, sp.Key, 100*float64(bars)/float64(max(expected, 1)), most)
	}
	p.Series = append(p.Series, *sp)
}

// planSeries plans for one series. It returns nil where there is nothing to do,
// and the number of slots that were expected.
func (h *Healer) planSeries(ctx context.Context, s Series, all []Series, r Request, pol *Policy) (*SeriesPlan, int64, error) {
	now := h.now()
	span := series.Span{From: s.First, To: now - series.Time(pol.Settle/time.Millisecond)}
	if s.Bars == 0 {
		span.From = r.From
	}
	if r.From != 0 {
		span.From = r.From
	}
	if r.To != 0 {
		span.To = min(span.To, r.To)
	}
	if span.Empty() {
		return nil, 0, nil
	}
	// A bar is expected when it has ended.
	span.To = s.Grid.Time(s.Grid.SlotAt(span.To))
	switch {
	case r.Against != "":
		return h.planShifts(ctx, s, r.Against, span)
	case r.Type == Corruption:
		return h.planCorruption(ctx, s, span)
	}
	scan, err := h.store.Scan(ctx, s.Key, span)
	if err != nil {
		return nil, 0, err
	}
	p := &SeriesPlan{Key: s.Key, grid: s.Grid, Sources: []string{}, Explain: []Step{}, Audits: []Step{}, Windows: []Step{}, Fills: []Step{}}
	holes := due(scan.Holes, r, now, &p.Waiting)
	if len(holes) == 0 {
		if p.Waiting == 0 {
			return nil, scan.Expected, nil
		}
		return p, scan.Expected, nil
	}
	for _, o := range holes {
		p.Missing += o.Len()
	}
	if fill := r.Type.fill(); fill != "" {
		for _, o := range holes {
			p.Fills = append(p.Fills, p.step(o.Run, Step{Fill: fill}))
			p.touched = append(p.touched, o.Run)
		}
		return p, scan.Expected, nil
	}
	known, holes, err := h.known(ctx, s, all, scan, holes)
	if err != nil {
		return nil, 0, err
	}
	for _, k := range known {
		p.Explain = append(p.Explain, p.step(k.Run, Step{State: k.State, Reason: k.Note.Reason}))
	}
	ask := holes
	if r.Type == Auto && pol.Strategy == BySize {
		ask = slices.DeleteFunc(slices.Clone(holes), func(o series.Absence) bool { return o.Len() <= pol.MediumGap })
	}
	h.planWindows(ctx, p, s, scan, ask, now)
	if r.Type == Auto {
		p.planFills(holes, pol)
	}
	return p, scan.Expected, nil
}

// step completes a step that is about run.
func (p *SeriesPlan) step(run series.Run, s Step) Step {
	span := p.grid.Span(run)
	s.From, s.To = span.From, span.To
	if s.Bars == 0 {
		s.Bars = run.Len()
	}
	return s
}

// due returns the holes that a repair looks at, and counts the slots of those
// that wait for their next attempt.
func due(holes []series.Absence, r Request, now series.Time, waiting *int64) []series.Absence {
	var out []series.Absence
	filling := r.Type.fill() != ""
	for _, o := range holes {
		switch o.State {
		case series.StateMissing, series.StateUnavailable, series.StateQuarantined:
		case series.StateSynthetic:
			if filling {
				continue // it is filled already
			}
		case series.StateClosed: // of a session that a person approved as closed
			if r.Type != Reverify {
				continue
			}
		case series.StateNoTrade, series.StateOutage:
			if r.Type != Reverify && (filling || o.Note.Next == 0 || o.Note.Next > now) {
				continue
			}
		default:
			continue
		}
		if o.Note.Next > now && !r.Now && r.Type != Reverify && !filling {
			*waiting += o.Len()
			continue
		}
		out = append(out, o)
	}
	return out
}

// planWindows groups holes into questions.
func (h *Healer) planWindows(ctx context.Context, p *SeriesPlan, s Series, scan *Scan, holes []series.Absence, now series.Time) {
	if len(holes) == 0 {
		return
	}
	if h.source == nil {
		p.NoAsk = "no source is configured"
		return
	}
	reach, err := h.source.Reach(ctx, s.Key)
	if err != nil {
		p.NoAsk = err.Error()
		return
	}
	p.Sources, p.every = reach.Sources, reach.Every
	page := max(reach.Page, 1)
	from := s.Grid.SlotFrom(reach.From)
	if reach.From == 0 {
		from = scan.Run.From
	}
	width := max(page, windowMost)
	var runs []series.Run
	for _, o := range holes {
		if o.From < from {
			old := series.Run{From: o.From, To: min(o.To, from)}
			p.Explain = append(p.Explain, p.step(old, Step{State: series.StateUnavailable, Reason: "older than the sources reach: " + strings.Join(reach.Sources, ", ")}))
			if o.From = old.To; o.Empty() {
				continue
			}
		}
		p.touched = append(p.touched, o.Run)
		for a := o.From; a < o.To; a += series.Slot(width) {
			runs = append(runs, series.Run{From: a, To: min(a+series.Slot(width), o.To)})
		}
	}
	for i := 0; i < len(runs); {
		w, missing := runs[i], runs[i].Len()
		j := i + 1
		// One request more costs as much as the bars between two holes, as long
		// as they fit into the page.
		for ; j < len(runs) && int64(runs[j].To-w.From)+2*pad <= page; j++ {
			w.To, missing = runs[j].To, missing+runs[j].Len()
		}
		cost := (w.Len() + 2*pad + page - 1) / page
		age := float64(now-s.Grid.Time(w.To)) / float64(series.Day)
		p.Windows = append(p.Windows, p.step(w, Step{Bars: missing, Cost: cost, Value: float64(missing) / float64(cost) / (1 + max(age, 0)/30)}))
		i = j
	}
	p.planAudit(s, reach, holes, from)
	slices.SortStableFunc(p.Windows, func(a, b Step) int { return cmp.Compare(b.Value, a.Value) })
	if err := h.outward(ctx, s, scan.Calendar, p.Windows); err != nil {
		h.log.Warn("windows stay in the order of their value", "series", s.Key, "err", err)
	}
}

// planAudit asks for coarser bars first where they cost a fraction of the
// windows: each may prove many slots at once.
func (p *SeriesPlan) planAudit(s Series, reach Reach, holes []series.Absence, from series.Slot) {
	p.coarse = coarserOf(s.Interval, reach.Coarser)
	if p.coarse == 0 {
		return
	}
	g := series.Grid{Interval: p.coarse, Phase: 0}
	var runs []series.Run
	for _, o := range holes {
		if o.From >= from {
			runs = series.Join(runs, series.Run{From: g.SlotAt(s.Grid.Time(o.From)), To: g.SlotAt(s.Grid.Time(o.To-1)) + 1})
		}
	}
	var windows, cost int64
	for _, w := range p.Windows {
		windows += w.Cost
	}
	page := max(reach.Page, 1)
	for i := 0; i < len(runs); {
		w := runs[i]
		n := runs[i].Len()
		j := i + 1
		for ; j < len(runs) && int64(runs[j].To-w.From) <= page; j++ {
			w.To, n = runs[j].To, n+runs[j].Len()
		}
		span := g.Span(w)
		p.Audits = append(p.Audits, Step{From: span.From, To: span.To, Bars: n, Cost: (w.Len() + page - 1) / page})
		cost += p.Audits[len(p.Audits)-1].Cost
		i = j
	}
	if cost*4 > windows {
		p.Audits = []Step{}
	}
}

// coarserOf chooses the interval to audit with: an hour for minutes, a day for
// hours.
func coarserOf(fine series.Interval, have []series.Interval) series.Interval {
	if !fine.Intraday() {
		return 0
	}
	want := series.Interval1d
	if fine.Width() < series.Interval1h.Width() {
		want = series.Interval1h
	}
	if slices.Contains(have, want) && want.Width() > fine.Width() {
		return want
	}
	return 0
}

// planFills says what is invented of what nobody has.
func (p *SeriesPlan) planFills(holes []series.Absence, pol *Policy) {
	if pol.Strategy == SourcesOnly {
		return
	}
	for _, o := range joined(holes) {
		if fill := pol.fillFor(o.Len()); fill != "" {
			p.Fills = append(p.Fills, p.step(o, Step{Fill: fill}))
			p.touched = append(p.touched, o)
		}
	}
}

// fillFor is the filler for a hole of n bars, or "".
func (p *Policy) fillFor(n int64) string {
	switch {
	case p.Strategy == SourcesOnly || n > p.MediumGap:
		return ""
	case n <= p.SmallGap:
		return FillPrev
	}
	return FillLinear
}

// joined is the runs of holes, whatever their notes say.
func joined(holes []series.Absence) []series.Run {
	var out []series.Run
	for _, o := range holes {
		out = series.Join(out, o.Run)
	}
	return out
}
