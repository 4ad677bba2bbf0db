package fetchtest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/barkeepdb/barkeep/series"
)

// newYork is where the sessions of the simulated equities vendors take place.
var newYork = sync.OnceValue(func() *time.Location {
	z, err := time.LoadLocation("America/New_York")
	if err != nil {
		panic(err) // the program brings the zones with it
	}
	return z
})

// stamp is the moment of a date in New York at which a vendor says that a bar of
// a day or longer opens; others open when they do.
func stamp(i series.Interval, t series.Time, hour, minute int) series.Time {
	if i.Intraday() {
		return t
	}
	d := t.Std()
	return series.TimeOf(time.Date(d.Year(), d.Month(), d.Day(), hour, minute, 0, 0, newYork()))
}

// stamped returns the bars whose stamps lie in [from, to).
func (m *Market) stamped(i series.Interval, from, to series.Time, hour, minute int) (c *series.Columns, first, end int) {
	if i.Intraday() {
		return m.bars(i, from, to)
	}
	c, first, end = m.bars(i, from-2*series.Day, forever)
	for first < end && stamp(i, c.Time[first], hour, minute) < from {
		first++
	}
	for end > first && stamp(i, c.Time[end-1], hour, minute) >= to {
		end--
	}
	return c, first, end
}

// quote is what a vendor says of bar n: the prices as traded, or freed of the
// actions of the market.
func (m *Market) quote(i series.Interval, c *series.Columns, n int, a series.Adjust) (o, h, l, cl, v float64) {
	o, h, l, cl, v = c.Open[n], c.High[n], c.Low[n], c.Close[n], c.Volume[n]
	for _, x := range m.Actions {
		ex := x.Ex
		if i.Intraday() {
			ex = stamp(series.Interval1d, ex, 0, 0)
		}
		if c.Time[n] >= ex {
			continue
		}
		f := 1.0
		switch {
		case x.Kind == series.Split && a >= series.AdjustSplit:
			f = 1 / x.Ratio
			v *= x.Ratio
		case x.Kind == series.Dividend && a == series.AdjustAll:
			f = 1 - x.Amount/x.Close
		}
		o, h, l, cl = o*f, h*f, l*f, cl*f
	}
	return o, h, l, cl, v
}

// traded are the bars of [first, end) in which anything traded.
func traded(c *series.Columns, first, end int) (rows []int) {
	for n := first; n < end; n++ {
		if c.Volume[n] > 0 {
			rows = append(rows, n)
		}
	}
	return rows
}

func adjustOf(word string) series.Adjust {
	switch word {
	case "split", "true":
		return series.AdjustSplit
	case "all":
		return series.AdjustAll
	}
	return series.AdjustNone
}

// instant reads a moment in RFC 3339 or a date of New York.
func instant(text string, or series.Time) series.Time {
	for _, layout := range [...]string{time.RFC3339, time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return series.TimeOf(t)
		}
	}
	return or
}

// alpacaWidths are the units of Alpaca's timeframes.
var alpacaWidths = map[string]string{"Min": "m", "Hour": "h", "Day": "d", "Week": "w", "Month": "M"}

func alpacaInterval(text string) (series.Interval, error) {
	n := strings.TrimRightFunc(text, unicode.IsLetter)
	return series.ParseInterval(n + alpacaWidths[strings.TrimPrefix(text, n)])
}

// alpacaPage is how many rows an answer has if nobody says.
const alpacaPage = 1000

