package barfile

import (
	"fmt"
	"strings"
)

// Format names a file format.
type Format uint8

// The formats. Auto, the zero value, is for reading only; Freqtrade and Lean
// are for writing, their files are read as Arrow and CSV.
const (
	Auto      Format = iota
	CSV              // delimited text: comma, tab, semicolon or bar
	JSON             // one JSON value that holds rows
	NDJSON           // one JSON value per line
	Columns          // one JSON object with one array per column
	Parquet          // Apache Parquet
	Arrow            // Arrow IPC, file (feather version 2) or stream
	Freqtrade        // feather as freqtrade writes it
	Lean             // zip of CSV as QuantConnect Lean reads it
)

var formatNames = [...]string{"auto", "csv", "json", "ndjson", "columns", "parquet", "arrow", "freqtrade", "lean"}

// formatAliases are other names under which users know the formats.
var formatAliases = map[string]Format{
	"": Auto, "tsv": CSV, "txt": CSV, "text": CSV, "jsonl": NDJSON, "feather": Arrow, "ipc": Arrow, "pq": Parquet,
}

// ParseFormat reads the name of a format.
func ParseFormat(s string) (Format, error) {
	s = strings.ToLower(s)
	for i, n := range formatNames {
		if n == s {
			return Format(i), nil
		}
	}
	if f, ok := formatAliases[s]; ok {
		return f, nil
	}
	return Auto, fmt.Errorf("format %q is not one of %s", s, strings.Join(formatNames[:], " "))
}

// String returns the name of the format.
func (f Format) String() string {
	if int(f) < len(formatNames) {
		return formatNames[f]
	}
	return fmt.Sprintf("format(%d)", uint8(f))
}

// MarshalText writes the name of the format.
func (f Format) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads the name of a format.
func (f *Format) UnmarshalText(b []byte) error {
	v, err := ParseFormat(string(b))
	if err == nil {
		*f = v
	}
	return err
}

// ContentType is the media type of the format, for HTTP.
func (f Format) ContentType() string {
	switch f {
	case CSV:
		return "text/csv; charset=utf-8"
	case JSON, Columns:
		return "application/json"
	case NDJSON:
		return "application/x-ndjson"
	case Parquet:
		return "application/vnd.apache.parquet"
	case Arrow, Freqtrade:
		return "application/vnd.apache.arrow.file"
	case Lean:
		return "application/zip"
	}
	return "application/octet-stream"
}
