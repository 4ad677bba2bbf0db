package main

import (
	"bufio"
	"encoding/csv"
	"io"
	"strings"
	"unicode/utf8"
)

// table prints rows for a person, or as CSV under --output csv. A column
// whose cells are numbers is set to the right.
type table struct {
	w      *bufio.Writer
	csv    *csv.Writer // nil for a table
	head   []string
	rows   [][]string
	widths []int
	begun  bool
}

// tableRows is how many rows are looked at for the widths; a longer table
// streams on with what they were.
const tableRows = 1000

func newTable(a *app, head ...string) *table {
	t := &table{head: head, w: bufio.NewWriter(a.stdout)}
	if a.cfg.Output == "csv" {
		t.csv = csv.NewWriter(t.w)
		_ = t.csv.Write(head) // flush reports what went wrong
	}
	return t
}

func (t *table) row(cells ...string) {
	if t.csv != nil {
		_ = t.csv.Write(cells) // flush reports what went wrong
		return
	}
	if t.begun {
		t.line(cells)
		return
	}
	t.rows = append(t.rows, cells)
	if len(t.rows) == tableRows {
		t.begin()
	}
}

func (t *table) begin() {
	if t.begun {
		return
	}
	t.begun = true
	t.widths = make([]int, len(t.head))
	for _, r := range append([][]string{t.head}, t.rows...) {
		for i, c := range r {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(c))
		}
	}
	t.line(t.head)
	for _, r := range t.rows {
		t.line(r)
	}
	t.rows = nil
}

func (t *table) line(cells []string) {
	var b strings.Builder
	for i, c := range cells {
		if i > 0 {
			b.WriteString("  ")
		}
		pad := strings.Repeat(" ", max(0, t.widths[i]-utf8.RuneCountInString(c)))
		if numeric(c) {
			b.WriteString(pad + c)
		} else {
			b.WriteString(c + pad)
		}
	}
	_, _ = io.WriteString(t.w, strings.TrimRight(b.String(), " ")+"\n") // flush reports what went wrong
}

// numeric reports whether a cell reads as a number, a percentage included.
func numeric(c string) bool {
	if c == "" || strings.Trim(c, "0123456789.,-+e% ") != "" {
		return false
	}
	return c[0] >= '0' && c[0] <= '9' || len(c) > 1 && c[0] == '-'
}

func (t *table) flush() error {
	if t.csv != nil {
		t.csv.Flush()
		if err := t.csv.Error(); err != nil {
			return err
		}
	} else {
		t.begin()
	}
	return t.w.Flush()
}
