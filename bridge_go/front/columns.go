package front

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
)

// A column gives the elements of a tensor one after another, each as the JSON text of a value of the field that it is for. How many
// there are is known before: next is called no more often.
type column interface {
	next(dst []byte, f *tensorField) ([]byte, error)
}

// A jsonColumn reads a JSON list: flat, or of lists, one a row.
type jsonColumn struct {
	data  []byte
	width int // elements of a row, 0 where the list is flat
	at    int
	left  int // elements of the row that are still to come
}

// newJSONColumn counts the elements. data is JSON; it does not fit if it is no list, or its rows have another width.
func newJSONColumn(data []byte, shape []int64) (c *jsonColumn, n int, fits bool) {
	c = &jsonColumn{data: data}
	first := skipSpace(data, 0)
	if first == len(data) || data[first] != '[' {
		return nil, 0, false
	}
	first++
	if i := skipSpace(data, first); len(shape) == 2 && data[i] == '[' {
		c.width = int(min(shape[1], math.MaxInt32))
		if c.width < 1 {
			return nil, 0, false
		}
	}
	c.at = first
	n, _, fits = countItems(data, first, c.width)
	return c, n, fits
}

// countItems counts the items of a list from behind its bracket, or, with a width, those of the lists in it.
func countItems(data []byte, i, width int) (n, end int, fits bool) {
	for i = skipSpace(data, i); data[i] != ']'; i = skipSpace(data, i) {
		if data[i] == ',' {
			i = skipSpace(data, i+1)
		}
		if width == 0 {
			i, _ = skipValue(data, i) // it is JSON
			n++
			continue
		}
		if data[i] != '[' {
			return 0, 0, false
		}
		row, behind, _ := countItems(data, i+1, 0)
		if row != width {
			return 0, 0, false
		}
		n, i = n+row, behind
	}
	return n, i + 1, true
}

func (c *jsonColumn) next(dst []byte, f *tensorField) ([]byte, error) {
	c.skip(',')
	if c.width > 0 && c.left == 0 {
		c.skip('[')
		c.left = c.width
	}
	from := skipSpace(c.data, c.at)
	to, _ := skipValue(c.data, from)
	c.at = to
	if c.left--; c.width > 0 && c.left == 0 {
		c.skip(']')
	}
	return appendJSON(dst, c.data[from:to], f)
}

func (c *jsonColumn) skip(mark byte) {
	if i := skipSpace(c.data, c.at); c.data[i] == mark {
		c.at = i + 1
	}
}

func appendJSON(dst, value []byte, f *tensorField) ([]byte, error) {
	switch {
	case f.datatype == "INT64":
		return appendInteger(dst, value), nil
	case f.asJSON && value[0] == '"':
		var inner string
		if err := json.Unmarshal(value, &inner); err != nil {
			return dst, errText // it is JSON by the scanner, so this is not reached
		}
		return appendText(dst, []byte(inner), f)
	}
	return append(dst, value...), nil
}

// A rawColumn reads binary tensor data: little-endian numbers of one size.
type rawColumn struct {
	data  []byte
	of    datatype
	brain bool
	at    int
}

// A textColumn reads binary tensor data of BYTES: before each element stands its length, four bytes.
type textColumn struct {
	data []byte
	at   int
}

// newRawColumn counts the elements of binary tensor data; it does not fit if the last one is cut off.
func newRawColumn(data []byte, name string) (c column, n int, fits bool) {
	of := datatypes[name]
	if of.kind != kindText {
		return &rawColumn{data: data, of: of, brain: name == brainFloat}, len(data) / of.size, len(data)%of.size == 0
	}
	for rest := data; len(rest) > 0; n++ {
		if len(rest) < 4 || uint64(len(rest)-4) < uint64(binary.LittleEndian.Uint32(rest)) {
			return nil, 0, false
		}
		rest = rest[4+int(binary.LittleEndian.Uint32(rest)):]
	}
	return &textColumn{data: data}, n, true
}

func (c *textColumn) next(dst []byte, f *tensorField) ([]byte, error) {
	from := c.at + 4
	c.at = from + int(binary.LittleEndian.Uint32(c.data[c.at:]))
	return appendText(dst, c.data[from:c.at], f)
}

func (c *rawColumn) next(dst []byte, f *tensorField) ([]byte, error) {
	size := c.of.size
	bits := unsignedAt(c.data[c.at:], size)
	c.at += size
	switch c.of.kind {
	case kindBool:
		return strconv.AppendBool(dst, bits != 0), nil
	case kindSigned:
		shift := 64 - 8*size
		return strconv.AppendInt(dst, int64(bits<<shift)>>shift, 10), nil
	case kindUnsigned:
		return strconv.AppendUint(dst, bits, 10), nil
	}
	return appendFloat(dst, c.float(bits), f)
}

func (c *rawColumn) float(bits uint64) float64 {
	switch {
	case c.brain:
		return float64(math.Float32frombits(uint32(bits) << 16))
	case c.of.size == 2:
		return half(uint16(bits))
	case c.of.size == 4:
		return float64(math.Float32frombits(uint32(bits)))
	}
	return math.Float64frombits(bits)
}

// A typedColumn reads the numbers, flags or texts of gRPC's typed contents.
type typedColumn[T any] struct {
	values []T
	write  func(dst []byte, value T, f *tensorField) ([]byte, error)
}

func (c *typedColumn[T]) next(dst []byte, f *tensorField) ([]byte, error) {
	value := c.values[0]
	c.values = c.values[1:]
	return c.write(dst, value, f)
}
