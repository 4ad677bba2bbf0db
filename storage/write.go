package storage

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"unsafe"

	"github.com/barkeepdb/barkeep/series"
)

// Write stores bars in any order, duplicates allowed, and creates the series
// if it is new. It is all or nothing, durable when it returns (see
// [WriteOptions.Relaxed]) and idempotent: bars that are stored already are
// counted as unchanged. The first write decides where the bars of a series
// open within their interval, if [Store.SetPhase] did not. Bars off the grid
// and synthetic bars are refused; two different bars of one slot in c, of
// equal rank, are settled by o.OnConflict, and the loser is set aside. c is
// not changed.
func (s *Store) Write(ctx context.Context, key series.Key, c *series.Columns, o WriteOptions) (WriteResult, error) {
	if err := s.enter(); err != nil {
		return WriteResult{}, err
	}
	defer s.leave()
	if err := ctx.Err(); err != nil {
		return WriteResult{}, err
	}
	if err := c.Check(); err != nil {
		return WriteResult{}, err
	}
	src, err := s.source(ctx, o.Source)
	if err != nil {
		return WriteResult{}, err
	}
	st, err := s.create(ctx, key, 0)
	if err != nil {
		return WriteResult{}, err
	}
	h, err := s.hold(ctx, st.mu)
	if err != nil {
		return WriteResult{}, err
	}
	defer h.release()
	if err := s.flushRelaxed(ctx, st, h); err != nil {
		return WriteResult{}, err
	}
	if err := s.adoptPhase(ctx, st, c.Time); err != nil {
		return WriteResult{}, err
	}
	res, wait, err := s.writeLocked(ctx, st, h, c, src, o.OnConflict, !o.Relaxed)
	h.release()
	switch {
	case err != nil:
	case wait != nil:
		err = wait()
	case !o.Relaxed && !s.head.settled():
		// The bars are there, but perhaps of a relaxed write.
		err = s.settleNow(ctx)
	}
	if err != nil {
		return WriteResult{}, err
	}
	return res, nil
}

// adoptPhase moves the grid of a series without bars to where its first write
// has nearly all of them: hourly bars of a session that opens at half past,
// days that start in the evening. One odd bar moves nothing. st.mu must be
// held.
func (s *Store) adoptPhase(ctx context.Context, st *state, times []series.Time) error {
	width := st.grid().Interval.Width()
	if st.settled() || st.grid().Phase != 0 || width == 0 || st.grid().Interval >= series.Interval1w || len(times) < 2 {
		return nil
	}
	count := make(map[series.Time]int)
	for _, t := range times[:min(len(times), phaseSample)] {
		count[t-st.grid().Time(st.grid().SlotAt(t))]++
	}
	for phase, n := range count {
		if phase != 0 && n*10 >= 9*min(len(times), phaseSample) {
			return s.movePhase(ctx, st, phase)
		}
	}
	return nil
}

// phaseSample is how many bars decide the phase of a new series.
const phaseSample = 10000

// writeLocked plans and commits a write. wait is nil if nothing had to be
// written. h is the lock of the series.
func (s *Store) writeLocked(ctx context.Context, st *state, h *hold, c *series.Columns, src series.SourceID, oc Conflict, durable bool) (WriteResult, func() error, error) {
	res := WriteResult{Read: c.Len()}
	ch := s.begin(st, opWrite)
	ch.entry.source = src
	buf := writePool.Get().(*writeBuffer)
	defer func() {
		if !h.lost { // the engine has copied or written all of it
			writePool.Put(buf)
		}
	}()
	ch.arenas = buf.arenas[:]
	w := writer{change: ch, res: &res, conflict: oc, src: src, buf: buf}
	if err := w.prepare(c); err != nil {
		return res, nil, err
	}
	if err := w.plan(); err != nil {
		return res, nil, err
	}
	if len(ch.jobs) == 0 && len(ch.sets) == 0 {
		return res, nil, nil
	}
	if err := w.finish(); err != nil {
		return res, nil, err
	}
	wait, err := ch.commit(ctx, h, durable)
	return res, wait, err
}

// writer plans what a write changes, block by block.
type writer struct {
	*change
	res      *WriteResult
	conflict Conflict
	src      series.SourceID

	buf  *writeBuffer
	in   *series.Columns // sorted by slot, one bar per slot
	at   []series.Slot   // slot of each bar
	slot []uint16        // the same inside its block
	prov []uint32        // provenance with source and forming filled in

	puts []putSummary
	// The rows planned last, for the last bar.
	lastRows      []row
	lastRowsBlock int64
}

// writeBuffer is memory that large writes need and give back.
type writeBuffer struct {
	at     []series.Slot
	slot   []uint16
	prov   []uint32
	arenas [maxEncoders][]byte // encoded blocks, one per worker
}

var writePool = sync.Pool{New: func() any { return new(writeBuffer) }}

// Reasons for which bars are refused.
const (
	refuseTime      = "time is outside the years 1 to 9999"
	refuseSynthetic = "synthetic bars are computed while reading, never stored"
)

