package series

import "time"

// The calendars of moon and sun that exchanges take holidays from.

// lunarYear describes one year of the Chinese calendar.
type lunarYear struct {
	start    uint16 // Gregorian date of its first day: 100 * month + day
	leap     uint8  // the month that is repeated; 0 is none
	months   uint16 // bit i is set if month i, the leap month counted, has 30 days
	qingming uint8  // day of April of the solar term Qingming
}

const firstLunarYear = 1980

// The years from 1980 on, as in the Gregorian-Lunar Calendar Conversion Tables
// of the Hong Kong Observatory, which follow the standard GB/T 33661-2017.
var lunarYears = [...]lunarYear{
	{216, 0, 0x0da9, 4},
	{205, 0, 0x0d92, 5},
	{125, 4, 0x1d25, 5},
	{213, 0, 0x0d25, 5},
	{202, 10, 0x1a4d, 4},
	{220, 0, 0x0a56, 5},
	{209, 0, 0x02b6, 5},
	{129, 6, 0x05b5, 5},
	{217, 0, 0x06d5, 4},
	{206, 0, 0x0ea9, 5},
	{127, 5, 0x1e92, 5},
	{215, 0, 0x0e92, 5},
	{204, 0, 0x0d26, 4},
	{123, 3, 0x0a56, 5},
	{210, 0, 0x0a57, 5},
	{131, 8, 0x14d6, 5},
	{219, 0, 0x035a, 4},
	{207, 0, 0x06d5, 5},
	{128, 5, 0x16c9, 5},
	{216, 0, 0x0749, 5},
	{205, 0, 0x0693, 4},
	{124, 4, 0x152b, 5},
	{212, 0, 0x052b, 5},
	{201, 0, 0x0a5b, 5},
	{122, 2, 0x155a, 4},
	{209, 0, 0x056a, 5},
	{129, 7, 0x1b55, 5},
	{218, 0, 0x0ba4, 5},
	{207, 0, 0x0b49, 4},
	{126, 5, 0x1a93, 4},
	{214, 0, 0x0a95, 5},
	{203, 0, 0x052d, 5},
	{123, 4, 0x0aad, 4},
	{210, 0, 0x0ab5, 4},
	{131, 9, 0x15aa, 5},
	{219, 0, 0x05d2, 5},
	{208, 0, 0x0da5, 4},
	{128, 6, 0x1d4a, 4},
	{216, 0, 0x0d4a, 5},
	{205, 0, 0x0c95, 5},
	{125, 4, 0x152e, 4},
	{212, 0, 0x0556, 4},
	{201, 0, 0x0ab5, 5},
	{122, 2, 0x15b2, 5},
	{210, 0, 0x06d2, 4},
	{129, 6, 0x0ea5, 4},
	{217, 0, 0x0725, 5},
	{206, 0, 0x064b, 5},
	{126, 5, 0x0c97, 4},
	{213, 0, 0x0cab, 4},
	{203, 0, 0x055a, 5},
	{123, 3, 0x0ad6, 5},
	{211, 0, 0x0b69, 4},
	{131, 11, 0x1752, 4},
	{219, 0, 0x0b52, 5},
	{208, 0, 0x0b25, 5},
	{128, 6, 0x1a4b, 4},
	{215, 0, 0x0a4b, 4},
	{204, 0, 0x04ab, 5},
	{124, 5, 0x055b, 5},
	{212, 0, 0x05ad, 4},
	{201, 0, 0x0b6a, 4},
	{122, 2, 0x1b52, 4},
	{210, 0, 0x0d92, 5},
	{130, 7, 0x1d25, 4},
	{217, 0, 0x0d25, 4},
	{206, 0, 0x0a55, 4},
	{126, 5, 0x14ad, 5},
	{214, 0, 0x04b6, 4},
	{202, 0, 0x05b5, 4},
	{123, 3, 0x0daa, 4},
	{211, 0, 0x0ec9, 5},
	{201, 8, 0x1e92, 4},
	{219, 0, 0x0e92, 4},
	{208, 0, 0x0d26, 4},
	{128, 6, 0x0a56, 5},
	{215, 0, 0x0a57, 4},
	{204, 0, 0x0556, 4},
	{124, 4, 0x06d5, 4},
	{212, 0, 0x0755, 5},
	{202, 0, 0x0749, 4},
}

