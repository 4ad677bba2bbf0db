package storage

import (
	"context"
	"encoding/binary"
	"errors"
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
	guard *guard
	head  *head
	id    storeID
	newID storeID // for a store that has none yet
	began string  // when the store was opened, as the name of a folder

	scrubs, scrubbed, scrubBad, repairs atomic.Int64
	rebuilt                             bool // the engine's files were made anew

	foundNow []Damage // since the store was opened; guarded by mu

	commitMu sync.Mutex // orders the commits, guards what follows
	stamp    stamp
	lastLoad *loadTxn // the last one of those under way; nil is none

	audits   lock // held while the audit log grows
	registry lock // orders what is added to the registry

	mu      sync.RWMutex // guards what follows
	states  map[series.Key]*state
	ids     map[seriesID]*state
	symbols map[string]Symbol
	sources []string // by SourceID; 0 is "unknown"
	byName  map[string]series.SourceID
	nextID  seriesID
	damages []Damage
	faults  []string // entries of the registry that could not be read

	// gate keeps calls out while the store is closed or opened for writing.
	gate    sync.RWMutex // guards what follows
	closed  bool
	under   atomic.Int64 // calls and commits under way, snapshots included
	fresh   sync.RWMutex // held while no new snapshot may come; before gate
	limited atomic.Bool  // open for reading only, until the disk has room

	ops  sync.WaitGroup // calls and commits under way; see enter
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

	mu      lock    // guards what follows and orders the writes
	ledger  *ledger // as committed; replaced, never changed
	encoded []byte  // ledger as stored; nil before the first write
	relaxed relaxed

	published atomic.Pointer[ledger] // ledger, for who needs no lock
	waiting   atomic.Int64           // bars in relaxed

	late       atomic.Bool // blocks other than the tail wait to be folded
	unreadable error       // why the ledger could not be read, until it is rebuilt

	// Whether there may be evidence of absence, and bars in quarantine.
	explained, aside atomic.Bool
}

func (st *state) grid() series.Grid { return *st.place.Load() }

// setLedger takes a ledger over as it was committed.
func (st *state) setLedger(l *ledger, encoded []byte) {
	st.ledger, st.encoded = l, encoded
	st.published.Store(l)
}

// sum is that of the stored ledger.
func (st *state) sum() uint64 {
	if st.encoded == nil {
		return 0
	}
	return sumOf(seriesKey(spaceLedger, st.id), st.encoded)
}

