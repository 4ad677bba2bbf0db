package heal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// Status is how far a repair is.
type Status string

// The states of a repair.
const (
	Queued    Status = "queued"
	Running   Status = "running"
	Done      Status = "done"
	Refused   Status = "refused" // over a limit: nothing was changed
	Cancelled Status = "cancelled"
	Failed    Status = "failed"
	TakenBack Status = "undone"
)

// Ended reports whether the repair changes no more.
func (s Status) Ended() bool { return s != Queued && s != Running }

// Repair is a request and what became of it.
type Repair struct {
	ID       string      `json:"id"`
	Request  Request     `json:"request"`
	Status   Status      `json:"status"`
	Asked    series.Time `json:"asked"`
	Started  series.Time `json:"started,omitempty"`
	Ended    series.Time `json:"ended,omitempty"`
	Plan     *Plan       `json:"plan,omitempty"`
	Step     int         `json:"step"`  // windows that are behind it
	Steps    int         `json:"steps"` // windows of the plan
	Outcomes []Outline   `json:"outcomes"`
	Written  int64       `json:"bars_written"`
	Filled   int64       `json:"bars_filled"`
	Requests int64       `json:"requests"`
	Error    string      `json:"error,omitempty"`
	// States counts the slots of the holes by what became of them.
	States map[string]int64 `json:"states,omitempty"`
}

// Outline is what became of one step of a plan.
type Outline struct {
	series.Key
	From     series.Time      `json:"from"`
	To       series.Time      `json:"to"`
	Written  int64            `json:"written"`
	Sources  []string         `json:"sources,omitempty"`  // who gave bars that were written
	Rejected []string         `json:"rejected,omitempty"` // who contradicted stored bars, and how
	States   map[string]int64 `json:"states,omitempty"`   // slots that stay without a bar
	Error    string           `json:"error,omitempty"`
}

// outlinesMost bounds the outcomes that a repair lists; totals count all.
const outlinesMost = 1000

// kindRepair is the kind of the records of repairs.
const kindRepair = "heal/run"

// repairsKept is how many repairs are remembered.
const repairsKept = 500

// ErrNoRepair is the answer to an id that no repair has.
var ErrNoRepair = errors.New("there is no such repair")

// Start queues a repair and returns it with its plan. A plan over its limits is
// refused: the repair is recorded and changes nothing.
func (h *Healer) Start(ctx context.Context, r Request) (Repair, error) {
	if err := h.load(ctx); err != nil {
		return Repair{}, err
	}
	p, _, err := h.plan(ctx, r)
	if err != nil {
		return Repair{}, err
	}
	x := &Repair{Request: r, Status: Queued, Asked: h.now(), Plan: p, Outcomes: []Outline{}, States: map[string]int64{}}
	for _, s := range p.Series {
		x.Steps += len(s.Windows) + len(s.Steps)
	}
	if p.Over != "" {
		x.Status, x.Error, x.Ended = Refused, p.Over, x.Asked
	}
	h.mu.Lock()
	h.last = max(h.last+1, x.Asked)
	x.ID = fmt.Sprintf("r%012x", int64(h.last))
	h.keep(x)
	snapshot := x.clone()
	h.mu.Unlock()
	if err := h.save(ctx, &snapshot); err != nil {
		h.mu.Lock()
		delete(h.repairs, x.ID)
		h.order = slices.DeleteFunc(h.order, func(id string) bool { return id == x.ID })
		h.mu.Unlock()
		return Repair{}, err
	}
	h.observe(snapshot)
	select {
	case h.wake <- struct{}{}:
	default:
	}
	return snapshot, nil
}

// keep adds a repair and forgets the oldest ones that have ended. h.mu is held.
func (h *Healer) keep(x *Repair) {
	h.repairs[x.ID] = x
	h.order = append(h.order, x.ID)
	for i := 0; len(h.order) > repairsKept && i < len(h.order); {
		if id := h.order[i]; h.repairs[id].Status.Ended() {
			delete(h.repairs, id)
			h.order = slices.Delete(h.order, i, i+1)
			continue
		}
		i++
	}
}

func (x *Repair) clone() Repair {
	out := *x
	out.Outcomes = slices.Clone(x.Outcomes)
	out.States = maps.Clone(x.States)
	return out
}

// save keeps a repair in the store. A plan of very many steps is cut: what is
// left to do is found again from the store.
func (h *Healer) save(ctx context.Context, x *Repair) error {
	v, err := json.Marshal(x)
	if err == nil && len(v) > 900<<10 {
		y := *x
		y.Plan = &Plan{Bars: x.Plan.Bars, Requests: x.Plan.Requests, Takes: x.Plan.Takes, Over: x.Plan.Over}
		y.Outcomes = nil
		v, err = json.Marshal(&y)
	}
	if err != nil {
		return err
	}
	return h.store.PutRecords(ctx, []Record{{Kind: kindRepair, Name: x.ID, Value: v}})
}

// load reads the repairs of before, once.
func (h *Healer) load(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.loaded {
		return nil
	}
	var gone []Record
	for r, err := range h.store.Records(ctx, kindRepair, "") {
		if err != nil {
			return err
		}
		x := &Repair{}
		if err := json.Unmarshal(r.Value, x); err != nil {
			h.log.Error("the record of a repair cannot be read", "repair", r.Name, "error", err)
			continue
		}
		if x.States == nil {
			x.States = map[string]int64{}
		}
		if x.Plan == nil {
			x.Plan = &Plan{}
		}
		h.keep(x)
		h.last = max(h.last, x.Asked)
		if len(h.order) > repairsKept {
			gone = append(gone, Record{Kind: kindRepair, Name: r.Name})
		}
	}
	if n := len(h.order); n > 0 {
		var last int64
		_, _ = fmt.Sscanf(h.order[n-1], "r%x", &last)
		h.last = max(h.last, series.Time(last))
	}
	h.loaded = true
	return h.store.PutRecords(ctx, gone)
}

