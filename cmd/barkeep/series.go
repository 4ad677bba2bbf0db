package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/series"
)

// seriesAnswer is the answer of /v1/series.
type seriesAnswer struct {
	Series []struct {
		series.Key
		Calendar    string
		First, Last *series.Time
		Bars        int64
		Expected    int64
		Missing     int64
		Gaps        int
		Quarantined int64
		Score       *float64
		Bytes       int64
	}
}

func (a *app) seriesCommand() *cobra.Command {
	var symbol string
	c := &cobra.Command{
		Use:   "series",
		Short: "List every series with its counts, span and gaps",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), a, "/v1/series", query("symbol", symbol), a.printSeries)
		},
	}
	c.Flags().StringVar(&symbol, "symbol", "", "only this symbol")
	return c
}

func (a *app) printSeries(v seriesAnswer) error {
	if a.cfg.Output == "json" {
		return nil
	}
	t := newTable(a, "symbol", "interval", "calendar", "first", "last", "bars", "expected", "missing", "gaps", "quarantined", "score", "bytes")
	for _, s := range v.Series {
		score := "-"
		if s.Score != nil {
			score = strconv.FormatFloat(*s.Score, 'f', 4, 64)
		}
		t.row(s.Symbol, s.Interval.String(), s.Calendar, timeText(s.First), timeText(s.Last), count(s.Bars), count(s.Expected),
			count(s.Missing), strconv.Itoa(s.Gaps), count(s.Quarantined), score, count(s.Bytes))
	}
	return t.flush()
}

func timeText(t *series.Time) string {
	if t == nil {
		return "-"
	}
	return t.String()
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

func percent(share float64) string { return fmt.Sprintf("%.4f%%", 100*share) }
