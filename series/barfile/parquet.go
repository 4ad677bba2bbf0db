package barfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/barkeepdb/barkeep/series"
)

func openParquet(e *entry, p *peeler, o Options) (source, *plan, Detection, error) {
	d := Detection{Format: Parquet.String()}
	at, size, err := p.readerAt(e)
	if err != nil {
		return nil, nil, d, err
	}
	if err := checkParquet(at, size, o.maxMemory()); err != nil {
		return nil, nil, d, err
	}
	t, err := guarded("parquet", func() (*parquetTable, error) { return newParquetTable(at, size) })
	if err != nil {
		return nil, nil, d, err
	}
	return openTable(t, e, o, Parquet)
}

// parquetTable reads the flat columns of a Parquet file, one row group after
// the other.
type parquetTable struct {
	groups []parquet.RowGroup
	names  []string
	leaves []parquetLeaf
	used   []int
	group  int // the next one
	open   []parquet.ColumnChunkValueReader
	left   int64 // rows of the open group
	read1  int64 // rows read since use
	total  int64
	values []parquet.Value
}

// parquetLeaf is a column of a Parquet file and how its values are read.
type parquetLeaf struct {
	index  int // among the leaves of the file
	vector vector
	unit   unit // of times
	scale  int  // of decimals, -1 if it is none
	kind   parquet.Kind
}

func newParquetTable(at io.ReaderAt, size int64) (*parquetTable, error) {
	f, err := parquet.OpenFile(at, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.OptimisticRead(false))
	if err != nil {
		return nil, fmt.Errorf("parquet: %w", err)
	}
	t := &parquetTable{groups: f.RowGroups(), total: f.NumRows()}
	zones := pandasZones(f)
	for _, c := range f.Root().Columns() {
		if !c.Leaf() || c.Repeated() {
			continue
		}
		l := leafOf(c)
		if l.vector.kind == vectorTime && !l.vector.naive {
			l.vector.loc = zones[c.Name()]
		}
		t.names = append(t.names, c.Name())
		t.leaves = append(t.leaves, l)
	}
	return t, nil
}

// pandasZones are the zones of columns as pandas notes them. Parquet itself
// knows only UTC, but midnight in Tokyo is the label of a date.
func pandasZones(f *parquet.File) map[string]*time.Location {
	text, _ := f.Lookup("pandas")
	var meta struct {
		Columns []struct {
			Field    string `json:"field_name"`
			Metadata *struct {
				Zone string `json:"timezone"`
			} `json:"metadata"`
		} `json:"columns"`
	}
	zones := make(map[string]*time.Location)
	if json.Unmarshal([]byte(text), &meta) != nil {
		return zones // whatever else goes by that name
	}
	for _, c := range meta.Columns {
		if c.Metadata == nil || c.Metadata.Zone == "" || c.Metadata.Zone == "UTC" {
			continue
		}
		if loc, err := time.LoadLocation(c.Metadata.Zone); err == nil {
			zones[c.Field] = loc
		}
	}
	return zones
}

// leafOf tells how the values of column c are read.
func leafOf(c *parquet.Column) parquetLeaf {
	l := parquetLeaf{index: c.Index(), kind: c.Type().Kind(), scale: -1, unit: nanos}
	v := &l.vector
	switch l.kind {
	case parquet.Boolean, parquet.Int32, parquet.Int64:
		v.kind = vectorInt
	case parquet.Int96:
		v.kind, v.naive = vectorTime, true
	case parquet.Float, parquet.Double:
		v.kind = vectorFloat
	default:
		v.kind = vectorText
	}
	lt := c.Type().LogicalType()
	if lt == nil {
		return l
	}
	switch x := lt.Value.(type) {
	case *format.TimestampType:
		v.kind, v.naive = vectorTime, !x.IsAdjustedToUTC
		switch x.Unit.Value.Duration() {
		case time.Millisecond:
			l.unit = millis
		case time.Microsecond:
			l.unit = micros
		}
	case *format.DateType:
		v.kind, v.date = vectorTime, true
	case *format.DecimalType:
		v.kind, l.scale = vectorText, int(x.Scale)
	}
	return l
}

func (t *parquetTable) columns() []string { return t.names }

func (t *parquetTable) use(columns []int) error {
	t.close()
	t.used, t.group, t.left, t.read1 = columns, 0, 0, 0
	return nil
}

