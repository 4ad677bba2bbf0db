package series_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/barkeepdb/barkeep/series"
)

// TestCalendarScripts runs testdata/calendar: months drawn as a wall calendar,
// lists of exceptions, questions about instants, expected slots.
func TestCalendarScripts(t *testing.T) {
	datadriven.RunTest(t, "testdata/calendar", func(t *testing.T, d *datadriven.TestData) string {
		var name, from, to, interval, month string
		d.ScanArgs(t, "calendar", &name)
		d.MaybeScanArgs(t, "from", &from)
		d.MaybeScanArgs(t, "to", &to)
		d.MaybeScanArgs(t, "interval", &interval)
		d.MaybeScanArgs(t, "month", &month)
		cal := exchange(t, name)
		var out strings.Builder
		switch d.Cmd {
		case "month":
			drawMonth(&out, cal, moment(month+"-01"))
		case "exceptions":
			for x := range cal.Exceptions(series.Span{From: moment(from), To: moment(to)}) {
				hours := "closed"
				if s, ok := cal.SessionOn(x.Date); ok {
					hours = local(t, cal, s.Open) + "-" + local(t, cal, s.Close)
				}
				fmt.Fprintf(&out, "%s %-11s %s (%s)\n", x.Date.Std().Format("2006-01-02 Mon"), hours, x.Reason, x.Notice)
			}
		case "sessions":
			for s := range cal.Sessions(series.Span{From: moment(from), To: moment(to)}) {
				fmt.Fprintf(&out, "%s %s", s.Date.Std().Format("2006-01-02 Mon"), s.Span())
				for _, b := range s.Breaks {
					fmt.Fprintf(&out, " break %s", b)
				}
				out.WriteByte('\n')
			}
		case "open":
			for line := range strings.Lines(d.Input) {
				at := moment(strings.TrimSpace(line))
				answer := "unknown"
				if open, known := cal.OpenAt(at); open {
					answer = "open"
				} else if known {
					answer = "closed"
				}
				fmt.Fprintf(&out, "%s %s", at, answer)
				if s, ok := cal.SessionOf(at); ok {
					fmt.Fprintf(&out, ", session of %s", s.Date.Std().Format(time.DateOnly))
				}
				if next, ok := cal.NextOpen(at); ok {
					fmt.Fprintf(&out, ", opens %s", next)
				}
				if last, ok := cal.PreviousClose(at); ok {
					fmt.Fprintf(&out, ", closed %s", last)
				}
				out.WriteByte('\n')
			}
		case "expected":
			g := grid(t, interval)
			runs := cal.AppendExpected(nil, g, g.Run(series.Span{From: moment(from), To: moment(to)}))
			for _, r := range runs {
				fmt.Fprintf(&out, "%s %d\n", g.Span(r), r.Len())
			}
			fmt.Fprintf(&out, "%d expected\n", series.Total(runs))
		default:
			t.Fatalf("command %s is unknown", d.Cmd)
		}
		return out.String()
	})
}

// drawMonth writes a wall calendar: the number of the day where there is a
// session, with - behind it if it is shorter than usual and + if it is extra;
// H for a holiday, X for an ad-hoc closure, a dot for a day of rest, ? for a
// day that the calendar does not reach.
func drawMonth(out *strings.Builder, cal *series.Calendar, first series.Time) {
	out.WriteString(" Mo  Tu  We  Th  Fr  Sa  Su\n")
	d := first.Std()
	var week strings.Builder
	week.WriteString(strings.Repeat("    ", (int(d.Weekday())+6)%7))
	for ; d.Month() == first.Std().Month(); d = d.AddDate(0, 0, 1) {
		date := series.TimeOf(d)
		var exception *series.Exception
		for x := range cal.Exceptions(series.Span{From: date, To: date + 1}) {
			exception = &x
		}
		_, session := cal.SessionOn(date)
		mark := "  . "
		switch {
		case !cal.Valid().Contains(date):
			mark = "  ? "
		case session && exception == nil:
			mark = fmt.Sprintf(" %2d ", d.Day())
		case session && (d.Weekday() == time.Saturday || d.Weekday() == time.Sunday):
			mark = fmt.Sprintf(" %2d+", d.Day())
		case session:
			mark = fmt.Sprintf(" %2d-", d.Day())
		case exception != nil && exception.Notice == series.Scheduled:
			mark = "  H "
		case exception != nil:
			mark = "  X "
		}
		week.WriteString(mark)
		if next := d.AddDate(0, 0, 1); d.Weekday() == time.Sunday || next.Month() != d.Month() {
			out.WriteString(strings.TrimRight(week.String(), " ") + "\n")
			week.Reset()
		}
	}
}

var zones = map[string]string{"XNYS": "America/New_York", "XNAS": "America/New_York", "lunch": "Asia/Tokyo", "night": "America/Chicago"}

// local is the clock of t in the zone of the calendar.
func local(t *testing.T, cal *series.Calendar, at series.Time) string {
	zone, err := time.LoadLocation(zones[cal.Name()])
	if err != nil {
		t.Fatal(err)
	}
	return at.Std().In(zone).Format("15:04")
}

