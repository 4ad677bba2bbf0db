package barfile

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/barkeepdb/barkeep/series"
)

// entry is one file without compression and archive around it.
type entry struct {
	r *bufio.Reader
	// at reads anywhere in the same bytes; nil where they only stream.
	at   io.ReaderAt
	size int64 // of at
	// name is that inside of the archive, and outer that of the file.
	name, outer string
	inArchive   bool
}

// peek returns up to n bytes from the start and whether that is all.
func (e *entry) peek(n int) (b []byte, whole bool, err error) {
	b, err = e.r.Peek(n)
	if errors.Is(err, io.EOF) {
		return b, true, nil
	}
	return b, false, err
}

func mustPeek(e *entry) []byte {
	b, _ := e.r.Peek(3)
	return b
}

// date is the day of times since midnight: that of the options, of the entry
// name or of the file name.
func (e *entry) date(o Options) (days int64, ok bool, err error) {
	if o.Date != "" {
		t, err := time.Parse(time.DateOnly, o.Date)
		if err != nil {
			return 0, false, fmt.Errorf("--date %q: give YYYY-MM-DD", o.Date)
		}
		return int64(series.TimeOf(t) / series.Day), true, nil
	}
	for _, n := range []string{path.Base(e.name), path.Base(e.outer)} {
		if days, ok, _ = dateIn(n); ok {
			return days, true, nil
		}
	}
	return 0, false, nil
}

// peeler removes compression and archives, layer by layer.
type peeler struct {
	o      Options
	packed func() int64 // bytes of the input that were read
	layers []string
	closes []func() error
}

// maxLayers bounds what is packed inside of what.
const maxLayers = 5

// maxEntries bounds the entries of an archive: far above one per day of the
// longest history.
const maxEntries = 100_000

// peel returns the entries of what e holds, in the order of their names.
func (p *peeler) peel(e *entry) ([]opener, error) {
	for range maxLayers {
		head, _, err := e.peek(1024)
		if err != nil {
			return nil, err
		}
		is, err := sniff(head)
		if err != nil {
			return nil, err
		}
		switch is {
		case contentGzip:
			z, err := gzip.NewReader(e.r)
			if err != nil {
				return nil, fmt.Errorf("gzip: %w", err)
			}
			p.wrap(e, "gzip", z)
		case contentZstd:
			z, err := zstd.NewReader(e.r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
				zstd.WithDecoderMaxMemory(uint64(p.o.maxMemory())), zstd.WithDecoderMaxWindow(128<<20))
			if err != nil {
				return nil, fmt.Errorf("zstd: %w", err)
			}
			p.closes = append(p.closes, func() error { z.Close(); return nil })
			p.wrap(e, "zstd", z)
		case contentBzip2:
			p.wrap(e, "bzip2", bzip2.NewReader(e.r))
		case contentUTF16:
			p.wrap(e, "", &utf16Reader{r: e.r})
		case contentZip:
			p.layers = append(p.layers, "zip")
			return p.zip(e)
		case contentTar:
			p.layers = append(p.layers, "tar")
			return p.tar(e)
		default:
			return []opener{{name: e.name, open: func() (*entry, error) { return e, nil }}}, nil
		}
	}
	return nil, fmt.Errorf("more than %d archives are packed inside of each other", maxLayers)
}

// wrap replaces the bytes of e by what r makes of them.
func (p *peeler) wrap(e *entry, layer string, r io.Reader) {
	if layer != "" {
		p.layers = append(p.layers, layer)
	}
	if p.o.MaxBytes > 0 || p.o.MaxRatio > 0 {
		r = &capped{r: r, limit: p.o.MaxBytes, ratio: p.o.MaxRatio, packed: p.packed}
	}
	e.r, e.at, e.size = bufio.NewReaderSize(r, sampleBytes), nil, 0
}

// capped is an io.LimitReader that fails at its limits instead of ending.
type capped struct {
	r            io.Reader
	n            int64
	limit, ratio int64 // 0 is none
	packed       func() int64
}

// ratioFrom is from how many bytes on the ratio counts: less does not hurt.
const ratioFrom = 16 << 20

