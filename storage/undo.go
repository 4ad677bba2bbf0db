package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/barkeepdb/barkeep/series"
)

// Undone is what an undo did.
type Undone struct {
	Changes  int   // entries of the journal that were taken back
	Restored int64 // bars that have their earlier value again
	Removed  int64 // bars that are gone, as they were before
	Evidence int64 // slots that have their earlier explanation again
	// Quarantine counts the bars that left the quarantine or are in it again.
	Quarantine int64
	Skipped    int64 // slots that stay as they are; Kept says why
	// Kept are the stretches of these slots, the newest change first; at most
	// 1,000 are listed.
	Kept []Kept
}

// Kept is a stretch that an undo left as it is.
type Kept struct {
	Key   series.Key
	Span  series.Span
	Slots int64
	By    uint64 // number of the change that it is due to
	Why   string
}

const maxKept = 1000

// undoTries is how often an undo starts again because something else changed
// the series meanwhile.
const undoTries = 20

var errMoved = errors.New("the series was changed meanwhile")

// steady goes with the commits of an undo: each must find its series as the
// undo has seen it, so that nothing is overwritten that came in between.
type steady struct {
	last uint64   // change that the series stands at
	own  []uint64 // changes of the undo itself
}

type steadyKey struct{}

// stillSteady reports an error if something other than a folding changed the
// series since x has seen it.
func (c *change) stillSteady(x *steady) error {
	if now := c.st.ledger.changes; now != x.last {
		if err := eachPair(c.s.eng, journalKey(x.last+1), journalKey(now+1), func(_, v []byte) error {
			e, err := decodeJournal(v)
			if err == nil && e.series == c.st.id && e.op != opFold {
				err = errMoved
			}
			return err
		}); err != nil {
			return err
		}
	}
	x.last, x.own = c.seq, append(x.own, c.seq)
	return nil
}

// ErrNothingToUndo is the answer where no entry of the journal is chosen.
var ErrNothingToUndo = errors.New("no change is chosen that could be undone")

// ErrUndoWhat is the answer to a choice of everything.
var ErrUndoWhat = errors.New("say what is to be undone: a repair, a rule, a source, an actor, or a time")

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
		return out, ErrUndoWhat
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
	st, err := s.known(key)
	if err != nil {
		return err
	}
	var own []uint64
	for range undoTries {
		h, err := s.hold(ctx, st.mu)
		if err != nil {
			return err
		}
		err = s.flushRelaxed(ctx, st, h)
		x := &steady{last: st.ledger.changes}
		h.release()
		if err != nil {
			return err
		}
		var p undoPlan
		if err := s.planUndo(ctx, key, seqs, own, &p); err != nil {
			return err
		}
		if err = s.putBack(context.WithValue(ctx, steadyKey{}, x), st, &p, out); err == nil {
			p.report(key, out)
		}
		if !errors.Is(err, errMoved) {
			return err
		}
		own = append(own, x.own...)
	}
	return fmt.Errorf("%s: undo: %w, %d times: do it again when less is written", key, errMoved, undoTries)
}

// undoPlan is what a series had before the changes that are taken back.
type undoPlan struct {
	seqs  []uint64  // of the changes, ascending
	later []*Change // since the first of them, the oldest first
	gone  []series.Run
	bars  map[series.Time]series.Bar
	notes map[series.Slot]series.Absence // by first slot, disjoint
	bare  []series.Run                   // slots without an explanation before, but for notes
	// Slots that others changed since, by bars and by explanations; and those
	// whose bar before was still forming.
	foreign, foreignNotes, forming []series.Run
	aside                          map[uint64]asidePair // in quarantine before; without a value: not
}

// planUndo looks at all changes since the first of seqs. Those of own are of an
// undo that was interrupted: they count neither as chosen nor as somebody
// else's.
func (s *Store) planUndo(ctx context.Context, key series.Key, seqs, own []uint64, p *undoPlan) error {
	p.seqs, p.aside = seqs, map[uint64]asidePair{}
	p.bars, p.notes = map[series.Time]series.Bar{}, map[series.Slot]series.Absence{}
	for x, err := range s.Journal(ctx, JournalOptions{Key: &key, After: seqs[0] - 1}) {
		if err != nil {
			return err
		}
		if !slices.Contains(own, x.Seq) {
			p.later = append(p.later, x)
		}
	}
	var others, otherNotes []series.Run // newer than x
	otherAside := map[uint64]bool{}
	for _, x := range slices.Backward(p.later) {
		touched := x.touched()
		if _, mine := slices.BinarySearch(seqs, x.Seq); !mine {
			others, otherNotes = series.Union(nil, others, touched), series.Union(nil, otherNotes, x.Explained)
			for _, a := range slices.Concat(x.asides, x.discards) {
				otherAside[a.id] = true
			}
			continue
		}
		p.foreign = series.Union(nil, p.foreign, series.Intersect(nil, touched, others))
		p.foreignNotes = series.Union(nil, p.foreignNotes, series.Intersect(nil, x.Explained, otherNotes))
		p.takeBack(x, series.Subtract(nil, touched, others), series.Subtract(nil, x.Explained, otherNotes))
		for _, a := range slices.Concat(x.asides, x.discards) {
			if !otherAside[a.id] {
				p.aside[a.id] = a
			}
		}
	}
	return nil
}

