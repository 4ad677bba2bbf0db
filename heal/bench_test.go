package heal_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/heal/healstore"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// BenchmarkQuality rates 1,000 series of a year of minutes, each with holes.
func BenchmarkQuality(b *testing.B) {
	const many = 1000
	ctx := context.Background()
	clk := &clock{now: t0 + 366*series.Day}
	s, err := storage.Open(b.TempDir(), storage.Options{Now: clk.time})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	year := history(rand.New(rand.NewPCG(1, 1)), 366*1440, 0.9999)
	for i := range many {
		if _, err := s.Write(ctx, series.Key{Symbol: fmt.Sprintf("S%04d", i), Interval: series.Interval1m}, year, storage.WriteOptions{Source: "x"}); err != nil {
			b.Fatal(err)
		}
	}
	h, err := heal.New(heal.Options{Store: healstore.New(s), Now: clk.time})
	if err != nil {
		b.Fatal(err)
	}
	all, err := healstore.New(s).Series(ctx)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for _, x := range all {
			if _, err := h.QualityOf(ctx, x); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/1000series")
}

// BenchmarkHealStore heals 500 holes of a year of minutes on a disk, from a
// source that answers at once: what the healer and the store take.
func BenchmarkHealStore(b *testing.B) {
	ctx := context.Background()
	r := rand.New(rand.NewPCG(2, 2))
	year := history(r, 366*1440, 1)
	for b.Loop() {
		b.StopTimer()
		clk := &clock{now: t0 + 366*series.Day + series.Hour}
		s, err := storage.Open(b.TempDir(), storage.Options{Now: clk.time})
		if err != nil {
			b.Fatal(err)
		}
		left := damage(r, year, 500)
		if _, err := s.Write(ctx, btc, left, storage.WriteOptions{Source: "venue"}); err != nil {
			b.Fatal(err)
		}
		v := &venue{truth: map[series.Key]*series.Columns{btc: year}, names: []string{"venue"}, page: 1000}
		h, err := heal.New(heal.Options{Store: healstore.New(s), Source: v, Now: clk.time, Policy: heal.Policy{MaxBars: -1, MaxShare: -1}})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		x, err := h.Start(ctx, heal.Request{Symbol: btc.Symbol, To: t0 + 366*series.Day})
		if err == nil {
			err = h.Work(ctx)
		}
		if err == nil {
			x, err = h.Repair(ctx, x.ID)
		}
		b.StopTimer()
		if err != nil || x.Written != int64(year.Len()-left.Len()) {
			b.Fatal(x.Status, x.Error, x.Written, err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
