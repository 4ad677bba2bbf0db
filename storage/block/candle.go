package block

import (
	"math"
	"math/bits"
)

// The candle transform replaces the four prices of a bar by differences that
// are small because of what a bar is:
//
//	open  - close of the bar before   (the base, for the first bar)
//	close - open
//	high  - max(open, close)          never negative in a sound bar
//	min(open, close) - low            never negative in a sound bar
//
// in that order, O C H L. The first two are zigzag coded, the others only in
// a wild block, in which some bar is not sound. All of it is arithmetic
// modulo 2^64, so no input overflows it.

// Indices of the price residuals.
const (
	resOpen = iota
	resClose
	resHigh
	resLow
)

// candle computes the residuals of the prices in place of the integers in o,
// c, h and l (all of one length). It returns the lowest of l and the highest
// of h, and whether the block is wild.
func candle(o, c, h, l []uint64, base int64) (low, high int64, wild bool) {
	c, h, l = c[:len(o)], h[:len(o)], l[:len(o)]
	prev := base
	low, high = math.MaxInt64, math.MinInt64
	for i := range o {
		oi, ci := int64(o[i]), int64(c[i])
		hi, li := int64(h[i]), int64(l[i])
		top, bottom := max(oi, ci), min(oi, ci)
		// Judged by comparison, not by the sign of the difference, which
		// wraps around for bit patterns far apart.
		if hi < top || li > bottom {
			wild = true
		}
		low, high = min(low, li), max(high, hi)
		o[i] = zigzag(oi - prev)
		c[i] = zigzag(ci - oi)
		h[i], l[i] = uint64(hi-top), uint64(bottom-li)
		prev = ci
	}
	if wild {
		for i := range h {
			h[i], l[i] = zigzag(int64(h[i])), zigzag(int64(l[i]))
		}
	}
	return low, high, wild
}

// gcd returns the greatest common divisor of g and every size(x), where size
// is the absolute value behind a zigzag code if signed, else x itself read as
// a two's complement integer. It is 0 if all are 0.
func gcd(g uint64, x []uint64, signed bool) uint64 {
	for _, v := range x {
		if g == 1 {
			return 1
		}
		d := int64(v)
		if signed {
			d = unzigzag(v)
		}
		a := uint64(d)
		if d < 0 {
			a = -a
		}
		if g == 0 {
			g = a
			continue
		}
		if a%g == 0 {
			continue
		}
		for a != 0 {
			g, a = a, g%a
		}
	}
	return g
}

// divider divides integers that are known to be multiples of a divisor: a
// shift takes out the power of two, a multiplication by the inverse modulo
// 2^64 the odd rest.
type divider struct {
	shift   uint
	inverse uint64
}

func newDivider(g uint64) divider {
	shift := uint(bits.TrailingZeros64(g))
	odd := g >> shift
	// Newton's iteration doubles the number of right bits: 5, 10, 20, 40, 80.
	inv := odd*3 ^ 2
	for range 4 {
		inv *= 2 - odd*inv
	}
	return divider{shift, inv}
}

func (d divider) divide(v int64) int64 {
	return int64(uint64(v>>(d.shift&63)) * d.inverse)
}

// divideAll divides the residuals x by g, which divides each of them.
func divideAll(x []uint64, g uint64, signed bool) {
	d := newDivider(g)
	for i, v := range x {
		if signed {
			x[i] = zigzag(d.divide(unzigzag(v)))
		} else {
			x[i] = uint64(d.divide(int64(v)))
		}
	}
}

// priceQuotient returns how to divide the prices of a block of decimals by
// multiplication, and false if they are too large for that or their range is
// not known.
func (l *layout) priceQuotient() (quotient, bool) {
	q, ok := newQuotient(l.price.exp)
	if !ok || l.flags&(flagRawStats|flagWild) != 0 {
		return q, false
	}
	t := int64(l.tick)
	return q, q.exactFor(l.base-t*l.dLow) && q.exactFor(l.base+t*l.dHigh)
}

// quotients is integrate and floats in one pass.
func (l *layout) quotients(o, c, h, lo []uint64, q quotient) {
	c, h, lo = c[:len(o)], h[:len(o)], lo[:len(o)]
	t := int64(l.tick)
	prev := l.base
	if t == 1 {
		// The same without multiplications, which are a tenth of the work:
		// the tick of most series is a power of ten.
		for i := range o {
			oi := prev + unzigzag(o[i])
			ci := oi + unzigzag(c[i])
			hi := max(oi, ci) + int64(h[i])
			li := min(oi, ci) - int64(lo[i])
			o[i], c[i] = q.bits(oi), q.bits(ci)
			h[i], lo[i] = q.bits(hi), q.bits(li)
			prev = ci
		}
		return
	}
	for i := range o {
		oi := prev + unzigzag(o[i])*t
		ci := oi + unzigzag(c[i])*t
		hi := max(oi, ci) + int64(h[i])*t
		li := min(oi, ci) - int64(lo[i])*t
		o[i], c[i] = q.bits(oi), q.bits(ci)
		h[i], lo[i] = q.bits(hi), q.bits(li)
		prev = ci
	}
}

// bodyQuotients is quotients for a reader of opens and closes only.
func (l *layout) bodyQuotients(o, c []uint64, q quotient) {
	c = c[:len(o)]
	t := int64(l.tick)
	prev := l.base
	for i := range o {
		oi := prev + unzigzag(o[i])*t
		prev = oi + unzigzag(c[i])*t
		o[i], c[i] = q.bits(oi), q.bits(prev)
	}
}

// closeQuotients is quotients for a reader of closes only.
func (l *layout) closeQuotients(o, c []uint64, q quotient) {
	c = c[:len(o)]
	t := int64(l.tick)
	prev := l.base
	for i := range o {
		prev += (unzigzag(o[i]) + unzigzag(c[i])) * t
		c[i] = q.bits(prev)
	}
}

// integrate turns residuals into integers, undoing candle and divideAll.
func (l *layout) integrate(o, c, h, lo []uint64) {
	c, h, lo = c[:len(o)], h[:len(o)], lo[:len(o)]
	t := int64(l.tick)
	prev := l.base
	if l.flags&flagWild != 0 {
		for i := range h {
			h[i], lo[i] = uint64(unzigzag(h[i])), uint64(unzigzag(lo[i]))
		}
	}
	for i := range o {
		oi := prev + unzigzag(o[i])*t
		ci := oi + unzigzag(c[i])*t
		o[i], c[i] = uint64(oi), uint64(ci)
		h[i] = uint64(max(oi, ci) + int64(h[i])*t)
		lo[i] = uint64(min(oi, ci) - int64(lo[i])*t)
		prev = ci
	}
}

// integrateClose is integrate for a reader of opens and closes only.
func (l *layout) integrateClose(o, c []uint64) {
	c = c[:len(o)]
	t := int64(l.tick)
	prev := l.base
	for i := range o {
		oi := prev + unzigzag(o[i])*t
		prev = oi + unzigzag(c[i])*t
		o[i], c[i] = uint64(oi), uint64(prev)
	}
}
