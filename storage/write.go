package storage

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"unsafe"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage/block"
)

// Write stores bars in any order, duplicates allowed, and creates the series
// if it is new. It is all or nothing, durable when it returns (see
// [WriteOptions.Relaxed]) and idempotent: bars that are stored already are
// counted as unchanged. The first write decides where the bars of a series
// open within their interval, if [Store.SetPhase] did not. Bars off the grid
// and synthetic bars are refused; two different bars of one slot in c, of
// equal rank, are settled by o.OnConflict, and the loser is set aside. c is
// not changed.
func (s *Store) Write(ctx context.Context, key series.Key, c *series.Columns, o WriteOptions) (WriteResult, error) {
	if err := s.enter(); err != nil {
		return WriteResult{}, err
	}
	defer s.ops.Done()
	if err := ctx.Err(); err != nil {
		return WriteResult{}, err
	}
	if err := c.Check(); err != nil {
		return WriteResult{}, err
	}
	src, err := s.Source(o.Source)
	if err != nil {
		return WriteResult{}, err
	}
	st, err := s.create(key, 0)
	if err != nil {
		return WriteResult{}, err
	}
	st.mu.Lock()
	if err := s.flushRelaxed(st); err != nil {
		st.mu.Unlock()
		return WriteResult{}, err
	}
	if err := s.adoptPhase(st, c.Time); err != nil {
		st.mu.Unlock()
		return WriteResult{}, err
	}
	res, wait, err := s.writeLocked(st, c, src, o.OnConflict, !o.Relaxed)
	st.mu.Unlock()
	if err == nil && wait != nil {
		err = wait()
	}
	if err != nil {
		return WriteResult{}, err
	}
	return res, nil
}

// adoptPhase moves the grid of a series without bars to where its first write
// has nearly all of them: hourly bars of a session that opens at half past,
// days that start in the evening. One odd bar moves nothing. st.mu must be
// held.
func (s *Store) adoptPhase(st *state, times []series.Time) error {
	width := st.grid.Interval.Width()
	if st.ledger.bars > 0 || st.grid.Phase != 0 || width == 0 || st.grid.Interval >= series.Interval1w || len(times) < 2 {
		return nil
	}
	count := make(map[series.Time]int)
	for _, t := range times[:min(len(times), phaseSample)] {
		count[t-st.grid.Time(st.grid.SlotAt(t))]++
	}
	for phase, n := range count {
		if phase != 0 && n*10 >= 9*min(len(times), phaseSample) {
			return s.movePhase(st, phase)
		}
	}
	return nil
}

// phaseSample is how many bars decide the phase of a new series.
const phaseSample = 10000

// writeLocked plans and commits a write. wait is nil if nothing had to be
// written. st.mu must be held.
func (s *Store) writeLocked(st *state, c *series.Columns, src series.SourceID, oc Conflict, durable bool) (WriteResult, func() error, error) {
	res := WriteResult{Read: c.Len()}
	ch := s.begin(st, opWrite)
	ch.entry.source = src
	buf := writePool.Get().(*writeBuffer)
	defer writePool.Put(buf) // the engine has copied or written all of it
	ch.arenas = buf.arenas[:]
	w := writer{change: ch, res: &res, conflict: oc, src: src, buf: buf}
	if err := w.prepare(c); err != nil {
		return res, nil, err
	}
	if err := w.plan(); err != nil {
		return res, nil, err
	}
	if len(ch.jobs) == 0 && len(ch.sets) == 0 {
		return res, nil, nil
	}
	if err := w.finish(); err != nil {
		return res, nil, err
	}
	wait, err := ch.commit(durable)
	return res, wait, err
}

// writer plans what a write changes, block by block.
type writer struct {
	*change
	res      *WriteResult
	conflict Conflict
	src      series.SourceID

	buf  *writeBuffer
	in   *series.Columns // sorted by slot, one bar per slot
	at   []series.Slot   // slot of each bar
	slot []uint16        // the same inside its block
	prov []uint32        // provenance with source and forming filled in

	puts []putSummary
	// The rows planned last, for the last bar.
	lastRows      []row
	lastRowsBlock int64
}

// writeBuffer is memory that large writes need and give back.
type writeBuffer struct {
	at     []series.Slot
	slot   []uint16
	prov   []uint32
	arenas [maxEncoders][]byte // encoded blocks, one per worker
}

var writePool = sync.Pool{New: func() any { return new(writeBuffer) }}

// putSummary is a summary that a write replaces, in order of blocks.
type putSummary struct{ old, new *summary }

// newRows is the number of bars from which a write encodes a block that has
// none yet; fewer go in as rows.
const newRows = 24

// prepare checks, sorts and de-duplicates what was given.
func (w *writer) prepare(c *series.Columns) error {
	n := c.Len()
	w.buf.at = slices.Grow(w.buf.at[:0], n)[:n]
	w.at = w.buf.at
	g := w.st.grid
	width := g.Interval.Width()
	sorted := true
	var refused map[int]string
	refuse := func(i int, reason string) {
		if refused == nil {
			refused = make(map[int]string)
		}
		refused[i] = reason
	}
	steps := false // the bar before is on the grid
	for i, t := range c.Time {
		if steps && t == c.Time[i-1]+width {
			w.at[i] = w.at[i-1] + 1
			continue
		}
		steps = width > 0
		if t < series.MinTime || t > series.MaxTime {
			refuse(i, "time is outside the years 1 to 9999")
			w.at[i], steps = math.MinInt64, false
		} else {
			w.at[i] = g.SlotAt(t)
			if open := g.Time(w.at[i]); open != t {
				refuse(i, fmt.Sprintf("off the grid: opens %v after the %s bar of %v", (t-open).Std().Sub(series.Time(0).Std()), g.Interval, open))
				steps = false
			}
		}
		if i > 0 && w.at[i] <= w.at[i-1] {
			sorted = false
		}
	}
	for i, p := range c.Prov {
		if p.Kind() == series.Synthetic {
			refuse(i, "synthetic bars are computed while reading, never stored")
		}
	}
	w.in = c
	if !sorted || refused != nil {
		if err := w.arrange(c, refused); err != nil {
			return err
		}
	}
	w.fillProvenance()
	w.buf.slot = slices.Grow(w.buf.slot[:0], len(w.at))[:len(w.at)]
	w.slot = w.buf.slot
	for i := 0; i < len(w.at); {
		start := blockStart(blockOf(w.at[i]))
		for ; i < len(w.at) && w.at[i] < start+blockSlots; i++ {
			w.slot[i] = uint16(w.at[i] - start)
		}
	}
	return nil
}

