package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
)

// reject is a row that was not stored.
type reject struct {
	Row    int64        `json:"row"` // of the file; 0 where the store refused it
	Time   *series.Time `json:"time"`
	Reason string       `json:"reason"`
}

// fileReport says what became of the rows of one file.
type fileReport struct {
	File      string            `json:"file"`
	Detection barfile.Detection `json:"detection"`
	Read      int64             `json:"read"`
	Written   int64             `json:"written"`
	Unchanged int64             `json:"unchanged"`
	Conflicts int64             `json:"conflicts"`
	Rejected  int64             `json:"rejected"`
	Rejects   []reject          `json:"rejects"` // the first of them
	Kept      bool              `json:"-"`       // rejects are in quarantine
}

// Rows is the number of rows that were read.
func (f *fileReport) Rows() int64 { return f.Read }

// listRejects is how many rejected rows are printed per file.
const listRejects = 20

// add counts what became of a chunk.
func (f *fileReport) add(res chunkResult) {
	f.Read += res.read
	f.Written += res.written
	f.Unchanged += res.unchanged
	f.Conflicts += res.conflicts
	f.Rejected += int64(len(res.rejects)) + res.more
	f.Kept = res.kept
	f.Rejects = append(f.Rejects, res.rejects[:min(len(res.rejects), listRejects-len(f.Rejects))]...)
}

// seriesSummary is what the series looks like after an import.
type seriesSummary struct {
	Bars    int64 `json:"bars"`
	Bytes   int64 `json:"bytes"`
	Gaps    int   `json:"gaps"`
	Missing int64 `json:"missing"`
	// First is when the first bar opens, nil if there is none.
	First *series.Time `json:"first"`
}

// importReport is the whole import.
type importReport struct {
	series.Key
	Files  []fileReport  `json:"files"`
	Series seriesSummary `json:"series"`
}

// String writes the counts on one line.
func (f *fileReport) String() string {
	return fmt.Sprintf("read %d rows: %d written, %d unchanged, %d conflicts, %d rejected", f.Read, f.Written, f.Unchanged, f.Conflicts, f.Rejected)
}

// manyFiles is up to how many files an import prints in full. More get one
// line each, and what they have in common once, at the end.
const manyFiles = 3

func (a *app) printFile(f fileReport, short bool) {
	if short {
		a.printf("%s: %s\n", f.File, &f)
		return
	}
	a.printf("  %s\n", &f)
	a.printRejects([]fileReport{f})
}

// printTotals ends the report of many files.
func (a *app) printTotals(files []fileReport) {
	var all fileReport
	var warnings []string
	from := map[string][]string{} // the files of a warning
	for _, f := range files {
		all.Read += f.Read
		all.Written += f.Written
		all.Unchanged += f.Unchanged
		all.Conflicts += f.Conflicts
		all.Rejected += f.Rejected
		for _, w := range f.Detection.Warnings {
			if from[w] == nil {
				warnings = append(warnings, w)
			}
			from[w] = append(from[w], f.File)
		}
	}
	a.printf("%d files: %s\n", len(files), &all)
	for _, w := range warnings {
		also := ""
		if n := len(from[w]) - 1; n > 0 {
			also = fmt.Sprintf(" (and %d more)", n)
		}
		a.printf("  warning: %s%s: %s\n", from[w][0], also, w)
	}
	a.printRejects(files)
}

// printRejects lists the first rejected rows of files and says where they are.
func (a *app) printRejects(files []fileReport) {
	var total, listed int64
	kept := false
	for _, f := range files {
		total += f.Rejected
		kept = kept || f.Kept
		for _, r := range f.Rejects[:min(len(f.Rejects), listRejects-int(listed))] {
			where := ""
			if len(files) > 1 {
				where = " " + f.File
			}
			if r.Row > 0 {
				where += " row " + count(r.Row)
			}
			if r.Time != nil {
				where += " " + r.Time.String()
			}
			a.printf("  rejected%s: %s\n", where, r.Reason)
			listed++
		}
	}
	if total > listed {
		a.printf("  and %d more\n", total-listed)
	}
	switch {
	case total > 0 && kept:
		a.printf("  rejected rows are kept in quarantine\n")
	case total > 0:
		a.printf("  rows that could not be read as bars are listed here only: the server keeps what it refused itself\n")
	}
}

func (a *app) printReportOfImport(r importReport, short bool) error {
	if a.cfg.Output == "json" {
		return json.NewEncoder(a.stdout).Encode(r)
	}
	if a.cfg.Output == "csv" {
		t := newTable(a, "file", "read", "written", "unchanged", "conflicts", "rejected")
		for _, f := range r.Files {
			t.row(f.File, count(f.Read), count(f.Written), count(f.Unchanged), count(f.Conflicts), count(f.Rejected))
		}
		return t.flush()
	}
	if short {
		a.printTotals(r.Files)
	}
	size := "" // bars that wait to be packed have no size yet
	if r.Series.Bars > 0 && r.Series.Bytes > 0 {
		size = fmt.Sprintf(" %.2f bytes a bar,", float64(r.Series.Bytes)/float64(r.Series.Bars))
	}
	a.printf("%s: %d bars,%s %d gaps with %d bars missing\n", r.Key, r.Series.Bars, size, r.Series.Gaps, r.Series.Missing)
	if p := r.phase(); p != 0 {
		a.printf("its bars open %s after the full %s\n", time.Duration(p)*time.Millisecond, r.Interval)
	}
	if r.Series.Gaps > 0 {
		a.printf("list them: barkeep gaps --symbol %s --interval %s\n", r.Symbol, r.Interval)
	}
	return nil
}

// phase is by how much the store moved the grid of the series: a new one takes
// that of its first bars. A stored bar is on the grid, so the first one tells.
func (r *importReport) phase() series.Time {
	w := r.Interval.Width()
	if r.Series.First == nil || w == 0 || r.Interval >= series.Interval1w {
		return 0
	}
	return ((*r.Series.First % w) + w) % w
}
