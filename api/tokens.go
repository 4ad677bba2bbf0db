package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// Role is what a token allows. Each role may do what those before it may.
type Role uint8

// The roles.
const (
	Public   Role = 1 + iota // without a token, even where reads are closed
	Reader                   // reads
	Operator                 // writes, repairs, undoes
	Admin                    // tokens, settings, backups, restarts
)

var roleNames = [...]string{Public: "public", Reader: "reader", Operator: "operator", Admin: "admin"}

func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// MarshalText writes the name of the role.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the name of a role that a token can have.
func (r *Role) UnmarshalText(b []byte) error {
	for i := Reader; i <= Admin; i++ {
		if roleNames[i] == string(b) {
			*r = i
			return nil
		}
	}
	return fmt.Errorf("role %q is not one of reader, operator, admin", b)
}

// TokenInfo is a token as it is listed: what it is kept as does not give it
// away.
type TokenInfo struct {
	ID      string      `json:"id"`
	Name    string      `json:"name"`
	Role    Role        `json:"role"`
	Created series.Time `json:"created"`
	Expires series.Time `json:"expires,omitempty"`
	Revoked series.Time `json:"revoked,omitempty"`
}

// tokens are those that were made beside the one of the data directory. They
// are kept under the SHA-256 of the token: it has 256 random bits, so that
// nothing slower is needed.
type tokens struct{ store records }

const kindToken = "token"

func (t *tokens) byHash(ctx context.Context, hash [sha256.Size]byte) (info TokenInfo, found bool, err error) {
	v, found, err := t.store.Record(ctx, kindToken, hex.EncodeToString(hash[:]))
	if err == nil && found {
		err = json.Unmarshal(v, &info)
	}
	return info, found, err
}

func (t *tokens) put(ctx context.Context, hash string, info TokenInfo) error {
	v, err := json.Marshal(info)
	if err != nil {
		return err
	}
	return t.store.PutRecords(ctx, []storage.Record{{Kind: kindToken, Name: hash, Value: v}})
}

// each calls f with every token and its hash.
func (t *tokens) each(ctx context.Context, f func(hash string, info TokenInfo) error) error {
	for r, err := range t.store.Records(ctx, kindToken, "") {
		if err != nil {
			return err
		}
		var info TokenInfo
		if err := json.Unmarshal(r.Value, &info); err != nil {
			return fmt.Errorf("token %s: %w", r.Name, err)
		}
		if err := f(r.Name, info); err != nil {
			return err
		}
	}
	return nil
}

// newToken is the body of POST /v1/tokens.
type newToken struct {
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Hours until the token expires; 0 is never.
	Hours float64 `json:"expires_in_hours"`
}

// madeToken is the only answer that ever holds a token.
type madeToken struct {
	TokenInfo
	Token string `json:"token"`
}

func (s *Server) getTokens(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	list := []TokenInfo{}
	if err := s.guard.tokens.each(c, func(_ string, info TokenInfo) error {
		list = append(list, info)
		return nil
	}); err != nil {
		fail(c, err)
		return
	}
	c.PureJSON(http.StatusOK, gin.H{"tokens": list})
}

func (s *Server) postToken(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	var in newToken
	if err := readObject(c.Request.Body, &in, `{"name":"notebook","role":"reader","expires_in_hours":720}`); err != nil {
		fail(c, err)
		return
	}
	switch {
	case in.Name == "" || len(in.Name) > 100:
		fail(c, badField("name", "name has %d bytes: give 1 to 100, such as what the token is for", len(in.Name)))
		return
	case strings.TrimSpace(in.Name) == "" || strings.ContainsFunc(in.Name, unicode.IsControl):
		fail(c, badField("name", "name %q cannot be read: say what the token is for", in.Name))
		return
	case in.Role == 0:
		fail(c, badField("role", "role is missing: give reader, operator or admin"))
		return
	case in.Hours < 0 || in.Hours > 100*365*24:
		fail(c, badField("expires_in_hours", "expires_in_hours %v is not between 0, which is never, and a hundred years", in.Hours))
		return
	}
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	token := "barkeep_" + base64.RawURLEncoding.EncodeToString(b[:])
	hash := sha256.Sum256([]byte(token))
	now := s.now()
	info := TokenInfo{ID: hex.EncodeToString(hash[:6]), Name: in.Name, Role: in.Role, Created: series.TimeOf(now)}
	if in.Hours > 0 {
		info.Expires = series.TimeOf(now.Add(time.Duration(in.Hours * float64(time.Hour))))
	}
	if err := s.guard.tokens.put(c, hex.EncodeToString(hash[:]), info); err != nil {
		fail(c, err)
		return
	}
	s.log.Info("a token was made", "id", info.ID, "name", info.Name, "role", info.Role.String(), "by", s.actor(c))
	detail(c, "made %s %q, %v", info.ID, info.Name, info.Role)
	c.PureJSON(http.StatusCreated, madeToken{info, token})
}

func (s *Server) deleteToken(c *gin.Context) {
	id := c.Param("id")
	var hash string
	var info TokenInfo
	if err := s.guard.tokens.each(c, func(h string, x TokenInfo) error {
		if x.ID == id {
			hash, info = h, x
		}
		return nil
	}); err != nil {
		fail(c, err)
		return
	}
	if hash == "" {
		fail(c, &Error{http.StatusNotFound, "no_such_token", "there is no token " + id + ": GET /v1/tokens lists them", "id"})
		return
	}
	detail(c, "revoked %s %q, %v", info.ID, info.Name, info.Role)
	if info.Revoked == 0 {
		info.Revoked = series.TimeOf(s.now())
		if err := s.guard.tokens.put(c, hash, info); err != nil {
			fail(c, err)
			return
		}
		s.log.Info("a token was revoked", "id", info.ID, "name", info.Name, "by", s.actor(c))
	}
	c.PureJSON(http.StatusOK, info)
}
