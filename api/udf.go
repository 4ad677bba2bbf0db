package api

import (
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
)

// What follows is TradingView's protocol for data feeds, UDF, as of
// tradingview.com/charting-library-docs/latest/connecting_data/UDF (read
// 2026-11). Times are Unix seconds.

// resolutions are the intervals by the names that charts give them.
var resolutions = []struct {
	name     string
	interval series.Interval
}{
	{"1S", series.Interval1s},
	{"5S", series.Interval5s},
	{"10S", series.Interval10s},
	{"15S", series.Interval15s},
	{"30S", series.Interval30s},
	{"1", series.Interval1m},
	{"3", series.Interval3m},
	{"5", series.Interval5m},
	{"10", series.Interval10m},
	{"15", series.Interval15m},
	{"30", series.Interval30m},
	{"45", series.Interval45m},
	{"60", series.Interval1h},
	{"120", series.Interval2h},
	{"180", series.Interval3h},
	{"240", series.Interval4h},
	{"360", series.Interval6h},
	{"480", series.Interval8h},
	{"720", series.Interval12h},
	{"1D", series.Interval1d},
	{"3D", series.Interval3d},
	{"1W", series.Interval1w},
	{"1M", series.Interval1M},
}

// resolution is the interval of a name; D, W and M alone are one of them, and H
// is an hour.
func resolution(name string) (series.Interval, bool) {
	switch name {
	case "D", "W", "M", "S":
		name = "1" + name
	}
	if n, ok := strings.CutSuffix(name, "H"); ok {
		if h, err := strconv.Atoi(n); err == nil {
			name = strconv.Itoa(60 * h)
		}
	}
	for _, r := range resolutions {
		if r.name == name {
			return r.interval, true
		}
	}
	return 0, false
}

func udfError(c *gin.Context, text string) {
	c.AbortWithStatusJSON(http.StatusOK, gin.H{"s": "error", "errmsg": text})
}

func (s *Server) udfConfig(c *gin.Context) {
	var names []string
	for _, r := range resolutions {
		names = append(names, r.name)
	}
	c.JSON(http.StatusOK, gin.H{
		"supported_resolutions": names, "supports_group_request": false, "supports_marks": false, "supports_search": true,
		"supports_timescale_marks": false, "supports_time": true,
		"exchanges":     []gin.H{{"value": "", "name": "All", "desc": ""}},
		"symbols_types": []gin.H{{"name": "All", "value": ""}},
	})
}

func (s *Server) udfTime(c *gin.Context) {
	c.String(http.StatusOK, strconv.FormatInt(s.now().Unix(), 10))
}

// udfSymbol is a symbol as charts want to know it.
type udfSymbol struct {
	Name        string   `json:"name"`
	Ticker      string   `json:"ticker"`
	Description string   `json:"description"`
	Type        string   `json:"type"`
	Session     string   `json:"session"`
	Holidays    string   `json:"session_holidays,omitempty"`
	Corrections string   `json:"corrections,omitempty"`
	Timezone    string   `json:"timezone"`
	Exchange    string   `json:"exchange"`
	Listed      string   `json:"listed_exchange"`
	MinMov      int      `json:"minmov"`
	PriceScale  int64    `json:"pricescale"`
	Intraday    bool     `json:"has_intraday"`
	Seconds     bool     `json:"has_seconds"`
	Daily       bool     `json:"has_daily"`
	Weekly      bool     `json:"has_weekly_and_monthly"`
	Resolutions []string `json:"supported_resolutions"`
	Minutes     []string `json:"intraday_multipliers"`
	Precision   int      `json:"volume_precision"`
	Status      string   `json:"data_status"`
	Format      string   `json:"format"`
}

func (s *Server) udfSymbolOf(symbol string) (udfSymbol, error) {
	out := udfSymbol{
		Name: symbol, Ticker: symbol, Description: symbol, Type: "crypto", Session: udfAlways, Timezone: "Etc/UTC", MinMov: 1, PriceScale: 100,
		Resolutions: []string{}, Minutes: []string{}, Precision: 8, Status: "streaming", Format: "price",
	}
	infos, err := s.selected(symbol, 0)
	if err != nil {
		return out, err
	}
	if cal := s.calendarOf(symbol); cal != series.Always().Name() {
		out.Type, out.Exchange, out.Listed = "stock", cal, cal
		if k, err := s.store.Calendars().Known(cal); err == nil && k.Zone() != "" {
			out.Timezone = k.Zone()
			h := s.hours.of(k, series.TimeOf(s.now()))
			out.Session, out.Holidays, out.Corrections = h.session, h.holidays, h.corrections
		}
	}
	if m, ok := s.store.Symbol(symbol); ok && m.TickSize > 0 {
		out.PriceScale = int64(math.Round(math.Pow(10, math.Ceil(-math.Log10(m.TickSize)-1e-9))))
		out.MinMov = max(1, int(math.Round(m.TickSize*float64(out.PriceScale))))
	} else if b, ok, err := s.store.Latest(infos[0].Key); err == nil && ok {
		out.PriceScale = scaleOf(b.Open, b.High, b.Low, b.Close)
	}
	for _, r := range resolutions {
		for _, i := range infos {
			if i.Bars > 0 && (i.Interval == r.interval || i.Interval.Divides(r.interval)) {
				out.Resolutions = append(out.Resolutions, r.name)
				switch {
				case strings.HasSuffix(r.name, "S"):
					out.Seconds = true
				case r.interval.Intraday():
					out.Intraday = true
					out.Minutes = append(out.Minutes, r.name)
				case r.name == "1D":
					out.Daily = true
				case r.name == "1W" || r.name == "1M":
					out.Weekly = true
				}
				break
			}
		}
	}
	return out, nil
}

