package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/series"
)

// actionsBody is the body of POST /v1/actions.
type actionsBody struct {
	Symbol  string          `json:"symbol"`
	Source  string          `json:"source"`
	Actions []series.Action `json:"actions"`
}

func (a *app) actionsCommand() *cobra.Command {
	var symbol, asof, history string
	var past bool
	list := &cobra.Command{
		Use:   "actions",
		Short: "List splits and dividends, or write them",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if past {
				history = "true"
			}
			return show(c.Context(), a, "/v1/actions", query("symbol", symbol, "asof", asof, "history", history), func(v struct {
				Actions   []api.CompanyAction
				Past      []api.CompanyAction
				Conflicts []actionConflict
			},
			) error {
				if a.cfg.Output == "json" {
					return nil
				}
				head := []string{"id", "symbol", "kind", "ex", "ratio", "amount", "currency", "source"}
				if past {
					head = append(head, "recorded", "gone")
				}
				t := newTable(a, head...)
				for _, x := range append(v.Actions, v.Past...) {
					row := []string{x.ID, x.Symbol, x.Kind.String(), x.Ex.Std().Format(time.DateOnly), figure(x.Ratio), figure(x.Amount), x.Currency, x.Source}
					if past {
						gone := ""
						if x.Gone != 0 {
							gone = x.Gone.String()
						}
						row = append(row, x.Recorded.String(), gone)
					}
					t.row(row...)
				}
				if err := t.flush(); err != nil {
					return err
				}
				a.noteConflicts(v.Conflicts)
				return nil
			})
		},
	}
	list.Flags().StringVar(&symbol, "symbol", "", "only of this symbol")
	list.Flags().StringVar(&asof, "asof", "", "those that were known at this time")
	list.Flags().BoolVar(&past, "history", false, "also those that were replaced or removed, with the time")

	var in actionsBody
	var x series.Action
	var ex string
	add := &cobra.Command{
		Use:     "add --symbol S --ex DATE --split RATIO | --dividend AMOUNT",
		Short:   "Write a split or a dividend",
		Example: "  barkeep actions add --symbol AAPL --ex 2020-08-31 --split 4\n  barkeep actions add --symbol AAPL --ex 2020-08-07 --dividend 0.82",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			at, err := time.Parse(time.DateOnly, ex)
			if err != nil {
				return usagef("--ex %q is not a date such as 2020-08-31", ex)
			}
			x.Ex, x.Kind = series.TimeOf(at), series.Split
			if x.Ratio == 0 {
				x.Kind = series.Dividend
			}
			in.Actions = []series.Action{x}
			return a.putActions(c, in)
		},
	}
	f := add.Flags()
	f.StringVar(&in.Symbol, "symbol", "", "symbol of the shares")
	f.StringVar(&in.Source, "source", "hand", "who says so")
	f.StringVar(&ex, "ex", "", "date from which shares are traded without it")
	f.Float64Var(&x.Ratio, "split", 0, "new shares for one old one; 0.1 where ten became one")
	f.Float64Var(&x.Amount, "dividend", 0, "what is paid for a share")
	f.StringVar(&x.Currency, "currency", "", "of the dividend, where it is not that of the prices")
	add.MarkFlagsMutuallyExclusive("split", "dividend")

	from := &cobra.Command{
		Use:   "import FILE --symbol S",
		Short: "Write the splits and dividends of a file",
		Long: "Write the splits and dividends of a file: a factor file of Lean (date, price factor,\n" +
			"split factor, reference price), a table with the columns Date, Dividends and Stock\n" +
			"Splits, or one with ex, kind (split, dividend), value and, where it differs, currency.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			file, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer file.Close() // it was only read
			if in.Actions, err = readActions(file); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if len(in.Actions) == 0 {
				a.printf("%s holds no split and no dividend\n", args[0])
				return nil
			}
			return a.putActions(c, in)
		},
	}
	from.Flags().StringVar(&in.Symbol, "symbol", "", "symbol of the shares")
	from.Flags().StringVar(&in.Source, "source", "import", "who says so")
	var ask fetchFlags
	get := &cobra.Command{
		Use:   "fetch --symbol S --provider P[=SYMBOL] --from T",
		Short: "Get splits and dividends from a vendor, and write them",
		Long: "Get the splits and dividends of a symbol from a vendor whose answers carry them, which\n" +
			"is Yahoo, and write them with the vendor as their source. Amounts are put back into the\n" +
			"money of their time.",
		Example: "  barkeep actions fetch --symbol AAPL --provider yahoo --from 1980-12-12",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			in := actionsBody{Symbol: ask.symbol}
			if in.Source, in.Actions, err = a.fetchActions(c.Context(), ask); err != nil {
				return err
			}
			if len(in.Actions) == 0 {
				a.printf("%s has no split and no dividend of %s\n", in.Source, in.Symbol)
				return nil
			}
			return a.putActions(c, in)
		},
	}
	get.Flags().StringVar(&ask.symbol, "symbol", "", "symbol of the shares")
	get.Flags().StringArrayVar(&ask.providers, "provider", nil, "vendor to ask, or PROVIDER=SYMBOL")
	get.Flags().StringArrayVar(&ask.endpoints, "endpoint", nil, "PROVIDER=URL: ask there instead of the vendor's own address")
	get.Flags().StringVar(&ask.from, "from", "", "from this time on")
	remove := &cobra.Command{
		Use: "remove ID", Short: "Take a split or a dividend away", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var gone api.CompanyAction
			if err := a.control(c, http.MethodDelete, "/v1/actions/"+args[0], nil, &gone); err != nil {
				return err
			}
			a.printf("forgot the %s of %s on %s\n", gone.Kind, gone.Symbol, gone.Ex.Std().Format(time.DateOnly))
			return nil
		},
	}
	list.AddCommand(add, from, get, remove)
	return list
}

