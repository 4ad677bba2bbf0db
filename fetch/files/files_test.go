package files

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		name, symbol string
		ok           bool
		interval     string
	}{
		{"BTCUSDT-1m-2024-01.zip", "BTCUSDT", true, "1m"},
		{"BTCUSDT-1m-2024-01.zip", "BTC/USDT", true, "1m"},
		{"BTC_USDT-1m.feather", "BTC/USDT", true, "1m"},
		{"BTC_USDT-1M.feather", "BTC/USDT", true, "1M"},
		{"BTC_USDT-1m.feather", "BTC", false, ""},
		{"BTC_USDT-1m.feather", "USDT", false, ""},
		{"4ART_BTC-1m.json", "ART/BTC", false, ""},
		{"4ART_BTC-1m.json", "4ART/BTC", true, "1m"},
		{"BTCUSDT_PERP-1m.csv", "BTCUSDT", true, "1m"},
		{"BTCUSDTX-1m.csv", "BTCUSDT", false, ""},
		{"spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-01.zip", "BTCUSDT", true, "1h"},
		{"1d/AAPL.csv", "AAPL", true, "1d"},
		{"AAPL/2024-01-02.csv.gz", "AAPL", true, ""},
		{"AAPL/1m/2024-01-02.csv.gz", "AAPL", true, "1m"},
		{"Coinbase_BTCUSD_d.csv", "BTC/USD", true, "1d"},
		{"AAPL.csv", "AAPL", true, ""},
		{"AAPL.csv", "AAP", false, ""},
		{"AAPL.md", "AAPL", false, ""},
		{"AAPL", "AAPL", false, ""},
		{"aapl.us.txt", "AAPL.US", true, ""},
		{"a/b.csv", "a/b.csv", true, ""},
		{"a/b.csv", "a/*.csv", true, ""},
		{"a/c/b.csv", "a/*.csv", false, ""},
		{"BTCUSDT-1m-2024-01.zip", "*-1m-*.zip", true, "1m"},
	} {
		got, ok := match(c.name, c.symbol)
		if ok != c.ok || ok && c.interval != "" && got.interval.String() != c.interval || ok && c.interval == "" && got.interval != 0 {
			t.Errorf("%s for %s: %v %v, want %v %s", c.name, c.symbol, ok, got.interval, c.ok, c.interval)
		}
	}
	month, _ := match("BTCUSDT-1m-2024-02.zip", "BTCUSDT")
	if want := (series.Span{From: 1706659200000, To: 1709337600000}); month.span != want {
		t.Errorf("the month is %v, want %v", month.span, want)
	}
}

// minutes are n bars from a time on.
func minutes(from series.Time, n int) *series.Columns {
	c := &series.Columns{}
	for i := range n {
		p := 100 + float64((int(from/series.Minute)+i*7919)%997)/7
		c.Append(series.NewBar(from+series.Time(i)*series.Minute, p, p+1.25, p-0.5, p+0.1, float64(i%13)+0.5))
	}
	return c
}

// put writes bars into a file of the folder, old enough to be read.
func put(t testing.TB, dir, name string, c *series.Columns) {
	t.Helper()
	var body bytes.Buffer
	format := barfile.CSV
	switch {
	case strings.HasSuffix(name, ".parquet"):
		format = barfile.Parquet
	case strings.HasSuffix(name, ".feather"):
		format = barfile.Arrow
	}
	w, err := barfile.NewWriter(&body, barfile.WriteOptions{Format: format, Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Write(c), w.Close()); err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(name, ".zip") {
		var packed bytes.Buffer
		z := zip.NewWriter(&packed)
		in, err := z.Create(strings.TrimSuffix(filepath.Base(name), ".zip") + ".csv")
		if err != nil {
			t.Fatal(err)
		}
		_, err = in.Write(body.Bytes())
		if err := errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
		body = packed
	}
	putBytes(t, dir, name, body.Bytes())
}

func putBytes(t testing.TB, dir, name string, b []byte) {
	t.Helper()
	full := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o750); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := errors.Join(os.WriteFile(full, b, 0o600), os.Chtimes(full, old, old)); err != nil {
		t.Fatal(err)
	}
}

// library is a pool over one folder.
type library struct {
	*fetch.Pool
	transport *Transport
	log       strings.Builder
	dir       string
}

