package api

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// explained is everything that is known of one slot.
type explained struct {
	series.Key
	From     series.Time   `json:"from"`
	To       series.Time   `json:"to"`
	State    series.State  `json:"state"`
	Reason   string        `json:"reason"`
	Attempts int32         `json:"attempts"`
	First    *series.Time  `json:"first_asked"`
	Last     *series.Time  `json:"last_asked"`
	NextTry  *series.Time  `json:"next_try"`
	Fill     string        `json:"fill,omitempty"`
	Bar      *barJSON      `json:"bar"`
	Calendar string        `json:"calendar"`
	Open     *bool         `json:"open"` // whether the market was; null: the calendar does not say
	Session  *sessionJSON  `json:"session"`
	Run      *runJSON      `json:"run"` // the stretch in this state around it, within a day or 30 bars
	Aside    []entryJSON   `json:"quarantine"`
	Repairs  []repairShort `json:"repairs"`
	Damages  []Damage      `json:"damages"`
	// Findings are what the corruption rules say of the bar, and of the holes around.
	Findings []heal.Finding `json:"findings"`
}

type sessionJSON struct {
	Date  string      `json:"date"`
	Open  series.Time `json:"open"`
	Close series.Time `json:"close"`
}

// repairShort is a repair that looked at the slot.
type repairShort struct {
	ID     string      `json:"id"`
	Type   heal.Type   `json:"repair_type"`
	Status heal.Status `json:"status"`
	At     series.Time `json:"at"`
}

func (s *Server) getExplain(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	key, at := p.key(), p.time("at")
	if at == nil {
		p.fail("at", "at is missing: give the time of a bar")
	}
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	infos, err := s.selected(key.Symbol, key.Interval)
	if err != nil {
		fail(c, err)
		return
	}
	out, err := s.explain(c, infos[0], *at)
	if err != nil {
		fail(c, err)
		return
	}
	c.PureJSON(http.StatusOK, out)
}

func (s *Server) explain(c *gin.Context, info storage.Info, at series.Time) (*explained, error) {
	g := info.Grid
	slot := g.SlotAt(at)
	span := g.Span(series.Run{From: slot, To: slot + 1})
	around := series.Slot(30)
	if g.Interval.Intraday() {
		around = series.Slot(g.Interval.PerDay())
	}
	cov, err := s.store.Coverage(c, info.Key, g.Span(series.Run{From: slot - around, To: slot + around + 1}))
	if err != nil {
		return nil, err
	}
	out := &explained{
		Key: info.Key, From: span.From, To: span.To, State: series.StateUnknown, Calendar: s.calendarOf(info.Symbol),
		Aside: []entryJSON{}, Repairs: []repairShort{}, Damages: []Damage{}, Findings: []heal.Finding{},
	}
	for _, r := range cov.Runs {
		if r.From <= slot && slot < r.To {
			n := cov.Note(r)
			out.State, out.Reason, out.Attempts, out.Fill = r.State, n.Reason, n.Attempts, n.Fill
			for _, x := range [...]struct {
				from series.Time
				to   **series.Time
			}{{n.First, &out.First}, {n.Last, &out.Last}, {n.Next, &out.NextTry}} {
				if x.from != 0 {
					*x.to = &x.from
				}
			}
			rs := g.Span(r.Run)
			out.Run = &runJSON{From: rs.From, To: rs.To, State: r.State, Bars: r.Len()}
		}
	}
	if out.State.Present() {
		if err := s.explainBar(c, out); err != nil {
			return nil, err
		}
	}
	cal, err := s.store.Calendars().Known(out.Calendar)
	if err != nil {
		return nil, err
	}
	if open, known := cal.OpenAt(span.From); known {
		out.Open = &open
	}
	if x, ok := cal.SessionOf(span.From); ok && !cal.AlwaysOpen() {
		out.Session = &sessionJSON{x.Date.Std().Format(time.DateOnly), x.Open, x.Close}
	}
	for e, err := range s.store.Aside(c, &info.Key) {
		if err != nil {
			return nil, err
		}
		if e.HasTime && span.Contains(e.Time) {
			out.Aside = append(out.Aside, s.entryJSON(e))
		}
	}
	if s.o.Healer != nil {
		if err := s.o.Healer.Inspect(c, info.Key, heal.InspectOptions{Span: span}, func(f heal.Finding) error {
			out.Findings = append(out.Findings, f)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return out, s.explainRest(c, out)
}

// explainBar adds the bar of the slot.
func (s *Server) explainBar(c *gin.Context, out *explained) error {
	v, err := s.store.Snapshot()
	if err != nil {
		return err
	}
	defer v.Close()
	for cols, err := range v.Chunks(c, out.Key, series.Span{From: out.From, To: out.To}, storage.ReadOptions{}) {
		if err != nil {
			return err
		}
		if cols.Len() > 0 {
			b := s.barJSON(cols.Bar(0))
			out.Bar = &b
		}
	}
	return nil
}

// explainRest adds the repairs and damages that are about the slot.
func (s *Server) explainRest(c *gin.Context, out *explained) error {
	span := series.Span{From: out.From, To: out.To}
	if s.o.Healer != nil {
		all, err := s.o.Healer.Repairs(c)
		if err != nil {
			return err
		}
		for _, x := range all {
			for _, o := range x.Outcomes {
				if o.Key == out.Key && o.From < span.To && span.From < o.To {
					out.Repairs = append(out.Repairs, repairShort{x.ID, x.Request.Type, x.Status, max(x.Started, x.Asked)})
					break
				}
			}
		}
	}
	ds, err := s.store.Damages()
	if err != nil {
		return err
	}
	for _, d := range ds {
		if d.Key == out.Key && !d.Span.Intersect(span).Empty() {
			out.Damages = append(out.Damages, DamageOf(d))
		}
	}
	return nil
}
