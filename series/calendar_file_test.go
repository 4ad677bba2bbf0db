package series_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// sample is a calendar file that uses every key.
const sample = `name: XTST
title: Test Exchange
aliases: [TEST]
zone: Europe/London
from: 2020-01-01
to: 2026-01-01
sources:
  law: the law
  hours: the hours
sessions:
  - {to: 2022-01-01, days: mon-fri, open: "08:00", close: "16:30", source: hours}
  - {from: 2022-01-01, days: [mon, tue, wed, thu, fri], open: "08:00", close: "16:30", breaks: ["12:00-13:00"], source: hours}
yearly:
  - {reason: New Year's Day, day: Jan 1, move: {sat: 2, sun: 1}, source: law}
  - {reason: Good Friday, day: Easter -2, source: law}
  - {reason: May Day, day: 1st Mon of May, except: [2022], source: law}
  - {reason: Christmas Eve, day: Dec 24, only: mon-fri, close: "12:30", source: hours}
  - {reason: no lunch, day: Jul 1, from: 2023, to: 2024, breaks: [], source: hours}
dated:
  - {reason: wedding, date: 2023-04-20, notice: announced, announced: 2023-04-01, source: law}
  - {reason: storms, dates: [2024-02-06, 2024-02-08], notice: unannounced, source: law}
  - {reason: war, date: 2025-03-03, to: 2025-03-07, source: law}
  - {reason: Saturday session, date: 2024-06-08, open: "10:00", close: "12:00", source: hours}
pauses:
  - {reason: failure, from: 2024-06-03T09:00:00Z, to: 2024-06-03T10:30:00Z, notice: unannounced, source: hours}
`

func readSample(text string) (*series.Calendar, error) {
	return series.BuiltinCalendars().ReadCalendar("test.yaml", []byte(text))
}

func TestReadCalendar(t *testing.T) {
	cal, err := readSample(sample)
	if err != nil {
		t.Fatal(err)
	}
	if cal.Name() != "XTST" || cal.Title() != "Test Exchange" || cal.Zone() != "Europe/London" || len(cal.Aliases()) != 1 {
		t.Errorf("head: %s %s %s %v", cal.Name(), cal.Title(), cal.Zone(), cal.Aliases())
	}
	for _, x := range []struct{ date, want string }{
		{"2021-12-24", "08:00-12:30"},
		{"2022-01-03", "closed"}, // 1 January on a Saturday
		{"2022-05-02", "08:00-16:30 break"},
		{"2023-05-01", "closed"},
		{"2023-04-20", "closed"},
		{"2022-07-01", "08:00-16:30 break"},
		{"2024-07-01", "08:00-16:30"},
		{"2024-02-06", "closed"},
		{"2024-02-07", "08:00-16:30 break"},
		{"2025-03-05", "closed"},
		{"2024-06-08", "10:00-12:00"},
	} {
		got := "closed"
		if s, ok := cal.SessionOn(moment(x.date)); ok {
			zone, _ := time.LoadLocation("Europe/London")
			got = s.Open.Std().In(zone).Format("15:04") + "-" + s.Close.Std().In(zone).Format("15:04")
			if len(s.Breaks) > 0 {
				got += " break"
			}
		}
		if got != x.want {
			t.Errorf("%s is %s, want %s", x.date, got, x.want)
		}
	}
	if open, known := cal.OpenAt(moment("2024-06-03T09:59:00Z")); open || !known {
		t.Error("the market is open in a pause")
	}
	g := grid(t, "1m")
	run := g.Run(series.Span{From: moment("2024-06-03"), To: moment("2024-06-04")})
	if n := series.Total(cal.AppendExpected(nil, g, run)); n != 510-60-90 {
		t.Errorf("%d minutes are expected on a day with a pause", n)
	}
	for x := range cal.Exceptions(series.Span{From: moment("2023-04-20"), To: moment("2023-04-21")}) {
		if x.Notice != series.Announced || x.Announced != moment("2023-04-01") || x.Source != "the law" {
			t.Errorf("exception %+v", x)
		}
	}
}

