package barfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
)

func drain(b *testing.B, data []byte, o barfile.Options) int {
	r, err := barfile.Open(bytes.NewReader(data), o)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	var c series.Columns
	n := 0
	for {
		_, err := r.Next(&c, 0)
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			b.Fatal(err)
		}
		n += c.Len()
	}
}

// BenchmarkRead reads a million bars of every format.
func BenchmarkRead(b *testing.B) {
	const rows = 1_000_000
	bars := walk(rows)
	for _, o := range []barfile.WriteOptions{
		{Format: barfile.CSV, Plain: true},
		{Format: barfile.CSV},
		{Format: barfile.JSON, Plain: true},
		{Format: barfile.NDJSON},
		{Format: barfile.Columns, Plain: true},
		{Format: barfile.Parquet},
		{Format: barfile.Arrow},
		{Format: barfile.Freqtrade},
	} {
		b.Run(fmt.Sprintf("%s/plain=%v", o.Format, o.Plain), func(b *testing.B) {
			data, err := write(bars, o, 1<<16)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if n := drain(b, data, barfile.Options{}); n != rows {
					b.Fatal(n)
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}

// BenchmarkReadArrays reads the list of lists that exchanges answer.
func BenchmarkReadArrays(b *testing.B) {
	data, err := os.ReadFile(filepath.Join(dataDir, "binance-2023", "BTC_USDT-1m.json"))
	if err != nil {
		b.Skip(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		drain(b, data, barfile.Options{})
	}
}

// BenchmarkWrite writes a million bars of every format.
func BenchmarkWrite(b *testing.B) {
	const rows = 1_000_000
	bars := walk(rows)
	for _, f := range []barfile.Format{barfile.CSV, barfile.JSON, barfile.Columns, barfile.Parquet, barfile.Arrow} {
		b.Run(f.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w, err := barfile.NewWriter(io.Discard, barfile.WriteOptions{Format: f})
				if err != nil {
					b.Fatal(err)
				}
				if err := w.Write(bars); err != nil {
					b.Fatal(err)
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
}
