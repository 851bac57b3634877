package postgres

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// A kind is what a type becomes: how the server sends it, its type in pages, and how a value gets there.
type kind struct {
	format int16
	arrow  arrow.DataType
	// into makes the function that appends one value, not null, for which the builder has room. It returns how many bytes the
	// value has beyond its column's fixed width.
	into func(b array.Builder) appender
}

type appender func(raw []byte) (bytes int, err error)

const (
	inText   = pgtype.TextFormatCode
	inBinary = pgtype.BinaryFormatCode
)

var (
	zoned   = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	unzoned = &arrow.TimestampType{Unit: arrow.Microsecond}

	errLength   = errors.New("a value of another length than its type has")
	errInfinity = errors.New("infinity is no date: leave such rows out, or cast the column to text")
)

// Types that come in binary. All others come as the server prints them, and become utf8.
var kinds = map[uint32]kind{
	pgtype.BoolOID:        {inBinary, arrow.FixedWidthTypes.Boolean, booleans},
	pgtype.Int2OID:        {inBinary, arrow.PrimitiveTypes.Int16, int2s},
	pgtype.Int4OID:        {inBinary, arrow.PrimitiveTypes.Int32, int4s},
	pgtype.Int8OID:        {inBinary, arrow.PrimitiveTypes.Int64, int8s},
	pgtype.OIDOID:         {inBinary, arrow.PrimitiveTypes.Uint32, oids},
	pgtype.Float4OID:      {inBinary, arrow.PrimitiveTypes.Float32, float4s},
	pgtype.Float8OID:      {inBinary, arrow.PrimitiveTypes.Float64, float8s},
	pgtype.TextOID:        {inBinary, arrow.BinaryTypes.String, texts},
	pgtype.VarcharOID:     {inBinary, arrow.BinaryTypes.String, texts},
	pgtype.BPCharOID:      {inBinary, arrow.BinaryTypes.String, texts},
	pgtype.NameOID:        {inBinary, arrow.BinaryTypes.String, texts},
	pgtype.JSONOID:        {inBinary, arrow.BinaryTypes.String, texts},
	pgtype.UUIDOID:        {inBinary, arrow.BinaryTypes.String, uuids},
	pgtype.ByteaOID:       {inBinary, arrow.BinaryTypes.Binary, byteas},
	pgtype.DateOID:        {inBinary, arrow.FixedWidthTypes.Date32, dates},
	pgtype.TimeOID:        {inBinary, arrow.FixedWidthTypes.Time64us, times},
	pgtype.TimestampOID:   {inBinary, unzoned, timestamps},
	pgtype.TimestamptzOID: {inBinary, zoned, timestamps},
}

var printed = kind{inText, arrow.BinaryTypes.String, texts}

// lists are the arrays whose items come in binary, with the type of these.
var lists = map[uint32]uint32{
	pgtype.BoolArrayOID: pgtype.BoolOID, pgtype.Int2ArrayOID: pgtype.Int2OID, pgtype.Int4ArrayOID: pgtype.Int4OID,
	pgtype.Int8ArrayOID: pgtype.Int8OID, pgtype.Float4ArrayOID: pgtype.Float4OID, pgtype.Float8ArrayOID: pgtype.Float8OID,
	pgtype.TextArrayOID: pgtype.TextOID, pgtype.VarcharArrayOID: pgtype.VarcharOID, pgtype.BPCharArrayOID: pgtype.BPCharOID,
	pgtype.NameArrayOID: pgtype.NameOID, pgtype.UUIDArrayOID: pgtype.UUIDOID, pgtype.ByteaArrayOID: pgtype.ByteaOID,
	pgtype.DateArrayOID: pgtype.DateOID, pgtype.TimestampArrayOID: pgtype.TimestampOID,
	pgtype.TimestamptzArrayOID: pgtype.TimestamptzOID,
}

