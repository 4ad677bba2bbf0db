package series

import (
	"fmt"
	"strings"
	"time"
)

// SourceRef names a source of a symbol, as a person writes it: "binance-spot",
// "binance-spot=LUNAUSDT", or with the time in which it is right
// "binance-spot=LUNAUSDT@..2022-05-28". Dates are midnight UTC; the first belongs
// to the time, the second does not, and either may be left out.
type SourceRef struct {
	Name   string // provider or endpoint
	Symbol string // as it is called there; empty where the name says nothing
	From   Time   // MinTime without a date
	To     Time   // MaxTime without a date
}

// ParseSourceRef reads a reference.
func ParseSourceRef(text string) (r SourceRef, err error) {
	r = SourceRef{From: MinTime, To: MaxTime}
	rest := text
	if i := strings.LastIndexByte(text, '@'); i >= 0 && strings.Contains(text[i:], "..") {
		from, to, _ := strings.Cut(text[i+1:], "..")
		rest = text[:i]
		for _, x := range []struct {
			text string
			at   *Time
		}{{from, &r.From}, {to, &r.To}} {
			if x.text == "" {
				continue
			}
			t, err := time.Parse(time.DateOnly, x.text)
			if err != nil {
				return r, fmt.Errorf("%q of %q is not a date: write NAME=SYMBOL@2020-01-01..2022-05-28", x.text, text)
			}
			*x.at = TimeOf(t)
		}
		if r.From >= r.To {
			return r, fmt.Errorf("the time of %q ends before it begins", text)
		}
	}
	r.Name, r.Symbol, _ = strings.Cut(rest, "=")
	if r.Name == "" {
		return r, fmt.Errorf("%q names no source", text)
	}
	return r, nil
}

// String is the reference as [ParseSourceRef] reads it.
func (r SourceRef) String() string {
	text := r.Name
	if r.Symbol != "" {
		text += "=" + r.Symbol
	}
	if r.From == MinTime && r.To == MaxTime {
		return text
	}
	day := func(t, open Time) string {
		if t == open {
			return ""
		}
		return t.Std().Format(time.DateOnly)
	}
	return text + "@" + day(r.From, MinTime) + ".." + day(r.To, MaxTime)
}
