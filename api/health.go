package api

import (
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
)

// check is one line of /health.
type check struct {
	Status string `json:"status"`
	Detail string `json:"detail"`
}

// The states of health, best first.
const (
	healthy   = "healthy"
	degraded  = "degraded"
	unhealthy = "unhealthy"
)

// health answers 200 as long as reads can be served, and 503 otherwise. A
// store without data is degraded: whoever asks expects some.
func (s *Server) health(c *gin.Context) {
	if err := parseQuery(c.Request.URL.RawQuery).done(); err != nil {
		fail(c, err)
		return
	}
	checks := map[string]check{"data": s.checkData(), "writes": s.checkWrites()}
	worst := healthy
	for _, ch := range checks {
		if ch.Status == unhealthy || ch.Status == degraded && worst == healthy {
			worst = ch.Status
		}
	}
	status := http.StatusOK
	if worst == unhealthy {
		status = http.StatusServiceUnavailable
	}
	c.PureJSON(status, struct {
		Status  string           `json:"status"`
		Checks  map[string]check `json:"checks"`
		Version string           `json:"version"`
		Uptime  int64            `json:"uptime_s"`
	}{worst, checks, s.o.Version, int64(s.now().Sub(s.started).Seconds())})
}

// checkData reads a bar, which fails if the store is closed or damaged.
func (s *Server) checkData() check {
	var bars int64
	infos, err := s.store.Series()
	if err != nil {
		return check{unhealthy, err.Error()}
	}
	for _, info := range infos {
		bars += info.Bars
		if info.Bars > 0 && bars == info.Bars { // the first series with bars
			if _, _, err := s.store.Latest(info.Key); err != nil {
				return check{unhealthy, err.Error()}
			}
		}
	}
	if bars == 0 {
		return check{degraded, "the store holds no bars: import a file, or POST /v1/bars"}
	}
	return check{healthy, fmt.Sprintf("%d series, %d bars", len(infos), bars)}
}

func (s *Server) checkWrites() check {
	if !s.guard.hasToken {
		return check{degraded, "no token is set: every write is refused"}
	}
	return check{healthy, "with the token"}
}
