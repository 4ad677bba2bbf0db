package storage

import "github.com/cockroachdb/pebble/v2/vfs"

// modestFS is a filesystem on which files claim no room before they use it.
// Pebble asks for 17 MiB per log, more than a store of a few symbols ever
// fills; measured, an append is no slower without.
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

func (modestFile) Preallocate(int64, int64) error { return nil }
