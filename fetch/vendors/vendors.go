// Package vendors lists the providers that come with the program.
package vendors

import (
	"cmp"
	"slices"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/alpaca"
	"github.com/barkeepdb/barkeep/fetch/alphavantage"
	"github.com/barkeepdb/barkeep/fetch/binance"
	"github.com/barkeepdb/barkeep/fetch/bitfinex"
	"github.com/barkeepdb/barkeep/fetch/bitstamp"
	"github.com/barkeepdb/barkeep/fetch/bybit"
	"github.com/barkeepdb/barkeep/fetch/coinbase"
	"github.com/barkeepdb/barkeep/fetch/cryptocompare"
	"github.com/barkeepdb/barkeep/fetch/eodhd"
	"github.com/barkeepdb/barkeep/fetch/finnhub"
	"github.com/barkeepdb/barkeep/fetch/gate"
	"github.com/barkeepdb/barkeep/fetch/gemini"
	"github.com/barkeepdb/barkeep/fetch/hyperliquid"
	"github.com/barkeepdb/barkeep/fetch/kraken"
	"github.com/barkeepdb/barkeep/fetch/kucoin"
	"github.com/barkeepdb/barkeep/fetch/okx"
	"github.com/barkeepdb/barkeep/fetch/polygon"
	"github.com/barkeepdb/barkeep/fetch/stooq"
	"github.com/barkeepdb/barkeep/fetch/tiingo"
	"github.com/barkeepdb/barkeep/fetch/twelvedata"
	"github.com/barkeepdb/barkeep/fetch/yahoo"
)

// All returns every provider, sorted by name.
func All() []fetch.Provider {
	all := []fetch.Provider{
		binance.Spot(), binance.USDM(), binance.COINM(), bitfinex.Provider(), bitstamp.Provider(), bybit.Provider(),
		coinbase.Exchange(), coinbase.Advanced(), cryptocompare.Provider(), gate.Provider(), gemini.Provider(), hyperliquid.Provider(),
		kraken.Spot(), kraken.Futures(), kucoin.Spot(), kucoin.Futures(), okx.Provider(),
		alpaca.Stocks(fetch.Unadjusted), alpaca.Stocks(fetch.SplitAdjusted), alpaca.Stocks(fetch.FullyAdjusted), alpaca.IEX(), alpaca.Crypto(), alphavantage.Provider(), eodhd.Provider(), finnhub.Provider(), polygon.Provider(false), polygon.Provider(true), stooq.Provider(),
		tiingo.Provider(), tiingo.Adjusted(), tiingo.Crypto(), tiingo.Forex(), twelvedata.Provider(), yahoo.Provider(),
	}
	slices.SortFunc(all, func(a, b fetch.Provider) int { return cmp.Compare(a.Info().Name, b.Info().Name) })
	return all
}

// ByName returns a provider, or nil.
func ByName(name string) fetch.Provider {
	for _, p := range All() {
		if p.Info().Name == name {
			return p
		}
	}
	return nil
}
