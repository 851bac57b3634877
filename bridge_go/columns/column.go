package columns

import "math"

// noTime stands for null among times and dates, as numpy has it (NaT).
const noTime = math.MinInt64

// A column has the values of one field. Row r is set when all below r are; setting it again replaces it.
type column struct {
	kind    encoding
	floats  []float64
	ints    []int64 // of ints, times and dates
	codes   []int32
	bools   []byte
	offsets []int32 // of text: one more than rows
	text    []byte
	nulls   []int32 // rows, ascending
}

func (c *column) reset() {
	c.truncate(0)
}

// truncate takes away row `rows` and what is above.
func (c *column) truncate(rows int) {
	c.floats = c.floats[:min(rows, len(c.floats))]
	c.ints = c.ints[:min(rows, len(c.ints))]
	c.codes = c.codes[:min(rows, len(c.codes))]
	c.bools = c.bools[:min(rows, len(c.bools))]
	if c.kind == asText {
		if len(c.offsets) == 0 {
			c.offsets = append(c.offsets, 0)
		}
		c.offsets = c.offsets[:min(rows+1, len(c.offsets))]
		c.text = c.text[:c.offsets[len(c.offsets)-1]]
	}
	for len(c.nulls) > 0 && int(c.nulls[len(c.nulls)-1]) >= rows {
		c.nulls = c.nulls[:len(c.nulls)-1]
	}
}

// put sets a row. False: there is no room for the text.
func (c *column) put(row int, v value) bool {
	c.truncate(row)
	if v.null {
		c.nulls = append(c.nulls, int32(row))
	}
	switch c.kind {
	case asFloats:
		if v.null {
			v.float = math.NaN()
		}
		c.floats = append(c.floats, v.float)
	case asInts:
		c.ints = append(c.ints, v.whole)
	case asBools:
		c.bools = append(c.bools, byte(v.whole))
	case asCodes:
		if v.null {
			v.whole = -1
		}
		c.codes = append(c.codes, int32(v.whole))
	case asTimes, asDates:
		if v.null {
			v.whole = noTime
		}
		c.ints = append(c.ints, v.whole)
	case asText:
		return c.putText(v.text)
	}
	return true
}

func (c *column) putText(text string) bool {
	if len(text) > math.MaxInt32-len(c.text) {
		return false
	}
	c.text = append(c.text, text...)
	c.offsets = append(c.offsets, int32(len(c.text)))
	return true
}

// value is a row as it was put.
func (c *column) value(row int) value {
	for _, null := range c.nulls {
		if int(null) == row {
			return value{null: true}
		}
	}
	switch c.kind {
	case asFloats:
		return value{float: c.floats[row]}
	case asBools:
		return value{whole: int64(c.bools[row])}
	case asCodes:
		return value{whole: int64(c.codes[row])}
	case asText:
		return value{text: string(c.text[c.offsets[row]:c.offsets[row+1]])}
	default:
		return value{whole: c.ints[row]}
	}
}
