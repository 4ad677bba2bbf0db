package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/fetch/files"
	"github.com/barkeepdb/barkeep/storage"
)

// Exit codes.
const (
	exitDone     = 0
	exitFailed   = 1
	exitUsage    = 2
	exitFindings = 3
	exitFatal    = 70 // the store cannot go on: EX_SOFTWARE of sysexits.h
)

// usageError is an error in how the program was called.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errFindings ends a verb that did its work and found what --check looks for.
var errFindings = errors.New("findings")

// app is one run of the program.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	cfg            *loaded
	store          *storage.Store             // where a verb has one open; nil otherwise
	healing        *healing                   // beside store
	server         atomic.Pointer[api.Server] // while it serves
	level          slog.LevelVar              // of the log
	logFile        io.Writer                  // nil is none
	files          sync.Once                  // of transport
	transport      *files.Transport           // of folders of files
	grace          time.Duration              // what requests get to finish when serve stops
	exit           func(code int)             // for fatal; nil is os.Exit
}

// Run runs the program with args, which do not hold its name, and returns the
// exit code: 0 done, 1 failed, 2 wrong usage, 3 done with findings under
// --check.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, grace: 10 * time.Second}
	return a.run(ctx, args)
}

func (a *app) run(ctx context.Context, args []string) int {
	a.stderr = newWords(a.stderr)
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	_, usage := errors.AsType[usageError](err)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errFindings):
		return exitFindings
	case usage:
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintln(a.stderr, "barkeep:", line)
		}
		fmt.Fprintln(a.stderr, "barkeep: see barkeep help")
		return exitUsage
	default:
		fmt.Fprintln(a.stderr, "barkeep:", err)
		return exitFailed
	}
}

// configFlags are the flags that carry a setting, by its key.
var configFlags = map[string]string{
	"data": "data", "url": "url", "output": "output", "listen": "server.listen",
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "barkeep",
		Short: "The market-data database that heals itself",
		Long: "Barkeep keeps OHLCV bars, knows which are missing and why, and serves them.\n" +
			"It asks exchanges and vendors for what is missing, believes them as far as they agree\n" +
			"with what is stored, and can take back every change.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q%s", args[0], nearest(args[0], verbs(a)))
			}
			return nil
		},
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRunE: a.configure,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	f := root.PersistentFlags()
	f.String("data", "./data", "directory of the store (BARKEEP_DATA)")
	f.String("url", "", "speak to the server at this address instead of opening a store")
	f.String("config", "", "configuration file (BARKEEP_CONFIG; default barkeep.yaml if it exists)")
	f.String("output", "table", "how rows are printed: table, json, csv")
	root.AddCommand(a.verbs()...)
	return root
}

func (a *app) verbs() []*cobra.Command {
	all := []*cobra.Command{
		a.serveCommand(), a.importCommand(), a.exportCommand(), a.queryCommand(), a.seriesCommand(),
		a.gapsCommand(), a.coverageCommand(), a.calendarsCommand(), a.calendarCommand(), a.closuresCommand(), a.inspectCommand(), a.qualityCommand(), a.revisionsCommand(), a.repairCommand(), a.repairsCommand(), a.undoCommand(), a.explainCommand(), a.auditCommand(), a.fetchCommand(), a.providersCommand(), a.endpointsCommand(), a.alertsCommand(), a.actionsCommand(), a.namesCommand(), a.doctorCommand(), a.verifyCommand(), a.damagesCommand(), a.backupCommand(), a.restoreCommand(),
		a.configCommand(), a.tokenCommand(), a.mcpCommand(), a.demoCommand(), a.versionCommand(),
	}
	for _, c := range all {
		wrapArgs(c)
	}
	return all
}

// wrapArgs makes a wrong number of arguments an error of usage.
func wrapArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		wrapArgs(sub)
	}
}

func verbs(a *app) []string {
	var names []string
	for _, c := range a.verbs() {
		names = append(names, c.Name())
	}
	return names
}

// configure loads the settings before any verb runs.
func (a *app) configure(c *cobra.Command, _ []string) (err error) {
	given := map[string]string{}
	c.Flags().Visit(func(f *pflag.Flag) {
		if key, ok := configFlags[f.Name]; ok {
			given[key] = f.Value.String()
		}
	})
	path, _ := c.Flags().GetString("config")
	if a.cfg, err = load(path, os.Environ(), given); err != nil {
		return err
	}
	a.level.Set(a.cfg.LogLevel)
	return nil
}

// printf writes a line for a person. Rows go to stdout, so this goes there
// too unless rows are meant for a program.
func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.stdout, format, args...) }

// note writes to standard error.
func (a *app) note(format string, args ...any) { fmt.Fprintf(a.stderr, format, args...) }