// lunch has a break, Saturdays until 1989, a longer day since 2024-11-05, a
// morning session at the end of the year and one extra Sunday.
func lunch() series.CalendarData {
	return series.CalendarData{
		Name: "lunch", Zone: "Asia/Tokyo", From: "1988-01-01", To: "2026-01-01",
		Sessions: []series.SessionRule{
			{To: "1989-02-01", Days: series.WeekdaysOf(time.Saturday), Open: "09:00", Close: "11:00"},
			{To: "2024-11-05", Days: series.MondayToFriday, Open: "09:00", Close: "15:00", Breaks: []series.Break{{From: "11:30", To: "12:30"}}},
			{From: "2024-11-05", Days: series.MondayToFriday, Open: "09:00", Close: "15:30", Breaks: []series.Break{{From: "11:30", To: "12:30"}}},
		},
		Yearly: []series.YearlyChange{
			{Reason: "New Year", On: series.DayRule{Month: time.January, Day: 1, Move: [7]int8{time.Saturday: 2, time.Sunday: 1}}},
			{Reason: "last session", On: series.DayRule{Month: time.December, Day: 30}, Hours: series.Hours{Close: "11:30"}},
			{Reason: "first session", On: series.DayRule{Month: time.January, Day: 4}, Hours: series.Hours{Open: "10:00"}},
			{Reason: "Boxing Day", On: series.DayRule{Month: time.December, Day: 26, Move: [7]int8{time.Saturday: 2, time.Sunday: 2}}, From: 2020, To: 2022},
		},
		Dated: []series.DatedChange{
			{Date: "2020-10-01", Reason: "system failure", Notice: series.Unannounced},
			{Date: "2021-05-09", Hours: series.Hours{Open: "10:00", Close: "12:00"}, Reason: "test of the new system", Notice: series.Announced},
			{Date: "2021-05-10", To: "2021-05-11", Hours: series.Hours{Open: "12:00"}, Reason: "late openings", Notice: series.Announced},
			{Date: "2021-05-12", Hours: series.Hours{Close: "12:15"}, Reason: "early close inside the break", Notice: series.Announced},
		},
	}
}

// night opens on the evening before the session date and pauses for an hour;
// its Monday opens on Sunday.
func night() series.CalendarData {
	return series.CalendarData{
		Name: "night", Zone: "America/Chicago", From: "2020-01-01", To: "2025-01-01",
		Sessions: []series.SessionRule{
			{Days: series.MondayToFriday, Open: "17:00-1d", Close: "16:00", Breaks: []series.Break{{From: "02:00", To: "02:15"}, {From: "15:15", To: "15:30"}}},
		},
		Yearly: []series.YearlyChange{
			{Reason: "Christmas Day", On: series.DayRule{Month: time.December, Day: 25, Move: [7]int8{time.Saturday: -1, time.Sunday: 1}}},
			{Reason: "Thanksgiving Day", On: series.DayRule{Kind: series.NthWeekday, Month: time.November, Nth: 4, Weekday: time.Thursday}, Hours: series.Hours{Close: "12:00"}},
		},
	}
}