// alpaca includes both bounds, goes on by tokens, the last of which may lead to
// an empty page, and refuses what is too young for the plan.
func alpaca(w http.ResponseWriter, r *http.Request, m *Market, _ int) {
	q := r.URL.Query()
	crypto := strings.Contains(r.URL.Path, "/crypto/")
	if strings.Contains(r.URL.Path, "/latest/") {
		reply(w, 200, `{"bars":{}}`)
		return
	}
	i, err := alpacaInterval(q.Get("timeframe"))
	if err != nil {
		reply(w, 400, `{"message":"invalid timeframe"}`)
		return
	}
	symbols, single := q.Get("symbols"), false
	if rest, ok := strings.CutPrefix(r.URL.Path, "/v2/stocks/"); ok && rest != "bars" {
		symbols, single = strings.TrimSuffix(rest, "/bars"), true
	}
	if symbols != m.Symbol {
		reply(w, 400, fmt.Sprintf(`{"code":40010001,"message":"invalid symbol: %s"}`, symbols))
		return
	}
	from, to := instant(q.Get("start"), m.Now()/series.Day*series.Day), instant(q.Get("end"), m.Now())
	if !crypto && q.Get("feed") != "iex" && m.Delay > 0 && to > m.Now()-m.Delay {
		reply(w, 403, `{"message":"subscription does not permit querying recent SIP data"}`)
		return
	}
	limit := min(count(r, "limit", alpacaPage), 10_000)
	c, first, end := m.stamped(i, from, to+1, 0, 0)
	rows := traded(c, first, end)
	if token := q.Get("page_token"); token != "" {
		after, err := strconv.ParseInt(token, 36, 64)
		if err != nil {
			reply(w, 400, `{"message":"invalid page_token"}`)
			return
		}
		k, _ := slices.BinarySearchFunc(rows, series.Time(after)+1, func(n int, t series.Time) int { return int(c.Time[n] - t) })
		rows = rows[k:]
	}
	next := "null"
	if len(rows) >= limit {
		rows = rows[:limit]
		next = strconv.Quote(strconv.FormatInt(int64(c.Time[rows[limit-1]]), 36))
	}
	adjust := adjustOf(q.Get("adjustment"))
	body := list(0, len(rows), false, func(x int) string {
		n := rows[x]
		o, h, l, cl, v := m.quote(i, c, n, adjust)
		return fmt.Sprintf(`{"t":%q,"o":%s,"h":%s,"l":%s,"c":%s,"v":%s,"n":1,"vw":%s}`, stamp(i, c.Time[n], 0, 0).Std().Format(time.RFC3339), num(o), num(h), num(l), num(cl), num(v), num(cl))
	})
	switch {
	case single:
		if len(rows) == 0 {
			body = "null"
		}
		reply(w, 200, fmt.Sprintf(`{"bars":%s,"symbol":%q,"next_page_token":%s}`, body, m.Symbol, next))
	case len(rows) == 0:
		reply(w, 200, fmt.Sprintf(`{"bars":{},"next_page_token":%s}`, next))
	default:
		reply(w, 200, fmt.Sprintf(`{"bars":{%q:%s},"next_page_token":%s}`, m.Symbol, body, next))
	}
}

// polygonBase is how many base bars, minutes or days, an answer looks at unless
// it is asked for fewer; and polygonMost at most.
const (
	polygonBase = 5000
	polygonMost = 50_000
)

