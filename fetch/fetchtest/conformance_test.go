package fetchtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/vendors"
	"github.com/barkeepdb/barkeep/series"
)

const noon = series.Time(1_700_049_600_000) // 2023-11-15 12:00 UTC

// truth is n bars of an interval up to now, the last of which is forming. In
// one of ten nothing traded: they repeat the close before.
func truth(i series.Interval, n int, now series.Time, seed uint64) *series.Columns {
	rnd := rand.New(rand.NewPCG(seed, 1))
	c := &series.Columns{}
	g := series.Grid{Interval: i}
	last := g.SlotAt(now)
	price := 30000.0
	for k := range n {
		b := series.NewBar(g.Time(last-series.Slot(n-1-k)), price, price, price, price, 0)
		if rnd.IntN(10) > 0 || k == n-1 {
			b.Close = price + float64(rnd.IntN(2000)-1000)/100
			b.High, b.Low = max(b.Open, b.Close)+float64(rnd.IntN(500))/100, min(b.Open, b.Close)-float64(rnd.IntN(500))/100
			b.Volume = float64(1+rnd.IntN(1e6)) / 1e5
			price = b.Close
		}
		c.Append(b)
	}
	return c
}

// symbols are how the vendors write the pair.
var symbols = map[string]string{
	"binance-spot": "BTCUSDT", "coinbase-exchange": "BTC-USD", "kraken": "XBTUSD", "okx": "BTC-USDT", "bybit": "BTCUSDT", "bitstamp": "btcusd",
	"bitfinex": "tBTCUSD", "kucoin": "BTC-USDT", "gateio": "BTC_USDT", "hyperliquid": "BTC",
	"alpaca": "IBM", "alpaca-crypto": "BTC/USD", "polygon": "IBM", "yahoo": "IBM", "tiingo": "IBM", "twelvedata": "IBM", "alphavantage": "IBM",
	"finnhub": "IBM", "eodhd": "IBM.US", "alpaca-split": "IBM", "alpaca-all": "IBM", "alpaca-iex": "IBM", "polygon-split": "IBM", "tiingo-all": "IBM",
	"tiingo-crypto": "btcusd", "tiingo-fx": "eurusd",
}

// exchange asks the simulator what the provider asks, page by page.
func exchange(t *testing.T, h http.Handler, p fetch.Provider, q fetch.Query) (fetch.Page, error) {
	t.Helper()
	var all fetch.Page
	for range 100 {
		page, err := exchangeOne(t, h, p, q)
		if err != nil {
			return page, err
		}
		all.Rows, all.Refused, all.Spoken = append(all.Rows, page.Rows...), append(all.Refused, page.Refused...), page.Spoken
		all.Whole, all.Zone = page.Whole, page.Zone
		if page.Next == "" {
			return all, nil
		}
		q.Cursor = page.Next
	}
	t.Fatal("the pages have no end")
	return all, nil
}

func exchangeOne(t *testing.T, h http.Handler, p fetch.Provider, q fetch.Query) (fetch.Page, error) {
	t.Helper()
	r, err := p.Request(q)
	if err != nil {
		return fetch.Page{}, err
	}
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	req := httptest.NewRequest(method, r.Path+"?"+r.Query, strings.NewReader(string(r.Body)))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return p.Page(q, fetch.Answer{Status: w.Code, Header: w.Header(), Body: w.Body.Bytes(), Time: q.Now})
}

// TestConformance: every provider, against the simulator of its vendor, gets
// the bars of any span as they are, wherever the span begins and ends.
func TestConformance(t *testing.T) {
	now := noon + 30*series.Second
	for _, name := range Vendors() {
		p := vendors.ByName(name)
		if p == nil {
			t.Fatalf("the simulator %s has no provider", name)
		}
		t.Run(name, func(t *testing.T) {
			for _, i := range []series.Interval{series.Interval1m, series.Interval1h, series.Interval1d} {
				if p.Info().Intervals[i] == "" {
					continue
				}
				c := truth(i, 3000, now, 7)
				if name == "alphavantage" {
					c = named(c)
				}
				m := &Market{Symbol: symbols[name], Bars: map[series.Interval]*series.Columns{i: c}, Now: func() series.Time { return now }}
				conform(t, Vendor(name, m), p, m, i)
			}
		})
	}
}

// named leaves the bars whose time in New York is that of no other: where clocks
// are set back, an hour comes twice. No exchange there is open then.
func named(c *series.Columns) *series.Columns {
	texts := map[string]int{}
	text := func(n int) string { return c.Time[n].Std().In(newYork()).Format(time.DateTime) }
	for n := range c.Time {
		texts[text(n)]++
	}
	out := &series.Columns{}
	for n := range c.Time {
		if texts[text(n)] == 1 {
			out.Append(c.Bar(n))
		}
	}
	return out
}

