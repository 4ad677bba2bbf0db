package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/bench"
	"github.com/barkeepdb/barkeep/series"
)

// pebbleEngine is what a Go program does first: one key per bar, series number
// and time big-endian, five doubles as the value. Loading ingests sorted
// tables, which is the fastest way into Pebble. Compression is Pebble's own
// choice, Snappy: zstd takes 28 bytes a bar and loads at a third of the speed.
type pebbleEngine struct {
	dir  string
	db   *pebble.DB
	opts *pebble.Options
	scan [workers]series.Columns
	year series.Columns // of Resample
}

func openPebble(dir string) (Engine, error) {
	cache := pebble.NewCache(256 << 20)
	defer cache.Unref()
	opts := &pebble.Options{
		Cache:              cache,
		FormatMajorVersion: pebble.FormatNewest,
		MemTableSize:       64 << 20,
		Logger:             silent{},
	}
	for i := range opts.Levels {
		opts.Levels[i].BlockSize = 32 << 10
	}
	opts.EnsureDefaults() // the table writers of Load need them too
	db, err := pebble.Open(dir, opts)
	if err != nil {
		return nil, err
	}
	return &pebbleEngine{dir: dir, db: db, opts: opts}, nil
}

// silent drops what Pebble logs about every table.
type silent struct{}

func (silent) Infof(string, ...any)              {}
func (silent) Errorf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (silent) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

const pebbleKey, pebbleValue = 12, 40

func putKey(b []byte, id int, t series.Time) []byte {
	binary.BigEndian.PutUint32(b, uint32(id))
	binary.BigEndian.PutUint64(b[4:], uint64(t))
	return b[:pebbleKey]
}

func putBar(b []byte, c *series.Columns, i int) []byte {
	for k, v := range [...]float64{c.Open[i], c.High[i], c.Low[i], c.Close[i], c.Volume[i]} {
		binary.LittleEndian.PutUint64(b[8*k:], math.Float64bits(v))
	}
	return b[:pebbleValue]
}

func double(b []byte, k int) float64 {
	return math.Float64frombits(binary.LittleEndian.Uint64(b[8*k:]))
}

func (e *pebbleEngine) Load(all iter.Seq[*bench.Series]) error {
	var paths [workers][]string
	err := loadEach(all, func(w, id int, s *bench.Series) error {
		path := filepath.Join(e.dir, fmt.Sprintf("load-%d.sst", id))
		paths[w] = append(paths[w], path)
		return e.writeTable(path, id, &s.Bars)
	})
	if err != nil {
		return err
	}
	return e.db.Ingest(context.Background(), slices.Concat(paths[:]...))
}

func (e *pebbleEngine) writeTable(path string, id int, c *series.Columns) error {
	f, err := vfs.Default.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), e.opts.MakeWriterOptions(6, e.db.TableFormat()))
	var key [pebbleKey]byte
	var value [pebbleValue]byte
	for i, t := range c.Time {
		if err := w.Set(putKey(key[:], id, t), putBar(value[:], c, i)); err != nil {
			return err
		}
	}
	return w.Close() // which syncs the file
}

// iterate returns an iterator over the bars of a series in the span.
func (e *pebbleEngine) iterate(id int, span series.Span) (*pebble.Iterator, error) {
	var from, to [pebbleKey]byte
	return e.db.NewIter(&pebble.IterOptions{
		LowerBound: putKey(from[:], id, span.From),
		UpperBound: putKey(to[:], id, span.To),
	})
}

func (e *pebbleEngine) Read(id int, span series.Span, dst *series.Columns) error {
	dst.Reset()
	if span.Len() < int64(7*series.Day) {
		return e.readInto(id, span, dst)
	}
	parts := split(span, workers)
	err := parallel(len(parts), func(_, i int) error {
		e.scan[i].Reset()
		if i == 0 {
			return e.readInto(id, parts[i], dst)
		}
		return e.readInto(id, parts[i], &e.scan[i])
	})
	for i := range parts[1:] {
		appendColumns(dst, &e.scan[i+1])
	}
	return err
}

