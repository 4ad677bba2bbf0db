package main

import (
	"encoding/json"

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
}

// importReport is the whole import.
type importReport struct {
	series.Key
	Files  []fileReport  `json:"files"`
	Series seriesSummary `json:"series"`
}

func (a *app) printFile(f fileReport) {
	a.printf("  read %d rows: %d written, %d unchanged, %d conflicts, %d rejected\n", f.Read, f.Written, f.Unchanged, f.Conflicts, f.Rejected)
	for _, r := range f.Rejects {
		where := ""
		if r.Row > 0 {
			where = " row " + count(r.Row)
		}
		if r.Time != nil {
			where += " " + r.Time.String()
		}
		a.printf("  rejected%s: %s\n", where, r.Reason)
	}
	if more := f.Rejected - int64(len(f.Rejects)); more > 0 {
		a.printf("  and %d more\n", more)
	}
	switch {
	case f.Rejected > 0 && f.Kept:
		a.printf("  rejected rows are kept in quarantine\n")
	case f.Rejected > 0:
		a.printf("  rows that could not be read as bars are listed here only: the server keeps what it refused itself\n")
	}
}

func (a *app) printReportOfImport(r importReport) error {
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
	perBar := 0.0
	if r.Series.Bars > 0 {
		perBar = float64(r.Series.Bytes) / float64(r.Series.Bars)
	}
	a.printf("%s: %d bars, %.2f bytes a bar, %d gaps with %d bars missing\n", r.Key, r.Series.Bars, perBar, r.Series.Gaps, r.Series.Missing)
	if r.Series.Gaps > 0 {
		a.printf("list them: barkeep gaps --symbol %s --interval %s\n", r.Symbol, r.Interval)
	}
	return nil
}
