package barfile

import (
	"fmt"
	"io"
	"math"

	"github.com/barkeepdb/barkeep/series"
)

// Writer writes bars to a file, some at a time, in the order of their times.
// Close finishes the file; it does not close what the file is written to.
type Writer interface {
	// Write adds the bars of c.
	Write(c *series.Columns) error
	// Close writes what is still held back.
	Close() error
}

// WriteOptions say how bars are written.
type WriteOptions struct {
	// Format is CSV if it is Auto.
	Format Format
	// Key names the series. JSON and Columns carry it, Lean names its entries
	// by it; it may be empty.
	Key series.Key
	// Plain leaves out what other programs have no column for: quote volume,
	// trades, kind and source. JSON is then a bare array.
	Plain bool
	// SourceName names the source of a bar; nil leaves the names empty.
	SourceName func(series.SourceID) string
	// Compression of Arrow is none (default), lz4 or zstd. The other formats
	// have one of their own or none.
	Compression string
}

// NewWriter starts a file of bars on w.
func NewWriter(w io.Writer, o WriteOptions) (Writer, error) {
	switch o.Compression {
	case "", "none":
	case "lz4", "zstd":
		if o.Format != Arrow {
			return nil, fmt.Errorf("compression %q is for the format arrow only", o.Compression)
		}
	default:
		return nil, fmt.Errorf("compression %q is not one of none lz4 zstd", o.Compression)
	}
	switch o.Format {
	case Auto, CSV, JSON, NDJSON:
		return newTextWriter(w, o), nil
	case Columns:
		return &columnsWriter{w: w, o: o}, nil
	case Parquet:
		return newParquetWriter(w, o), nil
	case Arrow, Freqtrade:
		return newArrowWriter(w, o)
	case Lean:
		return newLeanWriter(w, o)
	}
	return nil, fmt.Errorf("format %s cannot be written", o.Format)
}

// sourceName is the name of the source of p, empty if nobody knows it.
func (o *WriteOptions) sourceName(p series.Prov) string {
	if o.SourceName == nil {
		return ""
	}
	return o.SourceName(p.Source())
}

// finite reports whether v is a number that JSON can write.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
