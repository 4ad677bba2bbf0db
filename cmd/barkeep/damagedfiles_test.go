package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
)

// damagedFiles are public files of which the damage is known, and some that are
// sound. known is how many bars each rule finds of it; unknown are flags on bars
// of which nobody can say whether they are true; whatever else is found is false.
var damagedFiles = []struct {
	file, args, actions string
	defect              string
	known               map[string]int64
	left                string
	unknown             map[string]int64
}{
	{"cryptodatadownload/Coinbase_BTCUSD_d.csv", "--tz UTC", "", "a low of 0.06 in a market of 1,180", map[string]int64{"wick": 1}, "one source: it may have printed", map[string]int64{"idle_move": 1}},
	{"lean/crypto/coinbase/daily/btcusd_trade.zip", "--interval 1d --tz UTC", "", "the same low, from another vendor", map[string]int64{"wick": 1}, "one source: it may have printed", nil},
	{"cryptodatadownload/Poloniex_XRPUSDT_d.csv", "--tz UTC", "", "volume columns under each other's names; 17 jumps that come back", map[string]int64{"swapped_volumes": 1783}, "flags, of one source; 53 rows off the grid are refused at import", map[string]int64{"wick": 2, "spike": 4}},
	{"bitfinex/LTCUSD-1m-2013.json", "--interval 1m", "", "28 jumps of more than 20% that come back", map[string]int64{"spike": 1}, "one source; where a step is of percents no jump stands out", map[string]int64{"spike": 125, "detached": 2}},
	{"bitfinex/NEOUSD-1m-2017.csv.gz", "--interval 1m", "", "a jump of more than 20% that comes back", nil, "one source", map[string]int64{"spike": 1}},
	{"bybit-parquet/ETHUSDT_1m-thin.parquet", "", "", "a collector kept 200 minutes and skipped 801", map[string]int64{"page_stride": 1}, "one source", map[string]int64{"spike": 8}},
	{"binance-2023/BTC_USDT-1m.json", "", "", "72 flat minutes that the venue made before it was down for 80", map[string]int64{"flat_before_hole": 72}, "a flag: the venue says so itself", nil},
	{"yahoo/GC=F.csv", "--tz UTC", "", "closes outside of high and low; days without volume that move", map[string]int64{"ohlc": 430, "idle_move": 41}, "one source: set aside by a repair, within its limits", nil},
	{"yfinance-repair/ELCO-L-1d-bad-div.csv", "--tz UTC", "", "closes outside of high and low, in the mended file too", map[string]int64{"ohlc": 216}, "the mended file says the same", map[string]int64{"spike": 1}},
	{"yfinance-repair/CLC-L-1d-bad-div.csv", "--tz UTC", "", "six days at a hundredth, closes outside, in the mended file too", map[string]int64{"ohlc": 8, "unit_switch": 2}, "the mended file says the same", map[string]int64{"spike": 5}},
	{"yfinance-repair/AET-L-1d-100x-error.csv", "--tz UTC", "", "14 days at a hundredth", map[string]int64{"unit_switch": 2}, "see the pairs", nil},
	{"yfinance-repair/4063-T-1d-bad-stock-split.csv", "--tz UTC", "", "9 days before a split that it misses", map[string]int64{"split": 1}, "see the pairs", nil},
	{"yfinance-repair/ALPHA-PA-1d-bad-stock-split.csv", "--tz UTC", "", "a day that a reverse split was applied to twice", map[string]int64{"detached": 1}, "see the pairs", nil},
	{"yfinance-repair/CNE-L-1d-bad-stock-split.csv", "--tz UTC", "", "a day that a split was applied to too early", map[string]int64{"detached": 1}, "see the pairs", nil},
	{"yfinance-repair/AV-L-1wk-bad-stock-split.csv", "--tz UTC --interval 1w", "", "a week that a split was applied to too early", nil, "not found: it lies on the level of the week after it", map[string]int64{"idle_move": 1}},
	{"lean/equity/usa/daily/aapl.zip", "--interval 1d --price-scale 10000 --tz UTC", "lean/equity/usa/factor_files/aapl.csv", "three lows at a tenth and less; raw prices with four splits", map[string]int64{"wick": 3}, "one source", nil},
	{"lean/equity/usa/daily/eem.zip", "--interval 1d --price-scale 10000 --tz UTC", "lean/equity/usa/factor_files/eem.csv", "bars of another instrument before 2003-04; raw prices with two splits", map[string]int64{"ticker_reuse": 1}, "a flag", nil},
	{"lean/equity/usa/hour/spwr.zip", "--interval 1h --price-scale 10000 --tz America/New_York", "", "two shares under one name", map[string]int64{"ticker_reuse": 1}, "a flag", nil},
	{"bittrex-2021/4ART_BTC-1m.json", "", "", "every day begins late", map[string]int64{"regular_truncation": 1}, "healed from a source like all gaps; a hole of one minute in a market that hardly trades", map[string]int64{"flat_before_hole": 1}},
	{"bittrex-2021/ETH_BTC-1m.json", "", "", "every day begins late", map[string]int64{"regular_truncation": 1}, "healed from a source like all gaps", nil},
	{"cryptodatadownload/Coinbase_BTCUSD_1h-v2020-10.csv", "--tz UTC", "", "-", nil, "one source", map[string]int64{"idle_move": 1}},
	{"lean/equity/usa/daily/spy.zip", "--interval 1d --price-scale 10000 --tz UTC", "lean/equity/usa/factor_files/spy.csv", "-", nil, "-", nil},
	{"lean/equity/usa/daily/qqq.zip", "--interval 1d --price-scale 10000 --tz UTC", "lean/equity/usa/factor_files/qqq.csv", "-", nil, "-", nil},
	{"lean/equity/usa/daily/fb.zip", "--interval 1d --price-scale 10000 --tz UTC", "", "-", nil, "-", nil},
	{"lean/equity/usa/hour/spwra.zip", "--interval 1h --price-scale 10000 --tz America/New_York", "", "-", nil, "-", nil},
	{"zipline/AAPL.csv.gz", "--tz UTC", "", "-", nil, "-", nil},
	{"backtesting/GOOG.csv", "--tz UTC", "", "-", nil, "-", nil},
	{"backtrader/orcl-1995-2014.txt", "--tz UTC", "", "-", nil, "-", nil},
	{"ejtrader/EURCHFh4.csv", "--tz UTC --price-scale 100000", "", "- (the floor of 2015-01-15 given up)", nil, "-", nil},
	{"finta/bittrex_btc-usdt.csv", "--tz UTC", "", "-", nil, "-", nil},
	{"freqtrade/ADA_BTC-5m.feather", "", "", "-", nil, "-", nil},
	{"freqtrade/XRP_USDT_USDT-5m-futures.feather", "", "", "-", nil, "-", nil},
	{"yfinance-repair/CALM-1d-no-bad-divs.csv", "--tz UTC", "", "-", nil, "-", nil},
	{"yfinance-repair/TISG-MI-1d-no-bad-divs.csv", "--tz UTC", "", "-", nil, "-", nil},
}

