// Package storage keeps bars: columnar, compressed and crash-safe, on Pebble.
// It is the only package that knows Pebble.
//
// # What is kept
//
// A series is cut into blocks of 1440 slots (a day of minutes), each encoded
// by package block. 32 blocks share two summary pages: coverage says in which
// slots there is a bar, stats what a block holds. The block of the newest bar,
// the tail, has its summary in the ledger of the series instead, so that an
// append rewrites a few hundred bytes. Bars that come one by one or late are
// kept as rows beside their block, laid over it while reading, and folded into
// it later.
//
// The keyspace, one prefix byte each; integers are big-endian, so that bytes
// sort as numbers do:
//
//	b  series block           version, encoded block
//	r  series block sequence  rows of a block, not yet folded
//	c  series page            coverage of 32 blocks
//	m  series page            stats of 32 blocks
//	l  series                 ledger: totals, sums, last bar, summary of the tail
//	l  0                      stamp of the last load
//	n  series slot            evidence: a run of absence and its reason
//	q  series time sequence   quarantine: a bar set aside, with its raw value
//	j  sequence               journal: one change and the values it replaced
//	s  kind id                registry: series, symbols, sources
//	x  name                   format version, id, stamp, damages, records
//
// # Files
//
//	db/        what Pebble keeps
//	HEAD       how far the store had come: two marks, written in turn
//	trail.N    what each recent commit was about, and a copy of the registry
//	ballast    room that is given up when the disk is full
//	damaged/   files that were replaced because they are damaged
//	LOCK       held by the process that has the store open; owner says who
//
// # Promises
//
// What a method acknowledged is on the disk, unless relaxed durability was
// asked for. A change is one batch: block or rows, summaries, ledger and
// journal happen together or not at all. A value that a change replaces or
// removes is in the journal. A block carries its own checksum over key,
// version and bytes; a damaged one gives a [*CorruptError] that names its
// bars, and the rest of the series can be read.
//
// Nothing is lost without a word. The engine's own checksums do not carry that
// promise, so every commit writes a stamp that sums up all that is stored, and
// notes in the trail, outside the engine, what it was about. [Open] adds up and
// compares; the scrubber goes on with it in the background. What is lost or
// damaged is named by series and span in [Store.Damages], its slots say
// quarantined, and to write the bars again heals them. Damaged files of the
// engine are replaced by all that can be read of them and kept beside.
//
// A full disk is a state: reads go on, writes return an [*UnavailableError], and
// go on by themselves when there is room. An error of making something durable
// is final; see Options.Fatal. A write waits for the disk only so long; see
// Options.WriteTimeout.
//
// Questions about data are answered from summaries: [Store.Gaps],
// [Store.Coverage], [Store.Latest] and [Store.Info] never decode a bar.
//
// One process opens a store for writing; see [LockedError].
package storage
