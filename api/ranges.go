package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series/barfile"
)

// Readers such as DuckDB ask for a Parquet file piece by piece: its size, its
// end, then columns. All pieces must be of one file, whatever is written
// meanwhile, so a file that is asked for so is kept for a while.

const (
	rangesFile = 64 << 20  // largest file that is kept
	rangesAll  = 128 << 20 // all of them together
	rangesKeep = time.Minute
)

// rangedFile is a whole answer.
type rangedFile struct {
	key  string
	etag string
	body []byte
	made time.Time
	used time.Time
}

// rangedFiles keeps the answers that are read piece by piece.
type rangedFiles struct {
	mu   sync.Mutex
	list []*rangedFile
}

// get returns the file of a question, if it is still kept.
func (r *rangedFiles) get(key string, now time.Time) *rangedFile {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = slices.DeleteFunc(r.list, func(f *rangedFile) bool { return now.Sub(f.used) > rangesKeep || now.Sub(f.made) > 10*rangesKeep })
	for _, f := range r.list {
		if f.key == key {
			f.used = now
			return f
		}
	}
	return nil
}

// put keeps a file, and drops those that were not used for longest.
func (r *rangedFiles) put(f *rangedFile) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(slices.DeleteFunc(r.list, func(o *rangedFile) bool { return o.key == f.key }), f)
	slices.SortFunc(r.list, func(a, b *rangedFile) int { return b.used.Compare(a.used) })
	size := 0
	for i, x := range r.list {
		if size += len(x.body); size > rangesAll {
			r.list = r.list[:i]
			return
		}
	}
}

// errTooBig ends the making of a file that is too large to be kept.
var errTooBig = errors.New("too large for pieces")

// bounded is a buffer that does not grow beyond rangesFile.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > rangesFile {
		return 0, errTooBig
	}
	return b.Buffer.Write(p)
}

// inPieces reports whether a request may want a piece, or needs the size: files
// only, those without a cursor.
func inPieces(c *gin.Context, q barQuery) bool {
	if q.format != barfile.Parquet && q.format != barfile.Arrow || q.cursor != nil {
		return false
	}
	return c.Request.Method == http.MethodHead || c.GetHeader("Range") != "" || c.GetHeader("If-None-Match") != ""
}

// servePieces answers with a piece of a file, its size, or that it has not
// changed. It returns false where the file is too large: then it is streamed.
func (s *Server) servePieces(c *gin.Context, a answer, in rows) bool {
	now := s.now()
	key := c.Request.URL.RawQuery + " " + a.query.format.String()
	f := s.pieces.get(key, now)
	if f == nil {
		var b bounded
		enc, err := newEncoder(&b, a)
		for ch, cerr := range in {
			if err == nil {
				err = cerr
			}
			if err == nil {
				err = enc.write(ch, ch.Len())
			}
			if err != nil {
				break
			}
		}
		if err == nil {
			err = enc.close(nil)
		}
		if errors.Is(err, errTooBig) {
			return false
		}
		if err != nil {
			fail(c, err)
			return true
		}
		sum := sha256.Sum256(b.Bytes())
		f = &rangedFile{key: key, etag: `"` + hex.EncodeToString(sum[:16]) + `"`, body: b.Bytes(), made: now, used: now}
		s.pieces.put(f)
	}
	media := "application/vnd.apache.parquet"
	if a.query.format == barfile.Arrow {
		media = "application/vnd.apache.arrow.file"
	}
	c.Header("Content-Type", media)
	c.Header("ETag", f.etag)
	c.Header("Cache-Control", "no-cache")
	http.ServeContent(c.Writer, c.Request, "", time.Time{}, bytes.NewReader(f.body))
	return true
}
