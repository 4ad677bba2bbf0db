package main

import (
	"math"
	"sync"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"

	"github.com/barkeepdb/barkeep/series"
)

// intLayout writes bars as whole numbers scaled by hand. The close is kept in
// ticks, so that every page can be read alone; the open is relative to the
// close before it (to 0 in the first row of a row group), the high and the low
// to the body; the volume is kept in units of 1e-5.
type intLayout struct {
	// zigzag moves the sign of the open to its lowest bit.
	zigzag bool
	// scratch holds *intColumns.
	scratch sync.Pool
}

const (
	priceScale  = 100
	volumeScale = 1e5
)

type intColumns struct {
	open, high, low, close []int32
	volume                 []int64
}

func (l *intLayout) columns(n int) *intColumns {
	c, _ := l.scratch.Get().(*intColumns)
	if c == nil {
		c = &intColumns{}
	}
	c.open, c.high = extend(c.open[:0], n), extend(c.high[:0], n)
	c.low, c.close = extend(c.low[:0], n), extend(c.close[:0], n)
	c.volume = extend(c.volume[:0], n)
	return c
}

func (l *intLayout) fill(dst []parquet.ColumnBuffer, src *series.Columns, from, to int) error {
	c := l.columns(to - from)
	defer l.scratch.Put(c)
	last := int32(0)
	for i := range c.open {
		open, high := scaled(src.Open[from+i]), scaled(src.High[from+i])
		low, close := scaled(src.Low[from+i]), scaled(src.Close[from+i])
		c.open[i], c.close[i] = open-last, close
		if l.zigzag {
			c.open[i] = c.open[i]<<1 ^ c.open[i]>>31
		}
		c.high[i], c.low[i] = high-max(open, close), min(open, close)-low
		c.volume[i] = int64(math.Round(src.Volume[from+i] * volumeScale))
		last = close
	}
	for i, col := range [...][]int32{c.open, c.high, c.low, c.close} {
		if _, err := dst[i+1].(parquet.Int32Writer).WriteInt32s(col); err != nil {
			return err
		}
	}
	_, err := dst[5].(parquet.Int64Writer).WriteInt64s(c.volume)
	return err
}

func scaled(price float64) int32 { return int32(math.Round(price * priceScale)) }

func (l *intLayout) read(g *parquetGroup, from, to int64, dst *series.Columns) error {
	before := min(from, 1) // the close before the first bar, if there is one
	n := int(to - from)
	c := l.columns(n + int(before))
	defer l.scratch.Put(c)
	for i, col := range [...][]int32{c.open, c.high, c.low} {
		if err := readRows(g.columns[i+1], from, to, col, (*encoding.Values).Int32); err != nil {
			return err
		}
	}
	if err := readRows(g.columns[4], from-before, to, c.close, (*encoding.Values).Int32); err != nil {
		return err
	}
	if err := readRows(g.columns[5], from, to, c.volume, (*encoding.Values).Int64); err != nil {
		return err
	}
	last := int32(0)
	if before == 1 {
		last = c.close[0]
	}
	closes := c.close[before:]
	for i := range n {
		open, close := c.open[i], closes[i]
		if l.zigzag {
			open = int32(uint32(open)>>1) ^ -(open & 1)
		}
		open += last
		last = close
		dst.Open[i] = float64(open) / priceScale
		dst.High[i] = float64(c.high[i]+max(open, close)) / priceScale
		dst.Low[i] = float64(min(open, close)-c.low[i]) / priceScale
		dst.Close[i] = float64(close) / priceScale
		dst.Volume[i] = float64(c.volume[i]) / volumeScale
	}
	return nil
}
