package wire

import (
	"bytes"
	"fmt"
	"math"

	"github.com/barkeepdb/barkeep/fetch"
)

// Layout says which cell of a row holds what: an index from 1, 0 for none.
type Layout struct {
	Time, Open, High, Low, Close, Volume int
	Quote, Trades, VWAP                  int // optional; a row may be too short for them
	Unit                                 Unit
	// Final, if set, reads whether a bar has ended.
	Final func(cells [][]byte) fetch.Finality
}

// maxRows bounds the rows of an answer; no vendor sends more than 50,000.
const maxRows = 200_000

// raw cuts what a vendor wrote for a report.
func raw(v []byte) string {
	if len(v) > 200 {
		v = v[:200]
	}
	return string(v)
}

// row reads one bar.
func (l Layout) row(cells [][]byte) (fetch.Row, error) {
	nan := math.NaN()
	r := fetch.Row{QuoteVolume: nan, Trades: nan, VWAP: nan}
	need := max(l.Time, l.Open, l.High, l.Low, l.Close, l.Volume)
	if len(cells) < need {
		return r, fmt.Errorf("the row has %d cells, %d are needed", len(cells), need)
	}
	var err error
	if r.Time, err = Stamp(cells[l.Time-1], l.Unit); err != nil {
		return r, err
	}
	for _, x := range [...]struct {
		name     string
		cell     int
		optional bool
		to       *float64
	}{
		{"open", l.Open, false, &r.Open},
		{"high", l.High, false, &r.High},
		{"low", l.Low, false, &r.Low},
		{"close", l.Close, false, &r.Close},
		{"volume", l.Volume, false, &r.Volume},
		{"quote volume", l.Quote, true, &r.QuoteVolume},
		{"trades", l.Trades, true, &r.Trades},
		{"vwap", l.VWAP, true, &r.VWAP},
	} {
		if x.cell == 0 {
			if x.name == "volume" {
				r.Volume = nan
			}
			continue
		}
		if x.optional && (len(cells) < x.cell || len(cells[x.cell-1]) == 0 || string(cells[x.cell-1]) == "null") {
			continue
		}
		if *x.to, err = Number(cells[x.cell-1]); err != nil {
			return r, fmt.Errorf("%s: %w", x.name, err)
		}
	}
	if l.Final != nil {
		r.Final = l.Final(cells)
	}
	return r, nil
}

// Lists reads an array of rows that are arrays.
func (l Layout) Lists(v []byte) (fetch.Page, error) {
	var cells [][]byte
	return l.rows(v, func(item []byte) ([][]byte, error) {
		cells = cells[:0]
		err := Array(item, func(x []byte) error {
			cells = append(cells, x)
			return nil
		})
		return cells, err
	})
}

// Objects reads an array of rows that are objects; cell n of a row is its
// member keys[n-1].
func (l Layout) Objects(v []byte, keys ...string) (fetch.Page, error) {
	cells := make([][]byte, len(keys))
	return l.rows(v, func(item []byte) ([][]byte, error) {
		clear(cells)
		err := Object(item, func(key string, x []byte) error {
			for i, k := range keys {
				if k == key {
					cells[i] = x
				}
			}
			return nil
		})
		return cells, err
	})
}

// rows reads what split makes of each element. A row that cannot be read is
// refused; an element that is no row at all is an error.
func (l Layout) rows(v []byte, split func([]byte) ([][]byte, error)) (fetch.Page, error) {
	var p fetch.Page
	err := Array(v, func(item []byte) error {
		cells, err := split(item)
		if err != nil {
			return err
		}
		if len(p.Rows)+len(p.Refused) >= maxRows {
			return fmt.Errorf("the answer has more than %d rows", maxRows)
		}
		r, err := l.row(cells)
		if err != nil {
			p.Refused = append(p.Refused, fetch.Refusal{Time: r.Time, Reason: err.Error(), Raw: raw(item)})
			return nil
		}
		p.Rows = append(p.Rows, r)
		return nil
	})
	return p, err
}

// Rows reads n rows whose cells split gives, for forms that are no array of
// rows: CSV, columns, an object by time.
func (l Layout) Rows(n int, split func(i int) [][]byte) (fetch.Page, error) {
	var p fetch.Page
	if n > maxRows {
		return p, fmt.Errorf("the answer has more than %d rows", maxRows)
	}
	for i := range n {
		cells := split(i)
		r, err := l.row(cells)
		if err != nil {
			p.Refused = append(p.Refused, fetch.Refusal{Time: r.Time, Reason: err.Error(), Raw: raw(bytes.Join(cells, []byte(",")))})
			continue
		}
		p.Rows = append(p.Rows, r)
	}
	return p, nil
}
