package storage

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
)

// Store is an open store. Its methods may be called from many goroutines at
// once; writes to one series follow each other, writes to several run side by
// side and share the wait for the disk.
type Store struct {
	dir   string
	opts  Options
	eng   engine
	lock  *dirLock
	seq   atomic.Uint64 // of the last change
	cache *decodedCache

	mu      sync.RWMutex // guards what follows
	states  map[series.Key]*state
	ids     map[seriesID]*state
	symbols map[string]Symbol
	sources []string // by SourceID; 0 is "unknown"
	byName  map[string]series.SourceID
	closed  bool

	ops  sync.WaitGroup // calls under way; see enter
	stop chan struct{}  // closed by Close
	wake chan struct{}  // there is something to fold
	work sync.WaitGroup
}

// state is one series.
type state struct {
	id  seriesID
	key series.Key
	// place is the grid. It moves at most once, before the first write.
	place atomic.Pointer[series.Grid]

	mu      sync.Mutex // guards what follows and orders the writes
	ledger  *ledger    // as committed; replaced, never changed
	encoded []byte     // ledger as stored; nil before the first write
	relaxed relaxed

	late atomic.Bool // blocks other than the tail wait to be folded
	// Whether there may be evidence of absence, and bars in quarantine.
	explained, aside atomic.Bool
}

func (st *state) grid() series.Grid { return *st.place.Load() }

const (
	defaultCacheBytes   = 64 << 20
	defaultDecodedBytes = 64 << 20
	defaultRelaxedDelay = 50 * time.Millisecond
	unknownSource       = "unknown"
)

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCacheBytes
	}
	if o.DecodedBytes == 0 {
		o.DecodedBytes = defaultDecodedBytes
	}
	if o.RelaxedDelay <= 0 {
		o.RelaxedDelay = defaultRelaxedDelay
	}
	if o.Owner == "" {
		o.Owner = filepath.Base(os.Args[0])
	}
	if o.Now == nil {
		o.Now = func() series.Time { return series.TimeOf(time.Now()) }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Open opens the store in dir and creates it if there is none. It returns a
// [*LockedError] if another process has it open and a [*FormatError] if a
// newer program wrote it.
func Open(dir string, o Options) (*Store, error) {
	o = o.withDefaults()
	lock, err := lockDir(dir, o)
	if err != nil {
		return nil, err
	}
	s := &Store{
		dir: dir, opts: o, lock: lock,
		cache:   newDecodedCache(o.DecodedBytes),
		states:  make(map[series.Key]*state),
		ids:     make(map[seriesID]*state),
		symbols: make(map[string]Symbol),
		sources: []string{unknownSource},
		byName:  map[string]series.SourceID{unknownSource: 0},
		stop:    make(chan struct{}),
		wake:    make(chan struct{}, 1),
	}
	if err := s.open(); err != nil {
		if s.eng != nil {
			_ = s.eng.Close() // the first error says more
		}
		lock.release()
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	if !o.ReadOnly {
		for _, st := range s.states {
			if st.late.Load() {
				s.wakeFolding()
			}
		}
		s.work.Add(1)
		go s.maintain()
	}
	return s, nil
}

func (s *Store) open() error {
	fs := s.opts.FS
	tmp := fs.PathJoin(s.dir, "tmp")
	if !s.opts.ReadOnly {
		if err := fs.RemoveAll(tmp); err != nil { // what a crash left of a load
			return err
		}
		if err := fs.MkdirAll(tmp, 0o700); err != nil {
			return err
		}
	}
	db := fs.PathJoin(s.dir, "db")
	if !s.opts.ReadOnly {
		if err := makeDir(fs, db); err != nil {
			return err
		}
	}
	eng, err := openPebble(db, tmp, s.opts)
	if err != nil {
		return err
	}
	s.eng = eng
	if err := s.checkFormat(); err != nil {
		return err
	}
	if err := s.loadRegistry(); err != nil {
		return err
	}
	return s.loadSequence()
}

// enter begins a call on the store, unless it is closed; the call ends with
// s.ops.Done.
func (s *Store) enter() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return ErrClosed
	}
	s.ops.Add(1)
	return nil
}

// Close waits for the calls under way, loops over bars included, writes out
// what relaxed writes left and closes the files. Every later call returns
// [ErrClosed]. Snapshots must have been closed.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.closed = true
	s.mu.Unlock()
	close(s.stop)
	s.ops.Wait()
	s.work.Wait()
	err := s.flushAll()
	if cerr := s.eng.Close(); err == nil {
		err = cerr
	}
	s.lock.release()
	return err
}

// loadSequence finds the sequence of the last change.
func (s *Store) loadSequence() error {
	// Sequences are dense enough for a search by doubling: the first empty
	// stretch behind the last key ends it.
	c, err := s.eng.Cursor([]byte{spaceJournal}, []byte{spaceJournal + 1})
	if err != nil {
		return err
	}
	defer c.Close()
	lo, step := uint64(0), uint64(1)<<40
	for step > 0 {
		if c.SeekGE(journalKey(lo + step)) {
			lo += step
		} else {
			step >>= 1
		}
	}
	if err := c.Err(); err != nil {
		return err
	}
	s.seq.Store(lo)
	return s.passAside()
}

// passAside moves the sequence behind those of the quarantine, which takes
// numbers of its own.
func (s *Store) passAside() error {
	c, err := s.eng.Cursor([]byte{spaceAside}, []byte{spaceAside + 1})
	if err != nil {
		return err
	}
	defer c.Close()
	for ok := c.First(); ok; ok = c.Next() {
		if k := c.Key(); len(k) >= 8 {
			if n := binary.BigEndian.Uint64(k[len(k)-8:]); n > s.seq.Load() {
				s.seq.Store(n)
			}
		}
	}
	return c.Err()
}

func (s *Store) loadLedger(st *state) error {
	key := seriesKey(spaceLedger, st.id)
	_, err := s.eng.Get(key, func(v []byte) error {
		l, err := decodeLedger(st.grid(), v)
		if err != nil {
			return fmt.Errorf("%s: %w", st.key, err)
		}
		st.ledger, st.encoded = l, append([]byte(nil), v...)
		return nil
	})
	tail := int64(0)
	if st.ledger.tail != nil && st.ledger.tail.rows > 0 {
		tail = 1
	}
	st.late.Store(st.ledger.pending > tail)
	return err
}

// lookup returns the state of a series, or nil.
func (s *Store) lookup(k series.Key) *state {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.states[k]
}

// known returns the state of a series or an error that wraps
// [series.ErrNoSeries].
func (s *Store) known(k series.Key) (*state, error) {
	if st := s.lookup(k); st != nil {
		return st, nil
	}
	return nil, fmt.Errorf("%s: %w", k, series.ErrNoSeries)
}

// commit applies b and waits until it is durable.
func (s *Store) commit(b batch) error {
	wait, err := s.eng.Commit(b, true)
	if err != nil {
		return err
	}
	return wait()
}

// Checkpoint writes a consistent copy of the store into dir, which must not
// exist, while reads and writes go on.
func (s *Store) Checkpoint(ctx context.Context, dir string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.ops.Done()
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.flushAll(); err != nil {
		return err
	}
	if err := s.opts.FS.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return s.eng.Checkpoint(s.opts.FS.PathJoin(dir, "db"))
}