// actionConflict is one action of which sources say different things.
type actionConflict struct {
	Symbol string
	Ex     series.Time
	IDs    []string
}

func (a *app) noteConflicts(list []actionConflict) {
	for _, c := range list {
		a.note("barkeep: sources say different things of %s on %s: remove those that are wrong (%s)\n", c.Symbol, c.Ex.Std().Format(time.DateOnly), strings.Join(c.IDs, ", "))
	}
}

// figure is a number, or nothing where it is 0.
func figure(v float64) string {
	if v == 0 {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

func (a *app) putActions(c *cobra.Command, in actionsBody) error {
	if in.Symbol == "" {
		return usagef("--symbol is missing")
	}
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	var out struct{ Written int }
	if err := a.control(c, http.MethodPost, "/v1/actions", b, &out); err != nil {
		return err
	}
	a.printf("wrote %d actions of %s\n", out.Written, in.Symbol)
	return nil
}

// readActions reads a file of actions.
func readActions(r io.Reader) ([]series.Action, error) {
	in := csv.NewReader(r)
	in.FieldsPerRecord = -1
	in.TrimLeadingSpace = true
	rows, err := in.ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, errors.Join(err, errors.New("it holds no rows"))
	}
	head := map[string]int{}
	for i, name := range rows[0] {
		head[strings.ToLower(strings.TrimSpace(name))] = i
	}
	_, dividends := head["dividends"]
	_, kind := head["kind"]
	switch {
	case dividends:
		return tableActions(rows[1:], head)
	case kind:
		return listedActions(rows[1:], head)
	case len(rows[0]) == 4:
		return factorActions(rows)
	}
	return nil, errors.New("it is no factor file of Lean, and has neither the columns Date, Dividends and Stock Splits nor ex, kind and value")
}

// tableActions reads bars with columns for actions: what stands at a date is
// given from it on.
func tableActions(rows [][]string, head map[string]int) (out []series.Action, err error) {
	day, ok := head["date"]
	if !ok {
		if day, ok = head["datetime"]; !ok {
			return nil, errors.New("it has no column Date")
		}
	}
	for n, row := range rows {
		for name, kind := range map[string]series.ActionKind{"dividends": series.Dividend, "stock splits": series.Split} {
			i, ok := head[name]
			if !ok || i >= len(row) || row[i] == "" {
				continue
			}
			v, err := strconv.ParseFloat(row[i], 64)
			if err != nil {
				return nil, fmt.Errorf("row %d: %q is not a number", n+2, row[i])
			}
			if v == 0 || kind == series.Split && v == 1 {
				continue
			}
			if day >= len(row) || len(row[day]) < len(time.DateOnly) {
				return nil, fmt.Errorf("row %d has no date", n+2)
			}
			x, err := newAction(kind, row[day][:len(time.DateOnly)], v)
			if err != nil {
				return nil, fmt.Errorf("row %d: %w", n+2, err)
			}
			out = append(out, x)
		}
	}
	return out, nil
}

func listedActions(rows [][]string, head map[string]int) (out []series.Action, err error) {
	for n, row := range rows {
		cell := func(name string) string {
			if i, ok := head[name]; ok && i < len(row) {
				return strings.TrimSpace(row[i])
			}
			return ""
		}
		var kind series.ActionKind
		if err := kind.UnmarshalText([]byte(strings.ToLower(cell("kind")))); err != nil {
			return nil, fmt.Errorf("row %d: %w", n+2, err)
		}
		v, err := strconv.ParseFloat(cell("value"), 64)
		if err != nil {
			return nil, fmt.Errorf("row %d: value %q is not a number", n+2, cell("value"))
		}
		x, err := newAction(kind, cell("ex"), v)
		if err != nil {
			return nil, fmt.Errorf("row %d: %w", n+2, err)
		}
		x.Currency = cell("currency")
		out = append(out, x)
	}
	return out, nil
}

func newAction(kind series.ActionKind, day string, v float64) (x series.Action, err error) {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return x, fmt.Errorf("%q is not a date such as 2020-08-31", day)
	}
	x = series.Action{Kind: kind, Ex: series.TimeOf(t)}
	if kind == series.Split {
		x.Ratio = v
	} else {
		x.Amount = v
	}
	return x, x.Check()
}

