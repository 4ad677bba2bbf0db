package barfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/barkeepdb/barkeep/series"
)

// Reader yields the bars of a file, or of all entries of an archive one after
// the other. It is not safe for concurrent use.
type Reader struct {
	o         Options
	peel      *peeler
	queue     []opener // entries that were not opened yet
	src       source
	plan      *plan
	detection Detection
	entry     string // name of the current entry, empty outside of archives
	mark      int    // of what peel closes, all behind it belong to the entry
	rows      int64
	pending   error
	input     *counter
	total     int64
	// sizes of archive entries, for Progress
	entryDone, entryTotal, entrySize int64
	file                             *os.File
}

// counter counts the bytes that pass.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// defaultRows is how many rows Next reads if it is not told.
const defaultRows = 1 << 16

// Open detects the format from the first bytes of r and returns a Reader that
// streams from it. Formats that need random access (Parquet, Arrow files, zip,
// tar) are copied to memory or a temporary file first. The caller closes the
// Reader, and r after it.
func Open(r io.Reader, o Options) (*Reader, error) {
	in := &counter{r: r}
	rd := &Reader{o: o, input: in}
	return rd.open(&entry{r: bufio.NewReaderSize(in, sampleBytes), name: o.Name, outer: o.Name})
}

// OpenFile opens the file at path, or standard input if path is "-".
func OpenFile(name string, o Options) (*Reader, error) {
	if name == "-" {
		return Open(os.Stdin, o)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && st.IsDir() {
		err = fmt.Errorf("%s is a directory: give its files", name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	if o.Name == "" {
		o.Name = name
	}
	in := &counter{r: f}
	rd := &Reader{o: o, input: in, total: st.Size(), file: f}
	e := &entry{r: bufio.NewReaderSize(in, sampleBytes), name: o.Name, outer: o.Name}
	if st.Mode().IsRegular() {
		e.at, e.size = f, st.Size()
	}
	return rd.open(e)
}

func (r *Reader) open(e *entry) (*Reader, error) {
	r.peel = &peeler{o: r.o, packed: func() int64 { return max(r.input.n, r.total) }}
	if err := r.start(e); err != nil {
		r.Close()
		if r.o.Name != "" && !errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("%s: %w", filepath.Base(r.o.Name), err)
		}
		return nil, err
	}
	return r, nil
}

// start peels e and detects its first entry.
func (r *Reader) start(e *entry) error {
	all, err := r.peel.peel(e)
	if err != nil {
		return err
	}
	if len(all) == 1 && !slices.Contains(r.peel.layers, "zip") && !slices.Contains(r.peel.layers, "tar") {
		in, err := all[0].open()
		if err != nil {
			return err
		}
		return r.detect(in, r.o, &r.detection)
	}
	kept, err := pick(all, r.o.Entry)
	if err != nil {
		return err
	}
	if r.queue, err = r.oneSeries(kept); err != nil {
		return err
	}
	for _, q := range r.queue {
		r.entryTotal += q.size
	}
	r.mark = len(r.peel.closes) // what is open now serves all entries
	return r.advance()
}

// ErrSeveral is the reason where an archive holds more than one series and
// [Options.Entry] picks none.
var ErrSeveral = errors.New("the archive holds several series")

// Entries returns the names of the entries of a zip or tar archive that are no
// leftovers of a desktop, sorted; none for what is no archive. They are not opened.
func Entries(name string, o Options) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was only read
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	in := &counter{r: f}
	p := &peeler{o: o, packed: func() int64 { return max(in.n, st.Size()) }}
	r := &Reader{peel: p}
	defer r.closeFrom(0)
	e := &entry{r: bufio.NewReaderSize(in, sampleBytes), name: name, outer: name}
	if st.Mode().IsRegular() {
		e.at, e.size = f, st.Size()
	}
	all, err := p.peel(e)
	if err != nil || len(all) > 0 && !slices.Contains(p.layers, "zip") && !slices.Contains(p.layers, "tar") {
		return nil, err
	}
	kept, err := pick(all, "")
	if errors.Is(err, errEmpty) {
		return nil, nil
	}
	names := make([]string, 0, len(kept))
	for _, k := range kept {
		names = append(names, k.name)
	}
	return names, err
}

// oneSeries keeps the entries that hold bars and refuses an archive of several
// series. Entries are of one series if their names differ by a date only.
func (r *Reader) oneSeries(all []opener) ([]opener, error) {
	groups := make(map[string][]opener)
	var order []string
	for _, e := range all {
		_, _, stem := dateIn(path.Base(e.name))
		if groups[stem] == nil {
			order = append(order, stem)
		}
		groups[stem] = append(groups[stem], e)
	}
	if len(order) == 1 {
		return r.withoutCopies(all), nil
	}
	var bars, skipped []string
	var first error
	for i, stem := range order {
		if i == 40 {
			break
		}
		err := r.probe(groups[stem][0])
		var ask *undecided
		if err == nil || errors.As(err, &ask) {
			bars = append(bars, stem)
			continue
		}
		skipped = append(skipped, groups[stem][0].name)
		if first == nil {
			first = fmt.Errorf("entry %s: %w", groups[stem][0].name, err)
		}
	}
	switch len(bars) {
	case 0:
		return nil, first
	case 1:
		if len(skipped) > 0 {
			r.detection.Warnings = append(r.detection.Warnings, "entries without bars were skipped: "+list(skipped))
		}
		return r.withoutCopies(groups[bars[0]]), nil
	}
	var names []string
	for _, b := range bars {
		names = append(names, groups[b][0].name)
	}
	return nil, fmt.Errorf("%w (%s): pick one with --entry, a name or a pattern such as '*%s'", ErrSeveral, list(names), bars[0])
}

// undecided marks an error that a better option would mend: the entry does
// hold bars.
type undecided struct{ error }

func (u *undecided) Unwrap() error { return u.error }

// probe detects an entry and closes it again.
func (r *Reader) probe(q opener) error {
	mark, layers := len(r.peel.closes), slices.Clone(r.peel.layers)
	defer func() { r.closeFrom(mark); r.peel.layers = layers }()
	e, err := r.unpack(q)
	if err != nil {
		return err
	}
	var d Detection
	return (&Reader{o: r.o, peel: r.peel}).detect(e, r.o, &d)
}

// unpack opens an entry and the compression inside of it.
func (r *Reader) unpack(q opener) (*entry, error) {
	e, err := q.open()
	if err != nil {
		return nil, err
	}
	in, err := r.peel.peel(e)
	if err != nil {
		return nil, err
	}
	if len(in) > 1 {
		in, err = pick(in, "")
		if err == nil && len(in) > 1 {
			err = fmt.Errorf("an archive with several entries inside of an archive: unpack the outer one first")
		}
	}
	if err != nil {
		return nil, err
	}
	if len(in) == 0 {
		return nil, errEmpty
	}
	if inner, err := in[0].open(); err != nil || inner == e {
		return inner, err
	} else {
		return inner, nil
	}
}

// withoutCopies drops entries that repeat the bytes of another one under
// another date, where the name of the archive says which date is right.
func (r *Reader) withoutCopies(all []opener) []opener {
	day, dated, _ := dateIn(filepath.Base(r.o.Name))
	byCRC := make(map[uint32]int)
	for _, e := range all {
		byCRC[e.crc]++
	}
	var kept []opener
	for _, e := range all {
		d, ok, _ := dateIn(path.Base(e.name))
		if e.crc == 0 || e.size == 0 || byCRC[e.crc] < 2 {
			kept = append(kept, e)
			continue
		}
		if dated && ok && d != day && slices.ContainsFunc(all, func(o opener) bool {
			od, ok, _ := dateIn(path.Base(o.name))
			return ok && od == day && o.crc == e.crc
		}) {
			r.detection.Warnings = append(r.detection.Warnings, fmt.Sprintf("entry %s was skipped: it repeats the bytes of the entry that has the date of the archive", e.name))
			continue
		}
		r.detection.Warnings = append(r.detection.Warnings, fmt.Sprintf("entry %s has the same bytes as another entry: one of them may be a stale copy", e.name))
		kept = append(kept, e)
	}
	return kept
}

// advance opens the next entry that has rows. It returns io.EOF after the last.
func (r *Reader) advance() error {
	r.closeFrom(r.mark)
	for len(r.queue) > 0 {
		q := r.queue[0]
		r.queue = r.queue[1:]
		r.entryDone += r.entrySize
		r.entrySize = q.size
		r.mark = len(r.peel.closes)
		r.entry = q.name
		e, err := r.unpack(q)
		if err == nil && r.plan == nil {
			err = r.detect(e, r.o, &r.detection)
		} else if err == nil {
			err = r.detectNext(e)
		}
		if errors.Is(err, errEmpty) && len(r.queue) > 0 {
			r.closeFrom(r.mark)
			continue
		}
		if errors.Is(err, errEmpty) && r.plan != nil {
			break
		}
		if err != nil {
			return fmt.Errorf("entry %s: %w", q.name, err)
		}
		return nil
	}
	return io.EOF
}

// detectNext detects a further entry of an archive, with what the entries
// before it settled.
func (r *Reader) detectNext(e *entry) error {
	o := r.o
	o.Interval = r.plan.interval
	if o.Map == nil && !r.detection.Header && r.detection.Format == CSV.String() {
		o.Map = make(map[string]string)
		for f := range numFields {
			o.Map[f.String()] = "-"
			if c, ok := r.detection.Columns[f.String()]; ok {
				o.Map[f.String()] = c
			}
		}
		if o.Map["clock"] != "-" {
			o.Map["date"], o.Map["time"] = o.Map["time"], o.Map["clock"]
		}
		delete(o.Map, "clock")
	}
	var d Detection
	traded := r.plan.traded
	if err := r.detect(e, o, &d); err != nil {
		return err
	}
	r.plan.traded = r.plan.traded || traded
	for _, w := range d.Warnings {
		if !slices.Contains(r.detection.Warnings, w) && len(r.detection.Warnings) < 100 {
			r.detection.Warnings = append(r.detection.Warnings, w)
		}
	}
	return nil
}

// detect finds out what e is and makes it the current source.
func (r *Reader) detect(e *entry, o Options, d *Detection) error {
	head, _, err := e.peek(1024)
	if err != nil {
		return err
	}
	if len(head) == 0 {
		return errEmpty
	}
	is, err := sniff(head)
	if err != nil {
		return err
	}
	if o.Format == Freqtrade {
		o.Format = Arrow
	}
	if o.Format == Lean {
		o.Format = CSV
	}
	var found Detection
	switch is {
	case contentParquet:
		r.src, r.plan, found, err = openParquet(e, r.peel, o)
	case contentArrowFile, contentArrowStream:
		r.src, r.plan, found, err = openArrow(e, r.peel, o, is == contentArrowStream)
	default:
		r.src, r.plan, found, err = openText(e, o)
		if errors.Is(err, errEmpty) && !e.inArchive && r.plan == nil {
			// a list without rows is an answer, not an error
			found.Columns, err = map[string]string{}, nil
			r.src = nothing{}
			r.plan = &plan{interval: o.Interval}
		}
	}
	if err != nil {
		return err
	}
	warnings := d.Warnings
	*d = found
	d.Warnings = append(warnings, found.Warnings...)
	d.Compression = strings.Join(r.peel.layers, " ")
	if e.inArchive {
		d.Entry = e.name
	}
	return nil
}

// nothing is a source without rows.
type nothing struct{}

func (nothing) next(_ *series.Columns, _ int, rejected []Rejected) ([]Rejected, error) {
	return rejected, io.EOF
}

// Detection returns what was found out. Warnings may be added while reading.
func (r *Reader) Detection() Detection { return r.detection }

// Next empties c, fills it with up to limit bars in file order and returns the
// rows of that stretch that are no bars. It returns io.EOF, and nothing else,
// after the last row. A limit of 0 or less stands for 65536.
//
// Sources are not known to the reader: the provenance of a bar holds its kind,
// whether it is forming and whether it only says that nothing traded. Columns
// that the file does not have stay empty.
func (r *Reader) Next(c *series.Columns, limit int) ([]Rejected, error) {
	c.Reset()
	if limit <= 0 {
		limit = defaultRows
	}
	if err := r.pending; err != nil {
		return nil, err
	}
	var rejected []Rejected
	for {
		if r.src == nil {
			if err := r.advance(); err != nil {
				return nil, r.fail(err)
			}
		}
		var err error
		rejected, err = r.src.next(c, limit, rejected)
		if err != nil {
			r.src = nil
			if !errors.Is(err, io.EOF) {
				if r.entry != "" {
					err = fmt.Errorf("entry %s: %w", r.entry, err)
				}
				r.pending = err
			}
		}
		if n := c.Len() + len(rejected); n > 0 {
			r.rows += int64(n)
			for i := range rejected {
				rejected[i].Entry = r.entry
			}
			return rejected, nil
		}
		if r.pending != nil {
			return nil, r.fail(r.pending)
		}
	}
}

func (r *Reader) fail(err error) error {
	if !errors.Is(err, io.EOF) && r.o.Name != "" {
		err = fmt.Errorf("%s: %w", filepath.Base(r.o.Name), err)
	}
	r.pending = err
	return err
}

// Rows is the number of rows that were read, bars and rejected ones.
func (r *Reader) Rows() int64 { return r.rows }

// Progress returns how many bytes were read and how many there are, in
// whichever layer that is known; the total is 0 where it is not.
func (r *Reader) Progress() (done, total int64) {
	if r.entryTotal > 0 {
		return r.entryDone, r.entryTotal
	}
	if p, ok := r.src.(interface{ progress() float64 }); ok && r.total > 0 {
		return int64(p.progress() * float64(r.total)), r.total
	}
	return r.input.n, r.total
}

// Close releases what the Reader holds.
func (r *Reader) Close() error {
	r.closeFrom(0)
	r.src, r.queue = nil, nil
	if r.pending == nil {
		r.pending = errors.New("the reader is closed")
	}
	if r.file != nil {
		err := r.file.Close()
		r.file = nil
		return err
	}
	return nil
}

func (r *Reader) closeFrom(mark int) {
	if r.peel == nil || len(r.peel.closes) < mark {
		return
	}
	for _, c := range slices.Backward(r.peel.closes[mark:]) {
		_ = c() // nothing was written: there is nothing to lose
	}
	r.peel.closes = r.peel.closes[:mark]
}
