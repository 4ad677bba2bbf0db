package api

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// askWith asks a server with headers given as name and value.
func askWith(t *testing.T, s *Server, path string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), body
}

func TestCompressed(t *testing.T) {
	s := compatServer(t)
	for _, format := range []string{"json", "columns", "csv", "ndjson", "parquet", "arrow"} {
		path := "/v1/bars?symbol=AAPL&interval=1m&format=" + format
		_, want := askWith(t, s, path)
		for _, take := range []string{"", "identity", "br", "gzip;q=0", "gzip", "zstd", "gzip, deflate, br, zstd"} {
			r, got := askWith(t, s, path, "Accept-Encoding", take)
			encoding := r.Header.Get("Content-Encoding")
			wantEncoding := ""
			if format != "parquet" && format != "arrow" {
				wantEncoding = map[string]string{"gzip": "gzip", "zstd": "zstd", "gzip, deflate, br, zstd": "zstd"}[take]
			}
			if encoding != wantEncoding {
				t.Errorf("%s for %q came in %q, want %q", format, take, encoding, wantEncoding)
			}
			switch encoding {
			case "gzip":
				z, err := gzip.NewReader(bytes.NewReader(got))
				if err != nil {
					t.Fatal(err)
				}
				if got, err = io.ReadAll(z); err != nil {
					t.Fatal(err)
				}
			case "zstd":
				z, err := zstd.NewReader(nil)
				if err != nil {
					t.Fatal(err)
				}
				defer z.Close()
				if got, err = z.DecodeAll(got, nil); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s for %q: %d bytes, want %d as without compression", format, take, len(got), len(want))
			}
			if !strings.Contains(strings.Join(r.Header.Values("Vary"), ","), "Accept-Encoding") {
				t.Errorf("%s for %q: Vary is %q", format, take, r.Header.Values("Vary"))
			}
		}
	}
	if r, _ := askWith(t, s, "/v1/bars?symbol=AAPL&interval=1m&limit=1", "Accept-Encoding", "gzip"); r.Header.Get("Content-Encoding") != "" {
		t.Error("a short answer is compressed")
	}
}

// TestCompressedEvents has a client that takes gzip read events: each arrives
// when it happens.
func TestCompressedEvents(t *testing.T) {
	s := compatServer(t)
	web := httptest.NewServer(s)
	defer web.Close()
	defer web.CloseClientConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.URL+"/v1/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "gzip")
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if e := a.Header.Get("Content-Encoding"); e != "" {
		t.Errorf("events come in %s", e)
	}
	lines := bufio.NewScanner(a.Body)
	await := func(want string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), want) {
				return
			}
		}
		t.Fatalf("no %q: %v", want, lines.Err())
	}
	await("event: hello")
	s.Publish(EventHealth, series.Key{}, map[string]string{"note": "heard"})
	await("heard")
}

// TestConditional asks for bars that the client has already, in every format.
func TestConditional(t *testing.T) {
	s := compatServer(t)
	key := series.Key{Symbol: "AAPL", Interval: series.Interval1m}
	put := func(minute int) {
		t.Helper()
		c := &series.Columns{}
		c.Append(series.NewBar(compatStart+series.Time(minute)*series.Minute, 1, 2, 0.5, 1.5, 3))
		if _, err := s.store.Write(t.Context(), key, c, storage.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	paths := map[string]string{} // to the ETag
	for _, format := range []string{"json", "columns", "csv", "ndjson", "parquet", "arrow"} {
		for _, interval := range []string{"1m", "1h"} {
			paths["/v1/bars?symbol=AAPL&interval="+interval+"&format="+format] = ""
		}
	}
	minute := 9000
	step := func(what string, wantChanged bool) {
		t.Helper()
		for path, tag := range paths {
			r, body := askWith(t, s, path, "If-None-Match", tag, "Accept-Encoding", "gzip")
			switch {
			case wantChanged && (r.StatusCode != http.StatusOK || len(body) == 0 || r.Header.Get("ETag") == tag):
				t.Errorf("%s: %s of ETag %q answered %s with %d bytes and ETag %q, want it whole", what, path, tag, r.Status, len(body), r.Header.Get("ETag"))
			case !wantChanged && (r.StatusCode != http.StatusNotModified || len(body) != 0 || r.Header.Get("ETag") != tag):
				t.Errorf("%s: %s of ETag %q answered %s with %d bytes and ETag %q, want 304", what, path, tag, r.Status, len(body), r.Header.Get("ETag"))
			}
			paths[path] = r.Header.Get("ETag")
		}
	}
	step("first", true)
	step("nothing changed", false)
	put(minute)
	step("a bar came", true)
	step("again nothing changed", false)
	if _, err := s.store.Delete(t.Context(), key, series.Span{From: compatStart + 9000*series.Minute, To: compatStart + 9001*series.Minute}); err != nil {
		t.Fatal(err)
	}
	step("the bar was deleted", true)
	for path := range paths {
		if r, _ := askWith(t, s, path+"&limit=3", "If-None-Match", paths[path]); r.StatusCode != http.StatusOK {
			t.Errorf("%s: another question has the same ETag", path)
		}
	}
}
