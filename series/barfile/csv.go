package barfile

import (
	"bytes"
	"io"
)

// rows yields the rows of a text format as cells.
type rows interface {
	// next returns the cells of the next row, valid until the next call. The
	// error is io.EOF after the last row and a rowError for a row that cannot
	// be split, after which reading can go on.
	next() ([][]byte, error)
	// at is the number of the row that next returned, from 1.
	at() int
	// raw is that row as it stands in the file.
	raw() []byte
	// names are the column names as far as they are known, nil if the rows
	// have none of their own.
	names() []string
}

// rowError is a row that cannot be split into cells.
type rowError string

func (e rowError) Error() string { return string(e) }

// csvRows splits delimited text.
type csvRows struct {
	textBuffer
	delim byte
	row   int
	line  []byte
	cells [][]byte
	// scratch holds quoted cells without their quotes.
	scratch []byte
}

func newCSVRows(r io.Reader, delim byte) *csvRows {
	return &csvRows{textBuffer: textBuffer{r: r, buf: make([]byte, 256<<10)}, delim: delim}
}

func (s *csvRows) at() int         { return s.row }
func (s *csvRows) raw() []byte     { return s.line }
func (s *csvRows) names() []string { return nil }

// next skips blank lines and splits the next one.
func (s *csvRows) next() ([][]byte, error) {
	for {
		line, err := s.readLine()
		if err != nil {
			return nil, err
		}
		s.row++
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		s.line = line
		if len(line) == 0 || len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if bytes.IndexByte(line, '"') >= 0 {
			return s.splitQuoted()
		}
		cells := s.cells[:0]
		start := 0
		for i, c := range line {
			if c == s.delim {
				cells = append(cells, line[start:i])
				start = i + 1
			}
		}
		s.cells = append(cells, line[start:])
		return s.cells, nil
	}
}

// readLine returns the next line without its newline.
func (s *csvRows) readLine() ([]byte, error) {
	searched := 0
	for {
		if i := bytes.IndexByte(s.buf[s.pos+searched:s.end], '\n'); i >= 0 {
			line := s.buf[s.pos : s.pos+searched+i]
			s.pos += searched + i + 1
			return line, nil
		}
		if s.done {
			if s.pos == s.end {
				return nil, io.EOF
			}
			line := s.buf[s.pos:s.end]
			s.pos = s.end
			return line, nil
		}
		searched = s.end - s.pos
		if err := s.fill("line", s.row+1); err != nil {
			return nil, err
		}
	}
}

// splitQuoted splits the line with quotes: "" inside quotes is a quote, and
// delimiters do not count. A quoted cell ends with its line, because no bar
// spans two.
func (s *csvRows) splitQuoted() ([][]byte, error) {
	s.scratch = s.scratch[:0]
	if cap(s.scratch) < len(s.line) {
		s.scratch = make([]byte, 0, 2*len(s.line)) // cells point into it: it must not grow below
	}
	cells, line := s.cells[:0], s.line
	for {
		line = bytes.TrimLeft(line, " ")
		if len(line) == 0 || line[0] != '"' {
			i := bytes.IndexByte(line, s.delim)
			if i < 0 {
				s.cells = append(cells, line)
				return s.cells, nil
			}
			cells, line = append(cells, line[:i]), line[i+1:]
			continue
		}
		start := len(s.scratch)
		i := 1
		for ; ; i++ {
			if i >= len(line) {
				s.cells = cells
				return nil, rowError("a quote is not closed")
			}
			if line[i] == '"' {
				if i+1 < len(line) && line[i+1] == '"' {
					i++
				} else {
					break
				}
			}
			s.scratch = append(s.scratch, line[i])
		}
		cells, line = append(cells, s.scratch[start:]), line[i+1:]
		i = bytes.IndexByte(line, s.delim)
		if i < 0 {
			s.cells = cells
			return s.cells, nil
		}
		line = line[i+1:]
	}
}

// delimiters are tried in this order; of equals the earlier wins.
var delimiters = []byte{',', '\t', ';', '|', ' '}

// findDelimiter picks the delimiter that splits most of the lines of a sample
// into the same number of cells. Spaces count only where nothing else does.
func findDelimiter(sample []byte) (byte, bool) {
	var lines [][]byte
	for line := range bytes.Lines(sample) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			lines = append(lines, line)
		}
		if len(lines) == 200 {
			break
		}
	}
	best, bestShare, bestCells := byte(0), 0, 0
	for _, d := range delimiters {
		counts := make(map[int]int)
		for _, line := range lines {
			counts[countOutside(line, d)]++
		}
		for cells, n := range counts {
			share := n * 10 / len(lines)
			if cells < 2 || share < 5 || d == ' ' && best != 0 {
				continue
			}
			// a decimal comma splits as evenly as the real delimiter, but into
			// fewer cells
			if share > bestShare || share == bestShare && cells > bestCells {
				best, bestShare, bestCells = d, share, cells
			}
		}
	}
	return best, best != 0
}

// countOutside counts the cells of line that d separates outside of quotes.
func countOutside(line []byte, d byte) int {
	n, quoted := 1, false
	for _, c := range line {
		switch c {
		case '"':
			quoted = !quoted
		case d:
			if !quoted {
				n++
			}
		}
	}
	return n
}
