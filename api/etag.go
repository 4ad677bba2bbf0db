package api

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

// versionOf is a weak ETag of an answer, known before a bar is read: it changes
// with the question, with every change of the series, with what is known of its
// symbol, of its actions where they count, and with the run of the server, since a backup that was put in its
// place counts its changes anew.
func (s *Server) versionOf(c *gin.Context, a answer, actions []CompanyAction) string {
	symbol, _ := s.store.Symbol(a.query.key.Symbol)
	sum := sha256.New()
	// Its own text and these values always have a JSON form.
	_ = json.NewEncoder(sum).Encode([]any{
		s.started.UnixNano(), c.Request.URL.Path, c.Request.URL.RawQuery, a.query.format, a.span, a.source.info.Key, a.source.info.Changed, symbol, actions,
	})
	return `W/"` + hex.EncodeToString(sum.Sum(nil)[:16]) + `"`
}

// known reports whether the client says that it has this version already.
func known(r *http.Request, version string) bool {
	for _, lines := range r.Header.Values("If-None-Match") {
		for tag := range strings.SplitSeq(lines, ",") {
			if tag = strings.TrimSpace(tag); tag == version || tag == "*" {
				return true
			}
		}
	}
	return false
}
