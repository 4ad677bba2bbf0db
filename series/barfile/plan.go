package barfile

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"github.com/barkeepdb/barkeep/series"
)

// bar is a bar on its way from a row to columns.
type bar struct {
	time  series.Time
	value [fieldTrades + 1]float64 // indexed by field, from fieldOpen
	kind  series.Kind
}

// plan says how rows become bars.
type plan struct {
	columns  mapping
	spec     timeSpec
	interval series.Interval
	stampEnd bool
	now      series.Time
	// shift is the power of ten that divides prices; scale divides them where
	// it is no power of ten.
	shift int
	scale float64
	// comma says that the decimal point is written as a comma.
	comma    bool
	selected []selection
	// only is the instrument of the file, where a column names it; lastOnly is
	// how the last row wrote it.
	only     *selection
	lastOnly []byte
	// traded says that the file has real volume, so that a flat bar without
	// any is one that the source made up.
	traded bool
	// room is how many bars the caller asked for, at most.
	room   int
	buffer []byte
}

// selection keeps rows whose column has a value.
type selection struct {
	column int
	value  string
}

func (p *plan) setScale(scale float64) error {
	if scale == 0 || scale == 1 {
		return nil
	}
	if scale < 0 || math.IsNaN(scale) || math.IsInf(scale, 0) {
		return fmt.Errorf("price scale %v: give a number above 0, such as 10000", scale)
	}
	if k, ok := scaleShift(scale); ok {
		p.shift = k
	} else {
		p.scale = scale
	}
	return nil
}

// keeps reports whether a row is among the selected ones.
func (p *plan) keeps(cells [][]byte) bool {
	for _, s := range p.selected {
		if s.column >= len(cells) || string(bytes.TrimSpace(cells[s.column])) != s.value {
			return false
		}
	}
	return true
}

// stranger refuses a row about another instrument than the rest of the file.
func (p *plan) stranger(cells [][]byte) string {
	if p.only == nil || p.only.column >= len(cells) || bytes.Equal(cells[p.only.column], p.lastOnly) {
		return ""
	}
	cell := cells[p.only.column]
	if c := canonical(string(cell)); c != "" && c != p.only.value {
		return fmt.Sprintf("the row is about %.40q and the rows before it about %q: pick one with --select", cell, p.only.value)
	}
	p.lastOnly = append(p.lastOnly[:0], cell...)
	return ""
}

// text turns the cells of a row into b. The reason says why it could not.
func (p *plan) text(cells [][]byte, b *bar) (hasTime bool, reason string) {
	m := &p.columns
	if m[fieldTime] >= len(cells) {
		return false, fmt.Sprintf("the row has %d columns and the time is column %d", len(cells), m[fieldTime])
	}
	var clock []byte
	if c := m[fieldClock]; c >= 0 {
		if c >= len(cells) {
			return false, fmt.Sprintf("the row has %d columns and the clock time is column %d", len(cells), c)
		}
		clock = cells[c]
		if clock == nil {
			clock = []byte{}
		}
	}
	if b.time, reason = p.spec.parse(cells[m[fieldTime]], clock); reason != "" {
		return false, reason
	}
	for f := fieldOpen; f <= fieldClose; f++ {
		if m[f] >= len(cells) {
			return true, fmt.Sprintf("the row has %d columns and %s is column %d", len(cells), f, m[f])
		}
		v, st := p.price(cells[m[f]])
		if st != number {
			return true, refusal(f, cells[m[f]], st)
		}
		b.value[f] = v
	}
	for f := fieldVolume; f <= fieldTrades; f++ {
		b.value[f] = nan
		c := m[f]
		if c < 0 || c >= len(cells) {
			continue
		}
		v, st := p.quantity(cells[c])
		if st == notANumber {
			return true, refusal(f, cells[c], st)
		}
		b.value[f] = v
	}
	if c := m[fieldKind]; c >= 0 && c < len(cells) {
		b.kind = kindOf(cells[c])
	}
	return true, ""
}

func (p *plan) price(cell []byte) (float64, status) {
	v, st := parseFloat(p.point(cell), p.shift)
	if p.scale != 0 {
		v /= p.scale
	}
	return v, st
}

