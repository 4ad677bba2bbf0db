package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"iter"
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
	rangesBusy = 5 * time.Second // from one piece to the next of one reader
)

// rangedFile is a whole answer.
type rangedFile struct {
	key  string
	from string // the version of the answer that it was made from
	etag string
	body []byte
	made time.Time
	used time.Time
	read time.Time // when a piece was last asked for
}

// rangedFiles keeps the answers that are read piece by piece.
type rangedFiles struct {
	mu   sync.Mutex
	list []*rangedFile
}

// get returns the file of a question, if it is still kept, and whether somebody
// reads it piece by piece. piece says that the caller does.
func (r *rangedFiles) get(key string, now time.Time, piece bool) (f *rangedFile, busy bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = slices.DeleteFunc(r.list, func(f *rangedFile) bool { return now.Sub(f.used) > rangesKeep || now.Sub(f.made) > 10*rangesKeep })
	for _, f := range r.list {
		if f.key == key {
			f.used = now
			if piece {
				f.read = now
			}
			return f, now.Sub(f.read) <= rangesBusy
		}
	}
	return nil, false
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
// Who asks for a piece, or for the size of what is read in pieces, is told of the
// file that is kept, everybody else of the answer as it is now.
func (s *Server) servePieces(c *gin.Context, a answer, version string, in rows) bool {
	now := s.now()
	key := c.Request.URL.RawQuery + " " + a.query.format.String()
	piece := c.GetHeader("Range") != ""
	f, busy := s.pieces.get(key, now, piece)
	size := c.Request.Method == http.MethodHead && busy
	if f == nil || f.from != version && !piece && !size {
		var b bounded
		next, stop := iter.Pull2(in)
		defer stop()
		ch, err, more := next()
		if err == nil {
			var enc encoder
			if enc, err = newEncoder(&b, a); err == nil {
				err = a.query.write(enc, ch, more, next)
			}
		}
		if errors.Is(err, errTooBig) {
			return false
		}
		if err != nil {
			fail(c, err)
			return true
		}
		sum := sha256.Sum256(b.Bytes())
		f = &rangedFile{key: key, from: version, etag: `"` + hex.EncodeToString(sum[:16]) + `"`, body: b.Bytes(), made: now, used: now, read: now}
		if !busy {
			s.pieces.put(f)
		}
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
