package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"unsafe"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding"

	"github.com/barkeepdb/barkeep/bench"
	"github.com/barkeepdb/barkeep/series"
)

// parquetEngine keeps one file per series, a row group per month of bars and
// pages small enough for the page index to serve a day. A file is rewritten
// whole to change it, so bars cannot be appended one at a time.
//
// Of the layouts, parquet is what everybody writes: doubles. parquet-int is
// what somebody does who knows the data: whole numbers of ticks, each bar
// relative to its neighbours, DELTA_BINARY_PACKED. parquet-min is the smallest
// that we found: the same numbers with zigzag signs, BYTE_STREAM_SPLIT where
// that beats the deltas.
type parquetEngine struct {
	dir    string
	schema *parquet.Schema
	level  zstd.Level
	// ints is nil for doubles.
	ints *intLayout
	year series.Columns // of Resample

	mu    sync.Mutex
	files map[int]*parquetFile
}

// parquetMonth is the number of bars in a row group.
const parquetMonth = 30 * 24 * 60

// parquetPage is the size of a page before it is encoded: 4,096 bars of
// doubles. Larger pages make a year faster and a day slower.
const parquetPage = 32 << 10

// The rows of the three layouts. All have the columns of a series.Columns, in
// its order.
type parquetDoubles struct {
	Time   int64   `parquet:"time,delta"`
	Open   float64 `parquet:"open"`
	High   float64 `parquet:"high"`
	Low    float64 `parquet:"low"`
	Close  float64 `parquet:"close"`
	Volume float64 `parquet:"volume"`
}

type parquetInts struct {
	Time   int64 `parquet:"time,delta"`
	Open   int32 `parquet:"open,delta"`
	High   int32 `parquet:"high,delta"`
	Low    int32 `parquet:"low,delta"`
	Close  int32 `parquet:"close,delta"`
	Volume int64 `parquet:"volume,delta"`
}

type parquetSmallest struct {
	Time   int64 `parquet:"time,delta"`
	Open   int32 `parquet:"open,split"`
	High   int32 `parquet:"high,split"`
	Low    int32 `parquet:"low,split"`
	Close  int32 `parquet:"close,delta"`
	Volume int64 `parquet:"volume,split"`
}

func openParquetDoubles(dir string) (Engine, error) {
	return newParquet(dir, parquetDoubles{}, zstd.SpeedFastest, nil), nil
}

func openParquetInts(dir string) (Engine, error) {
	return newParquet(dir, parquetInts{}, zstd.SpeedFastest, &intLayout{}), nil
}

func openParquetSmallest(dir string) (Engine, error) {
	return newParquet(dir, parquetSmallest{}, zstd.SpeedDefault, &intLayout{zigzag: true}), nil
}

func newParquet(dir string, row any, level zstd.Level, ints *intLayout) *parquetEngine {
	return &parquetEngine{dir: dir, schema: parquet.SchemaOf(row), level: level, ints: ints, files: map[int]*parquetFile{}}
}

func (e *parquetEngine) path(id int) string {
	return filepath.Join(e.dir, fmt.Sprintf("%04d.parquet", id))
}

func (e *parquetEngine) Load(all iter.Seq[*bench.Series]) error {
	err := loadEach(all, func(_, id int, s *bench.Series) error { return e.writeFile(id, &s.Bars) })
	if err != nil {
		return err
	}
	return syncPath(e.dir)
}

