package barfile

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/barkeepdb/barkeep/series"
)

func openArrow(e *entry, p *peeler, o Options, stream bool) (source, *plan, Detection, error) {
	d := Detection{Format: Arrow.String()}
	// Both forms are read twice, once for the sample: they need random access.
	at, size, err := p.readerAt(e)
	if err != nil {
		return nil, nil, d, err
	}
	if err := checkArrow(at, size, o.maxMemory(), stream); err != nil {
		return nil, nil, d, err
	}
	t := &arrowTable{at: at, size: size, stream: stream, memory: &boundedMemory{limit: o.maxMemory()}}
	if err := t.use(nil); err != nil {
		return nil, nil, d, err
	}
	for _, f := range t.schema.Fields() {
		t.names = append(t.names, f.Name)
	}
	p.closes = append(p.closes, func() error { t.release(); return nil })
	return openTable(t, e, o, Arrow)
}

// arrowTable reads the record batches of an Arrow IPC file or stream.
type arrowTable struct {
	at      io.ReaderAt
	size    int64
	stream  bool
	memory  *boundedMemory
	names   []string
	used    []int
	schema  *arrow.Schema
	file    *ipc.FileReader
	flow    *ipc.Reader
	batch   int // the next one of file
	record  arrow.RecordBatch
	pos     int // in record
	section *io.SectionReader
}

func (t *arrowTable) columns() []string { return t.names }

func (t *arrowTable) release() {
	if t.record != nil {
		t.record.Release()
	}
	if t.flow != nil {
		t.flow.Release()
	}
	if t.file != nil {
		t.file.Close()
	}
	t.record, t.flow, t.file = nil, nil, nil
}

func (t *arrowTable) use(columns []int) error {
	_, err := guarded("arrow", func() (struct{}, error) {
		t.release()
		t.memory.used = 0
		t.used, t.batch, t.pos = columns, 0, 0
		t.section = io.NewSectionReader(t.at, 0, t.size)
		limit := min(t.size, t.memory.limit)
		o := []ipc.Option{ipc.WithAllocator(t.memory), ipc.WithMetadataSizeLimit(limit), ipc.WithBodySizeLimit(limit)}
		var err error
		if t.stream {
			if t.flow, err = ipc.NewReader(t.section, o...); err == nil {
				t.schema = t.flow.Schema()
			}
		} else if t.file, err = ipc.NewFileReader(t.section, o...); err == nil {
			t.schema = t.file.Schema()
		}
		if err != nil {
			err = fmt.Errorf("arrow: %w", err)
		}
		return struct{}{}, err
	})
	return err
}

func (t *arrowTable) done() float64 {
	if t.stream {
		at, _ := t.section.Seek(0, io.SeekCurrent)
		return float64(at) / float64(max(t.size, 1))
	}
	if t.file == nil {
		return 1
	}
	return float64(t.batch) / float64(max(t.file.NumRecords(), 1))
}

// read converts the next rows of the current record batch.
func (t *arrowTable) read(limit int, v []vector) (int, error) {
	return guarded("arrow", func() (int, error) {
		for t.record == nil || t.pos >= int(t.record.NumRows()) {
			if err := t.nextBatch(); err != nil {
				return 0, err
			}
		}
		n := min(limit, int(t.record.NumRows())-t.pos)
		for _, c := range t.used {
			if err := fillVector(&v[c], t.record.Column(c), t.pos, n); err != nil {
				return 0, fmt.Errorf("arrow: column %s: %w", t.names[c], err)
			}
		}
		t.pos += n
		return n, nil
	})
}

func (t *arrowTable) nextBatch() error {
	if t.record != nil {
		t.record.Release()
		t.record = nil
	}
	t.pos = 0
	var err error
	if t.stream {
		if !t.flow.Next() {
			if err := t.flow.Err(); err != nil && !errors.Is(err, io.EOF) {
				return fmt.Errorf("arrow: %w", err)
			}
			return io.EOF
		}
		t.record = t.flow.RecordBatch()
		t.record.Retain()
	} else {
		if t.batch >= t.file.NumRecords() {
			return io.EOF
		}
		if t.record, err = t.file.RecordBatchAt(t.batch); err != nil {
			return fmt.Errorf("arrow: record batch %d: %w", t.batch, err)
		}
		t.batch++
	}
	if n := t.record.NumRows(); n > t.memory.limit/8 {
		return fmt.Errorf("arrow: a record batch claims %d rows", n)
	}
	if int(t.record.NumCols()) != len(t.names) {
		return fmt.Errorf("arrow: a record batch has %d columns instead of %d", t.record.NumCols(), len(t.names))
	}
	return nil
}

