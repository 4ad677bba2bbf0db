package fetch

import (
	"fmt"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// Kind says what went wrong and so what to do about it.
type Kind uint8

// The kinds of errors. Each says what a caller does next.
const (
	Unavailable      Kind = iota + 1 // server or network fault, or garbage: try again, elsewhere first
	RateLimited                      // too fast: wait until RetryAt
	Banned                           // this address is shut out: leave the whole host alone until RetryAt
	QuotaExhausted                   // the day's or month's budget is used: wait until RetryAt
	GeoBlocked                       // not served where we are: another host or provider
	NotEntitled                      // needs a key or a plan that we lack: another provider
	UnknownSymbol                    // the vendor does not know it: give up for this symbol
	BadRequest                       // the request is wrong: a fault of ours or of the configuration
	RangeTooBroad                    // too many bars asked for: split and ask again
	HistoryExhausted                 // older than the vendor keeps: another provider
	numKinds
)

var kindNames = [numKinds]string{
	Unavailable: "Unavailable", RateLimited: "RateLimited", Banned: "Banned", QuotaExhausted: "QuotaExhausted",
	GeoBlocked: "GeoBlocked", NotEntitled: "NotEntitled", UnknownSymbol: "UnknownSymbol", BadRequest: "BadRequest",
	RangeTooBroad: "RangeTooBroad", HistoryExhausted: "HistoryExhausted",
}

// String returns the name of the kind.
func (k Kind) String() string {
	if k > 0 && k < numKinds {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// MarshalText writes the name of the kind.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the name of a kind.
func (k *Kind) UnmarshalText(b []byte) error {
	for i, name := range kindNames {
		if name != "" && name == string(b) {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not a kind of error", b)
}

// Error is why a vendor did not give bars.
type Error struct {
	Kind     Kind
	Provider string
	Endpoint string // name in the configuration; empty outside a pool
	Status   int    // HTTP status; 0 if there was no answer
	Code     string // the vendor's own code: "-1121", "EQuery:Unknown asset pair"
	Message  string // the vendor's own words, cut at 200 bytes, without secrets
	// RetryAt is the first moment at which asking again makes sense; zero if
	// nobody said.
	RetryAt time.Time
	// Before says, where it is not 0, that only the newest bars are withheld: what
	// has ended before it can be had at once.
	Before series.Time
	Err    error // the cause below; may be nil
}

// Error says who, what and when to try again.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Provider)
	if e.Endpoint != "" && e.Endpoint != e.Provider {
		b.WriteString(" (" + e.Endpoint + ")")
	}
	b.WriteString(": " + e.Kind.String())
	if e.Status != 0 {
		fmt.Fprintf(&b, ", HTTP %d", e.Status)
	}
	if e.Code != "" {
		b.WriteString(", code " + e.Code)
	}
	if e.Message != "" {
		fmt.Fprintf(&b, ": %q", e.Message)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if !e.RetryAt.IsZero() {
		b.WriteString("; try again at " + e.RetryAt.UTC().Format(time.RFC3339))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
