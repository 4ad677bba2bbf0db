package barfile

import (
	"bytes"
	"math"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// dateOrder is the order of day, month and year where the year is not first.
type dateOrder uint8

const (
	orderUnknown dateOrder = iota
	monthFirst
	dayFirst
)

// wall is what a text says about time, before any zone is applied.
type wall struct {
	days     int64 // since 1970-01-01
	ms       int64 // since midnight
	clock    bool  // a clock time was written
	zoned    bool  // an offset was written
	offset   int64 // of local time to UTC, in milliseconds
	a, b     int   // the first two numbers where the year is not first
	yearLast bool
}

func (w wall) local() int64 { return w.days*int64(series.Day) + w.ms }

// parseWall reads a date, or a date and a clock time, as people write them:
//
//	2024-01-31  2024/1/31  2024.01.31  20240131  1/31/2024  31.01.24
//	31-Jan-2024  Jan 31, 2024  Wed Jan 31 2024
//
// followed by a space, T or nothing and
//
//	15:04  15:04:05.123  150405  3-PM  3:04 PM  Z  +01:00  -0500  UTC
func parseWall(b []byte, order dateOrder) (wall, bool) {
	var w wall
	b = bytes.TrimSpace(b)
	if len(b) < 6 || len(b) > 48 {
		return w, false
	}
	n, digits := leadingNumber(b)
	rest := b[digits:]
	switch {
	case digits == 8 || digits == 12 || digits == 14:
		d := n
		for range digits - 8 {
			d /= 10
		}
		if !w.setDate(d/10000, d/100%100, d%100) || d/10000 < 1800 || d/10000 > 2199 {
			return w, false
		}
		if digits > 8 {
			if len(rest) > 0 && digits == 12 {
				return w, false
			}
			rest = b[8:]
		}
	case digits == 4 && len(rest) > 1 && isDateSep(rest[0]):
		m, k := leadingNumber(rest[1:])
		if k == 0 || k > 2 || len(rest) < 3+k || rest[1+k] != rest[0] {
			return w, false
		}
		d, l := leadingNumber(rest[2+k:])
		if l == 0 || l > 2 || !w.setDate(n, m, d) {
			return w, false
		}
		rest = rest[2+k+l:]
	case (digits == 1 || digits == 2) && len(rest) > 1 && isDateSep(rest[0]) && isDigit(rest[1]):
		m, k := leadingNumber(rest[1:])
		if k == 0 || k > 2 || len(rest) < 3+k || rest[1+k] != rest[0] {
			return w, false
		}
		y, l := leadingNumber(rest[2+k:])
		if l == 2 {
			y = shortYear(y)
		} else if l != 4 {
			return w, false
		}
		w.a, w.b, w.yearLast = n, m, true
		if order == dayFirst || order == orderUnknown && n > 12 {
			n, m = m, n
		}
		if !w.setDate(y, n, m) {
			return w, false
		}
		rest = rest[2+k+l:]
	default:
		var ok bool
		if rest, ok = w.parseNamedMonth(b); !ok {
			return w, false
		}
	}
	if len(rest) == 0 {
		return w, true
	}
	if c := rest[0]; c == ' ' || c == 'T' || c == 't' || c == '_' || c == '-' || c == ',' || c == ':' || c == ';' {
		rest = bytes.TrimLeft(rest[1:], " ")
	} else if !isDigit(c) {
		return w, false
	}
	return w, w.parseClock(rest)
}

// parseNamedMonth reads 31-Jan-2024, 31 Jan 24, Jan 31, 2024 and the same with
// the day of the week before it.
func (w *wall) parseNamedMonth(b []byte) ([]byte, bool) {
	var day, year, month int
	for range 4 {
		b = bytes.TrimLeft(b, " ,-/.")
		if len(b) == 0 {
			return nil, false
		}
		if n, k := leadingNumber(b); k > 0 {
			switch {
			case day == 0 && k <= 2:
				day = n
			case k == 4:
				year = n
			case k == 2 && month > 0:
				year = shortYear(n)
			default:
				return nil, false
			}
			b = b[k:]
		} else {
			k := 0
			for k < len(b) && (b[k]|0x20) >= 'a' && (b[k]|0x20) <= 'z' {
				k++
			}
			if k < 3 || k > 9 {
				return nil, false
			}
			name := strings.ToLower(string(b[:3]))
			switch at := strings.Index("janfebmaraprmayjunjulaugsepoctnovdec", name); {
			case at >= 0 && at%3 == 0:
				month = at/3 + 1
			case !strings.Contains("sunmontuewedthufrisat", name):
				return nil, false
			}
			b = b[k:]
		}
		if day > 0 && month > 0 && year > 0 {
			return b, w.setDate(year, month, day)
		}
	}
	return nil, false
}

// parseClock reads a time of day and an offset, up to the end of b.
func (w *wall) parseClock(b []byte) bool {
	h, k := leadingNumber(b)
	m, s, ms := 0, 0, 0
	rest := b[min(k, len(b)):]
	switch {
	case k == 0 || k > 6:
		return false
	case k > 4: // hhmmss, with or without the leading zero
		h, m, s = h/10000, h/100%100, h%100
	case k > 2: // hhmm
		h, m = h/100, h%100
	case len(rest) > 0 && rest[0] == ':':
		var l int
		if m, l = leadingNumber(rest[1:]); l != 2 {
			return false
		}
		rest = rest[3:]
		if len(rest) > 0 && rest[0] == ':' {
			if s, l = leadingNumber(rest[1:]); l != 2 {
				return false
			}
			rest = rest[3:]
		}
	}
	if len(rest) > 1 && (rest[0] == '.' || rest[0] == ',') {
		i, unit := 1, 100
		for ; i < len(rest) && isDigit(rest[i]); i++ {
			ms += int(rest[i]-'0') * unit
			unit /= 10
		}
		if i == 1 {
			return false
		}
		rest = rest[i:]
	}
	rest = bytes.TrimLeft(rest, " -")
	if len(rest) >= 2 && (rest[1]|0x20) == 'm' && ((rest[0]|0x20) == 'a' || (rest[0]|0x20) == 'p') {
		if h < 1 || h > 12 {
			return false
		}
		h %= 12
		if (rest[0] | 0x20) == 'p' {
			h += 12
		}
		rest = rest[2:]
	} else if k <= 2 && len(b) == k {
		return false // a bare hour is more likely something else
	} else {
		rest = b[len(b)-len(rest):]
		if n := len(b) - len(rest); n > 0 && b[n-1] == '-' {
			rest = b[n-1:] // the minus sign belongs to the offset
		}
	}
	if h > 23 || m > 59 || s > 60 {
		return false
	}
	w.clock = true
	w.ms = int64(h*3600+m*60+min(s, 59))*1000 + int64(ms)
	return w.parseOffset(bytes.TrimLeft(rest, " "))
}

// parseOffset reads what may follow a clock time: nothing, Z, UTC, GMT,
// +01:00, -0500, and the doubled "+0000 UTC".
func (w *wall) parseOffset(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if b[0] == '+' || b[0] == '-' {
		h, k := leadingNumber(b[1:])
		m, used := 0, 1+k
		switch {
		case k == 4:
			h, m = h/100, h%100
		case k == 2 && len(b) > 3 && b[3] == ':':
			var l int
			if m, l = leadingNumber(b[4:]); l != 2 {
				return false
			}
			used = 6
		case k != 2:
			return false
		}
		if h > 15 || m > 59 {
			return false
		}
		w.zoned = true
		w.offset = int64(h*60+m) * int64(series.Minute)
		if b[0] == '-' {
			w.offset = -w.offset
		}
		rest := bytes.TrimSpace(b[used:])
		return len(rest) == 0 || bytes.EqualFold(rest, []byte("UTC"))
	}
	switch strings.ToUpper(string(b)) {
	case "Z", "UTC", "GMT", "UTC+0", "GMT+0":
		w.zoned = true
		return true
	}
	return false
}

func (w *wall) setDate(y, m, d int) bool {
	if m < 1 || m > 12 || d < 1 || d > monthDays(y, m) || y < 1 || y > 9999 {
		return false
	}
	w.days = daysFromCivil(y, m, d)
	return true
}

func monthDays(y, m int) int {
	switch m {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysFromCivil counts the days from 1970-01-01 in the Gregorian calendar.
// Years start in March, so that the leap day is the last of its year.
func daysFromCivil(y, m, d int) int64 {
	if m <= 2 {
		y--
		m += 12
	}
	era := y / 400
	if y < 0 {
		era = (y - 399) / 400
	}
	yoe := y - era*400
	doy := (153*(m-3)+2)/5 + d - 1
	return int64(era)*146097 + int64(yoe*365+yoe/4-yoe/100+doy) - 719468
}

// shortYear expands two digits: 69 and above are of the last century, as in
// POSIX strptime.
func shortYear(y int) int {
	if y >= 69 {
		return 1900 + y
	}
	return 2000 + y
}

func isDigit(c byte) bool   { return c-'0' <= 9 }
func isDateSep(c byte) bool { return c == '-' || c == '/' || c == '.' }

// leadingNumber reads the digits at the start of b and says how many there
// are; more than 18 are not read.
func leadingNumber(b []byte) (n, digits int) {
	for digits < len(b) && isDigit(b[digits]) && digits < 18 {
		n = n*10 + int(b[digits]-'0')
		digits++
	}
	return n, digits
}

// unit is the unit of a Unix time, as a number of it per second.
type unit int64

const (
	seconds unit = 1
	millis  unit = 1e3
	micros  unit = 1e6
	nanos   unit = 1e9
)

func (u unit) String() string {
	switch u {
	case seconds:
		return "unix s"
	case millis:
		return "unix ms"
	case micros:
		return "unix us"
	}
	return "unix ns"
}

// unitOf tells the unit of a Unix time by its magnitude, at the limits of
// series.FromUnix.
func unitOf(v float64) unit {
	switch v = math.Abs(v); {
	case v < 1e11:
		return seconds
	case v < 1e14:
		return millis
	case v < 1e17:
		return micros
	}
	return nanos
}

// below says what a Unix time means that is small for its unit: one of before
// 1973, or one in a coarser unit?
type below uint8

const (
	belowRefuse    below = iota // cannot be told
	belowIsOld                  // the file goes back that far, or the user said the unit
	belowIsCoarser              // the file mixes units, as archives do that changed once
)

// fromUnix converts n of unit u. A value too large for the unit is read by its
// magnitude.
func fromUnix(n int64, u unit, b below) (series.Time, bool) {
	limit := 1e8 * int64(u)
	switch {
	case u < nanos && (n >= 1000*limit || n <= -1000*limit):
		return series.FromUnix(n), true
	case u > seconds && b != belowIsOld && n < limit && n > -limit:
		return series.FromUnix(n), b == belowIsCoarser
	}
	switch u {
	case seconds:
		return series.Time(n * 1000), true
	case millis:
		return series.Time(n), true
	case micros:
		return series.Time(floorDiv(n, 1e3)), true
	}
	return series.Time(floorDiv(n, 1e6)), true
}

// parseUnix reads an integer or a decimal number of unit u. It does not read
// one that is small for the unit where nothing tells what that means.
func parseUnix(b []byte, u unit, small below) (series.Time, bool) {
	var n int64
	i := 0
	if len(b) > 0 && b[0] == '-' {
		i++
	}
	start := i
	for ; i < len(b) && isDigit(b[i]) && i-start < 19; i++ {
		n = n*10 + int64(b[i]-'0')
	}
	if i > start && i == len(b) && n >= 0 {
		if b[0] == '-' {
			n = -n
		}
		return fromUnix(n, u, small)
	}
	f, st := parseFloat(bytes.TrimSpace(b), 0)
	if st != number || math.Abs(f) > 9e18 {
		return 0, false
	}
	if f == math.Trunc(f) {
		return fromUnix(int64(f), u, small)
	}
	if u == seconds && math.Abs(f) < 1e11 {
		return series.Time(math.Round(f * 1000)), true
	}
	return fromUnix(int64(math.Floor(f)), u, small)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// dateIn finds the first date in a file name: 20240131, 2024-01-31. It returns
// the name with that date, and one that follows it as the end of a range, cut
// out, which tells the parts of one series from different series.
func dateIn(name string) (days int64, found bool, stem string) {
	b := []byte(name)
	for i := range b {
		if i > 0 && isDigit(b[i-1]) || !isDigit(b[i]) {
			continue
		}
		n := dateLen(b[i:])
		if n == 0 {
			continue
		}
		end := i + n
		if end < len(b) && strings.IndexByte("-_", b[end]) >= 0 {
			if l := dateLen(b[end+1:]); l == n {
				end += 1 + l
			}
		}
		var w wall
		w, found = parseWall(b[i:i+n], monthFirst)
		return w.days, found, name[:i] + name[end:]
	}
	return 0, false, name
}

// dateLen is the length of the date that b starts with: a day, a month or a
// year, 0 if none.
func dateLen(b []byte) int {
	for _, n := range [...]int{10, 8, 7, 6, 4} {
		if len(b) < n || len(b) > n && isDigit(b[n]) {
			continue
		}
		layout := map[int]string{10: "2006-01-02", 8: "20060102", 7: "2006-01", 6: "200601", 4: "2006"}[n]
		if t, err := time.Parse(layout, string(b[:n])); err == nil && t.Year() >= 1900 && t.Year() < 2200 {
			return n
		}
	}
	return 0
}
