package api

import (
	"context"
	"fmt"
	"iter"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// getBars answers GET /v1/bars.
func (s *Server) getBars(c *gin.Context) {
	q, err := parseBarQuery(c.Request)
	if err != nil {
		fail(c, err)
		return
	}
	src, err := s.source(q.key, q.from)
	if err != nil {
		fail(c, err)
		return
	}
	v, err := s.open(q.past)
	if err != nil {
		fail(c, err)
		return
	}
	defer v.Close()
	if is := s.adjustedAs(q.key.Symbol); is != series.AdjustNone && q.adjust != is && q.adjust != series.AdjustNone {
		fail(c, errAdjusted(q.key.Symbol, is))
		return
	} else if is != series.AdjustNone {
		q.adjust, q.adjusted = series.AdjustNone, is // it is so already
	} else {
		q.adjusted = q.adjust
	}
	if q.adjusted != series.AdjustNone {
		c.Header("X-Barkeep-Adjust", q.adjusted.String())
	}
	var actions []CompanyAction
	if q.adjust != series.AdjustNone {
		if actions, err = s.actionsAt(c, q.key.Symbol, q.past.At); err != nil {
			fail(c, err)
			return
		}
	}
	a := answer{query: q, source: src, span: q.bounds.within(src.span).Intersect(src.span), name: s.store.SourceName, calendars: s.store.Calendars()}
	// What is not kept may be asked for again, if it has changed.
	version := s.versionOf(c, a, actions)
	c.Header("Cache-Control", "no-cache")
	if known(c.Request, version) {
		c.Header("ETag", version)
		c.Status(http.StatusNotModified)
		return
	}
	if a.scan, err = scan(c, v, src, a.span.Intersect(src.stored())); err != nil {
		fail(c, err)
		return
	}
	if q.minQuality > 0 {
		if share := a.completeness(); share < q.minQuality {
			if q.violation == "error" {
				fail(c, &Error{http.StatusConflict, "below_min_quality", fmt.Sprintf(
					"the bars of %s in this span are complete to %.6f, and min_quality is %g: GET /v1/gaps says what is missing; heal it, lower min_quality, or say on_violation=warn",
					q.key, share, q.minQuality), "min_quality"})
				return
			}
			c.Header("X-Barkeep-Quality", fmt.Sprintf("%.6f", share))
		}
	}
	span := a.span
	if q.cursor != nil && q.desc {
		span.To = min(span.To, q.cursor.at)
	} else if q.cursor != nil {
		span.From = max(span.From, q.cursor.at)
	}
	var bars view = v
	if q.adjust != series.AdjustNone {
		if bars, err = s.adjust(c, v, src, q.adjust, actions); err != nil {
			fail(c, err)
			return
		}
	}
	in, err := answerRows(c, bars, a, span)
	if err != nil {
		fail(c, err)
		return
	}
	if inPieces(c, q) && s.servePieces(c, a, version, in) {
		return
	}
	c.Header("ETag", version)
	s.stream(c, a, in)
}

// past reads asof and causal, which say what is to be forgotten.
func (p *params) past() (o storage.PastOptions) {
	if t := p.time("asof"); t != nil {
		if o.At = *t; o.At == 0 {
			p.fail("asof", "asof is 0: nothing was known then")
		}
	}
	o.Causal = p.flag("causal")
	return o
}

// closer is a view that is closed after use.
type closer interface {
	view
	scanner
	Close() error
}

// open shows the store as it is, or as it was.
func (s *Server) open(o storage.PastOptions) (closer, error) {
	if o == (storage.PastOptions{}) {
		v, err := s.store.Snapshot()
		if err != nil {
			return nil, err
		}
		return v, nil
	}
	v, err := s.store.AsOf(o)
	if err != nil {
		return nil, err
	}
	return v, nil
}

// answer is what is known of an answer before its bars are read.
type answer struct {
	query  barQuery
	source source
	span   series.Span // what was asked, cut to what there is
	scan   storage.Scan
	name   func(series.SourceID) string

	calendars *series.Calendars
}

// completeness is the share of expected slots that have a bar, or are known to
// have had no trades. What was never looked at is not complete.
func (a answer) completeness() float64 {
	if a.scan.Expected == 0 {
		return 0
	}
	lacking := int64(0)
	for _, g := range a.scan.Gaps {
		if g.State != series.StateNoTrade {
			lacking += g.Len()
		}
	}
	return 1 - float64(lacking)/float64(a.scan.Expected)
}

// scan finds the gaps of src in span. It reads summaries, not bars.
func scan(ctx context.Context, v view, src source, span series.Span) (storage.Scan, error) {
	if span.Empty() {
		return storage.Scan{Key: src.info.Key, Grid: src.info.Grid}, nil
	}
	return v.Gaps(ctx, src.info.Key, span)
}

// answerRows puts reading, filling and order together.
func answerRows(ctx context.Context, v view, a answer, span series.Span) (rows, error) {
	q, src := a.query, a.source
	read := func(span series.Span) rows { return ascending(ctx, v, src, span, q.columns) }
	holes, err := a.holes()
	if err != nil {
		return nil, err
	}
	if len(holes) > 0 {
		// All columns are read: a price is interpolated out of its neighbours
		// whether or not it was asked for beside the others.
		bare := func(span series.Span) rows { return ascending(ctx, v, src, span, 0) }
		read = func(span series.Span) rows { return fillSpan(src, invents(q.fill), holes, span, bare) }
	}
	if q.desc {
		return descending(src.grid, span, read), nil
	}
	return read(span), nil
}

// holes are the slots of the answer's grid that are to be filled: all that were
// expected and have no bar, or those that a repair filled. A bar that is made of
// finer ones has no fills of repairs in it.
func (a answer) holes() ([]hole, error) {
	fill := a.query.fill
	if fill == "none" || fill == "repaired" && a.source.resampled() {
		return nil, nil
	}
	var out []hole
	if fill == "repaired" {
		for _, g := range a.scan.Gaps {
			if g.State == series.StateSynthetic {
				out = append(out, hole{g.Run, g.Run, a.scan.Note(g).Fill})
			}
		}
		return out, nil
	}
	runs := make([]series.Run, 0, len(a.scan.Gaps))
	for _, g := range a.scan.Gaps {
		runs = series.Join(runs, g.Run)
	}
	if a.source.resampled() {
		coarse := coarsen(a.scan.Grid, a.source.grid, runs)
		cal, err := a.calendars.Known(a.scan.Calendar)
		if err != nil {
			return nil, err
		}
		runs = series.Intersect(nil, coarse, cal.AppendExpected(nil, a.source.grid, a.source.grid.Run(a.span)))
	}
	for _, r := range runs {
		out = append(out, hole{r, r, fill})
	}
	return out, nil
}

// fillSpan fills the holes that lie in span.
func fillSpan(src source, every bool, holes []hole, span series.Span, read func(series.Span) rows) rows {
	f := filler{grid: src.grid, every: every, holes: within(holes, src.grid.Run(span))}
	f.after = func() (*series.Bar, error) {
		return firstBar(read(series.Span{From: span.To, To: src.span.To}))
	}
	return func(yield func(chunk, error) bool) {
		if len(f.holes) > 0 {
			b, err := firstBar(descending(src.grid, series.Span{From: src.span.From, To: span.From}, read))
			if err != nil {
				yield(chunk{}, err)
				return
			}
			f.before = b
		}
		f.fill(read(span))(yield)
	}
}

func firstBar(in rows) (*series.Bar, error) {
	for c, err := range in {
		if err != nil {
			return nil, err
		}
		if c.Len() > 0 {
			b := c.Bar(0)
			return &b, nil
		}
	}
	return nil, nil
}

// stream writes the rows. The first ones are read before the status is sent,
// so that what is wrong from the start is answered as an error; what breaks
// later cuts the connection.
func (s *Server) stream(c *gin.Context, a answer, in rows) {
	next, stop := iter.Pull2(in)
	defer stop()
	ch, err, more := next()
	if err != nil {
		fail(c, err)
		return
	}
	enc, err := newEncoder(c.Writer, a)
	if err != nil {
		fail(c, err)
		return
	}
	c.Header("Content-Type", enc.contentType())
	c.Status(http.StatusOK)
	if c.Request.Method == http.MethodHead {
		c.Writer.WriteHeaderNow()
		return
	}
	err = a.query.write(enc, ch, more, next)
	if err != nil {
		if c.Request.Context().Err() == nil {
			s.log.Error("answer broke off", "series", a.query.key.String(), "error", err)
		}
		panic(http.ErrAbortHandler)
	}
}

// write encodes the rows from ch on, if there are any, up to the limit of the
// question.
func (q barQuery) write(enc encoder, ch chunk, more bool, next func() (chunk, error, bool)) (err error) {
	var at *cursor
	left := q.limit
	for more && at == nil {
		n := ch.Len()
		if q.limit > 0 && n > left {
			n = left
			at = &cursor{at: ch.Time[n], desc: q.desc}
			if q.desc {
				at.at++
			}
		}
		if err = enc.write(ch, n); err != nil {
			return err
		}
		if at == nil {
			left -= n
			if ch, err, more = next(); err != nil {
				return err
			}
		}
	}
	return enc.close(at)
}
