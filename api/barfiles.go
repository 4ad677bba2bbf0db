package api

import (
	"io"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
)

// linesEncoder writes one bar a line, as they stand in the JSON answer. A page
// that ends early does not say so: streaming formats are not paged.
type linesEncoder struct{ jsonEncoder }

func (e *linesEncoder) contentType() string { return barfile.NDJSON.ContentType() }

func (e *linesEncoder) write(c chunk, n int) error {
	for i := range n {
		e.bar(c.Bar(i), c.part(i))
		e.buf = append(e.buf, '\n')
		if _, err := e.w.Write(e.buf); err != nil {
			return err
		}
		e.buf = e.buf[:0]
	}
	return nil
}

func (e *linesEncoder) close(*cursor) error { return e.w.Flush() }

// fileEncoder writes a file format.
type fileEncoder struct {
	format barfile.Format
	w      barfile.Writer
}

func newFileEncoder(w io.Writer, a answer) (encoder, error) {
	out, err := barfile.NewWriter(w, barfile.WriteOptions{
		Format: a.query.format, Key: a.query.key, Plain: a.query.columns != 0, SourceName: a.sourceName,
	})
	if err != nil {
		return nil, badField("format", "%v", err)
	}
	return &fileEncoder{a.query.format, out}, nil
}

func (e *fileEncoder) contentType() string { return e.format.ContentType() }

func (e *fileEncoder) write(c chunk, n int) error {
	if n == 0 {
		return nil
	}
	return e.w.Write(firstBars(c.Columns, n))
}

func (e *fileEncoder) close(*cursor) error { return e.w.Close() }

// firstBars returns the first n bars of c, sharing memory.
func firstBars(c *series.Columns, n int) *series.Columns {
	cut := func(col []float64) []float64 { return col[:min(n, len(col))] }
	return &series.Columns{
		Time: c.Time[:n], Open: cut(c.Open), High: cut(c.High), Low: cut(c.Low), Close: cut(c.Close), Volume: cut(c.Volume),
		QuoteVolume: cut(c.QuoteVolume), Trades: cut(c.Trades), Prov: c.Prov[:min(n, len(c.Prov))],
	}
}
