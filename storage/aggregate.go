package storage

import (
	"context"
	"encoding/binary"
	"math"
	"runtime"
	"sync"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage/block"
)

// aggregate is the quick way of resample: blocks are added up as integers,
// side by side, and only coarse bars become floats. done is false, and dst
// empty, where the bars need more than that: months, optional columns, prices
// that are not finite.
func (v *view) aggregate(ctx context.Context, parts []part, run series.Run, coarse series.Grid, now series.Time, dst *series.Columns) (ps []series.Part, done bool, err error) {
	fine := v.st.grid
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
	workers := max(1, min(runtime.GOMAXPROCS(0), len(parts)/readerBlocks))
	got := make([]gathered, workers)
	var wg sync.WaitGroup
	for k := range workers {
		wg.Go(func() { got[k] = g.blocks(parts[k*len(parts)/workers : (k+1)*len(parts)/workers]) })
	}
	wg.Wait()
	var all []block.Bucket
	for _, x := range got {
		if x.err != nil {
			return nil, false, x.err
		}
		if !x.ok {
			return nil, false, nil
		}
		for i := range x.buckets {
			b := &x.buckets[i]
			if n := len(all); i == 0 && n > 0 && all[n-1].Index == b.Index {
				all[n-1].Append(b)
				continue
			}
			all = append(all, *b)
		}
	}
	ps = make([]series.Part, len(all))
	for i := range all {
		b := &all[i]
		bar := bucketBar(b, coarse)
		if coarse.Time(series.Slot(b.Index)+1) > now {
			bar.Prov |= series.ProvForming
		}
		dst.Append(bar)
		ps[i] = series.Part{Expected: int32(g.width), Present: int32(b.Bars)}
	}
	return ps, true, nil
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
			return gathered{err: corruptBlock(g.st, p.block, "set aside as damaged, to be fetched again")}
		}
		for valid {
			if n, _ := numberOf(c.Key()); n >= p.block {
				break
			}
			valid = c.Next()
		}
		var key, data []byte
		if n := int64(0); valid && !p.rows {
			n, _ = numberOf(c.Key())
			value, err := c.Value()
			if n == p.block && err == nil && len(value) > 8 {
				key, data = blockCheckKey(id, n, binary.LittleEndian.Uint64(value)), value[8:]
			}
		}
		if data == nil { // rows to lay over it, or damage to be named
			if key, data, err = g.rebuilt(w, p); err != nil {
				return gathered{err: err}
			}
		}
		h, err := block.ReadHeader(key, data, false)
		if err != nil {
			return gathered{err: corruptBlock(g.st, p.block, err.Error())}
		}
		if h.HasQuoteVolume || h.HasTrades || h.Stats.NonFinite > 0 {
			return gathered{}
		}
		out.buckets, err = w.dec.Aggregate(key, data, blockSlots, block.Aggregation{
			Width: g.width, Origin: g.origin + int64(blockStart(p.block)),
			From: int(p.from), To: int(p.to), FillBit: uint32(series.ProvNoTrade),
		}, out.buckets)
		if err != nil {
			return gathered{err: corruptBlock(g.st, p.block, err.Error())}
		}
	}
	return out
}

// rebuilt encodes a block with its rows laid over it, so that what waits to be
// folded is added up exactly as it will be afterwards.
func (g *gather) rebuilt(w *worker, p *part) (key, data []byte, err error) {
	sum := &summary{block: p.block}
	if p.rows {
		sum.rows = 1
	}
	var cols block.Columns
	if err := g.s.loadBlock(g.r, g.st, sum, block.All, &cols); err != nil {
		return nil, nil, err
	}
	if len(cols.Slot) == 0 {
		return nil, nil, corruptBlock(g.st, p.block, "the block does not hold the bars that its summary lists")
	}
	key = blockCheckKey(g.st.id, p.block, 0)
	data, err = w.enc.Encode(nil, key, &cols)
	return key, data, err
}
