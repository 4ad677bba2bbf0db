package series

import "fmt"

// Kind says how a bar came to be.
type Kind uint8

// The kinds of a bar.
const (
	Observed  Kind = 0 // a source said it
	Corrected Kind = 1 // an observed bar replaced by a repair, the old value kept
	Synthetic Kind = 2 // invented by a fill rule
)

// String returns the name of the kind as the API writes it.
func (k Kind) String() string {
	switch k {
	case Observed:
		return "observed"
	case Corrected:
		return "corrected"
	case Synthetic:
		return "synthetic"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// SourceID names a source of bars inside one store; the store keeps the names.
// It is below 1<<24.
type SourceID uint32

// Prov is the provenance of one bar, packed: bits 0-1 the kind, bit 2 forming,
// bit 3 no trade, bits 4-7 zero, bits 8-31 the source. It is written to disk.
type Prov uint32

// Bits of a Prov.
const (
	provKind Prov = 3
	// ProvForming marks a bar that had not ended when its source was asked.
	ProvForming Prov = 1 << 2
	// ProvNoTrade marks a bar that its source published to say that nothing
	// traded: its prices are carried over, its volume is 0. Resampling does not
	// let it set a price beside a bar that did trade.
	ProvNoTrade Prov = 1 << 3
)

// NewProv packs a kind and a source.
func NewProv(k Kind, src SourceID) Prov { return Prov(k)&provKind | Prov(src)<<8 }

// Kind returns the kind of the bar.
func (p Prov) Kind() Kind { return Kind(p & provKind) }

// Source returns who said the bar.
func (p Prov) Source() SourceID { return SourceID(p >> 8) }

// WithSource returns p with another source.
func (p Prov) WithSource(src SourceID) Prov { return p&0xff | Prov(src)<<8 }

// Forming reports whether the bar had not ended when it was read.
func (p Prov) Forming() bool { return p&ProvForming != 0 }

// NoTrade reports whether the bar only says that nothing traded.
func (p Prov) NoTrade() bool { return p&ProvNoTrade != 0 }

// Rank orders bars that claim one slot: the higher wins, and of equals the
// newer. A correction outranks an observation because only a repair, which had
// evidence, writes one; a final bar outranks a forming one.
func (p Prov) Rank() int {
	switch {
	case p.Kind() == Corrected:
		return 3
	case p.Kind() == Observed && !p.Forming():
		return 2
	case p.Kind() == Observed:
		return 1
	}
	return 0
}