func conform(t *testing.T, h http.Handler, p fetch.Provider, m *Market, i series.Interval) {
	info := p.Info()
	c := m.Bars[i]
	keeps := c.Len()
	if x := info.Horizon[i]; x.Bars > 0 {
		keeps = min(keeps, x.Bars)
	}
	rnd := rand.New(rand.NewPCG(uint64(i), 2))
	most := keeps
	if info.MaxBars > 0 {
		most = min(most, info.MaxBars)
	}
	tries := 80
	if most > 2000 {
		tries = 25
	}
	for try := range tries {
		n := 1 + rnd.IntN(most)
		first := c.Len() - keeps + rnd.IntN(keeps-n+1)
		switch try {
		case 0: // the newest, the forming one among them
			n, first = most, c.Len()-most
		case 1: // a whole request
			n, first = most, c.Len()-keeps
		case 2:
			n, first = 1, c.Len()-1
		}
		q := fetch.Query{Symbol: m.Symbol, Interval: i, Span: series.Span{From: c.Time[first], To: c.Time[first+n-1] + i.Width()}, Now: m.Now()}
		page, err := exchange(t, h, p, q)
		if err != nil {
			t.Fatalf("%s, %d bars from %s: %v", i, n, q.Span.From, err)
		}
		got := fetch.Settle(info, q, page, m.Now())
		if err := same(info, c, first, n, m.Now(), i, got); err != nil {
			t.Fatalf("%s, %d bars from %s: %v", i, n, q.Span.From, err)
		}
	}
	bad := fetch.Query{Symbol: "NOSUCH", Interval: i, Span: series.Span{From: c.Time[c.Len()-2], To: m.Now()}, Now: m.Now()}
	var e *fetch.Error
	page, err := exchange(t, h, p, bad)
	if silent := strings.HasPrefix(info.Name, "polygon") || info.Name == "tiingo-crypto" || info.Name == "finnhub"; silent && (err != nil || len(page.Rows) > 0) {
		t.Errorf("an unknown symbol, of which nothing is said, is %v with %d rows", err, len(page.Rows))
	} else if !silent && (!errors.As(err, &e) || e.Kind != fetch.UnknownSymbol) {
		t.Errorf("an unknown symbol is %v", err)
	}
}

// same compares an answer with n bars of the truth from first on.
func same(info *fetch.Info, c *series.Columns, first, n int, now series.Time, i series.Interval, got *fetch.Settled) error {
	if len(got.Refused)+len(got.Conflicts) > 0 {
		return fmt.Errorf("%d rows refused, %d conflicts", len(got.Refused), len(got.Conflicts))
	}
	k := 0
	empty := map[series.Time]bool{}
	for _, s := range append(got.Empty, got.Silent...) {
		for t := s.From; t < s.To; t += i.Width() {
			empty[t] = true
		}
	}
	for x := first; x < first+n; x++ {
		w := c.Bar(x)
		if k < got.Bars.Len() && got.Bars.Time[k] == w.Time {
			b := got.Bars.Bar(k)
			k++
			if info.Volume == fetch.VolumeNone {
				b.Volume = w.Volume
			}
			if b.Open != w.Open || b.High != w.High || b.Low != w.Low || b.Close != w.Close || b.Volume != w.Volume {
				return fmt.Errorf("bar %s is %+v, want %+v", w.Time, b, w)
			}
			end := w.Time + i.Width()
			young := end+series.Time(info.Grace.Milliseconds()) > now // it may be called forming still
			if b.Prov.Forming() != (end > now) && (!b.Prov.Forming() || !young) {
				return fmt.Errorf("bar %s: forming is %v", w.Time, b.Prov.Forming())
			}
			if b.Prov.NoTrade() != (w.Volume == 0) {
				return fmt.Errorf("bar %s: no trade is %v", w.Time, b.Prov.NoTrade())
			}
			continue
		}
		if w.Volume > 0 {
			return fmt.Errorf("bar %s is missing", w.Time)
		}
		young := w.Time+i.Width()+series.Time(info.Grace.Milliseconds()) > now
		if !empty[w.Time] && !young { // while it may still come, nothing says that it is not there
			return fmt.Errorf("%s has neither a bar nor is it said to be empty", w.Time)
		}
	}
	if k != got.Bars.Len() {
		return fmt.Errorf("%d bars too many", got.Bars.Len()-k)
	}
	return nil
}

// TestLimits: beyond its limit a vendor answers in its own words, and Binance
// bans who goes on.
func TestLimits(t *testing.T) {
	for _, name := range Vendors() {
		p := vendors.ByName(name)
		if p.Info().Intervals[series.Interval1m] == "" {
			continue
		}
		m := &Market{Symbol: symbols[name], Bars: map[series.Interval]*series.Columns{series.Interval1m: truth(series.Interval1m, 100, noon, 3)}, Now: func() series.Time { return noon }, Limit: 5}
		h := Vendor(name, m)
		q := fetch.Query{Symbol: m.Symbol, Interval: series.Interval1m, Span: series.Span{From: noon - 10*series.Minute, To: noon}, Now: noon}
		var kinds []fetch.Kind
		for range 10 {
			_, err := exchange(t, h, p, q)
			if e, ok := errors.AsType[*fetch.Error](err); ok {
				kinds = append(kinds, e.Kind)
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if len(kinds) != 5 || m.Requests() != 10 {
			t.Errorf("%s: %d of %d requests are limited", name, len(kinds), m.Requests())
			continue
		}
		want := []fetch.Kind{fetch.RateLimited, fetch.RateLimited}
		switch name {
		case "binance-spot":
			want = []fetch.Kind{fetch.RateLimited, fetch.Banned}
		case "bybit":
			want = []fetch.Kind{fetch.Banned, fetch.Banned}
		case "tiingo", "tiingo-crypto", "tiingo-fx": // by the hour
			want = []fetch.Kind{fetch.QuotaExhausted, fetch.QuotaExhausted}
		}
		if kinds[0] != want[0] || kinds[4] != want[1] {
			t.Errorf("%s: %v", name, kinds)
		}
	}
	if Vendor("nobody", nil) != nil {
		t.Error("there is a simulator of nobody")
	}
}
