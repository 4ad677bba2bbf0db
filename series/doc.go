// Package series is the vocabulary of Barkeep: pure values and arithmetic on
// them. It does no I/O, reads no clock and imports the standard library only.
//
// # Glossary
//
//   - A bar is open, high, low, close and volume of one interval of trading,
//     labelled by its open time.
//   - A [Time] is Unix milliseconds UTC.
//   - An [Interval] is the width of a bar: 1m, 1h, 1d, 1M.
//   - A [Key] is symbol and interval; the bars of one key are a series.
//   - A [Grid] numbers the open times of an interval: slot n opens at
//     Grid.Time(n). Everything that counts bars counts slots.
//   - A [Span] is a half-open range of time, a [Run] a half-open range of
//     slots: From belongs to it, To does not.
//   - A [Calendar] knows in which slots a market was open. A [Session] is one
//     stretch of trading, an [Exception] a date unlike its weekday.
//   - A [Resampler] gathers fine bars into coarse ones; a [Part] says how many
//     of the fine ones were there.
//   - A [Prov] is the provenance of one bar: observed, corrected or synthetic,
//     forming or final, and which source said it.
//   - A [State] is the one reason a slot has or lacks a bar. Every slot has
//     exactly one; over any run their counts sum to its length.
//
// # A gap, worked
//
// A 24x7 series of one-minute bars holds 09:00, 09:01 and 09:05. Its first
// slot is that of 09:00, one past its last that of 09:06, so six slots are
// expected. Present are the runs [09:00, 09:02) and [09:05, 09:06). Expected
// minus present is one run, [09:02, 09:05): one gap of three bars.
// [Subtract] does exactly this, 64 slots or 64 days at a time alike, because
// it never looks at a bar.
package series
