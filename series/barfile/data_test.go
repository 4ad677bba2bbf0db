package barfile_test

import (
	"archive/zip"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
)

// dataDir holds real files with their real defects. They are not part of the
// repository, because most may not be redistributed.
var dataDir = cmp.Or(os.Getenv("BARKEEP_TESTDATA"), filepath.Join("..", "..", "..", "shared", "data"))

func needData(t testing.TB) {
	if _, err := os.Stat(dataDir); err != nil {
		t.Skipf("the folder of real files is not there: %v", err)
	}
}

// contents are all bars of a file.
type contents struct {
	bars      series.Columns
	rejected  []barfile.Rejected
	detection barfile.Detection
}

// readAll reads a file to its end, some rows at a time.
func readAll(r *barfile.Reader) (*contents, error) {
	defer r.Close()
	all := &contents{}
	var c series.Columns
	for {
		rejected, err := r.Next(&c, 5000)
		if errors.Is(err, io.EOF) {
			all.detection = r.Detection()
			return all, nil
		}
		if err != nil {
			return all, err
		}
		if err := c.Check(); err != nil {
			return all, err
		}
		all.rejected = append(all.rejected, rejected...)
		for i := range c.Time {
			all.bars.Append(c.Bar(i))
		}
	}
}

func readFile(t testing.TB, name string, o barfile.Options) *contents {
	t.Helper()
	r, err := barfile.OpenFile(filepath.Join(dataDir, name), o)
	if err != nil {
		t.Fatal(err)
	}
	all, err := readAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// measured are figures found by another program.
type measured struct {
	Rows        int    `json:"rows"`
	Order       string `json:"order"`
	OutOfOrder  int    `json:"out_of_order"`
	Identical   int    `json:"dup_identical"`
	Conflicting int    `json:"dup_conflicting"`
	Step        int64  `json:"step_s"`
	First       string `json:"first"`
	Last        string `json:"last"`
	OffGrid     int    `json:"off_grid"`
	Expected    int64  `json:"expected_24x7"`
	Missing     int64  `json:"missing_24x7"`
	Gaps        int    `json:"gaps"`
	ZeroVolume  int    `json:"zero_vol"`
	Flat        int    `json:"flat_bars"`
}

type measurement struct {
	Measured measured `json:"measured"`
	Gaps     [][2]any `json:"gaps_list"`
	Complete bool     `json:"gaps_list_complete"`
}

func loadMeasured(t *testing.T) map[string]json.RawMessage {
	needData(t)
	b, err := os.ReadFile(filepath.Join(dataDir, "MEASURED.json"))
	if err != nil {
		t.Skip(err)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func zoneOf(name string) *time.Location {
	z, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return z
}

// flags are what a user gives for a file beside its name; files that are not
// listed need none.
var flags = map[string]barfile.Options{
	"backtrader/2006-min-005.txt":                           {Zone: zoneOf("Europe/Paris"), StampEnd: true, Interval: series.Interval5m},
	"eqker/AAPL_1min.csv":                                   {Zone: zoneOf("America/New_York"), StampEnd: true, Interval: series.Interval1m},
	"eqker/SPY_1min.csv":                                    {Zone: zoneOf("America/New_York"), StampEnd: true},
	"eqker/UGA_1min.csv":                                    {Zone: zoneOf("America/New_York"), StampEnd: true, Interval: series.Interval1m},
	"eqker/VIX_1min.csv":                                    {Zone: zoneOf("America/New_York"), StampEnd: true},
	"mplfinance/SP500_NOV2019_IDay.csv":                     {Zone: zoneOf("America/New_York")},
	"pyalgotrade/nt-spy-minute-2011.csv":                    {Zone: time.UTC, StampEnd: true},
	"ejtrader/EURCHFh4.csv":                                 {Zone: time.UTC, PriceScale: 1e5},
	"bitfinex/LTCUSD-1m-2013.csv.gz":                        {Interval: series.Interval1m},
	"cryptodatadownload/Coinbase_BTCUSD_d.csv":              {Interval: series.Interval1d},
	"nautilus/6EH4.XCME_1min_bars_20240101_20240131.csv.gz": {StampEnd: true},
}

// unreadable rows of files: the figures count them, the reader rejects them.
var rejections = map[string]string{
	// the last day of both has no prices
	"yfinance-repair/CLC-L-1d-bad-div.csv":       "open is empty",
	"yfinance-repair/CLC-L-1d-bad-div-fixed.csv": "open is empty",
}

// TestRealFiles reads every measured file and finds the same rows, order,
// duplicates and gaps.
func TestRealFiles(t *testing.T) {
	for name, raw := range loadMeasured(t) {
		if name == "lean" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var m measurement
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(dataDir, name)); err != nil {
				t.Skip(err)
			}
			o := flags[name]
			all := readFile(t, name, o)
			for _, r := range all.rejected {
				if r.Reason != rejections[name] || !r.HasTime {
					t.Errorf("line %d: %s: %s", r.Row, r.Reason, r.Raw)
				}
			}
			if _, ok := rejections[name]; ok && len(all.rejected) != 1 {
				t.Errorf("%d rows rejected instead of 1", len(all.rejected))
			}
			compare(t, all, m, o)
		})
	}
}

