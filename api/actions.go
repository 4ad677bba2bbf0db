package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// kindAction is the kind of the records of what companies did. Their names sort
// by symbol and date.
const kindAction = heal.KindAction

// kindPastAction is the kind of the records of what was said of them until it was
// replaced or deleted: an answer as of an earlier time is made with it.
const kindPastAction = "action_past"

// CompanyAction is a split or a dividend of a symbol, as one source says it.
type CompanyAction struct {
	ID     string `json:"id"`
	Symbol string `json:"symbol"`
	series.Action
	Source   string      `json:"source"`
	Recorded series.Time `json:"recorded"` // when it was written
	// Gone is when it was replaced or deleted; 0 is not.
	Gone series.Time `json:"gone,omitempty"`
}

// name is the name of its record. A | is in no symbol.
func (a CompanyAction) name() string {
	return fmt.Sprintf("%s|%013d|%s|%s", a.Symbol, int64(a.Ex), a.Kind, a.Source)
}

// past is the record that keeps the action, which ends to be so.
func (a CompanyAction) past(now series.Time) (storage.Record, error) {
	a.Gone = now
	v, err := json.Marshal(a)
	return storage.Record{Kind: kindPastAction, Name: fmt.Sprintf("%s|%013d", a.name(), int64(a.Recorded)), Value: v}, err
}

// newID is what names the action in an address.
func (a CompanyAction) newID() string {
	sum := sha256.Sum256([]byte(a.name()))
	return hex.EncodeToString(sum[:6])
}

// like reports whether two sources say the same of one action.
func (a CompanyAction) like(b CompanyAction) bool {
	near := func(x, y float64) bool { return math.Abs(x-y) <= 1e-6*max(x, y) }
	return near(a.Ratio, b.Ratio) && near(a.Amount, b.Amount) && a.Currency == b.Currency
}

// apart is how far the dates of one action lie apart where sources disagree
// about it: more than that, and they are two.
const apart = 5 * series.Day

// redated finds actions that one source has on another date than a second one,
// which has nothing on that of the first: one action, that would count twice.
func redated(list []CompanyAction) (out []actionConflict) {
	has := func(a CompanyAction, source string) bool {
		return slices.ContainsFunc(list, func(b CompanyAction) bool {
			return b.Source == source && b.Symbol == a.Symbol && b.Kind == a.Kind && b.Ex == a.Ex
		})
	}
	for i, a := range list {
		for _, b := range list[i+1:] {
			if b.Symbol != a.Symbol || b.Ex-a.Ex > apart {
				break // they are by symbol and date
			}
			if b.Kind == a.Kind && b.Ex != a.Ex && b.Source != a.Source && !has(a, b.Source) && !has(b, a.Source) {
				out = append(out, actionConflict{Symbol: a.Symbol, Kind: a.Kind, Ex: a.Ex, IDs: []string{a.ID, b.ID}})
			}
		}
	}
	return out
}

// actionsOf are the actions of a symbol by date; an empty one stands for all.
func (s *Server) actionsOf(ctx context.Context, symbol string) ([]CompanyAction, error) {
	return s.readActions(ctx, kindAction, symbol)
}

// actionsAt are those that were known at a time; 0 is now.
func (s *Server) actionsAt(ctx context.Context, symbol string, at series.Time) ([]CompanyAction, error) {
	list, err := s.readActions(ctx, kindAction, symbol)
	if err != nil || at == 0 {
		return list, err
	}
	past, err := s.readActions(ctx, kindPastAction, symbol)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(append(list, past...), func(a CompanyAction) bool { return a.Recorded > at || a.Gone != 0 && a.Gone <= at })
	sortActions(list)
	return list, nil
}

func (s *Server) readActions(ctx context.Context, kind, symbol string) (list []CompanyAction, err error) {
	from := ""
	if symbol != "" {
		from = symbol + "|"
	}
	for r, err := range s.store.Records(ctx, kind, from) {
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(r.Name, from) {
			break
		}
		var a CompanyAction
		if err := json.Unmarshal(r.Value, &a); err != nil {
			return nil, fmt.Errorf("action %s: %w", r.Name, err)
		}
		list = append(list, a)
	}
	sortActions(list)
	return list, nil
}

