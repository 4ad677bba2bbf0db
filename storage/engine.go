package storage

import (
	"errors"
	"time"
)

// The engine seam. Everything that the store keeps goes through these few
// operations on ordered keys, so that an engine other than Pebble can carry
// it. Nothing above the seam may rely for correctness on what the process
// remembers: caches are checked by the compare-and-set of a batch.

// errStale: a key that a batch expected to hold a value held another one.
var errStale = errors.New("stored state changed underneath the write")

// reader reads keys in byte order, as of one moment.
type reader interface {
	// Get calls use with the value of key, which is valid during the call, and
	// reports whether there is one.
	Get(key []byte, use func(value []byte) error) (bool, error)
	// Cursor walks the keys of [lo, hi).
	Cursor(lo, hi []byte) (cursor, error)
}

// cursor walks keys in byte order. Key and Value are valid until it moves.
// A cursor that stops early has an Err.
type cursor interface {
	First() bool
	SeekGE(key []byte) bool
	SeekLT(key []byte) bool
	Next() bool
	Prev() bool
	Key() []byte
	Value() ([]byte, error)
	Err() error
	Close() error
}

// snapshot is a reader of one moment that must be closed.
type snapshot interface {
	reader
	Close() error
}

// batch gathers changes that happen all or not at all.
type batch interface {
	Set(key, value []byte) error
	Delete(key []byte) error
	DeleteRange(lo, hi []byte) error
	// Expect makes the commit fail with errStale unless key holds value; a nil
	// value means that the key must be absent.
	Expect(key, value []byte)
}

// loader writes sorted keys into files of the engine's own format and adds
// them at once: the fast way in for large loads.
type loader interface {
	// Set adds a key above all before it.
	Set(key, value []byte) error
	Expect(key, value []byte)
	// Finish makes the files written so far durable.
	Finish() error
	// Redo drops the file that was finished last, to be written again.
	Redo() error
	// Commit makes all of it visible and durable, or nothing.
	Commit() error
	// Abort removes what was written; after Commit it does nothing.
	Abort()
}

// engine is an ordered key-value store.
type engine interface {
	reader
	Snapshot() snapshot
	Batch() batch
	// Commit applies b. What it wrote is visible when Commit returns and
	// durable when wait returns; without durable, wait returns at once.
	Commit(b batch, durable bool) (wait func() error, err error)
	Loader() (loader, error)
	// Sync makes durable what was committed without.
	Sync() error
	// Checkpoint writes a consistent copy into dir, which must not exist.
	Checkpoint(dir string) error
	// Incomplete lists files that are missing or cut off.
	Incomplete() ([]string, error)
	// Accept says that what was opened has been compared with what must be there.
	// Files that the opening took for garbage go into folder keep, or, where that
	// is empty, for good.
	Accept(keep string) error
	// Damaged hands out the files that were found damaged since the last time.
	Damaged() <-chan string
	// RepairFile takes a damaged file out of use, with all that can be read of it
	// written anew, and leaves it in the folder keep. lost are the ranges of keys
	// that could not be read.
	RepairFile(path, keep string) (lost []keyRange, err error)
	Stats() EngineStats
	// Slow is for how long the disk has not answered; 0 is that it answers.
	Slow() time.Duration
	Close() error
}

// EngineStats are figures of the engine, for metrics.
type EngineStats struct {
	DiskBytes        int64 // files of the engine
	CacheHits        int64
	CacheMisses      int64
	Memtables        int64 // bytes
	Compactions      int64
	CompactionDebt   int64 // bytes still to be compacted
	WALBytes         int64
	BackgroundErrors int64
	CorruptFiles     int64 // corruption events seen since the start
}
