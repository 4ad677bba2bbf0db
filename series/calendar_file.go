package series

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A calendar file is one YAML or JSON mapping; docs/calendars.md describes it
// and docs/calendar.schema.json checks it. This file reads it into a
// CalendarData. Errors name file, line and key.

// maxCalendarFile is the size of the largest calendar file, in bytes.
const maxCalendarFile = 4 << 20

// calendarFile is what a file says.
type calendarFile struct {
	extends string
	data    CalendarData
}

// CalendarError is what is wrong with a calendar file.
type CalendarError struct {
	File string // as it was given
	Line int    // from 1; 0 where the whole file is meant
	Text string
}

// Error says where and what.
func (e *CalendarError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Text)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text)
}

// readCalendarFile reads a file called name.
func readCalendarFile(name string, text []byte) (*calendarFile, error) {
	if len(text) > maxCalendarFile {
		return nil, &CalendarError{name, 0, fmt.Sprintf("the file has %d bytes: a calendar may have %d", len(text), maxCalendarFile)}
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, &CalendarError{name, 0, "the file is empty"}
		}
		return nil, &CalendarError{name, 0, strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	f := &calendarFile{}
	r := calendarReader{file: name, out: f, sources: map[string]string{}}
	if err := r.document(doc.Content[0]); err != nil {
		return nil, err
	}
	if err := dec.Decode(&doc); !errors.Is(err, io.EOF) {
		return nil, &CalendarError{name, 0, "the file holds more than one document: give one calendar a file"}
	}
	return f, nil
}

type calendarReader struct {
	file    string
	out     *calendarFile
	sources map[string]string
}

func (r *calendarReader) fail(n *yaml.Node, format string, args ...any) error {
	return &CalendarError{r.file, n.Line, fmt.Sprintf(format, args...)}
}

// fields calls the function of each key of a mapping, in the order of known;
// where is the mapping, for errors.
func (r *calendarReader) fields(n *yaml.Node, where string, known ...field) error {
	if n.Kind != yaml.MappingNode {
		return r.fail(n, "%s: want key: value pairs, have %s", where, kindOf(n))
	}
	have := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		switch {
		case k.Kind != yaml.ScalarNode:
			return r.fail(k, "%s: a key must be a word", where)
		case have[k.Value] != nil:
			return r.fail(k, "%s: the key %q occurs twice", where, k.Value)
		case !slices.ContainsFunc(known, func(f field) bool { return f.key == k.Value }):
			names := make([]string, len(known))
			for i, f := range known {
				names[i] = f.key
			}
			return r.fail(k, "%s: the key %q is unknown: use %s", where, k.Value, strings.Join(names, ", "))
		}
		have[k.Value] = n.Content[i+1]
	}
	for _, f := range known {
		v := have[f.key]
		if v == nil {
			if f.must {
				return r.fail(n, "%s: the key %q is missing", where, f.key)
			}
			continue
		}
		if err := f.read(v, where+": "+f.key); err != nil {
			return err
		}
	}
	return nil
}

// field is a key of a mapping.
type field struct {
	key  string
	must bool
	read func(n *yaml.Node, where string) error
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "key: value pairs"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "a YAML alias, which calendar files do not have"
	}
	return fmt.Sprintf("%q", n.Value)
}

// text reads a scalar, whatever YAML takes it for: 2001-09-11 is a date to it.
func (r *calendarReader) text(n *yaml.Node, where string) (string, error) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return "", r.fail(n, "%s: want a text, have %s", where, kindOf(n))
	}
	return n.Value, nil
}

// into reads a text into a string.
func (r *calendarReader) into(dst *string) func(*yaml.Node, string) error {
	return func(n *yaml.Node, where string) (err error) {
		*dst, err = r.text(n, where)
		return err
	}
}

// checked reads a text that check must accept.
func (r *calendarReader) checked(dst *string, check func(string) error) func(*yaml.Node, string) error {
	return func(n *yaml.Node, where string) (err error) {
		if *dst, err = r.text(n, where); err != nil {
			return err
		}
		if err := check(*dst); err != nil {
			return r.fail(n, "%s: %v", where, err)
		}
		return nil
	}
}

func checkDate(s string) error {
	_, err := parseDate(s)
	return err
}

func checkClock(s string) error {
	_, err := parseClock(s)
	return err
}

func checkInstant(s string) error {
	if _, err := time.Parse(time.RFC3339, s); err != nil {
		return fmt.Errorf("time %q is not of the form 2018-02-08T00:27:00Z", s)
	}
	return nil
}

