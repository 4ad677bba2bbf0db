package storage

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/barkeepdb/barkeep/series"
)

// summariesOnly registers n series of minutes over years whose summaries, the
// only thing that a gap scan reads, are those that years of bars with about
// gapsAYear holes leave behind. The blocks themselves are left out.
func summariesOnly(tb testing.TB, s *Store, n, years, gapsAYear int) (gaps, missing int64) {
	tb.Helper()
	for i := range n {
		st, err := s.create(context.Background(), series.Key{Symbol: fmt.Sprintf("S%03d", i), Interval: series.Interval1m}, 0)
		if err != nil {
			tb.Fatal(err)
		}
		r := rand.New(rand.NewPCG(uint64(i), 9))
		blocks := int64(years) * 365
		pages := map[int64]*page{}
		l := ledger{blocks: blocks}
		for b := range blocks {
			sum := &summary{block: b, present: []span16{{0, blockSlots}}}
			if r.Float64() < float64(gapsAYear)/365 {
				at, length := uint16(1+r.IntN(blockSlots-400)), uint16(1)
				if r.IntN(10) == 0 {
					length += uint16(r.IntN(300))
				}
				sum.present = []span16{{0, at}, {at + length, blockSlots}}
				gaps++
				missing += int64(length)
			}
			sum.stats.count = uint16(sum.count())
			l.bars += int64(sum.stats.count)
			l.tail = sum
			if b == blocks-1 {
				break
			}
			p := pages[pageOf(b)]
			if p == nil {
				p = &page{number: pageOf(b)}
				pages[p.number] = p
			}
			p.put(sum)
		}
		l.last = blockStart(blocks) - 1
		batch := s.eng.Batch()
		for n, p := range pages {
			c, m := p.encode()
			if err := batch.Set(numberKey(spaceCoverage, st.id, n), c); err != nil {
				tb.Fatal(err)
			}
			if err := batch.Set(numberKey(spaceStats, st.id, n), m); err != nil {
				tb.Fatal(err)
			}
		}
		if err := batch.Set(seriesKey(spaceLedger, st.id), l.encode()); err != nil {
			tb.Fatal(err)
		}
		if err := s.commit(batch); err != nil {
			tb.Fatal(err)
		}
		if err := s.loadLedger(st); err != nil {
			tb.Fatal(err)
		}
	}
	return gaps, missing
}

// BenchmarkGapsBillion scans a billion slots: 190 symbols over ten years.
func BenchmarkGapsBillion(b *testing.B) {
	s, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	gaps, missing := summariesOnly(b, s, 190, 10, 350)
	if err := s.eng.(*pebbleEngine).db.Flush(); err != nil {
		b.Fatal(err)
	}
	var slots int64
	for b.Loop() {
		slots = 0
		scans, err := s.GapsAll(context.Background(), series.Span{})
		if err != nil {
			b.Fatal(err)
		}
		var g, m int64
		for i := range scans {
			g += int64(len(scans[i].Gaps))
			m += scans[i].Missing
			slots += scans[i].Expected
		}
		if g != gaps || m != missing {
			b.Fatalf("%d gaps, %d missing; want %d, %d", g, m, gaps, missing)
		}
	}
	b.ReportMetric(float64(slots)*float64(b.N)/b.Elapsed().Seconds()/1e9, "Gslots/s")
}
