package block

import "math"

// A class-tANS stream codes each value x as its class, floor(log2(x+1)), and
// the class's extra bits, x+1-2^class. Only the class is entropy coded: the
// bits below it are noise in market data, and a coder of at most 57 symbols
// needs a table of a few bytes.
//
//	u4   log2 of the table size L (5..8)
//	u3   number of padding bits before the payload
//	u6   first class
//	u6   number of classes - 1
//	     weights of all classes but the last, each as Elias gamma of w+1;
//	     they sum to 2^L
//	pad  to the next byte
//	     payload: padding bits (zero), then the four states, L bits each,
//	     then per value the bits of its next state and its extra bits
//
// Value i uses state i mod 4: four independent chains hide the latency of the
// table look-ups from the processor. The encoder runs backwards and starts
// all states at 0, so a decoder that does not end in four zeros at the last
// bit has read damaged bytes.
const (
	maxClass     = 56
	minTableLog  = 5
	maxTableLog  = 8
	maxTableSize = 1 << maxTableLog
)

// floorLog2Small returns the place of the highest bit of v, which is above 0
// and at most maxSmall; other values give nonsense. The exponent of a float64
// is faster than bits.Len64, which takes eight micro-operations on some
// processors, but integers past 2^53 may round up to the next power of two.
func floorLog2Small(v uint64) uint {
	return uint(math.Float64bits(float64(int64(v)))>>52) - 1023
}

const maxSmall = 1 << 53

// spread lays the symbols over the table, an odd step apart, so that the
// places of one symbol are about evenly distributed. Encoder and decoder
// must agree on it to the letter.
func spread(table *[maxTableSize]uint8, weights []uint16, logL uint) {
	places := places[logL-minTableLog][:1<<logL]
	for s, w := range weights {
		if int(w) > len(places) {
			return // cannot happen: weights sum to the table size
		}
		for _, at := range places[:w] {
			table[at] = uint8(s)
		}
		places = places[w:]
	}
}

// places holds, for each table size, the order in which spread fills it.
var places = func() (p [maxTableLog - minTableLog + 1][maxTableSize]uint8) {
	for i := range p {
		size := 1 << (minTableLog + i)
		at := 0
		for k := range size {
			p[i][k] = uint8(at)
			at = (at + size>>1 + size>>3 + 3) & (size - 1)
		}
	}
	return p
}()
