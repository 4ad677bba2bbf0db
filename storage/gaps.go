package storage

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/barkeepdb/barkeep/series"
)

// absence is what the store knows of the slots of one series without bars,
// gathered from summaries alone.
type absence struct {
	present  []series.Run     // slots with a bar
	marks    []series.Gap     // of them: those that are not plain observed
	reasons  []series.Absence // slots set aside or explained by evidence; may overlap present
	expected []series.Run     // slots in which the market was open and the symbol listed
	absent   []series.Run     // expected slots without a bar
	bars     int64            // slots in present
	reader   pageReader
}

// scratch holds the memory of gap scans, which follow each other closely.
var scratch = sync.Pool{New: func() any { return new(absence) }}

func (a *absence) reset() {
	a.present, a.marks, a.reasons = a.present[:0], a.marks[:0], a.reasons[:0]
	a.expected, a.absent, a.bars = a.expected[:0], a.absent[:0], 0
}

// look gathers what is known of run. marks are only gathered on request. It
// reads through one cursor: a scan of a year costs a dozen keys.
func (v *view) look(c cursor, a *absence, run series.Run, withMarks bool) error {
	a.reset()
	lo, hi := blocksOf(run)
	if lo == hi {
		return nil
	}
	if err := v.lookCoverage(c, a, lo, hi, withMarks); err != nil {
		return err
	}
	n := len(a.reasons)
	// Most series have neither: each seek costs as much as a month of pages.
	if v.st.explained.Load() {
		if err := v.lookEvidence(c, a, run); err != nil {
			return err
		}
	}
	if v.past != nil { // what is set aside stands behind it
		v.past.explain(a, n, run)
	}
	if v.st.aside.Load() || v.past != nil && len(v.past.aside) > 0 {
		if err := v.lookAside(c, a, run); err != nil {
			return err
		}
	}
	if n := len(a.present); n > 0 && (a.present[0].From < run.From || a.present[n-1].To > run.To) {
		a.present = series.Intersect(nil, a.present, []series.Run{run})
	}
	if v.past != nil {
		v.past.apply(a, run)
	}
	a.bars = series.Total(a.present)
	return nil
}

func (v *view) lookCoverage(c cursor, a *absence, lo, hi int64, withMarks bool) error {
	r := &a.reader
	r.runs, r.runsOnly = &a.present, true
	return v.walk(c, lo, hi, r, func() error {
		if !r.damaged && len(r.marks) == 0 {
			return nil
		}
		start := blockStart(r.block)
		if r.damaged {
			a.reasons = append(a.reasons, series.Absence{Run: blockRun(r.block), State: series.StateQuarantined, Note: series.Note{Reason: "the stored block is damaged"}})
		}
		if withMarks {
			for _, m := range r.marks {
				a.marks = append(a.marks, series.Gap{Run: series.Run{From: start + series.Slot(m.from), To: start + series.Slot(m.to)}, State: m.state})
			}
		}
		return nil
	})
}

// lookAside adds the slots of quarantined bars.
func (v *view) lookAside(c cursor, a *absence, run series.Run) error {
	span := v.st.grid().Span(run)
	prefix := numberKey(spaceAside, v.st.id, int64(span.From))
	n := len(a.reasons)
	for ok := c.SeekGE(prefix); ok; ok = c.Next() {
		key := c.Key()
		if !bytes.Equal(key[:min(5, len(key))], prefix[:5]) {
			break
		}
		ms, ok := numberOf(key)
		t := series.Time(ms)
		if !ok || t >= span.To {
			break
		}
		if v.past != nil {
			value, err := c.Value()
			if err != nil {
				return err
			}
			if !v.past.asideThen(key, value) {
				continue
			}
		}
		if slot := v.st.grid().SlotAt(t); v.st.grid().Time(slot) == t {
			if k := len(a.reasons) - 1; k >= n && a.reasons[k].To == slot {
				a.reasons[k].To++
			} else if k < n || a.reasons[k].To < slot {
				a.reasons = append(a.reasons, series.Absence{Run: series.Run{From: slot, To: slot + 1}, State: series.StateQuarantined, Note: asideNote})
			}
		}
	}
	if v.past != nil {
		runs := v.past.asideBack(v.st.grid(), run)
		for _, g := range a.reasons[n:] {
			runs = append(runs, g.Run)
		}
		a.reasons = a.reasons[:n]
		for _, r := range series.Normalize(runs) {
			a.reasons = append(a.reasons, series.Absence{Run: r, State: series.StateQuarantined, Note: asideNote})
		}
	}
	return c.Err()
}

var asideNote = series.Note{Reason: "the bar was set aside"}

// expect fills in the expected slots of run.
func (v *view) expect(a *absence, run series.Run) (*series.Calendar, series.Run, error) {
	cal, sym, err := v.s.calendar(v.st.key.Symbol)
	if err != nil {
		return nil, run, err
	}
	listed := v.listed(sym).Intersect(run)
	if !listed.Empty() {
		a.expected = cal.AppendExpected(a.expected[:0], v.st.grid(), listed)
	}
	return cal, listed, nil
}

// now is the time at which the view shows the series.
func (v *view) now() series.Time {
	if v.past != nil && v.past.at != 0 {
		return v.past.at
	}
	return v.s.opts.Now()
}

