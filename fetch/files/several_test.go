package files

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/barkeepdb/barkeep/series"
)

// csvOf writes bars as text, with a ticker in front where one is given.
func csvOf(c *series.Columns, ticker string) string {
	var b strings.Builder
	for i := range c.Time {
		x := c.Bar(i)
		if ticker != "" {
			b.WriteString(ticker + ",")
		}
		fmt.Fprintf(&b, "%d,%v,%v,%v,%v,%v\n", int64(x.Time), x.Open, x.High, x.Low, x.Close, x.Volume)
	}
	return b.String()
}

const head = "time,open,high,low,close,volume\n"

// pack makes a zip or a tar of texts by name.
func pack(t *testing.T, kind string, names []string, texts map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	var err error
	if kind == "zip" {
		z := zip.NewWriter(&b)
		for _, n := range names {
			w, wrong := z.Create(n)
			if wrong == nil {
				_, wrong = io.WriteString(w, texts[n])
			}
			err = errors.Join(err, wrong)
		}
		err = errors.Join(err, z.Close())
	} else {
		z := tar.NewWriter(&b)
		for _, n := range names {
			err = errors.Join(err, z.WriteHeader(&tar.Header{Name: n, Mode: 0o600, Size: int64(len(texts[n]))}))
			_, wrong := io.WriteString(z, texts[n])
			err = errors.Join(err, wrong)
		}
		err = errors.Join(err, z.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestArchiveOfSeries reads series out of archives that hold several, whether
// their own name is that of the symbol or not, beside entries that are no bars.
func TestArchiveOfSeries(t *testing.T) {
	a, b := minutes(january, 300), minutes(january+series.Minute, 200)
	b.Open[0] += 0.01 // so that they cannot be taken for each other
	var hours series.Columns
	for i := range 100 {
		hours.Append(series.NewBar(january+series.Time(i)*series.Hour, 7, 8, 6, 7.5, 2))
	}
	names := []string{"README.txt", "x/BTCUSDT-1m.csv", "ETHUSDT-1m.csv", "ETHUSDT-1h.csv", "other/ETHUSDT-1h.csv"}
	texts := map[string]string{
		"README.txt": "no bars\n", "x/BTCUSDT-1m.csv": head + csvOf(a, ""), "ETHUSDT-1m.csv": head + csvOf(b, ""),
		"ETHUSDT-1h.csv": head + csvOf(&hours, ""), "other/ETHUSDT-1h.csv": head,
	}
	span := series.Span{From: january, To: january + 5*series.Day}
	for _, kind := range []string{"zip", "tar"} {
		dir := t.TempDir()
		putBytes(t, dir, "all."+kind, pack(t, kind, names, texts))
		putBytes(t, dir, "broken.zip", []byte("PK\x03\x04")) // of another symbol, so it does no harm
		two := []string{"1m.csv", "1h.csv"}
		putBytes(t, dir, "SOLUSDT."+kind, pack(t, kind, two, map[string]string{"1m.csv": head + csvOf(a, ""), "1h.csv": head + csvOf(&hours, "")}))
		l := open(t, dir)
		for _, c := range []struct {
			symbol   string
			interval series.Interval
			want     *series.Columns
		}{
			{"BTC/USDT", series.Interval1m, a},
			{"ETHUSDT", series.Interval1m, b},
			{"all." + kind + "/ETHUSDT-1h.csv", series.Interval1h, &hours},
			{"all/x/*.csv", series.Interval1m, a},
			{"SOL-USDT", series.Interval1m, a},
			{"SOL-USDT", series.Interval1h, &hours},
		} {
			for range 2 { // the second time out of what is kept
				got, _, err := l.ask(t, c.symbol, c.interval, span)
				if err != nil {
					t.Fatalf("%s %s %s: %v", kind, c.symbol, c.interval, err)
				}
				same(t, got, c.want)
				l.again()
			}
		}
		if _, _, err := l.ask(t, "NOPE", series.Interval1m, span); err == nil {
			t.Error("an archive has what is not in it")
		}
		if strings.Contains(l.log.String(), "refused") {
			t.Errorf("the log says %s", l.log.String())
		}
		// The archive is replaced by another.
		texts["ETHUSDT-1m.csv"] = head + csvOf(a, "")
		putBytes(t, dir, "all."+kind, append(pack(t, kind, names, texts), 0))
		l.again()
		got, _, err := l.ask(t, "ETHUSDT", series.Interval1m, span)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, a)
		texts["ETHUSDT-1m.csv"] = head + csvOf(b, "")
	}
}

// TestFileOfInstruments takes the rows of one instrument out of a file of many.
func TestFileOfInstruments(t *testing.T) {
	dir := t.TempDir()
	a, b := minutes(january, 300), minutes(january+series.Minute, 200)
	putBytes(t, dir, "market-1m.csv", []byte("ticker,"+head+csvOf(b, "MSFT")+csvOf(a, "AAPL")))
	putBytes(t, dir, "packed.zip", pack(t, "zip", []string{"m-1m.csv", "n-1h.csv"}, map[string]string{
		"m-1m.csv": "ticker," + head + csvOf(b, "MSFT") + csvOf(a, "AAPL"), "n-1h.csv": head,
	}))
	l := open(t, dir)
	span := series.Span{From: january, To: january + series.Day}
	for symbol, want := range map[string]*series.Columns{
		"market-1m.csv#ticker=AAPL": a, "market-1m.csv#ticker=MSFT": b, "*.csv#0=AAPL": a, "packed/m-1m.csv#ticker=AAPL": a,
	} {
		got, _, err := l.ask(t, symbol, series.Interval1m, span)
		if err != nil {
			t.Fatalf("%s: %v", symbol, err)
		}
		same(t, got, want)
	}
	for symbol, want := range map[string]string{"market-1m.csv": "several instruments", "market-1m.csv#tick=AAPL": "has the columns ticker"} {
		if _, _, err := l.ask(t, symbol, series.Interval1m, span); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", symbol, err, want)
		}
	}
	if got, _, err := l.ask(t, "market-1m.csv#ticker=NOPE", series.Interval1m, span); got.Len() != 0 {
		t.Errorf("%d bars of nobody, %v", got.Len(), err)
	}
}

// TestNewFile: a file that appears in the folder while it is watched is answered
// with as soon as it was looked for again and is whole, and gone when it is.
func TestNewFile(t *testing.T) {
	dir := t.TempDir()
	c := minutes(january, 100)
	synctest.Test(t, func(t *testing.T) {
		transport := NewTransport(nil)
		rows := func() int {
			t.Helper()
			u := &url.URL{Scheme: "file", Path: filepath.ToSlash(dir) + barsPath, RawQuery: url.Values{
				"symbol": {"X"}, "interval": {"1m"}, "from": {fmt.Sprint(int64(january))}, "to": {fmt.Sprint(int64(january + series.Day))},
			}.Encode()}
			resp, err := transport.RoundTrip((&http.Request{Method: http.MethodGet, URL: u}).WithContext(t.Context()))
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode == statusNone {
				return -1
			}
			var v struct{ Rows [][]any }
			if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
				t.Fatal(err)
			}
			return len(v.Rows)
		}
		if n := rows(); n != -1 {
			t.Fatalf("%d rows of an empty folder", n)
		}
		write := func(n int) {
			t.Helper()
			part := &series.Columns{}
			for i := range n {
				part.Append(c.Bar(i))
			}
			putFresh(t, dir, "X-1m.csv", head+csvOf(part, ""))
		}
		write(60)
		<-time.After(rescan + settled)
		if n := rows(); n != 60 {
			t.Errorf("%d rows, want the 60 of the new file", n)
		}
		write(100)
		<-time.After(rescan - time.Second)
		if n := rows(); n != 60 {
			t.Errorf("%d rows: the folder is looked at every %v", n, rescan)
		}
		<-time.After(settled)
		if n := rows(); n != 100 {
			t.Errorf("%d rows, want the 100 that the file has now", n)
		}
	})
}

// putFresh writes a file that was changed now.
func putFresh(t *testing.T, dir, name, text string) {
	t.Helper()
	full := filepath.Join(dir, name)
	now := time.Now()
	if err := errors.Join(os.WriteFile(full, []byte(text), 0o600), os.Chtimes(full, now, now)); err != nil {
		t.Fatal(err)
	}
}

func touch(t *testing.T, full string, at time.Time) {
	t.Helper()
	if err := os.Chtimes(full, at, at); err != nil {
		t.Fatal(err)
	}
}
