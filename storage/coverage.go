package storage

import (
	"context"
	"slices"

	"github.com/barkeepdb/barkeep/series"
)

// Coverage splits the slots of span into states. The zero span is from the
// first bar to the last. It reads summaries only.
func (v *Snapshot) Coverage(ctx context.Context, key series.Key, span series.Span) (Coverage, error) {
	if err := v.s.enter(); err != nil {
		return Coverage{}, err
	}
	defer v.s.leave()
	if err := ctx.Err(); err != nil {
		return Coverage{}, err
	}
	x, err := v.view(key)
	if err != nil {
		return Coverage{}, err
	}
	c, err := v.snap.Cursor(nil, nil)
	if err != nil {
		return Coverage{}, err
	}
	defer c.Close()
	return x.coverage(c, x.run(span))
}

func (v *view) coverage(c cursor, run series.Run) (Coverage, error) {
	cov := Coverage{Key: v.st.key, Grid: v.st.grid(), Run: run}
	a := scratch.Get().(*absence)
	defer scratch.Put(a)
	if err := v.look(c, a, run, true); err != nil {
		return Coverage{}, err
	}
	cal, listed, err := v.expect(a, run)
	if err != nil {
		return Coverage{}, err
	}
	rest := []series.Run{run}
	if run.Empty() {
		rest = nil
	}
	var none series.Note
	// Each layer takes its slots from what the layers above it left.
	take := func(rs []series.Run, st series.State, x series.Note) {
		hit := series.Intersect(nil, rest, rs)
		if len(hit) == 0 {
			return
		}
		for _, r := range hit {
			cov.Runs = append(cov.Runs, series.Gap{Run: r, State: st, Note: note(&cov.Notes, x)})
			cov.States[st] += r.Len()
		}
		rest = series.Subtract(nil, rest, hit)
	}
	for _, m := range a.marks {
		take([]series.Run{m.Run}, m.State, none)
	}
	take(a.present, series.StateObserved, none)
	for _, g := range a.reasons {
		take([]series.Run{g.Run}, g.State, g.Note)
	}
	take(a.expected, series.StateMissing, none)
	now := v.st.grid().SlotAt(v.now())
	take([]series.Run{{From: now, To: max(now, run.To)}}, series.StateForming, none)
	if listed.From > run.From {
		take([]series.Run{{From: run.From, To: min(listed.From, run.To)}}, series.StateUnlisted, none)
	}
	if listed.To < run.To {
		take([]series.Run{{From: max(listed.To, run.From), To: run.To}}, series.StateUnlisted, none)
	}
	valid := v.st.grid().Run(cal.Valid().Intersect(v.st.grid().Span(run)))
	take([]series.Run{valid}, series.StateClosed, none)
	take(slices.Clone(rest), series.StateUnknown, series.Note{Reason: "the calendar does not reach that far"})
	sortGaps(cov.Runs)
	cov.Runs = joinStates(cov.Runs, cov.Notes)
	return cov, nil
}

// joinStates joins neighbours of the same state and note.
func joinStates(gs []series.Gap, notes []series.Note) []series.Gap {
	out := gs[:0]
	for _, g := range gs {
		if n := len(out); n > 0 && out[n-1].To == g.From && out[n-1].State == g.State && (out[n-1].Note == g.Note || noteOf(notes, out[n-1]) == noteOf(notes, g)) {
			out[n-1].To = g.To
			continue
		}
		out = append(out, g)
	}
	return out
}

// Coverage is [Snapshot.Coverage] on the store as it is now.
func (s *Store) Coverage(ctx context.Context, key series.Key, span series.Span) (Coverage, error) {
	if err := s.enter(); err != nil {
		return Coverage{}, err
	}
	defer s.leave()
	x, c, err := s.cursorNow(ctx, key)
	if err != nil {
		return Coverage{}, err
	}
	defer c.Close()
	return x.coverage(c, x.run(span))
}
