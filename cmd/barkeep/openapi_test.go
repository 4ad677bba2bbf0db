package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/barkeepdb/barkeep/fetch/fetchtest"
	"github.com/barkeepdb/barkeep/series"
)

var requests = flag.Int("requests", 4000, "how many requests TestOpenAPI makes up")

// TestOpenAPI makes up requests out of the document of the API, right ones and
// wrong ones, and sends them with an admin's token to a server with a vendor.
// None fails inside, and each answer has a status, a media type and a body that
// the document names.
func TestOpenAPI(t *testing.T) {
	dir := t.TempDir()
	now := series.TimeOf(time.Now()) / series.Minute * series.Minute
	truth := minutesOf(3000, now)
	market := &fetchtest.Market{
		Symbol: "BTCUSDT", Bars: map[series.Interval]*series.Columns{series.Interval1m: truth},
		Now: func() series.Time { return series.TimeOf(time.Now()) },
	}
	vendor := httptest.NewServer(fetchtest.Vendor("binance-spot", market))
	defer vendor.Close()
	config := filepath.Join(dir, "barkeep.yaml")
	if err := os.WriteFile(config, []byte(fmt.Sprintf("endpoints: {crypto: [{name: v, url: %q, provider: binance-spot, allow_private: true}]}\n", vendor.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(envConfig, config)
	srv := startServer(t, filepath.Join(dir, "data"), time.Second)
	token, err := os.ReadFile(filepath.Join(srv.dir, tokenFile))
	if err != nil {
		t.Fatal(err)
	}
	f := &apiFuzz{T: t, base: srv.url, token: strings.TrimSpace(string(token)), r: rand.New(rand.NewPCG(1, 2)), schemas: map[string]*jsonschema.Schema{}, seen: map[string]map[int]int{}}
	f.learn()
	var text strings.Builder
	text.WriteString("time,open,high,low,close,volume\n")
	for i := range truth.Len() {
		if b := truth.Bar(i); i%50 > 3 {
			fmt.Fprintf(&text, "%d,%v,%v,%v,%v,%v\n", int64(b.Time), b.Open, b.High, b.Low, b.Close, b.Volume)
		}
	}
	f.seed(text.String())
	f.serverLog = srv.errs
	for i := range *requests {
		if i%500 == 499 { // much of it was deleted
			f.seed(text.String())
		}
		f.once(f.ops[f.r.IntN(len(f.ops))])
	}
	// No alert fires here, repairs are over at once, no market was shut, and the store is not empty.
	never := map[string]bool{"POST /v1/closures": true, "POST /v1/demo": true, "POST /v1/repairs/{id}/cancel": true, "POST /alerts/{id}/ack": true, "POST /alerts/{id}/silence": true, "POST /alerts/{id}/resolve": true}
	for _, op := range f.ops {
		name := op.method + " " + op.path
		ok := func() bool {
			return slices.ContainsFunc(slices.Collect(maps.Keys(f.seen[name])), func(status int) bool { return status < 400 })
		}
		if !never[name] && !strings.Contains(name, "/assets/") {
			for try := 0; !ok() && try < 500; try++ { // the dice were against it
				if try%100 == 0 {
					f.seed(text.String())
				}
				f.once(op)
			}
			if !ok() {
				t.Errorf("%s never succeeded: %v", name, f.seen[name])
			}
		}
		t.Logf("%-50s %v", name, f.seen[name])
	}
}

// operation is one operation of the document.
type operation struct {
	method, path string
	params       []parameter
	body         map[string]any // schema; nil is none
	responses    map[string]map[string]any
	at           string // JSON pointer
}

type parameter struct {
	Name, In string
	Schema   map[string]any
}

type apiFuzz struct {
	*testing.T
	base, token string
	r           *rand.Rand
	ops         []operation
	doc         *jsonschema.Compiler
	schemas     map[string]*jsonschema.Schema // by pointer
	seen        map[string]map[int]int        // by operation: how many answers by status
	serverLog   fmt.Stringer
	sane        bool     // nothing odd is in this request
	actions     []string // ids of splits and dividends
	asides      []string // ids of what lies in the quarantine
	ids         []string // of repairs, entries and so on, as answers name them
}

// learn reads the document.
func (f *apiFuzz) learn() {
	resp, body := f.send(http.MethodGet, "/openapi.json", "", nil)
	if resp.StatusCode != http.StatusOK {
		f.Fatal(resp.Status)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters  []parameter
			RequestBody *struct {
				Content map[string]struct{ Schema map[string]any }
			}
			Responses map[string]struct {
				Content map[string]any
			}
		}
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		f.Fatal(err)
	}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(doc.Paths[path])) {
			d := doc.Paths[path][method]
			op := operation{method: strings.ToUpper(method), path: path, params: d.Parameters, responses: map[string]map[string]any{}}
			op.at = "#/paths/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(path) + "/" + method + "/responses/"
			if d.RequestBody != nil {
				op.body = d.RequestBody.Content["application/json"].Schema
			}
			for status, r := range d.Responses {
				op.responses[status] = r.Content
			}
			f.ops = append(f.ops, op)
		}
	}
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		f.Fatal(err)
	}
	f.doc = jsonschema.NewCompiler()
	if err := f.doc.AddResource("openapi.json", tree); err != nil {
		f.Fatal(err)
	}
}

