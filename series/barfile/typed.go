package barfile

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// vectorKind is the type of the values of a vector.
type vectorKind uint8

const (
	vectorNone  vectorKind = iota // a type that no field has
	vectorFloat                   // float64, NaN where null
	vectorInt                     // int64
	vectorTime                    // Unix ms
	vectorText
)

// vector is a stretch of one column of a typed format.
type vector struct {
	kind  vectorKind
	float []float64
	int   []int64 // of vectorInt and vectorTime
	text  [][]byte
	arena []byte // what text points into, where the vector owns it
	null  []bool // nil: none is
	// naive says that times have no zone, date that they are dates; loc is the
	// zone that the file names for them, UTC if nil.
	naive, date bool
	loc         *time.Location
}

func (v *vector) isNull(i int) bool { return v.null != nil && v.null[i] }

// wall is what a time says in the zone of its column.
func (v *vector) wall(i int) wall {
	t := v.int[i]
	w := wall{clock: !v.date, zoned: !v.naive && !v.date}
	if v.loc != nil {
		_, s := time.UnixMilli(t).In(v.loc).Zone()
		w.offset = int64(s) * 1000
		t += w.offset
	}
	w.days = floorDiv(t, int64(series.Day))
	w.ms = t - w.days*int64(series.Day)
	return w
}

// cell writes value i as a text file would.
func (v *vector) cell(i int) []byte {
	if v.kind == vectorNone || v.isNull(i) {
		return nil
	}
	switch v.kind {
	case vectorFloat:
		if math.IsNaN(v.float[i]) {
			return nil
		}
		return strconv.AppendFloat(nil, v.float[i], 'g', -1, 64)
	case vectorInt:
		return strconv.AppendInt(nil, v.int[i], 10)
	case vectorText:
		return v.text[i]
	}
	w := v.wall(i)
	t := time.UnixMilli(w.local() - w.offset).In(time.FixedZone("", int(w.offset/1000)))
	if t.Year() < 1 || t.Year() > 9999 {
		return []byte("out of range")
	}
	switch {
	case v.date:
		return t.AppendFormat(nil, "2006-01-02")
	case v.naive:
		return t.AppendFormat(nil, "2006-01-02T15:04:05.000")
	}
	return t.AppendFormat(nil, "2006-01-02T15:04:05.000Z07:00")
}

// table is a typed file, read in stretches of rows.
type table interface {
	// columns are the names of the columns.
	columns() []string
	// use picks the columns that read fills; it starts over at the first row.
	use(columns []int) error
	// read fills the vectors of the columns in use with up to limit rows and
	// returns their number, and io.EOF after the last row.
	read(limit int, v []vector) (int, error)
	// done is the share of the file that was read.
	done() float64
}

// typedSource yields the bars of a table.
type typedSource struct {
	table table
	plan  *plan
	in    []vector // by column
	rows  int      // in the vectors
	pos   int
	row   int  // number of the last row
	bare  bool // no row needs its text: nothing is selected
}

// typedRows is how many rows of a table are decoded at a time.
const typedRows = 8192

// openTable detects the columns of t and returns its bars.
func openTable(t table, e *entry, o Options, format Format) (source, *plan, Detection, error) {
	d := Detection{Format: format.String(), Header: true}
	if o.Format != Auto && o.Format != format {
		return nil, nil, d, fmt.Errorf("the format %s was asked for, but this is %s", o.Format, format)
	}
	names := t.columns()
	all := make([]int, len(names))
	for i := range all {
		all[i] = i
	}
	sm := &sample{columnNames: names, width: len(names), first: 1}
	in := make([]vector, len(names))
	if err := t.use(all); err != nil {
		return nil, nil, d, err
	}
	for len(sm.rows) < typedRows {
		n, err := t.read(typedRows, in)
		if errors.Is(err, io.EOF) {
			sm.whole = true
			break
		}
		if err != nil {
			return nil, nil, d, err
		}
		for i := range n {
			row := make([][]byte, len(names))
			for c := range in {
				row[c] = in[c].cell(i)
			}
			sm.rows, sm.at = append(sm.rows, row), append(sm.at, len(sm.rows)+1)
		}
	}
	p, err := sm.plan(o, e, &d)
	if err != nil {
		return nil, nil, d, err
	}
	need := make(map[int]bool)
	for _, c := range p.columns {
		if c >= 0 {
			need[c] = true
		}
	}
	for _, s := range p.selected {
		need[s.column] = true
	}
	if p.only != nil {
		need[p.only.column] = true
	}
	var used []int
	for c := range names {
		if need[c] {
			used = append(used, c)
		}
	}
	if err := t.use(used); err != nil {
		return nil, nil, d, err
	}
	s := &typedSource{table: t, plan: p, in: in, bare: len(p.selected) == 0 && p.only == nil}
	return s, p, d, nil
}