var tested = struct {
	lunch, night func() *series.Calendar
}{
	sync.OnceValue(func() *series.Calendar { return must(series.NewCalendar(lunch())) }),
	sync.OnceValue(func() *series.Calendar { return must(series.NewCalendar(night())) }),
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// exchange is a built-in calendar or one of the two above.
func exchange(t testing.TB, name string) *series.Calendar {
	t.Helper()
	switch name {
	case "lunch":
		return tested.lunch()
	case "night":
		return tested.night()
	}
	return calendar(t, name)
}

// TestXNYSCore holds days that somebody would notice, written by hand.
func TestXNYSCore(t *testing.T) {
	cal := calendar(t, "XNYS")
	for _, x := range []struct{ date, want string }{
		{"1990-01-01", "closed"},      // New Year
		{"1990-01-02", "09:30-16:00"}, // the first session
		{"1990-11-23", "09:30-16:00"}, // no short Friday yet
		{"1990-12-24", "09:30-14:00"}, // early closes were at two
		{"1992-11-27", "09:30-14:00"}, //
		{"1993-11-26", "09:30-13:00"}, // and at one since
		{"1993-12-24", "closed"},      // Christmas on a Saturday
		{"1993-12-31", "09:30-16:00"}, // New Year on a Saturday is lost
		{"1994-04-27", "closed"},      // Nixon
		{"1997-01-20", "09:30-16:00"}, // no Martin Luther King Day yet
		{"1998-01-19", "closed"},      // the first
		{"1996-07-05", "09:30-13:00"}, // Friday after a Thursday 4 July
		{"1996-07-03", "09:30-16:00"}, //
		{"1997-12-26", "09:30-13:00"}, //
		{"1999-12-31", "09:30-13:00"}, //
		{"2001-09-10", "09:30-16:00"}, //
		{"2001-09-11", "closed"},      //
		{"2001-09-14", "closed"},      //
		{"2001-09-17", "09:30-16:00"}, //
		{"2002-07-03", "09:30-16:00"}, //
		{"2002-07-05", "09:30-13:00"}, //
		{"2003-12-26", "09:30-13:00"}, //
		{"2004-06-11", "closed"},      // Reagan
		{"2007-01-02", "closed"},      // Ford
		{"2008-12-26", "09:30-16:00"}, // not short as in 2003
		{"2010-12-31", "09:30-16:00"}, //
		{"2011-01-03", "09:30-16:00"}, // New Year on a Saturday
		{"2012-01-02", "closed"},      // New Year on a Sunday
		{"2012-10-26", "09:30-16:00"}, //
		{"2012-10-29", "closed"},      // Sandy
		{"2012-10-30", "closed"},      //
		{"2012-10-31", "09:30-16:00"}, //
		{"2013-07-03", "09:30-13:00"}, // a Wednesday, short since 2013
		{"2013-07-05", "09:30-16:00"}, //
		{"2018-11-30", "09:30-16:00"}, // Bush died; the market mourned on
		{"2018-12-05", "closed"},      // this day
		{"2020-03-09", "09:30-16:00"}, // a halt does not change the session
		{"2021-06-18", "09:30-16:00"}, // Juneteenth became a law on the day before
		{"2022-06-20", "closed"},      // the first, on a Monday
		{"2024-07-03", "09:30-13:00"}, //
		{"2025-01-09", "closed"},      // Carter
		{"2026-07-03", "closed"},      // 4 July on a Saturday
		{"2027-06-18", "closed"},      // Juneteenth on a Saturday
		{"2027-12-24", "closed"},      // Christmas on a Saturday
		{"2027-12-31", "09:30-16:00"}, // the last session
	} {
		got := "closed"
		if s, ok := cal.SessionOn(moment(x.date)); ok {
			got = local(t, cal, s.Open) + "-" + local(t, cal, s.Close)
		}
		if got != x.want {
			t.Errorf("%s is %s, want %s", x.date, got, x.want)
		}
	}
	// Sessions a year, as the exchange counts them.
	for year, want := range map[int]int{1990: 253, 1996: 254, 2001: 248, 2012: 250, 2019: 252, 2020: 253, 2024: 252, 2025: 250, 2026: 251, 2027: 251} {
		n := 0
		for range cal.Sessions(yearOf(year)) {
			n++
		}
		if n != want {
			t.Errorf("%d has %d sessions, want %d", year, n, want)
		}
	}
}

func yearOf(year int) series.Span {
	start := func(y int) series.Time { return series.TimeOf(time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC)) }
	return series.Span{From: start(year), To: start(year + 1)}
}

func TestDayRule(t *testing.T) {
	for _, x := range []struct {
		rule series.DayRule
		year int
		want string
	}{
		{series.DayRule{Kind: series.NthWeekday, Month: time.January, Nth: 3, Weekday: time.Monday}, 2024, "2024-01-15"},
		{series.DayRule{Kind: series.NthWeekday, Month: time.January, Nth: 1, Weekday: time.Monday}, 2024, "2024-01-01"},
		{series.DayRule{Kind: series.NthWeekday, Month: time.May, Nth: -1, Weekday: time.Monday}, 2024, "2024-05-27"},
		{series.DayRule{Kind: series.NthWeekday, Month: time.May, Nth: -1, Weekday: time.Friday}, 2024, "2024-05-31"},
		{series.DayRule{Kind: series.NthWeekday, Month: time.May, Nth: -2, Weekday: time.Friday}, 2024, "2024-05-24"},
		{series.DayRule{Kind: series.NthWeekday, Month: time.December, Nth: -1, Weekday: time.Sunday}, 2024, "2024-12-29"},
		{series.DayRule{Kind: series.NthWeekday, Month: time.February, Nth: 5, Weekday: time.Thursday}, 2024, "2024-02-29"},
		{series.DayRule{Kind: series.NthWeekday, Month: time.February, Nth: 5, Weekday: time.Thursday}, 2023, ""},
		{series.DayRule{Kind: series.NthWeekday, Month: time.February, Nth: -5, Weekday: time.Thursday}, 2023, ""},
		{series.DayRule{Month: time.February, Day: 29}, 2023, ""},
		{series.DayRule{Month: time.February, Day: 29}, 2024, "2024-02-29"},
		{series.DayRule{Kind: series.NthWeekday, Month: time.November, Nth: 4, Weekday: time.Thursday, Plus: 1}, 2024, "2024-11-29"},
		{series.DayRule{Month: time.February, Day: 28, Plus: 2}, 2023, "2023-03-02"},
		{series.DayRule{Kind: series.Easter, Plus: -2}, 2024, "2024-03-29"},
		{series.DayRule{Kind: series.Easter, Plus: 1}, 2024, "2024-04-01"},
		// 2022-01-01 was a Saturday, 2023-01-01 a Sunday.
		{series.DayRule{Month: time.January, Day: 1}, 2022, "2022-01-01"},
		{series.DayRule{Month: time.January, Day: 1, Move: [7]int8{time.Sunday: 1}}, 2022, "2022-01-01"},
		{series.DayRule{Month: time.January, Day: 1, Move: [7]int8{time.Sunday: 1}}, 2023, "2023-01-02"},
		{series.DayRule{Month: time.January, Day: 1, Move: [7]int8{time.Saturday: -1, time.Sunday: 1}}, 2022, "2021-12-31"},
		{series.DayRule{Month: time.January, Day: 1, Move: [7]int8{time.Saturday: -1, time.Sunday: 1}}, 2023, "2023-01-02"},
		{series.DayRule{Month: time.January, Day: 1, Move: [7]int8{time.Saturday: 2, time.Sunday: 1}}, 2022, "2022-01-03"},
		{series.DayRule{Month: time.January, Day: 1, Move: [7]int8{time.Saturday: 2, time.Sunday: 2}}, 2022, "2022-01-03"},
		{series.DayRule{Month: time.January, Day: 1, Move: [7]int8{time.Saturday: 2, time.Sunday: 2}}, 2023, "2023-01-03"},
		{series.DayRule{Month: time.July, Day: 3, Only: series.WeekdaysOf(time.Wednesday)}, 2024, "2024-07-03"},
		{series.DayRule{Month: time.July, Day: 3, Only: series.WeekdaysOf(time.Wednesday)}, 2023, ""},
	} {
		got := ""
		if d, ok := x.rule.In(x.year); ok {
			got = d.Std().Format(time.DateOnly)
		}
		if got != x.want {
			t.Errorf("%+v in %d is %q, want %q", x.rule, x.year, got, x.want)
		}
	}
}