// takeBack plans what there was before x in the slots of own and ownNotes.
func (p *undoPlan) takeBack(x *Change, own, ownNotes []series.Run) {
	// An older change says what was there before.
	p.gone = series.Union(nil, series.Subtract(nil, p.gone, own), series.Intersect(nil, x.Gained, own))
	p.forming = series.Union(nil, series.Subtract(nil, p.forming, own), series.Intersect(nil, x.Renewed, own))
	for _, r := range own {
		for n := r.From; n < r.To; n++ {
			delete(p.bars, x.Grid.Time(n))
		}
	}
	for i, t := range x.Before.Time {
		if holds(own, x.Grid.SlotAt(t)) {
			p.bars[t] = x.Before.Bar(i)
		}
	}
	for k, g := range p.notes {
		delete(p.notes, k)
		for _, r := range series.Subtract(nil, []series.Run{g.Run}, ownNotes) {
			p.notes[r.From] = series.Absence{Run: r, State: g.State, Note: g.Note}
		}
	}
	p.bare = series.Union(nil, p.bare, ownNotes)
	for _, g := range x.Evidence {
		for _, r := range series.Intersect(nil, []series.Run{g.Run}, ownNotes) {
			p.notes[r.From] = series.Absence{Run: r, State: g.State, Note: g.Note}
		}
	}
}

// report tells what stays as it is.
func (p *undoPlan) report(key series.Key, out *Undone) {
	bars, notes := p.foreign, p.foreignNotes
	out.Skipped += series.Total(series.Union(nil, series.Union(nil, bars, notes), p.forming))
	keep := func(x *Change, runs []series.Run, why string) {
		for _, r := range runs {
			if len(out.Kept) < maxKept {
				out.Kept = append(out.Kept, Kept{key, x.Grid.Span(r), r.Len(), x.Seq, why})
			}
		}
	}
	forming := p.forming
	for _, x := range slices.Backward(p.later) {
		if _, mine := slices.BinarySearch(p.seqs, x.Seq); mine {
			keep(x, series.Intersect(nil, forming, x.Renewed), "the bar before was still forming, and is not kept")
			forming = series.Subtract(nil, forming, x.Renewed)
			continue
		}
		touched := x.touched()
		who := x.Op
		if x.Note.Actor != "" {
			who += " of " + x.Note.Actor
		}
		keep(x, series.Intersect(nil, bars, touched), "changed later: "+who)
		keep(x, series.Intersect(nil, notes, x.Explained), "explained later: "+who)
		bars, notes = series.Subtract(nil, bars, touched), series.Subtract(nil, notes, x.Explained)
	}
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
func (s *Store) putBack(ctx context.Context, st *state, p *undoPlan, out *Undone) error {
	for _, r := range p.gone {
		n, err := s.Delete(ctx, st.key, st.grid().Span(r))
		out.Removed += n
		if err != nil {
			return err
		}
	}
	if len(p.bars) > 0 {
		c := &series.Columns{}
		for _, t := range slices.Sorted(maps.Keys(p.bars)) {
			c.Append(p.bars[t])
		}
		res, err := s.Write(ctx, st.key, c, WriteOptions{OnConflict: restore})
		if err != nil {
			return err
		}
		out.Restored += int64(res.Written)
	}
	var gone, back []asidePair
	for _, id := range slices.Sorted(maps.Keys(p.aside)) {
		if a := p.aside[id]; a.value == nil {
			gone = append(gone, a)
		} else {
			back = append(back, a)
		}
	}
	if len(p.aside) > 0 {
		n, err := s.putAside(ctx, st, gone, back)
		out.Quarantine += n
		if err != nil {
			return err
		}
	}
	if len(p.bare) == 0 {
		return nil
	}
	gaps := make([]series.Absence, 0, len(p.bare)+len(p.notes))
	for _, r := range p.bare {
		gaps = append(gaps, series.Absence{Run: r, State: series.StateMissing})
	}
	for _, g := range p.notes {
		gaps = append(gaps, g)
	}
	if err := s.Explain(ctx, st.key, gaps); err != nil {
		return err
	}
	out.Evidence += series.Total(p.bare)
	return nil
}
