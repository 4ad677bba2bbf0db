package heal

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/barkeepdb/barkeep/series"
)

// inspectSlots is how many slots are inspected at a time. Stretches begin at
// multiples of it, whatever was asked for, so that a finding does not depend on
// the question.
const inspectSlots = 4096

// InspectOptions say what is inspected.
type InspectOptions struct {
	// Span bounds the open times; zero is the whole series.
	Span series.Span
	// Rules are the ids of the rules to run; none is all.
	Rules []string
	// Limit bounds the findings; 0 is none.
	Limit int

	barsOnly bool // without rules that look at the holes of a whole series
}

// Inspect runs the corruption rules over the stored bars of a series and calls
// give with each finding, in order of time. It changes nothing. What it says of
// a bar does not depend on the span.
func (h *Healer) Inspect(ctx context.Context, key series.Key, o InspectOptions, give func(Finding) error) error {
	all, err := h.store.Series(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(s Series) bool { return s.Key == key })
	if i < 0 {
		return errNoSeries(key)
	}
	s := all[i]
	if s.Bars == 0 {
		return nil
	}
	var steps []step
	holes, err := h.holes(ctx, s, &o)
	if err != nil {
		return err
	}
	if err := h.inspect(ctx, s, o, func(f Finding) error {
		for len(holes) > 0 && holes[0].From <= f.From {
			if err := give(holes[0]); err != nil {
				return err
			}
			holes = holes[1:]
		}
		if f.step.factor != 0 {
			if steps == nil {
				if steps, err = h.steps(ctx, s); err != nil {
					return err
				}
			}
			f.stretch(s, steps)
		}
		return give(f)
	}); err != nil {
		return err
	}
	for _, f := range holes {
		if err := give(f); err != nil {
			return err
		}
	}
	return nil
}

// inspect is [Healer.Inspect] without the stretches of steps.
func (h *Healer) inspect(ctx context.Context, s Series, o InspectOptions, give func(Finding) error) error {
	if s.Bars == 0 {
		return nil
	}
	span := series.Span{From: s.First, To: s.Grid.Time(s.Grid.SlotAt(s.Last) + 1)}
	if o.Span != (series.Span{}) {
		span = span.Intersect(o.Span)
	}
	if span.Empty() {
		return nil
	}
	run := s.Grid.Run(span)
	splits, err := h.splits(ctx, s.Symbol)
	if err != nil {
		return err
	}
	in := &inspector{s: s, o: o, span: span, give: give, splits: splits}
	for from := floor(run.From, inspectSlots); from < run.To; from += inspectSlots {
		if err := in.stretch(ctx, h.store, series.Run{From: from, To: from + inspectSlots}); err != nil {
			return err
		}
		if in.full {
			return nil
		}
	}
	return in.flush()
}

func errNoSeries(key series.Key) error { return &noSeriesError{key} }

type noSeriesError struct{ key series.Key }

func (e *noSeriesError) Error() string { return e.key.String() + ": " + series.ErrNoSeries.Error() }
func (e *noSeriesError) Unwrap() error { return series.ErrNoSeries }

type inspector struct {
	s    Series
	o    InspectOptions
	span series.Span
	give func(Finding) error

	splits []series.Action

	before, cur, next *series.Columns // bars of a stretch and of its neighbours
	at                series.Run      // the stretch that cur is of
	open              []Finding       // that may still grow
	given             int
	full              bool
}

// stretch inspects the bars of one stretch, with those of its neighbours around.
func (in *inspector) stretch(ctx context.Context, st Store, run series.Run) error {
	read := func(r series.Run) (*series.Columns, error) {
		c := &series.Columns{}
		return c, st.Read(ctx, in.s.Key, in.s.Grid.Span(r), c)
	}
	var err error
	if in.at.To == run.From && in.cur != nil {
		in.before, in.cur = in.cur, in.next
	} else {
		if in.before, err = read(series.Run{From: run.From - inspectSlots, To: run.From}); err != nil {
			return err
		}
		if in.cur, err = read(run); err != nil {
			return err
		}
	}
	if in.next, err = read(series.Run{From: run.To, To: run.To + inspectSlots}); err != nil {
		return err
	}
	in.at = run
	if in.cur.Len() == 0 {
		return nil
	}
	// The last bars before and the first behind, wherever they lie: silence is
	// no reason to forget.
	before := in.before
	if before.Len() < Context && in.cur.Len() > 0 {
		if before, err = in.reach(ctx, st, run.From, -1, before); err != nil {
			return err
		}
	}
	next := in.next
	if next.Len() < Context {
		if next, err = in.reach(ctx, st, run.To, 1, next); err != nil {
			return err
		}
	}
	w := &Window{Key: in.s.Key, Grid: in.s.Grid, Bars: &series.Columns{}, Splits: in.splits, Adjusted: in.s.Adjusted}
	appendBars(w.Bars, before, max(0, before.Len()-Context), before.Len())
	w.From = w.Bars.Len()
	appendBars(w.Bars, in.cur, 0, in.cur.Len())
	w.To = w.Bars.Len()
	appendBars(w.Bars, next, 0, min(Context, next.Len()))
	w.NoVolume = !slices.ContainsFunc(w.Bars.Volume, func(v float64) bool { return v != 0 })
	for _, r := range rules {
		if r.Check != nil && (len(in.o.Rules) == 0 || slices.Contains(in.o.Rules, r.ID)) {
			w.rule = r
			r.Check(w)
		}
	}
	return in.take(w.found)
}

