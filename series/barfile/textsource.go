package barfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/barkeepdb/barkeep/series"
)

// source yields the bars of one file or archive entry.
type source interface {
	// next appends up to limit bars to c and the rows that are none to rejected.
	// The error is io.EOF once there are no more rows.
	next(c *series.Columns, limit int, rejected []Rejected) ([]Rejected, error)
}

// textSource yields the bars of rows of text.
type textSource struct {
	rows rows
	plan *plan
	// first is the number of the first row of data.
	first  int
	header []byte
	// repeats counts header lines between the rows.
	repeats int
}

func (s *textSource) next(c *series.Columns, limit int, rejected []Rejected) ([]Rejected, error) {
	var b bar
	room := limit - c.Len()
	s.plan.room = min(limit, defaultRows)
	refused := len(rejected)
	for c.Len() < limit && len(rejected)-refused < room {
		cells, err := s.rows.next()
		if err != nil {
			var bad rowError
			if !errors.As(err, &bad) {
				return rejected, err
			}
			if s.rows.at() >= s.first {
				rejected = append(rejected, Rejected{Row: s.rows.at(), Reason: bad.Error(), Raw: clip(s.rows.raw())})
			}
			continue
		}
		if s.rows.at() < s.first || !s.plan.keeps(cells) {
			continue
		}
		b.kind = series.Observed
		hasTime, reason := s.plan.text(cells, &b)
		if reason == "" {
			reason = s.plan.stranger(cells)
		}
		if reason == "" {
			reason = s.plan.add(c, &b)
		}
		if reason == "" {
			continue
		}
		if s.repeatsHeader(cells) {
			s.repeats++
			continue
		}
		r := Rejected{Row: s.rows.at(), HasTime: hasTime, Reason: reason, Raw: clip(s.rows.raw())}
		if hasTime {
			r.Time = b.time
		}
		rejected = append(rejected, r)
	}
	return rejected, nil
}

// repeatsHeader reports whether a row is the header once more, as files have
// it that were appended to.
func (s *textSource) repeatsHeader(cells [][]byte) bool {
	if s.header == nil {
		return false
	}
	trimmed := make([][]byte, len(cells))
	for i, c := range cells {
		trimmed[i] = bytes.TrimSpace(c)
	}
	return bytes.Equal(bytes.Join(trimmed, []byte{0}), s.header)
}

// openText detects a text and returns its bars.
func openText(e *entry, o Options) (source, *plan, Detection, error) {
	var d Detection
	head, whole, err := e.peek(sampleBytes)
	if err != nil {
		return nil, nil, d, err
	}
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	body := io.Reader(e.r)
	if bytes.HasPrefix(mustPeek(e), []byte("\xef\xbb\xbf")) {
		if _, err := e.r.Discard(3); err != nil {
			return nil, nil, d, err
		}
	}
	trimmed := bytes.TrimLeft(head, " \r\n\t")
	if len(trimmed) == 0 {
		if !whole { // what follows would be taken for nothing
			return nil, nil, d, fmt.Errorf("the first %d bytes are blank: this is not a file of bars", len(head))
		}
		if o.Format == Auto || o.Format == CSV || o.Format == NDJSON {
			return nil, nil, d, errEmpty
		}
	}
	if isJSON := len(trimmed) > 0 && (trimmed[0] == '[' || trimmed[0] == '{'); isJSON {
		return openJSON(e, body, head, whole, o)
	}
	if o.Format != Auto && o.Format != CSV {
		return nil, nil, d, fmt.Errorf("the format %s was asked for, but this is text that starts with %.40q", o.Format, clip(trimmed[:min(len(trimmed), 40)]))
	}
	if !whole {
		head = head[:bytes.LastIndexByte(head, '\n')+1]
	}
	delim, ok := findDelimiter(head)
	if !ok {
		return nil, nil, d, fmt.Errorf("no delimiter (comma, tab, semicolon, |, space) splits the lines into columns; the file starts with %.60q", clip(trimmed[:min(len(trimmed), 60)]))
	}
	sm, err := readSample(newCSVRows(bytes.NewReader(head), delim), whole)
	if err != nil {
		return nil, nil, d, err
	}
	sm.splitHeader()
	d.Format, d.Delimiter, d.Header = CSV.String(), string(delim), sm.header != nil
	p, err := sm.plan(o, e, &d)
	if err != nil {
		return nil, nil, d, err
	}
	return &textSource{rows: newCSVRows(body, delim), plan: p, first: sm.first, header: sm.header}, p, d, nil
}

// errEmpty is an entry without rows.
var errEmpty = errors.New("the file is empty")

// openJSON detects a JSON text and returns its bars.
func openJSON(e *entry, body io.Reader, head []byte, whole bool, o Options) (source, *plan, Detection, error) {
	var d Detection
	shape, err := findShape(head, whole)
	if err != nil {
		return nil, nil, d, err
	}
	d.Format = JSON.String()
	switch {
	case shape.lines:
		d.Format = NDJSON.String()
	case shape.columns:
		d.Format = Columns.String()
	}
	if o.Format != Auto && o.Format.String() != d.Format && (o.Format == CSV || o.Format == Parquet || o.Format == Arrow) {
		return nil, nil, d, fmt.Errorf("the format %s was asked for, but this is %s", o.Format, d.Format)
	}
	if shape.columns {
		c, err := newJSONColumns(body, o.maxMemory()/2) // twice of it while it grows
		if err != nil {
			return nil, nil, d, err
		}
		saved := append([]int(nil), c.cursors...)
		sm, err := readSample(limitRows{c, 20000}, true)
		if err != nil {
			return nil, nil, d, err
		}
		c.cursors, c.row = saved, 0
		return openRows(c, sm, e, o, d)
	}
	sm, err := readSample(newJSONRows(bytes.NewReader(head[min(shape.start, len(head)):]), shape), whole)
	if err != nil {
		return nil, nil, d, err
	}
	if _, err := e.r.Discard(shape.start); err != nil {
		return nil, nil, d, err
	}
	return openRows(newJSONRows(body, shape), sm, e, o, d)
}

