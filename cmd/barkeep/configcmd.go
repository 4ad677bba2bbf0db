package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
)

func (a *app) configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Check, show or write the configuration"}
	check := &cobra.Command{
		Use:   "check",
		Short: "Report whether the configuration is valid",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { // what is wrong was said while loading
			if a.cfg.file == "" {
				a.printf("ok: no file, defaults and environment\n")
			} else {
				a.printf("ok: %s\n", a.cfg.file)
			}
			return nil
		},
	}
	show := &cobra.Command{
		Use:   "show",
		Short: "Print the settings in effect, secrets hidden",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return a.showConfig() },
	}
	initialise := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a configuration file with every setting and its default",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path := configFile
			if len(args) == 1 {
				path = args[0]
			}
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%s exists: name another file, or remove it first", path)
			}
			if err != nil {
				return err
			}
			if _, err = f.WriteString(defaultFile()); err != nil {
				return errors.Join(err, f.Close())
			}
			if err := f.Close(); err != nil {
				return err
			}
			a.printf("wrote %s\n", path)
			return nil
		},
	}
	schema := &cobra.Command{
		Use:   "schema",
		Short: "Print a JSON Schema of the configuration file, for editors",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b, err := configSchema()
			if err != nil {
				return err
			}
			a.printf("%s", b)
			return nil
		},
	}
	c.AddCommand(check, show, initialise, schema, a.sealCommand())
	return c
}

func (a *app) showConfig() error {
	if a.cfg.Output == "json" {
		out := map[string]string{}
		for _, s := range settings {
			out[s.key] = a.cfg.shown(s)
		}
		return json.NewEncoder(a.stdout).Encode(out)
	}
	t := newTable(a, "setting", "value", "from")
	for _, s := range settings {
		from := a.cfg.from[s.key]
		switch from {
		case fromFile:
			from = a.cfg.file
		case fromEnv:
			from = s.env()
		}
		t.row(s.key, a.cfg.shown(s), from)
	}
	return t.flush()
}

// shown is the value of s for a person: a secret is never printed.
func (l *loaded) shown(s setting) string {
	v := l.values[s.key]
	if s.secret && v != "" {
		return "(hidden)"
	}
	return v
}
