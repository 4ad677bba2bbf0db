package barfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Parquet readers allocate what a file declares: eight bytes can ask for
// gigabytes. checkParquet reads the declarations itself, with nothing but
// bounds in mind, before any byte is handed to a decoder.
//
// The layout is that of parquet.thrift in the compact protocol of Thrift:
// https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift

// maxPageValues bounds the values of a page; writers put up to a few hundred
// thousand into one.
const maxPageValues = 32 << 20

// chunk is what a footer says about one column of one row group.
type chunk struct {
	codec, values, compressed, uncompressed, data, dictionary int64
}

// checkParquet returns an error if a declared size exceeds what the file can
// hold or what memory allows.
func checkParquet(r io.ReaderAt, size, memory int64) error {
	var tail [8]byte
	if size < 12 {
		return fmt.Errorf("parquet: the file has %d bytes, too few for a footer: it is cut off", size)
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("parquet: %w", err)
	}
	switch string(tail[4:]) {
	case "PAR1":
	case "PARE":
		return errors.New("parquet: the file is encrypted")
	default:
		return errors.New("parquet: the file does not end with PAR1: it is cut off")
	}
	n := int64(binary.LittleEndian.Uint32(tail[:4]))
	if n > size-12 || n > memory/8 {
		return fmt.Errorf("parquet: the footer claims %d bytes in a file of %d", n, size)
	}
	footer := make([]byte, n)
	if _, err := r.ReadAt(footer, size-8-n); err != nil {
		return fmt.Errorf("parquet: footer: %w", err)
	}
	t := thrift{b: footer}
	chunks := t.footer()
	if t.err != nil {
		return fmt.Errorf("parquet: footer: %w", t.err)
	}
	for _, c := range chunks {
		if err := c.check(r, size, memory); err != nil {
			return fmt.Errorf("parquet: %w", err)
		}
	}
	return nil
}

