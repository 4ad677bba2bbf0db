//go:build !ledger

package storage_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// The torture tests are written against what the store will be able to say of
// damage. Until it can, this file stands in for torture_ledger_test.go: to
// switch, delete this file and the build tag there.

// Without Options.Fatal an error of the log ends the process of the tests:
// faults of the log, the manifest and what leads to them are left out.
const hasFatal = false

// unchangedIsDurable is off because of what TestTortureUnchanged shows.
const unchangedIsDurable = false

// knownToday tells what is left of a window in Pebble 2.1.7: it creates a
// MANIFEST and the marker that names it, and syncs the folder only then. A
// crash in between may keep the marker and lose the MANIFEST.
func knownToday(err error) bool {
	return strings.Contains(err.Error(), "could not open manifest file")
}

type damage struct {
	Key  series.Key
	Span series.Span
	What string
}

func tortureOptions(o storage.Options, _ func(error)) storage.Options { return o }

func damagesOf(*storage.Store) ([]damage, error) { return nil, nil }

func backup(ctx context.Context, s *storage.Store, dir string) error { return s.Checkpoint(ctx, dir) }

func verifyBackup(ctx context.Context, fs vfs.FS, dir string) error {
	s, err := storage.Open(dir, storage.Options{FS: fs, ReadOnly: true})
	if err != nil {
		return err
	}
	defer s.Close()
	rep, err := s.Verify(ctx, storage.VerifyOptions{})
	if err == nil && !rep.OK() {
		err = fmt.Errorf("%w: %v %v", series.ErrCorrupt, rep.Damaged, rep.Problems)
	}
	return err
}
