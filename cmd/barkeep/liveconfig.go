package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/storage"
)

// kindConfig is the kind of the records of settings that were changed over
// HTTP. They win over the file; environment and flags win over them.
const kindConfig = "config"

const fromAPI = "api"

// liveConfig is the configuration of a server at work.
type liveConfig struct {
	app   *app
	store *storage.Store
	apply func() error // puts settings into effect that need no restart

	mu sync.Mutex // guards app.cfg

	auto atomic.Bool // data_healing.auto_repair_enabled
}

// isLive reports whether a setting takes effect without a restart.
func isLive(key string) bool {
	section, _, _ := strings.Cut(key, ".")
	return section == "data_healing" && key != "data_healing.allow_other_venues" || key == "log.level"
}

// newLiveConfig lays the settings that were changed over HTTP over those of the
// file.
func newLiveConfig(ctx context.Context, a *app, s *storage.Store) (*liveConfig, error) {
	l := &liveConfig{app: a, store: s, apply: func() error { return nil }}
	for r, err := range s.Records(ctx, kindConfig, "") {
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(settings, func(x setting) bool { return x.key == r.Name })
		if i < 0 || a.cfg.from[r.Name] == fromEnv || a.cfg.from[r.Name] == fromFlag {
			continue
		}
		if err := settings[i].set(&a.cfg.Config, string(r.Value)); err != nil {
			a.logger().Warn("a stored setting cannot be used", "setting", r.Name, "error", err)
			if err := settings[i].set(&a.cfg.Config, a.cfg.values[r.Name]); err != nil {
				return nil, err
			}
			continue
		}
		a.cfg.values[r.Name], a.cfg.from[r.Name] = string(r.Value), fromAPI
	}
	l.auto.Store(a.cfg.AutoRepair)
	l.app.level.Set(a.cfg.LogLevel)
	return l, nil
}

// Settings lists what is in effect, secrets hidden.
func (l *liveConfig) Settings() []api.Setting {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]api.Setting, 0, len(settings))
	for _, s := range settings {
		out = append(out, api.Setting{Key: s.key, Value: l.app.cfg.shown(s), Default: s.def, From: l.app.cfg.from[s.key], Doc: strings.ReplaceAll(s.doc, "\n", " "), Live: isLive(s.key)})
	}
	return out
}

// Change sets settings, all or none, and keeps them in the store.
func (l *liveConfig) Change(values map[string]string, actor string) (restart []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	cfg := l.app.cfg
	trial := cfg.Config
	var errs []error
	var rs []storage.Record
	for _, key := range slices.Sorted(maps.Keys(values)) {
		i := slices.IndexFunc(settings, func(x setting) bool { return x.key == key })
		switch {
		case i < 0:
			errs = append(errs, fmt.Errorf("setting %q is unknown%s", key, nearest(key, keys())))
			continue
		case settings[i].secret || key == "data" || key == "url" || key == "output":
			errs = append(errs, fmt.Errorf("setting %s cannot be changed from here: set it in the file or the environment", key))
			continue
		case cfg.from[key] == fromEnv || cfg.from[key] == fromFlag:
			errs = append(errs, fmt.Errorf("setting %s is given by %s, which wins over this", key, cfg.from[key]))
			continue
		}
		if err := settings[i].set(&trial, values[key]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
			continue
		}
		if !isLive(key) {
			restart = append(restart, key)
		}
		rs = append(rs, storage.Record{Kind: kindConfig, Name: key, Value: []byte(values[key])})
	}
	if len(errs) == 0 {
		errs = trial.fit()
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("%w: %w", api.ErrConfig, errors.Join(errs...))
	}
	if err := l.store.PutRecords(context.Background(), rs); err != nil {
		return nil, err
	}
	for key, v := range values {
		cfg.values[key], cfg.from[key] = v, fromAPI
	}
	l.app.logger().Info("settings were changed", "settings", slices.Sorted(maps.Keys(values)), "by", actor)
	l.auto.Store(trial.AutoRepair)
	l.app.level.Set(trial.LogLevel)
	// What needs a restart stays as it is until then.
	cfg.Healing, cfg.AutoRepair = trial.Healing, trial.AutoRepair
	return restart, l.apply()
}

// Reload reads the file and the environment again and puts into effect what
// needs no restart.
func (l *liveConfig) Reload(path string, environ []string) error {
	fresh, err := load(path, environ, nil)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	cfg := l.app.cfg
	for _, s := range settings {
		if !isLive(s.key) || cfg.from[s.key] == fromFlag || cfg.from[s.key] == fromAPI {
			continue
		}
		if err := s.set(&cfg.Config, fresh.values[s.key]); err != nil {
			return fmt.Errorf("%s: %w", s.key, err)
		}
		cfg.values[s.key], cfg.from[s.key] = fresh.values[s.key], fresh.from[s.key]
	}
	l.auto.Store(cfg.AutoRepair)
	l.app.level.Set(cfg.LogLevel)
	return l.apply()
}
