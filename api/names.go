package api

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
	"github.com/barkeepdb/barkeep/storage"
)

// symbolName is what a symbol is called at one source, in the time in which it is
// right.
type symbolName struct {
	Source string `json:"source"`
	// Name is empty where it is what the source makes of the symbol.
	Name string `json:"name"`
	// From and To are dates, midnight UTC; nil is not bounded.
	From *instant `json:"from"`
	To   *instant `json:"to"`
}

// sharedName is a name that another symbol has at the same source and time.
type sharedName struct {
	Symbol string `json:"symbol"`
	symbolName
}

// symbolNames are the names of a symbol, and the time in which it was listed.
type symbolNames struct {
	Symbol   string       `json:"symbol"`
	Listed   *instant     `json:"listed"`
	Delisted *instant     `json:"delisted"`
	Names    []symbolName `json:"names"`
	Shared   []sharedName `json:"shared"`
}

type namesRequest struct {
	Listed   *instant     `json:"listed"`
	Delisted *instant     `json:"delisted"`
	Names    []symbolName `json:"names"`
}

const maxNames = 1000 // of one symbol

func nameOf(r series.SourceRef) symbolName {
	n := symbolName{Source: r.Name, Name: r.Symbol}
	if r.From != series.MinTime {
		n.From = (*instant)(&r.From)
	}
	if r.To != series.MaxTime {
		n.To = (*instant)(&r.To)
	}
	return n
}

// ref is the reference that is stored of a name.
func (n symbolName) ref() (series.SourceRef, error) {
	r := series.SourceRef{Name: n.Source, Symbol: n.Name, From: series.MinTime, To: series.MaxTime}
	if n.From != nil {
		r.From = series.Time(*n.From)
	}
	if n.To != nil {
		r.To = series.Time(*n.To)
	}
	for _, t := range [...]*instant{n.From, n.To} {
		if t != nil && series.Time(*t)%series.Day != 0 {
			return r, fmt.Errorf("%v is not a date: names change at midnight UTC", series.Time(*t))
		}
	}
	if n.Source == "" || strings.ContainsAny(n.Source+n.Name, " \t\n\x00") {
		return r, fmt.Errorf("%q at %q: source is missing, or there are blanks in a name", n.Name, n.Source)
	}
	if back, err := series.ParseSourceRef(r.String()); err != nil {
		return r, err
	} else if back != r {
		return r, fmt.Errorf("%q at %q cannot be told apart from %q at %q", n.Name, n.Source, back.Symbol, back.Name)
	}
	return r, nil
}

// refsOf reads the references that are stored of a symbol; what cannot be read
// is left out.
func refsOf(m storage.Symbol) (out []series.SourceRef) {
	for _, text := range m.Sources {
		if r, err := series.ParseSourceRef(text); err == nil {
			out = append(out, r)
		}
	}
	return out
}

// overlap reports whether two references are right at one time.
func overlap(a, b series.SourceRef) bool { return a.From < b.To && b.From < a.To }

// sharedWith finds the names of a symbol that others have at the same source and
// time: a ticker that was given to something else, and is dated nowhere, or two
// series of one instrument.
func (s *Server) sharedWith(symbol string, refs []series.SourceRef) []sharedName {
	out := []sharedName{}
	for _, other := range s.store.Symbols() {
		if other == symbol {
			continue
		}
		m, _ := s.store.Symbol(other)
		for _, theirs := range refsOf(m) {
			if theirs.Symbol != "" && slices.ContainsFunc(refs, func(r series.SourceRef) bool {
				return r.Name == theirs.Name && r.Symbol == theirs.Symbol && overlap(r, theirs)
			}) {
				out = append(out, sharedName{other, nameOf(theirs)})
			}
		}
	}
	return out
}

// getNames shows what a symbol is, and was, called.
func (s *Server) getNames(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	symbol := p.needSymbol()
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	if _, known := s.store.Symbol(symbol); !known {
		if _, err := s.selected(symbol, 0); err != nil {
			fail(c, err)
			return
		}
	}
	s.showNames(c, symbol)
}

func (s *Server) showNames(c *gin.Context, symbol string) {
	m, _ := s.store.Symbol(symbol)
	refs := refsOf(m)
	out := symbolNames{Symbol: symbol, Listed: (*instant)(m.Listed), Delisted: (*instant)(m.Delisted), Names: []symbolName{}, Shared: s.sharedWith(symbol, refs)}
	for _, r := range refs {
		out.Names = append(out.Names, nameOf(r))
	}
	c.PureJSON(http.StatusOK, out)
}

