// Package bench makes the data that Barkeep and its peers are measured on, and
// the right answers to every question that is put to them.
//
// A series is a seeded random walk on a tick of 0.01 with clustered volatility,
// wicks and log-normal volumes of five decimals. It is calibrated by its
// information, because that is what decides sizes and decoding speeds: one bar
// carries 5.45 bytes, the order-0 entropy of the bit lengths of its residuals
// plus their bits (real BTC/USDT minutes carry 5.88). About 350 gaps a year,
// mostly single minutes, knock out 0.24% of the bars.
//
// The peers themselves live in the module bench/peers, which keeps their
// drivers out of this one.
package bench

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"

	"github.com/barkeepdb/barkeep/series"
)

// The parameters of the walk. TestEntropy holds them to the target.
const (
	tick         = 100 // prices are whole numbers over this
	lot          = 1e5 // volumes are whole numbers over this
	firstPrice   = 40_000 * tick
	lowestPrice  = 100 * tick // keeps the walk and its lows above zero
	moveTicks    = 250.0      // median standard deviation of close minus open
	wickTicks    = 18.0       // median mean of a wick, either side
	jumpChance   = 0.30       // how often a bar opens off the previous close
	jumpTicks    = 1.5        // mean of how far, beyond the first tick
	calmness     = 0.995      // autocorrelation of log volatility, bar to bar
	volatility   = 0.35       // standard deviation of log volatility
	medianVolume = 3 * lot
	volumeSpread = 0.85 // standard deviation of log volume at even volatility
	volumePull   = 0.80 // how much of log volatility enters log volume
)

// The parameters of the gaps.
const (
	gapsPerSlot = 350.0 / 525_600
	shortShare  = 0.090 // gaps of 2 to 12 bars
	longShare   = 0.024 // outages of 20 to 240 bars; the other gaps are single bars
)

// Start is where every series of a [Corpus] begins: 2024-01-01 UTC.
const Start series.Time = 1704067200000

// YearSlots is the number of one-minute slots in a year of 365 days.
const YearSlots = 365 * 24 * 60

// Grid is the grid of every series: one-minute bars.
var Grid = series.Grid{Interval: series.Interval1m}

// HourGrid is the grid of the resampled bars.
var HourGrid = series.Grid{Interval: series.Interval1h}

// Series is one symbol's bars and the truth about them.
type Series struct {
	Key series.Key
	// Span is what the series covers; its first and last slot hold bars.
	Span series.Span
	// Bars are the bars that exist, in order.
	Bars series.Columns
	// Missing are the bars that the gaps knocked out, in order.
	Missing series.Columns
	// Gaps are all gaps between the first and the last bar.
	Gaps []series.Run
	// Hours are the bars resampled to 1h. Volumes are summed exactly and
	// rounded once, so a sum of doubles may differ in the last digits.
	Hours series.Columns
	// Latest is the last bar.
	Latest series.Bar
}

// Corpus returns the series of Each, all in memory: 25 MB a symbol-year.
func Corpus(symbols, years int) []*Series {
	all := make([]*Series, 0, symbols)
	for s := range Each(symbols, years) {
		all = append(all, s)
	}
	return all
}

// Each makes series after series: symbol i has seed i+1 and so many years of
// 365 days from Start. The same arguments give the same bars.
func Each(symbols, years int) iter.Seq[*Series] {
	return func(yield func(*Series) bool) {
		for i := range symbols {
			if !yield(NewSeries(uint64(i+1), Start, years*YearSlots)) {
				return
			}
		}
	}
}

// NewSeries returns the series of a seed over a number of slots from start,
// which must lie on the grid.
func NewSeries(seed uint64, start series.Time, slots int) *Series {
	first := Grid.SlotAt(start)
	s := &Series{
		Key:  series.Key{Symbol: fmt.Sprintf("SIM%04d", seed), Interval: Grid.Interval},
		Span: Grid.Span(series.Run{From: first, To: first + series.Slot(slots)}),
		Gaps: newGaps(rand.New(rand.NewPCG(seed, 1)), first, slots),
	}
	missing := int(series.Total(s.Gaps))
	s.Bars, s.Missing = makeColumns(slots-missing), makeColumns(missing)
	s.Hours = makeColumns(slots/60 + 2)
	w := newWalk(seed)
	var h hour
	gaps := s.Gaps
	for slot := first; slot < first+series.Slot(slots); slot++ {
		t := Grid.Time(slot)
		c := w.next()
		if len(gaps) > 0 && slot >= gaps[0].To {
			gaps = gaps[1:]
		}
		if len(gaps) > 0 && slot >= gaps[0].From {
			push(&s.Missing, t, c)
			continue
		}
		push(&s.Bars, t, c)
		h.add(&s.Hours, t, c)
	}
	h.flush(&s.Hours)
	if n := s.Bars.Len(); n > 0 {
		s.Latest = s.Bars.Bar(n - 1)
	}
	return s
}

