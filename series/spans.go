package series

import (
	"cmp"
	"slices"
)

// A set of ranges is a slice that is sorted, disjoint and without empty or
// touching members. The functions below take and return sets, append to dst
// (which must not share memory with their inputs) and run in one pass over
// their inputs.

// Normalize sorts rs in place, drops what is empty, joins what touches or
// overlaps and returns the set, which shares memory with rs.
func Normalize[T ~int64](rs []Range[T]) []Range[T] {
	slices.SortFunc(rs, func(a, b Range[T]) int { return cmp.Compare(a.From, b.From) })
	out := rs[:0]
	for _, r := range rs {
		out = Join(out, r)
	}
	return out
}

// Join appends r to the set dst. r must not start before the last member of
// dst does; it is merged with it where they touch.
func Join[T ~int64](dst []Range[T], r Range[T]) []Range[T] {
	if r.Empty() {
		return dst
	}
	if n := len(dst); n > 0 && r.From <= dst[n-1].To {
		dst[n-1].To = max(dst[n-1].To, r.To)
		return dst
	}
	return append(dst, r)
}

// Union appends to dst what a or b holds.
func Union[T ~int64](dst, a, b []Range[T]) []Range[T] {
	start := len(dst)
	join := func(r Range[T]) {
		// Not Join on dst[start:]: appending its result would copy the whole
		// set for every member.
		if n := len(dst); n > start && r.From <= dst[n-1].To {
			dst[n-1].To = max(dst[n-1].To, r.To)
			return
		}
		dst = append(dst, r)
	}
	for len(a) > 0 && len(b) > 0 {
		if a[0].From <= b[0].From {
			join(a[0])
			a = a[1:]
		} else {
			join(b[0])
			b = b[1:]
		}
	}
	for _, r := range a {
		join(r)
	}
	for _, r := range b {
		join(r)
	}
	return dst
}

// Intersect appends to dst what both a and b hold.
func Intersect[T ~int64](dst, a, b []Range[T]) []Range[T] {
	for len(a) > 0 && len(b) > 0 {
		if x := a[0].Intersect(b[0]); !x.Empty() {
			dst = append(dst, x)
		}
		if a[0].To < b[0].To {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return dst
}

// Subtract appends to dst what a holds and b does not.
func Subtract[T ~int64](dst, a, b []Range[T]) []Range[T] {
	for _, r := range a {
		for len(b) > 0 && b[0].To <= r.From {
			b = b[1:]
		}
		for i := 0; i < len(b) && b[i].From < r.To; i++ {
			if b[i].From > r.From {
				dst = append(dst, Range[T]{r.From, b[i].From})
			}
			r.From = b[i].To
		}
		if !r.Empty() {
			dst = append(dst, r)
		}
	}
	return dst
}

// Total is the number of units in the set rs.
func Total[T ~int64](rs []Range[T]) int64 {
	var n int64
	for _, r := range rs {
		n += r.Len()
	}
	return n
}