// boundedMemory is Go's memory with a limit. Arrow allocates what a file
// declares before it reads; beyond the limit that is a panic, which guarded
// turns into an error.
type boundedMemory struct {
	memory.GoAllocator
	used, limit int64
}

func (m *boundedMemory) take(n int) {
	if m.used += int64(n); m.used > m.limit {
		m.used -= int64(n)
		panic(fmt.Sprintf("a record batch needs more than the %d bytes of memory that reading may take", m.limit))
	}
}

func (m *boundedMemory) Allocate(n int) []byte {
	m.take(n)
	return m.GoAllocator.Allocate(n)
}

func (m *boundedMemory) Reallocate(n int, b []byte) []byte {
	m.take(n - len(b))
	return m.GoAllocator.Reallocate(n, b)
}

func (m *boundedMemory) Free(b []byte) {
	m.used -= int64(len(b))
	m.GoAllocator.Free(b)
}

// fillVector converts n values of a from pos on.
func fillVector(v *vector, a arrow.Array, pos, n int) error {
	if a.Len() < pos+n {
		return fmt.Errorf("it has %d values, fewer than the others", a.Len())
	}
	float, ints, text := v.float[:0], v.int[:0], v.text[:0]
	*v = vector{}
	if a.NullN() > 0 {
		v.null = make([]bool, n)
		for i := range v.null {
			v.null[i] = a.IsNull(pos + i)
		}
	}
	number := func(at func(int) float64) {
		v.kind = vectorFloat
		for i := range n {
			f := nan
			if !v.isNull(i) {
				f = at(pos + i)
			}
			float = append(float, f)
		}
	}
	integer := func(at func(int) int64) {
		v.kind = vectorInt
		for i := range n {
			ints = append(ints, at(pos+i))
		}
	}
	switch x := a.(type) {
	case *array.Float64:
		number(x.Value)
	case *array.Float32:
		number(func(i int) float64 { return float64(x.Value(i)) })
	case *array.Float16:
		number(func(i int) float64 { return float64(x.Value(i).Float32()) })
	case *array.Int64:
		integer(x.Value)
	case *array.Int32:
		integer(func(i int) int64 { return int64(x.Value(i)) })
	case *array.Int16:
		integer(func(i int) int64 { return int64(x.Value(i)) })
	case *array.Int8:
		integer(func(i int) int64 { return int64(x.Value(i)) })
	case *array.Uint64:
		integer(func(i int) int64 { return int64(min(x.Value(i), math.MaxInt64)) })
	case *array.Uint32:
		integer(func(i int) int64 { return int64(x.Value(i)) })
	case *array.Uint16:
		integer(func(i int) int64 { return int64(x.Value(i)) })
	case *array.Uint8:
		integer(func(i int) int64 { return int64(x.Value(i)) })
	case *array.Timestamp:
		d := x.DataType().(*arrow.TimestampType)
		if d.TimeZone == "" {
			v.naive = true
		} else if d.TimeZone != "UTC" {
			loc, err := d.GetZone()
			if err != nil {
				return fmt.Errorf("zone %q: %w", d.TimeZone, err)
			}
			v.loc = loc
		}
		var scale func(int64) int64
		switch d.Unit {
		case arrow.Second:
			scale = func(t int64) int64 { return t * 1000 }
		case arrow.Millisecond:
			scale = func(t int64) int64 { return t }
		case arrow.Microsecond:
			scale = func(t int64) int64 { return floorDiv(t, 1e3) }
		default:
			scale = func(t int64) int64 { return floorDiv(t, 1e6) }
		}
		integer(func(i int) int64 { return scale(int64(x.Value(i))) })
		v.kind = vectorTime
		if v.loc == time.UTC {
			v.loc = nil
		}
	case *array.Date32:
		integer(func(i int) int64 { return int64(x.Value(i)) * int64(series.Day) })
		v.kind, v.date = vectorTime, true
	case *array.Date64:
		integer(func(i int) int64 { return int64(x.Value(i)) })
		v.kind, v.date = vectorTime, true
	case *array.String:
		v.kind = vectorText
		for i := range n {
			s := x.Value(pos + i) // of the record, which outlives the vector
			text = append(text, unsafe.Slice(unsafe.StringData(s), len(s)))
		}
	case *array.LargeString, *array.StringView, *array.Dictionary, *array.Decimal128, *array.Decimal256, *array.Boolean:
		v.kind = vectorText
		for i := range n {
			var s []byte
			if !v.isNull(i) {
				s = []byte(a.ValueStr(pos + i))
			}
			text = append(text, s)
		}
	}
	v.float, v.int, v.text = float, ints, text
	return nil
}