func (p *plan) quantity(cell []byte) (float64, status) { return parseVolume(p.point(cell)) }

// point writes the decimal comma as a point.
func (p *plan) point(cell []byte) []byte {
	if !p.comma {
		return cell
	}
	p.buffer = p.buffer[:0]
	for _, c := range cell {
		switch c {
		case ',':
			p.buffer = append(p.buffer, '.')
		case '.':
		default:
			p.buffer = append(p.buffer, c)
		}
	}
	return p.buffer
}

func refusal(f field, cell []byte, st status) string {
	if st == missing {
		return f.String() + " is empty"
	}
	return fmt.Sprintf("%s %.60q is not a number", f, cell)
}

func kindOf(cell []byte) series.Kind {
	switch string(cell) {
	case "synthetic":
		return series.Synthetic
	case "corrected":
		return series.Corrected
	}
	return series.Observed
}

// add checks b, gives it its label and provenance, and appends it to c.
func (p *plan) add(c *series.Columns, b *bar) (reason string) {
	for f := fieldOpen; f <= fieldClose; f++ {
		if v := b.value[f]; math.IsNaN(v) {
			return f.String() + " is empty"
		} else if math.IsInf(v, 0) {
			return f.String() + " is infinite"
		}
	}
	volume := b.value[fieldVolume]
	if math.IsInf(volume, 0) {
		return "volume is infinite"
	}
	if math.IsNaN(volume) {
		volume = 0
	}
	if p.stampEnd {
		b.time = startOf(b.time, p.interval)
	}
	if reason = inRange(b.time); reason != "" {
		return reason
	}
	prov := series.NewProv(b.kind, 0)
	if volume > 0 {
		p.traded = true
	} else if p.traded && volume == 0 && !math.IsNaN(b.value[fieldVolume]) &&
		b.value[fieldOpen] == b.value[fieldClose] && b.value[fieldHigh] == b.value[fieldLow] && b.value[fieldOpen] == b.value[fieldLow] {
		prov |= series.ProvNoTrade
	}
	if p.now != 0 && p.interval.Valid() && endOf(b.time, p.interval) > p.now {
		prov |= series.ProvForming
	}
	n := len(c.Time)
	if n == growAt && cap(c.Open) < p.room {
		p.grow(c)
	}
	c.Time = append(c.Time, b.time)
	c.Open = append(c.Open, b.value[fieldOpen])
	c.High = append(c.High, b.value[fieldHigh])
	c.Low = append(c.Low, b.value[fieldLow])
	c.Close = append(c.Close, b.value[fieldClose])
	c.Volume = append(c.Volume, volume)
	if p.columns.has(fieldQuoteVolume) {
		c.QuoteVolume = append(c.QuoteVolume, b.value[fieldQuoteVolume])
	}
	if p.columns.has(fieldTrades) {
		c.Trades = append(c.Trades, b.value[fieldTrades])
	}
	if prov != 0 && len(c.Prov) < n {
		c.Prov = append(c.Prov, make([]series.Prov, n-len(c.Prov))...)
	}
	if prov != 0 || len(c.Prov) == n && n > 0 {
		c.Prov = append(c.Prov, prov)
	}
	return ""
}

// growAt is how many bars suggest that there will be as many as there is room
// for.
const growAt = 4096

func (p *plan) grow(c *series.Columns) {
	n := p.room - len(c.Time)
	c.Time = slices.Grow(c.Time, n)
	for _, col := range [...]*[]float64{&c.Open, &c.High, &c.Low, &c.Close, &c.Volume} {
		*col = slices.Grow(*col, n)
	}
}

// endOf is where the bar that opens at t ends.
func endOf(t series.Time, i series.Interval) series.Time {
	if w := i.Width(); w > 0 {
		return t + w
	}
	g := series.Grid{Interval: i}
	return g.Time(g.SlotAt(t) + 1)
}

// startOf is where the bar that ends at t opens.
func startOf(t series.Time, i series.Interval) series.Time {
	if w := i.Width(); w > 0 {
		return t - w
	}
	g := series.Grid{Interval: i}
	return g.Time(g.SlotAt(t - 1))
}
