package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/series"
)

// contractsFile keeps what was found out about endpoints, in the data directory.
const contractsFile = "contracts.json"

func (a *app) probeCommand() *cobra.Command {
	var symbol, interval string
	var check bool
	c := &cobra.Command{
		Use:   "probe NAME [--symbol S]",
		Short: "Ask an endpoint small questions, and say how it answers",
		Long: "Ask an endpoint, or the first one of a vendor, small questions about a symbol that\n" +
			"trades, and say how it answers them: which ends of a span it includes, in which\n" +
			"order rows come, what becomes of the bar that has not ended and of slots without a\n" +
			"trade, what volume counts, which end of a bar its time names, when days begin. What\n" +
			"was found is kept in the data directory; what has changed since the last time is\n" +
			"said, and with --check the exit code is 3 then. Three or four requests are sent.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			width, err := series.ParseInterval(interval)
			if err != nil {
				return usagef("--interval: %v", err)
			}
			p, err := a.openPool("")
			if err != nil {
				return err
			}
			h := &healing{pool: p}
			defer func() { err = errors.Join(err, h.close()) }()
			name, provider, err := endpointNamed(p, args[0])
			if err != nil {
				return err
			}
			if symbol == "" {
				if pairer, ok := provider.(fetch.Pairer); ok {
					symbol = cmp.Or(pairer.Pair("BTC", "USDT"), pairer.Pair("BTC", "USD"))
				}
				if symbol == "" {
					return usagef("--symbol is missing: name one that trades now, as %s writes it", args[0])
				}
			}
			now, err := p.Contract(c.Context(), name, symbol, width)
			if err != nil {
				return err
			}
			changed, err := a.keepContract(now)
			if err != nil {
				return err
			}
			return a.printContract(now, changed, check)
		},
	}
	c.Flags().StringVar(&symbol, "symbol", "", "symbol that trades now, as the vendor writes it (default: Bitcoin, where there is one)")
	c.Flags().StringVar(&interval, "interval", "1m", "interval of the questions")
	c.Flags().BoolVar(&check, "check", false, "exit with 3 if something has changed")
	return c
}

// endpointNamed is the endpoint of a name, or the first of a provider.
func endpointNamed(p *fetch.Pool, name string) (string, fetch.Provider, error) {
	var known []string
	for _, e := range p.Endpoints() {
		if e.Name == name || e.Provider == name {
			return e.Name, p.Provider(e.Name), nil
		}
		known = append(known, e.Name)
	}
	return "", nil, usagef("no endpoint and no vendor is called %s%s", name, nearest(name, known))
}

// keepContract puts a contract in the place of the one before, and returns what
// differs from it.
func (a *app) keepContract(now *fetch.Contract) (changed []string, err error) {
	if st, err := os.Stat(a.cfg.Data); err != nil || !st.IsDir() {
		return nil, nil //nolint:nilerr // without a data directory nothing is kept
	}
	path := filepath.Join(a.cfg.Data, contractsFile)
	all := map[string]*fetch.Contract{}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	default:
		if err := json.Unmarshal(text, &all); err != nil {
			return nil, fmt.Errorf("%s cannot be read: %w; remove it to begin anew", path, err)
		}
	}
	key := now.Endpoint + " " + now.Symbol + " " + now.Interval
	if was := all[key]; was != nil {
		changed = now.Differences(was)
	}
	all[key] = now
	if text, err = json.MarshalIndent(all, "", "  "); err != nil {
		return nil, err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, text, 0o600); err != nil {
		return nil, err
	}
	return changed, os.Rename(tmp, path)
}

func (a *app) printContract(c *fetch.Contract, changed []string, check bool) error {
	if a.cfg.Output == "json" {
		if err := a.printJSON(map[string]any{"contract": c, "changed": append([]string{}, changed...)}); err != nil {
			return err
		}
	} else {
		daily := "not asked"
		if c.Daily != nil {
			daily = fmt.Sprintf("%d ms after 00:00 UTC", *c.Daily)
			if *c.Daily == -1 {
				daily = "at hours that differ"
			}
		}
		t := newTable(a, "what", "answer")
		for _, row := range [][2]string{
			{"endpoint", c.Endpoint + ", " + c.Symbol + " " + c.Interval},
			{"start of a span", c.Start},
			{"end of a span", c.End},
			{"order", c.Order},
			{"bar that has not ended", c.Forming},
			{"slot without a trade", c.Empty},
			{"volume", c.Volume},
			{"stamp", c.Stamp},
			{"days begin", daily},
		} {
			t.row(row[0], cmp.Or(row[1], "not shown"))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	for _, x := range changed {
		a.note("barkeep: %s has changed: %s\n", c.Endpoint, x)
	}
	if check && len(changed) > 0 {
		return errFindings
	}
	return nil
}
