package main

import (
	"net/url"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/series"
)

// coverageAnswer is the answer of /v1/coverage.
type coverageAnswer struct {
	States       map[string]int64
	Total        int64
	Completeness *float64
}

func (a *app) coverageCommand() *cobra.Command {
	var symbol, interval, from, to string
	var past pastFlags
	c := &cobra.Command{
		Use:   "coverage --symbol S --interval I",
		Short: "Split the slots of a series into states; they sum to 100%",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), a, "/v1/coverage", past.add(query("symbol", symbol, "interval", interval, "from", from, "to", to)), a.printCoverage)
		},
	}
	f := c.Flags()
	seriesFlags(c, &symbol, &interval)
	f.StringVar(&from, "from", "", "from this time on (default: the first bar)")
	f.StringVar(&to, "to", "", "before this time (default: behind the last bar)")
	past.flags(c)
	return c
}

func (a *app) printCoverage(v coverageAnswer) error {
	if a.cfg.Output == "json" {
		return nil
	}
	t := newTable(a, "state", "bars", "share")
	for st := range series.State(series.NumStates) {
		n := v.States[st.String()]
		if n == 0 {
			continue
		}
		t.row(st.String(), count(n), percent(float64(n)/float64(v.Total)))
	}
	t.row("total", count(v.Total), percent(1))
	if err := t.flush(); err != nil {
		return err
	}
	if v.Completeness != nil && a.cfg.Output == "table" {
		a.printf("completeness %s of the bars in which the market was open\n", percent(*v.Completeness))
	}
	return nil
}

// seriesFlags adds --symbol and --interval, both needed.
func seriesFlags(c *cobra.Command, symbol, interval *string) {
	c.Flags().StringVar(symbol, "symbol", "", "symbol, such as BTCUSDT")
	c.Flags().StringVar(interval, "interval", "", "width of a bar, such as 1m")
	need := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if *symbol == "" || *interval == "" {
			return usagef("name the series: --symbol S --interval I")
		}
		if err := series.CheckSymbol(*symbol); err != nil {
			return usageError{err}
		}
		if _, err := series.ParseInterval(*interval); err != nil {
			return usageError{err}
		}
		if need != nil {
			return need(c, args)
		}
		return nil
	}
}

// pastFlags are --asof and --causal.
type pastFlags struct {
	asof   string
	causal bool
}

func (p *pastFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&p.asof, "asof", "", "answer as the store would have answered at this time")
	c.Flags().BoolVar(&p.causal, "causal", false, "forget what repairs knew later than the end of a bar")
}

func (p *pastFlags) add(q url.Values) url.Values {
	if p.asof != "" {
		q.Set("asof", p.asof)
	}
	if p.causal {
		q.Set("causal", "true")
	}
	return q
}
