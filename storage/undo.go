package storage

import (
	"context"
	"errors"
	"slices"

	"github.com/barkeepdb/barkeep/series"
)

// Undone is what an undo did.
type Undone struct {
	Changes  int   // entries of the journal that were taken back
	Restored int64 // bars that have their earlier value again
	Removed  int64 // bars that are gone, as they were before
	Evidence int64 // slots that have their earlier explanation again
	// Skipped counts the slots that somebody else changed later: they stay as
	// they are.
	Skipped int64
}

// ErrNothingToUndo is the answer where no entry of the journal is chosen.
var ErrNothingToUndo = errors.New("no change is chosen that could be undone")

// restore has a written bar win over any other.
const restore Conflict = 255

// Undo takes back the changes that o chooses: bars and explanations are what
// they were before the first of them. A slot that was changed by something
// else afterwards stays as it is. The undo is journaled like any change and can
// be undone itself. It is done in several steps, each all or nothing; to call
// it again after an error does what is left.
func (s *Store) Undo(ctx context.Context, o JournalOptions) (Undone, error) {
	var out Undone
	if o.Key == nil && o.Repair == "" && o.Rule == "" && o.Source == "" && o.Actor == "" && o.From == 0 && o.To == 0 {
		return out, errors.New("say what is to be undone: a repair, a rule, a source, an actor, or a time")
	}
	per := map[series.Key][]uint64{}
	var keys []series.Key
	first := ^uint64(0)
	for x, err := range s.Journal(ctx, o) {
		if err != nil {
			return out, err
		}
		if per[x.Key] == nil {
			keys = append(keys, x.Key)
		}
		per[x.Key] = append(per[x.Key], x.Seq)
		first = min(first, x.Seq)
		out.Changes++
	}
	if out.Changes == 0 {
		return out, ErrNothingToUndo
	}
	for _, k := range keys {
		if err := s.undoSeries(ctx, k, per[k], &out); err != nil {
			return out, err
		}
	}
	return out, nil
}

// undoSeries takes back the entries seqs, which ascend, of one series.
func (s *Store) undoSeries(ctx context.Context, key series.Key, seqs []uint64, out *Undone) error {
	var later []*Change
	for x, err := range s.Journal(ctx, JournalOptions{Key: &key, After: seqs[0] - 1}) {
		if err != nil {
			return err
		}
		later = append(later, x)
	}
	var foreign, foreignNotes []series.Run // changed by others since
	var gone []series.Run
	bars := map[series.Time]series.Bar{}
	notes := map[series.Slot]series.Absence{} // by first slot, disjoint
	var bare []series.Run                     // slots without an explanation before
	for _, x := range slices.Backward(later) {
		touched := x.touched()
		if _, mine := slices.BinarySearch(seqs, x.Seq); !mine {
			foreign, foreignNotes = series.Union(nil, foreign, touched), series.Union(nil, foreignNotes, x.Explained)
			continue
		}
		out.Skipped += series.Total(series.Intersect(nil, touched, foreign))
		own := series.Subtract(nil, touched, foreign)
		gained := series.Intersect(nil, x.Gained, own)
		gone = series.Union(nil, gone, gained)
		for _, r := range gained {
			for n := r.From; n < r.To; n++ {
				delete(bars, x.Grid.Time(n))
			}
		}
		for i, t := range x.Before.Time {
			if n := x.Grid.SlotAt(t); holds(own, n) {
				bars[t] = x.Before.Bar(i)
				gone = series.Subtract(nil, gone, []series.Run{{From: n, To: n + 1}})
			}
		}
		ownNotes := series.Subtract(nil, x.Explained, foreignNotes)
		for k, g := range notes { // an older change says what was there before
			delete(notes, k)
			for _, r := range series.Subtract(nil, []series.Run{g.Run}, ownNotes) {
				notes[r.From] = series.Absence{Run: r, State: g.State, Note: g.Note}
			}
		}
		bare = series.Union(nil, bare, ownNotes)
		for _, g := range x.Evidence {
			for _, r := range series.Intersect(nil, []series.Run{g.Run}, ownNotes) {
				notes[r.From] = series.Absence{Run: r, State: g.State, Note: g.Note}
			}
		}
	}
	return s.putBack(ctx, key, bars, gone, notes, bare, out)
}

func holds(runs []series.Run, n series.Slot) bool {
	i, _ := slices.BinarySearchFunc(runs, n, func(r series.Run, at series.Slot) int {
		if r.To <= at {
			return -1
		}
		return 1
	})
	return i < len(runs) && runs[i].From <= n
}

// putBack writes what was there before.
func (s *Store) putBack(ctx context.Context, key series.Key, bars map[series.Time]series.Bar, gone []series.Run, notes map[series.Slot]series.Absence, bare []series.Run, out *Undone) error {
	st, err := s.known(key)
	if err != nil {
		return err
	}
	for _, r := range gone {
		n, err := s.Delete(ctx, key, st.grid().Span(r))
		out.Removed += n
		if err != nil {
			return err
		}
	}
	if len(bars) > 0 {
		c := &series.Columns{}
		times := make([]series.Time, 0, len(bars))
		for t := range bars {
			times = append(times, t)
		}
		slices.Sort(times)
		for _, t := range times {
			c.Append(bars[t])
		}
		res, err := s.Write(ctx, key, c, WriteOptions{OnConflict: restore})
		if err != nil {
			return err
		}
		out.Restored += int64(res.Written)
	}
	if len(bare) == 0 {
		return nil
	}
	gaps := make([]series.Absence, 0, len(bare)+len(notes))
	for _, r := range bare {
		gaps = append(gaps, series.Absence{Run: r, State: series.StateMissing})
		out.Evidence += r.Len()
	}
	for _, g := range notes {
		gaps = append(gaps, g)
	}
	return s.Explain(ctx, key, gaps)
}
