package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
)

// pebbleFormat is the on-disk format of Pebble, named because its default
// drops acknowledged rows without an error when a bit of the log flips: only
// from this format on does the log carry what is needed to notice most of it.
const pebbleFormat = pebble.FormatValueSeparation

// fatalExit is the exit code after an error that the engine cannot survive,
// such as a failed fsync: retrying one is unsafe on Linux.
const fatalExit = 70

type pebbleEngine struct {
	db      *pebble.DB
	cache   *pebble.Cache
	files   *pebble.FileCache
	fs      vfs.FS
	dir     string // folder of the database
	tmp     string // folder for files being loaded
	loads   atomic.Int64
	corrupt atomic.Int64
	reports chan string    // files found damaged
	closing sync.WaitGroup // snapshots
	slowAt  atomic.Int64   // when the disk was last found slow, Unix ns
	slowFor atomic.Int64   // how long it took then, ns
	crowded func() bool
	phase   atomic.Int32 // of the opening
	tries   atomic.Int32 // of the opening that met damage
	stuck   chan error   // gets what an opening cannot get past

	metering sync.Mutex // one look at the metrics at a time
	metrics  atomic.Pointer[EngineStats]

	fatal   func(error)
	logger  *slog.Logger
	bgErrs  atomic.Int64
	cleaner holdCleaner

	mu sync.Mutex // orders the check of expectations and the commit

	// swap is held while damaged tables are swapped for mended ones.
	swap      sync.RWMutex
	openMu    sync.Mutex
	snapshots map[*pebbleSnapshot]struct{} // those that are open
}

// openPebble opens the database in dir; tmp is a folder on the same disk for
// files under construction.
//
// loose opens it although tables are missing or have a wrong size: they count
// as damaged.
func openPebble(fs vfs.FS, dir, tmp string, loose bool, o Options) (*pebbleEngine, error) {
	p := &pebbleEngine{fs: fs, dir: dir, tmp: tmp, reports: make(chan string, 64), fatal: o.Fatal, logger: o.Logger, crowded: o.crowded, snapshots: make(map[*pebbleSnapshot]struct{})}
	po := &pebble.Options{
		FS:                          fs,
		ReadOnly:                    o.ReadOnly,
		FormatMajorVersion:          pebbleFormat,
		Cleaner:                     p.cleaner.cleaner(),
		MemTableSize:                16 << 20,
		MemTableStopWritesThreshold: 4,
		MaxOpenFiles:                512,
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       24,
		MaxManifestFileSize:         4 << 20,
		NumPrevManifest:             4,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		Logger:                      pebbleLogger{o.Logger, o.Fatal},
		EventListener: &pebble.EventListener{
			// Without a handler Pebble ends the process. Handlers run on read
			// paths: they must not block.
			DataCorruption: func(i pebble.DataCorruptionInfo) {
				p.corrupt.Add(1)
				p.damage(i.Path)
				o.Logger.Error("data file is damaged", "path", i.Path, "details", fmt.Sprint(i.Details))
			},
			BackgroundError: func(err error) {
				p.bgErrs.Add(1)
				p.stuckAt(err)
				o.Logger.Error("engine reports a background error", "err", err)
			},
			DiskSlow: func(i pebble.DiskSlowInfo) { p.slow(i) },
			WriteStallBegin: func(i pebble.WriteStallBeginInfo) {
				o.Logger.Warn("writes are stalled", "reason", i.Reason)
			},
			WriteStallEnd: func() { o.Logger.Info("writes go on") },
		},
	}
	if o.CacheBytes > 0 {
		p.cache = pebble.NewCache(o.CacheBytes)
	} else {
		p.cache = pebble.NewCache(1)
	}
	po.Cache = p.cache
	po.Experimental.ValidateOnIngest = false // every block carries its own checksum
	for i := range po.Levels {
		// Blocks are entropy-coded already, and summaries are small.
		po.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
		po.Levels[i].BlockSize = 16 << 10
		po.Levels[i].IndexBlockSize = 64 << 10
	}
	po.DisableConsistencyCheck = loose
	po.WithFSDefaults()
	// Caches of our own outlive an Open that fails: Pebble leaves goroutines behind
	// that still look into them, and dies over those that it has taken down
	// (v2.1.7, fileCacheKey.Shard divides by zero).
	p.files = pebble.NewFileCache(max(1, runtime.GOMAXPROCS(0)), pebble.FileCacheSize(po.MaxOpenFiles))
	po.FileCache = p.files
	if !o.ReadOnly {
		// What an opening takes for garbage is kept until it proves right.
		if err := p.cleaner.hold(fs, fs.PathJoin(fs.PathDir(dir), heldDir)); err != nil {
			return nil, err
		}
	}
	p.stuck = make(chan error, 1)
	opened := make(chan error, 1)
	go func() {
		db, err := pebble.Open(dir, po)
		p.db = db
		opened <- err
	}()
	select {
	case err := <-opened:
		if !p.phase.CompareAndSwap(phaseOpening, phaseOpen) {
			return nil, <-p.stuck
		}
		if err != nil {
			return nil, err
		}
	case err := <-p.stuck:
		return nil, err
	}
	return p, nil
}