// TestDamagedFiles inspects public files whose damage is known: each rule finds
// what it should, and none finds anything else. It prints the table of docs/rules.md.
func TestDamagedFiles(t *testing.T) {
	dir := cmp.Or(testData, filepath.Join("..", "..", "..", "shared", "data"))
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no real market data, give its folder in BARKEEP_TESTDATA: %v", err)
	}
	var table strings.Builder
	table.WriteString("| file | what is wrong | found of it | left, and why | other flags |\n| --- | --- | --- | --- | --- |\n")
	for _, x := range damagedFiles {
		t.Run(x.file, func(t *testing.T) {
			data := t.TempDir()
			args := append([]string{"import", filepath.Join(dir, x.file), "--symbol", "X", "--data", data}, strings.Fields(x.args)...)
			if code, _, errs := run(t, "", args...); code != exitDone {
				t.Fatal(errs)
			}
			if x.actions != "" {
				if code, _, errs := run(t, "", "actions", "import", filepath.Join(dir, x.actions), "--symbol", "X", "--source", "lean", "--data", data); code != exitDone {
					t.Fatal(errs)
				}
			}
			found, want := findingsOf(t, data), maps.Clone(x.unknown)
			for rule, n := range x.known {
				if want == nil {
					want = map[string]int64{}
				}
				want[rule] += n
			}
			if !maps.Equal(found, want) {
				t.Errorf("found %s, want %s", listed(found), listed(want))
			}
			fmt.Fprintf(&table, "| `%s` | %s | %s | %s | %s |\n", x.file, x.defect, listed(x.known), x.left, listed(x.unknown))
		})
	}
	t.Logf("\n%s", table.String())
}

