package storage

import (
	"errors"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage/block"
)

// putSummary is a summary that a write replaces, in order of blocks.
type putSummary struct{ old, new *summary }

// newRows is the number of bars from which a write encodes a block that has
// none yet; fewer go in as rows.
const newRows = 24

// plan goes through the bars block by block.
func (w *writer) plan() error {
	for i := 0; i < len(w.at); {
		b := blockOf(w.at[i])
		end := blockStart(b + 1)
		j := i + 1
		if j+blockSlots <= len(w.at) && w.at[i+blockSlots-1] == end-1 {
			j = i + blockSlots
		}
		for j < len(w.at) && w.at[j] < end {
			j++
		}
		if err := w.planBlock(b, i, j); err != nil {
			return err
		}
		i = j
	}
	return nil
}

// planBlock decides what becomes of bars i to j, all of block b.
func (w *writer) planBlock(b int64, i, j int) error {
	had, err := w.summary(b)
	if err != nil {
		return err
	}
	slots := w.slot[i:j]
	switch {
	case had == nil || had.damaged:
		w.added(i, j)
		if had != nil {
			if err := w.stayQuarantined(b, i, j); err != nil {
				return err
			}
		}
		if j-i < newRows && had == nil {
			w.rows(nil, b, w.collect(i, j, nil))
			return nil
		}
		w.block(had, b, w.columns(i, j))
		return nil
	case !had.overlaps(slots):
		w.added(i, j)
		rs := w.collect(i, j, nil)
		if j-i < newRows && had.rows < foldRows {
			w.rows(had, b, rs)
			return nil
		}
		var cols block.Columns
		if err := w.s.loadBlock(w.s.eng, w.st, had, &cols); err != nil {
			return w.overDamage(had, b, i, j, err)
		}
		w.block(had, b, overlay(&cols, rs))
		return nil
	}
	var cols block.Columns
	if err := w.s.loadBlock(w.s.eng, w.st, had, &cols); err != nil {
		return w.overDamage(had, b, i, j, err)
	}
	before := w.entry.replaced
	keep, replaced, err := w.settle(&cols, i, j)
	if err != nil {
		return err
	}
	if w.entry.replaced > before {
		w.touch = series.Join(w.touch, blockRun(b))
	}
	if len(keep) == 0 {
		return nil
	}
	if len(replaced) > 0 {
		if err := w.remember(b, &cols, replaced); err != nil {
			return err
		}
	}
	rs := w.collect(i, j, keep)
	if len(keep) < newRows && had.rows < foldRows {
		w.rows(had, b, rs)
		return nil
	}
	w.block(had, b, overlay(&cols, rs))
	return nil
}

// overDamage writes bars i to j over a block that turns out to be damaged: what
// it held is recorded as lost, so that new bars need not wait for a repair.
func (w *writer) overDamage(had *summary, b int64, i, j int, err error) error {
	bad, ok := errors.AsType[*CorruptError](err)
	if !ok {
		return err
	}
	w.damages = append(w.damages, Damage{
		Key: w.st.key, Span: bad.Span, Bars: int64(had.stats.count), Found: foundRead,
		What: bad.Reason + "; quarantined until its bars are written again",
	})
	w.entry.removed += int64(had.stats.count)
	w.touch = series.Join(w.touch, blockRun(b))
	w.added(i, j)
	if err := w.stayQuarantined(b, i, j); err != nil {
		return err
	}
	w.block(had, b, w.columns(i, j))
	return nil
}

// stayQuarantined keeps the slots of a damaged block quarantined for which bars
// i to j bring nothing.
func (w *writer) stayQuarantined(b int64, i, j int) error {
	taken := make([]series.Run, 0, 8)
	for _, slot := range w.at[i:j] {
		taken = series.Join(taken, series.Run{From: slot, To: slot + 1})
	}
	rest := series.Subtract(nil, []series.Run{blockRun(b)}, taken)
	if len(rest) == 0 {
		return nil
	}
	return w.explainLost(rest)
}

// added records the slots of bars i to j as new.
func (w *writer) added(i, j int) {
	w.res.Written += j - i
	w.entry.added += int64(j - i)
	for i < j {
		from := w.at[i]
		k := j
		if w.at[j-1]-from != series.Slot(j-1-i) { // not one run
			for k = i + 1; k < j && w.at[k] == w.at[k-1]+1; k++ {
			}
		}
		w.entry.runs = series.Join(w.entry.runs, series.Run{From: from, To: w.at[k-1] + 1})
		i = k
	}
}

// settle compares bars i to j with the stored ones in cols and returns which
// of them are to be written, and which rows of cols they replace.
func (w *writer) settle(cols *block.Columns, i, j int) (keep, replaced []int, err error) {
	k := 0
	for r := i; r < j; r++ {
		for k < len(cols.Slot) && cols.Slot[k] < w.slot[r] {
			k++
		}
		if k == len(cols.Slot) || cols.Slot[k] != w.slot[r] {
			w.added(r, r+1)
			keep = append(keep, r)
			continue
		}
		stored, given := rowBar(cols, k), w.bar(r)
		have, want := stored.Prov.Rank(), given.Prov.Rank()
		switch same := sameValues(&stored, &given); {
		case same && want <= have && (w.conflict != restore || stored.Prov == given.Prov):
			w.res.Unchanged++
		case w.conflict == restore:
			w.res.Written++
			w.res.Replaced++
			w.entry.replaced++
			keep = append(keep, r)
			replaced = append(replaced, k)
		case want < have, want == have && w.conflict == Keep:
			w.res.Conflicts++
		case want == have && w.conflict == Quarantine:
			w.res.Conflicts++
			if err := w.aside(given, "differs from the stored bar"); err != nil {
				return nil, nil, err
			}
		default:
			w.res.Written++
			if !same {
				w.res.Replaced++
			}
			w.entry.replaced++
			keep = append(keep, r)
			// What was still forming was never the word of its source.
			if !stored.Prov.Forming() {
				replaced = append(replaced, k)
			} else {
				w.entry.renewed = series.Join(w.entry.renewed, series.Run{From: w.at[r], To: w.at[r] + 1})
			}
		}
	}
	return keep, replaced, nil
}

