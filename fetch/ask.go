package fetch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// Ask is a question to a pool: the bars of one series over a span.
type Ask struct {
	// Sources are who may answer, each with its own name of the symbol.
	// [Pool.Sources] lists them for a pair.
	Sources  []Source
	Interval series.Interval
	// Span holds the open times that are wanted.
	Span series.Span
	// Proxies allows sources of grade Proxy, which are other venues.
	Proxies bool
	// Anew asks also those that refused the series, or its newest bars, of late.
	Anew bool
	// Patience is how long a page may wait for an endpoint that says, or whose
	// breaker says, when it will answer; 0 stands for a minute, negative for no
	// time at all. Waiting for a limit that we keep ourselves is not counted.
	Patience time.Duration
}

// Source is a provider that has the series.
type Source struct {
	Provider string // name of the provider
	Symbol   string // its name of the symbol
	Grade    Grade  // GradeAuto is Primary
}

// Batch is bars of one source, in ascending order.
type Batch struct {
	// Bars are the receiver's to keep. Their source is 0 where Provider said them,
	// and else one that [Pool.Origin] names.
	Bars     *series.Columns
	Provider string
	Endpoint string
	Symbol   string
	Grade    Grade
}

// Report is what became of an Ask.
type Report struct {
	// Asked is what was asked, without what lies in the future.
	Asked series.Span `json:"asked"`
	Bars  int64       `json:"bars"`
	// Pages are the questions that were answered, and Attempts the requests that
	// were sent for them, failed ones included.
	Pages    int64 `json:"pages"`
	Attempts int64 `json:"attempts"`
	// Used counts the bars by endpoint.
	Used map[string]int64 `json:"used"`
	// Spoken is the set of times for which an answer spoke.
	Spoken []series.Span `json:"spoken"`
	// Empty is the part of Spoken without bars where one answer had bars on both
	// sides: evidence that nothing traded.
	Empty []series.Span `json:"empty"`
	// Silent is the part of Spoken without bars where there was no such
	// evidence; it was asked twice, of two endpoints where there are two.
	Silent []series.Span `json:"silent"`
	// Unanswered is what nobody spoke for.
	Unanswered []series.Span `json:"unanswered"`

	Conflicts []Conflict `json:"conflicts"`
	Refused   []Refusal  `json:"refused"`
	// Outside, Duplicates and Blank count dropped rows, as in [Settled].
	Outside, Duplicates, Blank int64
}

// UnansweredError is why a part of a span has no answer: one cause for each
// endpoint that could have had it.
type UnansweredError struct {
	Spans  []series.Span
	Causes []*Error
	// RetryAt is the first moment at which asking again makes sense; zero if it
	// never will without a change of the question or the configuration.
	RetryAt time.Time
}

// Kind is the kind that decides what to do: the one most likely to pass.
func (e *UnansweredError) Kind() Kind {
	best := Kind(0)
	for _, k := range [...]Kind{RateLimited, Unavailable, Banned, QuotaExhausted, GeoBlocked, NotEntitled, HistoryExhausted, RangeTooBroad, UnknownSymbol, BadRequest} {
		if best == 0 && slices.ContainsFunc(e.Causes, func(c *Error) bool { return c.Kind == k }) {
			best = k
		}
	}
	return best
}

// Error names the span, every endpoint's reason, and when to try again.
func (e *UnansweredError) Error() string {
	var b strings.Builder
	b.WriteString("no endpoint answers")
	if len(e.Spans) > 0 {
		fmt.Fprintf(&b, " for %s", e.Spans[0])
	}
	if n := len(e.Spans) - 1; n > 0 {
		fmt.Fprintf(&b, " and %d more spans", n)
	}
	for _, c := range e.Causes {
		b.WriteString("; " + c.Error())
	}
	if len(e.Causes) == 0 {
		b.WriteString(": none is configured that has the series")
	}
	if !e.RetryAt.IsZero() {
		b.WriteString("; try again at " + e.RetryAt.UTC().Format(time.RFC3339))
	}
	return b.String()
}

// Unwrap returns the causes.
func (e *UnansweredError) Unwrap() []error {
	out := make([]error, 0, len(e.Causes))
	for _, c := range e.Causes {
		out = append(out, c)
	}
	return out
}

// Sources lists the providers of the pool that can have base priced in quote,
// the best first. The first one's venue is the primary one unless the
// endpoints say otherwise; others of that venue mirror it, the rest are
// proxies.
func (p *Pool) Sources(base, quote string) []Source {
	list := slices.Clone(p.endpoints)
	slices.SortStableFunc(list, func(a, b *endpoint) int { return a.Priority - b.Priority })
	var out []Source
	venue := ""
	for _, e := range list {
		pair, ok := e.Provider.(Pairer)
		if !ok || e.Type != MarketData {
			continue
		}
		symbol := pair.Pair(base, quote)
		if symbol == "" || slices.ContainsFunc(out, func(s Source) bool { return s.Provider == e.info.Name }) {
			continue
		}
		grade := e.Grade
		if grade == GradeAuto {
			switch {
			case venue == "":
				grade = Primary
			case e.info.Venue == venue:
				grade = Mirror
			default:
				grade = Proxy
			}
		}
		if venue == "" {
			venue = e.info.Venue
		}
		out = append(out, Source{Provider: e.info.Name, Symbol: symbol, Grade: grade})
	}
	slices.SortStableFunc(out, func(a, b Source) int { return int(a.Grade) - int(b.Grade) })
	return out
}

