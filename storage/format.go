package storage

import (
	"encoding/binary"
	"fmt"
)

// The format of a store only goes up. A migration turns one version into the
// next and may be interrupted: it is run again from its start, so it must be
// idempotent. A store of a newer program is refused.
const (
	// formatFirst is the first released format: keyspaces b c j l m q r s x n
	// as the package comment draws them, blocks of 1440 slots.
	formatFirst = 1
	formatNow   = formatFirst
)

// migration turns a store of format to-1 into one of format to.
type migration struct {
	to   int
	what string
	run  func(engine) error
}

// migrations are in order of the format they lead to.
var migrations []migration

var formatKey = []byte{spaceConfig, 'f'}

func (s *Store) checkFormat() error { return s.migrate(formatNow, migrations) }

func (s *Store) migrate(now int, ms []migration) error {
	have := 0
	if _, err := s.eng.Get(formatKey, func(v []byte) error {
		if len(v) != 4 {
			return fmt.Errorf("format entry has %d bytes", len(v))
		}
		have = int(binary.BigEndian.Uint32(v))
		return nil
	}); err != nil {
		return err
	}
	switch {
	case have > now:
		return &FormatError{Dir: s.dir, Have: have, Known: now}
	case have == now:
		return nil
	case s.opts.ReadOnly:
		return fmt.Errorf("store has format %d and would be migrated to %d: open it for writing once", have, now)
	case have == 0:
		return s.setFormat(now)
	}
	for _, m := range ms {
		if m.to <= have {
			continue
		}
		if m.to != have+1 {
			return fmt.Errorf("no migration leads from format %d to %d", have, have+1)
		}
		s.opts.Logger.Info("migrating store", "dir", s.dir, "to", m.to, "what", m.what)
		if err := m.run(s.eng); err != nil {
			return fmt.Errorf("migrate to format %d (%s): %w", m.to, m.what, err)
		}
		if err := s.setFormat(m.to); err != nil {
			return err
		}
		have = m.to
	}
	if have != now {
		return fmt.Errorf("no migration leads from format %d to %d", have, now)
	}
	return nil
}

func (s *Store) setFormat(v int) error {
	b := s.eng.Batch()
	if err := b.Set(formatKey, idBytes(uint32(v))); err != nil {
		return err
	}
	return s.commit(b)
}
