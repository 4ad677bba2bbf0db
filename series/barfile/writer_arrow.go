package barfile

import (
	"fmt"
	"io"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/barkeepdb/barkeep/series"
)

// arrowWriter writes an Arrow IPC file, which is feather version 2.
type arrowWriter struct {
	w      *ipc.FileWriter
	o      WriteOptions
	schema *arrow.Schema
	b      *array.RecordBuilder
}

// newArrowWriter starts an Arrow file. It is uncompressed unless asked for,
// because readers in browsers have no codecs; freqtrade's is lz4.
func newArrowWriter(w io.Writer, o WriteOptions) (Writer, error) {
	number := arrow.PrimitiveTypes.Float64
	fields := []arrow.Field{{Name: "time", Type: arrow.FixedWidthTypes.Timestamp_ms}}
	if o.Format == Freqtrade {
		o.Plain, o.Compression, fields[0].Name = true, "lz4", "date"
	}
	for _, n := range []string{"open", "high", "low", "close", "volume"} {
		fields = append(fields, arrow.Field{Name: n, Type: number})
	}
	if !o.Plain {
		fields = append(fields,
			arrow.Field{Name: "quote_volume", Type: number, Nullable: true}, arrow.Field{Name: "trades", Type: number, Nullable: true},
			arrow.Field{Name: "kind", Type: arrow.BinaryTypes.String}, arrow.Field{Name: "source", Type: arrow.BinaryTypes.String})
	}
	var meta *arrow.Metadata
	if o.Key.Symbol != "" && o.Format != Freqtrade {
		m := arrow.NewMetadata([]string{"symbol", "interval"}, []string{o.Key.Symbol, o.Key.Interval.String()})
		meta = &m
	}
	a := &arrowWriter{o: o, schema: arrow.NewSchema(fields, meta)}
	options := []ipc.Option{ipc.WithSchema(a.schema)}
	switch o.Compression {
	case "lz4":
		options = append(options, ipc.WithLZ4())
	case "zstd":
		options = append(options, ipc.WithZstd())
	}
	var err error
	if a.w, err = ipc.NewFileWriter(w, options...); err != nil {
		return nil, fmt.Errorf("arrow: %w", err)
	}
	a.b = array.NewRecordBuilder(memory.DefaultAllocator, a.schema)
	return a, nil
}

func (a *arrowWriter) Write(c *series.Columns) error {
	if err := c.Check(); err != nil {
		return err
	}
	for from := 0; from < c.Len(); from += defaultRows {
		if err := a.write(c, from, min(from+defaultRows, c.Len())); err != nil {
			return fmt.Errorf("arrow: %w", err)
		}
	}
	return nil
}

// write adds one record batch.
func (a *arrowWriter) write(c *series.Columns, from, to int) error {
	times := a.b.Field(0).(*array.TimestampBuilder)
	for _, t := range c.Time[from:to] {
		times.Append(arrow.Timestamp(t))
	}
	for i, col := range [...][]float64{c.Open, c.High, c.Low, c.Close, c.Volume} {
		a.b.Field(1+i).(*array.Float64Builder).AppendValues(col[from:to], nil)
	}
	if !a.o.Plain {
		for i, col := range [...][]float64{c.QuoteVolume, c.Trades} {
			b := a.b.Field(6 + i).(*array.Float64Builder)
			for j := from; j < to; j++ {
				if j < len(col) && !math.IsNaN(col[j]) {
					b.Append(col[j])
				} else {
					b.AppendNull()
				}
			}
		}
		kind, source := a.b.Field(8).(*array.StringBuilder), a.b.Field(9).(*array.StringBuilder)
		for j := from; j < to; j++ {
			var p series.Prov
			if j < len(c.Prov) {
				p = c.Prov[j]
			}
			kind.Append(p.Kind().String())
			source.Append(a.o.sourceName(p))
		}
	}
	r := a.b.NewRecordBatch()
	defer r.Release()
	return a.w.Write(r)
}

func (a *arrowWriter) Close() error {
	a.b.Release()
	if err := a.w.Close(); err != nil {
		return fmt.Errorf("arrow: %w", err)
	}
	return nil
}
