package block

import (
	"math"
	"math/bits"
)

// Choosing a mapping. The common case, decimals of one exponent without
// exceptions, is recognised from a sample and proved by one pass over all
// values. Anything else is tried kind by kind, and the kind with the smallest
// estimated size wins. Nothing is remembered from the block before: a hint
// would save a few hundred nanoseconds and make the bytes depend on history.

// sampleSize is how many values of a column decide the exponent to try first.
const sampleSize = 16

// sampleExp returns the least exponent that fits every sampled value of x, or
// false if some value has none.
func sampleExp(x []float64, exp uint8) (uint8, bool) {
	step := max(1, len(x)/sampleSize)
	for i := 0; i < len(x); i += step {
		e := decExp(x[i], exp)
		if e > maxExp {
			return 0, false
		}
		exp = max(exp, e)
	}
	return exp, true
}

// mapPrices fills in the price part of l and the price streams of e.
func (e *Encoder) mapPrices(l *layout, c *Columns) {
	for i := range e.prices {
		e.prices[i] = grow(e.prices[i], l.n)
	}
	exp, ok := uint8(0), true
	for _, x := range [...][]float64{c.Open, c.Close, c.High, c.Low} {
		if ok {
			exp, ok = sampleExp(x, exp)
		}
	}
	if ok {
		ok = e.decimalPrices(l, c, exp)
	}
	if !ok {
		e.anyPrices(l, c)
	}
}

// decimalPrices maps prices that are all decimals of exponent exp. It reports
// false if they are not.
func (e *Encoder) decimalPrices(l *layout, c *Columns, exp uint8) bool {
	for i, x := range [...][]float64{c.Open, c.Close, c.High, c.Low} {
		if !decimals(e.prices[i], x, exp) {
			return false
		}
	}
	l.price = mapping{kindDec, exp}
	e.finishPrices(l, int64(e.prices[resOpen][0]))
	return true
}

// decimals sets out to the integers of x at exponent exp, and reports whether
// all of them are exact.
func decimals(out []uint64, x []float64, exp uint8) bool {
	p := pow10[exp&15]
	out = out[:len(x)]
	var bad uint64
	if q, ok := newQuotient(exp); ok {
		hi, lo := q.hi, q.lo
		var size uint64 // or of the sizes
		for i, v := range x {
			// roundGrid, and quotient.bits without its conversion: taking
			// the constant off again leaves the integer as a float64.
			t := float64(v*p) + roundMagic
			f := t - roundMagic
			n := math.Float64bits(t) - roundMagicBits
			bad |= math.Float64bits(float64(f*hi)+float64(f*lo)) ^ math.Float64bits(v)
			size |= n ^ uint64(int64(n)>>63)
			out[i] = n
		}
		if bad == 0 && size < q.limit {
			return true
		}
		bad = 0
	}
	for i, v := range x {
		n := roundGrid(float64(v * p))
		bad |= math.Float64bits(float64(n)/p) ^ math.Float64bits(v) | outsideGrid(n)
		out[i] = uint64(n)
	}
	return bad == 0
}

// finishPrices turns the integers in e.prices into residuals and fills in
// everything of l that depends on them.
func (e *Encoder) finishPrices(l *layout, base int64) {
	o, c, h, lo := e.prices[0], e.prices[1], e.prices[2], e.prices[3]
	last := int64(c[len(c)-1])
	low, high, wild := candle(o, c, h, lo, base)
	l.base = base
	l.flags &^= flagWild
	if wild {
		l.flags |= flagWild
	}
	g := gcd(0, o[:min(len(o), sampleSize)], true)
	g = gcd(g, c, true)
	g = gcd(g, o, true)
	g = gcd(g, h, wild)
	g = gcd(g, lo, wild)
	l.tick = max(g, 1)
	if g > 1 {
		divideAll(o, g, true)
		divideAll(c, g, true)
		divideAll(h, g, wild)
		divideAll(lo, g, wild)
	}
	t := int64(l.tick)
	l.dLow, l.dHigh, l.dClose = (base-low)/t, (high-base)/t, (last-base)/t
}

// anyPrices maps prices that are not plain decimals.
func (e *Encoder) anyPrices(l *layout, c *Columns) {
	columns := [...][]float64{c.Open, c.Close, c.High, c.Low}
	var list candidates
	list.gather(columns[:]...)
	best, cost := list.m[0], uint64(math.MaxUint64)
	if list.n > 1 {
		for _, m := range list.m[:list.n] {
			e.pricesAs(l, &columns, m)
			if s := e.priceCost(l); s < cost {
				best, cost = m, s
			}
		}
	}
	e.pricesAs(l, &columns, best)
}