// compare holds what was read against what was measured. The figures are in
// the labels of the file, so times go back to its zone, and to the end of the
// bar where it stamps there.
func compare(t *testing.T, all *contents, m measurement, o barfile.Options) {
	t.Helper()
	w := m.Measured
	d := all.detection
	if got := int64(d.Interval.Width()) / 1000; got != w.Step {
		t.Fatalf("interval %s, measured %d s", d.Interval, w.Step)
	}
	order := map[string]string{"asc": "ascending", "desc": "descending"}[w.Order]
	if d.Order != order {
		t.Errorf("order %s, measured %s", d.Order, w.Order)
	}
	var labels []series.Time
	label := func(x series.Time) {
		if o.StampEnd {
			x += d.Interval.Width()
		}
		if o.Zone != nil && d.Interval.Intraday() {
			_, s := x.Std().In(o.Zone).Zone()
			x += series.Time(s) * series.Second
		}
		labels = append(labels, x)
	}
	for _, x := range all.bars.Time {
		label(x)
	}
	for _, r := range all.rejected {
		label(r.Time)
	}
	slices.Sort(labels)
	g := series.Grid{Interval: d.Interval}
	var present []series.Run
	off := 0
	seen := make(map[series.Time]bool)
	for _, x := range labels {
		if n := g.SlotAt(x); !seen[x] {
			present = append(present, series.Run{From: n, To: n + 1})
		}
		if !g.On(x) {
			off++
		}
		seen[x] = true
	}
	present = series.Normalize(present)
	expected := series.Run{From: present[0].From, To: present[len(present)-1].To}
	gaps := series.Subtract(nil, []series.Run{expected}, present)
	check := func(what string, got, want any) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s %v, measured %v", what, got, want)
		}
	}
	const layout = "2006-01-02T15:04"
	check("first", labels[0].Std().Format(layout), w.First)
	check("last", labels[len(labels)-1].Std().Format(layout), w.Last)
	distinct := len(seen)
	check("rows", len(labels), w.Rows)
	check("duplicates", len(labels)-distinct, w.Identical+w.Conflicting)
	check("off grid", off, w.OffGrid)
	check("expected", expected.Len(), w.Expected)
	// the figures count times, not slots: a time off the grid fills a slot for
	// them even where the slot has its own bar, as the 53 of Poloniex do
	check("missing", expected.Len()-int64(distinct), w.Missing)
	if off == 0 {
		check("missing slots", series.Total(gaps), w.Missing)
	}
	check("gaps", len(gaps), w.Gaps)
	if m.Complete {
		for i, x := range gaps {
			check("gap", []any{g.Time(x.From).Std().Format(layout), x.Len()}, m.Gaps[i][:])
		}
	}
	var zero, flat, noTrade int
	traded := false
	for i := range all.bars.Time {
		b := all.bars.Bar(i)
		isFlat := b.Open == b.High && b.High == b.Low && b.Low == b.Close
		traded = traded || b.Volume > 0
		if b.Volume == 0 {
			zero++
		}
		if isFlat {
			flat++
		}
		if b.Prov.NoTrade() {
			noTrade++
			if !isFlat || b.Volume != 0 {
				t.Errorf("%s is marked as no trade: %+v", b.Time, b)
			}
		}
	}
	if len(labels) == distinct {
		check("bars without volume", zero, w.ZeroVolume)
		check("flat bars", flat, w.Flat)
	}
	if !traded && noTrade > 0 {
		t.Errorf("%d bars are marked as no trade in a file without volume", noTrade)
	}
	if traded && w.ZeroVolume > 0 && noTrade == 0 && w.Flat > 0 {
		t.Logf("%d bars without volume, none marked as no trade", w.ZeroVolume)
	}
}

