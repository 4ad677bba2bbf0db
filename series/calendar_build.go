package series

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// NewCalendar builds a calendar. It computes every session, a few
// milliseconds of work, so keep the result. The error names the row at fault.
func NewCalendar(d CalendarData) (*Calendar, error) {
	b := builder{days: make(map[Time]*plan)}
	if err := b.build(d); err != nil {
		return nil, fmt.Errorf("calendar %s: %w", d.Name, err)
	}
	data := d.clone()
	b.cal.data = &data
	return &b.cal, nil
}

// With returns the calendar with further dated changes, which win over its
// own: the way for a user to add a closure that the tables lack. It is an
// error on the 24x7 calendar, which has no sessions to change.
func (c *Calendar) With(changes ...DatedChange) (*Calendar, error) {
	if c.data == nil {
		return nil, fmt.Errorf("calendar %s has no sessions to change", c.name)
	}
	d := c.data.clone()
	d.Dated = append(d.Dated, changes...)
	return NewCalendar(d)
}

// builder turns rules into sessions.
type builder struct {
	cal      Calendar
	zone     *time.Location
	from, to Time // dates, half-open
	rules    []hours
	days     map[Time]*plan // what changes on a date
}

// hours is a SessionRule with its dates and clocks read.
type hours struct {
	from, to    Time
	days        Weekdays
	open, close clock
	breaks      [][2]clock
}

// plan is what the changes of one date add up to.
type plan struct {
	closed, opened    bool
	open, close       clock
	hasOpen, hasClose bool
	breaks            [][2]clock // if hasBreaks
	hasBreaks         bool
	exception         Exception
}

func (b *builder) build(d CalendarData) error {
	c := &b.cal
	if d.Name == "" {
		return errors.New("it has no name")
	}
	c.name, c.title, c.aliases, c.zone, c.always = d.Name, d.Title, d.Aliases, d.Zone, d.Always
	if err := b.bounds(d); err != nil {
		return err
	}
	if d.Always {
		if len(d.Sessions)+len(d.Yearly)+len(d.Dated) > 0 {
			return errors.New("it is always open and has sessions or holidays: give pauses only")
		}
		c.valid = Span{b.from, b.to}
		c.open = []Span{c.valid}
		return b.addPauses(d.Pauses)
	}
	for i, r := range d.Sessions {
		if err := b.addRule(r); err != nil {
			return fmt.Errorf("session rule %d: %w", i+1, err)
		}
	}
	for i, y := range d.Yearly {
		if err := b.addYearly(y); err != nil {
			return fmt.Errorf("yearly change %d (%s): %w", i+1, y.Reason, err)
		}
	}
	for i, x := range d.Dated {
		if err := b.addDated(x); err != nil {
			return fmt.Errorf("dated change %d (%s): %w", i+1, x.Reason, err)
		}
	}
	for t := b.from; t < b.to; t += Day {
		if err := b.addDate(t); err != nil {
			return fmt.Errorf("%s: %w", t.Std().Format(time.DateOnly), err)
		}
	}
	if len(c.sessions) == 0 {
		return errors.New("it has no session")
	}
	c.valid = b.validity()
	if err := b.addPauses(d.Pauses); err != nil {
		return err
	}
	b.index()
	return nil
}

// maxCalendarYears bounds the work that a calendar can ask for.
const maxCalendarYears = 400

// bounds reads the zone and the dates that the tables cover.
func (b *builder) bounds(d CalendarData) (err error) {
	if b.zone, err = time.LoadLocation(d.Zone); err != nil || d.Zone == "" || d.Zone == "Local" {
		return fmt.Errorf("zone %q is unknown: give an IANA name such as Europe/London", d.Zone)
	}
	b.from, b.to = MinTime, MaxTime+1
	if !d.Always || d.From != "" {
		if b.from, err = parseDate(d.From); err != nil {
			return fmt.Errorf("from: %w", err)
		}
	}
	if !d.Always || d.To != "" {
		if b.to, err = parseDate(d.To); err != nil {
			return fmt.Errorf("to: %w", err)
		}
	}
	if b.from >= b.to {
		return fmt.Errorf("it ends on %s, before it starts on %s", d.To, d.From)
	}
	if !d.Always && b.to-b.from > maxCalendarYears*366*Day {
		return fmt.Errorf("it covers more than %d years", maxCalendarYears)
	}
	return nil
}

