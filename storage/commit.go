package storage

import (
	"context"
	"sync/atomic"
	"time"
)

// lock is a mutex that can be waited for with a deadline. Whoever finishes the
// work that it guards unlocks it, which need not be who locked it.
type lock chan struct{}

func newLock() lock { return make(lock, 1) }

func (l lock) Lock()   { l <- struct{}{} }
func (l lock) Unlock() { <-l }

func (l lock) TryLock() bool {
	select {
	case l <- struct{}{}:
		return true
	default:
		return false
	}
}

// hold is a lock that somebody has. A commit that does not come to an end in
// time takes it along: it is then unlocked when the commit ends, and its
// former holder must not touch what it guards.
type hold struct {
	lock lock
	lost bool
}

func (h *hold) release() {
	if !h.lost {
		h.lost = true
		h.lock.Unlock()
	}
}

// patience is how often a wait looks whether it still has a point.
const patience = 50 * time.Millisecond

// hold waits for l, but not for ever: see hopeless.
func (s *Store) hold(ctx context.Context, l lock) (*hold, error) {
	if l.TryLock() {
		return &hold{lock: l}, nil
	}
	begun := time.Now()
	tick := time.NewTicker(patience)
	defer tick.Stop()
	for {
		select {
		case l <- struct{}{}:
			return &hold{lock: l}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
			if err := s.hopeless(time.Since(begun)); err != nil {
				err.Unknown = false // nothing was begun
				return nil, err
			}
		}
	}
}

// txn is what one commit writes. The stamp is added to it on its way.
type txn struct {
	batch   batch
	load    *loadTxn // instead of batch
	durable bool     // wait until it is on the disk; loads always are
	// prepare, where set, fills in load. It may have to wait for the disk.
	prepare func() error
	root    uint64 // what it adds to the root of the store
	entries uint64 // of the journal
	journal uint64 // their sum
	trail   trailRecord
	// publish makes the new state known to the process. It is called once it
	// can be read, while the lock of the series is held.
	publish func()
}

// loadTxn is a commit that brings sorted tables. ledger is written last,
// beside the stamp.
//
// The stamp depends on the commits before it, and the table that holds it costs
// a wait for the disk. So it is foretold and written beforehand; where another
// commit came between, it is written again.
type loadTxn struct {
	loader
	ledger pair
	told   stamp         // as it is expected to be
	before chan struct{} // closed when the load before has ended; nil is none
	over   chan struct{}
}

// end writes the last table, with stamp p.
func (l *loadTxn) end(p stamp) error {
	if err := l.Set(loadStampKey, p.encode()); err != nil {
		return err
	}
	if err := l.Set(l.ledger.key, l.ledger.value); err != nil {
		return err
	}
	return l.Finish()
}

// foretell gives a load the stamp that it will have if nothing comes between.
// The returned function says that the load is over.
func (s *Store) foretell(t *txn) (over func()) {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	from := s.stamp
	if s.lastLoad != nil {
		from = s.lastLoad.told
		t.load.before = s.lastLoad.over
	}
	t.load.told = s.after(from, t)
	t.load.over = make(chan struct{})
	s.lastLoad = t.load
	return func() {
		s.commitMu.Lock()
		defer s.commitMu.Unlock()
		if s.lastLoad == t.load {
			s.lastLoad = nil
		}
		close(t.load.over)
	}
}

// after is the stamp of t if p is the one before.
func (s *Store) after(p stamp, t *txn) stamp {
	p.seq++
	p.root += t.root
	p.entries += t.entries
	p.journal += t.journal
	p.at = s.opts.Now()
	return p
}

// states of a commit under way.
const (
	underWay  = iota
	applied   // it can be read, or has failed; who waits goes on
	abandoned // who waited has given up; the commit unlocks for them
)

