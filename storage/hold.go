package storage

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// holdCleaner removes the files that Pebble no longer needs. While it holds, it
// moves them into a folder instead: what a wrong start of the database takes
// for garbage can then be had back.
//
// The zero value removes.
type holdCleaner struct {
	mu   sync.Mutex
	fs   vfs.FS
	dir  string // empty while it does not hold
	held int
}

// cleaner is what the options of Pebble take.
func (c *holdCleaner) cleaner() pebble.Cleaner {
	return typedCleaner(c, pebble.ArchiveCleaner{}.Clean)
}

// typedCleaner finds out the type of the second argument of Clean, which has no
// name outside of Pebble.
func typedCleaner[T any](c *holdCleaner, _ func(vfs.FS, T, string) error) pebble.Cleaner {
	return any(&pebbleCleaner[T]{c: c}).(pebble.Cleaner)
}

// pebbleCleaner embeds ArchiveCleaner for a method that cannot be written
// outside of Pebble and that keeps logs from being used again: what is left of
// an older log behind the end of a newer one could not be told from damage.
type pebbleCleaner[T any] struct {
	pebble.ArchiveCleaner
	c *holdCleaner
}

func (p *pebbleCleaner[T]) Clean(fs vfs.FS, _ T, path string) error { return p.c.clean(fs, path) }

// String is the name that the OPTIONS file gets, one of those that Pebble
// knows when it reads the file back.
func (*pebbleCleaner[T]) String() string { return "delete" }

// hold makes files go into dir from now on; it creates dir.
func (c *holdCleaner) hold(fs vfs.FS, dir string) error {
	if err := makeDir(fs, dir); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fs, c.dir = fs, dir
	return nil
}

func (c *holdCleaner) clean(fs vfs.FS, path string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dir == "" || fs.PathDir(path) == c.dir {
		return fs.Remove(path)
	}
	to := freeName(fs, c.dir, fs.PathBase(path))
	if err := fs.Rename(path, to); err != nil {
		return err
	}
	c.held++
	return nil
}

// release ends the holding and removes what was held. Nothing waits for it:
// call it in the background if the files are many.
func (c *holdCleaner) release() error {
	fs, dir := c.stop()
	if dir == "" {
		return nil
	}
	return fs.RemoveAll(dir)
}

// keepHeld ends the holding and moves what was held into the folder to, which
// must not exist. It reports how many files there are.
func (c *holdCleaner) keepHeld(to string) (int, error) {
	fs, dir := c.stop()
	if dir == "" {
		return 0, nil
	}
	names, err := fs.List(dir)
	if err != nil {
		return 0, err
	}
	if len(names) == 0 {
		return 0, fs.RemoveAll(dir)
	}
	if err := makeDir(fs, fs.PathDir(to)); err != nil {
		return 0, err
	}
	if err := fs.Rename(dir, to); err != nil {
		return 0, err
	}
	return len(names), syncDir(fs, fs.PathDir(to))
}

func (c *holdCleaner) stop() (vfs.FS, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fs, dir := c.fs, c.dir
	c.dir = ""
	return fs, dir
}