// TestEaster: dates from the tables that accompany the Gregorian reform, the
// earliest, the latest and the two exceptional kinds of year among them.
// TestMoonRules: dates of other calendars, as published: Hong Kong Observatory
// (Chinese calendar, Qingming), National Astronomical Observatory of Japan
// (equinoxes), tables of the Hebrew calendar and of Orthodox Easter.
func TestMoonRules(t *testing.T) {
	lunar := func(month time.Month, day int) series.DayRule {
		return series.DayRule{Kind: series.LunarDate, Month: month, Day: day}
	}
	hebrew := func(month time.Month, day int) series.DayRule {
		return series.DayRule{Kind: series.HebrewDate, Month: month, Day: day}
	}
	for _, x := range []struct {
		rule series.DayRule
		want string
	}{
		{lunar(1, 1), "1985-02-20"},
		{lunar(1, 1), "2000-02-05"},
		{lunar(1, 1), "2023-01-22"},
		{lunar(1, 1), "2024-02-10"},
		{lunar(1, 1), "2026-02-17"},
		{lunar(1, 1), "2034-02-19"},
		{lunar(5, 5), "2023-06-22"},
		{lunar(8, 15), "2020-10-01"},
		{lunar(8, 15), "2025-10-06"},
		{lunar(9, 9), "2014-10-02"},
		{lunar(12, 8), "2025-01-07"}, // of the lunar year 2024
		{series.DayRule{Kind: series.Qingming}, "2023-04-05"},
		{series.DayRule{Kind: series.Qingming}, "2024-04-04"},
		{series.DayRule{Kind: series.VernalEquinox}, "2024-03-20"},
		{series.DayRule{Kind: series.VernalEquinox}, "2023-03-21"},
		{series.DayRule{Kind: series.AutumnalEquinox}, "2012-09-22"},
		{series.DayRule{Kind: series.AutumnalEquinox}, "2023-09-23"},
		{series.DayRule{Kind: series.OrthodoxEaster}, "2024-05-05"},
		{series.DayRule{Kind: series.OrthodoxEaster}, "2021-05-02"},
		{series.DayRule{Kind: series.OrthodoxEaster}, "2014-04-20"},
		{hebrew(7, 1), "2024-10-03"},
		{hebrew(7, 10), "2023-09-25"},
		{hebrew(1, 15), "2024-04-23"},
		{hebrew(13, 14), "2024-03-24"},
		{hebrew(12, 14), "2023-03-07"},
		{hebrew(3, 6), "2025-06-02"},
		{hebrew(9, 25), "2024-12-26"},
	} {
		want := moment(x.want)
		if got, ok := x.rule.In(want.Std().Year()); !ok || got != want {
			t.Errorf("%+v is %s, %v, want %s", x.rule, got, ok, want)
		}
	}
	for _, r := range []series.DayRule{lunar(1, 1), {Kind: series.Qingming}, {Kind: series.VernalEquinox}} {
		if got, ok := r.In(1900); ok {
			t.Errorf("%+v is %s in 1900, which no table holds", r, got)
		}
	}
	if got, ok := hebrew(13, 14).In(2023); ok {
		t.Errorf("5783 has a month Adar II: %s", got)
	}
}

