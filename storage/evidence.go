package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/barkeepdb/barkeep/series"
)

// Evidence explains why slots have no bar. It is kept as runs that do not
// overlap: key series and first slot, value u8 state, i64 slot after the last,
// reason.

var errEvidence = errors.New("evidence entry is damaged")

// Absence is a run of slots without bars and the reason for it.
type Absence struct {
	series.Run
	State  series.State
	Reason string // for a person; may be empty
}

// Explain records why the slots of gaps have no bar; what was recorded of
// them before is replaced. The state missing removes an explanation. States
// that stand for a bar are refused.
func (s *Store) Explain(ctx context.Context, key series.Key, gaps []Absence) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.ops.Done()
	if err := ctx.Err(); err != nil {
		return err
	}
	st, err := s.create(key, 0)
	if err != nil {
		return err
	}
	for _, g := range gaps {
		if g.State.Present() || g.State == series.StateSynthetic || int(g.State) >= series.NumStates || g.Empty() {
			return fmt.Errorf("%s: %v cannot be explained as %v", key, g.Run, g.State)
		}
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, g := range gaps {
		if err := s.explainOne(st, g); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) explainOne(st *state, g Absence) error {
	old, err := s.evidence(st)
	if err != nil {
		return err
	}
	st.explained.Store(true)
	b := s.eng.Batch()
	set := func(g Absence) error {
		v := binary.BigEndian.AppendUint64([]byte{byte(g.State)}, uint64(g.To))
		return b.Set(numberKey(spaceEvidence, st.id, int64(g.From)), append(v, g.Reason...))
	}
	for _, o := range old {
		if o.Intersect(g.Run).Empty() {
			continue
		}
		if err := b.Delete(numberKey(spaceEvidence, st.id, int64(o.From))); err != nil {
			return err
		}
		for _, rest := range series.Subtract(nil, []series.Run{o.Run}, []series.Run{g.Run}) {
			if err := set(Absence{Run: rest, State: o.State, Reason: o.Reason}); err != nil {
				return err
			}
		}
	}
	if g.State != series.StateMissing {
		if err := set(g); err != nil {
			return err
		}
	}
	return s.commit(b)
}

// evidence returns all that is recorded of a series.
func (s *Store) evidence(st *state) ([]Absence, error) {
	c, err := s.eng.Cursor(nil, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var a absence
	v := &view{s: s, st: st, r: s.eng}
	err = v.lookEvidence(c, &a, series.Run{From: -1 << 62, To: 1 << 62})
	return a.reasons, err
}

// lookEvidence adds the evidence on slots of run.
func (v *view) lookEvidence(c cursor, a *absence, run series.Run) error {
	prefix := seriesKey(spaceEvidence, v.st.id)
	for ok := c.SeekGE(prefix); ok; ok = c.Next() {
		key := c.Key()
		if !bytes.Equal(key[:min(5, len(key))], prefix) {
			break
		}
		from, _ := numberOf(key)
		if series.Slot(from) >= run.To {
			break
		}
		val, err := c.Value()
		if err != nil {
			return err
		}
		if len(val) < 9 || int(val[0]) >= series.NumStates {
			return fmt.Errorf("%s: %w", v.st.key, errEvidence)
		}
		g := Absence{
			Run:   series.Run{From: series.Slot(from), To: series.Slot(binary.BigEndian.Uint64(val[1:]))},
			State: series.State(val[0]), Reason: string(val[9:]),
		}
		if !g.Intersect(run).Empty() {
			a.reasons = append(a.reasons, g)
		}
	}
	return c.Err()
}
