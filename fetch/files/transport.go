package files

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/barkeepdb/barkeep/series"
	"github.com/barkeepdb/barkeep/series/barfile"
)

const (
	barsPath   = "/bars"
	healthPath = "/health"

	statusNone  = http.StatusNotFound // no file is of the symbol
	statusWrong = http.StatusConflict // one that may hold bars of the span is wrong
)

const (
	maxFiles  = 1_000_000 // in a folder
	maxMemory = 256 << 20 // that a decoder may hold
	maxBytes  = 8 << 30   // unpacked bytes of one file
	maxRatio  = 1000
	keptBars  = 1 << 20 // of the files that were read last: 72 MiB
	rescan    = 5 * time.Second
)

// Transport answers requests of the scheme file: register it at an
// http.Transport under that name. It may be used by many goroutines; one folder
// is read by one at a time.
type Transport struct {
	log *slog.Logger

	mu      sync.Mutex // guards folders
	folders map[string]*folder
}

// NewTransport returns a transport that logs each wrong file once; nil does not
// log.
func NewTransport(log *slog.Logger) *Transport {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Transport{log: log, folders: map[string]*folder{}}
}

// RoundTrip is http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "file" || r.URL.Host != "" && r.URL.Host != "localhost" {
		return nil, errors.New("this is not a folder of this machine")
	}
	root, what := path.Split(r.URL.Path)
	if root = path.Clean(root); root == "/" {
		return nil, errors.New("the whole disk is no folder of bars")
	}
	t.mu.Lock()
	f := t.folders[root]
	if f == nil {
		f = newFolder(filepath.FromSlash(root), t.log)
		t.folders[root] = f
	}
	t.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	switch "/" + what {
	case barsPath:
		return f.bars(r, r.URL.Query())
	case healthPath:
		if err := f.scan(); err != nil {
			return answer(r, http.StatusServiceUnavailable, problem(err.Error())), nil
		}
		return answer(r, http.StatusOK, []byte("{}")), nil
	}
	return answer(r, http.StatusBadRequest, problem("no such question")), nil
}

// look makes the next question of a folder look which files there are.
func (t *Transport) look(root string) {
	t.mu.Lock()
	f := t.folders[root]
	t.mu.Unlock()
	if f != nil {
		f.stale.Store(true)
	}
}

func problem(text string) []byte {
	b, _ := json.Marshal(map[string]string{"message": text}) // text always has a JSON form
	return b
}

func answer(r *http.Request, status int, body []byte) *http.Response {
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:  http.Header{"Content-Type": {"application/json"}, "Date": {time.Now().UTC().Format(http.TimeFormat)}},
		Body:    io.NopCloser(bytes.NewReader(body)),
		Request: r, ContentLength: int64(len(body)),
	}
}

// folder is what is known of a folder. Its owner holds mu.
type folder struct {
	root  string
	log   *slog.Logger
	stale atomic.Bool // what was scanned is known to be old

	mu      sync.Mutex
	scanned time.Time
	names   []string // sorted
	files   map[string]*file
	recent  []*file         // whose bars are kept, the last one first
	told    map[string]bool // wrong files that were logged, by what is wrong
}

// file is what is known of one file as it is now.
type file struct {
	name    string // inside the folder, with slashes
	size    int64
	changed time.Time

	checked bool // sidecar, and whether it can be read
	wrong   error
	// Of rows that were read: their interval by the steps, and from the first to
	// the last.
	interval series.Interval
	span     series.Span
	bars     *series.Columns // by time; nil: not kept

	// A part is one entry of an archive, or the rows of one instrument.
	of            *file  // the file that it is a part of; nil: it is one itself
	entry         string // of the archive
	column, value string // which rows

	parts   map[string]*file // by entry, column and value
	listed  bool             // entries is known
	entries []string         // of an archive
}

// whole is the file that x is, or is a part of.
func (x *file) whole() *file {
	if x.of != nil {
		return x.of
	}
	return x
}

// part is one entry of a file, or the rows of it with a value in a column.
func (x *file) part(entry string, sel selection) *file {
	if entry == "" && sel.column == "" {
		return x
	}
	key := entry + "\x00" + sel.column + "\x00" + sel.value
	if p := x.parts[key]; p != nil {
		return p
	}
	p := &file{name: x.name, changed: x.changed, of: x, entry: entry, column: sel.column, value: sel.value}
	if entry != "" {
		p.name = path.Join(x.name, entry)
	}
	if x.parts == nil {
		x.parts = map[string]*file{}
	}
	x.parts[key] = p
	return p
}

// inside are the entries of an archive; one that cannot be read has none.
func (f *folder) inside(x *file) []string {
	if !x.listed {
		x.listed = true
		switch strings.ToLower(path.Ext(x.name)) {
		case ".zip", ".tar":
			x.entries, _ = barfile.Entries(filepath.Join(f.root, filepath.FromSlash(x.name)), barfile.Options{MaxMemory: maxMemory, MaxBytes: maxBytes, MaxRatio: maxRatio})
		}
	}
	return x.entries
}

// candidate is a file, or a part of one, that may hold bars of a question, and
// what its name says.
type candidate struct {
	*file
	said named
}

