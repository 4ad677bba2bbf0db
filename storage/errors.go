package storage

import (
	"errors"
	"fmt"
	"time"

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

	known bool // it was set aside before
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

// Unavailable says why a store does not take writes at the moment.
type Unavailable uint8

// The reasons.
const (
	// DiskFull: the disk has no room left, or only what keeps the store alive.
	DiskFull Unavailable = iota
	// Stalled: the disk does not answer in time.
	Stalled
	// Damaged: the store is open for reading only, because of damage that
	// could not be repaired.
	Damaged
)

func (u Unavailable) String() string {
	switch u {
	case DiskFull:
		return "disk_full"
	case Stalled:
		return "stalled"
	}
	return "damaged"
}

// UnavailableError says that a write was not taken, though nothing is wrong
// with it. Reads go on.
type UnavailableError struct {
	Reason Unavailable
	Detail string
	// Unknown: the write was begun and may still happen. Writing the same bars
	// again is safe: those that are there are counted as unchanged.
	Unknown bool
	// RetryAfter is when to try again.
	RetryAfter time.Duration

	err error
}

func (e *UnavailableError) Error() string {
	var text string
	switch e.Reason {
	case DiskFull:
		text = "the disk is full: free some space, writes then go on by themselves"
	case Stalled:
		text = "the disk does not answer in time"
	default:
		text = "the store is damaged and open for reading only: see barkeep verify"
	}
	if e.Detail != "" {
		text += " (" + e.Detail + ")"
	}
	if e.Unknown {
		text += "; the write may still happen, and to repeat it is safe"
	}
	return text
}

// Unwrap gives the error of the context, where that ended the wait.
func (e *UnavailableError) Unwrap() error { return e.err }
