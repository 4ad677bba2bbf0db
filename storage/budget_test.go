package storage

import (
	"os"
	"path"
	"strings"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// inodeCost is what a file costs on a budgetFS beside its bytes.
const inodeCost = 512

// budgetFS is a filesystem of a given size over one in memory. Writes use what
// is left and fail in the middle, as on a disk.
type budgetFS struct {
	vfs.FS

	mu    sync.Mutex
	total int64
	used  int64
	files map[string]*budgetInode
	full  error // what a lack of space is called
	// claims makes Preallocate take room, as fallocate does.
	claims bool
	fail   func(op, name string) error // nil passes
	tries  int                         // operations that need space
	lacked map[string]int              // those that lacked it, by kind of file
}

type budgetInode struct {
	size, links int64
	claimed     int64
}

func newBudgetFS(total int64) *budgetFS {
	return &budgetFS{
		FS: vfs.NewCrashableMem(), total: total, full: syscall.ENOSPC,
		files: map[string]*budgetInode{}, lacked: map[string]int{},
	}
}

// resize makes the disk larger or smaller.
func (b *budgetFS) resize(total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total = total
}

// fill leaves avail bytes free and nothing more.
func (b *budgetFS) fill(avail int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total = b.used + avail
}

func (b *budgetFS) setFail(f func(op, name string) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail = f
}

func (b *budgetFS) triesSoFar() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tries
}

// size returns the bytes that the file at name holds; 0 if there is none.
func (b *budgetFS) size(name string) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := b.files[name]; i != nil {
		return max(i.size, i.claimed)
	}
	return 0
}

func (b *budgetFS) failing(op, name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail == nil {
		return nil
	}
	return b.fail(op, name)
}

func (b *budgetFS) lackLocked(op, name string) error {
	kind := path.Ext(name)
	if kind == "" {
		kind, _, _ = strings.Cut(path.Base(name), "-")
	}
	b.lacked[op+" "+kind]++
	return &os.PathError{Op: op, Path: name, Err: b.full}
}

// takeLocked returns how many of n bytes there is room for.
func (b *budgetFS) takeLocked(n int64) int64 {
	n = max(0, min(n, b.total-b.used))
	b.used += n
	return n
}

func (b *budgetFS) unlinkLocked(name string) {
	i := b.files[name]
	if i == nil {
		return
	}
	delete(b.files, name)
	if i.links--; i.links == 0 {
		b.used -= max(i.size, i.claimed) + inodeCost
	}
}

func (b *budgetFS) inode(name string, fresh bool) (*budgetInode, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries++
	if i := b.files[name]; i != nil && !fresh {
		return i, nil
	}
	if b.total-b.used < inodeCost {
		return nil, b.lackLocked("create", name)
	}
	b.unlinkLocked(name)
	b.used += inodeCost
	i := &budgetInode{links: 1}
	b.files[name] = i
	return i, nil
}

func (b *budgetFS) open(op, name string, fresh bool, open func() (vfs.File, error)) (vfs.File, error) {
	if err := b.failing(op, name); err != nil {
		return nil, err
	}
	i, err := b.inode(name, fresh)
	if err != nil {
		return nil, err
	}
	f, err := open()
	if err != nil {
		return nil, err
	}
	return &budgetFile{File: f, b: b, i: i, name: name}, nil
}

func (b *budgetFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return b.open("create", name, true, func() (vfs.File, error) { return b.FS.Create(name, c) })
}

func (b *budgetFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return b.open("create", name, false, func() (vfs.File, error) { return b.FS.OpenReadWrite(name, c, o...) })
}

func (b *budgetFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	b.moved(old, name)
	return b.open("create", name, false, func() (vfs.File, error) { return b.FS.ReuseForWrite(old, name, c) })
}

func (b *budgetFS) moved(old, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := b.files[old]; i != nil {
		b.unlinkLocked(name)
		delete(b.files, old)
		b.files[name] = i
	}
}

func (b *budgetFS) Link(old, name string) error {
	if err := b.failing("link", name); err != nil {
		return err
	}
	if err := b.FS.Link(old, name); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := b.files[old]; i != nil {
		i.links++
		b.files[name] = i
	}
	return nil
}

func (b *budgetFS) Rename(old, name string) error {
	if err := b.failing("rename", name); err != nil {
		return err
	}
	if err := b.FS.Rename(old, name); err != nil {
		return err
	}
	b.moved(old, name)
	return nil
}

func (b *budgetFS) MkdirAll(dir string, perm os.FileMode) error {
	if err := b.failing("mkdir", dir); err != nil {
		return err
	}
	return b.FS.MkdirAll(dir, perm)
}

func (b *budgetFS) Remove(name string) error {
	if err := b.failing("remove", name); err != nil {
		return err
	}
	if err := b.FS.Remove(name); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unlinkLocked(name)
	return nil
}

func (b *budgetFS) RemoveAll(dir string) error {
	if err := b.FS.RemoveAll(dir); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for name := range b.files {
		if name == dir || strings.HasPrefix(name, dir+"/") {
			b.unlinkLocked(name)
		}
	}
	return nil
}

func (b *budgetFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return vfs.DiskUsage{
		TotalBytes: uint64(b.total), UsedBytes: uint64(b.used), AvailBytes: uint64(max(0, b.total-b.used)),
	}, nil
}

func (b *budgetFS) Unwrap() vfs.FS { return b.FS }

type budgetFile struct {
	vfs.File
	b    *budgetFS
	i    *budgetInode
	name string
	pos  int64
}

// grow returns how many of n bytes at off there is room for.
func (f *budgetFile) grow(off, n int64) (int64, error) {
	f.b.mu.Lock()
	defer f.b.mu.Unlock()
	f.b.tries++
	held := max(f.i.size, f.i.claimed)
	need := max(0, off+n-held)
	got := f.b.takeLocked(need)
	n -= need - got
	f.i.size = max(f.i.size, off+n)
	if got < need {
		return max(0, n), f.b.lackLocked("write", f.name)
	}
	return n, nil
}

func (f *budgetFile) Write(p []byte) (int, error) {
	if err := f.b.failing("write", f.name); err != nil {
		return 0, err
	}
	room, full := f.grow(f.pos, int64(len(p)))
	n, err := f.File.Write(p[:room])
	f.pos += int64(n)
	if err == nil {
		err = full
	}
	return n, err
}

func (f *budgetFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.b.failing("write", f.name); err != nil {
		return 0, err
	}
	room, full := f.grow(off, int64(len(p)))
	n, err := f.File.WriteAt(p[:room], off)
	if err == nil {
		err = full
	}
	return n, err
}

func (f *budgetFile) Preallocate(off, n int64) error {
	f.b.mu.Lock()
	defer f.b.mu.Unlock()
	if !f.b.claims {
		return nil
	}
	need := max(0, off+n-max(f.i.size, f.i.claimed))
	if f.b.total-f.b.used < need {
		return f.b.full
	}
	f.b.used += need
	f.i.claimed = max(f.i.claimed, off+n)
	return nil
}

func (f *budgetFile) Sync() error {
	if err := f.b.failing("sync", f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *budgetFile) SyncData() error {
	if err := f.b.failing("sync", f.name); err != nil {
		return err
	}
	return f.File.SyncData()
}

func (f *budgetFile) Close() error {
	if err := f.b.failing("close", f.name); err != nil {
		return err
	}
	return f.File.Close()
}