// seed writes bars, and says where a symbol is traded.
func (f *apiFuzz) seed(csv string) {
	for _, symbol := range []string{"BTC/USDT", "AAPL"} {
		if resp, body := f.send(http.MethodPost, "/v1/bars?symbol="+symbol+"&interval=1m", "text/csv", []byte(csv)); resp.StatusCode != http.StatusOK {
			f.Fatalf("%s %s", resp.Status, body)
		}
	}
	// A bar that says something else lies in the quarantine from here on.
	f.send(http.MethodPost, "/v1/bars?symbol=BTC/USDT&interval=1m&on_conflict=quarantine", "text/csv", []byte("time,open,high,low,close,volume\n1704067200000,1,2,0.5,1.5,3\n"))
	f.send(http.MethodPost, "/v1/bars?symbol=BTC/USDT&interval=1m&on_conflict=quarantine", "text/csv", []byte("time,open,high,low,close,volume\n1704067200000,1,3,0.5,1.5,3\n"))
	_, quarantined := f.send(http.MethodGet, "/v1/quarantine", "", nil)
	f.asides = idsIn(quarantined)
	f.send(http.MethodPost, "/v1/actions", "application/json", []byte(`{"symbol":"AAPL","source":"s","actions":[{"kind":"split","ex":"2020-08-31","ratio":4}]}`))
	_, actions := f.send(http.MethodGet, "/v1/actions", "", nil)
	f.actions = idsIn(actions)
	// And something for repairs to do, months among it.
	f.send(http.MethodPost, "/v1/bars?symbol=MONTHS&interval=1M", "text/csv", []byte("time,open,high,low,close,volume\n2024-01-01,1,2,0.5,1.5,3\n2024-03-01,1,2,0.5,1.5,3\n"))
	_, queued := f.send(http.MethodPost, "/data/repair", "application/json", []byte(`{"symbol":"BTC/USDT","interval":"1m","repair_type":"forward_fill"}`))
	f.remember(bytes.ReplaceAll(queued, []byte(`"repair_id":`), []byte(`"id":`)))
	if resp, body := f.send(http.MethodPut, "/v1/symbols/BTC/USDT", "application/json", []byte(`{"sources":["v=BTCUSDT"]}`)); resp.StatusCode != http.StatusOK {
		f.Fatalf("%s %s", resp.Status, body)
	}
}

