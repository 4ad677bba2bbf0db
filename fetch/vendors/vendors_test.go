package vendors_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/vendors"
	"github.com/barkeepdb/barkeep/series"
)

const noon = series.Time(1_700_049_600_000) // 2023-11-15 12:00 UTC

// TestInfo: what a provider says of itself is complete and makes sense.
func TestInfo(t *testing.T) {
	names := map[string]bool{}
	for _, p := range vendors.All() {
		i := p.Info()
		switch {
		case i.Name == "" || names[i.Name] || i.Title == "" || i.Venue == "":
			t.Errorf("%q has no name of its own, no title or no venue", i.Name)
		case !strings.Contains(i.Document, "(read 20"):
			t.Errorf("%s does not say which document its facts are from, and when it was read", i.Name)
		case len(i.Hosts) == 0 || len(i.Intervals) == 0 || len(i.Limits) == 0:
			t.Errorf("%s has no hosts, intervals or limits", i.Name)
		}
		names[i.Name] = true
		for _, h := range i.Hosts {
			if u, err := url.Parse(h); err != nil || u.Scheme != "https" || u.Path != "" {
				t.Errorf("%s: host %q", i.Name, h)
			}
		}
		for k := range i.Horizon {
			if i.Intervals[k] == "" {
				t.Errorf("%s has a horizon for %s and no bars of it", i.Name, k)
			}
		}
		if vendors.ByName(i.Name) == nil {
			t.Errorf("%s is not found by its name", i.Name)
		}
		if h := p.Health(); h.Path == "" {
			t.Errorf("%s has no health check", i.Name)
		}
	}
	if vendors.ByName("nobody") != nil {
		t.Error("there is a provider called nobody")
	}
}

