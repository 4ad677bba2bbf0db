package storage_test

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ioKind is what a call does to a file.
type ioKind string

const (
	ioCreate ioKind = "create"
	ioOpen   ioKind = "open"
	ioRead   ioKind = "read"
	ioWrite  ioKind = "write"
	ioSync   ioKind = "sync"
	ioClose  ioKind = "close"
	ioRename ioKind = "rename"
	ioRemove ioKind = "remove"
	ioLink   ioKind = "link"
	ioList   ioKind = "list"
	ioStat   ioKind = "stat"
	ioMkdir  ioKind = "mkdir"
	ioLock   ioKind = "lock"
)

// ioClass is what a file is for.
type ioClass string

const (
	fileTable    ioClass = "sst"
	fileLog      ioClass = "log"
	fileManifest ioClass = "MANIFEST"
	fileOptions  ioClass = "OPTIONS"
	fileMarker   ioClass = "marker"
	fileHead     ioClass = "HEAD"
	fileTrail    ioClass = "trail"
	fileOwner    ioClass = "owner"
	fileBackup   ioClass = "backup"
	fileOther    ioClass = "other"
	fileDir      ioClass = "dir"
)

// backupDir is where the torture tests put backups and checkpoints.
const backupDir = "backup"

// classOf tells the class of a file by its path.
func classOf(path string) ioClass {
	if path == backupDir || strings.HasPrefix(path, backupDir+"/") {
		return fileBackup
	}
	base := path[strings.LastIndexByte(path, '/')+1:]
	switch {
	case strings.HasSuffix(base, ".sst"), strings.HasSuffix(base, ".blob"):
		return fileTable
	case strings.HasSuffix(base, ".log"):
		return fileLog
	case strings.HasPrefix(base, "MANIFEST-"):
		return fileManifest
	case strings.HasPrefix(base, "OPTIONS-"), strings.HasSuffix(base, ".dbtmp"):
		return fileOptions
	case strings.HasPrefix(base, "marker."):
		return fileMarker
	case strings.HasPrefix(base, "HEAD"):
		return fileHead
	case strings.HasPrefix(base, "trail"):
		return fileTrail
	case base == "LOCK", base == "owner":
		return fileOwner
	}
	return fileOther
}

type ioCall struct {
	kind  ioKind
	class ioClass
}

// mutates reports whether a crash right before the call may leave something
// else than a crash right after it.
func (c ioCall) mutates() bool {
	switch c.kind {
	case ioCreate, ioWrite, ioSync, ioRename, ioRemove, ioLink, ioMkdir:
		return true
	}
	return false
}

// fault says which calls fail and how.
type fault struct {
	match ioCall
	nth   int // the first that fails, from 1
	times int // how many in a row fail
	err   error
	short bool // half of a write gets through
}

func (f *fault) String() string {
	what := f.err.Error()
	if f.short {
		what = "short write"
	}
	return fmt.Sprintf("%s/%s/%s/%d", f.match.class, f.match.kind, what, f.nth)
}

// faultFS is a filesystem whose calls fail as a test wants. The injector of
// Pebble, errorfs, lets files through that ReuseForWrite returns, and its
// random choices cannot be repeated.
type faultFS struct {
	vfs.FS
	*ioControl
}

// ioControl is the hand on a faultFS, from any goroutine.
type ioControl struct {
	dead  atomic.Bool
	calls atomic.Int64 // of all kinds

	mu    sync.Mutex // guards what follows
	fault *fault
	seen  int // calls that matched
	hits  int // calls that failed, since the filesystem was made
	count map[ioCall]int
	probe func()
	until int // mutating calls until the probe is called
}

func newFaultFS(fs vfs.FS) *faultFS {
	return &faultFS{fs, &ioControl{count: map[ioCall]int{}}}
}

// arm makes calls fail, until the next arm; nil is none.
func (c *ioControl) arm(f *fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault, c.seen = f, 0
}

// failed is the number of calls that failed so far.
func (c *ioControl) failed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hits
}

// atCall calls probe before the n-th mutating call from now; with a nil probe
// none is called any more.
func (c *ioControl) atCall(n int, probe func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until, c.probe = n, probe
}

// kill makes every call from now on wait for ever: the machine is off.
func (c *ioControl) kill() { c.dead.Store(true) }

// before is called before every call; the call must fail with the error.
func (c *ioControl) before(kind ioKind, class ioClass, path string) (err error, short bool) {
	if c.dead.Load() {
		select {}
	}
	c.calls.Add(1)
	call := ioCall{kind, class}
	c.mu.Lock()
	c.count[call]++
	var probe func()
	if c.probe != nil && call.mutates() {
		if c.until--; c.until <= 0 {
			probe, c.probe = c.probe, nil
		}
	}
	f := c.fault
	if f != nil && f.match == call {
		c.seen++
		if c.seen >= f.nth && c.seen < f.nth+f.times {
			c.hits++
			err, short = &os.PathError{Op: string(kind), Path: path, Err: f.err}, f.short
		}
	}
	c.mu.Unlock()
	if probe != nil {
		probe()
	}
	if c.dead.Load() {
		select {}
	}
	return err, short
}

