package series_test

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

var sink int

func calendarNamed(b *testing.B, name string) *series.Calendar {
	cal, err := series.CalendarByName(name)
	if err != nil {
		b.Fatal(err)
	}
	return cal
}

func BenchmarkAppendExpected(b *testing.B) {
	span := series.Span{From: series.TimeOf(time.Date(1995, 1, 1, 0, 0, 0, 0, time.UTC)), To: series.TimeOf(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))}
	for _, name := range []string{"XNYS", "XHKG"} { // without and with a break
		cal := calendarNamed(b, name)
		for _, i := range []series.Interval{series.Interval1m, series.Interval1h, series.Interval1d, series.Interval1M} {
			b.Run(name+"-30y-"+i.String(), func(b *testing.B) {
				g := series.Grid{Interval: i}
				dst := make([]series.Run, 0, 20000)
				b.ReportAllocs()
				for b.Loop() {
					dst = cal.AppendExpected(dst[:0], g, g.Run(span))
				}
				b.ReportMetric(float64(len(dst)), "runs")
			})
		}
	}
}

func BenchmarkOpenAt(b *testing.B) {
	for _, name := range []string{"XNYS", "XHKG", "CME-EQUITY", "24x7-BINANCE"} {
		cal := calendarNamed(b, name)
		rnd := rand.New(rand.NewPCG(1, 2))
		at := make([]series.Time, 1<<16)
		for i := range at {
			at[i] = cal.Valid().From + series.Time(rnd.Int64N(cal.Valid().Len()))
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if open, _ := cal.OpenAt(at[n&(1<<16-1)]); open {
					sink++
				}
				n++
			}
		})
	}
}

// BenchmarkBuildCalendar reads a file and computes its sessions, as the first
// use of a calendar does.
func BenchmarkBuildCalendar(b *testing.B) {
	for _, name := range []string{"XNYS", "XTAI", "XKRX"} {
		text, err := os.ReadFile("calendars/" + name + ".yaml")
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := series.BuiltinCalendars().ReadCalendar(name, text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// walk is a year of minutes, or n bars, of a random walk on a grid of ticks,
// with volumes of 5 decimals.
func walk(g series.Grid, from series.Time, n int, optional bool) *series.Columns {
	rnd := rand.New(rand.NewPCG(7, 7))
	var c series.Columns
	price := 30000.0
	slot := g.SlotAt(from)
	for i := range n {
		open := price
		price += float64(rnd.IntN(2001)-1000) / 100
		high, low := max(open, price)+float64(rnd.IntN(500))/100, min(open, price)-float64(rnd.IntN(500))/100
		volume := float64(rnd.IntN(50_000_000)) / 1e5
		bar := series.Bar{Time: g.Time(slot + series.Slot(i)), Open: open, High: high, Low: low, Close: price, Volume: volume, Prov: series.NewProv(series.Observed, 3)}
		bar.QuoteVolume, bar.Trades = nan, nan
		if optional {
			bar.QuoteVolume, bar.Trades = float64(rnd.Int64N(5e13))/1e7, float64(rnd.IntN(3000))
		}
		c.Append(bar)
	}
	return &c
}

func BenchmarkResample(b *testing.B) {
	xnys, err := series.CalendarByName("XNYS")
	if err != nil {
		b.Fatal(err)
	}
	const year = 365 * 24 * 60
	minute := series.Grid{Interval: series.Interval1m}
	from := series.TimeOf(time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC))
	full, plain := walk(minute, from, year, true), walk(minute, from, year, false)
	bare := *plain
	bare.Prov = nil
	for _, x := range []struct {
		name   string
		src    *series.Columns
		coarse series.Interval
		cal    *series.Calendar
	}{
		{"24x7-1m-1h-ohlcv", &bare, series.Interval1h, series.Always()},
		{"24x7-1m-1h-prov", plain, series.Interval1h, series.Always()},
		{"24x7-1m-1h-all", full, series.Interval1h, series.Always()},
		{"24x7-1m-5m-ohlcv", &bare, series.Interval5m, series.Always()},
		{"24x7-1m-1d-ohlcv", &bare, series.Interval1d, series.Always()},
		{"24x7-1m-1M-ohlcv", &bare, series.Interval1M, series.Always()},
		{"XNYS-1m-1h-prov", plain, series.Interval1h, xnys},
		{"XNYS-1m-1d-prov", plain, series.Interval1d, xnys},
	} {
		b.Run(x.name, func(b *testing.B) {
			var dst series.Columns
			r, err := series.NewResampler(minute, series.Grid{Interval: x.coarse}, x.cal)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				dst.Reset()
				r.Parts = r.Parts[:0]
				r.Add(&dst, x.src)
				r.Flush(&dst)
			}
			b.ReportMetric(float64(x.src.Len())*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mbars/s")
		})
	}
}