// factorActions reads a factor file of Lean: each row holds the factors of all
// days up to its date, the last session before an action, and the close of that
// day; see lean.io/docs/v2/lean-cli/datasets/format (read 2026-11).
func factorActions(rows [][]string) (out []series.Action, err error) {
	type row struct {
		day                   time.Time
		price, split, closing float64
	}
	var list []row
	for n, cells := range rows {
		if len(cells) != 4 {
			return nil, fmt.Errorf("row %d has %d columns, want 4", n+1, len(cells))
		}
		day, err := time.Parse("20060102", cells[0])
		if err != nil {
			return nil, fmt.Errorf("row %d: %q is not a date such as 20200831", n+1, cells[0])
		}
		x := row{day: day}
		for i, to := range []*float64{&x.price, &x.split, &x.closing} {
			if *to, err = strconv.ParseFloat(cells[i+1], 64); err != nil || *to < 0 {
				return nil, fmt.Errorf("row %d: %q is not a factor", n+1, cells[i+1])
			}
		}
		list = append(list, x)
	}
	slices.SortStableFunc(list, func(a, b row) int { return a.day.Compare(b.day) })
	for i := range max(0, len(list)-1) {
		now, next := list[i], list[i+1]
		if now.price == 0 || now.split == 0 || next.price == 0 || next.split == 0 {
			return nil, fmt.Errorf("a factor of %s is 0", now.day.Format(time.DateOnly))
		}
		ex := series.TimeOf(now.day.AddDate(0, 0, 1))
		if ratio := next.split / now.split; math.Abs(ratio-1) > 1e-9 {
			out = append(out, series.Action{Kind: series.Split, Ex: ex, Ratio: tidy(ratio)})
		}
		if keep := now.price / next.price; keep < 1-1e-9 && now.closing > 1 {
			out = append(out, series.Action{Kind: series.Dividend, Ex: ex, Amount: now.closing * (1 - keep), Close: now.closing})
		}
	}
	return out, nil
}

// tidy is the fraction of small numbers that a ratio out of rounded factors
// stands for: 4.000000448 is 4.
func tidy(ratio float64) float64 {
	for below := 1.0; below <= 20; below++ {
		if above := math.Round(ratio * below); above > 0 && math.Abs(above/below-ratio) < 1e-5*ratio {
			return above / below
		}
	}
	return ratio
}
