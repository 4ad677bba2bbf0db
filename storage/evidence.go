package storage

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/barkeepdb/barkeep/series"
)

// Evidence explains why slots have no bar. It is kept as runs that do not
// overlap: key series and first slot, value
//
//	u8 state | i64 slot after the last | reason
//
// or, where the note says more than a reason, the state with its high bit set:
//
//	u8 state+0x80 | i64 slot after the last | uvarint attempts | varint first, last, next
//	uvarint bytes of fill, fill | reason
const evidenceNoted = 0x80

var errEvidence = errors.New("evidence entry is damaged")

// maxFill bounds the name of a fill.
const maxFill = 64

// Explain records why the slots of gaps have no bar, all in one durable change;
// what was recorded of them before is replaced, and of two that overlap the
// later counts. The state missing with a zero note removes what was recorded;
// with a note it says that the slots are missing still, and what was tried.
// StateSynthetic, with the name of a fill in its note, has bars invented for
// them while reading. States that stand for a bar are refused. Bars that are
// written later win over any evidence.
func (s *Store) Explain(ctx context.Context, key series.Key, gaps []series.Absence) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, g := range gaps {
		if err := checkAbsence(g); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	st, err := s.create(ctx, key, 0)
	if err != nil || len(gaps) == 0 {
		return err
	}
	h, err := s.hold(ctx, st.mu)
	if err != nil {
		return err
	}
	defer h.release()
	c := s.begin(st, opExplain)
	if err := c.explain(gaps...); err != nil {
		return err
	}
	wait, err := c.commit(ctx, h, true)
	if err != nil {
		return err
	}
	h.release()
	return wait()
}

func checkAbsence(g series.Absence) error {
	switch {
	case g.Empty():
		return fmt.Errorf("a run of no slots cannot be explained")
	case g.State.Present() || int(g.State) >= series.NumStates || g.State == series.StateSynthetic && g.Note.Fill == "":
		return fmt.Errorf("%v cannot be explained as %v", g.Run, g.State)
	case g.Note.Fill != "" && (g.State != series.StateSynthetic || len(g.Note.Fill) > maxFill):
		return fmt.Errorf("%v: only synthetic slots have a fill, of at most %d bytes", g.Run, maxFill)
	case g.Note.Attempts < 0:
		return fmt.Errorf("%v: %d attempts", g.Run, g.Note.Attempts)
	}
	return nil
}

// explain plans to record gaps.
func (c *change) explain(gaps ...series.Absence) error {
	gaps, runs := apart(gaps)
	if len(runs) == 0 {
		return nil
	}
	old, err := c.s.evidenceOn(c.st, series.Run{From: runs[0].From, To: runs[len(runs)-1].To})
	if err != nil {
		return err
	}
	c.st.explained.Store(true)
	c.entry.runs = series.Union(nil, c.entry.runs, runs)
	c.entry.explained = series.Union(nil, c.entry.explained, runs)
	left := map[int64]bool{} // first slots that are written again
	set := func(g series.Absence) {
		k, v := evidencePair(c.st.id, g)
		c.ledger.evidence += sumOf(k, v)
		c.ledger.evidences++
		left[int64(g.From)] = true
		c.set(k, v)
	}
	var gone []int64
	for _, o := range old {
		for len(runs) > 0 && runs[0].To <= o.From {
			runs = runs[1:]
		}
		n, _ := slices.BinarySearchFunc(runs, o.To, func(r series.Run, to series.Slot) int { return cmp.Compare(r.From, to) })
		if n == 0 {
			continue // none meets o
		}
		c.ledger.evidence -= sumOf(evidencePair(c.st.id, o))
		c.ledger.evidences--
		gone = append(gone, int64(o.From))
		c.entry.evidence = append(c.entry.evidence, o)
		for _, rest := range series.Subtract(nil, []series.Run{o.Run}, runs[:n]) {
			set(series.Absence{Run: rest, State: o.State, Note: o.Note})
		}
	}
	for _, g := range gaps {
		if g.State != series.StateMissing || g.Note != (series.Note{}) {
			set(g)
		}
	}
	for _, from := range gone {
		if !left[from] {
			c.dels = append(c.dels, numberKey(spaceEvidence, c.st.id, from))
		}
	}
	return nil
}