// polygon looks at a bounded number of minutes or days and goes on by an address,
// writes volumes with an exponent, and has no word for an unknown ticker.
func polygon(w http.ResponseWriter, r *http.Request, m *Market, _ int) {
	p := strings.Split(strings.TrimPrefix(r.URL.Path, "/v2/aggs/ticker/"), "/") // ticker, range, n, unit, from, to
	if len(p) != 6 || p[1] != "range" {
		reply(w, 200, `{"market":"open","serverTime":"`+m.Now().Std().Format(time.RFC3339)+`"}`)
		return
	}
	unit := map[string]string{"second": "s", "minute": "m", "hour": "h", "day": "d", "week": "w", "month": "M"}[p[3]]
	i, err := series.ParseInterval(p[2] + unit)
	if err != nil {
		reply(w, 400, `{"status":"ERROR","error":"the timespan is not supported"}`)
		return
	}
	bound := func(text string, end bool) series.Time {
		if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
			return series.Time(ms)
		}
		t := stamp(series.Interval1d, instant(text, 0), 0, 0)
		if end {
			t += series.Day - 1
		}
		return t
	}
	from, to := bound(p[4], false), bound(p[5], true)
	adjust := adjustOf(r.URL.Query().Get("adjusted"))
	if r.URL.Query().Get("adjusted") == "" {
		adjust = series.AdjustSplit
	}
	base := series.Day
	if i.Intraday() {
		base = series.Minute
	}
	limit := min(count(r, "limit", polygonBase), polygonMost)
	stop := min(to+1, from+series.Time(limit)*max(base, i.Width()%base+base))
	if i.Intraday() { // minutes that never traded are looked at too
		stop = min(to+1, from+series.Time(limit)*base)
	}
	c, first, end := m.stamped(i, from, stop, 0, 0)
	if p[0] != m.Symbol {
		first = end
	}
	rows := traded(c, first, end)
	results := ""
	if len(rows) > 0 {
		results = `"results":` + list(0, len(rows), r.URL.Query().Get("sort") == "desc", func(x int) string {
			n := rows[x]
			o, h, l, cl, v := m.quote(i, c, n, adjust)
			return fmt.Sprintf(`{"v":%s,"vw":%s,"o":%s,"c":%s,"h":%s,"l":%s,"t":%d,"n":1}`, strconv.FormatFloat(v, 'e', -1, 64), num(cl), num(o), num(cl), num(h), num(l), int64(stamp(i, c.Time[n], 0, 0)))
		}) + ","
	}
	next := ""
	if stop <= to && p[0] == m.Symbol && stop <= m.Now() {
		next = fmt.Sprintf(`"next_url":"https://api.polygon.io/v2/aggs/ticker/%s/range/%s/%s/%d/%d?cursor=%s&limit=%d&adjusted=%v",`, p[0], p[2], p[3], int64(stop), int64(to), strconv.FormatInt(int64(stop), 36), limit, adjust == series.AdjustSplit)
	}
	status := "OK"
	if to > m.Now()-15*series.Minute {
		status = "DELAYED"
	}
	reply(w, 200, fmt.Sprintf(`{"ticker":%q,"queryCount":%d,"resultsCount":%d,"adjusted":%v,%s%s"status":%q,"request_id":"1","count":%d}`, p[0], len(rows), len(rows), adjust == series.AdjustSplit, results, next, status, len(rows)))
}

// yahooAges are how old bars may be, and how many days one question may span.
var yahooAges = map[series.Interval]struct{ age, span series.Time }{
	series.Interval1m: {30 * series.Day, 8 * series.Day}, series.Interval5m: {60 * series.Day, 60 * series.Day}, series.Interval15m: {60 * series.Day, 60 * series.Day},
	series.Interval30m: {60 * series.Day, 60 * series.Day}, series.Interval1h: {730 * series.Day, 730 * series.Day},
}

