package series

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// Part says how much of a coarse bar is there.
type Part struct {
	// Expected is the number of fine slots of the bar in which the market was
	// open; -1 where the calendar does not reach over the whole bar.
	Expected int32
	// Present is how many of them had a bar, a no-trade bar included.
	Present int32
	// Extra is the number of fine bars that took part although the calendar
	// did not expect them: trading before the open, say. 0 for daily bars and
	// coarser.
	Extra int32
}

// Complete reports whether every expected fine bar took part. It is false
// while the interval of the coarse bar has not ended.
func (p Part) Complete() bool { return p.Expected >= 0 && p.Present >= p.Expected }

// Resampler gathers fine bars into coarse ones, batch by batch.
//
//   - Open is the first, close the last, high the highest and low the lowest.
//     A no-trade bar ([Prov.NoTrade]) sets none of them beside a bar that
//     traded; a coarse bar made of no-trade bars only is one itself.
//   - Volume, quote volume and trades are added as decimals, not as floats:
//     0.1 and 0.2 make 0.3. Values that are not decimals of up to 15 places
//     are added as floats in the order of time. A quote volume or a number of
//     trades that one of the bars lacks is NaN in the sum.
//   - The kind of the coarse bar is the worst of its bars: synthetic, then
//     corrected, then observed. It is forming if one of them is. Its source is
//     theirs, or 0 if they have several.
//
// Up to 12h, and on the 24x7 calendar, the bars of a coarse slot are those
// that open in it. From 1d on an exchange calendar they are the bars of the
// sessions dated in the slot: a bar belongs to the first session that closes
// after it opens, if it shares time with it outside the breaks. What belongs
// to no session is left out and counted in Outside.
//
// A Resampler is for one goroutine at a time.
type Resampler struct {
	// Parts holds one element per coarse bar that was appended. The caller may
	// empty it together with the columns.
	Parts []Part
	// Outside counts the bars that belong to no session.
	Outside int64
	// Now marks as forming the coarse bars that end after it; 0 marks none.
	Now Time

	fine, coarse Grid
	width        Time // of a fine bar
	cal          *Calendar
	sessions     bool // gather by session date
	exps         [3]int

	pending bool // b holds bars
	b       bucket
	runs    []Run
}

// bucket is a coarse bar on its way.
type bucket struct {
	slot Slot
	// The fine bars of the bucket open before end; with sessions, inside spans
	// only.
	end   Time
	spans []Span // expected fine slots, as time; unused on the 24x7 calendar
	part  Part

	any, traded            bool
	open, high, low, close float64
	first, or, and, diff   Prov
	volume, quote, trades  decimalSum
	sums                   [3]float64 // where the bucket was summed in one go
	whole                  bool       // sums hold
}

// NewResampler returns a resampler from the bars of one grid to those of
// another. It returns an error if a coarse bar is not made of whole fine bars.
func NewResampler(fine, coarse Grid, cal *Calendar) (*Resampler, error) {
	if err := fine.Check(); err != nil {
		return nil, err
	}
	if err := coarse.Check(); err != nil {
		return nil, err
	}
	if !fine.Interval.Divides(coarse.Interval) {
		return nil, fmt.Errorf("bars of %s do not make up bars of %s", fine.Interval, coarse.Interval)
	}
	r := &Resampler{fine: fine, coarse: coarse, width: fine.Interval.Width(), cal: cal}
	r.sessions = !cal.AlwaysOpen() && !coarse.Interval.Intraday()
	if bySession := r.sessions && fine.Interval.Intraday(); !bySession && !fine.On(coarse.Time(0)) {
		return nil, fmt.Errorf("bars of %s with a phase of %d ms do not make up bars of %s with one of %d ms",
			fine.Interval, fine.Phase, coarse.Interval, coarse.Phase)
	}
	return r, nil
}

// Resample appends to dst the bars of src, which are sorted and on the fine
// grid, gathered into bars of the coarse grid as [Resampler] does, and returns
// one part for each bar appended.
func Resample(dst, src *Columns, fine, coarse Grid, cal *Calendar) ([]Part, error) {
	r, err := NewResampler(fine, coarse, cal)
	if err != nil {
		return nil, err
	}
	r.Add(dst, src)
	r.Flush(dst)
	return r.Parts, nil
}

