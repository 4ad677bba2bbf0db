package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/heal"
)

// revisionsAnswer is what was learned by reading bars again.
type revisionsAnswer struct {
	Sources   []heal.Revisions `json:"sources"`
	Revisions []heal.Revision  `json:"revisions"` // the newest first
	More      bool             `json:"more"`
}

const maxRevisions = 500

func (s *Server) getRevisions(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	limit := p.limit(maxRevisions)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	h := s.healer(c)
	if h == nil {
		return
	}
	var out revisionsAnswer
	var err error
	if out.Sources, out.Revisions, err = h.Revisions(c); err != nil {
		fail(c, err)
		return
	}
	if len(out.Revisions) > limit {
		out.Revisions, out.More = out.Revisions[:limit], true
	}
	c.PureJSON(http.StatusOK, out)
}
