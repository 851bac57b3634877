package columns

import (
	"math"
	"slices"
)

// noTime stands for null among times and dates, as numpy has it (NaT).
const noTime = math.MinInt64

// A column has the values of one field. There is room for as many rows as its builder has, and a row may be set anew.
type column struct {
	kind   encoding // asWords once laid out so
	floats []float64
	ints   []int64 // of ints, times and dates
	codes  []int32
	bools  []byte
	texts  texts
	nulls  []int32 // rows, ascending
}

func (c *column) grow(room int) {
	switch c.kind {
	case asFloats:
		c.floats = grown(c.floats, room)
	case asBools:
		c.bools = grown(c.bools, room)
	case asCodes:
		c.codes = grown(c.codes, room)
	case asText:
		c.texts.grow(room)
	default:
		c.ints = grown(c.ints, room)
	}
}

func grown[T any](s []T, n int) []T {
	s = slices.Grow(s, n-len(s))
	return s[:n]
}

func (c *column) reset() {
	c.nulls = c.nulls[:0]
	c.texts.reset()
}

// takeBack forgets a row that was begun.
func (c *column) takeBack(row int) {
	c.forgetNull(row)
	c.texts.takeBack(row)
}

func (c *column) forgetNull(row int) {
	if n := len(c.nulls) - 1; n >= 0 && int(c.nulls[n]) == row {
		c.nulls = c.nulls[:n]
	}
}

// put sets a row. False: there is no room for the text.
func (c *column) put(row int, v value) bool {
	if v.null {
		c.putNull(row)
		return true
	}
	switch c.kind {
	case asFloats:
		c.floats[row] = v.float
	case asBools:
		c.bools[row] = byte(v.whole)
	case asCodes:
		c.codes[row] = int32(v.whole)
	case asText:
		return c.texts.put(row, v.text)
	default:
		c.ints[row] = v.whole
	}
	return true
}

func (c *column) putNull(row int) {
	c.forgetNull(row)
	c.nulls = append(c.nulls, int32(row))
	switch c.kind {
	case asFloats:
		c.floats[row] = math.NaN()
	case asInts:
		c.ints[row] = 0
	case asBools:
		c.bools[row] = 0
	case asCodes:
		c.codes[row] = -1
	case asText:
		c.texts.putNull(row)
	default:
		c.ints[row] = noTime
	}
}

// value is a row as it was put.
func (c *column) value(row int) value {
	if slices.Contains(c.nulls, int32(row)) {
		return value{null: true}
	}
	switch c.kind {
	case asFloats:
		return value{float: c.floats[row]}
	case asBools:
		return value{whole: int64(c.bools[row])}
	case asCodes:
		return value{whole: int64(c.codes[row])}
	case asText:
		return value{text: slices.Clone(c.texts.at(row))}
	default:
		return value{whole: c.ints[row]}
	}
}
