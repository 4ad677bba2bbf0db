package series

import "errors"

// Facts that every layer must recognise. Errors that carry more wrap one of
// them.
var (
	// ErrNoSeries: the store has no such series.
	ErrNoSeries = errors.New("no such series")
	// ErrCorrupt: stored bytes are damaged; the error says which bars.
	ErrCorrupt = errors.New("stored data is damaged")
)