// CheckCalendarName returns an error unless s can be the name of a calendar:
// 1 to 40 characters out of A-Z a-z 0-9 . _ -, the first a letter or a digit.
func CheckCalendarName(s string) error {
	ok := s != "" && len(s) <= 40
	for i, c := range []byte(s) {
		alnum := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		ok = ok && (alnum || i > 0 && (c == '.' || c == '_' || c == '-'))
	}
	if !ok {
		return fmt.Errorf("calendar name %q is not 1 to 40 characters out of A-Z a-z 0-9 . _ -", s)
	}
	return nil
}

// list calls f for every item of a list.
func (r *calendarReader) list(f func(n *yaml.Node, where string) error) func(*yaml.Node, string) error {
	return func(n *yaml.Node, where string) error {
		if n.Kind != yaml.SequenceNode {
			return r.fail(n, "%s: want a list, have %s", where, kindOf(n))
		}
		for i, x := range n.Content {
			if err := f(x, fmt.Sprintf("%s %d", where, i+1)); err != nil {
				return err
			}
		}
		return nil
	}
}

func (r *calendarReader) document(n *yaml.Node) error {
	d := &r.out.data
	return r.fields(n, "calendar",
		field{"name", true, r.checked(&d.Name, CheckCalendarName)},
		field{"title", false, r.into(&d.Title)},
		field{"aliases", false, r.list(func(n *yaml.Node, where string) error {
			var s string
			err := r.checked(&s, CheckCalendarName)(n, where)
			d.Aliases = append(d.Aliases, s)
			return err
		})},
		field{"extends", false, r.checked(&r.out.extends, CheckCalendarName)},
		field{"zone", false, r.checked(&d.Zone, func(s string) error {
			if _, err := time.LoadLocation(s); err != nil || s == "" || s == "Local" {
				return fmt.Errorf("zone %q is unknown: give an IANA name such as Europe/London", s)
			}
			return nil
		})},
		field{"always", false, func(n *yaml.Node, where string) error {
			if n.Value != "true" && n.Value != "false" {
				return r.fail(n, "%s: want true or false, have %s", where, kindOf(n))
			}
			d.Always = n.Value == "true"
			return nil
		}},
		field{"from", false, r.checked(&d.From, checkDate)},
		field{"to", false, r.checked(&d.To, checkDate)},
		field{"sources", false, r.readSources},
		field{"sessions", false, r.list(r.session)},
		field{"yearly", false, r.list(r.yearly)},
		field{"dated", false, r.list(r.dated)},
		field{"pauses", false, r.list(r.pause)},
	)
}

func (r *calendarReader) readSources(n *yaml.Node, where string) error {
	if n.Kind != yaml.MappingNode {
		return r.fail(n, "%s: want key: document pairs, have %s", where, kindOf(n))
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i].Value
		if _, twice := r.sources[k]; twice {
			return r.fail(n.Content[i], "%s: the key %q occurs twice", where, k)
		}
		text, err := r.text(n.Content[i+1], where+": "+k)
		if err != nil {
			return err
		}
		r.sources[k] = text
	}
	return nil
}

// source reads the key of a source; every row has one.
func (r *calendarReader) source(dst *string) field {
	return field{"source", true, func(n *yaml.Node, where string) error {
		key, err := r.text(n, where)
		if err != nil {
			return err
		}
		text, ok := r.sources[key]
		if !ok {
			return r.fail(n, "%s: %q is not among the sources of the file (%s)", where, key, strings.Join(slices.Sorted(maps.Keys(r.sources)), ", "))
		}
		*dst = text
		return nil
	}}
}

func (r *calendarReader) session(n *yaml.Node, where string) error {
	var x SessionRule
	if err := r.fields(n, where,
		field{"from", false, r.checked(&x.From, checkDate)},
		field{"to", false, r.checked(&x.To, checkDate)},
		field{"days", true, r.weekdays(&x.Days)},
		field{"open", true, r.checked(&x.Open, checkClock)},
		field{"close", true, r.checked(&x.Close, checkClock)},
		field{"breaks", false, r.breaks(&x.Breaks)},
		r.source(&x.Source),
	); err != nil {
		return err
	}
	r.out.data.Sessions = append(r.out.data.Sessions, x)
	return nil
}

func (r *calendarReader) breaks(dst *[]Break) func(*yaml.Node, string) error {
	read := r.list(func(n *yaml.Node, where string) error {
		s, err := r.text(n, where)
		if err != nil {
			return err
		}
		// A clock may hold a "-" itself: 17:00-1d.
		for i := range s {
			if s[i] == '-' && checkClock(s[:i]) == nil && checkClock(s[i+1:]) == nil {
				*dst = append(*dst, Break{s[:i], s[i+1:]})
				return nil
			}
		}
		return r.fail(n, "%s: break %q is not of the form 11:30-12:30", where, s)
	})
	return func(n *yaml.Node, where string) error {
		*dst = []Break{}
		return read(n, where)
	}
}

