// Package fetch gets bars from market-data vendors.
//
// A [Provider] knows one vendor's API: it turns a [Query] into a [Request] and
// an [Answer] into a [Page], and does no I/O, so that recorded answers, fuzzers
// and simulators can drive it. [Settle] applies the reading rule that makes
// every vendor safe: whatever a server does with the range it was asked for,
// what comes out is sorted, on the grid, inside the question, free of
// duplicates, and says for which slots the answer speaks.
//
// Times are milliseconds since 1970 UTC and are open times; spans are
// half-open. Prices and volumes are the vendor's numbers, correctly rounded to
// float64.
package fetch
