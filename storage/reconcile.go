package storage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage/block"
)

// reconcile brings the summaries and the ledger of a series in line with the
// blocks and rows that can be read. A block that is not what its summary says
// is set aside, its bars recorded as damage; a summary that is lost is made
// anew from its block. It reads every block of the series.
func (s *Store) reconcile(ctx context.Context, st *state, why, found string) error {
	h, err := s.hold(ctx, st.mu)
	if err != nil {
		return err
	}
	defer h.release()
	c := s.begin(st, opDamage)
	r := reconciler{change: c, known: map[int64]*summary{}, found: found}
	if err := r.readSummaries(); err != nil {
		return err
	}
	if err := r.readBlocks(); err != nil {
		return err
	}
	r.judge()
	before := len(c.damages)
	if err := r.rebuild(); err != nil {
		return err
	}
	if before == 0 || why != "" {
		c.damages = append(c.damages, Damage{Key: st.key, What: why + "; its summaries were made anew", Found: found})
	}
	wait, err := c.commit(ctx, h, true)
	if err != nil {
		return err
	}
	h.release()
	s.cache.forget(st.id)
	return wait()
}

type reconciler struct {
	*change
	found   string
	counted int64              // lost bars that were counted with their block
	known   map[int64]*summary // as the readable summaries have it
	pages   map[int64]bool     // numbers of the pages that are stored
	stale   map[int64]bool     // pages that could not be read
	// What is stored, per block.
	stored map[int64]*storedBlock
}

// storedBlock is what can be read of one block.
type storedBlock struct {
	version uint64 // of the encoded block; 0 without one
	cols    block.Columns
	sum     uint64
	groups  uint32
	rows    []row
	bad     string // why it cannot be read
}

// readSummaries gathers every summary that can be read.
func (r *reconciler) readSummaries() error {
	r.pages, r.stale = map[int64]bool{}, map[int64]bool{}
	for _, space := range [...]byte{spaceCoverage, spaceStats} {
		if err := eachPair(r.s.eng, seriesKey(space, r.st.id), seriesKey(space, r.st.id+1), func(k, _ []byte) error {
			n, ok := numberOf(k)
			if ok {
				r.pages[n] = true
			}
			return nil
		}); err != nil {
			return err
		}
	}
	for n := range r.pages {
		p, err := readPage(r.s.eng, r.st.id, n)
		if errors.Is(err, errPage) {
			r.stale[n] = true
			continue
		}
		if err != nil {
			return err
		}
		for _, x := range p.blocks {
			r.known[x.block] = x
		}
	}
	if t := r.st.ledger.tail; t != nil {
		r.known[t.block] = t
	}
	return nil
}

// readBlocks reads every block and its rows.
func (r *reconciler) readBlocks() error {
	r.stored = map[int64]*storedBlock{}
	id := r.st.id
	at := func(b int64) *storedBlock {
		if r.stored[b] == nil {
			r.stored[b] = &storedBlock{}
		}
		return r.stored[b]
	}
	w := workerPool.Get().(*worker)
	defer workerPool.Put(w)
	if err := eachPair(r.s.eng, seriesKey(spaceBlock, id), seriesKey(spaceBlock, id+1), func(k, v []byte) error {
		n, ok := numberOf(k)
		if !ok {
			return nil
		}
		x := at(n)
		var err error
		if x.version, err = decodeBlock(&w.dec, id, n, v, block.All, &x.cols); err != nil {
			x.bad = err.Error()
			return nil
		}
		x.sum = blockSum(x.version, v)
		return nil
	}); err != nil {
		return err
	}
	return eachPair(r.s.eng, seriesKey(spaceRows, id), seriesKey(spaceRows, id+1), func(k, v []byte) error {
		n, ok := numberOf(k)
		if !ok || len(k) != 21 {
			return nil
		}
		x := at(n)
		seq := binary.BigEndian.Uint64(k[13:])
		if seq <= x.version {
			return nil // folded already
		}
		x.groups++
		x.sum += rowsSum(seq, v)
		if err := eachRow(k, v, func(slot uint16, b *series.Bar) { x.rows = append(x.rows, row{slot, *b}) }); err != nil {
			x.bad = err.Error()
		}
		return nil
	})
}

