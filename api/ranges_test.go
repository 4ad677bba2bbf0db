package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// TestPieces reads a Parquet file as DuckDB does, size, end and beginning, while
// bars are written: the pieces are those of one file.
func TestPieces(t *testing.T) {
	s := compatServer(t)
	now := time.Now()
	s.now = func() time.Time { return now }
	const path = "/v1/bars?symbol=AAPL&interval=1m&format=parquet"
	ask := func(method, header, value string) *http.Response {
		t.Helper()
		r := httptest.NewRequest(method, "http://localhost"+path, nil)
		if header != "" {
			r.Header.Set(header, value)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Result()
	}
	body := func(r *http.Response) string {
		t.Helper()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	_, three := askWith(t, s, path+"&limit=3")
	if _, same := askWith(t, s, path+"&limit=3", "Range", "bytes=0-"); string(same) != string(three) {
		t.Errorf("3 bars are %d bytes as a whole and %d in pieces", len(three), len(same))
	}
	whole := body(ask(http.MethodGet, "", ""))
	head := ask(http.MethodHead, "", "")
	size, err := strconv.Atoi(head.Header.Get("Content-Length"))
	if err != nil || size != len(whole) || head.Header.Get("Accept-Ranges") != "bytes" || head.Header.Get("ETag") == "" {
		t.Fatal(size, len(whole), head.Header)
	}
	end := ask(http.MethodGet, "Range", "bytes=-8")
	if end.StatusCode != 206 || body(end)[4:] != "PAR1" {
		t.Fatal(end.Status)
	}
	more := &series.Columns{}
	more.Append(series.NewBar(compatStart+5000*series.Minute, 1, 2, 0.5, 1.5, 3))
	if _, err := s.store.Write(t.Context(), series.Key{Symbol: "AAPL", Interval: series.Interval1m}, more, storage.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	got := ""
	for at := 0; at < size; at += 1000 {
		got += body(ask(http.MethodGet, "Range", "bytes="+strconv.Itoa(at)+"-"+strconv.Itoa(min(at+999, size-1))))
	}
	if got != whole {
		t.Error("the pieces are not those of the file")
	}
	if r := ask(http.MethodGet, "If-None-Match", head.Header.Get("ETag")); r.StatusCode != http.StatusOK || body(r) == whole {
		t.Error("a changed answer is said not to have changed: ", r.Status)
	}
	if again := ask(http.MethodHead, "", ""); again.Header.Get("ETag") != head.Header.Get("ETag") {
		t.Error("the file changed under its reader")
	}
	if r := ask(http.MethodGet, "Range", "bytes=99999999-"); r.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		t.Error(r.Status)
	}
	now = now.Add(2 * rangesBusy)
	fresh := ask(http.MethodHead, "", "").Header.Get("ETag")
	if fresh == head.Header.Get("ETag") {
		t.Error("nobody reads the file any more, and its size is still told")
	}
	if r := ask(http.MethodGet, "If-None-Match", fresh); r.StatusCode != http.StatusNotModified {
		t.Error(r.Status)
	}
	now = now.Add(2 * rangesKeep)
	if again := ask(http.MethodHead, "", ""); again.Header.Get("ETag") == head.Header.Get("ETag") {
		t.Error("a file is kept for ever")
	}
}
