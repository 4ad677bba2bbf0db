package storage

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/barkeepdb/barkeep/series"
)

// The format of a store only goes up. A migration turns one version into the
// next and may be interrupted: it is run again from its start, so it must be
// idempotent. A store of a newer program is refused.
//
// Format 1, the first one, had the keyspaces b c j l m q r s x n and blocks of
// 1440 slots.
const (
	// formatSums adds sums to stats pages and ledgers, the stamp, and the id of
	// the store. Programs of format 1 cannot read it.
	formatSums = 2
	// formatNotes adds attempts and times to evidence of absence, records, and
	// who changed what and why to the journal. Programs of format 2 cannot read
	// them; what they wrote is read as it is.
	formatNotes = 3
	formatNow   = formatNotes
)

// migration turns a store of format to-1 into one of format to.
type migration struct {
	to   int
	what string
	run  func(engine) error
}

// migrations are in order of the format they lead to.
var migrations = []migration{
	{formatSums, "sums of all that is stored", migrateSums},
	{formatNotes, "notes and records", func(engine) error { return nil }},
}

var (
	formatKey = []byte{spaceConfig, 'f'}
	idKey     = []byte{spaceConfig, 'i'}
)

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

// setFormat records the format, in one batch with the stamp that counts it.
func (s *Store) setFormat(v int) error {
	b := s.eng.Batch()
	format := idBytes(uint32(v))
	if err := b.Set(formatKey, format); err != nil {
		return err
	}
	if v < formatSums {
		return s.commit(b)
	}
	id, err := s.readID()
	if err != nil {
		return err
	}
	defer func() { s.id = id }()
	if id == (storeID{}) {
		if id = s.newID; id == (storeID{}) {
			_, _ = rand.Read(id[:]) // never fails
		}
		if err := b.Set(idKey, id[:]); err != nil {
			return err
		}
	}
	now, err := s.countAll(s.eng, map[string][]byte{string(formatKey): format, string(idKey): id[:]})
	if err != nil {
		return err
	}
	old, _, err := s.readStamp()
	if err != nil {
		return err
	}
	now.seq = old.seq + 1
	if err := b.Set(stampKey, now.encode()); err != nil {
		return err
	}
	return s.commit(b)
}

func (s *Store) readID() (id storeID, err error) {
	_, err = s.eng.Get(idKey, func(v []byte) error {
		if len(v) != len(id) {
			return fmt.Errorf("the id of the store has %d bytes", len(v))
		}
		id = storeID(v)
		return nil
	})
	return id, err
}

func (s *Store) readStamp() (p stamp, found bool, err error) { return stampIn(s.eng) }

// stampIn is the newest stamp that r shows.
func stampIn(r reader) (p stamp, found bool, err error) {
	for _, key := range [...][]byte{stampKey, loadStampKey} {
		var x stamp
		there, gerr := r.Get(key, func(v []byte) (err error) {
			x, err = decodeStamp(v)
			return err
		})
		if gerr != nil {
			if !errors.Is(gerr, errStamp) {
				return p, false, gerr
			}
			err = gerr // the other one may do
			continue
		}
		if there && (!found || x.seq > p.seq) {
			p, found = x, true
		}
	}
	return p, found, err
}

// isStamp reports whether k is a place of the stamp.
func isStamp(k []byte) bool { return bytes.Equal(k, stampKey) || bytes.Equal(k, loadStampKey) }

// countAll computes the stamp anew from all that is stored. pairs are counted
// with the values given instead of those that are stored.
func (s *Store) countAll(r reader, pairs map[string][]byte) (stamp, error) {
	p := stamp{at: s.opts.Now()}
	for k, v := range pairs {
		p.root += sumOf([]byte(k), v)
	}
	for _, space := range [...]byte{spaceLedger, spaceRegistry, spaceConfig} {
		if err := eachPair(r, []byte{space}, []byte{space + 1}, func(k, v []byte) error {
			if _, given := pairs[string(k)]; !given && !isStamp(k) {
				p.root += sumOf(k, v)
			}
			return nil
		}); err != nil {
			return p, err
		}
	}
	err := eachPair(r, []byte{spaceJournal}, []byte{spaceJournal + 1}, func(k, v []byte) error {
		p.entries++
		p.journal += sumOf(k, v)
		return nil
	})
	return p, err
}

// eachPair calls f for every pair of [lo, hi). Key and value are valid during
// the call.
func eachPair(r reader, lo, hi []byte, f func(key, value []byte) error) error {
	c, err := r.Cursor(lo, hi)
	if err != nil {
		return err
	}
	defer c.Close()
	for ok := c.First(); ok; ok = c.Next() {
		v, err := c.Value()
		if err != nil {
			return err
		}
		if err := f(c.Key(), v); err != nil {
			return err
		}
	}
	return c.Err()
}

