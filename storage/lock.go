package storage

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// dirLock keeps a second process out of the folder of a store.
type dirLock struct {
	fs    vfs.FS
	file  io.Closer
	owner string // file that names who holds the lock; empty when read-only
}

// lockDir takes the lock of dir. The lock is the operating system's and goes
// with the process; the file beside it only tells who it was.
func lockDir(dir string, o Options) (*dirLock, error) {
	fs := o.FS
	if o.ReadOnly {
		if _, err := fs.Stat(dir); err != nil {
			return nil, fmt.Errorf("no store in %s: %w", dir, err)
		}
	} else if err := makeDir(fs, dir); err != nil {
		return nil, fmt.Errorf("create store folder %s: %w", dir, err)
	}
	owner := fs.PathJoin(dir, "owner")
	f, err := fs.Lock(fs.PathJoin(dir, "LOCK"))
	if err != nil {
		if who := readOwner(fs, owner); who != "" {
			return nil, &LockedError{Dir: dir, Owner: who}
		}
		return nil, fmt.Errorf("lock store %s: %w", dir, err)
	}
	l := &dirLock{fs: fs, file: f}
	if o.ReadOnly {
		return l, nil
	}
	l.owner = owner
	if err := writeOwner(fs, owner, o); err != nil && !noSpace(err) { // only a name
		l.release()
		return nil, fmt.Errorf("name the owner of store %s: %w", dir, err)
	}
	return l, nil
}

// makeDir creates dir and what is missing above it, and makes the entries
// durable: a folder whose parent was not synced can be gone after a power cut,
// with all that was written into it.
func makeDir(fs vfs.FS, dir string) error {
	var parents []string // of the folders to be created
	for at := dir; ; at = fs.PathDir(at) {
		if _, err := fs.Stat(at); err == nil || fs.PathDir(at) == at {
			break
		}
		parents = append(parents, fs.PathDir(at))
	}
	if len(parents) == 0 {
		return nil
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, p := range parents {
		if err := syncDir(fs, p); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil && dir == "." {
		d, err = fs.OpenDir("") // what an in-memory filesystem calls its root
	}
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

func writeOwner(fs vfs.FS, path string, o Options) error {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s (process %d, since %v)\n", o.Owner, os.Getpid(), o.Now())
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func readOwner(fs vfs.FS, path string) string {
	f, err := fs.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (l *dirLock) release() {
	if l.owner != "" {
		_ = l.fs.Remove(l.owner) // only a name; the lock is what counts
	}
	_ = l.file.Close() // the process no longer uses the store
}
