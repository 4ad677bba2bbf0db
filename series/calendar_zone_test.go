package series_test

import (
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// TestDaylightSaving: the hours of markets in UTC around the changes of clocks,
// in years in which the rule for them changed. Sources: the laws named, and the
// IANA time zone database.
func TestDaylightSaving(t *testing.T) {
	for _, x := range []struct{ calendar, date, open, close, why string }{
		// The Energy Policy Act of 2005 moved the change from April to March in 2007.
		{"XNYS", "2006-03-13", "14:30", "21:00", "winter until 2 April in 2006"},
		{"XNYS", "2007-03-09", "14:30", "21:00", "the Friday before the second Sunday of March"},
		{"XNYS", "2007-03-12", "13:30", "20:00", "the Monday after"},
		{"XNYS", "2006-11-01", "14:30", "21:00", "winter from 29 October in 2006"},
		{"XNYS", "2007-11-01", "13:30", "20:00", "summer until 4 November in 2007"},
		// Directive 94/21/EC: the continent's summer ends in October from 1996.
		{"XFRA", "1995-10-02", "08:00", "16:30", "winter from 24 September in 1995"},
		{"XFRA", "1996-10-02", "07:00", "15:30", "summer until 27 October in 1996"},
		{"XLON", "1995-10-02", "07:00", "15:30", "Britain kept its summer until October before"},
		// Brazil: decree 9.242 of 2017 moved the start to November; abolished by
		// decree 9.772 of 2019.
		{"BVMF", "2017-10-31", "12:00", "19:00", "summer from 15 October in 2017"},
		{"BVMF", "2018-10-31", "13:00", "20:00", "not yet in 2018"},
		{"BVMF", "2018-11-05", "12:00", "19:00", "summer from 4 November in 2018"},
		{"BVMF", "2019-12-02", "13:00", "21:00", "never again"},
		// Turkey stays at UTC+3 since 2016.
		{"XIST", "2015-12-01", "08:00", "16:00", "winter in 2015"},
		{"XIST", "2016-12-01", "07:00", "15:00", "no winter in 2016"},
		{"XIST", "2024-07-01", "07:00", "15:00", "nor summer"},
		// Australia: all states until April since 2008.
		{"XASX", "2007-04-02", "00:00", "06:00", "winter from 25 March in 2007"},
		{"XASX", "2008-04-02", "23:00-1d", "05:00", "summer until 6 April in 2008"},
		{"XNZE", "2007-09-28", "22:00-1d", "04:45", "winter until 30 September in 2007"},
		{"XNZE", "2007-10-01", "21:00-1d", "03:45", "summer"},
		// Mexico: Ley de los Husos Horarios of 2022.
		{"XMEX", "2022-07-01", "13:30", "20:00", "the last summer"},
		{"XMEX", "2023-07-03", "14:30", "21:00", "none any more"},
		// Israel: the law of 2013 moved the end to the last Sunday of October.
		{"XTAE", "2019-10-24", "06:59", "14:15", "summer"},
		{"XTAE", "2019-10-28", "07:59", "15:15", "winter from 27 October"},
		// No daylight saving at all.
		{"XTKS", "2024-07-01", "00:00", "06:00", ""},
		{"XBOM", "2024-01-02", "03:45", "10:00", "half an hour off"},
		// Overnight: the evening before is on the other side of the change.
		{"CME-EQUITY", "2024-03-11", "22:00-1d", "21:00", "opens after the change"},
		{"CME-EQUITY", "2024-03-08", "23:00-1d", "22:00", "before it"},
		{"FX24x5", "2024-11-04", "22:00-1d", "22:00", "opens on the Sunday of the change"},
	} {
		s, ok := calendar(t, x.calendar).SessionOn(moment(x.date))
		if !ok {
			t.Errorf("%s has no session on %s", x.calendar, x.date)
			continue
		}
		clock := func(at series.Time) string {
			text := at.Std().Format("15:04")
			if at < s.Date {
				text += "-1d"
			}
			return text
		}
		if clock(s.Open) != x.open || clock(s.Close) != x.close {
			t.Errorf("%s on %s is %s to %s, want %s to %s: %s", x.calendar, x.date, clock(s.Open), clock(s.Close), x.open, x.close, x.why)
		}
	}
}

// TestHostZone: the zone of the machine means nothing.
func TestHostZone(t *testing.T) {
	old := time.Local
	defer func() { time.Local = old }()
	var want []series.Session
	for _, zone := range []string{"UTC", "Pacific/Apia", "America/St_Johns"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		time.Local = loc
		cal, err := readSample(sample) // built anew
		if err != nil {
			t.Fatal(err)
		}
		var got []series.Session
		for s := range cal.Sessions(cal.Valid()) {
			got = append(got, s)
		}
		if want == nil {
			want = got
		}
		if len(got) != len(want) {
			t.Fatalf("%d sessions in %s, %d before", len(got), zone, len(want))
		}
		for i := range got {
			if !sameSession(got[i], want[i]) {
				t.Fatalf("session %d differs in %s", i, zone)
			}
		}
	}
}
