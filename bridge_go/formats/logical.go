package formats

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/twmb/avro"
)

// asText has Avro's types that JSON does not have decode into text, and be encoded from it.
func asText() []avro.SchemaOpt {
	list := []avro.SchemaOpt{
		decoding("date", "int", func(v int32, _ *avro.SchemaNode) (any, error) {
			return datedAs(time.Unix(int64(v)*86400, 0).UTC(), time.DateOnly)
		}),
		decimal("bytes"), decimal("fixed"),
		avro.CustomType{
			LogicalType: "uuid", AvroType: "fixed", GoType: text,
			Decode: func(v any, _ *avro.SchemaNode) (any, error) { return dashed(v.([]byte)), nil },
			Encode: func(v any, _ *avro.SchemaNode) (any, error) { return undashed(v.(string)) },
		},
		decoding("duration", "fixed", func(v []byte, _ *avro.SchemaNode) (any, error) { return duration(v), nil }),
		clock("time-millis", "int", time.Millisecond),
		clock("time-micros", "long", time.Microsecond),
		plainBytes("bytes"), plainBytes("fixed"),
	}
	for _, unit := range []struct {
		name string
		of   func(int64) time.Time
		to   func(time.Time) int64
	}{
		{"millis", time.UnixMilli, time.Time.UnixMilli}, {"micros", time.UnixMicro, time.Time.UnixMicro},
		{"nanos", func(n int64) time.Time { return time.Unix(0, n) }, time.Time.UnixNano},
	} {
		list = append(list,
			decoding("timestamp-"+unit.name, "long", func(v int64, _ *avro.SchemaNode) (any, error) {
				return datedAs(unit.of(v).UTC(), time.RFC3339Nano)
			}),
			localTime("local-timestamp-"+unit.name, unit.of, unit.to))
	}
	return list
}

// local is RFC 3339 without a zone, which a local time does not have.
const local = "2006-01-02T15:04:05.999999999"

func decoding[A any](logical, of string, do func(A, *avro.SchemaNode) (any, error)) avro.SchemaOpt {
	return avro.CustomType{LogicalType: logical, AvroType: of, Decode: func(v any, n *avro.SchemaNode) (any, error) {
		native, ok := v.(A)
		if !ok {
			return nil, fmt.Errorf("%s is held by a %T", logical, v)
		}
		return do(native, n)
	}}
}

// datedAs refuses years that no reader of the text knows.
func datedAs(t time.Time, layout string) (any, error) {
	if t.Year() < 1 || t.Year() > 9999 {
		return nil, fmt.Errorf("a time of the year %d: models know those from 1 to 9999", t.Year())
	}
	return t.Format(layout), nil
}

// decimal is a number whose digits all count.
func decimal(of string) avro.SchemaOpt {
	return avro.CustomType{
		LogicalType: "decimal", AvroType: of, GoType: text,
		Decode: func(v any, n *avro.SchemaNode) (any, error) {
			return avro.RatFromBytes(v.([]byte), n.Scale).FloatString(n.Scale), nil
		},
		Encode: func(v any, n *avro.SchemaNode) (any, error) { return unscaled(v.(string), n) },
	}
}

// digits has no exponent: a short text would be a number of any size.
var digits = regexp.MustCompile(`^[-+]?[0-9]{1,200}(\.[0-9]{1,200})?$`)

// unscaled is the number without its point, in two's complement, the highest byte first.
func unscaled(text string, n *avro.SchemaNode) ([]byte, error) {
	number, ok := new(big.Rat), digits.MatchString(text)
	if ok {
		number, ok = number.SetString(text)
	}
	if !ok {
		return nil, fmt.Errorf("%q is no decimal number, such as 12.50", text)
	}
	number.Mul(number, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n.Scale)), nil)))
	whole := number.Num()
	if !number.IsInt() || len(strings.TrimPrefix(whole.String(), "-")) > n.Precision {
		return nil, fmt.Errorf("%s has more digits than decimal(%d, %d)", text, n.Precision, n.Scale)
	}
	size := whole.BitLen()/8 + 1
	if n.Size > 0 {
		size = n.Size
	}
	if whole.BitLen() >= 8*size {
		return nil, fmt.Errorf("%s does not fit into %d bytes", text, size)
	}
	if whole.Sign() < 0 {
		whole = new(big.Int).Add(whole, new(big.Int).Lsh(big.NewInt(1), uint(8*size)))
	}
	return whole.FillBytes(make([]byte, size)), nil
}