// writeFile replaces the file of a series, durably but for its directory.
func (e *parquetEngine) writeFile(id int, c *series.Columns) error {
	f, err := os.Create(e.path(id) + ".new")
	if err != nil {
		return err
	}
	defer f.Close()
	w := parquet.NewWriter(f, e.schema,
		parquet.Compression(compress.Codec(&zstd.Codec{Level: e.level, Concurrency: 1})),
		parquet.PageBufferSize(parquetPage))
	buf := parquet.NewBuffer(e.schema)
	for from := 0; from < c.Len(); from += parquetMonth {
		buf.Reset()
		if err := e.fill(buf.ColumnBuffers(), c, from, min(from+parquetMonth, c.Len())); err != nil {
			return err
		}
		if _, err := w.WriteRowGroup(buf); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(f.Name(), e.path(id))
}

// fill writes bars from up to to into the columns of a row group.
func (e *parquetEngine) fill(dst []parquet.ColumnBuffer, c *series.Columns, from, to int) error {
	times := make([]int64, to-from)
	for i, t := range c.Time[from:to] {
		times[i] = int64(t)
	}
	if _, err := dst[0].(parquet.Int64Writer).WriteInt64s(times); err != nil {
		return err
	}
	if e.ints != nil {
		return e.ints.fill(dst, c, from, to)
	}
	for i, col := range [...][]float64{c.Open, c.High, c.Low, c.Close, c.Volume} {
		if _, err := dst[i+1].(parquet.DoubleWriter).WriteDoubles(col[from:to]); err != nil {
			return err
		}
	}
	return nil
}

// parquetFile is an open file with its footer and page index read.
type parquetFile struct {
	*os.File
	groups []parquetGroup
}

type parquetGroup struct {
	columns []parquet.ColumnChunk
	rows    int64
	span    series.Span // of its times
}

func (e *parquetEngine) file(id int) (*parquetFile, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if f := e.files[id]; f != nil {
		return f, nil
	}
	f, err := os.Open(e.path(id))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	pf, err := parquet.OpenFile(f, info.Size(), parquet.ReadBufferSize(64<<10))
	if err != nil {
		return nil, err
	}
	file := &parquetFile{File: f}
	for _, g := range pf.RowGroups() {
		columns := g.ColumnChunks()
		index, err := columns[0].ColumnIndex()
		if err != nil {
			return nil, err
		}
		last := index.NumPages() - 1
		file.groups = append(file.groups, parquetGroup{columns, g.NumRows(), series.Span{
			From: series.Time(index.MinValue(0).Int64()),
			To:   series.Time(index.MaxValue(last).Int64()) + 1,
		}})
	}
	e.files[id] = file
	return file, nil
}

// readRows copies rows from up to to of a column into dst.
func readRows[T any](chunk parquet.ColumnChunk, from, to int64, dst []T, values func(*encoding.Values) []T) error {
	pages := chunk.Pages()
	defer pages.Close()
	if err := pages.SeekToRow(from); err != nil {
		return err
	}
	for n := 0; n < int(to-from); {
		page, err := pages.ReadPage()
		if err != nil {
			return err
		}
		data := page.Data()
		n += copy(dst[n:to-from], values(&data))
		parquet.Release(page)
	}
	return nil
}

// find returns the rows of the group whose times lie in the span.
func (g *parquetGroup) find(span series.Span) (from, to int64, err error) {
	index, err := g.columns[0].ColumnIndex()
	if err != nil {
		return 0, 0, err
	}
	offsets, err := g.columns[0].OffsetIndex()
	if err != nil {
		return 0, 0, err
	}
	pages := index.NumPages()
	a := sort.Search(pages, func(i int) bool { return index.MaxValue(i).Int64() >= int64(span.From) })
	z := sort.Search(pages, func(i int) bool { return index.MinValue(i).Int64() >= int64(span.To) })
	if a >= z {
		return 0, 0, nil
	}
	from, to = offsets.FirstRowIndex(a), g.rows
	if z < pages {
		to = offsets.FirstRowIndex(z)
	}
	times := make([]int64, to-from)
	if err := readRows(g.columns[0], from, to, times, (*encoding.Values).Int64); err != nil {
		return 0, 0, err
	}
	i := sort.Search(len(times), func(i int) bool { return times[i] >= int64(span.From) })
	k := sort.Search(len(times), func(i int) bool { return times[i] >= int64(span.To) })
	return from + int64(i), from + int64(k), nil
}

func (e *parquetEngine) Read(id int, span series.Span, dst *series.Columns) error {
	dst.Reset()
	f, err := e.file(id)
	if err != nil {
		return err
	}
	type part struct {
		group    *parquetGroup
		from, to int64
		at       int // where in dst
	}
	var parts []part
	total := 0
	for i := range f.groups {
		g := &f.groups[i]
		p := part{group: g, to: g.rows, at: total}
		if in := g.span.Intersect(span); in.Empty() {
			continue
		} else if in != g.span {
			if p.from, p.to, err = g.find(span); err != nil {
				return err
			}
		}
		total += int(p.to - p.from)
		parts = append(parts, p)
	}
	grow(dst, total)
	return parallel(len(parts), func(_, i int) error {
		p := parts[i]
		return e.readPart(p.group, p.from, p.to, &series.Columns{
			Time: dst.Time[p.at:], Open: dst.Open[p.at:], High: dst.High[p.at:],
			Low: dst.Low[p.at:], Close: dst.Close[p.at:], Volume: dst.Volume[p.at:],
		})
	})
}

func (e *parquetEngine) readPart(g *parquetGroup, from, to int64, dst *series.Columns) error {
	if err := readRows(g.columns[0], from, to, dst.Time, times); err != nil {
		return err
	}
	if e.ints != nil {
		return e.ints.read(g, from, to, dst)
	}
	for i, col := range [...][]float64{dst.Open, dst.High, dst.Low, dst.Close, dst.Volume} {
		if err := readRows(g.columns[i+1], from, to, col, (*encoding.Values).Double); err != nil {
			return err
		}
	}
	return nil
}

// times views the values of a time column as times, without a copy.
func times(v *encoding.Values) []series.Time {
	ms := v.Int64()
	return unsafe.Slice((*series.Time)(unsafe.SliceData(ms)), len(ms))
}

// Gaps reads the time columns, whole: with 350 gaps a year nearly every page
// holds one, so the page index has little to skip.
func (e *parquetEngine) Gaps(ids []int) ([][]series.Run, error) {
	type part struct {
		group *parquetGroup
		of    int
		gapFinder
	}
	var parts []part
	for i, id := range ids {
		f, err := e.file(id)
		if err != nil {
			return nil, err
		}
		for k := range f.groups {
			parts = append(parts, part{group: &f.groups[k], of: i})
		}
	}
	err := parallel(len(parts), func(_, i int) error { return parts[i].group.gaps(&parts[i].gapFinder) })
	found := make([]gapFinder, len(ids))
	for i := range parts {
		found[parts[i].of].join(&parts[i].gapFinder)
	}
	gaps := make([][]series.Run, len(ids))
	for i := range gaps {
		gaps[i] = found[i].gaps
	}
	return gaps, err
}

func (g *parquetGroup) gaps(found *gapFinder) error {
	pages := g.columns[0].Pages()
	defer pages.Close()
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		data := page.Data()
		found.add(data.Int64())
		parquet.Release(page)
	}
}

