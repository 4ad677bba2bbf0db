// Package healstore lets a healer work on a storage.Store.
package healstore

import (
	"context"
	"errors"
	"iter"
	"strings"

	"github.com/barkeepdb/barkeep/heal"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// Store is a [heal.Store] over a store, and has its concurrency.
type Store struct{ s *storage.Store }

// New returns s as a healer sees it.
func New(s *storage.Store) *Store { return &Store{s} }

// Series lists all series. The venue of one is who said its newest bar, unless
// the symbol names its sources.
func (x *Store) Series(context.Context) ([]heal.Series, error) {
	infos, err := x.s.Series()
	if err != nil {
		return nil, err
	}
	out := make([]heal.Series, 0, len(infos))
	for _, i := range infos {
		s := heal.Series{Key: i.Key, Grid: i.Grid, Bars: i.Bars, First: i.First, Last: i.Last}
		if sym, ok := x.s.Symbol(i.Symbol); ok {
			if sym.Listed != nil {
				s.Listed = *sym.Listed
			}
			s.Adjusted = sym.Adjusted
			if len(sym.Sources) > 0 {
				s.Venue = venueOf(sym.Sources[0])
			}
		}
		if s.Venue == "" && i.Bars > 0 {
			if b, ok, err := x.s.Latest(i.Key); err == nil && ok {
				name := x.s.SourceName(b.Prov.Source())
				s.Venue = name[strings.LastIndexByte(name, '/')+1:] // who said it first
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// venueOf is the provider in the name of a source, which may carry a symbol.
func venueOf(source string) string {
	for i := range len(source) {
		if source[i] == '=' {
			return source[:i]
		}
	}
	return source
}

// Scan finds the expected slots of span that have no bar.
func (x *Store) Scan(ctx context.Context, key series.Key, span series.Span) (*heal.Scan, error) {
	sc, err := x.s.Gaps(ctx, key, span)
	if err != nil {
		return nil, err
	}
	cal := series.Always()
	if sc.Calendar != "" {
		if cal, err = x.s.Calendars().Known(sc.Calendar); err != nil {
			return nil, err
		}
	}
	out := &heal.Scan{
		Grid: sc.Grid, Run: sc.Run, Expected: sc.Expected, Present: sc.Present, Calendar: cal,
		Holes: make([]series.Absence, 0, len(sc.Gaps)),
	}
	for _, g := range sc.Gaps {
		out.Holes = append(out.Holes, series.Absence{Run: g.Run, State: g.State, Note: sc.Note(g)})
	}
	return out, nil
}

// Coverage splits the slots of span into states.
func (x *Store) Coverage(ctx context.Context, key series.Key, span series.Span) (*heal.Coverage, error) {
	c, err := x.s.Coverage(ctx, key, span)
	if err != nil {
		return nil, err
	}
	return &heal.Coverage{Grid: c.Grid, Run: c.Run, States: c.States, Runs: c.Runs}, nil
}

// Read fills dst with the bars of span; damaged stretches are left out.
func (x *Store) Read(ctx context.Context, key series.Key, span series.Span, dst *series.Columns) error {
	return x.s.Read(ctx, key, span, storage.ReadOptions{OnDamage: func(*storage.CorruptError) {}}, dst)
}

// Write stores bars where there are none.
func (x *Store) Write(ctx context.Context, key series.Key, bars *series.Columns, source string, c heal.Change) (int, error) {
	ctx = noted(ctx, c)
	res, err := x.s.Write(ctx, key, bars, storage.WriteOptions{Source: source, OnConflict: storage.Keep})
	if err == nil && len(res.Refused) > 0 {
		err = errors.New(res.Refused[0].Reason)
	}
	return res.Written, err
}

// Explain records why slots have no bar.
func (x *Store) Explain(ctx context.Context, key series.Key, gaps []series.Absence, c heal.Change) error {
	return x.s.Explain(noted(ctx, c), key, gaps)
}

// Correct replaces bars by what a source says.
func (x *Store) Correct(ctx context.Context, key series.Key, bars *series.Columns, source string, c heal.Change) (int, error) {
	id, err := x.s.Source(source)
	if err != nil {
		return 0, err
	}
	fixed := &series.Columns{}
	for i := range bars.Time {
		b := bars.Bar(i)
		b.Prov = series.NewProv(series.Corrected, id)
		fixed.Append(b)
	}
	res, err := x.s.Write(noted(ctx, c), key, fixed, storage.WriteOptions{Source: source, OnConflict: storage.Replace})
	if err == nil && len(res.Refused) > 0 {
		err = errors.New(res.Refused[0].Reason)
	}
	return res.Written, err
}

// SetAside puts bars into quarantine and takes them out of the series.
func (x *Store) SetAside(ctx context.Context, key series.Key, bars *series.Columns, reason string, c heal.Change) error {
	ctx = noted(ctx, c)
	var entries []storage.Entry
	for i := range bars.Time {
		b := bars.Bar(i)
		entries = append(entries, storage.Entry{Key: key, Time: b.Time, HasTime: true, Reason: reason, Source: x.s.SourceName(b.Prov.Source()), Bar: &b})
	}
	// First into quarantine: nothing is ever in neither.
	if err := x.s.SetAside(ctx, entries); err != nil {
		return err
	}
	for _, t := range bars.Time {
		if _, err := x.s.Delete(ctx, key, series.Span{From: t, To: t + 1}); err != nil {
			return err
		}
	}
	return nil
}

// noted has the journal say who changes something and why.
func noted(ctx context.Context, c heal.Change) context.Context {
	return storage.WithNote(ctx, storage.Note{
		Actor: c.Actor, Repair: c.Repair, Rule: c.Rule, Version: c.Version, Evidence: c.Evidence, Until: c.Until,
	})
}

// Undo takes back what a repair changed.
func (x *Store) Undo(ctx context.Context, repair string, c heal.Change) (heal.Undone, error) {
	ctx = storage.WithNote(ctx, storage.Note{Actor: c.Actor, Cause: "undo of repair " + repair})
	u, err := x.s.Undo(ctx, storage.JournalOptions{Repair: repair})
	if errors.Is(err, storage.ErrNothingToUndo) {
		err = nil // a repair that changed nothing
	}
	out := heal.Undone{Restored: u.Restored, Removed: u.Removed, Explained: u.Evidence, Aside: u.Quarantine, Skipped: u.Skipped, Kept: []heal.Kept{}}
	for _, k := range u.Kept {
		out.Kept = append(out.Kept, heal.Kept{Key: k.Key, From: k.Span.From, To: k.Span.To, Bars: k.Slots, By: k.By, Why: k.Why})
	}
	return out, err
}

// PutRecords writes records.
func (x *Store) PutRecords(ctx context.Context, rs []heal.Record) error {
	out := make([]storage.Record, len(rs))
	for i, r := range rs {
		out[i] = storage.Record(r)
	}
	return x.s.PutRecords(ctx, out)
}

// Records streams the records of a kind.
func (x *Store) Records(ctx context.Context, kind, from string) iter.Seq2[heal.Record, error] {
	return func(yield func(heal.Record, error) bool) {
		for r, err := range x.s.Records(ctx, kind, from) {
			if !yield(heal.Record(r), err) {
				return
			}
		}
	}
}