// Add appends to dst the coarse bars that the bars of src complete. The bars
// of src are on the fine grid, in order of time, later than those of earlier
// calls, and no two open at the same time. Columns that src lacks are 0 in
// dst, the optional ones NaN. A coarse bar is appended with the bar of its
// last fine slot, or with the first bar after it. src is not kept.
func (r *Resampler) Add(dst, src *Columns) {
	times := src.Time
	for i := 0; i < len(times); {
		if r.pending && times[i] >= r.b.end {
			r.Flush(dst)
		}
		if !r.pending {
			if k := r.addDense(dst, src, i); k > i {
				i = k
				continue
			}
			if !r.begin(times[i]) {
				r.Outside++
				i++
				continue
			}
			r.pending = true
		}
		j := r.cut(times, i)
		ends := j < len(times) || times[j-1]+r.width >= r.b.end
		if r.cal.AlwaysOpen() {
			r.take(src, i, j, ends)
			r.b.part.Present += int32(j - i)
		} else {
			r.takeExpected(src, i, j, ends)
		}
		if ends {
			r.Flush(dst)
		}
		i = j
	}
}

// Flush appends to dst the coarse bar that is not complete yet, if there is
// one. A coarse bar whose later bars come in after a Flush is appended twice.
func (r *Resampler) Flush(dst *Columns) {
	if !r.pending {
		return
	}
	r.pending = false
	if b := &r.b; b.any {
		dst.Append(b.bar(r.coarse.Time(b.slot), r.Now))
		r.Parts = append(r.Parts, b.part)
	}
}

// addDense appends coarse bars as long as bar i of src starts one that is all
// there, of one provenance and in order: the usual case of a 24x7 market, and
// no bucket is needed for it. It returns the index of the first bar that it
// left, which may be i.
func (r *Resampler) addDense(dst, src *Columns, i int) int {
	ratio := int(r.coarse.Interval.Width() / r.width)
	if !r.cal.AlwaysOpen() || ratio == 0 || len(src.Time)-i < ratio || !r.coarse.On(src.Time[i]) {
		return i
	}
	if len(src.Open) == 0 || len(src.High) == 0 || len(src.Low) == 0 || len(src.Close) == 0 || len(src.Volume) == 0 {
		return i
	}
	t, part := src.Time[i], Part{Expected: int32(ratio), Present: int32(ratio)}
	coarse, last := r.coarse.Interval.Width(), Time(ratio-1)*r.width
	quote, trades := math.NaN(), math.NaN()
	for ; i+ratio <= len(src.Time) && src.Time[i] == t && src.Time[i+ratio-1] == t+last; i, t = i+ratio, t+coarse {
		j := i + ratio
		p, ok := common(src.Prov, i, j)
		if !ok || p.NoTrade() {
			break
		}
		if r.Now != 0 && t+coarse > r.Now {
			p |= ProvForming
		}
		volume, ok := sumUnits(src.Volume[i:j], r.exps[0])
		if !ok {
			break
		}
		if len(src.QuoteVolume) > 0 {
			if quote, ok = sumUnits(src.QuoteVolume[i:j], r.exps[1]); !ok {
				break
			}
		}
		if len(src.Trades) > 0 {
			if trades, ok = sumUnits(src.Trades[i:j], r.exps[2]); !ok {
				break
			}
		}
		high, low := extremes(src.High[i], src.Low[i], src.High[i:j], src.Low[i:j])
		dst.Append(Bar{
			Time: t, Open: src.Open[i], High: high, Low: low, Close: src.Close[j-1],
			Volume: volume, QuoteVolume: quote, Trades: trades, Prov: p,
		})
		r.Parts = append(r.Parts, part)
	}
	return i
}

// common is the provenance of bars i to j, and whether it is the same.
func common(provs []Prov, i, j int) (Prov, bool) {
	if len(provs) == 0 {
		return 0, true
	}
	provs = provs[i:j]
	p := provs[0]
	for _, q := range provs {
		if q != p {
			return 0, false
		}
	}
	return p, true
}

// cut is the index of the first bar after i that does not open in the bucket.
func (r *Resampler) cut(times []Time, i int) int {
	end := r.b.end
	// No more than these fit; without a hole it is all of them.
	most := int((end - times[i] + r.width - 1) / r.width)
	if j := i + most; j <= len(times) && times[j-1] < end {
		return j
	}
	return i + sort.Search(min(most, len(times)-i), func(k int) bool { return times[i+k] >= end })
}

// begin starts the bucket of the bar at t. It returns false if the bar belongs
// to no session.
func (r *Resampler) begin(t Time) bool {
	b := &r.b
	*b = bucket{spans: b.spans[:0]}
	if r.sessions {
		return r.beginSessions(t)
	}
	b.slot = r.coarse.SlotAt(t)
	from := r.coarse.Time(b.slot)
	b.end = r.coarse.Time(b.slot + 1)
	if r.cal.AlwaysOpen() {
		b.part.Expected = int32((b.end - from) / r.width)
		return true
	}
	r.expect(Run{r.fine.SlotFrom(from), r.fine.SlotFrom(b.end)})
	if valid := r.cal.Valid(); from < valid.From || b.end > valid.To {
		b.part.Expected = -1
	}
	return true
}

