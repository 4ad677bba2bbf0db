package api

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/gin-gonic/gin"
)

const requestIDHeader = "X-Request-Id"

// requestID keeps the id that the client gave, if it is harmless in a log, or
// makes one.
func (s *Server) requestID(c *gin.Context) {
	id := c.GetHeader(requestIDHeader)
	if !plainID(id) {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		id = hex.EncodeToString(b[:])
	}
	c.Header(requestIDHeader, id)
}

func plainID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// record counts and logs the request when it is done, and turns a panic into
// an answer where none has begun. Query strings are not logged.
func (s *Server) record(c *gin.Context) {
	start := time.Now()
	defer func() {
		p := recover()
		cause, _ := p.(error)
		aborted := errors.Is(cause, http.ErrAbortHandler)
		if p != nil && !aborted {
			s.log.Error("request panicked", "panic", p, "id", c.Writer.Header().Get(requestIDHeader), "stack", string(debug.Stack()))
			if aborted = c.Writer.Written(); !aborted {
				fail(c, errors.New("panic"))
			}
		}
		took := time.Since(start)
		s.metrics.observe(c, took)
		level := slog.LevelDebug
		switch status := c.Writer.Status(); {
		case status == http.StatusInsufficientStorage && !aborted:
			level = slog.LevelWarn // no fault of ours, and as often as there are writers
		case status >= 500 || aborted:
			level = slog.LevelError
		}
		s.log.LogAttrs(c, level, "request",
			slog.String("id", c.Writer.Header().Get(requestIDHeader)), slog.String("method", c.Request.Method),
			slog.String("path", c.Request.URL.Path), slog.Int("status", c.Writer.Status()), slog.Int("bytes", c.Writer.Size()),
			slog.Duration("took", took), slog.Bool("aborted", aborted), slog.String("error", c.Errors.String()))
		if aborted {
			// net/http cuts the connection, so that half an answer cannot be
			// taken for a whole one.
			panic(http.ErrAbortHandler)
		}
	}()
	c.Next()
}

// headers are sent with every answer.
func (s *Server) headers(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	rc := http.NewResponseController(c.Writer)
	body := &patientBody{ReadCloser: http.MaxBytesReader(c.Writer, c.Request.Body, s.o.MaxBody), rc: rc}
	if c.Request.Body == http.NoBody {
		body.end()
	}
	c.Request.Body = body
	out := &patientWriter{ResponseWriter: c.Writer, rc: rc}
	c.Writer = out
	c.Next()
	out.extend() // for what is left in buffers
	if !body.ended {
		// net/http reads what a refused request has left unread, before it sends
		// the answer, for as long as the server's ReadTimeout lets it.
		_ = rc.SetReadDeadline(time.Now().Add(unread)) // not every writer has one
	}
}

// unread is how long the rest of a body is awaited that nobody wants.
const unread = 2 * time.Second

// stall is how long one read or write of a body may take. The deadlines of
// the http.Server count from the first byte and would cut a long export or a
// write that waits for the disk; these move along with the bytes. Whoever does
// not read or send for so long holds one of the places of the gate for nothing.
// An answer takes up to three seconds more until the buffers on the way are
// full, with a thousand such clients on two CPUs: together it stays below ten.
const stall = 6 * time.Second

// slowest is how many bytes a second a body or an answer must get on beyond
// stall: with one byte now and then it would hold its place for ever. Only the
// time spent on waiting for the client counts.
const slowest = 1 << 10

// patience is how long the next bytes may take when so many have come, or gone,
// within the time that was waited for them.
func patience(bytes int64, waited time.Duration) time.Duration {
	return min(stall, stall+time.Duration(bytes)*(time.Second/slowest)-waited)
}

// patientBody is a request body whose deadline moves with what arrives. After
// the end net/http waits on the connection for the client to leave, and takes
// a deadline that passes then for its leaving.
type patientBody struct {
	io.ReadCloser
	rc     *http.ResponseController
	ended  bool
	bytes  int64
	waited time.Duration
}

func (b *patientBody) Read(p []byte) (int, error) {
	start := time.Now()
	if !b.ended {
		_ = b.rc.SetReadDeadline(start.Add(patience(b.bytes, b.waited))) // not every writer has one
	}
	n, err := b.ReadCloser.Read(p)
	b.bytes, b.waited = b.bytes+int64(n), b.waited+time.Since(start)
	if errors.Is(err, io.EOF) && !b.ended {
		b.end()
	}
	b.ended = b.ended || err != nil
	return n, err
}

func (b *patientBody) end() {
	b.ended = true
	_ = b.rc.SetReadDeadline(time.Time{}) // not every writer has one
}

// patientWriter moves the write deadline along with what is written.
type patientWriter struct {
	gin.ResponseWriter
	rc     *http.ResponseController
	bytes  int64
	waited time.Duration
}

func (w *patientWriter) Write(p []byte) (int, error) {
	w.extend()
	start := time.Now()
	n, err := w.ResponseWriter.Write(p)
	w.bytes, w.waited = w.bytes+int64(n), w.waited+time.Since(start)
	return n, err
}

// WriteString is for those who look for it: without it they would pass by.
func (w *patientWriter) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// Flush waits for the client as Write does.
func (w *patientWriter) Flush() {
	w.extend()
	start := time.Now()
	w.ResponseWriter.Flush()
	w.waited += time.Since(start)
}

func (w *patientWriter) extend() {
	_ = w.rc.SetWriteDeadline(time.Now().Add(patience(w.bytes, w.waited))) // not every writer has one
}

// Unwrap is for http.ResponseController.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