// check walks the page headers of a column chunk.
func (c chunk) check(r io.ReaderAt, size, memory int64) error {
	start := c.data
	if c.dictionary > 0 && c.dictionary < start {
		start = c.dictionary
	}
	if start < 4 || c.compressed < 0 || c.compressed > size-start || c.values < 0 {
		return fmt.Errorf("a column claims %d bytes at offset %d of a file of %d", c.compressed, start, size)
	}
	var buf [4096]byte
	values := int64(0)
	for at, end := start, start+c.compressed; at < end && values < c.values; {
		n, err := r.ReadAt(buf[:min(int64(len(buf)), size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		t := thrift{b: buf[:n]}
		p := t.page()
		if t.err != nil {
			return fmt.Errorf("page header at %d: %w", at, t.err)
		}
		body := at + int64(t.i)
		if p.compressed < 0 || p.compressed > end-body || p.uncompressed < 0 || p.uncompressed > memory/4 || p.values < 0 || p.values > maxPageValues || p.values > c.values && !p.dictionary {
			return fmt.Errorf("the page at %d claims %d values in %d bytes, %d unpacked: more than the file or the memory has", at, p.values, p.compressed, p.uncompressed)
		}
		if err := p.unpacked(c.codec, buf[t.i:n]); err != nil {
			return fmt.Errorf("the page at %d: %w", at, err)
		}
		if !p.dictionary {
			values += p.values
		}
		at = body + p.compressed
	}
	return nil
}

// page is what a page header declares.
type page struct {
	compressed, uncompressed, values, levels int64
	dictionary, v2, plain                    bool
}

// Codecs of Parquet.
const (
	codecSnappy = 1
	codecZstd   = 6
)

// unpacked compares the declared size with the one that the compressed bytes
// start with, because decoders allocate by the latter.
func (p page) unpacked(codec int64, b []byte) error {
	if p.v2 {
		if p.levels > p.uncompressed || p.levels > p.compressed {
			return errors.New("its levels are longer than the page")
		}
		if p.plain || int64(len(b)) < p.levels {
			return nil
		}
		b = b[p.levels:]
	}
	want := p.uncompressed - p.levels
	switch codec {
	case codecSnappy:
		if n, k := binary.Uvarint(b); k > 0 && n > uint64(want) {
			return fmt.Errorf("it declares %d bytes and unpacks to %d", want, n)
		}
	case codecZstd:
		if n, ok := zstdSize(b); ok && n > uint64(want) {
			return fmt.Errorf("it declares %d bytes and unpacks to %d", want, n)
		}
	}
	return nil
}

// zstdSize reads the content size from the header of a zstd frame (RFC 8878,
// section 3.1.1.1).
func zstdSize(b []byte) (uint64, bool) {
	if len(b) < 18 || binary.LittleEndian.Uint32(b) != 0xfd2fb528 {
		return 0, false
	}
	d := b[4]
	at := 5
	single := d&0x20 != 0
	if !single {
		at++
	}
	at += [...]int{0, 1, 2, 4}[d&3]
	switch d >> 6 {
	case 0:
		if single {
			return uint64(b[at]), true
		}
		return 0, false
	case 1:
		return uint64(binary.LittleEndian.Uint16(b[at:])) + 256, true
	case 2:
		return uint64(binary.LittleEndian.Uint32(b[at:])), true
	}
	if at+8 > len(b) {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b[at:]), true
}

// thrift reads the compact protocol. After an error it reads nothing more.
type thrift struct {
	b     []byte
	i     int
	depth int
	err   error
}

// Types of the compact protocol.
const (
	thriftTrue = iota + 1
	thriftFalse
	thriftByte
	thriftI16
	thriftI32
	thriftI64
	thriftDouble
	thriftBinary
	thriftList
	thriftSet
	thriftMap
	thriftStruct
	thriftUUID
)

var errThrift = errors.New("the bytes are damaged")

func (t *thrift) fail() {
	if t.err == nil {
		t.err = errThrift
	}
	t.i = len(t.b)
}

func (t *thrift) byte() byte {
	if t.i >= len(t.b) {
		t.fail()
		return 0
	}
	t.i++
	return t.b[t.i-1]
}

func (t *thrift) uvarint() uint64 {
	v, n := binary.Uvarint(t.b[t.i:])
	if n <= 0 {
		t.fail()
		return 0
	}
	t.i += n
	return v
}

func (t *thrift) int() int64 {
	v := t.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// fields calls visit for every field of a struct. A field that visit does not
// read, by returning false, is skipped.
func (t *thrift) fields(visit func(id int, kind byte) bool) {
	t.depth++
	defer func() { t.depth-- }()
	if t.depth > 32 {
		t.fail()
	}
	id := 0
	for t.err == nil {
		h := t.byte()
		if h == 0 {
			return
		}
		if d := int(h >> 4); d > 0 {
			id += d
		} else {
			id = int(t.int())
		}
		if !visit(id, h&15) {
			t.skip(h & 15)
		}
	}
}

// list reads the header of a list. Every element has at least a byte.
func (t *thrift) list() (n int, kind byte) {
	h := t.byte()
	n = int(h >> 4)
	if n == 15 {
		v := t.uvarint()
		if v > uint64(len(t.b)) {
			t.fail()
			return 0, 0
		}
		n = int(v)
	}
	if n > len(t.b)-t.i {
		t.fail()
		return 0, 0
	}
	return n, h & 15
}

func (t *thrift) skip(kind byte) {
	switch kind {
	case thriftTrue, thriftFalse:
	case thriftByte:
		t.byte()
	case thriftI16, thriftI32, thriftI64:
		t.uvarint()
	case thriftDouble:
		t.advance(8)
	case thriftUUID:
		t.advance(16)
	case thriftBinary:
		t.advance(t.uvarint())
	case thriftList, thriftSet:
		n, k := t.list()
		for range n {
			if k == thriftTrue || k == thriftFalse {
				t.byte() // in lists a bool has its own byte
			} else {
				t.skip(k)
			}
			if t.err != nil {
				return
			}
		}
	case thriftMap:
		n := t.uvarint()
		if n == 0 {
			return
		}
		if n > uint64(len(t.b)-t.i) {
			t.fail()
			return
		}
		kv := t.byte()
		for range n {
			t.skip(kv >> 4)
			t.skip(kv & 15)
			if t.err != nil {
				return
			}
		}
	case thriftStruct:
		t.fields(func(int, byte) bool { return false })
	default:
		t.fail()
	}
}

func (t *thrift) advance(n uint64) {
	if n > uint64(len(t.b)-t.i) {
		t.fail()
		return
	}
	t.i += int(n)
}

// structs reads a list of structs.
func (t *thrift) structs(each func()) {
	n, kind := t.list()
	if kind != thriftStruct && n > 0 {
		t.fail()
	}
	for range n {
		if t.err != nil {
			return
		}
		each()
	}
}

// footer reads FileMetaData and returns its column chunks.
func (t *thrift) footer() (chunks []chunk) {
	const rowGroups, columns, metadata = 4, 1, 3
	t.fields(func(id int, kind byte) bool {
		if id != rowGroups || kind != thriftList {
			return false
		}
		t.structs(func() {
			t.fields(func(id int, kind byte) bool {
				if id != columns || kind != thriftList {
					return false
				}
				t.structs(func() {
					var c chunk
					t.fields(func(id int, kind byte) bool {
						if id != metadata || kind != thriftStruct {
							return false
						}
						t.ints(map[int]*int64{4: &c.codec, 5: &c.values, 6: &c.uncompressed, 7: &c.compressed, 9: &c.data, 11: &c.dictionary})
						return true
					})
					chunks = append(chunks, c)
				})
				return true
			})
		})
		return true
	})
	return chunks
}

// ints reads the integer fields of a struct that are asked for.
func (t *thrift) ints(want map[int]*int64) {
	t.fields(func(id int, kind byte) bool {
		p := want[id]
		if p == nil || kind != thriftI32 && kind != thriftI64 {
			return false
		}
		*p = t.int()
		return true
	})
}

// page reads PageHeader.
func (t *thrift) page() (p page) {
	t.fields(func(id int, kind byte) bool {
		switch {
		case id == 2 && kind == thriftI32:
			p.uncompressed = t.int()
		case id == 3 && kind == thriftI32:
			p.compressed = t.int()
		case (id == 5 || id == 7) && kind == thriftStruct:
			p.dictionary = id == 7
			t.ints(map[int]*int64{1: &p.values})
		case id == 8 && kind == thriftStruct:
			p.v2 = true
			var definition, repetition int64
			t.fields(func(id int, kind byte) bool {
				switch {
				case id == 1 && kind == thriftI32:
					p.values = t.int()
				case id == 5 && kind == thriftI32:
					definition = t.int()
				case id == 6 && kind == thriftI32:
					repetition = t.int()
				case id == 7 && kind == thriftFalse:
					p.plain = true
				default:
					return false
				}
				return true
			})
			if definition < 0 || repetition < 0 {
				t.fail()
			}
			p.levels = definition + repetition
		default:
			return false
		}
		return true
	})
	return p
}