// hours are the keys of changed hours.
func (r *calendarReader) hours(h *Hours) []field {
	return []field{
		{"open", false, r.checked(&h.Open, checkClock)},
		{"close", false, r.checked(&h.Close, checkClock)},
		{"breaks", false, r.breaks(&h.Breaks)},
	}
}

func (r *calendarReader) yearly(n *yaml.Node, where string) error {
	var x YearlyChange
	if err := r.fields(n, where, append([]field{
		{"reason", true, r.into(&x.Reason)},
		{"day", true, func(n *yaml.Node, where string) error {
			s, err := r.text(n, where)
			if err != nil {
				return err
			}
			if err := parseDayRule(s, &x.On); err != nil {
				return r.fail(n, "%s: %v", where, err)
			}
			return nil
		}},
		{"move", false, r.moves(&x.On.Move)},
		{"only", false, r.weekdays(&x.On.Only)},
		{"from", false, r.year(&x.From)},
		{"to", false, r.year(&x.To)},
		{"except", false, r.list(func(n *yaml.Node, where string) error {
			var y int
			err := r.year(&y)(n, where)
			x.Except = append(x.Except, y)
			return err
		})},
		r.source(&x.Source),
	}, r.hours(&x.Hours)...)...); err != nil {
		return err
	}
	r.out.data.Yearly = append(r.out.data.Yearly, x)
	return nil
}

func (r *calendarReader) year(dst *int) func(*yaml.Node, string) error {
	return func(n *yaml.Node, where string) error {
		y, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || y < 1800 || y > 2500 {
			return r.fail(n, "%s: want a year, have %s", where, kindOf(n))
		}
		*dst = y
		return nil
	}
}

func (r *calendarReader) moves(dst *[7]int8) func(*yaml.Node, string) error {
	return func(n *yaml.Node, where string) error {
		if n.Kind != yaml.MappingNode {
			return r.fail(n, "%s: want weekdays and days, such as {sat: -1, sun: 1}, have %s", where, kindOf(n))
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			day, ok := weekdayOf(k.Value)
			if !ok {
				return r.fail(k, "%s: %q is no weekday: use mon tue wed thu fri sat sun", where, k.Value)
			}
			by, err := strconv.ParseInt(v.Value, 10, 8)
			if err != nil || by < -7 || by > 7 {
				return r.fail(v, "%s: %s is not a number of days from -7 to 7", where, kindOf(v))
			}
			dst[day] = int8(by)
		}
		return nil
	}
}

// common are the keys of what is not a rule.
func (r *calendarReader) common(reason *string, notice *Notice, announced, source *string) []field {
	return []field{
		{"reason", true, r.into(reason)},
		{"notice", false, func(n *yaml.Node, where string) error {
			for k := Scheduled; k <= Unannounced; k++ {
				if n.Value == k.String() {
					*notice = k
					return nil
				}
			}
			return r.fail(n, "%s: want scheduled, announced or unannounced, have %s", where, kindOf(n))
		}},
		{"announced", false, r.checked(announced, checkDate)},
		r.source(source),
	}
}

func (r *calendarReader) dated(n *yaml.Node, where string) error {
	var x DatedChange
	var dates []string
	if err := r.fields(n, where, slices.Concat(
		r.common(&x.Reason, &x.Notice, &x.Announced, &x.Source),
		[]field{
			{"date", false, r.checked(&x.Date, checkDate)},
			{"to", false, r.checked(&x.To, checkDate)},
			{"dates", false, r.list(func(n *yaml.Node, where string) error {
				var s string
				err := r.checked(&s, checkDate)(n, where)
				dates = append(dates, s)
				return err
			})},
		},
		r.hours(&x.Hours),
	)...); err != nil {
		return err
	}
	switch {
	case (x.Date == "") == (dates == nil), x.To != "" && dates != nil:
		return r.fail(n, "%s: give a date, a date and a to, or dates", where)
	case dates == nil:
		dates = []string{x.Date}
	}
	for _, s := range dates {
		x.Date = s
		r.out.data.Dated = append(r.out.data.Dated, x)
	}
	return nil
}

func (r *calendarReader) pause(n *yaml.Node, where string) error {
	var x Pause
	if err := r.fields(n, where, append(
		r.common(&x.Reason, &x.Notice, &x.Announced, &x.Source),
		field{"from", true, r.checked(&x.From, checkInstant)},
		field{"to", true, r.checked(&x.To, checkInstant)},
	)...); err != nil {
		return err
	}
	if _, err := x.span(); err != nil {
		return r.fail(n, "%s: %v", where, err)
	}
	r.out.data.Pauses = append(r.out.data.Pauses, x)
	return nil
}