// pricesAs maps the prices by m, leaving what m cannot express to exceptions.
// An exception's place in the streams takes the integer that costs least: the
// one for which the residual is 0.
func (e *Encoder) pricesAs(l *layout, columns *[4][]float64, m mapping) {
	for i, x := range columns {
		e.exceptions[i] = e.exceptions[i][:0]
		e.skip[i] = grow(e.skip[i], l.n)
		e.mapColumn(e.prices[i], &e.priceULP[i], e.skip[i], &e.exceptions[i], x, m)
	}
	o, c, h, lo := e.prices[0], e.prices[1], e.prices[2], e.prices[3]
	base := int64(0)
search:
	for row := range o {
		for i := range e.skip {
			if !e.skip[i][row] {
				base = int64(e.prices[i][row])
				break search
			}
		}
	}
	if len(e.exceptions[0])+len(e.exceptions[1])+len(e.exceptions[2])+len(e.exceptions[3]) > 0 {
		prev := uint64(base)
		for i := range o {
			if e.skip[0][i] {
				o[i] = prev
			}
			if e.skip[1][i] {
				c[i] = o[i]
			}
			if e.skip[2][i] {
				h[i] = uint64(max(int64(o[i]), int64(c[i])))
			}
			if e.skip[3][i] {
				lo[i] = uint64(min(int64(o[i]), int64(c[i])))
			}
			prev = c[i]
		}
	}
	l.price = m
	e.finishPrices(l, base)
}

// mapColumn maps x by m value by value. Where m fails it notes an exception,
// marks the row in skip (if not nil) and repeats the integer before.
func (e *Encoder) mapColumn(out []uint64, ulps *[]uint64, skip []bool, list *[]exception, x []float64, m mapping) {
	if m.hasULP() {
		*ulps = grow(*ulps, len(x))
	}
	prev := uint64(0)
	for i, v := range x {
		n, ulp, ok := m.integer(v)
		if !ok {
			*list = append(*list, exception{i, math.Float64bits(v)})
			n, ulp = int64(prev), 0
		}
		if skip != nil {
			skip[i] = !ok
		}
		out[i] = uint64(n)
		prev = uint64(n)
		if m.hasULP() {
			(*ulps)[i] = zigzag(ulp)
		}
	}
}

// exceptionCost is the estimated price of an exception in bits: its value and
// a byte or two of position.
const exceptionCost = 80

// priceCost estimates the size of the price streams and exceptions in 1/256
// bits.
func (e *Encoder) priceCost(l *layout) uint64 {
	var cost uint64
	for i := range e.prices {
		cost += streamCost(e.prices[i]) + uint64(len(e.exceptions[i]))*exceptionCost<<8
		if l.price.hasULP() {
			cost += streamCost(e.priceULP[i])
		}
	}
	return cost
}

// streamCost estimates the entropy-coded size of x in 1/256 bits.
func streamCost(x []uint64) uint64 {
	var counts [65]uint64
	for _, v := range x {
		counts[bits.Len64(v)]++
	}
	var cost uint64
	n := log2(uint64(len(x)))
	for k, c := range counts {
		if c > 0 {
			cost += c * (n - log2(c) + uint64(k)<<8)
		}
	}
	return cost
}

// log2 approximates the base-2 logarithm of v > 0 in 1/256, linearly between
// powers of two: close enough to compare sizes, and the same everywhere.
func log2(v uint64) uint64 {
	l := uint64(bits.Len64(v)) - 1
	return l<<8 + (v<<8>>l - 256)
}

// candidates are the mappings that may suit values that are not all decimals
// of one exponent.
type candidates struct {
	m [6]mapping
	n int
}

func (s *candidates) add(m mapping) {
	s.m[s.n] = m
	s.n++
}

// gather looks at all values of the columns once. If a decimal mapping leaves
// at most 1 % of exceptions it is the only candidate.
func (s *candidates) gather(columns ...[]float64) {
	var least [maxExp + 2]int // values by their least decimal exponent
	total, narrowed := 0, 0
	guess := uint8(8)
	for _, x := range columns {
		for _, v := range x {
			e := decExp(v, guess)
			least[e]++
			total++
			if e <= maxExp {
				guess = max(e, 1)
			}
			if _, ok := narrow(v); ok {
				narrowed++
			}
		}
	}
	exp, exceptions := bestExp(&least, total)
	s.add(mapping{kindDec, exp})
	if exceptions*100 <= total {
		return
	}
	s.add(mapping{kindF64Bits, 0})
	if narrowed*100 >= total*99 {
		s.add(mapping{kindF32Bits, 0})
		s.addFitting(kindF32Dec, columns)
	}
	s.addFitting(kindDecULP, columns)
}

// bestExp weighs, for each exponent, the exceptions that it leaves against
// the log2(10) bits that each further digit costs every value.
func bestExp(least *[maxExp + 2]int, total int) (exp uint8, exceptions int) {
	best := uint64(math.MaxUint64)
	left := total
	for e := range maxExp + 1 {
		left -= least[e]
		if cost := uint64(left)*exceptionCost*256 + uint64(total)*uint64(e)*850; cost < best {
			best, exp, exceptions = cost, uint8(e), left
		}
	}
	return exp, exceptions
}

// addFitting adds the mapping of the given kind with the least exponent that
// leaves at most 1 % of exceptions, if there is one.
func (s *candidates) addFitting(kind uint8, columns [][]float64) {
	for m := (mapping{kind, 0}); m.exp <= maxExp; m.exp++ {
		if m.fits(columns) {
			s.add(m)
			return
		}
	}
}

func (m mapping) fits(columns [][]float64) bool {
	total := 0
	for _, x := range columns {
		total += len(x)
	}
	bad := 0
	for _, x := range columns {
		for _, v := range x {
			if _, _, ok := m.integer(v); !ok {
				if bad++; bad*100 > total {
					return false
				}
			}
		}
	}
	return true
}
