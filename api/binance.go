package api

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// What follows answers as the market data of Binance's spot API does, so that
// its clients read from here when they are given another base URL. Shapes,
// limits and error bodies are those of
// developers.binance.com/docs/binance-spot-api-docs/rest-api (read 2026-11).

// binanceError answers with a code and a text of Binance's.
func binanceError(c *gin.Context, code int, msg string) {
	c.AbortWithStatusJSON(http.StatusBadRequest, gin.H{"code": code, "msg": msg})
}

func binanceMandatory(c *gin.Context, name string) {
	binanceError(c, -1102, "Mandatory parameter '"+name+"' was not sent, was empty/null, or malformed.")
}

// binanceIntervals are those that Binance has.
var binanceIntervals = []series.Interval{
	series.Interval1s, series.Interval1m, series.Interval3m, series.Interval5m, series.Interval15m, series.Interval30m, series.Interval1h, series.Interval2h,
	series.Interval4h, series.Interval6h, series.Interval8h, series.Interval12h, series.Interval1d, series.Interval3d, series.Interval1w, series.Interval1M,
}

func (s *Server) binancePing(c *gin.Context) { c.JSON(http.StatusOK, gin.H{}) }

func (s *Server) binanceTime(c *gin.Context) {
	c.JSON(http.StatusOK, gin.H{"serverTime": series.TimeOf(s.now())})
}

// binanceName is how Binance would write a symbol: without separators.
func binanceName(symbol string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("/-_:", r) {
			return -1
		}
		return r
	}, symbol)
}

// binanceSymbol finds the stored symbol that a client means.
func (s *Server) binanceSymbol(name string) (string, bool, error) {
	infos, err := s.store.Series()
	if err != nil {
		return "", false, err
	}
	found := ""
	for _, i := range infos {
		if i.Symbol == name {
			return name, true, nil
		}
		if found == "" && binanceName(i.Symbol) == name {
			found = i.Symbol
		}
	}
	return found, found != "", nil
}

// splitPair splits a symbol into what is traded and what it is priced in.
func splitPair(symbol string) (base, quote string) {
	if i := strings.IndexAny(symbol, "/-_:"); i > 0 && i < len(symbol)-1 {
		return symbol[:i], symbol[i+1:]
	}
	for _, q := range []string{"FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "GBP", "JPY", "BTC", "ETH", "BNB", "TRY"} {
		if b, ok := strings.CutSuffix(symbol, q); ok && len(b) >= 2 {
			return b, q
		}
	}
	return binanceName(symbol), "USD"
}

func (s *Server) binanceInfo(c *gin.Context) {
	q := c.Request.URL.Query()
	var want []string
	if v := q.Get("symbol"); v != "" {
		want = []string{v}
	}
	if v := q.Get("symbols"); v != "" {
		if err := json.Unmarshal([]byte(v), &want); err != nil {
			binanceError(c, -1100, "Illegal characters found in parameter 'symbols'; legal range is '[\"...\"]'.")
			return
		}
	}
	infos, err := s.store.Series()
	if err != nil {
		fail(c, err)
		return
	}
	symbols := []gin.H{}
	known := map[string]bool{}
	for _, i := range infos {
		name := binanceName(i.Symbol)
		if known[name] || i.Bars == 0 || want != nil && !slices.Contains(want, name) && !slices.Contains(want, i.Symbol) {
			continue
		}
		known[name] = true
		symbols = append(symbols, s.binanceMarket(i.Symbol))
	}
	for _, w := range want {
		if !known[binanceName(w)] {
			binanceError(c, -1121, "Invalid symbol.")
			return
		}
	}
	c.JSON(http.StatusOK, gin.H{
		"timezone": "UTC", "serverTime": series.TimeOf(s.now()),
		"rateLimits":      []gin.H{{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}},
		"exchangeFilters": []gin.H{}, "symbols": symbols,
	})
}

// binanceNone answers for the futures, which clients ask for unless they are
// told not to.
func (s *Server) binanceNone(c *gin.Context) {
	c.JSON(http.StatusOK, gin.H{"timezone": "UTC", "serverTime": series.TimeOf(s.now()), "symbols": []gin.H{}})
}

