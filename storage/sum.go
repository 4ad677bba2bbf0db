package storage

import "github.com/cespare/xxhash/v2"

// Sums tell whether what is stored is what was written, and all of it. The sum
// of many pairs is the sum of theirs, modulo 2^64, in any order: a change
// subtracts what it replaces and adds what it writes, and reads nothing else.
// They find loss and damage, not forgery: whoever can write the files can make
// them fit.

// sumOf is the sum of one stored pair.
func sumOf(key, value []byte) uint64 {
	return mix(xxhash.Sum64(key) + 3*mix(xxhash.Sum64(value)))
}

// blockSum stands for an encoded block in the sum of its block. The checksum
// inside the block covers its key, its version and its bytes already.
func blockSum(version uint64, value []byte) uint64 { return mix(version + uint64(tail32(value))<<32) }

// rowsSum stands for a group of rows in the sum of its block.
func rowsSum(seq uint64, value []byte) uint64 { return mix(^seq + uint64(tail32(value))<<32) }

// tail32 is the CRC32C at the end of a block or a group of rows.
func tail32(b []byte) (v uint32) {
	for _, x := range b[max(0, len(b)-4):] {
		v = v<<8 | uint32(x)
	}
	return v
}

// mix spreads every bit of v over the result; it is the finaliser of
// splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
// Generators, OOPSLA 2014). Without it, sums of neighbouring versions could
// cancel out.
func mix(v uint64) uint64 {
	v += 0x9e3779b97f4a7c15
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31
}
