package columns

import (
	"encoding/binary"
	"math"
)

// align is what every buffer's offset is a multiple of.
const align = 64

// Layout appends the ten numbers of each column: encoding, nulls, then offset and length in the body of validity, data, offsets
// and text. It settles the body's size and stands until the next Add or Reset.
func (b *Builder) Layout(dst []uint64) []uint64 {
	at := 0
	for i := range b.columns {
		c := &b.columns[i]
		dst = append(dst, uint64(c.kind), uint64(len(c.nulls)))
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
	b.body = at
	return dst
}

func aligned(n int) int { return (n + align - 1) &^ (align - 1) }

// BodySize is the body's size in bytes, after Layout.
func (b *Builder) BodySize() int { return b.body }

// AppendBody appends the body that Layout has described.
func (b *Builder) AppendBody(dst []byte) []byte {
	start := len(dst)
	for i := range b.columns {
		c := &b.columns[i]
		sizes := c.sizes(b.rows)
		for k, write := range []func([]byte, int) []byte{c.appendValidity, c.appendData, c.appendOffsets, c.appendText} {
			if sizes[k] > 0 {
				dst = append(dst, make([]byte, aligned(len(dst)-start)-(len(dst)-start))...)
				dst = write(dst, b.rows)
			}
		}
	}
	return dst
}

// sizes are the bytes of validity, data, offsets and text.
func (c *column) sizes(rows int) (n [4]int) {
	if len(c.nulls) > 0 {
		n[0] = (rows + 7) / 8
	}
	switch c.kind {
	case asText:
		n[2], n[3] = 4*len(c.offsets), len(c.text)
	case asBools:
		n[1] = rows
	case asCodes:
		n[1] = 4 * rows
	default:
		n[1] = 8 * rows
	}
	return n
}

func (c *column) appendValidity(dst []byte, rows int) []byte {
	from := len(dst)
	for range rows / 8 {
		dst = append(dst, 0xff)
	}
	if rows%8 > 0 {
		dst = append(dst, 1<<(rows%8)-1)
	}
	for _, row := range c.nulls {
		dst[from+int(row/8)] &^= 1 << (row % 8)
	}
	return dst
}

func (c *column) appendData(dst []byte, rows int) []byte {
	switch c.kind {
	case asFloats:
		for _, v := range c.floats[:rows] {
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
		}
	case asBools:
		dst = append(dst, c.bools[:rows]...)
	case asCodes:
		dst = appendCodes(dst, c.codes[:rows])
	default:
		for _, v := range c.ints[:rows] {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
		}
	}
	return dst
}

func appendCodes(dst []byte, codes []int32) []byte {
	for _, v := range codes {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(v))
	}
	return dst
}

func (c *column) appendOffsets(dst []byte, _ int) []byte { return appendCodes(dst, c.offsets) }

func (c *column) appendText(dst []byte, _ int) []byte { return append(dst, c.text...) }
