package heal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// Closure is a session of a calendar in which nothing traded in any series: the
// market was most likely shut, and the calendar does not know it.
type Closure struct {
	Calendar string      `json:"calendar"`
	Date     string      `json:"date"` // of the session
	From     series.Time `json:"from"`
	To       series.Time `json:"to"`
	// Series are those that have bars before and behind the session and none in
	// it; no series of the calendar has one.
	Series []string `json:"series"`
	// Asked is for how many of them sources were asked, and had nothing.
	Asked    int      `json:"asked"`
	Slots    int64    `json:"slots"`
	Evidence []string `json:"evidence"` // what is recorded of the slots, and how often
	// Approved is the repair that marks the slots as closed; empty is proposed.
	Approved string `json:"approved,omitempty"`
}

// name identifies a closure.
func (x *Closure) name() string { return x.Calendar + "/" + x.Date }

const (
	kindClosure = "heal/closure"
	ruleClosure = "closure"
	// ClosureType is the type of the repairs that mark a session as closed.
	ClosureType Type = "closure"
	// closureSymbols is how many symbols must be without a bar: one may be halted.
	closureSymbols = 2
)

// ErrNoClosure is the answer to a session that is not proposed as a closure.
var ErrNoClosure = errors.New("there is no such proposal")

// Closures lists the sessions that open in span in which no series of their
// calendar has a bar though others before and behind it do, of at least two
// symbols, and of which a source that was asked had nothing; those that were
// approved, too. The oldest come first.
func (h *Healer) Closures(ctx context.Context, span series.Span) ([]Closure, error) {
	all, err := h.store.Series(ctx)
	if err != nil {
		return nil, err
	}
	approved, err := h.approved(ctx)
	if err != nil {
		return nil, err
	}
	groups := map[string]*closureGroup{}
	for _, s := range all {
		if s.Bars == 0 || s.Interval.Width() == 0 || s.Interval.Width() > series.Day {
			continue
		}
		within := span.Intersect(series.Span{From: s.First, To: s.Last + 1})
		if within.Empty() {
			continue
		}
		scan, err := h.store.Scan(ctx, s.Key, within)
		if err != nil {
			return nil, err
		}
		if scan.Calendar == nil || scan.Calendar.AlwaysOpen() {
			continue
		}
		g := groups[scan.Calendar.Name()]
		if g == nil {
			g = &closureGroup{cal: scan.Calendar}
			groups[scan.Calendar.Name()] = g
		}
		g.list = append(g.list, s)
		g.scans = append(g.scans, newPresence(scan))
	}
	out := []Closure{}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		if out, err = h.closuresOf(ctx, groups[name], span, approved, out); err != nil {
			return nil, err
		}
	}
	for _, x := range approved { // slots that are closed are no holes any more
		if x.From >= span.From && x.From < span.To {
			out = append(out, *x)
		}
	}
	slices.SortFunc(out, func(a, b Closure) int { return strings.Compare(a.Date+a.Calendar, b.Date+b.Calendar) })
	return out, nil
}

// closureGroup is the series of one calendar.
type closureGroup struct {
	cal   *series.Calendar
	list  []Series
	scans []*presence
}

// session is the span of a session in the slots of a series.
func (s *Series) session(x series.Session) series.Span {
	if s.Interval.Intraday() {
		return s.Grid.Span(series.Run{From: s.Grid.SlotAt(x.Open), To: s.Grid.SlotFrom(x.Close)})
	}
	return series.Span{From: x.Date, To: x.Date + series.Day}
}

