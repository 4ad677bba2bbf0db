package heal

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
	page, witnesses := p.page, h.Policy().Witnesses
	var runs, stretches []series.Run
	if err := h.Inspect(ctx, s.Key, InspectOptions{Span: span, barsOnly: true}, func(f Finding) error {
		if len(f.Stretches) > 0 {
			p.Steps = append(p.Steps, f)
			run := s.Grid.Run(f.Stretches[0].span())
			stretches = append(stretches, run)
			if p.NoAsk == "" { // beside the step, and then all of it
				p.asks += int64(witnesses) * (1 + (run.Len()+page-1)/page)
			}
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
//   - sources that agree with the sound bars around, and with each other, say
//     something else of a bar, which is whole: the bar is corrected. Where only one
//     source has it, its word is enough if it is what the rule proposed, or if the
//     bar cannot be true; else it is proposed;
//   - they say the same: the bar stays, it is true as far as known;
//   - they contradict each other: it stays, too;
//   - nobody to ask: what cannot be a bar is set aside, and what leaves a coarser
//     bar that is stored; the rest stays.
//
// Finer bars that are stored are a source like the others.
func (r *running) correct(ctx context.Context, s Series, p *SeriesPlan, w Step) error {
	h := r.h
	g := s.Grid
	run := g.Run(w.span())
	var found []Finding
	if err := h.Inspect(ctx, s.Key, InspectOptions{Span: w.span(), barsOnly: true}, func(f Finding) error {
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
			if t := g.Time(n); suspect[t] == nil || found[i].Severity == Violation || suspect[t].Rule == ruleWick.ID {
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
	first, rejected, err := r.believed(ctx, s, p, around, &sound, nil, &out)
	if err != nil {
		return err
	}
	heard := []*answers{first}
	own, err := h.rebuilt(ctx, s, around, &sound, r.pol.Tolerance)
	switch {
	case err != nil:
		return err
	case len(own.list) > 0 && len(first.list) == 0:
		heard[0] = own
	case len(own.list) > 0:
		heard = append(heard, own)
	}
	fixes := map[string]*series.Columns{}
	aside := map[string]*series.Columns{}
	for i, t := range stored.Time {
		f := suspect[t]
		if f == nil {
			continue
		}
		mine := stored.Bar(i)
		v, err := r.votes(ctx, s, p, around, &sound, &heard, &rejected, mine, &out)
		if err != nil {
			return err
		}
		win := v.winner(r.pol.Witnesses)
		want, has := proposed[t]
		fits := win != nil && !win.stays && win.bar.Check() == nil && whole(win.bar) && (!has || near(win.bar, want) || win.n >= max(2, r.pol.Witnesses))
		switch {
		case win != nil && win.stays:
			out.States["confirmed"]++
		case fits && win.n < r.pol.Witnesses && mayBeTrue(f, mine) && !r.x.Request.Approve:
			out.States["proposed"]++
		case fits:
			add(fixes, win.by, win.bar)
		case len(v) > 0:
			out.States["contradictory"]++
		case f.Severity == Violation && (f.Action == AutoCorrect || p.NoAsk != "" || len(rejected) > 0):
			add(aside, f.Rule+": "+f.Evidence, mine)
		default:
			inside, why, err := h.conserved(ctx, s, mine, r.pol.Tolerance)
			if err != nil {
				return err
			}
			if inside || mayBeTrue(f, mine) {
				out.States["unproven"]++
				continue
			}
			add(aside, f.Rule+": "+why, mine)
		}
	}
	if out.States["proposed"] > 0 {
		out.Error = fmt.Sprintf("%s says otherwise of bars that may be true, and %d sources must: approve it", strings.Join(heard[0].names(), ", "), r.pol.Witnesses)
	}
	c := r.change
	c.Rule, c.Version, c.Evidence = "corruption", 2, evidenceOf(heard, out.Rejected)
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

// believed asks for the bars around what is suspect, of one source after the
// other, until one agrees with those that are not. A source that says nothing of
// them is not believed either. Without any the answers are empty; rejected are
// those that were not believed.
func (r *running) believed(ctx context.Context, s Series, p *SeriesPlan, around series.Span, sound *series.Columns, avoid []string, out *Outline) (got *answers, rejected []string, err error) {
	for p.NoAsk == "" {
		got = &answers{}
		o, err := r.h.source.Fetch(ctx, s.Key, around, append(slices.Clone(avoid), rejected...), got.add)
		r.spent(o.Requests)
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if err != nil && len(avoid) == 0 {
			out.Error = err.Error()
		}
		name, why, same, differ := got.contradicts(s.Grid, sound, r.pol.Tolerance)
		r.same, r.differ = r.same+same, r.differ+differ
		if why == "" {
			// Another venue bounds what is likely; its prices are its own.
			got.list = slices.DeleteFunc(got.list, func(a *Answer) bool { return a.Proxy || !a.knows(sound, r.pol.Tolerance) })
			return got, rejected, nil
		}
		rejected = append(rejected, name)
		out.Rejected = append(out.Rejected, name+": "+why)
	}
	return &answers{}, rejected, nil
}

// knows reports whether an answer has some of the bars that are not in doubt, as
// they are.
func (a *Answer) knows(sound *series.Columns, tolerance float64) bool {
	said, same := byTime(a.Bars), 0
	for i, t := range sound.Time {
		if b, ok := said[t]; ok && close4(sound.Bar(i), b, tolerance) {
			same++
		}
	}
	return same >= min(3, max(1, sound.Len()))
}

// at is what was said of a bar, and by whom.
func (a *answers) at(t series.Time) (series.Bar, string, bool) {
	for _, x := range a.list {
		if i, ok := slices.BinarySearch(x.Bars.Time, t); ok {
			return x.Bars.Bar(i), x.Source, true
		}
	}
	return series.Bar{}, "", false
}

// mayBeTrue reports whether a bar that a rule suspects is one that markets make
// at times: a flash crash looks like a wrong low, and vendors cut both. A price
// of 0 is what is written where none is known.
func mayBeTrue(f *Finding, b series.Bar) bool {
	return f.Rule == ruleDetached.ID || f.Rule == ruleWick.ID && b.Low != 0
}

// option is a value that sources say a bar has.
type option struct {
	bar   series.Bar
	by    string // who said it first
	n     int    // how many did
	stays bool   // it is the stored one
}

type options []*option

// winner is the value that enough sources say, or all that were heard; nil where
// they do not agree.
func (v options) winner(enough int) *option {
	for _, o := range v {
		if o.n >= enough {
			return o
		}
	}
	if len(v) == 1 {
		return v[0]
	}
	return nil
}

// votes asks sources about a bar until enough of them say the same, or none is
// left. heard grows by those that are asked, and rejected by those that are not
// believed.
func (r *running) votes(ctx context.Context, s Series, p *SeriesPlan, around series.Span, sound *series.Columns, heard *[]*answers, rejected *[]string, mine series.Bar, out *Outline) (v options, err error) {
	asked := []string{}
	for i := range witnessMost {
		if i == len(*heard) {
			next, no, err := r.believed(ctx, s, p, around, sound, append(asked, *rejected...), out)
			if err != nil {
				return nil, err
			}
			*rejected = append(*rejected, no...)
			*heard = append(*heard, next)
		}
		a := (*heard)[i]
		if len(a.list) == 0 {
			break // nobody is left
		}
		asked = append(asked, a.names()...)
		b, by, ok := a.at(mine.Time)
		if !ok || b.Prov.Forming() {
			continue
		}
		o := &option{bar: b, by: by, stays: whole(mine) && close4(mine, b, r.pol.Tolerance)}
		if k := slices.IndexFunc(v, func(x *option) bool { return x.stays == o.stays && close4(x.bar, b, r.pol.Tolerance) }); k >= 0 {
			o = v[k]
		} else {
			v = append(v, o)
		}
		if o.n++; o.n >= r.pol.Witnesses {
			break
		}
	}
	return v, nil
}

// evidenceOf is what several sources said.
func evidenceOf(heard []*answers, rejected []string) string {
	all := &answers{}
	for _, a := range heard {
		all.list = append(all.list, a.list...)
	}
	return all.evidence(rejected)
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
