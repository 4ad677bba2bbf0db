package barfile

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
)

// sampleBytes is how much of a text is looked at before it is read: weeks of
// minutes, decades of days.
const sampleBytes = 512 << 10

// sample is the start of a table, kept while its columns are told apart.
type sample struct {
	rows [][][]byte
	at   []int // row numbers of rows
	// columnNames are nil if the table has none.
	columnNames []string
	// header is the line with the names, as it stands in the file.
	header []byte
	// first is the number of the first row of data.
	first int
	// banner is the text before the header.
	banner string
	width  int
	whole  bool // the sample is the whole table
}

// readSample copies the rows of s. Rows that cannot be split are left out.
func readSample(s rows, whole bool) (*sample, error) {
	sm := &sample{whole: whole}
	var arena []byte // cells and rows are cut from large pieces
	var slab [][]byte
	for {
		cells, err := s.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if _, bad := errors.AsType[rowError](err); bad {
			continue
		}
		if err != nil {
			if len(sm.rows) > 0 && !whole {
				break // the sample ends inside a row
			}
			return nil, err
		}
		n := 0
		for _, c := range cells {
			n += len(c)
		}
		if cap(arena)-len(arena) < n {
			arena = make([]byte, 0, max(n, 64<<10))
		}
		if cap(slab)-len(slab) < len(cells) {
			slab = make([][]byte, 0, max(len(cells), 4096))
		}
		from := len(slab)
		for _, c := range cells {
			arena = append(arena, c...)
			slab = append(slab, bytes.TrimSpace(arena[len(arena)-len(c):len(arena):len(arena)]))
		}
		row := slab[from:len(slab):len(slab)]
		sm.rows, sm.at = append(sm.rows, row), append(sm.at, s.at())
	}
	sm.columnNames = slices.Clone(s.names())
	return sm, nil
}

// splitHeader finds the banner and the header among the first rows and drops
// them from the sample. raw yields the line of a row number.
func (sm *sample) splitHeader() {
	counts := make(map[int]int)
	for _, r := range sm.rows {
		counts[len(r)]++
	}
	for n, c := range counts {
		if c > counts[sm.width] || c == counts[sm.width] && n > sm.width {
			sm.width = n
		}
	}
	start := 0
	var banner []string
	for start < len(sm.rows) && start < 50 {
		row := sm.rows[start]
		comment := len(row[0]) > 0 && (row[0][0] == '#' || bytes.HasPrefix(row[0], []byte("//")))
		if len(row) == sm.width && (!comment || isHeader(row)) || isHeader(row) && len(row) >= 5 {
			break
		}
		if !comment && len(row) >= 5 && !isHeader(row) {
			break // data of another width
		}
		banner = append(banner, string(bytes.Join(row, []byte(" "))))
		start++
	}
	sm.banner = strings.Join(banner, " ")
	if start < len(sm.rows) && sm.columnNames == nil && isHeader(sm.rows[start]) {
		for i, c := range sm.rows[start] {
			name := string(c)
			if i == 0 {
				name = strings.TrimLeft(name, "# /")
			}
			sm.columnNames = append(sm.columnNames, name)
		}
		sm.width = max(sm.width, len(sm.columnNames))
		sm.header = bytes.Join(sm.rows[start], []byte{0})
		start++
	}
	// a second line of names, as pandas writes it for columns of two levels
	for start < len(sm.rows) && start < 53 && sm.header != nil && isHeader(sm.rows[start]) {
		start++
	}
	sm.first = 1
	if start > 0 {
		sm.first = sm.at[start-1] + 1
	}
	sm.rows, sm.at = sm.rows[start:], sm.at[start:]
	sm.dropHeaders()
}

// dropHeaders drops the header where it comes again.
func (sm *sample) dropHeaders() {
	if sm.header == nil {
		return
	}
	rows, at := sm.rows[:0], sm.at[:0]
	for i, r := range sm.rows {
		if len(r[0]) == 0 || !bytes.HasPrefix(sm.header, r[0]) || !bytes.Equal(bytes.Join(r, []byte{0}), sm.header) {
			rows, at = append(rows, r), append(at, sm.at[i])
		}
	}
	sm.rows, sm.at = rows, at
}

// isHeader reports whether a row holds names: none of its cells is a number or
// a time, or three of them are names of columns.
func isHeader(row [][]byte) bool {
	names, texts := 0, 0
	data := false
	for _, c := range row {
		if len(c) == 0 {
			continue
		}
		if _, st := parseFloat(c, 0); st == number {
			data = true
			continue
		}
		if _, ok := parseWall(c, orderUnknown); ok {
			data = true
			continue
		}
		texts++
		if known(string(c)) {
			names++
		}
	}
	return names >= 3 || !data && texts > 0
}

// class is what the cells of a column look like.
type class uint8

const (
	classOther    class = iota
	classNumber         // numbers
	classUnix           // whole numbers as large as Unix times since 1973
	classSmall          // whole numbers that may be milliseconds since midnight
	classDate           // dates
	classDateTime       // dates with clock times
	classClock          // clock times
)

// classOf looks at up to 400 cells of a column, of which nine in ten must
// agree.
func (sm *sample) classOf(column int) class {
	var counts, digits [classClock + 1]int
	n := 0
	for i := range sm.rows {
		if len(sm.rows) > 400 && i >= 200 && i < len(sm.rows)-200 {
			continue
		}
		if column >= len(sm.rows[i]) || isMissing(sm.rows[i][column]) {
			continue
		}
		n++
		k := classify(sm.rows[i][column])
		counts[k]++
		if len(bytes.Trim(sm.rows[i][column], "0123456789")) == 0 && (k == classDate || k == classDateTime) {
			digits[k]++
		}
	}
	if counts[classUnix] > 0 {
		// Unix milliseconds of the seventies that read as yyyyMMddHHmm by chance
		for k, d := range digits {
			counts[k] -= d
			counts[classUnix] += d
		}
	}
	counts[classNumber] += counts[classSmall] * min(counts[classNumber], 1)
	for _, c := range []class{classUnix, classSmall, classNumber, classClock} {
		if n > 0 && counts[c]*10 >= n*9 {
			return c
		}
	}
	if n > 0 && (counts[classDate]+counts[classDateTime])*10 >= n*7 {
		if counts[classDateTime] > 0 {
			return classDateTime
		}
		return classDate
	}
	if sum := counts[classNumber] + counts[classUnix] + counts[classSmall]; n > 0 && sum*10 >= n*9 {
		return classNumber
	}
	return classOther
}

func classify(c []byte) class {
	if w, ok := parseWall(c, orderUnknown); ok && (w.clock || len(c) != 8 || isDigit(c[0])) {
		if w.clock {
			return classDateTime
		}
		return classDate
	}
	if f, st := parseFloat(c, 0); st == number {
		switch whole := f == float64(int64(f)); {
		case f >= 1e8 || f <= -1e8:
			return classUnix
		case whole && f >= 0 && f <= 86400000 && int64(f)%1000 == 0:
			return classSmall
		}
		return classNumber
	}
	if !bytes.ContainsRune(c, ':') {
		return classOther
	}
	var w wall
	if w.parseClock(c) {
		return classClock
	}
	return classOther
}

// numbers returns the cells of a column as numbers, NaN where they are not.
func (sm *sample) numbers(column int) []float64 {
	out := make([]float64, len(sm.rows))
	for i, r := range sm.rows {
		out[i] = nan
		if column < len(r) {
			if f, st := parseVolume(r[column]); st == number {
				out[i] = f
			}
		}
	}
	return out
}
