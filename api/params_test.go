package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/barkeepdb/barkeep/series"
)

type columnsAnswer struct {
	Columns struct {
		Time  []series.Time
		Close []float64
	}
	Next string
}

func decodeColumns(t testing.TB, body []byte) (v columnsAnswer) {
	t.Helper()
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return v
}

// FuzzQuery: whatever the query string, the answer is one of ours and never
// a fault of ours.
func FuzzQuery(f *testing.F) {
	srv, s := newServer(f)
	corpus(f, s, series.Key{Symbol: "X", Interval: series.Interval1m}, 50)
	for _, q := range []string{
		"symbol=X&interval=1m", "symbol=X&interval=1h&fill=linear&order=desc&limit=3", "symbol=X&interval=1m&from=2024-01-01T00:00:00+02:00",
		"symbol=X&interval=1M&cursor=MWExNzA0MDk5NzIwMDAw", "symbol=X&interval=1m&columns=close,kind&format=columns", "symbol=X&interval=5m&to=99999999999999999",
		"symbol=X&interval=1m&format=csv&from=-62135596800&fill=prev", "a=%zz", "symbol=X&interval=1m&symbol=Y", ";",
	} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, q string) {
		for _, path := range []string{"/v1/bars", "/v1/gaps", "/v1/coverage"} {
			r := httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil)
			r.URL = &url.URL{Path: path, RawQuery: q}
			w := httptest.NewRecorder()
			srv.ServeHTTP(w, r)
			if w.Code >= 500 && w.Code != http.StatusNotImplemented {
				t.Errorf("%s?%s: %d %s", path, q, w.Code, w.Body)
			}
			if w.Body.Len() == 0 && w.Header().Get("Content-Type") != "application/x-ndjson" {
				t.Errorf("%s?%s: %d without a body", path, q, w.Code)
			}
		}
	})
}
