package storage

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage/block"
)

// part is what a read wants of one block.
type part struct {
	block    int64
	from, to uint16 // wanted slots inside the block
	count    int    // wanted bars
	whole    bool   // the wanted bars are all bars of the block
	rows     uint32 // groups of rows to be laid over it
	damaged  bool
	off      int // index of its first bar in the answer
	err      *CorruptError
}

// blocks lists the blocks that hold bars of run.
func (v *view) blocks(run series.Run) ([]part, error) {
	run = run.Intersect(v.all())
	lo, hi := blocksOf(run)
	parts := make([]part, 0, min(hi-lo, v.ledger.blocks))
	var r pageReader
	err := v.eachSummary(lo, hi, &r, func(r *pageReader) error {
		p := part{block: r.block, to: blockSlots, rows: r.rows, damaged: r.damaged}
		start := blockStart(r.block)
		if start < run.From {
			p.from = uint16(run.From - start)
		}
		if start+blockSlots > run.To {
			p.to = uint16(run.To - start)
		}
		for _, s := range r.present {
			p.count += int(max(min(s.to, p.to), p.from) - min(max(s.from, p.from), p.to))
		}
		p.whole = p.count == r.count
		if p.count > 0 || p.damaged {
			parts = append(parts, p)
		}
		return nil
	})
	if len(v.ledger.damaged) > 0 { // the tail comes last, whatever lies behind it
		slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.block, b.block) })
	}
	return parts, err
}

// directParts is the number of blocks up to which a read gets its blocks one by
// one: that is cheaper than to iterate to them.
const directParts = 2

// readerBlocks is the number of blocks from which a read uses a second core.
const readerBlocks = 8

// read decodes parts into dst.
func (v *view) read(ctx context.Context, parts []part, o ReadOptions, dst *series.Columns) error {
	n := 0
	for i := range parts {
		parts[i].off = n
		n += parts[i].count
	}
	want := o.Columns
	if want == 0 {
		want = ColAll
	}
	a := &answer{view: v, ctx: ctx, want: want, dst: dst, n: n, parts: len(parts)}
	a.prepare()
	workers := min(runtime.GOMAXPROCS(0), len(parts)/readerBlocks)
	if workers <= 1 {
		a.decode(parts)
	} else {
		var wg sync.WaitGroup
		for k := range workers {
			wg.Go(func() { a.decode(parts[k*len(parts)/workers : (k+1)*len(parts)/workers]) })
		}
		wg.Wait()
	}
	if a.err != nil {
		return a.err
	}
	return a.finish(parts, o.OnDamage)
}

// answer is a read under way. Workers fill parts of dst that do not overlap.
type answer struct {
	*view
	ctx   context.Context
	want  Columns
	dst   *series.Columns
	n     int
	parts int

	mu  sync.Mutex // guards what follows, and dst's optional columns
	err error
}

// blockSet is what to decode for the wanted columns.
func (w Columns) blockSet() block.Set {
	s := block.ColSlot
	for _, x := range [...]struct {
		c Columns
		b block.Set
	}{
		{ColOpen, block.ColOpen},
		{ColHigh, block.ColHigh},
		{ColLow, block.ColLow},
		{ColClose, block.ColClose},
		{ColVolume, block.ColVolume},
		{ColQuoteVolume, block.ColQuoteVolume},
		{ColTrades, block.ColTrades},
		{ColProv, block.ColProv},
	} {
		if w&x.c != 0 {
			s |= x.b
		}
	}
	return s
}

func grow[T any](s []T, want bool, n int) []T {
	if !want {
		return s[:0]
	}
	return slices.Grow(s[:0], n)[:n]
}

// prepare gives dst room for every wanted column. The optional ones get theirs
// when the first block that has them is met.
func (a *answer) prepare() {
	d, w := a.dst, a.want
	d.Time = grow(d.Time, true, a.n)
	d.Open = grow(d.Open, w&ColOpen != 0, a.n)
	d.High = grow(d.High, w&ColHigh != 0, a.n)
	d.Low = grow(d.Low, w&ColLow != 0, a.n)
	d.Close = grow(d.Close, w&ColClose != 0, a.n)
	d.Volume = grow(d.Volume, w&ColVolume != 0, a.n)
	d.Prov = grow(d.Prov, w&ColProv != 0, a.n)
	d.QuoteVolume, d.Trades = d.QuoteVolume[:0], d.Trades[:0]
}

// optional returns a column of dst that not every block has.
func (a *answer) optional(col *[]float64) []float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(*col) == 0 {
		*col = grow(*col, true, a.n)
		for i := range *col {
			(*col)[i] = math.NaN()
		}
	}
	return *col
}

func (a *answer) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err == nil {
		a.err = err
	}
}