// submit commits t. h is the lock under which t was made; it stays held unless
// submit gives up waiting. The returned function waits until t is durable.
//
// The engine cannot be interrupted, so a commit runs on a goroutine of its own
// and the caller waits only as long as there is hope.
func (s *Store) submit(ctx context.Context, h *hold, t *txn) (wait func() error, err error) {
	if err := s.admit(); err != nil {
		return nil, err
	}
	var state atomic.Int32
	done := make(chan error, 1)
	synced := make(chan error, 1)
	s.join()
	go func() {
		defer s.leave()
		var seq uint64
		var sync func() error
		var err error
		if t.prepare != nil {
			err = t.prepare()
		}
		if err == nil && t.load != nil {
			defer s.foretell(t)()
			err = t.load.end(t.load.told)
		}
		if err == nil {
			seq, sync, err = s.apply(t)
		}
		if err == nil && t.publish != nil {
			t.publish()
		}
		if err != nil && t.load != nil {
			t.load.Abort()
		}
		if state.CompareAndSwap(underWay, applied) {
			done <- err
		} else {
			h.lock.Unlock()
		}
		if err == nil && t.durable {
			if err = sync(); err == nil {
				err = s.head.advance(seq)
			}
			synced <- err
		} else if err == nil {
			_ = sync() // only gives memory back
		}
	}()
	begun := time.Now()
	if err := s.await(ctx, begun, done, func() bool {
		if state.CompareAndSwap(underWay, abandoned) {
			h.lost = true
			return true
		}
		return false
	}); err != nil {
		return nil, err
	}
	if !t.durable {
		return func() error { return nil }, nil
	}
	return func() error {
		return s.await(ctx, begun, synced, func() bool { return true })
	}, nil
}

// await waits for an answer while there is hope for one. giveUp reports
// whether the wait may end without it.
func (s *Store) await(ctx context.Context, begun time.Time, answer <-chan error, giveUp func() bool) error {
	select { // most are quick
	case err := <-answer:
		return err
	default:
	}
	tick := time.NewTicker(patience)
	defer tick.Stop()
	over := ctx.Done()
	for {
		select {
		case err := <-answer:
			return err
		case <-over:
			// What a caller no longer waits for may happen all the same.
			if giveUp() {
				return &UnavailableError{Reason: Stalled, Unknown: true, Detail: ctx.Err().Error(), err: ctx.Err()}
			}
			over = nil
		case <-tick.C:
			if err := s.hopeless(time.Since(begun)); err != nil && giveUp() {
				return err
			}
		}
	}
}

// settleNow makes durable all that was committed without waiting.
func (s *Store) settleNow(ctx context.Context) error {
	done := make(chan error, 1)
	s.join()
	go func() {
		defer s.leave()
		done <- s.head.catchUp(s.eng.Sync)
	}()
	return s.await(ctx, time.Now(), done, func() bool { return true })
}

// apply gives t its place among the commits. What it wrote is visible when it
// returns and durable when sync returns.
func (s *Store) apply(t *txn) (seq uint64, sync func() error, err error) {
	if t.load != nil && t.load.before != nil {
		<-t.load.before
	}
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	next := s.after(s.stamp, t)
	if t.load != nil {
		told := t.load.told
		if told.at = next.at; told == next {
			next = t.load.told
		}
		sync, err = s.applyLoad(t, next)
	} else if err = t.batch.Set(stampKey, next.encode()); err == nil {
		sync, err = s.eng.Commit(t.batch, t.durable)
	}
	if err != nil {
		return 0, nil, err
	}
	s.stamp = next
	s.head.note(next, &t.trail, t.load != nil)
	return next.seq, sync, nil
}

func (s *Store) applyLoad(t *txn, next stamp) (func() error, error) {
	// A load is durable at once. What was committed before it must not be
	// less so, or a power cut would leave a stamp without what it counts.
	if !s.head.settled() {
		if err := s.eng.Sync(); err != nil {
			return nil, err
		}
		s.head.synced(s.stamp.seq)
	}
	if next != t.load.told {
		if err := t.load.Redo(); err != nil {
			return nil, err
		}
		if err := t.load.end(next); err != nil {
			return nil, err
		}
	}
	if err := t.load.Commit(); err != nil {
		return nil, err
	}
	return func() error { return nil }, nil
}