// lean describes the series of Lean files, one zip per day or one for all.
var leanFiles = []struct {
	key   string // of the figures
	glob  string
	flags barfile.Options
	// rows differ from the figures where the note says why.
	rows int
	// each says that the archives hold several contracts, read one by one.
	each bool
	note string
}{
	{key: "equity/usa/minute/aapl", glob: "equity/usa/minute/aapl/*.zip", flags: barfile.Options{Zone: zoneOf("America/New_York"), PriceScale: 1e4}},
	{key: "equity/usa/minute/goog", glob: "equity/usa/minute/goog/*.zip", flags: barfile.Options{Zone: zoneOf("America/New_York"), PriceScale: 1e4}},
	{key: "equity/usa/minute/spy", glob: "equity/usa/minute/spy/*.zip", flags: barfile.Options{Zone: zoneOf("America/New_York"), PriceScale: 1e4, Interval: series.Interval1m}},
	{key: "equity/usa/minute/twx", glob: "equity/usa/minute/twx/*.zip", flags: barfile.Options{Zone: zoneOf("America/New_York"), PriceScale: 1e4, Interval: series.Interval1m}},
	{key: "equity/usa/daily/aapl.zip", glob: "equity/usa/daily/aapl.zip", flags: barfile.Options{PriceScale: 1e4}},
	{key: "equity/usa/daily/eem.zip", glob: "equity/usa/daily/eem.zip", flags: barfile.Options{PriceScale: 1e4}},
	{key: "equity/usa/daily/fb.zip", glob: "equity/usa/daily/fb.zip", flags: barfile.Options{PriceScale: 1e4}},
	{key: "equity/usa/daily/qqq.zip", glob: "equity/usa/daily/qqq.zip", flags: barfile.Options{PriceScale: 1e4}},
	{key: "equity/usa/daily/spy.zip", glob: "equity/usa/daily/spy.zip", flags: barfile.Options{PriceScale: 1e4, Interval: series.Interval1d}},
	{key: "equity/usa/hour/spwr.zip", glob: "equity/usa/hour/spwr.zip", flags: barfile.Options{Zone: zoneOf("America/New_York"), PriceScale: 1e4}},
	{key: "equity/usa/hour/spwra.zip", glob: "equity/usa/hour/spwra.zip", flags: barfile.Options{Zone: zoneOf("America/New_York"), PriceScale: 1e4}},
	{key: "equity/usa/hour/tapa.zip", glob: "equity/usa/hour/tapa.zip", flags: barfile.Options{Zone: zoneOf("America/New_York"), PriceScale: 1e4, Interval: series.Interval1h}},
	{key: "crypto/bybit/minute/btcusdt_trade", glob: "crypto/bybit/minute/btcusdt/*_trade.zip", flags: barfile.Options{Zone: time.UTC}},
	{key: "crypto/coinbase/minute/btcusd_trade", glob: "crypto/coinbase/minute/btcusd/*_trade.zip", flags: barfile.Options{Zone: time.UTC}},
	{key: "cryptofuture/binance/minute/btcusd_trade", glob: "cryptofuture/binance/minute/btcusd/*_trade.zip", flags: barfile.Options{Zone: time.UTC}},
	{key: "cryptofuture/dydx/minute/btcusd_trade", glob: "cryptofuture/dydx/minute/btcusd/*_trade.zip", flags: barfile.Options{Zone: time.UTC}},
	{key: "crypto/coinbase/daily/btcusd_trade.zip", glob: "crypto/coinbase/daily/btcusd_trade.zip"},
	{key: "forex/fxcm/daily/eurusd.zip", glob: "forex/fxcm/daily/eurusd.zip"},
	{key: "forex/oanda/daily/eurusd.zip", glob: "forex/oanda/daily/eurusd.zip"},
	{key: "equity/india/minute/yesbank", glob: "equity/india/minute/yesbank/*.zip", flags: barfile.Options{Zone: zoneOf("Asia/Kolkata"), PriceScale: 1e4}},
	{key: "forex/fxcm/minute/eurusd", glob: "forex/fxcm/minute/eurusd/*.zip", flags: barfile.Options{Zone: time.FixedZone("UTC-5", -5*3600)}},
	{key: "forex/oanda/minute/eurusd", glob: "forex/oanda/minute/eurusd/*.zip", flags: barfile.Options{Zone: time.UTC}},
	{
		key: "future/cme/minute/es", glob: "future/cme/minute/es/*.zip", each: true,
		flags: barfile.Options{Zone: zoneOf("America/New_York"), Interval: series.Interval1m},
	},
	{
		key: "future/eurex/minute/fesx", glob: "future/eurex/minute/fesx/*.zip", each: true, rows: 2436,
		flags: barfile.Options{Zone: zoneOf("Europe/Berlin"), Interval: series.Interval1m},
		note:  "one of the three days of the figures; 1,152 minutes stand in it twice",
	},
	{
		key: "index/india/minute/nifty50", glob: "index/india/minute/nifty50/*.zip", flags: barfile.Options{Zone: zoneOf("Asia/Kolkata")}, rows: 1509,
		note: "every archive holds its day twice, once under the date of the next: the figures count both, the reader drops the copy",
	},
}

