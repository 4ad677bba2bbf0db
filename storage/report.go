package storage

import (
	"encoding/hex"
	"slices"
	"time"
)

// Health is how a store stands with its disk.
type Health struct {
	Space       SpaceState
	Free, Total int64 // bytes of the disk; 0 where they are not known
	// Waiting is how long the longest operation has waited for space; 0 is that
	// none waits.
	Waiting time.Duration
	// SlowSince is for how long the disk has not answered; 0 is that it answers
	// in time.
	SlowSince time.Duration
	Damages   int64 // found since the store was opened
}

// Health says how the store stands; of a closed one, nothing.
func (s *Store) Health() Health {
	if s.enter() != nil {
		return Health{}
	}
	defer s.leave()
	state, u := s.guard.space()
	h := Health{Space: state, Free: int64(u.AvailBytes), Total: int64(u.TotalBytes)}
	if since, n := s.guard.waiting(); n > 0 {
		h.Waiting = since
	}
	h.SlowSince = s.eng.Slow()
	s.mu.RLock()
	h.Damages = int64(len(s.foundNow))
	s.mu.RUnlock()
	return h
}

// FoundNow lists the damages that were found since the store was opened, the
// opening included.
func (s *Store) FoundNow() []Damage {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.foundNow)
}

// ID tells the store from others; its backups carry it. See [Backup.ID].
func (s *Store) ID() string { return hex.EncodeToString(s.id[:]) }

// BackupIn reads the manifest of a backup on the disk of the machine; see
// [ReadBackup].
func BackupIn(dir string) (Backup, error) { return ReadBackup(nil, dir) }