// openRows finishes what openJSON began.
func openRows(r rows, sm *sample, e *entry, o Options, d Detection) (source, *plan, Detection, error) {
	sm.splitHeader()
	sm.width = max(sm.width, len(sm.columnNames))
	d.Header = sm.columnNames != nil
	if len(sm.rows) == 0 && sm.columnNames == nil {
		return nil, nil, d, errEmpty
	}
	p, err := sm.plan(o, e, &d)
	if err != nil {
		return nil, nil, d, err
	}
	return &textSource{rows: r, plan: p, first: sm.first, header: sm.header}, p, d, nil
}

// limitRows ends after some rows.
type limitRows struct {
	rows
	limit int
}

func (l limitRows) next() ([][]byte, error) {
	if l.at() >= l.limit {
		return nil, io.EOF
	}
	return l.rows.next()
}

// plan settles how the rows of the sample, and all after them, become bars.
func (sm *sample) plan(o Options, e *entry, d *Detection) (*plan, error) {
	p := &plan{interval: o.Interval, stampEnd: o.StampEnd, now: o.Now}
	if err := p.setScale(o.PriceScale); err != nil {
		return nil, err
	}
	if err := p.selectRows(o.Select, sm.columnNames, sm.width); err != nil {
		return nil, err
	}
	p.comma = d.Delimiter != "," && sm.decimalComma()
	if p.comma {
		sm.replaceCommas()
	}
	var err error
	var warnings []string
	if p.columns, warnings, err = sm.infer(o); err != nil {
		return nil, err
	}
	if err := sm.oneSymbol(p); err != nil {
		return nil, &undecided{err}
	}
	d.Warnings = append(d.Warnings, warnings...)
	days, hasDate, err := e.date(o)
	if err != nil {
		return nil, &undecided{err}
	}
	if p.spec, warnings, err = sm.inferSpec(p.columns, o, days, hasDate); err != nil {
		return nil, &undecided{err}
	}
	d.Warnings = append(d.Warnings, warnings...)
	sm.inferDates(p, o)
	d.Columns = make(map[string]string)
	for f := range numFields {
		if p.columns.has(f) {
			d.Columns[f.String()] = sm.columnName(p.columns[f])
		}
	}
	if err := sm.measure(p, d); err != nil {
		return nil, &undecided{err}
	}
	return p, nil
}

// selectRows resolves Options.Select.
func (p *plan) selectRows(o map[string]string, names []string, width int) error {
	for _, name := range sortedKeys(o) {
		c, err := columnNamed(name, names, width)
		if err != nil {
			return fmt.Errorf("--select %s=%s: %w", name, o[name], err)
		}
		p.selected = append(p.selected, selection{c, o[name]})
	}
	return nil
}

// symbolNames are columns that say which instrument a row is about.
var symbolNames = []string{"symbol", "ticker", "tic", "pair", "instrument", "code", "tscode", "asset", "coin", "name", "stock", "security", "permno", "tickersymbol"}

// oneSymbol refuses a file of several instruments from which none was picked.
func (sm *sample) oneSymbol(p *plan) error {
	for c, n := range sm.columnNames {
		if !slices.Contains(symbolNames, canonical(n)) || len(sm.rows) == 0 || slices.ContainsFunc(p.selected, func(s selection) bool { return s.column == c }) {
			continue
		}
		var values []string
		for _, r := range sm.rows {
			if c < len(r) && len(r[c]) > 0 && !slices.ContainsFunc(values, func(v string) bool { return canonical(v) == canonical(string(r[c])) }) {
				values = append(values, string(r[c]))
			}
			if len(values) > 3 {
				break
			}
		}
		if len(values) > 1 && (len(values) > 3 || len(p.selected) == 0) {
			return fmt.Errorf("the column %s names several instruments (%s, ...): pick one with --select %s=%s", n, strings.Join(values, ", "), n, values[0])
		}
		if len(values) == 1 {
			p.only = &selection{c, canonical(values[0])}
		}
		return nil
	}
	return nil
}

// decimalComma reports whether numbers are written 1,5: some cell has a comma
// that cannot separate thousands, and none has a point.
func (sm *sample) decimalComma() bool {
	found := false
	for i, r := range sm.rows {
		if i == 200 {
			break
		}
		for _, c := range r {
			at := bytes.IndexByte(c, ',')
			if at <= 0 || bytes.IndexByte(c[at+1:], ',') >= 0 || len(bytes.Trim(c, "+-0123456789,")) > 0 {
				continue
			}
			if len(c)-at != 4 || c[0] == '0' {
				found = true
			}
		}
	}
	return found
}

func (sm *sample) replaceCommas() {
	for _, r := range sm.rows {
		for i, c := range r {
			if len(bytes.Trim(c, "+-0123456789,")) == 0 {
				r[i] = bytes.ReplaceAll(c, []byte{','}, []byte{'.'})
			}
		}
	}
}
