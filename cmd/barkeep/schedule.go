package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/storage"
)

// backupName is how a backup that serve makes by itself is called, in UTC.
const backupName = "20060102T150405Z"

// schedule makes a backup of a store from time to time and removes old ones.
// Backups follow each other, so they never overlap.
type schedule struct {
	store   *storage.Store
	dir     string
	every   time.Duration
	keep    int
	options storage.BackupOptions
	log     *slog.Logger
}

// run makes backups until ctx ends. It counts from the newest one that is
// there, so that a server that is restarted often makes some, too.
func (s *schedule) run(ctx context.Context) {
	next := time.Now()
	if mine, err := s.mine(); err != nil {
		s.log.Error("backups cannot be listed", "dir", s.dir, "err", err)
	} else if n := len(mine); n > 0 {
		next = mine[n-1].Add(s.every)
	}
	for {
		// The clock may have been set back: no wait is longer than a round.
		timer := time.NewTimer(min(time.Until(next), s.every))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		next = time.Now().Add(s.every)
		if err := s.make(ctx, time.Now()); err != nil && ctx.Err() == nil {
			next = time.Now().Add(min(s.every, retryBackup))
			s.log.Error("no backup was made", "dir", s.dir, "err", err, "next", next.UTC().Format(time.RFC3339))
		}
	}
}

// retryBackup is how soon a backup that failed is tried again.
const retryBackup = 10 * time.Minute

// make makes one backup and then removes the oldest beyond those to keep.
func (s *schedule) make(ctx context.Context, now time.Time) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	dir := filepath.Join(s.dir, now.UTC().Format(backupName))
	b, err := s.store.Backup(ctx, dir, s.options)
	if err != nil {
		return err
	}
	s.log.Info("backup made", "dir", dir, "bars", b.Bars, "commit", b.Root.Seq)
	if err := s.prune(); err != nil {
		s.log.Error("old backups could not be removed", "dir", s.dir, "err", err)
	}
	return nil
}

// mine lists when the backups of this store were made, in order. Folders of
// other names, of other stores or without a manifest are none.
func (s *schedule) mine() ([]time.Time, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []time.Time
	for _, e := range entries {
		at, err := time.Parse(backupName, e.Name())
		if err != nil || !e.IsDir() {
			if t, ok := strings.CutSuffix(e.Name(), ".partial"); ok && e.IsDir() {
				if _, err := time.Parse(backupName, t); err == nil {
					s.log.Warn("an unfinished backup lies here: remove it, unless one is being made", "dir", filepath.Join(s.dir, e.Name()))
				}
			}
			continue
		}
		b, err := storage.BackupIn(filepath.Join(s.dir, e.Name()))
		if err != nil {
			s.log.Warn("a backup cannot be read and is left alone", "err", err)
			continue
		}
		if b.ID == s.store.ID() {
			out = append(out, at)
		}
	}
	slices.SortFunc(out, time.Time.Compare)
	return out, nil
}

func (s *schedule) prune() error {
	mine, err := s.mine()
	if err != nil {
		return err
	}
	var errs []error
	for len(mine) > s.keep {
		dir := filepath.Join(s.dir, mine[0].Format(backupName))
		mine = mine[1:]
		if err := os.RemoveAll(dir); err != nil {
			errs = append(errs, err)
			continue
		}
		s.log.Info("old backup removed", "dir", dir)
	}
	return errors.Join(errs...)
}

// startBackups has a component make the backups that the settings ask for.
func (a *app) startBackups(parts *supervisor, s *storage.Store, log *slog.Logger) error {
	if a.cfg.BackupEvery == 0 {
		return nil
	}
	dir, err := filepath.Abs(a.cfg.BackupDir)
	if err == nil {
		err = outside(a.cfg.Data, dir)
	}
	if err != nil {
		return usagef("backup.dir: %w", err)
	}
	plan := &schedule{
		store: s, dir: dir, every: a.cfg.BackupEvery, keep: a.cfg.BackupKeep, log: log,
		options: storage.BackupOptions{Copy: a.cfg.BackupCopy, Program: "barkeep " + buildVersion()},
	}
	parts.start("backups", func(ctx context.Context) error {
		plan.run(ctx)
		return nil
	})
	a.printf("backups go to %s every %v, the last %s are kept\n", dir, a.cfg.BackupEvery, fmt.Sprint(a.cfg.BackupKeep))
	return nil
}
