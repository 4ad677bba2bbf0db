package barfile

import (
	"fmt"
	"strings"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// Options say what the reader cannot see in the file. The zero value detects
// everything.
type Options struct {
	// Format is Auto by default. Another value is an error if the file is
	// something else.
	Format Format
	// Map names the column of a field: time, date, clock, open, high, low,
	// close, volume, quote_volume, trades, kind. The value is a column name or
	// a number from 0; "-" leaves the field out. Fields that Map does not name
	// are detected.
	Map map[string]string
	// Interval is the width of a bar; 0 detects it from the steps.
	Interval series.Interval
	// Zone is where naive local times were written; nil: not given.
	Zone *time.Location
	// StampEnd says that times are those at which the bar ended.
	StampEnd bool
	// PriceScale divides prices; 0 and 1 leave them. Lean's equities need 10000.
	PriceScale float64
	// Date is the day, YYYY-MM-DD, of times written as milliseconds since
	// midnight; by default the one in the file name or the entry name.
	Date string
	// TimeFormat settles how times are written where the sample allows two
	// readings: mdy, dmy, s, ms, us, ns, ms-of-day; empty detects.
	TimeFormat string
	// Select keeps only rows whose column (a name or a number) has the value.
	Select map[string]string
	// Entry picks entries of an archive: a name, a base name or a pattern of
	// path.Match, or after a slash the whole name of one, as [Entries] has it;
	// empty takes all that hold bars.
	Entry string
	// Now marks bars that end after it as forming; 0 marks none.
	Now series.Time
	// Name is the file name, for messages and for the date in it.
	Name string
	// MaxMemory bounds what decoders hold, in bytes; 0 is 512 MiB.
	MaxMemory int64
	// MaxBytes bounds the decompressed bytes that are read; 0 is no bound.
	MaxBytes int64
	// MaxRatio bounds how many times larger than the input its unpacked bytes may
	// be, once there are 16 MiB of them; 0 is no bound. A market that does not
	// move, verbosely in JSON, was packed 58 times by gzip and 141 times by zstd.
	MaxRatio int64
}

// defaultMaxMemory is enough for row groups of 10 M bars and far below what
// makes a small machine swap.
const defaultMaxMemory = 512 << 20

func (o Options) maxMemory() int64 {
	if o.MaxMemory > 0 {
		return o.MaxMemory
	}
	return defaultMaxMemory
}

// Detection is what a reader found out about a file.
type Detection struct {
	Format      string `json:"format"`
	Compression string `json:"compression,omitempty"` // outermost first: "tar gzip"
	Entry       string `json:"entry,omitempty"`       // the entry of an archive that was sampled
	Delimiter   string `json:"delimiter,omitempty"`
	Header      bool   `json:"header"`
	// Columns maps each field to the column it is read from: its name, or its
	// number where there are no names.
	Columns    map[string]string `json:"columns"`
	TimeFormat string            `json:"time_format"`
	Zone       string            `json:"zone,omitempty"`
	// Order is ascending, descending or mixed; empty below two rows.
	Order    string          `json:"order,omitempty"`
	Interval series.Interval `json:"interval,omitzero"`
	// StepShare is the share of steps of the sample that are one interval.
	StepShare float64  `json:"step_share,omitempty"`
	Warnings  []string `json:"warnings,omitempty"`
}

// String writes the detection on a few lines, for confirmation by a person.
func (d Detection) String() string {
	var b strings.Builder
	b.WriteString(d.Format)
	if d.Compression != "" {
		fmt.Fprintf(&b, " in %s", d.Compression)
	}
	if d.Entry != "" {
		fmt.Fprintf(&b, ", entry %s", d.Entry)
	}
	if d.Delimiter != "" {
		fmt.Fprintf(&b, ", delimiter %q", d.Delimiter)
		if d.Header {
			b.WriteString(", with header")
		} else {
			b.WriteString(", no header")
		}
	}
	b.WriteString("\ncolumns:")
	for f := range numFields {
		if c, ok := d.Columns[f.String()]; ok {
			fmt.Fprintf(&b, " %s=%s", f, c)
		}
	}
	fmt.Fprintf(&b, "\ntime: %s", d.TimeFormat)
	if d.Zone != "" {
		fmt.Fprintf(&b, ", zone %s", d.Zone)
	}
	if d.Order != "" {
		fmt.Fprintf(&b, ", %s", d.Order)
	}
	if d.Interval.Valid() && d.StepShare == 0 {
		fmt.Fprintf(&b, "\ninterval: %s", d.Interval)
	} else if d.Interval.Valid() {
		fmt.Fprintf(&b, "\ninterval: %s, %.1f%% of the steps", d.Interval, 100*d.StepShare)
	}
	for _, w := range d.Warnings {
		fmt.Fprintf(&b, "\nwarning: %s", w)
	}
	return b.String()
}

// Rejected is a row that did not become a bar.
type Rejected struct {
	// Row is the line of text formats and the row of the others, from 1.
	Row int `json:"row"`
	// Entry is the entry of an archive, empty outside of archives.
	Entry   string      `json:"entry,omitempty"`
	Time    series.Time `json:"time"`
	HasTime bool        `json:"has_time"`
	Reason  string      `json:"reason"`
	// Raw is the row as it stands in the file, at most 500 bytes of it.
	Raw string `json:"raw,omitempty"`
}

// maxRaw bounds Rejected.Raw.
const maxRaw = 500

func clip(b []byte) string {
	if len(b) > maxRaw {
		b = b[:maxRaw]
	}
	return strings.ToValidUTF8(string(b), "?")
}
