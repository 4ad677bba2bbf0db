package block_test

import (
	"math/rand/v2"
	"testing"

	"github.com/barkeepdb/barkeep/storage/block"
)

// TestNoAllocs holds every operation to zero allocations once its scratch
// space has grown, whatever the mapping.
func TestNoAllocs(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	blocks := []*block.Columns{walk(r, 1440)}
	for range 8 {
		blocks = append(blocks, randomBlock(r, 1440))
	}
	for _, mode := range []block.Mode{block.Sealed, block.Hot} {
		e := block.Encoder{Mode: mode}
		var d block.Decoder
		var c block.Columns
		var out []block.Bucket
		var dst []byte
		var err error
		run := func(name string, f func(in *block.Columns)) {
			t.Helper()
			all := func() {
				for _, in := range blocks {
					dst, err = e.Encode(dst[:0], key, in)
					f(in)
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			all()
			if n := testing.AllocsPerRun(3, all); n != 0 {
				t.Errorf("mode %d: %s allocates %v times", mode, name, n)
			}
		}
		run("encode", func(*block.Columns) {})
		run("decode", func(*block.Columns) { err = d.Decode(key, dst, 1440, block.All, &c) })
		run("close", func(*block.Columns) { err = d.Decode(key, dst, 1440, block.ColClose, &c) })
		run("header", func(*block.Columns) { _, err = block.ReadHeader(key, dst, true) })
		run("aggregate", func(*block.Columns) {
			out, err = d.Aggregate(key, dst, 1440, block.Aggregation{Width: 7, FillBit: 1}, out[:0])
		})
	}
}
