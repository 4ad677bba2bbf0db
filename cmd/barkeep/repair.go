package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
)

type repairFlags struct {
	symbol, interval, kind, from, to string
	against                          string
	dryRun, now, wait, approve       bool
	maxBars                          int64
	maxShare                         float64
}

func (a *app) repairCommand() *cobra.Command {
	var in repairFlags
	c := &cobra.Command{
		Use:   "repair --symbol S",
		Short: "Plan a repair and carry it out",
		Long: "Find the holes of a series, ask its sources for them, write what agrees with the bars\n" +
			"around, and record why the rest is absent. --dry-run says what would be asked and\n" +
			"changes nothing. A plan that would change more than the limits allow is refused.\n" +
			"Types: " + strings.Join(heal.Types(), ", ") + ".",
		Example: "  barkeep repair --symbol BTCUSDT --interval 1m --dry-run\n" +
			"  barkeep repair --symbol BTCUSDT --interval 1m --from 2024-01-01 --max-share 0.2",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.repair(c.Context(), in) },
	}
	f := c.Flags()
	f.StringVar(&in.symbol, "symbol", "", "symbol to repair")
	f.StringVar(&in.interval, "interval", "", "only this interval (default: every one of the symbol)")
	f.StringVar(&in.kind, "type", "auto", "what to do")
	f.StringVar(&in.from, "from", "", "from this time on (default: the first bar)")
	f.StringVar(&in.to, "to", "", "before this time (default: now)")
	f.BoolVar(&in.dryRun, "dry-run", false, "print the plan and change nothing")
	f.BoolVar(&in.now, "now", false, "ask too for what is not due to be asked for again yet")
	f.BoolVar(&in.approve, "approve", false, "with --type corruption: carry out what was proposed because fewer sources than data_healing.witnesses say it")
	f.StringVar(&in.against, "against", "", "with --type corruption: symbol of a second series of the same instrument; give stretches with wrong times their own, and nothing else")
	f.BoolVar(&in.wait, "wait", true, "under --url: wait until the repair has ended")
	f.Int64Var(&in.maxBars, "max-bars", 0, "how many bars may be changed (default: data_healing.max_bars_per_run)")
	f.Float64Var(&in.maxShare, "max-share", 0, "what share of a series may be changed (default: data_healing.max_share_per_run)")
	_ = c.MarkFlagRequired("symbol")
	return c
}

// body is the request as POST /data/repair takes it.
func (in repairFlags) body() ([]byte, error) {
	m := map[string]any{"symbol": in.symbol, "repair_type": in.kind}
	for key, text := range map[string]string{"from": in.from, "to": in.to} {
		if text == "" {
			continue
		}
		t, err := series.ParseTime(text)
		if err != nil {
			return nil, usagef("--%s: %w", key, err)
		}
		m[key] = t
	}
	if in.interval != "" {
		i, err := series.ParseInterval(in.interval)
		if err != nil {
			return nil, usagef("--interval: %w", err)
		}
		m["interval"] = i
	}
	if in.dryRun {
		m["dry_run"] = true
	}
	if in.now {
		m["now"] = true
	}
	if in.against != "" {
		m["against"] = in.against
	}
	if in.approve {
		m["approve"] = true
	}
	if in.maxBars != 0 {
		m["max_bars"] = in.maxBars
	}
	if in.maxShare != 0 {
		m["max_share"] = in.maxShare
	}
	return json.Marshal(m)
}