// scaleOf is the power of ten that turns prices into whole numbers, at most
// 1e8.
func scaleOf(prices ...float64) int64 {
	digits := 2
	for _, p := range prices {
		text := strconv.FormatFloat(p, 'f', -1, 64)
		if i := strings.IndexByte(text, '.'); i >= 0 {
			digits = max(digits, len(text)-i-1)
		}
	}
	return int64(math.Pow10(min(digits, 8)))
}

func (s *Server) udfSymbols(c *gin.Context) {
	name := c.Query("symbol")
	if i := strings.IndexByte(name, ':'); i > 0 { // EXCHANGE:SYMBOL, unless it is the name
		if _, err := s.selected(name, 0); err != nil {
			name = name[i+1:]
		}
	}
	x, err := s.udfSymbolOf(name)
	if err != nil {
		udfError(c, "unknown_symbol")
		return
	}
	c.JSON(http.StatusOK, x)
}

// symbols lists the stored symbols once each.
func (s *Server) symbols() ([]string, error) {
	infos, err := s.store.Series()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, i := range infos {
		if i.Bars > 0 && !slices.Contains(out[max(0, len(out)-1):], i.Symbol) {
			out = append(out, i.Symbol)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// udfInfo answers /symbol_info: one list for each property.
func (s *Server) udfInfo(c *gin.Context) {
	names, err := s.symbols()
	if err != nil {
		fail(c, err)
		return
	}
	cols := map[string][]any{}
	for _, n := range names {
		x, err := s.udfSymbolOf(n)
		if err != nil {
			continue // deleted meanwhile
		}
		for k, v := range map[string]any{
			"symbol": x.Name, "ticker": x.Ticker, "description": x.Description, "exchange-listed": x.Listed, "exchange-traded": x.Exchange, "minmovement": x.MinMov,
			"pricescale": x.PriceScale, "has-intraday": x.Intraday, "type": x.Type, "timezone": x.Timezone, "session-regular": x.Session, "session-holidays": x.Holidays, "corrections": x.Corrections, "supported-resolutions": x.Resolutions,
		} {
			cols[k] = append(cols[k], v)
		}
	}
	c.JSON(http.StatusOK, cols)
}

func (s *Server) udfSearch(c *gin.Context) {
	names, err := s.symbols()
	if err != nil {
		fail(c, err)
		return
	}
	limit := 30
	if n, err := strconv.Atoi(c.Query("limit")); err == nil && n > 0 {
		limit = min(n, 1000)
	}
	want := strings.ToUpper(c.Query("query"))
	out := []gin.H{}
	for _, n := range names {
		if len(out) == limit {
			break
		}
		if !strings.Contains(strings.ToUpper(n), want) && !strings.Contains(strings.ToUpper(binanceName(n)), want) {
			continue
		}
		x, err := s.udfSymbolOf(n)
		if err != nil || c.Query("type") != "" && x.Type != c.Query("type") || c.Query("exchange") != "" && x.Exchange != c.Query("exchange") {
			continue
		}
		out = append(out, gin.H{"symbol": n, "full_name": n, "description": x.Description, "exchange": x.Exchange, "ticker": n, "type": x.Type})
	}
	c.JSON(http.StatusOK, out)
}

// udfMost bounds the bars of one answer.
const udfMost = 50_000

// udfHistory answers /history. countback bars before to win over from.
func (s *Server) udfHistory(c *gin.Context) {
	interval, ok := resolution(c.Query("resolution"))
	if !ok {
		udfError(c, "unknown resolution")
		return
	}
	from, err1 := strconv.ParseInt(c.DefaultQuery("from", "0"), 10, 64)
	to, err2 := strconv.ParseInt(c.DefaultQuery("to", strconv.FormatInt(s.now().Unix()+1, 10)), 10, 64)
	back, err3 := strconv.Atoi(c.DefaultQuery("countback", "0"))
	if err := errors.Join(err1, err2, err3); err != nil || back < 0 || from < -1<<40 || to > 1<<40 {
		udfError(c, "from, to and countback are numbers")
		return
	}
	key := series.Key{Symbol: c.Query("symbol"), Interval: interval}
	if _, err := s.selected(key.Symbol, 0); key.Symbol == "" || err != nil {
		udfError(c, "unknown_symbol")
		return
	}
	last := series.Time(to)*series.Second - 1
	var bars *series.Columns
	var err error
	if back > 0 {
		bars, err = s.lastOrFirst(c, key, nil, &last, min(back, udfMost))
	} else {
		first := series.Time(from) * series.Second
		bars, err = s.lastOrFirst(c, key, &first, &last, udfMost)
	}
	if err != nil {
		fail(c, err)
		return
	}
	if bars.Len() == 0 {
		out := gin.H{"s": "no_data"}
		if prev, err := s.lastOrFirst(c, key, nil, &last, 1); err == nil && prev.Len() > 0 {
			out["nextTime"] = prev.Time[0] / series.Second
		}
		c.JSON(http.StatusOK, out)
		return
	}
	times := make([]series.Time, bars.Len())
	for i, t := range bars.Time {
		times[i] = t / series.Second
	}
	c.JSON(http.StatusOK, gin.H{"s": "ok", "t": times, "o": bars.Open, "h": bars.High, "l": bars.Low, "c": bars.Close, "v": bars.Volume})
}
