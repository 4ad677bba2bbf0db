package barfile_test

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
)

// read reads bytes to their end.
func read(b []byte, o barfile.Options) (*contents, error) {
	r, err := barfile.Open(bytes.NewReader(b), o)
	if err != nil {
		return nil, err
	}
	return readAll(r)
}

// write writes bars in stretches of a few rows.
func write(c *series.Columns, o barfile.WriteOptions, stretch int) ([]byte, error) {
	var b bytes.Buffer
	w, err := barfile.NewWriter(&b, o)
	if err != nil {
		return nil, err
	}
	for from := 0; from < c.Len(); from += stretch {
		var part series.Columns
		for i := from; i < min(from+stretch, c.Len()); i++ {
			part.Append(c.Bar(i))
		}
		if err := w.Write(&part); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return b.Bytes(), err
}

// same compares two floats bit for bit; all NaN are one.
func same(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}

// drawBars draws bars that a store may hold: any finite price and volume.
func drawBars(t *rapid.T, interval series.Interval) *series.Columns {
	c := &series.Columns{}
	price := rapid.OneOf(
		rapid.Float64Range(-1e300, 1e300),
		rapid.Float64Range(1e-9, 1e9),
		rapid.Custom(func(t *rapid.T) float64 { return float64(rapid.Int64Range(-1e9, 1e9).Draw(t, "ticks")) / 1e4 }),
		rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.SmallestNonzeroFloat64, math.MaxFloat64, 0.1, 1e21, 1e-7, 9007199254740993, 1.7976931348623157e308, 5.299999999999999e-05}),
	)
	optional := rapid.OneOf(rapid.Just(math.NaN()), rapid.Float64Range(0, 1e15))
	g := series.Grid{Interval: interval}
	slot := g.SlotAt(series.Time(rapid.Int64Range(1e11, 4e12).Draw(t, "start")))
	for range rapid.IntRange(12, 60).Draw(t, "bars") {
		// mostly neighbours, so that the interval shows
		slot += series.Slot(rapid.SampledFrom([]int64{1, 1, 1, 1, 1, 1, 3, 7}).Draw(t, "step"))
		b := series.Bar{Time: g.Time(slot), QuoteVolume: optional.Draw(t, "quote"), Trades: optional.Draw(t, "trades")}
		b.Open, b.High, b.Low, b.Close = price.Draw(t, "open"), price.Draw(t, "high"), price.Draw(t, "low"), price.Draw(t, "close")
		b.Volume = rapid.Float64Range(0, 1e18).Draw(t, "volume")
		b.Prov = series.NewProv(series.Kind(rapid.IntRange(0, 2).Draw(t, "kind")), 1)
		c.Append(b)
	}
	return c
}

// TestRoundTrip writes any bars in every format and reads back the same bits.
func TestRoundTrip(t *testing.T) {
	for _, x := range []struct {
		o     barfile.WriteOptions
		in    barfile.Options
		lossy bool // quote volume, trades and kind are not in the file
	}{
		{o: barfile.WriteOptions{Format: barfile.CSV}},
		{o: barfile.WriteOptions{Format: barfile.CSV, Plain: true}, lossy: true},
		{o: barfile.WriteOptions{Format: barfile.JSON}},
		{o: barfile.WriteOptions{Format: barfile.JSON, Plain: true}, lossy: true},
		{o: barfile.WriteOptions{Format: barfile.JSON, Key: series.Key{Symbol: "BTC\"USDT"}}},
		{o: barfile.WriteOptions{Format: barfile.NDJSON}},
		{o: barfile.WriteOptions{Format: barfile.Columns}},
		{o: barfile.WriteOptions{Format: barfile.Columns, Key: series.Key{Symbol: "BTCUSDT"}}},
		{o: barfile.WriteOptions{Format: barfile.Parquet, Key: series.Key{Symbol: "BTCUSDT"}}},
		{o: barfile.WriteOptions{Format: barfile.Parquet, Plain: true}, lossy: true},
		{o: barfile.WriteOptions{Format: barfile.Arrow, Key: series.Key{Symbol: "BTCUSDT"}}},
		{o: barfile.WriteOptions{Format: barfile.Arrow, Compression: "lz4"}},
		{o: barfile.WriteOptions{Format: barfile.Arrow, Compression: "zstd", Plain: true}, lossy: true},
		{o: barfile.WriteOptions{Format: barfile.Freqtrade}, lossy: true},
		{o: barfile.WriteOptions{Format: barfile.Lean, Key: series.Key{Symbol: "SPY"}}, in: barfile.Options{Zone: zoneOf("UTC"), PriceScale: 1e4, Map: map[string]string{"time": "0", "open": "1", "high": "2", "low": "3", "close": "4", "volume": "5"}}, lossy: true},
	} {
		t.Run(fmt.Sprintf("%s,plain=%v,%s,%s", x.o.Format, x.o.Plain, x.o.Compression, x.o.Key.Symbol), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				choices := []series.Interval{series.Interval1s, series.Interval1m, series.Interval1h, series.Interval1d}
				if x.o.Format != barfile.Lean {
					choices = append(choices, series.Interval5m, series.Interval1w, series.Interval1M)
				}
				key := x.o.Key
				key.Interval = rapid.SampledFrom(choices).Draw(t, "interval")
				in := x.in
				in.Interval = key.Interval
				want := drawBars(t, key.Interval)
				o := x.o
				o.Key = key
				o.SourceName = func(series.SourceID) string { return `a "source", of bars` }
				b, err := write(want, o, rapid.IntRange(1, 40).Draw(t, "stretch"))
				if err != nil {
					t.Fatal(err)
				}
				got, err := read(b, in)
				if err != nil {
					t.Fatalf("%v\n%.600s", err, b)
				}
				if len(got.rejected) > 0 || got.bars.Len() != want.Len() {
					t.Fatalf("%d bars of %d, rejected %+v\n%.600s", got.bars.Len(), want.Len(), got.rejected, b)
				}
				for i := range want.Time {
					a, b := want.Bar(i), got.bars.Bar(i)
					if a.Time != b.Time || !same(a.Open, b.Open) || !same(a.High, b.High) || !same(a.Low, b.Low) || !same(a.Close, b.Close) || !same(a.Volume, b.Volume) {
						t.Fatalf("bar %d\nwrote %+v\nread  %+v", i, a, b)
					}
					if !x.lossy && (!same(a.QuoteVolume, b.QuoteVolume) || !same(a.Trades, b.Trades) || a.Prov.Kind() != b.Prov.Kind()) {
						t.Fatalf("bar %d\nwrote %+v\nread  %+v", i, a, b)
					}
				}
			})
		})
	}
}

