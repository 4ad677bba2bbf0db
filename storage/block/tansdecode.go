package block

import (
	"math/bits"
	"unsafe"
)

// tansDecoder is the decoding table of one stream at a time: one array per
// field, which the inner loop reads with a single scaled load each.
type tansDecoder struct {
	// mask selects the extra bits of a state's class, and is also the
	// class's least value.
	mask [maxTableSize]uint64
	// nbits is the number of bits of the next state, total that and the
	// number of extra bits.
	nbits, total [maxTableSize]uint8
	// base is the next state before its bits, low the mask of those bits.
	// base+low is below the table size whatever the bits are.
	base, low [maxTableSize]uint8

	symbols [maxTableSize]uint8
}

// decode reads len(out) values from b[:size]; b goes on to the end of the
// block, which spares the fast loop from the stream's end. Every value is
// below 2^width.
func (t *tansDecoder) decode(out []uint64, b []byte, size int) (width uint, reason string) {
	logL := uint(load64(b[:size], 0) & 15)
	pos := uint(4)
	take := func(n uint) uint64 {
		v := peek(b[:size], pos) & (1<<n - 1)
		pos += n
		return v
	}
	pad := uint(take(3))
	lo := uint(take(6))
	k := uint(take(6)) + 1
	if logL < minTableLog || logL > maxTableLog || lo+k-1 > maxClass {
		return 0, "bad entropy table"
	}
	var weights [64]uint16
	left := uint64(1) << logL
	for i := uint(0); i < k-1; i++ {
		// w+1 <= 257 has at most 9 bits, so its gamma code at most 17.
		z := uint(bits.TrailingZeros64(peek(b[:size], pos) | 1<<9))
		if z > maxTableLog {
			return 0, "bad entropy weight"
		}
		pos += z + 1
		w := (1<<z | take(z)) - 1
		if w > left {
			return 0, "entropy weights exceed the table"
		}
		weights[i] = uint16(w)
		left -= w
	}
	if left == 0 {
		return 0, "entropy weights exceed the table"
	}
	weights[k-1] = uint16(left)
	pos = (pos + 7) &^ 7
	end := uint(size) * 8
	pos += pad
	if pos+4*logL > end {
		return 0, "entropy stream truncated"
	}
	t.build(weights[:k], lo, logL)
	var st [4]uint8
	for i := range st {
		st[i] = uint8(take(logL))
	}
	width = lo + k
	n := 0
	if most := width - 1 + logL; most <= 57 {
		n, pos = t.fast(out, b, pos, &st, most)
	}
	pos = t.values(out[n:], b, pos, &st)
	if pos != end || st != [4]uint8{} {
		return 0, "entropy stream does not end where it began"
	}
	return width, ""
}

func (t *tansDecoder) build(weights []uint16, lo, logL uint) {
	spread(&t.symbols, weights, logL)
	size := uint32(1) << logL
	// The k-th place of a symbol of weight w stands for x = w+k.
	var next [64]uint16
	copy(next[:], weights)
	shrink := &shrinks[logL-minTableLog]
	for i, s := range t.symbols[:size] {
		s &= 63
		x := uint32(next[s]) & (2*maxTableSize - 1)
		next[s]++
		c := uint8(lo) + s
		nb := shrink[x]
		t.nbits[i] = nb
		t.total[i] = nb + c
		t.base[i] = uint8(x<<(nb&31) - size)
		t.low[i] = 1<<(nb&31) - 1
		t.mask[i] = 1<<(c&63) - 1
	}
}

// shrinks holds, for each table size L and each x below 2L, the number of
// bits that bring x back into [L, 2L). A table, because finding the highest
// bit takes eight micro-operations on some processors.
var shrinks = func() (t [maxTableLog - minTableLog + 1][2 * maxTableSize]uint8) {
	for i := range t {
		logL := minTableLog + i
		for x := uint32(1); x < 2<<logL; x++ {
			t[i][x] = uint8(logL + 1 - bits.Len32(x))
		}
	}
	return t
}()

// values decodes out from bit position pos on, and returns the position after
// the last value, which is past the stream's end if the bytes are damaged.
// State i belongs to the values whose index is i mod 4.
func (t *tansDecoder) values(out []uint64, b []byte, pos uint, st *[4]uint8) uint {
	for i := range out {
		s := st[i&3]
		m := t.mask[s]
		w := peek(b, pos)
		st[i&3] = t.base[s] + uint8(w)&t.low[s]
		// A state and 56 extra bits may be more than one load holds.
		w = peek(b, pos+uint(t.nbits[s]))
		out[i] = m + w&m
		pos += uint(t.total[s])
	}
	return pos
}

// fast decodes as many groups of four values as it safely can, and returns
// their number and the position after them. A value has at most `most` bits,
// its next state included, and at most 57.
func (t *tansDecoder) fast(out []uint64, b []byte, pos uint, st *[4]uint8, most uint) (n int, end uint) {
	for {
		// Groups that fit whatever their values turn out to be: the last
		// load of the last of them must end within b.
		groups := (len(out) - n) / 4
		room := len(b) - 8 - int(pos>>3)
		if room < 0 {
			return n, pos
		}
		groups = min(groups, room*8/int(4*most+8))
		if groups == 0 {
			return n, pos
		}
		if 2*most <= 57 {
			pos = t.pairs(out[n:], b, pos, st, groups)
		} else {
			pos = t.singles(out[n:], b, pos, st, groups)
		}
		n += 4 * groups
	}
}

