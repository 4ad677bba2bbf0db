package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/docs"
	"github.com/barkeepdb/barkeep/series"
)

// calendars are the built-in ones and those of the setting calendars.
func (a *app) calendars() (*series.Calendars, error) {
	dir := a.cfg.Calendars
	if dir == "" {
		return series.LoadCalendars(filepath.Join(a.cfg.Data, "calendars"))
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("setting calendars: %w", err)
	}
	return series.LoadCalendars(dir)
}

func (a *app) calendarsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "calendars",
		Short: "List the calendars: when each market is open",
		Long: "List the built-in calendars and those of the setting calendars, with the time for\n" +
			"which each answers and whether its market is open now.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if a.cfg.URL != "" {
				return show(c.Context(), a, "/v1/calendars", nil, func(v struct{ Calendars []api.CalendarRow }) error {
					return a.printCalendars(v.Calendars)
				})
			}
			all, err := a.calendars()
			if err != nil {
				return err
			}
			now := series.TimeOf(time.Now())
			var rows []api.CalendarRow
			for _, name := range all.Names() {
				cal, err := all.Get(name)
				if err != nil {
					return err
				}
				rows = append(rows, api.NewCalendarRow(cal, now))
			}
			if a.cfg.Output == "json" {
				return a.printJSON(map[string]any{"calendars": rows})
			}
			return a.printCalendars(rows)
		},
	}
}

func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func (a *app) printCalendars(rows []api.CalendarRow) error {
	if a.cfg.Output == "json" {
		return nil
	}
	t := newTable(a, "name", "title", "zone", "from", "to", "sessions", "now", "next_open", "next_close")
	for _, r := range rows {
		sessions, now := "-", "unknown"
		if r.Sessions != nil {
			sessions = strconv.Itoa(*r.Sessions)
		}
		if r.Open != nil {
			now = map[bool]string{true: "open", false: "closed"}[*r.Open]
		}
		t.row(r.Name, r.Title, r.Zone, dayText(r.From), dayText(r.To), sessions, now, timeText(r.NextOpen), timeText(r.NextClose))
	}
	return t.flush()
}

func dayText(t *series.Time) string {
	if t == nil {
		return "-"
	}
	return t.Std().Format(time.DateOnly)
}

// calendarFlags are the flags of calendar.
type calendarFlags struct {
	year     int
	from, to string
	answers  bool
	schema   bool
}

func (a *app) calendarCommand() *cobra.Command {
	var in calendarFlags
	c := &cobra.Command{
		Use:   "calendar NAME|FILE",
		Short: "Show the sessions and holidays of a calendar, or check a calendar file",
		Long: "Show the sessions of a calendar with their hours in the zone of the market and in\n" +
			"UTC, and the dates that depart from its weekly rules, with reason and source. The\n" +
			"path of a file checks a calendar of your own before it is used.",
		Example: "  barkeep calendar XNYS --year 2025\n  barkeep calendar ./my.yaml --from 2026-01-01 --to 2026-02-01\n  barkeep calendar XHKG --year 2024 --answers > xhkg.csv",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if in.schema {
				_, err := a.stdout.Write(docs.CalendarSchema)
				return err
			}
			if len(args) == 0 {
				return usagef("name a calendar or a file: barkeep calendars lists the names")
			}
			span, err := in.span()
			if err != nil {
				return err
			}
			return a.showCalendar(c, args[0], span, in.answers)
		},
	}
	f := c.Flags()
	f.IntVar(&in.year, "year", 0, "the sessions dated in this year (default: this year)")
	f.StringVar(&in.from, "from", "", "the sessions from this date on")
	f.StringVar(&in.to, "to", "", "the sessions before this date")
	f.BoolVar(&in.answers, "answers", false, "print session, open, close, break_start, break_end in UTC as CSV")
	f.BoolVar(&in.schema, "schema", false, "print the JSON Schema of calendar files")
	return c
}

// span is what the flags ask for.
func (in calendarFlags) span() (series.Span, error) {
	year := in.year
	if year == 0 {
		year = time.Now().Year()
	} else if in.from != "" || in.to != "" {
		return series.Span{}, usagef("--year and --from, --to exclude each other")
	}
	if year < 1800 || year > 2500 {
		return series.Span{}, usagef("--year %d is not a year from 1800 to 2500", year)
	}
	first := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
	span := series.Span{From: series.TimeOf(first), To: series.TimeOf(first.AddDate(1, 0, 0))}
	var err error
	if in.from != "" {
		if span.From, err = series.ParseTime(in.from); err != nil {
			return span, usagef("--from: %w", err)
		}
		span.To = series.TimeOf(span.From.Std().AddDate(1, 0, 0))
	}
	if in.to != "" {
		if span.To, err = series.ParseTime(in.to); err != nil {
			return span, usagef("--to: %w", err)
		}
	}
	if span.Empty() {
		return span, usagef("--to %s is not after --from %s", in.to, in.from)
	}
	return span, nil
}

