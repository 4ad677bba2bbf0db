package series

import (
	"fmt"
	"strings"
	"time"
)

// Interval is the width of a bar. The numbers are written to disk: they may
// be added to, never changed.
type Interval uint8

// The intervals that Barkeep knows, in order of width.
const (
	Interval1s  Interval = 1
	Interval5s  Interval = 2
	Interval10s Interval = 3
	Interval15s Interval = 4
	Interval30s Interval = 5
	Interval1m  Interval = 6
	Interval3m  Interval = 7
	Interval5m  Interval = 8
	Interval10m Interval = 9
	Interval15m Interval = 10
	Interval30m Interval = 11
	Interval45m Interval = 12
	Interval1h  Interval = 13
	Interval2h  Interval = 14
	Interval3h  Interval = 15
	Interval4h  Interval = 16
	Interval6h  Interval = 17
	Interval8h  Interval = 18
	Interval12h Interval = 19
	Interval1d  Interval = 20
	Interval3d  Interval = 21
	Interval1w  Interval = 22
	Interval1M  Interval = 23
)

// intervals is indexed by Interval. A width of 0 means that it varies.
var intervals = [...]struct {
	name  string
	width Time
}{
	{"", 0},
	{"1s", Second},
	{"5s", 5 * Second},
	{"10s", 10 * Second},
	{"15s", 15 * Second},
	{"30s", 30 * Second},
	{"1m", Minute},
	{"3m", 3 * Minute},
	{"5m", 5 * Minute},
	{"10m", 10 * Minute},
	{"15m", 15 * Minute},
	{"30m", 30 * Minute},
	{"45m", 45 * Minute},
	{"1h", Hour},
	{"2h", 2 * Hour},
	{"3h", 3 * Hour},
	{"4h", 4 * Hour},
	{"6h", 6 * Hour},
	{"8h", 8 * Hour},
	{"12h", 12 * Hour},
	{"1d", Day},
	{"3d", 3 * Day},
	{"1w", Week},
	{"1M", 0},
}

// Intervals returns every interval, in order of width.
func Intervals() []Interval {
	all := make([]Interval, 0, len(intervals)-1)
	for i := 1; i < len(intervals); i++ {
		all = append(all, Interval(i))
	}
	return all
}

// ParseInterval reads an interval. Case matters: 1m is a minute, 1M a month.
func ParseInterval(s string) (Interval, error) {
	for i := 1; i < len(intervals); i++ {
		if intervals[i].name == s {
			return Interval(i), nil
		}
	}
	names := make([]string, 0, len(intervals))
	for _, x := range intervals[1:] {
		names = append(names, x.name)
	}
	return 0, fmt.Errorf("interval %q is not one of %s", s, strings.Join(names, " "))
}

// String returns the name of the interval, such as "1m".
func (i Interval) String() string {
	if !i.Valid() {
		return fmt.Sprintf("interval(%d)", uint8(i))
	}
	return intervals[i].name
}

// Valid reports whether i is an interval that Barkeep knows.
func (i Interval) Valid() bool { return i > 0 && int(i) < len(intervals) }

// MarshalText writes the name of the interval.
func (i Interval) MarshalText() ([]byte, error) {
	if !i.Valid() {
		return nil, fmt.Errorf("interval %d is unknown", uint8(i))
	}
	return []byte(intervals[i].name), nil
}

// UnmarshalText reads the name of an interval.
func (i *Interval) UnmarshalText(b []byte) error {
	v, err := ParseInterval(string(b))
	if err == nil {
		*i = v
	}
	return err
}

// Width is the length of the interval, and 0 for a month, whose length varies.
func (i Interval) Width() Time {
	if !i.Valid() {
		return 0
	}
	return intervals[i].width
}

// Intraday reports whether several bars of the interval fit into a day. Bars
// of the other intervals are labelled by dates: midnight UTC of their first
// day or, on an exchange, of their first session date.
func (i Interval) Intraday() bool { return i.Valid() && i < Interval1d }

// PerDay is how many bars of the interval fit into a day, and 1 for a day and
// longer intervals, months included.
func (i Interval) PerDay() int64 {
	if !i.Intraday() {
		return 1
	}
	return max(1, int64(Day/i.Width()))
}

// Divides reports whether bars of i can be resampled into bars of coarse:
// every coarse bar is made of whole bars of i, on a 24x7 calendar.
func (i Interval) Divides(coarse Interval) bool {
	if !i.Valid() || !coarse.Valid() || i >= coarse {
		return false
	}
	if coarse == Interval1M {
		return i <= Interval1d
	}
	return coarse.Width()%i.Width() == 0
}

// weekAnchor moves the epoch, a Thursday, to the Monday of its week.
const weekAnchor = -3 * Day

// monthSlot numbers the months since January 1970.
func monthSlot(t Time) int64 {
	y, m, _ := t.Std().Date()
	return int64(y-1970)*12 + int64(m) - 1
}

// monthTime is the first moment of month n since January 1970.
func monthTime(n int64) Time {
	y := floorDiv(n, 12)
	return TimeOf(time.Date(1970+int(y), time.Month(n-12*y)+1, 1, 0, 0, 0, 0, time.UTC))
}
