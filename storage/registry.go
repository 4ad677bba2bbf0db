package storage

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/barkeepdb/barkeep/series"
)

// seriesMeta is the registry's entry of a series.
type seriesMeta struct {
	Symbol   string          `json:"symbol"`
	Interval series.Interval `json:"interval"`
	Phase    series.Time     `json:"phase,omitempty"`
}

func (s *Store) loadRegistry() error {
	c, err := s.eng.Cursor([]byte{spaceRegistry}, []byte{spaceRegistry + 1})
	if err != nil {
		return err
	}
	defer c.Close()
	for ok := c.First(); ok; ok = c.Next() {
		v, err := c.Value()
		if err != nil {
			return err
		}
		if err := s.loadEntry(c.Key(), v); err != nil {
			return fmt.Errorf("registry entry %q: %w", c.Key(), err)
		}
	}
	if err := c.Err(); err != nil {
		return err
	}
	for _, st := range s.states {
		if err := s.loadLedger(st); err != nil {
			return err
		}
	}
	if err := s.markStates(spaceEvidence, func(st *state) { st.explained.Store(true) }); err != nil {
		return err
	}
	return s.markStates(spaceAside, func(st *state) { st.aside.Store(true) })
}

// markStates calls mark for every series that has a key in a keyspace.
func (s *Store) markStates(space byte, mark func(*state)) error {
	c, err := s.eng.Cursor([]byte{space}, []byte{space + 1})
	if err != nil {
		return err
	}
	defer c.Close()
	for ok := c.First(); ok; {
		if len(c.Key()) < 5 {
			return fmt.Errorf("key %x is too short", c.Key())
		}
		id := seriesOf(c.Key())
		if st := s.ids[id]; st != nil {
			mark(st)
		}
		ok = c.SeekGE(seriesKey(space, id+1))
	}
	return c.Err()
}

func (s *Store) loadEntry(key, value []byte) error {
	if len(key) < 2 {
		return errors.New("key is too short")
	}
	rest := key[2:]
	switch key[1] {
	case registrySeries:
		var m seriesMeta
		if err := json.Unmarshal(value, &m); err != nil {
			return err
		}
		k := series.Key{Symbol: m.Symbol, Interval: m.Interval}
		if len(rest) != 4 || k.Check() != nil {
			return errors.New("not a series")
		}
		s.addState(seriesID(binary.BigEndian.Uint32(rest)), k, m.Phase)
	case registrySymbol:
		var m Symbol
		if err := json.Unmarshal(value, &m); err != nil {
			return err
		}
		s.symbols[string(rest)] = m
	case registrySource:
		if len(rest) != 4 {
			return errors.New("not a source")
		}
		id := binary.BigEndian.Uint32(rest)
		if int(id) != len(s.sources) {
			return fmt.Errorf("source %d follows source %d", id, len(s.sources)-1)
		}
		s.sources = append(s.sources, string(value))
		s.byName[string(value)] = series.SourceID(id)
	}
	return nil
}

func (s *Store) addState(id seriesID, k series.Key, phase series.Time) *state {
	st := &state{id: id, key: k, ledger: &ledger{}}
	st.place.Store(&series.Grid{Interval: k.Interval, Phase: phase})
	s.states[k] = st
	s.ids[id] = st
	return st
}

// create returns the state of a series and registers it first if it is new.
func (s *Store) create(k series.Key, phase series.Time) (*state, error) {
	if st := s.lookup(k); st != nil {
		return st, nil
	}
	if err := k.Check(); err != nil {
		return nil, err
	}
	if err := (series.Grid{Interval: k.Interval, Phase: phase}).Check(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if st := s.states[k]; st != nil {
		return st, nil
	}
	id := seriesID(len(s.states) + 1)
	v, err := json.Marshal(seriesMeta{k.Symbol, k.Interval, phase})
	if err != nil {
		return nil, err
	}
	if err := s.register(registryKey(registrySeries, idBytes(uint32(id))...), v); err != nil {
		return nil, err
	}
	return s.addState(id, k, phase), nil
}

// register writes a new entry of the registry.
func (s *Store) register(key, value []byte) error {
	b := s.eng.Batch()
	b.Expect(key, nil)
	if err := b.Set(key, value); err != nil {
		return err
	}
	return s.commit(b)
}

// SetPhase moves the grid of a series that has no bars yet: its bars open phase
// milliseconds after the multiples of its interval. It creates the series.
func (s *Store) SetPhase(k series.Key, phase series.Time) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.ops.Done()
	st, err := s.create(k, phase)
	if err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.grid().Phase == phase {
		return nil
	}
	if st.settled() || st.relaxed.cols.Len() > 0 {
		return fmt.Errorf("%s has, or had, bars that open %d ms after the full %s: its grid cannot move any more", k, st.grid().Phase, k.Interval)
	}
	return s.movePhase(st, phase)
}

