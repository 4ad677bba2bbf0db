package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // --tz must work where the machine has no zones

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
)

// importFlags are the flags of import as given.
type importFlags struct {
	symbol, interval, source, format, tz, stamp, date, onConflict, calendar, timeFormat, entry string
	columns, selected                                                                          map[string]string
	priceScale                                                                                 float64
}

func (a *app) importCommand() *cobra.Command {
	var in importFlags
	c := &cobra.Command{
		Use:   "import FILE... --symbol S [--interval I]",
		Short: "Read bars from files into the store",
		Long: "Read bars from files (- is standard input): CSV and its relatives, JSON, NDJSON,\n" +
			"Parquet, Arrow and feather, also in gz, zst, bz2, zip and tar. What a file holds is\n" +
			"detected and printed, also the interval, unless it is given. To import a file again\n" +
			"changes nothing, so a broken import is repeated with the same command.",
		Args:    cobra.MinimumNArgs(1),
		PreRunE: func(_ *cobra.Command, files []string) error { return in.checkSymbol(files) },
		RunE:    func(c *cobra.Command, files []string) error { return a.importFiles(c.Context(), in, files) },
	}
	f := c.Flags()
	f.StringVar(&in.symbol, "symbol", "", "symbol, such as BTCUSDT")
	f.StringVar(&in.interval, "interval", "", "width of a bar, such as 1m (default: detected)")
	f.StringVar(&in.source, "source", "import", "who said the bars, kept with each of them")
	f.StringVar(&in.format, "format", "auto", "csv, json, ndjson, columns, parquet, arrow, or auto")
	f.StringToStringVar(&in.columns, "map", nil, "columns by name or number from 0: time=ts,open=1; - leaves a field out")
	f.StringVar(&in.tz, "tz", "", "zone of local times, such as America/New_York")
	f.StringVar(&in.stamp, "stamp", "start", "what the times of the file are: start or end of the bar")
	f.Float64Var(&in.priceScale, "price-scale", 0, "divide prices by this, such as 10000")
	f.StringVar(&in.date, "date", "", "day of times that count from midnight, YYYY-MM-DD")
	f.StringVar(&in.timeFormat, "time-format", "", "how times are written where it is not clear: mdy, dmy, s, ms, us, ns, ms-of-day")
	f.StringToStringVar(&in.selected, "select", nil, "keep rows whose column has the value: symbol=BTCUSDT")
	f.StringVar(&in.entry, "entry", "", "entry of an archive, or a pattern")
	f.StringVar(&in.onConflict, "on-conflict", "replace", "where a different bar is stored: keep, replace, quarantine")
	f.StringVar(&in.calendar, "calendar", "", "calendar of the symbol, such as XNYS (default 24x7)")
	return c
}

// checkSymbol returns an error if there is no symbol. What the first file name
// suggests is for the message only: names of files lie.
func (in importFlags) checkSymbol(files []string) error {
	if in.symbol != "" {
		if err := series.CheckSymbol(in.symbol); err != nil {
			return usageError{err}
		}
		return nil
	}
	if s := suggestedSymbol(files[0]); s != "" {
		return usagef("name the symbol with --symbol: the name of %s suggests --symbol %s", files[0], s)
	}
	return usagef("name the symbol with --symbol, such as --symbol BTCUSDT")
}

// tickerInName is a ticker in capitals at the start of a file name, as in
// BTCUSDT-1m-2024-01.zip.
var tickerInName = regexp.MustCompile(`^[A-Z][A-Z0-9]*`)

func suggestedSymbol(file string) string {
	name, _, _ := strings.Cut(filepath.Base(file), ".")
	s := tickerInName.FindString(name)
	if rest := name[len(s):]; len(s) < 2 || rest != "" && !strings.ContainsAny(rest[:1], "-_ ") {
		return ""
	}
	return s
}

// options turns the flags into those of the reader.
// options reads the flags. calendars are those that --calendar can name; nil
// leaves that to a server.
func (in importFlags) options(calendars *series.Calendars) (barfile.Options, error) {
	var interval series.Interval
	var err error
	if in.interval != "" {
		if interval, err = series.ParseInterval(in.interval); err != nil {
			return barfile.Options{}, usageError{err}
		}
	}
	o := barfile.Options{
		Map: in.columns, Interval: interval, PriceScale: in.priceScale, Date: in.date, TimeFormat: in.timeFormat,
		Select: in.selected, Entry: in.entry, Now: series.TimeOf(time.Now()),
	}
	if o.Format, err = barfile.ParseFormat(in.format); err != nil {
		return o, usagef("--format: %w", err)
	}
	if in.tz != "" {
		if o.Zone, err = time.LoadLocation(in.tz); err != nil {
			return o, usagef("--tz %q is not a zone: give a name such as America/New_York or UTC", in.tz)
		}
	}
	if err := oneOf(in.stamp, "start", "end"); err != nil {
		return o, usagef("--stamp: %w", err)
	}
	o.StampEnd = in.stamp == "end"
	if in.priceScale < 0 {
		return o, usagef("--price-scale %v is below 0", in.priceScale)
	}
	if err := oneOf(in.onConflict, "keep", "replace", "quarantine"); err != nil {
		return o, usagef("--on-conflict: %w", err)
	}
	if in.calendar != "" && calendars != nil {
		if _, err := calendars.Get(in.calendar); err != nil {
			return o, usagef("--calendar: %w", err)
		}
	}
	return o, nil
}

