package main

import (
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/barkeepdb/barkeep/bench"
	"github.com/barkeepdb/barkeep/series"
)

// trial is one engine with the corpus loaded, in one run.
type trial struct {
	engine Engine
	dir    string
	run    int
	truth  []*bench.Series
	ids    []int // of all series
	bars   int   // in all series
	light  bool  // truth holds no bars, only what is known about them
	loaded time.Duration
}

// work is one row of the table. Rows run in order: the ones that write come
// last.
type work struct {
	name, title, unit string
	higher            bool // whether more is better
	bars              bool // whether it is checked against the bars themselves
	run               func(t *trial) (float64, error)
}

var works = []work{
	{name: "size", title: "size", unit: "bytes/bar", run: size},
	{
		name: "load", title: "bulk load, durable at the end", unit: "M bars/s", higher: true, bars: true,
		run: func(t *trial) (float64, error) { return perSecond(t.bars, t.loaded), nil },
	},
	{name: "year", title: "one symbol-year into Go slices", unit: "M bars/s", higher: true, bars: true, run: readYear},
	{name: "day", title: "one random day, p50", unit: "us", bars: true, run: readDay},
	{
		name: "gaps", title: "every gap of a symbol-year", unit: "ms",
		run: func(t *trial) (float64, error) { return gaps(t, t.ids[:1]) },
	},
	{
		name: "gapsall", title: "every gap of all series", unit: "ms",
		run: func(t *trial) (float64, error) { return gaps(t, t.ids) },
	},
	{name: "resample", title: "resample 1m to 1h, a symbol-year", unit: "ms", run: resampleYear},
	{name: "latest", title: "latest bar of every series", unit: "us", run: latest},
	{name: "append", title: "one durable append, p50", unit: "ms", bars: true, run: appendDurable},
	{name: "relaxed", title: "relaxed appends, one at a time", unit: "M/s", higher: true, bars: true, run: appendRelaxed},
	{name: "backfill", title: "1,000 missing bars back-filled across a year, durable", unit: "ms", bars: true, run: backfill},
}

func ms(d time.Duration) float64 { return d.Seconds() * 1e3 }
func us(d time.Duration) float64 { return d.Seconds() * 1e6 }

// perSecond is millions of n a second.
func perSecond(n int, d time.Duration) float64 { return float64(n) / 1e6 / d.Seconds() }

// enough is how long a piece of work is repeated within a run.
const enough = 300 * time.Millisecond

