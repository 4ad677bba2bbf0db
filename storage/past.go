package storage

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/barkeepdb/barkeep/series"
)

// PastOptions say what is to be forgotten.
type PastOptions struct {
	// At forgets all that the store learned later; 0 forgets nothing by time.
	At series.Time
	// Causal forgets what a repair decided on with knowledge from after the end
	// of the bar: a bar has the value that somebody had who lived through it, or
	// is absent where nobody had it then.
	Causal bool
}

// Past is the store as it would have answered earlier. It is computed from the
// values that changes replaced, so that it costs the reading of the journal
// since then. Its methods may be called from many goroutines at once.
//
// A bar that was still forming when it was replaced is not kept: before, its
// slot is empty. Bars that were lost to damage cannot be had back. Calendars,
// listings and names of sources are those of now.
type Past struct {
	*Snapshot
	o PastOptions

	mu   sync.Mutex
	diff map[series.Key]*pastDiff
}

// pastDiff is how a series of the past differs from that of now.
type pastDiff struct {
	at       series.Time // the clock then; 0 is now
	gone     []series.Run
	restored series.Columns // bars of then, in place of those of now
	slots    []series.Run   // of restored
	bare     []series.Run   // slots whose evidence is that of then
	notes    []series.Absence
	aside    map[uint64]asidePair // in quarantine then, or without a value not
}

// AsOf opens the past. It must be closed like a [Snapshot].
func (s *Store) AsOf(o PastOptions) (*Past, error) {
	v, err := s.Snapshot()
	if err != nil {
		return nil, err
	}
	return &Past{Snapshot: v, o: o, diff: map[series.Key]*pastDiff{}}, nil
}

// of finds out what changed since in one series.
func (p *Past) of(ctx context.Context, key series.Key) (*pastDiff, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.diff[key]; d != nil {
		return d, nil
	}
	st, err := p.s.known(key)
	if err != nil {
		return nil, err
	}
	d := &pastDiff{at: p.o.At, aside: map[uint64]asidePair{}}
	otherAside := map[uint64]bool{}
	bars := map[series.Slot]series.Bar{}
	g := st.grid()
	forget := func(x *Change, runs []series.Run) []series.Run {
		if p.o.At != 0 && x.At > p.o.At {
			return runs
		}
		if !p.o.Causal || x.Note.Rule == "" && x.Note.Repair == "" {
			return nil
		}
		until := x.Note.Until
		if until == 0 {
			until = x.At
		}
		// Bars that end before the knowledge came.
		return series.Intersect(nil, runs, []series.Run{{From: -1 << 62, To: g.SlotAt(until)}})
	}
	// What newer changes that are not forgotten say stands, whatever was there
	// before them.
	var said, explained []series.Run
	if err := p.backwards(ctx, key, func(x *Change) {
		touched := x.touched()
		own := forget(x, touched)
		said = series.Union(nil, said, series.Subtract(nil, touched, own))
		own = series.Subtract(nil, own, said)
		for _, r := range series.Intersect(nil, own, series.Union(nil, x.Gained, x.Renewed)) {
			d.gone = series.Union(nil, d.gone, []series.Run{r})
			for n := r.From; n < r.To; n++ {
				delete(bars, n)
			}
		}
		for i, t := range x.Before.Time {
			if n := g.SlotAt(t); holds(own, n) && !holds(x.Renewed, n) {
				bars[n] = x.Before.Bar(i)
			}
		}
		own = forget(x, x.Explained)
		explained = series.Union(nil, explained, series.Subtract(nil, x.Explained, own))
		own = series.Subtract(nil, own, explained)
		var kept []series.Absence
		for _, e := range d.notes {
			for _, r := range series.Subtract(nil, []series.Run{e.Run}, own) {
				kept = append(kept, series.Absence{Run: r, State: e.State, Note: e.Note})
			}
		}
		for _, e := range x.Evidence {
			for _, r := range series.Intersect(nil, []series.Run{e.Run}, own) {
				kept = append(kept, series.Absence{Run: r, State: e.State, Note: e.Note})
			}
		}
		d.notes, d.bare = kept, series.Union(nil, d.bare, own)
		for _, a := range slices.Concat(x.asides, x.discards) {
			n := g.SlotAt(a.time)
			switch {
			case len(forget(x, []series.Run{{From: n, To: n + 1}})) == 0:
				otherAside[a.id] = true
			case !otherAside[a.id]:
				d.aside[a.id] = a
			}
		}
	}); err != nil {
		return nil, err
	}
	slots := make([]series.Slot, 0, len(bars))
	for n := range bars {
		slots = append(slots, n)
	}
	slices.Sort(slots)
	for _, n := range slots {
		d.restored.Append(bars[n])
		d.slots = series.Join(d.slots, series.Run{From: n, To: n + 1})
	}
	d.gone = series.Subtract(nil, d.gone, d.slots)
	slices.SortFunc(d.notes, func(a, b series.Absence) int { return cmp.Compare(a.From, b.From) })
	p.diff[key] = d
	return d, nil
}