// judge decides on every block what is true of it.
func (r *reconciler) judge() {
	damaged := map[int64]bool{}
	for _, b := range r.st.ledger.damaged {
		damaged[b] = true
	}
	numbers := slices.Sorted(maps.Keys(r.stored))
	for n := range r.known {
		if r.stored[n] == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	next := map[int64]*summary{}
	for _, n := range numbers {
		sum, x := r.known[n], r.stored[n]
		if x == nil {
			x = &storedBlock{bad: "the block is not there"}
		}
		switch {
		case sum != nil && sum.damaged, sum == nil && damaged[n]:
			next[n] = &summary{block: n, damaged: true}
		case sum == nil && x.bad == "" && r.lostSummary(n):
			if y := r.adopt(n, x); y != nil {
				next[n] = y
			}
		case sum == nil && r.lostSummary(n):
			r.lose(n, 0, x.bad, next)
		case sum == nil:
			// Left behind by a deletion; nothing lists it.
		case x.bad != "":
			r.lose(n, int64(sum.stats.count), x.bad, next)
		case x.sum == sum.stats.sum && x.groups == sum.rows:
			if y := r.adopt(n, x); y != nil && slices.Equal(y.present, sum.present) {
				next[n] = sum
			} else {
				r.lose(n, int64(sum.stats.count), "the block does not hold the bars that its summary lists", next)
			}
		case x.version > sum.stats.version && x.groups == 0:
			next[n] = r.adopt(n, x) // the summary is older than its block
			r.damages = append(r.damages, Damage{Key: r.st.key, Span: r.st.grid().Span(blockRun(n)), What: "the summary was older than its block and was made anew", Found: r.found})
		default:
			r.lose(n, int64(sum.stats.count), "the stored bars are not the ones that were written last", next)
		}
	}
	r.known = next
}

// lostSummary reports whether block n may have had a summary that is lost.
func (r *reconciler) lostSummary(n int64) bool {
	return !r.pages[pageOf(n)] || r.stale[pageOf(n)] || r.st.unreadable != nil
}

// adopt is the summary of a block as it is stored; nil if it has no bars.
func (r *reconciler) adopt(n int64, x *storedBlock) *summary {
	cols := x.cols
	if len(x.rows) > 0 {
		cols = overlay(&x.cols, latestRows(slices.Clone(x.rows)))
	}
	if len(cols.Slot) == 0 {
		return nil
	}
	y := newSummary(n, &cols)
	count := y.stats.count
	if x.version > 0 {
		if _, err := r.s.eng.Get(numberKey(spaceBlock, r.st.id, n), func(v []byte) (err error) {
			y.stats, err = statsOf(blockCheckKey(r.st.id, n, x.version), v, x.version)
			return err
		}); err != nil {
			return nil
		}
	}
	y.stats.count, y.stats.sum, y.rows = count, x.sum, x.groups
	return y
}

func (r *reconciler) lose(n, bars int64, why string, next map[int64]*summary) {
	next[n] = &summary{block: n, damaged: true}
	r.entry.removed += bars
	r.counted += bars
	r.touch = series.Join(r.touch, blockRun(n))
	r.damages = append(r.damages, Damage{
		Key: r.st.key, Span: r.st.grid().Span(blockRun(n)), Bars: bars, Found: r.found,
		What: fmt.Sprintf("%s; quarantined until its bars are written again", why),
	})
}

// rebuild makes ledger and pages anew.
func (r *reconciler) rebuild() error {
	old := r.ledger
	l := ledger{placed: old.placed || len(r.stored) > 0}
	r.change.pages = map[int64]*page{}
	for n := range r.pages {
		r.change.pages[n] = &page{number: n}
		r.dirty[n] = true
	}
	var last *summary
	for _, n := range slices.Sorted(maps.Keys(r.known)) {
		x := r.known[n]
		l.blocks++
		l.bars += int64(x.stats.count)
		l.bytes += int64(x.stats.bytes)
		if x.rows > 0 {
			l.pending++
		}
		if x.damaged {
			l.damaged = append(l.damaged, n)
		} else {
			if last == nil {
				l.first = blockStart(n) + series.Slot(x.present[0].from)
			}
			last = x
		}
		number := pageOf(n)
		p := r.change.pages[number]
		if p == nil {
			p = &page{number: number}
			r.change.pages[number] = p
		}
		p.put(x)
		r.dirty[number] = true
	}
	if last != nil {
		r.change.pages[pageOf(last.block)].put(&summary{block: last.block}) // the tail is in the ledger
		l.tail = last
		l.last = blockStart(last.block) + series.Slot(last.present[len(last.present)-1].to-1)
		var cols block.Columns
		if err := r.s.loadBlock(r.s.eng, r.st, last, &cols); err != nil {
			return err
		}
		l.lastBar = rowBar(&cols, len(cols.Slot)-1)
		l.lastBar.Time = r.st.grid().Time(l.last)
	}
	if err := l.countExtras(r.s.eng, r.st.id); err != nil {
		return err
	}
	r.ledger = l
	if err := r.missing(&old); err != nil {
		return err
	}
	l = r.ledger
	if n := old.evidences - l.evidences; r.st.unreadable == nil && (n != 0 || old.evidence != l.evidence) {
		r.damages = append(r.damages, Damage{Key: r.st.key, What: fmt.Sprintf("evidence of absence was lost or changed: %d entries are there, %d were recorded", l.evidences, old.evidences), Found: r.found})
	}
	if n := old.asides - l.asides; r.st.unreadable == nil && (n != 0 || old.aside != l.aside) {
		r.damages = append(r.damages, Damage{Key: r.st.key, What: fmt.Sprintf("entries of the quarantine were lost or changed: %d are there, %d were recorded", l.asides, old.asides), Found: r.found})
	}
	r.st.explained.Store(l.evidences > 0)
	r.st.aside.Store(l.asides > 0)
	r.st.unreadable = nil
	return nil
}

// missing looks for bars that the old ledger counts and no summary tells of any
// more: which slots they had is not known, so all that are empty between the
// first and the last bar are quarantined.
func (r *reconciler) missing(old *ledger) error {
	lost := old.bars - r.ledger.bars - r.counted
	if lost <= 0 {
		return nil
	}
	run := series.Run{From: old.first, To: old.last + 1}
	var taken []series.Run
	for _, n := range slices.Sorted(maps.Keys(r.known)) {
		x := r.known[n]
		if x.damaged {
			taken = series.Join(taken, blockRun(n))
			continue
		}
		for _, p := range x.present {
			start := blockStart(n)
			taken = series.Join(taken, series.Run{From: start + series.Slot(p.from), To: start + series.Slot(p.to)})
		}
	}
	if err := r.explainLost(series.Subtract(nil, []series.Run{run}, taken)); err != nil {
		return err
	}
	r.damages = append(r.damages, Damage{
		Key: r.st.key, Span: r.st.grid().Span(run), Bars: lost, Found: r.found,
		What: "bars are lost and their summaries too; every empty slot is quarantined until its bar is written again",
	})
	return nil
}