func (a *app) repair(ctx context.Context, in repairFlags) (err error) {
	body, err := in.body()
	if err != nil {
		return err
	}
	c, err := a.connectToChange()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	resp, err := c.do(ctx, http.MethodPost, "/data/repair", nil, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close() // it was only read
	var v struct {
		ID     string      `json:"repair_id"`
		Status heal.Status `json:"status"`
		Plan   *heal.Plan  `json:"plan"`
		Error  string      `json:"error,omitempty"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		return err
	}
	if in.dryRun {
		if a.cfg.Output == "json" {
			return a.printJSON(v)
		}
		return a.printPlan(v.Plan)
	}
	if v.Status != heal.Refused && c.healing != nil {
		if err := c.healing.Work(ctx); err != nil {
			return err
		}
	}
	x, err := a.follow(ctx, c, v.ID, in.wait)
	if err != nil {
		return err
	}
	if a.cfg.Output == "json" {
		return a.printJSON(x)
	}
	if err := a.printRepair(x); err != nil {
		return err
	}
	switch x.Status {
	case heal.Refused, heal.Failed:
		return errors.New(x.Error)
	}
	return nil
}

// follow reads a repair until it has ended.
func (a *app) follow(ctx context.Context, c *client, id string, wait bool) (*heal.Repair, error) {
	said := -1
	for {
		body, err := c.get(ctx, "/v1/repairs/"+id, nil)
		if err != nil {
			return nil, err
		}
		var x heal.Repair
		err = errors.Join(json.NewDecoder(body).Decode(&x), body.Close())
		if err != nil || x.Status.Ended() || !wait {
			return &x, err
		}
		if x.Step != said {
			said = x.Step
			a.note("repair %s: %d of %d questions, %d bars written\n", id, x.Step, x.Steps, x.Written)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
	}
}

func (a *app) printPlan(p *heal.Plan) error {
	t := newTable(a, "symbol", "interval", "step", "from", "to", "bars", "requests", "what")
	for _, s := range p.Series {
		row := func(step string, x heal.Step, what string) {
			t.row(s.Symbol, s.Interval.String(), step, x.From.String(), x.To.String(), count(x.Bars), count(x.Cost), what)
		}
		for _, x := range s.Explain {
			row("explain", x, x.State.String()+": "+x.Reason)
		}
		for _, x := range s.Audits {
			row("audit", x, "coarser bars of "+strings.Join(s.Sources, ", "))
		}
		for _, f := range s.Steps {
			if len(f.Stretches) == 0 {
				row("relabel", heal.Step{From: f.From, To: f.To, Bars: int64(f.Bars)}, f.Evidence)
			}
			for i, x := range f.Stretches {
				what := fmt.Sprintf("%s: prices times %.6g, volumes times %.6g, if sources say so", f.Rule, x.Price, x.Volume)
				if i > 0 {
					what = "or this one: " + what
				}
				row("rescale", heal.Step{From: x.From, To: x.To}, what)
			}
		}
		for _, x := range s.Windows {
			row("ask", x, strings.Join(s.Sources, ", "))
		}
		for _, x := range s.Fills {
			row("fill", x, x.Fill+" if nobody has it")
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, s := range p.Series {
		if s.NoAsk != "" {
			a.note("%s: nobody is asked: %s\n", s.Key, s.NoAsk)
		}
		if s.Waiting > 0 {
			a.note("%s: %d bars wait for their next attempt; --now asks for them too\n", s.Key, s.Waiting)
		}
	}
	if a.cfg.Output == "table" {
		a.printf("%d bars, about %d requests in %s\n", p.Bars, p.Requests, p.Takes.Round(time.Millisecond))
	}
	if p.Over != "" {
		a.note("this plan would be refused: %s\n", p.Over)
	}
	return nil
}

func (a *app) printRepair(x *heal.Repair) error {
	t := newTable(a, "symbol", "interval", "from", "to", "written", "sources", "left", "remarks")
	for _, o := range x.Outcomes {
		remarks := o.Rejected
		if o.Error != "" {
			remarks = append(slices.Clone(remarks), o.Error)
		}
		t.row(o.Symbol, o.Interval.String(), o.From.String(), o.To.String(), count(o.Written), strings.Join(o.Sources, ", "), statesText(o.States), strings.Join(remarks, "; "))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if a.cfg.Output == "table" {
		a.printf("repair %s is %s: %d bars written, %d filled, %d requests", x.ID, x.Status, x.Written, x.Filled, x.Requests)
		if text := statesText(x.States); text != "" {
			a.printf("; %s", text)
		}
		a.printf("\n")
	}
	return nil
}

func statesText(states map[string]int64) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(states)) {
		out = append(out, fmt.Sprintf("%d %s", states[k], k))
	}
	return strings.Join(out, ", ")
}

func (a *app) repairsCommand() *cobra.Command {
	var symbol string
	c := &cobra.Command{
		Use:   "repairs [ID]",
		Short: "List the repairs, or show one",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				return show(c.Context(), a, "/v1/repairs/"+args[0], nil, func(x heal.Repair) error {
					if a.cfg.Output == "json" {
						return nil
					}
					return a.printRepair(&x)
				})
			}
			return show(c.Context(), a, "/v1/repairs", query("symbol", symbol), func(v struct{ Repairs []heal.Repair }) error {
				if a.cfg.Output == "json" {
					return nil
				}
				t := newTable(a, "id", "symbol", "interval", "type", "status", "asked", "by", "written", "filled", "left")
				for _, x := range v.Repairs {
					interval := "all"
					if x.Request.Interval != 0 {
						interval = x.Request.Interval.String()
					}
					t.row(x.ID, x.Request.Symbol, interval, string(x.Request.Type), string(x.Status), x.Asked.String(), x.Request.Actor, count(x.Written), count(x.Filled), statesText(x.States))
				}
				return t.flush()
			})
		},
	}
	c.Flags().StringVar(&symbol, "symbol", "", "only this symbol")
	return c
}

func (a *app) qualityCommand() *cobra.Command {
	var symbol, interval string
	c := &cobra.Command{
		Use:   "quality",
		Short: "Print scores and their parts",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			type answer struct {
				heal.Quality
				Series []heal.Quality `json:"series"`
			}
			return show(c.Context(), a, "/v1/quality", query("symbol", symbol, "interval", interval), func(v answer) error {
				if a.cfg.Output == "json" {
					return nil
				}
				list := v.Series
				if v.Symbol != "" {
					list = []heal.Quality{v.Quality}
				}
				t := newTable(a, "symbol", "interval", "score", "completeness", "validity", "consistency", "freshness", "worst", "worst_from", "worst_to")
				for _, q := range list {
					worst, from, to := "", "", ""
					if q.Worst != nil {
						worst, from, to = scoreText(&q.Worst.Score), q.Worst.From.String(), q.Worst.To.String()
					}
					t.row(q.Symbol, q.Interval.String(), scoreText(q.Score), scoreText(q.Parts.Completeness), scoreText(q.Parts.Validity), scoreText(q.Parts.Consistency), scoreText(q.Parts.Freshness), worst, from, to)
				}
				return t.flush()
			})
		},
	}
	f := c.Flags()
	f.StringVar(&symbol, "symbol", "", "only this symbol")
	f.StringVar(&interval, "interval", "", "only this interval")
	return c
}

// scoreText rounds down: 1.0000 is said of nothing less.
func scoreText(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.4f", float64(int64(*v*10000))/10000)
}

func (a *app) explainCommand() *cobra.Command {
	var symbol, interval, at string
	c := &cobra.Command{
		Use:   "explain --symbol S --interval I --at T",
		Short: "Print everything that is known of one slot",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), a, "/v1/explain", query("symbol", symbol, "interval", interval, "at", at), func(v map[string]any) error {
				if a.cfg.Output == "json" {
					return nil
				}
				t := newTable(a, "what", "value")
				for _, k := range []string{"symbol", "interval", "from", "to", "state", "reason", "attempts", "first_asked", "last_asked", "next_try", "fill", "bar", "calendar", "open", "session", "run", "quarantine", "findings", "repairs", "damages"} {
					x, there := v[k]
					if !there || x == nil {
						continue
					}
					if list, ok := x.([]any); ok && len(list) == 0 {
						continue
					}
					t.row(k, factText(k, x))
				}
				return t.flush()
			})
		},
	}
	seriesFlags(c, &symbol, &interval)
	c.Flags().StringVar(&at, "at", "", "time of the slot")
	_ = c.MarkFlagRequired("at")
	return c
}

// factText writes a member of /v1/explain for a person.
func factText(key string, x any) string {
	switch v := x.(type) {
	case string:
		return v
	case float64:
		if key == "attempts" {
			return fmt.Sprint(int64(v))
		}
		return series.Time(v).String()
	}
	b, err := json.Marshal(x)
	if err != nil {
		return fmt.Sprint(x)
	}
	return string(b)
}
