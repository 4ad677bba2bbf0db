package barfile

import (
	"encoding/json"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/barkeepdb/barkeep/series"
)

// textWriter writes CSV, JSON and NDJSON.
type textWriter struct {
	w    io.Writer
	o    WriteOptions
	buf  []byte
	rows int64
	// quoted holds the sources' names as they stand in the file.
	quoted map[series.SourceID]string
}

// csvHeader are the columns of CSV; the first six are those of a plain file.
const csvHeader = "time,open,high,low,close,volume,quote_volume,trades,kind,source\n"

func newTextWriter(w io.Writer, o WriteOptions) *textWriter {
	t := &textWriter{w: w, o: o, quoted: make(map[series.SourceID]string)}
	switch {
	case o.Format == NDJSON:
	case o.Format == JSON && (o.Plain || o.Key.Symbol == ""):
		t.buf = append(t.buf, '[')
	case o.Format == JSON:
		t.buf = append(appendKey(t.buf, o.Key), `"bars":[`...)
	case o.Plain:
		t.buf = append(t.buf, "time,open,high,low,close,volume\n"...)
	default:
		t.buf = append(t.buf, csvHeader...)
	}
	return t
}

// appendKey starts a JSON object with the names of the series.
func appendKey(b []byte, k series.Key) []byte {
	b = append(b, `{"symbol":`...)
	b = append(b, quoteJSON(k.Symbol)...)
	b = append(b, `,"interval":"`...)
	b = append(b, k.Interval.String()...)
	return append(b, `",`...)
}

func quoteJSON(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // a string always has one
		panic(err)
	}
	return b
}

// flushAt is how much text is gathered before it is written out.
const flushAt = 64 << 10

func (t *textWriter) Write(c *series.Columns) error {
	if err := c.Check(); err != nil {
		return err
	}
	for i := range c.Time {
		b := c.Bar(i)
		if t.o.Format == JSON || t.o.Format == NDJSON {
			t.json(&b)
		} else {
			t.csv(&b)
		}
		t.rows++
		if len(t.buf) > flushAt {
			if err := t.flush(); err != nil {
				return err
			}
		}
	}
	return t.flush()
}

func (t *textWriter) flush() error {
	_, err := t.w.Write(t.buf)
	t.buf = t.buf[:0]
	return err
}

func (t *textWriter) csv(b *series.Bar) {
	out := strconv.AppendInt(t.buf, int64(b.Time), 10)
	for _, v := range [...]float64{b.Open, b.High, b.Low, b.Close, b.Volume} {
		out = appendFloat(append(out, ','), v)
	}
	if !t.o.Plain {
		out = appendFloat(append(out, ','), b.QuoteVolume)
		out = appendFloat(append(out, ','), b.Trades)
		out = append(append(out, ','), b.Prov.Kind().String()...)
		out = append(append(out, ','), t.source(b.Prov, quoteCSV)...)
	}
	t.buf = append(out, '\n')
}

func (t *textWriter) json(b *series.Bar) {
	out := t.buf
	if t.rows > 0 && t.o.Format == JSON {
		out = append(out, ',', '\n')
	}
	out = strconv.AppendInt(append(out, `{"time":`...), int64(b.Time), 10)
	out = appendJSONFloat(append(out, `,"open":`...), b.Open)
	out = appendJSONFloat(append(out, `,"high":`...), b.High)
	out = appendJSONFloat(append(out, `,"low":`...), b.Low)
	out = appendJSONFloat(append(out, `,"close":`...), b.Close)
	out = appendJSONFloat(append(out, `,"volume":`...), b.Volume)
	if !t.o.Plain {
		if !math.IsNaN(b.QuoteVolume) {
			out = appendJSONFloat(append(out, `,"quote_volume":`...), b.QuoteVolume)
		}
		if !math.IsNaN(b.Trades) {
			out = appendJSONFloat(append(out, `,"trades":`...), b.Trades)
		}
		out = append(append(append(out, `,"kind":"`...), b.Prov.Kind().String()...), `","source":`...)
		out = append(out, t.source(b.Prov, func(s string) string { return string(quoteJSON(s)) })...)
	}
	out = append(out, '}')
	if t.o.Format == NDJSON {
		out = append(out, '\n')
	}
	t.buf = out
}

// source returns the name of the source of p as it stands in the file.
func (t *textWriter) source(p series.Prov, quote func(string) string) string {
	s, ok := t.quoted[p.Source()]
	if !ok {
		s = quote(t.o.sourceName(p))
		t.quoted[p.Source()] = s
	}
	return s
}

