package main

import (
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"unsafe"

	duck "github.com/duckdb/duckdb-go-bindings"

	"github.com/barkeepdb/barkeep/bench"
	"github.com/barkeepdb/barkeep/series"
)

// duckEngine keeps all bars in one table, loaded in the order of series and
// time so that the zone maps and the compression see sorted data. It speaks
// DuckDB's C interface: whole vectors in and out, which is several times
// faster than database/sql.
// Whole numbers scaled by hand take as much space there as doubles, which ALP
// scales by itself.
type duckEngine struct {
	db    duck.Database
	conns [workers]*duckConn
	times []int64 // of Gaps
}

// duckConn is a connection and its prepared statements, by their text.
type duckConn struct {
	conn     duck.Connection
	prepared map[string]duck.PreparedStatement
}

const duckSchema = `CREATE TABLE bars (id USMALLINT NOT NULL, ts BIGINT NOT NULL,
	open DOUBLE NOT NULL, high DOUBLE NOT NULL, low DOUBLE NOT NULL, close DOUBLE NOT NULL, volume DOUBLE NOT NULL)`

func openDuckDB(dir string) (Engine, error) {
	e := &duckEngine{}
	if duck.Open(filepath.Join(dir, "bars.duckdb"), &e.db) == duck.StateError {
		return nil, errors.New("open duckdb")
	}
	for i := range e.conns {
		c := &duckConn{prepared: map[string]duck.PreparedStatement{}}
		if duck.Connect(e.db, &c.conn) == duck.StateError {
			return nil, errors.New("connect to duckdb")
		}
		e.conns[i] = c
	}
	return e, e.conns[0].run(fmt.Sprintf("SET threads = %d", workers), "SET checkpoint_threshold = '4GB'", duckSchema)
}

func (c *duckConn) run(statements ...string) error {
	for _, s := range statements {
		var res duck.Result
		state := duck.Query(c.conn, s, &res)
		text := duck.ResultError(&res)
		duck.DestroyResult(&res)
		if state == duck.StateError {
			return fmt.Errorf("%s: %s", s, text)
		}
	}
	return nil
}

func (c *duckConn) stmt(text string) (duck.PreparedStatement, error) {
	if s, ok := c.prepared[text]; ok {
		return s, nil
	}
	var s duck.PreparedStatement
	if duck.Prepare(c.conn, text, &s) == duck.StateError {
		return s, fmt.Errorf("%s: %s", text, duck.PrepareError(s))
	}
	c.prepared[text] = s
	return s, nil
}

// query calls each with every chunk of the answer, which is valid for the call.
func (c *duckConn) query(text string, args []int64, each func(chunk duck.DataChunk)) error {
	s, err := c.stmt(text)
	if err != nil {
		return err
	}
	for i, v := range args {
		if duck.BindInt64(s, duck.IdxT(i+1), v) == duck.StateError {
			return fmt.Errorf("%s: bind %d", text, i+1)
		}
	}
	return duckExecute(text, s, each)
}

func duckExecute(text string, s duck.PreparedStatement, each func(chunk duck.DataChunk)) error {
	var res duck.Result
	state := duck.ExecutePrepared(s, &res)
	defer duck.DestroyResult(&res)
	if state == duck.StateError {
		return fmt.Errorf("%s: %s", text, duck.ResultError(&res))
	}
	for each != nil {
		chunk := duck.FetchChunk(res)
		if chunk.Ptr == nil {
			break
		}
		each(chunk)
		duck.DestroyDataChunk(&chunk)
	}
	return nil
}

// duckColumn is column i of a chunk, without a copy.
func duckColumn[T any](chunk duck.DataChunk, i, n int) []T {
	return unsafe.Slice((*T)(duck.VectorGetData(duck.DataChunkGetVector(chunk, duck.IdxT(i)))), n)
}

// appendChunk appends rows of time, open, high, low, close and volume.
func appendChunk(dst *series.Columns, chunk duck.DataChunk) {
	n := int(duck.DataChunkGetSize(chunk))
	dst.Time = append(dst.Time, duckColumn[series.Time](chunk, 0, n)...)
	for i, col := range [...]*[]float64{&dst.Open, &dst.High, &dst.Low, &dst.Close, &dst.Volume} {
		*col = append(*col, duckColumn[float64](chunk, i+1, n)...)
	}
}

// insert appends the bars through an appender, by whole vectors.
func (c *duckConn) insert(id int, bars *series.Columns) error {
	var a duck.Appender
	if duck.AppenderCreateExt(c.conn, "", "", "bars", &a) == duck.StateError {
		return errors.New("create a duckdb appender")
	}
	defer duck.AppenderDestroy(&a)
	types := make([]duck.LogicalType, duck.AppenderColumnCount(a))
	for i := range types {
		types[i] = duck.AppenderColumnType(a, duck.IdxT(i))
		defer duck.DestroyLogicalType(&types[i])
	}
	chunk := duck.CreateDataChunk(types)
	defer duck.DestroyDataChunk(&chunk)
	size := int(duck.VectorSize())
	for i := 0; i < bars.Len(); i += size {
		n := min(size, bars.Len()-i)
		duck.DataChunkReset(chunk)
		ids := duckColumn[uint16](chunk, 0, n)
		for k := range ids {
			ids[k] = uint16(id)
		}
		copy(duckColumn[series.Time](chunk, 1, n), bars.Time[i:])
		for k, col := range [...][]float64{bars.Open, bars.High, bars.Low, bars.Close, bars.Volume} {
			copy(duckColumn[float64](chunk, k+2, n), col[i:])
		}
		duck.DataChunkSetSize(chunk, duck.IdxT(n))
		if duck.AppendDataChunk(a, chunk) == duck.StateError {
			return errors.New(duck.AppenderError(a))
		}
	}
	if duck.AppenderFlush(a) == duck.StateError {
		return errors.New(duck.AppenderError(a))
	}
	return nil
}

