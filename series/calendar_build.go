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
	exception         Exception
}

func (b *builder) build(d CalendarData) error {
	var err error
	if d.Name == "" {
		return errors.New("it has no name")
	}
	if b.zone, err = time.LoadLocation(d.Zone); err != nil || d.Zone == "" {
		return fmt.Errorf("zone %q is unknown", d.Zone)
	}
	if b.from, err = parseDate(d.From); err != nil {
		return err
	}
	if b.to, err = parseDate(d.To); err != nil {
		return err
	}
	if b.from >= b.to {
		return fmt.Errorf("it ends on %s, before it starts on %s", d.To, d.From)
	}
	b.cal.name = d.Name
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
	if len(b.cal.sessions) == 0 {
		return errors.New("it has no session")
	}
	b.cal.valid = b.validity()
	b.index()
	return nil
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
	last := h.open
	for _, k := range r.Breaks {
		from, err := parseClock(k.From)
		if err != nil {
			return err
		}
		to, err := parseClock(k.To)
		if err != nil {
			return err
		}
		if from <= last || to <= from || to >= h.close {
			return fmt.Errorf("the break from %s to %s is out of order or not inside the session", k.From, k.To)
		}
		last = to
		h.breaks = append(h.breaks, [2]clock{from, to})
	}
	b.rules = append(b.rules, h)
	return nil
}

func (b *builder) addYearly(y YearlyChange) error {
	if err := y.On.check(); err != nil {
		return err
	}
	p := plan{exception: Exception{Reason: y.Reason, Source: y.Source}}
	if err := p.read(y.Open, y.Close); err != nil {
		return err
	}
	// One year more on either side: observation can move a date across.
	first, last := b.from.Std().Year()-1, b.to.Std().Year()+1
	if y.From != 0 {
		first = max(first, y.From)
	}
	if y.To != 0 {
		last = min(last, y.To)
	}
	for year := first; year <= last; year++ {
		if t, ok := y.On.In(year); ok {
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
	if err := p.read(x.Open, x.Close); err != nil {
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
func (p *plan) read(open, close string) (err error) {
	p.closed = open == "" && close == ""
	p.exception.Closed = p.closed
	if open != "" {
		p.hasOpen = true
		if p.open, err = parseClock(open); err != nil {
			return err
		}
	}
	if close != "" {
		p.hasClose = true
		if p.close, err = parseClock(close); err != nil {
			return err
		}
	}
	return nil
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
