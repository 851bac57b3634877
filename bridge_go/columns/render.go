package columns

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// MaxRendered bounds the documents of one answer, in bytes. A few words and many codes would make any number of them.
const MaxRendered = 64 << 20

// ErrRendered says that an answer's documents would have more than MaxRendered bytes.
var ErrRendered = errors.New("columns: the documents of an answer have more than 64 MiB")

// Render makes each row of an answer the JSON object that msgspec would have made of it. The documents share one array.
//
// An error means that the worker has sent what nobody may send: places outside of the body, codes of nothing, text that is not UTF-8,
// numbers that JSON does not have, times outside the years 1 to 9999.
func (p *Plan) Render(rows int, layout []uint64, body []byte) ([][]byte, error) {
	found, err := p.readBuffers(rows, layout, body)
	if err != nil || rows == 0 {
		return nil, err
	}
	out := make([]byte, 0, p.guess(rows, len(body)))
	ends := make([]int, rows)
	for row := range rows {
		for i := range found {
			out = append(out, p.outputs[i].lead...)
			if out, err = found[i].appendValue(out, &p.outputs[i], row); err != nil {
				return nil, err
			}
			if len(out) > MaxRendered {
				return nil, ErrRendered
			}
		}
		out = append(out, '}')
		ends[row] = len(out)
	}
	return cut(out, ends), nil
}

// guess is about what the documents of so many rows take: names, and twice the bytes of the values.
func (p *Plan) guess(rows, body int) int {
	each := 1
	for i := range p.outputs {
		each += len(p.outputs[i].lead)
	}
	return min(rows*each+2*body, MaxRendered)
}

func cut(out []byte, ends []int) [][]byte {
	documents := make([][]byte, len(ends))
	from := 0
	for i, end := range ends {
		documents[i] = out[from:end:end]
		from = end
	}
	return documents
}

func (c *buffer) appendValue(b []byte, o *output, row int) ([]byte, error) {
	if !c.valid(row) {
		return append(b, "null"...), nil
	}
	switch c.kind {
	case asFloats:
		return appendFloat(b, math.Float64frombits(c.uint64(row)))
	case asInts:
		return strconv.AppendInt(b, int64(c.uint64(row)), 10), nil
	case asBools:
		return appendBool(b, c.data[row])
	case asText:
		return appendString(b, c.word(row)), nil
	case asWords:
		return appendString(b, c.word(c.code(row))), nil
	case asCodes:
		return append(b, o.choices[c.code(row)]...), nil
	case asTimes:
		return appendTime(b, int64(c.uint64(row)))
	default:
		return appendDate(b, int64(c.uint64(row)))
	}
}

// appendFloat spells a float as msgspec does: always with a point or an exponent, so that it stays a float.
func appendFloat(b []byte, v float64) ([]byte, error) {
	size := math.Abs(v)
	if !(size <= math.MaxFloat64) {
		return nil, fmt.Errorf("columns: %v is no number of JSON", v)
	}
	from := len(b)
	if size == 0 || 1e-5 <= size && size < 1e16 {
		b = strconv.AppendFloat(b, v, 'f', -1, 64)
		for _, c := range b[from:] {
			if c == '.' {
				return b, nil
			}
		}
		return append(b, ".0"...), nil
	}
	b = strconv.AppendFloat(b, v, 'e', -1, 64)
	return shortExponent(b), nil
}

// shortExponent writes e+16 as e16 and e-07 as e-7.
func shortExponent(b []byte) []byte {
	e := len(b) - 1
	for b[e] != 'e' {
		e--
	}
	to := e + 1
	if b[to] == '-' {
		to++
	}
	from := e + 2
	for b[from] == '0' {
		from++
	}
	return b[:to+copy(b[to:], b[from:])]
}

func appendBool(b []byte, v byte) ([]byte, error) {
	switch v {
	case 0:
		return append(b, "false"...), nil
	case 1:
		return append(b, "true"...), nil
	}
	return nil, fmt.Errorf("columns: %d is neither true nor false", v)
}

func appendTime(b []byte, micros int64) ([]byte, error) {
	if micros < firstTime || micros > lastTime {
		return nil, fmt.Errorf("columns: %d us since 1970 is outside the years 1 to 9999", micros)
	}
	layout := `"2006-01-02T15:04:05Z"`
	if micros%1e6 != 0 {
		layout = `"2006-01-02T15:04:05.000000Z"`
	}
	return time.UnixMicro(micros).UTC().AppendFormat(b, layout), nil
}

func appendDate(b []byte, days int64) ([]byte, error) {
	if days < firstTime/microsOfDay || days > lastTime/microsOfDay {
		return nil, fmt.Errorf("columns: %d days since 1970 is outside the years 1 to 9999", days)
	}
	return time.Unix(days*86400, 0).UTC().AppendFormat(b, `"2006-01-02"`), nil
}
