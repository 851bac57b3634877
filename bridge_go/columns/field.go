package columns

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"unicode/utf8"
)

// An encoding is how a column lies in a body. The numbers are those of the wire.
type encoding uint8

const (
	asFloats encoding = iota
	asInts
	asBools
	asText
	asWords
	asCodes
	asTimes
	asDates
)

var kinds = map[string]encoding{
	"float": asFloats, "int": asInts, "bool": asBools, "str": asText, "category": asCodes, "datetime": asTimes, "date": asDates,
}

// A field is one column of events: how its values are read, and which are taken.
type field struct {
	wire      string
	kind      encoding // never asWords: that is how text may be sent
	nullable  bool
	required  bool
	otherwise value // where the field is absent and not required

	bounded     bool    // a number: held to
	low, high   float64 // these, of a float,
	step        float64 // and to multiples of this, unless it is 0
	least, most int64   // the same of an int
	stepInt     int64

	held              bool // a text: held to
	shortest, longest int  // these lengths, in characters,
	pattern           *regexp.Regexp

	words   dictionary // of a category: its texts
	codes   []int32    // of these
	numbers map[int64]int32
}

// A value is one of the kinds' values, or null. Codes, times and dates are in `whole`.
type value struct {
	null  bool
	whole int64
	float float64
	text  []byte
}

// saidField is a field as JSON has it.
type saidField struct {
	Name      string          `json:"name"`
	Wire      *string         `json:"wire"`
	Kind      string          `json:"kind"`
	Nullable  bool            `json:"nullable"`
	Default   json.RawMessage `json:"default"`
	Choices   []any           `json:"choices"`
	GT        json.Number     `json:"gt"`
	GE        json.Number     `json:"ge"`
	LT        json.Number     `json:"lt"`
	LE        json.Number     `json:"le"`
	Multiple  json.Number     `json:"multiple_of"`
	MinLength *int            `json:"min_length"`
	MaxLength *int            `json:"max_length"`
	Pattern   *string         `json:"pattern"`
}

func (s *saidField) field() (field, error) {
	kind, known := kinds[s.Kind]
	if !known {
		return field{}, fmt.Errorf("kind is %q, wants float, int, bool, str, category, datetime or date", s.Kind)
	}
	f := field{kind: kind, nullable: s.Nullable, required: len(s.Default) == 0, wire: s.Name}
	if s.Wire != nil {
		f.wire = *s.Wire
	}
	if !utf8.ValidString(f.wire) {
		return field{}, errors.New("its name is not UTF-8")
	}
	for _, set := range []func(*field) error{s.setBounds, s.setMultiple, s.setLengths, s.setPattern, s.setChoices, s.setDefault} {
		if err := set(&f); err != nil {
			return field{}, err
		}
	}
	return f, nil
}

func (s *saidField) setBounds(f *field) error {
	f.low, f.high, f.least, f.most = math.Inf(-1), math.Inf(1), math.MinInt64, math.MaxInt64
	f.bounded = s.GT != "" || s.GE != "" || s.LT != "" || s.LE != ""
	switch {
	case !f.bounded:
		return nil
	case f.kind == asFloats:
		return s.setFloatBounds(f)
	case f.kind == asInts:
		return s.setIntBounds(f)
	}
	return errors.New("gt, ge, lt and le are for numbers")
}

func (s *saidField) setFloatBounds(f *field) error {
	for _, bound := range []struct {
		said json.Number
		set  func(float64)
	}{
		{s.GE, func(x float64) { f.low = max(f.low, x) }},
		{s.GT, func(x float64) { f.low = max(f.low, math.Nextafter(x, math.Inf(1))) }},
		{s.LE, func(x float64) { f.high = min(f.high, x) }},
		{s.LT, func(x float64) { f.high = min(f.high, math.Nextafter(x, math.Inf(-1))) }},
	} {
		if bound.said == "" {
			continue
		}
		x, err := bound.said.Float64()
		if err != nil {
			return err
		}
		bound.set(x)
	}
	return nil
}

