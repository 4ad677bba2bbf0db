package series

import (
	"fmt"
	"slices"
	"time"
	_ "time/tzdata" // zones exist on every machine, also in an empty container
)

// CalendarData defines a calendar: rules and dates, each with its source. A
// further exchange is one more value of this type.
//
// Dates are written 2001-09-11 and name the session date. Clocks are written
// 09:30 and mean local time on the session date; 17:00-1d is 17:00 on the day
// before it, 01:30+1d half past one on the day after.
type CalendarData struct {
	// Name is the market identifier code (ISO 10383).
	Name string
	// Zone is the IANA name of the zone of the clocks.
	Zone string
	// From and To are the dates that the tables below cover: From is the first,
	// To the one after the last.
	From, To string
	// Sessions are the weekly rules. No two may claim the same date.
	Sessions []SessionRule
	// Yearly are the dates that come back each year. Of several rows on one
	// date one that closes wins, then the later row.
	Yearly []YearlyChange
	// Dated are single dates and override Yearly; the later row wins.
	Dated []DatedChange
}

// SessionRule gives the sessions of some weekdays over a range of dates.
type SessionRule struct {
	// From and To bound the dates of the rule; To is the first date without
	// it. Empty stands for the bound of the calendar.
	From, To string
	// Days are the weekdays of the session dates.
	Days Weekdays
	// Open and Close are clocks. An overnight session opens on "17:00-1d".
	Open, Close string
	// Breaks are pauses, in order. A session whose hours are changed has those
	// that still lie inside its hours: one that closes at 12:30 has no break
	// from 12:00 to 13:00.
	Breaks []Break
	Source string
}

// Break is a pause inside a session, from a clock to a clock.
type Break struct{ From, To string }

// YearlyChange closes the market or changes its hours on one date each year.
type YearlyChange struct {
	Reason string // "Good Friday"
	On     DayRule
	// From and To are the first and the last year; 0 stands for no bound.
	From, To int
	// Open and Close are the changed clocks; one that is empty stays as usual.
	// If both are empty the market is closed.
	Open, Close string
	Source      string
}

// DatedChange closes the market, changes its hours or opens it on one date or
// on several that follow each other.
type DatedChange struct {
	// Date is the first date and To the last one; To may be empty.
	Date, To string
	// Open and Close are the changed clocks. If both are empty the market is
	// closed; if both are given it is open, on a day of rest too.
	Open, Close string
	Reason      string
	Notice      Notice
	Source      string
}

// Notice says how an exception came to be known.
type Notice uint8

// The kinds of notice.
const (
	Scheduled   Notice = iota // part of the calendar that the exchange publishes
	Announced                 // ad hoc, and announced before the session
	Unannounced               // ad hoc, and known only when the market did not open or stopped
)

// String returns the name of the notice.
func (n Notice) String() string {
	switch n {
	case Scheduled:
		return "scheduled"
	case Announced:
		return "announced"
	case Unannounced:
		return "unannounced"
	}
	return fmt.Sprintf("notice(%d)", uint8(n))
}

// Weekdays is a set of weekdays: bit time.Monday for Monday, and so on.
type Weekdays uint8

// MondayToFriday is the week of most exchanges.
const MondayToFriday Weekdays = 0b0111110

// WeekdaysOf is the set of days.
func WeekdaysOf(days ...time.Weekday) Weekdays {
	var w Weekdays
	for _, d := range days {
		w |= 1 << d
	}
	return w
}

// Has reports whether d is in the set.
func (w Weekdays) Has(d time.Weekday) bool { return w>>d&1 != 0 }

// DayRule finds one date in each year: a weekday of a month if Nth is set, a
// distance from Easter if Easter is, a fixed date else.
type DayRule struct {
	Month time.Month
	Day   int
	// Nth is the number of the weekday in the month, from 1; -1 is the last.
	Nth     int
	Weekday time.Weekday
	// Easter is Easter Sunday of the Gregorian calendar.
	Easter bool
	// Plus is a number of days added to the date found.
	Plus int
	// Observed moves a date that falls on a weekend.
	Observed Observance
	// Only limits the rule to years in which the date, moved or not, falls on
	// these weekdays; 0 stands for all.
	Only Weekdays
}

// Observance says on which day a holiday is kept that falls on a weekend.
type Observance uint8

// The rules of observance.
const (
	OnTheDay       Observance = iota // never moved
	SundayToMonday                   // Sunday to Monday, Saturday lost
	NearestWeekday                   // Saturday to Friday, Sunday to Monday
	NextMonday                       // both to Monday
	TwoDaysLater                     // Saturday to Monday, Sunday to Tuesday: the second of two holidays
	numObservances = int(iota)
)

// observed is the number of days that a date moves from Saturday and Sunday.
var observed = [numObservances]struct{ saturday, sunday int }{
	OnTheDay:       {0, 0},
	SundayToMonday: {0, 1},
	NearestWeekday: {-1, 1},
	NextMonday:     {2, 1},
	TwoDaysLater:   {2, 2},
}