// heldDir is the folder for what an opening found obsolete, beside that of the
// database.
const heldDir = "held"

// Accept ends the doubt about an opening: what it found obsolete is removed, or
// kept in folder keep where that is not empty.
func (p *pebbleEngine) Accept(keep string) error {
	if keep == "" {
		return p.cleaner.release()
	}
	_, err := p.cleaner.keepHeld(freeName(p.fs, keep, heldDir))
	return err
}

// stuckAt stops an opening that meets damage where Pebble would try again for
// ever: tables that its log brings in have to find their level, and for that the
// tables that are there are read. The opening cannot be interrupted, so it is
// left standing where it is; nothing of it goes on.
func (p *pebbleEngine) stuckAt(err error) {
	if p.phase.Load() == phaseOpen {
		return
	}
	if err = damaged(err); !errors.Is(err, series.ErrCorrupt) || p.tries.Add(1) < stuckTries {
		return // a compaction gives up by itself
	}
	if p.phase.CompareAndSwap(phaseOpening, phaseStuck) {
		p.stuck <- err
	}
	if p.phase.Load() == phaseStuck {
		select {}
	}
}

// The phases of an opening.
const (
	phaseOpening = iota
	phaseOpen
	phaseStuck
	// stuckTries is how often an opening may meet damage. A flush that fails is
	// repeated at once, everything else a few times at most.
	stuckTries = 32
)

// damage notes a file that was found damaged. It runs on read paths, so it does
// not wait: whoever reads next reports the file again.
func (p *pebbleEngine) damage(path string) {
	select {
	case p.reports <- path:
	default:
	}
}

func (p *pebbleEngine) Damaged() <-chan string { return p.reports }

func (p *pebbleEngine) Incomplete() ([]string, error) { return p.checkTables() }

func (p *pebbleEngine) RepairFile(path, keep string) ([]keyRange, error) {
	return p.repairTable(path, keep)
}

func (p *pebbleEngine) Get(key []byte, use func([]byte) error) (bool, error) {
	return pebbleGet(p.db, key, use)
}

func (p *pebbleEngine) Cursor(lo, hi []byte) (cursor, error) { return pebbleIter(p.db, lo, hi) }

func (p *pebbleEngine) Snapshot() snapshot {
	p.swap.RLock()
	defer p.swap.RUnlock()
	s := &pebbleSnapshot{Snapshot: p.db.NewSnapshot(), p: p}
	p.openMu.Lock()
	defer p.openMu.Unlock()
	p.snapshots[s] = struct{}{}
	return s
}

// slow notes that the disk took long to answer. Who waits for space looks slow
// too, again and again.
func (p *pebbleEngine) slow(i pebble.DiskSlowInfo) {
	if p.crowded != nil && p.crowded() {
		return
	}
	p.slowAt.Store(time.Now().UnixNano())
	p.slowFor.Store(int64(i.Duration))
	p.logger.Warn("the disk is slow", "path", i.Path, "operation", i.OpType.String(), "took", i.Duration)
}

// slowMemory is how long the disk counts as slow behind the last time it was:
// Pebble says so again every 2 s while an operation lasts.
const slowMemory = 5 * time.Second

func (p *pebbleEngine) Slow() time.Duration {
	at := p.slowAt.Load()
	if at == 0 {
		return 0
	}
	since := time.Duration(time.Now().UnixNano() - at)
	if since > slowMemory {
		return 0
	}
	return time.Duration(p.slowFor.Load()) + since
}

func (p *pebbleEngine) Batch() batch { return &pebbleBatch{Batch: p.db.NewBatch()} }

func (p *pebbleEngine) Commit(b batch, durable bool) (func() error, error) {
	pb := b.(*pebbleBatch)
	p.mu.Lock()
	err := check(p, pb.expected)
	if err == nil {
		if durable {
			err = p.db.ApplyNoSyncWait(pb.Batch, pebble.Sync)
		} else {
			err = p.db.Apply(pb.Batch, pebble.NoSync)
		}
	}
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return func() error {
		var err error
		if durable {
			if err = pb.SyncWait(); err != nil {
				// Pebble ends the process over this only where it waits itself.
				p.fatal(fmt.Errorf("make a commit durable: %w", err))
			}
		}
		_ = pb.Close() // only returns memory to a pool
		return err
	}, nil
}

