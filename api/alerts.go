package api

import (
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/api/alert"
)

func (s *Server) alerts(c *gin.Context) *alert.Engine {
	if s.o.Alerts == nil {
		fail(c, &Error{http.StatusServiceUnavailable, "no_alerts", "nothing is watched here: start barkeep serve", ""})
	}
	return s.o.Alerts
}

var alertStates = []string{"", string(alert.Firing), string(alert.Acknowledged), string(alert.Resolved), string(alert.Silenced), string(alert.Pending)}

// getAlerts lists the alerts that fire, those in one state, or with history=true
// also those that have ended.
func (s *Server) getAlerts(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	state, history, limit := p.choice("state", alertStates...), p.flag("history"), p.limit(1000)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	list := []alert.Alert{}
	if s.o.Alerts != nil {
		all, err := s.o.Alerts.Active(c)
		if err == nil && (history || state == string(alert.Resolved)) {
			var old []alert.Alert
			old, err = s.o.Alerts.History(c)
			all = append(all, old...)
		}
		if err != nil {
			fail(c, err)
			return
		}
		for _, a := range all {
			if (state == string(a.State) || state == "" && a.State != alert.Pending) && len(list) < limit {
				list = append(list, a)
			}
		}
	}
	c.PureJSON(http.StatusOK, gin.H{"alerts": list})
}

func (s *Server) changeAlert(c *gin.Context, change func(e *alert.Engine) (alert.Alert, error)) {
	e := s.alerts(c)
	if e == nil {
		return
	}
	a, err := change(e)
	switch {
	case errors.Is(err, alert.ErrNoAlert):
		fail(c, &Error{http.StatusNotFound, "no_such_alert", err.Error() + ": GET /alerts lists them", "id"})
	case errors.Is(err, alert.ErrState):
		fail(c, &Error{http.StatusConflict, "other_state", err.Error(), ""})
	case err != nil:
		fail(c, err)
	default:
		c.PureJSON(http.StatusOK, a)
	}
}

func (s *Server) ackAlert(c *gin.Context) {
	s.changeAlert(c, func(e *alert.Engine) (alert.Alert, error) { return e.Acknowledge(c, c.Param("id"), s.actor(c)) })
}

func (s *Server) resolveAlert(c *gin.Context) {
	s.changeAlert(c, func(e *alert.Engine) (alert.Alert, error) { return e.Resolve(c, c.Param("id"), s.actor(c)) })
}

// silenceAlert keeps an alert quiet, an hour if the body does not say.
func (s *Server) silenceAlert(c *gin.Context) {
	in := struct {
		Minutes float64 `json:"minutes"`
	}{60}
	if c.Request.ContentLength != 0 {
		if err := readObject(c.Request.Body, &in, `{"minutes":60}`); err != nil {
			fail(c, err)
			return
		}
	}
	if in.Minutes <= 0 || in.Minutes > 366*24*60 {
		fail(c, badField("minutes", "minutes %v is not between 0 and a year", in.Minutes))
		return
	}
	s.changeAlert(c, func(e *alert.Engine) (alert.Alert, error) {
		return e.Silence(c, c.Param("id"), s.actor(c), time.Duration(in.Minutes*float64(time.Minute)))
	})
}
