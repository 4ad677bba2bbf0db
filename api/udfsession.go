package api

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// udfHours is when a market is open, as charts want to know it
// (tradingview.com/charting-library-docs/latest/connecting_data/Trading-Sessions,
// read 2026-11): hours as HHMM-HHMM in the time of the exchange, parts of a day
// with commas, days with |, followed by their numbers, Sunday being 1. An
// overnight session belongs to the day on which it ends.
type udfHours struct {
	session     string // "0930-1600:23456"
	holidays    string // "20241225,20250101"
	corrections string // "0930-1300:20241129,20241224;..."
}

const (
	udfAlways = "24x7"
	// A chart is told of holidays so far back and ahead; the hours of the week are
	// those of the last ten weeks, by which a change of them has settled.
	hoursBack, hoursAhead, hoursNow = 10 * 366 * series.Day, 400 * series.Day, 70 * series.Day
)

// udfCalendars remembers what was said of a calendar on a day.
type udfCalendars struct {
	mu   sync.Mutex // guards said
	said map[string]udfHours
}

func (u *udfCalendars) of(c *series.Calendar, now series.Time) udfHours {
	key := c.Name() + strconv.FormatInt(int64(now/series.Day), 10)
	u.mu.Lock()
	defer u.mu.Unlock()
	h, ok := u.said[key]
	if !ok {
		if h = hoursOf(c, now); u.said == nil || len(u.said) > 1000 {
			u.said = map[string]udfHours{}
		}
		u.said[key] = h
	}
	return h
}

// hoursOf writes a calendar as charts read it; where that cannot be done it is
// always open, as far as they are told, and empty slots show when it is not.
func hoursOf(c *series.Calendar, now series.Time) udfHours {
	always := udfHours{session: udfAlways}
	zone, err := time.LoadLocation(c.Zone())
	if c.AlwaysOpen() || err != nil {
		return always
	}
	span := series.Span{From: now - hoursBack, To: now + hoursAhead}.Intersect(c.Valid())
	texts := map[series.Time]string{} // by date
	var week [7]map[string]int
	for s := range c.Sessions(span) {
		text, ok := hoursText(s, zone)
		if !ok {
			return always
		}
		texts[s.Date] = text
		if s.Date > now-hoursNow && s.Date <= now {
			d := s.Date.Std().Weekday()
			if week[d] == nil {
				week[d] = map[string]int{}
			}
			week[d][text]++
		}
	}
	var usual [7]string
	days := map[string]string{} // numbers of days by their hours
	for d, seen := range week {
		for text, n := range seen {
			if m := seen[usual[d]]; n > m || n == m && text < usual[d] {
				usual[d] = text
			}
		}
		if usual[d] != "" {
			days[usual[d]] += strconv.Itoa(d + 1)
		}
	}
	if len(days) == 0 {
		return always // it has ended, or not begun
	}
	var h udfHours
	var parts []string
	for text, numbers := range days {
		parts = append(parts, text+":"+numbers)
	}
	slices.Sort(parts)
	h.session = strings.Join(parts, "|")
	var closed []string
	other := map[string][]string{}
	for date := (span.From + series.Day - 1) / series.Day * series.Day; date < span.To; date += series.Day {
		switch text := texts[date]; {
		case text == usual[date.Std().Weekday()]:
		case text == "":
			closed = append(closed, date.Std().Format("20060102"))
		default:
			other[text] = append(other[text], date.Std().Format("20060102"))
		}
	}
	h.holidays = strings.Join(closed, ",")
	var changes []string
	for text, dates := range other {
		changes = append(changes, text+":"+strings.Join(dates, ","))
	}
	slices.SortFunc(changes, func(a, b string) int {
		return cmp.Compare(a[strings.IndexByte(a, ':'):], b[strings.IndexByte(b, ':'):])
	})
	h.corrections = strings.Join(changes, ";")
	return h
}

// hoursText writes a session; ok is false for one that charts have no words for.
func hoursText(s series.Session, zone *time.Location) (text string, ok bool) {
	date := s.Date.Std().Format(time.DateOnly)
	from := s.Open.Std().In(zone)
	to := s.Close.Std().In(zone)
	end := to.Format("1504")
	last := to.Format(time.DateOnly)
	if end == "0000" { // midnight ends the day before
		end, last = "2400", to.Add(-time.Minute).Format(time.DateOnly)
	}
	overnight := from.Format(time.DateOnly) != date
	switch {
	case last != date, to.Sub(from) > 24*time.Hour:
		return "", false
	case overnight && (len(s.Breaks) > 0 || from.Format("1504") <= end || to.Sub(from) >= 24*time.Hour):
		return "", false
	}
	var b strings.Builder
	b.WriteString(from.Format("1504"))
	for _, x := range s.Breaks {
		b.WriteString("-" + x.From.Std().In(zone).Format("1504") + "," + x.To.Std().In(zone).Format("1504"))
	}
	b.WriteString("-" + end)
	return b.String(), true
}
