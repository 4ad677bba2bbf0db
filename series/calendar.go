package series

import (
	"cmp"
	"iter"
	"slices"
)

// Calendar knows when a market was open. It is immutable and safe for
// concurrent use. [CalendarByName] returns the built-in ones, [NewCalendar]
// builds one from data.
//
// A calendar answers inside [Calendar.Valid] only: outside of it nothing is
// known, and nothing is claimed to be open or closed.
type Calendar struct {
	name, title, zone string
	aliases           []string
	valid             Span
	always            bool // no sessions: the days UTC are
	// sessions are in order and do not overlap; open is the set of spans in
	// which the market was open: the sessions without their breaks.
	sessions   []Session
	open       []Span
	exceptions []Exception
	pauses     []Shutdown
	// openDay[i] is the index of the first member of open that ends after the
	// start of day firstDay+i; it makes OpenAt a look at one or two spans.
	openDay  []int32
	firstDay int64
	// data is what the calendar was built from; nil for the 24x7 one.
	data *CalendarData
}

// Session is one trading session. From Open to Close the market was open,
// except in the breaks: Open belongs to the session, Close does not.
type Session struct {
	// Date is midnight UTC of the date that the exchange gives the session; it
	// labels the daily bar. An overnight session opens before its date.
	Date        Time
	Open, Close Time
	// Breaks is the set of pauses, such as a lunch break. All copies of the
	// session have the same memory for it: it must not be changed.
	Breaks []Span
}

// Span is the time of the session, its breaks included.
func (s Session) Span() Span { return Span{s.Open, s.Close} }

// Exception is a date that departs from the weekly rules of its calendar.
type Exception struct {
	Date Time // midnight UTC of the session date
	// Closed is true where there is no session, false where the session has
	// other hours than usual or is an extra one.
	Closed bool
	// Reason is for a person: "Good Friday", "hurricane Sandy".
	Reason string
	Notice Notice
	// Announced is midnight UTC of the date on which an ad-hoc exception became
	// known; 0 where nobody wrote that down.
	Announced Time
	Source    string // the document that says so
}

// Shutdown is a stretch of time in which a market was shut inside its hours.
type Shutdown struct {
	Span
	Reason    string
	Notice    Notice
	Announced Time // midnight UTC of the date on which it became known, or 0
	Source    string
}

// always answers for every instant that Barkeep accepts.
var always = &Calendar{
	name: "24x7", title: "Always open", zone: "UTC", always: true,
	valid: Span{MinTime, MaxTime + 1}, open: []Span{{MinTime, MaxTime + 1}},
}

// Always returns the 24x7 calendar.
func Always() *Calendar { return always }

// Unknown returns a calendar that knows nothing: it stands for one that a
// symbol names and that is not there.
func Unknown(name string) *Calendar { return &Calendar{name: name, title: "not loaded", zone: "UTC"} }

// Name is the name of the calendar: a market identifier code, or "24x7".
func (c *Calendar) Name() string { return c.name }

// String is the name of the calendar.
func (c *Calendar) String() string { return c.name }

// Title is the name for a person.
func (c *Calendar) Title() string { return c.title }

// Aliases are further names. The result must not be changed.
func (c *Calendar) Aliases() []string { return c.aliases }

// Zone is the IANA name of the zone in which the market keeps its hours.
func (c *Calendar) Zone() string { return c.zone }

// AlwaysOpen reports whether the market never closes, but for pauses. Its
// sessions are the days UTC.
func (c *Calendar) AlwaysOpen() bool { return c.always }

// Valid is the span of time for which the calendar answers. Outside of it
// whether the market was open is unknown.
func (c *Calendar) Valid() Span { return c.valid }

// OpenAt reports whether the market was open at t, and whether the calendar
// knows. It is closed in the breaks of a session.
func (c *Calendar) OpenAt(t Time) (open, known bool) {
	if !c.valid.Contains(t) {
		return false, false
	}
	i := c.openFrom(t)
	return i < len(c.open) && c.open[i].From <= t, true
}

// openFrom is the index of the first open span that ends after t.
func (c *Calendar) openFrom(t Time) int {
	if c.always { // few pauses, many days
		i, found := slices.BinarySearchFunc(c.open, t, func(s Span, t Time) int { return cmp.Compare(s.To, t) })
		if found {
			i++
		}
		return i
	}
	day := floorDiv(int64(t), int64(Day)) - c.firstDay
	if day < 0 {
		return 0
	}
	if day >= int64(len(c.openDay)) {
		return len(c.open)
	}
	i := int(c.openDay[day])
	for i < len(c.open) && c.open[i].To <= t {
		i++
	}
	return i
}

// sessionFrom is the index of the first session that closes after t.
func (c *Calendar) sessionFrom(t Time) int {
	i, found := slices.BinarySearchFunc(c.sessions, t, func(s Session, t Time) int { return cmp.Compare(s.Close, t) })
	if found {
		i++
	}
	return i
}

// dateFrom is the index of the first session dated at or after date.
func (c *Calendar) dateFrom(date Time) int {
	i, _ := slices.BinarySearchFunc(c.sessions, date, func(s Session, t Time) int { return cmp.Compare(s.Date, t) })
	return i
}

