package series_test

import (
	"archive/zip"
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// The tests of this file read real market data that is not ours to publish.
// They look for it in a folder beside the repository, <any>/data/<name>, or in
// the folder that BARKEEP_TESTDATA names, and are skipped without it.
func realData(t *testing.T, name string) string {
	t.Helper()
	if dir := os.Getenv("BARKEEP_TESTDATA"); dir != "" {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	found, err := filepath.Glob(filepath.Join("..", "..", "*", "data", name))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Skipf("no real data: %s is not beside the repository, and BARKEEP_TESTDATA does not name a folder with it", name)
	}
	return found[0]
}

// TestXNYSAgainstDailyBars: files of daily bars with exactly one bar per
// session from 1998-01-02 to 2021-03-31.
func TestXNYSAgainstDailyBars(t *testing.T) {
	cal := calendar(t, "XNYS")
	day := series.Grid{Interval: series.Interval1d}
	for _, name := range []string{"spy", "aapl"} {
		z, err := zip.OpenReader(realData(t, "lean/equity/usa/daily/"+name+".zip"))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r, err := z.File[0].Open()
		if err != nil {
			t.Fatal(err)
		}
		var present []series.Run
		bars := 0
		for lines := bufio.NewScanner(r); lines.Scan(); bars++ {
			d, err := time.Parse("20060102", lines.Text()[:8])
			if err != nil {
				t.Fatal(err)
			}
			n := day.SlotAt(series.TimeOf(d))
			present = series.Join(present, series.Run{From: n, To: n + 1})
		}
		whole := series.Run{From: present[0].From, To: present[len(present)-1].To}
		expected := cal.AppendExpected(nil, day, whole)
		missing := series.Subtract(nil, expected, present)
		unexpected := series.Subtract(nil, present, expected)
		if bars != 5849 || len(missing)+len(unexpected) != 0 {
			t.Errorf("%s: %d bars, want 5849; missing %v, unexpected %v", name, bars, missing, unexpected)
		}
	}
}

// readJSON reads bars written [ms, open, high, low, close, volume]. Those
// without volume are no-trade bars where noTrade says so.
func readJSON(t *testing.T, name string, noTrade bool) *series.Columns {
	t.Helper()
	b, err := os.ReadFile(realData(t, name))
	if err != nil {
		t.Fatal(err)
	}
	var rows [][6]float64
	if err := json.Unmarshal(b, &rows); err != nil {
		t.Fatal(err)
	}
	var c series.Columns
	for _, r := range rows {
		bar := series.Bar{
			Time: series.Time(r[0]), Open: r[1], High: r[2], Low: r[3], Close: r[4], Volume: r[5],
			QuoteVolume: math.NaN(), Trades: math.NaN(),
		}
		if noTrade && r[5] == 0 {
			bar.Prov |= series.ProvNoTrade
		}
		c.Append(bar)
	}
	return &c
}

// TestResampleRealBars builds the coarse bars that a venue published from its
// fine ones: every field must be equal to the bit, volumes included.
func TestResampleRealBars(t *testing.T) {
	for _, x := range []struct {
		pair   string // file name up to the interval
		chain  string
		zeroes bool // bars without volume did not trade
	}{
		{"binance-2023/BTC_USDT-", "1m 5m 15m 30m 1h", true},
		{"binance-2023/BTC_USDT-", "1m 15m", true},
		{"binance-2023/BTC_USDT-", "1m 1h", true},
		{"binance-2023/BTC_USDT-", "5m 30m", true},
		{"bittrex-2021/ETH_BTC-", "1m 5m 1h 1d", true},
		{"bittrex-2021/ETH_BTC-", "1m 1h", true},
		{"bittrex-2021/4ART_BTC-", "1m 5m 1h 1d", true},
		{"bittrex-2021/4ART_BTC-", "1m 1h", true},
	} {
		steps := strings.Fields(x.chain)
		for i := 1; i < len(steps); i++ {
			t.Run(x.pair+steps[i-1]+"-"+steps[i], func(t *testing.T) {
				fine, coarse := grid(t, steps[i-1]), grid(t, steps[i])
				src := readJSON(t, x.pair+steps[i-1]+".json", x.zeroes)
				want := readJSON(t, x.pair+steps[i]+".json", x.zeroes)
				published := make(map[series.Time]series.Bar, want.Len())
				for k := range want.Len() {
					published[want.Time[k]] = want.Bar(k)
				}
				var got series.Columns
				parts, err := series.Resample(&got, src, fine, coarse, series.Always())
				if err != nil {
					t.Fatal(err)
				}
				compared, wrong := 0, 0
				for k, p := range parts {
					b := got.Bar(k)
					w, ok := published[b.Time]
					if !p.Complete() || !ok {
						continue
					}
					compared++
					if prices(b) != prices(w) || b.Prov != w.Prov {
						if wrong++; wrong <= 5 {
							t.Errorf("%s\n got %v %v\nwant %v %v", b.Time, prices(b), b.Prov, prices(w), w.Prov)
						}
					}
				}
				t.Logf("%d bars equal of %d complete ones, %d built", compared-wrong, compared, got.Len())
				if wrong > 0 || compared == 0 {
					t.Errorf("%d of %d bars differ", wrong, compared)
				}
			})
		}
	}
}

// prices are the fields of a bar that compare with ==.
func prices(b series.Bar) [5]float64 {
	return [5]float64{b.Open, b.High, b.Low, b.Close, b.Volume}
}

func calendar(t testing.TB, name string) *series.Calendar {
	t.Helper()
	c, err := series.CalendarByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func grid(t testing.TB, interval string) series.Grid {
	t.Helper()
	i, err := series.ParseInterval(interval)
	if err != nil {
		t.Fatal(err)
	}
	return series.Grid{Interval: i}
}

// moment reads a time, or panics: for tables.
func moment(s string) series.Time {
	t, err := series.ParseTime(s)
	if err != nil {
		panic(fmt.Sprint(err))
	}
	return t
}

var nan = math.NaN()

// readLean reads a folder of files of minutes, one a day: milliseconds since
// midnight in New York, prices in 1/10000 dollar.
func readLean(t *testing.T, folder string) *series.Columns {
	t.Helper()
	dir := realData(t, folder)
	files, err := os.ReadDir(dir) // sorted by name, that is by date
	if err != nil {
		t.Fatal(err)
	}
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	var c series.Columns
	for _, file := range files {
		date, err := time.ParseInLocation("20060102", file.Name()[:8], zone)
		if err != nil {
			t.Fatal(err)
		}
		z, err := zip.OpenReader(filepath.Join(dir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r, err := z.File[0].Open()
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(r).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			var v [6]float64
			for i := range v {
				if v[i], err = strconv.ParseFloat(row[i], 64); err != nil {
					t.Fatal(err)
				}
			}
			c.Append(series.Bar{
				Time: series.TimeOf(date) + series.Time(v[0]),
				Open: v[1] / 1e4, High: v[2] / 1e4, Low: v[3] / 1e4, Close: v[4] / 1e4, Volume: v[5],
				QuoteVolume: math.NaN(), Trades: math.NaN(),
			})
		}
	}
	return &c
}

// TestResampleRealSessions: minutes of regular and extended hours into days.
// A day is made of its session, a half day of half as much, and the parts tell
// how much is missing.
func TestResampleRealSessions(t *testing.T) {
	for _, x := range []struct {
		symbol                           string
		days                             int
		bars, expected, present, outside int64
		incomplete                       string // dates
	}{
		{"spy", 7, 5786, 7 * 390, 7 * 390, 5786 - 7*390, ""},
		{"aapl", 3, 2303, 3 * 390, 3 * 390, 2303 - 3*390, ""},
		{"goog", 3, 1091, 2*390 + 210, 2*390 + 210 - 8, 1091 - 982, "2015-12-28"},
		{"twx", 4, 1206, 4 * 390, 4*390 - 387, 1206 - 1173, "2014-06-06 2014-06-23"},
	} {
		t.Run(x.symbol, func(t *testing.T) {
			src := readLean(t, "lean/equity/usa/minute/"+x.symbol)
			r, err := series.NewResampler(grid(t, "1m"), grid(t, "1d"), calendar(t, "XNAS"))
			if err != nil {
				t.Fatal(err)
			}
			var dst series.Columns
			r.Add(&dst, src)
			r.Flush(&dst)
			var expected, present int64
			var incomplete []string
			for i, p := range r.Parts {
				expected += int64(p.Expected)
				present += int64(p.Present)
				if !p.Complete() {
					incomplete = append(incomplete, dst.Time[i].Std().Format(time.DateOnly))
				}
			}
			if dst.Len() != x.days || int64(src.Len()) != x.bars || expected != x.expected || present != x.present || r.Outside != x.outside {
				t.Errorf("%d days of %d bars, %d of %d expected, %d outside; want %d, %d, %d of %d, %d",
					dst.Len(), src.Len(), present, expected, r.Outside, x.days, x.bars, x.present, x.expected, x.outside)
			}
			if got := strings.Join(incomplete, " "); got != x.incomplete {
				t.Errorf("incomplete are %s, want %s", got, x.incomplete)
			}
		})
	}
}
