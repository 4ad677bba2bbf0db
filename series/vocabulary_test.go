package series_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/barkeepdb/barkeep/series"
)

func TestIntervals(t *testing.T) {
	var last series.Time
	for _, i := range series.Intervals() {
		got, err := series.ParseInterval(i.String())
		if err != nil || got != i {
			t.Errorf("%s reads as %v, %v", i, got, err)
		}
		text, err := json.Marshal(i)
		var back series.Interval
		if err != nil || json.Unmarshal(text, &back) != nil || back != i {
			t.Errorf("%s does not round trip through %s", i, text)
		}
		if w := i.Width(); i != series.Interval1M && w <= last {
			t.Errorf("%s is not wider than the one before", i)
		}
		last = i.Width()
		if i.Intraday() != (i < series.Interval1d) {
			t.Errorf("Intraday of %s is wrong", i)
		}
	}
	for _, bad := range []string{"", "1", "60", "1H", "1D", "1mo", "7m", "1min", " 1m"} {
		if got, err := series.ParseInterval(bad); err == nil {
			t.Errorf("%q reads as %s", bad, got)
		}
	}
	for _, bad := range []series.Interval{0, 24, 255} {
		if _, err := bad.MarshalText(); err == nil || bad.Valid() || bad.Width() != 0 || bad.Intraday() || !strings.HasPrefix(bad.String(), "interval(") {
			t.Errorf("interval %d passes for a known one", uint8(bad))
		}
	}
}

// TestDivides checks every pair against the definition: on a 24x7 calendar a
// coarse bar starts and ends where fine bars do.
func TestDivides(t *testing.T) {
	for _, fine := range series.Intervals() {
		for _, coarse := range series.Intervals() {
			f, c := series.Grid{Interval: fine}, series.Grid{Interval: coarse}
			want := fine < coarse
			for n := series.Slot(-40); want && n < 40; n++ {
				want = f.On(c.Time(n))
			}
			if fine == series.Interval3d && coarse == series.Interval1M || fine == series.Interval1w && coarse == series.Interval1M {
				want = false
			}
			if got := fine.Divides(coarse); got != want {
				t.Errorf("%s divides %s: %v, want %v", fine, coarse, got, want)
			}
		}
	}
	if series.Interval(0).Divides(series.Interval1h) || series.Interval1m.Divides(99) {
		t.Error("an unknown interval divides")
	}
}

func TestKeyCheck(t *testing.T) {
	for _, x := range []struct {
		key series.Key
		err string // a part of it; empty if none
	}{
		{series.Key{Symbol: "BTCUSDT", Interval: series.Interval1m}, ""},
		{series.Key{Symbol: "btc-usd_perp.x:y/z^=0", Interval: series.Interval1M}, ""},
		{series.Key{Symbol: strings.Repeat("A", 64), Interval: series.Interval1d}, ""},
		{series.Key{Symbol: strings.Repeat("A", 65), Interval: series.Interval1d}, "65 characters"},
		{series.Key{Symbol: "", Interval: series.Interval1d}, "0 characters"},
		{series.Key{Symbol: "BTC USD", Interval: series.Interval1d}, `' ' at character 4`},
		{series.Key{Symbol: "BTC\x00", Interval: series.Interval1d}, "at character 4"},
		{series.Key{Symbol: "€", Interval: series.Interval1d}, "at character 1"},
		{series.Key{Symbol: "../etc\n", Interval: series.Interval1d}, `'\n'`},
		{series.Key{Symbol: "BTC"}, "interval 0"},
		{series.Key{Symbol: "BTC", Interval: 200}, "interval 200"},
	} {
		err := x.key.Check()
		if x.err == "" && err != nil || x.err != "" && (err == nil || !strings.Contains(err.Error(), x.err)) {
			t.Errorf("%q: %v, want %q", x.key.Symbol, err, x.err)
		}
	}
	if got := (series.Key{Symbol: "BTCUSDT", Interval: series.Interval1m}).String(); got != "BTCUSDT 1m" {
		t.Errorf("key prints %q", got)
	}
}

func TestBarCheck(t *testing.T) {
	good := series.Bar{Open: -37.63, High: -40.32, Low: 1, Close: 0, Volume: 0, QuoteVolume: nan, Trades: nan}
	if err := good.Check(); err != nil {
		t.Errorf("a strange but finite bar is refused: %v", err)
	}
	for name, set := range map[string]func(*series.Bar, float64){
		"open":   func(b *series.Bar, v float64) { b.Open = v },
		"high":   func(b *series.Bar, v float64) { b.High = v },
		"low":    func(b *series.Bar, v float64) { b.Low = v },
		"close":  func(b *series.Bar, v float64) { b.Close = v },
		"volume": func(b *series.Bar, v float64) { b.Volume = v },
	} {
		for _, v := range []float64{nan, math.Inf(1), math.Inf(-1)} {
			b := good
			set(&b, v)
			if err := b.Check(); err == nil || !strings.HasPrefix(err.Error(), name+" is ") {
				t.Errorf("%s of %v: %v", name, v, err)
			}
		}
	}
}

