package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage/block"
)

// change is one change of one series in the making. Everything that it writes
// (blocks or rows, summaries, ledger, journal, quarantine) goes to the engine
// in one batch or one load.
type change struct {
	s      *Store
	st     *state
	seq    uint64
	now    series.Time
	ledger ledger // the new one; its tail is replaced, never changed in place
	pages  map[int64]*page
	dirty  map[int64]bool
	entry  journalEntry

	seen map[string]bool // bars set aside in this change

	arenas [][]byte // memory for encoded blocks, one per worker
	jobs   []encodeJob
	sets   []pair                // rows and quarantine; keys in no order
	drops  []series.Range[int64] // blocks whose folded rows are garbage now
	gone   []int64               // blocks to delete, with their rows
	dels   [][]byte              // other keys to delete
	touch  []series.Run          // blocks with bars that it replaces or removes

	damages []Damage // to be recorded in the same batch
	root    uint64   // what they add to the root
	bytes   int      // of what is to be written
}

type pair struct{ key, value []byte }

// encodeJob is a block to be encoded: all its bars in cols.
type encodeJob struct {
	sum   *summary // block, present and marks are filled in
	cols  block.Columns
	value []byte
	err   error
}

// begin starts a change. st.mu must be held until it is committed or dropped.
func (s *Store) begin(st *state, op journalOp) *change {
	c := &change{
		s: s, st: st, seq: s.seq.Add(1), now: s.opts.Now(), ledger: *st.ledger,
		pages: make(map[int64]*page), dirty: make(map[int64]bool),
		seen: make(map[string]bool),
	}
	c.entry = journalEntry{op: op, series: st.id, at: c.now}
	return c
}

// page returns the page with the given number, for reading.
func (c *change) page(number int64) (*page, error) {
	if p := c.pages[number]; p != nil {
		return p, nil
	}
	p, err := readPage(c.s.eng, c.st.id, number)
	if err != nil {
		return nil, fmt.Errorf("%s: summaries of %v: %w", c.st.key, c.st.grid().Span(pageRun(number)), err)
	}
	c.pages[number] = p
	return p, nil
}

func pageRun(number int64) series.Run {
	return series.Run{From: blockStart(number * pageBlocks), To: blockStart((number + 1) * pageBlocks)}
}