// expect sets the expected spans to those of the fine slots of run in which
// the market was open.
func (r *Resampler) expect(run Run) {
	r.runs = r.cal.AppendExpected(r.runs[:0], r.fine, run)
	for _, x := range r.runs {
		r.b.spans = append(r.b.spans, r.fine.Span(x))
		r.b.part.Expected += int32(x.Len())
	}
}

func (r *Resampler) beginSessions(t Time) bool {
	b, c := &r.b, r.cal
	if !r.fine.Interval.Intraday() {
		b.slot = r.coarse.SlotAt(t)
		r.expect(r.fine.Run(r.coarse.Span(Run{b.slot, b.slot + 1})))
	} else {
		k := c.sessionFrom(t)
		if k == len(c.sessions) {
			return false
		}
		b.slot = r.slotOf(c.sessions[k].Date)
		for k > 0 && r.slotOf(c.sessions[k-1].Date) == b.slot {
			k--
		}
		r.expectSessions(k)
	}
	if len(b.spans) == 0 {
		return false
	}
	b.end = b.spans[len(b.spans)-1].To
	dates := r.coarse.Span(Run{b.slot, b.slot + 1})
	if valid := c.Valid(); dates.From < valid.From || dates.To > valid.To {
		b.part.Expected = -1
	}
	// A bar before the first span is outside, but the bucket waits for others.
	return t < b.end
}

// slotOf is the coarse slot that holds a session date.
func (r *Resampler) slotOf(date Time) Slot { return r.coarse.SlotAt(date + r.coarse.Phase%Day) }

// expectSessions sets the expected spans to the fine slots of the sessions
// from number k on that are dated in the bucket.
func (r *Resampler) expectSessions(k int) {
	b, c := &r.b, r.cal
	next := r.fine.SlotAt(MinTime) // first slot that no session has claimed
	if k > 0 {
		next = r.fine.SlotFrom(c.sessions[k-1].Close)
	}
	claim := func(s Span) {
		x := Run{max(next, r.fine.SlotAt(s.From)), r.fine.SlotAt(s.To-1) + 1}
		if x.Empty() {
			return
		}
		b.spans = append(b.spans, r.fine.Span(x))
		b.part.Expected += int32(x.Len())
		next = x.To
	}
	for ; k < len(c.sessions) && r.slotOf(c.sessions[k].Date) == b.slot; k++ {
		s := c.sessions[k]
		at := s.Open
		for _, p := range s.Breaks {
			claim(Span{at, p.From})
			at = p.To
		}
		claim(Span{at, s.Close})
	}
}

// takeExpected adds bars i to j of src to the bucket: with sessions those that
// are expected, without them all.
func (r *Resampler) takeExpected(src *Columns, i, j int, ends bool) {
	b := &r.b
	if !r.sessions {
		r.take(src, i, j, ends)
	}
	var present int
	for _, s := range b.spans {
		times := src.Time[i:j]
		from := sort.Search(len(times), func(k int) bool { return times[k] >= s.From })
		times = times[from:]
		n := sort.Search(len(times), func(k int) bool { return times[k] >= s.To })
		if r.sessions && n > 0 {
			r.take(src, i+from, i+from+n, ends && len(b.spans) == 1)
		}
		present += n
		if !r.sessions {
			continue
		}
		r.Outside += int64(from)
		i += from + n
	}
	b.part.Present += int32(present)
	if r.sessions {
		r.Outside += int64(j - i)
		return
	}
	b.part.Extra += int32(j - i - present)
}

// take adds bars i to j of src to the bucket. If they are all that it will
// ever hold, whole allows the quick sum.
func (r *Resampler) take(src *Columns, i, j int, whole bool) {
	b := &r.b
	whole = whole && !b.any
	var provs []Prov
	noTrade := false
	if len(src.Prov) > 0 {
		provs = src.Prov[i:j]
		noTrade = b.mark(provs)
	} else {
		b.mark(noProv[:])
	}
	if noTrade {
		b.pricesSparse(src, i, j)
	} else {
		b.prices(src, i, j)
	}
	b.any = true
	b.whole = whole
	r.sum(0, &b.volume, src.Volume, nil, i, j)
	r.sum(1, &b.quote, src.QuoteVolume, provs, i, j)
	r.sum(2, &b.trades, src.Trades, provs, i, j)
}

// noProv stands for the provenance of bars that have none.
var noProv = [1]Prov{}