// In returns midnight UTC of the date that the rule finds for a year, which
// may lie in the year before or after where it is observed, and whether it
// finds one.
func (r DayRule) In(year int) (Time, bool) {
	var d time.Time
	switch {
	case r.Easter:
		d = easter(year)
	case r.Nth > 0:
		d = time.Date(year, r.Month, 1, 0, 0, 0, 0, time.UTC)
		d = d.AddDate(0, 0, (int(r.Weekday)-int(d.Weekday())+7)%7+7*(r.Nth-1))
	case r.Nth < 0:
		d = time.Date(year, r.Month+1, 0, 0, 0, 0, 0, time.UTC)
		d = d.AddDate(0, 0, -(int(d.Weekday())-int(r.Weekday)+7)%7+7*(r.Nth+1))
	default:
		d = time.Date(year, r.Month, r.Day, 0, 0, 0, 0, time.UTC)
	}
	// A fifth Monday or a 29th of February that the year lacks is no date.
	if !r.Easter && d.Month() != r.Month {
		return 0, false
	}
	d = d.AddDate(0, 0, r.Plus)
	switch d.Weekday() {
	case time.Saturday:
		d = d.AddDate(0, 0, observed[r.Observed].saturday)
	case time.Sunday:
		d = d.AddDate(0, 0, observed[r.Observed].sunday)
	}
	return TimeOf(d), r.Only == 0 || r.Only.Has(d.Weekday())
}

func (r DayRule) check() error {
	switch {
	case int(r.Observed) >= numObservances:
		return fmt.Errorf("observance %d is unknown", r.Observed)
	case r.Easter:
		return nil
	case r.Month < time.January || r.Month > time.December:
		return fmt.Errorf("month %d is not 1 to 12", r.Month)
	case r.Nth == 0 && (r.Day < 1 || r.Day > 31):
		return fmt.Errorf("day %d is not 1 to 31", r.Day)
	case r.Nth < -5 || r.Nth > 5:
		return fmt.Errorf("weekday number %d is not -5 to 5", r.Nth)
	}
	return nil
}

// easter is Easter Sunday of a year: the Sunday after the paschal full moon,
// which the epact of the Gregorian reform gives. The epact is the age of the
// moon on 1 January; the full moon is its 14th day.
func easter(year int) time.Time {
	century := year/100 + 1
	golden := year%19 + 1             // place in the 19 years of the moon
	skipped := 3*century/4 - 12       // leap years dropped by the reform
	moon := (8*century+5)/25 - 5      // correction of the lunar cycle
	sunday := 5*year/4 - skipped - 10 // -sunday mod 7 is a Sunday of March
	epact := (11*golden + 50 + moon - skipped) % 30
	if epact == 25 && golden > 11 || epact == 24 {
		epact++
	}
	full := 44 - epact // of March
	if full < 21 {
		full += 30
	}
	return time.Date(year, time.March, full+7-(sunday+full)%7, 0, 0, 0, 0, time.UTC)
}

// clock is a local time of day in minutes after midnight of the session date;
// it may be negative or above 24 hours.
type clock int

func parseClock(s string) (clock, error) {
	day := 0
	body := s
	if n := len(s); n == 8 && s[n-1] == 'd' && (s[5] == '-' || s[5] == '+') && s[6] >= '0' && s[6] <= '9' {
		day = int(s[6] - '0')
		if s[5] == '-' {
			day = -day
		}
		body = s[:5]
	}
	if body == "24:00" {
		return clock((day + 1) * 24 * 60), nil
	}
	t, err := time.Parse("15:04", body)
	if err != nil || len(body) != 5 {
		return 0, fmt.Errorf("clock %q is not of the form 09:30 or 17:00-1d", s)
	}
	return clock(day*24*60 + t.Hour()*60 + t.Minute()), nil
}

// on is the instant of the clock on a session date in a zone. No exchange
// opens or closes in an hour that daylight saving skips or repeats; if one
// did, time.Date would choose.
func (c clock) on(date Time, zone *time.Location) Time {
	d := date.Std()
	return TimeOf(time.Date(d.Year(), d.Month(), d.Day(), 0, int(c), 0, 0, zone))
}

func parseDate(s string) (Time, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, fmt.Errorf("date %q is not of the form 2001-09-11", s)
	}
	return TimeOf(t), nil
}

// clone copies d so that the caller may change its slices.
func (d CalendarData) clone() CalendarData {
	d.Sessions = slices.Clone(d.Sessions)
	for i := range d.Sessions {
		d.Sessions[i].Breaks = slices.Clone(d.Sessions[i].Breaks)
	}
	d.Yearly = slices.Clone(d.Yearly)
	d.Dated = slices.Clone(d.Dated)
	return d
}
