package storage

import (
	"context"
	"errors"
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
	defer s.ops.Done()
	src, err := s.Source(o.Source)
	if err != nil {
		return err
	}
	st, err := s.create(key, 0)
	if err != nil {
		return err
	}
	switch {
	case s.opts.ReadOnly:
		return errReadOnly
	case b.Prov.Kind() == series.Synthetic:
		return errors.New(refuseSynthetic)
	case b.Time < series.MinTime || b.Time > series.MaxTime:
		return errors.New(refuseTime)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
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
		if err := s.flushRelaxed(st); err != nil {
			return err
		}
	}
	r.policy = o.OnConflict
	r.cols.Append(b)
	return nil
}

// flushRelaxed hands the waiting bars to the operating system. st.mu must be
// held.
func (s *Store) flushRelaxed(st *state) error {
	r := &st.relaxed
	if r.cols.Len() == 0 {
		return nil
	}
	_, wait, err := s.writeLocked(st, &r.cols, 0, r.policy, false)
	if err != nil {
		return err
	}
	r.cols.Reset()
	if wait != nil {
		return wait()
	}
	return nil
}

// settle makes the waiting bars of a series readable.
func (s *Store) settle(st *state) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return s.flushRelaxed(st)
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

func (s *Store) flushAll() error {
	if s.opts.ReadOnly {
		return nil
	}
	var errs []error // one series must not keep the bars of the others waiting
	for _, st := range s.all() {
		errs = append(errs, s.settle(st))
	}
	return errors.Join(errs...)
}

// flushForRead writes out waiting bars before a read. Damage where they belong
// does not keep the rest of the series from being read: they go on waiting.
// st.mu must be held.
func (s *Store) flushForRead(st *state) error {
	err := s.flushRelaxed(st)
	if errors.Is(err, series.ErrCorrupt) {
		s.opts.Logger.Error("bars wait to be written", "series", st.key.String(), "err", err)
		return nil
	}
	return err
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
			report("write relaxed bars", s.flushAll())
		case <-s.wake:
			fold.Reset(foldDelay)
		case <-fold.C:
			if err := s.compact(s.stop); err != nil {
				report("fold late bars", err)
				fold.Reset(foldRetry)
			}
		}
	}
}

// Compact folds late bars into their blocks now instead of in the background.
func (s *Store) Compact(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.ops.Done()
	if err := s.flushAll(); err != nil {
		return err
	}
	return s.compact(ctx.Done())
}

func (s *Store) compact(stop <-chan struct{}) error {
	var errs []error
	for _, st := range s.all() {
		for more := st.late.Load(); more; {
			select {
			case <-stop:
				return errors.Join(errs...)
			default:
			}
			var err error
			more, err = s.foldSome(st)
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
func (s *Store) foldSome(st *state) (more bool, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
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
	wait, err := c.commit(false) // nothing new: a crash loses the work, no bar
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