var weekdayNames = [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// weekdayOf reads mon, Mon or Monday.
func weekdayOf(s string) (time.Weekday, bool) {
	s = strings.ToLower(s)
	for d, name := range weekdayNames {
		if s == name || s == strings.ToLower(time.Weekday(d).String()) {
			return time.Weekday(d), true
		}
	}
	return 0, false
}

// weekdays reads mon-fri, sat or [mon, wed].
func (r *calendarReader) weekdays(dst *Weekdays) func(*yaml.Node, string) error {
	return func(n *yaml.Node, where string) error {
		items := []*yaml.Node{n}
		if n.Kind == yaml.SequenceNode {
			items = n.Content
		}
		for _, x := range items {
			first, last, ranged := strings.Cut(x.Value, "-")
			if !ranged {
				last = first
			}
			a, okA := weekdayOf(first)
			b, okB := weekdayOf(last)
			if x.Kind != yaml.ScalarNode || !okA || !okB {
				return r.fail(x, "%s: want mon-fri, sat or [mon, wed], have %s", where, kindOf(x))
			}
			for d := a; ; d = (d + 1) % 7 {
				*dst |= 1 << d
				if d == b {
					break
				}
			}
		}
		if *dst == 0 {
			return r.fail(n, "%s: the list of weekdays is empty", where)
		}
		return nil
	}
}

const dayForms = "use Jan 1, 3rd Mon of Feb, last Mon of May, Mon on or before May 24, Easter -2, Orthodox Easter, lunar 1-1, Qingming, Vernal Equinox, Autumnal Equinox or hebrew 7-1, each with +N or -N days behind it"

// parseDayRule reads the day of a yearly row.
func parseDayRule(s string, r *DayRule) error {
	bad := fmt.Errorf("day %q is not understood: %s", s, dayForms)
	w := strings.Fields(strings.ToLower(s))
	if n := len(w); n > 1 && (w[n-1][0] == '+' || w[n-1][0] == '-') {
		by, err := strconv.Atoi(w[n-1])
		if err != nil || by < -60 || by > 60 {
			return bad
		}
		r.Plus, w = by, w[:n-1]
	}
	ok := true
	switch joined := strings.Join(w, " "); {
	case joined == "easter":
		r.Kind = Easter
	case joined == "orthodox easter":
		r.Kind = OrthodoxEaster
	case joined == "qingming":
		r.Kind = Qingming
	case joined == "vernal equinox":
		r.Kind = VernalEquinox
	case joined == "autumnal equinox":
		r.Kind = AutumnalEquinox
	case len(w) == 2 && (w[0] == "lunar" || w[0] == "hebrew"):
		r.Kind = LunarDate
		if w[0] == "hebrew" {
			r.Kind = HebrewDate
		}
		month, day, _ := strings.Cut(w[1], "-")
		m, err1 := strconv.Atoi(month)
		d, err2 := strconv.Atoi(day)
		ok = err1 == nil && err2 == nil
		r.Month, r.Day = time.Month(m), d
	case len(w) == 4 && w[2] == "of":
		r.Kind = NthWeekday
		var day bool
		r.Weekday, day = weekdayOf(w[1])
		r.Nth = map[string]int{"1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5, "last": -1}[w[0]]
		r.Month, ok = monthOf(w[3])
		ok = ok && day && r.Nth != 0
	case len(w) == 6 && w[1] == "on" && w[2] == "or" && (w[3] == "before" || w[3] == "after"):
		r.Kind = WeekdayOnOrBefore
		if w[3] == "after" {
			r.Kind = WeekdayOnOrAfter
		}
		ok = r.weekdayAnd(w[0], w[4], w[5])
	case len(w) == 4 && (w[1] == "before" || w[1] == "after"):
		// Strictly before a date is on or before the day before it; the last day
		// of February is never meant.
		ok = r.weekdayAnd(w[0], w[2], w[3]) && r.Day > 1
		if r.Kind, r.Day = WeekdayOnOrBefore, r.Day-1; w[1] == "after" {
			r.Kind, r.Day = WeekdayOnOrAfter, r.Day+2
		}
	case len(w) == 2:
		r.Kind = FixedDate
		r.Month, ok = monthOf(w[0])
		d, err := strconv.Atoi(w[1])
		ok, r.Day = ok && err == nil, d
	default:
		ok = false
	}
	if !ok {
		return bad
	}
	return r.check()
}

func (r *DayRule) weekdayAnd(weekday, month, day string) bool {
	var okDay, okMonth bool
	r.Weekday, okDay = weekdayOf(weekday)
	r.Month, okMonth = monthOf(month)
	d, err := strconv.Atoi(day)
	r.Day = d
	return okDay && okMonth && err == nil
}

// monthOf reads jan or january.
func monthOf(s string) (time.Month, bool) {
	for m := time.January; m <= time.December; m++ {
		name := strings.ToLower(m.String())
		if s == name || s == name[:3] {
			return m, true
		}
	}
	return 0, false
}
