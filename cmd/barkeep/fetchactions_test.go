package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/barkeepdb/barkeep/api"
	"github.com/barkeepdb/barkeep/series"
)

// TestFetchActions: splits and dividends that come with the bars of a vendor are
// written as its own, in the money of their time, and what two sources disagree
// about is said.
func TestFetchActions(t *testing.T) {
	odd := ""
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if !strings.HasPrefix(r.URL.Path, "/v8/finance/chart/AAPL") {
			fmt.Fprint(w, `{"chart":{"result":[{"meta":{}}],"error":null}}`)
			return
		}
		// 2020-08-07, -28, -31 and 2020-11-06 at the open of New York; and a fund's
		// gain beside a dividend. Prices and amounts are freed of the split.
		fmt.Fprintf(w, `{"chart":{"result":[{"meta":{"currency":"USD","exchangeTimezoneName":"America/New_York"},
			"timestamp":[1596807000,1598621400,1598880600,1604673000],
			"events":{"dividends":{"1596807000":{"amount":0.205,"date":1596807000},"1604673000":{"amount":0.2,"date":1604673000,"currency":"USD"}},
				"capitalGains":{"1604673000":{"amount":0.005,"date":1604673000}},
				"splits":{"1598880600":{"date":1598880600,"numerator":4,"denominator":1,"splitRatio":"4:1"}%s}},
			"indicators":{"quote":[{"open":[113,126,127,118],"high":[114,127,131,119],"low":[110,124,126,116],"close":[111,124.8,129,118.7],"volume":[1,2,3,4]}]}}],"error":null}}`, odd)
	}))
	defer web.Close()
	data := filepath.Join(t.TempDir(), "data")
	endpoint := "yahoo=" + web.URL
	code, out, errs := run(t, "", "fetch", "--provider", "yahoo", "--endpoint", endpoint, "--symbol", "AAPL", "--interval", "1d", "--from", "2020-08-01", "--to", "2020-12-01", "--store", "--data", data)
	if !strings.Contains(errs, "3 splits and dividends of yahoo") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	known := func() map[string]series.Action {
		t.Helper()
		code, out, errs := run(t, "", "actions", "--data", data, "--output", "json")
		var v struct{ Actions []api.CompanyAction }
		if err := json.Unmarshal([]byte(out), &v); err != nil || code != exitDone {
			t.Fatal(err, out, errs)
		}
		m := map[string]series.Action{}
		for _, x := range v.Actions {
			m[x.Source+" "+x.Kind.String()+" "+x.Ex.Std().Format("2006-01-02")] = x.Action
		}
		return m
	}
	got := known()
	if len(got) != 3 || got["yahoo split 2020-08-31"].Ratio != 4 ||
		!near(got["yahoo dividend 2020-08-07"].Amount, 0.82) || !near(got["yahoo dividend 2020-11-06"].Amount, 0.205) || got["yahoo dividend 2020-11-06"].Currency != "" {
		t.Errorf("%+v", got)
	}
	// Raw bars of somebody else, with the actions of this vendor.
	code, out, errs = run(t, "", "actions", "fetch", "--provider", "yahoo=AAPL", "--endpoint", endpoint, "--symbol", "RAW", "--from", "2020-08-01", "--data", data)
	if code != exitDone || !strings.Contains(out, "wrote 3 actions of RAW") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	// Another source says something else.
	if code, _, errs = run(t, "", "actions", "add", "--symbol", "AAPL", "--source", "hand", "--ex", "2020-08-31", "--split", "5", "--data", data); code != exitDone {
		t.Fatal(errs)
	}
	_, _, errs = run(t, "", "fetch", "--provider", "yahoo", "--endpoint", endpoint, "--symbol", "AAPL", "--interval", "1d", "--from", "2020-08-01", "--to", "2020-12-01", "--store", "--data", data)
	if !strings.Contains(errs, "different things of AAPL on 2020-08-31") {
		t.Error(errs)
	}
	// What cannot be read spoils the actions, and no bars.
	odd = `,"1604673000":{"date":1604673000,"numerator":"x","denominator":1}`
	_, out, errs = run(t, "", "fetch", "--provider", "yahoo", "--endpoint", endpoint, "--symbol", "AAPL", "--interval", "1d", "--from", "2020-08-01", "--to", "2020-12-01", "--store", "--data", data)
	if !strings.Contains(errs, "are not known") || !strings.Contains(out, "4 were there") {
		t.Error(out, errs)
	}
	code, _, errs = run(t, "", "actions", "fetch", "--provider", "stooq", "--endpoint", "stooq="+web.URL, "--symbol", "RAW", "--from", "2020-08-01", "--data", data)
	if code != exitFailed || !strings.Contains(errs, "carry no splits") {
		t.Errorf("exit %d %s", code, errs)
	}
}

func near(a, b float64) bool { return a-b < 1e-12 && b-a < 1e-12 }
