package block

import (
	"math"
	"math/bits"
)

// Aggregation says how the slots of a block fall into buckets.
type Aggregation struct {
	// Width is the number of slots of a bucket, at least 1.
	Width int
	// Origin is the number of the block's slot 0, counted from where buckets
	// are anchored: slot s belongs to bucket floor((Origin+s)/Width).
	Origin int64
	// From and To limit the slots to [From, To). A To of 0 means all slots
	// from From on.
	From, To int
	// FillBit, if not 0, marks bars that were filled in: those whose Prov
	// has a bit of it set. They make the prices of a bucket only if it has
	// no other bars.
	FillBit uint32
	// SkipExtras leaves out QuoteVolume and Trades.
	SkipExtras bool
}

// segment is the rows [row, end) of a block that fall into one bucket.
type segment struct {
	row, end int
	index    int64
	out      *Bucket
}

// Aggregate appends the buckets of the block data to out, in order, and
// returns the extended slice. If the first of them continues the last one of
// out, having the same Index, the two are combined: calling Aggregate for
// consecutive blocks of a series gives the buckets of all of it.
//
// Prices are compared and amounts added as integers on the block's grid, and
// only the results become floats; see Sum for what that makes exact. The
// arguments key, data and maxRows and the errors are those of Decode; on an
// error out is returned as it was.
func (d *Decoder) Aggregate(key, data []byte, maxRows int, a Aggregation, out []Bucket) ([]Bucket, error) {
	if err := d.parse(key, data, maxRows); err != nil {
		return out, err
	}
	if err := d.segment(&a); err != nil {
		return out, err
	}
	if len(d.segments) == 0 {
		return out, nil
	}
	// Everything that can fail comes before out is touched.
	if err := d.aggregateInputs(data, &a); err != nil {
		return out, err
	}
	d.buckets = grow(d.buckets, len(d.segments))
	for i := range d.segments {
		s := &d.segments[i]
		s.out = &d.buckets[i]
		*s.out = Bucket{Index: s.index, Bars: s.end - s.row}
	}
	d.aggregateProv(a.FillBit)
	if d.l.flags&flagRawStats == 0 {
		d.aggregateTicks(a.FillBit)
	} else {
		d.aggregateFloats(a.FillBit)
	}
	for i := range d.l.amounts {
		if d.l.hasAmount(i) && (!a.SkipExtras || i == 0) {
			d.aggregateAmount(i)
		}
	}
	parts := d.buckets
	if n := len(out); n > 0 && out[n-1].Index == parts[0].Index {
		out[n-1].Append(&parts[0])
		parts = parts[1:]
	}
	return append(out, parts...), nil
}