func (h *Healer) closuresOf(ctx context.Context, g *closureGroup, span series.Span, approved map[string]*Closure, out []Closure) ([]Closure, error) {
next:
	for x := range g.cal.Sessions(span) {
		c := Closure{Calendar: g.cal.Name(), Date: x.Date.Std().Format(time.DateOnly), From: x.Open, To: x.Close, Series: []string{}}
		if approved[c.name()] != nil {
			continue
		}
		var those []int
		for i := range g.list {
			s := &g.list[i]
			in := s.session(x)
			if s.First >= in.From || s.Last < in.To {
				continue // it does not tell
			}
			run := s.Grid.Run(in)
			if g.scans[i].absent(series.Run{From: run.From, To: run.From + 1}) == 0 {
				continue next // its first slot has a bar, or is none
			}
			those = append(those, i)
		}
		symbols, reasons := map[string]bool{}, map[string]int{}
		for _, i := range those {
			s := &g.list[i]
			cov, err := h.store.Coverage(ctx, s.Key, s.session(x))
			if err != nil {
				return nil, err
			}
			if cov.States[series.StateObserved]+cov.States[series.StateCorrected]+cov.States[series.StateQuarantined] > 0 {
				continue next
			}
			scan, err := h.store.Scan(ctx, s.Key, s.session(x))
			if err != nil {
				return nil, err
			}
			asked := false
			for _, o := range scan.Holes {
				c.Slots += o.Len()
				asked = asked || o.Note.Attempts > 0 && (o.State == series.StateUnavailable || o.State == series.StateNoTrade || o.State == series.StateSynthetic)
				reasons[o.State.String()+": "+o.Note.Reason]++
			}
			if asked {
				c.Asked++
			}
			symbols[s.Symbol] = true
			c.Series = append(c.Series, s.String())
		}
		if len(symbols) < closureSymbols || c.Asked == 0 {
			continue
		}
		for _, why := range slices.Sorted(maps.Keys(reasons)) {
			c.Evidence = append(c.Evidence, fmt.Sprintf("%s (%d)", strings.TrimSuffix(why, ": "), reasons[why]))
		}
		out = append(out, c)
	}
	return out, nil
}

// approved are the closures that a person approved.
func (h *Healer) approved(ctx context.Context) (map[string]*Closure, error) {
	out := map[string]*Closure{}
	for r, err := range h.store.Records(ctx, kindClosure, "") {
		if err != nil {
			return nil, err
		}
		x := &Closure{}
		if err := json.Unmarshal(r.Value, x); err != nil {
			return nil, fmt.Errorf("the record of closure %s: %w", r.Name, err)
		}
		out[r.Name] = x
	}
	return out, nil
}

// Close marks the slots of a proposed session as closed, in every series of its
// calendar, also in those that come later. It is a repair, which [Healer.Undo]
// takes back.
func (h *Healer) Close(ctx context.Context, calendar, date, actor string) (Repair, error) {
	day, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return Repair{}, fmt.Errorf("%w: date %q is not like 2023-09-01", ErrNoClosure, date)
	}
	if err := h.load(ctx); err != nil {
		return Repair{}, err
	}
	at := series.TimeOf(day)
	list, err := h.Closures(ctx, series.Span{From: at - 2*series.Day, To: at + 2*series.Day})
	if err != nil {
		return Repair{}, err
	}
	i := slices.IndexFunc(list, func(x Closure) bool { return x.Calendar == calendar && x.Date == date })
	switch {
	case i < 0:
		return Repair{}, fmt.Errorf("%w: %s %s", ErrNoClosure, calendar, date)
	case list[i].Approved != "":
		return h.Repair(ctx, list[i].Approved)
	}
	c := list[i]
	now := h.now()
	x := &Repair{
		Request: Request{Symbol: c.name(), Type: ClosureType, From: c.From, To: c.To, Actor: actor},
		Status:  Running, Asked: now, Started: now, Plan: &Plan{Series: []SeriesPlan{}}, Outcomes: []Outline{}, States: map[string]int64{},
	}
	h.mu.Lock()
	h.last = max(h.last+1, now)
	x.ID = fmt.Sprintf("r%012x", int64(h.last))
	h.mu.Unlock()
	c.Approved = x.ID
	v, err := json.Marshal(&c)
	if err != nil {
		return Repair{}, err
	}
	// First the record: what it says is carried out again by whatever plans next.
	if err := h.store.PutRecords(ctx, []Record{{Kind: kindClosure, Name: c.name(), Value: v}}); err != nil {
		return Repair{}, err
	}
	all, err := h.store.Series(ctx)
	if err != nil {
		return Repair{}, err
	}
	for _, s := range all {
		if !slices.Contains(c.Series, s.String()) {
			continue
		}
		if err := h.closeIn(ctx, s, &c, x, now); err != nil {
			x.Status, x.Error = Failed, err.Error()
			break
		}
	}
	if x.Ended = h.now(); x.Status == Running {
		x.Status = Done
	}
	h.mu.Lock()
	h.keep(x)
	out := x.clone()
	h.mu.Unlock()
	h.observe(out)
	return out, h.save(context.WithoutCancel(ctx), &out)
}