// yahoo adjusts for splits whatever is asked, leaves columns null where nothing
// traded, stamps a day with the open of its session, and adds a row for the
// moment of the answer.
func yahoo(w http.ResponseWriter, r *http.Request, m *Market, _ int) {
	fault := func(status int, code, text string) {
		reply(w, status, fmt.Sprintf(`{"chart":{"result":null,"error":{"code":%q,"description":%q}}}`, code, text))
	}
	q := r.URL.Query()
	symbol := strings.TrimPrefix(r.URL.Path, "/v8/finance/chart/")
	if symbol == "SPY" && q.Get("range") != "" {
		reply(w, 200, `{"chart":{"result":[{"meta":{"symbol":"SPY"},"indicators":{"quote":[{}]}}],"error":null}}`)
		return
	}
	i, err := series.ParseInterval(strings.NewReplacer("wk", "w", "mo", "M", "60m", "1h").Replace(q.Get("interval")))
	from, to := at(r, "period1", 1000, never), at(r, "period2", 1000, m.Now())
	ages, bounded := yahooAges[i]
	switch {
	case symbol != m.Symbol:
		fault(404, "Not Found", "No data found, symbol may be delisted")
		return
	case err != nil:
		fault(422, "Unprocessable Entity", "Invalid input - interval="+q.Get("interval")+" is not supported")
		return
	case bounded && from < m.Now()-ages.age:
		fault(422, "Unprocessable Entity", fmt.Sprintf("%s data not available for startTime=%d and endTime=%d. The requested range must be within the last %d days.", i, int64(from/1000), int64(to/1000), ages.age/series.Day))
		return
	case bounded && to-from > ages.span:
		fault(422, "Unprocessable Entity", fmt.Sprintf("Only %d days worth of %s granularity data are allowed to be fetched per request.", ages.span/series.Day, i))
		return
	}
	c, first, end := m.stamped(i, from, to+1, 9, 30)
	var cols [6][]string
	add := func(t series.Time, values ...string) {
		cols[0] = append(cols[0], strconv.FormatInt(int64(t/1000), 10))
		for k := range 5 {
			cols[k+1] = append(cols[k+1], values[min(k, len(values)-1)])
		}
	}
	for n := first; n < end; n++ {
		t := stamp(i, c.Time[n], 9, 30)
		if c.Volume[n] == 0 {
			if n%2 == 0 { // or it is left out
				add(t, "null")
			}
			continue
		}
		o, h, l, cl, v := m.quote(i, c, n, series.AdjustSplit)
		add(t, num(o), num(h), num(l), num(cl), num(v))
	}
	if end > first && m.forming(i, c.Time[end-1]) && m.Now() != stamp(i, c.Time[end-1], 9, 30) { // the last trade, as a row of its own
		x := num(c.Close[end-1])
		add(m.Now(), x, x, x, x, "0")
	}
	zone, offset := m.Now().Std().In(newYork()).Zone()
	meta := fmt.Sprintf(`{"currency":"USD","symbol":%q,"instrumentType":"EQUITY","regularMarketTime":%d,"gmtoffset":%d,"timezone":%q,"exchangeTimezoneName":"America/New_York","priceHint":2,"dataGranularity":%q}`,
		m.Symbol, int64(m.Now()/1000), offset, zone, q.Get("interval"))
	if len(cols[0]) == 0 {
		reply(w, 200, fmt.Sprintf(`{"chart":{"result":[{"meta":%s,"indicators":{"quote":[{}],"adjclose":[{}]}}],"error":null}}`, meta))
		return
	}
	join := func(k int) string { return "[" + strings.Join(cols[k], ",") + "]" }
	reply(w, 200, fmt.Sprintf(`{"chart":{"result":[{"meta":%s,"timestamp":%s,%s"indicators":{"quote":[{"open":%s,"high":%s,"low":%s,"close":%s,"volume":%s}],"adjclose":[{"adjclose":%s}]}}],"error":null}}`,
		meta, join(0), m.yahooEvents(from, to), join(1), join(2), join(3), join(4), join(5), join(4)))
}

// yahooEvents are the actions between two times, as a member of an answer.
func (m *Market) yahooEvents(from, to series.Time) string {
	var splits, dividends []string
	for _, x := range m.Actions {
		t := stamp(series.Interval1d, x.Ex, 9, 30)
		if t < from || t > to {
			continue
		}
		if x.Kind == series.Split {
			splits = append(splits, fmt.Sprintf(`"%d":{"date":%d,"numerator":%s,"denominator":1,"splitRatio":"%s:1"}`, int64(t/1000), int64(t/1000), num(x.Ratio), num(x.Ratio)))
		} else {
			amount := x.Amount // freed of later splits, like the prices
			for _, y := range m.Actions {
				if y.Kind == series.Split && y.Ex > x.Ex {
					amount /= y.Ratio
				}
			}
			dividends = append(dividends, fmt.Sprintf(`"%d":{"amount":%s,"date":%d}`, int64(t/1000), num(amount), int64(t/1000)))
		}
	}
	if len(splits)+len(dividends) == 0 {
		return ""
	}
	return fmt.Sprintf(`"events":{"dividends":{%s},"splits":{%s}},`, strings.Join(dividends, ","), strings.Join(splits, ","))
}