// TestReadCalendarRefuses: each fault is told with its line and what to do.
func TestReadCalendarRefuses(t *testing.T) {
	for _, x := range []struct{ old, new, err string }{
		{"", "", "test.yaml: the file is empty"},
		{"name: XTST", "name: X TST", `test.yaml:1: calendar: name: calendar name "X TST"`},
		{"name: XTST\n", "", `the key "name" is missing`},
		{"title:", "titel:", `test.yaml:2: calendar: the key "titel" is unknown: use name, title`},
		{"title: Test Exchange", "title: [a]", "want a text, have a list"},
		{"title: Test Exchange", "title: a\ntitle: b", `the key "title" occurs twice`},
		{"zone: Europe/London", "zone: Europe/Londn", "test.yaml:4: calendar: zone: zone \"Europe/Londn\" is unknown"},
		{"zone: Europe/London", "zone: Local", "is unknown"},
		{"from: 2020-01-01\n", "from: 1.1.2020\n", "test.yaml:5: calendar: from: date"},
		{"to: 2026-01-01", "to: 2019-01-01", "before it starts"},
		{"days: mon-fri", "days: mon-fryday", "test.yaml:11: calendar: sessions 1: days: want mon-fri"},
		{`open: "08:00", close: "16:30", source: hours}`, `close: "16:30", source: hours}`, `test.yaml:11: calendar: sessions 1: the key "open" is missing`},
		{`"12:00-13:00"`, `"12:00"`, "is not of the form 11:30-12:30"},
		{"{to: 2022-01-01, ", "{", "two session rules claim it"},
		{"day: Jan 1,", "day: Foo 1,", `test.yaml:14: calendar: yearly 1: day: day "Foo 1" is not understood: use Jan 1`},
		{"day: Jan 1,", "day: Jan 32,", "day 32 is not 1 to 31"},
		{"1st Mon of May", "6th Mon of May", "is not understood"},
		{"{sat: 2, sun: 1}", "{sam: 2}", `"sam" is no weekday`},
		{"{sat: 2, sun: 1}", "{sat: 20}", "is not a number of days"},
		{"except: [2022]", "except: [22]", "want a year"},
		{"source: law}\n  - {reason: Good", "}\n  - {reason: Good", `the key "source" is missing`},
		{"source: law}\n  - {reason: Good", "source: lore}\n  - {reason: Good", `"lore" is not among the sources of the file (hours, law)`},
		{"notice: announced", "notice: whispered", "want scheduled, announced or unannounced"},
		{"dates: [2024-02-06, 2024-02-08]", "date: 2024-02-06, dates: [2024-02-08]", "give a date, a date and a to, or dates"},
		{"date: 2025-03-03", "date: 2035-03-03", "outside the calendar"},
		{"to: 2024-06-03T10:30:00Z", "to: 2024-06-03T08:30:00Z", "before it begins"},
		{"2024-06-03T09:00:00Z", "2024-06-03 09:00", "is not of the form 2018-02-08T00:27:00Z"},
		{"zone:", "always: maybe\nzone:", "want true or false"},
		{"zone:", "always: true\nzone:", "always open and has sessions"},
		{"zone:", "extends: XNOWHERE\nzone:", `it extends "XNOWHERE"`},
		{"zone:", "extends: 24x7\nzone:", "write always: true instead"},
		{"zone:", "extends: XTST\nzone:", "it extends itself"},
		{"name: XTST", "name: XTST\n---\nname: B", "more than one document"},
		{"to: 2026-01-01", "to: 2626-01-01", "more than 400 years"},
		{"title: Test Exchange", "title: *a", "anchor"},
		{"name: XTST", "name: {", "did not find"},
	} {
		text := strings.Replace(sample, x.old, x.new, 1)
		if x.old == "" {
			text = ""
		}
		_, err := readSample(text)
		if err == nil || !strings.Contains(err.Error(), x.err) {
			t.Errorf("%q for %q:\n got %v\nwant %s", x.new, x.old, err, x.err)
		}
		if _, ok := errors.AsType[*series.CalendarError](err); err != nil && !ok {
			t.Errorf("%q for %q: the error is a %T", x.new, x.old, err)
		}
	}
}

