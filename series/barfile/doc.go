// Package barfile reads and writes bars in the file formats of the field: CSV
// and its relatives, JSON in the shapes that exchanges answer, NDJSON, Parquet,
// Arrow and feather, each also compressed or in an archive.
//
// # Reading
//
// [Open] and [OpenFile] look at the first bytes, not at the name, and peel off
// compression and archives until they see rows. A sample of the rows then says
// which column is what, how times are written, in which order the rows come
// and how wide a bar is; [Reader.Detection] tells what was found, so that a
// person can confirm it. Where a sample allows two readings (3/4/2020, a local
// time without a zone) Open refuses with one sentence that names the option to
// set, because a wrong guess moves every bar and no later check finds it.
//
// [Reader.Next] streams: memory does not grow with the file, except for JSON
// that holds one array per column, which must be read whole and is capped.
// Rows that cannot be bars are returned as [Rejected] with a reason.
//
// # Numbers and times
//
// Prices are read bit for bit as strconv.ParseFloat reads them, and a price
// scale shifts the decimal text before it is rounded. Times become the open
// time of the bar in Unix milliseconds UTC. Bars of a day and coarser are
// labelled by dates: midnight UTC of the date that the file shows, whatever
// the zone, because a session date is a label and not an instant.
//
// # Writing
//
// [NewWriter] writes the same formats. Floats are written with the fewest
// digits that read back to the same bits.
package barfile
