package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
	"github.com/barkeepdb/barkeep/storage"
)

// writeResult says what became of the rows of a write. Every row is counted
// once: read = written + unchanged + conflicts + rejected rows.
type writeResult struct {
	Read      int64         `json:"read"`
	Written   int64         `json:"written"`
	Unchanged int64         `json:"unchanged"`
	Conflicts int64         `json:"conflicts"`
	Rejected  []rejectedRow `json:"rejected"`
	// More counts the rejected rows behind those listed; all are in quarantine.
	More int64 `json:"rejected_more,omitempty"`
}

type rejectedRow struct {
	Row    int64        `json:"row,omitempty"` // of the body, from 1; 0 where only the time is known
	Time   *series.Time `json:"time"`
	Reason string       `json:"reason"`
}

const (
	writeChunk   = 3 << 14 // bars that are decoded and written at a time, all or none
	listRejected = 1000
	// maxRejected is how many rows may be no bars where most are none: each is
	// kept in quarantine, and millions of them mean another file.
	maxRejected = 100_000
	// maxUnpacked bounds what a compressed body may grow to, in bodies.
	maxUnpacked = 16
	// maxRatio is what a compressed body may grow to in its own size.
	maxRatio = 250
	// maxDecoders bounds what the decoders of one body hold.
	maxDecoders = 40 << 20
)

// conflicts are the ways to settle a bar that differs from the stored one.
var conflicts = map[string]storage.Conflict{
	"replace": storage.Replace, "keep": storage.Keep, "quarantine": storage.Quarantine,
}

// postBars writes the bars of the body. The answer comes when they are
// durable; to send them again changes nothing.
func (s *Server) postBars(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	key, name := p.key(), p.text("source")
	o := storage.WriteOptions{Source: "api", OnConflict: conflicts[p.choice("on_conflict", "replace", "keep", "quarantine")]}
	if name != "" {
		o.Source = name
	}
	if len(name) > 64 {
		p.fail("source", "source %.70q has %d characters: give 1 to 64", name, len(name))
	}
	read := barfile.Options{MaxBytes: maxUnpacked * s.o.MaxBody, MaxRatio: maxRatio, MaxMemory: maxDecoders}
	p.reading(&read)
	format, err := bodyFormat(c.ContentType())
	if err == nil {
		err = p.done()
	}
	if err != nil {
		fail(c, err)
		return
	}
	read.Format, read.Interval, read.Now = format, key.Interval, series.TimeOf(s.now())
	rd, err := barfile.Open(c.Request.Body, read)
	if err != nil {
		fail(c, unreadable(err, 0))
		return
	}
	defer rd.Close() // it was only read
	res := writeResult{Rejected: []rejectedRow{}}
	var cols series.Columns
	for {
		rejected, err := rd.Next(&cols, writeChunk)
		if errors.Is(err, io.EOF) {
			s.announceBars(key, o.Source, res)
			c.PureJSON(http.StatusOK, res)
			return
		}
		if err != nil {
			fail(c, unreadable(err, res.Read))
			return
		}
		if err := s.writeChunk(c, key, &cols, rejected, o, &res); err != nil {
			fail(c, interrupted(err, res.Read))
			return
		}
		if n := int64(len(res.Rejected)) + res.More; n > maxRejected && n > res.Read/2 {
			fail(c, &Error{http.StatusBadRequest, "not_bars", fmt.Sprintf(
				"%d of the first %d rows are no bars of %v, the first one because of this: %s; they are in quarantine, and the rest was not read", n, res.Read, key, res.Rejected[0].Reason), ""})
			return
		}
	}
}

// announceBars tells those who listen that bars were written.
func (s *Server) announceBars(key series.Key, source string, res writeResult) {
	if res.Written == 0 {
		return
	}
	e := gin.H{"symbol": key.Symbol, "interval": key.Interval, "source": source, "written": res.Written}
	if b, ok, err := s.store.Latest(key); err == nil && ok {
		e["last"] = s.barJSON(b)
	}
	s.Publish(EventBar, key, e)
}

