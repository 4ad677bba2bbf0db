package storage

import (
	"fmt"
	"time"
)

// diskGrace is how long a write waits on a full disk before it gives up.
const diskGrace = time.Second

// admit reports whether a write may begin.
func (s *Store) admit() error {
	if s.limited.Load() {
		return s.diskFull()
	}
	if s.opts.ReadOnly {
		return errReadOnly
	}
	if since, n := s.guard.waiting(); n > 0 && since >= diskGrace {
		return s.diskFull()
	}
	if state, _ := s.guard.space(); state >= SpaceReadOnly {
		return s.diskFull()
	}
	return nil
}

func (s *Store) diskFull() *UnavailableError {
	_, u := s.guard.space()
	return &UnavailableError{
		Reason: DiskFull, RetryAfter: 5 * time.Second,
		Detail: fmt.Sprintf("%d of %d bytes free", u.AvailBytes, u.TotalBytes),
	}
}

// hopeless says why whoever waited for so long for a commit should give up; nil
// is that there is hope.
func (s *Store) hopeless(waited time.Duration) *UnavailableError {
	if waited < diskGrace {
		return nil
	}
	if since, n := s.guard.waiting(); n > 0 && since >= diskGrace {
		err := s.diskFull()
		err.Unknown = true
		return err
	}
	if waited >= s.opts.WriteTimeout && s.opts.WriteTimeout > 0 {
		return &UnavailableError{Reason: Stalled, Unknown: true, RetryAfter: 5 * time.Second, Detail: fmt.Sprintf("waited %v", waited.Round(time.Millisecond))}
	}
	return nil
}
