package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
)

// bomb is a request that costs little to send.
type bomb struct {
	name   string
	method string // POST if empty
	path   string
	header http.Header
	body   io.Reader
	may    int // a status below 400 that is right, too
}

const (
	bombGrowth = 64 << 20 // of the heap
	bombTime   = 10 * time.Second
)

// TestBombs sends what is made to hurt, with the right to write: each is refused
// with a reason, soon, and the heap hardly grows.
func TestBombs(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // what is held counts, not garbage
	t.Setenv("BARKEEP_STORE_CACHE", "1MiB")          // caches have bounds of their own
	t.Setenv("BARKEEP_STORE_DECODED_CACHE", "1MiB")
	dir := t.TempDir()
	srv := startServer(t, dir, time.Second)
	text, err := os.ReadFile(filepath.Join(dir, tokenFile))
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(text))
	secret := filepath.Join(filepath.Dir(dir), "secret.csv")
	if err := os.WriteFile(secret, []byte("root:x:0:0"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := run(t, rows, "import", "-", "--symbol", "X", "--interval", "1m", "--url", srv.url, "--data", dir); code != 0 {
		t.Fatal(errs)
	}
	worst := struct {
		grown int64
		took  time.Duration
	}{}
	list := slices.Concat(packedBombs(t), columnBombs(t), textBombs(), numberBombs(t, srv.url), pathBombs())
	for _, b := range list {
		grown, took, status, answer := b.send(t, srv.url, token)
		// When garbage is collected is chance, and so is what else the machine does:
		// what a bomb takes it takes each time.
		for try := 0; try < 2 && (grown > bombGrowth || took > bombTime); try++ {
			g, d, _, _ := b.send(t, srv.url, token)
			grown, took = min(grown, g), min(took, d)
		}
		if testing.Verbose() && (grown > 8<<20 || took > 300*time.Millisecond) {
			t.Logf("%-60s %d, %d MiB, %v", b.name, status, grown>>20, took.Round(time.Millisecond))
		}
		if status >= 500 || status < 400 && status != b.may {
			t.Errorf("%s: %d %.200s", b.name, status, answer)
		}
		if status >= 400 && status != http.StatusRequestHeaderFieldsTooLarge && status != http.StatusBadRequest && !strings.Contains(answer, `"message"`) && !strings.Contains(answer, `"msg"`) {
			t.Errorf("%s: %d without a reason: %.200s", b.name, status, answer)
		}
		if strings.Contains(answer, "root:x") {
			t.Errorf("%s: a file of the machine is answered: %.200s", b.name, answer)
		}
		if grown > bombGrowth || took > bombTime {
			t.Errorf("%s: the heap grew by %d MiB, and it took %v", b.name, grown>>20, took)
		}
		worst.grown, worst.took = max(worst.grown, grown), max(worst.took, took)
	}
	t.Logf("%d bombs: the heap grew by at most %d MiB, the slowest took %v", len(list), worst.grown>>20, worst.took.Round(time.Millisecond))
}

// send sends a bomb and tells how far the heap grew meanwhile.
func (b bomb) send(t *testing.T, base, token string) (grown int64, took time.Duration, status int, answer string) {
	t.Helper()
	method := b.method
	if method == "" {
		method = http.MethodPost
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, base+b.path, b.body)
	if err != nil {
		t.Fatalf("%s: %v", b.name, err)
	}
	maps.Copy(req.Header, b.header)
	req.Header.Set("Authorization", "Bearer "+token)
	if b.body != nil { // a question alone is small, and there are many
		runtime.GC()
	}
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	held := func() int64 {
		metrics.Read(sample)
		return int64(sample[0].Value.Uint64())
	}
	before, most := held(), int64(0)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(time.Millisecond); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
				most = max(most, held())
			}
		}
	}()
	start := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		close(stop)
		<-stopped
		t.Errorf("%s: %v", b.name, err)
		return 0, 0, 400, ""
	}
	out, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // an answer that is cut is judged by what came
	took = time.Since(start)
	_ = resp.Body.Close()
	close(stop)
	<-stopped
	return max(0, most-before), took, resp.StatusCode, string(out)
}

const writeX = "/v1/bars?symbol=BOMB&interval=1m"

func csvType() http.Header { return http.Header{"Content-Type": {"text/csv"}} }