// listed is the run in which the symbol was listed, up to the slot that is
// still forming.
func (v *view) listed(sym Symbol) series.Run {
	g := v.st.grid()
	r := series.Run{From: g.SlotAt(series.MinTime) + 1, To: g.SlotAt(v.now())}
	if sym.Listed != nil {
		r.From = g.SlotFrom(*sym.Listed)
	}
	if sym.Delisted != nil {
		r.To = min(r.To, g.SlotFrom(*sym.Delisted))
	}
	return r
}

// Gaps finds every expected slot of span that has no bar, with its state. The
// zero span is from the first bar to the last. It reads summaries only: its
// cost grows with the number of blocks and gaps, not of bars.
func (v *Snapshot) Gaps(ctx context.Context, key series.Key, span series.Span) (Scan, error) {
	if err := v.s.enter(); err != nil {
		return Scan{}, err
	}
	defer v.s.leave()
	if err := ctx.Err(); err != nil {
		return Scan{}, err
	}
	x, err := v.view(key)
	if err != nil {
		return Scan{}, err
	}
	c, err := v.snap.Cursor(nil, nil)
	if err != nil {
		return Scan{}, err
	}
	defer c.Close()
	return x.scan(c, x.run(span))
}

func (v *view) scan(c cursor, run series.Run) (Scan, error) {
	sc := Scan{Key: v.st.key, Grid: v.st.grid(), Run: run}
	a := scratch.Get().(*absence)
	defer scratch.Put(a)
	if err := v.look(c, a, run, false); err != nil {
		return Scan{}, err
	}
	cal, _, err := v.expect(a, run)
	if err != nil {
		return Scan{}, err
	}
	sc.Calendar = cal.Name()
	sc.Expected = series.Total(a.expected)
	sc.Present = a.bars
	a.absent = series.Subtract(a.absent, a.expected, a.present)
	absent := a.absent
	if len(a.reasons) == 0 {
		sc.Gaps = make([]series.Gap, len(absent))
		for i, r := range absent {
			sc.Gaps[i] = series.Gap{Run: r, State: series.StateMissing}
			sc.Missing += r.Len()
		}
		return sc, nil
	}
	rest := absent
	for _, g := range a.reasons {
		hit := series.Intersect(nil, rest, []series.Run{g.Run})
		for _, r := range hit {
			sc.Gaps = append(sc.Gaps, series.Gap{Run: r, State: g.State, Note: note(&sc.Notes, g.Note)})
		}
		if len(hit) > 0 {
			rest = series.Subtract(nil, rest, hit)
		}
	}
	for _, r := range rest {
		sc.Gaps = append(sc.Gaps, series.Gap{Run: r, State: series.StateMissing})
		sc.Missing += r.Len()
	}
	sortGaps(sc.Gaps)
	sc.Gaps = joinStates(sc.Gaps, sc.Notes)
	return sc, nil
}

// note returns the number of x among notes, to which it may add it.
func note(notes *[]series.Note, x series.Note) int32 {
	if x == (series.Note{}) {
		return 0
	}
	for i := len(*notes) - 1; i >= max(0, len(*notes)-8); i-- { // the same few repeat
		if (*notes)[i] == x {
			return int32(i + 1)
		}
	}
	*notes = append(*notes, x)
	return int32(len(*notes))
}

func sortGaps(gs []series.Gap) {
	slices.SortFunc(gs, func(a, b series.Gap) int { return cmp.Compare(a.From, b.From) })
}

// cursorNow is a view of a series as it is now and a cursor that shows the
// same moment; the view's own reader is not set. It is cheaper than a snapshot.
func (s *Store) cursorNow(ctx context.Context, key series.Key) (*view, cursor, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	st, err := s.known(key)
	if err != nil {
		return nil, nil, err
	}
	h, err := s.holdForRead(ctx, st)
	if err != nil {
		return nil, nil, err
	}
	if h == nil { // the cursor itself shows one moment
		c, err := s.eng.Cursor(nil, nil)
		if err != nil {
			return nil, nil, err
		}
		l, err := readLedger(cursorReader{c}, st)
		if err != nil {
			return nil, nil, errors.Join(err, c.Close())
		}
		return &view{s: s, st: st, ledger: l}, c, nil
	}
	defer h.release()
	c, err := s.eng.Cursor(nil, nil)
	return &view{s: s, st: st, ledger: st.ledger}, c, err
}

// Gaps is [Snapshot.Gaps] on the store as it is now.
func (s *Store) Gaps(ctx context.Context, key series.Key, span series.Span) (Scan, error) {
	if err := s.enter(); err != nil {
		return Scan{}, err
	}
	defer s.leave()
	x, c, err := s.cursorNow(ctx, key)
	if err != nil {
		return Scan{}, err
	}
	defer c.Close()
	return x.scan(c, x.run(span))
}

// GapsAll is [Store.Gaps] for every series, sorted by symbol and interval, on
// all cores. Each series is scanned as it is at one moment.
func (s *Store) GapsAll(ctx context.Context, span series.Span) ([]Scan, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	sts := s.all()
	slices.SortFunc(sts, func(a, b *state) int { return compareKeys(a.key, b.key) })
	scans := make([]Scan, len(sts))
	errs := make([]error, len(sts))
	var next atomic.Int64
	work := func() {
		for i := next.Add(1) - 1; int(i) < len(sts); i = next.Add(1) - 1 {
			scans[i], errs[i] = s.Gaps(ctx, sts[i].key, span)
		}
	}
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(sts)/16) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	return scans, errors.Join(errs...)
}