// tiingo counts in dates, both included, gives intraday bars no volume unless it
// is asked for, and answers a question for minutes on the daily route with days.
func tiingo(w http.ResponseWriter, r *http.Request, m *Market, _ int) {
	q := r.URL.Query()
	daily := strings.HasPrefix(r.URL.Path, "/tiingo/daily/")
	if !daily && !strings.HasPrefix(r.URL.Path, "/iex/") {
		reply(w, 200, `{"message":"You successfully sent a request"}`)
		return
	}
	symbol, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/tiingo/daily/"), "/iex/"), "/")
	if symbol != m.Symbol {
		reply(w, 404, fmt.Sprintf(`{"detail":"Error: Ticker '%s' not found"}`, symbol))
		return
	}
	i := series.Interval1d
	if !daily {
		freq := strings.ToLower(q.Get("resampleFreq"))
		var err error
		if i, err = series.ParseInterval(strings.NewReplacer("min", "m", "hour", "h").Replace(freq)); err != nil {
			reply(w, 400, `{"detail":"Error: resampleFreq must be in \"Min\" or \"Hour\""}`)
			return
		}
	}
	to := instant(q.Get("endDate"), m.Now()/series.Day*series.Day)
	from := instant(q.Get("startDate"), to)
	c, first, end := m.bars(i, from, to+series.Day)
	if q.Get("startDate") == "" {
		first = max(first, end-1)
	}
	rows := traded(c, first, end)
	columns := q.Get("columns")
	reply(w, 200, list(0, len(rows), false, func(x int) string {
		n := rows[x]
		date := c.Time[n].Std().Format("2006-01-02T15:04:05.000Z")
		if !daily {
			volume := ""
			if strings.Contains(columns, "volume") {
				volume = `,"volume":` + num(c.Volume[n])
			}
			return fmt.Sprintf(`{"date":%q,"open":%s,"high":%s,"low":%s,"close":%s%s}`, date, num(c.Open[n]), num(c.High[n]), num(c.Low[n]), num(c.Close[n]), volume)
		}
		o, h, l, cl, v := m.quote(i, c, n, series.AdjustAll)
		cash, split := 0.0, 1.0
		for _, x := range m.Actions {
			if x.Ex == c.Time[n] && x.Kind == series.Split {
				split = x.Ratio
			} else if x.Ex == c.Time[n] {
				cash = x.Amount
			}
		}
		return fmt.Sprintf(`{"date":%q,"close":%s,"high":%s,"low":%s,"open":%s,"volume":%s,"adjClose":%s,"adjHigh":%s,"adjLow":%s,"adjOpen":%s,"adjVolume":%s,"divCash":%s,"splitFactor":%s}`,
			date, num(c.Close[n]), num(c.High[n]), num(c.Low[n]), num(c.Open[n]), num(c.Volume[n]), num(cl), num(h), num(l), num(o), num(v), num(cash), num(split))
	}))
}

