package barfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Arrow's reader allocates what the lengths in its flatbuffers say, which ends
// the program where they lie. checkArrow walks all of them first.
//
// The layouts are Schema.fbs, Message.fbs and File.fbs:
// https://github.com/apache/arrow/tree/main/format

// maxArrowFields bounds the fields of a schema, nested ones included.
const maxArrowFields = 10_000

// maxZstdWindow bounds what one zstd frame may ask for.
const maxZstdWindow = 128 << 20

var errFlatbuf = errors.New("the bytes are damaged")

// flatbuf reads tables of one flatbuffer. After an error it reads zeros.
type flatbuf struct {
	b      []byte
	err    error
	fields int
}

func (f *flatbuf) fail() int {
	if f.err == nil {
		f.err = errFlatbuf
	}
	return 0
}

func (f *flatbuf) u32(at int) int {
	if at < 0 || at > len(f.b)-4 {
		return f.fail()
	}
	return int(binary.LittleEndian.Uint32(f.b[at:]))
}

func (f *flatbuf) i64(at int) int64 {
	if at < 0 || at > len(f.b)-8 {
		f.fail()
		return 0
	}
	return int64(binary.LittleEndian.Uint64(f.b[at:]))
}

// root is the position of the root table.
func (f *flatbuf) root() int { return f.u32(0) }

// field is the position of field i of the table at t, 0 if it is absent.
func (f *flatbuf) field(t, i int) int {
	vtable := t - int(int32(f.u32(t)))
	if f.err != nil || vtable < 0 || vtable > len(f.b)-4 {
		return f.fail()
	}
	size := int(binary.LittleEndian.Uint16(f.b[vtable:]))
	if size < 4 || size > len(f.b)-vtable {
		return f.fail()
	}
	if 4+2*i+2 > size {
		return 0
	}
	offset := int(binary.LittleEndian.Uint16(f.b[vtable+4+2*i:]))
	if offset == 0 {
		return 0
	}
	if t+offset > len(f.b)-1 {
		return f.fail()
	}
	return t + offset
}

// table is the table that field i of t points to, 0 if it is absent.
func (f *flatbuf) table(t, i int) int {
	at := f.field(t, i)
	if at == 0 {
		return 0
	}
	return at + f.u32(at)
}

// vector is the position of the first element of vector i of t and their
// number; elements take size bytes.
func (f *flatbuf) vector(t, i, size int) (at, n int) {
	at = f.field(t, i)
	if at == 0 {
		return 0, 0
	}
	at += f.u32(at)
	n = f.u32(at)
	if f.err != nil || n > (len(f.b)-at-4)/size {
		return f.fail(), 0
	}
	return at + 4, n
}

// tables calls each for the tables of vector i of t.
func (f *flatbuf) tables(t, i int, each func(int)) {
	at, n := f.vector(t, i, 4)
	for k := range n {
		if f.err != nil {
			return
		}
		each(at + 4*k + f.u32(at+4*k))
	}
}

// metadata checks the key-value pairs of vector i of t.
func (f *flatbuf) metadata(t, i int) {
	f.tables(t, i, func(kv int) {
		f.vector(kv, 0, 1)
		f.vector(kv, 1, 1)
	})
}

func (f *flatbuf) schema(t int) {
	f.tables(t, 1, func(x int) { f.schemaField(x, 0) })
	f.metadata(t, 2)
	f.vector(t, 3, 8)
}

func (f *flatbuf) schemaField(t, depth int) {
	const union = 14
	if f.fields++; f.fields > maxArrowFields || depth > 16 {
		f.fail()
		return
	}
	f.vector(t, 0, 1)
	if at := f.field(t, 2); at > 0 && f.b[at] == union {
		f.vector(f.table(t, 3), 1, 4)
	}
	if d := f.table(t, 4); d > 0 {
		f.table(d, 1)
	}
	f.tables(t, 5, func(x int) { f.schemaField(x, depth+1) })
	f.metadata(t, 6)
}

// arrowBatch is what a record batch declares.
type arrowBatch struct {
	zstd    bool
	buffers [][2]int64 // offset and length in the body
}

// batch checks a RecordBatch against the length of its body.
func (f *flatbuf) batch(t int, body, memory int64) (b arrowBatch) {
	length := func(n int64) {
		if n < 0 || n > memory/8 {
			f.fail()
		}
	}
	if at := f.field(t, 0); at > 0 {
		length(f.i64(at))
	}
	at, n := f.vector(t, 1, 16)
	for k := range n {
		length(f.i64(at + 16*k))
	}
	at, n = f.vector(t, 2, 16)
	for k := range n {
		from, size := f.i64(at+16*k), f.i64(at+16*k+8)
		if from < 0 || size < 0 || from > body || size > body-from {
			f.fail()
			return b
		}
		b.buffers = append(b.buffers, [2]int64{from, size})
	}
	if c := f.table(t, 3); c > 0 {
		codec := f.field(c, 0)
		b.zstd = codec > 0 && f.b[codec] == 1
	}
	at, n = f.vector(t, 4, 8)
	for k := range n {
		length(f.i64(at + 8*k))
	}
	return b
}

