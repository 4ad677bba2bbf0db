package main

import (
	"context"
	"fmt"
	"iter"

	"github.com/barkeepdb/barkeep/bench"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// barkeepEngine is Barkeep's own store. Its cache of decoded blocks is off, as
// the same year is read again and again: the figures are those of decoding.
type barkeepEngine struct {
	store *storage.Store
	keys  []series.Key
}

func openBarkeep(dir string) (Engine, error) {
	s, err := storage.Open(dir, storage.Options{DecodedBytes: -1})
	if err != nil {
		return nil, err
	}
	return &barkeepEngine{store: s}, nil
}

// all is the context of every call; nothing here is cancelled.
var all = context.Background()

func (e *barkeepEngine) Load(corpus iter.Seq[*bench.Series]) error {
	return loadEach(func(yield func(*bench.Series) bool) {
		for s := range corpus {
			e.keys = append(e.keys, s.Key)
			if !yield(s) {
				return
			}
		}
	}, func(_, _ int, s *bench.Series) error {
		_, err := e.store.Write(all, s.Key, &s.Bars, storage.WriteOptions{Source: "bench"})
		return err
	})
}

func (e *barkeepEngine) Read(id int, span series.Span, dst *series.Columns) error {
	dst.Reset()
	return e.store.Read(all, e.keys[id], span, storage.ReadOptions{Columns: barkeepColumns}, dst)
}

// barkeepColumns are the columns that the peers keep.
const barkeepColumns = storage.ColOpen | storage.ColHigh | storage.ColLow | storage.ColClose | storage.ColVolume

func (e *barkeepEngine) Gaps(ids []int) ([][]series.Run, error) {
	gaps := make([][]series.Run, len(ids))
	for i, id := range ids {
		scan, err := e.store.Gaps(all, e.keys[id], series.Span{})
		if err != nil {
			return nil, err
		}
		gaps[i] = make([]series.Run, len(scan.Gaps))
		for k, g := range scan.Gaps {
			gaps[i][k] = g.Run
		}
	}
	return gaps, nil
}

func (e *barkeepEngine) Resample(id int, dst *series.Columns) error {
	dst.Reset()
	_, err := e.store.Resample(all, e.keys[id], series.Interval1h, series.Span{}, dst)
	return err
}

func (e *barkeepEngine) Latest(ids []int) ([]series.Bar, error) {
	bars := make([]series.Bar, len(ids))
	for i, id := range ids {
		b, ok, err := e.store.Latest(e.keys[id])
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("%v has no bar", e.keys[id])
		}
		bars[i] = b
	}
	return bars, nil
}

func (e *barkeepEngine) Append(id int, b series.Bar) error {
	return e.store.Append(all, e.keys[id], b, storage.WriteOptions{Source: "bench"})
}

func (e *barkeepEngine) AppendRelaxed(id int, bars *series.Columns) error {
	o := storage.WriteOptions{Source: "bench", Relaxed: true}
	for i := range bars.Time {
		if err := e.store.Append(all, e.keys[id], bars.Bar(i), o); err != nil {
			return err
		}
	}
	return nil
}

func (e *barkeepEngine) Backfill(id int, bars *series.Columns) error {
	_, err := e.store.Write(all, e.keys[id], bars, storage.WriteOptions{Source: "bench"})
	return err
}

func (e *barkeepEngine) Close() error { return e.store.Close() }
