package barfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// jsonShape says where the rows of a JSON text are.
type jsonShape struct {
	// kind of the text.
	lines   bool // one value after the other: NDJSON
	columns bool // one array per column
	keyed   bool // rows are the values of an object whose keys are times
	empty   bool // a list without rows
	// start is the offset of the first row, past the opening bracket.
	start int
	// path names where the rows are, such as "result.list".
	path string
}

// jsonRows yields the elements of a JSON list of rows: arrays, or objects
// whose members become cells by name.
type jsonRows struct {
	textBuffer
	shape   jsonShape
	row     int
	from    int // of the current row in buf
	cells   [][]byte
	keys    []string // column names, in order of appearance
	scratch []byte
	over    bool
}

func newJSONRows(r io.Reader, shape jsonShape) *jsonRows {
	s := &jsonRows{textBuffer: textBuffer{r: r, buf: make([]byte, 128<<10)}, shape: shape}
	if shape.keyed {
		s.keys = []string{"time"}
	}
	return s
}

func (s *jsonRows) at() int         { return s.row }
func (s *jsonRows) raw() []byte     { return s.buf[s.from:s.pos] }
func (s *jsonRows) names() []string { return s.keys }

// errShort says that the buffer ends inside a value.
var errShort = errors.New("value is cut off")

// next parses a row from the buffer; where the buffer ends inside the row it
// reads more and parses the row again, once per buffer.
func (s *jsonRows) next() ([][]byte, error) {
	if s.over || s.shape.empty {
		return nil, io.EOF
	}
	for {
		cells, err := s.parse()
		if !errors.Is(err, errShort) {
			return cells, err
		}
		if s.done {
			if s.pos = s.skipSpace(s.pos); s.pos == s.end {
				s.over = true
				if s.shape.lines {
					return nil, io.EOF
				}
				return nil, fmt.Errorf("the JSON text ends after row %d without closing its list: the file is cut off", s.row)
			}
			return nil, fmt.Errorf("row %d: the JSON text is cut off", s.row+1)
		}
		if err := s.fill("row", s.row+1); err != nil {
			return nil, err
		}
	}
}

func (s *jsonRows) skipSpace(i int) int {
	for i < s.end && (s.buf[i] == ' ' || s.buf[i] == '\n' || s.buf[i] == '\r' || s.buf[i] == '\t') {
		i++
	}
	return i
}

// parse reads one row at pos.
func (s *jsonRows) parse() ([][]byte, error) {
	i := s.skipSpace(s.pos)
	if i < s.end && s.buf[i] == ',' {
		i = s.skipSpace(i + 1)
	}
	if i >= s.end {
		return nil, errShort
	}
	s.cells = s.cells[:0]
	s.scratch = s.scratch[:0]
	s.from = i
	if s.shape.keyed && s.buf[i] == '"' {
		key, j, err := s.text(i)
		if err != nil {
			return nil, err
		}
		if j = s.skipSpace(j); j >= s.end {
			return nil, errShort
		}
		if s.buf[j] != ':' {
			return nil, s.syntax(j)
		}
		s.cells = append(s.cells, key)
		if i = s.skipSpace(j + 1); i >= s.end {
			return nil, errShort
		}
	}
	var err error
	switch c := s.buf[i]; {
	case c == '[':
		i, err = s.array(i + 1)
	case c == '{':
		s.pad()
		i, err = s.object(i+1, "", 0)
	case (c == ']' || c == '}') && !s.shape.lines:
		s.over = true
		return nil, io.EOF
	default:
		return nil, s.syntax(i)
	}
	if err != nil {
		return nil, err
	}
	s.pos = i
	s.row++
	return s.cells, nil
}

// pad gives every known column an empty cell.
func (s *jsonRows) pad() {
	for len(s.cells) < len(s.keys) {
		s.cells = append(s.cells, nil)
	}
}

// array reads the elements of a row up to its closing bracket.
func (s *jsonRows) array(i int) (int, error) {
	for {
		if i = s.skipSpace(i); i >= s.end {
			return 0, errShort
		}
		if s.buf[i] == ']' {
			return i + 1, nil
		}
		cell, j, err := s.value(i)
		if err != nil {
			return 0, err
		}
		s.cells = append(s.cells, cell)
		if len(s.cells) > maxColumns {
			return 0, fmt.Errorf("row %d has more than %d values", s.row+1, maxColumns)
		}
		if i = s.skipSpace(j); i >= s.end {
			return 0, errShort
		}
		switch s.buf[i] {
		case ',':
			i++
		case ']':
		default:
			return 0, s.syntax(i)
		}
	}
}

// maxColumns bounds the columns of a row.
const maxColumns = 2000

// maxNested bounds how deep the members of a row are looked for.
const maxNested = 4

