package block

import "math"

// mapAmount fills in amount i of l and its streams.
func (e *Encoder) mapAmount(l *layout, i int, x []float64) {
	a := &l.amounts[i]
	e.amounts[i] = grow(e.amounts[i], l.n)
	out := e.amounts[i]
	exp, ok := sampleExp(x, 0)
	if ok && decimals(out, x, exp) {
		a.m = mapping{kindDec, exp}
		a.sum = sumGrid(out, exp)
		finishAmount(a, out)
		return
	}
	list := &e.exceptions[4+i]
	var found candidates
	found.gather(x)
	best, cost := found.m[0], uint64(math.MaxUint64)
	if found.n > 1 {
		for _, m := range found.m[:found.n] {
			e.amountAs(a, i, x, m)
			s := streamCost(out) + uint64(len(*list))*exceptionCost<<8
			if m.hasULP() {
				s += streamCost(e.amountULP[i])
			}
			if s < cost {
				best, cost = m, s
			}
		}
	}
	e.amountAs(a, i, x, best)
}

func (e *Encoder) amountAs(a *amount, i int, x []float64, m mapping) {
	list := &e.exceptions[4+i]
	*list = (*list)[:0]
	e.mapColumn(e.amounts[i], &e.amountULP[i], nil, list, x, m)
	a.m = m
	a.sum = Sum{}
	if m.onGrid() {
		a.sum = sumGrid(e.amounts[i], m.exp)
		for _, ex := range *list {
			// The place of an exception holds an integer that does not count.
			a.sum.addInt(-int64(e.amounts[i][ex.row]))
			a.sum.addFloat(math.Float64frombits(ex.bits))
		}
	} else {
		for _, v := range x {
			a.sum.addFloat(v)
		}
	}
	finishAmount(a, e.amounts[i])
}

// sumGrid adds up integers below 2^51 in size, in two halves that cannot
// overflow for MaxRows of them.
func sumGrid(x []uint64, exp uint8) Sum {
	var hi int64
	var lo uint64
	for _, v := range x {
		hi += int64(v) >> 32
		lo += v & math.MaxUint32
	}
	s := Sum{Hi: hi >> 32, Lo: uint64(hi) << 32, Exp: exp}
	s.addUint(lo)
	return s
}

// finishAmount subtracts the base from x and divides by the lot. The base is 0
// for amounts that spread from near 0 up, as volumes do, so that the classes
// of the entropy coder stay centred on the data.
func finishAmount(a *amount, x []uint64) {
	low, high := int64(math.MaxInt64), int64(math.MinInt64)
	for _, v := range x {
		low, high = min(low, int64(v)), max(high, int64(v))
	}
	a.base = 0
	if low < 0 || uint64(low) > uint64(high)-uint64(low) {
		a.base = low
		for i := range x {
			x[i] -= uint64(low)
		}
	}
	g := gcd(0, x, false)
	a.lot = max(g, 1)
	if g > 1 {
		divideAll(x, g, false)
	}
}
