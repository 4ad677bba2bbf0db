package barfile

import (
	"fmt"
	"io"
)

// jsonColumns yields rows from a JSON text that holds one array per column. It
// keeps the text in memory and walks all arrays side by side.
type jsonColumns struct {
	text    jsonRows // for its value reader
	keys    []string
	cursors []int
	row     int
	cells   [][]byte
}

// newJSONColumns reads all of r, at most limit bytes.
func newJSONColumns(r io.Reader, limit int64) (*jsonColumns, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("JSON with one array per column is read whole, and this one is larger than %d bytes: use one row per bar", limit)
	}
	c := &jsonColumns{text: jsonRows{textBuffer: textBuffer{buf: b, end: len(b), done: true}}}
	if err := c.collect(0, 0, ""); err != nil {
		return nil, err
	}
	c.cells = make([][]byte, len(c.keys))
	return c, nil
}

func (c *jsonColumns) at() int         { return c.row }
func (c *jsonColumns) names() []string { return c.keys }

// raw has no row to show: the values of a row are far apart in the file.
func (c *jsonColumns) raw() []byte {
	var b []byte
	for i, cell := range c.cells {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, cell...)
	}
	return b
}

// collect notes where the arrays of scalars start, at any depth.
func (c *jsonColumns) collect(i, depth int, key string) error {
	t := &c.text
	if i = t.skipSpace(i); i >= t.end || depth > 20 {
		return fmt.Errorf("the JSON text is cut off")
	}
	switch t.buf[i] {
	case '[':
		j := t.skipSpace(i + 1)
		if j >= t.end {
			return fmt.Errorf("the JSON text is cut off")
		}
		if t.buf[j] == '{' {
			return c.collect(j, depth+1, key)
		}
		if t.buf[j] != '[' && key != "" && len(c.keys) < maxColumns {
			c.keys, c.cursors = append(c.keys, key), append(c.cursors, i+1)
		}
	case '{':
		for {
			i = t.skipSpace(i + 1)
			if i < t.end && t.buf[i] == '}' {
				return nil
			}
			if i >= t.end {
				return fmt.Errorf("the JSON text is cut off")
			}
			name, j, err := t.text(i)
			if err != nil {
				return err
			}
			if j = t.skipSpace(j); j >= t.end || t.buf[j] != ':' {
				return t.syntax(min(j, t.end-1))
			}
			if j = t.skipSpace(j + 1); j >= t.end {
				return fmt.Errorf("the JSON text is cut off")
			}
			if t.buf[j] == '[' || t.buf[j] == '{' {
				if err := c.collect(j, depth+1, string(name)); err != nil {
					return err
				}
			}
			if j, err = skipValue(t.buf[:t.end], j); err != nil {
				return fmt.Errorf("the JSON text is cut off")
			}
			if i = t.skipSpace(j); i >= t.end {
				return fmt.Errorf("the JSON text is cut off")
			}
			if t.buf[i] == '}' {
				return nil
			}
		}
	}
	return nil
}

// next reads one value from every array.
func (c *jsonColumns) next() ([][]byte, error) {
	ended := 0
	for i, at := range c.cursors {
		t := &c.text
		if at = t.skipSpace(at); at < t.end && t.buf[at] == ',' {
			at = t.skipSpace(at + 1)
		}
		if at >= t.end {
			return nil, fmt.Errorf("the JSON text is cut off")
		}
		if t.buf[at] == ']' {
			c.cells[i], c.cursors[i] = nil, at
			ended++
			continue
		}
		cell, j, err := t.value(at)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.keys[i], err)
		}
		c.cells[i], c.cursors[i] = cell, j
	}
	if ended == len(c.cursors) {
		return nil, io.EOF
	}
	c.row++
	return c.cells, nil
}
