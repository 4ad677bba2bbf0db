package storage

import (
	"encoding/binary"

	"github.com/barkeepdb/barkeep/series"
)

// The first byte of a key names its keyspace; see the package comment for the
// drawing. Integers are big-endian, signed ones with the sign bit turned, so
// that bytes sort as numbers do.
const (
	spaceBlock    = 'b' // series, block            -> version, encoded block
	spaceCoverage = 'c' // series, page             -> presence of the blocks of the page
	spaceJournal  = 'j' // sequence                 -> one change, with what it replaced
	spaceLedger   = 'l' // series                   -> totals, last bar, summary of the tail block
	spaceStats    = 'm' // series, page             -> figures of the blocks of the page
	spaceEvidence = 'n' // series, first slot       -> run of absence with its reason
	spaceAside    = 'q' // series, time, sequence   -> quarantined bar
	spaceRows     = 'r' // series, block, sequence  -> late or appended bars not yet folded
	spaceRegistry = 's' // what, id                 -> series, symbols, sources
	spaceConfig   = 'x' // name                     -> format version, damages, records
)

// Parts of the registry.
const (
	registrySeries = 's' // series id -> symbol, interval, phase
	registrySymbol = 'y' // symbol    -> calendar, listing, tick
	registrySource = 'o' // source id -> name
)

type seriesID uint32

func appendInt(dst []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(v)^1<<63)
}

func readInt(b []byte) int64 { return int64(binary.BigEndian.Uint64(b) ^ 1<<63) }

func seriesKey(space byte, id seriesID) []byte {
	return binary.BigEndian.AppendUint32(append(make([]byte, 0, 24), space), uint32(id))
}

// numberKey is the key of block or page n of a series.
func numberKey(space byte, id seriesID, n int64) []byte { return appendInt(seriesKey(space, id), n) }

func appendNumberKey(dst []byte, space byte, id seriesID, n int64) []byte {
	return appendInt(binary.BigEndian.AppendUint32(append(dst, space), uint32(id)), n)
}

// numberOf is the block or page number in a key that numberKey made.
func numberOf(key []byte) (int64, bool) {
	if len(key) < 13 {
		return 0, false
	}
	return readInt(key[5:13]), true
}

func seriesOf(key []byte) seriesID { return seriesID(binary.BigEndian.Uint32(key[1:5])) }

func rowsKey(id seriesID, block int64, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(numberKey(spaceRows, id, block), seq)
}

func journalKey(seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{spaceJournal}, seq)
}

func registryKey(part byte, rest ...byte) []byte {
	return append([]byte{spaceRegistry, part}, rest...)
}

func idBytes(id uint32) []byte { return binary.BigEndian.AppendUint32(nil, id) }

// A block covers blockSlots slots, a page pageBlocks blocks. A day of minutes
// is one block: 0.6% larger on disk than blocks of 4096 and a third of the
// work to read one day. A page is then a month of minutes, small enough to be
// rewritten whenever one of its blocks changes.
const (
	blockSlots = 1440
	pageBlocks = 32
)

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func blockOf(n series.Slot) int64    { return floorDiv(int64(n), blockSlots) }
func blockStart(b int64) series.Slot { return series.Slot(b * blockSlots) }
func pageOf(block int64) int64       { return floorDiv(block, pageBlocks) }
func blockRun(b int64) series.Run    { return series.Run{From: blockStart(b), To: blockStart(b + 1)} }

func blocksOf(r series.Run) (lo, hi int64) { // half-open
	if r.Empty() {
		return 0, 0
	}
	return blockOf(r.From), blockOf(r.To-1) + 1
}
