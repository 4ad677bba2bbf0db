package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/storage"
)

// routes is the one table of what the API answers. Symbols may hold slashes,
// so those in a path are greedy.
func (s *Server) routes() {
	for _, r := range []struct {
		method, path string
		handle       gin.HandlerFunc
	}{
		{http.MethodGet, "/health", s.health},
		{http.MethodGet, "/metrics", s.metrics.serve},

		{http.MethodGet, "/v1/bars", s.getBars},
		{http.MethodPost, "/v1/bars", s.postBars},
		{http.MethodDelete, "/v1/bars", s.deleteBars},
		{http.MethodGet, "/v1/latest", s.getLatest},

		{http.MethodGet, "/v1/series", s.getSeries},
		{http.MethodGet, "/v1/series/*name", s.getOneSeries},
		{http.MethodGet, "/v1/symbols/*name", s.getSymbol},
		{http.MethodPut, "/v1/symbols/*name", s.putSymbol},

		{http.MethodGet, "/v1/gaps", s.getGaps},
		{http.MethodGet, "/v1/coverage", s.getCoverage},
		{http.MethodGet, "/v1/quality", s.getQuality},
		{http.MethodGet, "/v1/explain", s.getExplain},
		{http.MethodGet, "/v1/quarantine", s.getQuarantine},
		{http.MethodGet, "/v1/damages", s.getDamages},

		{http.MethodGet, "/status", s.getStatus},
		{http.MethodGet, "/data/health", s.getDataHealth},
		{http.MethodPost, "/system/restart", s.postRestart},
		{http.MethodGet, "/endpoints/health", s.getEndpoints},
		{http.MethodPost, "/endpoints/test", s.testEndpoints},
		{http.MethodPost, "/data/repair", s.postRepair},
		{http.MethodGet, "/v1/repairs", s.getRepairs},
		{http.MethodGet, "/v1/repairs/:id", s.getRepair},
		{http.MethodPost, "/v1/repairs/:id/cancel", s.cancelRepair},
		{http.MethodPost, "/v1/repairs/:id/undo", s.undoRepair},
		{http.MethodPost, "/v1/undo", s.postUndo},
		{http.MethodGet, "/v1/audit", s.getAudit},
		{http.MethodPost, "/v1/audit/head", s.postAuditHead},
		{http.MethodGet, "/v1/audit/verify", s.getAuditVerify},

		{http.MethodGet, "/v1/calendars", s.getCalendars},
		{http.MethodGet, "/v1/calendars/:name", s.getCalendar},

		{http.MethodGet, "/v1/ledger", s.getLedger},
		{http.MethodPost, "/v1/backups", s.postBackup},
	} {
		need := s.guard.write
		if r.method == http.MethodGet {
			need = s.guard.read
		}
		handle := r.handle
		if r.method != http.MethodGet {
			handle = func(c *gin.Context) { // the journal says who asked
				c.Request = c.Request.WithContext(storage.WithNote(c.Request.Context(), storage.Note{Actor: s.actor(c)}))
				r.handle(c)
			}
		}
		s.engine.Handle(r.method, r.path, need, handle)
		if r.method == http.MethodGet { // gin does not answer HEAD by itself
			s.engine.Handle(http.MethodHead, r.path, need, r.handle)
		}
	}
}
