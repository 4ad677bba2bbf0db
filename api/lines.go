package api

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/klauspost/compress/gzip"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// What follows reads InfluxDB's line protocol
// (docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol, read
// 2026-11): the measurement is the symbol, the tag interval the interval, the
// tag source who said the bar.

// precisions are the units of timestamps in nanoseconds, of versions 1 and 2.
var precisions = map[string]float64{
	"": 1, "ns": 1, "n": 1, "us": 1e3, "u": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9,
}

// lineError answers as InfluxDB does.
func lineError(c *gin.Context, status int, format string, args ...any) {
	c.AbortWithStatusJSON(status, gin.H{"code": "invalid", "message": fmt.Sprintf(format, args...)})
}

// postLines takes all lines of a body or none. It answers 204.
func (s *Server) postLines(c *gin.Context) {
	unit, ok := precisions[c.Query("precision")]
	if !ok {
		lineError(c, http.StatusBadRequest, "precision %q is not one of ns, us, ms, s", c.Query("precision"))
		return
	}
	var body io.Reader = c.Request.Body
	if c.GetHeader("Content-Encoding") == "gzip" {
		packed := &countedReader{r: body}
		z, err := gzip.NewReader(packed)
		if err != nil {
			lineError(c, http.StatusBadRequest, "the body is not gzip: %v", err)
			return
		}
		// One byte more than allowed tells that there are more.
		body = &expanding{r: io.LimitReader(z, maxUnpacked*s.o.MaxBody+1), packed: packed}
	}
	groups := map[lineKey]*series.Columns{}
	var order []lineKey
	in := bufio.NewScanner(body)
	in.Buffer(make([]byte, 64<<10), 1<<20)
	n, size := 0, int64(0)
	for in.Scan() {
		n++
		if size += int64(len(in.Bytes())) + 1; size > maxUnpacked*s.o.MaxBody {
			lineError(c, http.StatusRequestEntityTooLarge, "the body grows beyond %d bytes: send it in several requests", maxUnpacked*s.o.MaxBody)
			return
		}
		text := bytes.TrimSpace(in.Bytes())
		if len(text) == 0 || text[0] == '#' {
			continue
		}
		key, bar, err := parseLine(string(text), unit)
		if err != nil {
			lineError(c, http.StatusBadRequest, "line %d: %v; nothing was written", n, err)
			return
		}
		if groups[key] == nil {
			groups[key] = &series.Columns{}
			order = append(order, key)
		}
		groups[key].Append(bar)
	}
	if err := in.Err(); err != nil {
		if e := asError(err); e.Status == http.StatusRequestEntityTooLarge {
			lineError(c, e.Status, "%s", e.Message)
			return
		}
		lineError(c, http.StatusBadRequest, "line %d: %v; nothing was written", n+1, err)
		return
	}
	for _, k := range order {
		res := writeResult{}
		if err := s.writeChunk(c, k.key, groups[k], nil, storage.WriteOptions{Source: k.source}, &res); err != nil {
			fail(c, err)
			return
		}
		s.announceBars(k.key, k.source, res)
	}
	c.Status(http.StatusNoContent)
}