// kindOf is what a column becomes, by its declaration alone.
func kindOf(f pgconn.FieldDescription, numeric numericAs) kind {
	if f.DataTypeOID == pgtype.NumericOID {
		return numericKind(f.TypeModifier, numeric)
	}
	if item, ok := lists[f.DataTypeOID]; ok {
		k := kinds[item]
		return kind{inBinary, arrow.ListOf(k.arrow), listsOf(k)}
	}
	if k, ok := kinds[f.DataTypeOID]; ok {
		return k
	}
	return printed
}

// numericKind: numeric(precision, scale) says both in its modifier, and numeric alone has -1.
func numericKind(modifier int32, as numericAs) kind {
	if modifier >= 4 {
		precision, scale := (modifier-4)>>16&0xffff, (modifier-4)&0x7ff
		if precision <= 38 && scale <= precision {
			return kind{inBinary, &arrow.Decimal128Type{Precision: precision, Scale: scale}, decimals(int(scale))}
		}
	}
	if as == numericFloat {
		return kind{inText, arrow.PrimitiveTypes.Float64, parsedFloats}
	}
	return printed
}

func booleans(b array.Builder) appender {
	to := b.(*array.BooleanBuilder)
	return func(raw []byte) (int, error) {
		if len(raw) != 1 {
			return 0, errLength
		}
		to.UnsafeAppend(raw[0] != 0)
		return 0, nil
	}
}

func int2s(b array.Builder) appender {
	to := b.(*array.Int16Builder)
	return func(raw []byte) (int, error) {
		if len(raw) != 2 {
			return 0, errLength
		}
		to.UnsafeAppend(int16(binary.BigEndian.Uint16(raw)))
		return 0, nil
	}
}

func int4s(b array.Builder) appender {
	to := b.(*array.Int32Builder)
	return func(raw []byte) (int, error) {
		if len(raw) != 4 {
			return 0, errLength
		}
		to.UnsafeAppend(int32(binary.BigEndian.Uint32(raw)))
		return 0, nil
	}
}

func int8s(b array.Builder) appender {
	to := b.(*array.Int64Builder)
	return func(raw []byte) (int, error) {
		if len(raw) != 8 {
			return 0, errLength
		}
		to.UnsafeAppend(int64(binary.BigEndian.Uint64(raw)))
		return 0, nil
	}
}

func oids(b array.Builder) appender {
	to := b.(*array.Uint32Builder)
	return func(raw []byte) (int, error) {
		if len(raw) != 4 {
			return 0, errLength
		}
		to.UnsafeAppend(binary.BigEndian.Uint32(raw))
		return 0, nil
	}
}

func float4s(b array.Builder) appender {
	to := b.(*array.Float32Builder)
	return func(raw []byte) (int, error) {
		if len(raw) != 4 {
			return 0, errLength
		}
		to.UnsafeAppend(math.Float32frombits(binary.BigEndian.Uint32(raw)))
		return 0, nil
	}
}

func float8s(b array.Builder) appender {
	to := b.(*array.Float64Builder)
	return func(raw []byte) (int, error) {
		if len(raw) != 8 {
			return 0, errLength
		}
		to.UnsafeAppend(math.Float64frombits(binary.BigEndian.Uint64(raw)))
		return 0, nil
	}
}

func parsedFloats(b array.Builder) appender {
	to := b.(*array.Float64Builder)
	return func(raw []byte) (int, error) {
		v, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(raw), len(raw)), 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return 0, err
		}
		to.UnsafeAppend(v)
		return 0, nil
	}
}

func decimals(scale int) func(array.Builder) appender {
	return func(b array.Builder) appender {
		to := b.(*array.Decimal128Builder)
		return func(raw []byte) (int, error) {
			v, err := decimalOf(raw, scale)
			if err != nil {
				return 0, err
			}
			to.UnsafeAppend(v)
			return 0, nil
		}
	}
}

func texts(b array.Builder) appender {
	to := b.(*array.StringBuilder)
	return func(raw []byte) (int, error) {
		to.BinaryBuilder.Append(raw)
		return len(raw), nil
	}
}

