package api

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
)

// Readers such as polars and DuckDB take an address and no header. A link is
// an address that carries its own permission: for one question about bars, for
// some minutes. Its key is made anew at each start, which ends all links.

const (
	linkPath    = "/v1/bars"
	linkDefault = 5 * time.Minute
	linkLongest = time.Hour
	linkExpires = "&exp=" // in this order at the end of the query
	linkSeal    = "&sig="
)

type links struct{ key []byte }

func newLinks() links {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return links{key}
}

func (l links) sum(query string) string {
	m := hmac.New(sha256.New, l.key)
	m.Write([]byte(linkPath + "?" + query))
	return hex.EncodeToString(m.Sum(nil))
}

// sign returns a query that opens until expires.
func (l links) sign(query string, expires time.Time) string {
	query += linkExpires + strconv.FormatInt(expires.Unix(), 10)
	return query + linkSeal + l.sum(query)
}

// opens reports whether a request comes by a valid link, and takes the parts
// of the link out of its query.
func (l links) opens(r *http.Request, now time.Time) bool {
	if r.URL.Path != linkPath || r.Method != http.MethodGet && r.Method != http.MethodHead || r.Header.Get("Authorization") != "" {
		return false
	}
	signed, sig, ok := cutLast(r.URL.RawQuery, linkSeal)
	if !ok || !hmac.Equal([]byte(sig), []byte(l.sum(signed))) {
		return false
	}
	query, exp, ok := cutLast(signed, linkExpires)
	until, err := strconv.ParseInt(exp, 10, 64)
	if !ok || err != nil || now.Unix() >= until {
		return false
	}
	r.URL.RawQuery = query
	return true
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// newLink is the body of POST /v1/links.
type newLink struct {
	Query   string `json:"query"`
	Seconds int64  `json:"expires_in_s"`
}

// madeLink is an address without scheme and host.
type madeLink struct {
	URL     string      `json:"url"`
	Expires series.Time `json:"expires"`
}

func (s *Server) postLink(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	var in newLink
	const example = `{"query":"symbol=BTCUSDT&interval=1h&format=parquet","expires_in_s":300}`
	if err := readObject(c.Request.Body, &in, example); err != nil {
		fail(c, err)
		return
	}
	if in.Seconds == 0 {
		in.Seconds = int64(linkDefault / time.Second)
	}
	longest := int64(linkLongest / time.Second)
	switch {
	case in.Seconds < 1 || in.Seconds > longest:
		fail(c, badField("expires_in_s", "expires_in_s %d is not between 1 and %d", in.Seconds, longest))
		return
	case in.Query == "" || strings.ContainsAny(in.Query, " ?#\r\n") || len(in.Query) > 4096:
		fail(c, badField("query", "query is not the part of an address behind the question mark, of at most 4096 bytes: %s", example))
		return
	}
	until := s.now().Add(time.Duration(in.Seconds) * time.Second)
	s.log.Info("a link was made", "expires", until, "by", s.actor(c))
	c.PureJSON(http.StatusCreated, madeLink{fmt.Sprintf("%s?%s", linkPath, s.guard.links.sign(in.Query, until)), series.TimeOf(until)})
}
