package storage_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// TestResample compares the store's ways of resampling with the resampler of
// package series over all bars: rows and blocks, whole and partial spans,
// bars without trades, holes, optional columns.
func TestResample(t *testing.T) {
	ctx := context.Background()
	coarse := []series.Interval{series.Interval3m, series.Interval45m, series.Interval1h, series.Interval8h, series.Interval1d, series.Interval3d, series.Interval1w, series.Interval1M}
	for seed := range uint64(12) {
		for _, cal := range []string{"24x7", "XNYS"} {
			t.Run(fmt.Sprint(cal, seed), func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 8))
				s := open(t, vfs.NewMem())
				if err := s.SetSymbol(btc.Symbol, storage.Symbol{Calendar: cal}); err != nil {
					t.Fatal(err)
				}
				all := walk(seed, t0+series.Time(r.IntN(3000))*series.Minute, btc.Interval, 30000)
				var c series.Columns
				for i := range all.Time {
					b := all.Bar(i)
					if r.IntN(50) == 0 || i > 9000 && i < 13000 {
						continue
					}
					b.QuoteVolume = math.NaN()
					if seed%3 == 2 && i > 20000 {
						b.QuoteVolume = float64(r.IntN(1000)) / 8
					}
					if r.IntN(10) == 0 {
						b.Open, b.High, b.Low, b.Volume = b.Close, b.Close, b.Close, 0
						b.Prov = series.ProvNoTrade
					}
					c.Append(b)
				}
				if _, err := s.Write(ctx, btc, &c, storage.WriteOptions{Source: "a"}); err != nil {
					t.Fatal(err)
				}
				for range 40 { // rows laid over blocks
					b := all.Bar(r.IntN(len(all.Time)))
					b.Close = b.High
					if err := s.Append(ctx, btc, b, storage.WriteOptions{Source: []string{"a", "b"}[r.IntN(2)]}); err != nil {
						t.Fatal(err)
					}
				}
				var stored series.Columns
				if err := s.Read(ctx, btc, series.Span{}, storage.ReadOptions{}, &stored); err != nil {
					t.Fatal(err)
				}
				calendar, err := series.CalendarByName(cal)
				if err != nil {
					t.Fatal(err)
				}
				for _, to := range coarse {
					var want series.Columns
					grid := series.Grid{Interval: to}
					wantParts, err := series.Resample(&want, &stored, series.Grid{Interval: btc.Interval}, grid, calendar)
					if err != nil {
						t.Fatal(err)
					}
					span, lo, hi := series.Span{}, 0, want.Len()
					if r.IntN(2) == 0 && want.Len() > 3 {
						lo = r.IntN(want.Len() / 2)
						hi = lo + 1 + r.IntN(want.Len()/2)
						span = series.Span{From: want.Time[lo] - 1, To: want.Time[hi-1] + 1}
					}
					var got series.Columns
					parts, err := s.Resample(ctx, btc, to, span, &got)
					if err != nil {
						t.Fatal(err)
					}
					if got.Len() != hi-lo || !reflect.DeepEqual(parts, wantParts[lo:hi]) {
						t.Fatalf("%v: %d bars of %v, want %d; parts %v, want %v", to, got.Len(), span, hi-lo, parts, wantParts[lo:hi])
					}
					for i := range parts {
						g, w := got.Bar(i), want.Bar(lo+i)
						if g.Time != w.Time || bits(g) != bits(w) || g.Prov != w.Prov {
							t.Fatalf("%v bar %d: %+v, want %+v", to, i, g, w)
						}
					}
				}
			})
		}
	}
}