func TestEaster(t *testing.T) {
	for year, want := range map[int]string{
		1818: "03-22", 1886: "04-25", 1943: "04-25", 1954: "04-18", 1961: "04-02", 1981: "04-19",
		1990: "04-15", 1999: "04-04", 2000: "04-23", 2008: "03-23", 2011: "04-24", 2019: "04-21",
		2024: "03-31", 2025: "04-20", 2026: "04-05", 2027: "03-28", 2038: "04-25", 2049: "04-18",
		2076: "04-19", 2100: "03-28", 2285: "03-22",
	} {
		d, _ := series.DayRule{Kind: series.Easter}.In(year)
		if got := d.Std().Format("01-02"); got != want {
			t.Errorf("Easter %d is %s, want %s", year, got, want)
		}
	}
}

func TestNewCalendarRefuses(t *testing.T) {
	for _, x := range []struct {
		change func(*series.CalendarData)
		err    string
	}{
		{func(d *series.CalendarData) { d.Name = "" }, "no name"},
		{func(d *series.CalendarData) { d.Zone = "" }, "zone"},
		{func(d *series.CalendarData) { d.Zone = "Asia/Atlantis" }, "zone"},
		{func(d *series.CalendarData) { d.From = "1.1.1988" }, "date"},
		{func(d *series.CalendarData) { d.To = "1988-01-01" }, "before it starts"},
		{func(d *series.CalendarData) { d.Sessions, d.Dated = nil, nil }, "no session"},
		{func(d *series.CalendarData) { d.Sessions[1].From = "2023-02-29" }, "session rule 2: date"},
		{func(d *series.CalendarData) { d.Sessions[1].Open = "9:00" }, "session rule 2: clock"},
		{func(d *series.CalendarData) { d.Sessions[1].Open = "16:00" }, "before it opens"},
		{func(d *series.CalendarData) { d.Sessions[1].To = "" }, "two session rules"},
		{func(d *series.CalendarData) { d.Sessions[1].Breaks[0].To = "15:00" }, "break from 11:30"},
		{func(d *series.CalendarData) { d.Sessions[1].Breaks[0].From = "08:00" }, "break from 08:00"},
		{func(d *series.CalendarData) { d.Yearly[0].On.Month = 13 }, "yearly change 1 (New Year): month"},
		{func(d *series.CalendarData) { d.Yearly[0].On.Day = 0 }, "day 0"},
		{func(d *series.CalendarData) { d.Yearly[0].On.Kind, d.Yearly[0].On.Nth = series.NthWeekday, 6 }, "weekday number"},
		{func(d *series.CalendarData) { d.Yearly[0].On.Kind = 77 }, "day rule"},
		{func(d *series.CalendarData) { d.Yearly[1].Close = "25:00" }, "clock"},
		{func(d *series.CalendarData) { d.Yearly[1].Close = "08:30" }, "closes before it opens"},
		{func(d *series.CalendarData) { d.Dated[0].Date = "1987-10-19" }, "dated change 1 (system failure)"},
		{func(d *series.CalendarData) { d.Dated[2].To = "2021-05-01" }, "out of order"},
		{func(d *series.CalendarData) { d.Dated[1].Open = "noon" }, "clock"},
		{func(d *series.CalendarData) { d.Dated[1].Close = "12:30+1d" }, "before the session before"},
	} {
		d := lunch()
		x.change(&d)
		if _, err := series.NewCalendar(d); err == nil || !strings.Contains(err.Error(), x.err) {
			t.Errorf("want an error with %q, have %v", x.err, err)
		}
	}
}

