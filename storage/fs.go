package storage

import "github.com/cockroachdb/pebble/v2/vfs"

// maxPreallocate bounds the room that a log takes before it is used. Pebble
// asks for more than a memtable, 17 MiB, which a store of a few symbols would
// never fill.
const maxPreallocate = 1 << 20

// modestFS is a filesystem on which files claim little room in advance.
type modestFS struct{ vfs.FS }

func modest(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return modestFile{f}, nil
}

func (fs modestFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return modest(fs.FS.Create(name, c))
}

func (fs modestFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return modest(fs.FS.ReuseForWrite(old, name, c))
}

// Unwrap returns the filesystem below.
func (fs modestFS) Unwrap() vfs.FS { return fs.FS }

type modestFile struct{ vfs.File }

func (f modestFile) Preallocate(offset, length int64) error {
	return f.File.Preallocate(offset, min(length, maxPreallocate))
}
