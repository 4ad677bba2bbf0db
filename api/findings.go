package api

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

const maxFindings = 10_000

var errEnough = errors.New("enough")

func (s *Server) getFindings(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	symbol, interval, b, limit := p.symbol(), p.interval("interval"), p.bounds(), p.limit(maxFindings)
	severity := p.text("severity")
	o := heal.InspectOptions{}
	if text := p.text("rule"); text != "" {
		o.Rules = strings.Split(text, ",")
		for _, id := range o.Rules {
			if heal.RuleOf(id) == nil {
				var ids []string
				for _, r := range heal.Rules() {
					ids = append(ids, r.ID)
				}
				p.fail("rule", "rule %q is not one of %s", id, strings.Join(ids, ", "))
			}
		}
	}
	against := p.text("against")
	if against != "" && (symbol == "" || interval == 0) {
		p.fail("against", "against compares one series with another: give symbol and interval, too")
	}
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	h := s.healer(c)
	if h == nil {
		return
	}
	infos, err := s.selected(symbol, interval)
	if err != nil {
		fail(c, err)
		return
	}
	list, more := []heal.Finding{}, false
	if against != "" {
		if err := h.Shifts(c, infos[0].Key, series.Key{Symbol: against, Interval: interval}, spanOf(infos[0], b), func(f heal.Finding) error {
			list = append(list, f)
			return nil
		}); err != nil {
			fail(c, err)
			return
		}
	}
	for _, info := range infos {
		if b.from != nil || b.to != nil {
			o.Span = b.within(barSpan(info))
		}
		err := h.Inspect(c, info.Key, o, func(f heal.Finding) error {
			if severity != "" && string(f.Severity) != severity {
				return nil
			}
			if len(list) == limit {
				more = true
				return errEnough
			}
			if n := len(f.Proposed); n > 20 {
				f.Proposed = f.Proposed[:20]
			}
			list = append(list, f)
			return nil
		})
		if errors.Is(err, errEnough) {
			break
		}
		if err != nil {
			fail(c, err)
			return
		}
	}
	c.PureJSON(http.StatusOK, gin.H{"findings": list, "more": more})
}

// ruleRow is a rule as it is listed.
type ruleRow struct {
	ID        string        `json:"id"`
	Version   int           `json:"version"`
	Severity  heal.Severity `json:"severity"`
	Action    heal.Action   `json:"action"`
	Finds     string        `json:"finds"`
	Threshold string        `json:"threshold"`
	Source    string        `json:"threshold_source"`
	False     string        `json:"known_false_positives"`
}

func (s *Server) getRules(c *gin.Context) {
	list := []ruleRow{}
	for _, r := range heal.Rules() {
		list = append(list, ruleRow{r.ID, r.Version, r.Severity, r.Action, r.Finds, r.Threshold, r.Source, r.False})
	}
	c.PureJSON(http.StatusOK, gin.H{"rules": list})
}

// aside finds an entry of the quarantine.
func (s *Server) aside(c *gin.Context) (storage.Entry, error) {
	id, err := strconv.ParseUint(c.Param("id"), 10, 64)
	if err != nil {
		return storage.Entry{}, badField("id", "id %q is not a number", c.Param("id"))
	}
	for e, err := range s.store.Aside(c, nil) {
		if err != nil {
			return e, err
		}
		if e.ID == id {
			return e, nil
		}
	}
	return storage.Entry{}, &Error{http.StatusNotFound, "no_such_entry", "the quarantine has no entry " + c.Param("id") + ": GET /v1/quarantine lists them", "id"}
}

// releaseAside writes a quarantined bar into its series, over what is there.
func (s *Server) releaseAside(c *gin.Context) {
	e, err := s.aside(c)
	if err != nil {
		fail(c, err)
		return
	}
	if e.Bar == nil || !e.HasTime {
		fail(c, &Error{http.StatusConflict, "not_a_bar", "this entry could not be read as a bar, so there is nothing to release: discard it, or import the corrected row", ""})
		return
	}
	bars := &series.Columns{}
	bars.Append(*e.Bar)
	res, err := s.store.Write(c, e.Key, bars, storage.WriteOptions{Source: e.Source, OnConflict: storage.Replace})
	if err != nil {
		fail(c, err)
		return
	}
	if len(res.Refused) > 0 {
		fail(c, &Error{http.StatusConflict, "refused", "the bar is refused again: " + res.Refused[0].Reason, ""})
		return
	}
	if err := s.store.Discard(c, e.Key, e.ID); err != nil {
		fail(c, err)
		return
	}
	c.PureJSON(http.StatusOK, gin.H{"released": s.entryJSON(e), "written": res.Written})
}

func (s *Server) discardAside(c *gin.Context) {
	e, err := s.aside(c)
	if err == nil {
		err = s.store.Discard(c, e.Key, e.ID)
	}
	if err != nil {
		fail(c, err)
		return
	}
	c.PureJSON(http.StatusOK, gin.H{"discarded": s.entryJSON(e)})
}
