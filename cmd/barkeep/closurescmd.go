package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/heal"
)

func (a *app) closuresCommand() *cobra.Command {
	var from, to, approve string
	c := &cobra.Command{
		Use:   "closures",
		Short: "List sessions in which a market was most likely shut, or approve one",
		Long: `A session is proposed where no series of a calendar has a bar in it, of at least
two symbols that have some before and behind it, and where a source that was asked
had nothing. Approved, its slots are closed, and nobody is asked for them any more,
in series that come later, too. The approval is a repair: barkeep undo takes it
back.`,
		Example: "  barkeep closures --from 2023-08-01\n  barkeep closures --approve XHKG/2023-09-01",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if approve == "" {
				return show(c.Context(), a, "/v1/closures", query("from", from, "to", to), func(v struct{ Closures []heal.Closure }) error {
					if a.cfg.Output == "json" {
						return nil
					}
					t := newTable(a, "calendar", "date", "series", "asked", "slots", "approved", "evidence")
					for _, x := range v.Closures {
						t.row(x.Calendar, x.Date, count(int64(len(x.Series))), count(int64(x.Asked)), count(x.Slots), x.Approved, strings.Join(x.Evidence, "; "))
					}
					return t.flush()
				})
			}
			calendar, date, ok := strings.Cut(approve, "/")
			if !ok {
				return usagef("--approve %q is not CALENDAR/DATE", approve)
			}
			cl, err := a.connectToChange()
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, cl.close()) }()
			body, err := json.Marshal(map[string]string{"calendar": calendar, "date": date})
			if err != nil {
				return err
			}
			resp, err := cl.do(c.Context(), http.MethodPost, "/v1/closures", nil, "application/json", bytes.NewReader(body))
			if err != nil {
				return err
			}
			defer resp.Body.Close() // it was only read
			var x heal.Repair
			if err := json.NewDecoder(resp.Body).Decode(&x); err != nil {
				return err
			}
			if a.cfg.Output == "json" {
				return a.printJSON(&x)
			}
			return a.printRepair(&x)
		},
	}
	f := c.Flags()
	f.StringVar(&from, "from", "", "sessions from this time on (default: 400 days ago)")
	f.StringVar(&to, "to", "", "before this time (default: now)")
	f.StringVar(&approve, "approve", "", "CALENDAR/DATE: mark this session as closed")
	return c
}