const (
	defaultCacheBytes   = 64 << 20
	defaultDecodedBytes = 64 << 20
	defaultRelaxedDelay = 50 * time.Millisecond
	defaultWriteTimeout = 30 * time.Second
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
	if o.Calendars == nil {
		o.Calendars = series.BuiltinCalendars()
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
	if o.Fatal == nil {
		o.Fatal = exit
	}
	if o.Scrub == 0 {
		o.Scrub = defaultScrub
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = defaultWriteTimeout
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
		cache:    newDecodedCache(o.DecodedBytes),
		began:    stampOf(o.Now()),
		registry: newLock(), audits: newLock(),
		stop: make(chan struct{}),
		wake: make(chan struct{}, 1),
	}
	if err := s.open(); err != nil {
		if s.eng != nil {
			_ = s.eng.Close() // the first error says more
		}
		if s.guard != nil {
			s.guard.abort()
			s.guard.stop()
		}
		lock.release()
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	if !s.opts.ReadOnly {
		s.startWork()
	}
	if s.limited.Load() {
		s.work.Add(1)
		go s.regain()
	}
	return s, nil
}

// startWork starts what goes on in the background of a store that is open for
// writing.
func (s *Store) startWork() {
	for _, st := range s.states {
		if st.late.Load() {
			s.wakeFolding()
		}
	}
	s.work.Add(3)
	go s.maintain()
	go s.keepHead()
	go s.scrub()
}

func (s *Store) open() error {
	fs := s.opts.FS
	tmp := fs.PathJoin(s.dir, "tmp")
	db := fs.PathJoin(s.dir, "db")
	s.startGuard()
	if !s.opts.ReadOnly && s.cramped(db) {
		// To open for writing means to write, and that would wait for space.
		s.limited.Store(true)
		s.opts.ReadOnly = true
		s.opts.Logger.Error("the disk is full: the store is open for reading only until there is room", "dir", s.dir)
	}
	return s.openFiles(db, tmp)
}

// openFiles opens the engine and what stands beside it.
func (s *Store) openFiles(db, tmp string) error {
	fs := s.opts.FS
	s.head, s.eng = &head{off: true}, nil
	if !s.opts.ReadOnly {
		if err := fs.RemoveAll(tmp); err != nil { // what a crash left of a load
			return err
		}
		if err := fs.MkdirAll(tmp, 0o700); err != nil {
			return err
		}
	}
	done, err := s.openEngine(db, tmp)
	if err != nil {
		return err
	}
	m, there, _, err := readHead(fs, s.dir)
	if err != nil {
		return fmt.Errorf("read %s: %w", headName, err)
	}
	if there {
		s.newID = m.id // of a store whose files are gone
	}
	if err := s.check(done); err != nil || s.opts.ReadOnly {
		return err
	}
	keep := ""
	if len(s.foundNow) > 0 {
		keep = s.keepDir()
	}
	if err := s.eng.Accept(keep); err != nil {
		return fmt.Errorf("put away what the engine no longer needs: %w", err)
	}
	s.head, err = openHead(s.guard.FS(), s.dir, m, s.stamp, s.id, s.opts.Fatal, func(t *trail) error {
		return s.beginTrail(s.eng, t, s.stamp)
	})
	return err
}

// check loads what the store knows of itself and compares it. A table that
// turns out to be damaged on the way is repaired, and all of it begins anew.
func (s *Store) check(done []string) error {
	var unreadable []keyRange
	if !s.opts.ReadOnly {
		paths, err := s.eng.Incomplete()
		if err != nil {
			return err
		}
		for _, p := range paths {
			lost, err := s.eng.RepairFile(p, s.keepDir())
			if err != nil {
				return err
			}
			unreadable = append(unreadable, lost...)
			done = append(done, fmt.Sprintf("the file %s was missing or cut off", s.opts.FS.PathBase(p)))
		}
	}
	for {
		err := s.load()
		if err == nil {
			err = s.audit(unreadable, done)
		}
		if !errors.Is(err, series.ErrCorrupt) || s.opts.ReadOnly {
			return err
		}
		lost, mended, merr := s.mendTables()
		if merr != nil || mended == 0 {
			return errors.Join(err, merr)
		}
		unreadable = append(unreadable, lost...)
		done = append(done, fmt.Sprintf("%d damaged files were replaced", mended))
	}
}

// load reads format, registry and ledgers.
func (s *Store) load() error {
	s.mu.Lock()
	s.states, s.ids = make(map[series.Key]*state), make(map[seriesID]*state)
	s.symbols, s.damages, s.faults, s.nextID = make(map[string]Symbol), nil, nil, 1 // series 0 is the stamp
	s.sources, s.byName = []string{unknownSource}, map[string]series.SourceID{unknownSource: 0}
	s.mu.Unlock()
	if err := s.checkFormat(); err != nil {
		return err
	}
	id, err := s.readID()
	if err != nil {
		return err
	}
	s.id = id
	if err := s.loadRegistry(); err != nil {
		return err
	}
	s.warnOfCalendars()
	return s.loadSequence()
}

// beginTrail writes what a trail begins with: the registry, and each series as
// r shows it.
func (s *Store) beginTrail(r reader, t *trail, p stamp) error {
	for _, space := range [...]byte{spaceRegistry, spaceConfig} {
		if err := eachPair(r, []byte{space}, []byte{space + 1}, func(k, v []byte) error {
			if isStamp(k) || isRecord(k) {
				return nil
			}
			t.add((&trailRecord{kind: trailPair, key: k, value: v}).encode(p))
			return nil
		}); err != nil {
			return err
		}
	}
	for _, st := range s.all() {
		if err := func() error {
			_, err := r.Get(seriesKey(spaceLedger, st.id), func(v []byte) error {
				l, err := decodeLedger(st.grid(), v)
				if err != nil {
					return err
				}
				x := trailRecord{kind: trailState, series: st.id, change: l.changes, bars: l.bars, ledger: sumOf(seriesKey(spaceLedger, st.id), v)}
				if l.bars > 0 {
					x.runs = []series.Run{{From: l.first, To: l.last + 1}}
				}
				t.add(x.encode(p))
				return nil
			})
			return err
		}(); err != nil {
			return fmt.Errorf("%s: %w", st.key, err)
		}
	}
	t.begun = int64(len(t.buf))
	return nil
}

// rotateTrail begins a new trail when the present one has grown long.
func (s *Store) rotateTrail() error {
	if !s.head.long() {
		return nil
	}
	s.commitMu.Lock()
	snap, p := s.eng.Snapshot(), s.stamp
	s.commitMu.Unlock()
	defer snap.Close() // it was only read
	// The trail vouches for what it names, so that must be on the disk.
	if err := s.eng.Sync(); err != nil {
		return err
	}
	if err := s.head.advance(p.seq); err != nil {
		return err
	}
	return s.head.rotate(func(t *trail) error { return s.beginTrail(snap, t, p) })
}

// keepHead makes HEAD durable from time to time, and what it could not vouch
// for yet.
func (s *Store) keepHead() {
	defer s.work.Done()
	tick := time.NewTicker(headDelay)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		if _, n := s.guard.waiting(); n > 0 {
			continue
		}
		err := s.head.catchUp(s.eng.Sync)
		if err == nil {
			err = s.head.sync()
		}
		if err == nil {
			err = s.rotateTrail()
		}
		if err != nil {
			s.opts.Logger.Error("HEAD could not be kept", "err", err)
		}
	}
}

// enter begins a call on the store, unless it is closed; the call ends with
// leave.
func (s *Store) enter() error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.closed {
		return ErrClosed
	}
	s.join()
	return nil
}

