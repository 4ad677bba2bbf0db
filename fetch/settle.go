package fetch

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// Settled is what one answer says, after the reading rule.
type Settled struct {
	// Bars are in ascending order, one for each slot, inside the asked span.
	// Their source is 0, or of [Row.Origin]; forming bars and bars without a trade are marked.
	Bars series.Columns
	// Spoken is the set of times for which the answer speaks: there it gave a
	// bar, or said that there is none. What was asked and is not spoken for has
	// to be asked elsewhere.
	Spoken []series.Span
	// Empty is the part of Spoken without a bar where the vendor has bars on
	// both sides or says itself that nothing traded: evidence of no trade.
	Empty []series.Span
	// Silent is the part of Spoken without a bar where the answer ends: there
	// may be nothing, or the answer was cut. It wants a second answer.
	Silent []series.Span

	Refused   []Refusal
	Conflicts []Conflict

	Outside    int // rows dropped because they lie outside of the question
	Duplicates int // rows dropped because they repeat another one
	Blank      int // rows dropped because they hold zeros only or an invented price

	ended series.Slot // the first slot that may still get a bar
}

// Conflict is two different rows of one slot in one answer, or in the same
// slot of two answers of one vendor.
type Conflict struct {
	Kept  Row // the final one, or else the one that came first
	Other Row
}

// Settle applies the reading rule to the page that answered q at now, the
// server's time; 0 stands for unknown, and then only what the vendor marks as
// final is final. Pages of a paged vendor are best joined before. The rows of p
// are sorted in place.
//
//   - A time that fits the question only in another unit, lies in the future or
//     between two slots is refused, never rounded.
//   - Where bars carry a session date ([Info.Daily]), any moment of a day names
//     it, of [Page.Zone], and the bar is given the day's start in UTC.
//   - Rows outside of q.Span are dropped, and so are repetitions. Of two
//     different rows of one slot one is kept and both are reported.
//   - Prices must be finite, low the lowest and high the highest, the volume not
//     negative. A row that breaks this is refused, and the answer does not speak
//     for its slot.
//   - A bar is final if its vendor marked it and it has ended, or if
//     [Info.Grace] has passed since its end.
//   - A flat bar without volume says that nothing traded, unless the vendor
//     invents its price: then it is dropped and its slot is empty.
//   - What the answer speaks for follows from what was asked and the first and
//     last row, never from the number of rows.
func Settle(info *Info, q Query, p Page, now series.Time) *Settled {
	s := &settling{info: info, q: q, now: now, grid: info.grid(q.Interval)}
	s.asked = s.grid.run(q.Span)
	s.out.ended = math.MinInt64
	if now != 0 {
		s.out.ended = s.grid.slot(now - series.Time(info.Grace/time.Millisecond))
	}
	for _, r := range p.Refused {
		s.refuse(r)
	}
	if s.grid.dates && p.Zone != nil {
		for i := range p.Rows {
			if t := p.Rows[i].Time; t >= series.MinTime && t <= series.MaxTime {
				p.Rows[i].Time = Dated(t, p.Zone)
			}
		}
	}
	order(p.Rows)
	s.rows(p.Rows)
	s.speak(p)
	return &s.out
}

// grid is where the bars of a provider open.
type grid struct {
	series.Grid
	shift series.Time
	dates bool // bars carry a session date: any moment of it names the slot
}

func (i *Info) grid(interval series.Interval) grid {
	g := grid{Grid: series.Grid{Interval: interval}}
	if !interval.Intraday() {
		g.dates = i.Daily < 0
		g.shift = max(i.Daily, 0)
	}
	return g
}

func (g grid) slot(t series.Time) series.Slot { return g.SlotAt(t - g.shift) }
func (g grid) time(n series.Slot) series.Time { return g.Time(n) + g.shift }
func (g grid) on(t series.Time) bool          { return g.dates || g.On(t-g.shift) }

