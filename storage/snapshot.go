package storage

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"sync"

	"github.com/barkeepdb/barkeep/series"
)

// Snapshot reads the store as it was when the snapshot was taken, whatever is
// written meanwhile. It holds disk space and memory until it is closed. Its
// methods may be called from many goroutines at once.
type Snapshot struct {
	s    *Store
	snap snapshot
	end  sync.Once
}

// Snapshot takes a snapshot. Relaxed writes that were answered before are in it.
func (s *Store) Snapshot() (*Snapshot, error) {
	s.fresh.RLock()
	defer s.fresh.RUnlock()
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if err := s.flushAll(context.Background()); err != nil && !forgivable(err) {
		return nil, err
	}
	s.under.Add(1) // until Close: what it reads must not be opened anew
	return &Snapshot{s: s, snap: s.eng.Snapshot()}, nil
}

// Close ends the snapshot. Close it before the store: after that it returns
// [ErrClosed], as every other method does.
func (v *Snapshot) Close() error {
	if err := v.s.enter(); err != nil {
		return err
	}
	defer v.s.leave()
	v.end.Do(func() { v.s.under.Add(-1) })
	return v.snap.Close()
}

// forgivable reports whether a read may go on without the bars that wait to be
// written.
func forgivable(err error) bool {
	_, unavailable := errors.AsType[*UnavailableError](err)
	return unavailable || errors.Is(err, series.ErrCorrupt)
}

// view is one series as a snapshot shows it.
type view struct {
	s      *Store
	st     *state
	r      reader
	ledger *ledger
	past   *pastDiff // nil is now
}

func (v *Snapshot) view(key series.Key) (*view, error) {
	st, err := v.s.known(key)
	if err != nil {
		return nil, err
	}
	l, err := readLedger(v.snap, st)
	if err != nil {
		return nil, err
	}
	return &view{s: v.s, st: st, r: v.snap, ledger: l}, nil
}

// run returns the slots of span; the zero span is from the first bar to the
// last.
func (v *view) run(span series.Span) series.Run {
	if span == (series.Span{}) {
		return v.all()
	}
	return v.st.grid().Run(span)
}

// all is from the first bar to the last. A block that was set aside belongs to
// it, so that what was lost at the ends is not forgotten.
func (v *view) all() series.Run {
	l := v.ledger
	var r series.Run
	if l.bars > 0 {
		r = series.Run{From: l.first, To: l.last + 1}
	}
	if n := len(l.damaged); n > 0 {
		lo, hi := blockRun(l.damaged[0]), blockRun(l.damaged[n-1])
		if r.Empty() {
			r = lo
		}
		r.From, r.To = min(r.From, lo.From), max(r.To, hi.To)
	}
	return r
}

// eachSummary calls f for the coverage of every block in [lo, hi), in order.
// The entry that f gets is valid during the call.
func (v *view) eachSummary(lo, hi int64, r *pageReader, f func(*pageReader) error) error {
	if lo >= hi || v.ledger.blocks == 0 {
		return nil
	}
	c, err := v.r.Cursor(numberKey(spaceCoverage, v.st.id, pageOf(lo)), numberKey(spaceCoverage, v.st.id, pageOf(hi-1)+1))
	if err != nil {
		return err
	}
	defer c.Close()
	return v.walk(c, lo, hi, r, func() error {
		if r.block < lo || r.block >= hi {
			return nil
		}
		return f(r)
	})
}

// walk reads the pages of blocks [lo, hi) and the tail through a cursor that
// may reach further, and calls f with r at every entry of them.
func (v *view) walk(c cursor, lo, hi int64, r *pageReader, f func() error) error {
	var buf [32]byte
	first := appendNumberKey(buf[:0], spaceCoverage, v.st.id, pageOf(lo))
	for ok := c.SeekGE(first); ok; ok = c.Next() {
		key := c.Key()
		number, _ := numberOf(key)
		if !bytes.HasPrefix(key, first[:5]) || number > pageOf(hi-1) {
			break
		}
		value, err := c.Value()
		if err != nil {
			return v.unreadable(lo, hi, err)
		}
		if err := r.reset(number, value); err != nil {
			return corruptPage(v.st, number, err)
		}
		for r.next() {
			if err := f(); err != nil {
				return err
			}
		}
		if r.err != nil {
			return corruptPage(v.st, number, r.err)
		}
	}
	if err := c.Err(); err != nil {
		return v.unreadable(lo, hi, err)
	}
	if t := v.ledger.tail; t != nil && t.block >= lo && t.block < hi {
		r.load(t)
		return f()
	}
	return nil
}

