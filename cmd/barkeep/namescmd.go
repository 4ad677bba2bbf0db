package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/series"
)

// nameRow is a name of a symbol at one source, as /v1/names has it.
type nameRow struct {
	Source string       `json:"source"`
	Name   string       `json:"name"`
	From   *series.Time `json:"from"`
	To     *series.Time `json:"to"`
}

// namesAnswer is what /v1/names answers.
type namesAnswer struct {
	Listed   *series.Time `json:"listed"`
	Delisted *series.Time `json:"delisted"`
	Names    []nameRow    `json:"names"`
	Shared   []struct {
		Symbol string `json:"symbol"`
		nameRow
	} `json:"shared"`
}

func (a *app) namesCommand() *cobra.Command {
	var symbol, source, name, from, to, listed, delisted string
	list := &cobra.Command{
		Use:   "names --symbol S",
		Short: "Show what a symbol is, and was, called at its sources, or change it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if symbol == "" {
				return usagef("--symbol is missing")
			}
			return show(c.Context(), a, "/v1/names", query("symbol", symbol), func(v namesAnswer) error {
				if a.cfg.Output == "json" {
					return nil
				}
				return a.showNames(v)
			})
		},
	}
	list.PersistentFlags().StringVar(&symbol, "symbol", "", "whose names")

	take := &cobra.Command{
		Use:     "import FILE --symbol S [--source A,B]",
		Short:   "Take names and listing out of a map file of Lean",
		Example: "  barkeep names import map_files/googl.csv --symbol GOOGL --source tiingo,alpaca",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			if err := a.changeNames(c, http.MethodPost, query("symbol", symbol, "source", source), "text/csv", text); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return nil
		},
	}
	take.Flags().StringVar(&source, "source", "", "who calls it so, separated by commas (default: all sources that the symbol has)")

	add := &cobra.Command{
		Use:     "add --symbol S --source A --name N [--from DATE] [--to DATE]",
		Short:   "Write a name",
		Example: "  barkeep names add --symbol META --source tiingo --name FB --to 2022-06-09\n  barkeep names add --symbol META --source tiingo --name META --from 2022-06-09",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			row := nameRow{Source: source, Name: name}
			if source == "" {
				return usagef("--source is missing")
			}
			if row.From, err = dateFlag("--from", from); err != nil {
				return err
			}
			if row.To, err = dateFlag("--to", to); err != nil {
				return err
			}
			return a.editNames(c, symbol, func(v *namesAnswer) error {
				v.Names = append(v.Names, row)
				return nil
			})
		},
	}
	add.Flags().StringVar(&source, "source", "", "who calls it so: a provider or an endpoint")
	add.Flags().StringVar(&name, "name", "", "the name there (default: what the source makes of the symbol)")
	add.Flags().StringVar(&from, "from", "", "first date of the name")
	add.Flags().StringVar(&to, "to", "", "first date without it")

	remove := &cobra.Command{
		Use: "remove --symbol S --source A [--name N]", Short: "Forget the names of a source, or one of them", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.editNames(c, symbol, func(v *namesAnswer) error {
				n := len(v.Names)
				v.Names = slices.DeleteFunc(v.Names, func(x nameRow) bool {
					return x.Source == source && (name == "" || x.Name == name)
				})
				if len(v.Names) == n {
					return fmt.Errorf("%s has no such name at %q: see barkeep names --symbol %s", symbol, source, symbol)
				}
				return nil
			})
		},
	}
	remove.Flags().StringVar(&source, "source", "", "whose names")
	remove.Flags().StringVar(&name, "name", "", "only this one")

	listing := &cobra.Command{
		Use:     "listing --symbol S --listed DATE|none --delisted DATE|none",
		Short:   "Say from when to when a symbol was listed",
		Long:    "Say from when to when a symbol was listed: the date of its first session, and the\nfirst date without one. Slots outside are unlisted, and nothing is missing there.",
		Example: "  barkeep names listing --symbol TFCFA --listed 2004-11-12 --delisted 2019-03-21",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if listed == "" && delisted == "" {
				return usagef("give --listed, --delisted, or both")
			}
			return a.editNames(c, symbol, func(v *namesAnswer) (err error) {
				for flag, x := range map[string]struct {
					text string
					at   **series.Time
				}{"--listed": {listed, &v.Listed}, "--delisted": {delisted, &v.Delisted}} {
					switch x.text {
					case "":
					case "none":
						*x.at = nil
					default:
						if *x.at, err = dateFlag(flag, x.text); err != nil {
							return err
						}
					}
				}
				return nil
			})
		},
	}
	listing.Flags().StringVar(&listed, "listed", "", "date of the first session; none forgets it")
	listing.Flags().StringVar(&delisted, "delisted", "", "first date without a session; none forgets it")
	list.AddCommand(take, add, remove, listing)
	return list
}

// dateFlag reads a date; nil is none.
func dateFlag(flag, text string) (*series.Time, error) {
	if text == "" {
		return nil, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return nil, usagef("%s %q is not a date such as 2020-08-31", flag, text)
	}
	t := series.TimeOf(day)
	return &t, nil
}

// editNames changes the names of a symbol, which may be new.
func (a *app) editNames(c *cobra.Command, symbol string, edit func(*namesAnswer) error) error {
	if symbol == "" {
		return usagef("--symbol is missing")
	}
	v := namesAnswer{Names: []nameRow{}}
	cl, err := a.connect()
	if err != nil {
		return err
	}
	err = cl.send(c.Context(), http.MethodGet, "/v1/names", query("symbol", symbol), "", nil, &v)
	if r, ok := errors.AsType[*refused](err); ok && r.code == "no_such_series" {
		err = nil // it is new
	}
	if err := errors.Join(err, cl.close()); err != nil {
		return err
	}
	if err := edit(&v); err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"listed": v.Listed, "delisted": v.Delisted, "names": v.Names})
	if err != nil {
		return err
	}
	return a.changeNames(c, http.MethodPut, query("symbol", symbol), "application/json", body)
}

// changeNames sends a change of names and shows what they are then.
func (a *app) changeNames(c *cobra.Command, method string, q url.Values, contentType string, body []byte) error {
	if q.Get("symbol") == "" {
		return usagef("--symbol is missing")
	}
	var v namesAnswer
	if err := a.controlWith(c, method, "/v1/names", q, contentType, body, &v); err != nil {
		return err
	}
	if a.cfg.Output == "json" {
		return json.NewEncoder(a.stdout).Encode(v)
	}
	return a.showNames(v)
}

func (a *app) showNames(v namesAnswer) error {
	day := func(t *series.Time) string {
		if t == nil {
			return ""
		}
		return (*t + series.Day/2).Std().Format(time.DateOnly) // a midnight of some zone
	}
	t := newTable(a, "source", "name", "from", "to")
	for _, n := range v.Names {
		t.row(n.Source, n.Name, day(n.From), day(n.To))
	}
	if err := t.flush(); err != nil {
		return err
	}
	if a.cfg.Output == "table" && (v.Listed != nil || v.Delisted != nil) {
		a.printf("listed %s to %s\n", day(v.Listed), day(v.Delisted))
	}
	for _, x := range v.Shared {
		a.note("barkeep: %s has the name %s at %s from %s to %s, too: one instrument, or a name that was given to another, which dates tell apart\n", x.Symbol, x.Name, x.Source, day(x.From), day(x.To))
	}
	return nil
}
