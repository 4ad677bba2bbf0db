package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/heal/healstore"
	"github.com/barkeepdb/barkeep/heal/healtest"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
	"github.com/barkeepdb/barkeep/storage"
)

// What a rule has to reach that changes bars.
const (
	wantRecall    = 0.95
	wantPrecision = 0.999
	// A split is taken for one where the volume confirms it, and medians of nine
	// volumes are noisy.
	wantSplits = 0.8
)

// selfTestBars bounds how much of a real series is damaged: its newest bars.
const selfTestBars = 50_000

// ruleScore is how well a rule found one kind of damage.
type ruleScore struct {
	Rule    string      `json:"rule"`
	Damage  string      `json:"damage"`
	Action  heal.Action `json:"action"`
	Bars    int64       `json:"damaged_bars"`
	Found   int64       `json:"found"`
	Extra   int64       `json:"false"` // found, but neither damaged nor found before the damage
	Recall  float64     `json:"recall"`
	Precise float64     `json:"precision"`
}

// good reports whether the rule finds what it should, and nothing else.
func (r ruleScore) good() bool {
	least := wantRecall
	if r.Rule == "split" {
		least = wantSplits
	}
	return r.Bars == 0 || r.Action == heal.FlagOnly || r.Recall >= least && r.Precise >= wantPrecision
}

// trusted reports whether it may go on changing bars: only what does so without
// a witness needs to be good.
func (r ruleScore) trusted() bool { return r.good() || r.Action != heal.AutoCorrect }

