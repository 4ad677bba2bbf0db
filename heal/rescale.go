package heal

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/barkeepdb/barkeep/series"
)

// side is what a witness says of a step: nothing, that both sides are true, or
// which of them is wrong.
type side int

const (
	unheard side = iota
	neither
	wrongBefore
	wrongAfter
	otherwise // it agrees with no reading
)

// rescale corrects the stretch of bars on the wrong side of a step. Sources are
// asked about the bars beside the step until enough of them say the same, and
// those then about the whole stretch. A bar gets what the first of them says,
// where that is the stored bar in the other unit, to the digits that both have,
// and the others say it too. What fewer sources say is proposed and not done,
// unless a person approved it.
func (r *running) rescale(ctx context.Context, s Series, p *SeriesPlan, f *Finding) error {
	out := Outline{Key: s.Key, From: f.From, To: f.To, States: map[string]int64{}}
	defer func() { r.outline(out) }()
	before, after, err := r.beside(ctx, s, f)
	if err != nil || before.Len() == 0 || after.Len() == 0 {
		return err
	}
	votes := map[side][]string{}
	var asked []string
	for p.NoAsk == "" && len(asked) < witnessMost {
		name, says, err := r.vote(ctx, s, f, before, after, asked)
		if err != nil {
			return err
		}
		if name == "" {
			break // nobody is left
		}
		asked = append(asked, name)
		votes[says] = append(votes[says], name)
		switch says {
		case otherwise:
			out.Rejected = append(out.Rejected, name+": its bars are on neither level")
		case unheard:
			continue
		}
		if len(votes[says]) >= r.pol.Witnesses && says != otherwise {
			break
		}
	}
	win, most := unheard, 0
	for _, v := range [...]side{neither, wrongBefore, wrongAfter} {
		if n := len(votes[v]); n > most {
			win, most = v, n
		} else if n == most {
			win = unheard // as many say one thing as another
		}
	}
	k := slices.IndexFunc(f.Stretches, func(x Stretch) bool {
		return win == wrongBefore && x.To == f.From || win == wrongAfter && x.From == f.From
	})
	switch {
	case win == neither:
		out.States["confirmed"]++
		return nil
	case k < 0 && len(asked) > len(votes[unheard]):
		out.States["contradictory"]++
		return nil
	case k < 0:
		out.States["unproven"]++
		return nil
	}
	x := f.Stretches[k]
	out.From, out.To = x.From, x.To
	if why := r.beyond(s, x); why != "" {
		out.Error = why
		out.States["unproven"]++
		return nil
	}
	others := len(votes[neither]) + len(votes[wrongBefore]) + len(votes[wrongAfter]) - most
	enough := most >= r.pol.Witnesses || r.x.Request.Approve && others == 0
	return r.rewrite(ctx, s, p, f, x, votes[win], enough, &out)
}

// beside reads the bars on both sides of a step, at most up to the next step.
func (r *running) beside(ctx context.Context, s Series, f *Finding) (before, after *series.Columns, err error) {
	before, after = &series.Columns{}, &series.Columns{}
	at := s.Grid.SlotAt(f.From)
	span := s.Grid.Span(series.Run{From: at - 20*witnessPad, To: at})
	if err := r.h.store.Read(ctx, s.Key, span.Intersect(f.near), before); err != nil {
		return nil, nil, err
	}
	span = s.Grid.Span(series.Run{From: at, To: at + 20*witnessPad})
	if err := r.h.store.Read(ctx, s.Key, span.Intersect(f.near), after); err != nil {
		return nil, nil, err
	}
	b, a := &series.Columns{}, &series.Columns{}
	appendBars(b, before, max(0, before.Len()-witnessPad), before.Len())
	appendBars(a, after, 0, min(witnessPad, after.Len()))
	return b, a, nil
}

