package sqlite

import (
	"fmt"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"ds-runner.dev/ds-runner/bridge_go/data/sql"
)

// A column of a result. A file holds any value in any column, so each is asked whether it fits.
type column struct {
	name     string
	declared string // as the table or the alias has it, "" for an expression
	kind     *kind
	put      appender
}

// A kind is what a declaration becomes.
type kind struct {
	word  string // for messages
	arrow arrow.DataType
	into  func(array.Builder) appender
}

// An appender takes a value for which its builder has room; it says how many bytes it has beyond its column's fixed width, and
// false when the value does not fit.
type appender func(value any) (bytes int, ok bool)

var (
	int64s   = &kind{"a whole number", arrow.PrimitiveTypes.Int64, integers}
	float64s = &kind{"a number", arrow.PrimitiveTypes.Float64, floats}
	utf8s    = &kind{"text", arrow.BinaryTypes.String, texts}
	blobs    = &kind{"a blob", arrow.BinaryTypes.Binary, binaries}
	bools    = &kind{"0 or 1", arrow.FixedWidthTypes.Boolean, booleans}
	days     = &kind{"a date such as 2026-01-31", arrow.FixedWidthTypes.Date32, dates}
	moments  = &kind{"a time such as 2026-01-31 09:30:00", &arrow.TimestampType{Unit: arrow.Microsecond}, timestamps(false)}
	instants = &kind{"a time with its zone such as 2026-01-31 09:30:00+00:00",
		&arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, timestamps(true)}
)

// affinities are asked in this order: the words that say more than SQLite hears in them, and then SQLite's own rules.
var affinities = []struct {
	words []string
	kind  *kind
}{
	{[]string{"TIMESTAMPTZ", "WITH TIME ZONE", "DATETIMETZ"}, instants},
	{[]string{"TIMESTAMP", "DATETIME"}, moments},
	{[]string{"DATE"}, days},
	{[]string{"BOOL"}, bools},
	{[]string{"INT"}, int64s},
	{[]string{"CHAR", "CLOB", "TEXT", "JSON", "UUID"}, utf8s},
	{[]string{"BLOB"}, blobs},
	{[]string{"REAL", "FLOA", "DOUB", "NUM", "DEC"}, float64s},
}

// columnOf reads a column's name and declaration. An alias may declare a type in brackets, as Python's sqlite3 has it:
// select max(at) as "last [timestamp]".
func columnOf(name, declared string) *column {
	if bare, within, ok := strings.Cut(name, "["); ok && strings.HasSuffix(within, "]") {
		name, declared = strings.TrimSpace(bare), strings.ToUpper(strings.TrimSuffix(within, "]"))
	}
	return &column{name: name, declared: declared, kind: kindOf(declared)}
}

func kindOf(declared string) *kind {
	if declared == "" {
		return nil
	}
	for _, a := range affinities {
		for _, word := range a.words {
			if strings.Contains(declared, word) {
				return a.kind
			}
		}
	}
	return float64s // SQLite's NUMERIC
}

// kindOfValue is the type of an expression's value, nil for a null.
func kindOfValue(value any) *kind {
	switch value.(type) {
	case int64:
		return int64s
	case float64:
		return float64s
	case string:
		return utf8s
	case []byte:
		return blobs
	case time.Time:
		return moments
	}
	return nil
}

func fieldsOf(columns []*column) []arrow.Field {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = arrow.Field{Name: c.name, Type: c.kind.arrow, Nullable: true}
	}
	return fields
}

// refuse tells of a value that is not what its column is declared to be.
func (c *column) refuse(connection string, value any) error {
	shown := fmt.Sprint(value)
	if b, ok := value.([]byte); ok {
		shown = fmt.Sprintf("a blob of %d bytes", len(b))
	}
	if len(shown) > 60 {
		shown = strings.ToValidUTF8(shown[:60], "") + "..."
	}
	if c.declared != "" {
		return sql.Errorf(sql.BadValue, "connection %s: column %s is declared %s, and one of its values is no %s: %s. Mend the value, or cast the column",
			connection, c.name, c.declared, strings.TrimPrefix(c.kind.word, "a "), shown)
	}
	return sql.Errorf(sql.BadValue, "connection %s: column %s has no declaration and began as %s, and then has %s. Say its type in the alias: as \"%s [real]\", or integer, text, blob, date, timestamp",
		connection, c.name, c.kind.word, shown, c.name)
}

