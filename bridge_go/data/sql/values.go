package sql

import (
	"fmt"
	"time"
)

// What a parameter may be beside nil, bool, int64, float64, string and []byte.
type (
	// Timestamp is a moment in microseconds since 1970: UTC when Zoned, otherwise of a clock nobody names.
	Timestamp struct {
		Micros int64
		Zoned  bool
	}
	// Date is in days since 1970.
	Date int64
	// Decimal is a number as its digits.
	Decimal string
	// List holds values of one kind, none of them nil or a list.
	List []any
)

// String is the moment as ISO 8601 writes it, with a blank before the time, as databases print it.
func (t Timestamp) String() string {
	layout := "2006-01-02 15:04:05"
	if t.Micros%1e6 != 0 {
		layout += ".000000"
	}
	if t.Zoned {
		layout += "-07:00"
	}
	return time.UnixMicro(t.Micros).UTC().Format(layout)
}

func (d Date) String() string { return time.Unix(int64(d)*86400, 0).UTC().Format(time.DateOnly) }

// Valid says whether the years of a moment are those that databases and calendars agree about.
func (t Timestamp) Valid() bool { return validYear(time.UnixMicro(t.Micros)) }

// Valid is as [Timestamp.Valid].
func (d Date) Valid() bool {
	const bound = 4_000_000 // days, some 11,000 years: beyond, the year would overflow before it could be asked
	return d > -bound && d < bound && validYear(time.Unix(int64(d)*86400, 0))
}

func validYear(t time.Time) bool { y := t.UTC().Year(); return y >= 1 && y <= 9999 }

// Valid says whether the text is a number.
func (d Decimal) Valid() bool {
	digits, rest := 0, string(d)
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		rest = rest[1:]
	}
	dots := 0
	for _, c := range []byte(rest) {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' && dots == 0:
			dots++
		default:
			return false
		}
	}
	return digits > 0
}

// KindOf is a value's kind, for messages and for asking whether a list has one.
func KindOf(value any) string {
	switch v := value.(type) {
	case nil:
		return "nil"
	case bool:
		return "bool"
	case int64:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case []byte:
		return "bin"
	case Timestamp:
		if v.Zoned {
			return "timestamptz"
		}
		return "timestamp"
	case Date:
		return "date"
	case Decimal:
		return "decimal"
	case List:
		return "list"
	}
	return fmt.Sprintf("%T", value)
}

// Valid says what is wrong with a value, or nil.
func Valid(value any) error {
	switch v := value.(type) {
	case nil, bool, int64, float64, string, []byte:
		return nil
	case Timestamp:
		if v.Valid() {
			return nil
		}
	case Date:
		if v.Valid() {
			return nil
		}
	case Decimal:
		if v.Valid() {
			return nil
		}
	case List:
		return v.valid()
	}
	return fmt.Errorf("%v is no %s", value, KindOf(value))
}

func (l List) valid() error {
	for i, item := range l {
		switch kind := KindOf(item); {
		case kind == "nil" || kind == "list":
			return fmt.Errorf("item %d of a list is %s", i, kind)
		case kind != KindOf(l[0]):
			return fmt.Errorf("a list has one kind of value, item %d is %s and the first %s", i, kind, KindOf(l[0]))
		}
		if err := Valid(item); err != nil {
			return fmt.Errorf("item %d of a list: %w", i, err)
		}
	}
	return nil
}