func (t *parquetTable) done() float64 { return float64(t.read1) / float64(max(t.total, 1)) }

func (t *parquetTable) close() {
	for _, r := range t.open {
		r.Close()
	}
	t.open = nil
}

func (t *parquetTable) read(limit int, v []vector) (int, error) {
	return guarded("parquet", func() (int, error) { return t.readRows(limit, v) })
}

func (t *parquetTable) readRows(limit int, v []vector) (int, error) {
	for t.left == 0 {
		t.close()
		if t.group == len(t.groups) {
			return 0, io.EOF
		}
		g := t.groups[t.group]
		t.group++
		t.left = g.NumRows()
		chunks := g.ColumnChunks()
		for _, c := range t.used {
			t.open = append(t.open, parquet.NewColumnChunkValueReader(chunks[t.leaves[c].index]))
		}
	}
	n := int(min(int64(limit), t.left))
	if cap(t.values) < n {
		t.values = make([]parquet.Value, n)
	}
	for i, c := range t.used {
		if err := t.readColumn(t.open[i], &t.leaves[c], t.values[:n], &v[c]); err != nil {
			return 0, fmt.Errorf("parquet: column %s, row group %d: %w", t.names[c], t.group, err)
		}
	}
	t.left -= int64(n)
	t.read1 += int64(n)
	return n, nil
}

// readColumn fills v with len(values) values.
func (t *parquetTable) readColumn(r parquet.ColumnChunkValueReader, l *parquetLeaf, values []parquet.Value, v *vector) error {
	float, ints, text, null, arena := v.float[:0], v.int[:0], v.text[:0], v.null[:0], v.arena[:0]
	*v = l.vector
	v.arena = arena
	for len(values) > 0 {
		n, err := r.ReadValues(values)
		if n == 0 {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		for i := range values[:n] {
			x := &values[i]
			null = append(null, x.IsNull())
			switch v.kind {
			case vectorFloat:
				f := nan
				if !x.IsNull() && l.kind == parquet.Float {
					f = float64(x.Float())
				} else if !x.IsNull() {
					f = x.Double()
				}
				float = append(float, f)
			case vectorInt:
				ints = append(ints, l.integer(x))
			case vectorTime:
				ints = append(ints, l.millis(x))
			case vectorText:
				from := len(v.arena)
				v.arena = l.text(v.arena, x)
				text = append(text, v.arena[from:len(v.arena):len(v.arena)])
			}
		}
		values = values[n:]
	}
	v.float, v.int, v.text, v.null = float, ints, text, null
	return nil
}

func (l *parquetLeaf) integer(x *parquet.Value) int64 {
	switch {
	case x.IsNull():
		return 0
	case l.kind == parquet.Int32:
		return int64(x.Int32())
	case l.kind == parquet.Boolean:
		if x.Boolean() {
			return 1
		}
		return 0
	}
	return x.Int64()
}

// millis reads a timestamp or date as Unix milliseconds.
func (l *parquetLeaf) millis(x *parquet.Value) int64 {
	switch {
	case x.IsNull():
		return 0
	case l.vector.date:
		return int64(x.Int32()) * int64(series.Day)
	case l.kind == parquet.Int96:
		// nanoseconds of the day and Julian day, as Impala wrote them
		i := x.Int96()
		return (int64(i[2])-2440588)*int64(series.Day) + (int64(i[0])|int64(i[1])<<32)/1e6
	case l.unit == millis:
		return x.Int64()
	case l.unit == micros:
		return floorDiv(x.Int64(), 1e3)
	}
	return floorDiv(x.Int64(), 1e6)
}

// text appends the text of x to b.
func (l *parquetLeaf) text(b []byte, x *parquet.Value) []byte {
	if x.IsNull() {
		return b
	}
	if l.scale < 0 {
		return append(b, x.ByteArray()...)
	}
	n := new(big.Int)
	switch l.kind {
	case parquet.Int32:
		n.SetInt64(int64(x.Int32()))
	case parquet.Int64:
		n.SetInt64(x.Int64())
	default: // two's complement, big-endian
		v := x.ByteArray()
		n.SetBytes(v)
		if len(v) > 0 && v[0] >= 0x80 {
			n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(v))))
		}
	}
	return fmt.Appendf(b, "%de-%d", n, l.scale)
}
