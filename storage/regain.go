package storage

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// openReserve is the room that an opening needs beside what is in the log:
// a manifest, options, a new log and the trail.
const openReserve = 1 << 20

func (s *Store) startGuard() {
	ballast, fatal := s.opts.Ballast, s.opts.Fatal
	if s.opts.ReadOnly {
		ballast, fatal = -1, nil
	}
	s.guard = newGuard(s.opts.FS, s.dir, guardOptions{
		Low: s.opts.SpaceLow, ReadOnly: s.opts.SpaceReadOnly, Ballast: ballast, Fatal: fatal,
		OnChange: func(from, to SpaceState, u vfs.DiskUsage) {
			s.opts.Logger.Warn("room on the disk", "state", to.String(), "was", from.String(), "free", u.AvailBytes, "of", u.TotalBytes)
		},
	})
	s.opts.crowded = func() bool {
		_, n := s.guard.waiting()
		return n > 0
	}
	s.guard.check()
	s.guard.start()
}

// cramped reports whether the disk lacks the room to open for writing: what is
// in the log becomes tables then.
func (s *Store) cramped(db string) bool {
	state, u := s.guard.space()
	if u.TotalBytes == 0 {
		return false // nobody knows
	}
	if state == SpaceFull {
		return true
	}
	var logs uint64
	names, err := s.opts.FS.List(db)
	if err != nil {
		return false // a new store
	}
	for _, n := range names {
		if i, err := s.opts.FS.Stat(s.opts.FS.PathJoin(db, n)); err == nil && strings.HasSuffix(n, ".log") {
			logs += uint64(i.Size())
		}
	}
	return logs > 0 && u.AvailBytes < logs+min(openReserve, u.TotalBytes/20)
}

// How long a store under constant reading looks for a moment without any, for
// how long it then keeps new snapshots waiting to have one, and how long after
// that it leaves them alone, since one that takes long may be open.
const (
	regainLook  = time.Second
	regainHold  = 200 * time.Millisecond
	regainAgain = 10 * time.Second
)

// regain opens a store for writing that a full disk kept from it, once there is
// room. It does so in a moment in which no call is under way and no snapshot is
// open.
func (s *Store) regain() {
	defer s.work.Done()
	tick := time.NewTicker(patience)
	defer tick.Stop()
	db, tmp := s.opts.FS.PathJoin(s.dir, "db"), s.opts.FS.PathJoin(s.dir, "tmp")
	var hold time.Time // when snapshots are kept waiting
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		if state, _ := s.guard.space(); state >= SpaceReadOnly || s.cramped(db) {
			hold = time.Time{}
			continue
		}
		now := time.Now()
		if hold.IsZero() {
			hold = now.Add(regainLook)
		}
		regain := s.regainNow
		if now.After(hold) {
			regain, hold = s.regainHeld, now.Add(regainAgain)
		}
		again, err := regain(db, tmp)
		if err != nil {
			s.opts.Logger.Error("the store could not be opened for writing and will be tried again", "dir", s.dir, "err", err)
		}
		if !again {
			return
		}
	}
}

// regainHeld is regainNow without new snapshots.
func (s *Store) regainHeld(db, tmp string) (again bool, err error) {
	s.fresh.Lock()
	defer s.fresh.Unlock()
	for end := time.Now().Add(regainHold); ; {
		again, err = s.regainNow(db, tmp)
		if !again || err != nil || time.Now().After(end) {
			return again, err
		}
		time.Sleep(time.Millisecond)
	}
}

func (s *Store) regainNow(db, tmp string) (again bool, err error) {
	s.gate.Lock()
	defer s.gate.Unlock()
	if s.closed {
		return false, nil
	}
	if s.under.Load() > 0 {
		return true, nil
	}
	if err := s.eng.Close(); err != nil {
		s.opts.Logger.Error("close for reading", "err", err)
	}
	s.opts.ReadOnly = false
	if err := s.openFiles(db, tmp); err != nil {
		if s.eng != nil {
			err = errors.Join(err, s.eng.Close())
		}
		s.opts.ReadOnly = true
		if rerr := s.openFiles(db, tmp); rerr != nil {
			s.opts.Fatal(fmt.Errorf("open store %s again: %w", s.dir, errors.Join(err, rerr)))
		}
		return true, err
	}
	s.limited.Store(false)
	s.startWork()
	s.opts.Logger.Info("there is room on the disk: the store takes writes again", "dir", s.dir)
	return false, nil
}