// candidates are the files and parts whose names are those of a symbol. A file
// whose own name is goes as a whole, unless it is an archive of several series;
// into others it is looked, if they are archives.
func (f *folder) candidates(x *file, symbol string, sel selection) (list []candidate) {
	if said, ok := match(x.name, symbol); ok && !x.several() {
		return []candidate{{x.part("", sel), said}}
	}
	for _, entry := range f.inside(x) {
		// As if the archive was a folder; in patterns it may be written in full.
		ext := path.Ext(x.name)
		said, ok := match(path.Join(strings.TrimSuffix(x.name, ext), entry), symbol)
		if !ok {
			said, ok = match(path.Join(x.name, entry), symbol)
		}
		if ok {
			list = append(list, candidate{x.part(entry, sel), said})
		}
	}
	return list
}

// several reports whether the file was found to be an archive of several series.
func (x *file) several() bool { return errors.Is(x.wrong, barfile.ErrSeveral) }

func newFolder(root string, log *slog.Logger) *folder {
	return &folder{root: root, log: log, files: map[string]*file{}, told: map[string]bool{}}
}

// scan looks which files there are; those that changed are forgotten.
func (f *folder) scan() error {
	if !f.stale.Swap(false) && time.Since(f.scanned) < rescan {
		return nil
	}
	f.names = f.names[:0]
	now := map[string]*file{}
	err := filepath.WalkDir(f.root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			if p == f.root {
				return err
			}
			return nil // a folder that may not be read holds nothing for us
		}
		if !d.Type().IsRegular() {
			return nil // neither folders nor links: what they point at may lie anywhere
		}
		rel, err := filepath.Rel(f.root, p)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		if _, ok := stem(name); !ok {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // it is gone again
		}
		x := f.files[name]
		if x == nil || x.size != info.Size() || !x.changed.Equal(info.ModTime()) {
			x = &file{name: name, size: info.Size(), changed: info.ModTime()}
		}
		now[name] = x
		f.names = append(f.names, name)
		if len(f.names) > maxFiles {
			return fmt.Errorf("%s holds more than %d files: name a folder further down", f.root, maxFiles)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("the folder cannot be read: %w", err)
	}
	f.recent = slices.DeleteFunc(f.recent, func(x *file) bool { return now[x.whole().name] != x.whole() })
	f.files, f.scanned = now, time.Now()
	return nil
}

// bars answers a question.
func (f *folder) bars(r *http.Request, q url.Values) (*http.Response, error) {
	interval, err := series.ParseInterval(q.Get("interval"))
	from, ferr := strconv.ParseInt(q.Get("from"), 10, 64)
	to, terr := strconv.ParseInt(q.Get("to"), 10, 64)
	if err := errors.Join(err, ferr, terr); err != nil {
		return answer(r, http.StatusBadRequest, problem(err.Error())), nil
	}
	if err := f.scan(); err != nil {
		return answer(r, http.StatusServiceUnavailable, problem(err.Error())), nil
	}
	span := series.Span{From: series.Time(from), To: series.Time(to)}
	body := []byte(`{"rows":[`)
	found := false
	symbol, sel := selected(q.Get("symbol"))
	for _, name := range f.names {
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		x := f.files[name]
		if time.Since(x.changed) < settled {
			if _, ok := match(name, symbol); ok {
				f.scanned = time.Time{} // it may be whole the next time
			}
			continue
		}
		for again := true; again; {
			again = false
			for _, c := range f.candidates(x, symbol, sel) {
				if c.said.interval != 0 && c.said.interval != interval {
					continue
				}
				found = true
				var err error
				if body, err = f.appendBars(body, c, interval, span); errors.Is(err, barfile.ErrSeveral) && c.file == x {
					again = true // its entries are candidates now
				} else if err != nil {
					return answer(r, statusWrong, problem(err.Error())), nil
				}
			}
		}
	}
	if !found {
		return answer(r, statusNone, problem("no file in the folder is of this symbol and interval")), nil
	}
	return answer(r, http.StatusOK, append(body, "]}"...)), nil
}

// appendBars appends the bars of a candidate that open in a span.
func (f *folder) appendBars(body []byte, c candidate, interval series.Interval, span series.Span) ([]byte, error) {
	x, said := c.file, c.said
	if !said.span.Empty() && said.span.Intersect(span).Empty() || x.bars == nil && !x.span.Empty() && x.span.Intersect(span).Empty() {
		return body, nil
	}
	if err := f.read(x, interval); err != nil {
		return body, err
	}
	if x.interval != interval && said.interval == 0 {
		return body, nil
	}
	if x.interval != 0 && x.interval != interval && x.bars.Len() > 2 {
		err := fmt.Errorf("%s: its rows are of %s, its name says %s", x.name, x.interval, interval)
		f.tell(x, err)
		return body, err
	}
	i, _ := slices.BinarySearch(x.bars.Time, span.From)
	for ; i < x.bars.Len() && x.bars.Time[i] < span.To; i++ {
		if body[len(body)-1] != '[' {
			body = append(body, ',')
		}
		body = appendRow(body, x.bars, i)
	}
	return body, nil
}

