package barfile

import (
	"archive/zip"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/barkeepdb/barkeep/series"
)

// leanWriter writes a zip of CSV as QuantConnect Lean reads bars of equities:
// prices times 10000; one entry per day with milliseconds since midnight for
// minutes and seconds, one entry with dates for hours and days. Times are UTC.
type leanWriter struct {
	z      *zip.Writer
	entry  io.Writer
	symbol string
	step   string // minute, second; empty for hours and days
	day    int64
	last   series.Time
	buf    []byte
}

// leanShift is the power of ten of Lean's price scale.
const leanShift = 4

func newLeanWriter(w io.Writer, o WriteOptions) (Writer, error) {
	l := &leanWriter{z: zip.NewWriter(w), day: -1 << 62, last: series.MinTime}
	switch o.Key.Interval {
	case series.Interval1s:
		l.step = "second"
	case series.Interval1m:
		l.step = "minute"
	case series.Interval1h, series.Interval1d:
	default:
		return nil, fmt.Errorf("lean has bars of 1s, 1m, 1h and 1d, not of %s", o.Key.Interval)
	}
	l.symbol = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(o.Key.Symbol))
	if l.symbol == "" {
		return nil, fmt.Errorf("lean names its entries by the symbol, and %q has no letters or digits", o.Key.Symbol)
	}
	return l, nil
}

func (l *leanWriter) Write(c *series.Columns) error {
	if err := c.Check(); err != nil {
		return err
	}
	for i, t := range c.Time {
		if t < l.last {
			return fmt.Errorf("lean: the bar of %s comes after that of %s: sort the bars by time", t, l.last)
		}
		l.last = t
		day := floorDiv(int64(t), int64(series.Day))
		if l.entry == nil || l.step != "" && day != l.day {
			if err := l.start(day); err != nil {
				return err
			}
		}
		if l.step != "" {
			l.buf = strconv.AppendInt(l.buf, int64(t)-day*int64(series.Day), 10)
		} else {
			l.buf = t.Std().AppendFormat(l.buf, "20060102 15:04")
		}
		for _, v := range [...]float64{c.Open[i], c.High[i], c.Low[i], c.Close[i]} {
			l.buf = appendShifted(append(l.buf, ','), v, leanShift)
		}
		l.buf = append(appendFloat(append(l.buf, ','), c.Volume[i]), '\n')
		if len(l.buf) > flushAt {
			if err := l.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// start begins the entry of a day, or the only one.
func (l *leanWriter) start(day int64) error {
	if err := l.flush(); err != nil {
		return err
	}
	name := l.symbol + ".csv"
	if l.step != "" {
		date := series.Time(day * int64(series.Day)).Std().Format("20060102")
		name = fmt.Sprintf("%s_%s_%s_trade.csv", date, l.symbol, l.step)
	}
	var err error
	l.day = day
	// no modification time: the bytes depend on the bars alone
	l.entry, err = l.z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
	return err
}

func (l *leanWriter) flush() error {
	if l.entry == nil {
		return nil
	}
	_, err := l.entry.Write(l.buf)
	l.buf = l.buf[:0]
	return err
}

func (l *leanWriter) Close() error {
	if err := l.flush(); err != nil {
		return err
	}
	return l.z.Close()
}

// appendShifted writes v times 10^shift, in decimal, so that the digits are
// those of the shortest text of v: reading them back with the same scale gives
// the same bits.
func appendShifted(b []byte, v float64, shift int) []byte {
	if !finite(v) {
		return b
	}
	text := strconv.FormatFloat(v, 'e', -1, 64)
	at := strings.IndexByte(text, 'e')
	exp, _ := strconv.Atoi(text[at+1:]) // written by strconv itself
	digits := text[:at]
	if digits[0] == '-' {
		b, digits = append(b, '-'), digits[1:]
	}
	digits = strings.Replace(digits, ".", "", 1)
	point := exp + 1 + shift // digits before the decimal point
	switch {
	case point > 40 || point < -40:
		return append(append(append(b, digits...), 'e'), strconv.Itoa(exp+shift-len(digits)+1)...)
	case point <= 0:
		b = append(b, "0."...)
		for range -point {
			b = append(b, '0')
		}
		return append(b, digits...)
	case point >= len(digits):
		b = append(b, digits...)
		for range point - len(digits) {
			b = append(b, '0')
		}
		return b
	}
	return append(append(append(b, digits[:point]...), '.'), digits[point:]...)
}
