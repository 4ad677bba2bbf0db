package barfile

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestParseFloat compares the fast path with strconv on numbers as files have
// them.
func TestParseFloat(t *testing.T) {
	decimal := rapid.StringMatching(`[+-]?[0-9]{1,20}(\.[0-9]{0,22})?([eE][+-]?[0-9]{1,3})?`)
	price := rapid.StringMatching(`[0-9]{1,6}\.[0-9]{0,12}`)
	shortest := rapid.Custom(func(t *rapid.T) string {
		return strconv.FormatFloat(rapid.Float64().Draw(t, "f"), rapid.SampledFrom([]byte("gef")).Draw(t, "format"), -1, 64)
	})
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(decimal, price, shortest).Draw(t, "text")
		sameAsStrconv(t, text)
		shift := rapid.IntRange(-8, 8).Draw(t, "shift")
		sameShifted(t, text, shift)
	})
}

// failer is what testing and rapid have in common.
type failer interface {
	Fatalf(format string, args ...any)
}

func sameAsStrconv(t failer, text string) {
	want, err := strconv.ParseFloat(text, 64)
	got, st := parseFloat([]byte(text), 0)
	if st != number {
		if err == nil {
			t.Fatalf("%q is %v and was not read", text, want)
		}
		return
	}
	if err != nil || math.Float64bits(got) != math.Float64bits(want) {
		t.Fatalf("%q is %v, %v and was read as %v", text, want, err, got)
	}
}

// sameShifted compares a scaled number with the text whose exponent is lower.
func sameShifted(t failer, text string, shift int) {
	mantissa, exp := text, 0
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa = text[:i]
		exp, _ = strconv.Atoi(text[i+1:])
	}
	want, err := strconv.ParseFloat(mantissa+"e"+strconv.Itoa(exp-shift), 64)
	got, st := parseFloat([]byte(text), shift)
	if st == number && (err != nil || math.Float64bits(got) != math.Float64bits(want)) {
		t.Fatalf("%q shifted by %d is %v, %v and was read as %v", text, shift, want, err, got)
	}
}

func TestNumbersOfPeople(t *testing.T) {
	for _, x := range []struct {
		text string
		want float64
		st   status
	}{
		{"1,234.5", 1234.5, number},
		{"1,234,567", 1234567, number},
		{" 12.5 ", 12.5, number},
		{"$1,000.00", 1000, number},
		{"1'234.5", 1234.5, number},
		{"-0", math.Copysign(0, -1), number},
		{"000", 0, number},
		{"-1.40E-05", -1.40e-5, number},
		{"12,34", 0, notANumber},
		{"1,2345", 0, notANumber},
		{"", 0, missing},
		{"NaN", 0, missing},
		{"null", 0, missing},
		{"N/A", 0, missing},
		{"inf", 0, notANumber},
		{"Infinity", 0, notANumber},
		{"0x10", 0, notANumber},
		{"1_000", 0, notANumber},
		{"1e999", 0, notANumber},
		{".", 0, notANumber},
		{"-", 0, missing},
		{"12abc", 0, notANumber},
		{"2014-01-02", 0, notANumber},
	} {
		got, st := parseFloat([]byte(x.text), 0)
		if st != x.st || st == number && math.Float64bits(got) != math.Float64bits(x.want) {
			t.Errorf("%q: %v, %v; want %v, %v", x.text, got, st, x.want, x.st)
		}
	}
	for text, want := range map[string]float64{"1.5K": 1500, "2.25M": 2.25e6, "3B": 3e9, "12": 12, "0.1K": 100} {
		if got, st := parseVolume([]byte(text)); st != number || got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func FuzzParseFloat(f *testing.F) {
	for _, s := range []string{"1", "0.1", "-1.5e10", "120551.00000000001", "274.79998779296875", "1,234.5", "1e-400", "99999999999999999999", "0000000000000000000000001", "+.5", "5."} {
		f.Add(s, 4)
	}
	f.Fuzz(func(t *testing.T, s string, shift int) {
		// words, hexadecimal and underscores are strconv's own; separators ours
		if strings.Trim(s, "+-.0123456789eE") != "" {
			parseVolume([]byte(s))
			return
		}
		sameAsStrconv(t, s)
		sameShifted(t, s, shift%20)
	})
}

func BenchmarkParseFloat(b *testing.B) {
	texts := [][]byte{[]byte("27123.45"), []byte("0.00000062"), []byte("12.34567"), []byte("1"), []byte("273.8999938964844")}
	for b.Loop() {
		for _, t := range texts {
			parseFloat(t, 0)
		}
	}
}
