package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage/block"
)

// relaxed holds bars that Append answered without waiting for the disk.
type relaxed struct {
	cols   series.Columns
	policy Conflict
}

// relaxedBars is the number of waiting bars at which they are written out.
const relaxedBars = 4096

// Append stores one bar; it is [Store.Write] for the bar that just closed.
func (s *Store) Append(ctx context.Context, key series.Key, b series.Bar, o WriteOptions) error {
	if o.Relaxed {
		return s.appendRelaxed(key, b, o)
	}
	var c series.Columns
	c.Append(b)
	res, err := s.Write(ctx, key, &c, o)
	if err == nil && len(res.Refused) > 0 {
		return errors.New(res.Refused[0].Reason)
	}
	return err
}

func (s *Store) appendRelaxed(key series.Key, b series.Bar, o WriteOptions) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.admit(); err != nil {
		return err
	}
	src, err := s.source(context.Background(), o.Source)
	if err != nil {
		return err
	}
	st, err := s.create(context.Background(), key, 0)
	if err != nil {
		return err
	}
	switch {
	case b.Prov.Kind() == series.Synthetic:
		return errors.New(refuseSynthetic)
	case b.Time < series.MinTime || b.Time > series.MaxTime:
		return errors.New(refuseTime)
	}
	h, err := s.hold(context.Background(), st.mu)
	if err != nil {
		return err
	}
	defer h.release()
	if !st.grid().On(b.Time) {
		return errors.New("off the grid: " + b.Time.String() + " is no open time of " + st.grid().Interval.String())
	}
	if b.Prov.Source() == 0 {
		b.Prov = b.Prov.WithSource(src)
	}
	r := &st.relaxed
	// Whether a bar is forming is decided when it comes, not when it is written.
	if st.grid().Time(st.grid().SlotAt(b.Time)+1) > s.opts.Now() {
		b.Prov |= series.ProvForming
	}
	// Two bars of one slot are two writes: the later settles with the earlier.
	if n := r.cols.Len(); n > 0 && (n >= relaxedBars || r.policy != o.OnConflict || b.Time <= r.cols.Time[n-1]) {
		if err := s.flushRelaxed(context.Background(), st, h); err != nil {
			return err
		}
	}
	r.policy = o.OnConflict
	r.cols.Append(b)
	st.waiting.Store(int64(r.cols.Len()))
	return nil
}

// flushRelaxed hands the waiting bars to the operating system. h is the lock of
// the series; after an error it may be lost.
func (s *Store) flushRelaxed(ctx context.Context, st *state, h *hold) error {
	// The bars that wait are those of others.
	ctx = context.WithValue(context.WithValue(ctx, noteKey{}, Note{}), steadyKey{}, nil)
	r := &st.relaxed
	if r.cols.Len() == 0 {
		return nil
	}
	// A commit that takes the lock along still reads the bars: they are its own.
	cols := r.cols
	_, wait, err := s.writeLocked(ctx, st, h, &cols, 0, r.policy, false)
	if h.lost {
		return err
	}
	if err != nil {
		return err
	}
	r.cols.Reset()
	st.waiting.Store(0)
	if wait != nil {
		return wait()
	}
	return nil
}

// settle makes the waiting bars of a series readable.
func (s *Store) settle(ctx context.Context, st *state) error {
	if st.waiting.Load() == 0 {
		return nil
	}
	h, err := s.hold(ctx, st.mu)
	if err != nil {
		return err
	}
	defer h.release()
	return s.flushRelaxed(ctx, st, h)
}

func (s *Store) all() []*state {
	s.mu.RLock()
	defer s.mu.RUnlock()
	sts := make([]*state, 0, len(s.states))
	for _, st := range s.states {
		sts = append(sts, st)
	}
	return sts
}

func (s *Store) flushAll(ctx context.Context) error {
	if s.opts.ReadOnly {
		return nil
	}
	var errs []error // one series must not keep the bars of the others waiting
	for _, st := range s.all() {
		errs = append(errs, s.settle(ctx, st))
	}
	return errors.Join(errs...)
}

// settleForRead is settle for one who only reads: what keeps the bars waiting,
// such as a full disk, does not keep the rest from being read.
func (s *Store) settleForRead(ctx context.Context, st *state) error {
	if st.waiting.Load() == 0 {
		return nil
	}
	h, err := s.holdForRead(ctx, st)
	if h != nil {
		h.release()
	}
	return err
}

// holdForRead takes the lock of a series for a reader and writes out waiting
// bars. It returns nil where a writer has the lock and does not come to an end:
// the reader then asks the engine, which knows all but what still waits. Damage
// where waiting bars belong does not keep the rest of the series from being
// read, nor does a full disk: they go on waiting.
func (s *Store) holdForRead(ctx context.Context, st *state) (*hold, error) {
	h := s.tryHold(ctx, st)
	if h == nil {
		return nil, ctx.Err()
	}
	err := s.flushRelaxed(ctx, st, h)
	_, unavailable := errors.AsType[*UnavailableError](err)
	switch {
	case err == nil:
		return h, nil
	case unavailable && h.lost:
		return nil, nil
	case unavailable:
		return h, nil
	case errors.Is(err, series.ErrCorrupt):
		s.opts.Logger.Error("bars wait to be written", "series", st.key.String(), "err", err)
		return h, nil
	}
	h.release()
	return nil, err
}