// selfTest damages copies of bars in every way that is known and measures what
// the rules find: random walks or, of a named series, its newest bars. Stored
// bars stay as they are.
func (a *app) selfTest(ctx context.Context, symbol, interval string, seed uint64) (err error) {
	dir, err := os.MkdirTemp("", "barkeep-self-test-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := storage.Open(dir, storage.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	h, err := heal.New(heal.Options{Store: healstore.New(s)})
	if err != nil {
		return err
	}

	var truths []*series.Columns
	width := series.Interval1m
	if symbol != "" {
		if width, err = series.ParseInterval(interval); err != nil {
			return usagef("--self-test with --symbol needs --interval: %v", err)
		}
		c, err := a.newest(ctx, symbol, interval)
		if err != nil {
			return err
		}
		truths = append(truths, c)
	} else {
		for i, share := range []float64{1, 0.98, 0.9} {
			truths = append(truths, healtest.Walk(rand.New(rand.NewPCG(seed, uint64(i))), 1_704_067_200_000, 12_000, share))
		}
	}
	actions := map[string]heal.Action{}
	for _, r := range heal.Rules() {
		actions[r.ID] = r.Action
	}
	var scores []ruleScore
	for n, f := range healtest.Faults() {
		x := ruleScore{Rule: f.Rule, Damage: f.Name, Action: actions[f.Rule]}
		for i, truth := range truths {
			key := series.Key{Symbol: fmt.Sprintf("T%d-%d", n, i), Interval: width}
			if f.Daily() && symbol == "" {
				key.Interval, truth = series.Interval1d, healtest.Days(truth)
			} else if f.Daily() && width.Intraday() {
				continue
			}
			if err := measure(ctx, s, h, key, truth, f, rand.New(rand.NewPCG(seed, uint64(100*n+i))), &x); err != nil {
				return err
			}
		}
		x.Recall = float64(x.Found) / float64(max(x.Bars, 1))
		x.Precise = float64(x.Found) / float64(max(x.Found+x.Extra, 1))
		scores = append(scores, x)
	}
	return a.printScores(scores)
}

// measure damages a copy of truth, and adds to x what its rule finds.
func measure(ctx context.Context, s *storage.Store, h *heal.Healer, key series.Key, truth *series.Columns, f healtest.Fault, r *rand.Rand, x *ruleScore) error {
	bad, changed := healtest.Apply(r, truth, f, 15)
	before, err := foundIn(ctx, s, h, key, truth, f.Rule)
	if err != nil {
		return err
	}
	// Under another name: damage that takes bars away would leave those before.
	key.Symbol += "-damaged"
	found, err := foundIn(ctx, s, h, key, bad, f.Rule)
	if err != nil {
		return err
	}
	grid := series.Grid{Interval: key.Interval}
	var damaged []series.Run
	for _, i := range changed {
		if i < bad.Len() {
			n := grid.SlotAt(bad.Time[i])
			damaged = series.Union(nil, damaged, []series.Run{{From: n, To: n + 1}})
		}
	}
	hit := series.Intersect(nil, damaged, found)
	x.Bars += series.Total(damaged)
	x.Found += series.Total(hit)
	x.Extra += series.Total(series.Subtract(nil, series.Subtract(nil, found, damaged), before))
	return nil
}

// foundIn writes bars into an empty series, and returns the slots that a rule
// finds.
func foundIn(ctx context.Context, s *storage.Store, h *heal.Healer, key series.Key, c *series.Columns, rule string) (found []series.Run, err error) {
	if _, err := s.Write(ctx, key, healtest.Clone(c), storage.WriteOptions{OnConflict: storage.Replace}); err != nil {
		return nil, err
	}
	info, err := s.Info(key)
	if err != nil {
		return nil, err
	}
	err = h.Inspect(ctx, key, heal.InspectOptions{Rules: []string{rule}}, func(x heal.Finding) error {
		found = series.Union(nil, found, []series.Run{info.Grid.Run(series.Span{From: x.From, To: x.To})})
		return nil
	})
	return found, err
}

// newest are the newest bars of a stored series.
func (a *app) newest(ctx context.Context, symbol, interval string) (c *series.Columns, err error) {
	cl, err := a.connect()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cl.close()) }()
	q := query("symbol", symbol, "interval", interval, "fill", "none", "order", "desc", "format", "csv", "limit", fmt.Sprint(selfTestBars))
	body, err := cl.get(ctx, "/v1/bars", q)
	if err != nil {
		return nil, err
	}
	defer body.Close() // it was only read
	in, err := barfile.Open(body, barfile.Options{Format: barfile.CSV})
	if err != nil {
		return nil, err
	}
	defer in.Close() // the same
	var all []series.Bar
	var chunk series.Columns
	for {
		_, err := in.Next(&chunk, 0) // rows that are no bars were never stored
		for i := range chunk.Time {
			all = append(all, chunk.Bar(i))
		}
		if err == io.EOF { //nolint:errorlint // Next says so
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if len(all) < 2000 {
		return nil, fmt.Errorf("%s %s has %d bars: a self-test needs 2,000", symbol, interval, len(all))
	}
	c = &series.Columns{}
	for _, b := range slices.Backward(all) {
		c.Append(b)
	}
	return c, nil
}

func (a *app) printScores(scores []ruleScore) error {
	bad := 0
	for _, x := range scores {
		if !x.trusted() {
			bad++
		}
	}
	if a.cfg.Output == "json" {
		if err := a.printJSON(map[string]any{"rules": scores}); err != nil {
			return err
		}
	} else {
		t := newTable(a, "rule", "damage", "action", "bars", "found", "false", "recall", "precision", "")
		for _, x := range scores {
			word, recall := "", fmt.Sprintf("%.3f", x.Recall)
			if !x.good() {
				word = "low"
			}
			if x.Bars == 0 {
				word, recall = "no place for it", "-"
			}
			t.row(x.Rule, x.Damage, string(x.Action), fmt.Sprint(x.Bars), fmt.Sprint(x.Found), fmt.Sprint(x.Extra), recall, fmt.Sprintf("%.4f", x.Precise), word)
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d kinds of damage are not found as they should be by rules that change bars by themselves: at least %v of it, and %v of what is found", bad, wantRecall, wantPrecision)
	}
	return nil
}
