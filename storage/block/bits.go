package block

import (
	"encoding/binary"
	"unsafe"
)

// reader walks over the variable part of a block. After the first failure it
// returns zeros and keeps the reason, so that callers check once per section.
type reader struct {
	b   []byte
	i   int
	err *CorruptError
}

func (r *reader) fail(reason string) {
	if r.err == nil {
		r.err = corrupt(r.i, reason)
	}
}

func (r *reader) byte() uint8 {
	if r.err != nil || r.i >= len(r.b) {
		r.fail("truncated")
		return 0
	}
	v := r.b[r.i]
	r.i++
	return v
}

// uvarint is small enough to be inlined for the varints of one byte. It need
// not look at r.err: after a failure nobody uses what it returns.
func (r *reader) uvarint() uint64 {
	if r.i < len(r.b) && r.b[r.i] < 0x80 {
		r.i++
		return uint64(r.b[r.i-1])
	}
	return r.uvarintLong()
}

func (r *reader) uvarintLong() uint64 {
	if r.err != nil {
		return 0
	}
	var v uint64
	b := r.b[r.i:]
	for i, c := range b {
		if c < 0x80 {
			if i > 9 || i == 9 && c > 1 {
				break
			}
			r.i += i + 1
			return v | uint64(c)<<(7*i&63)
		}
		v |= uint64(c&0x7f) << (7 * i & 63)
	}
	r.fail("bad varint")
	return 0
}

func (r *reader) svarint() int64 { return unzigzag(r.uvarint()) }

func (r *reader) u64() uint64 {
	if r.err != nil || len(r.b)-r.i < 8 {
		r.fail("truncated")
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b[r.i:])
	r.i += 8
	return v
}

// take returns the next n bytes.
func (r *reader) take(n uint64) []byte {
	if r.err != nil || n > uint64(len(r.b)-r.i) {
		r.fail("section longer than the block")
		return nil
	}
	s := r.b[r.i : r.i+int(n)]
	r.i += int(n)
	return s
}

// zigzag folds signed integers onto unsigned ones so that small sizes stay
// small: 0, -1, 1, -2, ... become 0, 1, 2, 3, ...
func zigzag(v int64) uint64 { return uint64(v<<1) ^ uint64(v>>63) }

func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

func appendSvarint(b []byte, v int64) []byte { return binary.AppendUvarint(b, zigzag(v)) }

// uvarintLen returns the length of v as a uvarint.
func uvarintLen(v uint64) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}

// bitAppender writes bits, the least significant first. It serves the short
// table headers of tans.go; the long loops have their own.
type bitAppender struct {
	b   []byte
	acc uint64
	n   uint
}

func (w *bitAppender) put(v uint64, n uint) {
	w.acc |= v << w.n
	w.n += n
	for w.n >= 8 {
		w.b = append(w.b, byte(w.acc))
		w.acc >>= 8
		w.n -= 8
	}
}

func (w *bitAppender) flush() []byte {
	if w.n > 0 {
		w.b = append(w.b, byte(w.acc))
	}
	return w.b
}

// load64 returns the 8 bytes at b[i:], i >= 0, reading zeros past the end.
func load64(b []byte, i int) uint64 {
	if i <= len(b)-8 {
		return binary.LittleEndian.Uint64(b[i:])
	}
	return loadTail(b, i)
}

// loadTail is load64 near the end, apart so that load64 can be inlined.
func loadTail(b []byte, i int) uint64 {
	var v uint64
	for k := 0; k < 8 && i+k < len(b); k++ {
		v |= uint64(b[i+k]) << (8 * k)
	}
	return v
}

// peek returns at least 57 bits from bit position p on.
func peek(b []byte, p uint) uint64 { return load64(b, int(p>>3)) >> (p & 7) }

// load is peek without a bounds check: the caller has made sure that the 8
// bytes at bit position pos belong to the slice at p.
func load(p unsafe.Pointer, pos uint) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(p, pos>>3))[:]) >> (pos & 7)
}

// store is the counterpart of load for whole bytes.
func store(p unsafe.Pointer, v uint64) {
	binary.LittleEndian.PutUint64((*[8]byte)(p)[:], v)
}

// fill sets every element of s to v.
func fill[T any](s []T, v T) {
	if len(s) == 0 {
		return
	}
	s[0] = v
	for n := 1; n < len(s); n *= 2 {
		copy(s[n:], s[:n])
	}
}

// grow returns s with length n, reusing its capacity, contents undefined.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