// addPauses takes pauses out of the open spans.
func (b *builder) addPauses(ps []Pause) error {
	var shut []Span
	for i, p := range ps {
		x := Shutdown{Reason: p.Reason, Notice: p.Notice, Source: p.Source}
		var err error
		if x.Span, err = p.span(); err == nil && p.Announced != "" {
			x.Announced, err = parseDate(p.Announced)
		}
		if err != nil {
			return fmt.Errorf("pause %d (%s): %w", i+1, p.Reason, err)
		}
		shut = append(shut, x.Span)
		b.cal.pauses = append(b.cal.pauses, x)
	}
	slices.SortFunc(b.cal.pauses, func(a, b Shutdown) int { return cmp.Compare(a.From, b.From) })
	if len(shut) > 0 {
		b.cal.open = Subtract(nil, b.cal.open, Normalize(shut))
		if len(b.cal.open) == 0 {
			return errors.New("its pauses leave it no open time")
		}
	}
	return nil
}

func (p Pause) span() (Span, error) {
	var s Span
	for _, x := range [...]struct {
		text string
		at   *Time
	}{{p.From, &s.From}, {p.To, &s.To}} {
		t, err := time.Parse(time.RFC3339, x.text)
		if err != nil {
			return s, fmt.Errorf("time %q is not of the form 2018-02-08T00:27:00Z", x.text)
		}
		*x.at = TimeOf(t)
	}
	if s.Empty() {
		return s, fmt.Errorf("it ends at %s, before it begins at %s", p.To, p.From)
	}
	return s, nil
}

func (b *builder) addRule(r SessionRule) error {
	h := hours{from: b.from, to: b.to, days: r.Days}
	var err error
	if r.From != "" {
		if h.from, err = parseDate(r.From); err != nil {
			return err
		}
	}
	if r.To != "" {
		if h.to, err = parseDate(r.To); err != nil {
			return err
		}
	}
	if h.open, err = parseClock(r.Open); err != nil {
		return err
	}
	if h.close, err = parseClock(r.Close); err != nil {
		return err
	}
	if h.open >= h.close {
		return fmt.Errorf("it closes at %s, before it opens at %s", r.Close, r.Open)
	}
	if h.breaks, err = readBreaks(r.Breaks); err != nil {
		return err
	}
	last := h.open
	for i, k := range h.breaks {
		if k[0] <= last || k[1] >= h.close {
			return fmt.Errorf("the break from %s to %s is out of order or not inside the session", r.Breaks[i].From, r.Breaks[i].To)
		}
		last = k[1]
	}
	b.rules = append(b.rules, h)
	return nil
}

func readBreaks(ks []Break) ([][2]clock, error) {
	var out [][2]clock
	for _, k := range ks {
		from, err := parseClock(k.From)
		if err != nil {
			return nil, err
		}
		to, err := parseClock(k.To)
		if err != nil {
			return nil, err
		}
		if to <= from {
			return nil, fmt.Errorf("the break from %s to %s is out of order or not inside the session", k.From, k.To)
		}
		out = append(out, [2]clock{from, to})
	}
	return out, nil
}

func (b *builder) addYearly(y YearlyChange) error {
	if err := y.On.check(); err != nil {
		return err
	}
	p := plan{exception: Exception{Reason: y.Reason, Source: y.Source}}
	if err := p.read(y.Hours); err != nil {
		return err
	}
	// One year more on either side: a date can move across.
	first, last := b.from.Std().Year()-1, b.to.Std().Year()+1
	if y.From != 0 {
		first = max(first, y.From)
	}
	if y.To != 0 {
		last = min(last, y.To)
	}
	for year := first; year <= last; year++ {
		if t, ok := y.On.In(year); ok && !slices.Contains(y.Except, year) {
			b.change(t, p)
		}
	}
	return nil
}

func (b *builder) addDated(x DatedChange) error {
	from, err := parseDate(x.Date)
	if err != nil {
		return err
	}
	to := from
	if x.To != "" {
		if to, err = parseDate(x.To); err != nil {
			return err
		}
	}
	if to < from || from < b.from || to >= b.to {
		return errors.New("its dates are out of order or outside the calendar")
	}
	p := plan{exception: Exception{Reason: x.Reason, Notice: x.Notice, Source: x.Source}}
	if x.Announced != "" {
		if p.exception.Announced, err = parseDate(x.Announced); err != nil {
			return fmt.Errorf("announced: %w", err)
		}
	}
	if err := p.read(x.Hours); err != nil {
		return err
	}
	p.opened = p.hasOpen && p.hasClose
	for t := from; t <= to; t += Day {
		p.exception.Date = t
		day := p
		if old := b.days[t]; old != nil && !p.closed && !p.opened {
			// Half of the hours: the other half, and a holiday, stay.
			old.merge(p)
			continue
		}
		b.days[t] = &day
	}
	return nil
}