func (g grid) run(s series.Span) series.Run {
	return g.Run(series.Span{From: s.From - g.shift, To: s.To - g.shift})
}

func (g grid) spans(runs []series.Run) []series.Span {
	out := make([]series.Span, 0, len(runs))
	for _, r := range runs {
		out = append(out, series.Span{From: g.time(r.From), To: g.time(r.To)})
	}
	return out
}

// order sorts rows by time; those of one time stay in the vendor's order.
func order(rows []Row) {
	byTime := func(a, b Row) int { return cmpTime(a.Time, b.Time) }
	if slices.IsSortedFunc(rows, byTime) {
		return
	}
	for i := 1; i < len(rows); i++ {
		if rows[i].Time >= rows[i-1].Time {
			slices.SortStableFunc(rows, byTime)
			return
		}
	}
	slices.Reverse(rows)
}

func cmpTime(a, b series.Time) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// settling is the state of one call of Settle.
type settling struct {
	out   Settled
	info  *Info
	q     Query
	now   series.Time
	grid  grid
	asked series.Run

	held  []series.Run // slots with a bar
	empty []series.Run // slots that the vendor itself calls empty
	blank []series.Run // slots of which the row says nothing
	bad   []series.Run // slots of refused rows
	lost  bool         // a row was refused and nobody knows of which slot
}

// rows takes over the sorted rows.
func (s *settling) rows(rows []Row) {
	s.out.Bars = columns(len(rows))
	for i := 0; i < len(rows); {
		r := rows[i]
		i++
		if reason := s.misplaced(r.Time); reason != "" {
			s.refuse(refusal(r, reason))
			continue
		}
		if !s.q.Span.Contains(r.Time) {
			s.out.Outside++
			continue
		}
		slot := s.grid.slot(r.Time)
		r = s.dated(r, slot)
		for ; i < len(rows) && s.q.Span.Contains(rows[i].Time) && s.grid.on(rows[i].Time) && s.grid.slot(rows[i].Time) == slot; i++ {
			r = s.either(r, s.dated(rows[i], slot))
		}
		s.row(slot, r)
	}
}

// dated gives the bar of a session its date, whatever moment of it the vendor
// names.
func (s *settling) dated(r Row, slot series.Slot) Row {
	if s.grid.dates {
		r.Time = s.grid.time(slot)
	}
	return r
}

// either keeps one of two rows of one slot.
func (s *settling) either(a, b Row) Row {
	if sameBar(a, b) {
		s.out.Duplicates++
		if b.Final == FinalYes {
			a.Final = FinalYes
		}
		return a
	}
	if b.Final == FinalYes && a.Final != FinalYes || b.Final == FinalUnsaid && a.Final == FinalNo {
		a, b = b, a
	}
	s.out.Conflicts = append(s.out.Conflicts, Conflict{Kept: a, Other: b})
	return a
}

// sameBar reports whether two rows say the same of a slot. The volume-weighted
// price is left out: it is not kept.
func sameBar(a, b Row) bool {
	same := func(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) }
	return a.Time == b.Time && same(a.Open, b.Open) && same(a.High, b.High) && same(a.Low, b.Low) && same(a.Close, b.Close) &&
		same(a.Volume, b.Volume) && same(a.QuoteVolume, b.QuoteVolume) && same(a.Trades, b.Trades)
}

