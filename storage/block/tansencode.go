package block

import (
	"math/bits"
	"unsafe"
)

// A move says how to code a class from any state.
type move struct {
	bits uint32 // (state+bits)>>16 is the number of bits to emit
	next int32  // state>>that, plus next, is the place of the next state
}

// tansEncoder is the scratch space of one tANS stream at a time.
type tansEncoder struct {
	classes []uint8
	buf     []byte
	hist    [4][64]uint32
	weights [64]uint16
	symbols [maxTableSize]uint8
	next    [maxTableSize]uint16
	moves   [64]move
}

// tableLog returns the table size for n values of k classes. Larger tables
// follow the frequencies better, but their weights take more bits and they
// cost time to build: on real days of minutes 2^7 is both smallest and
// fastest.
func tableLog(n, k int) uint {
	l := uint(minTableLog)
	for l < maxTableLog && (n > 400<<(l-minTableLog) || k > 1<<(l-1)) {
		l++
	}
	return l
}

// normalize scales the counts of classes to weights that sum to 2^logL, at
// least 1 for a class that occurs. Integers only: the same counts give the
// same weights on every machine.
func normalize(weights []uint16, counts []uint32, n int, logL uint) {
	left := int64(1) << logL
	for i, c := range counts {
		w := uint64(0)
		if c > 0 {
			w = max(1, (uint64(c)<<logL+uint64(n)/2)/uint64(n))
		}
		weights[i] = uint16(w)
		left -= int64(w)
	}
	// Give to, or take from, the class for which one step of weight changes
	// the total length most, or least: about count/(w+1/2) bits.
	for ; left > 0; left-- {
		best := -1
		for i, c := range counts {
			if c > 0 && (best < 0 ||
				uint64(c)*uint64(2*weights[best]+1) > uint64(counts[best])*uint64(2*weights[i]+1)) {
				best = i
			}
		}
		weights[best]++
	}
	for ; left < 0; left++ {
		best := -1
		for i, c := range counts {
			if weights[i] > 1 && (best < 0 ||
				uint64(c)*uint64(2*weights[best]-1) < uint64(counts[best])*uint64(2*weights[i]-1)) {
				best = i
			}
		}
		weights[best]--
	}
}

// append appends the stream of x to dst. It reports false, with dst as it
// was, if a value is too large for the classes.
func (t *tansEncoder) append(dst []byte, x []uint64) ([]byte, bool) {
	n := len(x)
	if !t.classify(x) {
		return dst, false
	}
	lo, hi := 64, 0
	var counts [64]uint32
	present := 0
	for c := range counts {
		counts[c] = t.hist[0][c] + t.hist[1][c] + t.hist[2][c] + t.hist[3][c]
		if counts[c] > 0 {
			lo, hi = min(lo, c), c
			present++
		}
	}
	logL := tableLog(n, present)
	weights := t.weights[lo : hi+1]
	normalize(weights, counts[lo:hi+1], n, logL)
	t.build(weights, lo, logL)

	payload, pad := t.payload(x, logL, uint(hi))
	w := bitAppender{b: dst}
	w.put(uint64(logL), 4)
	w.put(uint64(pad), 3)
	w.put(uint64(lo), 6)
	w.put(uint64(hi-lo), 6)
	for _, v := range weights[:len(weights)-1] {
		k := uint(bits.Len16(v + 1))
		w.put(0, k-1)
		w.put(1, 1)
		w.put(uint64(v+1)&(1<<(k-1)-1), k-1)
	}
	return append(w.flush(), payload...), true
}

