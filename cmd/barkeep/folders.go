package main

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/files"
	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// folders has the holes of a symbol asked for again when a file of it comes into
// a folder that it names as a source: their next attempt may be a week away.
type folders struct {
	store  *storage.Store
	healer *heal.Healer
	log    *slog.Logger
	list   []watchedFolder
}

type watchedFolder struct {
	name  string // of the endpoint, which is that of its provider
	watch *files.Watch
	told  string // the error that was logged last
}

// foldersEvery is how often folders are looked at, which is a walk through their
// names.
const foldersEvery = 10 * time.Second

// disk answers the questions of endpoints that are folders, of all pools.
func (a *app) disk() *files.Transport {
	a.files.Do(func() { a.transport = files.NewTransport(a.logger()) })
	return a.transport
}

// newFolders watches the folders among the endpoints; nil is none.
func (a *app) newFolders(s *storage.Store, h *heal.Healer) (*folders, error) {
	f := &folders{store: s, healer: h, log: a.logger()}
	for _, e := range a.cfg.endpoints {
		if _, ok := e.Provider.(fetch.Local); !ok {
			continue
		}
		w, err := a.disk().Watch(e.URL)
		if err != nil {
			return nil, err
		}
		f.list = append(f.list, watchedFolder{name: e.Provider.Info().Name, watch: w})
	}
	if len(f.list) == 0 {
		return nil, nil
	}
	return f, nil
}

// run looks until ctx ends, and queues repairs while auto says so.
func (f *folders) run(ctx context.Context, auto func() bool) error {
	return atOnce(ctx, foldersEvery, func() error { return f.look(ctx, auto()) })
}

// look looks once. A folder that cannot be read is told and looked at again.
func (f *folders) look(ctx context.Context, auto bool) error {
	for i := range f.list {
		d := &f.list[i]
		of := f.called(d.name)
		own := make([]string, 0, len(of))
		for name := range of {
			own = append(own, name)
		}
		slices.Sort(own)
		fresh, err := d.watch.Fresh(own)
		if err != nil {
			if d.told != err.Error() {
				d.told = err.Error()
				f.log.Warn("a folder of bars cannot be watched", "endpoint", d.name, "error", err)
			}
			continue
		}
		d.told = ""
		if !auto {
			continue
		}
		for _, name := range fresh {
			for _, symbol := range of[name] {
				if err := f.heal(ctx, d.name, symbol); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// called are the symbols that name an endpoint as a source, by what it calls them.
func (f *folders) called(endpoint string) map[string][]string {
	out := map[string][]string{}
	for _, symbol := range f.store.Symbols() {
		m, _ := f.store.Symbol(symbol)
		for _, text := range m.Sources {
			ref, err := series.ParseSourceRef(text)
			own := cmp.Or(ref.Symbol, symbol)
			if err == nil && ref.Name == endpoint && !slices.Contains(out[own], symbol) {
				out[own] = append(out[own], symbol)
			}
		}
	}
	return out
}

// heal queues a repair of a symbol that asks and does not fill, if it has holes.
func (f *folders) heal(ctx context.Context, endpoint, symbol string) error {
	r := heal.Request{Symbol: symbol, Type: heal.Sources, Actor: "folder " + endpoint, Now: true}
	p, err := f.healer.Plan(ctx, r)
	if err != nil {
		// A symbol without a series, perhaps: its first bars are imported.
		f.log.Debug("a new file is of no series", "endpoint", endpoint, "symbol", symbol, "error", err)
		return ctx.Err()
	}
	if p.Bars == 0 {
		return nil
	}
	x, err := f.healer.Start(ctx, r)
	if err != nil {
		return err
	}
	f.log.Info("a new file may fill holes", "endpoint", endpoint, "symbol", symbol, "repair", x.ID)
	return nil
}
