package heal

import (
	"context"
	"fmt"

	"github.com/barkeepdb/barkeep/series"
)

// planShifts plans to give stretches with wrong times their own.
func (h *Healer) planShifts(ctx context.Context, s Series, against string, span series.Span) (*SeriesPlan, int64, error) {
	p := &SeriesPlan{Key: s.Key, grid: s.Grid, Sources: []string{against}, Explain: []Step{}, Audits: []Step{}, Windows: []Step{}, Fills: []Step{}}
	if err := h.Shifts(ctx, s.Key, series.Key{Symbol: against, Interval: s.Interval}, span, func(f Finding) error {
		p.Steps = append(p.Steps, f)
		p.touched = append(p.touched, s.Grid.Run(series.Span{From: f.From, To: f.To}))
		return nil
	}); err != nil || len(p.Steps) == 0 {
		return nil, s.Bars, err
	}
	p.Missing = series.Total(series.Normalize(append([]series.Run{}, p.touched...)))
	return p, s.Bars, nil
}

// relabelLeast is the share of bars that must be those of the witness some slots
// later.
const relabelLeast = 0.95

// relabel replaces the bars of a stretch with wrong times by what the witness has
// at their slots; where it has nothing the bar is set aside. The witness must have
// the stored bars, to the tolerance, at the times that they belong to. It is one
// source, so that a person has to approve.
func (r *running) relabel(ctx context.Context, s Series, _ *SeriesPlan, f *Finding) error {
	out := Outline{Key: s.Key, From: f.From, To: f.To, States: map[string]int64{}}
	defer func() { r.outline(out) }()
	against := r.x.Request.Against
	span := series.Span{From: f.From, To: f.To}
	width := f.lag
	if width < 0 {
		width = -width
	}
	run := s.Grid.Run(span)
	var stored, theirs series.Columns
	if err := r.h.store.Read(ctx, s.Key, span, &stored); err != nil {
		return err
	}
	wide := s.Grid.Span(series.Run{From: run.From - width, To: run.To + width})
	if err := r.h.store.Read(ctx, series.Key{Symbol: against, Interval: s.Interval}, wide, &theirs); err != nil {
		return err
	}
	said := byTime(&theirs)
	same := 0
	fixes, aside := &series.Columns{}, &series.Columns{}
	for i, t := range stored.Time {
		mine := stored.Bar(i)
		if b, ok := said[s.Grid.Time(s.Grid.SlotAt(t)+f.lag)]; ok && close4(mine, b, r.pol.Tolerance) {
			same++
		}
		if _, ok := said[t]; !ok {
			aside.Append(mine)
		}
	}
	// Also slots without a bar: a stretch that is labelled late leaves some.
	for n := run.From; n < run.To; n++ {
		if b, ok := said[s.Grid.Time(n)]; ok && b.Check() == nil && whole(b) && !b.Prov.Forming() {
			fixes.Append(b)
		}
	}
	switch {
	case float64(same) < relabelLeast*float64(stored.Len()):
		out.States["contradictory"] += int64(stored.Len())
		out.Error = fmt.Sprintf("only %d of %d bars are those of %s %+d slots away: nothing is changed", same, stored.Len(), against, f.lag)
		return nil
	case !r.x.Request.Approve:
		out.States["proposed"] += int64(stored.Len())
		out.Error = fmt.Sprintf("%d of %d bars are those of %s %+d slots away: approve it", same, stored.Len(), against, f.lag)
		return nil
	}
	c := r.change
	c.Rule, c.Version, c.Evidence = f.Rule, f.Version, fmt.Sprintf("%s: %d of %d bars %+d slots away; approved", against, same, stored.Len(), f.lag)
	if aside.Len() > 0 {
		if err := r.h.store.SetAside(ctx, s.Key, aside, fmt.Sprintf("%s: %s, which has no bar here", f.Rule, f.Evidence), c); err != nil {
			return err
		}
		out.States["quarantined"] += int64(aside.Len())
	}
	n, err := r.h.store.Correct(ctx, s.Key, fixes, against, c)
	if err != nil {
		return err
	}
	out.Written, out.Sources = int64(n), []string{against}
	out.States["corrected"] += int64(n)
	return nil
}
