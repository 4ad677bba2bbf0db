package api

import (
	"encoding/json"
	"io"
	"math"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// columnsEncoder writes one array per column. The answer is bounded by
// maxRows, so it is gathered first.
type columnsEncoder struct {
	answer
	w    io.Writer
	cols series.Columns
}

func (e *columnsEncoder) contentType() string { return "application/json" }

func (e *columnsEncoder) write(c chunk, n int) error {
	for i := range n {
		e.cols.Append(c.Bar(i))
	}
	return nil
}

// floats writes what is not finite as null.
type floats []float64

func (f floats) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 2+10*len(f))
	b = append(b, '[')
	for i, v := range f {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendFloat(b, v)
	}
	return append(b, ']'), nil
}

func (e *columnsEncoder) close(next *cursor) error {
	type columns struct {
		Time        []series.Time `json:"time"`
		Open        floats        `json:"open,omitempty"`
		High        floats        `json:"high,omitempty"`
		Low         floats        `json:"low,omitempty"`
		Close       floats        `json:"close,omitempty"`
		Volume      floats        `json:"volume,omitempty"`
		QuoteVolume floats        `json:"quote_volume,omitempty"`
		Trades      floats        `json:"trades,omitempty"`
		Kind        []string      `json:"kind,omitempty"`
		Source      []string      `json:"source,omitempty"`
	}
	pick := func(bit storage.Columns, col []float64) floats {
		if !e.asks(bit) || len(col) == 0 {
			return nil
		}
		for _, v := range col {
			if !math.IsNaN(v) {
				return col
			}
		}
		if bit&(storage.ColQuoteVolume|storage.ColTrades) != 0 {
			return nil
		}
		return col
	}
	c := &e.cols
	out := columns{
		Time: c.Time,
		Open: pick(storage.ColOpen, c.Open), High: pick(storage.ColHigh, c.High),
		Low: pick(storage.ColLow, c.Low), Close: pick(storage.ColClose, c.Close), Volume: pick(storage.ColVolume, c.Volume),
		QuoteVolume: pick(storage.ColQuoteVolume, c.QuoteVolume), Trades: pick(storage.ColTrades, c.Trades),
	}
	if out.Time == nil {
		out.Time = []series.Time{}
	}
	if e.asks(storage.ColProv) {
		for _, p := range c.Prov {
			out.Kind = append(out.Kind, p.Kind().String())
			out.Source = append(out.Source, e.sourceName(p.Source()))
		}
	}
	var at *string
	if next != nil {
		s := next.String()
		at = &s
	}
	return json.NewEncoder(e.w).Encode(struct {
		Symbol   string          `json:"symbol"`
		Interval series.Interval `json:"interval"`
		Adjust   series.Adjust   `json:"adjust"`
		Columns  columns         `json:"columns"`
		Next     *string         `json:"next"`
		Quality  quality         `json:"quality"`
	}{e.query.key.Symbol, e.query.key.Interval, e.query.adjusted, out, at, e.quality()})
}
