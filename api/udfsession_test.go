package api

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

var sessionForm = regexp.MustCompile(`^\d{4}-\d{4}(,\d{4}-\d{4})*:[1-7]+$`)

// TestUDFHours: charts are told when a market is open, and on which days it is
// not, or for shorter.
func TestUDFHours(t *testing.T) {
	now := series.TimeOf(time.Date(2025, 6, 2, 12, 0, 0, 0, time.UTC))
	for _, x := range []struct {
		calendar, session, holiday, correction string
	}{
		{"XNYS", "0930-1600:23456", "20241225", "0930-1300:"},
		{"XHKG", "0930-1200,1300-1600:23456", "20250101", "0930-1200:"},
		{"XLON", "0800-1630:23456", "20241225", "0800-1230:"},
		{"XTKS", "0900-1130,1230-1530:23456", "20250101", "0900-1130,1230-1500:"}, // its hours grew in 2024
		{"24x7", "24x7", "", ""},
	} {
		c, err := series.CalendarByName(x.calendar)
		if err != nil {
			t.Fatal(err)
		}
		h := hoursOf(c, now)
		if h.session != x.session || !strings.Contains(h.holidays, x.holiday) || !strings.Contains(h.corrections, x.correction) {
			t.Errorf("%s: %s, closed %.60s, other hours %.100s", x.calendar, h.session, h.holidays, h.corrections)
		}
		if strings.Contains(h.holidays, "20250531") { // a Saturday
			t.Errorf("%s: a weekend is a holiday", x.calendar)
		}
	}
	c, err := series.CalendarByName("XNYS")
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq(hoursOf(c, now).corrections, ";") {
		if hours, dates, _ := strings.Cut(part, ":"); hours == "0930-1300" && (!strings.Contains(dates, "20241129") || !strings.Contains(dates, "20241224") || strings.Contains(dates, "20241227")) {
			t.Errorf("half days of New York: %s", part)
		}
	}
	// Whatever a calendar says, charts can read it.
	all := series.BuiltinCalendars()
	written := 0
	for _, name := range all.Names() {
		c, err := all.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		h := hoursOf(c, now)
		if h.session != udfAlways {
			written++
		}
		for part := range strings.SplitSeq(h.session, "|") {
			if part != udfAlways && !sessionForm.MatchString(part) {
				t.Errorf("%s: %s", name, h.session)
			}
		}
	}
	t.Logf("%d of %d calendars have hours", written, len(all.Names()))
}