// load makes r stand at a summary that is decoded already.
func (r *pageReader) load(s *summary) {
	r.block, r.damaged, r.rows = s.block, s.damaged, s.rows
	r.marks = append(r.marks[:0], s.marks...)
	r.present, r.count = r.present[:0], 0
	for _, p := range s.present {
		r.add(p.from, p.to)
	}
}

// unreadable says which bars the engine cannot answer for.
func (v *view) unreadable(lo, hi int64, err error) error {
	if !errors.Is(err, series.ErrCorrupt) {
		return err
	}
	run := series.Run{From: blockStart(lo), To: blockStart(hi)}
	return &CorruptError{Key: v.st.key, Span: v.st.grid().Span(run), Reason: err.Error()}
}

func corruptPage(st *state, number int64, err error) error {
	return &CorruptError{Key: st.key, Span: st.grid().Span(pageRun(number)), Reason: err.Error()}
}

// Read fills dst with the bars of span, in order of time; the zero span is all
// of them. Columns that were not asked for are empty. dst's memory is used
// again where it suffices.
func (v *Snapshot) Read(ctx context.Context, key series.Key, span series.Span, o ReadOptions, dst *series.Columns) error {
	if err := v.s.enter(); err != nil {
		return err
	}
	defer v.s.leave()
	x, err := v.view(key)
	if err != nil {
		return err
	}
	return x.readSpan(ctx, span, o, dst)
}

func (v *view) readSpan(ctx context.Context, span series.Span, o ReadOptions, dst *series.Columns) error {
	blocks, err := v.blocks(v.run(span))
	if err != nil {
		return err
	}
	return v.read(ctx, blocks, o, dst)
}

// chunkBlocks is how many blocks a streaming read decodes at a time: about a
// month of minutes.
const chunkBlocks = 32

// Chunks streams the bars of span by column, in order of time, at most some
// 46,000 at a time. The columns are valid until the next ones are asked for.
func (v *Snapshot) Chunks(ctx context.Context, key series.Key, span series.Span, o ReadOptions) iter.Seq2[*series.Columns, error] {
	return func(yield func(*series.Columns, error) bool) {
		if err := v.s.enter(); err != nil {
			yield(nil, err)
			return
		}
		defer v.s.leave()
		x, err := v.view(key)
		if err != nil {
			yield(nil, err)
			return
		}
		x.chunks(ctx, span, o, yield)
	}
}

func (v *view) chunks(ctx context.Context, span series.Span, o ReadOptions, yield func(*series.Columns, error) bool) {
	blocks, err := v.blocks(v.run(span))
	if err != nil {
		yield(nil, err)
		return
	}
	var dst series.Columns
	for part := range slices.Chunk(blocks, chunkBlocks) {
		if err := v.read(ctx, part, o, &dst); err != nil {
			yield(nil, err)
			return
		}
		if dst.Len() > 0 && !yield(&dst, nil) {
			return
		}
	}
}

// Bars streams the bars of span in order of time. After an error it ends.
func (v *Snapshot) Bars(ctx context.Context, key series.Key, span series.Span, o ReadOptions) iter.Seq2[series.Bar, error] {
	return eachBar(v.Chunks(ctx, key, span, o))
}

func eachBar(chunks iter.Seq2[*series.Columns, error]) iter.Seq2[series.Bar, error] {
	return func(yield func(series.Bar, error) bool) {
		for c, err := range chunks {
			if err != nil {
				yield(series.Bar{}, err)
				return
			}
			for i := range c.Time {
				if !yield(c.Bar(i), nil) {
					return
				}
			}
		}
	}
}

