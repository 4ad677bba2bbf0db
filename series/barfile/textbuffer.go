package barfile

import (
	"errors"
	"fmt"
	"io"
)

// maxLine bounds one row of text: far above any bar, far below what hurts.
const maxLine = 1 << 20

// textBuffer is a window that slides over a text, so that a row can be looked
// at in one piece however long the text is.
type textBuffer struct {
	r    io.Reader
	buf  []byte
	pos  int // of the next row in buf
	end  int // of the data in buf
	done bool
}

// fill reads more behind what is left in the buffer. unit and row say in an
// error where that is.
func (t *textBuffer) fill(unit string, row int) error {
	if t.pos > 0 {
		copy(t.buf, t.buf[t.pos:t.end])
		t.end -= t.pos
		t.pos = 0
	}
	if t.end == len(t.buf) {
		if len(t.buf) >= maxLine {
			return fmt.Errorf("%s %d is longer than %d bytes: this is not a file of bars", unit, row, maxLine)
		}
		t.buf = append(t.buf, make([]byte, len(t.buf))...)
	}
	n, err := t.r.Read(t.buf[t.end:])
	t.end += n
	switch {
	case errors.Is(err, io.EOF):
		t.done = true
	case err != nil:
		return fmt.Errorf("%s %d: %w", unit, row, err)
	}
	return nil
}