// segment fills d.segments.
func (d *Decoder) segment(a *Aggregation) *CorruptError {
	l := &d.l
	d.segments = d.segments[:0]
	from, to := max(a.From, 0), a.To
	if to == 0 {
		to = MaxRows
	}
	width := max(a.Width, 1)
	dense := l.flags&flagAxisMask == axisDense
	if !dense {
		d.slots = grow(d.slots, l.n)
		if reason := decodeAxis(d.slots, l.axis, uint8(l.flags&flagAxisMask), l.first, l.last); reason != "" {
			return corrupt(l.axisOff, reason)
		}
	}
	first := int(l.first)
	row := 0
	if dense {
		row = max(from-first, 0)
	} else {
		for row < l.n && int(d.slots[row]) < from {
			row++
		}
	}
	for row < l.n {
		slot := first + row
		if !dense {
			slot = int(d.slots[row])
		}
		if slot >= to {
			break
		}
		index := floorDiv(a.Origin+int64(slot), int64(width))
		// The first slot after the bucket, within this block.
		stop := int(min(index*int64(width)+int64(width)-a.Origin, int64(to), MaxRows))
		end := row + 1
		if dense {
			end = max(end, min(stop-first, l.n))
		} else {
			for end < l.n && int(d.slots[end]) < stop {
				end++
			}
		}
		d.segments = append(d.segments, segment{row: row, end: end, index: index})
		row = end
	}
	return nil
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// aggregateInputs decodes what the aggregation of the block needs: residuals
// or floats into d.prices, integers or floats into d.amounts, provenance into
// d.prov.
func (d *Decoder) aggregateInputs(data []byte, a *Aggregation) error {
	l := &d.l
	for i := range d.prices {
		d.prices[i] = grow(d.prices[i], l.n)
	}
	if l.flags&flagRawStats == 0 {
		for i, s := range [...]int{streamOpen, streamClose, streamHigh, streamLow} {
			if _, err := d.stream(data, s, d.prices[i]); err != nil {
				return err
			}
		}
	} else {
		// The order of d.prices is that of columnOrder.
		var x [4][]float64
		for i := range x {
			x[i] = floatsOf(d.prices[i])
		}
		if err := d.decodePrices(data, colPrices, x); err != nil {
			return err
		}
	}
	for i := range l.amounts {
		d.widths[i] = 0
		if !l.hasAmount(i) || a.SkipExtras && i > 0 {
			continue
		}
		d.amounts[i] = grow(d.amounts[i], l.n)
		if !l.amounts[i].m.onGrid() {
			if err := d.decodeAmount(data, i, floatsOf(d.amounts[i])); err != nil {
				return err
			}
			continue
		}
		width, err := d.stream(data, amountStream(i), d.amounts[i])
		if err != nil {
			return err
		}
		d.widths[i] = width
	}
	if err := d.setAside(); err != nil {
		return err
	}
	if l.palette != 1 {
		d.prov = grow(d.prov, l.n)
		if err := d.decodeProv(data, d.prov); err != nil {
			return err
		}
	}
	return nil
}

// setAside collects the exceptions of amounts on the grid in d.odd, and puts
// those of other columns in their place.
func (d *Decoder) setAside() error {
	l := &d.l
	d.odd = d.odd[:0]
	if l.flags&flagExceptions == 0 {
		return nil
	}
	var columns [7]*[]float64
	var views [7][]float64
	for i := range columns {
		if i < 4 && l.flags&flagRawStats != 0 {
			views[i] = floatsOf(d.prices[i])
		} else if i >= 4 && l.hasAmount(i-4) && !l.amounts[i-4].m.onGrid() && len(d.amounts[i-4]) == l.n {
			views[i] = floatsOf(d.amounts[i-4])
		}
		columns[i] = &views[i]
	}
	if reason := patch(&columns, l.exceptions, l.n); reason != "" {
		return corrupt(l.exceptionsOff, reason)
	}
	r := reader{b: l.exceptions}
	set := r.byte()
	for i := range columns {
		if set>>i&1 == 0 {
			continue
		}
		row := 0
		for count := r.uvarint(); count > 0; count-- {
			row += int(r.uvarint())
			v := r.u64()
			if i >= 4 && l.hasAmount(i-4) && l.amounts[i-4].m.onGrid() {
				d.odd = append(d.odd, oddAmount{i - 4, row, v})
			}
		}
	}
	return nil
}

// oddAmount is an exception of an amount column.
type oddAmount struct {
	amount, row int
	bits        uint64
}

// aggregateProv fills in Prov and Filled.
func (d *Decoder) aggregateProv(fillBit uint32) {
	l := &d.l
	for i := range d.segments {
		s := &d.segments[i]
		if l.palette == 1 {
			s.out.Prov, s.out.ProvAnd = l.provOr, l.provOr
			if l.provOr&fillBit != 0 {
				s.out.Filled = s.out.Bars
			}
			continue
		}
		s.out.ProvAnd = ^uint32(0)
		for _, v := range d.prov[s.row:s.end] {
			s.out.Prov |= v
			s.out.ProvAnd &= v
			if v&fillBit != 0 {
				s.out.Filled++
			}
		}
	}
}

// aggregateTicks fills in the prices from residuals.
func (d *Decoder) aggregateTicks(fillBit uint32) {
	l := &d.l
	o, c := d.prices[resOpen], d.prices[resClose][:l.n]
	h, lo := d.prices[resHigh][:l.n], d.prices[resLow][:l.n]
	if l.flags&flagWild != 0 {
		for i := range h {
			h[i], lo[i] = uint64(unzigzag(h[i])), uint64(unzigzag(lo[i]))
		}
	}
	// Prices as ticks from the base: the base and the tick come in once per
	// bucket.
	prev := int64(0)
	for i := range d.segments[0].row {
		prev += unzigzag(o[i]) + unzigzag(c[i])
	}
	for i := range d.segments {
		s := &d.segments[i]
		b := s.out
		t := ticks{high: math.MinInt64, low: math.MaxInt64}
		if b.Filled > 0 && b.Filled < b.Bars {
			prev = d.realTicks(&t, s, prev, fillBit)
		} else {
			t.open = prev + unzigzag(o[s.row])
			so, sc, sh, sl := o[s.row:s.end], c[s.row:s.end], h[s.row:s.end], lo[s.row:s.end]
			sc, sh, sl = sc[:len(so)], sh[:len(so)], sl[:len(so)]
			for i := range so {
				oi := prev + unzigzag(so[i])
				ci := oi + unzigzag(sc[i])
				t.high = max(t.high, max(oi, ci)+int64(sh[i]))
				t.low = min(t.low, min(oi, ci)-int64(sl[i]))
				prev = ci
			}
			t.close = prev
		}
		b.Open, b.High = l.tickPrice(t.open), l.tickPrice(t.high)
		b.Low, b.Close = l.tickPrice(t.low), l.tickPrice(t.close)
	}
}

// ticks are the prices of a bucket in ticks from the block's base.
type ticks struct{ open, high, low, close int64 }

func (l *layout) tickPrice(t int64) float64 { return l.price.float(l.base + t*int64(l.tick)) }

// realTicks is the inner loop of aggregateTicks for a segment in which some
// but not all bars have the fill bit. It returns the last close.
func (d *Decoder) realTicks(t *ticks, s *segment, prev int64, fillBit uint32) int64 {
	found := false
	for i := s.row; i < s.end; i++ {
		oi := prev + unzigzag(d.prices[resOpen][i])
		prev = oi + unzigzag(d.prices[resClose][i])
		if d.prov[i]&fillBit != 0 {
			continue
		}
		if !found {
			t.open, found = oi, true
		}
		t.high = max(t.high, max(oi, prev)+int64(d.prices[resHigh][i]))
		t.low = min(t.low, min(oi, prev)-int64(d.prices[resLow][i]))
		t.close = prev
	}
	return prev
}

// aggregateFloats fills in the prices of a block that has no plain grid.
func (d *Decoder) aggregateFloats(fillBit uint32) {
	o, c := floatsOf(d.prices[resOpen]), floatsOf(d.prices[resClose])
	h, lo := floatsOf(d.prices[resHigh]), floatsOf(d.prices[resLow])
	for i := range d.segments {
		s := &d.segments[i]
		b := s.out
		skip := b.Filled > 0 && b.Filled < b.Bars
		found := false
		for i := s.row; i < s.end; i++ {
			if skip && d.prov[i]&fillBit != 0 {
				continue
			}
			if !found {
				b.Open, b.High, b.Low, found = o[i], h[i], lo[i], true
			}
			b.High, b.Low = higher(b.High, h[i]), lower(b.Low, lo[i])
			b.Close = c[i]
		}
	}
}

// aggregateAmount fills in the sums of amount i.
func (d *Decoder) aggregateAmount(i int) {
	a := &d.l.amounts[i]
	x := d.amounts[i]
	for k := range d.segments {
		s := &d.segments[k]
		sum := s.out.amount(i)
		if !a.m.onGrid() {
			for _, v := range floatsOf(x[s.row:s.end]) {
				sum.addFloat(v)
			}
			continue
		}
		sum.Exp = a.m.exp
		if d.widths[i] > 47 {
			for _, v := range x[s.row:s.end] {
				sum.addInt(int64(v*a.lot) + a.base)
			}
			continue
		}
		// 2^16 values below 2^47 cannot overflow.
		total := uint64(0)
		for _, v := range x[s.row:s.end] {
			total += v
		}
		hi, lo := bits.Mul64(total, a.lot)
		sum.Hi, sum.Lo = int64(hi), lo
		sum.addProduct(a.base, s.end-s.row)
	}
	k := 0
	for _, odd := range d.odd {
		if odd.amount != i {
			continue
		}
		for k < len(d.segments) && d.segments[k].end <= odd.row {
			k++
		}
		if k == len(d.segments) || odd.row < d.segments[k].row {
			continue
		}
		// The place of an exception holds an integer that does not count.
		sum := d.segments[k].out.amount(i)
		sum.addInt(-(int64(x[odd.row]*a.lot) + a.base))
		sum.addFloat(math.Float64frombits(odd.bits))
	}
}
