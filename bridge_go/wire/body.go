package wire

import "github.com/tinylib/msgp/msgp"

// An Encoding is how one column lies in a body: the table of PROTOCOL.md section 6.
type Encoding uint64

const (
	EncodeFloat    Encoding = 0
	EncodeInt      Encoding = 1
	EncodeBool     Encoding = 2
	EncodeText     Encoding = 3
	EncodeWords    Encoding = 4
	EncodeCategory Encoding = 5
	EncodeTime     Encoding = 6
	EncodeDate     Encoding = 7
)

// encodings says of each one its name, the bytes that a row takes in data, and whether it has offsets and a text.
var encodings = [...]struct {
	name  string
	width uint64
	text  bool
}{
	EncodeFloat: {"float", 8, false}, EncodeInt: {"int", 8, false}, EncodeBool: {"bool", 1, false}, EncodeText: {"text", 0, true},
	EncodeWords: {"words", 4, true}, EncodeCategory: {"category", 4, false}, EncodeTime: {"time", 8, false}, EncodeDate: {"date", 8, false},
}

const (
	// LayoutNumbers are those of one column: encoding, nulls, and where validity, data, offsets and text are.
	LayoutNumbers = 10
	// Alignment of a body in its frame, and of each buffer in its body.
	Alignment = 64
)

// Columnar is rows as columns: the end of COLUMNS and ANSWERS. Layout has LayoutNumbers a column, and the buffers that it names are in
// Body. That they hold what they should (codes, offsets, UTF-8) is for the reader of a column to check.
type Columnar struct {
	Rows   uint64
	Layout []uint64
	Body   []byte
}

// append writes layout, pad and body of a frame that begins at start.
func (c *Columnar) append(b []byte, start int) []byte {
	b = appendUints(msgp.AppendArrayHeader(b, uint32(len(c.Layout))), c.Layout...)
	head := len(b) - start + binHead(0) + binHead(len(c.Body))
	b = msgp.AppendBytes(b, zeros[:-head&(Alignment-1)])
	return msgp.AppendBytes(b, c.Body)
}

var zeros [Alignment]byte

// binHead is the size of the head of a bin of n bytes in its smallest encoding.
func binHead(n int) int {
	switch {
	case n < 1<<8:
		return 2
	case n < 1<<16:
		return 3
	}
	return 5
}

func (c *Columnar) decode(f *fields) {
	n := f.array("layout")
	switch {
	case n%LayoutNumbers != 0:
		f.malformed("%d numbers, wants %d a column", n, LayoutNumbers)
	case n/LayoutNumbers > MaxColumns:
		f.limit("%d columns, at most %d", n/LayoutNumbers, MaxColumns)
	}
	c.Layout = sized[uint64](f, n)
	for i := range c.Layout {
		c.Layout[i] = f.uintHere()
	}
	if pad := f.bin("pad", maxInt); len(pad) >= Alignment {
		f.malformed("%d bytes, wants less than %d", len(pad), Alignment)
	}
	c.Body = f.bin("body", maxInt)
	if at := f.size - len(f.b) - len(c.Body); f.err == nil && at%Alignment != 0 {
		f.malformed("it begins at byte %d of the frame, wants a multiple of %d", at, Alignment)
	}
	c.judge(f)
}

// judge holds the layout against rows and body, so that a reader finds all that it is promised inside of the body.
func (c *Columnar) judge(f *fields) {
	f.name = "layout"
	for at := 0; at < len(c.Layout) && f.err == nil; at += LayoutNumbers {
		c.column(f, at/LayoutNumbers, c.Layout[at:at+LayoutNumbers])
	}
}

func (c *Columnar) column(f *fields, number int, l []uint64) {
	encoding, nulls := l[0], l[1]
	if encoding >= uint64(len(encodings)) {
		f.malformed("column %d has encoding %d, wants 0 to %d", number, encoding, len(encodings)-1)
		return
	}
	if nulls > c.Rows {
		f.malformed("column %d has %d nulls in %d rows", number, nulls, c.Rows)
		return
	}
	for i, what := range bufferNames {
		offset, length := l[2+2*i], l[3+2*i]
		switch {
		case offset%Alignment != 0 || length == 0 && offset != 0:
			f.malformed("%s of column %d is at %d, wants a multiple of %d, and 0 when it is empty", what, number, offset, Alignment)
		case offset > uint64(len(c.Body)) || length > uint64(len(c.Body))-offset:
			f.malformed("%s of column %d is at %d + %d of a body of %d bytes", what, number, offset, length, len(c.Body))
		case !fits(Encoding(encoding), i, length, nulls, c.Rows):
			f.malformed("%s of column %d (%s, %d rows, %d nulls) has %d bytes", what, number, encodings[encoding].name, c.Rows, nulls, length)
		}
	}
}

var bufferNames = [...]string{"validity", "data", "offsets", "text"}

// fits says whether buffer i of a column has the length that its rows need.
func fits(e Encoding, i int, length, nulls, rows uint64) bool {
	switch kind := encodings[e]; {
	case i == 0 && nulls > 0:
		return length == (rows+7)/8
	case i == 0:
		return length == 0
	case i == 1:
		return length == kind.width*rows
	case i == 2 && e == EncodeText:
		return length == 4*(rows+1)
	case i == 2 && e == EncodeWords:
		return length >= 4 && length%4 == 0
	default:
		return kind.text || length == 0
	}
}