func byteas(b array.Builder) appender {
	to := b.(*array.BinaryBuilder)
	return func(raw []byte) (int, error) {
		to.Append(raw)
		return len(raw), nil
	}
}

func uuids(b array.Builder) appender {
	to := b.(*array.StringBuilder)
	var text [36]byte
	return func(raw []byte) (int, error) {
		if len(raw) != 16 {
			return 0, errLength
		}
		at := 0
		for i, n := range [...]int{4, 6, 8, 10, 16} {
			from := [...]int{0, 4, 6, 8, 10}[i]
			at += hex.Encode(text[at:], raw[from:n])
			if at < len(text) {
				text[at] = '-'
				at++
			}
		}
		to.BinaryBuilder.Append(text[:])
		return len(text), nil
	}
}

// The server counts from 2000 on, Arrow from 1970.
const (
	daysTo2000   = 10957
	microsTo2000 = daysTo2000 * 86400 * 1_000_000
)

func dates(b array.Builder) appender {
	to := b.(*array.Date32Builder)
	return func(raw []byte) (int, error) {
		if len(raw) != 4 {
			return 0, errLength
		}
		v := int32(binary.BigEndian.Uint32(raw))
		if v == math.MaxInt32 || v == math.MinInt32 {
			return 0, errInfinity
		}
		to.UnsafeAppend(arrow.Date32(v + daysTo2000))
		return 0, nil
	}
}

func times(b array.Builder) appender {
	to := b.(*array.Time64Builder)
	return func(raw []byte) (int, error) {
		if len(raw) != 8 {
			return 0, errLength
		}
		to.UnsafeAppend(arrow.Time64(binary.BigEndian.Uint64(raw)))
		return 0, nil
	}
}

func timestamps(b array.Builder) appender {
	to := b.(*array.TimestampBuilder)
	return func(raw []byte) (int, error) {
		if len(raw) != 8 {
			return 0, errLength
		}
		v := int64(binary.BigEndian.Uint64(raw))
		if v == math.MaxInt64 || v == math.MinInt64 {
			return 0, errInfinity
		}
		to.UnsafeAppend(arrow.Timestamp(v + microsTo2000))
		return 0, nil
	}
}

// listsOf reads arrays: dimensions, whether there are nulls, the items' type, for each dimension its length and first
// index, and then the items, each with its length.
func listsOf(item kind) func(array.Builder) appender {
	return func(b array.Builder) appender {
		to := b.(*array.ListBuilder)
		values := to.ValueBuilder()
		put := item.into(values)
		return func(raw []byte) (int, error) {
			n, rest, err := arrayHead(raw)
			if err != nil {
				return 0, err
			}
			to.Append(true)
			values.Reserve(n)
			for range n {
				if rest, err = arrayItem(rest, values, put); err != nil {
					return 0, err
				}
			}
			return len(raw), nil
		}
	}
}

func arrayHead(raw []byte) (items int, rest []byte, err error) {
	if len(raw) < 12 {
		return 0, nil, errLength
	}
	switch dimensions := binary.BigEndian.Uint32(raw); {
	case dimensions == 0:
		return 0, nil, nil
	case dimensions > 1:
		return 0, nil, fmt.Errorf("an array of %d dimensions: unnest it, or cast the column to text", dimensions)
	case len(raw) < 20:
		return 0, nil, errLength
	}
	items, rest = int(binary.BigEndian.Uint32(raw[12:])), raw[20:]
	if items > len(rest)/4 {
		return 0, nil, errLength
	}
	return items, rest, nil
}

func arrayItem(raw []byte, to array.Builder, put appender) ([]byte, error) {
	if len(raw) < 4 {
		return nil, errLength
	}
	n := int(int32(binary.BigEndian.Uint32(raw)))
	if raw = raw[4:]; n < 0 {
		to.AppendNull()
		return raw, nil
	}
	if n > len(raw) {
		return nil, errLength
	}
	_, err := put(raw[:n])
	return raw[n:], err
}