// day is the session of a market that never closes: a day UTC.
func day(t Time) Session {
	d := dateOf(t)
	return Session{Date: d, Open: d, Close: d + Day}
}

// dateOf is midnight UTC of the day of t.
func dateOf(t Time) Time { return Time(floorDiv(int64(t), int64(Day))) * Day }

// SessionOf returns the session that was on at t, in a break of it too, and
// whether there was one. The sessions of the 24x7 calendar are the days UTC.
func (c *Calendar) SessionOf(t Time) (Session, bool) {
	if c.AlwaysOpen() {
		return day(t), c.valid.Contains(t)
	}
	if i := c.sessionFrom(t); i < len(c.sessions) && c.sessions[i].Open <= t {
		return c.sessions[i], true
	}
	return Session{}, false
}

// SessionOn returns the session of the date that holds t, in UTC, and whether
// the date has one.
func (c *Calendar) SessionOn(t Time) (Session, bool) {
	d := dateOf(t)
	if c.AlwaysOpen() {
		return day(t), c.valid.Contains(t)
	}
	if i := c.dateFrom(d); i < len(c.sessions) && c.sessions[i].Date == d {
		return c.sessions[i], true
	}
	return Session{}, false
}

// Sessions returns, in order, the sessions that share time with s. The
// sessions of the 24x7 calendar are the days UTC.
func (c *Calendar) Sessions(s Span) iter.Seq[Session] {
	return func(yield func(Session) bool) {
		if s = s.Intersect(c.valid); s.Empty() {
			return
		}
		if c.AlwaysOpen() {
			for t := dateOf(s.From); t < s.To; t += Day {
				if !yield(day(t)) {
					return
				}
			}
			return
		}
		for _, x := range c.sessions[c.sessionFrom(s.From):] {
			if x.Open >= s.To || !yield(x) {
				return
			}
		}
	}
}

// NextOpen returns the first moment after t at which a session opens. There is
// none if the calendar does not reach that far, or if the market never closes.
func (c *Calendar) NextOpen(t Time) (Time, bool) {
	i := c.sessionFrom(t)
	if i < len(c.sessions) && c.sessions[i].Open <= t {
		i++
	}
	if !c.valid.Contains(t) || i == len(c.sessions) {
		return 0, false
	}
	return c.sessions[i].Open, true
}

// PreviousClose returns the last moment at or before t at which a session
// closed. There is none if the calendar does not reach that far, or if the
// market never closes.
func (c *Calendar) PreviousClose(t Time) (Time, bool) {
	i := c.sessionFrom(t)
	if !c.valid.Contains(t) || i == 0 {
		return 0, false
	}
	return c.sessions[i-1].Close, true
}

// Shutdowns returns, in order, the stretches that share time with s in which
// the market was shut inside its hours.
func (c *Calendar) Shutdowns(s Span) iter.Seq[Shutdown] {
	return func(yield func(Shutdown) bool) {
		for _, x := range c.pauses {
			if !x.Span.Intersect(s).Empty() && !yield(x) {
				return
			}
		}
	}
}

// NextClose returns the first moment after t at which a session closes. There
// is none if the calendar does not reach that far, or if the market never
// closes.
func (c *Calendar) NextClose(t Time) (Time, bool) {
	i := c.sessionFrom(t)
	if !c.valid.Contains(t) || i == len(c.sessions) {
		return 0, false
	}
	return c.sessions[i].Close, true
}

// PreviousOpen returns the last moment at or before t at which a session
// opened. There is none if the calendar does not reach that far, or if the
// market never closes.
func (c *Calendar) PreviousOpen(t Time) (Time, bool) {
	i := c.sessionFrom(t)
	if i < len(c.sessions) && c.sessions[i].Open <= t {
		i++
	}
	if !c.valid.Contains(t) || i == 0 {
		return 0, false
	}
	return c.sessions[i-1].Open, true
}

// AddSessions counts sessions from a date, the one in UTC that holds t: for n
// above 0 it returns the n-th session dated after it, for n below 0 the -n-th
// before it, for 0 the session of the date itself. There is none where the
// calendar does not reach, and for 0 where the date has no session.
func (c *Calendar) AddSessions(t Time, n int) (Session, bool) {
	date := dateOf(t)
	if !c.knowsDate(date) {
		return Session{}, false
	}
	if c.always {
		s := day(date + Time(n)*Day)
		return s, c.knowsDate(s.Date)
	}
	i := c.dateFrom(date)
	on := i < len(c.sessions) && c.sessions[i].Date == date
	switch {
	case n == 0 && !on:
		return Session{}, false
	case n > 0 && !on:
		i--
	}
	if i += n; i < 0 || i >= len(c.sessions) {
		return Session{}, false
	}
	return c.sessions[i], true
}

// knowsDate reports whether the calendar knows if a date has a session.
func (c *Calendar) knowsDate(date Time) bool {
	// Where sessions open the evening before, the validity ends on an evening.
	return date+Day > c.valid.From && date < c.valid.To
}

