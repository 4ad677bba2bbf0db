package series

import "fmt"

// Range is a half-open range: From belongs to it, To does not. It is empty
// unless From < To.
type Range[T ~int64] struct {
	From T `json:"from"`
	To   T `json:"to"`
}

// Span is a half-open range of time.
type Span = Range[Time]

// Run is a half-open range of slots of one grid.
type Run = Range[Slot]

// Empty reports whether r holds nothing.
func (r Range[T]) Empty() bool { return r.From >= r.To }

// Len is the number of units in r: milliseconds of a Span, slots of a Run.
func (r Range[T]) Len() int64 {
	if r.Empty() {
		return 0
	}
	return int64(r.To - r.From)
}

// Contains reports whether v lies in r.
func (r Range[T]) Contains(v T) bool { return r.From <= v && v < r.To }

// Intersect returns what r and o share; it may be empty.
func (r Range[T]) Intersect(o Range[T]) Range[T] {
	x := Range[T]{max(r.From, o.From), min(r.To, o.To)}
	if x.Empty() {
		return Range[T]{}
	}
	return x
}

// String writes r as [from, to).
func (r Range[T]) String() string { return fmt.Sprintf("[%v, %v)", r.From, r.To) }
