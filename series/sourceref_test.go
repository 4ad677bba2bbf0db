package series_test

import (
	"testing"

	"github.com/barkeepdb/barkeep/series"
)

func TestSourceRef(t *testing.T) {
	const may = series.Time(1653696000000) // 2022-05-28
	for text, want := range map[string]series.SourceRef{
		"binance-spot":                            {Name: "binance-spot", From: series.MinTime, To: series.MaxTime},
		"binance-spot=LUNAUSDT":                   {Name: "binance-spot", Symbol: "LUNAUSDT", From: series.MinTime, To: series.MaxTime},
		"binance-spot=LUNAUSDT@..2022-05-28":      {Name: "binance-spot", Symbol: "LUNAUSDT", From: series.MinTime, To: may},
		"binance-spot=LUNCUSDT@2022-05-28..":      {Name: "binance-spot", Symbol: "LUNCUSDT", From: may, To: series.MaxTime},
		"hyperliquid=@107":                        {Name: "hyperliquid", Symbol: "@107", From: series.MinTime, To: series.MaxTime},
		"hyperliquid=@107@2022-05-28..2022-05-29": {Name: "hyperliquid", Symbol: "@107", From: may, To: may + series.Day},
		"archive=../x.csv":                        {Name: "archive", Symbol: "../x.csv", From: series.MinTime, To: series.MaxTime},
	} {
		if got, err := series.ParseSourceRef(text); err != nil || got != want {
			t.Errorf("%s: %+v %v, want %+v", text, got, err, want)
		} else if got.String() != text {
			t.Errorf("%s is written as %s", text, got)
		}
	}
	for _, text := range []string{"", "=X", "a=X@2022..2023-01-01", "a=X@2023-01-01..2022-01-01", "@..2022-01-01"} {
		if got, err := series.ParseSourceRef(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}