// TestCalendarChangesAddUp: rows about one date, in the order of their weight.
func TestCalendarChangesAddUp(t *testing.T) {
	june := func(day int) series.DayRule { return series.DayRule{Month: time.June, Day: day} }
	d := series.CalendarData{
		Name: "sum", Zone: "Europe/London", From: "2024-01-01", To: "2025-01-01",
		Sessions: []series.SessionRule{{Days: series.MondayToFriday, Open: "08:00", Close: "16:30"}},
		Yearly: []series.YearlyChange{
			{Reason: "late", On: june(3), Hours: series.Hours{Open: "10:00"}},
			{Reason: "early", On: june(3), Hours: series.Hours{Close: "14:00"}},
			{Reason: "late", On: june(4), Hours: series.Hours{Open: "10:00"}},
			{Reason: "holiday", On: june(5)},
			{Reason: "early on a holiday", On: june(5), Hours: series.Hours{Close: "14:00"}},
			{Reason: "early", On: june(6), Hours: series.Hours{Close: "14:00"}},
			{Reason: "holiday after all", On: june(6)},
			{Reason: "holiday", On: june(7)},
			{Reason: "early", On: june(10), Hours: series.Hours{Close: "14:00"}},
			{Reason: "earlier", On: june(10), Hours: series.Hours{Close: "13:00"}},
			{Reason: "holiday on a Saturday", On: june(15)},
		},
		Dated: []series.DatedChange{
			{Date: "2024-06-04", Hours: series.Hours{Close: "13:00"}, Reason: "and early", Notice: series.Announced},
			{Date: "2024-06-05", Hours: series.Hours{Close: "13:00"}, Reason: "early on a holiday", Notice: series.Announced},
			{Date: "2024-06-07", Hours: series.Hours{Open: "09:00", Close: "13:00"}, Reason: "open on a holiday", Notice: series.Announced},
			{Date: "2024-06-11", Hours: series.Hours{Open: "09:00", Close: "13:00"}, Reason: "short", Notice: series.Announced},
			{Date: "2024-06-11", Reason: "no, closed", Notice: series.Unannounced},
			{Date: "2024-06-12", Hours: series.Hours{Open: "09:00"}, Reason: "late", Notice: series.Announced},
			{Date: "2024-06-12", Hours: series.Hours{Open: "11:00"}, Reason: "later", Notice: series.Announced},
			{Date: "2024-06-16", Hours: series.Hours{Open: "09:00"}, Reason: "half of an extra Sunday", Notice: series.Announced},
		},
	}
	cal := must(series.NewCalendar(d))
	reasons := make(map[series.Time]string)
	for x := range cal.Exceptions(yearOf(2024)) {
		reasons[x.Date] = x.Reason
	}
	for _, x := range []struct{ date, hours, reason string }{
		{"2024-06-03", "10:00-14:00", "early"},
		{"2024-06-04", "10:00-13:00", "and early"},
		{"2024-06-05", "closed", "holiday"},
		{"2024-06-06", "closed", "holiday after all"},
		{"2024-06-07", "09:00-13:00", "open on a holiday"},
		{"2024-06-10", "08:00-13:00", "earlier"},
		{"2024-06-11", "closed", "no, closed"},
		{"2024-06-12", "11:00-16:30", "later"},
		{"2024-06-13", "08:00-16:30", ""},
		{"2024-06-15", "closed", ""},
		{"2024-06-16", "closed", ""},
	} {
		hours := "closed"
		if s, ok := cal.SessionOn(moment(x.date)); ok {
			const summer = series.Hour
			hours = (s.Open + summer).Std().Format("15:04") + "-" + (s.Close + summer).Std().Format("15:04")
		}
		if hours != x.hours || reasons[moment(x.date)] != x.reason {
			t.Errorf("%s is %s for %q, want %s for %q", x.date, hours, reasons[moment(x.date)], x.hours, x.reason)
		}
	}
}

// TestCalendarByName builds every built-in calendar.
func TestCalendarByName(t *testing.T) {
	names := series.CalendarNames()
	if !slices.IsSorted(names) || !slices.Contains(names, "24x7") || !slices.Contains(names, "XNYS") {
		t.Errorf("names are %v", names)
	}
	for _, name := range names {
		c := calendar(t, name)
		if c.Name() != name || c.String() != name || c != calendar(t, name) {
			t.Errorf("%s is called %s, or is built twice", name, c.Name())
		}
		if c.Title() == "" || c.Zone() == "" {
			t.Errorf("%s has no title or no zone", name)
		}
		for _, alias := range c.Aliases() {
			if calendar(t, alias) != c {
				t.Errorf("%s is not %s", alias, name)
			}
		}
		for x := range c.Exceptions(c.Valid()) {
			if x.Reason == "" || x.Source == "" {
				t.Errorf("%s: %s has no reason or no source", name, x.Date)
			}
		}
	}
	for _, bad := range []string{"", "xnys", "XNOWHERE"} {
		if _, err := series.CalendarByName(bad); err == nil || !strings.Contains(err.Error(), "24x7") {
			t.Errorf("calendar %q: %v", bad, err)
		}
	}
}

func TestCalendarWith(t *testing.T) {
	cal := calendar(t, "XNYS")
	date := moment("2026-02-03")
	changed, err := cal.With(
		series.DatedChange{Date: "2026-02-03", Reason: "blizzard", Notice: series.Unannounced},
		series.DatedChange{Date: "2025-01-09", Hours: series.Hours{Open: "09:30", Close: "16:00"}, Reason: "open after all"},
	)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := changed.SessionOn(date); ok {
		t.Error("the added closure does not close")
	}
	if _, ok := changed.SessionOn(moment("2025-01-09")); !ok {
		t.Error("the added opening does not open")
	}
	if _, ok := cal.SessionOn(date); !ok {
		t.Error("the calendar itself changed")
	}
	if _, err := series.Always().With(); err == nil {
		t.Error("24x7 takes changes")
	}
	if _, err := cal.With(series.DatedChange{Date: "2050-01-01"}); err == nil {
		t.Error("a change outside the calendar is taken")
	}
}