func check(r reader, expected []expectation) error {
	for _, e := range expected {
		same := false
		found, err := r.Get(e.key, func(v []byte) error { same = bytes.Equal(v, e.value); return nil })
		if err != nil {
			return err
		}
		if found != (e.value != nil) || found && !same {
			return errStale
		}
	}
	return nil
}

func (p *pebbleEngine) Sync() error {
	err := p.db.LogData(nil, pebble.Sync)
	if err != nil {
		p.fatal(fmt.Errorf("make the log durable: %w", err))
	}
	return err
}

func (p *pebbleEngine) Loader() (loader, error) { return &pebbleLoader{p: p}, nil }

func (p *pebbleEngine) Checkpoint(dir string) error {
	if err := p.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil || p.hasManifest(dir) {
		return err
	}
	// Pebble v2.1.7 copies nothing of the MANIFEST if it has added nothing to it
	// since it was opened. Removing a key that is not there makes it add something.
	if err := p.fs.RemoveAll(dir); err != nil {
		return err
	}
	if err := p.db.Delete([]byte{0xff}, pebble.Sync); err != nil {
		return err
	}
	if err := p.db.Flush(); err != nil {
		return err
	}
	return p.db.Checkpoint(dir, pebble.WithFlushedWAL())
}

// hasManifest reports whether there is a MANIFEST with something in it.
func (p *pebbleEngine) hasManifest(dir string) bool {
	names, err := p.fs.List(dir)
	if err != nil {
		return false
	}
	for _, n := range names {
		if i, err := p.fs.Stat(p.fs.PathJoin(dir, n)); err == nil && strings.HasPrefix(n, "MANIFEST-") && i.Size() > 0 {
			return true
		}
	}
	return false
}

// Stats returns the figures of the engine, those of before where it does not
// answer at once: it holds the lock that they need while its manifest waits for
// space.
func (p *pebbleEngine) Stats() EngineStats {
	done := make(chan struct{})
	if p.metering.TryLock() {
		p.closing.Go(func() {
			defer p.metering.Unlock()
			s := p.measure()
			p.metrics.Store(&s)
			close(done)
		})
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
	if s := p.metrics.Load(); s != nil {
		return *s
	}
	return EngineStats{}
}

func (p *pebbleEngine) measure() EngineStats {
	m := p.db.Metrics()
	return EngineStats{
		DiskBytes:        int64(m.DiskSpaceUsage()),
		CacheHits:        m.BlockCache.Hits,
		CacheMisses:      m.BlockCache.Misses,
		Memtables:        int64(m.MemTable.Size),
		Compactions:      m.Compact.Count,
		CompactionDebt:   int64(m.Compact.EstimatedDebt),
		WALBytes:         int64(m.WAL.Size),
		BackgroundErrors: p.bgErrs.Load(),
		CorruptFiles:     p.corrupt.Load(),
	}
}

func (p *pebbleEngine) Close() error {
	p.closing.Wait()
	err := p.db.Close()
	p.files.Unref()
	p.cache.Unref()
	return err
}

// pebbleSnapshot is a snapshot that outlives a repair. Mended tables are newer
// than the snapshots that were open, which would find nothing in their place:
// from then on these read the tables that were there before.
type pebbleSnapshot struct {
	*pebble.Snapshot
	p      *pebbleEngine
	pinned *pebble.Iterator // keeps the old tables; guarded by p.swap
}

// pin makes the open snapshots keep what they read. p.swap must be held.
func (p *pebbleEngine) pin() error {
	p.openMu.Lock()
	defer p.openMu.Unlock()
	for s := range p.snapshots {
		if s.pinned == nil {
			it, err := s.NewIter(nil)
			if err != nil {
				return err
			}
			s.pinned = it
		}
	}
	return nil
}

// Close leaves the closing to the background: it looks for something to
// compact, for which it waits while the manifest waits for space, and readers
// must not.
func (s *pebbleSnapshot) Close() error {
	s.p.openMu.Lock()
	delete(s.p.snapshots, s)
	s.p.openMu.Unlock()
	s.p.closing.Go(func() {
		s.p.swap.RLock()
		defer s.p.swap.RUnlock()
		if s.pinned != nil {
			_ = s.pinned.Close() // it was only read
		}
		_ = s.Snapshot.Close() // never fails
	})
	return nil
}

func (s *pebbleSnapshot) Get(key []byte, use func([]byte) error) (bool, error) {
	s.p.swap.RLock()
	if s.pinned == nil {
		v, closer, err := s.Snapshot.Get(key)
		s.p.swap.RUnlock() // before use, which may come back for more
		return useValue(v, closer, err, use)
	}
	s.p.swap.RUnlock()
	c, err := s.Cursor(key, successor(key))
	if err != nil {
		return false, err
	}
	defer c.Close()
	if !c.First() {
		return false, c.Err()
	}
	v, err := c.Value()
	if err != nil {
		return false, err
	}
	return true, use(v)
}

func (s *pebbleSnapshot) Cursor(lo, hi []byte) (cursor, error) {
	s.p.swap.RLock()
	defer s.p.swap.RUnlock()
	if s.pinned == nil {
		return pebbleIter(s.Snapshot, lo, hi)
	}
	it, err := s.pinned.Clone(pebble.CloneOptions{IterOptions: &pebble.IterOptions{LowerBound: lo, UpperBound: hi}})
	if err != nil {
		return nil, err
	}
	return pebbleCursor{it}, nil
}

func pebbleGet(r pebble.Reader, key []byte, use func([]byte) error) (bool, error) {
	v, closer, err := r.Get(key)
	return useValue(v, closer, err, use)
}

// useValue hands on what a Get of Pebble returned.
func useValue(v []byte, closer io.Closer, err error, use func([]byte) error) (bool, error) {
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, damaged(err)
	}
	err = use(v)
	if cerr := closer.Close(); err == nil {
		err = cerr
	}
	return true, err
}

