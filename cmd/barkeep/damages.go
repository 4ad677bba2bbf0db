package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/api"
)

// damagesAnswer is the answer of /v1/damages.
type damagesAnswer struct {
	Damages []api.Damage
	More    bool
}

func (a *app) damagesCommand() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use:   "damages",
		Short: "List the losses that were ever found, newest first",
		Long: "List the losses that were ever found, newest first: what was lost, where and how it\n" +
			"was found. The list is a record and does not get shorter when bars are written again;\n" +
			"barkeep verify says what is damaged now.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			text := ""
			if limit != 0 {
				text = strconv.Itoa(limit)
			}
			return show(c.Context(), a, "/v1/damages", query("limit", text), func(v damagesAnswer) error {
				if a.cfg.Output == "json" {
					return nil
				}
				if len(v.Damages) == 0 && a.cfg.Output == "table" {
					a.printf("no damage was ever found\n")
					return nil
				}
				if err := a.printDamages(v.Damages); err != nil {
					return err
				}
				if v.More {
					a.note("there are more: see --limit\n")
				}
				return nil
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 0, "how many to list (default 10000, which is the most)")
	return c
}

func (a *app) printDamages(list []api.Damage) error {
	t := newTable(a, "at", "symbol", "interval", "from", "to", "bars", "found", "what")
	for _, d := range list {
		symbol, interval, bars := "-", "-", "-"
		if d.Symbol != nil {
			symbol = *d.Symbol
		}
		if d.Interval != nil {
			interval = d.Interval.String()
		}
		if d.Bars != nil {
			bars = count(*d.Bars)
		}
		t.row(d.At.String(), symbol, interval, timeText(d.From), timeText(d.To), bars, d.Found, d.What)
	}
	return t.flush()
}
