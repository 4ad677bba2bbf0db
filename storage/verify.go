package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage/block"
)

// VerifyOptions say what Verify does.
type VerifyOptions struct {
	// Repair sets damaged blocks aside: their bars are no longer listed, their
	// slots become quarantined, and healing fetches them again.
	Repair bool
	// pace, where set, is called with the bytes of each block that was read.
	pace func(bytes int64)
	// Progress, where set, is called as blocks are read.
	Progress func(done, total int64)
}

// VerifyReport is what Verify found.
type VerifyReport struct {
	Series, Blocks, Bars int64
	Bytes                int64 // of encoded blocks
	Journal              int64 // entries
	// Damaged are the blocks that cannot be read, or do not hold what their
	// summary says.
	Damaged []*CorruptError
	// Repaired is how many of them were set aside.
	Repaired int64
	// Problems are other faults, such as totals that do not add up.
	Problems []string

	summaries string // why the summaries of the series looked at last are wrong
}

// OK reports whether nothing was found.
func (r *VerifyReport) OK() bool { return len(r.Damaged) == 0 && len(r.Problems) == 0 }

// Verify reads every block and row, checks every checksum, and counts again
// what summaries, ledger and journal say. Bars can be read and written
// meanwhile. The error is only for what kept it from going on.
func (s *Store) Verify(ctx context.Context, o VerifyOptions) (VerifyReport, error) {
	if err := s.enter(); err != nil {
		return VerifyReport{}, err
	}
	defer s.leave()
	var rep VerifyReport
	total := s.Stats().Blocks
	sts := s.all()
	slices.SortFunc(sts, func(a, b *state) int { return int(a.id) - int(b.id) })
	for _, st := range sts {
		rep.Series++
		bad, err := s.verifySeries(ctx, st, &rep, o, total)
		if err != nil {
			return rep, err
		}
		if o.Repair {
			// Damaged tables first: most of them can be put right, and what they
			// hold is then not damaged.
			if err := s.mendNow(ctx, foundVerify); err != nil {
				return rep, err
			}
		}
		if o.Repair && len(bad) > 0 {
			n, err := s.setAside(ctx, st, bad, foundVerify)
			rep.Repaired += n
			if err != nil {
				return rep, err
			}
		}
		if o.Repair && rep.summaries != "" {
			if err := s.reconcile(ctx, st, rep.summaries, foundVerify); err != nil {
				return rep, err
			}
		}
	}
	if err := s.verifyJournal(ctx, &rep); err != nil {
		return rep, err
	}
	return rep, s.verifyStamp(ctx, &rep, o.Repair)
}

// verifyStamp counts all that is stored and compares it with the stamp.
func (s *Store) verifyStamp(ctx context.Context, rep *VerifyReport, repair bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.commitMu.Lock()
	snap, want := s.eng.Snapshot(), s.stamp
	s.commitMu.Unlock()
	got, err := s.countAll(snap, nil)
	if cerr := snap.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		if errors.Is(err, series.ErrCorrupt) {
			rep.Problems = append(rep.Problems, err.Error())
			return nil
		}
		return err
	}
	got.seq, got.at = want.seq, want.at
	if got == want {
		return nil
	}
	rep.Problems = append(rep.Problems, fmt.Sprintf("what is stored does not add up to commit %d: entries of the ledger, the registry or the journal are lost or changed", want.seq))
	if !repair {
		return nil
	}
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	return s.restamp(s.stamp.seq)
}

