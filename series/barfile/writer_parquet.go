package barfile

import (
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/barkeepdb/barkeep/series"
)

// parquetRow is a bar as Parquet holds it. Delta encoding turns the regular
// steps of times into almost nothing, and byte stream split lets zstd see the
// exponents of prices side by side.
type parquetRow struct {
	Time        int64    `parquet:"time,delta,timestamp(millisecond)"`
	Open        float64  `parquet:"open,split"`
	High        float64  `parquet:"high,split"`
	Low         float64  `parquet:"low,split"`
	Close       float64  `parquet:"close,split"`
	Volume      float64  `parquet:"volume,split"`
	QuoteVolume *float64 `parquet:"quote_volume,optional,split"`
	Trades      *float64 `parquet:"trades,optional,split"`
	Kind        string   `parquet:"kind,dict"`
	Source      string   `parquet:"source,dict"`
}

// plainRow is parquetRow without what other programs have no column for.
type plainRow struct {
	Time   int64   `parquet:"time,delta,timestamp(millisecond)"`
	Open   float64 `parquet:"open,split"`
	High   float64 `parquet:"high,split"`
	Low    float64 `parquet:"low,split"`
	Close  float64 `parquet:"close,split"`
	Volume float64 `parquet:"volume,split"`
}

// rowGroup is the number of rows of a row group: what DuckDB writes, and small
// enough to hold in memory while it is written.
const rowGroup = 122_880

func newParquetWriter(w io.Writer, o WriteOptions) Writer {
	options := []parquet.WriterOption{
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedDefault}),
		parquet.MaxRowsPerRowGroup(rowGroup),
		// without it the bytes change with the build of this program
		parquet.CreatedBy("barkeep", "1.0.0", ""),
	}
	if o.Key.Symbol != "" {
		options = append(options, parquet.KeyValueMetadata("interval", o.Key.Interval.String()), parquet.KeyValueMetadata("symbol", o.Key.Symbol))
	}
	if o.Plain {
		return &parquetWriter[plainRow]{w: parquet.NewGenericWriter[plainRow](w, options...), row: plainRowOf}
	}
	return &parquetWriter[parquetRow]{
		w: parquet.NewGenericWriter[parquetRow](w, options...),
		row: func(c *series.Columns, i int) parquetRow {
			p := plainRowOf(c, i)
			r := parquetRow{Time: p.Time, Open: p.Open, High: p.High, Low: p.Low, Close: p.Close, Volume: p.Volume}
			if i < len(c.QuoteVolume) && c.QuoteVolume[i] == c.QuoteVolume[i] {
				r.QuoteVolume = &c.QuoteVolume[i]
			}
			if i < len(c.Trades) && c.Trades[i] == c.Trades[i] {
				r.Trades = &c.Trades[i]
			}
			prov := c.Bar(i).Prov
			r.Kind, r.Source = prov.Kind().String(), o.sourceName(prov)
			return r
		},
	}
}

func plainRowOf(c *series.Columns, i int) plainRow {
	return plainRow{int64(c.Time[i]), c.Open[i], c.High[i], c.Low[i], c.Close[i], c.Volume[i]}
}

// parquetWriter writes rows of one of the two schemas.
type parquetWriter[T any] struct {
	w    *parquet.GenericWriter[T]
	row  func(*series.Columns, int) T
	rows []T
}

func (w *parquetWriter[T]) Write(c *series.Columns) error {
	if err := c.Check(); err != nil {
		return err
	}
	for from := 0; from < c.Len(); from += typedRows {
		w.rows = w.rows[:0]
		for i := from; i < min(from+typedRows, c.Len()); i++ {
			w.rows = append(w.rows, w.row(c, i))
		}
		if _, err := w.w.Write(w.rows); err != nil {
			return fmt.Errorf("parquet: %w", err)
		}
	}
	return nil
}

func (w *parquetWriter[T]) Close() error {
	if err := w.w.Close(); err != nil {
		return fmt.Errorf("parquet: %w", err)
	}
	return nil
}
