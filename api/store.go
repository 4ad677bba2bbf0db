package api

import (
	"context"
	"iter"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// Store is what the API asks of a store. *storage.Store is one.
type Store interface {
	catalog
	reader
	scanner
	writer
	quarantine
	keeper
	journal
	records
}

// records keeps small values beside the bars.
type records interface {
	PutRecords(ctx context.Context, rs []storage.Record) error
	Record(ctx context.Context, kind, name string) (value []byte, found bool, err error)
	Records(ctx context.Context, kind, from string) iter.Seq2[storage.Record, error]
}

// journal knows what was changed, and takes it back.
type journal interface {
	Journal(ctx context.Context, o storage.JournalOptions) iter.Seq2[*storage.Change, error]
	Undo(ctx context.Context, o storage.JournalOptions) (storage.Undone, error)
	AuditHead(ctx context.Context) (storage.AuditHead, error)
	VerifyAudit(ctx context.Context, earlier *storage.AuditHead) (storage.AuditReport, error)
	AsOf(o storage.PastOptions) (*storage.Past, error)
}

// catalog knows which series there are.
type catalog interface {
	Series() ([]storage.Info, error)
	Info(key series.Key) (storage.Info, error)
	Symbol(symbol string) (storage.Symbol, bool)
	Symbols() []string
	SetSymbol(symbol string, m storage.Symbol) error
	SourceName(id series.SourceID) string
	Calendars() *series.Calendars
}

// reader hands out views to read from.
type reader interface {
	Snapshot() (*storage.Snapshot, error)
	Latest(key series.Key) (bar series.Bar, ok bool, err error)
}

// view reads bars as they were at one moment, so that the pages, windows and
// figures of one answer fit together. *storage.Snapshot is one.
type view interface {
	Chunks(ctx context.Context, key series.Key, span series.Span, o storage.ReadOptions) iter.Seq2[*series.Columns, error]
	Resample(ctx context.Context, key series.Key, coarse series.Interval, span series.Span, dst *series.Columns) ([]series.Part, error)
	Gaps(ctx context.Context, key series.Key, span series.Span) (storage.Scan, error)
}

// scanner says what is there without reading bars.
type scanner interface {
	Gaps(ctx context.Context, key series.Key, span series.Span) (storage.Scan, error)
	Coverage(ctx context.Context, key series.Key, span series.Span) (storage.Coverage, error)
}

// writer changes bars.
type writer interface {
	Write(ctx context.Context, key series.Key, c *series.Columns, o storage.WriteOptions) (storage.WriteResult, error)
	Delete(ctx context.Context, key series.Key, span series.Span) (int64, error)
}

// keeper looks after what is stored.
type keeper interface {
	vitals
	// Damages are all that were ever found, FoundNow those since the start.
	Damages() ([]storage.Damage, error)
	FoundNow() []storage.Damage
	Backup(ctx context.Context, dir string, o storage.BackupOptions) (storage.Backup, error)
}

// vitals are figures of the store and of its disk.
type vitals interface {
	Stats() storage.Stats
	Health() storage.Health
}

// quarantine keeps what was refused.
type quarantine interface {
	SetAside(ctx context.Context, entries []storage.Entry) error
	Discard(ctx context.Context, key series.Key, id uint64) error
	Aside(ctx context.Context, key *series.Key) iter.Seq2[storage.Entry, error]
}