// sortActions puts actions in order of symbol and date. Names of records before
// 1970 are not in that order.
func sortActions(list []CompanyAction) {
	slices.SortStableFunc(list, func(a, b CompanyAction) int {
		return cmp.Or(cmp.Compare(a.Symbol, b.Symbol), cmp.Compare(a.Ex, b.Ex), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Recorded, b.Recorded))
	})
}

// actionConflict is one action of which two sources say different things.
type actionConflict struct {
	Symbol string            `json:"symbol"`
	Kind   series.ActionKind `json:"kind"`
	Ex     series.Time       `json:"ex"`
	IDs    []string          `json:"ids"`
}

// actionConflicts finds them in a list by symbol and date.
func actionConflicts(list []CompanyAction) []actionConflict {
	out := []actionConflict{}
	for i := 0; i < len(list); {
		j := i
		differ := false
		for ; j < len(list) && list[j].Symbol == list[i].Symbol && list[j].Ex == list[i].Ex && list[j].Kind == list[i].Kind; j++ {
			differ = differ || !list[j].like(list[i])
		}
		if differ {
			c := actionConflict{Symbol: list[i].Symbol, Kind: list[i].Kind, Ex: list[i].Ex}
			for _, a := range list[i:j] {
				c.IDs = append(c.IDs, a.ID)
			}
			out = append(out, c)
		}
		i = j
	}
	return append(out, redated(list)...)
}

// getActions lists what companies did.
func (s *Server) getActions(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	symbol, at, history := p.symbol(), p.time("asof"), p.flag("history")
	if at != nil && *at == 0 {
		p.fail("asof", "asof is 0: nothing was known then")
	}
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	var asof series.Time
	if at != nil {
		asof = *at
	}
	list, err := s.actionsAt(c, symbol, asof)
	if err != nil {
		fail(c, err)
		return
	}
	out := actionsAnswer{Actions: list, Conflicts: actionConflicts(list)}
	if history {
		if out.Past, err = s.readActions(c, kindPastAction, symbol); err != nil {
			fail(c, err)
			return
		}
	}
	if list == nil {
		out.Actions = []CompanyAction{}
	}
	c.PureJSON(http.StatusOK, out)
}

// actionsAnswer are actions and where they contradict each other.
type actionsAnswer struct {
	Actions   []CompanyAction  `json:"actions"`
	Conflicts []actionConflict `json:"conflicts"`
	// Past are those that were replaced or deleted, where they were asked for.
	Past []CompanyAction `json:"past,omitempty"`
}

// actionJSON is an action as it is written.
type actionJSON struct {
	Kind     series.ActionKind `json:"kind"`
	Ex       moment            `json:"ex"`
	Ratio    float64           `json:"ratio"`
	Amount   float64           `json:"amount"`
	Currency string            `json:"currency"`
	Close    float64           `json:"close"`
}

type actionsRequest struct {
	Symbol  string       `json:"symbol"`
	Source  string       `json:"source"`
	Actions []actionJSON `json:"actions"`
}

const maxActions = 10_000 // of one request

// postActions writes actions, all or none. What a source said before of the same
// kind and date is replaced, and kept for answers as of then; what it says again
// stays as old as it is.
func (s *Server) postActions(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	var in actionsRequest
	if err := readObject(c.Request.Body, &in, `{"symbol":"AAPL","source":"exchange","actions":[{"kind":"split","ex":"2020-08-31","ratio":4}]}`); err != nil {
		fail(c, err)
		return
	}
	if err := series.CheckSymbol(in.Symbol); err != nil {
		fail(c, badField("symbol", "%v", err))
		return
	}
	if in.Source == "" || len(in.Source) > 64 || strings.ContainsAny(in.Source, "|\x00\n") {
		fail(c, badField("source", "source is missing or cannot be a name: say in 1 to 64 characters who said it"))
		return
	}
	if len(in.Actions) == 0 || len(in.Actions) > maxActions {
		fail(c, badField("actions", "%d actions: give 1 to %d", len(in.Actions), maxActions))
		return
	}
	now := series.TimeOf(s.now())
	said := map[string]CompanyAction{} // the last of a name counts
	for i, x := range in.Actions {
		a := CompanyAction{
			Symbol: in.Symbol, Source: in.Source, Recorded: now,
			Action: series.Action{Kind: x.Kind, Ex: series.Time(x.Ex), Ratio: x.Ratio, Amount: x.Amount, Currency: x.Currency, Close: x.Close},
		}
		if err := a.Check(); err != nil {
			fail(c, badField(fmt.Sprintf("actions[%d]", i), "action %d: %v", i+1, err))
			return
		}
		a.ID = a.newID()
		said[a.name()] = a
	}
	if err := s.putActions(c, in.Symbol, said, now); err != nil {
		fail(c, err)
		return
	}
	c.PureJSON(http.StatusOK, gin.H{"written": len(in.Actions)})
}