func (fs *faultFS) on(kind ioKind, path string) error {
	err, _ := fs.before(kind, classOf(path), path)
	return err
}

func (fs *faultFS) file(f vfs.File, err error, class ioClass, path string) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &faultFile{f, fs.ioControl, class, path}, nil
}

func (fs *faultFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.on(ioCreate, name); err != nil {
		return nil, err
	}
	f, err := fs.FS.Create(name, c)
	return fs.file(f, err, classOf(name), name)
}

func (fs *faultFS) Link(old, name string) error {
	if err := fs.on(ioLink, name); err != nil {
		return err
	}
	return fs.FS.Link(old, name)
}

func (fs *faultFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := fs.on(ioOpen, name); err != nil {
		return nil, err
	}
	f, err := fs.FS.Open(name, opts...)
	return fs.file(f, err, classOf(name), name)
}

func (fs *faultFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if err := fs.on(ioCreate, name); err != nil {
		return nil, err
	}
	f, err := fs.FS.OpenReadWrite(name, c, opts...)
	return fs.file(f, err, classOf(name), name)
}

func (fs *faultFS) OpenDir(name string) (vfs.File, error) {
	if err, _ := fs.before(ioOpen, fileDir, name); err != nil {
		return nil, err
	}
	f, err := fs.FS.OpenDir(name)
	return fs.file(f, err, fileDir, name)
}

func (fs *faultFS) Remove(name string) error {
	if err := fs.on(ioRemove, name); err != nil {
		return err
	}
	return fs.FS.Remove(name)
}

func (fs *faultFS) RemoveAll(name string) error {
	if err := fs.on(ioRemove, name); err != nil {
		return err
	}
	return fs.FS.RemoveAll(name)
}

func (fs *faultFS) Rename(old, name string) error {
	if err := fs.on(ioRename, name); err != nil {
		return err
	}
	return fs.FS.Rename(old, name)
}

func (fs *faultFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := fs.on(ioCreate, name); err != nil {
		return nil, err
	}
	f, err := fs.FS.ReuseForWrite(old, name, c)
	return fs.file(f, err, classOf(name), name)
}

func (fs *faultFS) MkdirAll(dir string, perm os.FileMode) error {
	if err, _ := fs.before(ioMkdir, fileDir, dir); err != nil {
		return err
	}
	return fs.FS.MkdirAll(dir, perm)
}

func (fs *faultFS) Lock(name string) (io.Closer, error) {
	if err := fs.on(ioLock, name); err != nil {
		return nil, err
	}
	return fs.FS.Lock(name)
}

func (fs *faultFS) List(dir string) ([]string, error) {
	if err, _ := fs.before(ioList, fileDir, dir); err != nil {
		return nil, err
	}
	return fs.FS.List(dir)
}

func (fs *faultFS) Stat(name string) (vfs.FileInfo, error) {
	if err := fs.on(ioStat, name); err != nil {
		return nil, err
	}
	return fs.FS.Stat(name)
}

// Unwrap returns the filesystem below.
func (fs *faultFS) Unwrap() vfs.FS { return fs.FS }

type faultFile struct {
	vfs.File
	c     *ioControl
	class ioClass
	path  string
}

func (f *faultFile) on(kind ioKind) error {
	err, _ := f.c.before(kind, f.class, f.path)
	return err
}

func (f *faultFile) Read(p []byte) (int, error) {
	if err := f.on(ioRead); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.on(ioRead); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultFile) Write(p []byte) (int, error) {
	err, short := f.c.before(ioWrite, f.class, f.path)
	switch {
	case err == nil:
		return f.File.Write(p)
	case short:
		n, werr := f.File.Write(p[:len(p)/2])
		if werr != nil {
			err = werr
		}
		return n, err
	}
	return 0, err
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	err, short := f.c.before(ioWrite, f.class, f.path)
	switch {
	case err == nil:
		return f.File.WriteAt(p, off)
	case short:
		n, werr := f.File.WriteAt(p[:len(p)/2], off)
		if werr != nil {
			err = werr
		}
		return n, err
	}
	return 0, err
}

func (f *faultFile) Stat() (vfs.FileInfo, error) {
	if err := f.on(ioStat); err != nil {
		return nil, err
	}
	return f.File.Stat()
}

func (f *faultFile) Sync() error {
	if err := f.on(ioSync); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultFile) SyncData() error {
	if err := f.on(ioSync); err != nil {
		return err
	}
	return f.File.SyncData()
}

func (f *faultFile) SyncTo(n int64) (bool, error) {
	if err := f.on(ioSync); err != nil {
		return false, err
	}
	return f.File.SyncTo(n)
}

// Close closes the file even if it fails, as close(2) does.
func (f *faultFile) Close() error {
	ferr := f.on(ioClose)
	if err := f.File.Close(); err != nil {
		return err
	}
	return ferr
}

// Errors that a disk gives.
var (
	errDisk error = syscall.EIO
	errFull error = syscall.ENOSPC
)
