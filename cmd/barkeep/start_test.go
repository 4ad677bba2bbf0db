package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// BenchmarkStart starts the program on a store of 10,000 series until it says
// that it serves. "empty" is the same without a store: what a process costs.
func BenchmarkStart(b *testing.B) {
	const count = 10_000
	full := b.TempDir()
	s, err := storage.Open(full, storage.Options{})
	if err != nil {
		b.Fatal(err)
	}
	c := &series.Columns{}
	for i := range 200 {
		c.Append(series.NewBar(1_672_531_200_000+series.Time(i)*series.Minute, 1, 2, 0.5, 1.5, float64(i)))
	}
	for i := range count {
		if _, err := s.Write(b.Context(), series.Key{Symbol: fmt.Sprintf("S%05d", i), Interval: series.Interval1m}, c, storage.WriteOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for _, x := range []struct{ name, dir string }{{"empty", b.TempDir()}, {"series=10000", full}} {
		b.Run(x.name, func(b *testing.B) {
			for b.Loop() {
				v, err := launch(b, x.dir, time.Minute, nil)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				v.interrupt()
				b.StartTimer()
			}
		})
	}
}