func (s *typedSource) progress() float64 { return s.table.done() }

func (s *typedSource) next(c *series.Columns, limit int, rejected []Rejected) ([]Rejected, error) {
	var b bar
	room := limit - c.Len()
	s.plan.room = min(limit, defaultRows)
	refused := len(rejected)
	for c.Len() < limit && len(rejected)-refused < room {
		if s.pos == s.rows {
			n, err := s.table.read(typedRows, s.in)
			if err != nil {
				return rejected, err
			}
			s.rows, s.pos = n, 0
			continue
		}
		i := s.pos
		s.pos++
		s.row++
		reason, hasTime := "", false
		if !s.bare {
			cells := s.cells(i)
			if !s.plan.keeps(cells) {
				continue
			}
			reason = s.plan.stranger(cells)
		}
		if reason == "" {
			b.kind = series.Observed
			hasTime, reason = s.bar(i, &b)
		}
		if reason == "" {
			reason = s.plan.add(c, &b)
		}
		if reason == "" {
			continue
		}
		r := Rejected{Row: s.row, HasTime: hasTime, Reason: reason, Raw: s.raw(i)}
		if hasTime {
			r.Time = b.time
		}
		rejected = append(rejected, r)
	}
	return rejected, nil
}

// bar reads row i of the vectors.
func (s *typedSource) bar(i int, b *bar) (hasTime bool, reason string) {
	m := &s.plan.columns
	v := &s.in[m[fieldTime]]
	switch {
	case v.isNull(i):
		return false, "time is empty"
	case v.kind == vectorTime:
		w := v.wall(i)
		if reason := inRange(series.Time(w.local())); reason != "" {
			return false, reason
		}
		b.time, reason = s.plan.spec.instant(w)
	case v.kind == vectorInt && s.plan.spec.kind == timeUnix:
		t, ok := fromUnix(v.int[i], s.plan.spec.unit, s.plan.spec.below)
		if b.time, reason = s.plan.spec.session(t), inRange(t); !ok {
			reason = s.plan.spec.unreadableUnix(v.cell(i))
		}
	default:
		var clock []byte
		if c := m[fieldClock]; c >= 0 {
			clock = append([]byte{}, s.in[c].cell(i)...)
		}
		b.time, reason = s.plan.spec.parse(v.cell(i), clock)
	}
	if reason != "" {
		return false, reason
	}
	for f := fieldOpen; f <= fieldTrades; f++ {
		b.value[f] = nan
		if m[f] < 0 {
			continue
		}
		if reason := s.value(f, &s.in[m[f]], i, b); reason != "" {
			return true, reason
		}
	}
	if c := m[fieldKind]; c >= 0 {
		b.kind = kindOf(s.in[c].cell(i))
	}
	return true, ""
}

// value reads one number of row i.
func (s *typedSource) value(f field, v *vector, i int, b *bar) string {
	price := f <= fieldClose
	scaled := price && (s.plan.shift != 0 || s.plan.scale != 0)
	if v.kind == vectorFloat && !scaled {
		b.value[f] = v.float[i] // plan.add refuses what is no finite number
		return ""
	}
	cell := v.cell(i)
	var st status
	if price {
		b.value[f], st = s.plan.price(cell)
	} else {
		b.value[f], st = s.plan.quantity(cell)
	}
	if st == number || st == missing && !price {
		return ""
	}
	if v.kind == vectorFloat && math.IsInf(v.float[i], 0) {
		return f.String() + " is infinite"
	}
	return refusal(f, cell, st)
}

func (s *typedSource) cells(i int) [][]byte {
	row := make([][]byte, len(s.in))
	for c := range s.in {
		if s.in[c].kind != vectorNone {
			row[c] = s.in[c].cell(i)
		}
	}
	return row
}

// raw writes row i as a line of CSV, of the columns in use.
func (s *typedSource) raw(i int) string {
	var b []byte
	for _, cell := range s.cells(i) {
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = append(b, cell...)
	}
	return clip(b)
}

// guarded runs a call into a decoder of another module, which may panic on
// damaged bytes, and returns its panic as an error.
func guarded[T any](what string, f func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the %s data is damaged: %v", what, p)
		}
	}()
	return f()
}