// countedReader counts what is read.
type countedReader struct {
	r io.Reader
	n int64
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// expanding is what comes out of a compressed body; it fails where that is far
// more than bars are packed to.
type expanding struct {
	r      io.Reader
	n      int64
	packed *countedReader
}

func (e *expanding) Read(p []byte) (int, error) {
	if e.n > 16<<20 && e.n/maxRatio > e.packed.n { // less does not hurt
		return 0, fmt.Errorf("the body unpacks to more than %d times its size", maxRatio)
	}
	n, err := e.r.Read(p)
	e.n += int64(n)
	return n, err
}

// lineKey is what lines are gathered by.
type lineKey struct {
	key    series.Key
	source string
}

// parseLine reads one line.
func parseLine(text string, unit float64) (k lineKey, bar series.Bar, err error) {
	k.source = "influx"
	bar.QuoteVolume, bar.Trades = math.NaN(), math.NaN()
	head, rest, ok := cutPlain(text, ' ')
	if !ok {
		return k, bar, fmt.Errorf("there are no fields: SYMBOL,interval=1m open=1,high=2,low=1,close=2,volume=3 TIME")
	}
	name, tags, _ := cutPlain(head, ',')
	k.key.Symbol = unescape(name)
	for tags != "" {
		var tag string
		tag, tags, _ = cutPlain(tags, ',')
		key, value, ok := cutPlain(tag, '=')
		if !ok || value == "" {
			return k, bar, fmt.Errorf("the tag %q has no value", tag)
		}
		switch unescape(key) {
		case "interval":
			if k.key.Interval, err = series.ParseInterval(unescape(value)); err != nil {
				return k, bar, err
			}
		case "source":
			if k.source = unescape(value); len(k.source) > 64 {
				return k, bar, fmt.Errorf("the source has %d characters: give 1 to 64", len(k.source))
			}
		}
	}
	if k.key.Interval == 0 {
		return k, bar, fmt.Errorf("the tag interval is missing, as in SYMBOL,interval=1m")
	}
	if err := k.key.Check(); err != nil {
		return k, bar, err
	}
	fields, stamp, ok := cutFields(strings.TrimLeft(rest, " "))
	if !ok {
		return k, bar, fmt.Errorf("the timestamp is missing: a bar needs its open time")
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(stamp), 10, 64)
	if err != nil {
		return k, bar, fmt.Errorf("the timestamp %q is not a whole number", stamp)
	}
	ms := float64(ns) * unit / 1e6
	if unit <= 1e6 {
		per := int64(1e6 / unit)
		if ns%per != 0 {
			return k, bar, fmt.Errorf("the timestamp %d is not on a millisecond: is precision right?", ns)
		}
		bar.Time = series.Time(ns / per)
	} else if math.Abs(ms) > float64(series.MaxTime) {
		return k, bar, fmt.Errorf("the timestamp %d is out of range: is precision right?", ns)
	} else {
		bar.Time = series.Time(ms)
	}
	if bar.Time < series.MinTime || bar.Time > series.MaxTime {
		return k, bar, fmt.Errorf("the timestamp %d is out of range: is precision right?", ns)
	}
	return k, bar, lineFields(fields, &bar)
}

// lineFields reads the fields of a line into bar.
func lineFields(text string, bar *series.Bar) error {
	places := map[string]*float64{
		"open": &bar.Open, "high": &bar.High, "low": &bar.Low, "close": &bar.Close, "volume": &bar.Volume,
		"quote_volume": &bar.QuoteVolume, "trades": &bar.Trades,
	}
	seen := map[string]bool{}
	for text != "" {
		var field string
		field, text, _ = cutField(text)
		key, value, ok := cutPlain(field, '=')
		if !ok {
			return fmt.Errorf("the field %q has no value", field)
		}
		name := unescape(key)
		to := places[name]
		if to == nil {
			continue // others may have their own
		}
		v, err := strconv.ParseFloat(strings.TrimRight(value, "iu"), 64)
		if err != nil {
			return fmt.Errorf("the field %s is %q, which is not a number", name, value)
		}
		*to, seen[name] = v, true
	}
	for _, name := range []string{"open", "high", "low", "close", "volume"} {
		if !seen[name] {
			return fmt.Errorf("the field %s is missing", name)
		}
	}
	return bar.Check()
}

// cutPlain cuts at the first sep that no backslash stands before.
func cutPlain(s string, sep byte) (before, after string, found bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case sep:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// cutFields cuts between the fields and the timestamp: at the first space
// outside of quotes.
func cutFields(s string) (fields, stamp string, found bool) { return cutQuoted(s, ' ') }

// cutField cuts behind the first field.
func cutField(s string) (field, rest string, found bool) { return cutQuoted(s, ',') }

func cutQuoted(s string, sep byte) (before, after string, found bool) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// unescape removes the backslashes before commas, spaces and equals signs.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\,`, ",", `\ `, " ", `\=`, "=").Replace(s)
}