// commit applies b as it is, durable, without counting it in a stamp.
func (s *Store) commit(b batch) error { return commitRaw(s.eng, b) }

// migrateSums leads to formatSums.
func migrateSums(eng engine) error {
	var ids []seriesID
	if err := eachPair(eng, []byte{spaceLedger}, []byte{spaceLedger + 1}, func(k, _ []byte) error {
		if id := seriesOf(k); id != 0 {
			ids = append(ids, id)
		}
		return nil
	}); err != nil {
		return err
	}
	// A series may have evidence or quarantine and no ledger yet.
	for _, space := range [...]byte{spaceEvidence, spaceAside} {
		if err := eachPair(eng, []byte{space}, []byte{space + 1}, func(k, _ []byte) error {
			ids = append(ids, seriesOf(k))
			return nil
		}); err != nil {
			return err
		}
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if err := migrateSeries(eng, id); err != nil {
			return fmt.Errorf("series %d: %w", id, err)
		}
	}
	return nil
}

func migrateSeries(eng engine, id seriesID) error {
	g := series.Grid{Interval: series.Interval1m} // places the last bar, which is not stored with its time
	l := &ledger{}
	if _, err := eng.Get(seriesKey(spaceLedger, id), func(v []byte) (err error) {
		l, err = decodeLedger(g, v)
		return err
	}); err != nil {
		return err
	}
	var numbers []int64
	if err := eachPair(eng, seriesKey(spaceCoverage, id), seriesKey(spaceCoverage, id+1), func(k, _ []byte) error {
		n, _ := numberOf(k)
		numbers = append(numbers, n)
		return nil
	}); err != nil {
		return err
	}
	l.pages = 0
	for part := range slices.Chunk(numbers, 256) {
		b := eng.Batch()
		for _, n := range part {
			p, err := readPage(eng, id, n)
			if err != nil {
				return err
			}
			for _, s := range p.blocks {
				if s.stats.sum, _, err = storedSum(eng, id, s.block); err != nil {
					return err
				}
			}
			coverage, stats := p.encode()
			l.pages += pageSum(id, n, coverage, stats)
			if err := b.Set(numberKey(spaceStats, id, n), stats); err != nil {
				return err
			}
		}
		if err := commitRaw(eng, b); err != nil {
			return err
		}
	}
	if l.tail != nil {
		var err error
		if l.tail.stats.sum, _, err = storedSum(eng, id, l.tail.block); err != nil {
			return err
		}
	}
	if err := l.countExtras(eng, id); err != nil {
		return err
	}
	l.placed = l.placed || l.evidences > 0
	b := eng.Batch()
	if err := b.Set(seriesKey(spaceLedger, id), l.encode()); err != nil {
		return err
	}
	return commitRaw(eng, b)
}

// countExtras counts evidence and quarantine of a series anew.
func (l *ledger) countExtras(r reader, id seriesID) error {
	l.evidence, l.evidences, l.aside, l.asides = 0, 0, 0, 0
	if err := eachPair(r, seriesKey(spaceEvidence, id), seriesKey(spaceEvidence, id+1), func(k, v []byte) error {
		l.evidence += sumOf(k, v)
		l.evidences++
		return nil
	}); err != nil {
		return err
	}
	return eachPair(r, seriesKey(spaceAside, id), seriesKey(spaceAside, id+1), func(k, v []byte) error {
		l.aside += sumOf(k, v)
		l.asides++
		return nil
	})
}

// storedSum is the sum of a block and its rows as they are stored, and the
// number of groups of rows.
func storedSum(r reader, id seriesID, b int64) (sum uint64, groups uint32, err error) {
	version := uint64(0)
	if _, err := r.Get(numberKey(spaceBlock, id, b), func(v []byte) error {
		if len(v) >= 8 {
			version = binary.LittleEndian.Uint64(v)
			sum = blockSum(version, v)
		}
		return nil
	}); err != nil {
		return 0, 0, err
	}
	err = eachPair(r, rowsKey(id, b, version+1), numberKey(spaceRows, id, b+1), func(k, v []byte) error {
		sum += rowsSum(binary.BigEndian.Uint64(k[len(k)-8:]), v)
		groups++
		return nil
	})
	return sum, groups, err
}

func commitRaw(eng engine, b batch) error {
	wait, err := eng.Commit(b, true)
	if err != nil {
		return err
	}
	return wait()
}
