package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) endpointsCommand() *cobra.Command {
	c := &cobra.Command{Use: "endpoints", Short: "List or test the endpoints that bars are fetched from"}
	list := &cobra.Command{
		Use:   "list",
		Short: "List the configured endpoints",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			p, err := a.openPool("")
			if err != nil {
				return err
			}
			defer (&healing{pool: p}).close()
			rows := p.Endpoints()
			if a.cfg.Output == "json" {
				return a.printJSON(map[string]any{"endpoints": rows})
			}
			t := newTable(a, "name", "group", "provider", "type", "url", "priority", "grade")
			for _, e := range rows {
				t.row(e.Name, e.Group, e.Provider, e.Type, e.URL, fmt.Sprint(e.Priority), e.Grade.String())
			}
			return t.flush()
		},
	}
	test := &cobra.Command{
		Use:   "test [NAME...]",
		Short: "Ask the endpoints whether they work",
		RunE: func(c *cobra.Command, names []string) error {
			p, err := a.openPool("")
			if err != nil {
				return err
			}
			defer (&healing{pool: p}).close()
			results, err := testEndpoints(c.Context(), p, names)
			if err != nil {
				return usageError{err}
			}
			if a.cfg.Output == "json" {
				if err := a.printJSON(map[string]any{"endpoints": results}); err != nil {
					return err
				}
			} else {
				t := newTable(a, "name", "ok", "latency", "error")
				for _, r := range results {
					t.row(r.Name, fmt.Sprint(r.OK), time.Duration(r.LatencyMS*1e6).Round(time.Millisecond).String(), r.Error)
				}
				if err := t.flush(); err != nil {
					return err
				}
			}
			for _, r := range results {
				if !r.OK {
					return errFindings
				}
			}
			return nil
		},
	}
	c.AddCommand(list, test)
	return c
}
