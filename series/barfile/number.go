package barfile

import (
	"bytes"
	"math"
	"strconv"
	"unsafe"
)

// pow10 holds the powers of ten that a float64 holds exactly.
var pow10 = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// status says what a cell was.
type status uint8

const (
	number  status = iota
	missing        // empty, or one of the words for it
	notANumber
)

// parseFloat reads the decimal number b times 10^-shift, bit for bit as
// strconv.ParseFloat reads the shifted text.
//
// A mantissa below 2^53 and a power of ten up to 10^22 are exact floats, so
// that one division or multiplication rounds once, which is the correct
// rounding; everything else goes to strconv.
func parseFloat(b []byte, shift int) (float64, status) {
	var (
		m      uint64
		digits int
		exp    = -shift
		i      int
	)
	neg := len(b) > 0 && b[0] == '-'
	if neg || len(b) > 0 && b[0] == '+' {
		i++
	}
	start := i
	for ; i < len(b); i++ {
		d := b[i] - '0'
		if d > 9 {
			break
		}
		m = m*10 + uint64(d)
	}
	digits = i - start
	if i < len(b) && b[i] == '.' {
		i++
		point := i
		for ; i < len(b); i++ {
			d := b[i] - '0'
			if d > 9 {
				break
			}
			m = m*10 + uint64(d)
		}
		digits += i - point
		exp -= i - point
	}
	if i != len(b) || digits == 0 || digits > 19 || m > 1<<53 || exp < -22 || exp > 22 {
		return parseSlow(b, shift)
	}
	f := float64(m)
	if exp < 0 {
		f /= pow10[-exp]
	} else if exp > 0 {
		f *= pow10[exp]
	}
	if neg {
		f = -f
	}
	return f, number
}

// parseSlow reads what the fast path does not: long mantissas, exponents,
// spaces, thousands separators, words.
func parseSlow(b []byte, shift int) (float64, status) {
	b = bytes.TrimSpace(b)
	if len(b) > 1 && (b[0] == '"' || b[0] == '\'') && b[len(b)-1] == b[0] {
		b = bytes.TrimSpace(b[1 : len(b)-1])
	}
	if isMissing(b) {
		return math.NaN(), missing
	}
	if b[0] == '$' {
		b = b[1:]
	}
	if f, ok := parseDecimal(b, shift); ok {
		return f, number
	}
	if t, ok := ungroup(b); ok {
		if f, ok := parseDecimal(t, shift); ok {
			return f, number
		}
	}
	return 0, notANumber
}

// parseDecimal is strconv.ParseFloat for decimal numbers, without its words,
// hexadecimal digits and underscores.
func parseDecimal(b []byte, shift int) (float64, bool) {
	e := len(b)
	digit := false
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9':
			digit = true
		case c == '.', c == '-', c == '+':
		case (c == 'e' || c == 'E') && e == len(b):
			e = i
		default:
			return 0, false
		}
	}
	if !digit || len(b) > 1000 {
		return 0, false
	}
	if shift != 0 {
		x := 0
		if e < len(b) {
			var err error
			if x, err = strconv.Atoi(string(b[e+1:])); err != nil {
				return 0, false
			}
		}
		b = strconv.AppendInt(append(append([]byte{}, b[:e]...), 'e'), int64(x-shift), 10)
	}
	f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(b), len(b)), 64)
	return f, err == nil
}

// ungroup removes thousands separators from b: groups of three digits after
// the first, up to the decimal point.
func ungroup(b []byte) ([]byte, bool) {
	out := make([]byte, 0, len(b))
	group, groups := 0, 0
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9':
			group++
			out = append(out, c)
		case (c == ',' || c == '\'' || c == ' ') && group >= 1 && group <= 3 && (groups == 0 || group == 3):
			group, groups = 0, groups+1
		case c == '.':
			return append(out, b[i:]...), groups > 0 && group == 3
		case (c == '-' || c == '+') && i == 0:
			out = append(out, c)
		default:
			return nil, false
		}
	}
	return out, groups > 0 && group == 3
}

// isMissing reports whether b is empty or one of the words that files use for
// a value that is not there.
func isMissing(b []byte) bool {
	switch len(b) {
	case 0:
		return true
	case 1, 2, 3, 4, 5:
		switch string(bytes.ToLower(b)) {
		case "-", "--", "na", "n/a", "nan", "null", "none", "nil", "#n/a", "<na>", "nat":
			return true
		}
	}
	return false
}

// parseVolume is parseFloat that also reads 1.5K, 2M and 3B.
func parseVolume(b []byte) (float64, status) {
	f, st := parseFloat(b, 0)
	if st != notANumber {
		return f, st
	}
	b = bytes.TrimSpace(b)
	if len(b) < 2 {
		return 0, notANumber
	}
	shift := 0
	switch b[len(b)-1] {
	case 'K', 'k':
		shift = -3
	case 'M', 'm':
		shift = -6
	case 'B', 'b':
		shift = -9
	default:
		return 0, notANumber
	}
	return parseFloat(b[:len(b)-1], shift)
}

// scaleShift returns the power of ten that scale is, if it is one.
func scaleShift(scale float64) (int, bool) {
	for k := -18; k <= 18; k++ {
		if f, _ := strconv.ParseFloat("1e"+strconv.Itoa(k), 64); f == scale {
			return k, true
		}
	}
	return 0, false
}
