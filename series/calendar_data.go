package series

import (
	"fmt"
	"slices"
	"time"
)

// CalendarData defines a calendar: rules and dates, each with its source. It is
// what a calendar file holds; see [ReadCalendar].
//
// Dates are written 2001-09-11 and name the session date. Clocks are written
// 09:30 and mean local time on the session date; 17:00-1d is 17:00 on the day
// before it, 01:30+1d half past one on the day after.
type CalendarData struct {
	// Name is the market identifier code (ISO 10383), or another name.
	Name    string
	Title   string   // for a person
	Aliases []string // further names
	// Zone is the IANA name of the zone of the clocks.
	Zone string
	// Always is set for a market that never closes but for Pauses. It has no
	// sessions; From and To may be empty, which stands for all time.
	Always bool
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
	// Pauses are stretches in which the market was shut inside its hours.
	Pauses []Pause
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

// Hours are the changed hours of a date. If both clocks are empty the market
// is closed; one that is empty stays as usual.
type Hours struct {
	Open, Close string
	// Breaks, if not nil, replace those of the session rule.
	Breaks []Break
}

// YearlyChange closes the market or changes its hours on one date each year.
type YearlyChange struct {
	Reason string // "Good Friday"
	On     DayRule
	// From and To are the first and the last year; 0 stands for no bound.
	From, To int
	Except   []int // years without it
	Hours
	Source string
}

// DatedChange closes the market, changes its hours or opens it on one date or
// on several that follow each other.
type DatedChange struct {
	// Date is the first date and To the last one; To may be empty.
	Date, To string
	// Hours with both clocks open the market, on a day of rest too.
	Hours
	Reason    string
	Notice    Notice
	Announced string // the date on which it became known; may be empty
	Source    string
}

// Pause is a stretch of time in which the market was shut.
type Pause struct {
	From, To  string // RFC 3339; To is the first moment after it
	Reason    string
	Notice    Notice
	Announced string
	Source    string
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

// clock is a local time of day in seconds after midnight of the session date;
// it may be negative or above 24 hours.
type clock int

func parseClock(s string) (clock, error) {
	day, body := 0, s
	if n := len(s) - 3; n > 0 && s[n+2] == 'd' && (s[n] == '-' || s[n] == '+') && s[n+1] >= '0' && s[n+1] <= '9' {
		day, body = int(s[n+1]-'0'), s[:n]
		if s[n] == '-' {
			day = -day
		}
	}
	if body == "24:00" {
		return clock((day + 1) * 86400), nil
	}
	layout := "15:04"
	if len(body) == len("15:04:05") {
		layout = "15:04:05"
	}
	t, err := time.Parse(layout, body)
	if err != nil || len(body) != len(layout) {
		return 0, fmt.Errorf("clock %q is not of the form 09:30 or 17:00-1d", s)
	}
	return clock(day*86400 + t.Hour()*3600 + t.Minute()*60 + t.Second()), nil
}

// on is the instant of the clock on a session date in a zone. No exchange
// opens or closes in an hour that daylight saving skips or repeats; if one
// did, time.Date would choose.
func (c clock) on(date Time, zone *time.Location) Time {
	d := date.Std()
	return TimeOf(time.Date(d.Year(), d.Month(), d.Day(), 0, 0, int(c), 0, zone))
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
	d.Pauses = slices.Clone(d.Pauses)
	return d
}