// message checks a Message and returns the length of its body.
func (f *flatbuf) message(memory int64) (body int64, b arrowBatch) {
	const schema, dictionary, record = 1, 2, 3
	t := f.root()
	if at := f.field(t, 3); at > 0 {
		body = f.i64(at)
	}
	if body < 0 || body > memory {
		f.fail()
	}
	f.metadata(t, 4)
	kind, header := f.field(t, 1), f.table(t, 2)
	if f.err != nil || kind == 0 || header == 0 {
		f.fail()
		return 0, b
	}
	switch f.b[kind] {
	case schema:
		f.schema(header)
	case dictionary:
		b = f.batch(f.table(header, 1), body, memory)
	case record:
		b = f.batch(header, body, memory)
	default:
		f.fail() // tensors are no bars
	}
	return body, b
}

// checkArrow returns an error if a declared size exceeds the file or memory.
func checkArrow(r io.ReaderAt, size, memory int64, stream bool) error {
	if stream {
		for at := int64(0); at < size; {
			next, err := checkMessage(r, at, size, memory)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("arrow: message at %d: %w", at, err)
			}
			at = next
		}
		return nil
	}
	var tail [10]byte
	if size < 20 {
		return fmt.Errorf("arrow: the file has %d bytes, too few for a footer: it is cut off", size)
	}
	if _, err := r.ReadAt(tail[:], size-10); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("arrow: %w", err)
	}
	if string(tail[4:]) != "ARROW1" {
		return errors.New("arrow: the file does not end with ARROW1: it is cut off")
	}
	n := int64(binary.LittleEndian.Uint32(tail[:4]))
	if n < 8 || n > size-18 || n > memory/8 {
		return fmt.Errorf("arrow: the footer claims %d bytes in a file of %d", n, size)
	}
	f := flatbuf{b: make([]byte, n)}
	if _, err := r.ReadAt(f.b, size-10-n); err != nil {
		return fmt.Errorf("arrow: footer: %w", err)
	}
	t := f.root()
	if s := f.table(t, 1); s > 0 {
		f.schema(s)
	} else {
		f.fail()
	}
	f.metadata(t, 4)
	for _, list := range [...]int{2, 3} { // dictionaries, record batches
		at, n := f.vector(t, list, 24)
		for k := range n {
			if _, err := checkMessage(r, f.i64(at+24*k), size, memory); err != nil {
				return fmt.Errorf("arrow: block %d: %w", k, err)
			}
		}
	}
	if f.err != nil {
		return fmt.Errorf("arrow: footer: %w", f.err)
	}
	return nil
}

// checkMessage checks the message at a position and returns that of the next.
// The error is io.EOF where the stream says that it ends.
func checkMessage(r io.ReaderAt, at, size, memory int64) (next int64, err error) {
	var head [8]byte
	if at < 0 || at > size-4 {
		return 0, errFlatbuf
	}
	if n, err := r.ReadAt(head[:], at); err != nil && (!errors.Is(err, io.EOF) || n < 4) {
		return 0, err
	}
	n, start := int64(binary.LittleEndian.Uint32(head[:])), at+4
	if n == 0xffffffff {
		n, start = int64(binary.LittleEndian.Uint32(head[4:])), at+8
	}
	if n == 0 {
		return 0, io.EOF
	}
	if n < 8 || n > memory/8 || start > size-n {
		return 0, fmt.Errorf("it claims %d bytes of metadata in a file of %d", n, size)
	}
	f := flatbuf{b: make([]byte, n)}
	if _, err := r.ReadAt(f.b, start); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	body, b := f.message(memory)
	if f.err != nil {
		return 0, f.err
	}
	if body > size-start-n {
		return 0, fmt.Errorf("it claims %d bytes in a file of %d", body, size)
	}
	if b.zstd {
		for _, x := range b.buffers {
			if err := checkWindow(r, start+n+x[0], x[1]); err != nil {
				return 0, err
			}
		}
	}
	return start + n + body, nil
}

// checkWindow refuses a zstd frame that asks for a large window (RFC 8878,
// section 3.1.1.1.2). A buffer starts with its unpacked length.
func checkWindow(r io.ReaderAt, at, size int64) error {
	var b [14]byte
	if size < int64(len(b)) {
		return nil
	}
	if _, err := r.ReadAt(b[:], at); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(b[8:]) != 0xfd2fb528 || b[12]&0x20 != 0 {
		return nil // stored as it is, or the window is the content
	}
	base := int64(1) << (10 + b[13]>>3)
	if w := base + base/8*int64(b[13]&7); w > maxZstdWindow {
		return fmt.Errorf("its zstd data asks for a window of %d bytes", w)
	}
	return nil
}