// tiingoPairs are Tiingo's markets of pairs: crypto in a list by ticker, which
// leaves out what it does not know, and forex, which has no volume.
func tiingoPairs(w http.ResponseWriter, r *http.Request, m *Market, _ int) {
	q := r.URL.Query()
	crypto := strings.HasPrefix(r.URL.Path, "/tiingo/crypto/")
	if !crypto && !strings.HasPrefix(r.URL.Path, "/tiingo/fx/") {
		reply(w, 200, `{"message":"You successfully sent a request"}`)
		return
	}
	symbol := q.Get("tickers")
	if !crypto {
		symbol, _, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/tiingo/fx/"), "/")
	}
	i, err := series.ParseInterval(strings.NewReplacer("min", "m", "hour", "h", "day", "d").Replace(strings.ToLower(q.Get("resampleFreq"))))
	switch {
	case err != nil:
		reply(w, 400, `{"detail":"Error: resampleFreq is not valid"}`)
		return
	case symbol != m.Symbol && crypto:
		reply(w, 200, `[]`)
		return
	case symbol != m.Symbol:
		reply(w, 404, fmt.Sprintf(`{"detail":"Error: Ticker '%s' not found"}`, symbol))
		return
	}
	to := instant(q.Get("endDate"), m.Now()/series.Day*series.Day)
	c, first, end := m.bars(i, instant(q.Get("startDate"), to), to+series.Day)
	rows := traded(c, first, end)
	body := list(0, len(rows), false, func(x int) string {
		n := rows[x]
		date := c.Time[n].Std().Format("2006-01-02T15:04:05.000Z")
		if crypto {
			return fmt.Sprintf(`{"date":"%s","open":%s,"high":%s,"low":%s,"close":%s,"volume":%s,"volumeNotional":%s,"tradesDone":1.0}`, strings.Replace(date, ".000Z", "+00:00", 1), num(c.Open[n]), num(c.High[n]), num(c.Low[n]), num(c.Close[n]), num(c.Volume[n]), num(c.Volume[n]*c.Close[n]))
		}
		return fmt.Sprintf(`{"date":%q,"ticker":%q,"open":%s,"high":%s,"low":%s,"close":%s}`, date, m.Symbol, num(c.Open[n]), num(c.High[n]), num(c.Low[n]), num(c.Close[n]))
	})
	if crypto {
		body = fmt.Sprintf(`[{"ticker":%q,"baseCurrency":"btc","quoteCurrency":"usd","priceData":%s}]`, m.Symbol, body)
	}
	reply(w, 200, body)
}

// twelveData gives 30 rows, the newest first and in the exchange's time, unless
// it is asked otherwise, and has its errors under status 200.
func twelveData(w http.ResponseWriter, r *http.Request, m *Market, _ int) {
	fault := func(code int, text string) {
		reply(w, 200, fmt.Sprintf(`{"code":%d,"message":%q,"status":"error"}`, code, text))
	}
	if r.URL.Path != "/time_series" {
		reply(w, 200, `{"current_usage":1,"plan_limit":8}`)
		return
	}
	q := r.URL.Query()
	name := strings.NewReplacer("min", "m", "day", "d", "week", "w", "month", "M").Replace(q.Get("interval"))
	i, err := series.ParseInterval(name)
	switch {
	case q.Get("symbol") != m.Symbol:
		fault(404, "**symbol** or **figi** parameter is missing or invalid. Please provide a valid symbol according to API documentation: https://twelvedata.com/docs#reference-data")
		return
	case err != nil:
		fault(400, "Invalid **interval** provided: "+q.Get("interval"))
		return
	}
	zone := newYork()
	if q.Get("timezone") == "UTC" {
		zone = time.UTC
	}
	most := 5000
	if q.Get("start_date") == "" || q.Get("end_date") == "" || q.Get("outputsize") != "" {
		most = min(count(r, "outputsize", 30), 5000)
	}
	c, first, end := m.bars(i, instant(q.Get("start_date"), never), instant(q.Get("end_date"), m.Now())+1)
	rows := traded(c, first, end)
	if len(rows) == 0 {
		fault(400, "No data is available on the specified dates. Try setting different start/end dates.")
		return
	}
	rows = rows[max(0, len(rows)-most):]
	layout := time.DateTime
	if !i.Intraday() {
		layout, zone = time.DateOnly, time.UTC
	}
	values := list(0, len(rows), !strings.EqualFold(q.Get("order"), "asc"), func(x int) string {
		n := rows[x]
		o, h, l, cl, v := m.quote(i, c, n, series.AdjustSplit)
		return fmt.Sprintf(`{"datetime":%q,"open":"%s","high":"%s","low":"%s","close":"%s","volume":"%s"}`, c.Time[n].Std().In(zone).Format(layout), num(o), num(h), num(l), num(cl), num(v))
	})
	reply(w, 200, fmt.Sprintf(`{"meta":{"symbol":%q,"interval":%q,"currency":"USD","exchange_timezone":"America/New_York","exchange":"NYSE","type":"Common Stock"},"values":%s,"status":"ok"}`, m.Symbol, q.Get("interval"), values))
}