func pebbleIter(r pebble.Reader, lo, hi []byte) (cursor, error) {
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return nil, err
	}
	return pebbleCursor{it}, nil
}

type pebbleCursor struct{ *pebble.Iterator }

func (c pebbleCursor) Value() ([]byte, error) {
	v, err := c.ValueAndErr()
	return v, damaged(err)
}

func (c pebbleCursor) Err() error { return damaged(c.Error()) }

// damaged makes errors of damaged files recognisable as [series.ErrCorrupt].
func damaged(err error) error {
	if err != nil && (pebble.IsCorruptionError(err) || refused(err)) {
		text, _, _ := strings.Cut(err.Error(), "\n")
		return fmt.Errorf("%w: %s", series.ErrCorrupt, text)
	}
	return err
}

// refused tells errors of opening that damage to small files leads to and that
// Pebble does not mark as such.
func refused(err error) bool {
	if errno, ok := errors.AsType[syscall.Errno](err); ok && errno != syscall.ENOENT {
		return false // the disk, not what is on it
	}
	for _, text := range [...]string{
		"invalid marker filename", "!= merger name from options",
		"!= comparer name from options", "invalid key/value syntax", "could not open manifest file", "pebble: manifest file",
	} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

type expectation struct{ key, value []byte }

type pebbleBatch struct {
	*pebble.Batch
	expected []expectation
}

func (b *pebbleBatch) Set(key, value []byte) error { return b.Batch.Set(key, value, nil) }

func (b *pebbleBatch) Delete(key []byte) error { return b.Batch.Delete(key, nil) }

func (b *pebbleBatch) DeleteRange(lo, hi []byte) error {
	return b.Batch.DeleteRange(lo, hi, nil)
}

func (b *pebbleBatch) Expect(key, value []byte) {
	b.expected = append(b.expected, expectation{key, value})
}

// pebbleLogger hands the engine's messages on and ends the process where the
// engine says that it cannot go on: it relies on Fatalf not returning.
type pebbleLogger struct {
	l     *slog.Logger
	fatal func(error)
}

func (p pebbleLogger) Infof(format string, args ...any) {
	p.l.Debug("engine", "text", fmt.Sprintf(format, args...))
}

func (p pebbleLogger) Errorf(format string, args ...any) {
	p.l.Error("engine", "text", fmt.Sprintf(format, args...))
}

func (p pebbleLogger) Fatalf(format string, args ...any) {
	p.fatal(fmt.Errorf(format, args...))
}

// exit is what a store does that cannot go on, unless [Options.Fatal] says
// otherwise.
func exit(err error) {
	fmt.Fprintln(os.Stderr, "barkeep: the store cannot go on:", err)
	fmt.Fprintln(os.Stderr, "barkeep: nothing that was acknowledged is lost: mend the cause and start again")
	os.Exit(fatalExit)
}