// join counts something that the store must not be closed under.
func (s *Store) join() {
	s.ops.Add(1)
	s.under.Add(1)
}

func (s *Store) leave() {
	s.under.Add(-1)
	s.ops.Done()
}

// Close waits for the calls under way, loops over bars included, writes out
// what relaxed writes left and closes the files. Every later call returns
// [ErrClosed]. Snapshots must have been closed.
func (s *Store) Close() error {
	s.gate.Lock()
	if s.closed {
		s.gate.Unlock()
		return ErrClosed
	}
	s.closed = true
	s.gate.Unlock()
	close(s.stop)
	if err := s.drain(); err != nil {
		return err
	}
	err := s.flushAll(context.Background())
	if derr := s.drain(); derr != nil {
		return derr
	}
	clean := err == nil
	if clean && !s.opts.ReadOnly && !s.head.settled() {
		err = s.eng.Sync()
	}
	s.guard.abort() // nothing may wait any more
	if cerr := s.eng.Close(); err == nil {
		err = cerr
	}
	if cerr := s.head.close(s.stamp, clean && err == nil); err == nil {
		err = cerr
	}
	s.guard.stop()
	s.lock.release()
	return err
}

// drain waits for what is under way. A commit that waits for space on a full
// disk may never end: the files are then left as a crash leaves them, because
// to fail the commit would end the process.
func (s *Store) drain() error {
	done := make(chan struct{})
	go func() {
		s.ops.Wait()
		s.work.Wait()
		s.ops.Wait() // commits that the work in the background gave up on
		close(done)
	}()
	tick := time.NewTicker(patience)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-tick.C:
			if since, n := s.guard.waiting(); n > 0 && since > 2*diskGrace {
				return fmt.Errorf("close store %s: %w; nothing that was acknowledged is lost", s.dir, s.diskFull())
			}
		}
	}
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
	for _, d := range s.damages {
		s.seq.Store(max(s.seq.Load(), d.ID))
	}
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
			l, st.unreadable = &ledger{}, err // audit has it made anew
		}
		st.setLedger(l, append([]byte(nil), v...))
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