// lunarDate is the date of a month and day of the Chinese calendar in a
// Gregorian year.
func lunarDate(year, month, day int) (time.Time, bool) {
	// The last months of a lunar year reach into the next Gregorian one.
	for _, y := range [...]int{year - 1, year} {
		if d, ok := lunarDay(y, month, day); ok && d.Year() == year {
			return d, true
		}
	}
	return time.Time{}, false
}

func lunarDay(year, month, day int) (time.Time, bool) {
	i := year - firstLunarYear
	if i < 0 || i >= len(lunarYears) {
		return time.Time{}, false
	}
	y := lunarYears[i]
	length := func(n int) int { return 29 + int(y.months>>n&1) }
	at := month - 1
	if y.leap != 0 && month > int(y.leap) {
		at++
	}
	if day > length(at) {
		return time.Time{}, false
	}
	days := day - 1
	for n := range at {
		days += length(n)
	}
	return time.Date(year, time.Month(y.start/100), int(y.start%100)+days, 0, 0, 0, 0, time.UTC), true
}

func qingming(year int) (time.Time, bool) {
	i := year - firstLunarYear
	if i < 0 || i >= len(lunarYears) {
		return time.Time{}, false
	}
	return time.Date(year, time.April, int(lunarYears[i].qingming), 0, 0, 0, 0, time.UTC), true
}

// hebrewDate is the date of a month, Nisan being 1, and day of the Hebrew
// calendar in a Gregorian year.
func hebrewDate(year, month, day int) (time.Time, bool) {
	// Tishri, the first month of the Hebrew year 3761 + n, is in the autumn of
	// the Gregorian year n.
	for _, y := range [...]int{year + 3760, year + 3761} {
		if d, ok := hebrewDay(y, month, day); ok && d.Year() == year {
			return d, true
		}
	}
	return time.Time{}, false
}

func hebrewDay(year, month, day int) (time.Time, bool) {
	start, length := hebrewNewYear(year), hebrewNewYear(year+1)-hebrewNewYear(year)
	leap := hebrewLeap(year)
	// Months from Tishri on, which is number 7; Adar II is 13, and 12 is Adar or
	// Adar I.
	months := []int{7, 8, 9, 10, 11, 12}
	if leap {
		months = append(months, 13)
	}
	months = append(months, 1, 2, 3, 4, 5, 6)
	for _, m := range months {
		n := 29
		switch m {
		case 7, 11, 1, 3, 5:
			n = 30
		case 8: // Heshvan is long in a year of 355 or 385 days
			if length%10 == 5 {
				n = 30
			}
		case 9: // Kislev is short in a year of 353 or 383 days
			if length%10 != 3 {
				n = 30
			}
		case 12:
			if leap {
				n = 30
			}
		}
		if m == month {
			return time.Unix(0, 0).UTC().AddDate(0, 0, start+day-1-hebrewEpoch), day <= n
		}
		start += n
	}
	return time.Time{}, false
}

// hebrewEpoch is the number of days from the epoch of the Hebrew calendar to
// 1970-01-01.
const hebrewEpoch = 2092590

func hebrewLeap(year int) bool { return (7*year+1)%19 < 7 }

// hebrewNewYear is the day of 1 Tishri, counted from the epoch of the calendar:
// the day of the mean new moon, put off by the rules of postponement. Two of
// them only keep years from having 356 or 382 days.
func hebrewNewYear(year int) int {
	before, day, after := hebrewMoon(year-1), hebrewMoon(year), hebrewMoon(year+1)
	switch {
	case after-day == 356:
		return day + 2
	case day-before == 382:
		return day + 1
	}
	return day
}

// hebrewMoon is the day of 1 Tishri but for the length of the year.
func hebrewMoon(year int) int {
	months := (235*year - 234) / 19 // before this year
	parts := 12084 + 13753*months   // 1080 to the hour; a month has 29 d 12 h 793 p
	day := 29*months + parts/25920
	if 3*(day+1)%7 < 3 { // never on a Sunday, Wednesday or Friday
		day++
	}
	return day
}
