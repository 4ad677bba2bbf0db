// Package wire reads the answers of market-data vendors: JSON of any shape
// without building a tree, numbers exactly, times by their unit. What cannot be
// read is an error, never a zero.
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/barkeepdb/barkeep/series"
)

var errShape = errors.New("the answer is not of the documented shape")

// Document checks that body is one JSON value and returns it without the space
// around it. The functions below need it: they do not look for errors again.
func Document(body []byte) ([]byte, error) {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if !json.Valid(body) || !utf8.Valid(body) {
		return nil, errors.New("the answer is not JSON")
	}
	return bytes.TrimSpace(body), nil
}

// Object calls f for every member of an object, in order.
func Object(v []byte, f func(key string, value []byte) error) error {
	if len(v) == 0 || v[0] != '{' {
		return errShape
	}
	for i := space(v, 1); v[i] != '}'; i = space(v, i) {
		if v[i] == ',' {
			i = space(v, i+1)
		}
		end := value(v, i)
		key, err := text(v[i:end])
		if err != nil {
			return err
		}
		i = space(v, space(v, end)+1) // the colon
		end = value(v, i)
		if err := f(key, v[i:end]); err != nil {
			return err
		}
		i = end
	}
	return nil
}

// Member returns a member of an object, and whether it has it.
func Member(v []byte, key string) (found []byte, ok bool) {
	_ = Object(v, func(k string, x []byte) error { // what is no object has no member
		if k == key {
			found, ok = x, true
		}
		return nil
	})
	return found, ok
}

// Array calls f for every element of an array, in order.
func Array(v []byte, f func(element []byte) error) error {
	if len(v) == 0 || v[0] != '[' {
		return errShape
	}
	for i := space(v, 1); v[i] != ']'; i = space(v, i) {
		if v[i] == ',' {
			i = space(v, i+1)
		}
		end := value(v, i)
		if err := f(v[i:end]); err != nil {
			return err
		}
		i = end
	}
	return nil
}

// space is the first byte from i on that is no space.
func space(v []byte, i int) int {
	for i < len(v) && (v[i] == ' ' || v[i] == '\n' || v[i] == '\t' || v[i] == '\r') {
		i++
	}
	return i
}

// value is the end of the value that begins at i.
func value(v []byte, i int) int {
	depth := 0
	for ; i < len(v); i++ {
		switch v[i] {
		case '"':
			for i++; v[i] != '"'; i++ {
				if v[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '[', '{':
			depth++
		case ']', '}':
			if depth == 0 {
				return i // the end of what holds the number before it
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ':', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

func text(v []byte) (string, error) {
	if len(v) < 2 || v[0] != '"' {
		return "", errShape
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return string(v[1 : len(v)-1]), nil
	}
	var s string
	err := json.Unmarshal(v, &s)
	return s, err
}

// Text is a string, or a number or a word as it is written.
func Text(v []byte) string {
	if s, err := text(v); err == nil {
		return s
	}
	return string(v)
}

// bare is a number without its quotes.
func bare(v []byte) []byte {
	if len(v) >= 2 && v[0] == '"' {
		return v[1 : len(v)-1]
	}
	return v
}

// Number reads a number, also one in quotes: digits, a point and an exponent,
// nothing else.
func Number(v []byte) (float64, error) {
	b := bare(v)
	for i, c := range b {
		if c >= '0' && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '-' || c == '+' && i > 0 {
			continue
		}
		return 0, fmt.Errorf("%.40q is not a number", v)
	}
	x, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return 0, fmt.Errorf("%.40q is not a number", v)
	}
	return x, nil
}

// Unit is the unit of a time, or its form.
type Unit uint8

// The units. Texts of time are UTC unless they say otherwise.
const (
	Seconds Unit = iota
	Milliseconds
	Microseconds
	Nanoseconds
	RFC3339  // 2024-02-01T12:00:00Z
	DateTime // 2024-02-01 12:00:00, in UTC
	DateOnly // 2024-02-01: midnight UTC of that date
)

// Stamp reads a time since 1970. Its magnitude must fit the unit.
func Stamp(v []byte, u Unit) (series.Time, error) {
	switch u {
	case RFC3339:
		return written(v, time.RFC3339)
	case DateTime:
		return written(v, time.DateTime)
	case DateOnly:
		return written(v, time.DateOnly)
	}
	n, err := strconv.ParseInt(string(bare(v)), 10, 64)
	if err != nil {
		x, ferr := Number(v) // 1603522800.0
		if ferr != nil || x != math.Trunc(x) || math.Abs(x) > 1e16 {
			return 0, fmt.Errorf("%.40q is not a time", v)
		}
		n = int64(x)
	}
	name, t := "milliseconds", n
	switch u {
	case Seconds:
		name = "seconds"
		if n > int64(series.MaxTime/1000) || n < int64(series.MinTime/1000) {
			return 0, fmt.Errorf("the time %d is not in seconds", n)
		}
		t = n * 1000
	case Microseconds:
		name, t = "microseconds", n/1000
	case Nanoseconds:
		name, t = "nanoseconds", n/1_000_000
	}
	// Milliseconds taken for nanoseconds would lie in the first days of 1970.
	small := u >= Microseconds && t < int64(series.Day)*365 && n != 0
	if small || series.Time(t) < series.MinTime || series.Time(t) > series.MaxTime {
		return 0, fmt.Errorf("the time %d is not in %s", n, name)
	}
	return series.Time(t), nil
}

func written(v []byte, layout string) (series.Time, error) {
	t, err := time.Parse(layout, string(bare(v)))
	if err != nil {
		return 0, fmt.Errorf("%.40q is not a time like %s", v, layout)
	}
	return series.TimeOf(t), nil
}
