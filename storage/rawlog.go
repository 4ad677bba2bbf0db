package storage

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	pebblerecord "github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// scanLog reads a log without looking into its batches.
func scanLog(fs vfs.FS, path string) (recordScan, error) {
	num, ok := logNumber(fs.PathBase(path))
	if !ok {
		return recordScan{}, fmt.Errorf("%s is not the name of a log", path)
	}
	return walkLog(fs, path, num, nil)
}

func walkLog(fs vfs.FS, path string, num uint64, each func(record) error) (recordScan, error) {
	f, err := fs.Open(path)
	if err != nil {
		return recordScan{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return recordScan{}, err
	}
	s, err := walkRecords(f, info.Size(), false, uint32(num), each)
	if err != nil {
		return s, fmt.Errorf("read %s: %w", path, err)
	}
	return s, nil
}

// readLog hands every batch of a log that can be read to the function batch,
// in order; repr is valid until it returns.
//
// end is the offset behind the last record before the first bad place. damaged
// is set if what follows is not what a crash leaves of bytes that were never
// synced, or if bits had to be put back: then the batches behind the bad place
// are handed out too. Behind the torn end of a crash they are not, as Pebble
// would not replay them.
func readLog(fs vfs.FS, path string, batch func(seq uint64, repr []byte) error) (end int64, damaged bool, err error) {
	num, ok := logNumber(fs.PathBase(path))
	if !ok {
		return 0, false, fmt.Errorf("%s is not the name of a log", path)
	}
	return readNumberedLog(fs, path, num, batch)
}

// readNumberedLog is readLog for a file whose name does not tell its number.
func readNumberedLog(fs vfs.FS, path string, num uint64, batch func(seq uint64, repr []byte) error) (end int64, damaged bool, err error) {
	s, err := walkLog(fs, path, num, nil)
	if err != nil {
		return 0, false, err
	}
	damaged = s.damaged
	_, err = walkLog(fs, path, num, func(r record) error {
		if r.after && !s.damaged {
			return nil
		}
		if !wholeBatch(r.data) {
			damaged = true
			return nil
		}
		return batch(binary.LittleEndian.Uint64(r.data), r.data)
	})
	return s.end, damaged, err
}

// wholeBatch reports whether all entries of a batch can be read.
func wholeBatch(repr []byte) (ok bool) {
	defer func() {
		if recover() != nil { // the reader takes for granted that lengths are there
			ok = false
		}
	}()
	h, ok := batchrepr.ReadHeader(repr)
	if !ok {
		return false
	}
	n := uint32(0)
	for r := batchrepr.Read(repr); len(r) > 0; n++ {
		kind, _, _, ok, err := r.Next()
		if err != nil || !ok {
			return false
		}
		if kind == pebble.InternalKeyKindLogData {
			n-- // is not counted
		}
	}
	return n == h.Count
}

// logCut is what cutLog did.
type logCut struct {
	batches int   // that the new log holds
	bytes   int64 // of them
	mended  int   // bits put back
	end     int64 // offset of the first bad place of the old log
}

// cutLog copies the log name of the folder dir into the folder keep and writes
// it anew with every batch that can be read, those behind the damage included,
// so that Pebble replays it to its end.
func cutLog(fs vfs.FS, dir, name, keep string) (logCut, error) {
	path := fs.PathJoin(dir, name)
	num, ok := logNumber(name)
	if !ok {
		return logCut{}, fmt.Errorf("%s is not the name of a log", path)
	}
	s, err := scanLog(fs, path)
	if err != nil {
		return logCut{}, err
	}
	cut := logCut{mended: s.mended, end: s.end}
	if err := keepFile(fs, path, keep); err != nil {
		return cut, err
	}
	return cut, replaceFile(fs, path, func(f vfs.File) error {
		w := logWriter(pebblerecord.NewLogWriter, f, num)
		_, _, err := readLog(fs, path, func(_ uint64, repr []byte) error {
			cut.batches++
			cut.bytes += int64(len(repr))
			_, err := w.WriteRecord(repr)
			return err
		})
		if cerr := w.Close(); err == nil {
			err = cerr
		}
		return err
	})
}

// logWriter finds out the type of a file number, which has no name outside of
// Pebble. What it writes is synced by the caller.
func logWriter[N ~uint64](create func(io.Writer, N, pebblerecord.LogWriterConfig) *pebblerecord.LogWriter, w io.Writer, num uint64) *pebblerecord.LogWriter {
	return create(struct{ io.Writer }{w}, N(num), pebblerecord.LogWriterConfig{
		WriteWALSyncOffsets: func() bool { return true },
	})
}