func (e *parquetEngine) Resample(id int, dst *series.Columns) error {
	if err := e.Read(id, everything, &e.year); err != nil {
		return err
	}
	resample(dst, &e.year)
	return nil
}

func (e *parquetEngine) Latest(ids []int) ([]series.Bar, error) {
	bars := make([]series.Bar, len(ids))
	var c series.Columns
	grow(&c, 1)
	for i, id := range ids {
		f, err := e.file(id)
		if err != nil {
			return nil, err
		}
		g := &f.groups[len(f.groups)-1]
		if err := e.readPart(g, g.rows-1, g.rows, &c); err != nil {
			return nil, err
		}
		bars[i] = c.Bar(0)
	}
	return bars, nil
}

// Append is not offered: it would rewrite a file.
func (e *parquetEngine) Append(int, series.Bar) error { return errNotOffered }

// AppendRelaxed is not offered either.
func (e *parquetEngine) AppendRelaxed(int, *series.Columns) error { return errNotOffered }

// Backfill rewrites the file of the series.
func (e *parquetEngine) Backfill(id int, bars *series.Columns) error {
	var c series.Columns
	if err := e.Read(id, everything, &c); err != nil {
		return err
	}
	merged := merge(&c, bars)
	if err := e.writeFile(id, &merged); err != nil {
		return err
	}
	e.mu.Lock()
	err := e.files[id].Close()
	delete(e.files, id)
	e.mu.Unlock()
	if err != nil {
		return err
	}
	return syncPath(e.dir)
}

func (e *parquetEngine) Close() error {
	for _, f := range e.files {
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}
