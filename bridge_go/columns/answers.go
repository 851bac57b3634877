package columns

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// A buffer is a column of answers as it came, checked: no place in it points outside of the body.
type buffer struct {
	kind                          encoding
	validity, data, offsets, text []byte
	words                         int // of asWords
}

// valid says whether a row has a value.
func (c *buffer) valid(row int) bool {
	return len(c.validity) == 0 || c.validity[row>>3]>>(row&7)&1 == 1
}

func (c *buffer) uint64(row int) uint64 { return binary.LittleEndian.Uint64(c.data[8*row:]) }

func (c *buffer) code(row int) int { return int(int32(binary.LittleEndian.Uint32(c.data[4*row:]))) }

func (c *buffer) word(at int) []byte {
	return c.text[binary.LittleEndian.Uint32(c.offsets[4*at:]):binary.LittleEndian.Uint32(c.offsets[4*at+4:])]
}

// readBuffers finds the columns of an answer in its body. The worker may be hostile: what it says is believed only where it fits.
func (p *Plan) readBuffers(rows int, layout []uint64, body []byte) ([]buffer, error) {
	if rows < 0 || len(p.outputs) == 0 || len(layout) != 10*len(p.outputs) {
		return nil, fmt.Errorf("columns: %d rows and %d numbers of layout for %d outputs", rows, len(layout), len(p.outputs))
	}
	found := make([]buffer, len(p.outputs))
	for i := range p.outputs {
		if err := found[i].read(&p.outputs[i], rows, layout[10*i:10*i+10], body); err != nil {
			return nil, fmt.Errorf("columns: output %d: %w", i, err)
		}
	}
	return found, nil
}

func (c *buffer) read(o *output, rows int, layout []uint64, body []byte) error {
	if layout[0] > uint64(asDates) || !o.takes(encoding(layout[0])) {
		return fmt.Errorf("encoding %d", layout[0])
	}
	c.kind = encoding(layout[0])
	for k, part := range []*[]byte{&c.validity, &c.data, &c.offsets, &c.text} {
		from, n := layout[2+2*k], layout[3+2*k]
		if from%align != 0 || from > uint64(len(body)) || n > uint64(len(body))-from {
			return fmt.Errorf("bytes %d to %d+%d of a body of %d", from, from, n, len(body))
		}
		*part = body[from : from+n]
	}
	if err := c.checkSizes(rows); err != nil {
		return err
	}
	if err := c.checkNulls(o, rows, layout[1]); err != nil {
		return err
	}
	if err := c.checkText(); err != nil {
		return err
	}
	return c.checkCodes(o, rows)
}

// checkSizes holds each part to the length that its rows need. Sums are safe: no part is longer than the body.
func (c *buffer) checkSizes(rows int) error {
	width := map[encoding]int{asBools: 1, asText: 0, asWords: 4, asCodes: 4}
	size, narrow := width[c.kind]
	if !narrow {
		size = 8
	}
	if size > 0 && (len(c.data)%size != 0 || len(c.data)/size != rows) || size == 0 && len(c.data) > 0 {
		return fmt.Errorf("%d bytes of data for %d rows", len(c.data), rows)
	}
	texts := c.kind == asText || c.kind == asWords
	if texts != (len(c.offsets) > 0) || len(c.offsets)%4 != 0 || c.kind == asText && len(c.offsets)/4-1 != rows {
		return fmt.Errorf("%d bytes of offsets for %d rows", len(c.offsets), rows)
	}
	if !texts && len(c.text) > 0 {
		return fmt.Errorf("%d bytes of text", len(c.text))
	}
	c.words = len(c.offsets)/4 - 1
	return nil
}

// checkNulls holds the bitmap to its length and to the number of nulls.
func (c *buffer) checkNulls(o *output, rows int, nulls uint64) error {
	if nulls == 0 {
		c.validity = nil
		return nil
	}
	if !o.nullable {
		return fmt.Errorf("%d nulls where none may be", nulls)
	}
	if len(c.validity) != rows/8+min(rows%8, 1) {
		return fmt.Errorf("%d bytes of validity for %d rows", len(c.validity), rows)
	}
	n := uint64(0)
	for row := range rows {
		if !c.valid(row) {
			n++
		}
	}
	if n != nulls {
		return fmt.Errorf("%d nulls, and %d in the bitmap", nulls, n)
	}
	return nil
}

// checkText holds offsets to the text, and every text to UTF-8.
func (c *buffer) checkText() error {
	if len(c.offsets) == 0 {
		return nil
	}
	last := uint32(0)
	for at := 0; at < len(c.offsets); at += 4 {
		offset := binary.LittleEndian.Uint32(c.offsets[at:])
		if offset < last || offset > uint32(len(c.text)) || uint64(len(c.text)) > 1<<31-1 {
			return fmt.Errorf("offset %d behind %d in a text of %d", offset, last, len(c.text))
		}
		if last = offset; at > 0 && !utf8.Valid(c.word(at/4-1)) {
			return fmt.Errorf("text %d is not UTF-8", at/4-1)
		}
	}
	return nil
}

// checkCodes holds codes to what they choose from, where the row is not null.
func (c *buffer) checkCodes(o *output, rows int) error {
	most := c.words
	switch c.kind {
	case asCodes:
		most = len(o.choices)
	case asWords:
	default:
		return nil
	}
	for row := range rows {
		if code := c.code(row); c.valid(row) && (code < 0 || code >= most) {
			return fmt.Errorf("code %d of %d", code, most)
		}
	}
	return nil
}