func open(t testing.TB, dir string) *library {
	t.Helper()
	l := &library{dir: dir}
	l.transport = NewTransport(slog.New(slog.NewTextHandler(&l.log, nil)))
	web := fetch.NewTransport(fetch.TransportOptions{})
	web.RegisterProtocol("file", l.transport)
	var err error
	if l.Pool, err = fetch.New(fetch.Options{Transport: web, Endpoints: []fetch.Endpoint{{Name: "shelf", URL: "file://" + filepath.ToSlash(dir), Provider: Provider("shelf", "")}}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) }) // nothing is under way
	return l
}

// again makes the next question look at the folder.
func (l *library) again() {
	for _, f := range l.transport.folders {
		f.scanned = time.Time{}
	}
}

func (l *library) ask(t testing.TB, symbol string, interval series.Interval, span series.Span) (*series.Columns, *fetch.Report, error) {
	t.Helper()
	all := &series.Columns{}
	report, err := l.Bars(t.Context(), fetch.Ask{Sources: []fetch.Source{{Provider: "shelf", Symbol: symbol}}, Interval: interval, Span: span, Patience: -1}, func(b fetch.Batch) error {
		for i := range b.Bars.Time {
			all.Append(b.Bars.Bar(i))
		}
		if b.Provider != "shelf" {
			t.Errorf("bars of %s", b.Provider)
		}
		return nil
	})
	return all, report, err
}

func same(t testing.TB, got, want *series.Columns) {
	t.Helper()
	if got.Len() != want.Len() {
		t.Fatalf("%d bars, want %d", got.Len(), want.Len())
	}
	for i := range want.Time {
		if g, w := got.Bar(i), want.Bar(i); g.Time != w.Time || g.Open != w.Open || g.High != w.High || g.Low != w.Low || g.Close != w.Close || g.Volume != w.Volume {
			t.Fatalf("bar %d is %v, want %v", i, g, w)
		}
	}
}

const january = series.Time(1704067200000)

// TestFolder reads one series out of files of four kinds and two folders, bit for
// bit, beside other series, and what is missing among them says nothing.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	all := minutes(january, 5*1440)
	day := func(i int) *series.Columns {
		c := &series.Columns{}
		for k := i * 1440; k < (i+1)*1440; k++ {
			c.Append(all.Bar(k))
		}
		return c
	}
	put(t, dir, "BTCUSDT-1m-2024-01-01.zip", day(0))
	put(t, dir, "klines/BTCUSDT/1m/2024-01-02.csv", day(1))
	put(t, dir, "BTC_USDT-1m-2024-01-04.parquet", day(3))
	put(t, dir, "BTC_USDT-1m-2024-01-05.feather", day(4))
	put(t, dir, "ETHUSDT-1m-2024-01-01.zip", minutes(january, 10))
	put(t, dir, "BTCUSDT-1h.csv", minutes(january, 0))
	putBytes(t, dir, "BTCUSDT-1m.md", []byte("not bars"))
	l := open(t, dir)
	span := series.Span{From: january, To: january + 5*series.Day}
	got, report, err := l.ask(t, "BTC/USDT", series.Interval1m, span)
	if err != nil {
		t.Fatal(err)
	}
	want := day(0)
	for _, c := range []*series.Columns{day(1), day(3), day(4)} {
		for i := range c.Time {
			want.Append(c.Bar(i))
		}
	}
	same(t, got, want)
	if len(report.Empty) != 0 || len(report.Silent) != 1 || report.Silent[0] != (series.Span{From: january + 2*series.Day, To: january + 3*series.Day}) {
		t.Errorf("empty %v, silent %v: a day that no file has is not one without trades", report.Empty, report.Silent)
	}

	put(t, dir, "BTCUSDT-1m-2024-01-03.csv", day(2))
	l.again()
	got, _, err = l.ask(t, "BTC/USDT", series.Interval1m, span)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, all)

	if _, _, err = l.ask(t, "NOPE", series.Interval1m, span); kindOf(err) != fetch.UnknownSymbol {
		t.Errorf("a symbol without a file: %v", err)
	}
}

func kindOf(err error) fetch.Kind {
	u, ok := errors.AsType[*fetch.UnansweredError](err)
	if !ok {
		return 0
	}
	return u.Kind()
}

