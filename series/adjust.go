package series

import (
	"fmt"
	"math"
	"slices"
)

// ActionKind is what a company did.
type ActionKind uint8

// The kinds of actions.
const (
	Split    ActionKind = iota + 1 // Ratio new shares for each old one
	Dividend                       // Amount paid for each share
)

var actionNames = [...]string{Split: "split", Dividend: "dividend"}

// String returns the name of the kind.
func (k ActionKind) String() string {
	if int(k) < len(actionNames) {
		return actionNames[k]
	}
	return ""
}

// MarshalText writes the name of the kind.
func (k ActionKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the name of a kind.
func (k *ActionKind) UnmarshalText(b []byte) error {
	for i, name := range actionNames {
		if name != "" && name == string(b) {
			*k = ActionKind(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not split or dividend", b)
}

// Action changes what a share is worth without a trade.
type Action struct {
	Kind ActionKind `json:"kind"`
	// Ex is the date from which a share is traded without what the action gives:
	// midnight UTC of the session's date.
	Ex     Time    `json:"ex"`
	Ratio  float64 `json:"ratio,omitempty"`  // of a split: 4 for four new shares for one
	Amount float64 `json:"amount,omitempty"` // of a dividend, in money of that time
	// Currency of Amount; empty is the one of the prices.
	Currency string `json:"currency,omitempty"`
	// Close is the price at the end of the session before Ex, if the source says
	// it; 0 leaves it to the bars.
	Close float64 `json:"close,omitempty"`
}

// Check reports whether the action can be one.
func (a Action) Check() error {
	finite := func(v float64) bool { return v > 0 && !math.IsInf(v, 1) }
	switch {
	case a.Ex%Day != 0 || a.Ex == 0:
		return fmt.Errorf("ex is not a date")
	case a.Kind == Split && (!finite(a.Ratio) || a.Ratio == 1 || a.Amount != 0):
		return fmt.Errorf("the ratio of a split is new shares for one old one, such as 4, or 0.1 where ten became one; it is %v", a.Ratio)
	case a.Kind == Dividend && (!finite(a.Amount) || a.Ratio != 0):
		return fmt.Errorf("the amount of a dividend is what is paid for a share, above 0; it is %v", a.Amount)
	case a.Kind != Split && a.Kind != Dividend:
		return fmt.Errorf("kind is missing: split or dividend")
	case a.Close < 0 || math.IsInf(a.Close, 0) || math.IsNaN(a.Close):
		return fmt.Errorf("close is no price")
	}
	return nil
}

// Adjust is which actions prices are freed of.
type Adjust uint8

// The adjustments.
const (
	AdjustNone  Adjust = iota // as they were traded
	AdjustSplit               // of splits
	AdjustAll                 // of splits and dividends
)

var adjustNames = [...]string{AdjustNone: "none", AdjustSplit: "split", AdjustAll: "all"}

// String returns the name of the adjustment.
func (a Adjust) String() string { return adjustNames[min(int(a), len(adjustNames)-1)] }

// MarshalText writes the name of the adjustment.
func (a Adjust) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads the name of an adjustment; empty is none.
func (a *Adjust) UnmarshalText(b []byte) error {
	for i, name := range adjustNames {
		if name == string(b) || i == 0 && len(b) == 0 {
			*a = Adjust(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not one of none, split, all", b)
}

// Factor is what an action does to the bars that open before At: prices are
// multiplied by Keep and divided by Ratio, volumes multiplied by Ratio.
type Factor struct {
	At    Time
	Keep  float64 // of a dividend: 1 - amount / close before; else 1
	Ratio float64 // of a split; else 1
}

// Factors are those of several actions, by time.
type Factors []Factor

// NewFactors sorts steps and multiplies them up, so that each counts all later
// ones.
func NewFactors(steps []Factor) Factors {
	fs := slices.Clone(steps)
	slices.SortStableFunc(fs, func(a, b Factor) int { return int(min(1, max(-1, a.At-b.At))) })
	for i := len(fs) - 2; i >= 0; i-- {
		fs[i].Keep *= fs[i+1].Keep
		fs[i].Ratio *= fs[i+1].Ratio
	}
	return fs
}

// Apply appends to dst the bars of src, which are in order of time, adjusted.
// Columns that src lacks stay empty.
func (fs Factors) Apply(dst, src *Columns) {
	from := len(dst.Time)
	dst.Time = append(dst.Time, src.Time...)
	dst.Prov = append(dst.Prov, src.Prov...)
	dst.Open, dst.High = append(dst.Open, src.Open...), append(dst.High, src.High...)
	dst.Low, dst.Close = append(dst.Low, src.Low...), append(dst.Close, src.Close...)
	dst.Volume, dst.QuoteVolume = append(dst.Volume, src.Volume...), append(dst.QuoteVolume, src.QuoteVolume...)
	dst.Trades = append(dst.Trades, src.Trades...)
	next := 0
	for i := from; i < len(dst.Time); i++ {
		for next < len(fs) && fs[next].At <= dst.Time[i] {
			next++
		}
		if next == len(fs) {
			return
		}
		f := fs[next]
		for _, col := range [...][]float64{dst.Open, dst.High, dst.Low, dst.Close} {
			if i < len(col) {
				col[i] = col[i] * f.Keep / f.Ratio
			}
		}
		if i < len(dst.Volume) {
			dst.Volume[i] *= f.Ratio
		}
	}
}
