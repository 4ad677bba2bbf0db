package api

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
)

// closureDays is how far back sessions are looked for where from is not given.
const closureDays = 400

// closureRequest is the body of POST /v1/closures.
type closureRequest struct {
	Calendar string `json:"calendar"`
	Date     string `json:"date"`
}

func (s *Server) getClosures(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	b := p.bounds()
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	h := s.healer(c)
	if h == nil {
		return
	}
	now := series.TimeOf(s.now())
	list, err := h.Closures(c, b.within(series.Span{From: now - closureDays*series.Day, To: now}))
	if err != nil {
		fail(c, err)
		return
	}
	c.PureJSON(http.StatusOK, gin.H{"closures": list})
}

func (s *Server) postClosure(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	var in closureRequest
	if err := readObject(c.Request.Body, &in, `{"calendar":"XHKG","date":"2023-09-01"}`); err != nil {
		fail(c, err)
		return
	}
	h := s.healer(c)
	if h == nil {
		return
	}
	x, err := h.Close(c, in.Calendar, in.Date, s.actor(c))
	if errors.Is(err, heal.ErrNoClosure) {
		err = &Error{http.StatusNotFound, "no_such_closure", err.Error() + ": GET /v1/closures lists them", "date"}
	}
	if err != nil {
		fail(c, err)
		return
	}
	detail(c, "%s %s: %s", in.Calendar, in.Date, x.ID)
	c.PureJSON(http.StatusOK, x)
}
