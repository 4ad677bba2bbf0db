package series

import "time"

// Sources of the rows below.
const (
	// nyseRule fixes the holidays; it does not give the early closes.
	nyseRule = "NYSE Rule 7.2 (Holidays)"
	// mondayLaw put two holidays of the rule on Mondays from 1971.
	mondayLaw = "NYSE Rule 7.2 (Holidays); Uniform Monday Holiday Act, Public Law 90-363"
	// nyseHours gives hours, and the early closes of three years, each year anew.
	nyseHours = "NYSE, Holidays & Trading Hours, nyse.com/markets/hours-calendars"
	// nyseHistory lists closings that no rule gives.
	nyseHistory = "NYSE, Special Closings Since 1885"
	// nyseMourning is for days after the history ends.
	nyseMourning = "NYSE Group, announcement of the National Day of Mourning"
)

// xnys is the New York Stock Exchange: its core session, 09:30 to 16:00 since
// 1985-09-30. What stopped or delayed trading on the day itself (the snow of
// 1996-01-08, the breakers of 1997-10-27, the noon opening of 2002-09-11) is a
// halt, not a change of the calendar, and is not in the table, as it is not in
// that of exchange_calendars.
//
// The rows agree with the schedules that NYSE Group has announced up to 2027:
// the one for 2025 to 2027 on 2024-11-08, the one for 2026 to 2028 on
// 2025-12-23.
func xnys() CalendarData {
	return CalendarData{
		Name: "XNYS",
		Zone: "America/New_York",
		From: "1990-01-01",
		To:   "2028-01-01",
		Sessions: []SessionRule{
			{Days: MondayToFriday, Open: "09:30", Close: "16:00", Source: nyseHours},
		},
		Yearly: []YearlyChange{
			// A New Year's Day on a Saturday is lost: the Friday before closes the
			// books of the year.
			{Reason: "New Year's Day", On: DayRule{Month: time.January, Day: 1, Observed: SundayToMonday}, Source: nyseRule},
			{Reason: "Martin Luther King Jr. Day", On: DayRule{Month: time.January, Nth: 3, Weekday: time.Monday}, From: 1998, Source: nyseRule},
			{Reason: "Washington's Birthday", On: DayRule{Month: time.February, Nth: 3, Weekday: time.Monday}, Source: mondayLaw},
			{Reason: "Good Friday", On: DayRule{Easter: true, Plus: -2}, Source: nyseRule},
			{Reason: "Memorial Day", On: DayRule{Month: time.May, Nth: -1, Weekday: time.Monday}, Source: mondayLaw},
			{Reason: "Juneteenth", On: DayRule{Month: time.June, Day: 19, Observed: NearestWeekday}, From: 2022, Source: nyseRule},
			{Reason: "Independence Day", On: DayRule{Month: time.July, Day: 4, Observed: NearestWeekday}, Source: nyseRule},
			{Reason: "Labor Day", On: DayRule{Month: time.September, Nth: 1, Weekday: time.Monday}, Source: nyseRule},
			{Reason: "Thanksgiving Day", On: DayRule{Month: time.November, Nth: 4, Weekday: time.Thursday}, Source: nyseRule},
			{Reason: "Christmas Day", On: DayRule{Month: time.December, Day: 25, Observed: NearestWeekday}, Source: nyseRule},

			// Early closes moved from 14:00 to 13:00 in 1993. Where the date is a
			// holiday itself (a Friday before a Saturday holiday) it stays closed.
			{Reason: "day after Thanksgiving", On: DayRule{Month: time.November, Nth: 4, Weekday: time.Thursday, Plus: 1}, From: 1992, To: 1992, Close: "14:00", Source: nyseHours},
			{Reason: "day after Thanksgiving", On: DayRule{Month: time.November, Nth: 4, Weekday: time.Thursday, Plus: 1}, From: 1993, Close: "13:00", Source: nyseHours},
			{Reason: "Christmas Eve", On: DayRule{Month: time.December, Day: 24}, To: 1992, Close: "14:00", Source: nyseHours},
			{Reason: "Christmas Eve", On: DayRule{Month: time.December, Day: 24}, From: 1993, Close: "13:00", Source: nyseHours},
			// Until 2012 a Thursday 4 July made the Friday after it short; since
			// 2013 it is the Wednesday before.
			{Reason: "day before Independence Day", On: DayRule{Month: time.July, Day: 3, Only: WeekdaysOf(time.Monday, time.Tuesday, time.Thursday)}, From: 1995, Close: "13:00", Source: nyseHours},
			{Reason: "day before Independence Day", On: DayRule{Month: time.July, Day: 3, Only: WeekdaysOf(time.Wednesday)}, From: 2013, Close: "13:00", Source: nyseHours},
			{Reason: "day after Independence Day", On: DayRule{Month: time.July, Day: 5, Only: WeekdaysOf(time.Friday)}, From: 1995, To: 2012, Close: "13:00", Source: nyseHours},
		},
		Dated: []DatedChange{
			{Date: "1997-12-26", Close: "13:00", Reason: "day after Christmas", Source: nyseHistory},
			{Date: "1999-12-31", Close: "13:00", Reason: "eve of the year 2000", Source: nyseHistory},
			{Date: "2003-12-26", Close: "13:00", Reason: "day after Christmas", Source: nyseHistory},

			{Date: "1994-04-27", Reason: "funeral of Richard Nixon", Notice: Announced, Source: nyseHistory},
			{Date: "2001-09-11", Reason: "attacks on the World Trade Center", Notice: Unannounced, Source: nyseHistory},
			{Date: "2001-09-12", To: "2001-09-14", Reason: "attacks on the World Trade Center", Notice: Announced, Source: nyseHistory},
			{Date: "2004-06-11", Reason: "mourning for Ronald Reagan", Notice: Announced, Source: nyseHistory},
			{Date: "2007-01-02", Reason: "mourning for Gerald Ford", Notice: Announced, Source: nyseHistory},
			{Date: "2012-10-29", To: "2012-10-30", Reason: "hurricane Sandy", Notice: Announced, Source: nyseHistory},
			{Date: "2018-12-05", Reason: "mourning for George H. W. Bush", Notice: Announced, Source: nyseMourning},
			{Date: "2025-01-09", Reason: "mourning for Jimmy Carter", Notice: Announced, Source: nyseMourning},
		},
	}
}

// xnas is the Nasdaq Stock Market. It keeps the holidays and the hours of the
// New York Stock Exchange, the ad-hoc closures among them.
func xnas() CalendarData {
	d := xnys()
	d.Name = "XNAS"
	return d
}
