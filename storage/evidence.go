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
	defer s.leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	st, err := s.create(ctx, key, 0)
	if err != nil {
		return err
	}
	for _, g := range gaps {
		if g.State.Present() || g.State == series.StateSynthetic || int(g.State) >= series.NumStates || g.Empty() {
			return fmt.Errorf("%s: %v cannot be explained as %v", key, g.Run, g.State)
		}
	}
	for _, g := range gaps {
		if err := s.explainOne(ctx, st, g); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) explainOne(ctx context.Context, st *state, g Absence) error {
	h, err := s.hold(ctx, st.mu)
	if err != nil {
		return err
	}
	defer h.release()
	c := s.begin(st, opExplain)
	if err := c.explain(g); err != nil {
		return err
	}
	wait, err := c.commit(ctx, h, true)
	if err != nil {
		return err
	}
	h.release()
	return wait()
}

// explain plans to record g.
func (c *change) explain(g Absence) error {
	old, err := c.s.evidence(c.st)
	if err != nil {
		return err
	}
	c.st.explained.Store(true)
	c.entry.runs = series.Join(c.entry.runs, g.Run)
	left := map[int64]bool{} // first slots that are written again
	set := func(g Absence) {
		k, v := evidencePair(c.st.id, g)
		c.ledger.evidence += sumOf(k, v)
		c.ledger.evidences++
		left[int64(g.From)] = true
		c.set(k, v)
	}
	var gone []int64
	for _, o := range old {
		if o.Intersect(g.Run).Empty() {
			continue
		}
		c.ledger.evidence -= sumOf(evidencePair(c.st.id, o))
		c.ledger.evidences--
		gone = append(gone, int64(o.From))
		for _, rest := range series.Subtract(nil, []series.Run{o.Run}, []series.Run{g.Run}) {
			set(Absence{Run: rest, State: o.State, Reason: o.Reason})
		}
	}
	if g.State != series.StateMissing {
		set(g)
	}
	for _, from := range gone {
		if !left[from] {
			c.dels = append(c.dels, numberKey(spaceEvidence, c.st.id, from))
		}
	}
	return nil
}

// evidencePair is g as it is stored.
func evidencePair(id seriesID, g Absence) (key, value []byte) {
	v := binary.BigEndian.AppendUint64([]byte{byte(g.State)}, uint64(g.To))
	return numberKey(spaceEvidence, id, int64(g.From)), append(v, g.Reason...)
}

// explainLost quarantines the slots of runs, which ascend, that no evidence
// explains.
func (c *change) explainLost(runs []series.Run) error {
	known, err := c.s.evidence(c.st)
	if err != nil {
		return err
	}
	explained := make([]series.Run, 0, len(known))
	for _, e := range known {
		explained = series.Join(explained, e.Run)
	}
	for _, r := range series.Subtract(nil, runs, explained) {
		if err := c.explain(Absence{Run: r, State: series.StateQuarantined, Reason: lostReason}); err != nil {
			return err
		}
	}
	return nil
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
