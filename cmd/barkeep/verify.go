package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// damage is one damaged stretch as verify prints it.
type damage struct {
	series.Key
	From   series.Time `json:"from"`
	To     series.Time `json:"to"`
	Reason string      `json:"reason"`
}

func (a *app) verifyCommand() *cobra.Command {
	var check, repair bool
	c := &cobra.Command{
		Use:   "verify",
		Short: "Read every block and check every checksum",
		Long: "Read every block, check every checksum and compare the index with what is there.\n" +
			"Damage makes the exit code 1, under --check 3. With --repair what is damaged goes to\n" +
			"quarantine, so that the rest of its series can be read; importing the same bars\n" +
			"again mends it. Until then verify goes on to report it.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if a.cfg.URL != "" {
				return usagef("verify opens a store: leave --url out, and stop the server first")
			}
			if !storeExists(a.cfg.Data) {
				return fmt.Errorf("there is no store in %s: name the directory with --data", a.cfg.Data)
			}
			s, err := a.open(!repair, "barkeep verify")
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			p := a.progress("verify", "blocks", 0)
			report, err := s.Verify(c.Context(), storage.VerifyOptions{Repair: repair, Progress: p.set})
			p.done()
			if err != nil {
				return err
			}
			if err := a.printReport(report, repair); err != nil {
				return err
			}
			switch bad := len(report.Damaged) + len(report.Problems); {
			case bad == 0:
				return nil
			case check:
				return errFindings
			default:
				return fmt.Errorf("%d faults found", bad)
			}
		},
	}
	c.Flags().BoolVar(&check, "check", false, "exit with 3 if anything is wrong")
	c.Flags().BoolVar(&repair, "repair", false, "quarantine what is damaged")
	return c
}

func (a *app) printReport(r storage.VerifyReport, repaired bool) error {
	list := make([]damage, 0, len(r.Damaged))
	for _, d := range r.Damaged {
		list = append(list, damage{d.Key, d.Span.From, d.Span.To, d.Reason})
	}
	if a.cfg.Output == "json" {
		return json.NewEncoder(a.stdout).Encode(struct {
			Series   int64    `json:"series"`
			Blocks   int64    `json:"blocks"`
			Bars     int64    `json:"bars"`
			Bytes    int64    `json:"bytes"`
			Damaged  []damage `json:"damaged"`
			Problems []string `json:"problems"`
			Repaired bool     `json:"repaired"`
		}{r.Series, r.Blocks, r.Bars, r.Bytes, list, append([]string{}, r.Problems...), repaired})
	}
	if len(list) > 0 {
		t := newTable(a, "symbol", "interval", "from", "to", "damage")
		for _, d := range list {
			t.row(d.Symbol, d.Interval.String(), d.From.String(), d.To.String(), d.Reason)
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	if a.cfg.Output == "csv" {
		return nil
	}
	for _, p := range r.Problems {
		a.printf("problem: %s\n", p)
	}
	a.printf("%d series, %d blocks, %d bars, %d bytes read: %d damaged, %d problems\n",
		r.Series, r.Blocks, r.Bars, r.Bytes, len(list), len(r.Problems))
	if repaired && len(list) > 0 {
		a.printf("what is damaged is in quarantine now\n")
	}
	return nil
}
