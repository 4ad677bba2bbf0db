package series_test

import (
	"archive/zip"
	"bufio"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// The tests of this file hold calendars against real bars: a bar in a time that
// a calendar calls closed is the strongest evidence that the calendar is wrong,
// and a market that is known to be complete must have no gap.

// quote is one minute of a real file.
type quote struct {
	at    series.Time
	close float64
}

// leanMinutes reads the minute files of Lean in a folder of the real data: one
// zip a day, rows of milliseconds after midnight of a zone. column is that of
// the close; several contracts of a day are one market.
func leanMinutes(t *testing.T, folder, zone string, column int) []quote {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(realData(t, folder), "*.zip"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no files, %v", folder, err)
	}
	have := map[series.Time]float64{}
	for _, f := range files {
		date, err := time.ParseInLocation("20060102", filepath.Base(f)[:8], loc)
		if err != nil {
			t.Fatal(err)
		}
		z, err := zip.OpenReader(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range z.File {
			r, err := x.Open()
			if err != nil {
				t.Fatal(err)
			}
			for s := bufio.NewScanner(r); s.Scan(); {
				cells := strings.Split(s.Text(), ",")
				ms, err := strconv.Atoi(cells[0])
				if err != nil {
					t.Fatalf("%s: %v", f, err)
				}
				price, err := strconv.ParseFloat(cells[column], 64)
				if err != nil {
					t.Fatalf("%s: %v", f, err)
				}
				// The time of day is a clock: daylight saving may lie between.
				at := time.Date(date.Year(), date.Month(), date.Day(), 0, 0, 0, ms*int(time.Millisecond), loc)
				have[series.TimeOf(at)] = price
			}
			_ = r.Close() // it was only read
		}
		_ = z.Close() // it was only read
	}
	var out []quote
	for at, price := range have {
		out = append(out, quote{at, price})
	}
	slices.SortFunc(out, func(a, b quote) int { return int(a.at - b.at) })
	return out
}

// outside counts the bars that open where the market was closed; known are
// those that are known to.
func outside(t *testing.T, cal *series.Calendar, qs []quote, known func(local time.Time) bool) (n int) {
	t.Helper()
	zone, err := time.LoadLocation(cal.Zone())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range qs {
		if open, _ := cal.OpenAt(q.at); !open && (known == nil || !known(q.at.Std().In(zone))) {
			if n++; n <= 5 {
				t.Errorf("%s: a bar at %s, where it is closed", cal, q.at)
			}
		}
	}
	return n
}

// missing counts the slots of the sessions of the quotes that have none.
func missing(cal *series.Calendar, interval series.Interval, qs []quote) (absent, expected int64) {
	g := series.Grid{Interval: interval}
	var present []series.Run
	days := map[series.Time]bool{}
	for _, q := range qs {
		n := g.SlotAt(q.at)
		present = series.Join(present, series.Run{From: n, To: n + 1})
		if s, ok := cal.SessionOf(q.at); ok {
			days[s.Date] = true
		}
	}
	for d := range days {
		s, _ := cal.SessionOn(d)
		runs := cal.AppendExpected(nil, g, g.Run(s.Span()))
		expected += series.Total(runs)
		absent += series.Total(series.Subtract(nil, runs, present))
	}
	return absent, expected
}

// TestFuturesInsideSessions: E-mini S&P 500 of 16 days of 2013 and 2020, in UTC.
// They trade every minute but a few of the night.
func TestFuturesInsideSessions(t *testing.T) {
	cal := calendar(t, "CME-EQUITY")
	qs := leanMinutes(t, "lean/future/cme/minute/es", "UTC", 4)
	if n := outside(t, cal, qs, nil); n > 0 {
		t.Errorf("%d of %d bars lie outside of the sessions", n, len(qs))
	}
	// Files are days UTC and sessions are not: whole sessions only.
	g := series.Grid{Interval: series.Interval1m}
	have := map[series.Slot]bool{}
	for _, q := range qs {
		have[g.SlotAt(q.at)] = true
	}
	whole := 0
	for s := range cal.Sessions(series.Span{From: qs[0].at, To: qs[len(qs)-1].at}) {
		if !have[g.SlotAt(s.Open)] || !have[g.SlotAt(s.Close-1)] || !have[g.SlotAt(s.Open+(s.Close-s.Open)/2)] {
			continue
		}
		whole++
		absent := 0
		for _, r := range cal.AppendExpected(nil, g, g.Run(s.Span())) {
			for n := r.From; n < r.To; n++ {
				if !have[n] {
					absent++
				}
			}
		}
		if absent > 60 {
			t.Errorf("session %s lacks %d minutes", s.Date, absent)
		}
	}
	t.Logf("%d bars, %d whole sessions", len(qs), whole)
	if whole < 5 {
		t.Errorf("only %d whole sessions", whole)
	}
}

// TestEquitiesInsideSessions: stocks of New York trade before and after the
// session too; inside it every absent minute must be absent in the file.
func TestEquitiesInsideSessions(t *testing.T) {
	cal := calendar(t, "XNYS")
	zone, err := time.LoadLocation(cal.Zone())
	if err != nil {
		t.Fatal(err)
	}
	for _, symbol := range []string{"spy", "aapl", "goog", "twx"} {
		qs := leanMinutes(t, "lean/equity/usa/minute/"+symbol, cal.Zone(), 4)
		// By the clock on the wall, without the calendar.
		have := map[string]map[int]bool{}
		for _, q := range qs {
			at := q.at.Std().In(zone)
			day, minute := at.Format(time.DateOnly), at.Hour()*60+at.Minute()
			if have[day] == nil {
				have[day] = map[int]bool{}
			}
			have[day][minute] = true
		}
		var want int64
		all := 0
		for day, minutes := range have {
			end := 16 * 60
			if day == "2015-12-24" { // Christmas Eve
				end = 13 * 60
			}
			all += end - 570
			for m := 570; m < end; m++ {
				if !minutes[m] {
					want++
				}
			}
		}
		absent, expected := missing(cal, series.Interval1m, qs)
		if absent != want || expected != int64(all) {
			t.Errorf("%s: %d of %d minutes missing, want %d of %d", symbol, absent, expected, want, all)
		}
		t.Logf("%s: %d of %d session minutes absent in the file", symbol, absent, expected)
	}
}

// TestIndiaInsideSessions: the index and a stock of the National Stock Exchange.
func TestIndiaInsideSessions(t *testing.T) {
	cal := calendar(t, "XNSE")
	// The opening auction before 09:15, the closing price after 15:30.
	auction := func(at time.Time) bool {
		clock := at.Format("15:04")
		return clock >= "09:00" && clock < "09:15" || clock >= "15:30" && clock <= "15:40"
	}
	for _, folder := range []string{"lean/index/india/minute/nifty50", "lean/equity/india/minute/yesbank"} {
		qs := leanMinutes(t, folder, cal.Zone(), 4)
		absent, expected := missing(cal, series.Interval1m, qs)
		if n := outside(t, cal, qs, auction); n > 0 || absent > 0 {
			t.Errorf("%s: %d of %d bars lie outside, %d of %d are absent", folder, n, len(qs), absent, expected)
		}
	}
}

// TestNinjaTrader: SPY in January 2011, stamped at the end of the minute, in
// UTC, with the hours before and after the session.
func TestNinjaTrader(t *testing.T) {
	found, _ := filepath.Glob(filepath.Join(filepath.Dir(realData(t, "README.md")), "pyalgotrade", "*"))
	var file string
	for _, f := range found {
		if strings.Contains(strings.ToLower(f), "nt") && strings.HasSuffix(f, ".csv") {
			file = f
		}
	}
	if file == "" {
		t.Fatal("the NinjaTrader file is not among the real data")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var qs []quote
	for line := range strings.Lines(string(text)) {
		at, err := time.Parse("20060102 150405", line[:15])
		if err != nil {
			t.Fatal(err)
		}
		qs = append(qs, quote{at: series.TimeOf(at) - series.Minute})
	}
	cal := calendar(t, "XNYS")
	absent, expected := missing(cal, series.Interval1m, qs)
	if days := expected / 390; expected%390 != 0 || days < 18 || absent > 5*days {
		t.Errorf("%d of %d session minutes are absent", absent, expected)
	}
	t.Logf("%s: %d of %d session minutes are absent", filepath.Base(file), absent, expected)
}

// TestEuropeanSessions: an index of Frankfurt, 5m bars stamped at their end,
// without a gap in 21 days.
func TestEuropeanSessions(t *testing.T) {
	f, err := os.Open(realData(t, "backtrader/2006-min-005.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cal := calendar(t, "XFRA")
	zone, err := time.LoadLocation(cal.Zone())
	if err != nil {
		t.Fatal(err)
	}
	var qs []quote
	for s := bufio.NewScanner(f); s.Scan(); {
		cells := strings.Split(s.Text(), ",")
		at, err := time.ParseInLocation("2006-01-02 15:04:05", cells[0]+" "+cells[1], zone)
		if err != nil {
			continue // the head
		}
		qs = append(qs, quote{at: series.TimeOf(at) - 5*series.Minute})
	}
	if len(qs) != 2142 {
		t.Fatalf("%d bars", len(qs))
	}
	g := series.Grid{Interval: series.Interval5m}
	span := series.Span{From: qs[0].at, To: qs[len(qs)-1].at + 1}
	expected := cal.AppendExpected(nil, g, g.Run(span))
	if n := series.Total(expected); outside(t, cal, qs, nil) > 0 || n != 2142 {
		t.Errorf("%d bars are expected of 2142", n)
	}
}

// TestForexPair: EURUSD of two brokers on the same days. Both lie in the week
// of FX24x5, and they agree to half a pip in the median once each has its
// zone: FXCM is written at UTC-5 the whole year, OANDA in UTC.
func TestForexPair(t *testing.T) {
	cal := calendar(t, "FX24x5")
	fxcm := leanMinutes(t, "lean/forex/fxcm/minute/eurusd", "Etc/GMT+5", 4)
	oanda := leanMinutes(t, "lean/forex/oanda/minute/eurusd", "UTC", 4)
	// FXCM quotes two hours before the week begins; nobody trades on that.
	early := func(at time.Time) bool { return at.Weekday() == time.Sunday && at.Hour() >= 15 && at.Hour() < 17 }
	if n := outside(t, cal, fxcm, early) + outside(t, cal, oanda, nil); n > 0 {
		t.Errorf("%d bars lie outside of the week", n)
	}
	differ := func(shift series.Time) float64 {
		have := map[series.Time]float64{}
		for _, q := range fxcm {
			have[q.at+shift] = q.close
		}
		var d []float64
		for _, q := range oanda {
			if v, ok := have[q.at]; ok {
				d = append(d, math.Abs(v-q.close))
			}
		}
		sort.Float64s(d)
		if len(d) < 10_000 {
			t.Fatalf("only %d minutes in common", len(d))
		}
		return d[len(d)/2]
	}
	right := differ(0)
	t.Logf("median difference %.6f, an hour off %.6f and %.6f", right, differ(series.Hour), differ(-series.Hour))
	if right > 0.0001 || differ(series.Hour) < 3*right || differ(-series.Hour) < 3*right {
		t.Errorf("the median difference of the two is %.6f", right)
	}
}

// TestVenueHalts: what is absent in bars of Binance are its halts.
func TestVenueHalts(t *testing.T) {
	cal := calendar(t, "24x7-BINANCE")
	for _, x := range []struct {
		file     string
		interval series.Interval
		absent   int64
	}{
		{"binance-2023/BTC_USDT-1m.json", series.Interval1m, 80},
		{"binance-2023/BTC_USDT-5m.json", series.Interval5m, 16},
		{"binance-2020/ETH_USDT-5m.json", series.Interval5m, 95},
	} {
		f, err := os.Open(realData(t, x.file))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(f)
		_ = f.Close() // it was only read
		if err != nil {
			t.Fatal(err)
		}
		var rows [][]float64
		if err := json.Unmarshal(text, &rows); err != nil {
			t.Fatal(err)
		}
		g := series.Grid{Interval: x.interval}
		var present []series.Run
		var qs []quote
		for _, r := range rows {
			n := g.SlotAt(series.Time(r[0]))
			present = series.Join(present, series.Run{From: n, To: n + 1})
			qs = append(qs, quote{at: series.Time(r[0])})
		}
		all := series.Run{From: present[0].From, To: present[len(present)-1].To}
		always := series.Total(series.Subtract(nil, []series.Run{all}, present))
		left := series.Total(series.Subtract(nil, cal.AppendExpected(nil, g, all), present))
		if always != x.absent || left != 0 || outside(t, cal, qs, nil) > 0 {
			t.Errorf("%s: %d bars absent, %d of them expected; want %d and 0", x.file, always, left, x.absent)
		}
	}
}
