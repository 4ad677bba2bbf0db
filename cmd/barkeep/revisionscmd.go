package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/heal"
)

func (a *app) revisionsCommand() *cobra.Command {
	var recent bool
	c := &cobra.Command{
		Use:   "revisions",
		Short: "Print how often sources revise their bars",
		Long: `A server reads a few new bars of each series again when they are a minute, an
hour, a day and a week old. Prices and volumes are the bars of which a source
said something else than at the age before. Final is the age from which on less
than one bar in a thousand has other prices later; empty until enough was read.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			type answer struct {
				Sources   []heal.Revisions `json:"sources"`
				Revisions []heal.Revision  `json:"revisions"`
			}
			return show(c.Context(), a, "/v1/revisions", nil, func(v answer) error {
				if a.cfg.Output == "json" {
					return nil
				}
				if recent {
					t := newTable(a, "seen", "symbol", "interval", "time", "source", "age", "close_before", "close_after", "volume_before", "volume_after")
					for _, r := range v.Revisions {
						t.row(r.Seen.String(), r.Symbol, r.Interval.String(), r.Time.String(), r.Source, ageText(r.Age), numberText(r.Before[3]), numberText(r.After[3]), numberText(r.Before[4]), numberText(r.After[4]))
					}
					return t.flush()
				}
				t := newTable(a, "source", "age", "read", "prices", "volumes", "final")
				for _, x := range v.Sources {
					final := ""
					if x.Final != nil {
						final = ageText(*x.Final)
					}
					for _, age := range x.Ages {
						t.row(x.Source, ageText(age.Age), count(age.Reads), count(age.Prices), count(age.Volumes), final)
					}
				}
				return t.flush()
			})
		},
	}
	c.Flags().BoolVar(&recent, "recent", false, "print the revisions that were seen last")
	return c
}

// ageText writes an age without the parts that are zero.
func ageText(d time.Duration) string {
	switch {
	case d >= 24*time.Hour && d%(24*time.Hour) == 0:
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	case d%time.Hour == 0:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	case d%time.Minute == 0:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	}
	return d.String()
}

func numberText(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
