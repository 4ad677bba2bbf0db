package storage

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"

	"github.com/barkeepdb/barkeep/series"
)

// Entry is a bar in quarantine: refused, or set aside, with its raw value.
type Entry struct {
	ID      uint64 // given by the store
	Key     series.Key
	Time    series.Time // open time, where one could be read
	HasTime bool
	Reason  string
	Source  string
	Raw     string      // what the source wrote, shortened to 500 bytes
	Bar     *series.Bar // where it could be read as a bar
	At      series.Time // when it was set aside
}

// asideRecord is an Entry on disk. Floats are bit patterns, because a NaN may
// be the very reason.
type asideRecord struct {
	Time   *series.Time `json:"t,omitempty"`
	Reason string       `json:"reason"`
	Source string       `json:"source,omitempty"`
	Raw    string       `json:"raw,omitempty"`
	Bar    []string     `json:"bar,omitempty"` // hexadecimal bits: open high low close volume quote_volume trades
	Prov   series.Prov  `json:"prov,omitempty"`
	At     series.Time  `json:"at"`
}

const maxRaw = 500

// asideValue encodes an entry.
func (s *Store) asideValue(e Entry) ([]byte, asideRecord) {
	r := asideRecord{Reason: e.Reason, Source: e.Source, Raw: e.Raw, At: e.At}
	if e.HasTime {
		r.Time = &e.Time
	}
	if b := e.Bar; b != nil {
		for _, f := range [...]float64{b.Open, b.High, b.Low, b.Close, b.Volume, b.QuoteVolume, b.Trades} {
			r.Bar = append(r.Bar, strconv.FormatUint(math.Float64bits(f), 16))
		}
		r.Prov = b.Prov
	}
	value, err := json.Marshal(r)
	if err != nil { // strings and integers always have a JSON form
		panic("storage: quarantine entry: " + err.Error())
	}
	return value, r
}

// asideKey returns a new key for an entry.
func (s *Store) asideKey(id seriesID, e *Entry) []byte {
	return binary.BigEndian.AppendUint64(numberKey(spaceAside, id, int64(e.Time)), s.seq.Add(1))
}

// SetAside puts entries into quarantine, in one durable batch per series. An entry that
// is there already, same time, reason and raw value, is not added again. Series
// that do not exist are created, without bars.
func (s *Store) SetAside(ctx context.Context, es []Entry) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	byKey := make(map[series.Key][]Entry)
	var keys []series.Key
	for _, e := range es {
		if byKey[e.Key] == nil {
			keys = append(keys, e.Key)
		}
		byKey[e.Key] = append(byKey[e.Key], e)
	}
	for _, k := range keys {
		if err := s.setAsideOf(ctx, k, byKey[k]); err != nil {
			return err
		}
	}
	return nil
}

// setAsideOf puts entries of one series into quarantine.
func (s *Store) setAsideOf(ctx context.Context, key series.Key, es []Entry) error {
	st, err := s.create(ctx, key, 0)
	if err != nil {
		return err
	}
	h, err := s.hold(ctx, st.mu)
	if err != nil {
		return err
	}
	defer h.release()
	c := s.begin(st, opAside)
	for i := range es {
		e := &es[i]
		if e.At == 0 {
			e.At = c.now
		}
		if len(e.Raw) > maxRaw {
			e.Raw = e.Raw[:maxRaw]
		}
		same, err := s.hasAside(st, e, c.seen)
		if err != nil {
			return err
		}
		if !same {
			c.addAside(e)
		}
	}
	if len(c.sets) == 0 {
		return nil
	}
	wait, err := c.commit(ctx, h, true)
	if err != nil {
		return err
	}
	h.release()
	return wait()
}

// addAside plans to put e into quarantine.
func (c *change) addAside(e *Entry) {
	c.st.aside.Store(true)
	value, _ := c.s.asideValue(*e)
	key := c.s.asideKey(c.st.id, e)
	c.ledger.aside += sumOf(key, value)
	c.ledger.asides++
	c.set(key, value)
	c.entry.asides = append(c.entry.asides, asidePair{time: e.Time, id: binary.BigEndian.Uint64(key[13:])})
}

// takeOut plans to take a bar out of quarantine; the journal keeps it.
func (c *change) takeOut(k, v []byte) {
	c.dels = append(c.dels, slices.Clone(k))
	c.ledger.aside -= sumOf(k, v)
	c.ledger.asides--
	ms, _ := numberOf(k)
	c.entry.discards = append(c.entry.discards, asidePair{series.Time(ms), binary.BigEndian.Uint64(k[13:]), slices.Clone(v)})
}

// putAside makes the quarantine what it was: the bars of gone leave it, those of
// back are in it again. It returns how many there were to do.
func (s *Store) putAside(ctx context.Context, st *state, gone, back []asidePair) (int64, error) {
	h, err := s.hold(ctx, st.mu)
	if err != nil {
		return 0, err
	}
	defer h.release()
	c := s.begin(st, opAside)
	for _, a := range gone {
		key := a.key(st.id)
		if _, err := s.eng.Get(key, func(v []byte) error {
			c.takeOut(key, v)
			return nil
		}); err != nil {
			return 0, err
		}
	}
	for _, a := range back {
		key := a.key(st.id)
		found, err := s.eng.Get(key, func([]byte) error { return nil })
		if err != nil {
			return 0, err
		}
		if found {
			continue
		}
		st.aside.Store(true)
		c.ledger.aside += sumOf(key, a.value)
		c.ledger.asides++
		c.set(key, a.value)
		c.entry.asides = append(c.entry.asides, asidePair{time: a.time, id: a.id})
	}
	n := int64(len(c.dels) + len(c.sets))
	if n == 0 {
		return 0, nil
	}
	wait, err := c.commit(ctx, h, true)
	if err != nil {
		return 0, err
	}
	h.release()
	return n, wait()
}