func (f *apiFuzz) send(method, path, contentType string, body []byte) (*http.Response, []byte) {
	f.Helper()
	req, err := http.NewRequestWithContext(f.Context(), method, f.base+path, bytes.NewReader(body))
	if err != nil {
		f.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+f.token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close() // it was only read
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media == "text/event-stream" {
		return resp, nil // without end
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		f.Fatalf("%s %s: %v", method, path, err)
	}
	return resp, text
}

// once makes up a request of an operation, sends it, and looks at the answer.
func (f *apiFuzz) once(op operation) {
	f.sane = f.r.IntN(2) == 0
	path, q := op.path, url.Values{}
	for _, p := range op.params {
		switch {
		case p.In == "path":
			path = strings.Replace(path, "{"+p.Name+"}", f.inPath(op.path), 1)
		case f.sane && op.method == http.MethodDelete && (p.Name == "symbol" || p.Name == "interval"): // what POST /write makes again
			q.Set(p.Name, map[string]string{"symbol": "X", "interval": "1m"}[p.Name])
		case f.sane && (p.Name == "symbol" || p.Name == "interval" || p.Name == "at" || p.Name == "resolution"):
			q.Add(p.Name, f.text(p.Name, p.Schema))
		case f.sane && op.method == http.MethodDelete && p.Name == "all":
			q.Set("all", "true")
		case f.sane && op.method == http.MethodDelete && (p.Name == "from" || p.Name == "to"):
		case f.sane && slices.Contains([]string{"tz", "map", "price_scale", "time_format", "name", "cursor", "resample_from", "root", "size", "min_quality", "symbols"}, p.Name):
		case f.r.IntN(10) < 6 && (!f.sane || f.r.IntN(3) == 0):
			q.Add(p.Name, f.text(p.Name, p.Schema))
			if !f.sane && f.r.IntN(30) == 0 {
				q.Add(p.Name, f.text(p.Name, p.Schema))
			}
		}
	}
	if !f.sane && f.r.IntN(40) == 0 {
		q.Add(f.odd(), f.odd())
	}
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	var body []byte
	contentType := ""
	if op.method != http.MethodGet {
		body, contentType = f.body(op)
	}
	resp, text := f.send(op.method, path, contentType, body)
	key := op.method + " " + op.path
	if f.seen[key] == nil {
		f.seen[key] = map[int]int{}
	}
	f.seen[key][resp.StatusCode]++
	what := fmt.Sprintf("%s %s %.200q: %s %.300s", op.method, path, body, resp.Status, text)
	if resp.StatusCode >= 500 {
		said := f.serverLog.String()
		f.Errorf("%s\n%s", what, said[max(0, len(said)-4000):])
		f.FailNow() // the rest says the same again and again
	}
	f.fits(op, resp, text, what)
	f.remember(text)
}

// fits compares an answer with the document.
func (f *apiFuzz) fits(op operation, resp *http.Response, text []byte, what string) {
	f.Helper()
	status := strconv.Itoa(resp.StatusCode)
	content, ok := op.responses[status]
	if !ok {
		status = status[:1] + "XX"
		if content, ok = op.responses[status]; !ok {
			f.Errorf("this status is not in the document: %s", what)
			return
		}
	}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if _, any := content["*/*"]; any {
		return
	}
	if _, ok := content[media]; !ok && (media != "" || len(text) > 0) {
		f.Errorf("media type %q is not in the document: %s", media, what)
		return
	}
	if media != "application/json" {
		return
	}
	at := op.at + status + "/content/application~1json/schema"
	if f.schemas[at] == nil {
		if m, ok := content[media].(map[string]any); !ok || m["schema"] == nil {
			if !json.Valid(text) {
				f.Errorf("no JSON: %s", what)
			}
			return
		}
		s, err := f.doc.Compile("openapi.json" + at)
		if err != nil {
			f.Fatal(err)
		}
		f.schemas[at] = s
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		f.Errorf("no JSON: %v: %s", err, what)
		return
	}
	if err := f.schemas[at].Validate(v); err != nil {
		f.Errorf("%v: %s", err, what)
	}
}

// remember keeps ids, so that later requests name what is there.
func (f *apiFuzz) remember(text []byte) {
	f.ids = append(f.ids, idsIn(text)...)
	f.ids = f.ids[max(0, len(f.ids)-200):]
}

// idsIn are the ids in an answer.
func idsIn(text []byte) (out []string) {
	for part := range bytes.SplitSeq(text, []byte(`"id":`)) {
		id, _, _ := bytes.Cut(part, []byte(","))
		if s := strings.Trim(string(id), `"}`); len(s) > 0 && len(s) < 40 && s[0] != '{' {
			out = append(out, s)
		}
	}
	return out
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// odd is text that no parameter wants.
func (f *apiFuzz) odd() string {
	return pick(f.r, "", " ", "null", "-1", "0", "1e309", "NaN", "9223372036854775808", "-9223372036854775808", "\x00", "\xff\xfe", "a\nb", "../../etc/passwd",
		"<script>", "'; DROP TABLE bars; --", "日本", strings.Repeat("x", 5000), "%00", "{}", "[]", "true", "2024-13-45", "0001-01-01", "9999-12-31T23:59:59Z", "💥")
}

// text is the value of a parameter, mostly one that it may have.
func (f *apiFuzz) text(name string, schema map[string]any) string {
	if !f.sane && f.r.IntN(5) == 0 {
		return f.odd()
	}
	if words, ok := schema["enum"].([]any); ok {
		return fmt.Sprint(words[f.r.IntN(len(words))])
	}
	now := time.Now()
	switch name {
	case "symbol", "against", "query":
		if f.sane {
			return pick(f.r, "BTC/USDT", "AAPL", "MONTHS")
		}
		return pick(f.r, "BTC/USDT", "AAPL", "MONTHS", "BTCUSDT", "NOPE")
	case "interval", "resolution", "resample_from":
		if f.sane {
			return pick(f.r, "1m", "1m", "1m", "1M")
		}
		return pick(f.r, "1m", "5m", "1h", "1d", "1w", "1M", "60", "D")
	case "from", "to", "at", "asof", "startTime", "endTime":
		ms := now.Add(-time.Duration(f.r.IntN(80)) * time.Hour).UnixMilli()
		return pick(f.r, strconv.FormatInt(ms, 10), strconv.FormatInt(ms/1000, 10), time.UnixMilli(ms).UTC().Format(time.RFC3339), now.Format(time.DateOnly))
	case "limit", "countback", "size":
		return pick(f.r, "1", "2", "500", "1000", "100000")
	case "repair_type":
		return pick(f.r, "sources", "forward_fill", "corruption")
	case "role":
		return pick(f.r, "reader", "operator", "admin")
	case "order":
		return pick(f.r, "asc", "desc")
	case "rule", "severity", "actor", "source", "repair", "exchange", "type", "status":
		if f.sane {
			return ""
		}
	case "min_quality":
		return pick(f.r, "0", "0.5", "1")
	case "columns":
		return pick(f.r, "open,close", "time", "volume,kind,source")
	case "state":
		return pick(f.r, "missing", "outage", "closed", "firing")
	case "metric":
		return pick(f.r, "barkeep_store_bars", "barkeep_alerts,go_goroutines")
	case "events":
		return pick(f.r, "bar", "repair,gap")
	}
	return f.odd()
}

// inPath is a part of a path: the name of something that is there, or is not.
func (f *apiFuzz) inPath(path string) string {
	switch {
	case !f.sane && f.r.IntN(5) == 0:
		return url.PathEscape(pick(f.r, "x", "..", "%", "日本", strings.Repeat("y", 300), "-1", "a b"))
	case strings.Contains(path, "/series/"):
		return pick(f.r, "BTC/USDT/1m", "AAPL/1m", "MONTHS/1M", "AAPL/1h", "NOPE/1m")
	case strings.Contains(path, "/symbols/"):
		return pick(f.r, "BTC/USDT", "AAPL", "NOPE")
	case strings.Contains(path, "/calendars/"):
		return pick(f.r, "24x7", "XNYS", "NOPE")
	case strings.Contains(path, "/actions/") && f.sane && len(f.actions) > 0:
		return f.actions[f.r.IntN(len(f.actions))]
	case strings.Contains(path, "/quarantine/") && f.sane && len(f.asides) > 0:
		return f.asides[f.r.IntN(len(f.asides))]
	case len(f.ids) > 0:
		return url.PathEscape(f.ids[f.r.IntN(len(f.ids))])
	}
	return "1"
}

// body is the body of a request: bars, lines, or JSON, whole or not.
func (f *apiFuzz) body(op operation) (body []byte, contentType string) {
	part := f.r.IntN(12)
	if f.sane {
		part = 11
	}
	switch part {
	case 0:
		return []byte(f.odd()), pick(f.r, "application/json", "text/csv", "", "application/xml", "multipart/form-data")
	case 1:
		return nil, "application/json"
	}
	switch op.path {
	case "/v1/bars", "/v1/imports/preview":
		return []byte(pick(f.r,
			"time,open,high,low,close,volume\n1704067200000,1,2,0.5,1.5,3\n", "time,open,high,low,close,volume\n1704067200000,1,0,0.5,1.5,3\n", "a,b\n1,2\n",
			"time,open,high,low,close,volume\n1704067200000,nan,2,0.5,1.5,3\n1704067260000,1e400,2,1,1,1\n", "PAR1", "ARROW1",
		)), "text/csv"
	case "/write", "/api/v2/write":
		return []byte(pick(f.r, "X,interval=1m open=1,high=2,low=0.5,close=1.5,volume=3 1704067200000000000", "X open=1", "X,interval=1m close=", "\\", "# nothing")), "text/plain"
	case "/v1/actions":
		return []byte(pick(f.r,
			`{"symbol":"AAPL","source":"s","actions":[{"kind":"split","ex":"2020-08-31","ratio":4}]}`, `{"symbol":"AAPL","source":"t","actions":[{"kind":"dividend","ex":"2020-08-07","amount":0.82}]}`,
			`{"symbol":"AAPL","source":"s","actions":[{"kind":"split","ex":"2020-08-31","ratio":-4}]}`,
		)), "application/json"
	case "/v1/names":
		if op.method == http.MethodPost {
			return []byte(pick(f.r, "20040819,goog,Q\n20140402,goog,Q\n20501231,googl,Q\n", "19990929,fb\n20030328,fb\n", "20040819\n", "time,open\n")), "text/csv"
		}
		return []byte(pick(f.r,
			`{"names":[{"source":"v","name":"BTCUSDT"}]}`, `{"listed":"2004-08-19","names":[{"source":"v","name":"GOOG","to":"2014-04-03"},{"source":"v","name":"BTCUSDT","from":"2014-04-03"}]}`,
			`{"names":[{"source":"v","name":"A"},{"source":"v","name":"B"}]}`, `{"listed":2,"delisted":1}`, `{"names":[{"source":"v","name":"A","from":1}]}`,
		)), "application/json"
	case "/v1/undo":
		if f.sane {
			return []byte(fmt.Sprintf(`{"symbol":%q,"interval":"1M","since":%d}`, pick(f.r, "MONTHS", "NOPE"), time.Now().Add(-time.Hour).UnixMilli())), "application/json"
		}
	case "/v1/backups":
		return []byte(fmt.Sprintf(`{"dir":%q}`, pick(f.r, filepath.Join(f.TempDir(), "b"), "relative", "", f.TempDir()))), "application/json"
	case "/v1/config":
		return []byte(pick(f.r, `{"log.level":"info"}`, `{"settings":{"data_healing.small_gap_bars":"5"}}`, `{"data_healing.small_gap_bars":"6"}`, `{"no.such":"1"}`, `{"log.level":3}`)), "application/json"
	}
	if f.sane && op.method == http.MethodPut && strings.HasPrefix(op.path, "/v1/symbols/") && f.r.IntN(2) == 0 { // most that are made up contradict themselves
		return []byte(pick(f.r, `{"sources":["v=BTCUSDT"]}`, `{"sources":["v=BTCUSDT"],"tick_size":0.01}`)), "application/json"
	}
	schema := op.body
	if schema == nil {
		if f.sane {
			return nil, ""
		}
		schema = map[string]any{"type": "object", "properties": map[string]any{"note": map[string]any{"type": "string"}, "minutes": map[string]any{"type": "integer"}}}
	}
	b, err := json.Marshal(f.value("", schema, 0))
	if err != nil {
		f.Fatal(err)
	}
	return b, "application/json"
}

// value is a value of a schema, mostly.
func (f *apiFuzz) value(name string, schema map[string]any, depth int) any {
	if !f.sane && depth > 0 && f.r.IntN(12) == 0 {
		return pick[any](f.r, nil, true, -1, 1e300, f.odd(), []any{}, map[string]any{})
	}
	kind := schema["type"]
	if list, ok := kind.([]any); ok {
		kind = list[0]
	}
	switch kind {
	case "object":
		out := map[string]any{}
		props, _ := schema["properties"].(map[string]any)
		for _, p := range slices.Sorted(maps.Keys(props)) {
			if sub, ok := props[p].(map[string]any); ok && f.r.IntN(3) > 0 {
				out[p] = f.value(p, sub, depth+1)
			}
		}
		if !f.sane && f.r.IntN(20) == 0 {
			out[f.odd()] = 1
		}
		return out
	case "array":
		sub, _ := schema["items"].(map[string]any)
		out := []any{}
		for range f.r.IntN(3) {
			out = append(out, f.value(name, sub, depth+1))
		}
		return out
	case "integer":
		return pick[any](f.r, 0, 1, 60, -1, time.Now().Add(-time.Hour).UnixMilli(), 1<<53)
	case "number":
		return pick[any](f.r, 0.0, 0.5, 1.0, -1.0, 1e18)
	case "boolean":
		return f.r.IntN(2) == 0
	}
	return f.text(name, schema)
}
