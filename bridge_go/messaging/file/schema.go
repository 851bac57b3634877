package file

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
)

// columnTypes says what JSON the columns of a CSV hold, from the JSON Schema of the event type. Without a schema, and for columns
// that it does not name, a cell is a string.
type columnTypes struct {
	properties map[string]*schema
	defs       map[string]*schema
	required   []string
}

type schema struct {
	Ref        string             `json:"$ref"`
	Defs       map[string]*schema `json:"$defs"`
	Type       types              `json:"type"`
	AnyOf      []*schema          `json:"anyOf"`
	OneOf      []*schema          `json:"oneOf"`
	Enum       []json.RawMessage  `json:"enum"`
	Const      json.RawMessage    `json:"const"`
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
}

// types is one type or a list of them.
type types []string

func (t *types) UnmarshalJSON(data []byte) error {
	var one string
	if err := json.Unmarshal(data, &one); err == nil {
		*t = types{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(t))
}

func typesOf(raw []byte) (columnTypes, error) {
	var root schema
	if len(raw) == 0 {
		return columnTypes{}, nil
	}
	if err := json.Unmarshal(raw, &root); err != nil {
		return columnTypes{}, err
	}
	c := columnTypes{defs: root.Defs}
	event := c.resolve(&root)
	c.properties, c.required = event.Properties, event.Required
	return c, nil
}

// resolve follows references within the schema, a bounded number of them.
func (c columnTypes) resolve(s *schema) *schema {
	for range 16 {
		target, ok := c.defs[strings.TrimPrefix(s.Ref, "#/$defs/")]
		if s.Ref == "" || !ok {
			break
		}
		s = target
	}
	return s
}

// kinds collects the JSON types that a schema allows.
func (c columnTypes) kinds(s *schema, depth int) []string {
	s = c.resolve(s)
	found := slices.Clone(s.Type)
	for _, v := range append(slices.Clone(s.Enum), s.Const) {
		if len(v) > 0 {
			found = append(found, kindOf(v))
		}
	}
	if depth < 16 {
		for _, sub := range append(slices.Clone(s.AnyOf), s.OneOf...) {
			found = append(found, c.kinds(sub, depth+1)...)
		}
	}
	return found
}

func kindOf(v json.RawMessage) string {
	switch v[0] {
	case '"':
		return "string"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}

// A column turns the cells of one column to JSON.
type column struct {
	name   string
	quoted []byte // the name in JSON

	text, number, boolean, nested, null, absent bool
}

func (c columnTypes) column(name string) column {
	col := column{name: name, quoted: text(name)}
	property := c.properties[name]
	if property == nil {
		col.text = true
		return col
	}
	for _, kind := range c.kinds(property, 0) {
		switch kind {
		case "number", "integer":
			col.number = true
		case "boolean":
			col.boolean = true
		case "null":
			col.null = true
		case "object", "array":
			col.nested = true
		default:
			col.text = true
		}
	}
	col.absent = !slices.Contains(c.required, name)
	return col
}

// value is a cell in JSON, nil for a cell that stands for the field's default. What does not look like the declared type stays
// a string: the model's own check then names the field, what it got and what it expected.
func (c column) value(in cell) []byte {
	if !in.quoted && in.text == "" && !c.number && !c.boolean && !c.nested && !c.null {
		return text("")
	}
	if !in.quoted && c.missing(in.text) {
		return c.nothing()
	}
	trimmed := strings.TrimSpace(in.text)
	if c.text {
		return text(in.text)
	}
	if c.boolean {
		if b, ok := truth(trimmed); ok {
			return b
		}
	}
	if c.number {
		if n, ok := number(trimmed); ok {
			return n
		}
	}
	if c.nested && json.Valid([]byte(trimmed)) {
		var out bytes.Buffer
		json.Compact(&out, []byte(trimmed))
		return out.Bytes()
	}
	return text(in.text)
}

func (c column) nothing() []byte {
	if !c.null && c.absent {
		return nil
	}
	return []byte("null")
}

// missing are the ways in which tables write that there is no value. In a column of text only the empty cell is one.
func (c column) missing(cell string) bool {
	switch strings.TrimSpace(cell) {
	case "":
		return true
	case "NA", "NaN", "nan", "null", "NULL", "None":
		return !c.text
	}
	return false
}

func truth(s string) ([]byte, bool) {
	switch strings.ToLower(s) {
	case "true", "1", "yes":
		return []byte("true"), true
	case "false", "0", "no":
		return []byte("false"), true
	}
	return nil, false
}

// number takes a JSON number as it stands, and writes others that mean one (+5, .5, 1.) anew.
func number(s string) ([]byte, bool) {
	if s == "" || strings.ContainsAny(s, "xX_pP") {
		return nil, false
	}
	if json.Valid([]byte(s)) && (s[0] == '-' || s[0] >= '0' && s[0] <= '9') {
		return []byte(s), true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, false
	}
	return strconv.AppendFloat(nil, f, 'g', -1, 64), true
}