func (s *Server) binanceMarket(symbol string) gin.H {
	base, quote := splitPair(symbol)
	tick := "0.00000001"
	if m, ok := s.store.Symbol(symbol); ok && m.TickSize > 0 {
		tick = binanceNumber(m.TickSize)
	}
	orders := []string{"LIMIT", "MARKET"}
	return gin.H{
		"symbol": binanceName(symbol), "status": "TRADING", "baseAsset": base, "baseAssetPrecision": 8, "quoteAsset": quote,
		"quotePrecision": 8, "quoteAssetPrecision": 8, "baseCommissionPrecision": 8, "quoteCommissionPrecision": 8, "orderTypes": orders,
		"icebergAllowed": false, "ocoAllowed": false, "otoAllowed": false, "quoteOrderQtyMarketAllowed": false, "allowTrailingStop": false,
		"cancelReplaceAllowed": false, "isSpotTradingAllowed": true, "isMarginTradingAllowed": false,
		"filters": []gin.H{
			{"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000000.00000000", "tickSize": tick},
			{"filterType": "LOT_SIZE", "minQty": "0.00000001", "maxQty": "1000000000.00000000", "stepSize": "0.00000001"},
		},
		"permissions": []string{}, "permissionSets": [][]string{{"SPOT"}}, "defaultSelfTradePreventionMode": "NONE", "allowedSelfTradePreventionModes": []string{"NONE"},
	}
}

// binanceNumber writes a number as Binance does: at least eight decimals. All
// digits of ours are kept.
func binanceNumber(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		v = 0
	}
	text := strconv.FormatFloat(v, 'f', -1, 64)
	i := strings.IndexByte(text, '.')
	if i < 0 {
		return text + ".00000000"
	}
	return text + strings.Repeat("0", max(0, 8-(len(text)-i-1)))
}

const (
	binanceLimit     = 500
	binanceMostLimit = 1000
)

func (s *Server) binanceKlines(c *gin.Context) {
	q := c.Request.URL.Query()
	name, text := q.Get("symbol"), q.Get("interval")
	if name == "" {
		binanceMandatory(c, "symbol")
		return
	}
	if text == "" {
		binanceMandatory(c, "interval")
		return
	}
	interval, err := series.ParseInterval(text)
	if err != nil || !slices.Contains(binanceIntervals, interval) {
		binanceError(c, -1120, "Invalid interval.")
		return
	}
	limit := binanceLimit
	if v := q.Get("limit"); v != "" {
		if limit, err = strconv.Atoi(v); err != nil || limit < 1 {
			binanceError(c, -1100, "Illegal characters found in parameter 'limit'; legal range is '^[0-9]{1,20}$'.")
			return
		}
		limit = min(limit, binanceMostLimit)
	}
	var bounds [2]*series.Time
	for i, key := range []string{"startTime", "endTime"} {
		if v := q.Get(key); v != "" {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < 0 {
				binanceError(c, -1100, "Illegal characters found in parameter '"+key+"'; legal range is '^[0-9]{1,20}$'.")
				return
			}
			t := series.Time(n)
			bounds[i] = &t
		}
	}
	symbol, found, err := s.binanceSymbol(name)
	if err != nil {
		fail(c, err)
		return
	}
	if !found {
		binanceError(c, -1121, "Invalid symbol.")
		return
	}
	bars, err := s.lastOrFirst(c, series.Key{Symbol: symbol, Interval: interval}, bounds[0], bounds[1], limit)
	if err != nil {
		fail(c, err)
		return
	}
	out := make([][12]any, 0, bars.Len())
	g := series.Grid{Interval: interval}
	for i, t := range bars.Time {
		b := bars.Bar(i)
		end := g.Time(g.SlotAt(t)+1) - 1
		if end < t {
			end = t + interval.Width() - 1
		}
		count := int64(0)
		if !math.IsNaN(b.Trades) {
			count = int64(b.Trades)
		}
		out = append(out, [12]any{
			t, binanceNumber(b.Open), binanceNumber(b.High), binanceNumber(b.Low), binanceNumber(b.Close), binanceNumber(b.Volume),
			end, binanceNumber(b.QuoteVolume), count, "0.00000000", "0.00000000", "0",
		})
	}
	c.JSON(http.StatusOK, out)
}

// lastOrFirst reads at most limit bars that open in [from, to], both inclusive:
// with from the first ones, else the last ones.
func (s *Server) lastOrFirst(ctx context.Context, key series.Key, from, to *series.Time, limit int) (*series.Columns, error) {
	out := &series.Columns{}
	src, err := s.source(key, 0)
	if e, ok := errors.AsType[*Error](err); ok && e.Code == "no_such_series" {
		return out, nil // a symbol without bars of that interval
	}
	if err != nil {
		return nil, err
	}
	v, err := s.store.Snapshot()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	span := src.span
	if from != nil {
		span.From = max(span.From, *from)
	}
	if to != nil {
		span.To = min(span.To, *to+1)
	}
	if span.Empty() {
		return out, nil
	}
	read := func(span series.Span) rows { return ascending(ctx, v, src, span, storage.ColAll) }
	in := read(span)
	if from == nil {
		in = descending(src.grid, span, read)
	}
	for ch, err := range in {
		if err != nil {
			return nil, err
		}
		for i := 0; i < ch.Len() && out.Len() < limit; i++ {
			out.Append(ch.Bar(i))
		}
		if out.Len() == limit {
			break
		}
	}
	if from == nil {
		(&chunk{Columns: out}).reverse()
	}
	return out, nil
}
