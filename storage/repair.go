package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// damagedDir is the folder for files that were replaced because they are
// damaged. Nothing in it is ever read or removed by the store.
const damagedDir = "damaged"

// keepDir is the folder for the damaged files of this run of the store.
func (s *Store) keepDir() string {
	fs := s.opts.FS
	return fs.PathJoin(fs.PathJoin(s.dir, damagedDir), s.began)
}

// stampOf names a moment in the name of a file.
func stampOf(t series.Time) string {
	return time.UnixMilli(int64(t)).UTC().Format("20060102T150405.000Z")
}

// DamagedStoreError says that a store cannot be opened as it is.
type DamagedStoreError struct {
	Dir string
	Why string
}

func (e *DamagedStoreError) Error() string {
	return fmt.Sprintf("store %s is damaged: %s: open it for writing, or run barkeep verify --repair, which keeps the damaged files and names what is lost", e.Dir, e.Why)
}

// Unwrap makes errors.Is(err, series.ErrCorrupt) true.
func (e *DamagedStoreError) Unwrap() error { return series.ErrCorrupt }

// openEngine opens the engine in folder db. What is damaged of its log, its
// MANIFEST or its markers is replaced by what can be read of it, with the
// original kept; what was lost with it is for audit to find. It returns what it
// had to do.
func (s *Store) openEngine(db, tmp string) (done []string, err error) {
	fs := s.guard.FS()
	next := db + ".new"
	if _, err := fs.Stat(db); errors.Is(err, errNotExist) && !s.opts.ReadOnly {
		if _, err := fs.Stat(next); err == nil {
			// A rebuilt database that was about to take its place.
			if err := fs.Rename(next, db); err != nil {
				return nil, err
			}
			done = append(done, "the database was rebuilt from its files")
		}
	}
	state, err := preflight(fs, db)
	if err != nil {
		return nil, err
	}
	loose := false
	if state.kind != preflightGood && state.kind != preflightNew {
		if s.opts.ReadOnly {
			return nil, &DamagedStoreError{Dir: s.dir, Why: state.what()}
		}
		s.opts.Logger.Error("the database is damaged and is being repaired", "dir", db, "what", state.what(), "keep", s.keepDir())
		more, err := s.prepare(db, state)
		if err != nil {
			return nil, fmt.Errorf("repair (%s): %w", state.what(), damaged(err))
		}
		done = append(done, more...)
		loose = len(state.missing)+len(state.wrongSize) > 0
	}
	if !s.opts.ReadOnly {
		if err := makeDir(fs, db); err != nil {
			return nil, err
		}
	}
	eng, err := openPebble(fs, db, tmp, loose, s.opts)
	if err != nil && strings.Contains(err.Error(), "unknown format major version") {
		// Of a newer program, as far as anybody can tell: nothing to repair.
		return nil, &FormatError{Dir: s.dir, Have: formatNow + 1, Known: formatNow}
	}
	if err != nil && errors.Is(damaged(err), series.ErrCorrupt) && !s.opts.ReadOnly {
		// Pebble refuses some of the ends that a crash leaves of a log.
		if torn, terr := s.mendTorn(db); terr != nil {
			return nil, errors.Join(err, terr)
		} else if torn {
			eng, err = openPebble(fs, db, tmp, loose, s.opts)
		}
	}
	if err != nil && errors.Is(damaged(err), series.ErrCorrupt) && !s.opts.ReadOnly {
		// Preflight saw nothing wrong with it; only its files are left to trust.
		what := err.Error()
		s.opts.Logger.Error("the database does not open and is rebuilt from its files", "dir", db, "err", err)
		if err := s.rebuild(db); err != nil {
			return nil, fmt.Errorf("rebuild (%s): %w", what, err)
		}
		done = append(done, "the database did not open ("+what+") and was rebuilt from its files")
		eng, err = openPebble(fs, db, tmp, false, s.opts)
	}
	if err != nil {
		if err = damaged(err); errors.Is(err, series.ErrCorrupt) {
			err = &DamagedStoreError{Dir: s.dir, Why: err.Error()}
		}
		return nil, err
	}
	s.eng = eng
	return done, nil
}

// mendTorn writes the last log anew up to where a crash tore it.
func (s *Store) mendTorn(db string) (torn bool, err error) {
	fs := s.guard.FS()
	names, err := fs.List(db)
	if err != nil {
		return false, err
	}
	_, logs, _ := dbFiles(names)
	if len(logs) == 0 {
		return false, nil
	}
	name := logName(logs[len(logs)-1])
	if _, bad, err := readLog(fs, fs.PathJoin(db, name), func(uint64, []byte) error { return nil }); err != nil || bad {
		return false, err
	}
	_, err = cutLog(fs, db, name, s.keepDir())
	return err == nil, err
}

// what says what preflight found, for a person.
func (st *preflightState) what() string {
	text := st.why
	add := func(format string, args ...any) {
		if text != "" {
			text += "; "
		}
		text += fmt.Sprintf(format, args...)
	}
	if d := st.damagedManifest; d != nil {
		add("%s is damaged at byte %d", d.name, d.at)
	}
	for _, d := range st.damagedLogs {
		add("log %s is damaged at byte %d", d.name, d.at)
	}
	for _, n := range st.badLoads {
		add("%s is damaged", n)
	}
	if st.badOptions != "" {
		add("%s is damaged", st.badOptions)
	}
	for _, n := range st.missing {
		add("%s is missing", n)
	}
	for _, n := range st.wrongSize {
		add("%s has a wrong size", n)
	}
	if text == "" {
		text = st.kind.String()
	}
	return text
}