// verifySeries checks one series and returns its damaged blocks.
func (s *Store) verifySeries(ctx context.Context, st *state, rep *VerifyReport, o VerifyOptions, total int64) ([]int64, error) {
	if err := s.settle(ctx, st); err != nil {
		rep.Problems = append(rep.Problems, "bars wait to be written: "+err.Error())
	}
	rep.summaries = ""
	snap := &Snapshot{s: s, snap: s.eng.Snapshot()}
	defer snap.snap.Close() // not Close: the store may be closing, and waits for us
	v, err := snap.view(st.key)
	if err != nil {
		if !tellsDamage(err) {
			return nil, err
		}
		rep.Problems = append(rep.Problems, err.Error())
		return nil, nil
	}
	var (
		bad          []int64
		bars, blocks int64
		pages        = make(map[int64]*page)
		r            pageReader
	)
	lo, hi := blocksOf(v.all())
	err = v.eachSummary(lo, hi, &r, func(r *pageReader) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		rep.Blocks++
		if o.Progress != nil {
			o.Progress(rep.Blocks, total)
		}
		blocks++
		sum := &summary{block: r.block, present: r.present, marks: r.marks, rows: r.rows, damaged: r.damaged}
		if t := v.ledger.tail; t != nil && t.block == r.block {
			sum.stats = t.stats
		} else {
			p := pages[pageOf(r.block)]
			if p == nil {
				if p, err = readPage(snap.snap, st.id, pageOf(r.block)); err != nil {
					if tellsDamage(err) {
						err = corruptPage(st, pageOf(r.block), err)
					}
					return err
				}
				pages[p.number] = p
			}
			if x := p.get(r.block); x != nil {
				sum.stats = x.stats
			}
		}
		if o.pace != nil {
			if r.damaged {
				return nil // known already
			}
			o.pace(int64(sum.stats.bytes))
		}
		bars += int64(sum.stats.count)
		rep.Bytes += int64(sum.stats.bytes)
		damage, err := s.verifyBlock(v, sum)
		if damage != nil {
			rep.Damaged = append(rep.Damaged, damage)
			bad = append(bad, r.block)
		}
		return err
	})
	if err != nil {
		if ctx.Err() != nil || !tellsDamage(err) {
			return bad, err
		}
		rep.Problems = append(rep.Problems, err.Error())
		rep.summaries = err.Error()
		return bad, nil
	}
	if rep.summaries, err = v.checkSums(); err != nil {
		if !tellsDamage(err) {
			return bad, err
		}
		rep.summaries = err.Error()
	}
	if rep.summaries != "" {
		rep.Problems = append(rep.Problems, st.key.String()+": "+rep.summaries)
	}
	rep.Bars += bars
	if bars != v.ledger.bars {
		rep.Problems = append(rep.Problems, fmt.Sprintf("%s: the ledger counts %d bars, the blocks hold %d", st.key, v.ledger.bars, bars))
	}
	return bad, nil
}

// verifyBlock decodes a block and compares it with its summary.
func (s *Store) verifyBlock(v *view, sum *summary) (*CorruptError, error) {
	var cols block.Columns
	if err := s.loadBlock(v.r, v.st, sum, &cols); err != nil {
		return asDamage(err)
	}
	want := newSummary(sum.block, &cols)
	switch {
	case !slices.Equal(want.present, sum.present):
		return corruptBlock(v.st, sum.block, "the block does not hold the bars that its summary lists"), nil
	case !slices.Equal(want.marks, sum.marks):
		return corruptBlock(v.st, sum.block, "the states of its bars are not those of its summary"), nil
	case want.stats.count != sum.stats.count:
		return corruptBlock(v.st, sum.block, fmt.Sprintf("the summary counts %d bars, the block holds %d", sum.stats.count, want.stats.count)), nil
	}
	sumNow, groups, err := storedSum(v.r, v.st.id, sum.block)
	if err != nil {
		return asDamage(blockFault(v.st, sum.block, err))
	}
	if sumNow != sum.stats.sum || groups != sum.rows {
		return corruptBlock(v.st, sum.block, "the stored bars are not the ones that were written last"), nil
	}
	if sum.rows > 0 {
		return nil, nil // the other figures are those of the folded part
	}
	var got blockStats
	found, err := v.r.Get(numberKey(spaceBlock, v.st.id, sum.block), func(value []byte) error {
		version := sum.stats.version
		var err error
		if got, err = statsOf(blockCheckKey(v.st.id, sum.block, version), value, version); err != nil {
			return corruptBlock(v.st, sum.block, "its header cannot be read: "+err.Error())
		}
		return nil
	})
	if err != nil {
		return asDamage(blockFault(v.st, sum.block, err))
	}
	if !found {
		return corruptBlock(v.st, sum.block, "the block is not there"), nil
	}
	if !got.same(&sum.stats) {
		return corruptBlock(v.st, sum.block, "the figures of its summary are not those of the block"), nil
	}
	return nil, nil
}

