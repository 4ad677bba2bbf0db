package storage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/barkeepdb/barkeep/series"
)

// Resample fills dst with the bars of a coarser interval, made from the stored
// bars of key while reading, so that they are never older than those; span
// bounds the open times of the coarse bars, the zero span is all. There is one
// part for each bar: it says how many fine bars were expected and how many are
// there.
func (s *Store) Resample(ctx context.Context, key series.Key, coarse series.Interval, span series.Span, dst *series.Columns) ([]series.Part, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	x, snap, err := s.viewNow(ctx, key)
	if err != nil {
		return nil, err
	}
	parts, err := x.resample(ctx, coarse, span, dst)
	return parts, errors.Join(err, snap.Close())
}

// Resample is [Store.Resample] on the snapshot.
func (v *Snapshot) Resample(ctx context.Context, key series.Key, coarse series.Interval, span series.Span, dst *series.Columns) ([]series.Part, error) {
	if err := v.s.enter(); err != nil {
		return nil, err
	}
	defer v.s.leave()
	x, err := v.view(key)
	if err != nil {
		return nil, err
	}
	return x.resample(ctx, coarse, span, dst)
}

func (v *view) resample(ctx context.Context, coarse series.Interval, span series.Span, dst *series.Columns) ([]series.Part, error) {
	key := v.st.key
	grid := series.Grid{Interval: coarse}
	if coarse.Intraday() && v.st.grid().Phase > 0 {
		grid.Phase = v.st.grid().Phase % coarse.Width()
	}
	cal, _, err := v.s.calendar(key.Symbol)
	if err != nil {
		return nil, err
	}
	r, err := series.NewResampler(v.st.grid(), grid, cal)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	dst.Reset()
	if v.all().Empty() {
		return nil, nil
	}
	bound := span
	if span != (series.Span{}) {
		if span = widen(span, grid, cal); span.Empty() {
			return nil, nil
		}
	}
	r.Now = v.s.opts.Now()
	blocks, err := v.blocks(v.run(span))
	if err != nil {
		return nil, err
	}
	if cal.AlwaysOpen() {
		parts, done, err := v.aggregate(ctx, blocks, v.run(span), grid, r.Now, dst)
		if done || err != nil {
			return parts, err
		}
	}
	var src series.Columns
	for i := 0; i < len(blocks); i += chunkBlocks {
		if err := v.read(ctx, blocks[i:min(i+chunkBlocks, len(blocks))], ReadOptions{}, &src); err != nil {
			return nil, err
		}
		r.Add(dst, &src)
	}
	r.Flush(dst)
	return trim(dst, r.Parts, bound), nil
}

// widen returns the time of the fine bars that make up the coarse bars opening
// in span. Sessions reach into the days of UTC beside their date; what that
// gathers too much, trim takes away.
func widen(span series.Span, grid series.Grid, cal *series.Calendar) series.Span {
	s := grid.Span(grid.Run(span))
	if s.Empty() || cal.AlwaysOpen() || grid.Interval.Intraday() {
		return s
	}
	return series.Span{From: s.From - 2*series.Day, To: s.To + 2*series.Day}
}

// trim drops the bars that open outside of span; the zero span keeps all.
func trim(c *series.Columns, parts []series.Part, span series.Span) []series.Part {
	if span == (series.Span{}) {
		return parts
	}
	i, _ := slices.BinarySearch(c.Time, span.From)
	j, _ := slices.BinarySearch(c.Time, span.To)
	j = max(i, j)
	cut := func(col *[]float64) {
		if len(*col) > 0 {
			*col = (*col)[i:j]
		}
	}
	c.Time = c.Time[i:j]
	for _, col := range [...]*[]float64{&c.Open, &c.High, &c.Low, &c.Close, &c.Volume, &c.QuoteVolume, &c.Trades} {
		cut(col)
	}
	if len(c.Prov) > 0 {
		c.Prov = c.Prov[i:j]
	}
	return parts[i:j]
}