func (e *pebbleEngine) readInto(id int, span series.Span, dst *series.Columns) error {
	it, err := e.iterate(id, span)
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		v := it.Value()
		dst.Time = append(dst.Time, series.Time(binary.BigEndian.Uint64(it.Key()[4:])))
		dst.Open, dst.High = append(dst.Open, double(v, 0)), append(dst.High, double(v, 1))
		dst.Low, dst.Close = append(dst.Low, double(v, 2)), append(dst.Close, double(v, 3))
		dst.Volume = append(dst.Volume, double(v, 4))
	}
	return it.Error()
}

func (e *pebbleEngine) Gaps(ids []int) ([][]series.Run, error) {
	found := make([]gapFinder, len(ids)*workers)
	err := parallel(len(found), func(_, i int) error {
		id := ids[i/workers]
		span, err := e.extent(id)
		if err != nil {
			return err
		}
		it, err := e.iterate(id, split(span, workers)[i%workers])
		if err != nil {
			return err
		}
		defer it.Close()
		var t [1]int64
		for ok := it.First(); ok; ok = it.Next() {
			t[0] = int64(binary.BigEndian.Uint64(it.Key()[4:]))
			found[i].add(t[:])
		}
		return it.Error()
	})
	gaps := make([][]series.Run, len(ids))
	for k := range gaps {
		g := found[k*workers]
		for i := 1; i < workers; i++ {
			g.join(&found[k*workers+i])
		}
		gaps[k] = g.gaps
	}
	return gaps, err
}

// extent returns the span from the first bar of a series to its last.
func (e *pebbleEngine) extent(id int) (series.Span, error) {
	it, err := e.iterate(id, everything)
	if err != nil {
		return series.Span{}, err
	}
	defer it.Close()
	var s series.Span
	if it.First() {
		s.From = series.Time(binary.BigEndian.Uint64(it.Key()[4:]))
	}
	if it.Last() {
		s.To = series.Time(binary.BigEndian.Uint64(it.Key()[4:])) + 1
	}
	return s, it.Error()
}

func (e *pebbleEngine) Resample(id int, dst *series.Columns) error {
	span, err := e.extent(id)
	if err != nil {
		return err
	}
	if err := e.Read(id, span, &e.year); err != nil {
		return err
	}
	resample(dst, &e.year)
	return nil
}

func (e *pebbleEngine) Latest(ids []int) ([]series.Bar, error) {
	bars := make([]series.Bar, 0, len(ids))
	it, err := e.db.NewIter(nil)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var key [pebbleKey]byte
	for _, id := range ids {
		if !it.SeekLT(putKey(key[:], id+1, 0)) {
			return nil, it.Error()
		}
		v := it.Value()
		bars = append(bars, series.Bar{
			Time: series.Time(binary.BigEndian.Uint64(it.Key()[4:])),
			Open: double(v, 0), High: double(v, 1), Low: double(v, 2), Close: double(v, 3), Volume: double(v, 4),
		})
	}
	return bars, nil
}

func (e *pebbleEngine) Append(id int, b series.Bar) error {
	var c series.Columns
	c.Append(b)
	var key [pebbleKey]byte
	var value [pebbleValue]byte
	return e.db.Set(putKey(key[:], id, b.Time), putBar(value[:], &c, 0), pebble.Sync)
}

func (e *pebbleEngine) AppendRelaxed(id int, bars *series.Columns) error {
	var key [pebbleKey]byte
	var value [pebbleValue]byte
	for i, t := range bars.Time {
		if err := e.db.Set(putKey(key[:], id, t), putBar(value[:], bars, i), pebble.NoSync); err != nil {
			return err
		}
	}
	return nil
}

func (e *pebbleEngine) Backfill(id int, bars *series.Columns) error {
	b := e.db.NewBatchWithSize(bars.Len() * 64)
	defer b.Close()
	var key [pebbleKey]byte
	var value [pebbleValue]byte
	for i, t := range bars.Time {
		if err := b.Set(putKey(key[:], id, t), putBar(value[:], bars, i), nil); err != nil {
			return err
		}
	}
	return b.Commit(pebble.Sync)
}

func (e *pebbleEngine) Close() error { return e.db.Close() }
