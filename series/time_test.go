package series_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

func TestParseTime(t *testing.T) {
	for _, x := range []struct {
		in   string
		want string // or "refused: " and a part of the error
	}{
		{"2024-01-31T12:00:00Z", "2024-01-31T12:00:00Z"},
		{"2024-01-31T12:00:00.25Z", "2024-01-31T12:00:00.250Z"},
		{"2024-01-31T12:00:00.0009999Z", "2024-01-31T12:00:00Z"},
		{"2024-01-31T12:00:00+05:30", "2024-01-31T06:30:00Z"},
		{"2024-01-31 12:00:00-08:00", "2024-01-31T20:00:00Z"},
		{"2024-02-29", "2024-02-29T00:00:00Z"},
		{"1900-01-01", "1900-01-01T00:00:00Z"},
		{"0001-01-01", "0001-01-01T00:00:00Z"},
		{"9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"},
		{"0", "1970-01-01T00:00:00Z"},
		{"-1", "1969-12-31T23:59:59Z"},
		{"1700000000", "2023-11-14T22:13:20Z"},
		{"1700000000123", "2023-11-14T22:13:20.123Z"},
		{"1700000000123456", "2023-11-14T22:13:20.123Z"},
		{"1700000000123456789", "2023-11-14T22:13:20.123Z"},
		{"19700101000", "2594-04-09T10:16:40Z"}, // eleven digits are seconds
		{"22000101", "1970-09-12T15:08:21Z"},    // no day of the years 1900 to 2199
		{"20241399", "1970-08-23T06:36:39Z"},    // no day at all

		{"", "refused: empty"},
		{"20240131", "refused: not understood"}, // a date, or a day of 1970
		{"19000101", "refused: not understood"},
		{"2023-02-29", "refused: not understood"},
		{"2024-01-31T12:00:00", "refused: zone"}, // whose noon?
		{"2024-01-31 12:00", "refused: not understood"},
		{"2024-1-31", "refused: not understood"},
		{"31.01.2024", "refused: not understood"},
		{"2024-01-31T24:00:00Z", "refused: not understood"},
		{"2024-01-31T12:00:00 UTC", "refused: not understood"},
		{"1.7e9", "refused: not understood"},
		{" 1700000000", "refused: not understood"},
		{"99999999999999999999", "refused: not understood"},
		{"yesterday", "refused: not understood"},
		{"0000-12-31", "refused: years 1 to 9999"},
		{"-99999999999", "refused: years 1 to 9999"},
		{"9999-12-31T23:59:59-01:00", "refused: years 1 to 9999"},
	} {
		got, err := series.ParseTime(x.in)
		if part, refused := strings.CutPrefix(x.want, "refused: "); refused {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %v, %v; want an error with %q", x.in, got, err, part)
			}
			continue
		}
		if err != nil || got.String() != x.want {
			t.Errorf("%q: %v, %v; want %s", x.in, got, err, x.want)
		}
	}
}

func TestFromUnix(t *testing.T) {
	for _, x := range []struct {
		n    int64
		want series.Time
	}{
		{0, 0},
		{1, 1000},
		{-1, -1000},
		{1e11 - 1, (1e11 - 1) * 1000},
		{1e11, 1e11},
		{-1e11, -1e11},
		{1e14 - 1, 1e14 - 1},
		{1e14, 1e11},
		{1e14 + 999, 1e11},
		{-1e14 - 1, -1e11 - 1},
		{1e17 - 1, 1e14 - 1},
		{1e17, 1e11},
		{-1e17 - 1, -1e11 - 1},
		{math.MaxInt64, 9223372036854},
		{math.MinInt64, -9223372036855},
		{math.MinInt64 + 1, -9223372036855},
	} {
		if got := series.FromUnix(x.n); got != x.want {
			t.Errorf("FromUnix(%d) = %d, want %d", x.n, int64(got), int64(x.want))
		}
	}
}

func TestTimeOf(t *testing.T) {
	for _, x := range []struct {
		in   time.Time
		want series.Time
	}{
		{time.Unix(0, 999_999), 0},
		{time.Unix(0, -1), -1},
		{time.Date(2024, 7, 1, 9, 30, 0, 0, time.FixedZone("", -4*3600)), 1719840600000},
	} {
		if got := series.TimeOf(x.in); got != x.want {
			t.Errorf("TimeOf(%v) = %d, want %d", x.in, got, x.want)
		}
	}
	if series.MinTime.String() != "0001-01-01T00:00:00Z" || series.MaxTime.String() != "9999-12-31T23:59:59.999Z" {
		t.Errorf("limits print %s and %s", series.MinTime, series.MaxTime)
	}
}

// FuzzParseTime: what is accepted lies within the limits and prints as
// something that reads as the same instant.
func FuzzParseTime(f *testing.F) {
	for _, s := range []string{
		"", "0", "-1", "2024-01-31", "2024-01-31T12:00:00Z", "2024-01-31 12:00:00.5+05:30",
		"20240131", "1700000000123", "9223372036854775807", "-9223372036854775808", "9999-12-31T23:59:59.999Z",
		"0001-01-01T00:00:00+23:59", "2024-01-31T12:00:00,5Z",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := series.ParseTime(s)
		if err != nil {
			return
		}
		if got < series.MinTime || got > series.MaxTime {
			t.Fatalf("%q gives %d", s, int64(got))
		}
		again, err := series.ParseTime(got.String())
		if err != nil || again != got {
			t.Fatalf("%q gives %s, which reads as %v, %v", s, got, again, err)
		}
	})
}
