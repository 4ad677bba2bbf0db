package main

import (
	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/series"
)

// gapScan is what /v1/gaps says of one series.
type gapScan struct {
	series.Key
	Calendar string
	Expected int64
	Present  int64
	Missing  int64
	Gaps     []struct {
		From, To series.Time
		Bars     int64
		State    string
		Reason   string
	}
	More int
}

// gapsAnswer is the answer of /v1/gaps, which is a list unless symbol and
// interval are given.
type gapsAnswer struct {
	gapScan
	Series []gapScan
}

func (v gapsAnswer) scans() []gapScan {
	if v.Symbol != "" {
		return []gapScan{v.gapScan}
	}
	return v.Series
}

func (a *app) gapsCommand() *cobra.Command {
	var symbol, interval, from, to string
	var check bool
	var past pastFlags
	c := &cobra.Command{
		Use:   "gaps",
		Short: "List the gaps of one series or of all",
		Long: "List the runs of bars that were expected and are not there, with the state that\n" +
			"says why. With --check the exit code is 3 if any is missing.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), a, "/v1/gaps", past.add(query("symbol", symbol, "interval", interval, "from", from, "to", to)),
				func(v gapsAnswer) error {
					if err := a.printGaps(v.scans()); err != nil {
						return err
					}
					for _, s := range v.scans() {
						if check && s.Missing > 0 {
							return errFindings
						}
					}
					return nil
				})
		},
	}
	f := c.Flags()
	f.StringVar(&symbol, "symbol", "", "only this symbol")
	f.StringVar(&interval, "interval", "", "only this interval")
	f.StringVar(&from, "from", "", "from this time on (default: the first bar)")
	f.StringVar(&to, "to", "", "before this time (default: behind the last bar)")
	f.BoolVar(&check, "check", false, "exit with 3 if a bar is missing")
	past.flags(c)
	return c
}

func (a *app) printGaps(scans []gapScan) error {
	if a.cfg.Output == "json" {
		return nil
	}
	t := newTable(a, "symbol", "interval", "from", "to", "bars", "state", "reason")
	var gaps int
	var missing int64
	for _, s := range scans {
		for _, g := range s.Gaps {
			t.row(s.Symbol, s.Interval.String(), g.From.String(), g.To.String(), count(g.Bars), g.State, g.Reason)
		}
		gaps += len(s.Gaps) + s.More
		missing += s.Missing
		if s.More > 0 {
			a.note("%s: %d gaps more; narrow the question with --from and --to\n", s.Key, s.More)
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	if a.cfg.Output == "table" {
		a.printf("%d gaps, %d bars missing in %d series\n", gaps, missing, len(scans))
	}
	return nil
}
