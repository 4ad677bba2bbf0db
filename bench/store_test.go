package bench_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/bench"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

var background = context.Background()

var corpus = sync.OnceValue(func() []*bench.Series { return bench.Corpus(10, 1) })

// prices are the columns that the peers keep too.
var prices = storage.ReadOptions{Columns: storage.ColOpen | storage.ColHigh | storage.ColLow | storage.ColClose | storage.ColVolume}

func open(b *testing.B, o storage.Options) *storage.Store {
	b.Helper()
	s, err := storage.Open(b.TempDir(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// load writes symbols side by side, two at a time: while one waits for the
// disk the other is encoded.
func load(b *testing.B, s *storage.Store, all []*bench.Series) {
	b.Helper()
	next := make(chan *bench.Series)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for x := range next {
				if _, err := s.Write(background, x.Key, &x.Bars, storage.WriteOptions{Source: "bench"}); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for _, x := range all {
		next <- x
	}
	close(next)
	wg.Wait()
}

func rate(b *testing.B, bars int64) {
	b.ReportMetric(float64(bars)/b.Elapsed().Seconds()/1e6, "Mbars/s")
}

// loaded is a store with n symbol-years, its cache of decoded blocks off: the
// same year is read again and again, and decoding is what is to be measured.
func loaded(b *testing.B, n int) (*storage.Store, []*bench.Series) {
	s := open(b, storage.Options{DecodedBytes: -1})
	all := corpus()[:n]
	load(b, s, all)
	return s, all
}

// BenchmarkLoad loads 10 symbol-years, durable at the end, and says what they
// take on the disk, everything included.
func BenchmarkLoad(b *testing.B) {
	all := corpus()
	var bars int64
	var disk, kept float64
	for b.Loop() {
		b.StopTimer()
		dir := b.TempDir()
		// The ballast is no part of what bars take.
		s, err := storage.Open(dir, storage.Options{Ballast: -1})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		load(b, s, all)
		b.StopTimer()
		for _, x := range all {
			bars += int64(x.Bars.Len())
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		disk += float64(dirSize(b, dir))
		if err := os.RemoveAll(dir); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	kept = float64(bars)
	rate(b, bars)
	b.ReportMetric(disk/kept, "B/bar")
}

func dirSize(b *testing.B, dir string) (n int64) {
	b.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		i, err := e.Info()
		if err == nil {
			n += i.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// BenchmarkYear reads one symbol-year into slices, on one core and on all.
func BenchmarkYear(b *testing.B) {
	s, all := loaded(b, 1)
	for _, cores := range []int{1, runtime.GOMAXPROCS(0)} {
		b.Run(fmt.Sprintf("cores=%d", cores), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
			var dst series.Columns
			var n int64
			for b.Loop() {
				if err := s.Read(background, all[0].Key, series.Span{}, prices, &dst); err != nil {
					b.Fatal(err)
				}
				n += int64(dst.Len())
			}
			if !slices.Equal(dst.Close, all[0].Bars.Close) {
				b.Fatal("wrong bars")
			}
			rate(b, n)
		})
	}
}

// BenchmarkDay reads one random day, decoded anew or out of the cache.
func BenchmarkDay(b *testing.B) {
	for _, cache := range []string{"off", "on"} {
		b.Run("cache="+cache, func(b *testing.B) {
			o := storage.Options{DecodedBytes: -1}
			if cache == "on" {
				o.DecodedBytes = 0
			}
			s := open(b, o)
			all := corpus()[:1]
			load(b, s, all)
			r := rand.New(rand.NewPCG(1, 1))
			var dst series.Columns
			for b.Loop() {
				at := bench.Start + series.Time(r.IntN(365))*series.Day
				if err := s.Read(background, all[0].Key, series.Span{From: at, To: at + series.Day}, storage.ReadOptions{}, &dst); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGaps finds every gap of symbol-years.
func BenchmarkGaps(b *testing.B) {
	for _, n := range []int{1, 10} {
		b.Run(fmt.Sprintf("years=%d", n), func(b *testing.B) {
			s, all := loaded(b, n)
			for b.Loop() {
				scans, err := s.GapsAll(background, series.Span{})
				if err != nil {
					b.Fatal(err)
				}
				for i := range scans {
					if len(scans[i].Gaps) != len(all[i].Gaps) || scans[i].Missing != series.Total(all[i].Gaps) {
						b.Fatalf("%v: wrong gaps", scans[i].Key)
					}
				}
			}
		})
	}
}

// BenchmarkResample makes the hours of a year of minutes, adding up every block
// anew or with the hours of whole blocks out of the cache.
func BenchmarkResample(b *testing.B) {
	for _, cache := range []string{"off", "on"} {
		b.Run("cache="+cache, func(b *testing.B) {
			o := storage.Options{DecodedBytes: -1}
			if cache == "on" {
				o.DecodedBytes = 0
			}
			s := open(b, o)
			x := corpus()[0]
			load(b, s, []*bench.Series{x})
			var dst series.Columns
			for b.Loop() {
				if _, err := s.Resample(background, x.Key, series.Interval1h, series.Span{}, &dst); err != nil {
					b.Fatal(err)
				}
			}
			if !slices.Equal(dst.Open, x.Hours.Open) || !slices.Equal(dst.Low, x.Hours.Low) {
				b.Fatal("wrong hours")
			}
		})
	}
}

// BenchmarkLatest asks for the newest bar of ten symbols.
func BenchmarkLatest(b *testing.B) {
	s, all := loaded(b, 10)
	for b.Loop() {
		for _, x := range all {
			bar, ok, err := s.Latest(x.Key)
			if err != nil || !ok || bar.Close != x.Latest.Close {
				b.Fatal(bar, ok, err)
			}
		}
	}
}

// BenchmarkAppend appends single bars, each durable, one after the other or
// from many goroutines to one series each; vs-fsync is the ratio of the median
// to that of writing and syncing as many bytes to a file of the same folder, in
// the same run.
func BenchmarkAppend(b *testing.B) {
	s, all := loaded(b, 10)
	next := all[0].Next(200000)
	b.Run("durable", func(b *testing.B) {
		f, err := os.Create(filepath.Join(b.TempDir(), "limit"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		var took, limit []time.Duration
		line := make([]byte, 512)
		i := 0
		for b.Loop() {
			start := time.Now()
			if err := s.Append(background, all[0].Key, next.Bar(i), storage.WriteOptions{Source: "bench"}); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(start))
			i++
			b.StopTimer()
			start = time.Now()
			if _, err := f.WriteAt(line, int64(i%4096)*512); err != nil {
				b.Fatal(err)
			}
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
			limit = append(limit, time.Since(start))
			b.StartTimer()
		}
		m, l := median(took), median(limit)
		b.ReportMetric(float64(m.Nanoseconds())/1e3, "p50-us")
		b.ReportMetric(float64(m)/float64(l), "vs-fsync")
	})
	b.Run("durable-concurrent", func(b *testing.B) {
		var mu sync.Mutex
		id := 0
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			mu.Lock()
			id++
			key := series.Key{Symbol: fmt.Sprintf("LIVE%d", id), Interval: series.Interval1m}
			mu.Unlock()
			for i := 0; pb.Next(); i++ {
				bar := next.Bar(i % next.Len())
				bar.Time = bench.Start + series.Time(i)*series.Minute
				if err := s.Append(background, key, bar, storage.WriteOptions{Source: "bench"}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	b.Run("relaxed", func(b *testing.B) {
		key := series.Key{Symbol: "RELAXED", Interval: series.Interval1m}
		i := 0
		for b.Loop() {
			bar := next.Bar(i % next.Len())
			bar.Time = bench.Start + series.Time(i)*series.Minute
			if err := s.Append(background, key, bar, storage.WriteOptions{Source: "bench", Relaxed: true}); err != nil {
				b.Fatal(err)
			}
			i++
		}
		if _, err := s.Info(key); err != nil {
			b.Fatal(err)
		}
		rate(b, int64(i))
	})
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// BenchmarkBackfill writes 1,000 missing bars spread over a year, durable.
func BenchmarkBackfill(b *testing.B) {
	x := corpus()[0]
	late, _ := x.Backfill(1000)
	for b.Loop() {
		b.StopTimer()
		s, err := storage.Open(b.TempDir(), storage.Options{})
		if err != nil {
			b.Fatal(err)
		}
		load(b, s, []*bench.Series{x})
		b.StartTimer()
		res, err := s.Write(background, x.Key, &late, storage.WriteOptions{Source: "bench"})
		if err != nil || res.Written != late.Len() {
			b.Fatal(res, err)
		}
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkVerify reads and checks everything of one symbol-year.
func BenchmarkVerify(b *testing.B) {
	s, all := loaded(b, 1)
	var n int64
	for b.Loop() {
		rep, err := s.Verify(background, storage.VerifyOptions{})
		if err != nil || !rep.OK() || rep.Bars != int64(all[0].Bars.Len()) {
			b.Fatal(rep, err)
		}
		n += rep.Bars
	}
	rate(b, n)
}