// isFile reports whether an argument is the path of a calendar file.
func isFile(arg string) bool {
	switch strings.ToLower(filepath.Ext(arg)) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return strings.ContainsRune(arg, filepath.Separator)
}

func (a *app) showCalendar(c *cobra.Command, arg string, span series.Span, answers bool) error {
	print := func(v api.CalendarAnswer) error { return a.printCalendar(v, answers) }
	if a.cfg.URL != "" && !isFile(arg) {
		q := query("from", span.From.String(), "to", span.To.String())
		return show(c.Context(), a, "/v1/calendars/"+arg, q, print)
	}
	all, err := a.calendars()
	if err != nil && !isFile(arg) {
		return err
	}
	if err != nil { // the file in question may be the one that is wrong
		all = series.BuiltinCalendars()
	}
	var cal *series.Calendar
	if isFile(arg) {
		text, err := os.ReadFile(arg)
		if err != nil {
			return err
		}
		if cal, err = all.ReadCalendar(arg, text); err != nil {
			return err
		}
	} else if cal, err = all.Get(arg); err != nil {
		return fmt.Errorf("%w%s", err, nearest(arg, all.Names()))
	}
	v := api.NewCalendarAnswer(cal, span, series.TimeOf(time.Now()))
	if a.cfg.Output == "json" {
		return a.printJSON(v)
	}
	return print(v)
}

// printCalendar prints the sessions, then what departs from the rules.
func (a *app) printCalendar(v api.CalendarAnswer, answers bool) error {
	if a.cfg.Output == "json" {
		return nil
	}
	if answers {
		return a.printAnswers(v)
	}
	zone, err := time.LoadLocation(v.Zone)
	if err != nil {
		return err
	}
	if a.cfg.Output == "table" {
		a.printf("%s, %s, %s\n", v.Name, v.Title, v.Zone)
	}
	if err := a.printDays(v, zone); err != nil || a.cfg.Output == "csv" {
		return err
	}
	if len(v.Exceptions) > 0 {
		a.printf("\n")
	}
	if err := a.printExceptions(v.Exceptions); err != nil {
		return err
	}
	for _, x := range v.Shutdowns {
		a.printf("shut %s to %s: %s (%s)\n", x.From, x.To, x.Reason, x.Source)
	}
	if v.Always {
		a.printf("always open, but for what is listed as shut\n")
	} else {
		a.printf("\n%d sessions, %d exceptions\n", len(v.Days), len(v.Exceptions))
	}
	for _, u := range v.Unknown {
		a.printf("unknown from %s to %s: the calendar does not reach there\n", u.From, u.To)
	}
	return nil
}

func (a *app) printDays(v api.CalendarAnswer, zone *time.Location) error {
	if v.Always {
		return nil
	}
	local := func(t series.Time) string { return t.Std().In(zone).Format("Mon 15:04") }
	t := newTable(a, "session", "open", "close", "breaks", "open_utc", "close_utc", "minutes", "remark")
	remarks := map[string]string{}
	for _, x := range v.Exceptions {
		remarks[x.Date] = x.Reason
	}
	for _, d := range v.Days {
		var breaks []string
		for _, b := range d.Breaks {
			breaks = append(breaks, b.From.Std().In(zone).Format("15:04")+"-"+b.To.Std().In(zone).Format("15:04"))
		}
		t.row(d.Date, local(d.Open), local(d.Close), strings.Join(breaks, " "), d.Open.String(), d.Close.String(),
			strconv.FormatFloat(d.Minutes, 'f', -1, 64), remarks[d.Date])
	}
	return t.flush()
}

func (a *app) printExceptions(xs []api.CalendarException) error {
	if len(xs) == 0 {
		return nil
	}
	t := newTable(a, "date", "hours", "reason", "notice", "source")
	for _, x := range xs {
		hours := "changed"
		if x.Closed {
			hours = "closed"
		}
		notice := x.Notice
		if x.Announced != nil {
			notice += " " + *x.Announced
		}
		t.row(x.Date, hours, x.Reason, notice, x.Source)
	}
	return t.flush()
}

// printAnswers prints the sessions in the form of answer files.
func (a *app) printAnswers(v api.CalendarAnswer) error {
	w := csv.NewWriter(a.stdout)
	stamp := func(t series.Time) string { return t.Std().Format(time.RFC3339) }
	_ = w.Write([]string{"session", "open", "close", "break_start", "break_end"}) // Error tells
	for _, d := range v.Days {
		row := []string{d.Date + "T00:00:00Z", stamp(d.Open), stamp(d.Close), "", ""}
		if len(d.Breaks) > 0 {
			row[3], row[4] = stamp(d.Breaks[0].From), stamp(d.Breaks[0].To)
		}
		_ = w.Write(row)
	}
	w.Flush()
	return w.Error()
}
