package wire_test

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/barkeepdb/barkeep/fetch"
	"github.com/barkeepdb/barkeep/fetch/wire"
	"github.com/barkeepdb/barkeep/series"
)

func TestWalk(t *testing.T) {
	doc, err := wire.Document([]byte("\xef\xbb\xbf {\"a\" : [1, \"x,]\\\"\", {\"b\":[ ]}, -2.5e3 ,null],\"c\":true, \"d\\u0041\":{} }\n"))
	if err != nil {
		t.Fatal(err)
	}
	var keys, items []string
	if err := wire.Object(doc, func(k string, _ []byte) error { keys = append(keys, k); return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(keys, []string{"a", "c", "dA"}) {
		t.Errorf("keys are %q", keys)
	}
	a, ok := wire.Member(doc, "a")
	if !ok {
		t.Fatal("no member a")
	}
	if err := wire.Array(a, func(v []byte) error { items = append(items, string(v)); return nil }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"1", `"x,]\""`, `{"b":[ ]}`, "-2.5e3", "null"}; !slices.Equal(items, want) {
		t.Errorf("items are %q", items)
	}
	for _, bad := range []string{"", "<html>", "{", "[1,]", "{\"a\":01}", "nul", "\"\xff\""} {
		if _, err := wire.Document([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if wire.Array([]byte("{}"), nil) == nil || wire.Object([]byte("[]"), nil) == nil || wire.Array(nil, nil) == nil {
		t.Error("another shape is taken")
	}
}

func TestNumbers(t *testing.T) {
	for text, want := range map[string]float64{
		"1": 1, `"0.1"`: 0.1, "1.029145e+06": 1029145, `"-37.63"`: -37.63, "5e-324": 5e-324, `"41926.00000000"`: 41926,
		"0.41932600000000003": 0.41932600000000003,
	} {
		if got, err := wire.Number([]byte(text)); err != nil || got != want {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", `""`, "null", "NaN", `"Infinity"`, "1e400", "0x10", "1_000", "true", "--1", `" 1"`, `"+1"`, "1,5"} {
		if x, err := wire.Number([]byte(bad)); err == nil {
			t.Errorf("%s is taken for %v", bad, x)
		}
	}
	for _, x := range []struct {
		text string
		unit wire.Unit
		want series.Time
	}{{"1588636800000", wire.Milliseconds, 1588636800000}, {`"1588636800"`, wire.Seconds, 1588636800000}, {"1603522800.0", wire.Seconds, 1603522800000}} {
		if got, err := wire.Stamp([]byte(x.text), x.unit); err != nil || got != x.want {
			t.Errorf("%s is %v, %v", x.text, got, err)
		}
	}
	for _, x := range []struct {
		text string
		unit wire.Unit
	}{{"1588636800000", wire.Seconds}, {"1588636800000000", wire.Milliseconds}, {"1588636800.5", wire.Seconds}, {"9223372036854775808", wire.Seconds}, {"null", wire.Seconds}, {`""`, wire.Seconds}} {
		if got, err := wire.Stamp([]byte(x.text), x.unit); err == nil {
			t.Errorf("%s is taken for %v", x.text, got)
		}
	}
}

func TestRows(t *testing.T) {
	l := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Quote: 7, Unit: wire.Seconds}
	p, err := l.Lists([]byte(`[[1588636800,"1","2","0.5","1.5","9","13"],[1588636860,1,2,0.5,1.5,9],[1588636920,1,2,0.5,"x",9],[1588636980,1]]`))
	if err != nil || len(p.Rows) != 2 || len(p.Refused) != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	if r := p.Rows[0]; r.Close != 1.5 || r.QuoteVolume != 13 || !math.IsNaN(r.Trades) {
		t.Errorf("row %+v", r)
	}
	if !math.IsNaN(p.Rows[1].QuoteVolume) {
		t.Error("a missing quote volume is a number")
	}
	if x := p.Refused[0]; x.Time != 1588636920000 || !strings.Contains(x.Reason, "close") || !strings.Contains(x.Raw, `"x"`) {
		t.Errorf("refusal %+v", x)
	}
	if _, err := l.Lists([]byte(`[1,2]`)); err == nil {
		t.Error("numbers are taken for rows")
	}
	o, err := l.Objects([]byte(`[{"c":1.5,"t":1588636800,"o":1,"h":2,"l":0.5,"v":9,"more":{}}]`), "t", "o", "h", "l", "c", "v", "q")
	if err != nil || len(o.Rows) != 1 || o.Rows[0].Close != 1.5 {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestStatus(t *testing.T) {
	for _, x := range []struct {
		status int
		media  string
		body   string
		want   fetch.Kind
	}{
		{200, "application/json", "[]", 0},
		{200, "text/html", "<html>", fetch.Unavailable},
		{200, "", " <!DOCTYPE html>", fetch.Unavailable},
		{403, "text/html", "<html>The Amazon CloudFront distribution is configured to block access from your country.</html>", fetch.GeoBlocked},
		{403, "text/html", "<html>Cloudflare</html>", fetch.Unavailable},
		{403, "application/json", "{}", fetch.NotEntitled},
		{401, "", "", fetch.NotEntitled},
		{429, "text/plain", "Edge: Too Many Requests", fetch.RateLimited},
		{418, "", "{}", fetch.Banned},
		{451, "", "{}", fetch.GeoBlocked},
		{404, "", "{}", fetch.UnknownSymbol},
		{400, "", "{}", fetch.BadRequest},
		{408, "", "", fetch.Unavailable},
		{500, "", "", fetch.Unavailable},
		{520, "text/html", "<html>", fetch.Unavailable},
		{302, "", "", fetch.Unavailable},
	} {
		f := wire.Status(fetch.Answer{Status: x.status, Header: http.Header{"Content-Type": {x.media}}, Body: []byte(x.body)})
		got := fetch.Kind(0)
		if f != nil {
			got = f.Kind
		}
		if got != x.want {
			t.Errorf("%d %s %q is %v, want %v", x.status, x.media, x.body, got, x.want)
		}
	}
}

// FuzzDocument walks whatever is JSON and compares with encoding/json.
func FuzzDocument(f *testing.F) {
	f.Add([]byte(`{"a":[1,"x",null,{"b":"\"}"}],"c":-1e5}`))
	f.Add([]byte(`[[1588636800,"1"],[ ]]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		doc, err := wire.Document(body)
		if err != nil {
			return
		}
		var walk func(v []byte) int
		walk = func(v []byte) int {
			n := 1
			_ = wire.Array(v, func(x []byte) error { n += walk(x); return nil })            // no array: nothing to walk
			_ = wire.Object(v, func(_ string, x []byte) error { n += walk(x); return nil }) // no object
			if !json.Valid(v) {
				t.Fatalf("%q is cut out of %q", v, doc)
			}
			return n
		}
		got := walk(doc)
		var count func(v any) int
		count = func(v any) int {
			n := 1
			switch v := v.(type) {
			case []any:
				for _, x := range v {
					n += count(x)
				}
			case map[string]any:
				for _, x := range v {
					n += count(x)
				}
			}
			return n
		}
		d := json.NewDecoder(strings.NewReader(string(doc)))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return // a depth that encoding/json does not go
		}
		if want := count(v); got < want { // a repeated key is counted once there
			t.Fatalf("%d values in %q, want %d", got, doc, want)
		}
	})
}

// BenchmarkLists reads a page of Binance: 1,000 rows of 150 bytes.
func BenchmarkLists(b *testing.B) {
	row := `[1588636800000,"8871.92000000","8888.00000000","8871.92000000","8887.62000000","47.66737000",1588636859999,"423305.63773405",617,"30.0","266000.0","0"]`
	body := []byte("[" + strings.Repeat(row+",", 999) + row + "]")
	l := wire.Layout{Time: 1, Open: 2, High: 3, Low: 4, Close: 5, Volume: 6, Quote: 8, Trades: 9, Unit: wire.Milliseconds}
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		doc, err := wire.Document(body)
		if err != nil {
			b.Fatal(err)
		}
		if p, err := l.Lists(doc); err != nil || len(p.Rows) != 1000 {
			b.Fatal(err)
		}
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
