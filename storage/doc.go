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
//	l  series                 ledger: totals, last bar, summary of the tail
//	n  series slot            evidence: a run of absence and its reason
//	q  series time sequence   quarantine: a bar set aside, with its raw value
//	j  sequence               journal: one change and the values it replaced
//	s  kind id                registry: series, symbols, sources
//	x  name                   format version
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
// Questions about data are answered from summaries: [Store.Gaps],
// [Store.Coverage], [Store.Latest] and [Store.Info] never decode a bar.
//
// One process opens a store for writing; see [LockedError].
package storage
