package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/storage"
)

func (a *app) backupCommand() *cobra.Command {
	var copied, verify bool
	c := &cobra.Command{
		Use:   "backup DIR",
		Short: "Write a consistent copy of the store, or verify one",
		Long: "Write a consistent copy of the store into DIR, a new folder, while reads and writes go\n" +
			"on. With --url the server does it, and DIR is on its machine. Where DIR lies on the\n" +
			"disk of the store, files are linked, which takes no time and no room, but damage to\n" +
			"the disk then hits both: --copy copies them. The copy is read and counted before it\n" +
			"gets its name. --verify does that again with a backup that is there.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			// The server has a working directory of its own.
			dir, err := filepath.Abs(args[0])
			switch {
			case args[0] == "":
				return usagef("name a folder for the backup")
			case err != nil:
				return err
			case verify && copied:
				return usagef("--verify reads a backup, --copy is for making one: leave one out")
			case verify:
				return a.verifyBackup(c.Context(), dir)
			case a.cfg.URL != "":
				return a.backupOver(c.Context(), dir, copied)
			}
			return a.backup(c.Context(), dir, copied)
		},
	}
	c.Flags().BoolVar(&copied, "copy", false, "copy files instead of linking them")
	c.Flags().BoolVar(&verify, "verify", false, "check the backup in DIR: every file, block and sum")
	return c
}

// backup opens the store and writes a backup of it.
func (a *app) backup(ctx context.Context, dir string, copied bool) (err error) {
	if !storeExists(a.cfg.Data) {
		return fmt.Errorf("there is no store in %s: name the directory with --data, or a running server with --url", a.cfg.Data)
	}
	if err := outside(a.cfg.Data, dir); err != nil {
		return usageError{err}
	}
	s, err := a.open(false, "barkeep backup")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	a.sayFound(s, "barkeep damages lists them")
	p := a.progress("backup", "bytes", 0)
	b, err := s.Backup(ctx, dir, storage.BackupOptions{Copy: copied, Program: "barkeep " + buildVersion(), Progress: p.set})
	p.done()
	if err != nil {
		return err
	}
	return a.printBackup("wrote", api.BackupOf(dir, b))
}

// outside refuses a folder for backups in the folders that the store keeps for
// itself: it cleans them up.
func outside(data, dir string) error {
	data, err := filepath.Abs(data)
	if err != nil {
		return err
	}
	rel, err := filepath.Rel(data, dir)
	if err != nil {
		return nil // on another volume
	}
	first, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
	switch first {
	case ".", "db", "tmp", "damaged":
		return fmt.Errorf("%s is inside the store itself: name a folder outside of it, best on another disk", dir)
	}
	return nil
}

// backupOver has a server make a backup.
func (a *app) backupOver(ctx context.Context, dir string, copied bool) (err error) {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	body, err := json.Marshal(map[string]any{"dir": dir, "copy": copied})
	if err != nil {
		return err
	}
	var b api.Backup
	if err := c.send(ctx, http.MethodPost, "/v1/backups", nil, "application/json", bytes.NewBuffer(body), &b); err != nil {
		return err
	}
	return a.printBackup("the server wrote", b)
}

func (a *app) verifyBackup(ctx context.Context, dir string) error {
	b, err := storage.VerifyBackup(ctx, nil, dir)
	if err != nil {
		return err
	}
	return a.printBackup("every file, block and sum is right:", api.BackupOf(dir, b))
}

// printBackup says what a backup holds, and what became of it first.
func (a *app) printBackup(what string, b api.Backup) error {
	var size int64
	for _, f := range b.Files {
		size += f.Size
	}
	switch a.cfg.Output {
	case "json":
		return json.NewEncoder(a.stdout).Encode(b)
	case "csv":
		t := newTable(a, "dir", "id", "created", "copied", "series", "bars", "files", "bytes", "seq", "root")
		t.row(b.Dir, b.ID, b.Created.String(), fmt.Sprint(b.Copied), count(b.Series), count(b.Bars), count(int64(len(b.Files))),
			count(size), fmt.Sprint(b.Root.Seq), b.Root.Root)
		return t.flush()
	}
	a.printf("%s %s: %d series, %d bars up to commit %d of %v, %d files with %d bytes\n",
		what, b.Dir, b.Series, b.Bars, b.Root.Seq, b.Created, len(b.Files), size)
	if !b.Copied {
		a.printf("files are linked where it lies on the disk of the store: --copy makes it independent of that disk\n")
	}
	return nil
}

func (a *app) restoreCommand() *cobra.Command {
	var replace bool
	c := &cobra.Command{
		Use:   "restore DIR",
		Short: "Make the store in --data out of a backup",
		Long: "Make the store in --data out of the backup in DIR. The backup is verified, its copy is\n" +
			"opened and counted, and only then takes its place. A store that is there already is\n" +
			"left alone unless --replace is given, and then moved aside, not removed; its token\n" +
			"stays valid.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if a.cfg.URL != "" {
				return usagef("restore makes a store: leave --url out, and stop the server first")
			}
			return a.restore(c.Context(), args[0], replace)
		},
	}
	c.Flags().BoolVar(&replace, "replace", false, "move a store that is there aside")
	return c
}

func (a *app) restore(ctx context.Context, from string, replace bool) error {
	from, err := filepath.Abs(from)
	if err != nil {
		return err
	}
	// Folders are made beside it, so it needs a name of its own: not "." or "x/".
	dir, err := filepath.Abs(a.cfg.Data)
	if err != nil {
		return err
	}
	if names, err := os.ReadDir(dir); err == nil && len(names) > 0 && !replace {
		return fmt.Errorf("%s holds a store or other files already: name another folder with --data, or say --replace, which moves it aside", dir)
	}
	p := a.progress("restore", "bytes", 0)
	b, replaced, err := storage.Restore(ctx, nil, from, dir, storage.RestoreOptions{Replace: replace, Keep: []string{tokenFile}, Progress: p.set})
	p.done()
	if locked, ok := errors.AsType[*storage.LockedError](err); ok {
		return fmt.Errorf("store %s is in use by %s: stop it first", locked.Dir, locked.Owner)
	}
	if err != nil {
		if replaced != "" {
			a.note("barkeep: what was in %s is in %s now\n", dir, replaced)
		}
		return err
	}
	if err := os.Chmod(filepath.Join(dir, tokenFile), 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if a.cfg.Output == "json" {
		return json.NewEncoder(a.stdout).Encode(struct {
			api.Backup
			From     string  `json:"from"`
			Replaced *string `json:"replaced"` // where the former store is; null without one
		}{api.BackupOf(dir, b), from, orNull(replaced)})
	}
	if a.cfg.Output == "csv" {
		t := newTable(a, "dir", "from", "replaced", "series", "bars", "seq", "root")
		ledger := api.LedgerOf(b.Root)
		t.row(dir, from, replaced, count(b.Series), count(b.Bars), fmt.Sprint(ledger.Seq), ledger.Root)
		return t.flush()
	}
	a.printf("restored %s: %d series, %d bars up to commit %d of %v\n", dir, b.Series, b.Bars, b.Root.Seq, b.Created)
	if replaced != "" {
		a.printf("what was there before is in %s: remove it when it is no longer needed\n", replaced)
	}
	return nil
}
