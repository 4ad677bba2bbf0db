package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/barkeepdb/barkeep/series"
)

// TestPreview shows files that can be read in one way, in two, and in none; what
// settles them then also settles the import.
func TestPreview(t *testing.T) {
	s := memoryServer(t)
	const us = "Day,Last,O,H,L,Vol\n3/4/2020,10,9,11,8,5\n3/5/2020,11,10,12,9,5\n3/6/2020,10,11,12,9,x\n"
	for _, c := range []struct {
		what, query, body string
		code              int
		want              string // of the answer
	}{
		{"plain", "", "time,open,high,low,close,volume\n1704067200000,1,2,0.5,1.5,3\n1704067260000,1,2,0.5,1.5,3\n1704067320000,1,2,0.5,1.5,3\n", 200, `"step":"1m"`},
		{"two readings of a date", "map=time=Day,close=Last,open=O,high=H,low=L,volume=Vol", us, 400, "time_format"},
		{"one that is settled", "time_format=mdy&map=time=Day,close=Last,open=O,high=H,low=L,volume=Vol", us, 200, `"bars":[{"time":1583280000000,"open":9,`},
		{"a row that is none", "time_format=mdy&map=time=Day,close=Last,open=O,high=H,low=L,volume=Vol", us, 200, `"rejected":[{"row":4,`},
		{"html", "", "<html><body>no</body></html>", 400, "unreadable_body"},
		{"a wrong zone", "tz=Mars/One", us, 400, `"field":"tz"`},
		{"a wrong scale", "price_scale=-1", us, 400, `"field":"price_scale"`},
		{"a wrong map", "map=time", us, 400, `"field":"map"`},
		{"scaled, stamped at the end", "price_scale=100&stamp=end&interval=1m", "time,open,high,low,close,volume\n1704067260000,100,200,50,150,3\n1704067320000,100,200,50,150,3\n", 200, `"bars":[{"time":1704067200000,"open":1,`},
	} {
		code, body := control(t, s, http.MethodPost, "/v1/imports/preview?"+c.query, c.body)
		if code != c.code || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s, want %d and %s", c.what, code, body, c.code, c.want)
		}
	}
	if infos, err := s.store.Series(); err != nil || len(infos) != 0 {
		t.Errorf("a preview wrote: %v %v", infos, err)
	}
	code, body := control(t, s, http.MethodPost, "/v1/bars?symbol=X&interval=1d&time_format=mdy&map=time=Day,close=Last,open=O,high=H,low=L,volume=Vol", us)
	var res writeResult
	if err := json.Unmarshal([]byte(body), &res); err != nil || code != http.StatusOK || res.Written != 2 || len(res.Rejected) != 1 {
		t.Errorf("the import after it: %d %s", code, body)
	}
	if b, ok, err := s.store.Latest(series.Key{Symbol: "X", Interval: series.Interval1d}); err != nil || !ok || b.Close != 11 {
		t.Errorf("%v %v %v", b, ok, err)
	}
}
