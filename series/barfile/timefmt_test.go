package barfile

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/barkeepdb/barkeep/series"
)

func TestParseWall(t *testing.T) {
	for _, x := range []struct {
		text  string
		order dateOrder
		want  string // empty: refused
	}{
		{"2024-01-31", orderUnknown, "2024-01-31T00:00:00Z"},
		{"2024/1/31", orderUnknown, "2024-01-31T00:00:00Z"},
		{"2024.01.31", orderUnknown, "2024-01-31T00:00:00Z"},
		{"20240131", orderUnknown, "2024-01-31T00:00:00Z"},
		{"202401311504", orderUnknown, "2024-01-31T15:04:00Z"},
		{"20240131150405", orderUnknown, "2024-01-31T15:04:05Z"},
		{"20240131 150405", orderUnknown, "2024-01-31T15:04:05Z"},
		{"20240131 15:04", orderUnknown, "2024-01-31T15:04:00Z"},
		{"2024-01-31 03-PM", orderUnknown, "2024-01-31T15:00:00Z"},
		{"2024-01-31 12-AM", orderUnknown, "2024-01-31T00:00:00Z"},
		{"2024-01-31 3:04:05 pm", orderUnknown, "2024-01-31T15:04:05Z"},
		{"2024-01-31T15:04:05.123456Z", orderUnknown, "2024-01-31T15:04:05.123Z"},
		{"2024-01-31 15:04:05+09:00", orderUnknown, "2024-01-31T06:04:05Z"},
		{"2024-01-31 15:04:05-0500", orderUnknown, "2024-01-31T20:04:05Z"},
		{"2024-01-31 15:04:05 UTC", orderUnknown, "2024-01-31T15:04:05Z"},
		{"2024-01-31 15:04:05 +0000 UTC", orderUnknown, "2024-01-31T15:04:05Z"},
		{"1/2/2024", monthFirst, "2024-01-02T00:00:00Z"},
		{"1/2/2024", dayFirst, "2024-02-01T00:00:00Z"},
		{"31/1/24 9:30", dayFirst, "2024-01-31T09:30:00Z"},
		{"24-03-2021 00:11", dayFirst, "2021-03-24T00:11:00Z"},
		{"31-Jan-2024", orderUnknown, "2024-01-31T00:00:00Z"},
		{"Jan 31, 2024", orderUnknown, "2024-01-31T00:00:00Z"},
		{"Wed Jan 31 2024 15:04:05", orderUnknown, "2024-01-31T15:04:05Z"},
		{"2024-02-30", orderUnknown, ""},
		{"2024-13-01", orderUnknown, ""},
		{"2024-01-31 25:00", orderUnknown, ""},
		{"2024-01-31 15", orderUnknown, ""},
		{"2024-01-31 yesterday", orderUnknown, ""},
		{"12345678", orderUnknown, ""},
		{"1700000040000", orderUnknown, ""},
		{"24,5,2021", orderUnknown, ""},
	} {
		w, ok := parseWall([]byte(x.text), x.order)
		got := ""
		if ok {
			got = series.Time(w.local() - w.offset).String()
		}
		if got != x.want {
			t.Errorf("%q: %q, want %q", x.text, got, x.want)
		}
	}
}

// TestWallAgainstStd compares with the standard library on every kind of time.
func TestWallAgainstStd(t *testing.T) {
	layouts := []string{time.RFC3339Nano, time.DateTime, time.DateOnly, "20060102 150405", "20060102 15:04", "200601021504", "2006/1/2 15:04", "02.01.2006 15:04:05", "2006-01-02 03-PM", "2006-01-02 15:04:05-07:00"}
	rapid.Check(t, func(t *rapid.T) {
		layout := rapid.SampledFrom(layouts).Draw(t, "layout")
		at := time.UnixMilli(rapid.Int64Range(-2e12, 7e12).Draw(t, "ms")).In(time.FixedZone("", rapid.IntRange(-14*4, 14*4).Draw(t, "zone")*900))
		text := at.Format(layout)
		want, err := time.Parse(layout, text)
		if err != nil {
			t.Fatal(err)
		}
		w, ok := parseWall([]byte(text), dayFirst)
		if !ok || w.local()-w.offset != want.UnixMilli() {
			t.Fatalf("%s: %+v %v, want %d", text, w, ok, want.UnixMilli())
		}
	})
}

// TestZone compares with the standard library around clock changes.
func TestZone(t *testing.T) {
	names := []string{"America/New_York", "Europe/London", "Asia/Tokyo", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo", "UTC"}
	rapid.Check(t, func(t *rapid.T) {
		loc, err := time.LoadLocation(rapid.SampledFrom(names).Draw(t, "zone"))
		if err != nil {
			t.Skip(err)
		}
		z := zone{loc: loc}
		for range 20 {
			at := time.UnixMilli(rapid.Int64Range(0, 2e12).Draw(t, "ms"))
			if rapid.Bool().Draw(t, "near a change") {
				if _, end := at.In(loc).ZoneBounds(); !end.IsZero() {
					at = end.Add(time.Duration(rapid.IntRange(-180, 180).Draw(t, "minutes")) * time.Minute)
				}
			}
			_, offset := at.In(loc).Zone()
			local := at.UnixMilli() + int64(offset)*1000
			got, n := z.instants(local)
			if n == 0 || n == 1 && got != series.TimeOf(at) {
				t.Fatalf("%s: %d instants, %s", at.In(loc), n, got)
			}
			if n == 2 {
				other := time.UnixMilli(int64(got)).In(loc)
				if other.Format(time.DateTime) != at.In(loc).Format(time.DateTime) {
					t.Fatalf("%s is not twice", at.In(loc))
				}
			}
		}
	})
}

func TestUnixUnits(t *testing.T) {
	for _, x := range []struct {
		text string
		unit unit
		b    below
		want string
	}{
		{"1700000040", seconds, belowRefuse, "2023-11-14T22:14:00Z"},
		{"1700000040.5", seconds, belowRefuse, "2023-11-14T22:14:00.500Z"},
		{"1.70000004e9", seconds, belowRefuse, "2023-11-14T22:14:00Z"},
		{"1700000040000", millis, belowRefuse, "2023-11-14T22:14:00Z"},
		{"1700000040000000", millis, belowRefuse, "2023-11-14T22:14:00Z"},
		{"1700000040000000000", nanos, belowRefuse, "2023-11-14T22:14:00Z"},
		{"86400000", millis, belowIsOld, "1970-01-02T00:00:00Z"},
		{"1700000040", millis, belowIsCoarser, "2023-11-14T22:14:00Z"},
		{"1700000040", millis, belowRefuse, ""},
		{"-252460800000", millis, belowIsOld, "1962-01-01T00:00:00Z"},
		{"", millis, belowRefuse, ""},
		{"12:00", seconds, belowRefuse, ""},
	} {
		at, ok := parseUnix([]byte(x.text), x.unit, x.b)
		got := ""
		if ok {
			got = at.String()
		}
		if got != x.want {
			t.Errorf("%s %s: %q, want %q", x.text, x.unit, got, x.want)
		}
	}
}
