// Package alert turns conditions that hold into alerts that fire and resolve,
// and gets notices of them to whoever asked for them.
//
// An episode of a condition is notified twice: when it has held for the time of
// its rule, and when it has been gone for the time of its rule. State and
// notices are kept in one commit, so that a crash neither loses a notice nor
// makes a second one; a receiver may see one twice if the process ends between
// sending and noting it, or while the store takes no changes.
package alert

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// Type is what an alert is about.
type Type string

// The types.
const (
	DataQuality       Type = "data_quality"
	EndpointFailure   Type = "endpoint_failure"
	SystemPerformance Type = "system_performance"
	Capacity          Type = "capacity"
)

// Severity is how urgent an alert is.
type Severity string

// The severities.
const (
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Rule says when a condition becomes an alert.
type Rule struct {
	ID       string
	Type     Type
	Severity Severity
	// For is how long the condition must hold before the alert fires, Clear how
	// long it must be gone before it is resolved: what flaps fires once.
	For, Clear time.Duration
	// Behind names rules that explain this one: while one of them fires, this
	// one is not notified.
	Behind []string
}

// Condition is something that holds now.
type Condition struct {
	Rule      string
	Subject   string // what it is about: a series, an endpoint, the disk
	Value     float64
	Threshold float64
	Detail    string
}

// State is how far an alert is.
type State string

// The states.
const (
	Pending      State = "pending" // holds, but not for long enough
	Firing       State = "firing"
	Acknowledged State = "acknowledged" // fires, and somebody knows
	Silenced     State = "silenced"     // fires, and is not notified until a time
	Resolved     State = "resolved"
)

// Alert is one episode of a condition.
type Alert struct {
	ID        string      `json:"id"`
	Rule      string      `json:"rule"`
	Type      Type        `json:"type"`
	Severity  Severity    `json:"severity"`
	Subject   string      `json:"subject"`
	State     State       `json:"state"`
	Since     series.Time `json:"since"` // when the condition began to hold
	Fired     series.Time `json:"fired,omitempty"`
	Gone      series.Time `json:"gone,omitempty"` // since when it does not hold
	Resolved  series.Time `json:"resolved,omitempty"`
	Until     series.Time `json:"silenced_until,omitempty"`
	By        string      `json:"by,omitempty"` // who acknowledged, silenced or resolved it
	Value     float64     `json:"value"`
	Threshold float64     `json:"threshold"`
	Detail    string      `json:"detail"`
	// Told is whether a notice of its firing was sent: only then is one of its
	// end.
	Told bool `json:"notified"`
}

// Record is a small named value that the store keeps; a nil value removes it.
type Record struct {
	Kind, Name string
	Value      []byte
}

// Store keeps records. Changes are durable when they return.
type Store interface {
	PutRecords(ctx context.Context, rs []Record) error
	Records(ctx context.Context, kind, from string) iter.Seq2[Record, error]
}

// Options are what an engine is made of.
type Options struct {
	Store    Store
	Rules    []Rule
	Channels []Channel
	Now      func() series.Time // nil is the clock
	Logger   *slog.Logger       // nil discards
	// Observe is called with every alert that fires or is resolved; it must not
	// wait.
	Observe func(Alert)
}

// Engine keeps alerts. It is safe for concurrent use.
type Engine struct {
	o     Options
	store *spool
	rules map[string]Rule

	mu     sync.Mutex
	active map[string]*Alert // by rule and subject
	last   int64             // the newest id
	loaded bool
	wake   chan struct{}
}

const (
	kindAlert   = "alert"
	kindHistory = "alert/history"
	historyKept = 1000
)

// New returns an engine.
func New(o Options) *Engine {
	if o.Now == nil {
		o.Now = func() series.Time { return series.TimeOf(time.Now()) }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Observe == nil {
		o.Observe = func(Alert) {}
	}
	e := &Engine{o: o, store: &spool{below: o.Store, log: o.Logger}, rules: map[string]Rule{}, active: map[string]*Alert{}, wake: make(chan struct{}, 1)}
	for _, r := range o.Rules {
		e.rules[r.ID] = r
	}
	return e
}

// load reads the alerts of before, once. e.mu is held.
func (e *Engine) load(ctx context.Context) error {
	if e.loaded {
		return nil
	}
	for r, err := range e.store.Records(ctx, kindAlert, "") {
		if err != nil {
			return err
		}
		a := &Alert{}
		if err := json.Unmarshal(r.Value, a); err != nil {
			return fmt.Errorf("alert %s: %w", r.Name, err)
		}
		e.active[a.Rule+"\x00"+a.Subject] = a
		e.seen(a.ID)
	}
	for r, err := range e.store.Records(ctx, kindHistory, "") {
		if err != nil {
			return err
		}
		e.seen(r.Name)
	}
	for r, err := range e.store.Records(ctx, kindOutbox, "") {
		if err != nil {
			return err
		}
		e.seen(r.Name) // a notice that waits must not be written over
	}
	e.loaded = true
	return nil
}

func (e *Engine) seen(id string) {
	var n int64
	if len(id) < 13 {
		return
	}
	if _, err := fmt.Sscanf(id[1:13], "%x", &n); err == nil { // of an alert or of a notice
		e.last = max(e.last, n)
	}
}

// Evaluate takes the conditions that hold now. All that changes by it, notices
// included, is one commit. Rules of which nobody could say whether they hold are
// unseen: what fires by them goes on to fire.
func (e *Engine) Evaluate(ctx context.Context, now []Condition, unseen ...string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.load(ctx); err != nil {
		return err
	}
	t := e.o.Now()
	next := make(map[string]*Alert, len(e.active))
	for k, a := range e.active {
		c := *a
		next[k] = &c
	}
	var rs []Record
	var fired, resolved []*Alert
	holds := map[string]bool{}
	for _, c := range now {
		rule, known := e.rules[c.Rule]
		key := c.Rule + "\x00" + c.Subject
		if !known || holds[key] {
			continue
		}
		holds[key] = true
		a := next[key]
		if a == nil {
			e.last = max(e.last+1, int64(t))
			a = &Alert{ID: fmt.Sprintf("a%012x", e.last), Rule: c.Rule, Type: rule.Type, Severity: rule.Severity, Subject: c.Subject, State: Pending, Since: t}
			next[key] = a
		}
		a.Gone, a.Value, a.Threshold, a.Detail = 0, c.Value, c.Threshold, c.Detail
		if a.State == Pending && t-a.Since >= ms(rule.For) {
			a.State, a.Fired = Firing, t
			fired = append(fired, a)
		}
	}
	for key, a := range next {
		if holds[key] || slices.Contains(unseen, a.Rule) {
			continue
		}
		if a.Gone == 0 {
			a.Gone = t
		}
		switch {
		case a.State == Pending:
			delete(next, key)
			rs = append(rs, Record{Kind: kindAlert, Name: a.ID})
		case t-a.Gone >= ms(e.rules[a.Rule].Clear):
			a.State, a.Resolved = Resolved, t
			resolved = append(resolved, a)
			delete(next, key)
			rs = append(rs, Record{Kind: kindAlert, Name: a.ID})
		}
	}
	for _, a := range next {
		if a.State == Silenced && a.Until <= t {
			a.State, a.Until = Firing, 0
			if !a.Told {
				fired = append(fired, a)
			}
		}
	}
	tell := map[string][]*Alert{}
	for _, a := range fired {
		if a.State == Firing && !a.Told && !e.explained(a, next) {
			a.Told = true
			tell["firing"] = append(tell["firing"], a)
		}
	}
	// What was explained until now and is not any more.
	for _, a := range next {
		if a.State == Firing && !a.Told && !e.explained(a, next) {
			a.Told = true
			tell["firing"] = append(tell["firing"], a)
		}
	}
	for _, a := range resolved {
		if a.Told {
			tell["resolved"] = append(tell["resolved"], a)
		}
	}
	notices, err := e.notices(t, tell)
	if err != nil {
		return err
	}
	rs = append(rs, notices...)
	for key, a := range next {
		if old := e.active[key]; old == nil || *old != *a {
			rs = append(rs, record(kindAlert, a))
		}
	}
	for _, a := range resolved {
		rs = append(rs, record(kindHistory, a))
	}
	if len(rs) > 0 {
		if err := e.store.PutRecords(ctx, rs); err != nil {
			return err
		}
	}
	e.active = next
	for _, a := range append(fired, resolved...) {
		e.o.Logger.Warn("alert", "state", string(a.State), "rule", a.Rule, "subject", a.Subject, "detail", a.Detail)
		e.o.Observe(*a)
	}
	if len(notices) > 0 {
		e.poke()
	}
	return e.forget(ctx)
}

// explained reports whether a rule fires that stands behind a.
func (e *Engine) explained(a *Alert, all map[string]*Alert) bool {
	for _, id := range e.rules[a.Rule].Behind {
		for _, b := range all {
			if b.Rule == id && b.State != Pending {
				return true
			}
		}
	}
	return false
}

func ms(d time.Duration) series.Time { return series.Time(d / time.Millisecond) }

func record(kind string, a *Alert) Record {
	v, err := json.Marshal(a)
	if err != nil { // texts and finite numbers always have a JSON form
		panic("alert: " + err.Error())
	}
	return Record{Kind: kind, Name: a.ID, Value: v}
}

// forget drops the oldest of the history now and then.
func (e *Engine) forget(ctx context.Context) error {
	var names []string
	for r, err := range e.store.Records(ctx, kindHistory, "") {
		if err != nil {
			return err
		}
		names = append(names, r.Name)
	}
	if len(names) < historyKept+historyKept/10 {
		return nil
	}
	var rs []Record
	for _, n := range names[:len(names)-historyKept] {
		rs = append(rs, Record{Kind: kindHistory, Name: n})
	}
	return e.store.PutRecords(ctx, rs)
}

// Active lists the alerts that fire, and those that are pending, the newest
// first.
func (e *Engine) Active(ctx context.Context) ([]Alert, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.load(ctx); err != nil {
		return nil, err
	}
	out := make([]Alert, 0, len(e.active))
	for _, a := range e.active {
		out = append(out, *a)
	}
	slices.SortFunc(out, func(a, b Alert) int { return cmp.Compare(b.ID, a.ID) })
	return out, nil
}

// History lists the alerts that were resolved, the newest first.
func (e *Engine) History(ctx context.Context) ([]Alert, error) {
	out := []Alert{}
	for r, err := range e.store.Records(ctx, kindHistory, "") {
		if err != nil {
			return nil, err
		}
		var a Alert
		if err := json.Unmarshal(r.Value, &a); err != nil {
			return nil, fmt.Errorf("alert %s: %w", r.Name, err)
		}
		out = append(out, a)
	}
	slices.Reverse(out)
	return out, nil
}

// Errors of what is asked of an alert.
var (
	ErrNoAlert = errors.New("there is no such alert that fires")
	ErrState   = errors.New("the alert is in another state")
)

// Acknowledge notes that somebody knows.
func (e *Engine) Acknowledge(ctx context.Context, id, by string) (Alert, error) {
	return e.change(ctx, id, func(a *Alert, _ series.Time) ([]*Alert, error) {
		a.State, a.By, a.Until = Acknowledged, by, 0
		return nil, nil
	})
}

// Silence keeps an alert quiet for a while.
func (e *Engine) Silence(ctx context.Context, id, by string, d time.Duration) (Alert, error) {
	return e.change(ctx, id, func(a *Alert, t series.Time) ([]*Alert, error) {
		if d <= 0 {
			return nil, fmt.Errorf("a silence of %v has no length", d)
		}
		a.State, a.By, a.Until = Silenced, by, t+ms(d)
		return nil, nil
	})
}

// Resolve ends an alert by hand. It fires anew if its condition goes on to hold.
func (e *Engine) Resolve(ctx context.Context, id, by string) (Alert, error) {
	return e.change(ctx, id, func(a *Alert, t series.Time) ([]*Alert, error) {
		a.State, a.By, a.Resolved = Resolved, by, t
		return []*Alert{a}, nil
	})
}

func (e *Engine) change(ctx context.Context, id string, f func(*Alert, series.Time) (resolved []*Alert, err error)) (Alert, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.load(ctx); err != nil {
		return Alert{}, err
	}
	for key, old := range e.active {
		if old.ID != id {
			continue
		}
		if old.State == Pending {
			return *old, fmt.Errorf("%w: it does not fire yet", ErrState)
		}
		a := *old
		t := e.o.Now()
		resolved, err := f(&a, t)
		if err != nil {
			return a, err
		}
		rs := []Record{record(kindAlert, &a)}
		tell := map[string][]*Alert{}
		if len(resolved) > 0 {
			rs = []Record{{Kind: kindAlert, Name: a.ID}, record(kindHistory, &a)}
			if a.Told {
				tell["resolved"] = resolved
			}
		}
		notices, err := e.notices(t, tell)
		if err != nil {
			return a, err
		}
		if err := e.store.PutRecords(ctx, append(rs, notices...)); err != nil {
			return a, err
		}
		if a.State == Resolved {
			delete(e.active, key)
		} else {
			e.active[key] = &a
		}
		e.o.Observe(a)
		if len(notices) > 0 {
			e.poke()
		}
		return a, nil
	}
	return Alert{}, fmt.Errorf("%w: %s", ErrNoAlert, id)
}

func (e *Engine) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}