// vote asks one source more about the bars beside a step. The name is empty
// where nobody is left.
func (r *running) vote(ctx context.Context, s Series, f *Finding, before, after *series.Columns, asked []string) (string, side, error) {
	span := series.Span{From: before.Time[0], To: s.Grid.Time(s.Grid.SlotAt(after.Time[after.Len()-1]) + 1)}
	got := &answers{}
	o, err := r.h.source.Fetch(ctx, s.Key, span, asked, got.add)
	r.spent(o.Requests)
	if ctx.Err() != nil {
		return "", unheard, ctx.Err()
	}
	if len(got.list) == 0 {
		return "", unheard, nil //nolint:nilerr // a source that does not answer says nothing
	}
	_ = err // part of an answer counts
	a := got.list[0]
	if a.Proxy {
		return a.Source, unheard, nil
	}
	// A side is true, or it is another one in the unit of the other.
	judge := func(c *series.Columns, factor float64) side {
		said := byTime(a.Bars)
		same, scaled, heard := 0, 0, 0
		for i, t := range c.Time {
			b, ok := said[t]
			if !ok || b.Prov.Forming() {
				continue
			}
			heard++
			is, was := samePrices(c.Bar(i), b, factor, r.pol.Tolerance), samePrices(c.Bar(i), b, 1, r.pol.Tolerance)
			switch {
			case is && !was:
				scaled++
			case was && !is:
				same++
			}
		}
		switch {
		case heard == 0:
			return unheard
		case 4*same >= 3*heard:
			return neither
		case 4*scaled >= 3*heard:
			return wrongAfter
		}
		return otherwise
	}
	switch b, x := judge(before, f.step.factor), judge(after, 1/f.step.factor); {
	case b == unheard || x == unheard:
		return a.Source, unheard, nil
	case b == neither && x == neither:
		return a.Source, neither, nil
	case b == neither && x == wrongAfter:
		return a.Source, wrongAfter, nil
	case b == wrongAfter && x == neither:
		return a.Source, wrongBefore, nil
	}
	return a.Source, otherwise, nil
}

// beyond says why a stretch is not corrected in this repair, or nothing.
func (r *running) beyond(s Series, x Stretch) string {
	q := r.x.Request
	if q.From != 0 && x.From < q.From || q.To != 0 && x.To > q.To {
		return fmt.Sprintf("the stretch from %v to %v reaches beyond what was asked for", x.From, x.To)
	}
	n := s.Grid.Run(x.span()).Len()
	if r.pol.MaxBars > 0 && n > r.pol.MaxBars {
		return fmt.Sprintf("the stretch is of %d bars, and one run may change %d: raise max_bars", n, r.pol.MaxBars)
	}
	if most := max(int64(r.pol.MaxShare*float64(s.Bars)), r.pol.ShareFloor); r.pol.MaxShare > 0 && min(n, s.Bars) > most {
		return fmt.Sprintf("the stretch is of %d bars, and one run may change %d of the series: raise max_share", n, most)
	}
	return ""
}

// rewrite corrects the bars of a stretch that the witnesses confirm, one by one.
func (r *running) rewrite(ctx context.Context, s Series, p *SeriesPlan, f *Finding, x Stretch, witnesses []string, enough bool, out *Outline) error {
	var stored series.Columns
	if err := r.h.store.Read(ctx, s.Key, x.span(), &stored); err != nil {
		return err
	}
	said := make([]map[series.Time]series.Bar, len(witnesses))
	var evidence []string
	for i, name := range witnesses {
		a, digest, err := r.hear(ctx, s, p, x.span(), name)
		if err != nil {
			return err
		}
		said[i] = byTime(a)
		evidence = append(evidence, name+" "+digest)
	}
	fixes := &series.Columns{}
	heard, against := 0, 0
	for i, t := range stored.Time {
		mine := stored.Bar(i)
		agree, spoke := 0, 0
		for _, a := range said {
			b, ok := a[t]
			if !ok || b.Prov.Forming() {
				continue
			}
			if spoke++; b.Check() == nil && whole(b) && samePrices(mine, b, x.Price, r.pol.Tolerance) {
				agree++
			}
		}
		switch {
		case spoke < len(said):
			out.States["unproven"]++
		case agree < spoke:
			heard, against = heard+1, against+1
			out.States["contradictory"]++
		default:
			heard++
			b := said[0][t]
			if x.Volume == 1 {
				// The unit of the price was wrong, the volume was not.
				b.Volume, b.QuoteVolume = mine.Volume, mine.QuoteVolume
			}
			fixes.Append(b)
		}
	}
	switch {
	case fixes.Len() == 0:
		return nil
	case 20*against > heard:
		out.Error = fmt.Sprintf("%d of %d bars are not the stored ones in another unit: nothing is changed", against, heard)
		return nil
	case !enough:
		out.States["proposed"] += int64(fixes.Len())
		out.Error = fmt.Sprintf("%s: prices times %.6g, volumes times %.6g; %d of %d sources say so: approve it", f.Rule, x.Price, x.Volume, len(witnesses), r.pol.Witnesses)
		return nil
	}
	c := r.change
	c.Rule, c.Version, c.Evidence = f.Rule, f.Version, strings.Join(evidence, "; ")
	if r.x.Request.Approve && len(witnesses) < r.pol.Witnesses {
		c.Evidence += "; approved"
	}
	n, err := r.h.store.Correct(ctx, s.Key, fixes, witnesses[0], c)
	if err != nil {
		return err
	}
	// What counts is what the store has now, not what was handed to it.
	var now series.Columns
	if err := r.h.store.Read(ctx, s.Key, x.span(), &now); err != nil {
		return err
	}
	is := byTime(&now)
	for i, t := range fixes.Time {
		if b, ok := is[t]; !ok || b.Close != fixes.Close[i] {
			return fmt.Errorf("%s: the bar of %v was corrected, and is not what was written", s.Key, t)
		}
	}
	out.Written += int64(n)
	out.Sources = witnesses
	out.States["corrected"] += int64(n)
	return nil
}