// TestWrongFiles: a file that is not what its sidecar or its name says is refused
// with every question that it may be the answer to, once in the log, and its
// neighbours go on.
func TestWrongFiles(t *testing.T) {
	dir := t.TempDir()
	for i := range 3 {
		put(t, dir, fmt.Sprintf("X-1m-2024-01-%02d.zip", i+1), minutes(january+series.Time(i)*series.Day, 1440))
	}
	sum := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x  %s\n", sha256.Sum256(b), name)
	}
	for i, wrong := range []bool{false, true, false} {
		name := fmt.Sprintf("X-1m-2024-01-%02d.zip", i+1)
		line := sum(name)
		if wrong {
			line = strings.Repeat("0", 64) + line[64:]
		}
		putBytes(t, dir, name+".CHECKSUM", []byte(line))
	}
	putBytes(t, dir, "HTML-1m.csv", []byte("<!doctype html><html><body>gone</body></html>"))
	put(t, dir, "HOUR-1h.csv", minutes(january, 100))
	putBytes(t, dir, "CUT-1m.zip", []byte("PK\x03\x04 and so on"))
	l := open(t, dir)
	day := func(i int) series.Span {
		return series.Span{From: january + series.Time(i)*series.Day + series.Hour, To: january + series.Time(i)*series.Day + 2*series.Hour}
	}
	for range 3 {
		_, _, err := l.ask(t, "X", series.Interval1m, series.Span{From: january, To: january + 3*series.Day})
		if err == nil || !strings.Contains(err.Error(), "X-1m-2024-01-02.zip: its SHA-256 is") || kindOf(err) != fetch.BadRequest {
			t.Fatalf("a file with another sum: %v", err)
		}
	}
	if n := strings.Count(l.log.String(), "is refused"); n != 1 {
		t.Errorf("it is named %d times in the log:\n%s", n, l.log.String())
	}
	for _, c := range []struct{ symbol, interval, want string }{
		{"HTML", "1m", "HTML-1m.csv"}, {"HOUR", "1h", "its rows are of 1m"}, {"CUT", "1m", "CUT-1m.zip"},
	} {
		i, err := series.ParseInterval(c.interval)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := l.ask(t, c.symbol, i, day(0)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.symbol, err, c.want)
		}
	}
	// It was mended.
	putBytes(t, dir, "X-1m-2024-01-02.zip.CHECKSUM", []byte(sum("X-1m-2024-01-02.zip")))
	later := time.Now().Add(-time.Minute)
	if err := os.Chtimes(filepath.Join(dir, "X-1m-2024-01-02.zip"), later, later); err != nil {
		t.Fatal(err)
	}
	l.again()
	got, _, err := l.ask(t, "X", series.Interval1m, series.Span{From: january, To: january + 3*series.Day})
	if err != nil || got.Len() != 3*1440 {
		t.Errorf("%d bars, %v", got.Len(), err)
	}
}

// TestOutside: a link out of the folder is not followed, and the root of the disk
// is no folder.
func TestOutside(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	put(t, other, "X-1m.csv", minutes(january, 10))
	if err := os.Symlink(filepath.Join(other, "X-1m.csv"), filepath.Join(dir, "X-1m.csv")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, filepath.Join(dir, "in")); err != nil {
		t.Fatal(err)
	}
	l := open(t, dir)
	for _, symbol := range []string{"X", "in/X-1m.csv", "../" + filepath.Base(other) + "/X-1m.csv"} {
		if got, _, err := l.ask(t, symbol, series.Interval1m, series.Span{From: january, To: january + series.Hour}); err == nil {
			t.Errorf("%s: %d bars", symbol, got.Len())
		}
	}
}

// FuzzFile puts any bytes into a file and its sidecar.
func FuzzFile(f *testing.F) {
	f.Add([]byte("time,open,high,low,close,volume\n1704067200000,1,2,0.5,1.5,3\n"), []byte(""))
	f.Add([]byte("PK\x03\x04"), []byte("00  X-1m.csv"))
	f.Fuzz(func(t *testing.T, body, sum []byte) {
		dir, err := os.MkdirTemp("", "files") // t.TempDir may have a # in it
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir) // of the system's temporary directory
		putBytes(t, dir, "X-1m.csv", body)
		if len(sum) > 0 {
			putBytes(t, dir, "X-1m.csv.sha256", sum)
		}
		got, _, err := open(t, dir).ask(t, "X", series.Interval1m, series.Span{From: january, To: january + series.Hour})
		if err == nil && got.Len() > 60 {
			t.Fatalf("%d bars in an hour", got.Len())
		}
	})
}
