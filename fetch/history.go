package fetch

import "time"

// Change is a moment in the life of an endpoint: its breaker changed, or it was
// left alone for a while.
type Change struct {
	Time   time.Time
	Kind   EventKind
	Detail string
	Until  time.Time // zero if nobody said
}

// Stretch counts the requests of a stretch of time.
type Stretch struct {
	From     time.Time
	Requests int64
	Errors   map[Kind]int64
}

// StretchWidth is how long a [Stretch] is; a day of them is kept.
const StretchWidth = 10 * time.Minute

const (
	stretchesKept = 24 * 6
	changesKept   = 100
)

// stretch counts a request in its stretch. s.mu must be held.
func (s *stats) stretch(now time.Time, err *Error) {
	from := now.Truncate(StretchWidth)
	if n := len(s.stretches); n == 0 || s.stretches[n-1].From.Before(from) {
		s.stretches = append(s.stretches, Stretch{From: from, Errors: map[Kind]int64{}})
		s.stretches = s.stretches[max(0, len(s.stretches)-stretchesKept):]
	}
	x := &s.stretches[len(s.stretches)-1]
	x.Requests++
	if err != nil {
		x.Errors[err.Kind]++
	}
}

// changed keeps a change.
func (s *stats) changed(c Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = append(s.changes, c)
	s.changes = s.changes[max(0, len(s.changes)-changesKept):]
}