// TestDamagedTimes has two releases of one file, of which the first has a block of
// hours with wrong times, with no hole and no duplicate: its bounds and shifts are
// named to the bar, it is mended on approval by the second release, and undone.
func TestDamagedTimes(t *testing.T) {
	dir := filepath.Join(cmp.Or(testData, filepath.Join("..", "..", "..", "shared", "data")), "cryptodatadownload")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no real market data, give its folder in BARKEEP_TESTDATA: %v", err)
	}
	data := t.TempDir()
	for symbol, file := range map[string]string{"A": "Coinbase_BTCUSD_1h-v2020-07.csv", "B": "Coinbase_BTCUSD_1h-v2020-10.csv"} {
		if code, _, errs := run(t, "", "import", filepath.Join(dir, file), "--symbol", symbol, "--tz", "UTC", "--data", data); code != exitDone {
			t.Fatal(errs)
		}
	}
	a, b := series.Key{Symbol: "A", Interval: series.Interval1h}, series.Key{Symbol: "B", Interval: series.Interval1h}
	before := storedBars(t, data, a, nil)
	inspect := func() (list []heal.Finding) {
		code, out, errs := run(t, "", "inspect", "--symbol", "A", "--interval", "1h", "--against", "B", "--rule", "spike", "--data", data, "--output", "json")
		if code != exitDone {
			t.Fatal(errs)
		}
		var v struct{ Findings []heal.Finding }
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			t.Fatal(err)
		}
		return v.Findings
	}
	var text []string
	for _, f := range inspect() {
		text = append(text, fmt.Sprintf("%v to %v, %d: %s", f.From, f.To, f.Bars, f.Evidence))
	}
	const want = "2017-09-22T20:00:00Z to 2017-11-05T01:00:00Z, 1037: the bars are those that open 4 slots later of B\n" +
		"2017-11-05T01:00:00Z to 2017-11-12T04:00:00Z, 171: the bars are those that open 5 slots later of B"
	if got := strings.Join(text, "\n"); got != want {
		t.Fatalf("found\n%s\nwant\n%s", got, want)
	}
	args := []string{"repair", "--symbol", "A", "--interval", "1h", "--type", "corruption", "--against", "B", "--data", data}
	if code, out, errs := run(t, "", args...); code == exitDone || !strings.Contains(errs, "raise max_share") {
		t.Errorf("over the limit: exit %d\n%s%s", code, out, errs)
	}
	args = append(args, "--max-share", "0.1")
	if code, out, errs := run(t, "", args...); code != exitDone || !strings.Contains(out, "0 bars written") || !strings.Contains(out, "1208 proposed") {
		t.Errorf("not approved: exit %d\n%s%s", code, out, errs)
	}
	code, out, errs := run(t, "", append(args, "--approve", "--output", "json")...)
	if code != exitDone {
		t.Fatal(out, errs)
	}
	var rep heal.Repair
	if err := json.Unmarshal([]byte(out), &rep); err != nil {
		t.Fatal(err)
	}
	if rep.States["corrected"] != 1203 || rep.States["quarantined"] != 5 {
		t.Errorf("the repair says %v", rep.States)
	}
	if left := inspect(); len(left) != 0 {
		t.Errorf("after the repair there is %v", left)
	}
	first, last := rep.Outcomes[0].From, rep.Outcomes[len(rep.Outcomes)-1].To
	inBlock := func(c *series.Columns) *series.Columns {
		out := &series.Columns{}
		for i, at := range c.Time {
			if at >= first && at < last {
				out.Append(c.Bar(i))
			}
		}
		return out
	}
	if err := sameBars(inBlock(storedBars(t, data, a, nil)), inBlock(storedBars(t, data, b, nil))); err != nil {
		t.Errorf("after the repair: %v", err)
	}
	if code, out, errs := run(t, "", "undo", rep.ID, "--data", data); code != exitDone {
		t.Fatal(out, errs)
	}
	if err := sameBars(storedBars(t, data, a, nil), before); err != nil {
		t.Errorf("undone: %v", err)
	}
}