func TestAlways(t *testing.T) {
	c := series.Always()
	if !c.AlwaysOpen() || calendar(t, "XNYS").AlwaysOpen() {
		t.Error("AlwaysOpen is wrong")
	}
	for at, want := range map[series.Time]bool{series.MinTime: true, 0: true, series.MaxTime: true, series.MinTime - 1: false, series.MaxTime + 1: false} {
		if open, known := c.OpenAt(at); open != want || known != want {
			t.Errorf("at %d it is open %v, known %v", int64(at), open, known)
		}
	}
	g := grid(t, "1M")
	all := c.AppendExpected(nil, g, series.Run{From: -1 << 60, To: 1 << 60})
	if len(all) != 1 || all[0] != g.Run(c.Valid()) || all[0].Len() != 12*9999 {
		t.Errorf("all months are %v", all)
	}
	days := 0
	for s := range c.Sessions(series.Span{From: -1, To: 2 * series.Day}) {
		if s.Span().Len() != int64(series.Day) || s.Date != s.Open {
			t.Errorf("day %v", s)
		}
		days++
	}
	if days != 3 {
		t.Errorf("%d days, want 3", days)
	}
	if s, ok := c.SessionOf(moment("2024-05-04T12:00:00Z")); !ok || s.Date != moment("2024-05-04") {
		t.Errorf("the day of noon is %v", s)
	}
	if _, ok := c.NextOpen(0); ok {
		t.Error("a market that never closes opens")
	}
}

// TestExpectedAgainstModel asks about every slot by itself.
func TestExpectedAgainstModel(t *testing.T) {
	calendars := []*series.Calendar{series.Always(), calendar(t, "XNYS"), exchange(t, "lunch"), exchange(t, "night")}
	rapid.Check(t, func(t *rapid.T) {
		cal := rapid.SampledFrom(calendars).Draw(t, "calendar")
		g := genGrid().Draw(t, "grid")
		center := rapid.OneOf(
			rapid.SampledFrom([]series.Time{cal.Valid().From, cal.Valid().To, moment("2020-03-09"), moment("2021-05-10"), moment("2021-12-26")}),
			rapid.Custom(func(t *rapid.T) series.Time {
				return yearOf(1990).From + series.Time(rapid.Int64Range(0, int64(38*365*series.Day)).Draw(t, "at"))
			}),
		).Draw(t, "center")
		center = min(max(center, series.MinTime+series.Day), series.MaxTime-400*series.Day)
		first := g.SlotAt(center) + series.Slot(rapid.Int64Range(-30, 30).Draw(t, "offset"))
		r := series.Run{From: first, To: first + series.Slot(rapid.Int64Range(0, 300).Draw(t, "slots"))}
		var want []series.Run
		for n := r.From; n < r.To; n++ {
			if expected(cal, g, n) {
				want = series.Join(want, series.Run{From: n, To: n + 1})
			}
		}
		before := series.Run{From: r.From - 9, To: r.From}
		got := cal.AppendExpected([]series.Run{before}, g, r)
		if got[0] != before || !slices.Equal(got[1:], want) {
			t.Fatalf("%s %v %v: %v, want %v", cal, g, g.Span(r), got[1:], want)
		}
	})
}

// expected says of one slot what AppendExpected says of many.
func expected(cal *series.Calendar, g series.Grid, n series.Slot) bool {
	open, end := g.Time(n), g.Time(n+1)
	if !cal.Valid().Contains(open) {
		return false
	}
	if !g.Interval.Intraday() {
		for d := dayStart(open); d < dayStart(end); d += series.Day {
			if _, ok := cal.SessionOn(d); ok {
				return true
			}
		}
		return false
	}
	for s := range cal.Sessions(series.Span{From: open - series.Day, To: end + series.Day}) {
		overlap := []series.Span{s.Span().Intersect(series.Span{From: open, To: end})}
		if overlap[0].Empty() {
			continue
		}
		if len(series.Subtract(nil, overlap, s.Breaks)) > 0 {
			return true
		}
	}
	return cal.AlwaysOpen()
}

// TestCalendarQuestions compares the quick answers with a walk over sessions.
func TestCalendarQuestions(t *testing.T) {
	calendars := []*series.Calendar{calendar(t, "XNYS"), exchange(t, "lunch"), exchange(t, "night")}
	rapid.Check(t, func(t *rapid.T) {
		cal := rapid.SampledFrom(calendars).Draw(t, "calendar")
		v := cal.Valid()
		at := series.Time(rapid.Int64Range(int64(v.From-series.Day), int64(v.To+series.Day)).Draw(t, "at"))
		if rapid.Bool().Draw(t, "at an edge") {
			if next, ok := cal.NextOpen(at); ok {
				s, _ := cal.SessionOf(next)
				at = rapid.SampledFrom([]series.Time{s.Open, s.Open - 1, s.Close, s.Close - 1}).Draw(t, "edge")
			}
		}
		near := series.Span{From: at - 20*series.Day, To: at + 20*series.Day}
		var of, next, last *series.Session
		for s := range cal.Sessions(near) {
			switch {
			case s.Span().Contains(at):
				of = &s
			case s.Open > at && next == nil:
				next = &s
			case s.Close <= at:
				last = &s
			}
		}
		open := of != nil && v.Contains(at)
		if of != nil {
			for _, b := range of.Breaks {
				open = open && !b.Contains(at)
			}
		}
		if gotOpen, known := cal.OpenAt(at); gotOpen != open || known != v.Contains(at) {
			t.Fatalf("%s at %s: open %v, known %v", cal, at, gotOpen, known)
		}
		if s, ok := cal.SessionOf(at); ok != (of != nil) || ok && s.Open != of.Open {
			t.Fatalf("%s at %s: session %v, %v", cal, at, s, ok)
		}
		if got, ok := cal.NextOpen(at); ok && (next == nil || got != next.Open) || !ok && next != nil && v.Contains(at) {
			t.Fatalf("%s at %s: opens %s, %v", cal, at, got, ok)
		}
		open0 := (*series.Session)(nil) // the last one that opened
		shut := (*series.Session)(nil)  // the first one that closes
		for s := range cal.Sessions(near) {
			if s.Open <= at {
				open0 = &s
			}
			if s.Close > at && shut == nil {
				shut = &s
			}
		}
		if got, ok := cal.PreviousOpen(at); ok && (open0 == nil || got != open0.Open) || !ok && open0 != nil && v.Contains(at) {
			t.Fatalf("%s at %s: opened %s, %v", cal, at, got, ok)
		}
		if got, ok := cal.NextClose(at); ok && (shut == nil || got != shut.Close) || !ok && shut != nil && v.Contains(at) {
			t.Fatalf("%s at %s: closes %s, %v", cal, at, got, ok)
		}
		if got, ok := cal.PreviousClose(at); ok && (last == nil || got != last.Close) || !ok && last != nil && v.Contains(at) {
			t.Fatalf("%s at %s: closed %s, %v", cal, at, got, ok)
		}
	})
}