// hear asks one source about a span, page by page.
func (r *running) hear(ctx context.Context, s Series, p *SeriesPlan, span series.Span, name string) (*series.Columns, string, error) {
	others := slices.DeleteFunc(slices.Clone(p.Sources), func(x string) bool { return x == name })
	all, digests := &series.Columns{}, []string{}
	run := s.Grid.Run(span)
	page := series.Slot(max(p.page, 1))
	for from := run.From; from < run.To; from += page {
		o, err := r.h.source.Fetch(ctx, s.Key, s.Grid.Span(series.Run{From: from, To: min(from+page, run.To)}), others, func(a Answer) error {
			if a.Source == name {
				appendBars(all, a.Bars, 0, a.Bars.Len())
				digests = append(digests, a.Digest)
			}
			return nil
		})
		r.spent(o.Requests)
		if ctx.Err() != nil {
			return nil, "", ctx.Err()
		}
		if err != nil {
			break // what was heard counts
		}
	}
	return all, strings.Join(digests, " "), nil
}

// outline adds what became of a step to the repair.
func (r *running) outline(out Outline) {
	slices.Sort(out.Sources)
	r.h.mu.Lock()
	defer r.h.mu.Unlock()
	r.x.Written += out.Written
	for k, n := range out.States {
		r.x.States[k] += n
	}
	if len(r.x.Outcomes) < outlinesMost {
		r.x.Outcomes = append(r.x.Outcomes, out)
	}
}

func byTime(c *series.Columns) map[series.Time]series.Bar {
	m := make(map[series.Time]series.Bar, c.Len())
	for i, t := range c.Time {
		m[t] = c.Bar(i)
	}
	return m
}

// samePrices reports whether the prices of a witness are those of a bar times a
// factor, within a relative tolerance or to the digits that both have.
func samePrices(mine, theirs series.Bar, factor, tolerance float64) bool {
	return samePrice(mine.Open, theirs.Open, factor, tolerance) && samePrice(mine.High, theirs.High, factor, tolerance) &&
		samePrice(mine.Low, theirs.Low, factor, tolerance) && samePrice(mine.Close, theirs.Close, factor, tolerance)
}

// digitsMost bounds, as a share of the price, what few digits may excuse.
const digitsMost = 0.05

func samePrice(mine, theirs, factor, tolerance float64) bool {
	d := math.Abs(mine*factor - theirs)
	if d <= tolerance*math.Abs(theirs) {
		return true
	}
	return d <= digitsMost*math.Abs(theirs) && d <= halfDigit(theirs)+halfDigit(mine)*math.Abs(factor)
}

// halfDigit is half of the last decimal digit of x.
func halfDigit(x float64) float64 {
	text := strconv.FormatFloat(x, 'f', -1, 64)
	if i := strings.IndexByte(text, '.'); i >= 0 {
		return 0.5 * math.Pow10(-(len(text) - i - 1))
	}
	return 0.5
}
