package storage

import (
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

type SpaceState uint8

const (
	SpaceOK SpaceState = iota
	SpaceLow
	SpaceReadOnly
	SpaceFull
)

func (s SpaceState) String() string { return [...]string{"ok", "low", "read_only", "full"}[s] }

type guardOptions struct {
	Low, ReadOnly, Ballast int64
	OnChange               func(from, to SpaceState, u vfs.DiskUsage)
}

type guard struct{ fs vfs.FS }

func newGuard(inner vfs.FS, dir string, o guardOptions) *guard { return &guard{modestFS{inner}} }
func (g *guard) FS() vfs.FS                                    { return g.fs }
func (g *guard) waiting() (time.Duration, int)                 { return 0, 0 }
func (g *guard) space() (SpaceState, vfs.DiskUsage)            { return SpaceOK, vfs.DiskUsage{} }
func (g *guard) check()                                        {}
func (g *guard) start()                                        {}
func (g *guard) stop()                                         {}
func (g *guard) abort()                                        {}
