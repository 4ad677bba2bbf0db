package barfile_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
)

// TestDetect reads texts in testdata/detect. A script is the command
//
//	read [interval=1m] [tz=ZONE] [stamp=end] [map=time:0,open:1] [scale=N]
//	     [date=YYYY-MM-DD] [time-format=mdy] [select=col:value] [name=FILE]
//	     [now=TIME] [format=F]
//
// with the file as its input; \t stands for a tab. The output is what was
// detected, then the bars and the rejected rows, or the error.
func TestDetect(t *testing.T) {
	datadriven.Walk(t, "testdata/detect", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "read" {
				d.Fatalf(t, "unknown command %q", d.Cmd)
			}
			input := strings.NewReplacer(`\t`, "\t", `\r`, "\r", `\ufeff`, "\ufeff", `\_`, "").Replace(d.Input)
			return describe(read([]byte(input), optionsOf(t, d)))
		})
	})
}

func optionsOf(t *testing.T, d *datadriven.TestData) (o barfile.Options) {
	pairs := func(s []string) map[string]string {
		m := make(map[string]string)
		for _, p := range s {
			k, v, _ := strings.Cut(p, ":")
			m[k] = v
		}
		return m
	}
	for _, a := range d.CmdArgs {
		v := strings.Join(a.Vals, ",")
		var err error
		switch a.Key {
		case "interval":
			o.Interval, err = series.ParseInterval(v)
		case "tz":
			o.Zone = zoneOf(v)
		case "stamp":
			o.StampEnd = v == "end"
		case "map":
			o.Map = pairs(a.Vals)
		case "select":
			o.Select = pairs(a.Vals)
		case "scale":
			_, err = fmt.Sscan(v, &o.PriceScale)
		case "date":
			o.Date = v
		case "time-format":
			o.TimeFormat = v
		case "name":
			o.Name = v
		case "now":
			o.Now, err = series.ParseTime(v)
		case "format":
			o.Format, err = barfile.ParseFormat(v)
		default:
			d.Fatalf(t, "unknown option %q", a.Key)
		}
		if err != nil {
			d.Fatalf(t, "%v", err)
		}
	}
	return o
}

func describe(c *contents, err error) string {
	var b strings.Builder
	if err != nil {
		fmt.Fprintf(&b, "error: %v\n", err)
	}
	if c == nil {
		return b.String()
	}
	if err == nil {
		fmt.Fprintln(&b, c.detection)
	}
	for i := range c.bars.Time {
		x := c.bars.Bar(i)
		fmt.Fprintf(&b, "%s %v %v %v %v v=%v", x.Time, x.Open, x.High, x.Low, x.Close, x.Volume)
		if !math.IsNaN(x.QuoteVolume) {
			fmt.Fprintf(&b, " quote=%v", x.QuoteVolume)
		}
		if !math.IsNaN(x.Trades) {
			fmt.Fprintf(&b, " trades=%v", x.Trades)
		}
		if x.Prov.Kind() != series.Observed {
			fmt.Fprintf(&b, " %s", x.Prov.Kind())
		}
		if x.Prov.Forming() {
			b.WriteString(" forming")
		}
		if x.Prov.NoTrade() {
			b.WriteString(" no-trade")
		}
		b.WriteByte('\n')
	}
	for _, r := range c.rejected {
		fmt.Fprintf(&b, "rejected %d: %s", r.Row, r.Reason)
		if r.HasTime {
			fmt.Fprintf(&b, " (at %s)", r.Time)
		}
		fmt.Fprintf(&b, ": %s\n", r.Raw)
	}
	return b.String()
}
