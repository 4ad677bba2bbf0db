package api

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
)

// Setting is one setting as it is in effect.
type Setting struct {
	Key     string `json:"key"`
	Value   string `json:"value"` // a secret is hidden
	Default string `json:"default"`
	From    string `json:"from"` // default, file, environment, flag, api
	Doc     string `json:"doc"`
	// Live settings are changed without a restart.
	Live bool `json:"live"`
}

// Config reads and changes settings. Methods are safe for concurrent use.
type Config interface {
	Settings() []Setting
	// Change sets the given keys, all or none. It returns those that take effect
	// at the next start only. An error says what is wrong with which key.
	Change(values map[string]string, actor string) (restart []string, err error)
}

// ErrConfig is the error of a change that is refused.
var ErrConfig = errors.New("the change was refused")

func (s *Server) config(c *gin.Context) Config {
	if s.o.Config == nil {
		fail(c, &Error{http.StatusServiceUnavailable, "no_config", "settings cannot be asked for here: start barkeep serve", ""})
	}
	return s.o.Config
}

func (s *Server) getConfig(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	if cfg := s.config(c); cfg != nil {
		c.PureJSON(http.StatusOK, gin.H{"settings": cfg.Settings()})
	}
}

func (s *Server) putConfig(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	var in map[string]string
	if err := readObject(c.Request.Body, &in, `{"data_healing.check_every":"5m"}, values as text`); err != nil {
		fail(c, err)
		return
	}
	detail(c, "%s", strings.Join(slices.Sorted(maps.Keys(in)), ", ")) // never the values
	cfg := s.config(c)
	if cfg == nil {
		return
	}
	restart, err := cfg.Change(in, s.actor(c))
	if errors.Is(err, ErrConfig) {
		fail(c, badField("", "%v", err))
		return
	}
	if err != nil {
		fail(c, err)
		return
	}
	if restart == nil {
		restart = []string{}
	}
	c.PureJSON(http.StatusOK, gin.H{"changed": in, "needs_restart": restart})
}
