package storage

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/barkeepdb/barkeep/series"
)

// stamp is the state of the whole store in a few numbers. Every commit writes
// the next one in its own batch, so that the newest stamp says what must be
// there: what the engine lost without a word, whether of the end or out of the
// middle, no longer adds up to it.
type stamp struct {
	seq uint64 // of the commit; commits are counted without holes
	// root is the sum of all ledgers, of the registry and of the settings. A
	// ledger holds the sums of all that belongs to its series, so that root
	// covers everything but the journal.
	root    uint64
	entries uint64 // of the journal
	journal uint64 // their sum
	at      series.Time
}

// Root is a stamp as it is shown: two stores with equal roots hold the same.
type Root struct {
	Seq     uint64      `json:"seq"`     // number of the last commit
	Root    uint64      `json:"root"`    // sum of all that is stored, without the journal
	Entries uint64      `json:"entries"` // entries of the journal
	Journal uint64      `json:"journal"` // their sum
	At      series.Time `json:"at"`      // when it was committed
}

func (p stamp) shown() Root { return Root{p.seq, p.root, p.entries, p.journal, p.at} }

// The stamp has two places, of which the newer one counts. A load writes it as
// the ledger of series 0, which does not exist, into the same table as the
// ledger of its series. All others write it where no load writes: a table that
// overlaps what is still in memory costs the engine a flush.
var (
	loadStampKey = seriesKey(spaceLedger, 0)
	stampKey     = []byte{spaceConfig, 's'}
)

const (
	stampVersion = 1
	stampSize    = 1 + 5*8 + 4
)

var errStamp = errors.New("the stamp of the store is damaged")

// encode writes u8 version, five 8-byte integers, CRC32C.
func (p stamp) encode() []byte {
	le := binary.LittleEndian
	dst := append(make([]byte, 0, stampSize), stampVersion)
	for _, v := range [...]uint64{p.seq, p.root, p.entries, p.journal, uint64(p.at)} {
		dst = le.AppendUint64(dst, v)
	}
	return le.AppendUint32(dst, crc32.Checksum(dst, castagnoli))
}

func decodeStamp(b []byte) (stamp, error) {
	le := binary.LittleEndian
	if len(b) != stampSize || b[0] != stampVersion || crc32.Checksum(b[:stampSize-4], castagnoli) != le.Uint32(b[stampSize-4:]) {
		return stamp{}, errStamp
	}
	v := func(i int) uint64 { return le.Uint64(b[1+8*i:]) }
	return stamp{v(0), v(1), v(2), v(3), series.Time(v(4))}, nil
}
