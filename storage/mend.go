package storage

import (
	"hash/crc32"
	"slices"
)

// Pebble guards blocks, chunks and footers with a masked CRC32C. One flipped
// bit leaves a trace in it that no other flip leaves in pieces of this size, so
// that the bit can be put back. Damage of many bits is taken for a single flip
// once in 2^32 / bits cases, for a block of 16 KiB once in 30,000.

// pebbleSum is the checksum that Pebble stores for b.
func pebbleSum(b []byte) uint32 { return maskSum(crc32.Checksum(b, castagnoli)) }

const sumMask = 0xa282ead8

func maskSum(c uint32) uint32 { return (c>>15 | c<<17) + sumMask }

func unmaskSum(c uint32) uint32 {
	c -= sumMask
	return c<<15 | c>>17
}

// mendBit finds the bit of data that has to be flipped for its checksum to be
// sum. It returns ok and a bit behind the data if the flip was in sum itself.
func mendBit(data []byte, sum uint32) (bit int, ok bool) {
	crc := crc32.Checksum(data, castagnoli)
	for k := range 32 {
		if unmaskSum(sum^1<<k) == crc {
			return len(data)*8 + k, true
		}
	}
	// The difference that a flip makes depends on its distance to the end only.
	trace := crc ^ unmaskSum(sum)
	var delta [8]uint32
	for k := range delta {
		delta[k] = castagnoli[1<<k]
	}
	for i := range slices.Backward(data) {
		for k, d := range delta {
			if d == trace {
				return i*8 + k, true
			}
			delta[k] = castagnoli[byte(d)] ^ d>>8
		}
	}
	return 0, false
}