func (s *saidField) setIntBounds(f *field) error {
	for _, bound := range []struct {
		said json.Number
		set  func(int64)
	}{
		{s.GE, func(x int64) { f.least = max(f.least, x) }},
		{s.GT, func(x int64) { f.least = max(f.least, x+1) }},
		{s.LE, func(x int64) { f.most = min(f.most, x) }},
		{s.LT, func(x int64) { f.most = min(f.most, x-1) }},
	} {
		if bound.said == "" {
			continue
		}
		x, err := bound.said.Int64()
		if err != nil {
			return err
		}
		bound.set(x)
	}
	if s.GT == "9223372036854775807" || s.LT == "-9223372036854775808" {
		return errors.New("no integer passes")
	}
	return nil
}

func (s *saidField) setMultiple(f *field) (err error) {
	switch {
	case s.Multiple == "":
		return nil
	case f.kind == asFloats:
		f.step, err = s.Multiple.Float64()
	case f.kind == asInts:
		f.stepInt, err = s.Multiple.Int64()
	default:
		return errors.New("multiple_of is for numbers")
	}
	if f.bounded = true; err == nil && f.step <= 0 && f.stepInt <= 0 {
		return errors.New("multiple_of is above 0")
	}
	return err
}

// setPattern takes what RE2 has. What Python and RE2 do not understand alike in texts of printable ASCII the worker has to leave out.
func (s *saidField) setPattern(f *field) (err error) {
	if s.Pattern == nil {
		return nil
	}
	if f.kind != asText {
		return errors.New("a pattern is for text")
	}
	f.held = true
	f.pattern, err = regexp.Compile(*s.Pattern)
	return err
}

func (s *saidField) setLengths(f *field) error {
	f.held, f.longest = s.MinLength != nil || s.MaxLength != nil, math.MaxInt
	if f.held && f.kind != asText {
		return errors.New("min_length and max_length are for text")
	}
	if s.MinLength != nil {
		f.shortest = *s.MinLength
	}
	if s.MaxLength != nil {
		f.longest = *s.MaxLength
	}
	return nil
}

func (s *saidField) setChoices(f *field) error {
	if f.kind != asCodes {
		if s.Choices != nil {
			return errors.New("choices are for a category")
		}
		return nil
	}
	f.numbers = map[int64]int32{}
	return eachChoice(s.Choices, func(code int32, text string) bool {
		_, twice := f.words.find([]byte(text))
		f.words.add([]byte(text))
		f.codes = append(f.codes, code)
		return !twice
	}, func(code int32, number int64) bool {
		_, twice := f.numbers[number]
		f.numbers[number] = code
		return !twice
	})
}

// eachChoice hands over each choice, a text or an int64, and its code.
func eachChoice(choices []any, text func(int32, string) bool, number func(int32, int64) bool) error {
	if len(choices) == 0 {
		return errors.New("a category has choices")
	}
	for code, choice := range choices {
		fresh := false
		switch c := choice.(type) {
		case string:
			fresh = text(int32(code), c)
		case json.Number:
			n, err := c.Int64()
			if err != nil {
				return fmt.Errorf("choice %s is no int64", c)
			}
			fresh = number(int32(code), n)
		default:
			return fmt.Errorf("choice %v is neither text nor int", choice)
		}
		if !fresh {
			return fmt.Errorf("choice %v comes twice", choice)
		}
	}
	return nil
}

// setDefault reads the default as a value of the field would be read, but for the constraints: msgspec does not hold it to them.
func (s *saidField) setDefault(f *field) error {
	if f.required {
		return nil
	}
	free := *f
	free.bounded, free.held, free.required = false, false, true
	v, ok := free.read(s.Default)
	if !ok {
		return fmt.Errorf("default %s is no value of it", s.Default)
	}
	f.otherwise = v
	return nil
}

// read is one value by itself, read as the value of a field in an event.
func (f *field) read(data []byte) (value, bool) {
	b := NewBuilder(&Plan{fields: []field{*f}})
	if len(data) == 0 || b.value(data, 0, 0) != len(data) {
		return value{}, false
	}
	return b.columns[0].value(0), true
}
