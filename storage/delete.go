package storage

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage/block"
)

// deleteBatch is the number of blocks deleted at a time.
const deleteBatch = 64

// Delete removes the bars of span and returns how many there were; the journal
// keeps them. It is durable when it returns. Long spans are deleted in
// stretches of 64 blocks, each all or nothing; after an error the count says
// how many bars are gone.
func (s *Store) Delete(ctx context.Context, key series.Key, span series.Span) (int64, error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	st, err := s.known(key)
	if err != nil {
		return 0, err
	}
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, more, err := s.deleteSome(ctx, st, span)
		total += n
		if err != nil || !more {
			return total, err
		}
	}
}

func (s *Store) deleteSome(ctx context.Context, st *state, span series.Span) (n int64, more bool, err error) {
	h, err := s.hold(ctx, st.mu)
	if err != nil {
		return 0, false, err
	}
	defer h.release()
	if err := s.flushRelaxed(ctx, st, h); err != nil {
		return 0, false, err
	}
	v := &view{s: s, st: st, r: s.eng, ledger: st.ledger}
	parts, err := v.blocks(v.run(span))
	if err != nil || len(parts) == 0 {
		return 0, false, err
	}
	if len(parts) > deleteBatch {
		parts, more = parts[:deleteBatch], true
	}
	c := s.begin(st, opDelete)
	var puts []putSummary
	for i := range parts {
		p, err := c.deleteBlock(&parts[i])
		if err != nil {
			return 0, false, err
		}
		puts = append(puts, p)
	}
	if err := c.encode(); err != nil {
		return 0, false, err
	}
	for _, p := range puts {
		if err := c.put(p.old, p.new); err != nil {
			return 0, false, err
		}
	}
	if err := c.findEnds(); err != nil {
		return 0, false, err
	}
	wait, err := c.commit(ctx, h, true)
	if err != nil {
		return 0, false, err
	}
	h.release()
	return c.entry.removed, more, wait()
}

// deleteBlock plans the removal of the bars of p.
func (c *change) deleteBlock(p *part) (putSummary, error) {
	old, err := c.summary(p.block)
	if err != nil {
		return putSummary{}, err
	}
	if old.damaged && (p.from > 0 || p.to < blockSlots) {
		return putSummary{old, old}, nil // what is left of it is still to be fetched
	}
	if old.damaged { // nothing that could be kept
		c.gone = append(c.gone, p.block)
		return putSummary{old, &summary{block: p.block}}, nil
	}
	c.entry.removed += int64(p.count)
	c.touch = series.Join(c.touch, blockRun(p.block))
	if p.whole && p.rows == 0 {
		if err := c.keepBlock(p.block); err != nil {
			return putSummary{}, err
		}
		c.gone = append(c.gone, p.block)
		return putSummary{old, &summary{block: p.block}}, nil
	}
	var cols, removed, rest block.Columns
	if err := c.s.loadBlock(c.s.eng, c.st, old, &cols); err != nil {
		return putSummary{}, err
	}
	for i, slot := range cols.Slot {
		if slot >= p.from && slot < p.to {
			appendColumns(&removed, &cols, i, i+1)
		} else {
			appendColumns(&rest, &cols, i, i+1)
		}
	}
	if err := c.entry.remember(c.st.id, p.block, c.seq, &removed); err != nil {
		return putSummary{}, err
	}
	if len(rest.Slot) == 0 {
		c.gone = append(c.gone, p.block)
		return putSummary{old, &summary{block: p.block}}, nil
	}
	sum := newSummary(p.block, &rest)
	c.jobs = append(c.jobs, encodeJob{sum: sum, cols: rest})
	c.drops = append(c.drops, series.Range[int64]{From: p.block, To: p.block + 1})
	return putSummary{old, sum}, nil
}

// keepBlock copies the encoded block into the journal.
func (c *change) keepBlock(b int64) error {
	found, err := c.s.eng.Get(numberKey(spaceBlock, c.st.id, b), func(v []byte) error {
		if len(v) < 8 {
			return corruptBlock(c.st, b, "the block is too short")
		}
		c.entry.before = append(c.entry.before, beforeBlock{
			block: b, version: binary.LittleEndian.Uint64(v), data: append([]byte(nil), v[8:]...),
		})
		c.bytes += len(v)
		return nil
	})
	if err == nil && !found {
		err = corruptBlock(c.st, b, "the block is not there")
	}
	return err
}

// findEnds finds the first and the last bar again after bars were removed.
func (c *change) findEnds() error {
	l := &c.ledger
	if l.bars == 0 {
		l.tail, l.first, l.last, l.lastBar = nil, 0, 0, series.Bar{}
		return nil
	}
	lo, hi := pageOf(blockOf(c.st.ledger.first)), pageOf(blockOf(c.st.ledger.last))
	first, err := c.findFirst(lo, hi)
	if err != nil {
		return err
	}
	l.first = first
	if l.tail == nil {
		if err := c.findTail(lo, hi); err != nil {
			return err
		}
	}
	t := l.tail
	l.last = blockStart(t.block) + series.Slot(t.present[len(t.present)-1].to-1)
	for i := range c.jobs {
		if j := &c.jobs[i]; j.sum == t {
			l.lastBar = rowBar(&j.cols, len(j.cols.Slot)-1)
			l.lastBar.Time = c.st.grid().Time(l.last)
			return nil
		}
	}
	if l.last == c.st.ledger.last {
		return nil
	}
	var cols block.Columns
	if err := c.s.loadBlock(c.s.eng, c.st, t, &cols); err != nil {
		return err
	}
	l.lastBar = rowBar(&cols, len(cols.Slot)-1)
	l.lastBar.Time = c.st.grid().Time(l.last)
	return nil
}

// findFirst returns the first slot with a bar.
func (c *change) findFirst(lo, hi int64) (series.Slot, error) {
	for n := lo; n <= hi; n++ {
		p, err := c.page(n)
		if err != nil {
			return 0, err
		}
		for _, s := range p.blocks {
			if len(s.present) > 0 {
				return blockStart(s.block) + series.Slot(s.present[0].from), nil
			}
		}
	}
	t := c.ledger.tail
	return blockStart(t.block) + series.Slot(t.present[0].from), nil
}

// findTail moves the last block that has bars from its page into the ledger.
func (c *change) findTail(lo, hi int64) error {
	for n := hi; n >= lo; n-- {
		p, err := c.page(n)
		if err != nil {
			return err
		}
		for _, s := range slices.Backward(p.blocks) {
			if len(s.present) > 0 {
				c.ledger.tail = s
				p.put(&summary{block: s.block}) // takes it out
				c.dirty[n] = true
				return nil
			}
		}
	}
	return corruptPage(c.st, hi, errPage)
}