// sample returns the median time of f, run least to most times until that was
// long enough. check runs outside the clock after each; it may be nil.
func sample(least, most int, f, check func(i int) error) (time.Duration, error) {
	runtime.GC()
	var took []time.Duration
	for sum := time.Duration(0); len(took) < least || len(took) < most && sum < enough; {
		i := len(took)
		start := time.Now()
		if err := f(i); err != nil {
			return 0, err
		}
		took = append(took, time.Since(start))
		sum += took[i]
		if check != nil {
			if err := check(i); err != nil {
				return 0, err
			}
		}
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

func size(t *trial) (float64, error) {
	var bytes int64
	err := filepath.WalkDir(t.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	return float64(bytes) / float64(t.bars), err
}

func readYear(t *trial) (float64, error) {
	var got series.Columns
	s := t.truth[0]
	grow(&got, s.Bars.Len())
	d, err := sample(3, 20, func(int) error { return t.engine.Read(0, s.Span, &got) },
		func(int) error { return sameBars(&got, &s.Bars) })
	return perSecond(s.Bars.Len(), d), err
}

func readDay(t *trial) (float64, error) {
	r := rand.New(rand.NewPCG(uint64(t.run), 0))
	var got series.Columns
	var day series.Span
	id := 0
	pick := func() {
		id = r.IntN(len(t.truth))
		s := t.truth[id].Span
		day.From = s.From + series.Time(r.Int64N(s.Len()/int64(series.Day)))*series.Day
		day.To = day.From + series.Day
	}
	pick()
	d, err := sample(100, 1000, func(int) error { return t.engine.Read(id, day, &got) }, func(int) error {
		want := within(&t.truth[id].Bars, day)
		pick()
		return sameBars(&got, &want)
	})
	return us(d), err
}

func gaps(t *trial, ids []int) (float64, error) {
	var got [][]series.Run
	d, err := sample(3, 100, func(int) (err error) {
		got, err = t.engine.Gaps(ids)
		return err
	}, func(int) error {
		for i, id := range ids {
			if !slices.Equal(got[i], t.truth[id].Gaps) {
				return fmt.Errorf("%d gaps in series %d, want %d", len(got[i]), id, len(t.truth[id].Gaps))
			}
		}
		return nil
	})
	return ms(d), err
}

func resampleYear(t *trial) (float64, error) {
	var got series.Columns
	d, err := sample(3, 50, func(int) error { return t.engine.Resample(0, &got) },
		func(int) error { return sameHours(&got, &t.truth[0].Hours) })
	return ms(d), err
}

func latest(t *trial) (float64, error) {
	var got []series.Bar
	d, err := sample(10, 1000, func(int) (err error) {
		got, err = t.engine.Latest(t.ids)
		return err
	}, func(int) error {
		for i, s := range t.truth {
			if err := sameBar(got[i], s.Latest); err != nil {
				return err
			}
		}
		return nil
	})
	return us(d), err
}

func appendDurable(t *trial) (float64, error) {
	const n = 100
	bars := t.truth[0].Next(n)
	d, err := sample(n, n, func(i int) error { return t.engine.Append(0, bars.Bar(i)) }, nil)
	if err != nil {
		return 0, err
	}
	return ms(d), t.endsWith(0, bars.Bar(n-1))
}

func appendRelaxed(t *trial) (float64, error) {
	const n = 100_000
	id := t.ids[min(1, len(t.ids)-1)]
	bars := t.truth[id].Next(n)
	d, err := sample(1, 1, func(int) error { return t.engine.AppendRelaxed(id, &bars) }, nil)
	if err != nil {
		return 0, err
	}
	return perSecond(n, d), t.endsWith(id, bars.Bar(n-1))
}

// endsWith checks the newest bar of a series.
func (t *trial) endsWith(id int, want series.Bar) error {
	got, err := t.engine.Latest([]int{id})
	if err != nil {
		return err
	}
	return sameBar(got[0], want)
}

func backfill(t *trial) (float64, error) {
	id := t.ids[min(2, len(t.ids)-1)]
	s := t.truth[id]
	bars, left := s.Backfill(1000)
	d, err := sample(1, 1, func(int) error { return t.engine.Backfill(id, &bars) }, nil)
	if err != nil {
		return 0, err
	}
	found, err := t.engine.Gaps([]int{id})
	if err != nil {
		return 0, err
	}
	if !slices.Equal(found[0], left) {
		return 0, fmt.Errorf("%d gaps after the backfill, want %d", len(found[0]), len(left))
	}
	var got series.Columns
	if err := t.engine.Read(id, s.Span, &got); err != nil {
		return 0, err
	}
	want := merge(&s.Bars, &bars)
	return ms(d), sameBars(&got, &want)
}

// within returns the bars that open in the span; they share memory with c.
func within(c *series.Columns, span series.Span) series.Columns {
	a, _ := slices.BinarySearch(c.Time, span.From)
	z, _ := slices.BinarySearch(c.Time, span.To)
	return series.Columns{
		Time: c.Time[a:z], Open: c.Open[a:z], High: c.High[a:z],
		Low: c.Low[a:z], Close: c.Close[a:z], Volume: c.Volume[a:z],
	}
}

// sameBars returns an error unless got is want, bit for bit.
func sameBars(got, want *series.Columns) error {
	if !slices.Equal(got.Time, want.Time) {
		return fmt.Errorf("%d bars at other times, want %d", got.Len(), want.Len())
	}
	return sameColumns(got, want, true)
}

// sameHours allows volumes, which are sums, to differ in the last digits.
func sameHours(got, want *series.Columns) error {
	if !slices.Equal(got.Time, want.Time) {
		return fmt.Errorf("%d hours, want %d", got.Len(), want.Len())
	}
	for i, v := range want.Volume {
		if math.Abs(got.Volume[i]-v) > 1e-9*v {
			return fmt.Errorf("hour %v has volume %v, want %v", want.Time[i], got.Volume[i], v)
		}
	}
	return sameColumns(got, want, false)
}

func sameColumns(got, want *series.Columns, volume bool) error {
	for name, same := range map[string]bool{
		"open": slices.Equal(got.Open, want.Open), "high": slices.Equal(got.High, want.High),
		"low": slices.Equal(got.Low, want.Low), "close": slices.Equal(got.Close, want.Close),
		"volume": !volume || slices.Equal(got.Volume, want.Volume),
	} {
		if !same {
			return fmt.Errorf("column %s is wrong", name)
		}
	}
	return nil
}

func sameBar(got, want series.Bar) error {
	if got.Time != want.Time || got.Open != want.Open || got.High != want.High ||
		got.Low != want.Low || got.Close != want.Close || got.Volume != want.Volume {
		return fmt.Errorf("bar is %+v, want %+v", got, want)
	}
	return nil
}