// TestLoadCalendars: a folder adds calendars and replaces built-in ones.
func TestLoadCalendars(t *testing.T) {
	dir := t.TempDir()
	if s, err := series.LoadCalendars(filepath.Join(dir, "none")); err != nil || len(s.Names()) != len(series.CalendarNames()) {
		t.Errorf("a missing folder: %v", err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("test.yaml", sample)
	write("mine.yml", "name: XNYS\nextends: XNYS\nsources: {news: the radio}\ndated:\n  - {reason: blizzard, date: 2026-02-03, notice: unannounced, source: news}\n")
	write("json.json", `{"name":"MINE","title":"of XNYS","extends":"XNYS","sources":{"a":"b"},"dated":[{"reason":"party","date":"2026-05-05","source":"a"}]}`)
	write("notes.txt", "not a calendar")
	s, err := series.LoadCalendars(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"XTST", "TEST", "MINE", "XNYS", "NYSE", "XNAS", "24x7"} {
		if _, err := s.Get(name); err != nil {
			t.Error(err)
		}
	}
	closed := func(name, date string) bool {
		c, err := s.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		_, ok := c.SessionOn(moment(date))
		return !ok
	}
	if !closed("XNYS", "2026-02-03") || !closed("XNYS", "2026-12-25") {
		t.Error("the override of XNYS does not hold")
	}
	// MINE extends the XNYS of the folder, the built-in XNAS that of the program.
	if !closed("MINE", "2026-05-05") || !closed("MINE", "2026-02-03") || closed("XNAS", "2026-02-03") {
		t.Error("a calendar extends the wrong one")
	}
	if c, _ := series.CalendarByName("XNYS"); c != nil {
		if _, ok := c.SessionOn(moment("2026-02-03")); !ok {
			t.Error("the built-in calendar changed")
		}
	}

	write("a.yaml", "name: AAA\nextends: BBB\n")
	write("b.yaml", "name: BBB\nextends: AAA\n")
	if _, err := series.LoadCalendars(dir); err == nil || !strings.Contains(err.Error(), "extends it in turn") {
		t.Errorf("a circle: %v", err)
	}
	write("a.yaml", "name: XTST\nextends: XNYS\n")
	if _, err := series.LoadCalendars(dir); err == nil || !strings.Contains(err.Error(), "another file has the name XTST") {
		t.Errorf("two of a name: %v", err)
	}
	write("a.yaml", "name: [\n")
	if _, err := series.LoadCalendars(dir); err == nil || !strings.Contains(err.Error(), "a.yaml") {
		t.Errorf("a broken file: %v", err)
	}
}

// TestAlwaysWithPauses: a venue that never closes but for its halts.
func TestAlwaysWithPauses(t *testing.T) {
	cal := calendar(t, "24x7-BINANCE")
	if !cal.AlwaysOpen() {
		t.Fatal("it is not always open")
	}
	for _, x := range []struct {
		at   string
		open bool
	}{{"2023-03-24T12:39:59Z", true}, {"2023-03-24T12:40:00Z", false}, {"2023-03-24T13:59:59Z", false}, {"2023-03-24T14:00:00Z", true}, {"1999-01-01", true}} {
		if open, known := cal.OpenAt(moment(x.at)); open != x.open || !known {
			t.Errorf("%s: open %v, known %v", x.at, open, known)
		}
	}
	for _, x := range []struct {
		interval, from, to string
		want               int64
	}{
		{"1m", "2023-03-24", "2023-03-25", 1440 - 80},
		{"1h", "2023-03-24", "2023-03-25", 23}, // 12:00 traded until 12:40
		{"4h", "2023-03-24", "2023-03-25", 6},
		{"1d", "2018-02-07", "2018-02-11", 4},
		{"1h", "2018-02-08", "2018-02-10", 48 - 32},
		{"1M", "2018-01-01", "2019-01-01", 12},
	} {
		g := grid(t, x.interval)
		runs := cal.AppendExpected(nil, g, g.Run(series.Span{From: moment(x.from), To: moment(x.to)}))
		if n := series.Total(runs); n != x.want {
			t.Errorf("%s from %s: %d expected, want %d: %v", x.interval, x.from, n, x.want, runs)
		}
	}
	if s, ok := cal.SessionOf(moment("2023-03-24T13:00:00Z")); !ok || s.Date != moment("2023-03-24") {
		t.Errorf("the session of a pause is %v, %v", s, ok)
	}
}

func FuzzReadCalendar(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(`{"name":"A","always":true,"zone":"UTC"}`))
	f.Add([]byte("name: A\nzone: UTC\nfrom: 2020-01-01\nto: 2021-01-01\nsources: {a: b}\nsessions:\n  - {days: sun, open: \"17:00-1d\", close: \"16:00\", source: a}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<14 {
			return
		}
		cal, err := series.BuiltinCalendars().ReadCalendar("fuzz.yaml", text)
		if err != nil {
			return
		}
		v := cal.Valid()
		for s := range cal.Sessions(series.Span{From: v.From, To: min(v.To, v.From+3000*series.Day)}) {
			if s.Open >= s.Close || !cal.AlwaysOpen() && !v.Contains(s.Date+12*series.Hour) && v.Contains(s.Open) && v.Contains(s.Close) {
				t.Fatalf("session %+v of a calendar valid in %s", s, v)
			}
		}
	})
}