// decode decodes parts, whose blocks ascend.
func (a *answer) decode(parts []part) {
	if len(parts) == 0 {
		return
	}
	w := workerPool.Get().(*worker)
	defer workerPool.Put(w)
	if len(parts) <= directParts {
		for i := range parts {
			a.decodeOne(w, &parts[i])
		}
		return
	}
	id := a.st.id
	c, err := a.r.Cursor(numberKey(spaceBlock, id, parts[0].block), numberKey(spaceBlock, id, parts[len(parts)-1].block+1))
	if err != nil {
		a.fail(err)
		return
	}
	defer func() { _ = c.Close() }()
	var key []byte
	valid := c.First()
	for i := range parts {
		if a.ctx.Err() != nil {
			a.fail(a.ctx.Err())
			return
		}
		p := &parts[i]
		key = appendNumberKey(key[:0], spaceBlock, id, p.block)
		for valid && bytes.Compare(c.Key(), key) < 0 {
			valid = c.Next()
		}
		var value []byte
		if valid && bytes.Equal(c.Key(), key) {
			value, err = c.Value()
		}
		if value == nil || err != nil || c.Err() != nil {
			// Absent, or the engine's file is damaged around here: a get finds
			// what a cursor no longer reaches.
			a.decodeOne(w, p)
			continue
		}
		a.decodeValue(w, p, value)
	}
}

func (a *answer) decodeOne(w *worker, p *part) {
	found, err := a.r.Get(numberKey(spaceBlock, a.st.id, p.block), func(value []byte) error {
		a.decodeValue(w, p, value)
		return nil
	})
	switch {
	case err != nil && !tellsDamage(err):
		a.fail(err)
	case err != nil:
		p.err = corruptBlock(a.st, p.block, err.Error())
	case !found && p.rows == 0:
		p.err = corruptBlock(a.st, p.block, "the block is not there")
	case !found:
		a.decodeValue(w, p, nil)
	}
}

// decodeValue decodes one block into its place. value is nil where the block
// has rows only.
func (a *answer) decodeValue(w *worker, p *part, value []byte) {
	if p.damaged {
		p.err = corruptBlock(a.st, p.block, setAsideReason)
		return
	}
	if value != nil && p.whole && p.rows == 0 && !a.cached(p, value) {
		if err := a.decodeDirect(w, p, value); err != nil {
			p.err = corruptBlock(a.st, p.block, err.Error())
		}
		return
	}
	cols, err := a.columns(w, p, value)
	if d, ok := errors.AsType[diskError](err); ok {
		a.fail(d.error)
		return
	}
	if err != nil {
		p.err = corruptBlock(a.st, p.block, err.Error())
		return
	}
	i, _ := slices.BinarySearch(cols.Slot, p.from)
	j, _ := slices.BinarySearch(cols.Slot, p.to)
	if j-i != p.count {
		p.err = corruptBlock(a.st, p.block, "the block does not hold the bars that its summary lists")
		return
	}
	a.place(cols, i, j, p)
}

// cacheParts is the number of blocks up to which a read uses the cache of
// decoded blocks: a long scan would only push out what short reads share.
const cacheParts = 4

// cached reports whether a whole block should come out of the cache.
func (a *answer) cached(p *part, value []byte) bool {
	return a.s.cache.budget > 0 && a.parts <= cacheParts && a.want == ColAll && p.count > 0 && len(value) >= 8
}

// columns returns the wanted columns of a block with its rows laid over them,
// out of the cache where it can.
func (a *answer) columns(w *worker, p *part, value []byte) (*block.Columns, error) {
	want := a.want.blockSet()
	version := uint64(0)
	cols := &w.cols
	cols.Reset()
	if value != nil {
		if len(value) < 8 {
			return nil, errors.New("the block is too short")
		}
		version = binary.LittleEndian.Uint64(value)
		k := cacheKey{id: a.st.id, block: p.block, version: version}
		if cached := a.s.cache.get(k); cached != nil {
			cols = cached.cols
		} else {
			if want == block.All && a.s.cache.budget > 0 {
				cols = new(block.Columns)
			}
			if _, err := decodeBlock(&w.dec, a.st.id, p.block, value, want, cols); err != nil {
				return nil, err
			}
			if want == block.All {
				a.s.cache.putColumns(k, cols)
			}
		}
	}
	if p.rows == 0 {
		return cols, nil
	}
	rs, err := readRows(a.r, a.st.id, p.block, version, p.rows)
	if err != nil {
		if !tellsDamage(err) {
			err = diskError{err}
		}
		return nil, err
	}
	out := overlaySet(cols, rs, want)
	return &out, nil
}

// diskError is an error that does not tell of damage.
type diskError struct{ error }

