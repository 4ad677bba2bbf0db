package api

import (
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
)

// CalendarRow is a calendar in the answer of GET /v1/calendars.
type CalendarRow struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Aliases []string `json:"aliases"`
	Zone    string   `json:"zone"`
	Always  bool     `json:"always"`
	// From and To bound the time for which the calendar answers; null where it
	// is not bounded.
	From     *series.Time `json:"from"`
	To       *series.Time `json:"to"`
	Sessions *int         `json:"sessions"` // null where it is always open
	Open     *bool        `json:"open"`     // null where that is not known
	// NextOpen and NextClose come after now; null where there is none.
	NextOpen  *series.Time `json:"next_open"`
	NextClose *series.Time `json:"next_close"`
}

// NewCalendarRow describes c as it is at now.
func NewCalendarRow(c *series.Calendar, now series.Time) CalendarRow {
	r := CalendarRow{Name: c.Name(), Title: c.Title(), Aliases: append([]string{}, c.Aliases()...), Zone: c.Zone(), Always: c.AlwaysOpen()}
	if v := c.Valid(); v.From > series.MinTime || v.To <= series.MaxTime {
		r.From, r.To = &v.From, &v.To
	}
	if !c.AlwaysOpen() {
		n := c.SessionCount(series.Span{From: c.Valid().From - series.Day, To: c.Valid().To + series.Day})
		r.Sessions = &n
	}
	if open, known := c.OpenAt(now); known {
		r.Open = &open
	}
	if t, ok := c.NextOpen(now); ok {
		r.NextOpen = &t
	}
	if t, ok := c.NextClose(now); ok {
		r.NextClose = &t
	}
	return r
}

// CalendarAnswer is the answer of GET /v1/calendars/{name}.
type CalendarAnswer struct {
	CalendarRow
	// Days are the sessions dated in the asked span, none where the market is
	// always open; Exceptions the dates that depart from the weekly rules.
	Days       []CalendarDay       `json:"days"`
	Exceptions []CalendarException `json:"exceptions"`
	Shutdowns  []CalendarShutdown  `json:"shutdowns"`
	// Unknown is the part of the asked span for which the calendar does not
	// answer.
	Unknown []spanJSON `json:"unknown"`
}

// CalendarDay is one session.
type CalendarDay struct {
	Date    string      `json:"date"`
	Open    series.Time `json:"open"`
	Close   series.Time `json:"close"`
	Breaks  []spanJSON  `json:"breaks"`
	Minutes float64     `json:"minutes"` // without breaks and shutdowns
}

// CalendarException is a date without a session or with other hours than usual.
type CalendarException struct {
	Date      string  `json:"date"`
	Closed    bool    `json:"closed"`
	Reason    string  `json:"reason"`
	Notice    string  `json:"notice"`
	Announced *string `json:"announced"`
	Source    string  `json:"source"`
}

// CalendarShutdown is a stretch in which the market was shut inside its hours.
type CalendarShutdown struct {
	spanJSON
	Reason    string  `json:"reason"`
	Notice    string  `json:"notice"`
	Announced *string `json:"announced"`
	Source    string  `json:"source"`
}

type spanJSON struct {
	From series.Time `json:"from"`
	To   series.Time `json:"to"`
}

func dateText(t series.Time) string { return t.Std().Format(time.DateOnly) }

func announced(t series.Time) *string {
	if t == 0 {
		return nil
	}
	text := dateText(t)
	return &text
}

// NewCalendarAnswer lists what c says of the dates in span.
func NewCalendarAnswer(c *series.Calendar, span series.Span, now series.Time) CalendarAnswer {
	a := CalendarAnswer{
		CalendarRow: NewCalendarRow(c, now),
		Days:        []CalendarDay{}, Exceptions: []CalendarException{}, Shutdowns: []CalendarShutdown{}, Unknown: []spanJSON{},
	}
	if !c.AlwaysOpen() {
		// The session of a date may open on the evening before.
		for s := range c.Sessions(series.Span{From: span.From - 9*series.Day, To: span.To + 9*series.Day}) {
			if !span.Contains(s.Date) {
				continue
			}
			d := CalendarDay{Date: dateText(s.Date), Open: s.Open, Close: s.Close, Breaks: []spanJSON{}, Minutes: float64(c.OpenTime(s.Span())) / float64(series.Minute)}
			for _, b := range s.Breaks {
				d.Breaks = append(d.Breaks, spanJSON(b))
			}
			a.Days = append(a.Days, d)
		}
	}
	for x := range c.Exceptions(span) {
		a.Exceptions = append(a.Exceptions, CalendarException{dateText(x.Date), x.Closed, x.Reason, x.Notice.String(), announced(x.Announced), x.Source})
	}
	for x := range c.Shutdowns(span) {
		a.Shutdowns = append(a.Shutdowns, CalendarShutdown{spanJSON(x.Span), x.Reason, x.Notice.String(), announced(x.Announced), x.Source})
	}
	for _, u := range series.Subtract(nil, []series.Span{span}, []series.Span{c.Valid()}) {
		a.Unknown = append(a.Unknown, spanJSON(u))
	}
	return a
}

func (s *Server) getCalendars(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	now, all := series.TimeOf(s.now()), s.store.Calendars()
	rows := []CalendarRow{}
	for _, name := range all.Names() {
		cal, err := all.Get(name)
		if err != nil {
			fail(c, err)
			return
		}
		rows = append(rows, NewCalendarRow(cal, now))
	}
	c.PureJSON(http.StatusOK, gin.H{"calendars": rows})
}

// getCalendar answers for the dates from from to before to: by default those of
// this year, or of a year from the bound that is given.
func (s *Server) getCalendar(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	b := p.bounds()
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	name := c.Param("name")
	if !s.store.Calendars().Has(name) {
		fail(c, noCalendar(name))
		return
	}
	cal, err := s.store.Calendars().Get(name)
	if err != nil {
		fail(c, err)
		return
	}
	now := series.TimeOf(s.now())
	span := yearOf(now)
	switch {
	case b.from != nil && b.to == nil:
		span = series.Span{From: *b.from, To: series.TimeOf(b.from.Std().AddDate(1, 0, 0))}
	case b.from == nil && b.to != nil:
		span = series.Span{From: series.TimeOf(b.to.Std().AddDate(-1, 0, 0)), To: *b.to}
	}
	c.PureJSON(http.StatusOK, NewCalendarAnswer(cal, b.within(span), now))
}

func noCalendar(name string) error {
	return &Error{http.StatusNotFound, "no_such_calendar", fmt.Sprintf("there is no calendar %s: GET /v1/calendars lists those that are", name), "name"}
}

// yearOf is the year UTC that holds t.
func yearOf(t series.Time) series.Span {
	year := t.Std().Year()
	first := func(y int) series.Time { return series.TimeOf(time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC)) }
	return series.Span{From: first(year), To: first(year + 1)}
}
