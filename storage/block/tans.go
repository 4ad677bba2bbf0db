package block

import (
	"math"
	"math/bits"
	"unsafe"
)

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

func at64(t unsafe.Pointer, field, state uintptr) uint64 {
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
