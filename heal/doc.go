// Package heal closes the gaps of a store. It says why each slot without a bar
// has none, plans what to ask of whom, fetches, verifies, writes, reads back,
// and records what it did; what nobody has stays open, with the number of
// attempts and the time of the next one.
//
// The package knows neither how bars are kept nor how they are fetched: a
// [Store] and a [Source] are given to [New]. Packages heal/healstore and
// heal/healpool make them of a storage.Store and a fetch.Pool.
//
// # What is believed
//
// A bar is written where the store has none and its source agrees with the
// stored bars around it. A source that contradicts them is not believed in that
// window, whatever it says, and the next one is asked. Prices are never mixed or
// averaged.
//
// Absence is believed more slowly. Where one answer has bars on both sides of an
// empty slot, that is one observation; the second one, at least [Policy.Corroborate]
// later, makes it no_trade. A coarser bar whose prices and volume are those of
// the finer bars that are there proves the rest of its slots at once. A hole
// that all liquid series of a venue share is an outage.
//
// # Limits
//
// A plan that would change more bars than [Policy.MaxBars], or a larger share of a
// series than [Policy.MaxShare], is not begun.
package heal
