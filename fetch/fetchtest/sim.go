package fetchtest

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// Market is what a simulated vendor knows. Bars are in ascending order; times
// after Now do not exist yet, and the bar that holds it is still forming.
type Market struct {
	Symbol string // as the vendor writes it
	Bars   map[series.Interval]*series.Columns
	Now    func() series.Time
	// Limit answers with the vendor's own words from this many requests a minute
	// on; 0 never does.
	Limit int
	// Denied answers every question for bars as the vendor answers a key that has
	// no right to them.
	Denied bool
	// Delay is how old bars have to be for the plan of the key, where the vendor
	// has such plans.
	Delay series.Time
	// Actions are the splits and dividends that vendors of adjusted prices free
	// them of. Dividends need Close.
	Actions []series.Action

	mu       sync.Mutex // guards what follows
	requests int
	minute   series.Time
	inMinute int
	over     int // requests beyond the limit in a row
}

// Requests is how many requests were answered so far.
func (m *Market) Requests() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.requests
}

// Vendors are the names of the providers that have a simulator.
func Vendors() []string {
	names := make([]string, 0, len(simulators))
	for name := range simulators {
		names = append(names, name)
	}
	for name := range routes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// routes are providers that ask the same vendor in another way.
var routes = map[string]string{
	"alpaca-split": "alpaca", "alpaca-all": "alpaca", "alpaca-iex": "alpaca", "polygon-split": "polygon", "tiingo-all": "tiingo",
}

// Vendor returns the simulator of a vendor, or nil if there is none.
func Vendor(name string, m *Market) http.Handler {
	if same := routes[name]; same != "" {
		name = same
	}
	v, ok := simulators[name]
	if !ok {
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", m.Now().Std().Format(http.TimeFormat))
		used, excess := m.count()
		if m.Limit > 0 && excess > 0 {
			v.limited(w, m, excess)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if m.Denied && v.denied != nil {
			v.denied(w, m, 0)
			return
		}
		v.serve(w, r, m, used)
	})
}

// count counts a request: how many there were in this minute, and how many
// beyond the limit in a row.
func (m *Market) count() (used, excess int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests++
	if minute := m.Now() / series.Minute; minute != m.minute {
		m.minute, m.inMinute, m.over = minute, 0, 0
	}
	m.inMinute++
	if m.Limit > 0 && m.inMinute > m.Limit {
		m.over++
	}
	return m.inMinute, m.over
}

// vendor is how one vendor answers.
type vendor struct {
	serve   func(w http.ResponseWriter, r *http.Request, m *Market, used int)
	limited func(w http.ResponseWriter, m *Market, excess int)
	denied  func(w http.ResponseWriter, m *Market, excess int)
}

var simulators = map[string]vendor{
	"binance-spot":      {serve: binance, limited: binanceLimited},
	"coinbase-exchange": {serve: coinbase, limited: words(429, `{"message":"Public rate limit exceeded"}`)},
	"kraken":            {serve: kraken, limited: words(200, `{"error":["EGeneral:Too many requests"]}`)},
	"okx":               {serve: okx, limited: words(429, `{"code":"50011","msg":"Too Many Requests","data":[]}`)},
	"bybit":             {serve: bybit, limited: words(403, `access too frequent`)},
	"bitstamp":          {serve: bitstamp, limited: words(429, `{"status":"error","reason":"Request limit exceeded"}`)},
	"bitfinex":          {serve: bitfinex, limited: words(429, `["error",11010,"ratelimit: error"]`)},
	"kucoin":            {serve: kucoin, limited: words(429, `{"code":"429000","msg":"Too Many Requests"}`)},
	"gateio":            {serve: gate, limited: words(429, `{"label":"TOO_MANY_REQUESTS","message":"Request Rate limit Exceeded"}`)},
	"hyperliquid":       {serve: hyperliquid, limited: words(429, `null`)},
	"alpaca":            {alpaca, words(429, `{"message":"too many requests."}`), words(403, `{"message":"forbidden."}`)},
	"alpaca-crypto":     {serve: alpaca, limited: words(429, `{"message":"too many requests."}`)},
	"polygon":           {polygon, words(429, `{"status":"ERROR","request_id":"1","error":"You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue."}`), words(403, `{"status":"NOT_AUTHORIZED","request_id":"1","message":"You are not entitled to this data. Please upgrade your plan at https://polygon.io/pricing"}`)},
	"yahoo":             {serve: yahoo, limited: text(429, "Edge: Too Many Requests")},
	"tiingo":            {tiingo, words(429, `{"detail":"Error: You have run over your hourly request allocation. Then upgrade at https://api.tiingo.com/pricing"}`), words(403, `{"detail":"You do not have permission to access this resource"}`)},
	"tiingo-crypto":     {serve: tiingoPairs, limited: words(429, `{"detail":"Error: You have run over your hourly request allocation."}`)},
	"tiingo-fx":         {serve: tiingoPairs, limited: words(429, `{"detail":"Error: You have run over your hourly request allocation."}`)},
	"twelvedata":        {twelveData, words(200, `{"code":429,"message":"You have run out of API credits for the current minute. 9 API credits were used, with the current limit being 8.","status":"error"}`), words(200, `{"code":403,"message":"This symbol is available starting with Pro plan.","status":"error"}`)},
	"alphavantage":      {alphaVantage, words(200, `{"Note":"Thank you for using Alpha Vantage! Our standard API call frequency is 5 calls per minute."}`), words(200, `{"Information":"Thank you for using Alpha Vantage! This is a premium endpoint."}`)},
	"finnhub":           {finnhub, words(429, `{"error":"API limit reached. Please try again later. Remaining Limit: 0"}`), words(403, `{"error":"You don't have access to this resource."}`)},
	"eodhd":             {eodhd, words(429, `Too Many Requests`), words(403, `Forbidden. Please contact support@eodhistoricaldata.com`)},
}

func words(status int, body string) func(http.ResponseWriter, *Market, int) {
	return func(w http.ResponseWriter, _ *Market, _ int) { reply(w, status, body) }
}

// text is words that are no JSON.
func text(status int, body string) func(http.ResponseWriter, *Market, int) {
	return func(w http.ResponseWriter, _ *Market, _ int) {
		w.Header().Set("Content-Type", "text/plain")
		reply(w, status, body)
	}
}

func reply(w http.ResponseWriter, status int, body string) {
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // who asked may have gone
}

// binanceLimited warns at first and then bans, longer each time.
func binanceLimited(w http.ResponseWriter, m *Market, excess int) {
	if excess <= 3 {
		w.Header().Set("Retry-After", strconv.Itoa(int((series.Minute-m.Now()%series.Minute)/series.Second)+1))
		reply(w, http.StatusTooManyRequests, `{"code":-1003,"msg":"Too many requests."}`)
		return
	}
	ban := 2 * time.Minute << min(excess-4, 10)
	w.Header().Set("Retry-After", strconv.Itoa(int(ban.Seconds())))
	reply(w, http.StatusTeapot, fmt.Sprintf(`{"code":-1003,"msg":"Way too much request weight used; IP banned until %d."}`, m.Now().Std().Add(ban).UnixMilli()))
}

// bars returns the bars of an interval that open in [from, to), the forming one
// included, and the index of the first.
func (m *Market) bars(i series.Interval, from, to series.Time) (c *series.Columns, first, end int) {
	c = m.Bars[i]
	if c == nil {
		return &series.Columns{}, 0, 0
	}
	to = min(to, m.Now()+1)
	first, _ = slices.BinarySearch(c.Time, from)
	end, _ = slices.BinarySearch(c.Time, to)
	return c, min(first, end), end
}

// forming reports whether a bar has not ended.
func (m *Market) forming(i series.Interval, t series.Time) bool {
	g := series.Grid{Interval: i}
	return g.Time(g.SlotAt(t)+1) > m.Now()
}

// num writes a price or a volume as vendors do.
func num(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

// quoted writes values in quotes.
func quoted(xs ...float64) string {
	out := make([]string, len(xs))
	for i, x := range xs {
		out[i] = `"` + num(x) + `"`
	}
	return strings.Join(out, ",")
}

// plain writes values as numbers.
func plain(xs ...float64) string {
	out := make([]string, len(xs))
	for i, x := range xs {
		out[i] = num(x)
	}
	return strings.Join(out, ",")
}

// list writes rows [first, end), newest first if down.
func list(first, end int, down bool, row func(i int) string) string {
	var b strings.Builder
	for n := range end - first {
		i := first + n
		if down {
			i = end - 1 - n
		}
		if n > 0 {
			b.WriteByte(',')
		}
		b.WriteString(row(i))
	}
	return "[" + b.String() + "]"
}

// trades is how many trades a bar had, as far as anybody knows: none or some.
func trades(c *series.Columns, n int) int {
	if c.Volume[n] == 0 {
		return 0
	}
	return 1
}

// at reads a time of the question in units of unit; or is the answer without.
func at(r *http.Request, key string, unit, or series.Time) series.Time {
	n, err := strconv.ParseInt(r.URL.Query().Get(key), 10, 64)
	if err != nil {
		return or
	}
	return series.Time(n) * unit
}

func count(r *http.Request, key string, or int) int {
	n, err := strconv.Atoi(r.URL.Query().Get(key))
	if err != nil || n <= 0 {
		return or
	}
	return n
}

// minutes are intervals by their length in minutes.
func minutes(s string) (series.Interval, bool) {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, false
	}
	for _, i := range series.Intervals() {
		if i.Width() == series.Time(n)*series.Minute {
			return i, true
		}
	}
	return 0, false
}

const forever = series.MaxTime

// never are times before every bar.
const never = series.Time(0)

// binance gives bars from the start on, oldest first, both bounds included.
func binance(w http.ResponseWriter, r *http.Request, m *Market, used int) {
	w.Header().Set("X-Mbx-Used-Weight-1m", strconv.Itoa(2*used))
	if strings.HasSuffix(r.URL.Path, "/time") {
		reply(w, 200, fmt.Sprintf(`{"serverTime":%d}`, int64(m.Now())))
		return
	}
	q := r.URL.Query()
	i, err := series.ParseInterval(q.Get("interval"))
	switch {
	case q.Get("symbol") != m.Symbol:
		reply(w, 400, `{"code":-1121,"msg":"Invalid symbol."}`)
		return
	case err != nil:
		reply(w, 400, `{"code":-1120,"msg":"Invalid interval."}`)
		return
	}
	c, first, end := m.bars(i, at(r, "startTime", 1, never), at(r, "endTime", 1, forever-1)+1)
	limit := min(count(r, "limit", 500), 1000)
	if q.Get("startTime") == "" {
		first = max(first, end-limit)
	}
	end = min(end, first+limit)
	reply(w, 200, list(first, end, false, func(n int) string {
		return fmt.Sprintf(`[%d,%s,%d,"0",0,"0","0","0"]`, int64(c.Time[n]), quoted(c.Open[n], c.High[n], c.Low[n], c.Close[n], c.Volume[n]), int64(c.Time[n]+i.Width()-1))
	}))
}

// coinbase leaves out minutes without trade, gives the newest first, and needs
// both bounds.
func coinbase(w http.ResponseWriter, r *http.Request, m *Market, _ int) {
	if r.URL.Path == "/time" {
		reply(w, 200, fmt.Sprintf(`{"iso":%q,"epoch":%d}`, m.Now().Std().Format(time.RFC3339), int64(m.Now()/1000)))
		return
	}
	q := r.URL.Query()
	g := count(r, "granularity", 0)
	i, ok := minutes(strconv.Itoa(g / 60))
	switch {
	case !strings.HasPrefix(r.URL.Path, "/products/"+m.Symbol+"/"):
		reply(w, 404, `{"message":"NotFound"}`)
		return
	case !ok:
		reply(w, 400, `{"message":"Unsupported granularity"}`)
		return
	}
	from, to := at(r, "start", 1000, never), at(r, "end", 1000, forever-1)
	if q.Get("start") == "" || q.Get("end") == "" { // a lone bound is ignored
		from, to = m.Now()-350*i.Width(), m.Now()
	} else if (to-from)/i.Width() >= 300 {
		reply(w, 400, `{"message":"granularity too small for the requested time range. Count of aggregations requested exceeds 300"}`)
		return
	}
	c, first, end := m.bars(i, from-i.Width(), to+1) // a row before the start may come
	rows := make([]int, 0, end-first)
	for n := first; n < end; n++ {
		if c.Volume[n] > 0 {
			rows = append(rows, n)
		}
	}
	reply(w, 200, list(0, len(rows), true, func(x int) string {
		n := rows[x]
		return fmt.Sprintf(`[%d,%s]`, int64(c.Time[n]/1000), plain(c.Low[n], c.High[n], c.Open[n], c.Close[n], c.Volume[n]))
	}))
}

// kraken has 720 bars and the forming one, whatever was asked, under a name of
// its own.
func kraken(w http.ResponseWriter, r *http.Request, m *Market, _ int) {
	if strings.HasSuffix(r.URL.Path, "/Time") {
		reply(w, 200, fmt.Sprintf(`{"error":[],"result":{"unixtime":%d}}`, int64(m.Now()/1000)))
		return
	}
	q := r.URL.Query()
	if strings.HasSuffix(r.URL.Path, "/Trades") && q.Get("pair") == m.Symbol {
		krakenTrades(w, r, m)
		return
	}
	i, ok := minutes(q.Get("interval"))
	switch {
	case q.Get("pair") != m.Symbol:
		reply(w, 200, `{"error":["EQuery:Unknown asset pair"]}`)
		return
	case !ok:
		reply(w, 200, `{"error":["EGeneral:Invalid arguments"]}`)
		return
	}
	c, first, end := m.bars(i, never, forever)
	first = max(first, end-721)
	if since := at(r, "since", 1000, never-1); since >= 0 {
		n, _ := slices.BinarySearch(c.Time[:end], since+1)
		first = max(first, min(n, end-1)) // the last row always comes
	}
	last := series.Time(0)
	if end > 0 {
		last = c.Time[end-1]
		if m.forming(i, last) && end > 1 {
			last = c.Time[end-2]
		}
	}
	rows := list(first, end, false, func(n int) string {
		return fmt.Sprintf(`[%d,%s,%s,%d]`, int64(c.Time[n]/1000), quoted(c.Open[n], c.High[n], c.Low[n], c.Close[n], c.Close[n]), quoted(c.Volume[n]), trades(c, n))
	})
	reply(w, 200, fmt.Sprintf(`{"error":[],"result":{"X%s":%s,"last":%d}}`, m.Symbol, rows, int64(last/1000)))
}

// krakenTrades gives the trades behind since, 1,000 a page: four for each bar
// that traded, at its open, high, low and close.
func krakenTrades(w http.ResponseWriter, r *http.Request, m *Market) {
	since, err := strconv.ParseInt(r.URL.Query().Get("since"), 10, 64)
	if err != nil {
		reply(w, 200, `{"error":["EGeneral:Invalid arguments"]}`)
		return
	}
	var c *series.Columns
	var width series.Time
	for i, x := range m.Bars {
		c, width = x, i.Width()
	}
	from, _ := slices.BinarySearch(c.Time, series.Time(since/1_000_000)-width)
	var rows []string
	last := since
	for n := from; n < c.Len() && len(rows) < 1000; n++ {
		if c.Volume[n] == 0 {
			continue
		}
		all := int64(math.Round(c.Volume[n] * 1e8))
		for k, price := range []float64{c.Open[n], c.High[n], c.Low[n], c.Close[n]} {
			ms := int64(c.Time[n]) + int64(k)*int64(width)/4
			part := all / 4
			if k == 3 {
				part = all - 3*(all/4)
			}
			if ns := ms*1_000_000 + int64(k); ns > since && ms <= int64(m.Now()) && len(rows) < 1000 {
				rows = append(rows, fmt.Sprintf(`["%s","%d.%08d",%d.%03d%06d,"b","l","",%d]`, num(price), part/1e8, part%1e8, ms/1000, ms%1000, k, n))
				last = ns
			}
		}
	}
	reply(w, 200, fmt.Sprintf(`{"error":[],"result":{"X%s":[%s],"last":"%d"}}`, m.Symbol, strings.Join(rows, ","), last))
}

// okx has exclusive cursors, the newest first, and 1,440 bars on the quick
// route.
func okx(w http.ResponseWriter, r *http.Request, m *Market, _ int) {
	if strings.HasSuffix(r.URL.Path, "/time") {
		reply(w, 200, fmt.Sprintf(`{"code":"0","msg":"","data":[{"ts":"%d"}]}`, int64(m.Now())))
		return
	}
	q := r.URL.Query()
	name := strings.TrimSuffix(q.Get("bar"), "utc")
	if n := len(name); n > 0 && (name[n-1] == 'H' || name[n-1] == 'D' || name[n-1] == 'W') {
		name = strings.ToLower(name)
	}
	i, err := series.ParseInterval(name)
	switch {
	case q.Get("instId") != m.Symbol:
		reply(w, 200, `{"code":"51001","msg":"Instrument ID does not exist","data":[]}`)
		return
	case err != nil:
		reply(w, 200, `{"code":"51000","msg":"Parameter bar error","data":[]}`)
		return
	}
	c, first, end := m.bars(i, at(r, "before", 1, never-1)+1, at(r, "after", 1, forever))
	if strings.HasSuffix(r.URL.Path, "/candles") {
		_, _, newest := m.bars(i, never, forever)
		first = max(first, min(newest-1440, end))
	}
	first = max(first, end-min(count(r, "limit", 100), 300))
	rows := list(first, end, true, func(n int) string {
		confirm := 1
		if m.forming(i, c.Time[n]) {
			confirm = 0
		}
		return fmt.Sprintf(`["%d",%s,"0","0","%d"]`, int64(c.Time[n]), quoted(c.Open[n], c.High[n], c.Low[n], c.Close[n], c.Volume[n]), confirm)
	})
	reply(w, 200, fmt.Sprintf(`{"code":"0","msg":"","data":%s}`, rows))
}

// bybit gives the bar that holds the start too, the newest first, and keeps the
// newest where the range is too wide. Without a category it is another market.
func bybit(w http.ResponseWriter, r *http.Request, m *Market, _ int) {
	if strings.HasSuffix(r.URL.Path, "/time") {
		reply(w, 200, fmt.Sprintf(`{"retCode":0,"retMsg":"OK","result":{},"time":%d}`, int64(m.Now())))
		return
	}
	q := r.URL.Query()
	i, ok := minutes(q.Get("interval"))
	if q.Get("interval") == "D" {
		i, ok = series.Interval1d, true
	}
	switch {
	case q.Get("symbol") != m.Symbol || q.Get("category") != "spot":
		reply(w, 200, `{"retCode":10001,"retMsg":"Symbol Invalid","result":{}}`)
		return
	case !ok:
		reply(w, 200, `{"retCode":10001,"retMsg":"Invalid period!","result":{}}`)
		return
	}
	g := series.Grid{Interval: i}
	from := at(r, "start", 1, never)
	c, first, end := m.bars(i, g.Time(g.SlotAt(from)), at(r, "end", 1, forever-1)+1)
	first = max(first, end-min(count(r, "limit", 200), 1000))
	rows := list(first, end, true, func(n int) string {
		return fmt.Sprintf(`["%d",%s]`, int64(c.Time[n]), quoted(c.Open[n], c.High[n], c.Low[n], c.Close[n], c.Volume[n], 0))
	})
	reply(w, 200, fmt.Sprintf(`{"retCode":0,"retMsg":"OK","result":{"category":"spot","symbol":%q,"list":%s}}`, m.Symbol, rows))
}

// bitstamp ignores the start where there is an end, and gives a minute without
// trade the price of the next row.
func bitstamp(w http.ResponseWriter, r *http.Request, m *Market, _ int) {
	if !strings.Contains(r.URL.Path, "/ohlc/") {
		reply(w, 200, `{"last":"1"}`)
		return
	}
	i, ok := minutes(strconv.Itoa(count(r, "step", 0) / 60))
	switch {
	case !strings.HasSuffix(r.URL.Path, "/ohlc/"+m.Symbol+"/"):
		reply(w, 404, `{"status":"error","reason":"Invalid currency pair"}`)
		return
	case !ok:
		reply(w, 400, `{"code":"400.002","errors":[{"field":"step","message":"invalid"}]}`)
		return
	}
	limit := min(count(r, "limit", 100), 1000)
	c, first, end := m.bars(i, at(r, "start", 1000, never), at(r, "end", 1000, forever-1)+1)
	if r.URL.Query().Get("end") != "" {
		_, first, end = m.bars(i, never, at(r, "end", 1000, never)+1)
		first = max(first, end-limit)
	}
	end = min(end, first+limit)
	rows := list(first, end, false, func(n int) string {
		o, h, l, cl := c.Open[n], c.High[n], c.Low[n], c.Close[n]
		if c.Volume[n] == 0 && n+1 < c.Len() {
			o = c.Close[n+1]
			h, l, cl = o, o, o
		}
		return fmt.Sprintf(`{"timestamp":"%d","open":"%s","high":"%s","low":"%s","close":"%s","volume":"%s"}`, int64(c.Time[n]/1000), num(o), num(h), num(l), num(cl), num(c.Volume[n]))
	})
	reply(w, 200, fmt.Sprintf(`{"data":{"pair":"X","ohlc":%s}}`, rows))
}

// bitfinex leaves out minutes without trade and has an order of columns of its
// own.
func bitfinex(w http.ResponseWriter, r *http.Request, m *Market, _ int) {
	if strings.HasSuffix(r.URL.Path, "/platform/status") {
		reply(w, 200, `[1]`)
		return
	}
	parts := strings.Split(r.URL.Path, ":")
	if len(parts) != 3 || parts[2] != m.Symbol+"/hist" {
		reply(w, 500, `["error",10020,"symbol: invalid"]`)
		return
	}
	name := parts[1]
	if name == "1D" || name == "1W" {
		name = strings.ToLower(name)
	}
	i, err := series.ParseInterval(name)
	if err != nil {
		reply(w, 500, `["error",10020,"timeframe: invalid"]`)
		return
	}
	c, first, end := m.bars(i, at(r, "start", 1, never), at(r, "end", 1, forever-1)+1)
	down := r.URL.Query().Get("sort") != "1"
	var rows []int
	for n := first; n < end; n++ {
		if c.Volume[n] > 0 {
			rows = append(rows, n)
		}
	}
	limit := min(count(r, "limit", 100), 10_000)
	a, b := 0, min(len(rows), limit)
	if down {
		a, b = max(0, len(rows)-limit), len(rows)
	}
	reply(w, 200, list(a, b, down, func(x int) string {
		n := rows[x]
		return fmt.Sprintf(`[%d,%s]`, int64(c.Time[n]), plain(c.Open[n], c.Close[n], c.High[n], c.Low[n], c.Volume[n]))
	}))
}

// kucoin counts in seconds from 0, leaves the end out, and gives the newest
// first.
func kucoin(w http.ResponseWriter, r *http.Request, m *Market, _ int) {
	if strings.HasSuffix(r.URL.Path, "/timestamp") {
		reply(w, 200, fmt.Sprintf(`{"code":"200000","data":%d}`, int64(m.Now())))
		return
	}
	q := r.URL.Query()
	name := strings.NewReplacer("min", "m", "hour", "h", "day", "d", "week", "w", "month", "M").Replace(q.Get("type"))
	i, err := series.ParseInterval(name)
	switch {
	case q.Get("symbol") != m.Symbol:
		reply(w, 200, `{"code":"400100","msg":"This pair is not provided at present. symbol"}`)
		return
	case err != nil:
		reply(w, 200, `{"code":"400100","msg":"Incorrect candlestick type."}`)
		return
	}
	c, first, end := m.bars(i, at(r, "startAt", 1000, 0), at(r, "endAt", 1000, 0))
	rows := make([]int, 0, max(0, end-first))
	for n := first; n < end; n++ {
		if c.Volume[n] > 0 {
			rows = append(rows, n)
		}
	}
	rows = rows[max(0, len(rows)-1500):]
	body := list(0, len(rows), true, func(x int) string {
		n := rows[x]
		return fmt.Sprintf(`["%d",%s]`, int64(c.Time[n]/1000), quoted(c.Open[n], c.Close[n], c.High[n], c.Low[n], c.Volume[n], 0))
	})
	reply(w, 200, fmt.Sprintf(`{"code":"200000","data":%s}`, body))
}

// gate refuses a limit beside a range, 1,000 points and more, and what is older
// than 10,000 bars.
func gate(w http.ResponseWriter, r *http.Request, m *Market, _ int) {
	if strings.HasSuffix(r.URL.Path, "/time") {
		reply(w, 200, fmt.Sprintf(`{"server_time":%d}`, int64(m.Now())))
		return
	}
	q := r.URL.Query()
	i, err := series.ParseInterval(q.Get("interval"))
	from, to := at(r, "from", 1000, m.Now()-99*series.Minute), at(r, "to", 1000, m.Now())
	switch {
	case q.Get("currency_pair") != m.Symbol:
		reply(w, 400, `{"label":"INVALID_CURRENCY_PAIR","message":"Invalid currency pair"}`)
		return
	case err != nil || i.Width() == 0:
		reply(w, 400, `{"label":"INVALID_PARAM_VALUE","message":"Invalid interval"}`)
		return
	case q.Get("limit") != "" && q.Get("from") != "":
		reply(w, 400, `{"label":"INVALID_PARAM_VALUE","message":"limit conflicts with from and to"}`)
		return
	case from < m.Now()-10_000*i.Width():
		reply(w, 400, `{"label":"INVALID_PARAM_VALUE","message":"Candlestick too long ago. Maximum 10000 points ago are allowed"}`)
		return
	case (to-from)/i.Width() >= 1000:
		reply(w, 400, `{"label":"INVALID_PARAM_VALUE","message":"Candlestick range too broad. Maximum 1000 data points are allowed per request"}`)
		return
	}
	c, first, end := m.bars(i, from, to+1)
	reply(w, 200, list(first, end, false, func(n int) string {
		return fmt.Sprintf(`["%d","0",%s,"%v"]`, int64(c.Time[n]/1000), quoted(c.Close[n], c.High[n], c.Low[n], c.Open[n], c.Volume[n]), !m.forming(i, c.Time[n]))
	}))
}
