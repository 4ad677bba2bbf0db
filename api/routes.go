package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/api/alert"
	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/storage"
)

// route is one row of the table of routes.
type route struct {
	method, path string
	// role is who may ask; every row names one.
	role   Role
	title  string
	query  string // names of its query parameters, separated by spaces
	body   any    // a value of the type of its JSON body; nil is none, or not one object
	answer any    // a value of the type of its answer; nil is not one object
	handle gin.HandlerFunc
}

// series of parameters that many routes share.
const (
	seriesQuery = "symbol interval"
	spanQuery   = "symbol interval from to"

	// how a body is read where it does not show it
	readingQuery = "tz stamp price_scale time_format map"

	binanceQuery = "symbol interval startTime endTime timeZone limit"
)

// table is the one table of what the API answers: the router, the roles, the
// OpenAPI document and their tests are made of it. Symbols may hold slashes, so
// those in a path are greedy.
func (s *Server) table() []route {
	const get, post, put, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	return []route{
		{get, "/health", Public, "Whether the server works", "", nil, nil, s.health},
		{get, "/status", Reader, "The whole picture", "", nil, nil, s.getStatus},
		{get, "/metrics", Reader, "Figures for Prometheus", "", nil, nil, s.metrics.serve},
		{get, "/v1/metrics/history", Reader, "Metrics over time", "from to metric", nil, MetricHistory{}, s.getMetricHistory},
		{get, "/data/health", Reader, "How every series fares", "", nil, DataHealth{}, s.getDataHealth},
		{post, "/data/repair", Operator, "Plan and queue a repair", "", repairRequest{}, nil, s.postRepair},
		{post, "/v1/plan", Reader, "Plan a repair; nothing is asked and nothing changes", "", repairRequest{}, nil, s.postPlan},
		{get, "/endpoints/health", Reader, "How every endpoint fares", "", nil, struct {
			Endpoints []EndpointHealth `json:"endpoints"`
		}{}, s.getEndpoints},
		{post, "/endpoints/test", Operator, "Ask endpoints whether they work", "", EndpointTest{}, struct {
			Endpoints []EndpointResult `json:"endpoints"`
		}{}, s.testEndpoints},
		{get, "/alerts", Reader, "Alerts that fire", "state history limit", nil, struct {
			Alerts []alert.Alert `json:"alerts"`
		}{}, s.getAlerts},
		{post, "/alerts/:id/ack", Operator, "Note that somebody knows", "", nil, alert.Alert{}, s.ackAlert},
		{post, "/alerts/:id/silence", Operator, "Keep an alert quiet for a while", "", nil, alert.Alert{}, s.silenceAlert},
		{post, "/alerts/:id/resolve", Operator, "End an alert", "", nil, alert.Alert{}, s.resolveAlert},
		{post, "/system/restart", Admin, "Restart what works in the background", "", nil, nil, s.postRestart},

		{get, "/v1/bars", Reader, "Bars", spanQuery + " limit order fill asof causal min_quality on_violation columns format cursor resample_from adjust", nil, nil, s.getBars},
		{post, "/v1/bars", Operator, "Write bars", seriesQuery + " source on_conflict " + readingQuery, nil, writeResult{}, s.postBars},
		{post, "/v1/demo", Operator, "Write a sample into an empty store", "", nil, sample{}, s.postDemo},
		{post, "/v1/imports/preview", Operator, "What would be read of a body; nothing is written", "interval name " + readingQuery, nil, previewAnswer{}, s.postPreview},
		{del, "/v1/bars", Operator, "Delete bars", spanQuery + " all", nil, nil, s.deleteBars},
		{get, "/v1/latest", Reader, "The last bar of series", seriesQuery, nil, nil, s.getLatest},

		{get, "/v1/series", Reader, "Every series", "symbol", nil, struct {
			Series []seriesRow `json:"series"`
		}{}, s.getSeries},
		{get, "/v1/series/*name", Reader, "One series: SYMBOL/INTERVAL", "", nil, seriesRow{}, s.getOneSeries},
		{get, "/v1/symbols/*name", Reader, "What is known of a symbol", "", nil, nil, s.getSymbol},
		{put, "/v1/symbols/*name", Operator, "Set what is known of a symbol", "", nil, nil, s.putSymbol},

		{get, "/v1/names", Reader, "What a symbol is, and was, called at its sources", "symbol", nil, symbolNames{}, s.getNames},
		{put, "/v1/names", Operator, "Set names and listing of a symbol", "symbol", namesRequest{}, symbolNames{}, s.putNames},
		{post, "/v1/names", Operator, "Take names and listing out of a map file of Lean", "symbol source", nil, symbolNames{}, s.postNames},

		{get, "/v1/actions", Reader, "Splits and dividends", "symbol asof history", nil, actionsAnswer{}, s.getActions},
		{post, "/v1/actions", Operator, "Write splits and dividends", "", actionsRequest{}, nil, s.postActions},
		{del, "/v1/actions/:id", Operator, "Take a split or a dividend away", "", nil, CompanyAction{}, s.deleteAction},

		{get, "/v1/gaps", Reader, "Gaps", spanQuery + " state limit asof causal", nil, nil, s.getGaps},
		{get, "/v1/coverage", Reader, "Slots by state", spanQuery + " limit asof causal", nil, nil, s.getCoverage},
		{get, "/v1/quality", Reader, "Scores and their parts", seriesQuery + " asof causal", nil, nil, s.getQuality},
		{get, "/v1/explain", Reader, "Everything known of one slot", seriesQuery + " at", nil, explained{}, s.getExplain},
		{get, "/v1/quarantine", Reader, "Bars that were refused or set aside", seriesQuery + " limit", nil, struct {
			Quarantine []entryJSON `json:"quarantine"`
			More       bool        `json:"more"`
		}{}, s.getQuarantine},
		{post, "/v1/quarantine/:id/release", Operator, "Write a quarantined bar into its series", "", nil, nil, s.releaseAside},
		{post, "/v1/quarantine/:id/discard", Operator, "Drop a quarantined bar", "", nil, nil, s.discardAside},
		{get, "/v1/findings", Reader, "What the corruption rules find", spanQuery + " rule severity against limit", nil, struct {
			Findings []heal.Finding `json:"findings"`
			More     bool           `json:"more"`
		}{}, s.getFindings},
		{get, "/v1/revisions", Reader, "How often sources revise their bars", "limit", nil, revisionsAnswer{}, s.getRevisions},
		{get, "/v1/rules", Reader, "The corruption rules", "", nil, struct {
			Rules []ruleRow `json:"rules"`
		}{}, s.getRules},
		{get, "/v1/damages", Reader, "Losses that were found", "limit", nil, struct {
			Damages []Damage `json:"damages"`
			More    bool     `json:"more"`
		}{}, s.getDamages},

		{get, "/v1/repairs", Reader, "Repairs, the newest first", "symbol status limit", nil, struct {
			Repairs []heal.Repair `json:"repairs"`
		}{}, s.getRepairs},
		{get, "/v1/repairs/:id", Reader, "One repair", "", nil, heal.Repair{}, s.getRepair},
		{post, "/v1/repairs/:id/cancel", Operator, "End a repair", "", nil, heal.Repair{}, s.cancelRepair},
		{post, "/v1/repairs/:id/undo", Operator, "Take a repair back", "", nil, heal.Undone{}, s.undoRepair},
		{post, "/v1/undo", Operator, "Take changes back", "", undoRequest{}, nil, s.postUndo},
		{get, "/v1/audit", Reader, "The journal", spanQuery + " repair rule source actor limit cursor", nil, struct {
			Entries []auditRow `json:"entries"`
			Next    *string    `json:"next"`
		}{}, s.getAudit},
		{post, "/v1/audit/head", Operator, "Bring the audit log up to date", "", nil, auditHead{}, s.postAuditHead},
		{get, "/v1/audit/verify", Reader, "Prove the journal", "size root", nil, nil, s.getAuditVerify},

		{get, "/v1/calendars", Reader, "Calendars", "", nil, nil, s.getCalendars},
		{get, "/v1/calendars/:name", Reader, "One calendar", "from to", nil, nil, s.getCalendar},

		{get, "/v1/closures", Reader, "Sessions in which a market was most likely shut", "from to", nil, struct {
			Closures []heal.Closure `json:"closures"`
		}{}, s.getClosures},
		{post, "/v1/closures", Operator, "Mark a session as closed", "", closureRequest{}, heal.Repair{}, s.postClosure},

		{get, "/v1/ledger", Reader, "Sums of all that is stored", "", nil, nil, s.getLedger},
		{post, "/v1/backups", Admin, "Make a backup", "", nil, nil, s.postBackup},

		{get, "/v1/stream", Reader, "What happens, as server-sent events", seriesQuery + " events", nil, nil, s.getStream},
		{get, "/v1/config", Reader, "The settings in effect", "", nil, nil, s.getConfig},
		{put, "/v1/config", Admin, "Change settings", "", nil, nil, s.putConfig},
		{get, "/v1/controls", Admin, "Who controlled the server, the newest first", "actor limit", nil, struct {
			Controls []Control `json:"controls"`
		}{}, s.getControls},
		{get, "/v1/tokens", Admin, "Tokens, without their secrets", "", nil, struct {
			Tokens []TokenInfo `json:"tokens"`
		}{}, s.getTokens},
		{post, "/v1/tokens", Admin, "Make a token", "", newToken{}, madeToken{}, s.postToken},
		{del, "/v1/tokens/:id", Admin, "Revoke a token", "", nil, TokenInfo{}, s.deleteToken},

		{post, "/v1/links", Reader, "Make an address of /v1/bars that needs no token for a while", "", newLink{}, madeLink{}, s.postLink},

		{get, "/compat/binance/api/v3/ping", Reader, "Binance: ping", "", nil, nil, s.binancePing},
		{get, "/compat/binance/api/v3/time", Reader, "Binance: time of the server", "", nil, nil, s.binanceTime},
		{get, "/compat/binance/api/v3/exchangeInfo", Reader, "Binance: symbols", "symbol symbols", nil, nil, s.binanceInfo},
		{get, "/compat/binance/api/v3/klines", Reader, "Binance: bars", binanceQuery, nil, nil, s.binanceKlines},
		{get, "/compat/binance/api/v3/uiKlines", Reader, "Binance: bars", binanceQuery, nil, nil, s.binanceKlines},
		{get, "/compat/binance/fapi/v1/exchangeInfo", Reader, "Binance: no futures", "", nil, nil, s.binanceNone},
		{get, "/compat/binance/dapi/v1/exchangeInfo", Reader, "Binance: no futures", "", nil, nil, s.binanceNone},
		{get, "/udf/config", Reader, "TradingView: what this feed can do", "", nil, nil, s.udfConfig},
		{get, "/udf/time", Reader, "TradingView: time of the server", "", nil, nil, s.udfTime},
		{get, "/udf/symbols", Reader, "TradingView: one symbol", "symbol", nil, nil, s.udfSymbols},
		{get, "/udf/symbol_info", Reader, "TradingView: all symbols", "group", nil, nil, s.udfInfo},
		{get, "/udf/search", Reader, "TradingView: search for symbols", "query type exchange limit", nil, nil, s.udfSearch},
		{get, "/udf/history", Reader, "TradingView: bars", "symbol resolution from to countback", nil, nil, s.udfHistory},
		{post, "/api/v2/write", Operator, "InfluxDB line protocol", "precision org bucket", nil, nil, s.postLines},
		{post, "/write", Operator, "InfluxDB line protocol, version 1", "precision db", nil, nil, s.postLines},

		{get, "/openapi.json", Public, "This API as an OpenAPI 3.1 document", "", nil, nil, s.getOpenAPI},
		{get, "/", Public, "The dashboard", "", nil, nil, s.getRoot},
		{get, "/assets/*file", Public, "Files of the dashboard", "", nil, nil, s.getAsset},
		{get, "/style.css", Public, "Style of the pages without a script", "", nil, nil, s.getStyle},
		{get, "/docs", Public, "This API as a page", "", nil, nil, s.getDocs},
	}
}

// routes puts the table into the router.
func (s *Server) routes() {
	for _, r := range s.table() {
		s.mount(r)
	}
}

// mount puts a route into the router.
func (s *Server) mount(r route) {
	chain := []gin.HandlerFunc{s.guard.need(r.role)}
	if g := s.gates.of(r.method, r.path); g != nil {
		chain = append(chain, g.enter)
	}
	handle := r.handle
	if r.method != http.MethodGet {
		handle = func(c *gin.Context) { // the journal says who asked
			c.Request = c.Request.WithContext(storage.WithNote(c.Request.Context(), storage.Note{Actor: s.actor(c)}))
			r.handle(c)
			if notes(r) {
				s.note(c)
			}
		}
	}
	chain = append(chain, handle)
	s.engine.Handle(r.method, r.path, chain...)
	if r.method == http.MethodGet { // gin does not answer HEAD by itself
		s.engine.Handle(http.MethodHead, r.path, chain...)
	}
}
