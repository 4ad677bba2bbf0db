package main

import (
	"errors"
	"iter"
	"sync"

	"github.com/barkeepdb/barkeep/bench"
	"github.com/barkeepdb/barkeep/series"
)

// Engine is one way to keep bars, set up as its experts would. The series of a
// load are numbered from 0; the other methods name a series by that number.
type Engine interface {
	// Load stores every series. All of it is durable, and as small as the
	// engine makes it, when Load returns.
	Load(all iter.Seq[*bench.Series]) error
	// Read replaces dst by the bars of a series that open in the span, in
	// order. The memory of dst is reused.
	Read(id int, span series.Span, dst *series.Columns) error
	// Gaps finds the gaps of each of the series between its first and its last
	// bar, at index id, using whatever processors there are.
	Gaps(ids []int) ([][]series.Run, error)
	// Resample replaces dst by the hourly bars of a series, in order.
	Resample(id int, dst *series.Columns) error
	// Latest returns the newest bar of each of the series.
	Latest(ids []int) ([]series.Bar, error)
	// Append adds one bar to a series and returns when it is durable.
	Append(id int, b series.Bar) error
	// AppendRelaxed adds the bars one call of the engine at a time, visible but
	// not durable.
	AppendRelaxed(id int, bars *series.Columns) error
	// Backfill adds bars anywhere in a series and returns when all are durable.
	Backfill(id int, bars *series.Columns) error
	Close() error
}

// errNotOffered is what an engine answers to work that it was not made for.
var errNotOffered = errors.New("not offered")

// engines are all engines in the order of the tables. Barkeep comes first: the
// ratios are against it.
var engines = []struct {
	name string
	open func(dir string) (Engine, error)
}{
	{"barkeep", openBarkeep},
	{"parquet", openParquetDoubles},
	{"parquet-int", openParquetInts},
	{"parquet-min", openParquetSmallest},
	{"pebble", openPebble},
	{"duckdb", openDuckDB},
	{"sqlite", openSQLite},
}

// workers is how many goroutines an engine uses where it has no say of its own.
const workers = 2

// parallel calls f for 0 to n-1 on the workers and returns the first error.
// It tells f which of the workers it runs on.
func parallel(n int, f func(worker, i int) error) error {
	if n == 1 {
		return f(0, 0)
	}
	jobs := make(chan int, n)
	for i := range n {
		jobs <- i
	}
	close(jobs)
	var wg sync.WaitGroup
	var errs [workers]error
	for w := range workers {
		wg.Go(func() {
			for i := range jobs {
				if errs[w] = f(w, i); errs[w] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}

// loadEach hands the series to the workers as they come, with their numbers.
func loadEach(all iter.Seq[*bench.Series], f func(worker, id int, s *bench.Series) error) error {
	type job struct {
		id int
		s  *bench.Series
	}
	jobs := make(chan job)
	var wg sync.WaitGroup
	var errs [workers]error
	for w := range workers {
		wg.Go(func() {
			for j := range jobs {
				if errs[w] == nil {
					errs[w] = f(w, j.id, j.s)
				}
			}
		})
	}
	id := 0
	for s := range all {
		jobs <- job{id, s}
		id++
	}
	close(jobs)
	wg.Wait()
	return errors.Join(errs[:]...)
}

// gapFinder finds gaps in times that come in order. Finders of neighbouring
// stretches are put together by join.
type gapFinder struct {
	any         bool
	first, next series.Slot // first slot seen, one past the last
	gaps        []series.Run
}

// minute is the width of a slot of bench.Grid, whose slot numbers engines that
// look at every bar compute themselves.
const minute = int64(series.Minute)

func (g *gapFinder) add(times []int64) {
	for _, t := range times {
		slot := series.Slot(t / minute)
		if slot != g.next {
			if g.any {
				g.gaps = append(g.gaps, series.Run{From: g.next, To: slot})
			} else {
				g.first, g.any = slot, true
			}
		}
		g.next = slot + 1
	}
}

func (g *gapFinder) join(o *gapFinder) {
	if !o.any {
		return
	}
	if g.any && g.next < o.first {
		g.gaps = append(g.gaps, series.Run{From: g.next, To: o.first})
	}
	if !g.any {
		g.first, g.any = o.first, true
	}
	g.next = o.next
	g.gaps = append(g.gaps, o.gaps...)
}

// resample folds bars into hourly ones, for engines without a better way.
func resample(dst, src *series.Columns) {
	dst.Reset()
	for i := 0; i < src.Len(); {
		hour := src.Time[i] - src.Time[i]%series.Hour
		high, low, volume := src.High[i], src.Low[i], 0.0
		k := i
		for ; k < src.Len() && src.Time[k] < hour+series.Hour; k++ {
			high, low = max(high, src.High[k]), min(low, src.Low[k])
			volume += src.Volume[k]
		}
		dst.Time = append(dst.Time, hour)
		dst.Open, dst.Close = append(dst.Open, src.Open[i]), append(dst.Close, src.Close[k-1])
		dst.High, dst.Low = append(dst.High, high), append(dst.Low, low)
		dst.Volume = append(dst.Volume, volume)
		i = k
	}
}

// grow makes room for n bars behind those of c.
func grow(c *series.Columns, n int) {
	c.Time = extend(c.Time, n)
	c.Open, c.High, c.Low = extend(c.Open, n), extend(c.High, n), extend(c.Low, n)
	c.Close, c.Volume = extend(c.Close, n), extend(c.Volume, n)
}

func extend[T any](s []T, n int) []T {
	if need := len(s) + n; need <= cap(s) {
		return s[:need]
	}
	return append(s, make([]T, n)...)
}

// appendColumns appends the bars of src to dst.
func appendColumns(dst, src *series.Columns) {
	dst.Time = append(dst.Time, src.Time...)
	dst.Open, dst.High = append(dst.Open, src.Open...), append(dst.High, src.High...)
	dst.Low, dst.Close = append(dst.Low, src.Low...), append(dst.Close, src.Close...)
	dst.Volume = append(dst.Volume, src.Volume...)
}

// split cuts the span into n spans of about one length.
func split(s series.Span, n int) []series.Span {
	parts := make([]series.Span, n)
	for i := range parts {
		parts[i] = series.Span{
			From: s.From + series.Time(s.Len())*series.Time(i)/series.Time(n),
			To:   s.From + series.Time(s.Len())*series.Time(i+1)/series.Time(n),
		}
	}
	return parts
}

// merge returns the bars of a and b, both in order and without a common time.
func merge(a, b *series.Columns) series.Columns {
	var c series.Columns
	grow(&c, a.Len()+b.Len())
	i, k := 0, 0
	for n := range c.Time {
		src, at := a, &i
		if i == a.Len() || k < b.Len() && b.Time[k] < a.Time[i] {
			src, at = b, &k
		}
		c.Time[n] = src.Time[*at]
		c.Open[n], c.High[n] = src.Open[*at], src.High[*at]
		c.Low[n], c.Close[n] = src.Low[*at], src.Close[*at]
		c.Volume[n] = src.Volume[*at]
		*at++
	}
	return c
}

// everything is a span around any bar of the corpus.
var everything = series.Span{From: 0, To: series.MaxTime}