// at8 and at64 read a field of the table t for a state.
func at8(t unsafe.Pointer, field, state uintptr) uintptr {
	return uintptr(*(*uint8)(unsafe.Add(t, field+state)))
}

func at64(t unsafe.Pointer, field, state uintptr) uint64 { //nolint:unparam // the shape of at8, whatever the fields
	return *(*uint64)(unsafe.Add(t, field+8*state))
}

const (
	atMask  = unsafe.Offsetof(tansDecoder{}.mask)
	atNbits = unsafe.Offsetof(tansDecoder{}.nbits)
	atTotal = unsafe.Offsetof(tansDecoder{}.total)
	atBase  = unsafe.Offsetof(tansDecoder{}.base)
	atLow   = unsafe.Offsetof(tansDecoder{}.low)
)

// pairs decodes groups of four values of which two have at most 57 bits, so
// that they share a load. The four states are independent chains; all that
// joins them is the position.
//
// No index is checked: fast has bounded the loads by len(b) and the stores by
// len(out), and a state is below the table size by construction. The code is
// written out because a loop over the states costs a third of the speed.
func (t *tansDecoder) pairs(out []uint64, b []byte, pos uint, st *[4]uint8, groups int) uint {
	p := unsafe.Pointer(unsafe.SliceData(b))
	o := unsafe.Pointer(unsafe.SliceData(out))
	tp := unsafe.Pointer(t)
	s0, s1, s2, s3 := uintptr(st[0]), uintptr(st[1]), uintptr(st[2]), uintptr(st[3])
	for i, end := uintptr(0), 32*uintptr(groups); i < end; i += 32 {
		w := load(p, pos)
		m := at64(tp, atMask, s0)
		*(*uint64)(unsafe.Add(o, i)) = m + w>>(at8(tp, atNbits, s0)&63)&m
		n := at8(tp, atTotal, s0)
		s0 = uintptr(w)&at8(tp, atLow, s0) + at8(tp, atBase, s0)
		w >>= n & 63
		pos += uint(n)
		m = at64(tp, atMask, s1)
		*(*uint64)(unsafe.Add(o, i+8)) = m + w>>(at8(tp, atNbits, s1)&63)&m
		pos += uint(at8(tp, atTotal, s1))
		s1 = uintptr(w)&at8(tp, atLow, s1) + at8(tp, atBase, s1)

		w = load(p, pos)
		m = at64(tp, atMask, s2)
		*(*uint64)(unsafe.Add(o, i+16)) = m + w>>(at8(tp, atNbits, s2)&63)&m
		n = at8(tp, atTotal, s2)
		s2 = uintptr(w)&at8(tp, atLow, s2) + at8(tp, atBase, s2)
		w >>= n & 63
		pos += uint(n)
		m = at64(tp, atMask, s3)
		*(*uint64)(unsafe.Add(o, i+24)) = m + w>>(at8(tp, atNbits, s3)&63)&m
		pos += uint(at8(tp, atTotal, s3))
		s3 = uintptr(w)&at8(tp, atLow, s3) + at8(tp, atBase, s3)
	}
	*st = [4]uint8{uint8(s0), uint8(s1), uint8(s2), uint8(s3)}
	return pos
}

// singles is pairs for values of up to 57 bits: one load for each.
func (t *tansDecoder) singles(out []uint64, b []byte, pos uint, st *[4]uint8, groups int) uint {
	p := unsafe.Pointer(unsafe.SliceData(b))
	o := unsafe.Pointer(unsafe.SliceData(out))
	tp := unsafe.Pointer(t)
	s0, s1, s2, s3 := uintptr(st[0]), uintptr(st[1]), uintptr(st[2]), uintptr(st[3])
	for i, end := uintptr(0), 32*uintptr(groups); i < end; i += 32 {
		w := load(p, pos)
		m := at64(tp, atMask, s0)
		*(*uint64)(unsafe.Add(o, i)) = m + w>>(at8(tp, atNbits, s0)&63)&m
		pos += uint(at8(tp, atTotal, s0))
		s0 = uintptr(w)&at8(tp, atLow, s0) + at8(tp, atBase, s0)

		w = load(p, pos)
		m = at64(tp, atMask, s1)
		*(*uint64)(unsafe.Add(o, i+8)) = m + w>>(at8(tp, atNbits, s1)&63)&m
		pos += uint(at8(tp, atTotal, s1))
		s1 = uintptr(w)&at8(tp, atLow, s1) + at8(tp, atBase, s1)

		w = load(p, pos)
		m = at64(tp, atMask, s2)
		*(*uint64)(unsafe.Add(o, i+16)) = m + w>>(at8(tp, atNbits, s2)&63)&m
		pos += uint(at8(tp, atTotal, s2))
		s2 = uintptr(w)&at8(tp, atLow, s2) + at8(tp, atBase, s2)

		w = load(p, pos)
		m = at64(tp, atMask, s3)
		*(*uint64)(unsafe.Add(o, i+24)) = m + w>>(at8(tp, atNbits, s3)&63)&m
		pos += uint(at8(tp, atTotal, s3))
		s3 = uintptr(w)&at8(tp, atLow, s3) + at8(tp, atBase, s3)
	}
	*st = [4]uint8{uint8(s0), uint8(s1), uint8(s2), uint8(s3)}
	return pos
}