// reach reads further away from slot at until there are Context bars or the
// series ends.
func (in *inspector) reach(ctx context.Context, st Store, at series.Slot, dir int, have *series.Columns) (*series.Columns, error) {
	first, last := in.s.Grid.SlotAt(in.s.First), in.s.Grid.SlotAt(in.s.Last)+1
	for size := series.Slot(4 * inspectSlots); have.Len() < Context; size *= 4 {
		r := series.Run{From: max(first, at-size), To: at}
		if dir > 0 {
			r = series.Run{From: at, To: min(last, at+size)}
		}
		if r.Len() <= 0 {
			return have, nil
		}
		c := &series.Columns{}
		if err := st.Read(ctx, in.s.Key, in.s.Grid.Span(r), c); err != nil {
			return nil, err
		}
		have = c
		if dir < 0 && r.From == first || dir > 0 && r.To == last {
			return have, nil
		}
	}
	return have, nil
}

func appendBars(dst, src *series.Columns, i, j int) {
	if j <= i {
		return
	}
	// Quote volumes are there or not, stretch by stretch.
	if n := dst.Len(); len(src.QuoteVolume) > 0 {
		for len(dst.QuoteVolume) < n {
			dst.QuoteVolume = append(dst.QuoteVolume, math.NaN())
		}
		dst.QuoteVolume = append(dst.QuoteVolume, src.QuoteVolume[i:j]...)
	} else if len(dst.QuoteVolume) > 0 {
		for range j - i {
			dst.QuoteVolume = append(dst.QuoteVolume, math.NaN())
		}
	}
	dst.Time = append(dst.Time, src.Time[i:j]...)
	dst.Open, dst.High = append(dst.Open, src.Open[i:j]...), append(dst.High, src.High[i:j]...)
	dst.Low, dst.Close = append(dst.Low, src.Low[i:j]...), append(dst.Close, src.Close[i:j]...)
	dst.Volume = append(dst.Volume, src.Volume[i:j]...)
}

// take joins neighbouring findings of a rule and gives out those that are
// complete.
func (in *inspector) take(found []Finding) error {
	slices.SortStableFunc(found, func(a, b Finding) int { return cmp.Compare(a.From, b.From) })
	for _, f := range found {
		if f.From < in.span.From || f.From >= in.span.To {
			continue
		}
		joined := false
		for i := range in.open {
			if o := &in.open[i]; o.Rule == f.Rule && o.To == f.From && joins(f.Rule) {
				o.To, o.Bars = f.To, o.Bars+f.Bars
				o.Proposed = append(o.Proposed, f.Proposed...)
				joined = true
			}
		}
		if !joined {
			in.open = append(in.open, f)
		}
	}
	// What does not reach the end of the stretch cannot grow any more.
	end := in.s.Grid.Time(in.at.To)
	done := slices.Clone(in.open)
	done = slices.DeleteFunc(done, func(f Finding) bool { return f.To >= end })
	in.open = slices.DeleteFunc(in.open, func(f Finding) bool { return f.To < end })
	return in.out(done)
}

// joins reports whether neighbouring bars of a rule are one finding.
func joins(rule string) bool {
	switch rule {
	case "stale", "flat_before_hole", "look_ahead_fill", "swapped_columns", "swapped_volumes", "sign", "non_finite", "idle_move":
		return true
	}
	return false
}

func (in *inspector) flush() error {
	rest := in.open
	in.open = nil
	return in.out(rest)
}

func (in *inspector) out(fs []Finding) error {
	slices.SortStableFunc(fs, func(a, b Finding) int { return cmp.Compare(a.From, b.From) })
	for _, f := range fs {
		if in.o.Limit > 0 && in.given >= in.o.Limit {
			in.full = true
			return nil
		}
		in.given++
		if err := in.give(f); err != nil {
			return err
		}
	}
	return nil
}