// classify fills t.classes and t.hist, and reports whether every value has a
// class.
func (t *tansEncoder) classify(x []uint64) bool {
	t.classes = grow(t.classes, len(x))
	t.hist = [4][64]uint32{}
	classes := t.classes[:len(x)]
	var or uint64
	i := 0
	// Four counters in turn: neighbours often share a class, and a counter
	// cannot be incremented every cycle.
	for ; i+4 <= len(x); i += 4 {
		v, c := (*[4]uint64)(x[i:]), (*[4]uint8)(classes[i:])
		or |= v[0] | v[1] | v[2] | v[3]
		c0 := floorLog2Small(v[0]+1) & 63
		c1 := floorLog2Small(v[1]+1) & 63
		c2 := floorLog2Small(v[2]+1) & 63
		c3 := floorLog2Small(v[3]+1) & 63
		c[0], c[1], c[2], c[3] = uint8(c0), uint8(c1), uint8(c2), uint8(c3)
		t.hist[0][c0]++
		t.hist[1][c1]++
		t.hist[2][c2]++
		t.hist[3][c3]++
	}
	for ; i < len(x); i++ {
		or |= x[i]
		c := floorLog2Small(x[i]+1) & 63
		classes[i] = uint8(c)
		t.hist[0][c]++
	}
	if or < maxSmall-1 {
		return true
	}
	if or >= 1<<maxClass {
		return false
	}
	t.hist = [4][64]uint32{}
	for i, v := range x {
		c := uint8(bits.Len64(v+1)-1) & 63
		classes[i] = c
		t.hist[i&3][c]++
	}
	return true
}

// build makes the encoding tables. Symbols are indices into weights; class
// lo+s is symbol s.
func (t *tansEncoder) build(weights []uint16, lo int, logL uint) {
	size := uint32(1) << logL
	spread(&t.symbols, weights, logL)
	var at [64]uint16
	total := uint32(0)
	for s, v := range weights {
		w := uint32(v)
		at[s] = uint16(total)
		if w > 0 {
			most := uint32(logL)
			if w > 1 {
				most -= uint32(bits.Len32(w-1)) - 1
			}
			t.moves[lo+s] = move{most<<16 - w<<most, int32(total) - int32(w)}
		}
		total += w
	}
	for i, s := range t.symbols[:size] {
		k := at[s&63]
		at[s&63] = k + 1
		t.next[k&(maxTableSize-1)] = uint16(size) + uint16(i)
	}
}

// payload codes x from the last value to the first, filling t.buf from its
// end, and returns the bytes and the number of padding bits at their start.
func (t *tansEncoder) payload(x []uint64, logL, top uint) (out []byte, pad uint) {
	t.buf = grow(t.buf, 9*len(x)+64)
	size := uint32(1) << logL
	states := [4]uint32{size, size, size, size}
	w := backAppender{b: t.buf, p: len(t.buf)}
	i := len(x) - 1
	for ; i&3 != 3; i-- {
		t.put(&w, x[i], t.classes[i], &states[i&3])
	}
	switch most := top + logL; {
	case 2*most <= 57:
		t.payloadPairs(&w, x[:i+1], &states)
	case most <= 57:
		t.payloadSingles(&w, x[:i+1], &states)
	default:
		for ; i >= 0; i-- {
			t.put(&w, x[i], t.classes[i], &states[i&3])
		}
	}
	for i := 3; i >= 0; i-- {
		w.put(uint64(states[i]-size), logL)
	}
	return w.flush()
}

// put prepends one value of class c and its state's bits: the extra bits
// first, so that the decoder reads the state's first.
func (t *tansEncoder) put(w *backAppender, v uint64, c uint8, st *uint32) {
	m := t.moves[c&63]
	nb := (*st + m.bits) >> 16 & 31
	y := *st >> nb
	w.put(v+1^1<<(c&63), uint(c))
	w.put(uint64(*st^y<<nb), uint(nb))
	*st = uint32(t.next[(y+uint32(m.next))&(maxTableSize-1)])
}