func TestLeanFiles(t *testing.T) {
	var figures map[string]struct{ Rows, ZV, Dup, Flat int }
	if err := json.Unmarshal(loadMeasured(t)["lean"], &figures); err != nil {
		t.Fatal(err)
	}
	for _, f := range leanFiles {
		t.Run(f.key, func(t *testing.T) {
			t.Parallel()
			files, err := filepath.Glob(filepath.Join(dataDir, "lean", f.glob))
			if err != nil || len(files) == 0 {
				t.Skip("no files", err)
			}
			want := figures[f.key]
			if f.rows == 0 {
				f.rows = want.Rows
			}
			var rows, zero, flat, duplicates int
			seen := make(map[series.Time]bool)
			for _, name := range files {
				entries := []string{""}
				if f.each {
					entries = entriesOf(t, name)
				}
				for _, entry := range entries {
					o := f.flags
					o.Entry = entry
					r, err := barfile.OpenFile(name, o)
					if err != nil {
						t.Fatal(err)
					}
					all, err := readAll(r)
					if err != nil {
						t.Fatal(err)
					}
					if len(all.rejected) > 0 {
						t.Errorf("%s: %+v", name, all.rejected[0])
					}
					rows += all.bars.Len()
					if f.each {
						clear(seen)
					}
					for i, x := range all.bars.Time {
						if seen[x] {
							duplicates++
						}
						seen[x] = true
						b := all.bars.Bar(i)
						if b.Volume == 0 {
							zero++
						}
						if b.Open == b.High && b.High == b.Low && b.Low == b.Close {
							flat++
						}
						if b.High < max(b.Open, b.Close) || b.Low > min(b.Open, b.Close) || b.High > 1e5 {
							t.Errorf("%s: %+v", name, b)
						}
					}
				}
			}
			if rows != f.rows {
				t.Errorf("%d rows, measured %d (%s)", rows, f.rows, f.note)
			}
			if f.rows == want.Rows && (zero != want.ZV || duplicates != want.Dup || flat != want.Flat) {
				t.Errorf("%d without volume, %d duplicates, %d flat, measured %+v", zero, duplicates, flat, want)
			}
		})
	}
}

func entriesOf(t *testing.T, name string) (names []string) {
	t.Helper()
	z, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	return names
}

// TestRefusals reads files that hold no bars, or of which more must be said.
func TestRefusals(t *testing.T) {
	needData(t)
	for _, x := range []struct{ name, want string }{
		{"octobot/ETH_BTC-15intervals.sqlite.data", "SQLite database: export its table as CSV"},
		{"calendars/xnys.csv", "no column for high"},
		{"MANIFEST.csv", "no column holds times"},
		{"pystock/20150406.tar.gz", "--select symbol="},
		{"eqker/AAPL_1min.csv", "--tz"},
		{"lean/equity/usa/minute/spy/20131004_trade.zip", "--tz"},
		{"lean/future/cme/minute/es/20131011_trade.zip", "--entry"},
		{"lean/equity/usa/map_files/aapl.csv", "four prices"},
		{"lean/market-hours/market-hours-database.json", "no list of bars"},
		{"README.md", "no delimiter"},
	} {
		t.Run(x.name, func(t *testing.T) {
			r, err := barfile.OpenFile(filepath.Join(dataDir, x.name), barfile.Options{})
			if err == nil {
				r.Close()
				t.Fatalf("opened: %s", r.Detection())
			}
			if !strings.Contains(err.Error(), x.want) {
				t.Errorf("%v\nlacks %q", err, x.want)
			}
		})
	}
}

