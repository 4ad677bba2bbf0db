package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

// guard decides who may ask what.
type guard struct {
	hosts      map[string]bool
	cross      *http.CrossOriginProtection
	token      [sha256.Size]byte
	hasToken   bool
	closeReads bool
}

func newGuard(o Options) guard {
	g := guard{
		hosts:      map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true},
		cross:      http.NewCrossOriginProtection(),
		token:      sha256.Sum256([]byte(o.Token)),
		hasToken:   o.Token != "",
		closeReads: o.CloseReads,
	}
	for _, h := range o.Hosts {
		g.hosts[strings.ToLower(strings.Trim(h, "[]"))] = true
	}
	return g
}

// host refuses names that are not on the list. A page that is served under
// evil.example and then has that name pointed at 127.0.0.1 is of one origin
// with us in the eyes of its browser; only the name gives it away.
func (g *guard) host(c *gin.Context) {
	if !g.hosts[hostName(c.Request.Host)] {
		fail(c, &Error{
			http.StatusMisdirectedRequest, "host_not_allowed",
			"this server does not answer to the host name of the request: use localhost or 127.0.0.1, or add the name to server.hosts", "Host",
		})
	}
}

// hostName is the name in a Host header, without port and brackets.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	return strings.ToLower(host)
}

// origin refuses writes that a page of another origin makes its reader's
// browser send.
func (g *guard) origin(c *gin.Context) {
	if err := g.cross.Check(c.Request); err != nil {
		fail(c, &Error{http.StatusForbidden, "cross_origin", "the request comes from a page of another origin, which may not write here", "Origin"})
	}
}

func (g *guard) read(c *gin.Context) {
	if g.closeReads && c.FullPath() != "/health" {
		g.write(c)
	}
}

// write asks for the token.
func (g *guard) write(c *gin.Context) {
	if !g.hasToken {
		fail(c, &Error{http.StatusForbidden, "no_token_set", "this server has no token, so it takes no writes", ""})
		return
	}
	scheme, token, _ := strings.Cut(c.GetHeader("Authorization"), " ")
	given := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(given[:], g.token[:]) != 1 {
		c.Header("WWW-Authenticate", `Bearer realm="barkeep"`)
		fail(c, &Error{
			http.StatusUnauthorized, "token_needed",
			"send the token as \"Authorization: Bearer TOKEN\": it is in the file token of the data directory", "Authorization",
		})
	}
}
