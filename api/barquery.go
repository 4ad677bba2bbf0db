package api

import (
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
	"github.com/barkeepdb/barkeep/storage"
)

// maxRows is the longest answer of the formats that are one JSON value;
// streaming formats have no limit of their own.
const maxRows = 100_000

// barQuery is a parsed GET /v1/bars.
type barQuery struct {
	key     series.Key
	bounds  bounds
	limit   int // 0: none
	desc    bool
	fill    string
	from    series.Interval // resample from this stored interval; 0: choose
	format  barfile.Format
	columns storage.Columns // 0: all
	cursor  *cursor
	past    storage.PastOptions

	adjust   series.Adjust // what is to be done while reading
	adjusted series.Adjust // what the answer is, stored so or made so

	minQuality float64 // least completeness of the answer; 0 is none
	violation  string  // what a lower one does: error or warn
}

// fills are the ways to treat slots without a bar; the first is the default.
var fills = []string{"repaired", "none", "null", "prev", "linear"}

// invents reports whether the fill makes bars up while reading.
func invents(fill string) bool { return fill == "null" || fill == "prev" || fill == "linear" }

// columnBits are the columns that a client may ask for. The time is always
// there, and kind and source are one column of the store.
var columnBits = map[string]storage.Columns{
	"time": 0, "open": storage.ColOpen, "high": storage.ColHigh, "low": storage.ColLow, "close": storage.ColClose,
	"volume": storage.ColVolume, "quote_volume": storage.ColQuoteVolume, "trades": storage.ColTrades,
	"kind": storage.ColProv, "source": storage.ColProv,
}

// plainColumns are those that every program has a place for.
const plainColumns = storage.ColOpen | storage.ColHigh | storage.ColLow | storage.ColClose | storage.ColVolume

func parseBarQuery(r *http.Request) (barQuery, error) {
	p := parseQuery(r.URL.RawQuery)
	q := barQuery{key: p.key(), bounds: p.bounds(), fill: p.choice("fill", fills...)}
	q.from = p.interval("resample_from")
	q.desc = p.choice("order", "asc", "desc") == "desc"
	q.cursor = p.cursor(q.desc)
	q.columns = p.columns()
	q.format = p.format(r.Header.Get("Accept"))
	switch q.format {
	case barfile.JSON, barfile.Columns:
		q.limit = p.limit(maxRows)
	default:
		if q.limit = p.limit(1 << 40); p.text("limit") == "" {
			q.limit = 0
		}
	}
	if plain := q.columns == plainColumns; q.columns != 0 && !plain {
		switch q.format {
		case barfile.JSON, barfile.Columns, barfile.NDJSON:
		default:
			p.fail("columns", "a file of %s has all columns, or those of columns=time,open,high,low,close,volume: choose others in json, columns or ndjson", q.format)
		}
	}
	q.past = p.past()
	_ = q.adjust.UnmarshalText([]byte(p.choice("adjust", "none", "split", "all"))) // choice knows them
	q.minQuality = p.share("min_quality")
	q.violation = p.choice("on_violation", "error", "warn")
	return q, p.done()
}

func (p *params) columns() storage.Columns {
	v := p.text("columns")
	if v == "" {
		return 0
	}
	var set storage.Columns
	for name := range strings.SplitSeq(v, ",") {
		bit, ok := columnBits[name]
		if !ok {
			p.fail("columns", "column %q is not one of time, open, high, low, close, volume, quote_volume, trades, kind, source", name)
		}
		set |= bit
	}
	if set == 0 { // 0 would be all
		p.fail("columns", "columns names the time only: add one, such as columns=time,close")
	}
	return set
}

// accepted maps media types to formats, for clients that set Accept.
var accepted = map[string]barfile.Format{
	"application/json":                  barfile.JSON,
	"text/csv":                          barfile.CSV,
	"application/x-ndjson":              barfile.NDJSON,
	"application/jsonl":                 barfile.NDJSON,
	"application/vnd.apache.parquet":    barfile.Parquet,
	"application/vnd.apache.arrow.file": barfile.Arrow,
}

var answerFormats = []barfile.Format{barfile.JSON, barfile.Columns, barfile.CSV, barfile.NDJSON, barfile.Parquet, barfile.Arrow, barfile.Freqtrade, barfile.Lean}

// format is what format= names or, without it, the first type of Accept that
// is known; JSON answers everything else.
func (p *params) format(accept string) barfile.Format {
	if v := p.text("format"); v != "" {
		f, err := barfile.ParseFormat(v)
		if err != nil || !slices.Contains(answerFormats, f) {
			p.fail("format", "format %q is not one of json, columns, csv, ndjson, parquet, arrow, freqtrade, lean", v)
		}
		return f
	}
	for part := range strings.SplitSeq(accept, ",") {
		if media, _, err := mime.ParseMediaType(part); err == nil {
			if f, ok := accepted[media]; ok {
				return f
			}
		}
	}
	return barfile.JSON
}
