package barfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// findShape looks for the rows in the first bytes of a JSON text. whole says
// that the bytes are all of it.
func findShape(b []byte, whole bool) (jsonShape, error) {
	f := shapeFinder{b: b, whole: whole}
	i := f.space(0)
	switch {
	case i >= len(b):
		return jsonShape{empty: true}, nil
	case b[i] == '{' && f.isRow(i, 0):
		return jsonShape{lines: true, start: i}, nil
	case b[i] == '[' && f.isLine(i):
		return jsonShape{lines: true, start: i}, nil
	}
	err := f.look(i, "", 0)
	if f.found {
		return f.shape, nil
	}
	if f.arrays >= 4 && f.known >= 3 || errors.Is(err, errShort) && !whole && f.known > 0 {
		return jsonShape{columns: true, start: i}, nil
	}
	if f.empty && whole && len(b) < 4096 && f.message() == "" {
		return jsonShape{empty: true}, nil
	}
	if err != nil && !errors.Is(err, errShort) {
		return jsonShape{}, err
	}
	return jsonShape{}, fmt.Errorf("the JSON text holds no list of bars: rows are expected as [[time,open,high,low,close,volume],...], [{\"time\":...},...], one such row per line, or one array per column%s", f.message())
}

// shapeFinder walks a JSON text until it meets rows.
type shapeFinder struct {
	b      []byte
	whole  bool
	shape  jsonShape
	found  bool
	empty  bool // met a list without elements
	arrays int  // lists of scalars
	known  int  // of them, those with the name of a field
	steps  int
}

func (f *shapeFinder) space(i int) int {
	for i < len(f.b) && (f.b[i] == ' ' || f.b[i] == '\n' || f.b[i] == '\r' || f.b[i] == '\t') {
		i++
	}
	return i
}

// look walks the value at i.
func (f *shapeFinder) look(i int, path string, depth int) error {
	f.steps++
	if depth > 20 || f.steps > 10000 {
		return errShort // whatever this is, it does not begin with bars
	}
	switch f.b[i] {
	case '[':
		return f.list(i, path, depth)
	case '{':
		return f.members(i, path, depth)
	}
	return nil
}

func (f *shapeFinder) list(i int, path string, depth int) error {
	j := f.space(i + 1)
	if j >= len(f.b) {
		return errShort
	}
	switch c := f.b[j]; {
	case c == ']':
		f.empty = true
	case c == '[', c == '{' && f.isRow(j, 0):
		f.found, f.shape = true, jsonShape{start: i + 1, path: path}
	case c == '{':
		return f.look(j, path, depth+1)
	default:
		f.arrays++
		if known(path[strings.LastIndexByte(path, '.')+1:]) {
			f.known++
		}
	}
	return nil
}

func (f *shapeFinder) members(i int, path string, depth int) error {
	start := i
	for first := true; ; first = false {
		i = f.space(i + 1)
		if i >= len(f.b) {
			return errShort
		}
		if f.b[i] == '}' {
			return nil
		}
		if f.b[i] != '"' {
			return fmt.Errorf("the JSON text has %q where a name is expected", clip(f.b[i:min(i+20, len(f.b))]))
		}
		j, err := skipValue(f.b, i)
		if err != nil {
			return err
		}
		key := string(f.b[i+1 : j-1])
		if j = f.space(j); j >= len(f.b) || f.b[j] != ':' {
			return errShort
		}
		if j = f.space(j + 1); j >= len(f.b) {
			return errShort
		}
		if _, ok := parseWall([]byte(key), orderUnknown); first && ok && f.b[j] == '{' && f.isRow(j, 0) {
			f.found, f.shape = true, jsonShape{start: start + 1, keyed: true, path: path}
			return nil
		}
		if err := f.look(j, join(path, key), depth+1); err != nil || f.found {
			return err
		}
		if j, err = skipValue(f.b, j); err != nil {
			return err
		}
		if i = f.space(j); i >= len(f.b) {
			return errShort
		}
		if f.b[i] == '}' {
			return nil
		}
		if f.b[i] != ',' {
			return fmt.Errorf("the JSON text has %q where a comma is expected", clip(f.b[i:min(i+20, len(f.b))]))
		}
	}
}

// isRow reports whether the object at i looks like one bar: at least four
// members that are no lists, of which one has the name of a price.
func (f *shapeFinder) isRow(i, depth int) bool {
	scalars, price := 0, false
	for i = f.space(i + 1); i < len(f.b) && f.b[i] == '"'; i = f.space(i + 1) {
		j, err := skipValue(f.b, i)
		if err != nil {
			return false
		}
		name := canonical(string(f.b[i+1 : j-1]))
		if j = f.space(j); j >= len(f.b) || f.b[j] != ':' {
			return false
		}
		if j = f.space(j + 1); j >= len(f.b) {
			return false
		}
		switch f.b[j] {
		case '[':
		case '{':
			price = price || depth < maxNested && f.isRow(j, depth+1)
		default:
			scalars++
			r := rank[name]
			price = price || r[fieldOpen] > 0 || r[fieldHigh] > 0 || r[fieldLow] > 0 || r[fieldClose] > 0
		}
		if i, err = skipValue(f.b, j); err != nil {
			return false
		}
		if i = f.space(i); i >= len(f.b) || f.b[i] != ',' {
			break
		}
	}
	return scalars >= 2 && price
}

// isLine reports whether the list at i is one row of NDJSON: scalars, and
// another value or nothing after it.
func (f *shapeFinder) isLine(i int) bool {
	j := f.space(i + 1)
	if j >= len(f.b) || f.b[j] == '[' || f.b[j] == '{' || f.b[j] == ']' {
		return false
	}
	end, err := skipValue(f.b, i)
	return err == nil && bytes.Count(f.b[i:end], []byte{','}) >= 4
}

// message finds what an error answer of an exchange says.
func (f *shapeFinder) message() string {
	for _, key := range []string{`"msg"`, `"message"`, `"error"`} {
		i := bytes.Index(f.b, []byte(key))
		if i < 0 {
			continue
		}
		j := f.space(i + len(key))
		if j >= len(f.b) || f.b[j] != ':' {
			continue
		}
		j = f.space(j + 1)
		if end, err := skipValue(f.b, min(j, len(f.b)-1)); err == nil && end-j > 2 && string(f.b[j:end]) != "null" {
			return fmt.Sprintf("; it says %s", clip(f.b[j:end]))
		}
	}
	return ""
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