// Provider returns the provider that has endpoints in the pool under a name of
// its own or of one of them, or nil.
func (p *Pool) Provider(name string) Provider {
	for _, e := range p.endpoints {
		if e.info.Name == name || e.Name == name {
			return e.Provider
		}
	}
	return nil
}

// candidate is an endpoint that may answer an Ask, under the source's symbol.
type candidate struct {
	e      *endpoint
	symbol string
	grade  Grade
	source int // index of the source: ties go to the first
	// most is how many bars it is asked for at a time; it shrinks when the
	// vendor says that this is too many.
	most int
	// reach is the first moment for which the vendor has bars.
	reach series.Time
	// ripe is the time before which bars must have ended to be given, and young
	// why.
	ripe  series.Time
	young *Error
	out   *Error // why it is not asked any more, or not before its RetryAt
	why   *Error // its last error, until it answers
}

// withhold leaves what ends at ripe or later out of what c is asked for.
func (c *candidate) withhold(ripe, delay series.Time, why string) {
	if ripe < c.ripe {
		age := time.Duration(delay) * time.Millisecond
		c.ripe = ripe
		c.young = &Error{
			Kind: NotEntitled, Provider: c.e.info.Name, Endpoint: c.e.Name, RetryAt: time.Now().Add(age),
			Message: fmt.Sprintf("bars younger than %v are for other plans: %s", age.Round(time.Minute), why),
		}
	}
}

// wholeSpan is how many bars are asked of a vendor that names no bound: enough
// for any daily series, and not too much to hold.
const wholeSpan = 1 << 16

// candidates lists who may answer a, the best grades first, and why the others
// may not.
func (p *Pool) candidates(a Ask) (list []*candidate, causes []*Error) {
	var like *Info // whose bars the others' have to be like
	for n, s := range a.Sources {
		grade := s.Grade
		if grade == GradeAuto {
			grade = Primary
		}
		if grade == Proxy && !a.Proxies {
			continue
		}
		found := false
		for _, e := range p.endpoints {
			if e.info.Name != s.Provider || e.Type != MarketData {
				continue
			}
			found = true
			reason := ""
			if _, ok := e.info.Intervals[a.Interval]; !ok {
				reason = "it has no bars of " + a.Interval.String()
			} else if like != nil {
				reason = unlike(like, e.info, a.Interval)
			}
			if reason != "" {
				causes = append(causes, &Error{Kind: BadRequest, Provider: e.info.Name, Endpoint: e.Name, Message: reason})
				continue
			}
			if like == nil {
				like = e.info
			}
			c := &candidate{e: e, symbol: s.Symbol, grade: grade, source: n, most: e.info.MaxBars}
			if c.most <= 0 || c.most > wholeSpan {
				c.most = wholeSpan
			}
			c.reach = p.reach(e, a.Interval)
			c.ripe = series.MaxTime
			if !a.Anew {
				c.out = e.refusal(time.Now(), c.symbol+" "+a.Interval.String())
			}
			if d := e.withheld(time.Now()); d > 0 && !a.Anew {
				c.withhold(p.clocks.now(e.host.name)-d, d, "it did not give the newest bars a moment ago")
			}
			list = append(list, c)
		}
		if !found {
			causes = append(causes, &Error{Kind: BadRequest, Provider: s.Provider, Message: "no endpoint of this provider is configured"})
		}
	}
	slices.SortStableFunc(list, func(x, y *candidate) int { return int(x.grade) - int(y.grade) })
	return list, causes
}

// unlike returns why the bars of b must not stand beside those of a, or "".
func unlike(a, b *Info, i series.Interval) string {
	switch {
	case a.Adjusts(i) != b.Adjusts(i):
		return "its prices are adjusted differently from those of " + a.Name
	case a.Volume != b.Volume:
		return "its volume counts something else than that of " + a.Name
	case !i.Intraday() && a.Daily != b.Daily:
		return "its days start at another hour than those of " + a.Name
	}
	return ""
}

// reach is the first open time for which a vendor with a horizon has bars, with
// a slot to spare for the time that passes until it is asked.
func (p *Pool) reach(e *endpoint, i series.Interval) series.Time {
	h, ok := e.info.Horizon[i]
	if !ok {
		return series.MinTime
	}
	now := p.clocks.now(e.host.name)
	g := e.info.grid(i)
	t := series.MinTime
	if h.Age > 0 {
		t = g.time(g.slot(now-series.Time(h.Age.Milliseconds())) + 1)
	}
	if h.Bars > 0 {
		t = max(t, g.time(g.slot(now)-series.Slot(h.Bars)+1))
	}
	return t
}

func (a *Ask) check() error {
	if !a.Interval.Valid() {
		return fmt.Errorf("interval %d is unknown", uint8(a.Interval))
	}
	if a.Span.Empty() {
		return fmt.Errorf("the span %s is empty", a.Span)
	}
	if len(a.Sources) == 0 {
		return errors.New("no source is named")
	}
	if a.Patience == 0 {
		a.Patience = time.Minute
	}
	return nil
}