// closeIn marks the slots of a closure in one series.
func (h *Healer) closeIn(ctx context.Context, s Series, c *Closure, x *Repair, now series.Time) error {
	day, err := time.Parse(time.DateOnly, c.Date)
	if err != nil {
		return err
	}
	span := s.session(series.Session{Date: series.TimeOf(day), Open: c.From, Close: c.To})
	scan, err := h.store.Scan(ctx, s.Key, span)
	if err != nil {
		return err
	}
	holes := scan.Holes
	for i := range holes {
		o := &holes[i]
		o.State, o.Note.Fill, o.Note.Next, o.Note.Last = series.StateClosed, "", 0, now
		o.Note.Reason = fmt.Sprintf("%s had no session on %s, as %s approved", c.Calendar, c.Date, x.Request.Actor)
	}
	if len(holes) == 0 {
		return nil
	}
	if err := h.store.Explain(ctx, s.Key, holes, Change{Actor: x.Request.Actor, Repair: x.ID, Rule: ruleClosure, Version: 1, Evidence: strings.Join(c.Evidence, "; ")}); err != nil {
		return err
	}
	n := total(holes)
	x.States["closed"] += n
	x.Outcomes = append(x.Outcomes, Outline{Key: s.Key, From: span.From, To: span.To, States: map[string]int64{"closed": n}})
	return nil
}

// closed finds the parts of holes that lie in sessions that were approved as
// closed: a series that came later is not asked for them.
func (h *Healer) closed(ctx context.Context, s Series, scan *Scan, holes []series.Absence) ([]series.Absence, error) {
	if scan.Calendar == nil || scan.Calendar.AlwaysOpen() || len(holes) == 0 || s.Interval.Width() == 0 || s.Interval.Width() > series.Day {
		return nil, nil
	}
	approved, err := h.approved(ctx)
	if err != nil || len(approved) == 0 {
		return nil, err
	}
	var runs []series.Run
	why := map[series.Slot]string{}
	for _, c := range approved {
		if c.Calendar != scan.Calendar.Name() {
			continue
		}
		day, err := time.Parse(time.DateOnly, c.Date)
		if err != nil {
			return nil, err
		}
		x := series.Session{Date: series.TimeOf(day), Open: c.From, Close: c.To}
		r := s.Grid.Run(s.session(x))
		runs = append(runs, r)
		why[r.From] = fmt.Sprintf("%s had no session on %s, as was approved", c.Calendar, c.Date)
	}
	out := withinAll(holes, series.Normalize(runs))
	for i := range out {
		out[i].State, out[i].Note.Fill = series.StateClosed, ""
		for _, r := range runs {
			if r.Contains(out[i].From) {
				out[i].Note.Reason = why[r.From]
			}
		}
	}
	return out, nil
}

// reopen forgets the closure that a repair marked.
func (h *Healer) reopen(ctx context.Context, x *Repair) error {
	if x.Request.Type != ClosureType {
		return nil
	}
	return h.store.PutRecords(ctx, []Record{{Kind: kindClosure, Name: x.Request.Symbol}})
}