// putActions writes actions of a symbol, by name, and keeps what they replace.
func (s *Server) putActions(ctx context.Context, symbol string, said map[string]CompanyAction, now series.Time) error {
	s.knowing.Lock()
	defer s.knowing.Unlock()
	before, err := s.actionsOf(ctx, symbol)
	if err != nil {
		return err
	}
	var rs []storage.Record
	for _, old := range before {
		a, ok := said[old.name()]
		if !ok {
			continue
		}
		if a.Action == old.Action {
			delete(said, old.name())
			continue
		}
		r, err := old.past(now)
		if err != nil {
			return err
		}
		rs = append(rs, r)
	}
	for _, name := range slices.Sorted(maps.Keys(said)) {
		v, err := json.Marshal(said[name])
		if err != nil {
			return err
		}
		rs = append(rs, storage.Record{Kind: kindAction, Name: name, Value: v})
	}
	return s.store.PutRecords(ctx, rs)
}

// deleteAction takes an action away; answers as of before have it still.
func (s *Server) deleteAction(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	if err := p.done(); err != nil {
		fail(c, err)
		return
	}
	a, err := s.takeAction(c, c.Param("id"))
	if err != nil {
		fail(c, err)
		return
	}
	detail(c, "%s of %s on %s", a.Kind, a.Symbol, a.Ex.Std().Format(time.DateOnly))
	c.PureJSON(http.StatusOK, a)
}

// takeAction puts an action among those of the past.
func (s *Server) takeAction(ctx context.Context, id string) (a CompanyAction, err error) {
	s.knowing.Lock()
	defer s.knowing.Unlock()
	list, err := s.actionsOf(ctx, "")
	if err != nil {
		return a, err
	}
	i := slices.IndexFunc(list, func(a CompanyAction) bool { return a.ID == id })
	if i < 0 {
		return a, &Error{http.StatusNotFound, "no_such_action", "no action has this id: GET /v1/actions lists them", "id"}
	}
	past, err := list[i].past(series.TimeOf(s.now()))
	if err != nil {
		return a, err
	}
	return list[i], s.store.PutRecords(ctx, []storage.Record{past, {Kind: kindAction, Name: list[i].name()}})
}

// adjusted is a view of one series whose prices and volumes are adjusted before
// they are resampled.
type adjusted struct {
	view
	grid    series.Grid
	cal     *series.Calendar
	factors series.Factors
}

// adjust lays the actions of a symbol over a view of raw bars. known are its
// actions.
func (s *Server) adjust(ctx context.Context, v view, src source, how series.Adjust, known []CompanyAction) (view, error) {
	if cs := actionConflicts(known); len(cs) > 0 {
		return nil, &Error{http.StatusConflict, "cannot_adjust", fmt.Sprintf(
			"sources say different things of the %s of %s on %s: GET /v1/actions shows them; delete those that are wrong (%s)",
			cs[0].Kind, cs[0].Symbol, cs[0].Ex.Std().Format(time.DateOnly), strings.Join(cs[0].IDs, ", ")), "adjust"}
	}
	cal, err := s.store.Calendars().Known(s.calendarOf(src.info.Symbol))
	if err != nil {
		return nil, err
	}
	zone, err := s.zoneOf(src.info.Symbol)
	if err != nil {
		return nil, err
	}
	var steps []series.Factor
	for i, a := range known {
		if i > 0 && a.Ex == known[i-1].Ex && a.Kind == known[i-1].Kind {
			continue // another source says the same
		}
		if a.Kind == series.Dividend && how != series.AdjustAll {
			continue
		}
		f := series.Factor{At: a.Ex, Keep: 1, Ratio: 1}
		if src.info.Interval.Intraday() { // bars of a day and longer carry dates
			ex := a.Ex.Std()
			f.At = series.TimeOf(time.Date(ex.Year(), ex.Month(), ex.Day(), 0, 0, 0, 0, zone))
		}
		if f.At <= src.info.First {
			continue // no bar is older
		}
		if a.Kind == series.Split {
			f.Ratio = a.Ratio
		} else if f.Keep, err = keeps(ctx, v, src, a, f.At); err != nil {
			return nil, err
		}
		steps = append(steps, f)
	}
	return &adjusted{view: v, grid: src.info.Grid, cal: cal, factors: series.NewFactors(steps)}, nil
}

