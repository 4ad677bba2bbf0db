package api_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
	"github.com/barkeepdb/barkeep/storage"
)

// corpus writes bars with holes, with prices that need every bit, and returns
// those that are stored.
func corpus(t testing.TB, s *storage.Store, key series.Key, n int) *series.Columns {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	g := series.Grid{Interval: key.Interval}
	first := g.SlotAt(1704067200000)
	var c series.Columns
	for i := range n {
		if i > 0 && i < n-1 && rng.IntN(100) < 3 {
			continue
		}
		p := 100 * math.Exp(rng.NormFloat64())
		c.Append(series.Bar{
			Time: g.Time(first + series.Slot(i)), Open: p, High: p * 1.1, Low: p / 1.1, Close: p * 1.01,
			Volume: rng.Float64() * 1e6, QuoteVolume: rng.Float64() * 1e9, Trades: float64(rng.IntN(1000)),
		})
	}
	if _, err := s.Write(context.Background(), key, &c, storage.WriteOptions{Source: "corpus"}); err != nil {
		t.Fatal(err)
	}
	return &c
}

func get(t testing.TB, srv *api.Server, path string) []byte {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil)
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.Bytes()
}

// readAll reads every bar of an answer with the importer.
func readAll(t testing.TB, body []byte, interval series.Interval) *series.Columns {
	t.Helper()
	rd, err := barfile.Open(bytes.NewReader(body), barfile.Options{Interval: interval})
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close() // it was only read
	var all, c series.Columns
	for {
		rejected, err := rd.Next(&c, 0)
		if err != nil {
			return &all
		}
		if len(rejected) > 0 {
			t.Fatalf("rejected %v", rejected)
		}
		for i := range c.Len() {
			all.Append(c.Bar(i))
		}
	}
}

func same(t testing.TB, got, want *series.Columns) {
	t.Helper()
	if got.Len() != want.Len() {
		t.Fatalf("%d bars, want %d", got.Len(), want.Len())
	}
	for i := range want.Len() {
		g, w := got.Bar(i), want.Bar(i)
		g.Prov, w.Prov = 0, 0
		if g != w {
			t.Fatalf("bar %d is %+v, want %+v", i, g, w)
		}
	}
}

// TestFormats: every format gives back what was written, bit for bit.
func TestFormats(t *testing.T) {
	srv, s := newServer(t)
	key := series.Key{Symbol: "X/Y", Interval: series.Interval1m}
	want := corpus(t, s, key, 20_000)
	for _, f := range []string{"json", "columns", "csv", "ndjson", "parquet", "arrow"} {
		t.Run(f, func(t *testing.T) {
			same(t, readAll(t, get(t, srv, "/v1/bars?symbol=X/Y&interval=1m&format="+f), key.Interval), want)
		})
	}
}

// TestFormatsComeBack: what one server answers, another takes.
func TestFormatsComeBack(t *testing.T) {
	srv, s := newServer(t)
	key := series.Key{Symbol: "X", Interval: series.Interval1m}
	want := corpus(t, s, key, 3000)
	for _, f := range []string{"json", "csv", "ndjson", "parquet", "arrow"} {
		body := get(t, srv, "/v1/bars?symbol=X&interval=1m&format="+f)
		r := httptest.NewRequest(http.MethodPost, "http://localhost/v1/bars?symbol=X"+f+"&interval=1m", bytes.NewReader(body))
		format, err := barfile.ParseFormat(f)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", format.ContentType())
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", f, w.Code, w.Body)
		}
		same(t, readAll(t, get(t, srv, "/v1/bars?format=csv&interval=1m&symbol=X"+f), key.Interval), want)
	}
}

// TestPages: pages, in either order, are the whole, whatever their size.
func TestPages(t *testing.T) {
	srv, s := newServer(t)
	key := series.Key{Symbol: "X", Interval: series.Interval1m}
	corpus(t, s, key, 5000)
	for _, q := range []string{"interval=1m", "interval=1m&fill=linear", "interval=15m", "interval=15m&fill=prev"} {
		for _, order := range []string{"asc", "desc"} {
			base := "/v1/bars?symbol=X&" + q + "&order=" + order
			want := readAll(t, get(t, srv, base+"&format=csv"), 0)
			var got series.Columns
			for cursor, n := "", 0; n == 0 || cursor != ""; n++ {
				path := base + "&format=columns&limit=700"
				if cursor != "" {
					path += "&cursor=" + url.QueryEscape(cursor)
				}
				page := decodeColumns(t, get(t, srv, path))
				for i, at := range page.Columns.Time {
					got.Append(series.Bar{Time: at, Close: page.Columns.Close[i]})
				}
				cursor = page.Next
			}
			if got.Len() != want.Len() {
				t.Fatalf("%s: %d bars in pages, %d in one", base, got.Len(), want.Len())
			}
			for i := range got.Len() {
				if got.Time[i] != want.Time[i] || got.Close[i] != want.Close[i] {
					t.Fatalf("%s: bar %d is %v %v in pages, %v %v in one", base, i, got.Time[i], got.Close[i], want.Time[i], want.Close[i])
				}
			}
		}
	}
}

// TestFillIsComplete: a filled answer has every slot once, in order, and each
// bar that is stored as it is stored.
func TestFillIsComplete(t *testing.T) {
	srv, s := newServer(t)
	key := series.Key{Symbol: "X", Interval: series.Interval1m}
	const n = 9000
	stored := corpus(t, s, key, n)
	at := map[series.Time]float64{}
	for i := range stored.Len() {
		at[stored.Time[i]] = stored.Close[i]
	}
	got := readAll(t, get(t, srv, "/v1/bars?symbol=X&interval=1m&fill=linear&format=csv"), key.Interval)
	if got.Len() != n {
		t.Fatalf("%d bars, want %d", got.Len(), n)
	}
	for i := range n {
		b := got.Bar(i)
		if want := stored.Time[0] + series.Time(i)*series.Minute; b.Time != want {
			t.Fatalf("bar %d is at %v, want %v", i, b.Time, want)
		}
		if v, ok := at[b.Time]; ok && v != b.Close {
			t.Fatalf("the stored bar at %v has close %v, want %v", b.Time, b.Close, v)
		}
		if b.Low > min(b.Open, b.Close) || b.High < max(b.Open, b.Close) {
			t.Fatalf("bar %+v leaves its range", b)
		}
	}
}

// TestBodyTooLarge: a body over the limit is refused with its own status, and
// says what to do.
func TestBodyTooLarge(t *testing.T) {
	srv, _ := newServer(t)
	var b bytes.Buffer
	fmt.Fprintln(&b, "time,open,high,low,close,volume")
	for i := range 50_000 {
		fmt.Fprintf(&b, "%d,1,2,0.5,1.5,10\n", 1704067200000+i*60000)
	}
	r := httptest.NewRequest(http.MethodPost, "http://localhost/v1/bars?symbol=X&interval=1m", &b)
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, r)
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}
