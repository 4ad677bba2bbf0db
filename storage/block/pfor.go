package block

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"unsafe"
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
		width, top, patches := pforWidth(g)
		if top > maxClass {
			return dst[:start], false
		}
		dst = append(dst, byte(width), byte(patches))
		mask := uint64(1)<<width - 1
		dst = appendPacked(dst, g, width)
		if patches == 0 {
			continue
		}
		dst = append(dst, byte(top-width))
		// Without a branch: which values need a patch is unpredictable.
		var high [pforGroup]uint64
		var rows [pforGroup]byte
		n := uint(0)
		for i, v := range g {
			high[n&(pforGroup-1)] = v >> width
			rows[n&(pforGroup-1)] = byte(i)
			n += uint((mask - v) >> 63)
		}
		dst = append(dst, rows[:patches]...)
		dst = appendPacked(dst, high[:patches], top-width)
	}
	return dst, true
}

// pforWidth returns the cheapest width for a group, the width of its largest
// value, and how many values do not fit the former.
func pforWidth(g []uint64) (width, top uint, patches int) {
	// Two histograms in turn, because a counter cannot be incremented
	// every cycle.
	var hist, hist2 [64]uint8
	var or uint64
	for i, v := range g {
		or |= v
		l := floorLog2Small(2*v+1) & 63
		if i&1 == 0 {
			hist[l]++
		} else {
			hist2[l]++
		}
	}
	top = uint(bits.Len64(or))
	if or >= maxSmall/4 {
		hist, hist2 = [64]uint8{}, [64]uint8{}
		for _, v := range g {
			hist[bits.Len64(v)&63]++
		}
	}
	// From the widest down: each width leaves more values to patch.
	width = top
	best := (len(g)*int(top) + 7) / 8
	for w, n := top, 0; w > 0; {
		n += int(hist[w&63]) + int(hist2[w&63])
		w--
		// What the patches alone cost only grows from here on.
		if 1+n >= best {
			break
		}
		cost := (len(g)*int(w)+7)/8 + 1 + n + (n*int(top-w)+7)/8
		if cost < best {
			best, width, patches = cost, w, n
		}
	}
	return width, top, patches
}

// appendPacked appends the low width bits of each value, width <= 56.
func appendPacked(dst []byte, x []uint64, width uint) []byte {
	if width == 0 {
		return dst
	}
	size := (len(x)*int(width) + 7) / 8
	start := len(dst)
	// Eight bytes of slack so that whole words can be stored.
	dst = slices.Grow(dst, size+8)
	b := dst[start : start+size+8]
	mask := uint64(1)<<width - 1
	var acc uint64
	p, n := 0, uint(0)
	if width <= 28 {
		for len(x) >= 2 {
			acc |= (x[0]&mask | x[1]&mask<<(width&63)) << (n & 7)
			n += 2 * width
			putLE64(b[p:], acc)
			p += int(n >> 3)
			acc >>= n &^ 7 & 63
			n &= 7
			x = x[2:]
		}
	}
	for _, v := range x {
		acc |= v & mask << (n & 7)
		n += width
		putLE64(b[p:], acc)
		p += int(n >> 3)
		acc >>= n &^ 7 & 63
		n &= 7
	}
	return dst[:start+size]
}

// decodePFOR reads len(out) values from b[:size]; b goes on to the end of the
// block, so that whole words can be loaded near the stream's end. Every value
// is below 2^width.
func decodePFOR(out []uint64, b []byte, size int) (width uint, reason string) {
	p := 0
	for len(out) > 0 {
		g := out[:min(pforGroup, len(out))]
		out = out[len(g):]
		if size-p < 2 {
			return 0, "packed stream truncated"
		}
		w, patches := uint(b[p]), int(b[p+1])
		p += 2
		if w > maxClass || patches > len(g) {
			return 0, "bad packed group"
		}
		low := (len(g)*int(w) + 7) / 8
		if size-p < low {
			return 0, "packed stream truncated"
		}
		unpack(g, b[p:], w)
		p += low
		width = max(width, w)
		if patches == 0 {
			continue
		}
		if size-p < 1+patches {
			return 0, "packed stream truncated"
		}
		hw := uint(b[p])
		pos := b[p+1 : p+1+patches]
		p += 1 + patches
		high := (patches*int(hw) + 7) / 8
		if hw == 0 || hw+w > maxClass {
			return 0, "bad packed patch width"
		}
		if size-p < high {
			return 0, "packed stream truncated"
		}
		at := uint(p) * 8
		for _, i := range pos {
			if int(i) >= len(g) {
				return 0, "packed patch outside of its group"
			}
			g[i] |= peek(b, at) & (1<<hw - 1) << w
			at += hw
		}
		p += high
		width = max(width, w+hw)
	}
	if p != size {
		return 0, "packed stream too long"
	}
	return width, ""
}

// unpack reads len(out) values of width <= 56 bits from the start of b.
func unpack(out []uint64, b []byte, width uint) {
	if width == 0 {
		clear(out)
		return
	}
	n := len(out) &^ 7
	if len(b) < n/8*int(width)+8 {
		n = 0
	}
	unpackEights(out[:n], b, width)
	at := uint(n) * width
	mask := uint64(1)<<width - 1
	for i := n; i < len(out); i++ {
		out[i] = peek(b, at) & mask
		at += width
	}
}

// unpackEights is unpack for a multiple of 8 values, with 8 bytes of slack
// after them: 8 values fill width bytes, so every group of 8 starts at a byte
// and takes as few loads as its width allows.
func unpackEights(out []uint64, b []byte, width uint) {
	p := unsafe.Pointer(unsafe.SliceData(b))
	mask := uint64(1)<<width - 1
	w := width & 63
	switch {
	case width <= 8:
		for at := uint(0); len(out) >= 8; at += width {
			o := (*[8]uint64)(out)
			v := load(p, at*8)
			o[0] = v & mask
			v >>= w
			o[1] = v & mask
			v >>= w
			o[2] = v & mask
			v >>= w
			o[3] = v & mask
			v >>= w
			o[4] = v & mask
			v >>= w
			o[5] = v & mask
			v >>= w
			o[6] = v & mask
			v >>= w
			o[7] = v & mask
			out = out[8:]
		}
	case width <= 16:
		// The second load starts at a multiple of 4 bits, 4*16+0 or
		// 4*15+4 bits from its end at most.
		for at := uint(0); len(out) >= 8; at += width {
			o := (*[8]uint64)(out)
			v := load(p, at*8)
			o[0] = v & mask
			v >>= w
			o[1] = v & mask
			v >>= w
			o[2] = v & mask
			v >>= w
			o[3] = v & mask
			v = load(p, at*8+4*width)
			o[4] = v & mask
			v >>= w
			o[5] = v & mask
			v >>= w
			o[6] = v & mask
			v >>= w
			o[7] = v & mask
			out = out[8:]
		}
	case width <= 29:
		// A load starts at an even bit, so it holds 58 bits at least.
		for at := uint(0); len(out) >= 8; at += width {
			o := (*[8]uint64)(out)
			v := load(p, at*8)
			o[0] = v & mask
			o[1] = v >> w & mask
			v = load(p, at*8+2*width)
			o[2] = v & mask
			o[3] = v >> w & mask
			v = load(p, at*8+4*width)
			o[4] = v & mask
			o[5] = v >> w & mask
			v = load(p, at*8+6*width)
			o[6] = v & mask
			o[7] = v >> w & mask
			out = out[8:]
		}
	default:
		at := uint(0)
		for i := range out {
			out[i] = load(p, at) & mask
			at += width
		}
	}
}
