package storage

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/barkeepdb/barkeep/series"
)

// Damage is a loss that was found: bars that were stored and are not there any
// more, or can no longer be read. Where they were, the series says quarantined
// until they are written again.
type Damage struct {
	ID    uint64      // given by the store; 0 in a store that is open for reading only
	At    series.Time // when it was found
	Key   series.Key  // zero where it is not about one series
	Span  series.Span // the bars; zero where it is not about bars
	Bars  int64       // how many, as far as that is known; 0 is not known
	What  string      // what happened, for a person
	Found string      // how it was found: open, read, scrub, verify
}

func (d Damage) String() string {
	if d.Key == (series.Key{}) {
		return d.What
	}
	if d.Span == (series.Span{}) {
		return fmt.Sprintf("%s: %s", d.Key, d.What)
	}
	return fmt.Sprintf("%s: bars of %v: %s", d.Key, d.Span, d.What)
}

// damageRecord is a Damage on disk, under key x d id.
type damageRecord struct {
	At       series.Time     `json:"at"`
	Symbol   string          `json:"symbol,omitempty"`
	Interval series.Interval `json:"interval,omitempty"`
	From     series.Time     `json:"from,omitempty"`
	To       series.Time     `json:"to,omitempty"`
	Bars     int64           `json:"bars,omitempty"`
	What     string          `json:"what"`
	Found    string          `json:"found"`
}

// lostReason explains slots whose bars are lost.
const lostReason = "lost, to be fetched again"

var damagePrefix = []byte{spaceConfig, 'd'}

func damageKey(id uint64) []byte {
	return binary.BigEndian.AppendUint64(slices.Clone(damagePrefix), id)
}

func (d *Damage) encode() (key, value []byte, err error) {
	value, err = json.Marshal(damageRecord{d.At, d.Key.Symbol, d.Key.Interval, d.Span.From, d.Span.To, d.Bars, d.What, d.Found})
	return damageKey(d.ID), value, err
}

// Damages lists everything that was ever found, in order.
func (s *Store) Damages() ([]Damage, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.damages), nil
}

// loadDamage reads one record.
func loadDamage(key, value []byte) (Damage, error) {
	var r damageRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return Damage{}, err
	}
	if len(key) != len(damagePrefix)+8 {
		return Damage{}, fmt.Errorf("key %x has a wrong length", key)
	}
	return Damage{
		ID: binary.BigEndian.Uint64(key[len(damagePrefix):]), At: r.At, Key: series.Key{Symbol: r.Symbol, Interval: r.Interval},
		Span: series.Span{From: r.From, To: r.To}, Bars: r.Bars, What: r.What, Found: r.Found,
	}, nil
}

func (s *Store) keepDamages(ds []Damage) {
	s.mu.Lock()
	s.damages, s.foundNow = append(s.damages, ds...), append(s.foundNow, ds...)
	s.mu.Unlock()
	for i := range ds {
		s.logDamage(&ds[i])
	}
}

func (s *Store) logDamage(d *Damage) {
	s.opts.Logger.Error("damage found", "what", d.String(), "bars", d.Bars, "found", d.Found)
}

// report records what was found: in the store where it can be written, in the
// log and in what Damages lists.
func (s *Store) report(ctx context.Context, ds []Damage) error {
	for i := range ds {
		d := &ds[i]
		d.At = s.opts.Now()
		s.logDamage(d)
		keep := func() { s.damages, s.foundNow = append(s.damages, *d), append(s.foundNow, *d) }
		if s.opts.ReadOnly {
			s.mu.Lock()
			keep()
			s.mu.Unlock()
			continue
		}
		d.ID = s.seq.Add(1)
		key, value, err := d.encode()
		if err != nil {
			return err
		}
		h, err := s.hold(ctx, s.registry)
		if err != nil {
			return err
		}
		err = s.register(ctx, h, key, value, keep)
		h.release()
		if err != nil {
			return err
		}
	}
	return nil
}
