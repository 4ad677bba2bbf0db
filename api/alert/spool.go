package alert

import (
	"context"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// spool is a store that goes on where the one below takes no changes: a disk
// that is full is what an alert has to tell of. Changes that could not be
// written are kept in memory, seen by every read, and written with the next
// ones. A process that ends before that has forgotten them: what fired then may
// be told a second time.
type spool struct {
	below Store
	log   *slog.Logger

	mu      sync.Mutex
	unsaved map[[2]string][]byte // by kind and name; nil removes
}

// The bounds of a spool: how long the store below is waited for, and how many
// changes are kept before they are errors.
const (
	spoolPatience = 5 * time.Second
	mostUnsaved   = 10_000
)

// PutRecords is durable when it returns, if the store below takes changes.
func (s *spool) PutRecords(ctx context.Context, rs []Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put(ctx, rs)
}

// flush tries to write what could not be written before.
func (s *spool) flush(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.unsaved) == 0 {
		return nil
	}
	return s.put(ctx, nil)
}

// put writes rs and all that waits as one batch. s.mu is held.
func (s *spool) put(ctx context.Context, rs []Record) error {
	waiting := len(s.unsaved)
	all := make([]Record, 0, waiting+len(rs))
	for k, v := range s.unsaved {
		all = append(all, Record{k[0], k[1], v})
	}
	all = append(all, rs...) // of one name the last one counts
	writing, cancel := context.WithTimeout(ctx, spoolPatience)
	defer cancel()
	err := s.below.PutRecords(writing, all)
	if err == nil {
		if waiting > 0 {
			s.log.Info("the state of the alerts was written", "changes", len(all))
		}
		s.unsaved = nil
		return nil
	}
	if waiting+len(rs) > mostUnsaved {
		return err
	}
	if waiting == 0 {
		s.log.Error("the state of the alerts cannot be written and is kept in memory", "error", err)
	}
	if s.unsaved == nil {
		s.unsaved = map[[2]string][]byte{}
	}
	for _, r := range rs {
		s.unsaved[[2]string{r.Kind, r.Name}] = r.Value
	}
	return nil
}

// Records are those of the store below with what waits laid over them.
func (s *spool) Records(ctx context.Context, kind, from string) iter.Seq2[Record, error] {
	s.mu.Lock()
	over := map[string][]byte{}
	for k, v := range s.unsaved {
		if k[0] == kind && k[1] >= from {
			over[k[1]] = v
		}
	}
	s.mu.Unlock()
	if len(over) == 0 {
		return s.below.Records(ctx, kind, from)
	}
	names := slices.Sorted(maps.Keys(over))
	return func(yield func(Record, error) bool) {
		i := 0
		// until yields what waits under names before limit; all is without limit.
		until := func(limit string, all bool) bool {
			for ; i < len(names) && (all || names[i] < limit); i++ {
				if v := over[names[i]]; v != nil && !yield(Record{kind, names[i], v}, nil) {
					return false
				}
			}
			return true
		}
		for r, err := range s.below.Records(ctx, kind, from) {
			if err != nil {
				yield(Record{}, err)
				return
			}
			if !until(r.Name, false) {
				return
			}
			if i < len(names) && names[i] == r.Name {
				continue // what waits is newer, and comes next
			}
			if !yield(r, nil) {
				return
			}
		}
		until("", true)
	}
}
