package formats

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/avro"
)

// avroSchema reads and writes one Avro schema. What JSON has no type for is a string, as models have it:
//
//	date                 2013-01-31
//	timestamp-*          2013-01-31T10:00:00.5Z
//	local-timestamp-*    2013-01-31T10:00:00.5
//	time-*               10:00:00.5
//	decimal              12.50
//	uuid                 6ba7b810-9dad-11d1-80b4-00c04fd430c8
//	bytes, fixed         base64
//	duration             P1M2DT3.004S
//
// A union is the value itself, and null where that is one of them.
type avroSchema struct {
	schema *avro.Schema
	shape  *shape
}

func compileAvro(text string, needs []dependency, _ string) (schema, error) {
	var cache avro.SchemaCache
	for _, d := range needs {
		if _, err := cache.Parse(d.text, asText()...); err != nil {
			return nil, mistakef("%s: %v", d.name, err)
		}
	}
	parsed, err := cache.Parse(text, asText()...)
	if err != nil {
		return nil, mistakef("%v", err)
	}
	return &avroSchema{parsed, shapeOf(parsed.Root().ExpandReferences(), map[string]*shape{})}, nil
}

func (s *avroSchema) decode(payload []byte) ([]byte, error) {
	var value any
	rest, err := s.schema.Decode(payload, &value, avro.AliasInput())
	if err != nil {
		return nil, mistakef("%v", err)
	}
	if len(rest) > 0 {
		return nil, mistakef("avro: %d bytes stand behind the value", len(rest))
	}
	return appendValue(make([]byte, 0, 2*len(payload)+64), value, 0)
}

func (s *avroSchema) encode(b, text []byte) ([]byte, error) {
	value, err := parse(text)
	if err != nil {
		return nil, err
	}
	if err := s.shape.check(value, ""); err != nil {
		return nil, err
	}
	b, err = s.schema.AppendEncode(b, value)
	if err != nil {
		return nil, mistakef("%s", inJSON(err))
	}
	return b, nil
}

// inJSON tells an encoder's error in the words of JSON: Go's types are nothing that a model has.
func inJSON(err error) string {
	said := strings.TrimPrefix(err.Error(), "avro: ")
	if found := goType.FindStringSubmatchIndex(said); found != nil {
		got, wanted, rest := said[found[2]:found[3]], said[found[4]:found[5]], said[found[1]:]
		if detail, ok := strings.CutPrefix(rest, ": "); ok {
			return said[:found[0]] + detail
		}
		if word, ok := jsonTypes[got]; ok {
			return fmt.Sprintf("%s%s, and the schema has %s%s", said[:found[0]], word, wanted, rest)
		}
	}
	return said
}

var (
	goType    = regexp.MustCompile(`cannot use (\S+) with Avro type (\w+)`)
	jsonTypes = map[string]string{
		"string": "a text", "json.Number": "a number", "bool": "true or false", "nil": "null", "[]any": "a list", "map[string]any": "an object",
	}
)

// A shape is what of a schema says which fields there are: a result's field that the schema does not have would be dropped without
// a word. Nil is anything.
type shape struct {
	fields map[string]*shape
	items  *shape // of lists and maps
}

func shapeOf(n *avro.SchemaNode, named map[string]*shape) *shape {
	switch {
	case n == nil:
		return nil
	case n.Type == "record" || n.Type == "error":
		s := &shape{fields: map[string]*shape{}}
		named[n.Name], named[n.Namespace+"."+n.Name] = s, s
		for i := range n.Fields {
			s.fields[n.Fields[i].Name] = shapeOf(&n.Fields[i].Type, named)
		}
		return s
	case n.Type == "array":
		return &shape{items: shapeOf(n.Items, named)}
	case n.Type == "map":
		return &shape{items: shapeOf(n.Values, named)}
	case len(n.Branches) > 0:
		return onlyShape(n.Branches, named)
	}
	return named[n.Type] // a record that holds itself
}

// onlyShape is that of a union with one branch that has one. With more, it is not known here which of them a value is.
func onlyShape(branches []avro.SchemaNode, named map[string]*shape) (only *shape) {
	for i := range branches {
		s := shapeOf(&branches[i], named)
		if s != nil && only != nil {
			return nil
		}
		if s != nil {
			only = s
		}
	}
	return only
}

func (s *shape) check(value any, at string) error {
	if s == nil {
		return nil
	}
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			if err := s.items.check(item, at+"[]."); err != nil {
				return err
			}
		}
	case map[string]any:
		for name, item := range v {
			below, known := s.fields[name]
			if s.fields == nil {
				below, known = s.items, true
			}
			if !known {
				return mistakef("the schema has no field %s%s. It has: %s", at, name, strings.Join(slices.Sorted(maps.Keys(s.fields)), ", "))
			}
			if err := below.check(item, at+name+"."); err != nil {
				return err
			}
		}
	}
	return nil
}