// object reads the members of a row up to its closing brace. Members of an
// object inside of it become columns named outer.inner.
func (s *jsonRows) object(i int, prefix string, depth int) (int, error) {
	column := 0
	for {
		if i = s.skipSpace(i); i >= s.end {
			return 0, errShort
		}
		if s.buf[i] == '}' {
			return i + 1, nil
		}
		key, j, err := s.text(i)
		if err != nil {
			return 0, err
		}
		if j = s.skipSpace(j); j >= s.end {
			return 0, errShort
		}
		if s.buf[j] != ':' {
			return 0, s.syntax(j)
		}
		if j = s.skipSpace(j + 1); j >= s.end {
			return 0, errShort
		}
		if s.buf[j] == '{' && depth < maxNested {
			if i, err = s.object(j+1, prefix+string(key)+".", depth+1); err != nil {
				return 0, err
			}
		} else {
			// rows of one file have the same members in the same order as a rule
			if prefix != "" || column >= len(s.keys) || s.keys[column] != string(key) {
				if column, err = s.column(prefix, key); err != nil {
					return 0, err
				}
			}
			if s.cells[column], i, err = s.value(j); err != nil {
				return 0, err
			}
			column++
		}
		if i = s.skipSpace(i); i >= s.end {
			return 0, errShort
		}
		switch s.buf[i] {
		case ',':
			i++
		case '}':
		default:
			return 0, s.syntax(i)
		}
	}
}

// column returns the number of the column that a member belongs to, a new one
// if there is none yet.
func (s *jsonRows) column(prefix string, key []byte) (int, error) {
	name := prefix + string(key)
	c := slices.Index(s.keys, name)
	if c < 0 {
		if len(s.keys) >= maxColumns {
			return 0, fmt.Errorf("row %d: the rows have more than %d different members", s.row+1, maxColumns)
		}
		c = len(s.keys)
		s.keys = append(s.keys, name)
	}
	s.pad()
	return c, nil
}

// value reads any value at i as a cell: the text of a string, the digits of a
// number, nothing for null, and objects and arrays as they stand.
func (s *jsonRows) value(i int) ([]byte, int, error) {
	switch c := s.buf[i]; c {
	case '"':
		return s.text(i)
	case '[', '{':
		j, err := skipValue(s.buf[:s.end], i)
		if err != nil {
			return nil, 0, err
		}
		return s.buf[i:j], j, nil
	default:
		j := i
		for j < s.end && !isDelimiter[s.buf[j]] {
			j++
		}
		switch {
		case j == s.end:
			return nil, 0, errShort
		case j == i:
			return nil, 0, s.syntax(i)
		case c == 'n' && string(s.buf[i:j]) == "null":
			return nil, j, nil
		}
		return s.buf[i:j], j, nil
	}
}

var isDelimiter = [256]bool{',': true, ']': true, '}': true, ' ': true, '\n': true, '\r': true, '\t': true, ':': true, '"': true, '[': true, '{': true}

// text reads the string at i.
func (s *jsonRows) text(i int) ([]byte, int, error) {
	if s.buf[i] != '"' {
		return nil, 0, s.syntax(i)
	}
	n := bytes.IndexByte(s.buf[i+1:s.end], '"')
	if n < 0 {
		return nil, 0, errShort
	}
	if bytes.IndexByte(s.buf[i+1:i+1+n], '\\') < 0 {
		return s.buf[i+1 : i+1+n], i + n + 2, nil
	}
	j, err := skipValue(s.buf[:s.end], i)
	if err != nil {
		return nil, 0, err
	}
	var t string
	if err := json.Unmarshal(s.buf[i:j], &t); err != nil {
		return nil, 0, fmt.Errorf("row %d: %w", s.row+1, err)
	}
	return []byte(t), j, nil
}

func (s *jsonRows) syntax(i int) error {
	return fmt.Errorf("row %d: %q is not JSON of rows", s.row+1, clip(s.buf[i:min(i+30, s.end)]))
}

// skipValue returns the offset past the value at i.
func skipValue(b []byte, i int) (int, error) {
	depth := 0
	for i < len(b) {
		switch c := b[i]; c {
		case '"':
			for i++; ; i++ {
				if i >= len(b) {
					return 0, errShort
				}
				if b[i] == '\\' {
					i++
				} else if b[i] == '"' {
					break
				}
			}
			i++
		case '[', '{':
			depth++
			i++
		case ']', '}':
			depth--
			i++
		case ',', ':', ' ', '\n', '\r', '\t':
			if depth == 0 {
				return 0, fmt.Errorf("%q is not a value", c)
			}
			i++
		default:
			for i < len(b) && !isDelimiter[b[i]] {
				i++
			}
		}
		if depth <= 0 {
			return i, nil
		}
	}
	return 0, errShort
}