// TestOldTimes reads back days of the sixties, whose Unix milliseconds are as
// small as the seconds of today.
func TestOldTimes(t *testing.T) {
	want := walk(4000)
	for i := range want.Time {
		want.Time[i] = series.Time(i-3000) * series.Day
	}
	for _, f := range []barfile.Format{barfile.CSV, barfile.JSON, barfile.NDJSON, barfile.Columns, barfile.Parquet, barfile.Arrow} {
		b, err := write(want, barfile.WriteOptions{Format: f}, 5000)
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(b, barfile.Options{Interval: series.Interval1d})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.bars.Time, want.Time) {
			t.Errorf("%s: %d bars from %s, wrote %d from %s", f, got.bars.Len(), got.bars.Time[0], want.Len(), want.Time[0])
		}
	}
}

// TestByteStable writes the same bars twice, in other stretches, and gets the
// same bytes, so that an export has a stable hash.
func TestByteStable(t *testing.T) {
	c := walk(300_000)
	for _, f := range []barfile.Format{barfile.CSV, barfile.JSON, barfile.Columns, barfile.Parquet, barfile.Lean} {
		o := barfile.WriteOptions{Format: f, Key: series.Key{Symbol: "BTCUSDT", Interval: series.Interval1m}}
		a, err := write(c, o, 65536)
		if err != nil {
			t.Fatal(err)
		}
		b, err := write(c, o, 300_000)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s: two exports of the same bars differ", f)
		}
		t.Logf("%s: %.1f bytes per bar", f, float64(len(a))/float64(c.Len()))
	}
}

// TestEmptyFiles writes no bars and reads none.
func TestEmptyFiles(t *testing.T) {
	for _, f := range []barfile.Format{barfile.CSV, barfile.JSON, barfile.NDJSON, barfile.Columns, barfile.Parquet, barfile.Arrow, barfile.Freqtrade, barfile.Lean} {
		b, err := write(&series.Columns{}, barfile.WriteOptions{Format: f, Key: series.Key{Symbol: "SPY", Interval: series.Interval1m}}, 1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(b, barfile.Options{})
		if f == barfile.NDJSON || f == barfile.Lean {
			if err == nil || !strings.Contains(err.Error(), "empty") {
				t.Errorf("%s: a file of no bytes should be refused: %v", f, err)
			}
			continue
		}
		if err != nil || got.bars.Len() != 0 || len(got.rejected) != 0 {
			t.Errorf("%s: %v %+v\n%.200q", f, err, got, b)
		}
	}
}

// walk is a random walk of minutes with two decimals.
func walk(n int) *series.Columns {
	c := &series.Columns{}
	x := uint64(88172645463325252)
	next := func(n uint64) int64 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		return int64(x % n)
	}
	last := int64(2_000_000)
	for i := range n {
		o := last + next(41) - 20
		last = max(o+next(401)-200, 1000)
		h, l := max(o, last)+next(100), min(o, last)-next(100)
		c.Append(series.Bar{
			Time: 1600000020000 + series.Time(i)*series.Minute,
			Open: float64(o) / 100, High: float64(h) / 100, Low: float64(l) / 100, Close: float64(last) / 100,
			Volume: float64(next(100_000_000)) / 1e5, QuoteVolume: math.NaN(), Trades: math.NaN(),
		})
	}
	return c
}