// alphaVantage answers everything under status 200: bars as members of an object
// named by the exchange's time, a month at a time, and faults as a sentence.
func alphaVantage(w http.ResponseWriter, r *http.Request, m *Market, _ int) {
	q := r.URL.Query()
	function := strings.TrimPrefix(q.Get("function"), "TIME_SERIES_")
	i := map[string]series.Interval{"DAILY": series.Interval1d, "WEEKLY": series.Interval1w, "MONTHLY": series.Interval1M}[function]
	title := map[series.Interval]string{series.Interval1d: "Time Series (Daily)", series.Interval1w: "Weekly Time Series", series.Interval1M: "Monthly Time Series"}[i]
	if function == "INTRADAY" {
		i, _ = series.ParseInterval(strings.Replace(strings.Replace(q.Get("interval"), "60min", "1h", 1), "min", "m", 1))
		title = "Time Series (" + q.Get("interval") + ")"
	}
	switch {
	case function == "MARKET_STATUS":
		reply(w, 200, `{"endpoint":"Global Market Open & Close Status","markets":[]}`)
		return
	case q.Get("symbol") != m.Symbol, !i.Valid():
		reply(w, 200, fmt.Sprintf(`{"Error Message":"Invalid API call. Please retry or visit the documentation (https://www.alphavantage.co/documentation/) for %s."}`, q.Get("function")))
		return
	}
	from, to := never, m.Now()+1
	if month, err := time.ParseInLocation("2006-01", q.Get("month"), newYork()); err == nil {
		from, to = series.TimeOf(month), series.TimeOf(month.AddDate(0, 1, 0))
	}
	c, first, end := m.bars(i, from, to)
	rows := traded(c, first, end)
	if q.Get("outputsize") != "full" {
		rows = rows[max(0, len(rows)-100):]
	}
	zone, layout := newYork(), time.DateTime
	if !i.Intraday() {
		zone, layout = time.UTC, time.DateOnly
	}
	var b strings.Builder
	for x := range rows {
		n := rows[len(rows)-1-x]
		if x > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `%q:{"1. open":"%s","2. high":"%s","3. low":"%s","4. close":"%s","5. volume":"%s"}`, c.Time[n].Std().In(zone).Format(layout), num(c.Open[n]), num(c.High[n]), num(c.Low[n]), num(c.Close[n]), num(c.Volume[n]))
	}
	reply(w, 200, fmt.Sprintf(`{"Meta Data":{"1. Information":"%s","2. Symbol":%q,"3. Last Refreshed":"","4. Interval":"","5. Output Size":"Full size","6. Time Zone":"US/Eastern"},%q:{%s}}`, title, m.Symbol, title, b.String()))
}

// finnhub gives columns, and no word for an unknown symbol.
func finnhub(w http.ResponseWriter, r *http.Request, m *Market, _ int) {
	q := r.URL.Query()
	if !strings.HasSuffix(r.URL.Path, "/candle") {
		reply(w, 200, `{"exchange":"US","isOpen":true}`)
		return
	}
	i, ok := minutes(q.Get("resolution"))
	adjust := series.AdjustNone
	if word := q.Get("resolution"); !ok {
		i, ok = map[string]series.Interval{"D": series.Interval1d, "W": series.Interval1w, "M": series.Interval1M}[word]
		adjust = series.AdjustSplit
	}
	if !ok {
		reply(w, 400, `{"error":"Wrong resolution"}`)
		return
	}
	c, first, end := m.bars(i, at(r, "from", 1000, never), at(r, "to", 1000, m.Now())+1)
	rows := traded(c, first, end)
	if len(rows) == 0 || q.Get("symbol") != m.Symbol {
		reply(w, 200, `{"s":"no_data"}`)
		return
	}
	column := func(pick func(n int) float64) string {
		return list(0, len(rows), false, func(x int) string { return num(pick(rows[x])) })
	}
	at := func(k int) func(n int) float64 {
		return func(n int) float64 {
			o, h, l, cl, v := m.quote(i, c, n, adjust)
			return [...]float64{cl, h, l, o, v}[k]
		}
	}
	times := column(func(n int) float64 { return float64(c.Time[n] / 1000) })
	reply(w, 200, fmt.Sprintf(`{"c":%s,"h":%s,"l":%s,"o":%s,"s":"ok","t":%s,"v":%s}`, column(at(0)), column(at(1)), column(at(2)), column(at(3)), times, column(at(4))))
}

