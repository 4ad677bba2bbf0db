package api

import (
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// Damage is a loss that was found, as it is listed. What is not known, or what
// it is not about, is null.
type Damage struct {
	ID       uint64           `json:"id"` // 0: found while reading only, and not kept
	At       series.Time      `json:"at"`
	Symbol   *string          `json:"symbol"`
	Interval *series.Interval `json:"interval"`
	From     *series.Time     `json:"from"`
	To       *series.Time     `json:"to"`
	Bars     *int64           `json:"bars"`
	What     string           `json:"what"`
	Found    string           `json:"found"` // open, read, scrub or verify
}

// DamageOf shows one damage.
func DamageOf(d storage.Damage) Damage {
	out := Damage{ID: d.ID, At: d.At, What: d.What, Found: d.Found}
	if d.Key != (series.Key{}) {
		out.Symbol, out.Interval = &d.Key.Symbol, &d.Key.Interval
	}
	if d.Span != (series.Span{}) {
		out.From, out.To = &d.Span.From, &d.Span.To
	}
	if d.Bars > 0 {
		out.Bars = &d.Bars
	}
	return out
}

// getDamages lists what was ever found, newest first.
func (s *Server) getDamages(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	limit := p.limit(maxEntries)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	all, err := s.store.Damages()
	if err != nil {
		fail(c, err)
		return
	}
	list := []Damage{}
	for _, d := range slices.Backward(all) {
		if len(list) == limit {
			break
		}
		list = append(list, DamageOf(d))
	}
	c.PureJSON(http.StatusOK, gin.H{"damages": list, "more": len(all) > len(list)})
}
