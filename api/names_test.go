package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

func send(t *testing.T, s *Server, method, path, body string) (code int, v symbolNames, text string) {
	t.Helper()
	code, text = control(t, s, method, path, body)
	if code == http.StatusOK {
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err, text)
		}
	}
	return code, v, text
}

// TestNames: a map file becomes dated names in place of those that its sources
// had, and the days after the last session are unlisted rather than missing.
func TestNames(t *testing.T) {
	s := memoryServer(t)
	if err := s.store.SetSymbol("TFCFA", storage.Symbol{Calendar: "XNYS", TickSize: 0.01, Sources: []string{"eodhd", "tiingo=FOXA", "yahoo"}}); err != nil {
		t.Fatal(err)
	}
	key := series.Key{Symbol: "TFCFA", Interval: series.Interval1d}
	var bars series.Columns
	cal, err := s.store.Calendars().Get("XNYS")
	if err != nil {
		t.Fatal(err)
	}
	from := series.TimeOf(time.Date(2019, 3, 1, 0, 0, 0, 0, time.UTC))
	last := series.TimeOf(time.Date(2019, 3, 20, 0, 0, 0, 0, time.UTC))
	for x := range cal.Sessions(series.Span{From: from, To: last + 2*series.Day}) {
		if x.Date >= from && x.Date <= last {
			bars.Append(series.NewBar(x.Date, 1, 2, 0.5, 1.5, 10))
		}
	}
	if _, err := s.store.Write(t.Context(), key, &bars, storage.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	span := "&interval=1d&from=2019-03-01&to=2019-04-01"
	states := func() (out struct {
		States map[string]int
	},
	) {
		_, body := askWith(t, s, "/v1/coverage?symbol=TFCFA"+span)
		if err := json.Unmarshal(body, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := states().States; got["missing"] != 7 {
		t.Fatalf("%v, want 7 missing days before anything is known", got)
	}
	code, v, text := send(t, s, http.MethodPost, "/v1/names?symbol=TFCFA&source=tiingo,alpaca", "20041112,nwsa,Q\n20130628,nwsa,Q\n20190318,foxa,Q\n20190320,tfcfa,Q\n")
	if code != http.StatusOK {
		t.Fatal(text)
	}
	m, _ := s.store.Symbol("TFCFA")
	want := []string{
		"eodhd", "tiingo=NWSA@2004-11-12..2013-06-29", "tiingo=FOXA@2013-06-29..2019-03-19", "tiingo=TFCFA@2019-03-19..2019-03-21", "yahoo",
		"alpaca=NWSA@2004-11-12..2013-06-29", "alpaca=FOXA@2013-06-29..2019-03-19", "alpaca=TFCFA@2019-03-19..2019-03-21",
	}
	if !slices.Equal(m.Sources, want) || m.TickSize != 0.01 || m.Calendar != "XNYS" {
		t.Errorf("%+v\nwant %q", m, want)
	}
	if len(v.Names) != len(want) || v.Names[1].Name != "NWSA" || series.Time(*v.Names[3].To) != last+series.Day {
		t.Errorf("%s", text)
	}
	if got := states().States; got["missing"] != 0 || got["observed"] != bars.Len() || got["unlisted"] == 0 {
		t.Errorf("%v, want no missing day after the last", got)
	}
	// The last day itself is listed.
	if _, err := s.store.Delete(t.Context(), key, series.Span{From: last, To: last + series.Day}); err != nil {
		t.Fatal(err)
	}
	if got := states().States; got["missing"] != 1 {
		t.Errorf("%v, want the last session to be missing", got)
	}
	// Without sources in the query all that the symbol has get the names.
	if code, v, text = send(t, s, http.MethodPost, "/v1/names?symbol=TFCFA", "20041112,nwsa,Q\n20501231,nwsa,Q\n"); code != http.StatusOK || len(v.Names) != 4 || v.Delisted != nil {
		t.Errorf("%d %s", code, text)
	}
	// A ticker that another symbol has at that time, too.
	code, v, text = send(t, s, http.MethodPut, "/v1/names?symbol=NWSA", `{"listed":"2013-06-19","names":[{"source":"tiingo","name":"NWSA","from":"2013-06-29"},{"source":"alpaca","name":"NWSA","to":"2001-01-01"}]}`)
	if code != http.StatusOK || len(v.Shared) != 1 || v.Shared[0].Symbol != "TFCFA" || v.Shared[0].Source != "tiingo" {
		t.Errorf("%d %s", code, text)
	}
	if code, v, _ := send(t, s, http.MethodGet, "/v1/names?symbol=NWSA", ""); code != http.StatusOK || len(v.Names) != 2 || v.Listed == nil {
		t.Errorf("%d %+v", code, v)
	}
}

// TestMidnight: a date begins for bars of a day and of a minute, on both sides
// of Greenwich, before its own bars and after those of the day before.
func TestMidnight(t *testing.T) {
	for name, zone := range map[string]string{"XNYS": "America/New_York", "XTKS": "Asia/Tokyo", "XASX": "Australia/Sydney"} {
		cal, err := series.BuiltinCalendars().Get(name)
		if err != nil {
			t.Fatal(err)
		}
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		var last series.Session
		year := series.Span{From: series.TimeOf(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)), To: series.TimeOf(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))}
		for x := range cal.Sessions(year) {
			at := *midnight(&x.Date, loc)
			if at > x.Date || at > x.Open || at <= last.Date || at < last.Close {
				t.Fatalf("%s %v: %v is not between %v and %v", name, x.Date, at, last.Close, x.Open)
			}
			last = x
		}
	}
}

func TestNamesRefused(t *testing.T) {
	s := memoryServer(t)
	for _, c := range []struct{ method, path, body, want string }{
		{http.MethodGet, "/v1/names", "", "symbol is missing"},
		{http.MethodGet, "/v1/names?symbol=X", "", "no_such_series"},
		{http.MethodPost, "/v1/names?symbol=X", "20041112,nwsa,Q\n", "no sources yet"},
		{http.MethodPost, "/v1/names?symbol=X&source=a%3Db", "20041112,nwsa,Q\n20501231,nwsa,Q\n", "cannot be told apart"},
		{http.MethodPost, "/v1/names?symbol=X&source=a", "date,open\n", "no map file"},
		{http.MethodPost, "/v1/names?symbol=X&source=a", strings.Repeat("x", maxMapFile+1), "no map file"},
		{http.MethodPut, "/v1/names?symbol=X", `{"names":[{"source":"a","name":"A"},{"source":"a","name":"B","from":"2020-01-01"}]}`, "two names at one time"},
		{http.MethodPut, "/v1/names?symbol=X", `{"names":[{"source":"a","name":"A","from":"2020-01-01T12:00:00Z"}]}`, "is not a date"},
		{http.MethodPut, "/v1/names?symbol=X", `{"names":[{"source":"a","name":"A","from":"2020-01-02","to":"2020-01-01"}]}`, "ends before"},
		{http.MethodPut, "/v1/names?symbol=X", `{"names":[{"name":"A"}]}`, "source is missing"},
		{http.MethodPut, "/v1/names?symbol=X", `{"listed":"2020-01-02","delisted":"2020-01-02"}`, "not after"},
		{http.MethodPut, "/v1/names?symbol=X", `{"name":[]}`, "unknown field"},
	} {
		if code, text := control(t, s, c.method, c.path, c.body); code/100 != 4 || !strings.Contains(text, c.want) {
			t.Errorf("%s %s %.80s: %d %s, want %q", c.method, c.path, c.body, code, text, c.want)
		}
	}
	if _, known := s.store.Symbol("X"); known {
		t.Error("a refused change left a symbol")
	}
}
