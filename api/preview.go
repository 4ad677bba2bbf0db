package api

import (
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
)

const (
	previewRows  = 1000 // that are read
	previewShown = 8    // bars, and rows that are none
)

// previewAnswer is what would be read of a body.
type previewAnswer struct {
	Detection barfile.Detection `json:"detection"`
	Read      int64             `json:"read"` // rows looked at, at most 1000
	Bars      []previewBar      `json:"bars"` // the first ones
	Rejected  []rejectedRow     `json:"rejected"`
	// Step is the width that the rows show; nil where they do not.
	Step *series.Interval `json:"step"`
}

// previewBar is a bar as it would be written. A figure that is no number is null.
type previewBar struct {
	Time   series.Time `json:"time"`
	Open   *float64    `json:"open"`
	High   *float64    `json:"high"`
	Low    *float64    `json:"low"`
	Close  *float64    `json:"close"`
	Volume *float64    `json:"volume"`
}

// reading is how a body is to be read where it does not show it, as the flags of
// barkeep import say it.
func (p *params) reading(o *barfile.Options) {
	if zone := p.text("tz"); zone != "" {
		l, err := time.LoadLocation(zone)
		if err != nil || zone == "Local" {
			p.fail("tz", "tz %.70q is no zone such as America/New_York or UTC", zone)
		}
		o.Zone = l
	}
	o.StampEnd = p.choice("stamp", "start", "end") == "end"
	if text := p.text("price_scale"); text != "" {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || !(v > 0 && v <= 1e12) {
			p.fail("price_scale", "price_scale %.70q is not a number above 0", text)
		}
		o.PriceScale = v
	}
	o.TimeFormat = p.text("time_format")
	if text := p.text("map"); text != "" {
		o.Map = map[string]string{}
		for part := range strings.SplitSeq(text, ",") {
			field, column, ok := strings.Cut(part, "=")
			if !ok || field == "" || column == "" {
				p.fail("map", "map %.70q is not such as time=Date,close=Last", text)
				return
			}
			o.Map[field] = column
		}
	}
}

// postPreview says how a body would be read, and writes nothing.
func (s *Server) postPreview(c *gin.Context) {
	p := parseQuery(c.Request.URL.RawQuery)
	o := barfile.Options{Name: p.text("name"), Interval: p.interval("interval"), Now: series.TimeOf(s.now()), MaxBytes: maxUnpacked * s.o.MaxBody, MaxRatio: maxRatio, MaxMemory: maxDecoders}
	p.reading(&o)
	format, err := bodyFormat(c.ContentType())
	if err == nil {
		err = p.done()
	}
	if err != nil {
		fail(c, err)
		return
	}
	o.Format = format
	rd, err := barfile.Open(c.Request.Body, o)
	if err != nil {
		fail(c, unreadable(err, 0))
		return
	}
	defer rd.Close() // it was only read
	out := previewAnswer{Bars: []previewBar{}, Rejected: []rejectedRow{}}
	var cols series.Columns
	rejected, err := rd.Next(&cols, previewRows)
	if err != nil && !errors.Is(err, io.EOF) {
		fail(c, unreadable(err, 0))
		return
	}
	out.Read = int64(cols.Len() + len(rejected))
	for i := range min(cols.Len(), previewShown) {
		b := cols.Bar(i)
		out.Bars = append(out.Bars, previewBar{b.Time, finite(b.Open), finite(b.High), finite(b.Low), finite(b.Close), finite(b.Volume)})
	}
	for _, r := range rejected[:min(len(rejected), previewShown)] {
		x := rejectedRow{Row: int64(r.Row), Reason: r.Reason}
		if r.HasTime {
			x.Time = &r.Time
		}
		out.Rejected = append(out.Rejected, x)
	}
	out.Detection = rd.Detection()
	if i := out.Detection.Interval; i.Valid() {
		out.Step = &i
	}
	c.PureJSON(http.StatusOK, out)
}

// finite is a number that JSON has a form for, or nil.
func finite(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