// eodhdSpans are how much time one question for an interval may span.
var eodhdSpans = map[series.Interval]series.Time{series.Interval1m: 120 * series.Day, series.Interval5m: 600 * series.Day, series.Interval1h: 7200 * series.Day}

// eodhd gives CSV unless it is asked for JSON, and a volume for days that is
// freed of splits beside prices that are not.
func eodhd(w http.ResponseWriter, r *http.Request, m *Market, _ int) {
	q := r.URL.Query()
	kind, symbol, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/api/"), "/")
	if !ok || kind == "exchange-details" {
		reply(w, 200, `{"Name":"USA Stocks"}`)
		return
	}
	if symbol != m.Symbol {
		reply(w, 404, "Ticker Not Found.")
		return
	}
	name, from, to := q.Get("period"), instant(q.Get("from"), never), instant(q.Get("to"), m.Now())+series.Day
	if kind == "intraday" {
		name, from, to = q.Get("interval"), at(r, "from", 1000, m.Now()-120*series.Day), at(r, "to", 1000, m.Now())+1
	}
	if kind == "eod" {
		name = "1" + strings.Replace(name, "m", "M", 1)
	}
	i, err := series.ParseInterval(name)
	if err != nil {
		reply(w, 422, `{"errors":{"interval":["The selected interval is invalid."]}}`)
		return
	}
	if most := eodhdSpans[i]; kind == "intraday" && to-from > most {
		reply(w, 422, fmt.Sprintf(`{"errors":{"from":["the range is longer than %d days"]}}`, most/series.Day))
		return
	}
	c, first, end := m.bars(i, from, to)
	rows := traded(c, first, end)
	if q.Get("fmt") != "json" {
		w.Header().Set("Content-Type", "text/csv")
		var b strings.Builder
		b.WriteString("Date,Open,High,Low,Close,Adjusted_close,Volume\n")
		for _, n := range rows {
			fmt.Fprintf(&b, "%s,%s,%s\n", c.Time[n].Std().Format(time.DateOnly), plain(c.Open[n], c.High[n], c.Low[n], c.Close[n], c.Close[n]), num(c.Volume[n]))
		}
		reply(w, 200, b.String())
		return
	}
	reply(w, 200, list(0, len(rows), q.Get("order") == "d", func(x int) string {
		n := rows[x]
		when := fmt.Sprintf(`"timestamp":%d,"gmtoffset":0,"datetime":%q`, int64(c.Time[n]/1000), c.Time[n].Std().Format(time.DateTime))
		volume, adjusted := c.Volume[n], ""
		if kind == "eod" {
			var all float64
			_, _, _, all, volume = m.quote(i, c, n, series.AdjustAll)
			when, adjusted = fmt.Sprintf(`"date":%q`, c.Time[n].Std().Format(time.DateOnly)), `"adjusted_close":`+num(all)+","
		}
		return fmt.Sprintf(`{%s,"open":%s,"high":%s,"low":%s,"close":%s,%s"volume":%s}`, when, num(c.Open[n]), num(c.High[n]), num(c.Low[n]), num(c.Close[n]), adjusted, num(volume))
	}))
}