// payloadPairs codes groups of four values of which two have at most 57 bits,
// from the last to the first, a multiple of four in number.
//
// It is put twice over, flushing after two values, with everything in
// registers. The stores need no check: t.buf has 9 bytes per value, more than
// any value takes, and 64 to spare.
func (t *tansEncoder) payloadPairs(w *backAppender, x []uint64, states *[4]uint32) {
	classes := t.classes[:len(x)]
	s0, s1, s2, s3 := states[0], states[1], states[2], states[3]
	buf := unsafe.Pointer(unsafe.SliceData(w.b))
	p, acc, n := w.p, w.acc, w.n
	i := len(x) - 1
	for ; i >= 3; i -= 4 {
		c := classes[i] & 63
		m := t.moves[c]
		nb := (s3 + m.bits) >> 16 & 31
		y := s3 >> nb
		acc = acc<<c | (x[i] + 1 ^ 1<<c)
		acc = acc<<nb | uint64(s3^y<<nb)
		n += uint(c) + uint(nb)
		s3 = uint32(t.next[(y+uint32(m.next))&(maxTableSize-1)])

		c = classes[i-1] & 63
		m = t.moves[c]
		nb = (s2 + m.bits) >> 16 & 31
		y = s2 >> nb
		acc = acc<<c | (x[i-1] + 1 ^ 1<<c)
		acc = acc<<nb | uint64(s2^y<<nb)
		n += uint(c) + uint(nb)
		s2 = uint32(t.next[(y+uint32(m.next))&(maxTableSize-1)])
		store(unsafe.Add(buf, p-8), acc<<((64-n)&63))
		p -= int(n >> 3)
		n &= 7

		c = classes[i-2] & 63
		m = t.moves[c]
		nb = (s1 + m.bits) >> 16 & 31
		y = s1 >> nb
		acc = acc<<c | (x[i-2] + 1 ^ 1<<c)
		acc = acc<<nb | uint64(s1^y<<nb)
		n += uint(c) + uint(nb)
		s1 = uint32(t.next[(y+uint32(m.next))&(maxTableSize-1)])

		c = classes[i-3] & 63
		m = t.moves[c]
		nb = (s0 + m.bits) >> 16 & 31
		y = s0 >> nb
		acc = acc<<c | (x[i-3] + 1 ^ 1<<c)
		acc = acc<<nb | uint64(s0^y<<nb)
		n += uint(c) + uint(nb)
		s0 = uint32(t.next[(y+uint32(m.next))&(maxTableSize-1)])
		store(unsafe.Add(buf, p-8), acc<<((64-n)&63))
		p -= int(n >> 3)
		n &= 7
	}
	*states = [4]uint32{s0, s1, s2, s3}
	w.p, w.acc, w.n = p, acc, n
}

// payloadSingles is payloadPairs for values of up to 57 bits.
func (t *tansEncoder) payloadSingles(w *backAppender, x []uint64, states *[4]uint32) {
	classes := t.classes[:len(x)]
	s0, s1, s2, s3 := states[0], states[1], states[2], states[3]
	buf := unsafe.Pointer(unsafe.SliceData(w.b))
	p, acc, n := w.p, w.acc, w.n
	i := len(x) - 1
	// The states take turns by changing places.
	for ; i >= 0; i-- {
		c := classes[i] & 63
		m := t.moves[c]
		nb := (s3 + m.bits) >> 16 & 31
		y := s3 >> nb
		acc = acc<<c | (x[i] + 1 ^ 1<<c)
		acc = acc<<nb | uint64(s3^y<<nb)
		n += uint(c) + uint(nb)
		next := uint32(t.next[(y+uint32(m.next))&(maxTableSize-1)])
		store(unsafe.Add(buf, p-8), acc<<((64-n)&63))
		p -= int(n >> 3)
		n &= 7
		s0, s1, s2, s3 = next, s0, s1, s2
	}
	*states = [4]uint32{s0, s1, s2, s3}
	w.p, w.acc, w.n = p, acc, n
}

// backAppender writes bits from the end of a buffer towards its start: what
// is put last is read first.
type backAppender struct {
	b   []byte
	p   int
	acc uint64
	n   uint
}

// put prepends n <= 57 bits.
func (w *backAppender) put(v uint64, n uint) {
	w.acc = w.acc<<(n&63) | v
	w.n += n
	putLE64(w.b[w.p-8:], w.acc<<((64-w.n)&63))
	w.p -= int(w.n >> 3)
	w.n &= 7
}

func (w *backAppender) flush() (out []byte, pad uint) {
	if w.n > 0 {
		pad = 8 - w.n
		w.p--
		w.b[w.p] = byte(w.acc << pad)
	}
	return w.b[w.p:], pad
}