func integers(b array.Builder) appender {
	to := b.(*array.Int64Builder)
	return func(value any) (int, bool) {
		v, ok := value.(int64)
		if ok {
			to.UnsafeAppend(v)
		}
		return 0, ok
	}
}

// exact is up to where every whole number is a float64.
const exact = 1 << 53

func floats(b array.Builder) appender {
	to := b.(*array.Float64Builder)
	return func(value any) (int, bool) {
		switch v := value.(type) {
		case float64:
			to.UnsafeAppend(v)
			return 0, true
		case int64:
			to.UnsafeAppend(float64(v))
			return 0, v >= -exact && v <= exact
		}
		return 0, false
	}
}

func texts(b array.Builder) appender {
	to := b.(*array.StringBuilder)
	return func(value any) (int, bool) {
		v, ok := value.(string)
		if ok {
			to.Append(strings.ToValidUTF8(v, "\uFFFD"))
		}
		return len(v), ok
	}
}

func binaries(b array.Builder) appender {
	to := b.(*array.BinaryBuilder)
	return func(value any) (int, bool) {
		v, ok := value.([]byte)
		if ok {
			to.Append(v)
		}
		return len(v), ok
	}
}

func booleans(b array.Builder) appender {
	to := b.(*array.BooleanBuilder)
	return func(value any) (int, bool) {
		switch v := value.(type) {
		case bool:
			to.UnsafeAppend(v)
			return 0, true
		case int64:
			to.UnsafeAppend(v == 1)
			return 0, v == 0 || v == 1
		}
		return 0, false
	}
}

func dates(b array.Builder) appender {
	to := b.(*array.Date32Builder)
	return func(value any) (int, bool) {
		v, ok := timeOf(value)
		if !ok || !v.Equal(v.Truncate(24*time.Hour)) {
			return 0, false
		}
		to.UnsafeAppend(arrow.Date32(v.Unix() / 86400))
		return 0, true
	}
}

func timestamps(zoned bool) func(array.Builder) appender {
	return func(b array.Builder) appender {
		to := b.(*array.TimestampBuilder)
		return func(value any) (int, bool) {
			v, ok := timeOf(value)
			if !ok || v.Nanosecond()%1000 != 0 || !rightZone(value, v, zoned) {
				return 0, false
			}
			to.UnsafeAppend(arrow.Timestamp(v.UnixMicro()))
			return 0, true
		}
	}
}

// timeOf reads what the driver has read already, or the text that it gave up on.
func timeOf(value any) (time.Time, bool) {
	switch v := value.(type) {
	case time.Time:
		return v, v.Year() >= 1 && v.Year() <= 9999
	case string:
		for _, layout := range layouts {
			if t, err := time.Parse(layout, v); err == nil {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// layouts of times: fractions of a second are taken with each.
var layouts = []string{
	"2006-01-02 15:04:05-07:00", "2006-01-02T15:04:05-07:00", "2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02",
}

// rightZone asks that a column of moments in time says of which zone they are, and one of wall clocks' times does not. The
// driver has read the latter already: only a zone other than UTC shows.
func rightZone(value any, read time.Time, zoned bool) bool {
	if text, ok := value.(string); ok {
		return zoned == hasZone(text)
	}
	_, offset := read.Zone()
	return offset == 0
}

// hasZone says whether a time ends with one: Z, or +hh:mm behind the date.
func hasZone(text string) bool {
	return strings.HasSuffix(text, "Z") || len(text) > len("2006-01-02") && strings.ContainsAny(text[len("2006-01-02"):], "+-")
}