// putNames replaces names and listing of a symbol, and leaves what else is known
// of it.
func (s *Server) putNames(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	symbol := p.needSymbol()
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	var in namesRequest
	if err := readObject(c.Request.Body, &in, `{"listed","delisted","names":[{"source":"tiingo","name":"GOOG","from":"2004-08-19","to":"2014-04-03"}]}`); err != nil {
		fail(c, err)
		return
	}
	if len(in.Names) > maxNames {
		fail(c, badField("names", "%d names: at most %d are possible", len(in.Names), maxNames))
		return
	}
	var refs []series.SourceRef
	for i, n := range in.Names {
		r, err := n.ref()
		if err == nil {
			for _, other := range refs {
				if other.Name == r.Name && overlap(other, r) {
					err = fmt.Errorf("%s has two names at one time, %s and %s", r.Name, other, r)
				}
			}
		}
		if err != nil {
			fail(c, badField(fmt.Sprintf("names[%d]", i), "name %d: %v", i+1, err))
			return
		}
		refs = append(refs, r)
	}
	s.setNames(c, symbol, refs, (*series.Time)(in.Listed), (*series.Time)(in.Delisted))
}

// setNames stores names and listing and answers with them.
func (s *Server) setNames(c *gin.Context, symbol string, refs []series.SourceRef, listed, delisted *series.Time) {
	if listed != nil && delisted != nil && *listed >= *delisted {
		fail(c, badField("delisted", "delisted %v is not after listed %v", *delisted, *listed))
		return
	}
	zone, err := s.zoneOf(symbol)
	if err != nil {
		fail(c, err)
		return
	}
	s.knowing.Lock()
	m, _ := s.store.Symbol(symbol)
	m.Listed, m.Delisted, m.Sources = midnight(listed, zone), midnight(delisted, zone), nil
	for _, r := range refs {
		m.Sources = append(m.Sources, r.String())
	}
	err = s.store.SetSymbol(symbol, m)
	s.knowing.Unlock()
	if err != nil {
		fail(c, err)
		return
	}
	detail(c, "%d names of %s", len(refs), symbol)
	s.showNames(c, symbol)
}

// maxMapFile is far more than any instrument was renamed.
const maxMapFile = 64 << 10

// postNames takes names and listing out of a map file of Lean. The names of the
// sources that the query names are replaced, or where it names none those of all
// that the symbol has.
func (s *Server) postNames(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	symbol, text := p.needSymbol(), p.text("source")
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, c.Request.Body, maxMapFile))
	if err != nil {
		fail(c, badField("", "the body is no map file: %v", err))
		return
	}
	found, err := barfile.ReadTickerMap(strings.NewReader(string(body)))
	if err != nil {
		fail(c, badField("", "the body is no map file of Lean, rows of a date, a ticker and an exchange such as 20140402,goog,Q: %v", err))
		return
	}
	m, _ := s.store.Symbol(symbol)
	old := refsOf(m)
	var sources []string
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name != "" && !slices.Contains(sources, name) {
			sources = append(sources, name)
		}
	}
	if len(sources) == 0 {
		for _, r := range old {
			if !slices.Contains(sources, r.Name) {
				sources = append(sources, r.Name)
			}
		}
	}
	if len(sources) == 0 {
		fail(c, badField("source", "%s has no sources yet: name those that call it so, such as source=tiingo,alpaca", symbol))
		return
	}
	refs, err := renamed(old, sources, found.Names)
	if err != nil {
		fail(c, badField("source", "%v", err))
		return
	}
	s.setNames(c, symbol, refs, found.Listed, found.Delisted)
}

// renamed puts names in place of those that sources had: where their first one
// stood, so that who is asked first stays so, or at the end.
func renamed(old []series.SourceRef, sources []string, names []barfile.Ticker) (out []series.SourceRef, err error) {
	add := func(source string) {
		for _, n := range names {
			x := nameOf(series.SourceRef{Name: source, Symbol: n.Name, From: n.From, To: n.To})
			r, wrong := x.ref()
			if wrong != nil && err == nil {
				err = wrong
			}
			out = append(out, r)
		}
	}
	done := map[string]bool{}
	for _, r := range old {
		if !slices.Contains(sources, r.Name) {
			out = append(out, r)
		} else if !done[r.Name] {
			done[r.Name] = true
			add(r.Name)
		}
	}
	for _, name := range sources {
		if !done[name] {
			add(name)
		}
	}
	return out, err
}

// midnight is when a date begins, for bars of a day, which carry dates, and for
// shorter ones: at midnight of the zone or of UTC, whichever is first. Markets
// are closed in between. A time that is no date stays what it is.
func midnight(date *series.Time, zone *time.Location) *series.Time {
	if date == nil || *date%series.Day != 0 {
		return date
	}
	d := date.Std()
	t := min(*date, series.TimeOf(time.Date(d.Year(), d.Month(), d.Day(), 0, 0, 0, 0, zone)))
	return &t
}

// zoneOf is the zone of the calendar of a symbol.
func (s *Server) zoneOf(symbol string) (*time.Location, error) {
	cal, err := s.store.Calendars().Known(s.calendarOf(symbol))
	if err != nil {
		return nil, err
	}
	return time.LoadLocation(cal.Zone())
}
