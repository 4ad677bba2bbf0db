package barfile_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"runtime"
	"testing"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
)

// FuzzOpen reads anything. Nothing panics, what is read can be stored, and
// memory stays within bounds.
func FuzzOpen(f *testing.F) {
	bars := walk(200)
	for i := range bars.Time {
		bars.QuoteVolume = append(bars.QuoteVolume, float64(i))
	}
	for _, o := range []barfile.WriteOptions{
		{Format: barfile.CSV},
		{Format: barfile.JSON, Key: series.Key{Symbol: "A", Interval: series.Interval1m}},
		{Format: barfile.NDJSON},
		{Format: barfile.Columns},
		{Format: barfile.Parquet},
		{Format: barfile.Arrow},
		{Format: barfile.Arrow, Compression: "zstd"},
		{Format: barfile.Freqtrade},
		{Format: barfile.Lean, Key: series.Key{Symbol: "A", Interval: series.Interval1m}},
	} {
		b, err := write(bars, o, 100)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(gzipped(b))
		f.Add(zstded(b))
		f.Add(zipped(file{"a-2024-01-01.csv", b}))
		f.Add(tarred(file{"a-2024-01-01.csv", b}))
	}
	for _, s := range []string{
		"1700000040,10,12,9,11,100\n1700000100,11,13,10,12,50\n", "20110103 090100;126.35;126.39;126.35;126.39;1579\n",
		"[[1700000040000,\"10\",12,9,11,100]]", "{\"t\":[1],\"o\":[1],\"h\":[1],\"l\":[1],\"c\":[1]}", "{\"a\":{\"2024-01-02\":{\"open\":1,\"high\":1,\"low\":1,\"close\":1}}}",
		"<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\n2024.01.02\t00:00:00\t1\t1\t1\t1\n", "\xff\xfea\x00,\x00", "PAR1PAR1",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		o := barfile.Options{Zone: zoneOf("America/New_York"), Date: "2024-01-02", MaxMemory: 32 << 20, MaxBytes: 8 << 20}
		r, err := barfile.Open(bytes.NewReader(b), o)
		if err == nil {
			drainFuzz(t, r)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<30 {
			t.Errorf("%d bytes of input took %d of memory: %v", len(b), used, err)
		}
	})
}

func drainFuzz(t *testing.T, r *barfile.Reader) {
	defer r.Close()
	_ = r.Detection().String()
	var c series.Columns
	for range 200 {
		rejected, err := r.Next(&c, 500)
		if errors.Is(err, io.EOF) && (len(rejected) > 0 || c.Len() > 0) {
			t.Fatal("rows beside io.EOF")
		}
		if err != nil {
			return
		}
		if len(rejected) > 500 || c.Len() > 500 || len(rejected)+c.Len() == 0 {
			t.Fatalf("%d bars and %d rejected rows of 500", c.Len(), len(rejected))
		}
		if err := c.Check(); err != nil {
			t.Fatal(err)
		}
		for i := range c.Time {
			x := c.Bar(i)
			if err := x.Check(); err != nil || x.Time < series.MinTime || x.Time > series.MaxTime || math.IsNaN(x.Open) {
				t.Fatalf("%+v: %v", x, err)
			}
		}
		for _, x := range rejected {
			if len(x.Raw) > 500*3 || x.Reason == "" || x.Row < 1 {
				t.Fatalf("%+v", x)
			}
		}
	}
}