// TestRequests: the question of each vendor for three bars of BTC.
func TestRequests(t *testing.T) {
	for _, x := range []struct {
		name, symbol, want string
		interval           series.Interval
	}{
		{"binance-spot", "BTCUSDT", "/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime=1700049600000&endTime=1700049779999&limit=1000", series.Interval1m},
		{"binance-usdm", "BTCUSDT", "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&startTime=1700049600000&endTime=1700049779999&limit=499", series.Interval1m},
		{"coinbase-exchange", "BTC-USD", "/products/BTC-USD/candles?granularity=60&start=1700049600&end=1700049720", series.Interval1m},
		{"coinbase-advanced", "BTC-USD", "/api/v3/brokerage/market/products/BTC-USD/candles?start=1700049600&end=1700049720&granularity=ONE_MINUTE&limit=300", series.Interval1m},
		{"kraken", "XBTUSD", "/0/public/OHLC?pair=XBTUSD&interval=1&since=1700049599", series.Interval1m},
		{"kraken-futures", "PI_XBTUSD", "/api/charts/v1/trade/PI_XBTUSD/1m?from=1700049600&to=1700049779", series.Interval1m},
		{"okx", "BTC-USDT", "/api/v5/market/candles?instId=BTC-USDT&bar=1m&before=1700049599999&after=1700049780000&limit=100", series.Interval1m},
		{"bybit", "BTCUSDT", "/v5/market/kline?category=spot&symbol=BTCUSDT&interval=1&start=1700049600000&end=1700049779999&limit=1000", series.Interval1m},
		{"bybit", "linear:BTCUSDT", "/v5/market/kline?category=linear&symbol=BTCUSDT&interval=60&start=1700049600000&end=1700060399999&limit=1000", series.Interval1h},
		{"bitstamp", "btcusd", "/api/v2/ohlc/btcusd/?step=60&limit=3&end=1700049720", series.Interval1m},
		{"bitfinex", "tBTCUSD", "/v2/candles/trade:1m:tBTCUSD/hist?start=1700049600000&end=1700049779999&limit=10000&sort=1", series.Interval1m},
		{"kucoin", "BTC-USDT", "/api/v1/market/candles?symbol=BTC-USDT&type=1min&startAt=1700049600&endAt=1700049780", series.Interval1m},
		{"kucoin-futures", "XBTUSDTM", "/api/v1/kline/query?symbol=XBTUSDTM&granularity=1&from=1700049600000&to=1700049779999", series.Interval1m},
		{"gateio", "BTC_USDT", "/api/v4/spot/candlesticks?currency_pair=BTC_USDT&interval=1m&from=1700049600&to=1700049779", series.Interval1m},
		{"gemini", "btcusd", "/v2/candles/btcusd/1m", series.Interval1m},
		{"alpaca", "AAPL", "/v2/stocks/bars?symbols=AAPL&timeframe=1Day&start=2023-11-15T12%3A00%3A00Z&end=2023-11-18T11%3A59%3A59Z&limit=10000&adjustment=raw", series.Interval1d},
		{"alpaca-crypto", "BTC/USD", "/v1beta3/crypto/us/bars?symbols=BTC%2FUSD&timeframe=1Min&start=2023-11-15T12%3A00%3A00Z&end=2023-11-15T12%3A02%3A59Z&limit=10000", series.Interval1m},
		{"polygon", "AAPL", "/v2/aggs/ticker/AAPL/range/1/minute/1700049600000/1700049779999?adjusted=false&sort=asc&limit=50000", series.Interval1m},
		{"tiingo", "AAPL", "/tiingo/daily/AAPL/prices?startDate=2023-11-15&endDate=2023-11-18&resampleFreq=daily&format=json", series.Interval1d},
		{"twelvedata", "AAPL", "/time_series?symbol=AAPL&interval=1min&start_date=2023-11-15+12%3A00%3A00&end_date=2023-11-15+12%3A02%3A59&timezone=UTC&order=ASC", series.Interval1m},
		{"alphavantage", "EUR/USD", "/query?function=FX_DAILY&outputsize=full&from_symbol=EUR&to_symbol=USD", series.Interval1d},
		{"yahoo", "AAPL", "/v8/finance/chart/AAPL?period1=1700049600&period2=1700049779&interval=1m&includePrePost=false&events=div%2Csplits%2CcapitalGains", series.Interval1m},
		{"stooq", "AAPL.US", "/q/d/l/?s=aapl.us&i=d&d1=20231115&d2=20231118", series.Interval1d},
		{"eodhd", "AAPL.US", "/api/intraday/AAPL.US?interval=1m&from=1700049600&to=1700049779&fmt=json", series.Interval1m},
		{"finnhub", "OANDA:EUR_USD", "/api/v1/forex/candle?symbol=OANDA%3AEUR_USD&resolution=1&from=1700049600&to=1700049779", series.Interval1m},
		{"cryptocompare", "BTC-USD@Kraken", "/data/v2/histominute?fsym=BTC&tsym=USD&limit=2&toTs=1700049720&e=Kraken", series.Interval1m},
	} {
		p := vendors.ByName(x.name)
		q := fetch.Query{Symbol: x.symbol, Interval: x.interval, Span: series.Span{From: noon, To: noon + 3*x.interval.Width()}, Now: noon + series.Hour}
		r, err := p.Request(q)
		got := r.Path
		if r.Query != "" {
			got += "?" + r.Query
		}
		if err != nil || got != x.want {
			t.Errorf("%s asks\n %s, %v\nwant %s", x.name, got, err, x.want)
		}
	}
	r, err := vendors.ByName("hyperliquid").Request(fetch.Query{Symbol: "BTC", Interval: series.Interval1h, Span: series.Span{From: noon, To: noon + 60*series.Hour}})
	if want := `{"type":"candleSnapshot","req":{"coin":"BTC","interval":"1h","startTime":1700049600000,"endTime":1700265599999}}`; err != nil || string(r.Body) != want || r.Cost[0] != 21 {
		t.Errorf("hyperliquid asks %s, cost %v, %v", r.Body, r.Cost, err)
	}
	// OKX keeps what is old elsewhere.
	r, err = vendors.ByName("okx").Request(fetch.Query{Symbol: "BTC-USDT", Interval: series.Interval1d, Span: series.Span{From: noon, To: noon + series.Day}, Now: noon + 5*365*series.Day})
	if err != nil || r.Path != "/api/v5/market/history-candles" || !strings.Contains(r.Query, "bar=1Dutc") {
		t.Errorf("okx asks %s?%s, %v", r.Path, r.Query, err)
	}
}