// importFiles reads the files one after the other.
func (a *app) importFiles(ctx context.Context, in importFlags, files []string) (err error) {
	var calendars *series.Calendars
	if a.cfg.URL == "" {
		if calendars, err = a.calendars(); err != nil {
			return err
		}
	}
	o, err := in.options(calendars)
	if err != nil {
		return err
	}
	for _, f := range files { // before a store is made for nothing
		if f != "-" {
			if _, err := os.Stat(f); err != nil {
				return err
			}
		}
	}
	opened, err := a.detectInterval(files, &o)
	defer func() {
		if opened != nil {
			_ = opened.Close() // it was only read
		}
	}()
	if err != nil {
		return err
	}
	key := series.Key{Symbol: in.symbol, Interval: o.Interval}
	s, err := a.openSink(key, in.source, in.onConflict)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if in.calendar != "" {
		if err := s.setCalendar(ctx, in.calendar); err != nil {
			return err
		}
	}
	report := importReport{Key: key}
	short := len(files) > manyFiles
	for _, f := range files {
		one, err := a.importFile(ctx, s, f, o, opened, !short)
		report.Files = append(report.Files, one)
		if a.cfg.Output == "table" && (err == nil || one.Rows() > 0) {
			a.printFile(one, short)
		}
		if err != nil {
			return err
		}
	}
	if report.Series, err = s.summary(ctx); err != nil {
		return err
	}
	return a.printReportOfImport(report, short)
}

// detectInterval sets the interval of o, if it was not given, to the one that
// all files show. A file too short to show one takes that of the others. The
// reader of standard input, which is read once, is returned for the import.
func (a *app) detectInterval(files []string, o *barfile.Options) (opened *barfile.Reader, err error) {
	if o.Interval.Valid() {
		return nil, nil
	}
	found, probe := "", *o
	for _, f := range files {
		rd, err := a.openFile(f, probe)
		if err != nil {
			return opened, err
		}
		i := rd.Detection().Interval
		if f != "-" {
			_ = rd.Close() // it was only read
		} else if opened == nil {
			opened = rd
		}
		switch {
		case !i.Valid():
		case found == "":
			o.Interval, found = i, f
		case i != o.Interval:
			return opened, usagef("the bars of %s are %s and those of %s are %s: import them separately, or name the interval with --interval", found, o.Interval, f, i)
		}
	}
	if !o.Interval.Valid() {
		return opened, usagef("the interval cannot be told from %s: name it with --interval, such as --interval 1m", strings.Join(files[:min(len(files), 3)], ", "))
	}
	if opened != nil && opened.Detection().Interval != o.Interval {
		return opened, usagef("the interval cannot be told from standard input: name it with --interval, such as --interval %s", o.Interval)
	}
	if a.cfg.Output == "table" {
		a.printf("--interval is not given: %s is what the file%s\n", o.Interval, map[bool]string{true: " shows", false: "s show"}[len(files) == 1])
	}
	return opened, nil
}

// openFile opens a file of the command line.
func (a *app) openFile(name string, o barfile.Options) (*barfile.Reader, error) {
	if name == "-" {
		return barfile.Open(a.stdin, o)
	}
	return barfile.OpenFile(name, o)
}

// importChunk is how many bars are read and written at a time: enough to build
// whole blocks, little enough to stop soon.
const importChunk = 1 << 18

// importFile writes one file to s. Standard input that was opened before comes
// as opened; aloud says whether what was detected is printed.
func (a *app) importFile(ctx context.Context, s sink, name string, o barfile.Options, opened *barfile.Reader, aloud bool) (out fileReport, err error) {
	out = fileReport{File: name, Rejects: []reject{}}
	rd := opened
	if name != "-" || opened == nil {
		if rd, err = a.openFile(name, o); err != nil {
			return out, err
		}
	}
	defer rd.Close() // it was only read
	out.Detection = rd.Detection()
	if a.cfg.Output == "table" && aloud {
		a.printf("%s: %s\n", name, strings.ReplaceAll(out.Detection.String(), "\n", "\n  "))
	}
	_, total := rd.Progress()
	p := a.progress(name, "bytes", total)
	defer p.done()
	warned := len(out.Detection.Warnings)
	var cols series.Columns
	for {
		if ctx.Err() != nil {
			return out, fmt.Errorf("stopped after %d rows of %s: the same command goes on from there, because what is stored already is not written again", out.Rows(), name)
		}
		rejected, err := rd.Next(&cols, importChunk)
		if errors.Is(err, io.EOF) {
			out.Detection = rd.Detection()
			if !aloud && a.cfg.Output == "table" {
				return out, nil // the report has them all
			}
			for _, w := range out.Detection.Warnings[min(warned, len(out.Detection.Warnings)):] {
				a.note("warning: %s: %s\n", name, w)
			}
			return out, nil
		}
		if err != nil {
			return out, err
		}
		// A chunk that was begun is finished: ctx only ends the loop.
		res, err := s.write(context.WithoutCancel(ctx), &cols, rejected)
		if err != nil {
			return out, err
		}
		out.add(res)
		p.set(rd.Progress())
	}
}
