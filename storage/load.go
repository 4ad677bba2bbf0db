package storage

import (
	"context"
	"fmt"
	"os"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// pebbleLoader writes one SSTable per keyspace, because a table whose keys
// reach from blocks to the registry would overlap every other one.
type pebbleLoader struct {
	p        *pebbleEngine
	w        *sstable.Writer
	space    byte
	paths    []string
	expected []expectation
	done     bool
}

func (l *pebbleLoader) Set(key, value []byte) error {
	if l.w == nil || key[0] != l.space {
		if err := l.finish(); err != nil {
			return err
		}
		path := l.p.fs.PathJoin(l.p.tmp, fmt.Sprintf("load-%d-%d.sst", os.Getpid(), l.p.loads.Add(1)))
		f, err := l.p.fs.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			return err
		}
		l.paths = append(l.paths, path)
		l.space = key[0]
		l.w = sstable.NewWriter(objstorageprovider.NewFileWritable(&bufferedFile{File: f}), sstable.WriterOptions{
			TableFormat: l.p.db.TableFormat(),
			Compression: sstable.NoCompression,
			BlockSize:   16 << 10,
		})
	}
	return l.w.Set(key, value)
}

func (l *pebbleLoader) Expect(key, value []byte) {
	l.expected = append(l.expected, expectation{key, value})
}

// finish closes the table under construction and makes it durable.
func (l *pebbleLoader) finish() error {
	if l.w == nil {
		return nil
	}
	err := l.w.Close()
	l.w = nil
	return err
}

// Finish ends the table under construction.
func (l *pebbleLoader) Finish() error { return l.finish() }

func (l *pebbleLoader) Redo() error {
	if err := l.finish(); err != nil {
		return err
	}
	n := len(l.paths) - 1
	path := l.paths[n]
	l.paths = l.paths[:n]
	return l.p.fs.Remove(path)
}

func (l *pebbleLoader) Commit() error {
	if err := l.finish(); err != nil {
		l.Abort()
		return err
	}
	l.p.mu.Lock()
	err := check(l.p, l.expected)
	if err == nil {
		err = l.p.db.Ingest(context.Background(), l.paths)
	}
	l.p.mu.Unlock()
	if err != nil {
		l.Abort()
		return err
	}
	l.done = true
	return nil
}

func (l *pebbleLoader) Abort() {
	if l.done {
		return
	}
	l.done = true
	if l.w != nil {
		_ = l.w.Close() // the file is removed next
		l.w = nil
	}
	for _, p := range l.paths {
		_ = l.p.fs.Remove(p) // left-overs are removed at the next open
	}
}

// bufferedFile gathers writes: tables come in pieces of 4 KiB, and a load of a
// year of minutes would be a thousand system calls.
type bufferedFile struct {
	vfs.File
	buf []byte
}

const fileBuffer = 256 << 10

func (f *bufferedFile) Write(p []byte) (int, error) {
	if f.buf == nil {
		f.buf = make([]byte, 0, fileBuffer)
	}
	if len(f.buf)+len(p) > cap(f.buf) {
		if err := f.flush(); err != nil {
			return 0, err
		}
	}
	if len(p) >= cap(f.buf) {
		return f.File.Write(p)
	}
	f.buf = append(f.buf, p...)
	return len(p), nil
}

func (f *bufferedFile) flush() error {
	_, err := f.File.Write(f.buf)
	f.buf = f.buf[:0]
	return err
}

func (f *bufferedFile) Sync() error {
	if err := f.flush(); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *bufferedFile) SyncData() error {
	if err := f.flush(); err != nil {
		return err
	}
	return f.File.SyncData()
}

func (f *bufferedFile) SyncTo(int64) (bool, error) { return true, f.Sync() }

func (f *bufferedFile) Close() error {
	err := f.flush()
	if cerr := f.File.Close(); err == nil {
		err = cerr
	}
	return err
}