// prepare checks, sorts and de-duplicates what was given.
func (w *writer) prepare(c *series.Columns) error {
	n := c.Len()
	w.buf.at = slices.Grow(w.buf.at[:0], n)[:n]
	w.at = w.buf.at
	g := w.st.grid()
	width := g.Interval.Width()
	sorted := true
	var refused map[int]string
	refuse := func(i int, reason string) {
		if refused == nil {
			refused = make(map[int]string)
		}
		refused[i] = reason
	}
	steps := false // the bar before is on the grid
	for i, t := range c.Time {
		if steps && t == c.Time[i-1]+width {
			w.at[i] = w.at[i-1] + 1
			continue
		}
		steps = width > 0
		if t < series.MinTime || t > series.MaxTime {
			refuse(i, refuseTime)
			w.at[i], steps = math.MinInt64, false
		} else {
			w.at[i] = g.SlotAt(t)
			if open := g.Time(w.at[i]); open != t {
				refuse(i, fmt.Sprintf("off the grid: opens %v after the %s bar of %v", (t-open).Std().Sub(series.Time(0).Std()), g.Interval, open))
				steps = false
			}
		}
		if i > 0 && w.at[i] <= w.at[i-1] {
			sorted = false
		}
	}
	for i, p := range c.Prov {
		if p.Kind() == series.Synthetic {
			refuse(i, refuseSynthetic)
		}
	}
	w.in = c
	if !sorted || refused != nil {
		if err := w.arrange(c, refused); err != nil {
			return err
		}
	}
	w.fillProvenance()
	w.buf.slot = slices.Grow(w.buf.slot[:0], len(w.at))[:len(w.at)]
	w.slot = w.buf.slot
	for i := 0; i < len(w.at); {
		start := blockStart(blockOf(w.at[i]))
		for ; i < len(w.at) && w.at[i] < start+blockSlots; i++ {
			w.slot[i] = uint16(w.at[i] - start)
		}
	}
	return nil
}

// arrange copies the bars that are not refused in the order of their slots and
// settles duplicates.
func (w *writer) arrange(c *series.Columns, refused map[int]string) error {
	order := make([]int, 0, c.Len())
	for i := range c.Time {
		if reason, ok := refused[i]; ok {
			w.res.Refused = append(w.res.Refused, Refused{Row: i, Time: c.Time[i], Reason: reason})
			continue
		}
		order = append(order, i)
	}
	at := w.at
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(at[a], at[b]) })
	out := &series.Columns{}
	w.at = make([]series.Slot, 0, len(order))
	for k := 0; k < len(order); {
		best := order[k]
		for k++; k < len(order) && at[order[k]] == at[best]; k++ {
			a, b := c.Bar(best), c.Bar(order[k])
			if a.Prov == b.Prov && sameValues(&a, &b) {
				w.res.Unchanged++
				continue
			}
			w.res.Conflicts++
			loser := b
			if b.Prov.Rank() > a.Prov.Rank() || b.Prov.Rank() == a.Prov.Rank() && w.conflict == Replace {
				best, loser = order[k], a
			}
			if err := w.aside(loser, "differs from another bar of the same time in one write"); err != nil {
				return err
			}
		}
		out.Append(c.Bar(best))
		w.at = append(w.at, at[best])
	}
	w.in = out
	return nil
}

// fillProvenance names the source of bars that have none and marks those that
// have not ended yet.
func (w *writer) fillProvenance() {
	n := w.in.Len()
	w.buf.prov = slices.Grow(w.buf.prov[:0], n)[:n]
	w.prov = w.buf.prov
	if len(w.in.Prov) == 0 {
		p := uint32(series.NewProv(series.Observed, w.src))
		for i := range w.prov {
			w.prov[i] = p
		}
	} else {
		for i, p := range w.in.Prov {
			if p.Source() == 0 {
				p = p.WithSource(w.src)
			}
			w.prov[i] = uint32(p)
		}
	}
	for i := n - 1; i >= 0 && w.st.grid().Time(w.at[i]+1) > w.now; i-- {
		w.prov[i] |= uint32(series.ProvForming)
	}
}

// aside sets a bar aside in the batch of the change, unless it is there
// already: the same write may come twice.
func (c *change) aside(b series.Bar, reason string) error {
	e := Entry{
		Key: c.st.key, Time: b.Time, HasTime: true, Bar: &b, Reason: reason,
		Source: c.s.SourceName(b.Prov.Source()), At: c.now,
	}
	same, err := c.s.hasAside(c.st, &e, c.seen)
	if err != nil || same {
		return err
	}
	c.addAside(&e)
	return nil
}

// sameValues reports whether two bars have the same bits in every value. A bar
// that lacks an optional value is the same as one that has it only if both
// lack it.
func sameValues(a, b *series.Bar) bool {
	eq := func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) }
	opt := func(x, y float64) bool { return x != x && y != y || eq(x, y) }
	return eq(a.Open, b.Open) && eq(a.High, b.High) && eq(a.Low, b.Low) && eq(a.Close, b.Close) &&
		eq(a.Volume, b.Volume) && opt(a.QuoteVolume, b.QuoteVolume) && opt(a.Trades, b.Trades)
}

// asProv shows provenances as the codec wants them, in the same memory.
func asProv(p []uint32) []series.Prov {
	if len(p) == 0 {
		return nil
	}
	return unsafe.Slice((*series.Prov)(unsafe.Pointer(unsafe.SliceData(p))), len(p))
}

// asCodec is the inverse of asProv; it keeps the capacity.
func asCodec(p []series.Prov) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(p))), cap(p))[:len(p)]
}
