package storage

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/barkeepdb/barkeep/series"
)

// seriesMeta is the registry's entry of a series.
type seriesMeta struct {
	Symbol   string          `json:"symbol"`
	Interval series.Interval `json:"interval"`
	Phase    series.Time     `json:"phase,omitempty"`
}

func (s *Store) loadRegistry() error {
	if err := eachPair(s.eng, []byte{spaceRegistry}, []byte{spaceRegistry + 1}, func(k, v []byte) error {
		if err := s.loadEntry(k, v); err != nil {
			// The trail may have it; audit says so if not.
			s.faults = append(s.faults, fmt.Sprintf("the entry %q of the registry cannot be read: %v", k, err))
		}
		return nil
	}); err != nil {
		return err
	}
	for _, st := range s.states {
		if err := s.loadLedger(st); err != nil {
			return err
		}
	}
	if err := eachPair(s.eng, damagePrefix, append(slices.Clone(damagePrefix[:1]), damagePrefix[1]+1), func(k, v []byte) error {
		d, err := loadDamage(k, v)
		if err == nil {
			s.damages = append(s.damages, d)
		}
		return err
	}); err != nil {
		return fmt.Errorf("records of damage: %w", err)
	}
	return s.markAll()
}

// markAll tells every series whether it has evidence and quarantined bars.
func (s *Store) markAll() error {
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
		if id >= 1<<24 {
			return fmt.Errorf("there is no source %d", id)
		}
		// Names in between are lost, or come out of the trail later.
		for int(id) >= len(s.sources) {
			s.sources = append(s.sources, unknownSource)
		}
		s.sources[id] = string(value)
		s.byName[string(value)] = series.SourceID(id)
	}
	return nil
}

func (s *Store) addState(id seriesID, k series.Key, phase series.Time) {
	st := &state{id: id, key: k, mu: newLock()}
	st.setLedger(&ledger{}, nil)
	st.place.Store(&series.Grid{Interval: k.Interval, Phase: phase})
	s.states[k] = st
	s.ids[id] = st
	s.nextID = max(s.nextID, id+1)
}

// create returns the state of a series and registers it first if it is new.
func (s *Store) create(ctx context.Context, k series.Key, phase series.Time) (*state, error) {
	if st := s.lookup(k); st != nil {
		return st, nil
	}
	if err := k.Check(); err != nil {
		return nil, err
	}
	if err := (series.Grid{Interval: k.Interval, Phase: phase}).Check(); err != nil {
		return nil, err
	}
	h, err := s.hold(ctx, s.registry)
	if err != nil {
		return nil, err
	}
	defer h.release()
	if st := s.lookup(k); st != nil {
		return st, nil
	}
	s.mu.RLock()
	id := s.nextID
	s.mu.RUnlock()
	v, err := json.Marshal(seriesMeta{k.Symbol, k.Interval, phase})
	if err != nil {
		return nil, err
	}
	err = s.register(ctx, h, registryKey(registrySeries, idBytes(uint32(id))...), v, func() { s.addState(id, k, phase) })
	if err != nil {
		return nil, err
	}
	return s.lookup(k), nil
}

// register writes an entry of the registry and calls publish, with s.mu held,
// when it is there. h is the lock of the registry.
func (s *Store) register(ctx context.Context, h *hold, key, value []byte, publish func()) error {
	b := s.eng.Batch()
	var old []byte
	if _, err := s.eng.Get(key, func(v []byte) error { old = append([]byte{}, v...); return nil }); err != nil {
		return err
	}
	b.Expect(key, old)
	if err := b.Set(key, value); err != nil {
		return err
	}
	t := &txn{batch: b, durable: true, root: sumOf(key, value), trail: trailRecord{kind: trailPair, key: key, value: value}}
	if old != nil {
		t.root -= sumOf(key, old)
	}
	t.publish = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		publish()
	}
	wait, err := s.submit(ctx, h, t)
	if err != nil {
		return err
	}
	return wait()
}

// SetPhase moves the grid of a series that has no bars yet: its bars open phase
// milliseconds after the multiples of its interval. It creates the series.
func (s *Store) SetPhase(k series.Key, phase series.Time) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	ctx := context.Background()
	st, err := s.create(ctx, k, phase)
	if err != nil {
		return err
	}
	h, err := s.hold(ctx, st.mu)
	if err != nil {
		return err
	}
	defer h.release()
	if st.grid().Phase == phase {
		return nil
	}
	if st.settled() || st.relaxed.cols.Len() > 0 {
		return fmt.Errorf("%s has, or had, bars that open %d ms after the full %s: its grid cannot move any more", k, st.grid().Phase, k.Interval)
	}
	return s.movePhase(ctx, st, phase)
}

