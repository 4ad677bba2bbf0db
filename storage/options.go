package storage

import (
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/barkeepdb/barkeep/series"
)

// Options configure a store. The zero value is good for production.
type Options struct {
	// FS holds the files; nil is the disk of the machine, vfs.NewMem() memory.
	FS vfs.FS
	// ReadOnly opens the store without writing a byte.
	ReadOnly bool
	// CacheBytes bounds the cache of Pebble; 0 is 64 MiB, negative is none.
	CacheBytes int64
	// DecodedBytes bounds the cache of decoded blocks; 0 is 64 MiB, negative
	// is none.
	DecodedBytes int64
	// RelaxedDelay is how long a relaxed write may wait before it goes to the
	// operating system; 0 is 50 ms. See [WriteOptions.Relaxed].
	RelaxedDelay time.Duration
	// WriteTimeout bounds how long a write waits for the disk; 0 is 30 s. It then
	// returns an [*UnavailableError]; on a full disk it does so within a second.
	WriteTimeout time.Duration
	// SpaceLow and SpaceReadOnly are the free bytes of the disk below which the
	// store warns, and below which it takes no more writes; 0 is 10% of the
	// disk but at most 2 GiB, and 5% but at most 1 GiB; negative is off.
	SpaceLow, SpaceReadOnly int64
	// Ballast is the size of a file that is given up when the disk is full, so
	// that what is under way can end; 0 is 1% of the disk but at most 64 MiB,
	// negative is none.
	Ballast int64
	// Scrub is how many bytes a second are read in the background to find
	// damage before a reader does; 0 is 4 MiB, negative is none.
	Scrub int64
	// Fatal is called when the store cannot go on, for instance because the
	// disk failed to make something durable: to try again is unsafe on Linux.
	// It must not return. nil prints the error and ends the process with exit
	// code 70.
	Fatal func(error)

	// crowded reports whether what looks slow waits for space.
	crowded func() bool

	// Calendars are those that symbols can name; nil stands for the built-in
	// ones. A symbol whose calendar is not among them keeps its name: which of
	// its bars were expected is unknown then.
	Calendars *series.Calendars

	// Owner says who opens the store, for the error that a second opener gets:
	// "barkeep serve on 127.0.0.1:8080". Empty is the name of the program.
	Owner string
	// Now is the clock; nil is the wall clock. It stamps the journal and says
	// which bars are still forming.
	Now func() series.Time
	// Logger receives what the engine reports; nil discards it.
	Logger *slog.Logger
}

// Conflict says what happens when a written bar differs from the stored bar of
// equal rank in its slot. A higher rank always wins, a lower one never does.
type Conflict uint8

// The ways to settle a conflict.
const (
	// Replace lets the newer bar win; the older goes to the journal.
	Replace Conflict = iota
	// Keep lets the stored bar stay and drops the newer.
	Keep
	// Quarantine lets the stored bar stay and sets the newer aside.
	Quarantine
)

// WriteOptions say where bars come from and how they are written.
type WriteOptions struct {
	// Source is the name of who said the bars: "binance", "import". Bars whose
	// Prov already carries a source keep it. Empty is "unknown".
	Source string
	// OnConflict settles bars of equal rank; the default is Replace.
	OnConflict Conflict
	// Relaxed answers before the bars are on the disk. They can be read at
	// once; a crash of the process loses what was written in the last
	// RelaxedDelay, a power cut about the last second.
	Relaxed bool
}

// Refused is a bar that was not stored.
type Refused struct {
	Row    int         `json:"row"` // index in what was given, from 0
	Time   series.Time `json:"time"`
	Reason string      `json:"reason"`
}

// WriteResult counts what became of the bars of a write. Every bar is counted
// once: Read = Written + Unchanged + Conflicts kept or quarantined + Refused.
type WriteResult struct {
	Read      int // bars given
	Written   int // bars stored, new or replacing
	Replaced  int // of Written: those that replaced a different bar
	Unchanged int // bars already stored with the same values
	Conflicts int // bars that lost against a different stored or earlier bar
	Refused   []Refused
}

