package fetchtest

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/vendors"
	"github.com/barkeepdb/barkeep/series"
)

// recording is a file <case>.expected.json beside the body of an answer.
type recording struct {
	Provider string
	Request  struct{ Method, URL, Body string }
	Response struct {
		Status  int
		Headers map[string]any
		Body    string `json:"body_file"`
	}
	Symbol   *string
	Interval *string
	Bars     [][]any                 `json:"expected_bars_ascending"`
	Error    *struct{ Class string } `json:"expected_error"`
}

// TestRecorded reads answers that vendors really gave. They are not ours to
// publish: the test looks for them in the folder that BARKEEP_RECORDED names,
// or in recorded beside the repository. Every folder there must be that of a
// provider, and every file in it one that a case names: an answer that nobody
// reads proves nothing.
func TestRecorded(t *testing.T) {
	dir := os.Getenv("BARKEEP_RECORDED")
	if dir == "" {
		found, _ := filepath.Glob("../../../*/recorded")
		if len(found) == 0 {
			t.Skip("no recorded answers: BARKEEP_RECORDED does not name a folder with them")
		}
		dir = found[0]
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		files, err := filepath.Glob(filepath.Join(dir, e.Name(), "*.expected.json"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s has no case: %v", e.Name(), err)
		}
		var read []string
		for _, f := range files {
			name := strings.TrimSuffix(filepath.Base(f), ".expected.json")
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var r recording
			if err := json.Unmarshal(text, &r); err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			read = append(read, filepath.Base(f), r.Response.Body)
			t.Run(e.Name()+"/"+name, func(t *testing.T) { replay(t, filepath.Dir(f), &r) })
			cases++
		}
		all, err := os.ReadDir(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			if !slices.Contains(read, f.Name()) {
				t.Errorf("%s/%s belongs to no case", e.Name(), f.Name())
			}
		}
	}
	if cases == 0 {
		t.Fatalf("no recorded answers in %s", dir)
	}
}

// replay reads the answer of a case in a folder.
func replay(t *testing.T, dir string, r *recording) {
	if folder := filepath.Base(dir); r.Provider != folder {
		t.Errorf("the case is of %s, and lies among those of %s", r.Provider, folder)
	}
	p := vendors.ByName(r.Provider)
	if p == nil {
		t.Fatalf("%s is not among the providers", r.Provider)
	}
	body, err := os.ReadFile(filepath.Join(dir, r.Response.Body))
	if err != nil {
		t.Fatal(err)
	}
	a := fetch.Answer{Status: r.Response.Status, Header: http.Header{}, Body: body}
	for k, v := range r.Response.Headers {
		if s, ok := v.(string); ok {
			a.Header.Set(k, s)
		}
	}
	page, err := p.Page(r.query(t), a)
	if r.Error != nil {
		var e *fetch.Error
		if !errors.As(err, &e) || e.Kind.String() != r.Error.Class {
			t.Fatalf("the error is %v, want %s", err, r.Error.Class)
		}
		if e.Provider != r.Provider {
			t.Errorf("the error names %q", e.Provider)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Refused) > 0 {
		t.Errorf("%d rows refused, the first: %+v", len(page.Refused), page.Refused[0])
	}
	compare(t, page.Rows, r.Bars)
}

// query is what the recorded request asked, as far as the file says.
func (r *recording) query(t *testing.T) fetch.Query {
	t.Helper()
	q := fetch.Query{Span: series.Span{From: series.MinTime, To: series.MaxTime}}
	if r.Symbol != nil {
		q.Symbol = *r.Symbol
	}
	if u, err := url.Parse(r.Request.URL); err == nil && q.Symbol == "" {
		for _, key := range []string{"instId", "symbol", "pair", "currency_pair"} {
			if v := u.Query().Get(key); v != "" {
				q.Symbol = v
			}
		}
	}
	if r.Interval != nil {
		i, err := series.ParseInterval(*r.Interval)
		if err != nil {
			t.Fatal(err)
		}
		q.Interval = i
	}
	return q
}

// compare compares rows in order of time, the first of two with one time, with
// the expected ones; null stands for what the vendor does not say.
func compare(t *testing.T, rows []fetch.Row, want [][]any) {
	t.Helper()
	rows = slices.Clone(rows)
	slices.SortStableFunc(rows, func(a, b fetch.Row) int { return int(a.Time - b.Time) })
	rows = slices.CompactFunc(rows, func(a, b fetch.Row) bool { return a.Time == b.Time })
	if len(rows) != len(want) {
		t.Errorf("%d rows, want %d", len(rows), len(want))
	}
	bad := 0
	for i := range min(len(rows), len(want)) {
		r, w := rows[i], want[i]
		got := []float64{float64(r.Time), r.Open, r.High, r.Low, r.Close, r.Volume, r.QuoteVolume, r.Trades, r.VWAP}
		for j, name := range []string{"time", "open", "high", "low", "close", "volume", "quote volume", "trades", "vwap"} {
			if x := number(t, w[j]); x != got[j] && !(math.IsNaN(x) && (math.IsNaN(got[j]) || j >= 6)) {
				if bad++; bad <= 5 {
					t.Errorf("row %d: %s is %v, want %v", i, name, got[j], w[j])
				}
			}
		}
		final := map[fetch.Finality]any{fetch.FinalUnsaid: nil, fetch.FinalYes: true, fetch.FinalNo: false}[r.Final]
		if final != w[9] {
			if bad++; bad <= 5 {
				t.Errorf("row %d: final is %v, want %v", i, final, w[9])
			}
		}
	}
}

// number is an expected value: decimal text, a number or null.
func number(t *testing.T, v any) float64 {
	t.Helper()
	switch v := v.(type) {
	case nil:
		return math.NaN()
	case float64:
		return v
	case string:
		x, err := strconv.ParseFloat(v, 64)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	t.Fatalf("%v is no number", v)
	return 0
}