// backwards calls f for the changes of a series, the newest first, as far back
// as may matter.
func (p *Past) backwards(ctx context.Context, key series.Key, f func(x *Change)) error {
	c, err := p.snap.Cursor([]byte{spaceJournal}, []byte{spaceJournal + 1})
	if err != nil {
		return err
	}
	defer c.Close()
	o := JournalOptions{Key: &key}
	for ok := c.SeekLT([]byte{spaceJournal + 1}); ok; ok = c.Prev() {
		if err := ctx.Err(); err != nil {
			return err
		}
		v, err := c.Value()
		if err != nil {
			return err
		}
		e, err := decodeJournal(v)
		if err != nil {
			return fmt.Errorf("entry %d of the journal: %w", binary.BigEndian.Uint64(c.Key()[1:]), err)
		}
		if e.at <= p.o.At && !p.o.Causal {
			// Changes of different series are numbered before they are made, so
			// that a few may be out of order.
			if p.o.At-e.at > series.Minute*10 {
				break
			}
			continue
		}
		x, err := p.s.change(c.Key(), v, &o)
		if err != nil {
			return err
		}
		if x != nil {
			f(x)
		}
	}
	return c.Err()
}

func (p *Past) view(ctx context.Context, key series.Key) (*view, error) {
	x, err := p.Snapshot.view(key)
	if err != nil {
		return nil, err
	}
	x.past, err = p.of(ctx, key)
	return x, err
}

// Gaps is [Snapshot.Gaps] of then.
func (p *Past) Gaps(ctx context.Context, key series.Key, span series.Span) (Scan, error) {
	var out Scan
	err := p.look(ctx, key, span, func(x *view, c cursor, run series.Run) (err error) {
		out, err = x.scan(c, run)
		return err
	})
	return out, err
}

// Coverage is [Snapshot.Coverage] of then.
func (p *Past) Coverage(ctx context.Context, key series.Key, span series.Span) (Coverage, error) {
	var out Coverage
	err := p.look(ctx, key, span, func(x *view, c cursor, run series.Run) (err error) {
		out, err = x.coverage(c, run)
		return err
	})
	return out, err
}