// ReadOptions say what a read returns.
type ReadOptions struct {
	// Columns to fill; 0 is all. Times are always filled.
	Columns Columns
	// OnDamage, where set, is called for each damaged stretch, and the read
	// goes on behind it. Without it the first damage ends the read with a
	// [*CorruptError].
	OnDamage func(*CorruptError)
}

// Columns is a set of columns of bars.
type Columns uint16

// The columns.
const (
	ColOpen Columns = 1 << iota
	ColHigh
	ColLow
	ColClose
	ColVolume
	ColQuoteVolume
	ColTrades
	ColProv
	ColAll Columns = 1<<iota - 1
)

// Symbol is what is known of a symbol beside its bars.
type Symbol struct {
	// Calendar is the name of a [series.Calendar]; empty is 24x7.
	Calendar string `json:"calendar"`
	// Listed and Delisted bound the time in which bars are expected; nil is
	// not known. Listed is inclusive, Delisted exclusive.
	Listed   *series.Time `json:"listed,omitempty"`
	Delisted *series.Time `json:"delisted,omitempty"`
	// TickSize is the smallest price step; 0 is not known.
	TickSize float64 `json:"tick_size,omitempty"`
	// Adjusted is what the prices that are stored were freed of already; raw bars
	// are AdjustNone.
	Adjusted series.Adjust `json:"adjusted,omitempty"`
	// Sources are the endpoints to ask, in order.
	Sources []string `json:"sources,omitempty"`
}

// Info is what the summaries say of one series.
type Info struct {
	series.Key
	Grid        series.Grid
	Bars        int64       // stored bars
	First, Last series.Time // open times of the first and last bar; 0 without bars
	Bytes       int64       // of encoded blocks, before what the engine adds
	Quarantined int64       // bars set aside
	Changed     uint64      // number of its last change in the journal; 0 without one
}

// Scan is the answer of a gap scan: what was expected, what is there, and
// every run of slots that is missing.
type Scan struct {
	series.Key
	Grid     series.Grid
	Calendar string
	Run      series.Run // the slots that were looked at
	Expected int64      // of them: those in which the market was open
	Present  int64      // bars in the run, in expected slots or not
	Missing  int64      // expected slots without a bar and without a reason
	// Gaps are the expected slots without a bar, in order, split by state.
	Gaps  []series.Gap
	Notes []series.Note // what the notes of the gaps stand for
}

// Note says more than the state of g, one of the gaps; it may be zero.
func (s *Scan) Note(g series.Gap) series.Note { return noteOf(s.Notes, g) }

func noteOf(notes []series.Note, g series.Gap) series.Note {
	if g.Note < 1 || int(g.Note) > len(notes) {
		return series.Note{}
	}
	return notes[g.Note-1]
}

// Coverage splits a run of slots into states; the counts sum to its length.
type Coverage struct {
	series.Key
	Grid   series.Grid
	Run    series.Run
	States [series.NumStates]int64
	// Runs are the states in order; neighbours differ in state or note.
	Runs  []series.Gap
	Notes []series.Note // what the notes of the runs stand for
}

// Note says more than the state of r, one of the runs; it may be zero.
func (c *Coverage) Note(r series.Gap) series.Note { return noteOf(c.Notes, r) }

// Completeness is the share of slots with a bar or a known lack of trade among
// those in which the market was open; ok is false when it never was.
func (c *Coverage) Completeness() (share float64, ok bool) {
	have := c.States[series.StateObserved] + c.States[series.StateCorrected] + c.States[series.StateNoTrade]
	var open int64
	for s, n := range c.States {
		switch series.State(s) {
		case series.StateClosed, series.StateUnlisted, series.StateUnknown, series.StateForming:
		default:
			open += n
		}
	}
	if open == 0 {
		return 0, false
	}
	return float64(have) / float64(open), true
}