// keeps is what a dividend leaves of the prices before it.
func keeps(ctx context.Context, v view, src source, a CompanyAction, at series.Time) (float64, error) {
	if a.Currency != "" {
		return 0, &Error{http.StatusConflict, "cannot_adjust", fmt.Sprintf(
			"the dividend of %v %s on %s is in another currency than the prices: write it in theirs, without currency, or ask with adjust=split (%s)",
			a.Amount, a.Currency, a.Ex.Std().Format(time.DateOnly), a.ID), "adjust"}
	}
	last := a.Close
	if last == 0 {
		read := func(span series.Span) rows {
			return func(yield func(chunk, error) bool) {
				for c, err := range v.Chunks(ctx, src.info.Key, span, storage.ReadOptions{}) {
					if !yield(chunk{Columns: c}, err) || err != nil {
						return
					}
				}
			}
		}
		b, err := firstBar(descending(src.info.Grid, series.Span{From: src.info.First, To: at}, read))
		if err != nil {
			return 0, err
		}
		if b == nil {
			return 1, nil // nothing is older
		}
		last = b.Close
	}
	if keep := 1 - a.Amount/last; keep > 0 {
		return keep, nil
	}
	return 0, &Error{http.StatusConflict, "cannot_adjust", fmt.Sprintf(
		"the dividend of %v on %s is not below the price before it, %v: see GET /v1/actions, and delete it if it is wrong (%s)",
		a.Amount, a.Ex.Std().Format(time.DateOnly), last, a.ID), "adjust"}
}

// Chunks is view of adjusted bars.
func (v *adjusted) Chunks(ctx context.Context, key series.Key, span series.Span, o storage.ReadOptions) iter.Seq2[*series.Columns, error] {
	return func(yield func(*series.Columns, error) bool) {
		var out series.Columns
		for c, err := range v.view.Chunks(ctx, key, span, o) {
			if err != nil {
				yield(nil, err)
				return
			}
			out.Reset()
			v.factors.Apply(&out, c)
			if !yield(&out, nil) {
				return
			}
		}
	}
}

// Resample makes coarser bars of adjusted ones: of a week with a split in it the
// open is of old shares and the close of new ones, and only so they compare.
func (v *adjusted) Resample(ctx context.Context, key series.Key, coarse series.Interval, span series.Span, dst *series.Columns) ([]series.Part, error) {
	to := series.Grid{Interval: coarse}
	if coarse.Intraday() {
		to.Phase = v.grid.Phase % coarse.Width()
	}
	r, err := series.NewResampler(v.grid, to, v.cal)
	if err != nil {
		return nil, err
	}
	var all series.Columns
	// A session may open on the day before its date.
	around := series.Span{From: span.From - 2*series.Day, To: span.To + 2*series.Day}
	for c, err := range v.Chunks(ctx, key, around, storage.ReadOptions{}) {
		if err != nil {
			return nil, err
		}
		r.Add(&all, c)
	}
	r.Flush(&all)
	var out []series.Part
	for i, t := range all.Time {
		if span.Contains(t) {
			dst.Append(all.Bar(i))
			out = append(out, r.Parts[i])
		}
	}
	return out, nil
}

// adjustedAs is what the stored prices of a symbol were freed of already.
func (s *Server) adjustedAs(symbol string) series.Adjust {
	m, _ := s.store.Symbol(symbol)
	return m.Adjusted
}

// errAdjusted is the answer where stored prices are adjusted already.
func errAdjusted(symbol string, is series.Adjust) error {
	return &Error{http.StatusConflict, "cannot_adjust", fmt.Sprintf(
		"the stored prices of %s are adjusted already (%s), and what was traded cannot be told from them any more: ask with adjust=%s, or store raw bars",
		symbol, is, is), "adjust"}
}