// readPage reads both halves of a page; a page that is absent has no blocks.
func readPage(r reader, id seriesID, number int64) (*page, error) {
	var coverage, stats []byte
	for _, x := range [...]struct {
		space byte
		dst   *[]byte
	}{{spaceCoverage, &coverage}, {spaceStats, &stats}} {
		if _, err := r.Get(numberKey(x.space, id, number), func(v []byte) error {
			*x.dst = append(*x.dst, v...)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	p, err := decodePage(number, coverage, stats)
	if err == nil {
		p.stored = pageSum(id, number, coverage, stats)
	}
	return p, err
}

// pageSum is the sum of both halves of a page; a half that is not stored has
// none.
func pageSum(id seriesID, number int64, coverage, stats []byte) (sum uint64) {
	if len(coverage) > 0 {
		sum += sumOf(numberKey(spaceCoverage, id, number), coverage)
	}
	if len(stats) > 0 {
		sum += sumOf(numberKey(spaceStats, id, number), stats)
	}
	return sum
}

// summary returns the summary of a block, or nil if it has no bars.
func (c *change) summary(b int64) (*summary, error) {
	if t := c.ledger.tail; t != nil && b == t.block {
		return t, nil
	}
	p, err := c.page(pageOf(b))
	if err != nil {
		return nil, err
	}
	return p.get(b), nil
}

// put records the new summary of a block; old is what it replaces, or nil.
func (c *change) put(old, s *summary) error {
	l := &c.ledger
	n := int64(s.stats.count)
	if old != nil {
		l.bars -= int64(old.stats.count)
		l.bytes -= int64(old.stats.bytes)
		l.blocks--
		if old.rows > 0 {
			l.pending--
		}
	}
	if n > 0 || s.damaged {
		l.bars += n
		l.bytes += int64(s.stats.bytes)
		l.blocks++
		if s.rows > 0 {
			l.pending++
		}
	}
	if s.damaged || old != nil && old.damaged {
		rest := slices.DeleteFunc(slices.Clone(l.damaged), func(b int64) bool { return b == s.block })
		if s.damaged {
			rest = append(rest, s.block)
			slices.Sort(rest)
		}
		l.damaged = rest
	}
	t := l.tail
	if t != nil && s.block < t.block {
		return c.putPage(s)
	}
	if n > 0 {
		if t != nil && s.block > t.block {
			if err := c.putPage(t); err != nil {
				return err
			}
		}
		if old != nil && old.damaged { // a damaged block has its entry in a page
			if err := c.putPage(&summary{block: s.block}); err != nil {
				return err
			}
		}
		l.tail = s
		return nil
	}
	if t != nil && t.block == s.block {
		l.tail = nil // findEnds finds the new one
	}
	if s.damaged || old != nil && old.damaged {
		return c.putPage(s)
	}
	return nil
}

func (c *change) putPage(s *summary) error {
	p, err := c.page(pageOf(s.block))
	if err != nil {
		return err
	}
	p.put(s)
	c.dirty[p.number] = true
	return nil
}

// addRows writes rows of one block as one group and returns what it adds to the
// sum of the block.
func (c *change) addRows(b int64, rows []row) uint64 {
	key := rowsKey(c.st.id, b, c.seq)
	v := beginRows(make([]byte, 0, 16+len(rows)*64), c.now)
	for i := range rows {
		v = appendRow(v, rows[i].slot, &rows[i].bar)
	}
	v = endRows(v, key)
	c.set(key, v)
	return rowsSum(c.seq, v)
}

func (c *change) set(key, value []byte) {
	c.sets = append(c.sets, pair{key, value})
	c.bytes += len(key) + len(value)
}

// row is a bar and its slot inside a block.
type row struct {
	slot uint16
	bar  series.Bar
}

// encode runs the jobs, side by side if there are many.
func (c *change) encode() error {
	workers := max(1, min(runtime.GOMAXPROCS(0), len(c.jobs)/2, maxEncoders))
	if c.arenas == nil {
		c.arenas = make([][]byte, workers)
	}
	work := func(k int) {
		w := workerPool.Get().(*worker)
		defer workerPool.Put(w)
		arena := c.arenas[k][:0]
		for i := k; i < len(c.jobs); i += workers {
			j := &c.jobs[i]
			if need := maxBlock(len(j.cols.Slot)); cap(arena)-len(arena) < need {
				arena = make([]byte, 0, max(need, arenaBytes))
			}
			key := blockCheckKey(c.st.id, j.sum.block, c.seq)
			from := len(arena)
			arena, j.err = w.enc.Encode(binary.LittleEndian.AppendUint64(arena, c.seq), key, &j.cols)
			if j.err != nil {
				return
			}
			j.value = arena[from:len(arena):len(arena)]
			if j.sum.stats, j.err = statsOf(key, j.value, c.seq); j.err != nil {
				return
			}
		}
		c.arenas[k] = arena
	}
	if workers == 1 {
		work(0)
	} else {
		var wg sync.WaitGroup
		for k := range workers {
			wg.Go(func() { work(k) })
		}
		wg.Wait()
	}
	for i := range c.jobs {
		j := &c.jobs[i]
		if j.err != nil {
			return fmt.Errorf("%s: encode bars of %v: %w", c.st.key, c.st.grid().Span(blockRun(j.sum.block)), j.err)
		}
		c.bytes += len(j.value) + 13
	}
	return nil
}

// maxEncoders bounds the cores that one write uses.
const maxEncoders = 8

// arenaBytes is the size of the buffers that encoded blocks are gathered in.
const arenaBytes = 4 << 20

// maxBlock is the most bytes that a block of n bars takes: eight values of
// eight bytes each, provenance and slots, and what frames them.
func maxBlock(n int) int { return 1024 + 80*n }

// worker holds the scratch memory of one encoder and one decoder.
type worker struct {
	enc  block.Encoder
	dec  block.Decoder
	cols block.Columns

	buckets []block.Bucket
}

var workerPool = sync.Pool{New: func() any { return new(worker) }}

// blockCheckKey is what the checksum of a block covers beside its bytes: its
// key and its version, so that a block cannot be taken for another one or for
// an older one.
func blockCheckKey(id seriesID, b int64, version uint64) []byte {
	return binary.LittleEndian.AppendUint64(numberKey(spaceBlock, id, b), version)
}

// statsOf reads the figures of an encoded block out of its header.
func statsOf(key, value []byte, version uint64) (blockStats, error) {
	h, err := block.ReadHeader(key, value[8:], false)
	if err != nil {
		return blockStats{}, err
	}
	return blockStats{
		version: version, bytes: uint32(len(value)), count: uint16(h.Rows),
		zeroVolume: uint16(h.Stats.ZeroVolume), nonFinite: uint16(h.Stats.NonFinite),
		open: h.Stats.Open, high: h.Stats.High, low: h.Stats.Low, close: h.Stats.Close,
		volume: h.Stats.Volume,
		sum:    blockSum(version, value),
	}, nil
}

// loadBytes is the size from which a change is written as sorted tables
// instead of through the log.
const loadBytes = 256 << 10

// commit writes the change. h is the lock of the series. The returned function
// waits until the change is durable.
func (c *change) commit(ctx context.Context, h *hold, durable bool) (wait func() error, err error) {
	if x, ok := ctx.Value(steadyKey{}).(*steady); ok {
		if err := c.stillSteady(x); err != nil {
			return nil, err
		}
	}
	c.ledger.changes = c.seq
	c.entry.note = NoteOf(ctx)
	c.ledger.placed = c.ledger.placed || c.ledger.blocks > 0 || c.ledger.evidences > 0
	if err := c.encodeDamages(); err != nil {
		return nil, err
	}
	pages := c.encodePages()
	encoded := c.ledger.encode()
	key := seriesKey(spaceLedger, c.st.id)
	entry := c.entry.encode()
	t := &txn{durable: durable, entries: 1, journal: sumOf(journalKey(c.seq), entry)}
	t.root = sumOf(key, encoded) - c.st.sum() + c.root
	t.trail = trailRecord{
		kind: trailChange, series: c.st.id, change: c.seq, op: c.entry.op,
		touched: len(c.touch) > 0, bars: c.ledger.bars, ledger: sumOf(key, encoded),
		runs: fewRuns(series.Union(nil, c.entry.runs, c.touch)),
	}
	l := c.ledger
	t.publish = func() {
		c.st.setLedger(&l, encoded)
		if len(c.damages) > 0 {
			c.s.keepDamages(c.damages)
		}
		if l.pending > 1 || l.pending == 1 && (l.tail == nil || l.tail.rows == 0) {
			c.st.late.Store(true)
			if c.entry.op != opFold {
				c.s.wakeFolding()
			}
		} else {
			c.st.late.Store(false)
		}
	}
	ps := append(c.sets, pages...)
	ps = append(ps, pair{journalKey(c.seq), entry})
	if c.bytes >= loadBytes && len(c.gone)+len(c.dels) == 0 {
		expected := c.st.encoded
		t.prepare = func() error { return c.load(t, ps, pair{key, encoded}, expected) }
	} else if err := c.write(t, append(ps, pair{key, encoded})); err != nil {
		return nil, err
	}
	return c.s.submit(ctx, h, t)
}

// encodePages returns the pages that changed and brings their sum up to date.
func (c *change) encodePages() []pair {
	var ps []pair
	for number := range c.dirty {
		p := c.pages[number]
		coverage, stats := p.encode()
		c.ledger.pages += pageSum(c.st.id, number, coverage, stats) - p.stored
		ps = append(ps,
			pair{numberKey(spaceCoverage, c.st.id, number), coverage},
			pair{numberKey(spaceStats, c.st.id, number), stats})
	}
	return ps
}

// write prepares a commit through the log.
func (c *change) write(t *txn, ps []pair) error {
	b := c.s.eng.Batch()
	t.batch = b
	b.Expect(seriesKey(spaceLedger, c.st.id), c.st.encoded)
	for _, n := range c.gone {
		if err := b.Delete(numberKey(spaceBlock, c.st.id, n)); err != nil {
			return err
		}
		c.drops = append(c.drops, series.Range[int64]{From: n, To: n + 1})
	}
	for _, d := range c.drops {
		// Before the sets: a later operation of a batch wins.
		if err := b.DeleteRange(numberKey(spaceRows, c.st.id, d.From), numberKey(spaceRows, c.st.id, d.To)); err != nil {
			return err
		}
	}
	for _, k := range c.dels {
		if err := b.Delete(k); err != nil {
			return err
		}
	}
	for i := range c.jobs {
		if err := b.Set(numberKey(spaceBlock, c.st.id, c.jobs[i].sum.block), c.jobs[i].value); err != nil {
			return err
		}
	}
	for _, p := range ps {
		if err := b.Set(p.key, p.value); err != nil {
			return err
		}
	}
	return nil
}

// load prepares a commit as sorted tables. Rows that were folded stay behind:
// readers pass over them, because their sequence is below the version of the
// block.
func (c *change) load(t *txn, ps []pair, ledger pair, expected []byte) error {
	l, err := c.s.eng.Loader()
	if err != nil {
		return err
	}
	slices.SortFunc(c.jobs, func(a, b encodeJob) int { return int(a.sum.block - b.sum.block) })
	slices.SortFunc(ps, func(a, b pair) int { return bytes.Compare(a.key, b.key) })
	add := func() error {
		for i := range c.jobs {
			if err := l.Set(numberKey(spaceBlock, c.st.id, c.jobs[i].sum.block), c.jobs[i].value); err != nil {
				return err
			}
		}
		for _, p := range ps {
			if err := l.Set(p.key, p.value); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add(); err != nil {
		l.Abort()
		return err
	}
	l.Expect(ledger.key, expected)
	t.load = &loadTxn{loader: l, ledger: ledger}
	return nil
}