// mark gathers the provenance of bars and reports whether one of them is a
// no-trade bar.
func (b *bucket) mark(provs []Prov) bool {
	if !b.any {
		b.first, b.or, b.and, b.diff = provs[0], 0, ^Prov(0), 0
	}
	first, or, and, diff := b.first, Prov(0), b.and, b.diff
	same := 0
	for same < len(provs) && provs[same] == first {
		same++
	}
	if same > 0 {
		or, and = first, and&first
	}
	for _, p := range provs[same:] {
		or |= p
		and &= p
		diff |= p ^ first
	}
	b.or |= or
	b.and, b.diff = and, diff
	return or.NoTrade()
}

func (b *bucket) prices(src *Columns, i, j int) {
	fresh := !b.traded
	b.traded = true
	if fresh {
		b.open, b.high, b.low = at(src.Open, i, 0), at(src.High, i, 0), at(src.Low, i, 0)
	}
	b.close = at(src.Close, j-1, 0)
	if len(src.High) > 0 && len(src.Low) > 0 {
		b.high, b.low = extremes(b.high, b.low, src.High[i:j], src.Low[i:j])
		return
	}
	for k := i; k < j; k++ {
		b.high = max(b.high, at(src.High, k, 0))
		b.low = min(b.low, at(src.Low, k, 0))
	}
}

// extremes is the highest of high and highs and the lowest of low and lows.
// The bits of floats that are not negative order as integers do, and for
// integers the compiler avoids the branch, which a random walk makes the
// processor mispredict several times an hour.
func extremes(high, low float64, highs, lows []float64) (float64, float64) {
	h, l := int64(math.Float64bits(high)), int64(math.Float64bits(low))
	signs := h | l
	lows = lows[:len(highs)]
	for k, x := range highs {
		hx, lx := int64(math.Float64bits(x)), int64(math.Float64bits(lows[k]))
		signs |= hx | lx
		h, l = max(h, hx), min(l, lx)
	}
	if signs >= 0 {
		return math.Float64frombits(uint64(h)), math.Float64frombits(uint64(l))
	}
	for k, x := range highs {
		high, low = max(high, x), min(low, lows[k])
	}
	return high, low
}

// pricesSparse is prices for bars of which some did not trade.
func (b *bucket) pricesSparse(src *Columns, i, j int) {
	any := b.any
	for ; i < j; i++ {
		noTrade := src.Prov[i].NoTrade()
		switch {
		case !noTrade && !b.traded:
			b.traded = true
			fallthrough
		case !any: // no-trade prices, until a bar that traded comes
			b.open, b.high, b.low = at(src.Open, i, 0), at(src.High, i, 0), at(src.Low, i, 0)
		case noTrade && b.traded:
			continue
		}
		any = true
		b.high = max(b.high, at(src.High, i, 0))
		b.low = min(b.low, at(src.Low, i, 0))
		b.close = at(src.Close, i, 0)
	}
}

// sum adds a column to a sum of the bucket. Where the bars are the whole
// bucket it tries the exponent that fitted last.
func (r *Resampler) sum(col int, s *decimalSum, values []float64, provs []Prov, i, j int) {
	b := &r.b
	if len(values) == 0 {
		b.sums[col] = 0
		if col > 0 {
			// Nobody said it of these bars, so nobody can of the coarse one.
			b.sums[col] = math.NaN()
			if len(provs) == 0 || slices.ContainsFunc(provs, func(p Prov) bool { return !p.NoTrade() }) {
				s.lose()
			}
		}
		return
	}
	values = values[i:j]
	if b.whole {
		if sum, ok := sumUnits(values, r.exps[col]); ok {
			b.sums[col] = sum
			return
		}
	}
	for k, x := range values {
		// A bar that did not trade has no quote volume to miss.
		if math.IsNaN(x) && len(provs) > 0 && provs[k].NoTrade() {
			continue
		}
		s.add(x)
	}
	if b.whole {
		b.sums[col] = s.value()
		if !s.inexact {
			r.exps[col] = s.exp
		}
	}
}

// bar is the coarse bar that the bucket has become.
func (b *bucket) bar(t, now Time) Bar {
	if !b.whole {
		b.sums = [3]float64{b.volume.value(), b.quote.value(), b.trades.value()}
		if b.volume.count == 0 {
			b.sums[0] = 0
		}
	}
	kind := Observed
	switch or := b.or.Kind(); {
	case or >= Synthetic:
		kind = Synthetic
	case or == Corrected:
		kind = Corrected
	}
	var src SourceID
	if b.diff.Source() == 0 {
		src = b.first.Source()
	}
	p := NewProv(kind, src) | b.or&ProvForming | b.and&ProvNoTrade
	if now != 0 && b.end > now {
		p |= ProvForming
	}
	return Bar{
		Time: t, Open: b.open, High: b.high, Low: b.low, Close: b.close,
		Volume: b.sums[0], QuoteVolume: b.sums[1], Trades: b.sums[2], Prov: p,
	}
}
