package api

import (
	"bufio"
	"encoding/json"
	"io"
	"math"
	"strconv"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
	"github.com/barkeepdb/barkeep/storage"
)

// encoder writes the bars of an answer.
type encoder interface {
	contentType() string
	write(c chunk, n int) error // the first n bars of c
	close(next *cursor) error   // next: where the following page starts, nil at the end
}

func newEncoder(w io.Writer, a answer) (encoder, error) {
	switch a.query.format {
	case barfile.JSON:
		return &jsonEncoder{answer: a, w: bufio.NewWriterSize(w, 1<<16), names: map[series.SourceID][]byte{}}, nil
	case barfile.Columns:
		return &columnsEncoder{answer: a, w: w}, nil
	case barfile.NDJSON:
		return &linesEncoder{jsonEncoder{answer: a, w: bufio.NewWriterSize(w, 1<<16), names: map[series.SourceID][]byte{}}}, nil
	}
	return newFileEncoder(w, a)
}

// quality says how much of the answer's span is there.
type quality struct {
	Expected     int64    `json:"expected"`
	Present      int64    `json:"present"`
	Missing      int64    `json:"missing"`
	Gaps         int      `json:"gaps"`
	Completeness *float64 `json:"completeness"` // null where the market was never open
	// ResampledFrom is the stored interval whose slots are counted.
	ResampledFrom string `json:"resampled_from,omitempty"`
}

func (a answer) quality() quality {
	q := quality{Expected: a.scan.Expected, Present: a.scan.Present, Missing: a.scan.Missing, Gaps: len(a.scan.Gaps)}
	// As in storage.Coverage: a known lack of trade is complete, and what has
	// not ended or is not known does not count.
	have, open := a.scan.Expected, a.scan.Expected
	for _, g := range a.scan.Gaps {
		switch g.State {
		case series.StateNoTrade:
		case series.StateForming, series.StateUnknown:
			have, open = have-g.Len(), open-g.Len()
		default:
			have -= g.Len()
		}
	}
	if open > 0 {
		share := float64(have) / float64(open)
		q.Completeness = &share
	}
	if a.source.resampled() {
		q.ResampledFrom = a.source.info.Interval.String()
	}
	return q
}

// asks reports whether the client wants a column.
func (a answer) asks(bit storage.Columns) bool {
	return a.query.columns == 0 || a.query.columns&bit != 0
}

// sourceName is the source of a bar as the API writes it: who said it or, of
// a bar that was made up while reading, the fill that did.
func (a answer) sourceName(id series.SourceID) string {
	if id == fillSource {
		return "fill:" + a.query.fill
	}
	return a.name(id)
}

// jsonEncoder writes {"symbol","interval","adjust","bars":[...],"next","quality"}.
type jsonEncoder struct {
	answer
	w     *bufio.Writer
	buf   []byte
	begun bool
	names map[series.SourceID][]byte
}

func (e *jsonEncoder) contentType() string { return "application/json" }

func (e *jsonEncoder) begin() {
	if e.begun {
		return
	}
	e.begun = true
	e.buf = append(e.buf, `{"symbol":`...)
	e.buf = strconv.AppendQuote(e.buf, e.query.key.Symbol) // its characters need no escapes
	e.buf = append(e.buf, `,"interval":"`...)
	e.buf = append(e.buf, e.query.key.Interval.String()...)
	e.buf = append(e.buf, `","adjust":"`...)
	e.buf = append(e.buf, e.query.adjusted.String()...)
	e.buf = append(e.buf, `","bars":[`...)
}

func (e *jsonEncoder) write(c chunk, n int) error {
	first := !e.begun
	e.begin()
	for i := range n {
		if !first || i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.buf = append(e.buf, '\n')
		e.bar(c.Bar(i), c.part(i))
		if _, err := e.w.Write(e.buf); err != nil {
			return err
		}
		e.buf = e.buf[:0]
	}
	return nil
}

func (e *jsonEncoder) bar(b series.Bar, part *series.Part) {
	e.buf = append(e.buf, `{"time":`...)
	e.buf = strconv.AppendInt(e.buf, int64(b.Time), 10)
	for _, f := range [...]struct {
		bit      storage.Columns
		name     string
		v        float64
		optional bool
	}{
		{storage.ColOpen, `,"open":`, b.Open, false},
		{storage.ColHigh, `,"high":`, b.High, false},
		{storage.ColLow, `,"low":`, b.Low, false},
		{storage.ColClose, `,"close":`, b.Close, false},
		{storage.ColVolume, `,"volume":`, b.Volume, false},
		{storage.ColQuoteVolume, `,"quote_volume":`, b.QuoteVolume, true},
		{storage.ColTrades, `,"trades":`, b.Trades, true},
	} {
		if e.asks(f.bit) && (!f.optional || !math.IsNaN(f.v)) {
			e.buf = appendFloat(append(e.buf, f.name...), f.v)
		}
	}
	if e.asks(storage.ColProv) {
		e.buf = append(e.buf, `,"kind":"`...)
		e.buf = append(e.buf, b.Prov.Kind().String()...)
		e.buf = append(e.buf, `","source":`...)
		e.buf = append(e.buf, e.quotedSource(b.Prov.Source())...)
		if b.Prov.Forming() {
			e.buf = append(e.buf, `,"forming":true`...)
		}
	}
	if part != nil && !part.Complete() {
		e.buf = append(e.buf, `,"complete":false`...)
	}
	e.buf = append(e.buf, '}')
}

func (e *jsonEncoder) quotedSource(id series.SourceID) []byte {
	q, ok := e.names[id]
	if !ok {
		q, _ = json.Marshal(e.sourceName(id)) // a string cannot fail
		e.names[id] = q
	}
	return q
}

func (e *jsonEncoder) close(next *cursor) error {
	e.begin()
	e.buf = append(e.buf, "\n"+`],"next":`...)
	if next == nil {
		e.buf = append(e.buf, "null"...)
	} else {
		e.buf = strconv.AppendQuote(e.buf, next.String())
	}
	q, err := json.Marshal(e.quality())
	if err != nil {
		return err
	}
	e.buf = append(append(append(e.buf, `,"quality":`...), q...), "}\n"...)
	if _, err := e.w.Write(e.buf); err != nil {
		return err
	}
	return e.w.Flush()
}

// appendFloat writes v with the fewest digits that read back to the same
// bits; JSON has no word for what is not finite but null.
func appendFloat(b []byte, v float64) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(b, "null"...)
	}
	if m := math.Abs(v); m != 0 && (m < 1e-6 || m >= 1e21) {
		return strconv.AppendFloat(b, v, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, v, 'f', -1, 64)
}