// hasAside reports whether an entry with the time, reason and raw value of e
// is stored, or was seen in this call.
func (s *Store) hasAside(st *state, e *Entry, seen map[string]bool) (bool, error) {
	_, own := s.asideValue(*e)
	id := fmt.Sprintf("%d %d %s %s %v", st.id, e.Time, e.Reason, e.Raw, own.Bar)
	if seen[id] {
		return true, nil
	}
	seen[id] = true
	c, err := s.eng.Cursor(numberKey(spaceAside, st.id, int64(e.Time)), numberKey(spaceAside, st.id, int64(e.Time)+1))
	if err != nil {
		return false, err
	}
	defer c.Close()
	for ok := c.First(); ok; ok = c.Next() {
		v, err := c.Value()
		if err != nil {
			return false, err
		}
		var r asideRecord
		if json.Unmarshal(v, &r) == nil && r.Reason == e.Reason && r.Raw == e.Raw && slices.Equal(r.Bar, own.Bar) {
			return true, nil
		}
	}
	return false, c.Err()
}

// Aside streams the quarantine of one series, or with a nil key of all, in
// order of series and time.
func (s *Store) Aside(ctx context.Context, key *series.Key) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if err := s.enter(); err != nil {
			yield(Entry{}, err)
			return
		}
		defer s.leave()
		lo, hi, sts := []byte{spaceAside}, []byte{spaceAside + 1}, []*state(nil)
		if key == nil {
			sts = s.all()
		} else {
			st := s.lookup(*key)
			if st == nil {
				return
			}
			lo, hi, sts = seriesKey(spaceAside, st.id), seriesKey(spaceAside, st.id+1), []*state{st}
		}
		// A bar that waits to be written may be one that goes into quarantine.
		for _, st := range sts {
			if err := s.settleForRead(ctx, st); err != nil {
				yield(Entry{}, err)
				return
			}
		}
		c, err := s.eng.Cursor(lo, hi)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		defer c.Close()
		for ok := c.First(); ok; ok = c.Next() {
			if err := ctx.Err(); err != nil {
				yield(Entry{}, err)
				return
			}
			e, err := s.readAside(c)
			if !yield(e, err) || err != nil {
				return
			}
		}
		if err := c.Err(); err != nil {
			yield(Entry{}, err)
		}
	}
}

func (s *Store) readAside(c cursor) (Entry, error) {
	k := c.Key()
	if len(k) != 21 {
		return Entry{}, errors.New("quarantine key has a wrong length")
	}
	v, err := c.Value()
	if err != nil {
		return Entry{}, err
	}
	var r asideRecord
	if err := json.Unmarshal(v, &r); err != nil {
		return Entry{}, fmt.Errorf("quarantine entry: %w", err)
	}
	e := Entry{ID: binary.BigEndian.Uint64(k[13:]), Reason: r.Reason, Source: r.Source, Raw: r.Raw, At: r.At}
	s.mu.RLock()
	if st := s.ids[seriesOf(k)]; st != nil {
		e.Key = st.key
	}
	s.mu.RUnlock()
	if r.Time != nil {
		e.Time, e.HasTime = *r.Time, true
	}
	if len(r.Bar) == 7 {
		var f [7]float64
		for i, x := range r.Bar {
			u, err := strconv.ParseUint(x, 16, 64)
			if err != nil {
				return Entry{}, fmt.Errorf("quarantine entry: %w", err)
			}
			f[i] = math.Float64frombits(u)
		}
		e.Bar = &series.Bar{Time: e.Time, Open: f[0], High: f[1], Low: f[2], Close: f[3], Volume: f[4], QuoteVolume: f[5], Trades: f[6], Prov: r.Prov}
	}
	return e, nil
}

// Discard takes an entry out of the quarantine of a series. The journal keeps
// it, so that it can be undone, and it is durable when it returns; to discard what is not there changes nothing.
func (s *Store) Discard(ctx context.Context, key series.Key, id uint64) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	st, err := s.known(key)
	if err != nil {
		return err
	}
	h, err := s.hold(ctx, st.mu)
	if err != nil {
		return err
	}
	defer h.release()
	c := s.begin(st, opAside)
	if err := eachPair(s.eng, seriesKey(spaceAside, st.id), seriesKey(spaceAside, st.id+1), func(k, v []byte) error {
		if len(k) == 21 && binary.BigEndian.Uint64(k[13:]) == id {
			c.takeOut(k, v)
		}
		return nil
	}); err != nil || len(c.dels) == 0 {
		return err
	}
	wait, err := c.commit(ctx, h, true)
	if err != nil {
		return err
	}
	h.release()
	return wait()
}