func (p *Past) look(ctx context.Context, key series.Key, span series.Span, f func(x *view, c cursor, run series.Run) error) error {
	if err := p.s.enter(); err != nil {
		return err
	}
	defer p.s.leave()
	x, err := p.view(ctx, key)
	if err != nil {
		return err
	}
	c, err := p.snap.Cursor(nil, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	run := x.run(span)
	if span == (series.Span{}) {
		// From the first bar of then to the last.
		var a absence
		all := run
		if n := len(x.past.slots); n > 0 {
			if all.Empty() {
				all = x.past.slots[0]
			}
			all.From, all.To = min(all.From, x.past.slots[0].From), max(all.To, x.past.slots[n-1].To)
		}
		if err := x.look(c, &a, all, false); err != nil {
			return err
		}
		run = series.Run{}
		if n := len(a.present); n > 0 {
			run = series.Run{From: a.present[0].From, To: a.present[n-1].To}
		}
	}
	return f(x, c, run)
}

// apply turns what was gathered of now into what was there then.
func (d *pastDiff) apply(a *absence, run series.Run) {
	slots := series.Intersect(nil, d.slots, []series.Run{run})
	changed := series.Union(nil, d.gone, d.slots)
	a.present = series.Union(nil, series.Subtract(nil, a.present, d.gone), slots)
	if len(changed) > 0 {
		var marks []series.Gap
		for _, m := range a.marks {
			for _, r := range series.Subtract(nil, []series.Run{m.Run}, changed) {
				marks = append(marks, series.Gap{Run: r, State: m.State})
			}
		}
		i := 0
		for _, r := range d.slots {
			for n := r.From; n < r.To; n++ {
				if st := stateOf(d.restored.Bar(i).Prov); st != series.StateObserved && run.Contains(n) {
					marks = append(marks, series.Gap{Run: series.Run{From: n, To: n + 1}, State: st})
				}
				i++
			}
		}
		sortGaps(marks)
		a.marks = marks
	}
}

// explain turns the evidence of now, which is from the n-th reason on, into that
// of then.
func (d *pastDiff) explain(a *absence, n int, run series.Run) {
	if len(d.bare) == 0 {
		return
	}
	reasons := slices.Clone(a.reasons[:n])
	for _, g := range a.reasons[n:] {
		for _, r := range series.Subtract(nil, []series.Run{g.Run}, d.bare) {
			reasons = append(reasons, series.Absence{Run: r, State: g.State, Note: g.Note})
		}
	}
	for _, g := range d.notes {
		if r := g.Intersect(run); !r.Empty() {
			reasons = append(reasons, series.Absence{Run: r, State: g.State, Note: g.Note})
		}
	}
	a.reasons = reasons
}

// asideThen reports whether a quarantined bar was set aside by then.
func (d *pastDiff) asideThen(key, value []byte) bool {
	if a, known := d.aside[binary.BigEndian.Uint64(key[len(key)-8:])]; known {
		return a.value != nil
	}
	var r asideRecord
	return d.at == 0 || json.Unmarshal(value, &r) != nil || r.At <= d.at
}

// asideBack returns the slots of run with a bar that was in quarantine then.
func (d *pastDiff) asideBack(g series.Grid, run series.Run) []series.Run {
	var runs []series.Run
	for _, a := range d.aside {
		if n := g.SlotAt(a.time); a.value != nil && run.Contains(n) && g.Time(n) == a.time {
			runs = append(runs, series.Run{From: n, To: n + 1})
		}
	}
	return series.Normalize(runs)
}

// Chunks is [Snapshot.Chunks] of then. All columns are filled.
func (p *Past) Chunks(ctx context.Context, key series.Key, span series.Span, o ReadOptions) iter.Seq2[*series.Columns, error] {
	return func(yield func(*series.Columns, error) bool) {
		d, err := p.of(ctx, key)
		if err != nil {
			yield(nil, err)
			return
		}
		o.Columns = 0
		st, err := p.s.known(key)
		if err != nil {
			yield(nil, err)
			return
		}
		g := st.grid()
		old := &d.restored
		k, _ := slices.BinarySearch(old.Time, span.From)
		end := old.Len()
		if span != (series.Span{}) {
			end, _ = slices.BinarySearch(old.Time, span.To)
		}
		var out series.Columns
		add := func(before series.Time) {
			for ; k < end && old.Time[k] < before; k++ {
				out.Append(old.Bar(k))
			}
		}
		for c, err := range p.Snapshot.Chunks(ctx, key, span, o) {
			if err != nil {
				yield(nil, err)
				return
			}
			out.Reset()
			for i, t := range c.Time {
				add(t)
				n := g.SlotAt(t)
				if holds(d.gone, n) || holds(d.slots, n) {
					continue // of slots, add brings the bar of then
				}
				out.Append(c.Bar(i))
			}
			if out.Len() > 0 && !yield(&out, nil) {
				return
			}
		}
		out.Reset()
		add(series.MaxTime)
		if out.Len() > 0 {
			yield(&out, nil)
		}
	}
}

// Resample is [Snapshot.Resample] of then.
func (p *Past) Resample(ctx context.Context, key series.Key, coarse series.Interval, span series.Span, dst *series.Columns) ([]series.Part, error) {
	st, err := p.s.known(key)
	if err != nil {
		return nil, err
	}
	cal, _, err := p.s.calendar(key.Symbol)
	if err != nil {
		return nil, err
	}
	if !st.grid().Interval.Divides(coarse) {
		return nil, errors.New("bars of " + st.grid().Interval.String() + " do not make up bars of " + coarse.String())
	}
	to := series.Grid{Interval: coarse}
	if coarse.Intraday() {
		to.Phase = st.grid().Phase % coarse.Width()
	}
	var fine series.Columns
	// A session may open on the day before its date.
	around := series.Span{From: span.From - 2*series.Day, To: span.To + 2*series.Day}
	for c, err := range p.Chunks(ctx, key, around, ReadOptions{}) {
		if err != nil {
			return nil, err
		}
		for i := range c.Time {
			fine.Append(c.Bar(i))
		}
	}
	var all series.Columns
	parts, err := series.Resample(&all, &fine, st.grid(), to, cal)
	if err != nil {
		return nil, err
	}
	var out []series.Part
	for i, t := range all.Time {
		if span.Contains(t) {
			dst.Append(all.Bar(i))
			out = append(out, parts[i])
		}
	}
	return out, nil
}