func (c *capped) Read(b []byte) (int, error) {
	if c.limit > 0 && c.n > c.limit {
		return 0, fmt.Errorf("the file unpacks to more than %d bytes", c.limit)
	}
	if c.ratio > 0 && c.n > ratioFrom && c.n/c.ratio > c.packed() {
		return 0, fmt.Errorf("the file unpacks to more than %d times its size: bars do not", c.ratio)
	}
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// opener is an entry that is not open yet.
type opener struct {
	name string
	size int64
	crc  uint32 // of zip entries, else 0
	open func() (*entry, error)
}

// entryMemory is about what archive/zip holds for an entry, of which an archive
// needs 46 bytes.
const entryMemory = 1 << 10

// directory bounds how much archive/zip reads before it hands out entries: it
// makes all of them, whatever the archive says of their number.
type directory struct {
	r    io.ReaderAt
	left int64
	open bool // the entries are known
}

func (d *directory) ReadAt(b []byte, at int64) (int, error) {
	if !d.open {
		if d.left -= int64(len(b)); d.left < 0 {
			return 0, errors.New("its list of entries is too long: split the archive")
		}
	}
	return d.r.ReadAt(b, at)
}

func (p *peeler) zip(e *entry) ([]opener, error) {
	at, size, err := p.readerAt(e)
	if err != nil {
		return nil, err
	}
	dir := &directory{r: at, left: 256<<10 + p.o.maxMemory()/entryMemory*46}
	z, err := zip.NewReader(dir, size)
	if err != nil {
		return nil, fmt.Errorf("zip: %w", err)
	}
	dir.open = true
	if len(z.File) > maxEntries {
		return nil, fmt.Errorf("the zip has %d entries, more than %d", len(z.File), maxEntries)
	}
	var all []opener
	for _, f := range z.File {
		if f.Name == "xl/workbook.xml" {
			return nil, fmt.Errorf("this is an Excel workbook: save it as CSV")
		}
		if f.FileInfo().IsDir() {
			continue
		}
		all = append(all, opener{name: f.Name, size: int64(f.UncompressedSize64), crc: f.CRC32, open: func() (*entry, error) {
			r, err := f.Open()
			if err != nil {
				return nil, fmt.Errorf("zip: %w", err)
			}
			p.closes = append(p.closes, r.Close)
			in := &entry{name: f.Name, outer: e.outer, inArchive: true}
			p.wrap(in, "", r)
			return in, nil
		}})
	}
	return all, nil
}

func (p *peeler) tar(e *entry) ([]opener, error) {
	// A tar has no directory: to take its entries by name they must be reached
	// at random.
	at, size, err := p.readerAt(e)
	if err != nil {
		return nil, err
	}
	in := io.NewSectionReader(at, 0, size)
	t := tar.NewReader(in)
	var all []opener
	names := int64(0)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("tar: %w", err)
		}
		if h.Typeflag != tar.TypeReg || h.Size == 0 {
			continue
		}
		if len(all) == maxEntries {
			return nil, fmt.Errorf("the tar has more than %d entries", maxEntries)
		}
		if names += int64(len(h.Name)); names > p.o.maxMemory()/8 {
			return nil, fmt.Errorf("the names in the tar have more than %d bytes", p.o.maxMemory()/8)
		}
		from, err := in.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		all = append(all, opener{name: h.Name, size: h.Size, open: func() (*entry, error) {
			part := io.NewSectionReader(at, from, h.Size)
			return &entry{
				r: bufio.NewReaderSize(part, sampleBytes), at: part, size: h.Size,
				name: h.Name, outer: e.outer, inArchive: true,
			}, nil
		}})
	}
}

// memorySpool is how much of a stream is kept in memory to be read at random;
// more goes to a temporary file.
const memorySpool = 8 << 20

// maxSpool bounds that temporary file.
const maxSpool = 16 << 30

// readerAt gives random access to e, from a copy if it only streams.
func (p *peeler) readerAt(e *entry) (io.ReaderAt, int64, error) {
	if e.at != nil {
		return e.at, e.size, nil
	}
	var head bytes.Buffer
	n, err := io.CopyN(&head, e.r, memorySpool)
	if errors.Is(err, io.EOF) {
		return bytes.NewReader(head.Bytes()), n, nil
	}
	if err != nil {
		return nil, 0, err
	}
	f, err := os.CreateTemp("", "barfile-*")
	if err != nil {
		return nil, 0, fmt.Errorf("temporary file: %w", err)
	}
	p.closes = append(p.closes, f.Close, func() error { return os.Remove(f.Name()) })
	n, err = io.Copy(f, io.MultiReader(&head, io.LimitReader(e.r, maxSpool)))
	if err != nil {
		return nil, 0, err
	}
	if n >= maxSpool {
		return nil, 0, fmt.Errorf("the stream is larger than %d bytes: write it to a file and give its name", int64(maxSpool))
	}
	return f, n, nil
}

// pick sorts the entries of an archive and leaves those that Options.Entry
// names, without the files that desktops add.
func pick(all []opener, pattern string) ([]opener, error) {
	var kept []opener
	exact, whole := strings.CutPrefix(pattern, "/")
	for _, e := range all {
		base := path.Base(e.name)
		if strings.HasPrefix(base, ".") || strings.HasPrefix(e.name, "__MACOSX/") || base == "Thumbs.db" {
			continue
		}
		if whole && e.name != exact {
			continue
		}
		if !whole && pattern != "" && e.name != pattern && base != pattern {
			a, err := path.Match(pattern, e.name)
			if err != nil {
				return nil, fmt.Errorf("--entry %q: %w", pattern, err)
			}
			if b, _ := path.Match(pattern, base); !a && !b {
				continue
			}
		}
		kept = append(kept, e)
	}
	slices.SortFunc(kept, func(a, b opener) int { return strings.Compare(a.name, b.name) })
	if len(kept) == 0 && pattern != "" {
		var names []string
		for _, e := range all {
			names = append(names, e.name)
		}
		return nil, fmt.Errorf("--entry %q: the archive has %s", pattern, list(names))
	}
	if len(kept) == 0 {
		return nil, errEmpty
	}
	return kept, nil
}

// list writes the first names of many.
func list(names []string) string {
	slices.Sort(names)
	if len(names) > 6 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:6], ", "), len(names)-6)
	}
	return strings.Join(names, ", ")
}