// packed runs a writer of a compression over n copies of piece.
func packed(t *testing.T, pack func(io.Writer) io.WriteCloser, piece []byte, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := pack(&b)
	for range n {
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gz(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }

func zst(w io.Writer) io.WriteCloser {
	z, _ := zstd.NewWriter(w, zstd.WithWindowSize(8<<20)) // the options are right
	return z
}

// packedBombs grow when they are unpacked.
func packedBombs(t *testing.T) (out []bomb) {
	zeros := make([]byte, 1<<20)
	lines := bytes.Repeat([]byte("\n"), 1<<20)
	rows := bytes.Repeat([]byte("1704067200000,1,2,0.5,1.5,3\n"), 1<<15)
	for _, x := range []struct {
		name string
		pack func(io.Writer) io.WriteCloser
	}{{"gzip", gz}, {"zstd", zst}} {
		body := packed(t, x.pack, zeros, 512)
		twice := packed(t, x.pack, body, 1)
		out = append(
			out,
			bomb{name: x.name + ": 512 MiB of zeros", path: writeX, header: csvType(), body: bytes.NewReader(body)},
			bomb{name: x.name + " in itself: 512 MiB of zeros", path: writeX, header: csvType(), body: bytes.NewReader(twice)},
			bomb{name: x.name + ": 512 MiB of empty lines", path: writeX, header: csvType(), body: bytes.NewReader(packed(t, x.pack, lines, 512))},
			bomb{name: x.name + ": rows without end", path: writeX, header: csvType(), body: bytes.NewReader(packed(t, x.pack, rows, 512))},
		)
	}
	for _, x := range []struct {
		name  string
		piece []byte
	}{{"zeros", zeros}, {"empty lines", lines}, {"comments", bytes.Repeat([]byte("#\n"), 1<<19)}} {
		out = append(out, bomb{
			name: "lines in gzip: 512 MiB of " + x.name, path: "/api/v2/write",
			header: http.Header{"Content-Encoding": {"gzip"}}, body: bytes.NewReader(packed(t, gz, x.piece, 512)),
		})
	}
	layers := []byte("time,open,high,low,close,volume\n1704067200000,1,2,0.5,1.5,3\n")
	for range 100 {
		layers = packed(t, gz, layers, 1)
	}
	out = append(out, bomb{name: "gzip in gzip, a hundred times", path: writeX, header: csvType(), body: bytes.NewReader(layers)})

	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := range 70_000 {
		if _, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("../../%d.csv", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	out = append(out, bomb{name: "zip: 70,000 entries", path: writeX, body: bytes.NewReader(b.Bytes())})
	out = append(out, bomb{name: "zip: a list of a million entries and nothing else", path: writeX, body: bytes.NewReader(emptyEntries(1_000_000))})
	b = bytes.Buffer{}
	tw := tar.NewWriter(&b)
	for i := range 60 {
		if err := tw.WriteHeader(&tar.Header{Name: strings.Repeat("x/", 400_000) + strconv.Itoa(i), Size: 1, Format: tar.FormatPAX}); err != nil {
			t.Fatal(err)
		}
		_, _ = tw.Write([]byte("x")) // into memory
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	out = append(out, bomb{name: "tar: names of 800 kB", path: writeX, body: bytes.NewReader(packed(t, gz, b.Bytes(), 1))})
	b = bytes.Buffer{}
	z = zip.NewWriter(&b)
	w, err := z.Create("../../../etc/passwd.csv")
	for i := 0; i < 512 && err == nil; i++ {
		_, err = w.Write(zeros)
	}
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return append(out, bomb{name: "zip: one entry of 512 MiB", path: writeX, body: bytes.NewReader(b.Bytes())})
}

// emptyEntries is a zip that consists of its directory (PKWARE's APPNOTE.TXT
// 6.3.10, 4.3.12 to 4.3.16), which gives away its number in 16 bits.
func emptyEntries(n int) []byte {
	entry := append(append([]byte("PK\x01\x02"), make([]byte, 42)...), 'a')
	entry[28] = 1 // bytes of the name
	out := bytes.Repeat(entry, n)
	end := append([]byte("PK\x05\x06"), make([]byte, 18)...)
	binary.LittleEndian.PutUint16(end[8:], uint16(n))
	binary.LittleEndian.PutUint16(end[10:], uint16(n))
	binary.LittleEndian.PutUint32(end[12:], uint32(len(out)))
	// Something before it, or it would be no zip by its first bytes.
	out = append(append([]byte("PK\x03\x04"), make([]byte, 26)...), out...)
	binary.LittleEndian.PutUint32(end[16:], 30)
	return append(out, end...)
}

// columnBombs are Parquet and Arrow files that claim more than they have.
func columnBombs(t *testing.T) (out []bomb) {
	pq := http.Header{"Content-Type": {"application/vnd.apache.parquet"}}
	arrowType := http.Header{"Content-Type": {"application/vnd.apache.arrow.file"}}
	add := func(name string, h http.Header, body []byte, may int) {
		out = append(out, bomb{name: name, path: writeX, header: h, body: bytes.NewReader(body), may: may})
	}
	add("parquet: nothing but the marks", pq, []byte("PAR1PAR1"), 0)
	for _, n := range []uint32{0, 1, 1 << 20, 1 << 30, 1<<32 - 1} {
		add(fmt.Sprintf("parquet: a footer of %d bytes", n), pq, append(binary.LittleEndian.AppendUint32([]byte("PAR1xxxxxxxx"), n), "PAR1"...), 0)
	}

	type row struct {
		Time   int64   `parquet:"time"`
		Open   float64 `parquet:"open,dict"`
		High   float64 `parquet:"high,dict"`
		Low    float64 `parquet:"low,dict"`
		Close  float64 `parquet:"close,dict"`
		Volume float64 `parquet:"volume,dict"`
	}
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b, parquet.Compression(&parquet.Zstd))
	some := make([]row, 100_000)
	for i := range some {
		some[i] = row{1704067200000 + int64(i)*60_000, 1, 2, 0.5, 1.5, 3}
	}
	for range 20 { // two million rows in some kilobytes
		if _, err := w.Write(some); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	whole := bytes.Clone(b.Bytes())
	add(fmt.Sprintf("parquet: 2,000,000 rows in %d bytes", len(whole)), pq, whole, 200)

	// The numbers of its footer, made larger wherever they stand.
	footer := int(binary.LittleEndian.Uint32(whole[len(whole)-8:]))
	for _, n := range []uint64{2_000_000, 100_000} {
		was := binary.AppendUvarint(nil, n<<1) // as thrift writes it
		huge := binary.AppendUvarint(nil, 1<<41)
		at := len(whole) - 8 - footer
		patched := bytes.ReplaceAll(whole[at:len(whole)-8], was, huge)
		file := append(append(bytes.Clone(whole[:at]), patched...), binary.LittleEndian.AppendUint32(nil, uint32(len(patched)))...)
		add(fmt.Sprintf("parquet: %d is claimed to be a trillion", n), pq, append(file, "PAR1"...), 200)
	}

	type texts struct {
		Time string  `parquet:"time,dict"`
		Open float64 `parquet:"open"`
	}
	b.Reset()
	tw := parquet.NewGenericWriter[texts](&b, parquet.Compression(&parquet.Zstd))
	long := strings.Repeat("x", 1<<18)
	for range 2_000 { // 512 MiB of text, all of it the same
		if _, err := tw.Write([]texts{{long, 1}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	add(fmt.Sprintf("parquet: a dictionary that unpacks to 512 MiB in %d bytes", b.Len()), pq, bytes.Clone(b.Bytes()), 0)

	// Arrow: whole files, with lengths that are claimed.
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "time", Type: arrow.PrimitiveTypes.Int64},
		{Name: "open", Type: arrow.PrimitiveTypes.Float64},
		{Name: "high", Type: arrow.PrimitiveTypes.Float64},
		{Name: "low", Type: arrow.PrimitiveTypes.Float64},
		{Name: "close", Type: arrow.PrimitiveTypes.Float64},
		{Name: "volume", Type: arrow.PrimitiveTypes.Float64},
	}, nil)
	const many = 1 << 20
	build := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	times := make([]int64, many)
	build.Field(0).(*array.Int64Builder).AppendValues(times, nil)
	for i := 1; i < 6; i++ {
		build.Field(i).(*array.Float64Builder).AppendValues(make([]float64, many), nil)
	}
	rec := build.NewRecordBatch()
	b.Reset()
	aw := ipc.NewWriter(&b, ipc.WithSchema(schema), ipc.WithZstd())
	for range 16 { // 768 MiB of zeros
		if err := aw.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := aw.Close(); err != nil {
		t.Fatal(err)
	}
	stream := bytes.Clone(b.Bytes())
	add(fmt.Sprintf("arrow: 768 MiB of zeros in %d bytes", len(stream)), http.Header{"Content-Type": {"application/vnd.apache.arrow.stream"}}, stream, 200)
	for _, n := range []uint64{1 << 40, 1<<63 - 1} {
		was := binary.LittleEndian.AppendUint64(nil, many)
		add(fmt.Sprintf("arrow: a batch is claimed to have %d rows", n), http.Header{"Content-Type": {"application/vnd.apache.arrow.stream"}}, bytes.ReplaceAll(stream, was, binary.LittleEndian.AppendUint64(nil, n)), 0)
		was = binary.LittleEndian.AppendUint64(nil, many*8) // the unpacked size before each buffer
		add(fmt.Sprintf("arrow: a buffer is claimed to have %d bytes", n), http.Header{"Content-Type": {"application/vnd.apache.arrow.stream"}}, bytes.ReplaceAll(stream, was, binary.LittleEndian.AppendUint64(nil, n)), 0)
	}
	for _, n := range []uint32{1, 1 << 20, 1 << 30, 1<<31 - 1} {
		add(fmt.Sprintf("arrow: a footer of %d bytes", n), arrowType, append(binary.LittleEndian.AppendUint32([]byte("ARROW1\x00\x00xxxxxxxxxxxx"), n), "ARROW1"...), 0)
	}
	return out
}

// textBombs are deep, long and endless.
func textBombs() (out []bomb) {
	json := http.Header{"Content-Type": {"application/json"}}
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	objects := strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)
	for _, path := range []string{writeX, "/data/repair", "/v1/plan", "/v1/undo", "/v1/links", "/v1/tokens", "/v1/backups", "/endpoints/test", "/system/restart"} {
		out = append(out,
			bomb{name: "JSON 100,000 deep to " + path, path: path, header: json, body: strings.NewReader(deep)},
			bomb{name: "objects 100,000 deep to " + path, path: path, header: json, body: strings.NewReader(objects)},
			bomb{name: "a member 100,000 deep to " + path, path: path, header: json, body: strings.NewReader(`{"symbol":` + deep + `}`)},
			bomb{name: "60 MiB of one string to " + path, path: path, header: json, body: io.MultiReader(strings.NewReader(`{"symbol":"`), repeat("x", 60<<20), strings.NewReader(`"}`))},
			bomb{name: "60 MiB of numbers to " + path, path: path, header: json, body: io.MultiReader(strings.NewReader(`{"symbol":[`), repeat("1,", 60<<20), strings.NewReader(`1]}`))},
		)
	}
	for _, path := range []string{"/v1/config", "/v1/symbols/X"} {
		out = append(out,
			bomb{name: "JSON 100,000 deep to " + path, method: http.MethodPut, path: path, header: json, body: strings.NewReader(deep)},
			bomb{name: "a member 100,000 deep to " + path, method: http.MethodPut, path: path, header: json, body: strings.NewReader(`{"sources":` + deep + `}`)},
			bomb{name: "60 MiB of members to " + path, method: http.MethodPut, path: path, header: json, body: io.MultiReader(strings.NewReader(`{`), repeat(`"a":"b",`, 60<<20), strings.NewReader(`"a":"b"}`))},
		)
	}
	for name, row := range map[string]string{"no time": "x,1,2,0.5,1.5,3\n", "no price": "1704067200000,x,2,0.5,1.5,3\n", "high below low": "1704067200000,1,1,5,1.5,3\n", "off the grid": "1704067200001,1,2,0.5,1.5,3\n", "short": "1\n", "2,000 columns": strings.Repeat("1,", 2000) + "1\n"} {
		out = append(out, bomb{name: "60 MiB of rows that are no bars: " + name, path: writeX, header: csvType(), body: io.MultiReader(strings.NewReader("time,open,high,low,close,volume\n1704067200000,1,2,0.5,1.5,3\n"), repeat(row, 60<<20)), may: 200}) // some are bars, for the rules to find
	}
	ndjson := `{"time":1704067200000,"open":"x","high":2,"low":1,"close":1}` + "\n"
	out = append(out, bomb{name: "60 MiB of objects that are no bars", path: writeX, header: http.Header{"Content-Type": {"application/x-ndjson"}}, body: repeat(ndjson, 60<<20)})
	for _, n := range []int64{30 << 20, 60 << 20} {
		head := `{"time":[1704067200000],"open":[1],"high":[1],"low":[1],"close":[1],"volume":[`
		out = append(out, bomb{name: fmt.Sprintf("a column of %d MiB", n>>20), path: writeX, header: json, body: io.MultiReader(strings.NewReader(head), repeat("1,", n), strings.NewReader("1]}"))},
			bomb{name: fmt.Sprintf("a column of %d MiB of nothing", n>>20), path: writeX, header: json, body: io.MultiReader(strings.NewReader(head), repeat(" ", n), strings.NewReader("1]}")), may: 200})
	}
	for _, h := range []http.Header{csvType(), json, {"Content-Type": {"application/x-ndjson"}}, {}} {
		out = append(out, bomb{name: "one line of 60 MiB as " + h.Get("Content-Type"), path: writeX, header: h, body: repeat("x", 60<<20)},
			bomb{name: "one line of 60 MiB of commas as " + h.Get("Content-Type"), path: writeX, header: h, body: repeat("1,", 60<<20)},
			bomb{name: "70 MiB of nothing as " + h.Get("Content-Type"), path: writeX, header: h, body: repeat("\n", 70<<20)})
	}
	for name, line := range map[string]string{"x": "x", "tags": ",a=b", "escapes": `\\,`, "quotes": `"`} {
		out = append(out, bomb{name: "lines: one of 60 MiB of " + name, path: "/api/v2/write", body: repeat(line, 60<<20)},
			bomb{name: "lines: one of 1 MB of " + name, path: "/write", body: repeat(line, 1_000_000)})
	}
	out = append(out,
		bomb{name: "lines: 1 MB of fields", path: "/write", body: io.MultiReader(strings.NewReader("X,interval=1m "), repeat("a=1,", 1_000_000), strings.NewReader("open=1 1"))},
		bomb{name: "a body of more than there may be", path: writeX, header: csvType(), body: repeat("1704067200000,1,2,0.5,1.5,3\n", 80<<20)},
	)
	return out
}

// repeat reads as copies of s, n bytes in all.
func repeat(s string, n int64) io.Reader { return io.LimitReader(&endless{s: s}, n) }

type endless struct {
	s  string
	at int
}

func (e *endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		k := copy(p[n:], e.s[e.at:])
		n, e.at = n+k, (e.at+k)%len(e.s)
	}
	return n, nil
}

// numberBombs put numbers that are out of all bounds into every parameter of
// every route, and too many of them.
func numberBombs(t *testing.T, base string) (out []bomb) {
	resp, err := http.Get(base + "/openapi.json") //nolint:noctx // it is short
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() // it was read
	var doc struct {
		Paths map[string]map[string]struct{ Parameters []struct{ Name, In string } }
	}
	if err := json.NewDecoder(resp.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	huge := []string{"1e30", "-1", "9223372036854775808", "-9223372036854775809", "NaN", "1e400", "0x7fffffffffffffff", "99999999-99-99T99:99:99Z", strings.Repeat("9", 5000), "%00", "..%2F..%2Fetc%2Fpasswd", "%F0%9F%92%A3", "%27%22%3E%3Cscript%3E"}
	for path, ops := range doc.Paths {
		if path == "/v1/stream" { // which answers until it is left
			continue
		}
		op, ok := ops["get"]
		if !ok || strings.Contains(path, "{") {
			continue
		}
		for _, p := range op.Parameters {
			if p.In != "query" {
				continue
			}
			for _, v := range huge {
				others := "symbol=X&interval=1m&resolution=1&"
				if !strings.HasPrefix(path, "/udf") {
					others = "symbol=X&interval=1m&"
				}
				if strings.Contains(others, p.Name+"=") {
					others = ""
				}
				// Not every value is wrong everywhere: what counts is that it is
				// answered, and soon.
				out = append(out, bomb{name: "GET " + path + "?" + p.Name + "=" + v[:min(len(v), 30)], method: http.MethodGet, path: path + "?" + others + p.Name + "=" + v, may: 200})
			}
		}
	}
	for _, kind := range []string{"auto", "sources", "forward_fill", "backward_fill", "interpolate", "reverify", "corruption", "nothing"} {
		for _, interval := range []string{"1s", "1m", "1M"} {
			for _, path := range []string{"/v1/plan", "/data/repair"} {
				out = append(out, bomb{name: kind + " of all of time in " + interval + " to " + path, path: path, header: http.Header{"Content-Type": {"application/json"}}, may: 202, body: strings.NewReader(
					fmt.Sprintf(`{"symbol":"X","interval":%q,"repair_type":%q,"from":"1700-01-01","to":"2260-01-01","dry_run":true,"max_bars":9000000000000,"max_share":1}`, interval, kind))})
			}
		}
	}
	for _, path := range []string{"/v1/bars", "/v1/gaps", "/v1/coverage", "/v1/quality", "/v1/findings", "/v1/audit", "/v1/quarantine", "/compat/binance/api/v3/klines", "/udf/history", "/v1/metrics/history"} {
		for _, q := range []string{"interval=1s&from=1700-01-01&to=2260-01-01", "interval=1m&from=1700-01-01&to=2260-01-01&fill=prev&format=csv", "interval=1m&resample_from=1s&from=1700-01-01", "interval=1m&asof=1&causal=true", "interval=1m&startTime=0&endTime=9000000000000", "resolution=1S&from=0&to=9000000000&countback=2000000000"} {
			out = append(out, bomb{name: "all of time: " + path + "?" + q, method: http.MethodGet, path: path + "?symbol=X&" + q, may: 200})
		}
	}
	out = append(out,
		bomb{name: "a million parameters", method: http.MethodGet, path: "/v1/bars?" + strings.Repeat("a=1&", 1_000_000)},
		bomb{name: "7,000 parameters", method: http.MethodGet, path: "/v1/bars?symbol=X&interval=1m&" + strings.Repeat("a=1&", 7_000)},
		bomb{name: "a path of a MiB", method: http.MethodGet, path: "/v1/series/" + strings.Repeat("a", 1<<20)},
		bomb{name: "a path of 7,000 parts", method: http.MethodGet, path: "/v1/series" + strings.Repeat("/a", 7_000)},
		bomb{name: "a header of a MiB", method: http.MethodGet, path: "/health", header: http.Header{"X-A": {strings.Repeat("a", 1<<20)}}},
		bomb{name: "10,000 headers", method: http.MethodGet, path: "/health", header: http.Header{"X-A": slices.Repeat([]string{"a"}, 10_000)}},
		bomb{name: "a range of everything many times", method: http.MethodGet, path: "/v1/bars?symbol=X&interval=1m&format=parquet", header: http.Header{"Range": {"bytes=" + strings.Repeat("0-,", 3000) + "0-"}}, may: 200},
		bomb{name: "far out in time", method: http.MethodGet, path: "/v1/bars?symbol=X&interval=1m&from=-9000000000000000&to=9000000000000000", may: 200},
		bomb{name: "all of time in gaps", method: http.MethodGet, path: "/v1/gaps?symbol=X&interval=1m&from=1700-01-01&to=2260-01-01", may: 200},
		bomb{name: "all of time, filled", method: http.MethodGet, path: "/v1/bars?symbol=X&interval=1m&fill=prev&from=1700-01-01&to=2260-01-01&limit=10", may: 200},
	)
	return out
}

// pathBombs try to get at files.
func pathBombs() (out []bomb) {
	for _, name := range []string{
		"../../secret.csv", "..%2f..%2fsecret.csv", "%2e%2e/%2e%2e/secret.csv", "..%5c..%5csecret.csv", "....//....//etc/passwd", "/etc/passwd", "%2fetc%2fpasswd",
		"..%252f..%252fetc%252fpasswd", "%c0%ae%c0%ae/etc/passwd", "a%00.csv", "CON", "~root", "file:%2f%2f%2fetc%2fpasswd", strings.Repeat("a", 20_000),
	} {
		for _, path := range []string{"/v1/series/", "/v1/symbols/", "/v1/calendars/", "/assets/", "/v1/repairs/", "/"} {
			// What is a symbol may be one: nothing is known of it then.
			out = append(out, bomb{name: "GET " + path + name[:min(len(name), 40)], method: http.MethodGet, path: path + name, may: 200})
		}
		out = append(out, bomb{name: "a symbol " + name[:min(len(name), 40)], path: "/v1/bars?interval=1m&symbol=" + name, header: csvType(), body: strings.NewReader("time,open,high,low,close,volume\n"), may: 200})
	}
	json := http.Header{"Content-Type": {"application/json"}}
	for _, dir := range []string{"", "x", "../x", "./x", "/proc/self/x", "/dev/null/x", "/etc", "/etc/passwd", `/\u0000`, "//"} {
		out = append(out, bomb{name: "a backup in " + dir, path: "/v1/backups", header: json, body: strings.NewReader(`{"dir":"` + dir + `"}`)})
	}
	return out
}
