package storage

import (
	"cmp"
	"context"
	"slices"

	"github.com/barkeepdb/barkeep/series"
)

// Series lists every series, sorted by symbol and interval.
func (s *Store) Series() ([]Info, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	var out []Info
	for _, st := range s.all() {
		i, err := s.info(st)
		if err != nil {
			return nil, err
		}
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b Info) int { return compareKeys(a.Key, b.Key) })
	return out, nil
}

func compareKeys(a, b series.Key) int {
	return cmp.Or(cmp.Compare(a.Symbol, b.Symbol), cmp.Compare(a.Interval, b.Interval))
}

// Info describes one series.
func (s *Store) Info(key series.Key) (Info, error) {
	if err := s.enter(); err != nil {
		return Info{}, err
	}
	defer s.leave()
	st, err := s.known(key)
	if err != nil {
		return Info{}, err
	}
	return s.info(st)
}

func (s *Store) info(st *state) (Info, error) {
	l, err := s.ledgerNow(context.Background(), st)
	if err != nil {
		return Info{}, err
	}
	grid := st.grid()
	i := Info{Key: st.key, Grid: grid, Bars: l.bars, Bytes: l.bytes}
	if l.bars > 0 {
		i.First, i.Last = grid.Time(l.first), grid.Time(l.last)
	}
	i.Quarantined, i.Changed = l.asides, l.changes
	return i, nil
}

// Latest returns the newest bar of a series; ok is false if it has none. It
// reads no bar.
func (s *Store) Latest(key series.Key) (bar series.Bar, ok bool, err error) {
	if err := s.enter(); err != nil {
		return series.Bar{}, false, err
	}
	defer s.leave()
	st, err := s.known(key)
	if err != nil {
		return series.Bar{}, false, err
	}
	l, err := s.ledgerNow(context.Background(), st)
	if err != nil {
		return series.Bar{}, false, err
	}
	return l.lastBar, l.bars > 0, nil
}

// Stats are figures of the whole store, for metrics.
type Stats struct {
	Series, Bars, Blocks int64
	BlockBytes           int64 // of encoded blocks
	Pending              int64 // blocks with rows to fold
	Changes              uint64
	DecodedBytes         int64 // held by the cache of decoded blocks
	DecodedHits          int64
	DecodedMisses        int64
	Root                 Root
	Scrub                ScrubStats
	Damages              int64 // losses found, ever
	Engine               EngineStats
}

// Stats returns the figures of the store; of a closed one, nothing.
func (s *Store) Stats() Stats {
	if s.enter() != nil {
		return Stats{}
	}
	defer s.leave()
	st := Stats{Changes: s.seq.Load(), Engine: s.eng.Stats()}
	for _, x := range s.all() {
		l := x.published.Load()
		st.Series++
		st.Bars += l.bars
		st.Blocks += l.blocks
		st.BlockBytes += l.bytes
		st.Pending += l.pending
	}
	s.commitMu.Lock()
	st.Root = s.stamp.shown()
	s.commitMu.Unlock()
	st.Scrub = ScrubStats{Passes: s.scrubs.Load(), Bytes: s.scrubbed.Load(), Damaged: s.scrubBad.Load(), Tables: s.repairs.Load()}
	s.mu.RLock()
	st.Damages = int64(len(s.damages))
	s.mu.RUnlock()
	st.DecodedBytes, st.DecodedHits, st.DecodedMisses = s.cache.stats()
	return st
}
