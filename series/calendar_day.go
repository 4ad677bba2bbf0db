package series

import (
	"fmt"
	"time"
)

// DayRule finds one date in each year.
type DayRule struct {
	Kind DayKind
	// Month and Day are those of the calendar that Kind names.
	Month time.Month
	Day   int
	// Weekday is the one looked for; Nth is its number in the month, from 1, -1
	// is the last.
	Weekday time.Weekday
	Nth     int
	// Plus is a number of days added to the date found.
	Plus int
	// Move is how many days the date then moves, by the weekday on which it
	// falls: Move[time.Sunday] = 1 keeps a Sunday on the Monday after.
	Move [7]int8
	// Only limits the rule to years in which the date, moved or not, falls on
	// these weekdays; 0 stands for all.
	Only Weekdays
}

// DayKind is the way in which a DayRule finds its date.
type DayKind uint8

// The kinds of day rules.
const (
	FixedDate         DayKind = iota // Month and Day
	NthWeekday                       // the Nth Weekday of Month
	WeekdayOnOrBefore                // Weekday on or before Month and Day
	WeekdayOnOrAfter                 // Weekday on or after Month and Day
	Easter                           // Easter Sunday of the Western churches
	OrthodoxEaster                   // Easter Sunday of the Orthodox churches
	LunarDate                        // Month and Day of the Chinese calendar, leap months left out
	Qingming                         // the solar term of early April, in China
	VernalEquinox                    // Vernal Equinox Day of Japan
	AutumnalEquinox                  // Autumnal Equinox Day of Japan
	HebrewDate                       // Month, Nisan being 1, and Day of the Hebrew calendar
	numDayKinds
)

// In returns midnight UTC of the date that the rule finds for a year, which
// may lie in the year before or after once it is moved, and whether it finds
// one. The Chinese calendar is known from 1980 to 2060.
func (r DayRule) In(year int) (Time, bool) {
	d, ok := r.find(year)
	if !ok {
		return 0, false
	}
	d = d.AddDate(0, 0, r.Plus)
	d = d.AddDate(0, 0, int(r.Move[d.Weekday()]))
	return TimeOf(d), r.Only == 0 || r.Only.Has(d.Weekday())
}

func (r DayRule) find(year int) (time.Time, bool) {
	switch r.Kind {
	case NthWeekday:
		return r.nth(year)
	case WeekdayOnOrBefore:
		d, ok := gregorian(year, r.Month, r.Day)
		return d.AddDate(0, 0, -(int(d.Weekday())-int(r.Weekday)+7)%7), ok
	case WeekdayOnOrAfter:
		d, ok := gregorian(year, r.Month, r.Day)
		return d.AddDate(0, 0, (int(r.Weekday)-int(d.Weekday())+7)%7), ok
	case Easter:
		return easter(year), true
	case OrthodoxEaster:
		return orthodoxEaster(year), true
	case LunarDate:
		return lunarDate(year, int(r.Month), r.Day)
	case Qingming:
		return qingming(year)
	case VernalEquinox:
		return equinox(year, time.March)
	case AutumnalEquinox:
		return equinox(year, time.September)
	case HebrewDate:
		return hebrewDate(year, int(r.Month), r.Day)
	}
	return gregorian(year, r.Month, r.Day)
}

// gregorian is a date, unless the year lacks it: a 29th of February.
func gregorian(year int, month time.Month, day int) (time.Time, bool) {
	d := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	return d, d.Month() == month
}

func (r DayRule) nth(year int) (time.Time, bool) {
	var d time.Time
	if r.Nth > 0 {
		d = time.Date(year, r.Month, 1, 0, 0, 0, 0, time.UTC)
		d = d.AddDate(0, 0, (int(r.Weekday)-int(d.Weekday())+7)%7+7*(r.Nth-1))
	} else {
		d = time.Date(year, r.Month+1, 0, 0, 0, 0, 0, time.UTC)
		d = d.AddDate(0, 0, -(int(d.Weekday())-int(r.Weekday)+7)%7+7*(r.Nth+1))
	}
	return d, d.Month() == r.Month // there may be no fifth Monday
}

func (r DayRule) check() error {
	months, days := time.Month(12), 31
	switch r.Kind {
	case Easter, OrthodoxEaster, Qingming, VernalEquinox, AutumnalEquinox:
		return nil
	case NthWeekday:
		if r.Nth < -5 || r.Nth == 0 || r.Nth > 5 {
			return fmt.Errorf("weekday number %d is not 1 to 5 or -5 to -1", r.Nth)
		}
		days = 0
	case LunarDate:
		days = 30
	case HebrewDate:
		months, days = 13, 30
	case FixedDate, WeekdayOnOrBefore, WeekdayOnOrAfter:
	default:
		return fmt.Errorf("day rule %d is unknown", r.Kind)
	}
	if r.Month < 1 || r.Month > months {
		return fmt.Errorf("month %d is not 1 to %d", r.Month, months)
	}
	if days > 0 && (r.Day < 1 || r.Day > days) {
		return fmt.Errorf("day %d is not 1 to %d", r.Day, days)
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

// orthodoxEaster is the Sunday after the paschal full moon of the Julian
// calendar, which is 13 days behind in the years 1900 to 2099.
func orthodoxEaster(year int) time.Time {
	full := 21 + (19*(year%19)+15)%30 // of March, Julian
	d := time.Date(year, time.March, full+13, 0, 0, 0, 0, time.UTC)
	return d.AddDate(0, 0, 7-int(d.Weekday()))
}

// equinox is the day that the Japanese law calls the vernal or the autumnal
// equinox. The formula is that of Nagasawa (Hydrographic Department of Japan)
// for 1980 to 2099; the official dates are those of the gazette.
func equinox(year int, month time.Month) (time.Time, bool) {
	base := 20.8431
	if month == time.September {
		base = 23.2488
	}
	if year < 1980 || year > 2099 {
		return time.Time{}, false
	}
	n := year - 1980
	return gregorian(year, month, int(base+0.242194*float64(n))-n/4)
}