// Load appends one series a transaction: a transaction of more than a row group
// writes compressed blocks at once, without the log.
func (e *duckEngine) Load(all iter.Seq[*bench.Series]) error {
	err := loadEach(all, func(w, id int, s *bench.Series) error {
		c := e.conns[w]
		if err := c.run("BEGIN"); err != nil {
			return err
		}
		if err := c.insert(id, &s.Bars); err != nil {
			return err
		}
		return c.run("COMMIT")
	})
	if err != nil {
		return err
	}
	return e.conns[0].run("CHECKPOINT")
}

// Read leaves out ORDER BY, which would cost more than the scan: a scan keeps
// the order of insertion, and only what was back-filled has to be moved.
func (e *duckEngine) Read(id int, span series.Span, dst *series.Columns) error {
	dst.Reset()
	err := e.conns[0].query("SELECT ts, open, high, low, close, volume FROM bars WHERE id = ? AND ts >= ? AND ts < ?",
		[]int64{int64(id), int64(span.From), int64(span.To)}, func(chunk duck.DataChunk) { appendChunk(dst, chunk) })
	if err == nil && !slices.IsSorted(dst.Time) {
		sortColumns(dst)
	}
	return err
}

// sortColumns sorts bars by time.
func sortColumns(c *series.Columns) {
	order := make([]int, c.Len())
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return int(c.Time[a] - c.Time[b]) })
	c.Time = pick(c.Time, order)
	for _, col := range [...]*[]float64{&c.Open, &c.High, &c.Low, &c.Close, &c.Volume} {
		*col = pick(*col, order)
	}
}

func pick[T any](col []T, order []int) []T {
	picked := make([]T, len(col))
	for i, k := range order {
		picked[i] = col[k]
	}
	return picked
}

// Gaps fetches the times, which takes a fraction of what lag() over a window
// takes.
func (e *duckEngine) Gaps(ids []int) ([][]series.Run, error) {
	gaps := make([][]series.Run, len(ids))
	for i, id := range ids {
		times := e.times[:0]
		err := e.conns[0].query("SELECT ts FROM bars WHERE id = ?", []int64{int64(id)}, func(chunk duck.DataChunk) {
			times = append(times, duckColumn[int64](chunk, 0, int(duck.DataChunkGetSize(chunk)))...)
		})
		if err != nil {
			return nil, err
		}
		e.times = times
		if !slices.IsSorted(times) {
			slices.Sort(times)
		}
		var g gapFinder
		g.add(times)
		gaps[i] = g.gaps
	}
	return gaps, nil
}

const duckHours = `SELECT ts // 3600000 * 3600000 AS hour, arg_min(open, ts), max(high), min(low), arg_max(close, ts), sum(volume)
	FROM bars WHERE id = ? GROUP BY hour ORDER BY hour`

func (e *duckEngine) Resample(id int, dst *series.Columns) error {
	dst.Reset()
	return e.conns[0].query(duckHours, []int64{int64(id)}, func(chunk duck.DataChunk) { appendChunk(dst, chunk) })
}

const duckLatest = `SELECT b.ts, open, high, low, close, volume, b.id
	FROM bars b JOIN (SELECT id, max(ts) AS ts FROM bars GROUP BY id) m ON b.id = m.id AND b.ts = m.ts`

// Latest joins on the newest time of every series, which takes a quarter of
// arg_max over whole rows and less than a query for each series.
func (e *duckEngine) Latest(ids []int) ([]series.Bar, error) {
	newest := map[int]series.Bar{}
	err := e.conns[0].query(duckLatest, nil, func(chunk duck.DataChunk) {
		var bars series.Columns
		appendChunk(&bars, chunk)
		for i, id := range duckColumn[uint16](chunk, 6, bars.Len()) {
			newest[int(id)] = bars.Bar(i)
		}
	})
	bars := make([]series.Bar, len(ids))
	for i, id := range ids {
		bars[i] = newest[id]
	}
	return bars, err
}

const duckInsert = "INSERT INTO bars VALUES (?, ?, ?, ?, ?, ?, ?)"

func (e *duckEngine) Append(id int, b series.Bar) error {
	s, err := e.conns[0].stmt(duckInsert)
	if err != nil {
		return err
	}
	duck.BindInt64(s, 1, int64(id))
	duck.BindInt64(s, 2, int64(b.Time))
	for i, v := range [...]float64{b.Open, b.High, b.Low, b.Close, b.Volume} {
		duck.BindDouble(s, duck.IdxT(i+3), v)
	}
	return duckExecute(duckInsert, s, nil)
}

// AppendRelaxed is not offered: DuckDB has no commit without a sync.
func (e *duckEngine) AppendRelaxed(int, *series.Columns) error { return errNotOffered }

func (e *duckEngine) Backfill(id int, bars *series.Columns) error {
	return e.conns[0].insert(id, bars)
}

func (e *duckEngine) Close() error {
	for _, c := range e.conns {
		for _, s := range c.prepared {
			duck.DestroyPrepare(&s)
		}
		duck.Disconnect(&c.conn)
	}
	duck.Close(&e.db)
	return nil
}
