package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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
		Use:   "import FILE... --symbol S --interval I",
		Short: "Read bars from files into the store",
		Long: "Read bars from files (- is standard input): CSV and its relatives, JSON, NDJSON,\n" +
			"Parquet, Arrow and feather, also in gz, zst, bz2, zip and tar. What a file holds is\n" +
			"detected and printed. To import a file again changes nothing, so a broken import is\n" +
			"repeated with the same command.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, files []string) error { return a.importFiles(c.Context(), in, files) },
	}
	f := c.Flags()
	seriesFlags(c, &in.symbol, &in.interval)
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

// options turns the flags into those of the reader.
func (in importFlags) options() (barfile.Options, error) {
	interval, err := series.ParseInterval(in.interval)
	if err != nil {
		return barfile.Options{}, usageError{err}
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
	if in.calendar != "" {
		if _, err := series.CalendarByName(in.calendar); err != nil {
			return o, usagef("--calendar: %w", err)
		}
	}
	return o, nil
}

// importFiles reads the files one after the other.
func (a *app) importFiles(ctx context.Context, in importFlags, files []string) (err error) {
	o, err := in.options()
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
	for _, f := range files {
		one, err := a.importFile(ctx, s, f, o)
		report.Files = append(report.Files, one)
		if err != nil {
			if a.cfg.Output == "table" && one.Rows() > 0 {
				a.printFile(one)
			}
			return err
		}
		if a.cfg.Output == "table" {
			a.printFile(one)
		}
	}
	if report.Series, err = s.summary(ctx); err != nil {
		return err
	}
	return a.printReportOfImport(report)
}

// importChunk is how many bars are read and written at a time: enough to build
// whole blocks, little enough to stop soon.
const importChunk = 1 << 18

func (a *app) importFile(ctx context.Context, s sink, name string, o barfile.Options) (out fileReport, err error) {
	out = fileReport{File: name, Rejects: []reject{}}
	var rd *barfile.Reader
	if name == "-" {
		rd, err = barfile.Open(a.stdin, o)
	} else {
		rd, err = barfile.OpenFile(name, o)
	}
	if err != nil {
		return out, err
	}
	defer rd.Close() // it was only read
	out.Detection = rd.Detection()
	if a.cfg.Output == "table" {
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
