package main

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/api/alert"
)

func (a *app) alertsCommand() *cobra.Command {
	var history bool
	c := &cobra.Command{
		Use:   "alerts",
		Short: "List the alerts of a running server, or change one",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			q := query()
			if history {
				q.Set("history", "true")
			}
			return show(c.Context(), a, "/alerts", q, func(v struct{ Alerts []alert.Alert }) error {
				if a.cfg.Output == "json" {
					return nil
				}
				return a.printAlerts(v.Alerts)
			})
		},
	}
	c.Flags().BoolVar(&history, "history", false, "also those that have ended")
	var quiet time.Duration
	for _, verb := range []struct{ name, short string }{
		{"ack", "Note that somebody knows"}, {"silence", "Keep an alert quiet for a while"}, {"resolve", "End an alert by hand"},
	} {
		sub := &cobra.Command{
			Use: verb.name + " ID", Short: verb.short, Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				if a.cfg.URL == "" {
					return usagef("alerts live in a running server: name it with --url")
				}
				var body []byte
				if verb.name == "silence" {
					body, _ = json.Marshal(map[string]float64{"minutes": quiet.Minutes()}) // a number has a form
				}
				var x alert.Alert
				if err := a.control(c, http.MethodPost, "/alerts/"+args[0]+"/"+verb.name, body, &x); err != nil {
					return err
				}
				if a.cfg.Output == "json" {
					return a.printJSON(x)
				}
				return a.printAlerts([]alert.Alert{x})
			},
		}
		if verb.name == "silence" {
			sub.Flags().DurationVar(&quiet, "for", time.Hour, "for how long")
		}
		c.AddCommand(sub)
	}
	return c
}

func (a *app) printAlerts(list []alert.Alert) error {
	t := newTable(a, "id", "state", "severity", "rule", "subject", "since", "detail")
	for _, x := range list {
		t.row(x.ID, string(x.State), string(x.Severity), x.Rule, x.Subject, x.Since.String(), x.Detail)
	}
	return t.flush()
}