// apart returns gaps in order and without overlaps, and the runs that they
// cover together. Of two that overlap the later counts.
func apart(gaps []series.Absence) ([]series.Absence, []series.Run) {
	var out []series.Absence
	var taken []series.Run
	for _, g := range slices.Backward(gaps) {
		free := []series.Run{g.Run}
		if n := len(taken); n > 0 && g.From < taken[n-1].To && taken[0].From < g.To {
			free = series.Subtract(nil, free, taken)
		}
		for _, r := range free {
			out = append(out, series.Absence{Run: r, State: g.State, Note: g.Note})
		}
		if n := len(taken); n == 0 || g.To < taken[0].From {
			taken = append(taken, series.Run{}) // most come in order: the last is the first here
			copy(taken[1:], taken)
			taken[0] = g.Run
		} else {
			taken = series.Union(nil, taken, []series.Run{g.Run})
		}
	}
	slices.SortFunc(out, func(a, b series.Absence) int { return cmp.Compare(a.From, b.From) })
	return out, taken
}

// evidencePair is g as it is stored.
func evidencePair(id seriesID, g series.Absence) (key, value []byte) {
	n := g.Note
	v := binary.BigEndian.AppendUint64([]byte{byte(g.State)}, uint64(g.To))
	if n != (series.Note{Reason: n.Reason}) {
		v[0] |= evidenceNoted
		v = binary.AppendUvarint(v, uint64(n.Attempts))
		for _, t := range [...]series.Time{n.First, n.Last, n.Next} {
			v = binary.AppendVarint(v, int64(t))
		}
		v = append(binary.AppendUvarint(v, uint64(len(n.Fill))), n.Fill...)
	}
	return numberKey(spaceEvidence, id, int64(g.From)), append(v, n.Reason...)
}

// readEvidence is the absence that evidencePair stored.
func readEvidence(from int64, v []byte) (g series.Absence, err error) {
	if len(v) < 9 || int(v[0]&^evidenceNoted) >= series.NumStates {
		return g, errEvidence
	}
	g.Run = series.Run{From: series.Slot(from), To: series.Slot(binary.BigEndian.Uint64(v[1:]))}
	g.State = series.State(v[0] &^ evidenceNoted)
	noted := v[0]&evidenceNoted != 0
	if v = v[9:]; noted {
		attempts, n := binary.Uvarint(v)
		if n <= 0 || attempts > math.MaxInt32 {
			return g, errEvidence
		}
		g.Note.Attempts, v = int32(attempts), v[n:]
		for _, t := range [...]*series.Time{&g.Note.First, &g.Note.Last, &g.Note.Next} {
			x, n := binary.Varint(v)
			if n <= 0 {
				return g, errEvidence
			}
			*t, v = series.Time(x), v[n:]
		}
		size, n := binary.Uvarint(v)
		if n <= 0 || size > uint64(len(v)-n) {
			return g, errEvidence
		}
		g.Note.Fill, v = string(v[n:n+int(size)]), v[n+int(size):]
	}
	g.Note.Reason = string(v)
	return g, nil
}

// explainLost quarantines the slots of runs, which ascend, that no evidence
// explains.
func (c *change) explainLost(runs []series.Run) error {
	if len(runs) == 0 {
		return nil
	}
	known, err := c.s.evidenceOn(c.st, series.Run{From: runs[0].From, To: runs[len(runs)-1].To})
	if err != nil {
		return err
	}
	explained := make([]series.Run, 0, len(known))
	for _, e := range known {
		explained = series.Join(explained, e.Run)
	}
	var lost []series.Absence
	for _, r := range series.Subtract(nil, runs, explained) {
		lost = append(lost, series.Absence{Run: r, State: series.StateQuarantined, Note: series.Note{Reason: lostReason}})
	}
	return c.explain(lost...)
}

// evidenceOn returns what is recorded of the slots of run.
func (s *Store) evidenceOn(st *state, run series.Run) ([]series.Absence, error) {
	c, err := s.eng.Cursor(nil, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var a absence
	v := &view{s: s, st: st, r: s.eng}
	err = v.lookEvidence(c, &a, run)
	return a.reasons, err
}

// lookEvidence adds the evidence on slots of run.
func (v *view) lookEvidence(c cursor, a *absence, run series.Run) error {
	prefix := seriesKey(spaceEvidence, v.st.id)
	mine := func() bool { return bytes.Equal(c.Key()[:min(5, len(c.Key()))], prefix) }
	// The last run that begins before may reach into this one.
	begin := numberKey(spaceEvidence, v.st.id, int64(run.From))
	ok := c.SeekLT(begin) && mine()
	if !ok {
		if err := c.Err(); err != nil {
			return err
		}
		ok = c.SeekGE(begin)
	}
	for ; ok && mine(); ok = c.Next() {
		from, _ := numberOf(c.Key())
		if series.Slot(from) >= run.To {
			break
		}
		val, err := c.Value()
		if err != nil {
			return err
		}
		g, err := readEvidence(from, val)
		if err != nil {
			return fmt.Errorf("%s: %w", v.st.key, err)
		}
		if !g.Intersect(run).Empty() {
			a.reasons = append(a.reasons, g)
		}
	}
	return c.Err()
}