// settled reports whether something is keyed by the slots of the series, so
// that its grid must stay. st.mu must be held.
func (st *state) settled() bool { return st.ledger.placed }

// movePhase gives a series without bars another grid. st.mu must be held.
func (s *Store) movePhase(ctx context.Context, st *state, phase series.Time) error {
	g := series.Grid{Interval: st.key.Interval, Phase: phase}
	if err := g.Check(); err != nil {
		return err
	}
	v, err := json.Marshal(seriesMeta{st.key.Symbol, st.key.Interval, phase})
	if err != nil {
		return err
	}
	h, err := s.hold(ctx, s.registry)
	if err != nil {
		return err
	}
	defer h.release()
	return s.register(ctx, h, registryKey(registrySeries, idBytes(uint32(st.id))...), v, func() { st.place.Store(&g) })
}

// Source returns the id of a source and gives it one if it is new.
func (s *Store) Source(name string) (series.SourceID, error) {
	return s.source(context.Background(), name)
}

func (s *Store) source(ctx context.Context, name string) (series.SourceID, error) {
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
	defer s.leave()
	if len(name) > 64 {
		return 0, fmt.Errorf("source name %.80q is longer than 64 bytes", name)
	}
	h, err := s.hold(ctx, s.registry)
	if err != nil {
		return 0, err
	}
	defer h.release()
	s.mu.RLock()
	id, ok = s.byName[name]
	n := len(s.sources)
	s.mu.RUnlock()
	if ok {
		return id, nil
	}
	if n >= 1<<24 {
		return 0, errors.New("the store has no room for another source name")
	}
	id = series.SourceID(n)
	err = s.register(ctx, h, registryKey(registrySource, idBytes(uint32(id))...), []byte(name), func() {
		s.sources = append(s.sources, name)
		s.byName[name] = id
	})
	return id, err
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
	defer s.leave()
	if err := series.CheckSymbol(symbol); err != nil {
		return err
	}
	if m.Calendar != "" {
		if _, err := s.opts.Calendars.Get(m.Calendar); err != nil {
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
	ctx := context.Background()
	h, err := s.hold(ctx, s.registry)
	if err != nil {
		return err
	}
	defer h.release()
	return s.register(ctx, h, registryKey(registrySymbol, []byte(symbol)...), v, func() { s.symbols[symbol] = m })
}

// Symbol returns what SetSymbol stored.
func (s *Store) Symbol(symbol string) (Symbol, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m, ok := s.symbols[symbol]
	return m, ok
}

// Symbols are those of which something is known beside bars, in order.
func (s *Store) Symbols() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.symbols))
}

// Calendars are those that symbols can name.
func (s *Store) Calendars() *series.Calendars { return s.opts.Calendars }

// calendar returns the calendar of a symbol, 24x7 where none was set, and one
// that knows nothing where it is not loaded.
func (s *Store) calendar(symbol string) (*series.Calendar, Symbol, error) {
	m, _ := s.Symbol(symbol)
	if m.Calendar == "" {
		return series.Always(), m, nil
	}
	c, err := s.opts.Calendars.Known(m.Calendar)
	return c, m, err
}

// warnOfCalendars logs which symbols name a calendar that is not loaded.
func (s *Store) warnOfCalendars() {
	missing := map[string][]string{}
	for symbol, m := range s.symbols {
		if m.Calendar != "" && !s.opts.Calendars.Has(m.Calendar) {
			missing[m.Calendar] = append(missing[m.Calendar], symbol)
		}
	}
	for name, symbols := range missing {
		slices.Sort(symbols)
		s.opts.Logger.Warn("a calendar is not loaded: which bars were expected is unknown; put its file into the folder of the setting calendars, or set another calendar",
			"calendar", name, "symbols", strings.Join(symbols[:min(len(symbols), 20)], " "), "count", len(symbols))
	}
}

// registryPairs is the registry as the process knows it.
func (s *Store) registryPairs() ([]pair, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	ps := []pair{{formatKey, idBytes(formatNow)}, {idKey, s.id[:]}}
	for _, st := range s.states {
		v, err := json.Marshal(seriesMeta{st.key.Symbol, st.key.Interval, st.grid().Phase})
		if err != nil {
			return nil, err
		}
		ps = append(ps, pair{registryKey(registrySeries, idBytes(uint32(st.id))...), v})
	}
	for symbol, m := range s.symbols {
		v, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		ps = append(ps, pair{registryKey(registrySymbol, []byte(symbol)...), v})
	}
	for id, name := range s.sources {
		if id > 0 {
			ps = append(ps, pair{registryKey(registrySource, idBytes(uint32(id))...), []byte(name)})
		}
	}
	for _, d := range s.damages {
		k, v, err := d.encode()
		if err != nil {
			return nil, err
		}
		ps = append(ps, pair{k, v})
	}
	return ps, nil
}
