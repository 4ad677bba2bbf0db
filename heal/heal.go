package heal

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// Store is what healing needs of a store. Its methods are safe for concurrent
// use. Changes are durable when they return.
type Store interface {
	// Series lists all series.
	Series(ctx context.Context) ([]Series, error)
	// Scan finds the expected slots of span that have no bar.
	Scan(ctx context.Context, key series.Key, span series.Span) (*Scan, error)
	// Coverage splits the slots of span into states; the zero span is from the
	// first bar to the last. It reads no bars.
	Coverage(ctx context.Context, key series.Key, span series.Span) (*Coverage, error)
	// Read fills dst with the stored bars of span. Damaged stretches are left
	// out.
	Read(ctx context.Context, key series.Key, span series.Span, dst *series.Columns) error
	// Write stores bars where there are none; a bar that is there stays. It
	// returns how many were new.
	Write(ctx context.Context, key series.Key, bars *series.Columns, source string, c Change) (int, error)
	// Explain records why slots have no bar, and replaces what was recorded of
	// them. The state missing without a note removes it.
	Explain(ctx context.Context, key series.Key, gaps []series.Absence, c Change) error

	// Correct replaces bars by what a source says, marked as corrected. It returns
	// how many are other now.
	Correct(ctx context.Context, key series.Key, bars *series.Columns, source string, c Change) (int, error)
	// SetAside puts bars into quarantine and takes them out of the series.
	SetAside(ctx context.Context, key series.Key, bars *series.Columns, reason string, c Change) error
	// Undo takes back what a repair changed; what others changed later stays.
	Undo(ctx context.Context, repair string, c Change) (Undone, error)

	PutRecords(ctx context.Context, rs []Record) error
	// Records streams the records of a kind by name, from the name from on.
	Records(ctx context.Context, kind, from string) iter.Seq2[Record, error]
}

// Record is a small named value that the store keeps; a nil value removes it.
type Record struct {
	Kind, Name string
	Value      []byte
}

// Series is what healing needs to know of one series.
type Series struct {
	series.Key
	Grid        series.Grid
	Bars        int64
	First, Last series.Time // open times of the first and last bar
	Listed      series.Time // beginning of the symbol; 0 is not known
	Venue       string      // series of one venue fail together; empty is not known
	// Adjusted is what the stored prices were freed of; AdjustNone is nothing, or not
	// known.
	Adjusted series.Adjust
}

// KindAction is the kind of the records of what companies did. Their names are
// SYMBOL|..., by date, and their values have the fields of [series.Action].
const KindAction = "action"

// Scan is what a series lacks.
type Scan struct {
	Grid     series.Grid
	Run      series.Run // the slots that were looked at
	Expected int64      // of them: those in which the market was open
	Present  int64
	Calendar *series.Calendar
	// Holes are the expected slots without a bar, in order, split by state and
	// note.
	Holes []series.Absence
}

// Coverage is the states of a run of slots, which sum to its length.
type Coverage struct {
	Grid   series.Grid
	Run    series.Run
	States [series.NumStates]int64
	Runs   []series.Gap // in order
}

// Change says who changes something and why. It goes into the journal.
type Change struct {
	Actor    string // who asked for it: a person, a token, healer
	Repair   string // id of the repair
	Rule     string // what decided
	Version  int    // of the rule
	Evidence string // whom was asked, and a digest of what they said
	// Until is the end of the newest bar that the decision rests on; 0 is now.
	Until series.Time
}

// Undone is what an undo did.
type Undone struct {
	Restored  int64 `json:"bars_restored"`   // bars that have their earlier value again
	Removed   int64 `json:"bars_removed"`    // bars that were not there before
	Explained int64 `json:"slots_explained"` // slots that have their earlier explanation again
	Aside     int64 `json:"quarantine"`      // bars that left the quarantine or are in it again
	Skipped   int64 `json:"slots_skipped"`   // slots that stay as they are
	// Kept says why, for at most 1,000 stretches.
	Kept []Kept `json:"kept"`
}

