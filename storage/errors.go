package storage

import (
	"errors"
	"fmt"

	"github.com/barkeepdb/barkeep/series"
)

// ErrClosed is what calls on a closed store return.
var ErrClosed = errors.New("store is closed")

var errReadOnly = errors.New("store is open for reading only")

// CorruptError says which bars cannot be read and why. It wraps
// [series.ErrCorrupt].
type CorruptError struct {
	Key    series.Key
	Span   series.Span // the time that the damaged block covers
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s: bars of %v are damaged: %s", e.Key, e.Span, e.Reason)
}

// Unwrap makes errors.Is(err, series.ErrCorrupt) true.
func (e *CorruptError) Unwrap() error { return series.ErrCorrupt }

// LockedError says that another process has the store open.
type LockedError struct {
	Dir   string
	Owner string // who, as far as it said so
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("store %s is in use by %s: stop it, or speak to it with --url", e.Dir, e.Owner)
}

// FormatError says that the store was written by a newer program.
type FormatError struct {
	Dir         string
	Have, Known int // format version of the store, newest that this program reads
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("store %s has format %d, this program reads up to %d: use a newer barkeep", e.Dir, e.Have, e.Known)
}