// viewNow is a view of a series as it is now; the snapshot must be closed.
func (s *Store) viewNow(ctx context.Context, key series.Key) (*view, snapshot, error) {
	st, err := s.known(key)
	if err != nil {
		return nil, nil, err
	}
	h, err := s.holdForRead(ctx, st)
	if err != nil {
		return nil, nil, err
	}
	if h == nil {
		snap := s.eng.Snapshot()
		l, err := readLedger(snap, st)
		if err != nil {
			return nil, nil, errors.Join(err, snap.Close())
		}
		return &view{s: s, st: st, r: snap, ledger: l}, snap, nil
	}
	defer h.release()
	// Nobody writes the series while its lock is held, so the ledger in memory
	// is the one that the snapshot shows.
	snap := s.eng.Snapshot()
	return &view{s: s, st: st, r: snap, ledger: st.ledger}, snap, nil
}

// Read is [Snapshot.Read] on the store as it is now.
func (s *Store) Read(ctx context.Context, key series.Key, span series.Span, o ReadOptions, dst *series.Columns) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	x, c, err := s.cursorNow(ctx, key)
	if err != nil {
		return err
	}
	defer c.Close()
	if lo, hi := blocksOf(x.run(span).Intersect(x.all())); hi-lo <= directParts {
		x.r = cursorReader{c}
		return x.readSpan(ctx, span, o, dst)
	}
	// A series may be written while a long read goes on in several places at
	// once, so that one needs a snapshot.
	x, snap, err := s.viewNow(ctx, key)
	if err != nil {
		return err
	}
	return errors.Join(x.readSpan(ctx, span, o, dst), snap.Close())
}

// cursorReader reads through one cursor that is made already, one key or range
// at a time: for a short read the making costs as much as the reading.
type cursorReader struct{ c cursor }

func (r cursorReader) Get(key []byte, use func([]byte) error) (bool, error) {
	if !r.c.SeekGE(key) || !bytes.Equal(r.c.Key(), key) {
		return false, r.c.Err()
	}
	v, err := r.c.Value()
	if err != nil {
		return false, err
	}
	return true, use(v)
}

func (r cursorReader) Cursor(lo, hi []byte) (cursor, error) { return &boundedCursor{r.c, lo, hi}, nil }

// boundedCursor is a cursor over a part of what a wider one walks.
type boundedCursor struct {
	cursor
	lo, hi []byte
}

func (b *boundedCursor) First() bool { return b.SeekGE(b.lo) }
func (b *boundedCursor) SeekGE(key []byte) bool {
	return b.cursor.SeekGE(key) && bytes.Compare(b.Key(), b.hi) < 0
}

func (b *boundedCursor) SeekLT(key []byte) bool {
	return b.cursor.SeekLT(key) && bytes.Compare(b.Key(), b.lo) >= 0
}

func (b *boundedCursor) Prev() bool   { return b.cursor.Prev() && bytes.Compare(b.Key(), b.lo) >= 0 }
func (b *boundedCursor) Next() bool   { return b.cursor.Next() && bytes.Compare(b.Key(), b.hi) < 0 }
func (b *boundedCursor) Close() error { return nil }

// Chunks is [Snapshot.Chunks] on the store as it is when the loop begins.
func (s *Store) Chunks(ctx context.Context, key series.Key, span series.Span, o ReadOptions) iter.Seq2[*series.Columns, error] {
	return func(yield func(*series.Columns, error) bool) {
		if err := s.enter(); err != nil {
			yield(nil, err)
			return
		}
		defer s.leave()
		x, snap, err := s.viewNow(ctx, key)
		if err != nil {
			yield(nil, err)
			return
		}
		defer snap.Close()
		x.chunks(ctx, span, o, yield)
	}
}

// Bars is [Snapshot.Bars] on the store as it is when the loop begins.
func (s *Store) Bars(ctx context.Context, key series.Key, span series.Span, o ReadOptions) iter.Seq2[series.Bar, error] {
	return eachBar(s.Chunks(ctx, key, span, o))
}
