package columns

import (
	"encoding/binary"
	"math"
	"slices"
)

// align is what every buffer's offset is a multiple of.
const align = 64

// Layout appends the ten numbers of each column: encoding, nulls, then offset and length in the body of validity, data, offsets
// and text. It stands until the next Add or Reset.
func (b *Builder) Layout(dst []uint64) []uint64 {
	at := 0
	for i := range b.columns {
		c := &b.columns[i]
		dst = append(dst, uint64(c.settle(b.rows)), uint64(len(c.nulls)))
		for _, n := range c.sizes(b.rows) {
			if n == 0 {
				dst = append(dst, 0, 0)
				continue
			}
			at = aligned(at)
			dst = append(dst, uint64(at), uint64(n))
			at += n
		}
	}
	b.body, b.laid = at, true
	return dst
}

func aligned(n int) int { return (n + align - 1) &^ (align - 1) }

// BodySize is the body's size in bytes.
func (b *Builder) BodySize() int {
	if !b.laid {
		b.Layout(nil)
	}
	return b.body
}

// AppendBody appends the body that Layout describes.
func (b *Builder) AppendBody(dst []byte) []byte {
	start := len(dst)
	dst = slices.Grow(dst, b.BodySize())
	for i := range b.columns {
		c := &b.columns[i]
		for part, n := range c.sizes(b.rows) {
			if n > 0 {
				at := start + aligned(len(dst)-start)
				clear(dst[len(dst):at])
				dst = dst[:at+n]
				c.write(dst[at:], part, b.rows)
			}
		}
	}
	return dst
}

// settle decides how the column goes.
func (c *column) settle(rows int) encoding {
	if c.kind == asText {
		return c.texts.settle(rows)
	}
	return c.kind
}

// The parts of a column, in the order of a layout.
const (
	partValidity = iota
	partData
	partOffsets
	partText
)

// sizes are the bytes of each part.
func (c *column) sizes(rows int) (n [4]int) {
	if len(c.nulls) > 0 {
		n[partValidity] = (rows + 7) / 8
	}
	switch c.kind {
	case asText:
		codes, offsets, text := c.texts.parts(rows)
		n[partData], n[partOffsets], n[partText] = 4*len(codes), 4*len(offsets), len(text)
	case asBools:
		n[partData] = rows
	case asCodes:
		n[partData] = 4 * rows
	default:
		n[partData] = 8 * rows
	}
	return n
}

// write fills dst with a part.
func (c *column) write(dst []byte, part, rows int) {
	switch part {
	case partValidity:
		writeValidity(dst, c.nulls)
	case partData:
		c.writeData(dst, rows)
	case partOffsets:
		_, offsets, _ := c.texts.parts(rows)
		writeInts32(dst, offsets)
	case partText:
		_, _, text := c.texts.parts(rows)
		copy(dst, text)
	}
}

func (c *column) writeData(dst []byte, rows int) {
	switch c.kind {
	case asFloats:
		for i, v := range c.floats[:rows] {
			binary.LittleEndian.PutUint64(dst[8*i:], math.Float64bits(v))
		}
	case asBools:
		copy(dst, c.bools[:rows])
	case asCodes:
		writeInts32(dst, c.codes[:rows])
	case asText:
		codes, _, _ := c.texts.parts(rows)
		writeInts32(dst, codes)
	default:
		for i, v := range c.ints[:rows] {
			binary.LittleEndian.PutUint64(dst[8*i:], uint64(v))
		}
	}
}

func writeInts32(dst []byte, values []int32) {
	for i, v := range values {
		binary.LittleEndian.PutUint32(dst[4*i:], uint32(v))
	}
}

// writeValidity sets a bit for each row that is not null, the least significant first.
func writeValidity(dst []byte, nulls []int32) {
	for i := range dst {
		dst[i] = 0xff
	}
	for _, row := range nulls {
		dst[row/8] &^= 1 << (row % 8)
	}
}
