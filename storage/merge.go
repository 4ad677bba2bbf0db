package storage

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage/block"
)

// rowBar is row i of cols as a bar without its time.
func rowBar(cols *block.Columns, i int) series.Bar {
	b := series.Bar{
		Open: cols.Open[i], High: cols.High[i], Low: cols.Low[i], Close: cols.Close[i],
		Volume: cols.Volume[i], QuoteVolume: math.NaN(), Trades: math.NaN(),
	}
	if len(cols.QuoteVolume) > 0 {
		b.QuoteVolume = cols.QuoteVolume[i]
	}
	if len(cols.Trades) > 0 {
		b.Trades = cols.Trades[i]
	}
	if len(cols.Prov) > 0 {
		b.Prov = series.Prov(cols.Prov[i])
	}
	return b
}

// appendRowTo adds the wanted values of a row at the end of cols. The optional
// columns appear with the first row that has them.
func appendRowTo(cols *block.Columns, r *row, want block.Set) {
	n := len(cols.Slot)
	cols.Slot = append(cols.Slot, r.slot)
	for _, x := range [...]struct {
		set block.Set
		col *[]float64
		v   float64
	}{
		{block.ColOpen, &cols.Open, r.bar.Open},
		{block.ColHigh, &cols.High, r.bar.High},
		{block.ColLow, &cols.Low, r.bar.Low},
		{block.ColClose, &cols.Close, r.bar.Close},
		{block.ColVolume, &cols.Volume, r.bar.Volume},
	} {
		if want.Has(x.set) {
			*x.col = append(*x.col, x.v)
		}
	}
	if want.Has(block.ColQuoteVolume) {
		cols.QuoteVolume = appendOptional(cols.QuoteVolume, n, r.bar.QuoteVolume)
	}
	if want.Has(block.ColTrades) {
		cols.Trades = appendOptional(cols.Trades, n, r.bar.Trades)
	}
	if want.Has(block.ColProv) {
		cols.Prov = append(cols.Prov, uint32(r.bar.Prov))
	}
}

func appendOptional(col []float64, n int, v float64) []float64 {
	if len(col) == 0 && v != v {
		return col
	}
	for len(col) < n {
		col = append(col, math.NaN())
	}
	return append(col, v)
}

// appendColumns adds rows i to j of src, which holds the same columns as dst.
func appendColumns(dst, src *block.Columns, i, j int) {
	n := len(dst.Slot)
	add := func(d *[]float64, s []float64, optional bool) {
		switch {
		case len(s) > 0:
			for optional && len(*d) < n {
				*d = append(*d, math.NaN())
			}
			*d = append(*d, s[i:j]...)
		case optional && len(*d) > 0:
			for len(*d) < n+j-i {
				*d = append(*d, math.NaN())
			}
		}
	}
	dst.Slot = append(dst.Slot, src.Slot[i:j]...)
	add(&dst.Open, src.Open, false)
	add(&dst.High, src.High, false)
	add(&dst.Low, src.Low, false)
	add(&dst.Close, src.Close, false)
	add(&dst.Volume, src.Volume, false)
	add(&dst.QuoteVolume, src.QuoteVolume, true)
	add(&dst.Trades, src.Trades, true)
	if len(src.Prov) > 0 {
		dst.Prov = append(dst.Prov, src.Prov[i:j]...)
	}
}

// overlay returns the rows of base with rs, which ascend, laid over them.
func overlay(base *block.Columns, rs []row) block.Columns {
	return overlaySet(base, rs, block.All)
}

func overlaySet(base *block.Columns, rs []row, want block.Set) block.Columns {
	var out block.Columns
	i, n := 0, len(base.Slot)
	for k := range rs {
		from := i
		for i < n && base.Slot[i] < rs[k].slot {
			i++
		}
		if i > from {
			appendColumns(&out, base, from, i)
		}
		if i < n && base.Slot[i] == rs[k].slot {
			i++
		}
		appendRowTo(&out, &rs[k], want)
	}
	if i < n {
		appendColumns(&out, base, i, n)
	}
	return out
}

// latestRows sorts rows by slot and keeps the last of each slot; rs is in
// order of writing.
func latestRows(rs []row) []row {
	slices.SortStableFunc(rs, func(a, b row) int { return cmp.Compare(a.slot, b.slot) })
	out := rs[:0]
	for i := range rs {
		if i+1 < len(rs) && rs[i+1].slot == rs[i].slot {
			continue
		}
		out = append(out, rs[i])
	}
	return out
}

// stateOf is the state of a slot that holds a bar.
func stateOf(p series.Prov) series.State {
	switch {
	case p.Kind() == series.Corrected:
		return series.StateCorrected
	case p.Forming():
		return series.StateForming
	}
	return series.StateObserved
}

// newSummary describes all the bars of a block; the figures follow when it is
// encoded.
func newSummary(b int64, cols *block.Columns) *summary {
	s := &summary{block: b}
	n := len(cols.Slot)
	if n == blockSlots {
		s.present = []span16{{0, blockSlots}}
	} else {
		for i := 0; i < n; {
			j := i + 1
			for j < n && cols.Slot[j] == cols.Slot[j-1]+1 {
				j++
			}
			s.present = append(s.present, span16{cols.Slot[i], cols.Slot[j-1] + 1})
			i = j
		}
	}
	for i, p := range cols.Prov {
		if p&0xf != 0 {
			s.marks = addMark(s.marks, cols.Slot[i], stateOf(series.Prov(p)))
		}
	}
	s.stats.count = uint16(n)
	return s
}

