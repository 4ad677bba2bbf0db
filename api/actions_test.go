package api

import (
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/storage"
)

// adjustServer has days and hours of a share of the New York exchange around
// the 4 for 1 split of 2020-08-31 and a dividend of 2020-08-07.
func adjustServer(t *testing.T) *Server {
	t.Helper()
	s := memoryServer(t)
	if err := s.store.SetSymbol("AAPL", storage.Symbol{Calendar: "XNYS"}); err != nil {
		t.Fatal(err)
	}
	cal, err := s.store.Calendars().Get("XNYS")
	if err != nil {
		t.Fatal(err)
	}
	days, hours := &series.Columns{}, &series.Columns{}
	for x := range cal.Sessions(series.Span{From: 1596153600000, To: 1599523200000}) {
		p := 400.0
		if x.Date >= 1598832000000 { // 2020-08-31
			p = 100
		}
		days.Append(series.NewBar(x.Date, p, p+4, p-4, p, 1000))
		for k := range 2 {
			hours.Append(series.NewBar(x.Open+series.Time(k)*series.Hour, p, p+4, p-4, p, 1000))
		}
	}
	for interval, c := range map[series.Interval]*series.Columns{series.Interval1d: days, series.Interval1h: hours} {
		if _, err := s.store.Write(t.Context(), series.Key{Symbol: "AAPL", Interval: interval}, c, storage.WriteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func control(t *testing.T, s *Server, method, path, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer barkeep_test-token")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func bars(t *testing.T, s *Server, query string) (out []struct{ Time, Open, Volume float64 }, tag string) {
	t.Helper()
	r, body := askWith(t, s, "/v1/bars?symbol=AAPL&"+query)
	var v struct {
		Bars []struct{ Time, Open, Volume float64 }
	}
	if err := json.Unmarshal(body, &v); err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", query, body)
	}
	return v.Bars, r.Header.Get("ETag")
}

func TestAdjust(t *testing.T) {
	s := adjustServer(t)
	_, before := bars(t, s, "interval=1d&adjust=all")
	if code, body := control(t, s, http.MethodPost, "/v1/actions", `{"symbol":"AAPL","source":"exchange","actions":[{"kind":"split","ex":"2020-08-31","ratio":4},{"kind":"dividend","ex":"2020-08-07","amount":4}]}`); code != http.StatusOK {
		t.Fatal(body)
	}
	for _, c := range []struct {
		query  string
		open   float64 // of the first bar
		volume float64
		last   float64 // open of the last bar
	}{
		{"interval=1d", 400, 1000, 100},
		{"interval=1d&adjust=none", 400, 1000, 100},
		{"interval=1d&adjust=split", 100, 4000, 100},
		{"interval=1d&adjust=all", 99, 4000, 100},
		{"interval=1d&adjust=all&order=desc", 100, 1000, 99},
		{"interval=1h&adjust=all", 99, 4000, 100},
		{"interval=1d&adjust=all&columns=open,volume&from=2020-08-10&to=2020-08-29", 100, 4000, 100},
		{"interval=1w&adjust=split&from=2020-08-24&to=2020-09-01", 100, 20000, 100},
		{"interval=1M&adjust=all", 99, 4000, 100}, // made of days
	} {
		got, _ := bars(t, s, c.query)
		first, last := got[0], got[len(got)-1]
		if math.Abs(first.Open-c.open) > 1e-9 || first.Volume != c.volume || math.Abs(last.Open-c.last) > 1e-9 {
			t.Errorf("%s: first %+v, last %+v, want %+v", c.query, first, last, c)
		}
	}
	// The month of the split: its open is of old shares, its volume of both.
	months, _ := bars(t, s, "interval=1M&adjust=split&from=2020-08-01&to=2020-09-01")
	if len(months) != 1 || months[0].Open != 100 || months[0].Volume != 20*4000+1000 {
		t.Errorf("August is %+v", months)
	}
	if _, after := bars(t, s, "interval=1d&adjust=all"); after == before {
		t.Error("the ETag is that of before the actions were known")
	}
	r, _ := askWith(t, s, "/v1/bars?symbol=AAPL&interval=1d&adjust=split&format=csv")
	if r.Header.Get("X-Barkeep-Adjust") != "split" {
		t.Error("the answer does not say that it is adjusted")
	}
	says := func(query, want string) {
		t.Helper()
		for _, format := range []string{"json", "columns"} {
			_, body := askWith(t, s, "/v1/bars?symbol=AAPL&interval=1d&format="+format+query)
			var v struct{ Adjust string }
			if err := json.Unmarshal(body, &v); err != nil || v.Adjust != want {
				t.Errorf("%s%s says that it is adjusted so: %q, want %q", format, query, v.Adjust, want)
			}
		}
	}
	says("", "none")
	says("&adjust=split", "split")
	says("&adjust=all", "all")
	if err := s.store.SetSymbol("AAPL", storage.Symbol{Calendar: "XNYS", Adjusted: series.AdjustSplit}); err != nil {
		t.Fatal(err)
	}
	says("", "split") // stored so
	says("&adjust=split", "split")
}

// TestActionsOfThen: an answer as of a time is the one that was given then,
// whatever was written, replaced or deleted since.
func TestActionsOfThen(t *testing.T) {
	s := adjustServer(t)
	clock := time.Now().Add(time.Hour)
	s.now = func() time.Time { return clock }
	opens := map[int64]float64{} // as answered then
	asof := func(at int64) float64 {
		t.Helper()
		list, _ := bars(t, s, "interval=1d&adjust=split&asof="+strconv.FormatInt(at, 10))
		return list[0].Open
	}
	say := func(ratio string) {
		t.Helper()
		if code, text := control(t, s, http.MethodPost, "/v1/actions", `{"symbol":"AAPL","source":"exchange","actions":[{"kind":"split","ex":"2020-08-31","ratio":`+ratio+`}]}`); code != http.StatusOK {
			t.Fatal(text)
		}
	}
	remove := func() {
		t.Helper()
		list, err := s.actionsOf(t.Context(), "AAPL")
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		if code, text := control(t, s, http.MethodDelete, "/v1/actions/"+list[0].ID, ""); code != http.StatusOK {
			t.Fatal(text)
		}
	}
	for i, step := range []struct {
		do   func()
		open float64
	}{
		{func() {}, 400},
		{func() { say("2") }, 200},
		{func() { say("4") }, 100},
		{func() { say("4") }, 100},
		{remove, 400},
		{func() { say("8") }, 50},
		{remove, 400},
	} {
		step.do()
		at := clock.UnixMilli()
		opens[at] = step.open
		clock = clock.Add(time.Minute)
		now, _ := bars(t, s, "interval=1d&adjust=split")
		if now[0].Open != step.open {
			t.Fatalf("step %d: %v, want %v", i, now[0].Open, step.open)
		}
		for at, want := range opens {
			if got := asof(at); got != want {
				t.Errorf("after step %d: as of %v it is %v, and was %v", i, time.UnixMilli(at), got, want)
			}
		}
	}
	_, body := askWith(t, s, "/v1/actions?symbol=AAPL&history=true")
	var v actionsAnswer
	if err := json.Unmarshal(body, &v); err != nil || len(v.Actions) != 0 || len(v.Past) != 3 {
		t.Errorf("%s %v, want 3 that are gone", body, err)
	}
	// What is said again is as old as it was.
	if p := v.Past[1]; p.Ratio != 4 || p.Gone-p.Recorded != 2*series.Minute {
		t.Errorf("%+v", p)
	}
	_, body = askWith(t, s, "/v1/actions?asof="+strconv.FormatInt(int64(v.Past[0].Recorded), 10))
	v = actionsAnswer{}
	if err := json.Unmarshal(body, &v); err != nil || len(v.Actions) != 1 || v.Actions[0].Ratio != 2 {
		t.Errorf("%s %v", body, err)
	}
}

func TestAdjustRefuses(t *testing.T) {
	s := adjustServer(t)
	post := func(body string) (int, string) { return control(t, s, http.MethodPost, "/v1/actions", body) }
	for _, body := range []string{
		`{}`, `{"symbol":"AAPL","source":"x","actions":[]}`, `{"symbol":"AAPL","actions":[{"kind":"split","ex":"2020-08-31","ratio":4}]}`,
		`{"symbol":"AAPL","source":"a|b","actions":[{"kind":"split","ex":"2020-08-31","ratio":4}]}`,
		`{"symbol":"AAPL","source":"x","actions":[{"kind":"merger","ex":"2020-08-31","ratio":4}]}`,
		`{"symbol":"AAPL","source":"x","actions":[{"kind":"split","ex":"2020-08-31T12:00:00Z","ratio":4}]}`,
		`{"symbol":"AAPL","source":"x","actions":[{"kind":"split","ex":"2020-08-31","ratio":0}]}`,
	} {
		if code, text := post(body); code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", body, code, text)
		}
	}
	// Two sources agree, a third does not.
	for i, ratio := range []string{"4", "4", "7"} {
		if code, text := post(`{"symbol":"AAPL","source":"s` + string(rune('0'+i)) + `","actions":[{"kind":"split","ex":"2020-08-31","ratio":` + ratio + `}]}`); code != http.StatusOK {
			t.Fatal(text)
		}
		r, body := askWith(t, s, "/v1/bars?symbol=AAPL&interval=1d&limit=1&adjust=split")
		if want := map[bool]int{true: http.StatusConflict, false: http.StatusOK}[ratio == "7"]; r.StatusCode != want {
			t.Errorf("after %d sources: %s %s", i+1, r.Status, body)
		}
		if ratio == "4" && !strings.Contains(string(body), `"open":100`) {
			t.Errorf("after %d sources: %s", i+1, body)
		}
	}
	_, body := askWith(t, s, "/v1/actions?symbol=AAPL")
	var v struct {
		Actions   []CompanyAction
		Conflicts []actionConflict
	}
	if err := json.Unmarshal(body, &v); err != nil || len(v.Actions) != 3 || len(v.Conflicts) != 1 || len(v.Conflicts[0].IDs) != 3 {
		t.Fatalf("%s", body)
	}
	if code, text := control(t, s, http.MethodDelete, "/v1/actions/"+v.Actions[2].ID, ""); code != http.StatusOK {
		t.Error(text)
	}
	if code, _ := control(t, s, http.MethodDelete, "/v1/actions/"+v.Actions[2].ID, ""); code != http.StatusNotFound {
		t.Error("an action is there after it was deleted")
	}
	if r, body := askWith(t, s, "/v1/bars?symbol=AAPL&interval=1d&limit=1&adjust=split"); r.StatusCode != http.StatusOK {
		t.Errorf("%s", body)
	}
	// A dividend above the price.
	if code, text := post(`{"symbol":"AAPL","source":"s0","actions":[{"kind":"dividend","ex":"2020-08-07","amount":500}]}`); code != http.StatusOK {
		t.Fatal(text)
	}
	if r, body := askWith(t, s, "/v1/bars?symbol=AAPL&interval=1d&adjust=all"); r.StatusCode != http.StatusConflict || !strings.Contains(string(body), "not below the price") {
		t.Errorf("%s %s", r.Status, body)
	}
	// One in another currency than the prices.
	if code, text := post(`{"symbol":"AAPL","source":"s0","actions":[{"kind":"dividend","ex":"2020-08-07","amount":4,"currency":"JPY"}]}`); code != http.StatusOK {
		t.Fatal(text)
	}
	if r, body := askWith(t, s, "/v1/bars?symbol=AAPL&interval=1d&adjust=all"); r.StatusCode != http.StatusConflict || !strings.Contains(string(body), "another currency") {
		t.Errorf("%s %s", r.Status, body)
	}
	// The split of another source on another day is the same split.
	if code, text := post(`{"symbol":"AAPL","source":"late","actions":[{"kind":"split","ex":"2020-09-02","ratio":4}]}`); code != http.StatusOK {
		t.Fatal(text)
	}
	if r, body := askWith(t, s, "/v1/bars?symbol=AAPL&interval=1d&adjust=split"); r.StatusCode != http.StatusConflict || !strings.Contains(string(body), "different things") {
		t.Errorf("a split on two days: %s %s", r.Status, body)
	}
	// What is stored is adjusted already.
	if code, text := control(t, s, http.MethodPut, "/v1/symbols/AAPL", `{"calendar":"XNYS","adjusted":"split"}`); code != http.StatusOK || !strings.Contains(text, `"adjusted":"split"`) {
		t.Fatal(text)
	}
	for how, want := range map[string]int{"none": 200, "split": 200, "all": 409} {
		r, body := askWith(t, s, "/v1/bars?symbol=AAPL&interval=1d&limit=1&adjust="+how)
		if r.StatusCode != want || want == 200 && !strings.Contains(string(body), `"open":400`) {
			t.Errorf("%s of split-adjusted prices: %s %s", how, r.Status, body)
		}
	}
}
