package block

import (
	"encoding/binary"
	"math/bits"
)

// A PFOR stream packs groups of 128 values at the width that is cheapest for
// the group, and patches the few values that do not fit:
//
//	u8   width of the low bits (0..56)
//	u8   number of patches
//	     low bits of every value, ceil(values*width/8) bytes
//	  if there are patches:
//	u8   width of the high bits (1..56)
//	     position of each patch in the group, u8 each
//	     high bits of each patch, ceil(patches*width/8) bytes
const pforGroup = 128

func putLE64(b []byte, v uint64) { binary.LittleEndian.PutUint64(b, v) }

// appendPFOR appends the stream of x to dst. It reports false, with dst as it
// was, if a value has more than 56 bits.
func appendPFOR(dst []byte, x []uint64) ([]byte, bool) {
	start := len(dst)
	for len(x) > 0 {
		g := x[:min(pforGroup, len(x))]
		x = x[len(g):]
		var hist [65]uint8
		top := uint(0)
		for _, v := range g {
			l := uint(bits.Len64(v))
			hist[l]++
			top = max(top, l)
		}
		if top > maxClass {
			return dst[:start], false
		}
		// From the widest down: each width leaves more values to patch.
		width, patches := top, 0
		best := (len(g)*int(top) + 7) / 8
		for w, n := top, 0; w > 0; {
			n += int(hist[w])
			w--
			cost := (len(g)*int(w)+7)/8 + 1 + n + (n*int(top-w)+7)/8
			if cost < best {
				best, width, patches = cost, w, n
			}
		}
		dst = append(dst, byte(width), byte(patches))
		mask := uint64(1)<<width - 1
		dst = appendPacked(dst, g, 0, mask, width)
		if patches == 0 {
			continue
		}
		dst = append(dst, byte(top-width))
		var high [pforGroup]uint64
		n := 0
		for i, v := range g {
			if v > mask {
				dst = append(dst, byte(i))
				high[n] = v >> width
				n++
			}
		}
		dst = appendPacked(dst, high[:n], 0, 1<<(top-width)-1, top-width)
	}
	return dst, true
}

// appendPacked appends (v>>shift)&mask of each value in width bits.
func appendPacked(dst []byte, x []uint64, shift uint, mask uint64, width uint) []byte {
	if width == 0 {
		return dst
	}
	size := (len(x)*int(width) + 7) / 8
	start := len(dst)
	// Eight bytes of slack so that whole words can be stored.
	dst = append(dst, make([]byte, size+8)...)
	b := dst[start:]
	var acc uint64
	n := uint(0)
	for _, v := range x {
		acc |= (v >> shift & mask) << n
		n += width
		putLE64(b, acc)
		k := n >> 3
		b = b[k:]
		acc >>= k * 8
		n &= 7
	}
	return dst[:start+size]
}

// decodePFOR reads len(out) values from b[:size]; b goes on to the end of the
// block.
func decodePFOR(out []uint64, b []byte, size int) (reason string) {
	p := 0
	for len(out) > 0 {
		g := out[:min(pforGroup, len(out))]
		out = out[len(g):]
		if size-p < 2 {
			return "packed stream truncated"
		}
		width, patches := uint(b[p]), int(b[p+1])
		p += 2
		if width > maxClass || patches > len(g) {
			return "bad packed group"
		}
		low := (len(g)*int(width) + 7) / 8
		if size-p < low {
			return "packed stream truncated"
		}
		unpack(g, b, p, width)
		p += low
		if patches == 0 {
			continue
		}
		if size-p < 1+patches {
			return "packed stream truncated"
		}
		hw := uint(b[p])
		pos := b[p+1 : p+1+patches]
		p += 1 + patches
		high := (patches*int(hw) + 7) / 8
		if hw == 0 || hw+width > maxClass {
			return "bad packed patch width"
		}
		if size-p < high {
			return "packed stream truncated"
		}
		at := uint(p) * 8
		for _, i := range pos {
			if int(i) >= len(g) {
				return "packed patch outside of its group"
			}
			g[i] |= peek(b, at) & (1<<hw - 1) << width
			at += hw
		}
		p += high
	}
	if p != size {
		return "packed stream too long"
	}
	return ""
}

// unpack reads len(out) values of width <= 56 bits from b[p:].
func unpack(out []uint64, b []byte, p int, width uint) {
	at := uint(p) * 8
	mask := uint64(1)<<width - 1
	for i := range out {
		out[i] = peek(b, at) & mask
		at += width
	}
}
