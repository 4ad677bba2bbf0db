package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// reportFile is what /data/health answers, in the data directory, for programs
// that watch files.
const reportFile = "data_health_report.json"

// writeReports writes the report now and then until ctx ends.
func writeReports(ctx context.Context, s *api.Server, dir string, pause time.Duration) error {
	return atOnce(ctx, pause, func() error { return writeReport(ctx, s, filepath.Join(dir, reportFile)) })
}

// keepMetrics writes the history of the metrics until ctx ends.
func keepMetrics(ctx context.Context, s *api.Server) error {
	return every(ctx, api.HistoryStep, func() error {
		err := s.KeepMetrics(ctx)
		if _, unavailable := errors.AsType[*storage.UnavailableError](err); unavailable {
			return nil // for what is missing while the disk is full there is an alert
		}
		return err
	})
}

// writeReport replaces the report as a whole: a reader never sees half of one.
func writeReport(ctx context.Context, s *api.Server, path string) error {
	d, err := s.DataHealth(ctx)
	if err != nil {
		return err
	}
	s.Publish(api.EventHealth, series.Key{}, map[string]any{"at": d.At, "status": d.Status, "totals": d.Totals})
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return os.Rename(tmp, path)
}
