package columns_test

import (
	"bytes"
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// An oracle says of an event what the rules say, one after the other and slowly. It shares no line with the parser: syntax is
// encoding/json's (or json/v2's, with GOEXPERIMENT=jsonv2), numbers strconv's, dates package time's.
type oracle struct {
	refuses bool
	fields  []oracleField
}

type oracleField struct {
	Name, Wire, Kind string
	Nullable         bool
	Default          json.RawMessage
	Choices          []any
	GT, GE, LT, LE   *float64
}

// An oddity is why a parser may leave an event to the worker that is an event.
var (
	longNumber   = regexp.MustCompile(`[0-9.eE+-]{401}`)
	longExponent = regexp.MustCompile(`[eE][+-]?[0-9]{5}`)
)

func mayBeMisfit(payload []byte) bool {
	return longNumber.Match(payload) || longExponent.Match(payload) || bytes.Count(payload, []byte("["))+bytes.Count(payload, []byte("{")) > 64
}

// row reads an event. odd: it is one, but with a time that only the worker can tell.
func (o *oracle) row(payload []byte) (row map[string]any, unknown []string, ok, odd bool) {
	if !strictlyJSON(payload) {
		return nil, nil, false, false
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, false, false
	}
	row = map[string]any{}
	for d.More() {
		name, _ := d.Token()
		var value any
		if d.Decode(&value) != nil || !finite(value) {
			return nil, nil, false, false
		}
		at := slices.IndexFunc(o.fields, func(f oracleField) bool { return f.Wire == name })
		if at < 0 {
			unknown = append(unknown, name.(string))
			continue
		}
		v, taken, strange := o.fields[at].value(value)
		if odd = odd || strange; !taken {
			return nil, nil, false, false
		}
		row[o.fields[at].Name] = v
	}
	for _, f := range o.fields {
		if _, said := row[f.Name]; said {
			continue
		}
		if f.Default == nil {
			return nil, nil, false, false
		}
		var value any
		plain := json.NewDecoder(bytes.NewReader(f.Default))
		plain.UseNumber()
		if plain.Decode(&value) != nil {
			return nil, nil, false, false
		}
		f.GT, f.GE, f.LT, f.LE = nil, nil, nil, nil
		row[f.Name], _, _ = f.value(value)
	}
	return row, unknown, len(unknown) == 0 || !o.refuses, odd
}

func finite(value any) bool {
	switch v := value.(type) {
	case json.Number:
		_, err := v.Float64()
		return err == nil || !strings.ContainsAny(string(v), ".eE") // Python has larger integers
	case []any:
		return !slices.ContainsFunc(v, func(x any) bool { return !finite(x) })
	case map[string]any:
		for _, x := range v {
			if !finite(x) {
				return false
			}
		}
	}
	return true
}

func (f *oracleField) value(value any) (v any, ok, odd bool) {
	if value == nil {
		return nil, f.Nullable, false
	}
	number, isNumber := value.(json.Number)
	text, isText := value.(string)
	switch f.Kind {
	case "float":
		x, err := number.Float64()
		if number == "-0" {
			x = 0
		}
		return x, isNumber && err == nil && f.allows(x), false
	case "int":
		x, err := number.Int64()
		return x, isNumber && err == nil && f.allows(float64(x)), false
	case "bool":
		_, ok = value.(bool)
		return value, ok, false
	case "str":
		return text, isText, false
	case "category":
		if x, err := strconv.ParseInt(string(number), 10, 64); isNumber && err == nil {
			value = json.Number(strconv.FormatInt(x, 10))
		}
		at := slices.Index(f.Choices, value)
		return int64(at), at >= 0, false
	case "datetime":
		return timeOf(text, isText)
	}
	day, err := time.Parse("2006-01-02", text)
	return day.Unix() / 86400, isText && err == nil && day.Year() > 0, false
}

func (f *oracleField) allows(x float64) bool {
	return (f.GT == nil || x > *f.GT) && (f.GE == nil || x >= *f.GE) && (f.LT == nil || x < *f.LT) && (f.LE == nil || x <= *f.LE)
}

var timeForm = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-])([01]\d|2[0-3]):?([0-5]\d))$`)

func timeOf(text string, is bool) (v any, ok, odd bool) {
	m := timeForm.FindStringSubmatch(text)
	if !is || m == nil {
		return nil, false, false
	}
	t, err := time.Parse("2006-01-02 15:04:05", m[1]+" "+m[2])
	if err != nil || t.Year() == 0 {
		return nil, false, false
	}
	if m[3] != "" {
		digits := (m[3] + "0000000")[:7]
		tenths, _ := strconv.Atoi(digits)
		t = t.Add(time.Duration((tenths+5)/10) * time.Microsecond)
	}
	if t.Year() > 9999 {
		return nil, false, false
	}
	if m[4] != "" {
		hours, _ := strconv.Atoi(m[5])
		minutes, _ := strconv.Atoi(m[6])
		east := time.Duration(hours*60+minutes) * time.Minute
		if m[4] == "+" {
			east = -east
		}
		t = t.Add(east)
	}
	return t.UnixMicro(), true, t.Year() < 1 || t.Year() > 9999
}

// pairs holds that no half of a surrogate pair is escaped alone, which encoding/json takes.
func pairs(payload []byte) bool {
	for i := 0; i < len(payload); i++ {
		if payload[i] != '\\' {
			continue
		}
		if i++; payload[i] != 'u' {
			continue
		}
		r, _ := strconv.ParseUint(string(payload[i+1:i+5]), 16, 32)
		i += 4
		switch {
		case 0xdc00 <= r && r < 0xe000:
			return false
		case 0xd800 <= r && r < 0xdc00:
			if i+6 >= len(payload) || payload[i+1] != '\\' || payload[i+2] != 'u' {
				return false
			}
			low, _ := strconv.ParseUint(string(payload[i+3:i+7]), 16, 32)
			if low < 0xdc00 || low >= 0xe000 {
				return false
			}
			i += 6
		}
	}
	return true
}

func plainlyJSON(payload []byte) bool {
	return utf8.Valid(payload) && json.Valid(payload) && pairs(payload)
}

func sameValue(a, b any) bool {
	x, isX := a.(float64)
	y, isY := b.(float64)
	return a == b || isX && isY && math.Float64bits(x) == math.Float64bits(y)
}
