package series

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Time is an instant in Unix milliseconds UTC. The time of a bar is the moment
// it opens.
type Time int64

// Limits of the instants that Barkeep accepts: years 1 to 9999, what RFC 3339
// can write.
const (
	MinTime Time = -62135596800000
	MaxTime Time = 253402300799999
)

// Lengths of time in milliseconds.
const (
	Millisecond Time = 1
	Second           = 1000 * Millisecond
	Minute           = 60 * Second
	Hour             = 60 * Minute
	Day              = 24 * Hour
	Week             = 7 * Day
)

// TimeOf converts t, dropping what is finer than a millisecond.
func TimeOf(t time.Time) Time { return Time(t.UnixMilli()) }

// Std returns t as a time.Time in UTC.
func (t Time) Std() time.Time { return time.UnixMilli(int64(t)).UTC() }

// String writes t as RFC 3339 in UTC, with milliseconds only where there are
// some.
func (t Time) String() string {
	if t%Second == 0 {
		return t.Std().Format("2006-01-02T15:04:05Z")
	}
	return t.Std().Format("2006-01-02T15:04:05.000Z")
}

// ParseTime reads an instant as users write it: RFC 3339 with a zone, a date
// (midnight UTC), or a Unix time in seconds, milliseconds, microseconds or
// nanoseconds, told apart by magnitude (see [FromUnix]).
func ParseTime(s string) (Time, error) {
	if s == "" {
		return 0, fmt.Errorf("time is empty: give RFC 3339 (2024-01-31T12:00:00Z), a date (2024-01-31) or a Unix time")
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && !looksLikeDate(s) {
		return checkTime(FromUnix(n), s)
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return checkTime(TimeOf(t), s)
	}
	if t, err := time.Parse(time.RFC3339Nano, strings.Replace(s, " ", "T", 1)); err == nil {
		return checkTime(TimeOf(t), s)
	}
	return 0, fmt.Errorf("time %q is not understood: give RFC 3339 with a zone (2024-01-31T12:00:00Z), a date (2024-01-31) or a Unix time", s)
}

// looksLikeDate reports whether s is eight digits that read as a day of the
// years 1900 to 2199: as a Unix time it would be a day of 1970 that nobody
// asks for, so it is refused instead of guessed.
func looksLikeDate(s string) bool {
	if len(s) != 8 {
		return false
	}
	t, err := time.Parse("20060102", s)
	return err == nil && t.Year() >= 1900 && t.Year() < 2200
}

func checkTime(t Time, s string) (Time, error) {
	if t < MinTime || t > MaxTime {
		return 0, fmt.Errorf("time %q is outside the years 1 to 9999", s)
	}
	return t, nil
}

// FromUnix converts a Unix time of unknown unit. Below 1e11 in magnitude it is
// seconds (to the year 5138), below 1e14 milliseconds, below 1e17 microseconds,
// else nanoseconds; so instants before 1973-03-03 must be given in seconds or
// as text.
func FromUnix(n int64) Time {
	switch m := max(n, -n); {
	case m < 0: // math.MinInt64
		return Time(floorDiv(n, 1e6))
	case m < 1e11:
		return Time(n * 1000)
	case m < 1e14:
		return Time(n)
	case m < 1e17:
		return Time(floorDiv(n, 1e3))
	default:
		return Time(floorDiv(n, 1e6))
	}
}

// floorDiv is a/b rounded towards minus infinity, for b > 0.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
