package postgres

import (
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"ds-runner.dev/ds-runner/bridge_go/data/sql"
)

// A call is a statement with its values as the protocol sends them.
type call struct {
	*sql.Bound
	values  [][]byte
	oids    []uint32
	formats []int16 // nil: all are text
}

func bind(text string, params map[string]any) (*call, error) {
	statement, err := sql.ParseStatement(text, dialect)
	if err != nil {
		return nil, err
	}
	bound, err := statement.Bind(params, func(name int) string { return "$" + strconv.Itoa(name+1) })
	if err != nil {
		return nil, err
	}
	c := &call{Bound: bound}
	for _, name := range statement.Names {
		value := params[name]
		c.oids = append(c.oids, oidOf(value))
		if value == nil {
			c.values = append(c.values, nil)
		} else {
			c.values = append(c.values, appendText(nil, value))
		}
	}
	return c, nil
}

// oidOf is the type by which a value goes to the server. 0 leaves it to the server, which takes what the place asks for: a
// str may be a uuid, an enum or JSON. A whole number is an int4 where it fits, so that it goes wherever integers do.
func oidOf(value any) uint32 {
	switch v := value.(type) {
	case bool:
		return pgtype.BoolOID
	case int64:
		if v >= math.MinInt32 && v <= math.MaxInt32 {
			return pgtype.Int4OID
		}
		return pgtype.Int8OID
	case float64:
		return pgtype.Float8OID
	case []byte:
		return pgtype.ByteaOID
	case sql.Timestamp:
		if v.Zoned {
			return pgtype.TimestamptzOID
		}
		return pgtype.TimestampOID
	case sql.Date:
		return pgtype.DateOID
	case sql.Decimal:
		return pgtype.NumericOID
	case sql.List:
		return listOID(v)
	}
	return 0
}

func listOID(items sql.List) uint32 {
	if len(items) == 0 {
		return 0
	}
	if _, ok := items[0].(int64); ok && !slices.ContainsFunc(items, func(item any) bool { return oidOf(item) != pgtype.Int4OID }) {
		return pgtype.Int4ArrayOID
	}
	return arrays[sql.KindOf(items[0])]
}

// arrays are the types of lists by the kind of their items. Those of strs are the server's to find.
var arrays = map[string]uint32{
	"bool": pgtype.BoolArrayOID, "int": pgtype.Int8ArrayOID, "float": pgtype.Float8ArrayOID, "bin": pgtype.ByteaArrayOID,
	"timestamptz": pgtype.TimestamptzArrayOID, "timestamp": pgtype.TimestampArrayOID, "date": pgtype.DateArrayOID,
	"decimal": pgtype.NumericArrayOID,
}

// appendText writes a value as the server reads it; nil is not one.
func appendText(b []byte, value any) []byte {
	switch v := value.(type) {
	case bool:
		return strconv.AppendBool(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return strconv.AppendFloat(b, v, 'g', -1, 64) // NaN, +Inf and -Inf are words that the server knows
	case string:
		return append(b, v...)
	case []byte:
		return hex.AppendEncode(append(b, `\x`...), v)
	case sql.Timestamp:
		return append(b, v.String()...)
	case sql.Date:
		return append(b, v.String()...)
	case sql.Decimal:
		return append(b, v...)
	case sql.List:
		return appendList(b, v)
	}
	return b
}

var quotes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// appendList writes an array: {"1","2"}. Quotes are right for every type; NULL has none.
func appendList(b []byte, items sql.List) []byte {
	b = append(b, '{')
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		if item == nil {
			b = append(b, "NULL"...)
			continue
		}
		b = append(b, '"')
		b = append(b, quotes.Replace(string(appendText(nil, item)))...)
		b = append(b, '"')
	}
	return append(b, '}')
}