// SessionCount is the number of sessions dated inside s, as far as the calendar
// reaches.
func (c *Calendar) SessionCount(s Span) int {
	if c.always {
		s = s.Intersect(c.valid)
		return max(0, int((dateOf(s.To+Day-1)-dateOf(s.From+Day-1))/Day))
	}
	return max(0, c.dateFrom(s.To)-c.dateFrom(s.From))
}

// Open returns, in order, the spans inside s in which the market was open: the
// sessions without breaks and pauses. Neighbours do not touch.
func (c *Calendar) Open(s Span) iter.Seq[Span] {
	return func(yield func(Span) bool) {
		if s = s.Intersect(c.valid); s.Empty() {
			return
		}
		for _, x := range c.open[c.openFrom(s.From):] {
			if x.From >= s.To || !yield(x.Intersect(s)) {
				return
			}
		}
	}
}

// OpenTime is how long the market was open inside s, in milliseconds, as far
// as the calendar reaches. Of a session it gives the length without breaks.
func (c *Calendar) OpenTime(s Span) Time {
	var sum Time
	for x := range c.Open(s) {
		sum += x.To - x.From
	}
	return sum
}

// Exceptions returns, in order, the exceptions dated inside s. Holidays that
// fall on a day without trading anyway are not among them.
func (c *Calendar) Exceptions(s Span) iter.Seq[Exception] {
	return func(yield func(Exception) bool) {
		i, _ := slices.BinarySearchFunc(c.exceptions, s.From, func(x Exception, t Time) int { return cmp.Compare(x.Date, t) })
		for _, x := range c.exceptions[i:] {
			if x.Date >= s.To || !yield(x) {
				return
			}
		}
	}
}

// AppendExpected appends to dst, as a set (sorted, disjoint, touching ones
// joined), the runs of slots of g inside r in which the market was open:
//
//   - intraday, a slot whose time [Time(n), Time(n+1)) overlaps a session
//     outside its breaks;
//   - 1d, a slot that opens on the UTC date of a session: daily bars are
//     labelled by session date, whatever the hours of the session;
//   - 3d, 1w and 1M, a slot that holds at least one session date.
//
// Slots that open outside [Calendar.Valid] are not appended. What dst held
// before is left alone. It allocates only to grow dst.
func (c *Calendar) AppendExpected(dst []Run, g Grid, r Run) []Run {
	r = r.Intersect(g.Run(c.valid))
	if r.Empty() {
		return dst
	}
	switch {
	case c.always && len(c.open) == 1:
		return append(dst, r)
	case c.always:
		return c.appendUnpaused(dst, g, r)
	case g.Interval.Intraday():
		return c.appendIntraday(dst, g, r)
	default:
		return c.appendDates(dst, g, r)
	}
}

// appendUnpaused appends the slots of any interval that are not shut as a whole.
func (c *Calendar) appendUnpaused(dst []Run, g Grid, r Run) []Run {
	to := g.Time(r.To)
	keep := len(dst) // what dst held before is not joined
	for _, s := range c.open[c.openFrom(g.Time(r.From)):] {
		if s.From >= to {
			break
		}
		x := Run{g.SlotAt(max(s.From, g.Time(r.From))), g.SlotAt(min(s.To, to)-1) + 1}.Intersect(r)
		switch n := len(dst); {
		case x.Empty():
		case n > keep && x.From <= dst[n-1].To:
			dst[n-1].To = max(dst[n-1].To, x.To)
		default:
			dst = append(dst, x)
		}
	}
	return dst
}

func (c *Calendar) appendIntraday(dst []Run, g Grid, r Run) []Run {
	width, phase := int64(g.Interval.Width()), int64(g.Phase)
	to := g.Time(r.To)
	var run Run
	for _, s := range c.open[c.openFrom(g.Time(r.From)):] {
		if s.From >= to {
			break
		}
		x := Run{
			Slot(floorDiv(int64(s.From)-phase, width)),
			Slot(floorDiv(int64(s.To)-1-phase, width) + 1),
		}
		if x.From <= run.To && !run.Empty() {
			run.To = max(run.To, x.To)
			continue
		}
		if run = run.Intersect(r); !run.Empty() {
			dst = append(dst, run)
		}
		run = x
	}
	if run = run.Intersect(r); !run.Empty() {
		dst = append(dst, run)
	}
	return dst
}

func (c *Calendar) appendDates(dst []Run, g Grid, r Run) []Run {
	// A slot holds the dates from the one on which it opens: with a phase, the
	// slot that opens at 16:00 of a date is the slot of that date.
	phase := g.Phase % Day
	to := g.Time(r.To)
	var run Run
	end := MinTime // of the last slot found
	for _, s := range c.sessions[c.dateFrom(dateOf(g.Time(r.From))):] {
		t := s.Date + phase
		if t >= to {
			break
		}
		if t < end {
			continue
		}
		n := g.SlotAt(t)
		end = g.Time(n + 1)
		if n == run.To && !run.Empty() {
			run.To++
			continue
		}
		if !run.Empty() {
			dst = append(dst, run)
		}
		run = Run{n, n + 1}
	}
	if !run.Empty() {
		dst = append(dst, run)
	}
	return dst
}