// settled reports whether something is keyed by the slots of the series, so
// that its grid must stay. st.mu must be held.
func (st *state) settled() bool { return st.encoded != nil || st.explained.Load() }

// movePhase gives a series without bars another grid. st.mu must be held.
func (s *Store) movePhase(st *state, phase series.Time) error {
	g := series.Grid{Interval: st.key.Interval, Phase: phase}
	if err := g.Check(); err != nil {
		return err
	}
	v, err := json.Marshal(seriesMeta{st.key.Symbol, st.key.Interval, phase})
	if err != nil {
		return err
	}
	b := s.eng.Batch()
	if err := b.Set(registryKey(registrySeries, idBytes(uint32(st.id))...), v); err != nil {
		return err
	}
	if err := s.commit(b); err != nil {
		return err
	}
	st.place.Store(&g)
	return nil
}

// Source returns the id of a source and gives it one if it is new.
func (s *Store) Source(name string) (series.SourceID, error) {
	if name == "" {
		return 0, nil
	}
	s.mu.RLock()
	id, ok := s.byName[name]
	s.mu.RUnlock()
	if ok {
		return id, nil
	}
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.ops.Done()
	if len(name) > 64 {
		return 0, fmt.Errorf("source name %.80q is longer than 64 bytes", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.byName[name]; ok {
		return id, nil
	}
	if len(s.sources) >= 1<<24 {
		return 0, errors.New("the store has no room for another source name")
	}
	id = series.SourceID(len(s.sources))
	if err := s.register(registryKey(registrySource, idBytes(uint32(id))...), []byte(name)); err != nil {
		return 0, err
	}
	s.sources = append(s.sources, name)
	s.byName[name] = id
	return id, nil
}

// SourceName returns the name of a source.
func (s *Store) SourceName(id series.SourceID) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if int(id) < len(s.sources) {
		return s.sources[id]
	}
	return unknownSource
}

// SetSymbol stores what is known of a symbol beside its bars.
func (s *Store) SetSymbol(symbol string, m Symbol) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.ops.Done()
	if err := series.CheckSymbol(symbol); err != nil {
		return err
	}
	if m.Calendar != "" {
		if _, err := series.CalendarByName(m.Calendar); err != nil {
			return err
		}
	}
	if m.Listed != nil && m.Delisted != nil && *m.Delisted <= *m.Listed {
		return fmt.Errorf("symbol %s: delisted at %v, not after it was listed at %v", symbol, *m.Delisted, *m.Listed)
	}
	v, err := json.Marshal(m)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.eng.Batch()
	if err := b.Set(registryKey(registrySymbol, []byte(symbol)...), v); err != nil {
		return err
	}
	if err := s.commit(b); err != nil {
		return err
	}
	s.symbols[symbol] = m
	return nil
}

// Symbol returns what SetSymbol stored.
func (s *Store) Symbol(symbol string) (Symbol, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m, ok := s.symbols[symbol]
	return m, ok
}

// calendar returns the calendar of a symbol, 24x7 where none was set.
func (s *Store) calendar(symbol string) (*series.Calendar, Symbol, error) {
	m, _ := s.Symbol(symbol)
	if m.Calendar == "" {
		return series.Always(), m, nil
	}
	c, err := series.CalendarByName(m.Calendar)
	return c, m, err
}