func (t *textWriter) Close() error {
	switch {
	case t.o.Format != JSON:
	case t.o.Plain || t.o.Key.Symbol == "":
		t.buf = append(t.buf, "]\n"...)
	default:
		t.buf = append(t.buf, "]}\n"...)
	}
	return t.flush()
}

// quoteCSV quotes a name that would break its line. Line ends become spaces,
// because many readers of CSV look for rows before they look for quotes.
func quoteCSV(s string) string {
	if !strings.ContainsAny(s, ",\"\r\n") {
		return s
	}
	s = strings.NewReplacer(`"`, `""`, "\r", " ", "\n", " ").Replace(s)
	return `"` + s + `"`
}

// appendFloat writes v with the fewest digits that read back to it, without
// exponent at magnitudes that people read; nothing for NaN.
func appendFloat(b []byte, v float64) []byte {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return b
	case a == 0 || a >= 1e-9 && a < 1e17:
		return strconv.AppendFloat(b, v, 'f', -1, 64)
	}
	return strconv.AppendFloat(b, v, 'e', -1, 64)
}

func appendJSONFloat(b []byte, v float64) []byte {
	if !finite(v) {
		return append(b, "null"...)
	}
	return appendFloat(b, v)
}

// columnsWriter writes one JSON object with one array per column. The arrays
// stand one after the other, so that it holds all bars until Close.
type columnsWriter struct {
	w io.Writer
	o WriteOptions
	c series.Columns
}

func (w *columnsWriter) Write(c *series.Columns) error {
	if err := c.Check(); err != nil {
		return err
	}
	n := w.c.Len()
	w.c.Time = append(w.c.Time, c.Time...)
	w.c.Open = append(w.c.Open, c.Open...)
	w.c.High = append(w.c.High, c.High...)
	w.c.Low = append(w.c.Low, c.Low...)
	w.c.Close = append(w.c.Close, c.Close...)
	w.c.Volume = append(w.c.Volume, c.Volume...)
	w.c.QuoteVolume = appendColumn(w.c.QuoteVolume, c.QuoteVolume, n, c.Len(), nan)
	w.c.Trades = appendColumn(w.c.Trades, c.Trades, n, c.Len(), nan)
	w.c.Prov = appendColumn(w.c.Prov, c.Prov, n, c.Len(), 0)
	return nil
}

// appendColumn adds m values of an optional column to the n that may be there.
func appendColumn[T any](dst, src []T, n, m int, absent T) []T {
	if len(src) == 0 && len(dst) == 0 {
		return dst
	}
	dst = slices.Grow(dst, n+m-len(dst))
	for len(dst) < n {
		dst = append(dst, absent)
	}
	dst = append(dst, src...)
	for len(dst) < n+m {
		dst = append(dst, absent)
	}
	return dst
}

func (w *columnsWriter) Close() error {
	b := []byte{'{'}
	if !w.o.Plain && w.o.Key.Symbol != "" {
		b = appendKey(nil, w.o.Key)
	}
	c := &w.c
	b = append(b, `"time":[`...)
	for i, t := range c.Time {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(t), 10)
	}
	b = append(b, ']')
	for _, x := range []struct {
		name   string
		values []float64
		extra  bool
	}{
		{"open", c.Open, false},
		{"high", c.High, false},
		{"low", c.Low, false},
		{"close", c.Close, false},
		{"volume", c.Volume, false},
		{"quote_volume", c.QuoteVolume, true},
		{"trades", c.Trades, true},
	} {
		if x.extra && (w.o.Plain || len(x.values) == 0) {
			continue
		}
		b = append(append(append(b, `,"`...), x.name...), `":[`...)
		for i, v := range x.values {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSONFloat(b, v)
		}
		b = append(b, ']')
	}
	if !w.o.Plain {
		b = append(b, `,"kind":[`...)
		for len(c.Prov) < c.Len() {
			c.Prov = append(c.Prov, 0)
		}
		for i, p := range c.Prov {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(append(b, '"'), p.Kind().String()...), '"')
		}
		b = append(b, `],"source":[`...)
		names := make(map[series.SourceID][]byte)
		for i, p := range c.Prov {
			if names[p.Source()] == nil {
				names[p.Source()] = quoteJSON(w.o.sourceName(p))
			}
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, names[p.Source()]...)
		}
		b = append(b, ']')
	}
	_, err := w.w.Write(append(b, "}\n"...))
	return err
}
