package storage

import (
	"context"
	"encoding/binary"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage/block"
)

// aggregate is the quick way of resample: blocks are added up as integers,
// side by side, and only coarse bars become floats. done is false, and dst
// empty, where the bars need more than that: months, optional columns, prices
// that are not finite.
func (v *view) aggregate(ctx context.Context, parts []part, run series.Run, coarse series.Grid, now series.Time, dst *series.Columns) (ps []series.Part, done bool, err error) {
	fine := v.st.grid()
	width := fine.Interval.Width()
	if width == 0 || coarse.Interval.Width() == 0 || len(parts) == 0 {
		return nil, false, nil
	}
	g := gather{
		view: v, ctx: ctx, run: run,
		width: int(coarse.Interval.Width() / width),
		// Slot 0 of the fine grid, counted from where coarse slot 0 opens.
		origin: int64((fine.Time(0) - coarse.Time(0)) / width),
	}
	var cur block.Bucket // the last one so far: the next block may go on with it
	emit := func() {
		bar := bucketBar(&cur, coarse)
		if coarse.Time(series.Slot(cur.Index)+1) > now {
			bar.Prov |= series.ProvForming
		}
		dst.Append(bar)
		ps = append(ps, series.Part{Expected: int32(g.width), Present: int32(cur.Bars)})
	}
	for stretch := range slices.Chunk(parts, gatherBlocks) {
		for _, x := range g.side(stretch) {
			if x.err != nil || !x.ok {
				dst.Reset()
				return nil, false, x.err
			}
			for i := range x.buckets {
				switch b := &x.buckets[i]; {
				case cur.Bars == 0:
					cur = *b
				case cur.Index == b.Index:
					cur.Append(b)
				default:
					emit()
					cur = *b
				}
			}
		}
	}
	if cur.Bars > 0 {
		emit()
	}
	return ps, true, nil
}

// gatherBlocks bounds how many blocks are added up before their buckets become
// bars: a year of minutes.
const gatherBlocks = 368

// side adds up parts of a stretch side by side; the answers are in order.
func (g *gather) side(parts []part) []gathered {
	workers := max(1, min(runtime.GOMAXPROCS(0), len(parts)/readerBlocks))
	got := make([]gathered, workers)
	var wg sync.WaitGroup
	for k := range workers {
		wg.Go(func() { got[k] = g.blocks(parts[k*len(parts)/workers : (k+1)*len(parts)/workers]) })
	}
	wg.Wait()
	return got
}

func bucketBar(b *block.Bucket, coarse series.Grid) series.Bar {
	p := series.Prov(b.Prov)
	kind := min(p.Kind(), series.Synthetic) // the worst of the bars
	var src series.SourceID
	if and := series.Prov(b.ProvAnd); and.Source() == p.Source() {
		src = p.Source()
	}
	prov := series.NewProv(kind, src) | p&series.ProvForming
	if b.Filled == b.Bars {
		prov |= series.ProvNoTrade
	}
	return series.Bar{
		Time: coarse.Time(series.Slot(b.Index)), Open: b.Open, High: b.High, Low: b.Low, Close: b.Close,
		Volume: b.Volume.Float64(), QuoteVolume: math.NaN(), Trades: math.NaN(), Prov: prov,
	}
}

// gather adds up blocks of one series.
type gather struct {
	*view
	ctx    context.Context
	run    series.Run
	width  int
	origin int64
}

// gathered are the buckets of a stretch of blocks; ok is false if one of the
// blocks cannot be added up this way.
type gathered struct {
	buckets []block.Bucket
	ok      bool
	err     error
}