// TestRequestRefuses: what a vendor cannot be asked.
func TestRequestRefuses(t *testing.T) {
	for _, p := range vendors.All() {
		for _, q := range []fetch.Query{
			{Symbol: "BTC", Interval: series.Interval30s, Span: series.Span{From: noon, To: noon + series.Hour}},
			{Symbol: "", Interval: series.Interval1m, Span: series.Span{From: noon, To: noon + series.Hour}},
			{Symbol: "BTC&x=1", Interval: series.Interval1m, Span: series.Span{From: noon, To: noon + series.Hour}},
			{Symbol: "../x?", Interval: series.Interval1m, Span: series.Span{From: noon, To: noon + series.Hour}},
		} {
			_, err := p.Request(q)
			var e *fetch.Error
			if !errors.As(err, &e) || e.Kind != fetch.BadRequest {
				t.Errorf("%s takes %q %s: %v", p.Info().Name, q.Symbol, q.Interval, err)
			}
		}
	}
}

// TestErrors: the vendors' words for what went wrong.
func TestErrors(t *testing.T) {
	for _, x := range []struct {
		name   string
		status int
		body   string
		want   fetch.Kind
	}{
		{"binance-spot", 400, `{"code":-1121,"msg":"Invalid symbol."}`, fetch.UnknownSymbol},
		{"binance-spot", 400, `{"code":-1120,"msg":"Invalid interval."}`, fetch.BadRequest},
		{"binance-spot", 429, `{"code":-1003,"msg":"Too many requests."}`, fetch.RateLimited},
		{"binance-spot", 200, `{"code":-1003,"msg":"Way too many requests; IP banned until 1660090423228."}`, fetch.Banned},
		{"binance-spot", 503, `{"code":-1008,"msg":"Server is currently overloaded."}`, fetch.Unavailable},
		{"binance-spot", 403, `<html>WAF</html>`, fetch.Unavailable},
		{"coinbase-exchange", 404, `{"message":"NotFound"}`, fetch.UnknownSymbol},
		{"coinbase-exchange", 429, `{"message":"Public rate limit exceeded"}`, fetch.RateLimited},
		{"kraken", 200, `{"error":["EQuery:Unknown asset pair"]}`, fetch.UnknownSymbol},
		{"kraken", 200, `{"error":["EService:Throttled: 1700049700"]}`, fetch.RateLimited},
		{"kraken", 200, `{"error":["EService:Unavailable"]}`, fetch.Unavailable},
		{"kraken", 200, `{"error":["EGeneral:Invalid arguments"]}`, fetch.BadRequest},
		{"kraken", 520, `<html>`, fetch.Unavailable},
		{"okx", 200, `{"code":"51001","msg":"Instrument ID does not exist","data":[]}`, fetch.UnknownSymbol},
		{"okx", 429, `{"code":"50011","msg":"Too Many Requests","data":[]}`, fetch.RateLimited},
		{"okx", 503, `{"code":"50001","msg":"Service temporarily unavailable","data":[]}`, fetch.Unavailable},
		{"bybit", 200, `{"retCode":10006,"retMsg":"Too many visits!","result":{}}`, fetch.RateLimited},
		{"bybit", 200, `{"retCode":10024,"retMsg":"region","result":{}}`, fetch.GeoBlocked},
		{"bybit", 403, `access too frequent`, fetch.Banned},
		{"bybit", 403, `<html>The Amazon CloudFront distribution is configured to block access from your country</html>`, fetch.GeoBlocked},
		{"bybit", 200, `{"retCode":10001,"retMsg":"Symbol Invalid","result":{}}`, fetch.UnknownSymbol},
		{"bitfinex", 500, `["error",10020,"symbol: invalid"]`, fetch.UnknownSymbol},
		{"bitfinex", 200, `{"error":"ERR_RATE_LIMIT"}`, fetch.RateLimited},
		{"bitfinex", 200, `["error",20060,"maintenance"]`, fetch.Unavailable},
		{"bitstamp", 404, `{"status":"error","reason":"Invalid currency pair"}`, fetch.UnknownSymbol},
		{"kucoin", 200, `{"code":"400100","msg":"This pair is not provided at present. symbol"}`, fetch.UnknownSymbol},
		{"kucoin", 200, `{"code":"503000","msg":"Service unavailable"}`, fetch.Unavailable},
		{"gateio", 400, `{"label":"INVALID_CURRENCY_PAIR","message":"Invalid currency pair"}`, fetch.UnknownSymbol},
		{"gateio", 400, `{"label":"INVALID_PARAM_VALUE","message":"Candlestick range too broad. Maximum 1000 data points are allowed per request"}`, fetch.RangeTooBroad},
		{"gateio", 429, `{"label":"TOO_MANY_REQUESTS","message":"Request Rate limit Exceeded"}`, fetch.RateLimited},
		{"gemini", 400, `{"result":"error","reason":"InvalidSymbol","message":"x"}`, fetch.UnknownSymbol},
		{"hyperliquid", 422, `Failed to deserialize the JSON body into the target type`, fetch.BadRequest},
		{"hyperliquid", 429, `null`, fetch.RateLimited},
		{"cryptocompare", 200, `{"Response":"Error","Message":"You are over your rate limit please upgrade your account!","Type":99}`, fetch.RateLimited},
		{"alpaca", 403, `{"message":"subscription does not permit querying recent SIP data"}`, fetch.NotEntitled},
		{"polygon", 429, `{"status":"ERROR","error":"You've exceeded the maximum requests per minute"}`, fetch.RateLimited},
		{"polygon", 403, `{"status":"NOT_AUTHORIZED","message":"You are not entitled to this data."}`, fetch.NotEntitled},
		{"tiingo", 404, `{"detail":"Error: Ticker 'X' not found"}`, fetch.UnknownSymbol},
		{"tiingo", 429, `{"detail":"Error: You have run over your hourly request allocation."}`, fetch.QuotaExhausted},
		{"finnhub", 429, `{"error":"API limit reached. Please try again later."}`, fetch.RateLimited},
		{"finnhub", 200, `{"s":"ok","t":[1,2],"o":[1],"h":[1],"l":[1],"c":[1],"v":[1]}`, fetch.Unavailable},
		{"alphavantage", 200, `{"Note":"Our standard API call frequency is 5 calls per minute"}`, fetch.RateLimited},
		{"alphavantage", 200, `{"Error Message":"Invalid API call."}`, fetch.UnknownSymbol},
		{"alphavantage", 200, `{"Information":"This is a premium endpoint."}`, fetch.NotEntitled},
		{"twelvedata", 200, `{"code":429,"message":"You have run out of API credits for the current minute.","status":"error"}`, fetch.RateLimited},
		{"twelvedata", 200, `{"code":404,"message":"**symbol** not found","status":"error"}`, fetch.UnknownSymbol},
		{"yahoo", 404, `{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found, symbol may be delisted"}}}`, fetch.UnknownSymbol},
		{"yahoo", 422, `{"chart":{"result":null,"error":{"code":"Unprocessable Entity","description":"1m data not available. The requested range must be within the last 30 days."}}}`, fetch.HistoryExhausted},
		{"yahoo", 200, `<html>Will be right back`, fetch.Unavailable},
		{"stooq", 200, `Exceeded the daily hits limit`, fetch.QuotaExhausted},
		{"stooq", 200, `No data`, fetch.UnknownSymbol},
		{"eodhd", 402, `{"error":"limit"}`, fetch.QuotaExhausted},
	} {
		p := vendors.ByName(x.name)
		_, err := p.Page(fetch.Query{Symbol: "X", Interval: series.Interval1m}, fetch.Answer{Status: x.status, Header: http.Header{}, Body: []byte(x.body), Time: noon})
		var e *fetch.Error
		if !errors.As(err, &e) || e.Kind != x.want || e.Provider != x.name {
			t.Errorf("%s %d %s is %v, want %v", x.name, x.status, x.body, err, x.want)
		}
	}
	var e *fetch.Error
	_, err := vendors.ByName("kraken").Page(fetch.Query{}, fetch.Answer{Status: 200, Body: []byte(`{"error":["EService:Throttled: 1700049700"]}`)})
	if !errors.As(err, &e) || e.RetryAt.Unix() != 1700049700 {
		t.Errorf("the end of the pause is %v", e.RetryAt)
	}
	_, err = vendors.ByName("binance-spot").Page(fetch.Query{}, fetch.Answer{Status: 418, Body: []byte(`{"code":-1003,"msg":"IP banned until 1660090423228."}`)})
	if !errors.As(err, &e) || e.RetryAt.UnixMilli() != 1660090423228 {
		t.Errorf("the end of the ban is %v", e.RetryAt)
	}
	_, err = vendors.ByName("bybit").Page(fetch.Query{}, fetch.Answer{Status: 403, Body: []byte(`access too frequent`), Time: noon})
	if !errors.As(err, &e) || e.RetryAt.Sub(noon.Std()) != 10*time.Minute {
		t.Errorf("the silence ends at %v", e.RetryAt)
	}
}