// asDamage tells damage from other errors.
func asDamage(err error) (*CorruptError, error) {
	if c, ok := errors.AsType[*CorruptError](err); ok {
		return c, nil
	}
	return nil, err
}

// same compares figures bit by bit: a NaN equals itself.
func (s *blockStats) same(o *blockStats) bool {
	a, b := appendStats(nil, 0, s), appendStats(nil, 0, o)
	return slices.Equal(a, b)
}

// setAside takes damaged blocks out of the summaries.
func (s *Store) setAside(ctx context.Context, st *state, bad []int64, found string) (int64, error) {
	h, err := s.hold(ctx, st.mu)
	if err != nil {
		return 0, err
	}
	defer h.release()
	c := s.begin(st, opDamage)
	var n int64
	for _, b := range bad {
		old, err := c.summary(b)
		if err != nil {
			return 0, err
		}
		if old == nil || old.damaged {
			continue
		}
		// A write may have mended it meanwhile.
		why, err := s.verifyBlock(&view{s: s, st: st, r: s.eng, ledger: st.ledger}, old)
		if err != nil {
			return 0, err
		}
		if why == nil {
			continue
		}
		if err := c.asideBlock(b); err != nil {
			return 0, err
		}
		c.damages = append(c.damages, Damage{
			Key: st.key, Span: why.Span, Bars: int64(old.stats.count), Found: found,
			What: why.Reason + "; quarantined until its bars are written again",
		})
		n++
	}
	if n == 0 {
		return 0, nil
	}
	if err := c.findEnds(); err != nil {
		return 0, err
	}
	wait, err := c.commit(ctx, h, true)
	if err != nil {
		return 0, err
	}
	h.release()
	return n, wait()
}

func (s *Store) verifyJournal(ctx context.Context, rep *VerifyReport) error {
	c, err := s.eng.Cursor([]byte{spaceJournal}, []byte{spaceJournal + 1})
	if err != nil {
		return err
	}
	defer c.Close()
	for ok := c.First(); ok; ok = c.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		rep.Journal++
		v, err := c.Value()
		if err == nil {
			_, err = decodeJournal(v)
		}
		if err != nil {
			if !tellsDamage(err) {
				return err // the disk failed to read, which says nothing of what it holds
			}
			rep.Problems = append(rep.Problems, fmt.Sprintf("journal entry %x: %v", c.Key()[1:], err))
		}
	}
	err = c.Err()
	if err != nil && tellsDamage(err) {
		rep.Problems = append(rep.Problems, "journal: "+err.Error())
		return nil
	}
	return err
}

// checkSums compares pages, evidence and quarantine with the ledger and says
// what differs.
func (v *view) checkSums() (string, error) {
	var got ledger
	for _, space := range [...]byte{spaceCoverage, spaceStats} {
		if err := eachPair(v.r, seriesKey(space, v.st.id), seriesKey(space, v.st.id+1), func(k, val []byte) error {
			got.pages += sumOf(k, val)
			return nil
		}); err != nil {
			return "", err
		}
	}
	if err := got.countExtras(v.r, v.st.id); err != nil {
		return "", err
	}
	switch l := v.ledger; {
	case got.pages != l.pages:
		return "its summaries are not those that its ledger counts", nil
	case got.evidence != l.evidence || got.evidences != l.evidences:
		return "its evidence of absence is not what its ledger counts", nil
	case got.aside != l.aside || got.asides != l.asides:
		return "its quarantine is not what its ledger counts", nil
	}
	return "", nil
}
