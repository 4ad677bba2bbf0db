package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// Control is one request that controlled the server, or asked for a change: who
// made it, and what became of it. What it changed of bars is in the journal.
type Control struct {
	At        series.Time `json:"at"`
	Actor     string      `json:"actor"` // as in the journal: whose token, and the address
	Method    string      `json:"method"`
	Path      string      `json:"path"` // without its query, which may hold anything
	Status    int         `json:"status"`
	Detail    string      `json:"detail,omitempty"` // what it was about; never a value of a setting
	RequestID string      `json:"request_id"`
}

const (
	kindControl = "control"
	// controlsKept is some years of somebody who does ten things a day.
	controlsKept = 10_000
	detailKey    = "barkeep.detail"
	notedKey     = "barkeep.noted"
	maxDetail    = 500
)

// notes reports whether requests of a route are kept among the controls: all
// that readers may not make, but for bars that are written, since the journal
// names who wrote them, thousands a second.
func notes(r route) bool {
	switch r.path {
	case "/v1/bars", "/write", "/api/v2/write":
		return r.method == http.MethodDelete
	}
	return r.method != http.MethodGet && r.role >= Operator
}

// detail says what a request is about, for those who look at controls.
func detail(c *gin.Context, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.Set(detailKey, text[:min(len(text), maxDetail)])
}

// note keeps that a request was made, after it was. One that was refused has
// changed nothing, and there may be any number of them.
func (s *Server) note(c *gin.Context) {
	if status := c.Writer.Status(); status/100 != 4 && !c.GetBool(notedKey) {
		s.noteAs(c, status)
	}
}

// noteAs keeps a request whose answer is not known yet.
func (s *Server) noteAs(c *gin.Context, status int) {
	c.Set(notedKey, true)
	path := c.Request.URL.Path
	a := Control{
		At: series.TimeOf(s.now()), Actor: s.actor(c), Method: c.Request.Method, Path: path[:min(len(path), maxDetail)], Status: status,
		Detail: c.GetString(detailKey), RequestID: c.Writer.Header().Get(requestIDHeader),
	}
	s.log.Info("asked for", "actor", a.Actor, "method", a.Method, "path", a.Path, "detail", a.Detail, "status", a.Status, "id", a.RequestID)
	// Whoever asked may have left.
	if err := s.keepControl(context.WithoutCancel(c), a); err != nil {
		s.log.Warn("a control is in the log only", "id", a.RequestID, "error", err)
	}
}

func (s *Server) keepControl(ctx context.Context, a Control) error {
	v, err := json.Marshal(a)
	if err != nil {
		return err
	}
	n := s.controls.Add(1)
	rs := []storage.Record{{Kind: kindControl, Name: fmt.Sprintf("%015d-%08d", int64(a.At), n), Value: v}}
	if n%100 == 1 { // at the start, and now and then
		var names []string
		for r, err := range s.store.Records(ctx, kindControl, "") {
			if err != nil {
				return err
			}
			names = append(names, r.Name)
		}
		for _, old := range names[:max(0, len(names)-controlsKept)] {
			rs = append(rs, storage.Record{Kind: kindControl, Name: old})
		}
	}
	return s.store.PutRecords(ctx, rs)
}

// getControls lists what was asked for, the newest first.
func (s *Server) getControls(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	actor, limit := p.text("actor"), p.limit(1000)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	list := []Control{}
	for r, err := range s.store.Records(c, kindControl, "") {
		if err != nil {
			fail(c, err)
			return
		}
		var a Control
		if err := json.Unmarshal(r.Value, &a); err != nil {
			fail(c, fmt.Errorf("control %s: %w", r.Name, err))
			return
		}
		if actor == "" || strings.HasPrefix(a.Actor, actor) {
			list = append(list, a)
		}
	}
	slices.Reverse(list)
	c.PureJSON(http.StatusOK, gin.H{"controls": list[:min(len(list), limit)]})
}
