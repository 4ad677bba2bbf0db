package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// BenchmarkBars reads a symbol-year of minutes over HTTP, by format and, for
// text, compression. "bytes" sends as many as the lines of JSON have, made before:
// the limit that HTTP sets on this machine.
func BenchmarkBars(b *testing.B) {
	const minutes = 525_600
	store, err := storage.Open(b.TempDir(), storage.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close() // it was only read
	c := &series.Columns{}
	price := 42000.0
	for i := range minutes {
		open := price
		price += float64((i*7919)%201-100) / 100
		bar := series.NewBar(1_672_531_200_000+series.Time(i)*series.Minute, open, max(open, price)+0.5, min(open, price)-0.25, price, float64(i*31%10_000)/1000)
		c.Append(bar)
	}
	if _, err := store.Write(b.Context(), series.Key{Symbol: "X", Interval: series.Interval1m}, c, storage.WriteOptions{Source: "test"}); err != nil {
		b.Fatal(err)
	}
	server := httptest.NewServer(New(Options{Store: store}))
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	read := func(b *testing.B, url, accept string) int64 {
		b.Helper()
		r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Accept-Encoding", accept)
		resp, err := client.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatal(resp.Status, err)
		}
		_ = resp.Body.Close() // it was only read
		return n
	}
	bars := server.URL + "/v1/bars?symbol=X&interval=1m&format="
	run := func(name, url, accept string) {
		b.Run(name, func(b *testing.B) {
			n := read(b, url, accept)
			for b.Loop() {
				n = read(b, url, accept)
			}
			b.ReportMetric(float64(minutes)*float64(b.N)/b.Elapsed().Seconds(), "bars/s")
			b.ReportMetric(float64(n)/minutes, "B/bar")
		})
	}
	for _, format := range []string{"ndjson", "csv", "parquet", "arrow"} {
		run(format, bars+format, "identity")
	}
	// JSON has pages: this is what a page of the largest size costs.
	page := bars + "json&limit=100000"
	b.Run("json", func(b *testing.B) {
		for b.Loop() {
			read(b, page, "identity")
		}
		b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "bars/s")
	})
	run("ndjson-gzip", bars+"ndjson", "gzip")
	run("ndjson-zstd", bars+"ndjson", "zstd")
	text := strings.Repeat("x", int(read(b, bars+"ndjson", "identity")))
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })) // the client reads all
	defer plain.Close()
	run("bytes", plain.URL, "identity")
}
