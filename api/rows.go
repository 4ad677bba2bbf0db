package api

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// chunk is some bars of an answer. Where they are resampled, parts says of
// each how much of it was there.
type chunk struct {
	*series.Columns
	parts []series.Part
}

func (c *chunk) appendBar(b series.Bar, part *series.Part) {
	c.Append(b)
	if part != nil {
		c.parts = append(c.parts, *part)
	}
}

func (c *chunk) part(i int) *series.Part {
	if i < len(c.parts) {
		return &c.parts[i]
	}
	return nil
}

type rows = iter.Seq2[chunk, error]

// source is where the bars of an answer come from.
type source struct {
	info storage.Info
	grid series.Grid // of the answer
	span series.Span // in which it has bars
}

// stored is the span of the stored bars.
func (s source) stored() series.Span { return barSpan(s.info) }

// barSpan is the span from the first bar of a series to the end of its last.
func barSpan(i storage.Info) series.Span {
	if i.Bars == 0 {
		return series.Span{}
	}
	return series.Span{From: i.First, To: i.Grid.Time(i.Grid.SlotAt(i.Last) + 1)}
}

func (s source) resampled() bool { return s.grid.Interval != s.info.Interval }

// source finds the stored series that answers key: itself or, where it is not
// stored, the coarsest finer one that divides it. With from it is that one.
func (s *Server) source(key series.Key, from series.Interval) (source, error) {
	info, err := s.store.Info(key)
	if err != nil && !errors.Is(err, series.ErrNoSeries) {
		return source{}, err
	}
	if err == nil && (from == 0 || from == key.Interval) {
		src := source{info: info, grid: info.Grid}
		src.span = src.stored()
		return src, nil
	}
	var have []string
	found := false
	all, err := s.store.Series()
	if err != nil {
		return source{}, err
	}
	for _, other := range all {
		if other.Symbol != key.Symbol {
			continue
		}
		have = append(have, other.Interval.String())
		if from != 0 && other.Interval != from {
			continue
		}
		if other.Interval.Divides(key.Interval) && (!found || other.Interval > info.Interval) {
			info, found = other, true
		}
	}
	switch {
	case !found && from != 0 && len(have) > 0:
		return source{}, badField("resample_from", "bars of %s are not stored or do not make up bars of %s: stored of %s are %s",
			from, key.Interval, key.Symbol, strings.Join(have, ", "))
	case !found && len(have) > 0:
		return source{}, noSeries(key, have, "and none that make them up: ")
	case !found:
		return source{}, noSeries(key, nil, "")
	}
	src := source{info: info, grid: series.Grid{Interval: key.Interval}}
	if key.Interval.Intraday() { // as the store does it
		src.grid.Phase = info.Grid.Phase % key.Interval.Width()
	}
	if info.Bars > 0 {
		// A session may be dated a day after it opens, so the last bar may
		// belong to the slot after the one it opens in.
		src.span = series.Span{
			From: src.grid.Time(src.grid.SlotAt(info.First)),
			To:   src.grid.Time(src.grid.SlotAt(info.Last) + 2),
		}
	}
	return src, nil
}

func noSeries(key series.Key, have []string, more string) error {
	e := &Error{Status: 404, Code: "no_such_series", Field: "symbol"}
	if len(have) == 0 {
		e.Message = fmt.Sprintf("nothing is stored of %s: GET /v1/series lists what is", key.Symbol)
		return e
	}
	e.Field = "interval"
	e.Message = fmt.Sprintf("%s has no bars of %s %sstored are %s", key.Symbol, key.Interval, more, strings.Join(have, ", "))
	return e
}

// ascending returns the bars of src that open in span, in order of time.
func ascending(ctx context.Context, v view, src source, span series.Span, cols storage.Columns) rows {
	span = span.Intersect(src.span)
	if span.Empty() {
		return func(func(chunk, error) bool) {}
	}
	if src.resampled() {
		return resampled(ctx, v, src, span)
	}
	return func(yield func(chunk, error) bool) {
		for c, err := range v.Chunks(ctx, src.info.Key, span, storage.ReadOptions{Columns: cols}) {
			if !yield(chunk{Columns: c}, err) || err != nil {
				return
			}
		}
	}
}

// Windows of a resampled answer: the first is small, because many queries want
// a few bars, and none holds more than maxFine fine bars.
const (
	firstWindow = 64
	maxFine     = 1 << 20
)

func resampled(ctx context.Context, v view, src source, span series.Span) rows {
	const month = 31 * series.Day
	width := max(src.grid.Interval.Width(), 1)
	if src.grid.Interval == series.Interval1M {
		width = month
	}
	most := max(1, maxFine/int64(width/src.info.Grid.Interval.Width()))
	return func(yield func(chunk, error) bool) {
		var cols series.Columns
		run := src.grid.Run(span)
		for size := min(firstWindow, most); !run.Empty(); size = min(size*4, most) {
			window := run
			window.To = min(run.To, run.From+series.Slot(size))
			run.From = window.To
			cols.Reset()
			parts, err := v.Resample(ctx, src.info.Key, src.grid.Interval, src.grid.Span(window), &cols)
			if err != nil {
				yield(chunk{}, err)
				return
			}
			if cols.Len() > 0 && !yield(chunk{&cols, parts}, nil) {
				return
			}
		}
	}
}

// descending returns what read returns for span, last bar first. It reads
// windows from the end, so that the newest bars of a long series are cheap.
func descending(g series.Grid, span series.Span, read func(series.Span) rows) rows {
	const first, most = 1024, 1 << 17
	return func(yield func(chunk, error) bool) {
		run := g.Run(span)
		for size := series.Slot(first); !run.Empty(); size = min(size*4, most) {
			window := run
			window.From = max(run.From, run.To-size)
			run.To = window.From
			all := chunk{Columns: &series.Columns{}}
			for c, err := range read(g.Span(window)) {
				if err != nil {
					yield(chunk{}, err)
					return
				}
				for i := range c.Len() {
					all.appendBar(c.Bar(i), c.part(i))
				}
			}
			all.reverse()
			if all.Len() > 0 && !yield(all, nil) {
				return
			}
		}
	}
}

func (c *chunk) reverse() {
	slices.Reverse(c.Time)
	for _, col := range [...][]float64{c.Open, c.High, c.Low, c.Close, c.Volume, c.QuoteVolume, c.Trades} {
		slices.Reverse(col)
	}
	slices.Reverse(c.Prov)
	slices.Reverse(c.parts)
}
