package heal

import (
	"context"
	"slices"

	"github.com/barkeepdb/barkeep/series"
)

// planCorruption plans to ask about every finding that may be corrected: those
// that lie close together are one question. What is set aside for want of a
// witness is not foretold: it depends on the answers.
func (h *Healer) planCorruption(ctx context.Context, s Series, span series.Span) (*SeriesPlan, int64, error) {
	p := &SeriesPlan{Key: s.Key, grid: s.Grid, Sources: []string{}, Explain: []Step{}, Audits: []Step{}, Windows: []Step{}, Fills: []Step{}}
	p.page = windowMost
	if h.source == nil {
		p.NoAsk = "no source is configured"
	} else if reach, err := h.source.Reach(ctx, s.Key); err != nil {
		p.NoAsk = err.Error()
	} else {
		p.Sources, p.every, p.page = reach.Sources, reach.Every, max(reach.Page, 1)
	}
	page := p.page
	var runs, stretches []series.Run
	if err := h.Inspect(ctx, s.Key, InspectOptions{Span: span}, func(f Finding) error {
		if len(f.Stretches) > 0 {
			p.Steps = append(p.Steps, f)
			stretches = append(stretches, s.Grid.Run(f.Stretches[0].span()))
		} else if f.Action != FlagOnly {
			runs = append(runs, s.Grid.Run(series.Span{From: f.From, To: f.To}))
		}
		return nil
	}); err != nil {
		return nil, 0, err
	}
	expected := s.Bars
	if len(runs) == 0 && len(p.Steps) == 0 {
		return nil, expected, nil
	}
	runs = series.Normalize(runs)
	p.touched = append(slices.Clone(runs), stretches...)
	p.Missing = series.Total(series.Normalize(slices.Clone(p.touched)))
	for i := 0; i < len(runs); {
		w, bars := runs[i], runs[i].Len()
		j := i + 1
		for ; j < len(runs) && int64(runs[j].To-w.From)+2*witnessPad <= page; j++ {
			w.To, bars = runs[j].To, bars+runs[j].Len()
		}
		cost := int64(0)
		if p.NoAsk == "" {
			cost = (w.Len() + 2*witnessPad + page - 1) / page
		}
		p.Windows = append(p.Windows, p.step(w, Step{Bars: bars, Cost: cost, Value: float64(bars)}))
		i = j
	}
	return p, expected, nil
}

// witnessPad is how many sound bars on each side a witness is compared with.
const witnessPad = 12

// correct asks about the findings of one window and acts on what is heard:
//
//   - a source that agrees with the sound bars around and says something else
//     of a bar, which breaks no rule and is what the rule proposed, if it
//     proposed something: the bar is corrected;
//   - a source that says the same: the bar stays, it is true as far as known;
//   - nobody to ask: what cannot be a bar is set aside, the rest stays.
func (r *running) correct(ctx context.Context, s Series, p *SeriesPlan, w Step) error {
	h := r.h
	g := s.Grid
	run := g.Run(w.span())
	var found []Finding
	if err := h.Inspect(ctx, s.Key, InspectOptions{Span: w.span()}, func(f Finding) error {
		if f.Action != FlagOnly && len(f.Stretches) == 0 { // those are asked about as a whole
			found = append(found, f)
		}
		return nil
	}); err != nil || len(found) == 0 {
		return err
	}
	suspect := map[series.Time]*Finding{}
	proposed := map[series.Time]ProposedBar{}
	for i := range found {
		for n := g.SlotAt(found[i].From); n < g.SlotFrom(found[i].To); n++ {
			if t := g.Time(n); suspect[t] == nil || found[i].Severity == Violation {
				suspect[t] = &found[i]
			}
		}
		for _, b := range found[i].Proposed {
			proposed[b.Time] = b
		}
	}
	around := g.Span(series.Run{From: run.From - witnessPad, To: run.To + witnessPad})
	var stored, sound series.Columns
	if err := h.store.Read(ctx, s.Key, around, &stored); err != nil {
		return err
	}
	for i, t := range stored.Time {
		if suspect[t] == nil {
			sound.Append(stored.Bar(i))
		}
	}
	out := Outline{Key: s.Key, From: w.From, To: w.To, States: map[string]int64{}}
	witness, rejected := &answers{}, []string(nil)
	for p.NoAsk == "" {
		witness = &answers{}
		o, err := h.source.Fetch(ctx, s.Key, around, rejected, witness.add)
		r.spent(o.Requests)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			out.Error = err.Error()
		}
		name, why, same, differ := witness.contradicts(s.Grid, &sound, r.pol.Tolerance)
		r.same, r.differ = r.same+same, r.differ+differ
		if why == "" {
			break
		}
		rejected = append(rejected, name)
		out.Rejected = append(out.Rejected, name+": "+why)
	}
	said := map[series.Time]series.Bar{}
	by := map[series.Time]string{}
	for _, a := range witness.list {
		if a.Proxy {
			continue // another venue bounds what is likely; its prices are its own
		}
		for i, t := range a.Bars.Time {
			said[t], by[t] = a.Bars.Bar(i), a.Source
		}
	}
	fixes := map[string]*series.Columns{}
	aside := map[string]*series.Columns{}
	for i, t := range stored.Time {
		f := suspect[t]
		if f == nil {
			continue
		}
		mine := stored.Bar(i)
		theirs, heard := said[t]
		switch want, has := proposed[t]; {
		case heard && whole(mine) && close4(mine, theirs, r.pol.Tolerance):
			out.States["confirmed"]++
		case heard && !theirs.Prov.Forming() && theirs.Check() == nil && whole(theirs) && (!has || near(theirs, want)):
			add(fixes, by[t], theirs)
		case heard:
			out.States["contradictory"]++
		case f.Severity == Violation && (f.Action == AutoCorrect || p.NoAsk != "" || len(rejected) > 0):
			add(aside, f.Rule+": "+f.Evidence, mine)
		default:
			out.States["unproven"]++
		}
	}
	c := r.change
	c.Rule, c.Version, c.Evidence = "corruption", 1, witness.evidence(out.Rejected)
	for source, bars := range fixes {
		n, err := h.store.Correct(ctx, s.Key, bars, source, c)
		if err != nil {
			return err
		}
		out.Written += int64(n)
		out.Sources = append(out.Sources, source)
		out.States["corrected"] += int64(n)
	}
	for reason, bars := range aside {
		if err := h.store.SetAside(ctx, s.Key, bars, reason, c); err != nil {
			return err
		}
		out.States["quarantined"] += int64(bars.Len())
	}
	r.outline(out)
	return nil
}

func add(to map[string]*series.Columns, key string, b series.Bar) {
	if to[key] == nil {
		to[key] = &series.Columns{}
	}
	to[key].Append(b)
}

// whole reports whether the prices of a bar fit each other.
func whole(b series.Bar) bool {
	return b.High >= b.Low && b.Close <= b.High && b.Close >= b.Low && b.Volume >= 0
}

// near reports whether a bar is what a rule proposed, within half a per cent.
func near(b series.Bar, p ProposedBar) bool {
	return close4(series.NewBar(p.Time, p.Open, p.High, p.Low, p.Close, p.Volume), b, 0.005)
}