func TestColumns(t *testing.T) {
	plain := func(n int) series.Bar {
		return series.Bar{Time: series.Time(n), Open: 1, High: 2, Low: 3, Close: 4, Volume: float64(n), QuoteVolume: nan, Trades: nan}
	}
	quoted := plain(2)
	quoted.QuoteVolume, quoted.Prov = 7, series.NewProv(series.Corrected, 9)
	bars := []series.Bar{plain(0), plain(1), quoted, plain(3)}
	var c series.Columns
	for range 2 { // the second time into the memory of the first
		c.Reset()
		for i, b := range bars {
			c.Append(b)
			if err := c.Check(); err != nil || c.Len() != i+1 {
				t.Fatalf("after %d bars: %d, %v", i+1, c.Len(), err)
			}
		}
		for i, b := range bars {
			got := c.Bar(i)
			if prices(got) != prices(b) || got.Time != b.Time || got.Prov != b.Prov || !same(got.QuoteVolume, b.QuoteVolume) || !same(got.Trades, b.Trades) {
				t.Errorf("bar %d is %v, want %v", i, got, b)
			}
		}
		if len(c.QuoteVolume) != 4 || len(c.Trades) != 0 {
			t.Errorf("%d quote volumes and %d numbers of trades", len(c.QuoteVolume), len(c.Trades))
		}
	}
	// Columns that nobody read.
	some := series.Columns{Time: c.Time, Close: c.Close}
	if b := some.Bar(2); b.Close != 4 || b.Open != 0 || !math.IsNaN(b.QuoteVolume) || b.Prov != 0 {
		t.Errorf("bar of two columns is %v", b)
	}
	for name, cut := range map[string]func(*series.Columns){
		"open":         func(c *series.Columns) { c.Open = nil },
		"high":         func(c *series.Columns) { c.High = c.High[:1] },
		"low":          func(c *series.Columns) { c.Low = append(c.Low[:4:4], 1) },
		"close":        func(c *series.Columns) { c.Close = nil },
		"volume":       func(c *series.Columns) { c.Volume = nil },
		"quote_volume": func(c *series.Columns) { c.QuoteVolume = c.QuoteVolume[:3] },
		"trades":       func(c *series.Columns) { c.Trades = []float64{1} },
		"prov":         func(c *series.Columns) { c.Prov = c.Prov[:3] },
	} {
		d := c
		cut(&d)
		if err := d.Check(); err == nil || !strings.Contains(err.Error(), "column "+name+" ") {
			t.Errorf("%s of another length: %v", name, err)
		}
	}
}

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

func TestProv(t *testing.T) {
	for _, k := range []series.Kind{series.Observed, series.Corrected, series.Synthetic} {
		for _, src := range []series.SourceID{0, 1, 1<<24 - 1} {
			for _, flags := range []series.Prov{0, series.ProvForming, series.ProvNoTrade, series.ProvForming | series.ProvNoTrade} {
				p := series.NewProv(k, src) | flags
				if p.Kind() != k || p.Source() != src || p.Forming() != (flags&series.ProvForming != 0) || p.NoTrade() != (flags&series.ProvNoTrade != 0) {
					t.Errorf("%v %d %v packs as %#x", k, src, flags, p)
				}
				if q := p.WithSource(77); q.Source() != 77 || q.WithSource(src) != p {
					t.Errorf("another source changes more of %#x", p)
				}
			}
		}
	}
	order := []series.Prov{
		series.NewProv(series.Synthetic, 1),
		series.NewProv(series.Observed, 1) | series.ProvForming,
		series.NewProv(series.Observed, 1),
		series.NewProv(series.Corrected, 1),
	}
	for i, p := range order {
		if p.Rank() != i {
			t.Errorf("rank of %v is %d, want %d", p.Kind(), p.Rank(), i)
		}
	}
	if series.Kind(3).String() != "kind(3)" || series.Synthetic.String() != "synthetic" {
		t.Error("a kind prints wrong")
	}
}

func TestStates(t *testing.T) {
	present := map[series.State]bool{series.StateObserved: true, series.StateCorrected: true, series.StateForming: true}
	for s := series.State(0); int(s) < series.NumStates; s++ {
		text, err := json.Marshal(s)
		var back series.State
		if err != nil || json.Unmarshal(text, &back) != nil || back != s {
			t.Errorf("%s does not round trip through %s", s, text)
		}
		if s.Present() != present[s] {
			t.Errorf("Present of %s is %v", s, s.Present())
		}
	}
	if _, err := series.ParseState("closing"); err == nil || series.State(99).String() != "state(99)" {
		t.Error("an unknown state passes")
	}
}
