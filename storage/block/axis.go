package block

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// Kinds of presence axis: which slots between the first and the last of the
// block have a bar.
const (
	// axisDense: every slot. Takes no bytes.
	axisDense = 0
	// axisRuns: uvarint number of gaps, then per gap uvarint bars before it
	// and uvarint slots in it, both at least 1. The bars after the last gap
	// are what remains.
	axisRuns = 1
	// axisBitmap: one bit per slot from the first to the last, the least
	// significant first; bits past the last slot are 0.
	axisBitmap = 2
)

// axisPlan returns the smallest kind of axis for slots and its size in bytes.
func axisPlan(slots []uint16) (kind uint8, gaps, size int) {
	n := len(slots)
	span := int(slots[n-1]) - int(slots[0]) + 1
	if span == n {
		return axisDense, 0, 0
	}
	run := 0
	for i := 1; i < n; i++ {
		if d := int(slots[i]) - int(slots[i-1]); d != 1 {
			size += uvarintLen(uint64(i-run)) + uvarintLen(uint64(d-1))
			run = i
			gaps++
		}
	}
	size += uvarintLen(uint64(gaps))
	if b := (span + 7) / 8; b < size {
		return axisBitmap, gaps, b
	}
	return axisRuns, gaps, size
}

func appendAxis(dst []byte, slots []uint16, kind uint8, gaps int) []byte {
	switch kind {
	case axisRuns:
		dst = binary.AppendUvarint(dst, uint64(gaps))
		run := 0
		for i := 1; i < len(slots); i++ {
			if d := int(slots[i]) - int(slots[i-1]); d != 1 {
				dst = binary.AppendUvarint(dst, uint64(i-run))
				dst = binary.AppendUvarint(dst, uint64(d-1))
				run = i
			}
		}
	case axisBitmap:
		first := int(slots[0])
		start := len(dst)
		for range (int(slots[len(slots)-1]) - first + 8) / 8 {
			dst = append(dst, 0)
		}
		b := dst[start:]
		for _, s := range slots {
			d := int(s) - first
			b[d>>3] |= 1 << (d & 7)
		}
	}
	return dst
}

// decodeAxis fills out, which has one element per row, with slots from first
// to last.
func decodeAxis(out []uint16, b []byte, kind uint8, first, last uint16) (reason string) {
	switch kind {
	case axisDense:
		if int(last)-int(first)+1 != len(out) {
			return "dense axis with holes"
		}
		fillRun(out, first)
		return ""
	case axisRuns:
		return decodeRuns(out, b, first, last)
	default:
		return decodeBitmap(out, b, first, last)
	}
}

// littleEndian reports whether the machine stores the low byte first.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// fillRun sets out to first, first+1, ...
func fillRun(out []uint16, first uint16) {
	// Four slots per store: this loop is all that a dense axis costs.
	const step = 0x0004_0004_0004_0004
	v := uint64(first)*0x0001_0001_0001_0001 + 0x0003_0002_0001_0000
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(out))), len(out)/4*8)
	if !littleEndian {
		b = nil
	}
	n := len(b) / 2
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, v)
		b = b[8:]
		v += step
	}
	for i := n; i < len(out); i++ {
		out[i] = first + uint16(i)
	}
}

func decodeRuns(out []uint16, b []byte, first, last uint16) (reason string) {
	r := reader{b: b}
	slot := uint64(first)
	for gaps := r.uvarint(); gaps > 0; gaps-- {
		run, hole := r.uvarint(), r.uvarint()
		// Compared as unsigned and one by one, so that nothing overflows.
		if run == 0 || run >= uint64(len(out)) || hole == 0 || hole > MaxRows ||
			slot+run+hole > uint64(last) {
			return "bad run of slots"
		}
		fillRun(out[:run], uint16(slot))
		out = out[run:]
		slot += run + hole
	}
	if r.err != nil || r.i != len(b) || slot+uint64(len(out)) != uint64(last)+1 {
		return "runs of slots do not fit the block"
	}
	fillRun(out, uint16(slot))
	return ""
}

func decodeBitmap(out []uint16, b []byte, first, last uint16) (reason string) {
	span := int(last) - int(first) + 1
	if span < 1 || len(b) != (span+7)/8 || b[0]&1 == 0 || bits.Len8(b[len(b)-1]) != (span-1)&7+1 {
		return "bitmap of slots does not fit the block"
	}
	n := 0
	for i := 0; i < len(b); i += 8 {
		w := load64(b, i)
		if n+bits.OnesCount64(w) > len(out) {
			return "bitmap of slots has too many bits"
		}
		for base := int(first) + 8*i; w != 0; w &= w - 1 {
			out[n] = uint16(base + bits.TrailingZeros64(w))
			n++
		}
	}
	if n != len(out) {
		return "bitmap of slots has too few bits"
	}
	return ""
}
