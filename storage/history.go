package storage

import (
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage/block"
)

// Change is one entry of the journal.
type Change struct {
	Seq    uint64 // its number; numbers rise, with holes
	Op     string // bars, deletion, explanation, quarantine, damage, folding
	Key    series.Key
	At     series.Time // when the store learned it
	Source string      // who said the bars
	Note   Note

	Added, Replaced, Removed int64 // bars
	Grid                     series.Grid
	Gained                   []series.Run // slots that got their first bar
	Renewed                  []series.Run // slots whose bar was still forming and got another; that bar is not kept
	Explained                []series.Run // slots that got another explanation
	// Before are the bars that were replaced or removed.
	Before series.Columns
	// Evidence is the explanations that were replaced.
	Evidence []series.Absence
	// SetAside and Discarded count the bars that went into quarantine and that
	// left it.
	SetAside, Discarded int64

	asides, discards []asidePair
	Hash             tlog.Hash // of the entry, as [Store.AuditHead] counts it
}

// JournalOptions choose entries. Zero fields choose all.
type JournalOptions struct {
	Key    *series.Key
	From   series.Time // made at this time or later
	To     series.Time // made before; 0 is no bound
	After  uint64      // numbers above this one
	Repair string      // of this repair
	Rule   string
	// Version is that of the rule; 0 is any.
	Version int
	Source  string // bars of this source, and of those behind it: peer/venue of peer
	Actor   string
	Folds   bool // foldings too, which change no bar
}

var opNames = map[journalOp]string{
	opWrite: "bars", opDelete: "deletion", opFold: "folding", opDamage: "damage", opExplain: "explanation", opAside: "quarantine",
}

// Journal streams the entries that o chooses, oldest first, as they were when
// the loop began.
func (s *Store) Journal(ctx context.Context, o JournalOptions) iter.Seq2[*Change, error] {
	return func(yield func(*Change, error) bool) {
		if err := s.enter(); err != nil {
			yield(nil, err)
			return
		}
		defer s.leave()
		c, err := s.eng.Cursor(journalKey(o.After+1), []byte{spaceJournal + 1})
		if err != nil {
			yield(nil, err)
			return
		}
		defer c.Close()
		for ok := c.First(); ok; ok = c.Next() {
			v, err := c.Value()
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(nil, err)
				return
			}
			x, err := s.change(c.Key(), v, &o)
			if err != nil {
				yield(nil, fmt.Errorf("entry %d of the journal: %w", binary.BigEndian.Uint64(c.Key()[1:]), err))
				return
			}
			if x != nil && !yield(x, nil) {
				return
			}
		}
		if err := c.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// change decodes an entry, or returns nil where o does not choose it.
func (s *Store) change(key, value []byte, o *JournalOptions) (*Change, error) {
	if len(key) != 9 {
		return nil, errJournal
	}
	e, err := decodeJournal(value)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	st := s.ids[e.series]
	s.mu.RUnlock()
	x := &Change{
		Seq: binary.BigEndian.Uint64(key[1:]), Op: opNames[e.op], At: e.at, Source: s.SourceName(e.source), Note: e.note, Renewed: e.renewed,
		SetAside: int64(len(e.asides)), Discarded: int64(len(e.discards)),
		Added: e.added, Replaced: e.replaced, Removed: e.removed, Evidence: e.evidence, Hash: recordHash(key, value),
	}
	if e.source == 0 {
		x.Source = ""
	}
	if st != nil {
		x.Key, x.Grid = st.key, st.grid()
	}
	if o.Key != nil && x.Key != *o.Key || x.At < o.From || o.To != 0 && x.At >= o.To || e.op == opFold && !o.Folds ||
		o.Repair != "" && x.Note.Repair != o.Repair || o.Rule != "" && x.Note.Rule != o.Rule || o.Version != 0 && x.Note.Version != o.Version ||
		o.Source != "" && x.Source != o.Source && !strings.HasPrefix(x.Source, o.Source+"/") || o.Actor != "" && x.Note.Actor != o.Actor {
		return nil, nil
	}
	// They share memory with value, which is the cursor's.
	x.asides, x.discards = e.asides, slices.Clone(e.discards)
	for i := range x.discards {
		x.discards[i].value = slices.Clone(x.discards[i].value)
	}
	x.Explained, x.Gained = e.explained, series.Subtract(nil, e.runs, e.explained)
	if e.op == opExplain {
		x.Explained, x.Gained = e.runs, nil // entries of version 1 say it so
	}
	return x, e.bars(st, &x.Before)
}

// bars decodes the bars that a change replaced or removed into dst.
func (e *journalEntry) bars(st *state, dst *series.Columns) error {
	if len(e.before) == 0 || st == nil {
		return nil
	}
	w := workerPool.Get().(*worker)
	defer workerPool.Put(w)
	for _, b := range e.before {
		var cols block.Columns
		if err := w.dec.Decode(blockCheckKey(e.series, b.block, b.version), b.data, blockSlots, block.All, &cols); err != nil {
			return fmt.Errorf("the bars before: %w", err)
		}
		for i, slot := range cols.Slot {
			bar := rowBar(&cols, i)
			bar.Time = st.grid().Time(blockStart(b.block) + series.Slot(slot))
			dst.Append(bar)
		}
	}
	return nil
}

// touched is every slot whose bar the change gained, replaced or removed.
func (x *Change) touched() []series.Run {
	var runs []series.Run
	for _, t := range x.Before.Time {
		n := x.Grid.SlotAt(t)
		runs = append(runs, series.Run{From: n, To: n + 1})
	}
	return series.Union(nil, series.Union(nil, x.Gained, x.Renewed), series.Normalize(runs))
}

func recordHash(key, value []byte) tlog.Hash {
	return tlog.RecordHash(slices.Concat(key, value))
}