// prepare brings a damaged folder to where the engine opens it.
func (s *Store) prepare(db string, state preflightState) (done []string, err error) {
	fs := s.guard.FS()
	d := state.damagedManifest
	if state.kind == preflightLost || d != nil && !d.lossless || len(state.foreign) > 0 {
		if err := s.rebuild(db); err != nil {
			return nil, err
		}
		return []string{state.what() + ": the database was rebuilt from its files"}, nil
	}
	if d != nil {
		if err := mendManifest(fs, db, d.name, s.keepDir()); err != nil {
			return nil, err
		}
		done = append(done, fmt.Sprintf("%s was damaged at byte %d; all of it could be put right", d.name, d.at))
	}
	for _, l := range state.damagedLogs {
		cut, err := cutLog(fs, db, l.name, s.keepDir())
		if err != nil {
			return nil, err
		}
		if l.lossless {
			done = append(done, fmt.Sprintf("log %s was damaged at byte %d; all of it could be put right", l.name, l.at))
		} else {
			done = append(done, fmt.Sprintf("log %s is damaged at byte %d; %d commits could be read, others are lost", l.name, l.at, cut.batches))
		}
	}
	for _, t := range state.badLoads {
		if err := rewriteLoad(fs, db, t, s.keepDir()); err != nil {
			// Nothing to bring in: only a new database gets past the log.
			if rerr := s.rebuild(db); rerr != nil {
				return nil, errors.Join(err, rerr)
			}
			return append(done, t+" is damaged: the database was rebuilt from its files"), nil
		}
		done = append(done, t+" was damaged; what can be read of it was written anew")
	}
	if state.badOptions != "" {
		if err := dropOptions(fs, db, state, s.keepDir()); err != nil {
			return nil, err
		}
		done = append(done, state.badOptions+" was damaged and is not needed")
	}
	if state.kind == preflightMarker {
		if err := fixMarker(fs, db, state); err != nil {
			return nil, err
		}
		// A store that never came to its HEAD was still being made when it crashed.
		if _, err := fs.Stat(fs.PathJoin(s.dir, headName)); err == nil {
			done = append(done, state.why+"; it was set again")
		}
	}
	if err := fillMissing(fs, db, state); err != nil {
		return nil, err
	}
	return done, nil
}

// rebuild replaces the database by one made of all that can be read in its
// files. The old folder is kept.
func (s *Store) rebuild(db string) error {
	fs := s.guard.FS()
	next := db + ".new"
	last := time.Now()
	rep, err := rebuildDB(fs, []string{db}, next, func(done, total int64) {
		if time.Since(last) > 5*time.Second {
			last = time.Now()
			s.opts.Logger.Info("rebuilding the database", "bytes", done, "of", total)
		}
	})
	if err != nil {
		return err
	}
	s.opts.Logger.Info("the database was rebuilt", "tables", rep.tables, "logs", rep.logs, "pairs", rep.pairs, "damaged", len(rep.damaged), "unclear", rep.unclear)
	if err := makeDir(fs, s.keepDir()); err != nil {
		return err
	}
	old := freeName(fs, s.keepDir(), fs.PathBase(db))
	if err := fs.Rename(db, old); err != nil && !errors.Is(err, errNotExist) {
		return err
	}
	if err := fs.Rename(next, db); err != nil {
		return err
	}
	s.rebuilt = true
	return errors.Join(syncDir(fs, s.keepDir()), syncDir(fs, s.dir))
}

// mendTables repairs the tables that the engine reported as damaged. It returns
// the ranges of keys that could not be read.
func (s *Store) mendTables() (lost []keyRange, mended int, err error) {
	for {
		select {
		case path := <-s.eng.Damaged():
			s.opts.Logger.Error("a table is damaged and is being repaired", "path", path, "keep", s.keepDir())
			more, err := s.eng.RepairFile(path, s.keepDir())
			lost = append(lost, more...)
			if err != nil {
				return lost, mended, err
			}
			mended++
		default:
			return lost, mended, nil
		}
	}
}

// mendNow repairs damaged tables of the open store and rebuilds what is
// concerned.
func (s *Store) mendNow(ctx context.Context, found string) error {
	lost, mended, err := s.mendTables()
	if err != nil || mended == 0 {
		return err
	}
	s.repairs.Add(int64(mended))
	var problems []Damage
	recount := false
	for _, st := range s.all() {
		for _, r := range lost {
			if !r.touches(st.id) {
				continue
			}
			if err := s.reconcile(ctx, st, "a file of it was damaged", found); err != nil {
				return fmt.Errorf("rebuild %s: %w", st.key, err)
			}
			break
		}
	}
	for _, r := range lost {
		if r.meets(spaceJournal) {
			recount = true
			problems = append(problems, Damage{What: "entries of the journal cannot be read any more", Found: found})
		}
		if r.meets(spaceRegistry) || r.meets(spaceConfig) || r.overlaps(loadStampKey, seriesKey(spaceLedger, 1)) {
			recount = true
			if err := s.rewriteRegistry(); err != nil {
				return err
			}
			problems = append(problems, Damage{What: "a part of the registry could not be read; it was written again, but records beside it may be lost", Found: found})
		}
	}
	if err := s.report(ctx, problems); err != nil || !recount {
		return err
	}
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	return s.restamp(s.stamp.seq)
}

// rewriteRegistry writes out of memory what the registry lost.
func (s *Store) rewriteRegistry() error {
	pairs, err := s.registryPairs()
	if err != nil {
		return err
	}
	b := s.eng.Batch()
	for _, p := range pairs {
		if err := b.Set(p.key, p.value); err != nil {
			return err
		}
	}
	return s.commit(b)
}
