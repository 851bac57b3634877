package front

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
)

// types is what a worker says of its events: JSON Schemas of what it takes and what it answers. Without a worker so far, or
// with one that does not say, rows are any objects.
type types struct {
	input, output json.RawMessage
	takes, gives  []tensorField
	examples      examples

	once    sync.Once
	openapi []byte
}

// A tensorField is one field of an event as a tensor of the Open Inference Protocol.
type tensorField struct {
	name     string
	label    []byte // the name as JSON, and a colon
	datatype string // BOOL, INT64, FP64, BYTES
	asJSON   bool   // BYTES that hold JSON: nested events, lists, maps
	nullable bool
	required bool
}

func readTypes(program string, describe []byte) (*types, error) {
	t := &types{}
	if len(describe) == 0 {
		return t, nil
	}
	var schemas struct {
		Input, Output json.RawMessage
		Examples      examples
	}
	if err := json.Unmarshal(describe, &schemas); err != nil {
		return nil, fmt.Errorf("the worker's description of %s is not JSON: %w", program, err)
	}
	t.input, t.output, t.examples = schemas.Input, schemas.Output, schemas.Examples
	t.takes, t.gives = tensorFields(t.input), tensorFields(t.output)
	return t, nil
}

// schema is the part of JSON Schema that decides a tensor's type.
type schema struct {
	Ref        string            `json:"$ref"`
	Defs       map[string]schema `json:"$defs"`
	Type       any               `json:"type"`
	AnyOf      []schema          `json:"anyOf"`
	OneOf      []schema          `json:"oneOf"`
	AllOf      []schema          `json:"allOf"`
	Enum       []any             `json:"enum"`
	Const      any               `json:"const"`
	Properties orderedSchemas    `json:"properties"`
	Required   []string          `json:"required"`
}

// orderedSchemas keeps fields in the order of their declaration, which is the order of tensors.
type orderedSchemas []namedSchema

type namedSchema struct {
	name   string
	schema schema
}

func (o *orderedSchemas) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var s schema
		if err := d.Decode(&s); err != nil {
			return err
		}
		*o = append(*o, namedSchema{fmt.Sprint(name), s})
	}
	return nil
}

// tensorFields are the fields of an event's schema; none when it is no object with properties.
func tensorFields(raw json.RawMessage) []tensorField {
	var root schema
	if json.Unmarshal(raw, &root) != nil {
		return nil
	}
	event := root.follow(root)
	required := map[string]bool{}
	for _, name := range event.Required {
		required[name] = true
	}
	fields := make([]tensorField, 0, len(event.Properties))
	for _, p := range event.Properties {
		field := tensorField{name: p.name, label: labelOf(p.name), required: required[p.name]}
		field.fill(root, p.schema)
		fields = append(fields, field)
	}
	return fields
}

// follow resolves references, which all point into $defs of the root; a chain ends after as many steps as there are.
func (s schema) follow(root schema) schema {
	for range len(root.Defs) + 1 {
		if s.Ref == "" && len(s.AllOf) == 1 {
			s = s.AllOf[0]
		}
		name, local := strings.CutPrefix(s.Ref, "#/$defs/")
		if !local {
			break
		}
		s = root.Defs[name]
	}
	return s
}

// fill decides the tensor's type from all that the field may be; what is not one simple type goes as JSON in BYTES.
func (f *tensorField) fill(root, s schema) {
	kinds := map[string]bool{}
	s.kinds(root, kinds, 0)
	if kinds["null"] {
		f.nullable = true
		delete(kinds, "null")
	}
	f.datatype, f.asJSON = "BYTES", true
	for _, c := range []struct{ kind, datatype string }{
		{"boolean", "BOOL"}, {"integer", "INT64"}, {"number", "FP64"}, {"string", "BYTES"},
	} {
		if kinds[c.kind] && (len(kinds) == 1 || c.kind == "number" && len(kinds) == 2 && kinds["integer"]) {
			f.datatype, f.asJSON = c.datatype, false
		}
	}
}

// kinds collects the JSON types that a value may have.
func (s schema) kinds(root schema, into map[string]bool, depth int) {
	if s = s.follow(root); depth > 8 {
		into["any"] = true
		return
	}
	options := append(append([]schema{}, s.AnyOf...), s.OneOf...)
	for _, option := range options {
		option.kinds(root, into, depth+1)
	}
	switch t := s.Type.(type) {
	case string:
		into[t] = true
	case []any:
		for _, kind := range t {
			into[fmt.Sprint(kind)] = true
		}
	default:
		s.kindsOfValues(into, len(options) > 0)
	}
}

func (s schema) kindsOfValues(into map[string]bool, decided bool) {
	values := s.Enum
	if s.Const != nil {
		values = append(values, s.Const)
	}
	for _, value := range values {
		into[kindOfValue(value)] = true
	}
	if len(values) == 0 && !decided {
		into["any"] = true
	}
}

func kindOfValue(value any) string {
	switch v := value.(type) {
	case string:
		return "string"
	case bool:
		return "boolean"
	case nil:
		return "null"
	case float64:
		if v == float64(int64(v)) {
			return "integer"
		}
		return "number"
	}
	return "any"
}