// place copies rows i to j of cols to where p belongs.
func (a *answer) place(cols *block.Columns, i, j int, p *part) {
	d := a.dst
	put := func(dst, src []float64, want Columns) {
		if a.want&want != 0 {
			copy(dst[p.off:], src[i:j])
		}
	}
	put(d.Open, cols.Open, ColOpen)
	put(d.High, cols.High, ColHigh)
	put(d.Low, cols.Low, ColLow)
	put(d.Close, cols.Close, ColClose)
	put(d.Volume, cols.Volume, ColVolume)
	if a.want&ColQuoteVolume != 0 && len(cols.QuoteVolume) > 0 {
		copy(a.optional(&d.QuoteVolume)[p.off:], cols.QuoteVolume[i:j])
	}
	if a.want&ColTrades != 0 && len(cols.Trades) > 0 {
		copy(a.optional(&d.Trades)[p.off:], cols.Trades[i:j])
	}
	if a.want&ColProv != 0 {
		if len(cols.Prov) > 0 {
			copy(d.Prov[p.off:], asProv(cols.Prov[i:j]))
		} else {
			clear(d.Prov[p.off : p.off+j-i])
		}
	}
	a.times(cols.Slot[i:j], p)
}

// times writes the open times of the slots.
func (a *answer) times(slots []uint16, p *part) {
	out := a.dst.Time[p.off : p.off+len(slots)]
	start := blockStart(p.block)
	width := a.st.grid().Interval.Width()
	if width == 0 {
		for i, n := range slots {
			out[i] = a.st.grid().Time(start + series.Slot(n))
		}
		return
	}
	base := a.st.grid().Time(start)
	for i, n := range slots {
		out[i] = base + series.Time(n)*width
	}
}

// decodeDirect decodes a whole block into its place in dst without a copy.
func (a *answer) decodeDirect(w *worker, p *part, value []byte) error {
	i, j, d := p.off, p.off+p.count, a.dst
	want := a.want.blockSet()
	h, err := block.ReadHeader(nil, value[min(8, len(value)):], false)
	if err != nil {
		return err
	}
	if h.Rows != p.count {
		return errors.New("the block does not hold as many bars as its summary says")
	}
	c := block.Columns{Slot: w.cols.Slot[:0]}
	at := func(col []float64, want Columns) []float64 {
		if a.want&want == 0 {
			return nil
		}
		return col[i:i:j]
	}
	c.Open, c.High, c.Low = at(d.Open, ColOpen), at(d.High, ColHigh), at(d.Low, ColLow)
	c.Close, c.Volume = at(d.Close, ColClose), at(d.Volume, ColVolume)
	if h.HasQuoteVolume {
		if a.want&ColQuoteVolume != 0 {
			c.QuoteVolume = at(a.optional(&d.QuoteVolume), ColQuoteVolume)
		}
	}
	if h.HasTrades {
		if a.want&ColTrades != 0 {
			c.Trades = at(a.optional(&d.Trades), ColTrades)
		}
	}
	if a.want&ColProv != 0 {
		c.Prov = asCodec(d.Prov[i:i:j])
	}
	if _, err := decodeBlock(&w.dec, a.st.id, p.block, value, want, &c); err != nil {
		return err
	}
	w.cols.Slot = c.Slot
	if a.want&ColProv != 0 && len(c.Prov) == 0 {
		clear(d.Prov[i:j])
	}
	a.times(c.Slot, p)
	return nil
}

// finish reports damage, and closes the gaps that damaged blocks left in dst.
func (a *answer) finish(parts []part, onDamage func(*CorruptError)) error {
	bad := false
	for i := range parts {
		if parts[i].err == nil {
			continue
		}
		if onDamage == nil {
			return parts[i].err
		}
		bad = true
		onDamage(parts[i].err)
	}
	if !bad {
		return nil
	}
	d, n := a.dst, 0
	for i := range parts {
		p := &parts[i]
		if p.err != nil {
			continue
		}
		for _, col := range [...][]float64{d.Open, d.High, d.Low, d.Close, d.Volume, d.QuoteVolume, d.Trades} {
			if len(col) > 0 {
				copy(col[n:], col[p.off:p.off+p.count])
			}
		}
		copy(d.Time[n:], d.Time[p.off:p.off+p.count])
		if len(d.Prov) > 0 {
			copy(d.Prov[n:], d.Prov[p.off:p.off+p.count])
		}
		n += p.count
	}
	d.Time = d.Time[:n]
	for _, col := range [...]*[]float64{&d.Open, &d.High, &d.Low, &d.Close, &d.Volume, &d.QuoteVolume, &d.Trades} {
		*col = (*col)[:min(n, len(*col))]
	}
	d.Prov = d.Prov[:min(n, len(d.Prov))]
	return nil
}
