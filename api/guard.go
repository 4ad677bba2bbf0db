package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
)

// guard decides who may ask what.
type guard struct {
	hosts      map[string]bool
	cross      *http.CrossOriginProtection
	token      [sha256.Size]byte
	hasToken   bool
	closeReads bool
	tokens     *tokens
	now        func() time.Time
	shared     bool
	allowed    []netip.Prefix // nil is everybody
	rates      *rates
	links      links
}

func newGuard(o Options) guard {
	g := guard{
		hosts:      map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true},
		cross:      http.NewCrossOriginProtection(),
		token:      sha256.Sum256([]byte(o.Token)),
		hasToken:   o.Token != "",
		closeReads: o.CloseReads,
		tokens:     &tokens{store: o.Store},
		now:        o.Now,
		shared:     o.Shared,
		allowed:    o.Allow,
		rates:      &rates{perSecond: o.Rate, buckets: map[[sha256.Size]byte]bucket{}},
		links:      newLinks(),
	}
	for _, h := range o.Hosts {
		g.hosts[strings.ToLower(strings.Trim(h, "[]"))] = true
	}
	return g
}

// peerOf is the address that holds the connection of a request; it is not
// valid inside this process.
func peerOf(r *http.Request) netip.Addr {
	a, _ := netip.ParseAddrPort(r.RemoteAddr)
	return a.Addr().Unmap().WithZone("")
}

// peer refuses connections from outside of the networks that may ask.
func (g *guard) peer(c *gin.Context) {
	if g.allowed == nil {
		return
	}
	from := peerOf(c.Request)
	if !slices.ContainsFunc(g.allowed, func(p netip.Prefix) bool { return p.Contains(from) }) {
		fail(c, &Error{http.StatusForbidden, "address_not_allowed", "this server does not answer to your address: add it to server.allow", ""})
	}
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

// origin refuses what a page of another origin makes its reader's browser ask.
// The page could not read the answer, but a write would be done, and how long a
// read takes tells something, too.
func (g *guard) origin(c *gin.Context) {
	if g.cross.Check(c.Request) != nil || foreign(c.Request) {
		fail(c, &Error{http.StatusForbidden, "cross_origin", "the request comes from a page of another origin: serve that page from the origin of this server, for instance through a proxy", "Origin"})
	}
}

// foreign reports whether a page of another origin makes a browser ask, as far
// as its headers tell: browsers send Sec-Fetch-Site to local and to HTTPS
// servers, and Origin with most requests from elsewhere (www.w3.org/TR/fetch-metadata,
// read 2026-11). A link to here may be followed: what it opens is out of the
// other page's reach.
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "":
		origin := r.Header.Get("Origin")
		u, err := url.Parse(origin)
		return origin != "" && (err != nil || u.Host != r.Host)
	}
	return r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
}

// need asks for a role. Readers need none unless reads are closed.
func (g *guard) need(role Role) gin.HandlerFunc {
	return func(c *gin.Context) {
		if role == Public || role == Reader && !g.closeReads && (!g.shared || peerOf(c.Request).IsLoopback()) {
			return
		}
		if role == Reader && g.links.opens(c.Request, g.now()) {
			c.Set(actorKey, "link")
			return
		}
		if err := g.allow(c, role); err != nil {
			if err.Status == http.StatusUnauthorized {
				c.Header("WWW-Authenticate", `Bearer realm="barkeep"`)
			}
			fail(c, err)
		}
	}
}

// allow looks for a token that has the role.
func (g *guard) allow(c *gin.Context, role Role) *Error {
	if !g.hasToken {
		return &Error{http.StatusForbidden, "no_token_set", "this server has no token, so it takes no writes", ""}
	}
	unknown := &Error{
		http.StatusUnauthorized, "token_needed",
		"send the token as \"Authorization: Bearer TOKEN\": it is in the file token of the data directory", "Authorization",
	}
	scheme, token, _ := strings.Cut(c.GetHeader("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "Token") { // InfluxDB's clients say Token
		return unknown
	}
	given := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if subtle.ConstantTimeCompare(given[:], g.token[:]) == 1 {
		c.Set(actorKey, "admin")
		return g.rates.take(c, given, g.now())
	}
	t, found, err := g.tokens.byHash(c, given)
	switch {
	case err != nil:
		return asError(err)
	case !found:
		return unknown
	case t.Revoked != 0:
		return &Error{http.StatusUnauthorized, "token_revoked", "this token was revoked: ask an admin for another one", "Authorization"}
	case t.Expires != 0 && t.Expires <= series.TimeOf(g.now()):
		return &Error{http.StatusUnauthorized, "token_expired", fmt.Sprintf("this token expired at %v: ask an admin for another one", t.Expires), "Authorization"}
	case t.Role < role:
		return &Error{http.StatusForbidden, "role_needed", fmt.Sprintf("this needs the role %s, and the token has %s", role, t.Role), "Authorization"}
	}
	c.Set(actorKey, "token "+t.Name)
	return g.rates.take(c, given, g.now())
}

// actorKey holds, in the context of a request, whose token it carried.
const actorKey = "barkeep.actor"