func (g *gather) blocks(parts []part) (out gathered) {
	w := workerPool.Get().(*worker)
	defer workerPool.Put(w)
	out.ok = true
	out.buckets = make([]block.Bucket, 0, len(parts)*(blockSlots/g.width+1)+1)
	id := g.st.id
	c, err := g.r.Cursor(numberKey(spaceBlock, id, parts[0].block), numberKey(spaceBlock, id, parts[len(parts)-1].block+1))
	if err != nil {
		return gathered{err: err}
	}
	defer c.Close()
	valid := c.First()
	for i := range parts {
		p := &parts[i]
		if err := g.ctx.Err(); err != nil {
			return gathered{err: err}
		}
		if p.damaged {
			return gathered{err: corruptBlock(g.st, p.block, setAsideReason)}
		}
		for valid {
			if n, _ := numberOf(c.Key()); n >= p.block {
				break
			}
			valid = c.Next()
		}
		var value []byte
		if n := int64(0); valid && p.rows == 0 {
			n, _ = numberOf(c.Key())
			if v, err := c.Value(); n == p.block && err == nil && len(v) > 8 {
				value = v
			}
		}
		if out.buckets, out.ok, err = g.block(w, p, value, out.buckets); err != nil {
			return gathered{err: err}
		}
		if !out.ok {
			return gathered{}
		}
	}
	return out
}

// block adds up one block and appends its buckets; ok is false if it cannot be
// added up this way. value is nil where the block has rows, or is damaged.
func (g *gather) block(w *worker, p *part, value []byte, out []block.Bucket) (_ []block.Bucket, ok bool, err error) {
	id := g.st.id
	a := block.Aggregation{
		Width: g.width, Origin: g.origin + int64(blockStart(p.block)),
		From: int(p.from), To: int(p.to), FillBit: uint32(series.ProvNoTrade),
	}
	k := cacheKey{id: id, block: p.block, width: g.width, origin: a.Origin}
	var key, data []byte
	whole := value != nil && p.from == 0 && p.to == blockSlots
	if value != nil {
		k.version = binary.LittleEndian.Uint64(value)
		if whole {
			if x := g.s.cache.get(k); x != nil {
				return appendBuckets(out, x.buckets), true, nil
			}
		}
		key, data = blockCheckKey(id, p.block, k.version), value[8:]
	} else if key, data, err = g.rebuilt(w, p); err != nil {
		return out, false, err
	}
	h, err := block.ReadHeader(key, data, false)
	if err != nil {
		return out, false, corruptBlock(g.st, p.block, err.Error())
	}
	if whole && h.Rows != p.count {
		return out, false, corruptBlock(g.st, p.block, "the block does not hold as many bars as its summary says")
	}
	if h.HasQuoteVolume || h.HasTrades || h.Stats.NonFinite > 0 {
		return out, false, nil
	}
	w.buckets, err = w.dec.Aggregate(key, data, blockSlots, a, w.buckets[:0])
	if err != nil {
		return out, false, corruptBlock(g.st, p.block, err.Error())
	}
	if whole {
		g.s.cache.putBuckets(k, w.buckets)
	}
	return appendBuckets(out, w.buckets), true, nil
}

// appendBuckets appends next to out; where a bucket reaches over the end of a
// block, its two parts become one.
func appendBuckets(out, next []block.Bucket) []block.Bucket {
	if n := len(out); n > 0 && len(next) > 0 && out[n-1].Index == next[0].Index {
		out[n-1].Append(&next[0])
		next = next[1:]
	}
	return append(out, next...)
}

// rebuilt encodes a block with its rows laid over it, so that what waits to be
// folded is added up exactly as it will be afterwards.
func (g *gather) rebuilt(w *worker, p *part) (key, data []byte, err error) {
	sum := &summary{block: p.block, rows: p.rows}
	var cols block.Columns
	if err := g.s.loadBlock(g.r, g.st, sum, &cols); err != nil {
		return nil, nil, err
	}
	if len(cols.Slot) == 0 {
		return nil, nil, corruptBlock(g.st, p.block, "the block does not hold the bars that its summary lists")
	}
	key = blockCheckKey(g.st.id, p.block, 0)
	data, err = w.enc.Encode(nil, key, &cols)
	return key, data, err
}
