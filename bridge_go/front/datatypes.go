package front

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A datatype is what the elements of a tensor are, by the names of the Open Inference Protocol.
type datatype struct {
	kind datakind
	size int // bytes of an element of binary tensor data; of text its length, four bytes, stands before it
}

type datakind uint8

const (
	kindBool datakind = iota + 1
	kindSigned
	kindUnsigned
	kindFloat
	kindText
)

var datatypes = map[string]datatype{
	"BOOL": {kindBool, 1}, "BYTES": {kindText, 4},
	"INT8": {kindSigned, 1}, "INT16": {kindSigned, 2}, "INT32": {kindSigned, 4}, "INT64": {kindSigned, 8},
	"UINT8": {kindUnsigned, 1}, "UINT16": {kindUnsigned, 2}, "UINT32": {kindUnsigned, 4}, "UINT64": {kindUnsigned, 8},
	"FP16": {kindFloat, 2}, "BF16": {kindFloat, 2}, "FP32": {kindFloat, 4}, "FP64": {kindFloat, 8},
}

// brainFloat shares its size with FP16 and is told apart by its name.
const brainFloat = "BF16"

// fitting says whether elements of a client's datatype can be values of a field. A field without one is of a model that does not
// say what it takes.
func fitting(field, given string) bool {
	d := datatypes[given]
	switch field {
	case "":
		return true
	case "INT64":
		return d.kind == kindSigned || d.kind == kindUnsigned
	case "FP64":
		return d.kind == kindSigned || d.kind == kindUnsigned || d.kind == kindFloat
	}
	return field == given
}

var (
	errText   = errors.New("is not UTF-8")
	errFinite = errors.New("is not finite, and JSON has no such number")
)

// appendFloat writes a number for a field. NaN is null where the field may be null; elsewhere, and for infinities, the word is
// written instead, which no number field takes: so the model's verdict names the row, the field and the value.
func appendFloat(dst []byte, v float64, f *tensorField) ([]byte, error) {
	nan := math.IsNaN(v)
	switch {
	case nan && (f.nullable || f.datatype == ""):
		return append(dst, "null"...), nil
	case nan:
		return append(dst, `"NaN"`...), nil
	case math.IsInf(v, 0) && f.datatype == "":
		return dst, errFinite
	case math.IsInf(v, 1):
		return append(dst, `"Infinity"`...), nil
	case math.IsInf(v, -1):
		return append(dst, `"-Infinity"`...), nil
	case f.datatype == "INT64" && v == math.Trunc(v) && math.Abs(v) < 1<<63:
		return strconv.AppendInt(dst, int64(v), 10), nil
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64), nil
}

// appendText writes an element of BYTES for a field: as a string, or as it stands where the field's elements are JSON. What is no
// JSON goes as a string even there; the model refuses it by row.
func appendText(dst, element []byte, f *tensorField) ([]byte, error) {
	if f.asJSON {
		if value, ok := oneValue(element); ok {
			return append(dst, value...), nil
		}
	}
	if !utf8.Valid(element) {
		return dst, errText
	}
	return appendString(dst, element), nil
}

// oneValue is the one JSON value of a text, without the blanks around it.
func oneValue(b []byte) ([]byte, bool) {
	from := skipSpace(b, 0)
	to, err := skipValue(b, from)
	if err != nil || nothingMore(b, to) != nil {
		return nil, false
	}
	return b[from:to], true
}

// appendString quotes UTF-8 for JSON.
func appendString[T ~string | ~[]byte](dst []byte, s T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		if c == '"' || c == '\\' {
			dst = append(dst, '\\', c)
		} else {
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(dst, s[from:]...), '"')
}

// appendInteger writes the decimal digits of a JSON number for a field of integers: 5.0 and 5e0 are the integer 5, which the model's
// own decoder would refuse.
func appendInteger(dst, number []byte) []byte {
	if strings.ContainsAny(string(number), ".eE") {
		if v, err := strconv.ParseFloat(string(number), 64); err == nil && v == math.Trunc(v) && math.Abs(v) < 1<<63 {
			return strconv.AppendInt(dst, int64(v), 10)
		}
	}
	return append(dst, number...)
}

// half is the value of an IEEE 754 number of 16 bits.
func half(bits uint16) float64 {
	sign, exponent, fraction := 1.0, int(bits>>10&31), float64(bits&1023)
	if bits>>15 == 1 {
		sign = -1
	}
	switch exponent {
	case 0:
		return sign * math.Ldexp(fraction, -24)
	case 31:
		if fraction != 0 {
			return math.NaN()
		}
		return math.Inf(int(sign))
	}
	return sign * math.Ldexp(1024+fraction, exponent-25)
}

// unsignedAt is the little-endian number of size bytes.
func unsignedAt(b []byte, size int) uint64 {
	switch size {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}
