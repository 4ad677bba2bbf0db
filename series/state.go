package series

import "fmt"

// State is the one reason why a slot has a bar or lacks one.
type State uint8

// The states of a slot.
const (
	StateObserved    State = iota // a source said the bar
	StateCorrected                // a repair replaced what a source said
	StateSynthetic                // a fill rule invents the bar while reading
	StateNoTrade                  // the market was open and nothing traded
	StateClosed                   // the market was closed
	StateHalted                   // trading in this symbol was halted
	StateUnlisted                 // before the listing or after the delisting
	StateOutage                   // the venue was down
	StateMissing                  // expected, and no source was asked
	StateUnavailable              // expected, asked, and nobody had it
	StateQuarantined              // set aside: damaged, or refused as wrong
	StateForming                  // not ended yet
	StateUnknown                  // the calendar does not reach that far
	NumStates        = int(iota)
)

var stateNames = [NumStates]string{
	"observed", "corrected", "synthetic", "no_trade", "closed", "halted", "unlisted",
	"outage", "missing", "unavailable", "quarantined", "forming", "unknown",
}

// String returns the name of the state as the API writes it.
func (s State) String() string {
	if int(s) < NumStates {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// ParseState reads the name of a state.
func ParseState(name string) (State, error) {
	for i, n := range stateNames {
		if n == name {
			return State(i), nil
		}
	}
	return 0, fmt.Errorf("state %q is not one of %v", name, stateNames)
}

// MarshalText writes the name of the state.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name of a state.
func (s *State) UnmarshalText(b []byte) error {
	v, err := ParseState(string(b))
	if err == nil {
		*s = v
	}
	return err
}

// Present reports whether a slot in this state holds a bar that a source or a
// repair stands for.
func (s State) Present() bool {
	return s == StateObserved || s == StateCorrected || s == StateForming
}