func dashed(v []byte) string {
	h := hex.EncodeToString(v)
	if len(h) != 32 {
		return h
	}
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

func undashed(text string) ([]byte, error) {
	data, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(data) != 16 {
		return nil, fmt.Errorf("%q is no uuid", text)
	}
	return data, nil
}

// duration is ISO 8601's: months, days and milliseconds, which cannot be added up.
func duration(v []byte) string {
	d := avro.DurationFromBytes(v)
	text := "P"
	if d.Months > 0 {
		text += fmt.Sprintf("%dM", d.Months)
	}
	if d.Days > 0 {
		text += fmt.Sprintf("%dD", d.Days)
	}
	if d.Milliseconds > 0 || text == "P" {
		text += "T" + new(big.Rat).SetFrac64(int64(d.Milliseconds), 1000).FloatString(3) + "S"
	}
	return text
}

// clock is the time of a day.
func clock(logical, of string, unit time.Duration) avro.SchemaOpt {
	return avro.CustomType{
		LogicalType: logical, AvroType: of, GoType: text,
		Decode: func(v any, _ *avro.SchemaNode) (any, error) {
			count := reflect.ValueOf(v).Int()
			if limit := int64(24 * time.Hour / unit); count < 0 || count >= limit {
				return nil, fmt.Errorf("%s is %d, which is no time of a day", logical, count)
			}
			return time.Unix(0, count*int64(unit)).UTC().Format("15:04:05.999999"), nil
		},
		Encode: func(v any, _ *avro.SchemaNode) (any, error) {
			t, err := time.Parse("15:04:05.999999", v.(string))
			if err != nil {
				return nil, fmt.Errorf("%q is no time of a day, such as 10:00:00.5", v)
			}
			count := t.Sub(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)) / unit
			if of == "int" {
				return int32(count), nil
			}
			return int64(count), nil
		},
	}
}

// localTime is a date and a time that mean another moment in each zone.
func localTime(logical string, of func(int64) time.Time, to func(time.Time) int64) avro.SchemaOpt {
	return avro.CustomType{
		LogicalType: logical, AvroType: "long", GoType: text,
		Decode: func(v any, _ *avro.SchemaNode) (any, error) { return datedAs(of(v.(int64)).UTC(), local) },
		Encode: func(v any, _ *avro.SchemaNode) (any, error) {
			t, err := time.Parse(local, strings.TrimSuffix(v.(string), "Z"))
			if err != nil {
				return nil, fmt.Errorf("%q is no local time, such as 2013-01-31T10:00:00", v)
			}
			if of(to(t)).Sub(t).Abs() > time.Second { // the count has overflowed
				return nil, fmt.Errorf("%q is none of the times that a %s can tell", v, logical)
			}
			return to(t), nil
		},
	}
}

// plainBytes are base64, as JSON has no bytes.
func plainBytes(of string) avro.SchemaOpt {
	return avro.CustomType{
		AvroType: of, GoType: text,
		Decode: func(v any, n *avro.SchemaNode) (any, error) {
			if n.LogicalType != "" {
				return nil, avro.ErrSkipCustomType
			}
			return v, nil
		},
		Encode: func(v any, n *avro.SchemaNode) (any, error) {
			if n.LogicalType != "" {
				return nil, avro.ErrSkipCustomType
			}
			data, err := base64.StdEncoding.DecodeString(v.(string))
			if err != nil {
				return nil, fmt.Errorf("bytes are base64: %w", err)
			}
			return data, nil
		},
	}
}

var text = reflect.TypeFor[string]()