// change adds a yearly change to the plan of a date.
func (b *builder) change(t Time, p plan) {
	p.exception.Date = t
	old := b.days[t]
	switch {
	case old == nil || p.closed:
		b.days[t] = &p
	case !old.closed:
		old.merge(p)
	}
}

// read sets what the clocks of a change say.
func (p *plan) read(h Hours) (err error) {
	p.closed = h.Open == "" && h.Close == "" && h.Breaks == nil
	p.exception.Closed = p.closed
	if h.Open != "" {
		p.hasOpen = true
		if p.open, err = parseClock(h.Open); err != nil {
			return err
		}
	}
	if h.Close != "" {
		p.hasClose = true
		if p.close, err = parseClock(h.Close); err != nil {
			return err
		}
	}
	p.hasBreaks = h.Breaks != nil
	p.breaks, err = readBreaks(h.Breaks)
	return err
}

// merge lets the clocks of q win over those of p.
func (p *plan) merge(q plan) {
	if p.closed {
		return
	}
	if q.hasOpen {
		p.open, p.hasOpen = q.open, true
	}
	if q.hasClose {
		p.close, p.hasClose = q.close, true
	}
	if q.hasBreaks {
		p.breaks, p.hasBreaks = q.breaks, true
	}
	p.exception = q.exception
}

// ruleOn returns the weekly rule of a date, or nil.
func (b *builder) ruleOn(t Time) (*hours, error) {
	var found *hours
	for i := range b.rules {
		r := &b.rules[i]
		if t < r.from || t >= r.to || !r.days.Has(t.Std().Weekday()) {
			continue
		}
		if found != nil {
			return nil, errors.New("two session rules claim it")
		}
		found = r
	}
	return found, nil
}

// addDate adds the session of a date, if it has one.
func (b *builder) addDate(t Time) error {
	r, err := b.ruleOn(t)
	if err != nil {
		return err
	}
	p := b.days[t]
	if r == nil && (p == nil || !p.opened) {
		return nil // a day of rest, holiday or not
	}
	var h hours
	if r != nil {
		h = *r
	}
	if p != nil {
		b.cal.exceptions = append(b.cal.exceptions, p.exception)
		if p.closed {
			return nil
		}
		if p.hasOpen {
			h.open = p.open
		}
		if p.hasClose {
			h.close = p.close
		}
		if p.hasBreaks {
			h.breaks = p.breaks
		}
	}
	return b.addSession(t, h)
}

func (b *builder) addSession(t Time, h hours) error {
	s := Session{Date: t, Open: h.open.on(t, b.zone), Close: h.close.on(t, b.zone)}
	if s.Open >= s.Close {
		return errors.New("it closes before it opens")
	}
	if n := len(b.cal.sessions); n > 0 && b.cal.sessions[n-1].Close > s.Open {
		return errors.New("it opens before the session before it has closed")
	}
	for _, k := range h.breaks {
		pause := Span{k[0].on(t, b.zone), k[1].on(t, b.zone)}
		if pause.From <= s.Open || pause.To >= s.Close {
			continue // a changed open or close says what it says
		}
		s.Breaks = append(s.Breaks, pause)
	}
	at := s.Open
	for _, k := range s.Breaks {
		b.cal.open = Join(b.cal.open, Span{at, k.From})
		at = k.To
	}
	b.cal.open = Join(b.cal.open, Span{at, s.Close})
	b.cal.sessions = append(b.cal.sessions, s)
	return nil
}

// validity is the time between the first and the last date, less what a
// session of a date outside of them could claim: where sessions open the
// evening before, the last evening is not known.
func (b *builder) validity() Span {
	v := Span{b.from, b.to}
	for _, r := range b.rules {
		if r.from <= b.from {
			v.From = max(v.From, r.close.on(b.from-Day, b.zone))
		}
		if r.to >= b.to {
			v.To = min(v.To, r.open.on(b.to, b.zone))
		}
	}
	return v
}

// index fills openDay.
func (b *builder) index() {
	c := &b.cal
	c.open = slices.Clip(c.open)
	c.sessions = slices.Clip(c.sessions)
	c.firstDay = floorDiv(int64(c.open[0].From), int64(Day))
	last := floorDiv(int64(c.open[len(c.open)-1].To-1), int64(Day))
	c.openDay = make([]int32, last-c.firstDay+1)
	for i := range c.openDay {
		t := Time(c.firstDay+int64(i)) * Day
		n, found := slices.BinarySearchFunc(c.open, t, func(s Span, t Time) int { return cmp.Compare(s.To, t) })
		if found {
			n++
		}
		c.openDay[i] = int32(n)
	}
}