// row takes over the one row of a slot inside the question.
func (s *settling) row(slot series.Slot, r Row) {
	one := series.Run{From: slot, To: slot + 1}
	if s.info.Volume == VolumeNone && math.IsNaN(r.Volume) {
		r.Volume = 0
	}
	if reason := invalid(r); reason != "" {
		s.refuse(refusal(r, reason))
		return
	}
	forming := s.forming(slot, r.Final)
	still := r.Volume == 0 && s.info.Volume != VolumeNone && !(r.Trades > 0)
	switch {
	case r.High == 0 && r.Low == 0 && r.Volume == 0: // and open and close between them
		s.out.Blank++
		s.blank = series.Join(s.blank, one)
		return
	case still && s.info.Empty == EmptyInvented:
		s.out.Blank++
		if !forming {
			s.empty = series.Join(s.empty, one)
		}
		return
	}
	prov := series.NewProv(series.Observed, r.origin)
	if forming {
		prov |= series.ProvForming
	}
	if still && r.Open == r.Close && r.High == r.Low && r.Open == r.High {
		prov |= series.ProvNoTrade
	}
	s.out.Bars.Append(series.Bar{
		Time: r.Time, Open: r.Open, High: r.High, Low: r.Low, Close: r.Close, Volume: r.Volume,
		QuoteVolume: r.QuoteVolume, Trades: r.Trades, Prov: prov,
	})
	s.held = series.Join(s.held, one)
}

// clockError is by how much our idea of the server's time may be wrong: a Date
// header has seconds only.
const clockError = 2 * series.Second

// forming reports whether the bar of a slot may still change.
func (s *settling) forming(slot series.Slot, f Finality) bool {
	end := s.grid.time(slot + 1)
	switch f {
	case FinalNo:
		return true
	case FinalYes:
		return s.now != 0 && end > s.now+clockError
	}
	return s.now == 0 || end+series.Time(s.info.Grace/time.Millisecond) > s.now
}

// misplaced returns why no bar of the question can open at t, or "". A time
// that is merely outside of the question is not misplaced.
func (s *settling) misplaced(t series.Time) string {
	if !s.q.Span.Contains(t) {
		if unit := s.unit(t); unit != "" {
			return fmt.Sprintf("the time %d is in %s: milliseconds are wanted", int64(t), unit)
		}
		if t < series.MinTime || t > series.MaxTime {
			return fmt.Sprintf("the time %d is out of range", int64(t))
		}
	}
	// One slot ahead of the server's clock is a clock that differs, not a lie.
	if s.now != 0 && t > s.now && s.grid.slot(t) > s.grid.slot(s.now)+1 {
		return "the bar opens in the future"
	}
	if !s.grid.on(t) {
		return fmt.Sprintf("%s is not on the grid of %s", t, s.q.Interval)
	}
	return ""
}

// unit names the unit in which t, which lies outside of the question, would be
// near it.
func (s *settling) unit(t series.Time) string {
	const margin = 366 * series.Day
	near := series.Span{From: s.q.Span.From - margin, To: s.q.Span.To + margin}
	switch {
	case near.Contains(t):
	case t > 1e8 && t < 1e11 && near.Contains(t*1000):
		return "seconds"
	case near.Contains(t / 1000):
		return "microseconds"
	case near.Contains(t / 1e6):
		return "nanoseconds"
	}
	return ""
}

// invalid returns what is wrong with the values of r, or "".
func invalid(r Row) string {
	for _, f := range [...]struct {
		name string
		v    float64
	}{{"open", r.Open}, {"high", r.High}, {"low", r.Low}, {"close", r.Close}, {"volume", r.Volume}} {
		if math.IsNaN(f.v) || math.IsInf(f.v, 0) {
			return fmt.Sprintf("%s is %v: a finite number is needed", f.name, f.v)
		}
	}
	switch {
	case r.Volume < 0:
		return "volume is negative"
	case r.QuoteVolume < 0 || math.IsInf(r.QuoteVolume, 0):
		return "quote volume is not a number of at least 0"
	case r.Trades < 0 || math.IsInf(r.Trades, 0):
		return "number of trades is not a number of at least 0"
	case r.High < r.Low:
		return "high is below low"
	case r.High < r.Open:
		return "high is below open"
	case r.High < r.Close:
		return "high is below close"
	case r.Low > r.Open:
		return "low is above open"
	case r.Low > r.Close:
		return "low is above close"
	}
	return ""
}