// tryHold waits for the lock of a series only as long as a reader should: until
// a commit proves slow, or, where bars wait that nobody else knows of, until
// there is no hope left.
func (s *Store) tryHold(ctx context.Context, st *state) *hold {
	if st.mu.TryLock() {
		return &hold{lock: st.mu}
	}
	begun := time.Now()
	tick := time.NewTicker(patience)
	defer tick.Stop()
	for {
		select {
		case st.mu <- struct{}{}:
			return &hold{lock: st.mu}
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if st.waiting.Load() == 0 || s.hopeless(time.Since(begun)) != nil {
				return nil
			}
		}
	}
}

// ledgerNow is the ledger of a series as it is committed, also while a writer
// has the lock.
func (s *Store) ledgerNow(ctx context.Context, st *state) (*ledger, error) {
	h, err := s.holdForRead(ctx, st)
	if err != nil {
		return nil, err
	}
	if h == nil {
		return readLedger(s.eng, st)
	}
	defer h.release()
	return st.ledger, nil
}

// readLedger reads the ledger of a series; one that was never written is empty.
func readLedger(r reader, st *state) (*ledger, error) {
	l := &ledger{}
	_, err := r.Get(seriesKey(spaceLedger, st.id), func(b []byte) (err error) {
		l, err = decodeLedger(st.grid(), b)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", st.key, err)
	}
	return l, nil
}

// foldDelay lets late bars gather before they are folded into their blocks.
const foldDelay = time.Second

// foldRetry is how long folding waits after it met damage.
const foldRetry = time.Minute

// maintain writes out relaxed bars and folds late ones until the store closes.
func (s *Store) maintain() {
	defer s.work.Done()
	tick := time.NewTicker(s.opts.RelaxedDelay)
	defer tick.Stop()
	fold := time.NewTimer(time.Hour)
	fold.Stop()
	report := func(what string, err error) {
		if err != nil {
			s.opts.Logger.Error("maintenance failed and will be tried again", "what", what, "err", err)
		}
	}
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			report("write relaxed bars", s.flushAll(context.Background()))
		case <-s.wake:
			fold.Reset(foldDelay)
		case <-fold.C:
			if err := s.compact(context.Background()); err != nil {
				report("fold late bars", err)
				fold.Reset(foldRetry)
			}
		}
	}
}

// Sync makes durable what relaxed writes were answered, and HEAD with it.
func (s *Store) Sync(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.admit(); err != nil {
		return err
	}
	if err := s.flushAll(ctx); err != nil {
		return err
	}
	if err := s.settleNow(ctx); err != nil {
		return err
	}
	return s.head.sync()
}

// Compact folds late bars into their blocks now instead of in the background.
func (s *Store) Compact(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.flushAll(ctx); err != nil {
		return err
	}
	return s.compact(ctx)
}

func (s *Store) compact(ctx context.Context) error {
	var errs []error
	for _, st := range s.all() {
		for more := st.late.Load(); more; {
			select {
			case <-ctx.Done():
				return errors.Join(errs...)
			case <-s.stop:
				return errors.Join(errs...)
			default:
			}
			var err error
			more, err = s.foldSome(ctx, st)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// foldBatch is the number of blocks folded at a time, so that appends to the
// series never wait long.
const foldBatch = 64

// foldSome folds the rows of some blocks that are not the tail, and reports
// whether others are left.
func (s *Store) foldSome(ctx context.Context, st *state) (more bool, err error) {
	h, err := s.hold(ctx, st.mu)
	if err != nil {
		return false, err
	}
	defer h.release()
	c := s.begin(st, opFold)
	if c.ledger.bars == 0 {
		st.late.Store(false)
		return false, nil
	}
	todo, err := s.foldable(st)
	if err != nil || len(todo) == 0 {
		st.late.Store(false)
		return false, err
	}
	if len(todo) > foldBatch {
		todo, more = todo[:foldBatch], true
	}
	var olds []*summary
	var bad []error // blocks that cannot be read keep their rows
	for _, b := range todo {
		old, err := c.summary(b)
		if err != nil {
			return false, err
		}
		var cols block.Columns
		if err := s.loadBlock(s.eng, st, old, &cols); err != nil {
			bad = append(bad, err)
			continue
		}
		c.jobs = append(c.jobs, encodeJob{sum: newSummary(b, &cols), cols: cols})
		c.drops = append(c.drops, series.Range[int64]{From: b, To: b + 1})
		olds = append(olds, old)
	}
	if len(c.jobs) == 0 {
		return false, errors.Join(bad...)
	}
	if err := c.encode(); err != nil {
		return false, err
	}
	for i := range c.jobs {
		if err := c.put(olds[i], c.jobs[i].sum); err != nil {
			return false, err
		}
	}
	wait, err := c.commit(ctx, h, false) // nothing new: a crash loses the work, no bar
	if err != nil {
		return false, err
	}
	return more, errors.Join(append(bad, wait())...)
}

// foldable lists the blocks before the tail that have rows.
func (s *Store) foldable(st *state) ([]int64, error) {
	v := &view{s: s, st: st, r: s.eng, ledger: st.ledger}
	lo, hi := blocksOf(v.all())
	var r pageReader
	var todo []int64
	err := v.eachSummary(lo, hi, &r, func(r *pageReader) error {
		if r.rows > 0 && !r.damaged && r.block != st.ledger.tail.block {
			todo = append(todo, r.block)
		}
		return nil
	})
	return todo, err
}

// wakeFolding tells the maintenance that late bars wait.
func (s *Store) wakeFolding() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
