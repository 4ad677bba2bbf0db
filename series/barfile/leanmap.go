package barfile

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// TickerMap is what a map file of Lean says of one instrument.
type TickerMap struct {
	// Names are its tickers in order of time, in capitals, each of which begins
	// where the one before ends.
	Names []Ticker
	// Listed is the date of the first session; nil where the file begins with the
	// data that it describes, and the instrument may be older.
	Listed *series.Time
	// Delisted is the date after the last session; nil is traded on.
	Delisted *series.Time
}

// Ticker is a ticker in the time in which an instrument had it: midnights UTC of
// dates, the first belongs to it and the last does not. From is MinTime and To is
// MaxTime where nothing bounds it.
type Ticker struct {
	Name     string
	From, To series.Time
}

// Dates of Lean that stand for none: its US equities begin at the first, whatever
// was listed before, and the last row of what is still traded carries the second.
const (
	leanBegins = "19980102"
	leanEnds   = "20501231"
)

// maxTickers bounds a file: no instrument was renamed a thousand times.
const maxTickers = 1000

// ReadTickerMap reads a map file of Lean, rows of a date, a ticker and perhaps an
// exchange: up to its date, which belongs to it, the instrument has the ticker of
// a row, and the first row is dated by its first session, the last one by the
// last. Two instruments that had one ticker have two files.
//
// See github.com/QuantConnect/Lean, Common/Data/Auxiliary/MapFile.cs and the map
// files beside it (read 2026-11).
func ReadTickerMap(r io.Reader) (m TickerMap, err error) {
	in := csv.NewReader(r)
	in.FieldsPerRecord = -1
	in.TrimLeadingSpace = true
	var from series.Time
	rows := 0
	for n := 1; ; n++ {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return m, err
		}
		if rows = n; n > maxTickers {
			return m, fmt.Errorf("it has more than %d rows", maxTickers)
		}
		if len(row) < 2 || len(row) > 4 {
			return m, fmt.Errorf("row %d has %d columns: a map file has a date, a ticker and an exchange", n, len(row))
		}
		name := strings.ToUpper(strings.TrimSpace(row[1]))
		if err := series.CheckSymbol(name); err != nil {
			return m, fmt.Errorf("row %d: %w", n, err)
		}
		day, err := time.Parse("20060102", strings.TrimSpace(row[0]))
		if err != nil {
			return m, fmt.Errorf("row %d: %q is not a date such as 20200831", n, row[0])
		}
		at := series.TimeOf(day)
		to := at + series.Day
		if n == 1 {
			from = at
			if row[0] == leanBegins {
				from = series.MinTime
			} else if row[0] != leanEnds {
				m.Listed = &at
			}
		} else if at+series.Day <= m.Names[len(m.Names)-1].To {
			return m, fmt.Errorf("row %d: %s is not after the row before", n, row[0])
		}
		if m.Delisted = &to; row[0] >= leanEnds {
			to, m.Delisted = series.MaxTime, nil
		}
		if last := len(m.Names) - 1; last >= 0 && m.Names[last].Name == name {
			m.Names[last].To = to
		} else {
			m.Names = append(m.Names, Ticker{name, from, to})
		}
		from = to
	}
	switch {
	case len(m.Names) == 0:
		return m, errors.New("it holds no rows")
	case rows == 1: // it says up to when, and not from when on
		m.Names[0].From, m.Listed = series.MinTime, nil
	}
	return m, nil
}