// Backfill returns n of the missing bars, spread evenly over them, in order,
// and the gaps that remain once they are written.
func (s *Series) Backfill(n int) (series.Columns, []series.Run) {
	total := s.Missing.Len()
	n = min(n, total)
	filled := makeColumns(n)
	var runs []series.Run
	for i := range n {
		k := i * total / n
		filled.Time = append(filled.Time, s.Missing.Time[k])
		filled.Open = append(filled.Open, s.Missing.Open[k])
		filled.High = append(filled.High, s.Missing.High[k])
		filled.Low = append(filled.Low, s.Missing.Low[k])
		filled.Close = append(filled.Close, s.Missing.Close[k])
		filled.Volume = append(filled.Volume, s.Missing.Volume[k])
		slot := Grid.SlotAt(s.Missing.Time[k])
		runs = series.Join(runs, series.Run{From: slot, To: slot + 1})
	}
	return filled, series.Subtract(nil, s.Gaps, runs)
}

// Next returns n bars that continue the series after its last one.
func (s *Series) Next(n int) series.Columns {
	bars := makeColumns(n)
	w := newWalk(uint64(s.Latest.Time))
	w.last = int64(math.Round(s.Latest.Close * tick))
	t := s.Latest.Time
	for range n {
		t += Grid.Interval.Width()
		push(&bars, t, w.next())
	}
	return bars
}

// candle is a bar in ticks and lots.
type candle struct{ open, high, low, close, volume int64 }

// walk makes candle after candle.
type walk struct {
	r    *rand.Rand
	last int64   // close of the candle before, in ticks
	heat float64 // log volatility
}

func newWalk(seed uint64) *walk {
	return &walk{r: rand.New(rand.NewPCG(seed, 0)), last: firstPrice}
}

func (w *walk) next() candle {
	r := w.r
	w.heat = calmness*w.heat + volatility*math.Sqrt(1-calmness*calmness)*r.NormFloat64()
	scale := math.Exp(w.heat)

	var c candle
	c.open = w.last
	if u := r.Float64(); u < jumpChance {
		jump := 1 + int64(jumpTicks*r.ExpFloat64())
		if u < jumpChance/2 {
			jump = -jump
		}
		c.open += jump
	}
	c.close = c.open + int64(math.Round(moveTicks*scale*r.NormFloat64()))
	c.open, c.close = max(c.open, 2*lowestPrice), max(c.close, 2*lowestPrice)
	wick := wickTicks * scale
	c.high = max(c.open, c.close) + int64(wick*r.ExpFloat64())
	c.low = max(min(c.open, c.close)-int64(wick*r.ExpFloat64()), lowestPrice)
	c.volume = 1 + int64(medianVolume*math.Exp(volumePull*w.heat+volumeSpread*r.NormFloat64()))
	w.last = c.close
	return c
}

// newGaps returns gaps that leave the first and the last slot alone. Only their
// places are random, so that every year misses about the same number of bars.
func newGaps(r *rand.Rand, first series.Slot, slots int) []series.Run {
	count := int(math.Round(gapsPerSlot * float64(slots)))
	gaps := make([]series.Run, 0, count)
	for i := range count {
		n := 1
		u := (float64(i) + 0.5) / float64(count)
		if u < longShare {
			n = int(20 * math.Pow(12, u/longShare))
		} else if u < longShare+shortShare {
			n = 2 + int(11*(u-longShare)/shortShare)
		}
		if n+2 > slots {
			continue
		}
		from := first + 1 + series.Slot(r.IntN(slots-n-1))
		gaps = append(gaps, series.Run{From: from, To: from + series.Slot(n)})
	}
	return series.Normalize(gaps)
}

// hour gathers the candles of one hour.
type hour struct {
	open series.Time
	candle
	bars int
}

func (h *hour) add(dst *series.Columns, t series.Time, c candle) {
	if open := t - t%series.Hour; open != h.open || h.bars == 0 {
		h.flush(dst)
		*h = hour{open: open, candle: c, bars: 1}
		return
	}
	h.high, h.low = max(h.high, c.high), min(h.low, c.low)
	h.close = c.close
	h.volume += c.volume
	h.bars++
}

func (h *hour) flush(dst *series.Columns) {
	if h.bars > 0 {
		push(dst, h.open, h.candle)
	}
}

func makeColumns(n int) series.Columns {
	return series.Columns{
		Time: make([]series.Time, 0, n),
		Open: make([]float64, 0, n), High: make([]float64, 0, n), Low: make([]float64, 0, n),
		Close: make([]float64, 0, n), Volume: make([]float64, 0, n),
	}
}

// push appends c as the doubles that its decimal text would be read as: the
// quotient of two whole numbers below 2^53 is correctly rounded.
func push(dst *series.Columns, t series.Time, c candle) {
	dst.Time = append(dst.Time, t)
	dst.Open = append(dst.Open, float64(c.open)/tick)
	dst.High = append(dst.High, float64(c.high)/tick)
	dst.Low = append(dst.Low, float64(c.low)/tick)
	dst.Close = append(dst.Close, float64(c.close)/tick)
	dst.Volume = append(dst.Volume, float64(c.volume)/lot)
}
