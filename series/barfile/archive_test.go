package barfile_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
)

// mustDo panics on an error of a writer into memory.
func mustDo(errs ...error) {
	if err := errors.Join(errs...); err != nil {
		panic(err)
	}
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(b)
	mustDo(err, w.Close())
	return out.Bytes()
}

func zstded(b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(b, nil)
}

// file is an entry of an archive.
type file struct {
	name string
	data []byte
}

func zipped(files ...file) []byte {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range files {
		e, err := w.Create(f.name)
		if err != nil {
			panic(err)
		}
		_, err = e.Write(f.data)
		mustDo(err)
	}
	mustDo(w.Close())
	return out.Bytes()
}

func tarred(files ...file) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o600, Size: int64(len(f.data)), Format: tar.FormatUSTAR}); err != nil {
			panic(err)
		}
		_, err := w.Write(f.data)
		mustDo(err)
	}
	mustDo(w.Close())
	return out.Bytes()
}

func encodeUTF16(s string, big bool) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune("\ufeff" + s)) {
		if big {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return b
}

// day is a small CSV of minutes of one day of January 2024.
func day(d int) []byte {
	c := walk(30)
	for i := range c.Time {
		c.Time[i] = 1704067200000 + series.Time(d-1)*series.Day + series.Time(i)*series.Minute
	}
	b, err := write(c, barfile.WriteOptions{Format: barfile.CSV, Plain: true}, 100)
	if err != nil {
		panic(err)
	}
	return b
}

func TestArchives(t *testing.T) {
	parquet, err := write(walk(30), barfile.WriteOptions{Format: barfile.Parquet}, 100)
	if err != nil {
		t.Fatal(err)
	}
	arrow, err := write(walk(30), barfile.WriteOptions{Format: barfile.Arrow}, 100)
	if err != nil {
		t.Fatal(err)
	}
	var big bytes.Buffer // larger than what is kept in memory
	for d := range 30000 {
		big.Write(day(1 + d%2)[36*min(d, 1):])
	}
	for _, x := range []struct {
		name        string
		data        []byte
		o           barfile.Options
		rows        int
		compression string
		warn        string
		fail        string
	}{
		{name: "plain", data: day(1), rows: 30},
		{name: "gzip", data: gzipped(day(1)), rows: 30, compression: "gzip"},
		{name: "gzip of two members", data: append(gzipped(day(1)), gzipped(day(2)[36:])...), rows: 60, compression: "gzip"},
		{name: "zstd", data: zstded(day(1)), rows: 30, compression: "zstd"},
		{name: "zstd in gzip", data: gzipped(zstded(day(1))), rows: 30, compression: "gzip zstd"},
		{name: "parquet in gzip", data: gzipped(parquet), rows: 30, compression: "gzip"},
		{name: "arrow in zstd", data: zstded(arrow), rows: 30, compression: "zstd"},
		{name: "utf-16, little end first", data: encodeUTF16(string(day(1)), false), rows: 30},
		{name: "utf-16, big end first", data: encodeUTF16(string(day(1)), true), rows: 30},
		{name: "zip", data: zipped(file{"BTCUSDT-1m-2024-01-01.csv", day(1)}), rows: 30, compression: "zip"},
		{name: "zip of days", data: zipped(file{"BTCUSDT-1m-2024-01-02.csv", day(2)}, file{"BTCUSDT-1m-2024-01-01.csv", day(1)}), rows: 60, compression: "zip"},
		{name: "zip with gzip inside", data: zipped(file{"a.csv.gz", gzipped(day(1))}), rows: 30, compression: "zip gzip"},
		{name: "zip with parquet inside", data: zipped(file{"a.parquet", parquet}), rows: 30, compression: "zip"},
		{name: "tar.gz out of order", data: gzipped(tarred(file{"x/2024-01-02.csv", day(2)}, file{"x/2024-01-01.csv", day(1)})), rows: 60, compression: "gzip tar"},
		{name: "tar with zstd inside", data: tarred(file{"a.csv.zst", zstded(day(1))}), rows: 30, compression: "tar zstd"},
		{name: "other files beside", data: zipped(file{"README.txt", []byte("prices of something\n")}, file{"__MACOSX/a.csv", []byte("x")}, file{".DS_Store", []byte("x")}, file{"a.csv", day(1)}), rows: 30, compression: "zip", warn: "README.txt"},
		{name: "several series", data: zipped(file{"BTC.csv", day(1)}, file{"ETH.csv", day(1)}), fail: "--entry"},
		{name: "one of several series", data: zipped(file{"BTC.csv", day(1)}, file{"ETH.csv", day(2)}), o: barfile.Options{Entry: "ETH.csv"}, rows: 30, compression: "zip"},
		{name: "a pattern", data: zipped(file{"BTC-2024-01-01.csv", day(1)}, file{"BTC-2024-01-02.csv", day(2)}, file{"ETH-2024-01-01.csv", day(2)}), o: barfile.Options{Entry: "BTC-*.csv"}, rows: 60, compression: "zip"},
		{name: "no such entry", data: zipped(file{"BTC.csv", day(1)}), o: barfile.Options{Entry: "ETH.csv"}, fail: "the archive has BTC.csv"},
		{name: "a stale copy", data: zipped(file{"20240101_spy.csv", day(1)}, file{"20240102_spy.csv", day(1)}), o: barfile.Options{Name: "20240101_trade.zip"}, rows: 30, compression: "zip", warn: "20240102_spy.csv was skipped"},
		{name: "an empty entry", data: zipped(file{"a-2024-01-01.csv", day(1)}, file{"a-2024-01-02.csv", nil}), rows: 30, compression: "zip"},
		{name: "an empty zip", data: zipped(), fail: "empty"},
		{name: "excel", data: zipped(file{"[Content_Types].xml", nil}, file{"xl/workbook.xml", nil}), fail: "Excel workbook"},
		{name: "cut off gzip", data: gzipped(big.Bytes())[:5000], fail: "unexpected EOF"},
		{name: "a stream larger than memory", data: gzipped(tarred(file{"a.csv", big.Bytes()})), rows: 900_000, compression: "gzip tar"},
		{name: "as large as bars may grow", data: gzipped(big.Bytes()), o: barfile.Options{MaxRatio: 500}, rows: 900_000, compression: "gzip"},
		{name: "larger than bars may grow", data: gzipped(big.Bytes()), o: barfile.Options{MaxRatio: 2}, fail: "more than 2 times its size"},
		{name: "blank at first", data: append(bytes.Repeat([]byte("\n"), 1<<20), day(1)...), fail: "are blank"},
		{name: "more than may be unpacked", data: gzipped(big.Bytes()), o: barfile.Options{MaxBytes: 1 << 20}, fail: "more than 1048576 bytes"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			c, err := read(x.data, x.o)
			if x.fail != "" {
				if err == nil || !strings.Contains(err.Error(), x.fail) {
					t.Errorf("%v lacks %q", err, x.fail)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			d := c.detection
			if c.bars.Len() != x.rows || len(c.rejected) != 0 || d.Compression != x.compression || !strings.Contains(strings.Join(d.Warnings, "\n"), x.warn) {
				t.Errorf("%d bars, rejected %+v\n%s", c.bars.Len(), c.rejected[:min(len(c.rejected), 3)], d)
			}
			if x.rows == 60 && c.bars.Time[0] > c.bars.Time[59] {
				t.Error("the entries are not in the order of their names")
			}
			// the same from a file
			name := filepath.Join(t.TempDir(), "f")
			if x.o.Name == "" {
				if err := os.WriteFile(name, x.data, 0o600); err != nil {
					t.Fatal(err)
				}
				r, err := barfile.OpenFile(name, x.o)
				if err != nil {
					t.Fatal(err)
				}
				again, err := readAll(r)
				if err != nil || again.bars.Len() != x.rows {
					t.Errorf("from a file: %v", err)
				}
				if done, total := r.Progress(); total == 0 || done > total {
					t.Errorf("progress %d of %d", done, total)
				}
			}
		})
	}
}

// TestOpenFileErrors names files and folders that cannot be read.
func TestOpenFileErrors(t *testing.T) {
	if _, err := barfile.OpenFile(filepath.Join(t.TempDir(), "none.csv"), barfile.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := barfile.OpenFile(t.TempDir(), barfile.Options{}); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Error(err)
	}
}

// TestDamaged reads files whose sizes lie. Nothing may panic, and the memory
// that they claim may not be taken.
func TestDamaged(t *testing.T) {
	parquet, err := write(walk(2000), barfile.WriteOptions{Format: barfile.Parquet}, 5000)
	if err != nil {
		t.Fatal(err)
	}
	arrow, err := write(walk(2000), barfile.WriteOptions{Format: barfile.Arrow, Compression: "zstd"}, 500)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name string
		data []byte
	}{
		{"parquet without anything", []byte("PAR1PAR1")},
		{"parquet with a footer larger than the file", append([]byte("PAR1xxxxxxxx\xff\xff\xff\x7f"), "PAR1"...)},
		{"parquet with a list of 2^31 in the footer", append([]byte("PAR1\x15\x02\x19\xfc\xff\xff\xff\xff\x07\x00\x0a\x00\x00\x00"), "PAR1"...)},
		{"parquet cut off", parquet[:len(parquet)/2]},
		{"arrow without anything", []byte("ARROW1\x00\x00ARROW1")},
		{"arrow cut off", arrow[:len(arrow)/2]},
		{"arrow stream of 2 GB metadata", []byte("\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00\x00\x00")},
		{"arrow stream cut off", []byte("\xff\xff\xff\xff")},
	} {
		t.Run(x.name, func(t *testing.T) {
			if _, err := read(x.data, barfile.Options{}); err == nil {
				t.Error("read without an error")
			} else {
				t.Log(err)
			}
		})
	}
	// every byte of a file changed in turn
	for _, whole := range [][]byte{parquet, arrow} {
		for i := 0; i < len(whole); i += 1 + i%7*8 {
			if i > 2000 && i < len(whole)-2000 {
				continue
			}
			damaged := bytes.Clone(whole)
			damaged[i] ^= 0xff
			c, err := read(damaged, barfile.Options{MaxMemory: 64 << 20})
			if err == nil && c.bars.Len() > 2000 {
				t.Errorf("byte %d: %d bars", i, c.bars.Len())
			}
		}
	}
}

// TestMemory reads a stream of many rows and looks at the memory in use, which
// may not follow.
func TestMemory(t *testing.T) {
	const rows = 2_000_000
	in, out := io.Pipe()
	go func() {
		b := day(1)
		if _, err := out.Write(b[:36]); err != nil {
			return
		}
		for range rows / 30 {
			if _, err := out.Write(b[36:]); err != nil {
				return
			}
		}
		out.Close()
	}()
	r, err := barfile.Open(in, barfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var c series.Columns
	allocated := testing.AllocsPerRun(1, func() {
		for {
			if _, err := r.Next(&c, 10000); err != nil {
				break
			}
		}
	})
	if r.Rows() < rows-30 || allocated > 2000 {
		t.Errorf("%d rows with %v allocations", r.Rows(), allocated)
	}
}