// arrange copies the bars that are not refused in the order of their slots and
// settles duplicates.
func (w *writer) arrange(c *series.Columns, refused map[int]string) error {
	order := make([]int, 0, c.Len())
	for i := range c.Time {
		if reason, ok := refused[i]; ok {
			w.res.Refused = append(w.res.Refused, Refused{Row: i, Time: c.Time[i], Reason: reason})
			continue
		}
		order = append(order, i)
	}
	at := w.at
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(at[a], at[b]) })
	out := &series.Columns{}
	w.at = make([]series.Slot, 0, len(order))
	for k := 0; k < len(order); {
		best := order[k]
		for k++; k < len(order) && at[order[k]] == at[best]; k++ {
			a, b := c.Bar(best), c.Bar(order[k])
			if a.Prov == b.Prov && sameValues(&a, &b) {
				w.res.Unchanged++
				continue
			}
			w.res.Conflicts++
			loser := b
			if b.Prov.Rank() > a.Prov.Rank() || b.Prov.Rank() == a.Prov.Rank() && w.conflict == Replace {
				best, loser = order[k], a
			}
			if err := w.aside(loser, "differs from another bar of the same time in one write"); err != nil {
				return err
			}
		}
		out.Append(c.Bar(best))
		w.at = append(w.at, at[best])
	}
	w.in = out
	return nil
}

// fillProvenance names the source of bars that have none and marks those that
// have not ended yet.
func (w *writer) fillProvenance() {
	n := w.in.Len()
	w.buf.prov = slices.Grow(w.buf.prov[:0], n)[:n]
	w.prov = w.buf.prov
	if len(w.in.Prov) == 0 {
		p := uint32(series.NewProv(series.Observed, w.src))
		for i := range w.prov {
			w.prov[i] = p
		}
	} else {
		for i, p := range w.in.Prov {
			if p.Source() == 0 {
				p = p.WithSource(w.src)
			}
			w.prov[i] = uint32(p)
		}
	}
	for i := n - 1; i >= 0 && w.st.grid.Time(w.at[i]+1) > w.now; i-- {
		w.prov[i] |= uint32(series.ProvForming)
	}
}

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
			return err
		}
		w.block(had, b, overlay(&cols, rs))
		return nil
	}
	var cols block.Columns
	if err := w.s.loadBlock(w.s.eng, w.st, had, &cols); err != nil {
		return err
	}
	keep, replaced, err := w.settle(&cols, i, j)
	if err != nil {
		return err
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
		case same && want <= have:
			w.res.Unchanged++
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
	w.addRows(b, rs)
	w.lastRows, w.lastRowsBlock = rs, b
	s := &summary{block: b}
	if had != nil {
		*s = *had
	}
	s.rows++
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
		bar.Time = w.st.grid.Time(n)
		return bar, cols.Slot[len(cols.Slot)-1] == in
	}
	if len(w.lastRows) > 0 && w.lastRows[len(w.lastRows)-1].slot == in && w.lastRowsBlock == b {
		bar := w.lastRows[len(w.lastRows)-1].bar
		bar.Time = w.st.grid.Time(n)
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

// aside sets a bar aside in the batch of the change, unless it is there
// already: the same write may come twice.
func (c *change) aside(b series.Bar, reason string) error {
	e := Entry{
		Key: c.st.key, Time: b.Time, HasTime: true, Bar: &b, Reason: reason,
		Source: c.s.SourceName(b.Prov.Source()), At: c.now,
	}
	same, err := c.s.hasAside(c.st, &e, c.seen)
	if err != nil || same {
		return err
	}
	c.st.aside.Store(true)
	value, _ := c.s.asideValue(e)
	c.set(c.s.asideKey(c.st.id, &e), value)
	return nil
}

// sameValues reports whether two bars have the same bits in every value. A bar
// that lacks an optional value is the same as one that has it only if both
// lack it.
func sameValues(a, b *series.Bar) bool {
	eq := func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) }
	opt := func(x, y float64) bool { return x != x && y != y || eq(x, y) }
	return eq(a.Open, b.Open) && eq(a.High, b.High) && eq(a.Low, b.Low) && eq(a.Close, b.Close) &&
		eq(a.Volume, b.Volume) && opt(a.QuoteVolume, b.QuoteVolume) && opt(a.Trades, b.Trades)
}

// asProv shows provenances as the codec wants them, in the same memory.
func asProv(p []uint32) []series.Prov {
	if len(p) == 0 {
		return nil
	}
	return unsafe.Slice((*series.Prov)(unsafe.Pointer(unsafe.SliceData(p))), len(p))
}

// asCodec is the inverse of asProv; it keeps the capacity.
func asCodec(p []series.Prov) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(p))), cap(p))[:len(p)]
}
