// Package block encodes the bars of one stretch of one series as a compact,
// checksummed, lossless run of bytes, and decodes any subset of its columns.
//
// A block covers a fixed window of at most 65536 slots of a series' grid,
// typically the 1440 minutes of a day. What a slot means in time, which series
// it is and which window, is the caller's knowledge, and goes into the key
// that the checksum covers. Encoder writes a block from Columns; Decoder reads
// a projection of it back, or aggregates it into coarser bars without making
// floats of its values first; ReadHeader answers from the header alone.
//
// Every float64 bit pattern comes back as it was. The size comes from knowing
// what bars are: prices are decimals on a tick, so they are stored as integers
// (mapping.go) divided by the tick; the four prices of a bar are close to each
// other and to the bar before, so only differences are stored (candle.go); of
// a difference the size is predictable and the rest is noise, so only the
// size is entropy coded (tans.go). Real minutes of BTC/USDT take 6.6 bytes per
// bar, everything included, instead of 48.
//
// # Format, version 1
//
// All fixed-width numbers are little endian. uvarint and svarint are those of
// encoding/binary: 7 bits per byte, the least significant first; svarint is
// zigzag coded. One column of the drawing is one byte; sections with a
// double line vary in length.
//
//	 0     1     2           4           6           8           10
//	+-----+-----+-----------+-----------+-----------+-----------+
//	|magic| ver |   flags   |  rows-1   | first slot| last slot |
//	| B5  | 01  |    u16    |    u16    |    u16    |    u16    |
//	+-----+-----+-----------+-----------+-----------+-----------+
//	+=====+======+======+=================+
//	|price| base | tick |      price      |  the prices: base + tick·n, n in
//	| map | svar | uvar |    statistics   |  ticks, through the mapping
//	+=====+======+======+=================+
//	+=====+======+======+=======+=======+- - - -+
//	| map | base | lot  | sumHi | sumLo | rest  |  the same for volume, then
//	| u8  | svar | uvar | svar  | uvar  |  f64  |  quote volume, then trades
//	+=====+======+======+=======+=======+- - - -+
//	+======+======+======+==================+
//	| zero | non- | pal. |  palette values  |  counts, and the provenance
//	| uvar |finite|length|   uvarint each   |  palette
//	+======+======+======+==================+
//	+- - - -+- - - - - -+- - - -+- - - - - - - - - -+
//	|length |   axis    |length |    exceptions     |  each only if the flags
//	| uvar  |           | uvar  |                   |  say so
//	+- - - -+- - - - - -+- - - -+- - - - - - - - - -+
//	+===========+===========+===========+
//	|  codec+4·length of each stream    |  the directory: one uvarint each
//	+===========+===========+===========+
//	+===================================+
//	|  streams, one after another       |
//	+===================================+
//	+-----------------------+
//	|         crc32c        |  of the key followed by all bytes above
//	+-----------------------+
//
// Flags; bits that are not listed must be 0:
//
//	0-1  presence axis: 0 dense, 1 runs, 2 bitmap (axis.go)
//	2    exceptions: values that no mapping expresses, stored beside
//	3    wild: some high or low is inside the body of its bar, so the
//	     residuals of high and low are zigzag coded
//	4    raw statistics: price statistics are four f64 (first open, highest
//	     high, lowest low, last close), because the prices have exceptions or
//	     are not on a grid. Otherwise they are three svarints in ticks:
//	     base - lowest low, highest high - base, last close - base; the
//	     first open is the base
//	5    there is a quote volume
//	6    there are trades
//
// A mapping byte is kind·16 + exponent e:
//
//	0  decimal          n/10^e, in float64
//	1  decimal+ulp      the same, moved by up to 64 representable steps, which
//	                    are a stream of their own
//	2  float32 decimal  n/10^e rounded to float32
//	3  float32 bits     any float32, as an integer that sorts as it does
//	4  float64 bits     any float64, as an integer that sorts as it does
//
// The price base is the first open; the residuals of the prices are divided
// by the tick, their greatest common divisor. Amounts (volume, quote volume,
// trades) are stored as (n - base)/lot. Their sum, a 128-bit integer of units
// of 10^-e, is there for kinds 0 to 2; the rest, a f64, for kinds 3 and 4 and
// for every amount of a block with exceptions.
//
// Exceptions are a u8 bit set of columns in the order open, close, high, low,
// volume, quote volume, trades; then per column of the set a uvarint count
// and per value a uvarint distance from the row of the value before (from row
// 0 for the first) and its u64 bits. The streams hold a harmless integer in
// the place of each.
//
// Streams come in this order, those that a block does not need left out:
//
//	open close volume high low
//	open-ulp close-ulp high-ulp low-ulp      if the price mapping is kind 1
//	volume-ulp                               if the volume mapping is kind 1
//	provenance                               if the palette length is not 1
//	quote-volume quote-volume-ulp
//	trades trades-ulp
//
// so that a reader of closes alone reads a prefix. Open and close, and the
// steps of kind 1, are zigzag coded. The provenance stream holds the index into
// the palette, minus the index of the row before (0 for the first) modulo the
// length of the palette; or, if that length is 0, the values themselves. The
// codec of a stream, the low two bits of its directory entry, is
//
//	0  const   one uvarint, the value of every row
//	1  raw     one u64 per row
//	2  pfor    packed bits with patches (pfor.go)
//	3  tans    entropy-coded classes and extra bits (tans.go)
//
// # Example
//
// Four bars of a future with a tick of 0.25, from testdata/dump/plain:
//
//	slot  open     high    low      close    volume
//	10    1682     1683    1682     1683     275
//	11    1683     1683    1682.5   1682.5   101
//	12    1682.25  1682.5  1682.25  1682.25  114
//	13    1682.25  1682.25 1682     1682     100
//
// The prices are decimals of exponent 2: 168200, 168300 and so on. The
// differences open - previous close, close - open, high - max(open, close) and
// min(open, close) - low have the greatest common divisor 25, one tick. In
// ticks they are
//
//	open   0 0 -1 0    zigzag 0 0 1 0    1 bit each
//	close  4 -2 0 -1   zigzag 8 3 0 1    4 bits each
//	high   0 0 1 0                       1 bit each
//	low    0 0 0 0                       constant
//
// and with the volumes, 9 bits each, the block takes 55 bytes, of which 18
// are streams. The other files in testdata/dump name the bytes of blocks of
// every kind.
//
// # Damage
//
// The checksum is verified before a column is decoded, but nothing relies on
// it: whatever the bytes, decoding does not panic, does not read outside of
// them, and allocates no more than the caller's bound on rows allows for.
package block
