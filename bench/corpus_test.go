package bench_test

import (
	"fmt"
	"math"
	"math/bits"
	"reflect"
	"strconv"
	"testing"

	"github.com/barkeepdb/barkeep/bench"
	"github.com/barkeepdb/barkeep/series"
)

// entropy measures a stream of numbers as an entropy coder of bit lengths
// would store them: the order-0 entropy of floor(log2(x+1)) plus as many bits.
type entropy struct {
	classes [64]int
	n       int
}

func (e *entropy) unsigned(x int64) {
	e.classes[bits.Len64(uint64(x)+1)-1]++
	e.n++
}

func (e *entropy) signed(x int64) { e.unsigned(x<<1 ^ x>>63) }

func (e *entropy) bytes() float64 {
	var sum float64
	for k, count := range e.classes {
		if count > 0 {
			p := float64(count) / float64(e.n)
			sum += p * (float64(k) - math.Log2(p))
		}
	}
	return sum / 8
}

func ticks(v float64) int64 { return int64(math.Round(v * 100)) }

func TestEntropy(t *testing.T) {
	c := bench.NewSeries(1, bench.Start, bench.YearSlots).Bars
	var streams [5]entropy
	last := ticks(c.Open[0])
	for i := range c.Time {
		o, h, l, cl := ticks(c.Open[i]), ticks(c.High[i]), ticks(c.Low[i]), ticks(c.Close[i])
		streams[0].signed(o - last)
		streams[1].signed(cl - o)
		streams[2].unsigned(h - max(o, cl))
		streams[3].unsigned(min(o, cl) - l)
		streams[4].unsigned(int64(math.Round(c.Volume[i] * 1e5)))
		last = cl
	}
	var sum float64
	for i, name := range []string{"open-last", "close-open", "high-max", "min-low", "volume"} {
		t.Logf("%-10s %.3f bytes/bar", name, streams[i].bytes())
		sum += streams[i].bytes()
	}
	t.Logf("%-10s %.3f bytes/bar", "all", sum)
	if sum < 5.40 || sum > 5.50 {
		t.Errorf("a bar carries %.3f bytes, calibrated is 5.40 to 5.50", sum)
	}
}

func TestSeriesTruth(t *testing.T) {
	s := bench.NewSeries(7, bench.Start, bench.YearSlots)
	c := &s.Bars
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	var gaps []series.Run
	for i := range c.Time {
		slot := bench.Grid.SlotAt(c.Time[i])
		if !bench.Grid.On(c.Time[i]) {
			t.Fatalf("bar %d opens at %v, off the grid", i, c.Time[i])
		}
		if i > 0 {
			if last := bench.Grid.SlotAt(c.Time[i-1]); last+1 < slot {
				gaps = append(gaps, series.Run{From: last + 1, To: slot})
			} else if last >= slot {
				t.Fatalf("bar %d at %v is not after the one before", i, c.Time[i])
			}
		}
		if c.Low[i] <= 0 || c.Low[i] > min(c.Open[i], c.Close[i]) || c.High[i] < max(c.Open[i], c.Close[i]) || c.Volume[i] <= 0 {
			t.Fatalf("bar %d is no bar: %+v", i, c.Bar(i))
		}
	}
	if !reflect.DeepEqual(gaps, s.Gaps) {
		t.Errorf("found %d gaps, the series says %d", len(gaps), len(s.Gaps))
	}
	missing := int(series.Total(gaps))
	if missing != s.Missing.Len() || c.Len()+missing != bench.YearSlots {
		t.Errorf("%d bars and %d missing of %d slots, %d bars knocked out", c.Len(), missing, bench.YearSlots, s.Missing.Len())
	}
	if n := len(gaps); n < 330 || n > 350 {
		t.Errorf("%d gaps, want about 350", n)
	}
	if share := float64(missing) / bench.YearSlots; share < 0.0021 || share > 0.0027 {
		t.Errorf("%.4f of the bars are missing, want about 0.0024", share)
	}
	if got, want := fmt.Sprint(s.Latest), fmt.Sprint(c.Bar(c.Len()-1)); got != want {
		t.Errorf("latest is %v, want %v", got, want)
	}
	checkHours(t, s)
}

// checkHours resamples in the plainest way and compares.
func checkHours(t *testing.T, s *bench.Series) {
	t.Helper()
	var want series.Columns
	for i := range s.Bars.Time {
		b := s.Bars.Bar(i)
		b.Time -= b.Time % series.Hour
		if n := want.Len(); n > 0 && want.Time[n-1] == b.Time {
			want.High[n-1] = max(want.High[n-1], b.High)
			want.Low[n-1] = min(want.Low[n-1], b.Low)
			want.Close[n-1] = b.Close
			want.Volume[n-1] += b.Volume
			continue
		}
		want.Append(b)
	}
	if want.Len() != s.Hours.Len() {
		t.Fatalf("%d hours, want %d", s.Hours.Len(), want.Len())
	}
	for i := range want.Time {
		got, b := s.Hours.Bar(i), want.Bar(i)
		if math.Abs(got.Volume-b.Volume) > 1e-9*b.Volume {
			t.Fatalf("hour %v trades %v, want %v", b.Time, got.Volume, b.Volume)
		}
		if got.Time != b.Time || got.Open != b.Open || got.High != b.High || got.Low != b.Low || got.Close != b.Close {
			t.Fatalf("hour is %+v, want %+v", got, b)
		}
	}
}

func TestSeriesIsDecimal(t *testing.T) {
	c := bench.NewSeries(3, bench.Start, 5000).Bars
	for i := range c.Time {
		for _, v := range []float64{c.Open[i], c.High[i], c.Low[i], c.Close[i], c.Volume[i]} {
			if text, err := strconv.ParseFloat(strconv.FormatFloat(v, 'f', 5, 64), 64); err != nil || text != v {
				t.Fatalf("bar %d holds %v, which five decimals read as %v", i, v, text)
			}
		}
	}
}

func TestSeriesIsRepeatable(t *testing.T) {
	a, b := bench.NewSeries(5, bench.Start, 9000), bench.NewSeries(5, bench.Start, 9000)
	if !reflect.DeepEqual(a.Bars, b.Bars) || !reflect.DeepEqual(a.Missing, b.Missing) || !reflect.DeepEqual(a.Gaps, b.Gaps) {
		t.Error("one seed made two series")
	}
	if c := bench.NewSeries(6, bench.Start, 9000); reflect.DeepEqual(a.Bars, c.Bars) {
		t.Error("two seeds made one series")
	}
}

func TestBackfill(t *testing.T) {
	s := bench.NewSeries(2, bench.Start, bench.YearSlots)
	bars, left := s.Backfill(1000)
	if bars.Len() != 1000 {
		t.Fatalf("%d bars to fill, want 1000", bars.Len())
	}
	if got, want := series.Total(left), series.Total(s.Gaps)-1000; got != want {
		t.Errorf("%d bars stay missing, want %d", got, want)
	}
	for i, at := range bars.Time {
		if i > 0 && at <= bars.Time[i-1] {
			t.Fatalf("bar %d at %v is not after the one before", i, at)
		}
	}
}