// TestGarbage: whatever comes is an error with a kind, never bars, never a
// panic.
func TestGarbage(t *testing.T) {
	for _, p := range vendors.All() {
		for _, body := range []string{"", "null", "{}", "[]x", "<html></html>", `"text"`, "123", `{"data":null}`, `[[]]`, `[null]`, `{"code":"0","data":{}}`, `{"retCode":0,"result":{"list":{}}}`, `{"error":[],"result":{"a":1}}`} {
			page, err := p.Page(fetch.Query{Symbol: "BTC", Interval: series.Interval1m}, fetch.Answer{Status: 200, Header: http.Header{}, Body: []byte(body)})
			var e *fetch.Error
			if err == nil && len(page.Rows) > 0 {
				t.Errorf("%s reads bars from %s", p.Info().Name, body)
			}
			if err != nil && !errors.As(err, &e) {
				t.Errorf("%s on %s: %T", p.Info().Name, body, err)
			}
		}
	}
}

// FuzzPages: every parser on anything.
func FuzzPages(f *testing.F) {
	all := vendors.All()
	for _, body := range []string{
		`[[1588636800000,"1","2","0.5","1.5","9",1588636859999,"13",7,"0","0","0"]]`,
		`{"error":[],"result":{"XXBTZUSD":[[1588636800,"1","2","0.5","1.5","1","9",3]],"last":1588636740}}`,
		`{"code":"0","msg":"","data":[["1588636800000","1","2","0.5","1.5","9","13","13","1"]]}`,
		`{"retCode":0,"result":{"list":[["1588636800000","1","2","0.5","1.5","9","13"]]}}`,
		`{"data":{"ohlc":[{"timestamp":"1588636800","open":"1","high":"2","low":"0.5","close":"1.5","volume":"9"}]}}`,
		`["error",11010,"ratelimit: error"]`, `<html>`,
	} {
		for n := range all {
			f.Add(uint8(n), 200, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, n uint8, status int, body []byte) {
		p := all[int(n)%len(all)]
		page, err := p.Page(fetch.Query{Symbol: "BTC-USD", Interval: series.Interval1m}, fetch.Answer{Status: status, Header: http.Header{}, Body: body, Time: noon})
		var e *fetch.Error
		if err != nil && (!errors.As(err, &e) || e.Kind == 0 || len(e.Message) > 200) {
			t.Fatalf("%s: %v", p.Info().Name, err)
		}
		if err != nil && len(page.Rows) > 0 {
			t.Fatalf("%s: rows beside an error", p.Info().Name)
		}
		_, _ = p.Clock(fetch.Answer{Status: status, Header: http.Header{}, Body: body}) // it must not panic
	})
}