// TestSelect takes one symbol out of a crawl of thousands that was appended
// three times, header included.
func TestSelect(t *testing.T) {
	needData(t)
	for _, x := range []struct {
		symbol       string
		bars, zeroes int
	}{{"AAPL", 6, 0}, {"CUI", 9, 9}} {
		all := readFile(t, "pystock/20150406.tar.gz", barfile.Options{Select: map[string]string{"symbol": x.symbol}, Interval: series.Interval1d})
		zeroes := 0
		for _, v := range all.bars.Close {
			if v == 0 {
				zeroes++
			}
		}
		if all.bars.Len() != x.bars || zeroes != x.zeroes || len(all.rejected) != 0 {
			t.Errorf("%s: %d bars, %d of price 0, rejected %+v", x.symbol, all.bars.Len(), zeroes, all.rejected)
		}
		if w := strings.Join(all.detection.Warnings, " "); !strings.Contains(w, "symbols.txt") {
			t.Errorf("the entries that were skipped are not named: %s", w)
		}
	}
}

// TestTwoEncodings reads one series from its two encodings.
func TestTwoEncodings(t *testing.T) {
	needData(t)
	a := readFile(t, "bitfinex/LTCUSD-1m-2013.csv.gz", barfile.Options{})
	b := readFile(t, "bitfinex/LTCUSD-1m-2013.json", barfile.Options{})
	if a.bars.Len() != 18645 || !slices.Equal(a.bars.Time, b.bars.Time) || !slices.Equal(a.bars.Open, b.bars.Open) || !slices.Equal(a.bars.High, b.bars.High) ||
		!slices.Equal(a.bars.Low, b.bars.Low) || !slices.Equal(a.bars.Close, b.bars.Close) || !slices.Equal(a.bars.Volume, b.bars.Volume) {
		t.Error("the CSV and the JSON of one series differ")
	}
}

// TestRecordedAnswers reads 84 answers of Bitfinex, some of them empty lists.
func TestRecordedAnswers(t *testing.T) {
	needData(t)
	files, err := filepath.Glob(filepath.Join(dataDir, "bitfinex", "raw-BTCUSD-2016-06", "*.json"))
	if err != nil || len(files) == 0 {
		t.Skip("no files", err)
	}
	rows, empty := 0, 0
	for _, name := range files {
		r, err := barfile.OpenFile(name, barfile.Options{Interval: series.Interval1m})
		if err != nil {
			t.Fatal(err)
		}
		all, err := readAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if all.bars.Len() == 0 {
			empty++
		}
		rows += all.bars.Len()
		for i := range all.bars.Time {
			if b := all.bars.Bar(i); b.High < max(b.Open, b.Close) || b.Low > min(b.Open, b.Close) {
				t.Errorf("%s: %+v", name, b)
			}
		}
	}
	if rows != 9119 || empty != 4 {
		t.Errorf("%d rows and %d empty answers, measured 9119 and 4", rows, empty)
	}
}

// TestScaledPrices reads prices that were multiplied before they were written.
func TestScaledPrices(t *testing.T) {
	needData(t)
	all := readFile(t, "ejtrader/EURCHFh4.csv", flags["ejtrader/EURCHFh4.csv"])
	if got, want := all.bars.Open[0], 1.2055100000000001; got != want {
		t.Errorf("open %v, want %v", got, want)
	}
	all = readFile(t, "lean/equity/usa/daily/aapl.zip", barfile.Options{PriceScale: 1e4})
	if got := all.bars.Bar(0); got.Open != 13.63 || got.High != 16.25 || got.Low != 13.5 || got.Close != 16.25 || got.Volume != 6315000 {
		t.Errorf("%+v", got)
	}
	if math.IsNaN(all.bars.Close[0]) {
		t.Error("no price")
	}
}
