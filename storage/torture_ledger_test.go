//go:build ledger

package storage_test

import (
	"context"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/storage"
)

const (
	hasFatal           = true
	unchangedIsDurable = true
)

func knownToday(error) bool { return false }

type damage = storage.Damage

func tortureOptions(o storage.Options, fatal func(error)) storage.Options {
	o.Fatal, o.Scrub = fatal, -1
	return o
}

func damagesOf(s *storage.Store) ([]damage, error) { return s.Damages() }

func backup(ctx context.Context, s *storage.Store, dir string) error {
	_, err := s.Backup(ctx, dir, storage.BackupOptions{})
	return err
}

func verifyBackup(ctx context.Context, fs vfs.FS, dir string) error {
	_, err := storage.VerifyBackup(ctx, fs, dir)
	return err
}