func TestCalendarAllocatesNothing(t *testing.T) {
	cal := calendar(t, "XNYS")
	at := moment("2020-03-09T15:00:00Z")
	dst := make([]series.Run, 0, 10_000)
	for _, i := range series.Intervals() {
		g := series.Grid{Interval: i}
		r := g.Run(cal.Valid())
		if n := testing.AllocsPerRun(3, func() { dst = cal.AppendExpected(dst[:0], g, r) }); n != 0 {
			t.Errorf("expected slots of %s cost %v allocations", i, n)
		}
	}
	if n := testing.AllocsPerRun(10, func() {
		cal.NextClose(at)
		cal.PreviousOpen(at)
		cal.AddSessions(at, -250)
		cal.SessionCount(cal.Valid())
		cal.OpenTime(series.Span{From: at, To: at + 9*series.Day})
		cal.OpenAt(at)
		cal.SessionOf(at)
		cal.SessionOn(at)
		cal.NextOpen(at)
		cal.PreviousClose(at)
	}); n != 0 {
		t.Errorf("questions cost %v allocations", n)
	}
}

// TestSessionArithmetic walks sessions one by one and compares.
func TestSessionArithmetic(t *testing.T) {
	for _, cal := range []*series.Calendar{calendar(t, "XNYS"), exchange(t, "lunch"), exchange(t, "night"), series.Always()} {
		span := yearOf(2021)
		var dates []series.Time
		var open series.Time
		for s := range cal.Sessions(series.Span{From: span.From - 3*series.Day, To: span.To + 3*series.Day}) {
			if span.Contains(s.Date) {
				dates = append(dates, s.Date)
				length := s.Close - s.Open
				for _, b := range s.Breaks {
					length -= b.To - b.From
				}
				if got := cal.OpenTime(s.Span()); got != length {
					t.Errorf("%s: session %s is open for %d ms, want %d", cal, s.Date, got, length)
				}
				open += length
			}
		}
		if n := cal.SessionCount(span); n != len(dates) {
			t.Errorf("%s has %d sessions in 2021, want %d", cal, n, len(dates))
		}
		for i, d := range dates {
			for _, n := range []int{-i, 0, len(dates) - 1 - i} {
				if s, ok := cal.AddSessions(d+5*series.Hour, n); !ok || s.Date != dates[i+n] {
					t.Fatalf("%s: %d sessions from %s is %s, %v; want %s", cal, n, d, s.Date, ok, dates[i+n])
				}
			}
			if i == 0 || dates[i-1]+series.Day == d {
				continue
			}
			rest := d - series.Day // a date without a session
			if _, ok := cal.AddSessions(rest, 0); ok {
				t.Errorf("%s has a session on %s", cal, rest)
			}
			if s, _ := cal.AddSessions(rest, 1); s.Date != d {
				t.Errorf("%s: the session after %s is %s", cal, rest, s.Date)
			}
			if s, _ := cal.AddSessions(rest, -1); s.Date != dates[i-1] {
				t.Errorf("%s: the session before %s is %s", cal, rest, s.Date)
			}
		}
		if cal.AlwaysOpen() {
			continue
		}
		v := cal.Valid()
		for _, n := range []int{1, 0, -1} {
			if s, ok := cal.AddSessions(v.To+3*series.Day, n); ok {
				t.Errorf("%s knows the session %s from a date beyond it", cal, s.Date)
			}
		}
		if _, ok := cal.AddSessions(v.To-series.Day, 30); ok {
			t.Errorf("%s knows sessions beyond its end", cal)
		}
	}
}