// Kept is a stretch that an undo left as it is.
type Kept struct {
	series.Key
	From series.Time `json:"from"`
	To   series.Time `json:"to"`
	Bars int64       `json:"bars"`
	By   uint64      `json:"by"` // number of the change in the journal that it is due to
	Why  string      `json:"why"`
}

// Source is where bars come from. Its methods are safe for concurrent use.
type Source interface {
	// Reach says how far the sources of a series go. An error means that there is
	// none for it.
	Reach(ctx context.Context, key series.Key) (Reach, error)
	// Fetch asks for the bars of span, of sources that are not in avoid. give is
	// called with bars in ascending order, on one goroutine. The outcome also
	// counts beside an error.
	Fetch(ctx context.Context, key series.Key, span series.Span, avoid []string, give func(Answer) error) (Outcome, error)
}

// Reach is what can be asked for a series.
type Reach struct {
	// From is the first open time that any source has; 0 is not bounded.
	From series.Time
	// Page is how many bars one request brings.
	Page int64
	// Every is the time that one request takes, limits included.
	Every time.Duration
	// Sources are the names, in the order in which they are asked.
	Sources []string
	// Coarser are the longer intervals that the first source has, ascending.
	Coarser []series.Interval
}

// Answer is bars of one source.
type Answer struct {
	Bars   *series.Columns
	Source string
	Proxy  bool   // of another venue
	Digest string // of the bars
	// Origin names who said a bar before Source handed it on, by the source in its
	// provenance, as it is stored: a name under that of Source, or Source itself.
	// Nil: Source said all of them.
	Origin func(series.SourceID) string
}

// Outcome is what became of a question.
type Outcome struct {
	// Empty is where answers had bars on both sides and none there, Silent where
	// they said nothing, Unanswered what nobody answered for.
	Empty, Silent, Unanswered []series.Span
	Requests                  int64
	// RetryAt is when asking again makes sense; 0 is not known.
	RetryAt series.Time
	Why     string // why something is unanswered
}

// Options are what a healer is made of. Store is needed. Without a Source
// nothing is fetched.
type Options struct {
	Store  Store
	Source Source
	Policy Policy
	Now    func() series.Time // nil is the clock
	Logger *slog.Logger       // nil discards
	// Observe is called after every step of a repair; it must not wait.
	Observe func(Repair)
}

// Healer plans and carries out repairs. It is safe for concurrent use; one
// repair runs at a time for each series, in the order in which they were asked
// for.
type Healer struct {
	store   Store
	source  Source
	now     func() series.Time
	log     *slog.Logger
	observe func(Repair)

	mu      sync.Mutex
	policy  Policy
	repairs map[string]*Repair // those that are queued or running, and the last ones
	cancels map[string]context.CancelFunc
	order   []string // ids, oldest first
	last    series.Time
	loaded  bool

	queue chan struct{} // holds one while the queue is worked on
	wake  chan struct{}
}

// New returns a healer.
func New(o Options) (*Healer, error) {
	if err := o.Policy.Check(); err != nil {
		return nil, err
	}
	h := &Healer{
		store: o.Store, source: o.Source, now: o.Now, log: o.Logger, observe: o.Observe, policy: o.Policy.withDefaults(),
		repairs: map[string]*Repair{}, cancels: map[string]context.CancelFunc{},
		queue: make(chan struct{}, 1), wake: make(chan struct{}, 1),
	}
	if h.now == nil {
		h.now = func() series.Time { return series.TimeOf(time.Now()) }
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if h.observe == nil {
		h.observe = func(Repair) {}
	}
	return h, nil
}

// Policy returns the policy in force.
func (h *Healer) Policy() Policy {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.policy
}

// SetPolicy changes the policy for the repairs that begin from now on.
func (h *Healer) SetPolicy(p Policy) error {
	if err := p.Check(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.policy = p.withDefaults()
	return nil
}