// bodyFormat is the format that a media type promises; Auto, where it does not
// say, lets the first bytes decide.
func bodyFormat(contentType string) (barfile.Format, error) {
	switch contentType {
	case "", "application/json", "application/octet-stream", "application/x-www-form-urlencoded", // what curl sends by default
		"application/gzip", "application/zstd", "application/zip", "text/plain":
		return barfile.Auto, nil
	case "text/tab-separated-values":
		return barfile.CSV, nil
	case "application/vnd.apache.arrow.stream":
		return barfile.Arrow, nil
	}
	if f, ok := accepted[contentType]; ok {
		return f, nil
	}
	if _, _, err := mime.ParseMediaType(contentType); err != nil {
		return 0, badField("Content-Type", "Content-Type %.80q cannot be read: %v", contentType, err)
	}
	return 0, &Error{
		http.StatusUnsupportedMediaType, "unsupported_media_type",
		fmt.Sprintf("Content-Type %.80q is not read here: send application/json, application/x-ndjson, text/csv, application/vnd.apache.parquet or application/vnd.apache.arrow.file", contentType),
		"Content-Type",
	}
}

// asParameters names flags of the command line as the parameters that they are
// here.
var asParameters = strings.NewReplacer("--time-format ", "time_format=", "--tz ", "tz=", "--stamp ", "stamp=", "--price-scale ", "price_scale=", "--map ", "map=")

// unreadable is the error for a body in which no bars can be found any more.
func unreadable(err error, read int64) error {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge || errors.Is(err, context.Canceled) {
		return err
	}
	e := &Error{http.StatusBadRequest, "unreadable_body", asParameters.Replace(err.Error()), ""}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		e = &Error{http.StatusRequestTimeout, "slow_body", fmt.Sprintf("the body brought nothing for %v, or less than %d bytes a second: send it without pauses", stall, slowest), ""}
	}
	if read > 0 {
		e.Message += rowsBefore(read)
	}
	return e
}

// interrupted is err with what was written before it, where the store stopped
// taking writes in the middle of a body.
func interrupted(err error, read int64) error {
	if _, ok := errors.AsType[*storage.UnavailableError](err); !ok || read == 0 {
		return err
	}
	e := asError(err)
	e.Message += rowsBefore(read)
	return errors.Join(e, err)
}

func rowsBefore(read int64) string {
	return fmt.Sprintf(" (the %d rows before it are written: sending them again changes nothing)", read)
}

// writeChunk writes bars and sets aside what was refused on the way.
func (s *Server) writeChunk(ctx context.Context, key series.Key, cols *series.Columns, rejected []barfile.Rejected, o storage.WriteOptions, res *writeResult) error {
	aside := make([]storage.Entry, 0, len(rejected))
	for _, r := range rejected {
		e := storage.Entry{Key: key, Time: r.Time, HasTime: r.HasTime, Reason: r.Reason, Source: o.Source, Raw: r.Raw}
		res.reject(int64(r.Row), e)
		aside = append(aside, e)
	}
	w, err := s.store.Write(ctx, key, cols, o)
	if err != nil {
		return err
	}
	res.Read += int64(len(rejected) + w.Read)
	res.Written += int64(w.Written)
	res.Unchanged += int64(w.Unchanged)
	res.Conflicts += int64(w.Conflicts)
	for _, r := range w.Refused {
		b := cols.Bar(r.Row)
		e := storage.Entry{Key: key, Time: r.Time, HasTime: true, Reason: r.Reason, Source: o.Source, Bar: &b}
		res.reject(0, e)
		aside = append(aside, e)
	}
	if len(aside) == 0 {
		return nil
	}
	return s.store.SetAside(ctx, aside)
}

func (r *writeResult) reject(row int64, e storage.Entry) {
	if len(r.Rejected) >= listRejected {
		r.More++
		return
	}
	out := rejectedRow{Row: row, Reason: e.Reason}
	if e.HasTime {
		out.Time = &e.Time
	}
	r.Rejected = append(r.Rejected, out)
}

// deleteBars deletes the bars of a span. The whole series goes only on demand.
func (s *Server) deleteBars(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	key, b, all := p.key(), p.bounds(), p.flag("all")
	if b.from == nil && b.to == nil && !all {
		p.fail("from", "without from and to the whole series would go: name a span, or say all=true")
	}
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	if _, err := s.selected(key.Symbol, key.Interval); err != nil {
		fail(c, err)
		return
	}
	n, err := s.store.Delete(c, key, b.within(series.Span{From: series.MinTime, To: series.MaxTime}))
	if err != nil {
		fail(c, err)
		return
	}
	detail(c, "%d bars of %v", n, key)
	c.PureJSON(http.StatusOK, gin.H{"deleted": n})
}