// refuse keeps a refusal. The answer speaks neither for the slot of the row nor,
// if the time is between two slots, for the one after it; if the time is of no
// use, it speaks for nothing but its bars.
func (s *settling) refuse(r Refusal) {
	s.out.Refused = append(s.out.Refused, r)
	if r.Time == 0 {
		s.lost = true
		return
	}
	if !s.q.Span.Contains(r.Time) {
		if s.unit(r.Time) != "" || r.Time < series.MinTime || r.Time > series.MaxTime {
			s.lost = true
		}
		return
	}
	one := series.Run{From: s.grid.slot(r.Time), To: s.grid.slot(r.Time) + 1}
	if !s.grid.on(r.Time) {
		one.To++
	}
	s.bad = append(s.bad, one)
}

// refusal puts a row in words.
func refusal(r Row, reason string) Refusal {
	raw := strconv.AppendInt(nil, int64(r.Time), 10)
	for _, v := range [...]float64{r.Open, r.High, r.Low, r.Close, r.Volume} {
		raw = strconv.AppendFloat(append(raw, ','), v, 'g', -1, 64)
	}
	return Refusal{Time: r.Time, Reason: reason, Raw: string(raw)}
}

// speak works out for which slots the answer speaks.
func (s *settling) speak(p Page) {
	s.bad = series.Normalize(s.bad)
	// A slot with a bar beside a refused row is in doubt no more than others.
	known := series.Union(nil, s.held, s.empty)
	bad := series.Subtract(nil, s.bad, known)
	if s.lost {
		s.out.Spoken = s.grid.spans(known)
		s.out.Empty = s.grid.spans(s.empty)
		return
	}

	asked := s.asked
	if over := p.Spoken; !over.Empty() {
		asked = asked.Intersect(s.grid.run(over))
	}
	within := s.known(p, known, bad, asked)
	spoken := series.Subtract(nil, within, bad)
	absent := series.Subtract(nil, spoken, known)
	var inner []series.Run // between the first and the last bar
	if n := len(known); n > 0 {
		inner = []series.Run{{From: known[0].From, To: known[n-1].To}}
	}
	if s.info.Empty == EmptySilent {
		inner = nil
	}
	doubt := series.Union(nil, series.Subtract(nil, absent, inner), series.Intersect(nil, absent, s.blank))
	s.out.Spoken = s.grid.spans(series.Union(nil, spoken, known))
	s.out.Silent = s.grid.spans(doubt)
	s.out.Empty = s.grid.spans(series.Union(nil, series.Subtract(nil, absent, doubt), s.empty))
}

// known returns the slots that lie in the reach of the answer.
func (s *settling) known(p Page, known, bad []series.Run, asked series.Run) []series.Run {
	// What has not ended is not absent yet.
	ended := s.out.ended
	_, bounded := s.info.Horizon[s.q.Interval]
	clamps := (s.info.EndAnchored || bounded) && !p.Whole
	located := series.Union(nil, known, bad)
	located = series.Union(nil, located, s.blank)
	if len(located) == 0 {
		if clamps || p.Next != "" || s.out.Outside > 0 || len(s.out.Refused) > 0 {
			return nil // it speaks of something else
		}
		return nonEmpty(series.Run{From: asked.From, To: min(asked.To, ended)})
	}
	first, last := located[0].From, located[len(located)-1].To
	if !clamps && (p.Next == "" || !s.info.Descending) {
		first = min(first, asked.From)
	}
	if p.Next == "" || s.info.Descending {
		last = max(last, min(asked.To, ended))
	}
	return nonEmpty(series.Run{From: first, To: last}.Intersect(asked))
}

func nonEmpty(r series.Run) []series.Run {
	if r.Empty() {
		return nil
	}
	return []series.Run{r}
}

// columns returns columns with room for n bars.
func columns(n int) series.Columns {
	room := func() []float64 { return make([]float64, 0, n) }
	return series.Columns{
		Time: make([]series.Time, 0, n), Prov: make([]series.Prov, 0, n),
		Open: room(), High: room(), Low: room(), Close: room(), Volume: room(),
	}
}
