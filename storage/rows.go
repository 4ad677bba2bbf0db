package storage

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"

	"github.com/barkeepdb/barkeep/series"
)

// Rows are bars that were appended or came late, kept beside their block until
// they are folded into it: an append writes some 60 bytes, not a block of ten
// thousand. A group of rows is one value: u8 version, u48 time of writing, the
// rows, CRC32C over key and value. A later group wins over an earlier one and
// over the block.
//
// A row: u16 slot, with bit 15 set if quote volume and bit 14 if trades follow;
// u32 provenance; f64 open, high, low, close, volume[, quote volume][, trades].

const (
	rowsVersion = 1
	rowQuote    = 1 << 15
	rowTrades   = 1 << 14
	rowSlot     = rowTrades - 1
	// foldRows is the number of row groups or rows at which a block is folded.
	foldRows = 96
)

var errRows = errors.New("rows are damaged")

func appendRow(dst []byte, slot uint16, b *series.Bar) []byte {
	le := binary.LittleEndian
	head := slot
	if !math.IsNaN(b.QuoteVolume) {
		head |= rowQuote
	}
	if !math.IsNaN(b.Trades) {
		head |= rowTrades
	}
	dst = le.AppendUint16(dst, head)
	dst = le.AppendUint32(dst, uint32(b.Prov))
	for _, f := range [...]float64{b.Open, b.High, b.Low, b.Close, b.Volume} {
		dst = le.AppendUint64(dst, math.Float64bits(f))
	}
	if head&rowQuote != 0 {
		dst = le.AppendUint64(dst, math.Float64bits(b.QuoteVolume))
	}
	if head&rowTrades != 0 {
		dst = le.AppendUint64(dst, math.Float64bits(b.Trades))
	}
	return dst
}

// readRow reads one row; the time of the bar is left to the caller.
func readRow(b []byte) (slot uint16, bar series.Bar, rest []byte, ok bool) {
	le := binary.LittleEndian
	if len(b) < 46 {
		return 0, bar, nil, false
	}
	head := le.Uint16(b)
	f := func(i int) float64 { return math.Float64frombits(le.Uint64(b[6+8*i:])) }
	bar = series.Bar{
		Prov: series.Prov(le.Uint32(b[2:])),
		Open: f(0), High: f(1), Low: f(2), Close: f(3), Volume: f(4),
		QuoteVolume: math.NaN(), Trades: math.NaN(),
	}
	rest = b[46:]
	for _, x := range [...]struct {
		bit uint16
		dst *float64
	}{{rowQuote, &bar.QuoteVolume}, {rowTrades, &bar.Trades}} {
		if head&x.bit == 0 {
			continue
		}
		if len(rest) < 8 {
			return 0, bar, nil, false
		}
		*x.dst = math.Float64frombits(le.Uint64(rest))
		rest = rest[8:]
	}
	return head & rowSlot, bar, rest, true
}

func beginRows(dst []byte, at series.Time) []byte {
	dst = append(dst, rowsVersion)
	t := binary.LittleEndian.AppendUint64(nil, uint64(at))
	return append(dst, t[:6]...)
}

func endRows(dst, key []byte) []byte {
	sum := crc32.Checksum(key, castagnoli)
	return binary.LittleEndian.AppendUint32(dst, crc32.Update(sum, castagnoli, dst))
}

// eachRow calls f for every row of a group.
func eachRow(key, value []byte, f func(slot uint16, b *series.Bar)) error {
	if len(value) < 11 || value[0] != rowsVersion {
		return errRows
	}
	body := value[:len(value)-4]
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, body)
	if sum != binary.LittleEndian.Uint32(value[len(body):]) {
		return errRows
	}
	for body = body[7:]; len(body) > 0; {
		slot, bar, rest, ok := readRow(body)
		if !ok || slot >= blockSlots {
			return errRows
		}
		f(slot, &bar)
		body = rest
	}
	return nil
}
