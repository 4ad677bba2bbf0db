package main

import (
	"database/sql/driver"
	"errors"
	"io"
	"iter"
	"path/filepath"
	"strings"

	"github.com/mattn/go-sqlite3"

	"github.com/barkeepdb/barkeep/bench"
	"github.com/barkeepdb/barkeep/series"
)

// sqliteEngine keeps one row per bar in a WITHOUT ROWID table, clustered by
// series and time. It uses the driver's own connections with prepared
// statements: database/sql in between would cost half of the speed.
type sqliteEngine struct {
	path  string
	write *sqliteConn
	read  [workers]*sqliteConn
	scan  [workers]series.Columns // of Read
}

// sqliteConn is a connection and its prepared statements, by their text.
type sqliteConn struct {
	*sqlite3.SQLiteConn
	prepared map[string]driver.Stmt
}

const sqliteSchema = `CREATE TABLE IF NOT EXISTS bars (
	id INTEGER, ts INTEGER, open REAL, high REAL, low REAL, close REAL, volume REAL,
	PRIMARY KEY (id, ts)) WITHOUT ROWID`

// sqliteBatch is how many rows one INSERT carries. Above a few hundred the
// cost of a call no longer shows.
const sqliteBatch = 250

func openSQLite(dir string) (Engine, error) {
	e := &sqliteEngine{path: filepath.Join(dir, "bars.db")}
	var err error
	if e.write, err = sqliteConnect(e.path); err != nil {
		return nil, err
	}
	if err := e.write.run("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", sqliteSchema); err != nil {
		return nil, err
	}
	for i := range e.read {
		if e.read[i], err = sqliteConnect(e.path); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func sqliteConnect(path string) (*sqliteConn, error) {
	c, err := (&sqlite3.SQLiteDriver{}).Open(path)
	if err != nil {
		return nil, err
	}
	conn := &sqliteConn{c.(*sqlite3.SQLiteConn), map[string]driver.Stmt{}}
	return conn, conn.run("PRAGMA cache_size=-262144", "PRAGMA mmap_size=4294967296", "PRAGMA temp_store=MEMORY")
}

// Close finishes the prepared statements and closes the connection.
func (c *sqliteConn) Close() error {
	for _, s := range c.prepared {
		if err := s.Close(); err != nil {
			return err
		}
	}
	return c.SQLiteConn.Close()
}

func (c *sqliteConn) run(statements ...string) error {
	for _, s := range statements {
		if _, err := c.Exec(s, nil); err != nil {
			return err
		}
	}
	return nil
}

func (c *sqliteConn) stmt(text string) (driver.Stmt, error) {
	if s, ok := c.prepared[text]; ok {
		return s, nil
	}
	s, err := c.Prepare(text)
	c.prepared[text] = s
	return s, err
}

// query calls each with every row of the answer.
func (c *sqliteConn) query(text string, args []driver.Value, each func(row []driver.Value)) error {
	s, err := c.stmt(text)
	if err != nil {
		return err
	}
	rows, err := s.Query(args)
	if err != nil {
		return err
	}
	defer rows.Close()
	row := make([]driver.Value, len(rows.Columns()))
	for {
		if err := rows.Next(row); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		each(row)
	}
}

// insert writes the bars by many rows a statement, inside the caller's
// transaction.
func (c *sqliteConn) insert(id int, bars *series.Columns) error {
	args := make([]driver.Value, 0, 7*sqliteBatch)
	for i := 0; i < bars.Len(); {
		n := min(sqliteBatch, bars.Len()-i)
		args = args[:0]
		for end := i + n; i < end; i++ {
			args = append(args, int64(id), int64(bars.Time[i]),
				bars.Open[i], bars.High[i], bars.Low[i], bars.Close[i], bars.Volume[i])
		}
		s, err := c.stmt("INSERT OR REPLACE INTO bars VALUES (?,?,?,?,?,?,?)" + strings.Repeat(",(?,?,?,?,?,?,?)", n-1))
		if err != nil {
			return err
		}
		if _, err := s.Exec(args); err != nil {
			return err
		}
	}
	return nil
}

// Load writes without a journal, as one does into a new database, and syncs
// the file at the end.
func (e *sqliteEngine) Load(all iter.Seq[*bench.Series]) error {
	for _, c := range e.read {
		if err := c.Close(); err != nil {
			return err
		}
	}
	if err := e.write.run("PRAGMA journal_mode=OFF", "PRAGMA synchronous=OFF", "BEGIN EXCLUSIVE"); err != nil {
		return err
	}
	id := 0
	for s := range all {
		if err := e.write.insert(id, &s.Bars); err != nil {
			return err
		}
		id++
	}
	if err := e.write.run("COMMIT", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"); err != nil {
		return err
	}
	for i := range e.read {
		var err error
		if e.read[i], err = sqliteConnect(e.path); err != nil {
			return err
		}
	}
	return syncPath(e.path)
}

const sqliteBars = "SELECT ts, open, high, low, close, volume FROM bars WHERE id = ? AND ts >= ? AND ts < ? ORDER BY ts"

func (e *sqliteEngine) Read(id int, span series.Span, dst *series.Columns) error {
	dst.Reset()
	if span.Len() < int64(7*series.Day) {
		return e.readInto(0, id, span, dst)
	}
	parts := split(span, workers)
	err := parallel(len(parts), func(w, i int) error {
		e.scan[i].Reset()
		return e.readInto(w, id, parts[i], &e.scan[i])
	})
	for i := range e.scan {
		appendColumns(dst, &e.scan[i])
	}
	return err
}

func (e *sqliteEngine) readInto(conn, id int, span series.Span, dst *series.Columns) error {
	return e.read[conn].query(sqliteBars, []driver.Value{int64(id), int64(span.From), int64(span.To)}, func(row []driver.Value) {
		appendRow(dst, row)
	})
}

// appendRow appends a row of time, open, high, low, close and volume.
func appendRow(dst *series.Columns, row []driver.Value) {
	dst.Time = append(dst.Time, series.Time(row[0].(int64)))
	dst.Open, dst.High = append(dst.Open, row[1].(float64)), append(dst.High, row[2].(float64))
	dst.Low, dst.Close = append(dst.Low, row[3].(float64)), append(dst.Close, row[4].(float64))
	dst.Volume = append(dst.Volume, row[5].(float64))
}

// Gaps fetches the times.
func (e *sqliteEngine) Gaps(ids []int) ([][]series.Run, error) {
	gaps := make([][]series.Run, len(ids))
	err := parallel(len(ids), func(w, i int) error {
		var g gapFinder
		var t [1]int64
		err := e.read[w].query("SELECT ts FROM bars WHERE id = ? ORDER BY ts", []driver.Value{int64(ids[i])}, func(row []driver.Value) {
			t[0] = row[0].(int64)
			g.add(t[:])
		})
		gaps[i] = g.gaps
		return err
	})
	return gaps, err
}

// sqliteHours finds the first and the last bar of each hour by their times and
// fetches the two by the key.
const sqliteHours = `SELECT h.hour * 3600000, a.open, h.high, h.low, z.close, h.volume FROM (
	SELECT ts / 3600000 AS hour, min(ts) AS first, max(ts) AS last, max(high) AS high, min(low) AS low, sum(volume) AS volume
	FROM bars WHERE id = ?1 GROUP BY hour) AS h
	JOIN bars AS a ON a.id = ?1 AND a.ts = h.first
	JOIN bars AS z ON z.id = ?1 AND z.ts = h.last
	ORDER BY h.hour`

func (e *sqliteEngine) Resample(id int, dst *series.Columns) error {
	dst.Reset()
	return e.read[0].query(sqliteHours, []driver.Value{int64(id)}, func(row []driver.Value) { appendRow(dst, row) })
}

func (e *sqliteEngine) Latest(ids []int) ([]series.Bar, error) {
	var c series.Columns
	bars := make([]series.Bar, len(ids))
	for i, id := range ids {
		c.Reset()
		err := e.read[0].query("SELECT ts, open, high, low, close, volume FROM bars WHERE id = ? ORDER BY ts DESC LIMIT 1",
			[]driver.Value{int64(id)}, func(row []driver.Value) { appendRow(&c, row) })
		if err != nil || c.Len() != 1 {
			return nil, err
		}
		bars[i] = c.Bar(0)
	}
	return bars, nil
}

func (e *sqliteEngine) Append(id int, b series.Bar) error {
	var c series.Columns
	c.Append(b)
	return e.write.insert(id, &c)
}

// AppendRelaxed commits every bar but leaves syncing to the system.
func (e *sqliteEngine) AppendRelaxed(id int, bars *series.Columns) error {
	if err := e.write.run("PRAGMA synchronous=OFF"); err != nil {
		return err
	}
	var c series.Columns
	for i := range bars.Time {
		c.Reset()
		c.Append(bars.Bar(i))
		if err := e.write.insert(id, &c); err != nil {
			return err
		}
	}
	return e.write.run("PRAGMA synchronous=FULL")
}

func (e *sqliteEngine) Backfill(id int, bars *series.Columns) error {
	if err := e.write.run("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := e.write.insert(id, bars); err != nil {
		return err
	}
	return e.write.run("COMMIT")
}

func (e *sqliteEngine) Close() error {
	for _, c := range e.read {
		if err := c.Close(); err != nil {
			return err
		}
	}
	return e.write.Close()
}