// Repairs lists the repairs that are remembered, the newest first.
func (h *Healer) Repairs(ctx context.Context) ([]Repair, error) {
	if err := h.load(ctx); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Repair, 0, len(h.order))
	for _, id := range slices.Backward(h.order) {
		out = append(out, h.repairs[id].clone())
	}
	return out, nil
}

// Repair returns one repair.
func (h *Healer) Repair(ctx context.Context, id string) (Repair, error) {
	if err := h.load(ctx); err != nil {
		return Repair{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.repairs[id]
	if x == nil {
		return Repair{}, fmt.Errorf("%w: %s", ErrNoRepair, id)
	}
	return x.clone(), nil
}

// Cancel ends a repair after the step it is at. What it wrote stays.
func (h *Healer) Cancel(ctx context.Context, id string) (Repair, error) {
	if err := h.load(ctx); err != nil {
		return Repair{}, err
	}
	h.mu.Lock()
	x := h.repairs[id]
	if x == nil {
		h.mu.Unlock()
		return Repair{}, fmt.Errorf("%w: %s", ErrNoRepair, id)
	}
	if x.Status.Ended() {
		defer h.mu.Unlock()
		return x.clone(), fmt.Errorf("repair %s is %s: there is nothing to cancel", id, x.Status)
	}
	if cancel := h.cancels[id]; cancel != nil {
		cancel()
	}
	x.Status, x.Ended = Cancelled, h.now()
	out := x.clone()
	h.mu.Unlock()
	h.observe(out)
	return out, h.save(ctx, &out)
}

// Undo takes back what a repair changed. Slots that something else changed
// since stay as they are. To undo it again does what is left.
func (h *Healer) Undo(ctx context.Context, id, actor string) (Undone, error) {
	if err := h.load(ctx); err != nil {
		return Undone{}, err
	}
	h.mu.Lock()
	x := h.repairs[id]
	h.mu.Unlock()
	if x == nil {
		return Undone{}, fmt.Errorf("%w: %s", ErrNoRepair, id)
	}
	if !x.Status.Ended() {
		return Undone{}, fmt.Errorf("repair %s is %s: cancel it first", id, x.Status)
	}
	if err := h.reopen(ctx, x); err != nil {
		return Undone{}, err
	}
	u, err := h.store.Undo(ctx, id, Change{Actor: actor})
	if err != nil {
		return u, err
	}
	h.mu.Lock()
	x.Status = TakenBack
	out := x.clone()
	h.mu.Unlock()
	h.observe(out)
	return u, h.save(ctx, &out)
}

// Work carries out the repairs that are queued, and those that were under way
// when the process ended, until none is left.
func (h *Healer) Work(ctx context.Context) error {
	select {
	case h.queue <- struct{}{}:
		defer func() { <-h.queue }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := h.load(ctx); err != nil {
		return err
	}
	for {
		x := h.next()
		if x == nil {
			return nil
		}
		if err := h.carryOut(ctx, x); err != nil {
			return err
		}
	}
}

// next returns the oldest repair that has not ended.
func (h *Healer) next() *Repair {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range h.order {
		if x := h.repairs[id]; !x.Status.Ended() {
			return x
		}
	}
	return nil
}

// Run works on the queue until ctx ends, and looks by itself for new holes
// every Policy.Every if auto is set.
func (h *Healer) Run(ctx context.Context, auto func() bool) error {
	for {
		if err := h.Work(ctx); err != nil {
			return err
		}
		var tick <-chan time.Time
		t := time.NewTimer(h.Policy().Every)
		tick = t.C
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-h.wake:
			t.Stop()
		case <-tick:
			if auto() {
				if err := h.Detect(ctx); err != nil {
					return err
				}
			}
		}
	}
}

// Detect looks for holes of all series inside Policy.Window whose time has come,
// and queues a repair of each series that has some.
func (h *Healer) Detect(ctx context.Context) error {
	all, err := h.store.Series(ctx)
	if err != nil {
		return err
	}
	pol := h.Policy()
	for _, s := range all {
		r := Request{Symbol: s.Symbol, Interval: s.Interval, Type: Auto, Actor: "healer"}
		if pol.Window > 0 {
			r.From = max(s.First, h.now()-series.Time(pol.Window/time.Millisecond))
		}
		p, err := h.Plan(ctx, r)
		if err != nil {
			return err
		}
		if p.Bars == 0 && !slices.ContainsFunc(p.Series, func(s SeriesPlan) bool { return len(s.Explain) > 0 }) {
			continue
		}
		if p.Over != "" && h.refusedBefore(r) {
			continue
		}
		if _, err := h.Start(ctx, r); err != nil {
			return err
		}
		if err := h.Work(ctx); err != nil {
			return err
		}
	}
	return nil
}

// refusedBefore reports whether the last repair of the series by the healer was
// refused less than a day ago, so that it need not be told again.
func (h *Healer) refusedBefore(r Request) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range slices.Backward(h.order) {
		x := h.repairs[id]
		if x.Request.Symbol == r.Symbol && x.Request.Interval == r.Interval && x.Request.Actor == r.Actor {
			return x.Status == Refused && h.now()-x.Asked < series.Day
		}
	}
	return false
}
