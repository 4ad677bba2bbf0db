package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// entryJSON is a bar, or a row that never became one, that was set aside.
type entryJSON struct {
	ID uint64 `json:"id"`
	series.Key
	Time   *series.Time `json:"time"`
	Reason string       `json:"reason"`
	Source string       `json:"source"`
	Raw    string       `json:"raw"`
	Bar    *barJSON     `json:"bar"`
	At     series.Time  `json:"at"`
}

const maxEntries = 10_000

func (s *Server) getQuarantine(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	symbol, interval, limit := p.symbol(), p.interval("interval"), p.limit(maxEntries)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	var key *series.Key
	if symbol != "" && interval != 0 {
		key = &series.Key{Symbol: symbol, Interval: interval}
	}
	list, more := []entryJSON{}, false
	for e, err := range s.store.Aside(c, key) {
		if err != nil {
			fail(c, err)
			return
		}
		if symbol != "" && e.Key.Symbol != symbol || interval != 0 && e.Key.Interval != interval {
			continue
		}
		if more = len(list) == limit; more {
			break
		}
		list = append(list, s.entryJSON(e))
	}
	c.PureJSON(http.StatusOK, gin.H{"quarantine": list, "more": more})
}

func (s *Server) entryJSON(e storage.Entry) entryJSON {
	out := entryJSON{ID: e.ID, Key: e.Key, Reason: e.Reason, Source: e.Source, Raw: e.Raw, At: e.At}
	if e.HasTime {
		out.Time = &e.Time
	}
	if e.Bar != nil {
		b := s.barJSON(*e.Bar)
		b.Source = e.Source
		out.Bar = &b
	}
	return out
}