// tell logs what is wrong with a file, once.
func (f *folder) tell(x *file, err error) {
	key := err.Error() + x.changed.String()
	if !f.told[key] {
		f.told[key] = true
		f.log.Warn("a file of bars is refused", "folder", f.root, "file", x.name, "error", err)
	}
}

// read reads the bars of a file, unless they are kept, and keeps them for the
// next question. What is wrong once stays so until the file changes.
func (f *folder) read(x *file, interval series.Interval) error {
	if x.wrong != nil {
		return x.wrong
	}
	if x.bars != nil {
		return nil
	}
	err := f.load(x, interval)
	if err != nil {
		err = fmt.Errorf("%s: %w", x.name, err)
		if x.wrong = err; !x.several() || x.of != nil {
			f.tell(x, err)
		}
		return err
	}
	f.recent = append([]*file{x}, slices.DeleteFunc(f.recent, func(o *file) bool { return o == x })...)
	kept := 0
	for i, o := range f.recent {
		if kept += o.bars.Len(); kept > keptBars && i > 0 {
			for _, old := range f.recent[i:] {
				old.bars = nil
			}
			f.recent = f.recent[:i]
			break
		}
	}
	return nil
}

func (f *folder) load(x *file, interval series.Interval) error {
	whole := x.whole()
	full := filepath.Join(f.root, filepath.FromSlash(whole.name))
	if !whole.checked {
		if err := checkSum(full); err != nil {
			return err
		}
		whole.checked = true
	}
	o := barfile.Options{Name: path.Base(x.name), MaxMemory: maxMemory, MaxBytes: maxBytes, MaxRatio: maxRatio}
	if x.entry != "" {
		o.Entry = "/" + x.entry
	}
	if x.column != "" {
		o.Select = map[string]string{x.column: x.value}
	}
	in, err := barfile.OpenFile(full, o)
	if err != nil {
		return err
	}
	defer in.Close() // it was only read
	all := &series.Columns{}
	var chunk series.Columns
	for {
		rejected, err := in.Next(&chunk, 0)
		if len(rejected) > 0 {
			r := rejected[0]
			return fmt.Errorf("row %d is no bar: %s", r.Row, r.Reason)
		}
		for i := range chunk.Time {
			all.Append(chunk.Bar(i))
		}
		if err == io.EOF { //nolint:errorlint // Next says so
			break
		}
		if err != nil {
			return err
		}
	}
	x.interval = in.Detection().Interval
	if all.Len() < 3 && x.interval == 0 {
		x.interval = interval // too few rows to tell
	}
	sorted(all)
	if n := all.Len(); n > 0 {
		x.span = series.Span{From: all.Time[0], To: all.Time[n-1] + 1}
	}
	x.bars = all
	return nil
}

// sorted brings the bars into the order of their times.
func sorted(c *series.Columns) {
	if slices.IsSorted(c.Time) {
		return
	}
	at := make([]int, c.Len())
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(a, b int) int { return int(c.Time[a] - c.Time[b]) })
	out := series.Columns{}
	for _, i := range at {
		out.Append(c.Bar(i))
	}
	*c = out
}

// checkSum compares a file with the SHA-256 that lies beside it, if one does.
func checkSum(full string) error {
	want, where, err := sidecar(full)
	if err != nil || want == "" {
		return err
	}
	in, err := os.Open(full) //nolint:gosec // G703: a name that was found in the folder of the settings
	if err != nil {
		return err
	}
	defer in.Close() // it was only read
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return fmt.Errorf("its SHA-256 is %s, and %s says %s: get the file again", got, where, want)
	}
	return nil
}

// sidecar is the SHA-256 that a file beside it names, in small letters.
func sidecar(full string) (sum, where string, err error) {
	base := filepath.Base(full)
	for _, name := range []string{base + ".CHECKSUM", base + ".sha256", "SHA256SUMS"} {
		in, err := os.Open(filepath.Join(filepath.Dir(full), name)) //nolint:gosec // G703: beside a file of the folder of the settings
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", "", err
		}
		sum, err := sumIn(in, base, name != "SHA256SUMS")
		_ = in.Close() // it was only read
		if err != nil {
			return "", "", fmt.Errorf("%s: %w", name, err)
		}
		if sum != "" {
			return sum, name, nil
		}
	}
	return "", "", nil
}

// sumIn finds the sum of a file in lines of the form "SUM  NAME". alone says that
// there is one line, which may be without a name.
func sumIn(in io.Reader, base string, alone bool) (string, error) {
	lines := bufio.NewScanner(io.LimitReader(in, 64<<20))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || !alone && (len(words) < 2 || path.Base(strings.TrimPrefix(words[1], "*")) != base) {
			continue
		}
		sum := strings.ToLower(words[0])
		if b, err := hex.DecodeString(sum); err != nil || len(b) != sha256.Size {
			return "", fmt.Errorf("%.80q is not a SHA-256", words[0])
		}
		return sum, nil
	}
	if err := lines.Err(); err != nil {
		return "", err
	}
	if alone {
		return "", errors.New("it holds no SHA-256")
	}
	return "", nil
}
