package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/heal"
)

func (a *app) inspectCommand() *cobra.Command {
	var symbol, interval, from, to, rule, severity, against string
	var check, self bool
	var seed uint64
	c := &cobra.Command{
		Use:   "inspect",
		Short: "Run the corruption rules and list what they find",
		Long: "Run the corruption rules over the stored bars and list what they find. Nothing is\n" +
			"changed. With --check the exit code is 3 if a bar cannot be true, or is most likely\n" +
			"wrong. What the rules look for stands in docs/rules.md. With --self-test they are\n" +
			"measured: the exit code is 1 if one that changes bars by itself finds too little or\n" +
			"too much.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if self {
				return a.selfTest(c.Context(), symbol, interval, seed)
			}
			q := query("symbol", symbol, "interval", interval, "from", from, "to", to, "rule", rule, "severity", severity, "against", against)
			return show(c.Context(), a, "/v1/findings", q, func(v struct {
				Findings []heal.Finding
				More     bool
			},
			) error {
				bad := 0
				for _, f := range v.Findings {
					if f.Severity != heal.Notable {
						bad++
					}
				}
				if a.cfg.Output != "json" {
					t := newTable(a, "symbol", "interval", "rule", "severity", "from", "to", "bars", "action", "evidence")
					for _, f := range v.Findings {
						t.row(f.Symbol, f.Interval.String(), f.Rule, string(f.Severity), f.From.String(), f.To.String(), fmt.Sprint(f.Bars), string(f.Action), f.Evidence)
					}
					if err := t.flush(); err != nil {
						return err
					}
					if a.cfg.Output == "table" {
						a.printf("%d findings\n", len(v.Findings))
					}
				}
				if v.More {
					a.note("more follow: narrow the question\n")
				}
				if check && bad > 0 {
					return errFindings
				}
				return nil
			})
		},
	}
	f := c.Flags()
	f.StringVar(&symbol, "symbol", "", "only this symbol")
	f.StringVar(&interval, "interval", "", "only this interval")
	f.StringVar(&from, "from", "", "from this time on")
	f.StringVar(&to, "to", "", "before this time")
	f.StringVar(&rule, "rule", "", "only these rules, separated by commas")
	f.StringVar(&severity, "severity", "", "only violation, suspicious or notable")
	f.StringVar(&against, "against", "", "symbol of a second series of the same instrument: find stretches with wrong times")
	f.BoolVar(&check, "check", false, "exit with 3 if something is wrong")
	f.BoolVar(&self, "self-test", false, "damage copies of bars and measure what each rule finds; with --symbol and --interval those of a series")
	f.Uint64Var(&seed, "seed", 1, "of the damage of --self-test")
	return c
}