func addMark(ms []mark, slot uint16, st series.State) []mark {
	if st == series.StateObserved {
		return ms
	}
	if n := len(ms); n > 0 && ms[n-1].to == slot && ms[n-1].state == st {
		ms[n-1].to++
		return ms
	}
	return append(ms, mark{span16{slot, slot + 1}, st})
}

// mergePresence is the presence and the marks of s after rows, which ascend,
// were laid over its block.
func mergePresence(s *summary, rs []row) ([]span16, []mark) {
	plain := len(s.marks) == 0
	for i := range rs {
		plain = plain && stateOf(rs[i].bar.Prov) == series.StateObserved
	}
	if plain {
		return addSlots(s.present, rs), nil
	}
	var state [blockSlots]int8 // 0 absent, else 1 + state
	for _, p := range s.present {
		for i := p.from; i < p.to; i++ {
			state[i] = 1 + int8(series.StateObserved)
		}
	}
	for _, m := range s.marks {
		for i := m.from; i < m.to; i++ {
			state[i] = 1 + int8(m.state)
		}
	}
	for i := range rs {
		state[rs[i].slot] = 1 + int8(stateOf(rs[i].bar.Prov))
	}
	var marks []mark
	for i, x := range state {
		if x > 0 {
			marks = addMark(marks, uint16(i), series.State(x-1))
		}
	}
	return addSlots(s.present, rs), marks
}

// addSlots is the set present with the slots of rs, which ascend.
func addSlots(present []span16, rs []row) []span16 {
	out := make([]span16, 0, len(present)+len(rs))
	add := func(x span16) {
		if n := len(out) - 1; n >= 0 && x.from <= out[n].to {
			out[n].to = max(out[n].to, x.to)
			return
		}
		out = append(out, x)
	}
	for i := range rs {
		slot := rs[i].slot
		for len(present) > 0 && present[0].from <= slot {
			add(present[0])
			present = present[1:]
		}
		add(span16{slot, slot + 1})
	}
	for _, p := range present {
		add(p)
	}
	return out
}

const setAsideReason = "set aside as damaged, to be fetched again"

// loadBlock reads a block with its rows laid over it.
func (s *Store) loadBlock(r reader, st *state, sum *summary, dst *block.Columns) error {
	if sum.damaged {
		err := corruptBlock(st, sum.block, setAsideReason)
		err.known = true
		return err
	}
	version := uint64(0)
	found, err := r.Get(numberKey(spaceBlock, st.id, sum.block), func(v []byte) error {
		w := workerPool.Get().(*worker)
		defer workerPool.Put(w)
		var err error
		if version, err = decodeBlock(&w.dec, st.id, sum.block, v, block.All, dst); err != nil {
			return corruptBlock(st, sum.block, err.Error())
		}
		return nil
	})
	if err != nil {
		return blockFault(st, sum.block, err)
	}
	if !found {
		dst.Reset()
		if sum.rows == 0 {
			return corruptBlock(st, sum.block, "the block is not there")
		}
	}
	if sum.rows == 0 {
		return nil
	}
	rs, err := readRows(r, st.id, sum.block, version, sum.rows)
	if err != nil {
		return blockFault(st, sum.block, err)
	}
	*dst = overlay(dst, rs)
	return nil
}

// decodeBlock decodes the value of a block and returns its version.
func decodeBlock(d *block.Decoder, id seriesID, b int64, value []byte, want block.Set, dst *block.Columns) (uint64, error) {
	if len(value) < 8 {
		return 0, fmt.Errorf("block has %d bytes", len(value))
	}
	version := binary.LittleEndian.Uint64(value)
	var key [32]byte
	k := binary.LittleEndian.AppendUint64(appendNumberKey(key[:0], spaceBlock, id, b), version)
	return version, d.Decode(k, value[8:], blockSlots, want, dst)
}

// readRows returns the rows of a block that are newer than its version, in
// order of slots, the last writing of each. groups is how many of them there
// must be.
func readRows(r reader, id seriesID, b int64, version uint64, groups uint32) ([]row, error) {
	c, err := r.Cursor(rowsKey(id, b, version+1), numberKey(spaceRows, id, b+1))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var rs []row
	var n uint32
	for ok := c.First(); ok; ok = c.Next() {
		n++
		v, err := c.Value()
		if err != nil {
			return nil, err
		}
		if err := eachRow(c.Key(), v, func(slot uint16, b *series.Bar) { rs = append(rs, row{slot, *b}) }); err != nil {
			return nil, err
		}
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	if n != groups {
		return nil, fmt.Errorf("%w: %d of %d groups are there", errRows, n, groups)
	}
	return latestRows(rs), nil
}

// blockFault says which bars cannot be read if err tells of damage. An error of
// the disk is left as it is: it may be gone the next time, and what is stored
// must not be set aside for it.
func blockFault(st *state, b int64, err error) error {
	if _, ok := errors.AsType[*CorruptError](err); ok || !tellsDamage(err) {
		return err
	}
	return corruptBlock(st, b, err.Error())
}

// tellsDamage reports whether err says that what was read is not what was
// written.
func tellsDamage(err error) bool {
	for _, e := range [...]error{series.ErrCorrupt, errPage, errLedger, errRows, errJournal, errEvidence, errStamp} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func corruptBlock(st *state, b int64, reason string) *CorruptError {
	return &CorruptError{Key: st.key, Span: st.grid().Span(blockRun(b)), Reason: reason}
}