// remember puts rows of cols into the journal.
func (w *writer) remember(b int64, cols *block.Columns, rows []int) error {
	var old block.Columns
	for _, k := range rows {
		appendColumns(&old, cols, k, k+1)
	}
	return w.entry.remember(w.st.id, b, w.seq, &old)
}

func (e *journalEntry) remember(id seriesID, b int64, version uint64, old *block.Columns) error {
	wk := workerPool.Get().(*worker)
	defer workerPool.Put(wk)
	data, err := wk.enc.Encode(nil, blockCheckKey(id, b, version), old)
	if err != nil {
		return err
	}
	e.before = append(e.before, beforeBlock{block: b, version: version, data: data})
	return nil
}

// rows plans a group of rows beside block b.
func (w *writer) rows(had *summary, b int64, rs []row) {
	sum := w.addRows(b, rs)
	w.lastRows, w.lastRowsBlock = rs, b
	s := &summary{block: b}
	if had != nil {
		*s = *had
	}
	s.rows++
	s.stats.sum += sum
	s.present, s.marks = mergePresence(s, rs)
	s.stats.count = uint16(s.count())
	w.puts = append(w.puts, putSummary{had, s})
}

// block plans the encoding of all the bars of block b.
func (w *writer) block(had *summary, b int64, cols block.Columns) {
	s := newSummary(b, &cols)
	w.jobs = append(w.jobs, encodeJob{sum: s, cols: cols})
	if had != nil && had.rows > 0 {
		w.drops = append(w.drops, series.Range[int64]{From: b, To: b + 1})
	}
	w.puts = append(w.puts, putSummary{had, s})
}

// finish encodes the blocks and brings summaries, totals and the last bar up
// to date.
func (w *writer) finish() error {
	if err := w.encode(); err != nil {
		return err
	}
	l := &w.ledger
	for _, p := range w.puts {
		if err := w.put(p.old, p.new); err != nil {
			return err
		}
	}
	if n := len(w.at); len(w.puts) > 0 && n > 0 {
		return w.refreshEnds(l)
	}
	return nil
}

// refreshEnds takes the first slot and the last bar from what was written.
func (w *writer) refreshEnds(l *ledger) error {
	first := w.puts[0].new
	if from := blockStart(first.block) + series.Slot(first.present[0].from); w.st.ledger.bars == 0 || from < l.first {
		l.first = from
	}
	last := l.tail.present[len(l.tail.present)-1].to - 1
	l.last = blockStart(l.tail.block) + series.Slot(last)
	if n := len(w.at) - 1; w.at[n] == l.last {
		// The bar may have lost against the stored one.
		if bar, ok := w.wrote(l.last); ok {
			l.lastBar = bar
		}
	}
	return nil
}

// wrote returns the bar that the write leaves in slot n, if it wrote one.
func (w *writer) wrote(n series.Slot) (series.Bar, bool) {
	b := blockOf(n)
	in := uint16(n - blockStart(b))
	if k := len(w.jobs) - 1; k >= 0 && w.jobs[k].sum.block == b {
		cols := &w.jobs[k].cols
		bar := rowBar(cols, len(cols.Slot)-1)
		bar.Time = w.st.grid().Time(n)
		return bar, cols.Slot[len(cols.Slot)-1] == in
	}
	if len(w.lastRows) > 0 && w.lastRows[len(w.lastRows)-1].slot == in && w.lastRowsBlock == b {
		bar := w.lastRows[len(w.lastRows)-1].bar
		bar.Time = w.st.grid().Time(n)
		return bar, true
	}
	return series.Bar{}, false
}

// columns are bars i to j as columns of their block, sharing memory.
func (w *writer) columns(i, j int) block.Columns {
	c := block.Columns{
		Slot: w.slot[i:j], Open: w.in.Open[i:j], High: w.in.High[i:j], Low: w.in.Low[i:j],
		Close: w.in.Close[i:j], Volume: w.in.Volume[i:j], Prov: w.prov[i:j],
	}
	if len(w.in.QuoteVolume) > 0 && !allNaN(w.in.QuoteVolume[i:j]) {
		c.QuoteVolume = w.in.QuoteVolume[i:j]
	}
	if len(w.in.Trades) > 0 && !allNaN(w.in.Trades[i:j]) {
		c.Trades = w.in.Trades[i:j]
	}
	return c
}

func allNaN(fs []float64) bool {
	for _, f := range fs {
		if f == f {
			return false
		}
	}
	return true
}

func (w *writer) bar(i int) series.Bar {
	b := w.in.Bar(i)
	b.Prov = series.Prov(w.prov[i])
	return b
}

// collect returns bars i to j, or those of them in keep, as rows.
func (w *writer) collect(i, j int, keep []int) []row {
	if keep == nil {
		rs := make([]row, j-i)
		for k := range rs {
			rs[k] = row{w.slot[i+k], w.bar(i + k)}
		}
		return rs
	}
	rs := make([]row, len(keep))
	for k, r := range keep {
		rs[k] = row{w.slot[r], w.bar(r)}
	}
	return rs
}
