package series_test

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// TestCalendarAnswers compares the built-in calendars with answer files: one
// row a session with date, open, close and the bounds of its break, in UTC.
// The files are <name>.csv in lower case, in the folder calendars of the real
// data or in the one that BARKEEP_CALENDAR_ANSWERS names.
func TestCalendarAnswers(t *testing.T) {
	dir := os.Getenv("BARKEEP_CALENDAR_ANSWERS")
	if dir == "" {
		dir = filepath.Dir(realData(t, "calendars/xnys.csv"))
	}
	compared := 0
	for _, name := range series.CalendarNames() {
		cal := calendar(t, name)
		for _, alias := range append([]string{name}, cal.Aliases()...) {
			file := filepath.Join(dir, strings.ToLower(alias)+".csv")
			if _, err := os.Stat(file); err != nil {
				continue
			}
			compared++
			t.Run(alias, func(t *testing.T) { compareAnswers(t, cal, file) })
		}
	}
	if compared == 0 {
		t.Errorf("no answer file of a built-in calendar in %s", dir)
	}
}

func compareAnswers(t *testing.T, cal *series.Calendar, file string) {
	want := readAnswers(t, file)
	span := series.Span{From: want[0].Date, To: want[len(want)-1].Date + series.Day}
	differences := 0
	differ := func(format string, args ...any) {
		if differences++; differences <= 40 {
			t.Errorf(format, args...)
		}
	}
	// A file may go on into years that nobody can know.
	beyond := len(want)
	want = slices.DeleteFunc(want, func(s series.Session) bool {
		return s.Open < cal.Valid().From || s.Close > cal.Valid().To
	})
	beyond -= len(want)
	var have []series.Session
	for s := range cal.Sessions(series.Span{From: span.From - 2*series.Day, To: span.To + 2*series.Day}) {
		if span.Contains(s.Date) {
			have = append(have, s)
		}
	}
	date := func(s series.Session) string { return s.Date.Std().Format("2006-01-02 Mon") }
	for i, j := 0, 0; i < len(have) || j < len(want); {
		switch {
		case j == len(want) || i < len(have) && have[i].Date < want[j].Date:
			differ("%s is no session there", date(have[i]))
			i++
		case i == len(have) || want[j].Date < have[i].Date:
			differ("%s is a session there: %s", date(want[j]), want[j].Span())
			j++
		default:
			if h, w := have[i], want[j]; !sameSession(h, w) {
				differ("%s is %s %v, there %s %v", date(h), h.Span(), h.Breaks, w.Span(), w.Breaks)
			}
			i, j = i+1, j+1
		}
	}
	t.Logf("%d sessions from %s, %d beyond the calendar, %d differences", len(want), date(want[0]), beyond, differences)
}

// sameSession compares all; files have at most one break.
func sameSession(a, b series.Session) bool {
	return a.Open == b.Open && a.Close == b.Close && len(a.Breaks) == len(b.Breaks) &&
		(len(a.Breaks) == 0 || a.Breaks[0] == b.Breaks[0])
}

func readAnswers(t *testing.T, file string) []series.Session {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) < 2 {
		t.Fatalf("%s: %v, %d rows", file, err, len(rows))
	}
	parse := func(s string) series.Time {
		for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05-07:00", "2006-01-02 15:04:05", time.DateOnly} {
			if at, err := time.Parse(layout, s); err == nil {
				return series.TimeOf(at)
			}
		}
		t.Fatalf("%s: time %q", file, s)
		return 0
	}
	var out []series.Session
	for _, r := range rows[1:] {
		s := series.Session{Date: parse(r[0]), Open: parse(r[1]), Close: parse(r[2])}
		if len(r) > 4 && r[3] != "" {
			s.Breaks = []series.Span{{From: parse(r[3]), To: parse(r[4])}}
		}
		out = append(out, s)
	}
	return out
}
