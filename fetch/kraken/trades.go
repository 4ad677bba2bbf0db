package kraken

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

// What lies behind the 720 bars of the OHLC route is made of the trades
// themselves (docs.kraken.com, Get Recent Trades, read 2026-08): a page has 1,000
// of them, those behind since, which is exclusive and in nanoseconds. A bar may
// reach over pages: what is known of it travels in the cursor.

// tradesPage is how many trades a page has while there are more.
const tradesPage = 1000

// deep reports whether a question is one for the trades: it begins before what
// OHLC keeps, and a day of such bars is not all trades of a year.
func deep(q fetch.Query) bool {
	g := series.Grid{Interval: q.Interval}
	return q.Now != 0 && q.Interval.Width() <= series.Hour && q.Span.From < g.Time(g.SlotAt(q.Now)-keeps)
}

// askTrades asks for the trades behind the cursor, or from the beginning.
func askTrades(q fetch.Query) fetch.Request {
	since, _, _ := strings.Cut(q.Cursor, "|")
	if since == "" {
		since = strconv.FormatInt(int64(q.Span.From)*1_000_000-1, 10)
	}
	return fetch.Request{Path: "/0/public/Trades", Query: wire.Form("pair", q.Symbol, "since", since, "count", strconv.Itoa(tradesPage))}
}

// making is a bar while its trades are read. The volume is in units of 1e-8, the
// vendor's last digit, so that its sum is exact.
type making struct {
	at                     series.Time
	open, high, low, close float64
	volume                 int64
	trades                 int64
}

func (m *making) cursor() string {
	return fmt.Sprintf("%d|%v|%v|%v|%v|%d|%d", m.at, m.open, m.high, m.low, m.close, m.volume, m.trades)
}

func readMaking(text string) (*making, error) {
	_, text, ok := strings.Cut(text, "|")
	if !ok {
		return nil, nil
	}
	m := &making{}
	f := strings.Split(text, "|")
	if len(f) != 7 {
		return nil, fmt.Errorf("the cursor %.60q is not one of ours", text)
	}
	var err error
	for i, to := range []*float64{&m.open, &m.high, &m.low, &m.close} {
		if *to, err = strconv.ParseFloat(f[i+1], 64); err != nil {
			return nil, err
		}
	}
	for i, to := range map[int]*int64{0: (*int64)(&m.at), 5: &m.volume, 6: &m.trades} {
		if *to, err = strconv.ParseInt(f[i], 10, 64); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *making) row() fetch.Row {
	return fetch.Row{
		Time: m.at, Open: m.open, High: m.high, Low: m.low, Close: m.close, Volume: float64(m.volume) / 1e8,
		QuoteVolume: math.NaN(), Trades: float64(m.trades), VWAP: math.NaN(),
	}
}

// isTrades tells the two answers apart: last is a text of nanoseconds here, and
// a number of seconds in OHLC.
func isTrades(result []byte) bool {
	last, ok := wire.Member(result, "last")
	return ok && len(last) > 0 && last[0] == '"'
}

// trades makes bars of a page of trades.
func trades(q fetch.Query, result []byte) (fetch.Page, error) {
	var list []byte
	last := ""
	if err := wire.Object(result, func(key string, v []byte) error {
		if key == "last" {
			last = wire.Text(v)
		} else {
			list = v
		}
		return nil
	}); err != nil {
		return fetch.Page{}, err
	}
	m, err := readMaking(q.Cursor)
	if err != nil {
		return fetch.Page{}, err
	}
	var p fetch.Page
	g := series.Grid{Interval: q.Interval}
	n, over := 0, false
	err = wire.Array(list, func(x []byte) error {
		n++
		if over {
			return nil
		}
		at, price, volume, err := oneTrade(x)
		if err != nil {
			return err
		}
		switch {
		case at >= q.Span.To:
			over = true
			return nil
		case at < q.Span.From:
			return nil
		}
		slot := g.Time(g.SlotAt(at))
		if m == nil || m.at != slot {
			if m != nil {
				p.Rows = append(p.Rows, m.row())
			}
			m = &making{at: slot, open: price, high: price, low: price}
		}
		m.high, m.low, m.close = math.Max(m.high, price), math.Min(m.low, price), price
		m.volume += volume
		m.trades++
		return nil
	})
	if err != nil {
		return fetch.Page{}, err
	}
	since, _, _ := strings.Cut(q.Cursor, "|")
	if !over && n >= tradesPage && last != "" && last != since {
		p.Next = last
		if m != nil {
			p.Next += "|" + m.cursor()
		}
		return p, nil
	}
	if m != nil {
		p.Rows = append(p.Rows, m.row())
	}
	p.Spoken, p.Whole = q.Span, true // every trade of it was seen
	return p, nil
}

// oneTrade reads [price, volume, time in seconds, ...].
func oneTrade(x []byte) (at series.Time, price float64, volume int64, err error) {
	i := 0
	err = wire.Array(x, func(cell []byte) (err error) {
		switch i++; i {
		case 1:
			price, err = wire.Number(cell)
		case 2:
			var v float64
			if v, err = wire.Number(cell); err == nil && (v < 0 || v > 9e10) {
				err = fmt.Errorf("a volume of %v", v)
			}
			volume = int64(math.Round(v * 1e8))
		case 3:
			var s float64
			if s, err = wire.Number(cell); err == nil && (s < 0 || s > 1e11) {
				err = fmt.Errorf("a time of %v", s)
			}
			// The milliseconds of the vendor's decimals, which a float keeps.
			at = series.Time(math.Floor(s*1000 + 1e-4))
		}
		return err
	})
	if err == nil && i < 3 {
		err = fmt.Errorf("a trade has %d cells", i)
	}
	return at, price, volume, err
}
