package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/api"
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
			"again mends it. Until then verify goes on to report it. A store that does not open\n" +
			"as it is is repaired, too: what can be read of its files is kept, what is lost is\n" +
			"named, and the files as they were stay in the folder damaged of the data directory,\n" +
			"one folder per repair, which Barkeep never reads or removes.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if a.cfg.URL != "" {
				return usagef("verify opens a store: leave --url out, and stop the server first")
			}
			if !storeExists(a.cfg.Data) {
				return fmt.Errorf("there is no store in %s: name the directory with --data", a.cfg.Data)
			}
			n, err := a.verify(c.Context(), repair)
			switch {
			case err != nil:
				return err
			case n == 0:
				return nil
			case check:
				return errFindings
			case n == 1:
				return errors.New("1 fault found")
			}
			return fmt.Errorf("%d faults found", n)
		},
	}
	c.Flags().BoolVar(&check, "check", false, "exit with 3 if anything is wrong")
	c.Flags().BoolVar(&repair, "repair", false, "quarantine what is damaged")
	return c
}

// verify reads the whole store, prints what is wrong and counts it. What
// opening found is counted, too: under repair it is put right by then.
func (a *app) verify(ctx context.Context, repair bool) (faults int, err error) {
	s, err := a.open(!repair, "barkeep verify")
	if errors.Is(err, series.ErrCorrupt) && !repair {
		return 1, a.printReport(verdict{broken: err})
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	v := verdict{opening: s.FoundNow(), repair: repair}
	p := a.progress("verify", "blocks", 0)
	v.VerifyReport, err = s.Verify(ctx, storage.VerifyOptions{Repair: repair, Progress: p.set})
	p.done()
	if err != nil {
		return 0, err
	}
	v.kept, v.ledger = a.damagedFiles(), api.LedgerOf(s.Stats().Root)
	return len(v.Damaged) + len(v.Problems) + len(v.opening), a.printReport(v)
}

// verdict is what there is to report.
type verdict struct {
	storage.VerifyReport
	broken  error            // why the store cannot be opened; there is no more to say
	opening []storage.Damage // what opening found
	ledger  api.Ledger
	repair  bool
	kept    string // the folder of damaged files; empty without one
}

// damagedFiles is where the store keeps the files that it replaced.
func (a *app) damagedFiles() string {
	dir := filepath.Join(a.cfg.Data, "damaged")
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return dir
}

func (a *app) printReport(r verdict) error {
	opening := make([]api.Damage, 0, len(r.opening))
	for _, d := range r.opening {
		opening = append(opening, api.DamageOf(d))
	}
	if r.broken != nil {
		text := r.broken.Error()
		if d, ok := errors.AsType[*storage.DamagedStoreError](r.broken); ok {
			text = d.Error()
		}
		r.Problems = []string{text}
	}
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
			Seq      uint64   `json:"seq"` // this and root as in /v1/ledger
			Root     string   `json:"root"`
			// Damages are what opening the store found.
			Damages []api.Damage `json:"damages"`
			// Files is where damaged files are kept, null if there are none.
			Files *string `json:"damaged_files"`
		}{r.Series, r.Blocks, r.Bars, r.Bytes, list, append([]string{}, r.Problems...), r.repair, r.ledger.Seq, r.ledger.Root, opening, orNull(r.kept)})
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
	for _, d := range r.opening {
		a.printf("found on opening: %v\n", d)
	}
	for _, p := range r.Problems {
		a.printf("problem: %s\n", p)
	}
	if r.broken != nil {
		return nil
	}
	a.printf("%d series, %d blocks, %d bars, %d bytes read: %d damaged, %d problems\n",
		r.Series, r.Blocks, r.Bars, r.Bytes, len(list), len(r.Problems))
	if r.repair && len(list) > 0 {
		a.printf("what is damaged is in quarantine now\n")
	}
	if r.kept != "" {
		a.printf("damaged files are kept in %s, where Barkeep never reads or removes them\n", r.kept)
	}
	return nil
}

// orNull is for JSON: an empty text is null.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
