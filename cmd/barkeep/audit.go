package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/series"
)

// auditAnswer is what /v1/audit says.
type auditAnswer struct {
	Entries []struct {
		Seq                      uint64
		Op                       string
		Symbol                   string
		Interval                 series.Interval
		At                       series.Time
		Source, Actor, Cause     string
		Repair, Rule, Evidence   string
		Added, Replaced, Removed int64
		Explained                []struct{ From, To series.Time }
	}
	Next *string
}

func (a *app) auditCommand() *cobra.Command {
	var symbol, interval, from, to, repair, rule, against string
	var verify, head bool
	var limit int
	c := &cobra.Command{
		Use:   "audit",
		Short: "Print the journal, prove it, or print its head",
		Long: "Print what was changed, by whom and why. --head takes all entries into the audit log and\n" +
			"prints its head; keep it elsewhere. --verify reads the whole journal and proves that no\n" +
			"entry was changed, with --against SIZE:ROOT also since that head was printed.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case head:
				return a.auditHead(c)
			case verify:
				return a.auditVerify(c, against)
			}
			q := query("symbol", symbol, "interval", interval, "from", from, "to", to, "repair", repair, "rule", rule)
			q.Set("limit", fmt.Sprint(limit))
			return show(c.Context(), a, "/v1/audit", q, func(v auditAnswer) error {
				if a.cfg.Output == "json" {
					return nil
				}
				t := newTable(a, "seq", "at", "change", "symbol", "interval", "added", "replaced", "removed", "explained", "source", "actor", "repair", "why")
				for _, e := range v.Entries {
					why := e.Rule
					if e.Cause != "" {
						why = e.Cause
					}
					t.row(fmt.Sprint(e.Seq), e.At.String(), e.Op, e.Symbol, e.Interval.String(), count(e.Added), count(e.Replaced), count(e.Removed), fmt.Sprint(len(e.Explained)), e.Source, e.Actor, e.Repair, why)
				}
				if err := t.flush(); err != nil {
					return err
				}
				if v.Next != nil {
					a.note("more follow: narrow the question with --from and --to, or raise --limit\n")
				}
				return nil
			})
		},
	}
	f := c.Flags()
	f.StringVar(&symbol, "symbol", "", "only this symbol")
	f.StringVar(&interval, "interval", "", "only this interval")
	f.StringVar(&from, "from", "", "changes made at this time or later")
	f.StringVar(&to, "to", "", "changes made before this time")
	f.StringVar(&repair, "repair", "", "only this repair")
	f.StringVar(&rule, "rule", "", "only this rule")
	f.IntVar(&limit, "limit", 100, "at most so many, up to 1000")
	f.BoolVar(&verify, "verify", false, "prove that the journal is as it was written")
	f.BoolVar(&head, "head", false, "bring the audit log up to date and print its head")
	f.StringVar(&against, "against", "", "SIZE:ROOT of an earlier head, for --verify")
	return c
}

func (a *app) auditHead(c *cobra.Command) (err error) {
	cl, err := a.connectToChange()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cl.close()) }()
	resp, err := cl.do(c.Context(), http.MethodPost, "/v1/audit/head", nil, "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() // it was only read
	var v struct {
		Store string      `json:"store"`
		Size  int64       `json:"size"`
		Root  string      `json:"root"`
		At    series.Time `json:"at"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		return err
	}
	if a.cfg.Output == "json" {
		return a.printJSON(v)
	}
	a.printf("%d:%s\n", v.Size, v.Root)
	return nil
}

func (a *app) auditVerify(c *cobra.Command, against string) error {
	q := query()
	if against != "" {
		size, root, ok := strings.Cut(against, ":")
		if !ok {
			return usagef("--against %q is not SIZE:ROOT, as --head prints it", against)
		}
		q = query("size", size, "root", root)
	}
	type answer struct {
		OK       bool
		Entries  int64
		Head     struct{ Size int64 }
		Problems []string
	}
	return show(c.Context(), a, "/v1/audit/verify", q, func(v answer) error {
		if a.cfg.Output != "json" {
			for _, p := range v.Problems {
				a.printf("%s\n", p)
			}
			if v.OK {
				a.printf("%d entries are as they were written, %d of them in the audit log\n", v.Entries, v.Head.Size)
			}
		}
		if !v.OK {
			return fmt.Errorf("the journal was changed: %d problems", len(v.Problems))
		}
		return nil
	})
}

func (a *app) undoCommand() *cobra.Command {
	var symbol, interval, rule, source, actor, since, until string
	var version int
	c := &cobra.Command{
		Use:   "undo [REPAIR_ID]",
		Short: "Take back a repair, or all changes of a rule, a source, an actor or a time",
		Long: "Take changes back: bars and explanations are what they were before. What something else\n" +
			"changed later stays. The undo is journaled and can be undone itself.",
		Example: "  barkeep undo r01a2186cd0c5\n  barkeep undo --rule fill --since 2024-01-01",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			path, m := "/v1/undo", map[string]any{}
			if len(args) == 1 {
				path = "/v1/repairs/" + args[0] + "/undo"
			} else {
				for k, v := range map[string]string{"symbol": symbol, "interval": interval, "rule": rule, "source": source, "actor": actor, "since": since, "until": until} {
					if v != "" {
						m[k] = v
					}
				}
				if version != 0 {
					m["rule_version"] = version
				}
				if len(m) == 0 {
					return usagef("say what is to be undone: a repair, or --rule, --source, --actor, --since, --until, --symbol with --interval")
				}
			}
			body, err := json.Marshal(m)
			if err != nil {
				return err
			}
			cl, err := a.connectToChange()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, cl.close()) }()
			resp, err := cl.do(c.Context(), http.MethodPost, path, nil, "application/json", bytes.NewReader(body))
			if err != nil {
				return err
			}
			defer resp.Body.Close() // it was only read
			var v struct {
				Restored  int64 `json:"bars_restored"`
				Removed   int64 `json:"bars_removed"`
				Explained int64 `json:"slots_explained"`
				Skipped   int64 `json:"slots_skipped"`
				Kept      []struct {
					Symbol   string          `json:"symbol"`
					Interval series.Interval `json:"interval"`
					From     series.Time     `json:"from"`
					To       series.Time     `json:"to"`
					Bars     int64           `json:"bars"`
					By       uint64          `json:"by"`
					Why      string          `json:"why"`
				} `json:"kept"`
			}
			if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
				return err
			}
			if a.cfg.Output == "json" {
				return a.printJSON(v)
			}
			a.printf("%d bars restored, %d removed, %d slots explained as before, %d left as they are\n", v.Restored, v.Removed, v.Explained, v.Skipped)
			if len(v.Kept) == 0 {
				return nil
			}
			t := newTable(a, "symbol", "interval", "from", "to", "slots", "by entry", "why")
			for _, k := range v.Kept {
				t.row(k.Symbol, k.Interval.String(), k.From.String(), k.To.String(), count(k.Bars), fmt.Sprint(k.By), k.Why)
			}
			return t.flush()
		},
	}
	f := c.Flags()
	f.StringVar(&symbol, "symbol", "", "only this symbol; needs --interval")
	f.StringVar(&interval, "interval", "", "only this interval")
	f.StringVar(&rule, "rule", "", "changes that this rule decided on")
	f.IntVar(&version, "rule-version", 0, "only this version of the rule")
	f.StringVar(&source, "source", "", "bars of this source")
	f.StringVar(&actor, "actor", "", "changes of this actor")
	f.StringVar(&since, "since", "", "changes made at this time or later")
	f.StringVar(&until, "until", "", "changes made before this time")
	return c
}
