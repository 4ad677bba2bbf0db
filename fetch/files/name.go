package files

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// extensions are those of files that may hold bars.
var extensions = []string{
	".csv", ".tsv", ".txt", ".json", ".ndjson", ".jsonl", ".parquet", ".feather", ".arrow",
	".zip", ".gz", ".zst", ".tar", ".tgz",
}

// stem is the name of a file without folders and extensions, and whether it may
// hold bars.
func stem(name string) (string, bool) {
	base := path.Base(name)
	found := false
	for {
		ext := strings.ToLower(path.Ext(base))
		if !slices.Contains(extensions, ext) {
			return base, found && base != ""
		}
		base, found = base[:len(base)-len(ext)], true
	}
}

// plain is a symbol without what stands between its parts.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, s)
}

func parts(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == '-' || r == '_' || r == ' ' || r == '.' })
}

// words may stand in the name of a file beside symbol and interval.
var words = []string{"KLINES", "CANDLES", "BARS", "OHLC", "OHLCV", "SPOT", "FUTURES", "PERP", "SWAP", "UM", "CM", "DAILY", "MONTHLY", "HISTORY", "DATA", "TRADE", "QUOTE"}

// intervalNames are names of intervals beside ours.
var intervalNames = map[string]series.Interval{
	"minute": series.Interval1m, "1min": series.Interval1m, "5min": series.Interval5m, "15min": series.Interval15m, "30min": series.Interval30m,
	"hour": series.Interval1h, "hourly": series.Interval1h, "60min": series.Interval1h,
	"d": series.Interval1d, "day": series.Interval1d, "daily": series.Interval1d, "weekly": series.Interval1w, "monthly": series.Interval1M,
}

// intervalOf is the interval that a part of a name says; 0 is none.
func intervalOf(part string) series.Interval {
	if i, err := series.ParseInterval(part); err == nil {
		return i
	}
	return intervalNames[strings.ToLower(part)]
}

// named is what the path of a file says.
type named struct {
	interval series.Interval // 0: nothing
	span     series.Span     // of the month or the day in the name; zero: nothing
}

// match reports whether the path of a file, with slashes, is one of a symbol,
// and what it says beside.
func match(name, symbol string) (n named, ok bool) {
	base, bars := stem(name)
	if !bars {
		return n, false
	}
	dirs := strings.Split(path.Dir(name), "/")
	want := plain(symbol)
	if isPattern(symbol) {
		if hit, err := path.Match(symbol, name); err != nil || !hit {
			return n, false
		}
		want = ""
	}
	list := parts(base)
	rest := list
	switch i, j := find(list, want); {
	case want == "":
	case j > 0:
		rest = list[j:]
		// A word before it is who gave the file; in front of a short symbol it is
		// rather the other half of a pair.
		if i > 1 || i == 1 && len(want) < 6 && intervalOf(list[0]) == 0 {
			return n, false
		}
	case !slices.ContainsFunc(dirs, func(d string) bool { return plain(d) == want }):
		return n, false
	}
	for _, p := range rest {
		up := strings.ToUpper(p)
		switch i := intervalOf(p); {
		case i != 0:
			n.interval = i
		case digits(p), slices.Contains(words, up), version(p):
		case want != "":
			return n, false // BTC is not BTC_USDT
		}
	}
	n.span = spanOf(rest)
	// The folder nearest to the file says the interval where its name does not.
	for i := len(dirs) - 1; i >= 0 && n.interval == 0; i-- {
		// "daily" and "monthly" of bulk archives say how they are cut.
		if !slices.Contains(words, strings.ToUpper(dirs[i])) {
			n.interval = intervalOf(dirs[i])
		}
	}
	return n, true
}

// selection is which rows of files are of a symbol: those with a value in a
// column. Without a column it is all.
type selection struct{ column, value string }

// selected takes the selection off a symbol: market.csv#ticker=AAPL.
func selected(symbol string) (string, selection) {
	if i := strings.LastIndexByte(symbol, '#'); i >= 0 {
		if column, value, ok := strings.Cut(symbol[i+1:], "="); ok && column != "" {
			return symbol[:i], selection{column, value}
		}
	}
	return symbol, selection{}
}

// isPattern reports whether a symbol names files instead.
func isPattern(symbol string) bool {
	_, file := stem(symbol)
	return file || strings.ContainsAny(symbol, "*?[")
}

// find is where the parts [i, j) make up the symbol; j is 0 where they do not.
func find(list []string, want string) (i, j int) {
	for i := range list {
		got := ""
		for j := i; j < len(list) && len(got) < len(want); j++ {
			if got += plain(list[j]); got == want {
				return i, j + 1
			}
		}
	}
	return 0, 0
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// version reports whether a part is such as v2 or v2020.
func version(s string) bool {
	return len(s) > 1 && (s[0] == 'v' || s[0] == 'V') && digits(s[1:])
}

// spanOf reads a year, month or day out of parts, with a margin of a day, since
// nobody says of which zone it is.
func spanOf(list []string) series.Span {
	text := strings.Join(slices.DeleteFunc(slices.Clone(list), func(p string) bool { return !digits(p) }), "-")
	for _, l := range []struct {
		layout  string
		y, m, d int
	}{{"2006-01-02", 0, 0, 1}, {"20060102", 0, 0, 1}, {"2006-01", 0, 1, 0}, {"2006", 1, 0, 0}} {
		t, err := time.Parse(l.layout, text)
		if err == nil && t.Year() > 1900 && t.Year() < 2200 {
			return series.Span{From: series.TimeOf(t) - series.Day, To: series.TimeOf(t.AddDate(l.y, l.m, l.d)) + series.Day}
		}
	}
	return series.Span{}
}
