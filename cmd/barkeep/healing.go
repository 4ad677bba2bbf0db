package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/heal/healpool"
	"github.com/barkeepdb/barkeep/heal/healstore"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// healing is a healer and the pool that it fetches through.
type healing struct {
	*heal.Healer
	pool *fetch.Pool // nil where nothing is fetched
}

// newHealing makes a healer over s. Without a pool it can only plan and rate.
func (a *app) newHealing(s *storage.Store, pool *fetch.Pool) (*healing, error) {
	o := heal.Options{Store: healstore.New(s), Policy: a.cfg.Healing, Logger: a.logger(), Observe: a.announce}
	if pool != nil {
		o.Source = healpool.New(healpool.Options{
			Pool: pool, Proxies: a.cfg.Proxies,
			Named:    func(symbol string) []string { m, _ := s.Symbol(symbol); return m.Sources },
			Venue:    func(symbol string) string { return storedVenue(s, symbol) },
			Adjusted: func(symbol string) series.Adjust { m, _ := s.Symbol(symbol); return m.Adjusted },
		})
	}
	h, err := heal.New(o)
	if err != nil {
		return nil, err
	}
	return &healing{h, pool}, nil
}

// storedVenue is who said the newest bar of a symbol.
func storedVenue(s *storage.Store, symbol string) string {
	infos, err := s.Series()
	if err != nil {
		return ""
	}
	for _, i := range infos {
		if i.Symbol != symbol || i.Bars == 0 {
			continue
		}
		if b, ok, err := s.Latest(i.Key); err == nil && ok {
			return s.SourceName(b.Prov.Source())
		}
	}
	return ""
}

// bansFile keeps the bans of vendors in the data directory.
func (a *app) bansFile() string { return filepath.Join(a.cfg.Data, "bans.json") }

// close lets go of the pool; requests under way get a second.
func (h *healing) close() error {
	if h == nil || h.pool == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := h.pool.Close(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// settleStart is how long a server leaves the rules alone after its start.
const settleStart = 15 * time.Second

// heals keeps the healer at work until ctx ends, and the scores of all series.
func (h *healing) heals(ctx context.Context, auto func() bool) error {
	scores := time.NewTicker(time.Hour)
	defer scores.Stop()
	inspect := time.NewTicker(time.Minute)
	defer inspect.Stop()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx, auto) }()
	over := false
	defer func() {
		cancel()
		if !over {
			_ = h.ended(done) // it was told to end
		}
	}()
	first := time.NewTimer(settleStart)
	defer first.Stop()
	for {
		select {
		case err := <-done:
			over = true
			return err
		case <-first.C:
			if err := errors.Join(h.InspectAll(ctx), h.KeepScores(ctx)); err != nil && ctx.Err() == nil {
				return err
			}
		case <-inspect.C:
			if err := h.InspectAll(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		case <-scores.C:
			if err := h.KeepScores(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// revisions has bars read again until ctx ends.
func (h *healing) revisions(ctx context.Context) error {
	return every(ctx, 20*time.Second, func() error { return h.Radar(ctx) })
}

// ended waits for the healer.
func (h *healing) ended(done <-chan error) error { return <-done }
