package barfile

import (
	"bytes"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// content is what the first bytes of a file look like.
type content uint8

const (
	contentText content = iota
	contentGzip
	contentZstd
	contentBzip2
	contentZip
	contentTar
	contentParquet
	contentArrowFile
	contentArrowStream
	contentUTF16
	contentOther
)

// magics are the first bytes of files that this package reads.
var magics = []struct {
	bytes string
	is    content
}{
	{"\x1f\x8b", contentGzip},
	{"\x28\xb5\x2f\xfd", contentZstd},
	{"BZh", contentBzip2},
	{"PK\x03\x04", contentZip},
	{"PK\x05\x06", contentZip},
	{"PAR1", contentParquet},
	{"ARROW1\x00\x00", contentArrowFile},
	{"\xff\xff\xff\xff", contentArrowStream},
	{"\xff\xfe", contentUTF16},
	{"\xfe\xff", contentUTF16},
}

// strangers are the first bytes of files that it does not read, and what to do
// about them.
var strangers = []struct{ bytes, is string }{
	{"SQLite format 3\x00", "an SQLite database: export its table as CSV, for example with sqlite3 -csv -header FILE 'SELECT ...'"},
	{"\x89PNG", "a PNG image"},
	{"\xff\xd8\xff", "a JPEG image"},
	{"GIF8", "a GIF image"},
	{"%PDF", "a PDF document"},
	{"\x89HDF", "an HDF5 file: save it as Parquet, for example with pandas.read_hdf(FILE).to_parquet(...)"},
	{"\x93NUMPY", "a NumPy array: save it as CSV"},
	{"\x80\x04", "a Python pickle, which is a program and not data: save it as Parquet or CSV"},
	{"\x80\x05", "a Python pickle, which is a program and not data: save it as Parquet or CSV"},
	{"\xfd7zXZ\x00", "xz-compressed: unpack it first, with xz -d"},
	{"7z\xbc\xaf", "a 7z archive: unpack it first"},
	{"Rar!", "a RAR archive: unpack it first"},
	{"\x04\x22\x4d\x18", "lz4-compressed: unpack it first, with lz4 -d"},
	{"FEA1", "a feather file of version 1: save it as version 2, which every pyarrow since 0.17 writes"},
	{"ORC", "an ORC file: save it as Parquet"},
	{"Obj\x01", "an Avro file: save it as Parquet"},
	{"\xd0\xcf\x11\xe0", "an old Excel workbook: save it as CSV"},
	{"DUCK", "a DuckDB database: export its table, for example with COPY ... TO 'bars.parquet'"},
	{"\x7fELF", "a program"},
}

// sniff tells what b, the first bytes of a file, are the start of. The error
// says what a file that holds no bars looks like.
func sniff(b []byte) (content, error) {
	for _, m := range magics {
		if bytes.HasPrefix(b, []byte(m.bytes)) {
			return m.is, nil
		}
	}
	if len(b) >= 262 && string(b[257:262]) == "ustar" {
		return contentTar, nil
	}
	for _, s := range strangers {
		if bytes.HasPrefix(b, []byte(s.bytes)) {
			return contentOther, fmt.Errorf("this is %s", s.is)
		}
	}
	if len(b) > 12 && string(b[8:12]) == "DUCK" {
		return contentOther, fmt.Errorf("this is %s", strangers[len(strangers)-2].is)
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), " \r\n\t")
	lower := bytes.ToLower(text[:min(len(text), 64)])
	if bytes.HasPrefix(lower, []byte("<!doctype html")) || bytes.HasPrefix(lower, []byte("<html")) {
		return contentOther, fmt.Errorf("this is a web page%s: the download failed, fetch the file again", pageTitle(text))
	}
	if bytes.HasPrefix(lower, []byte("<?xml")) || len(lower) > 0 && lower[0] == '<' && !bytes.HasPrefix(lower, []byte("<date>")) && !bytes.HasPrefix(lower, []byte("<ticker>")) && !bytes.HasPrefix(lower, []byte("<time>")) && bytes.IndexByte(lower, '/') >= 0 {
		return contentOther, fmt.Errorf("this is XML, which is not read: convert it to CSV or JSON")
	}
	if bytes.Contains(b, []byte{0}) {
		return contentOther, fmt.Errorf("this is binary data of an unknown kind (first bytes % x)", b[:min(len(b), 8)])
	}
	return contentText, nil
}

func pageTitle(b []byte) string {
	lower := bytes.ToLower(b)
	i, j := bytes.Index(lower, []byte("<title>")), bytes.Index(lower, []byte("</title>"))
	if i < 0 || j < i || j-i > 200 {
		return ""
	}
	return fmt.Sprintf(" titled %q", clip(bytes.TrimSpace(b[i+7:j])))
}

// utf16Reader turns UTF-16 with a byte order mark into UTF-8.
type utf16Reader struct {
	r    io.Reader
	big  bool
	mark bool // the mark was read
	in   [4096]byte
	held int // bytes of in left from the last read
	out  []byte
	err  error
}

func (u *utf16Reader) Read(p []byte) (int, error) {
	for len(u.out) == 0 {
		if u.err != nil {
			return 0, u.err
		}
		n, err := u.r.Read(u.in[u.held:])
		u.err = err
		n += u.held
		if !u.mark && n >= 2 {
			u.big = u.in[0] == 0xfe
		}
		units := make([]uint16, 0, n/2)
		for i := 0; i+1 < n; i += 2 {
			a, b := u.in[i], u.in[i+1]
			if u.big {
				a, b = b, a
			}
			units = append(units, uint16(a)|uint16(b)<<8)
		}
		used := len(units) * 2
		// half of a surrogate pair waits for the other half
		if k := len(units); k > 0 && utf16.IsSurrogate(rune(units[k-1])) && units[k-1] < 0xdc00 && err == nil {
			units, used = units[:k-1], used-2
		}
		u.held = copy(u.in[:], u.in[used:n])
		if !u.mark && len(units) > 0 {
			u.mark = true
			units = units[1:]
		}
		u.out = u.out[:0]
		for _, r := range utf16.Decode(units) {
			u.out = utf8.AppendRune(u.out, r)
		}
	}
	n := copy(p, u.out)
	u.out = u.out[n:]
	return n, nil
}
