package block_test

import (
	"math/rand/v2"
	"testing"

	"github.com/barkeepdb/barkeep/storage/block"
)

// The benchmarks run over days of synthetic minutes: a seeded random walk on
// a tick of 0.01 with log-normal volume of 5 decimals. "Mbars/s" counts rows,
// "B/bar" everything a block contains.
//
// The clock of a shared machine is not to be trusted: run with -count and
// compare medians.

const benchDays = 32

// corpus returns the days and their blocks.
func corpus(b *testing.B, mode block.Mode) (days []*block.Columns, blocks [][]byte, bars int) {
	b.Helper()
	r := rand.New(rand.NewPCG(11, 12))
	e := block.Encoder{Mode: mode}
	size := 0
	for range benchDays {
		c := walk(r, 1440)
		data, err := e.Encode(nil, key, c)
		if err != nil {
			b.Fatal(err)
		}
		days, blocks = append(days, c), append(blocks, data)
		size += len(data)
		bars += c.Len()
	}
	b.ReportMetric(float64(size)/float64(bars), "B/bar")
	return days, blocks, bars
}

func reportRate(b *testing.B, bars int) {
	b.ReportMetric(float64(bars)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mbars/s")
	b.ReportMetric(0, "ns/op")
}

var modes = []struct {
	name string
	mode block.Mode
}{{"sealed", block.Sealed}, {"hot", block.Hot}}

func BenchmarkEncode(b *testing.B) {
	for _, m := range modes {
		b.Run(m.name, func(b *testing.B) {
			days, _, bars := corpus(b, m.mode)
			e := block.Encoder{Mode: m.mode}
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				for _, c := range days {
					dst, _ = e.Encode(dst[:0], key, c)
				}
			}
			reportRate(b, bars)
		})
	}
}

func benchmarkDecode(b *testing.B, want block.Set) {
	for _, m := range modes {
		b.Run(m.name, func(b *testing.B) {
			_, blocks, bars := corpus(b, m.mode)
			var d block.Decoder
			var c block.Columns
			b.ReportAllocs()
			for b.Loop() {
				for _, data := range blocks {
					if err := d.Decode(key, data, 1440, want, &c); err != nil {
						b.Fatal(err)
					}
				}
			}
			reportRate(b, bars)
		})
	}
}

func BenchmarkDecode(b *testing.B) { benchmarkDecode(b, block.All) }
func BenchmarkClose(b *testing.B)  { benchmarkDecode(b, block.ColClose) }
func BenchmarkVolume(b *testing.B) { benchmarkDecode(b, block.ColVolume) }
func BenchmarkSlot(b *testing.B)   { benchmarkDecode(b, block.ColSlot) }

func BenchmarkHeader(b *testing.B) {
	_, blocks, bars := corpus(b, block.Sealed)
	b.ReportAllocs()
	for b.Loop() {
		for _, data := range blocks {
			if _, err := block.ReadHeader(key, data, false); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N)/benchDays, "ns/block")
	reportRate(b, bars)
}

// BenchmarkAggregate makes hours out of minutes.
func BenchmarkAggregate(b *testing.B) {
	for _, m := range modes {
		b.Run(m.name, func(b *testing.B) {
			_, blocks, bars := corpus(b, m.mode)
			var d block.Decoder
			var out []block.Bucket
			b.ReportAllocs()
			for b.Loop() {
				out = out[:0]
				for i, data := range blocks {
					var err error
					a := block.Aggregation{Width: 60, Origin: int64(i) * 1440}
					if out, err = d.Aggregate(key, data, 1440, a, out); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e3/float64(b.N)*365/benchDays, "ms/year")
			reportRate(b, bars)
		})
	}
}
