package formats

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// jsonSchema lets pass what fits the schema, as it is.
type jsonSchema struct{ schema *jsonschema.Schema }

// place is where a schema without an $id is. Nothing is ever read from there, nor from any other place.
const place = "registry:///schema"

func compileJSONSchema(text string, needs []dependency, _ string) (schema, error) {
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(references(needs))
	compiler.DefaultDraft(jsonschema.Draft7) // as Confluent's serializers have it
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, mistakef("not JSON: %v", err)
	}
	if err := compiler.AddResource(place, document); err != nil {
		return nil, mistakef("%v", err)
	}
	compiled, err := compiler.Compile(place)
	if err != nil {
		return nil, mistakef("%v", err)
	}
	return &jsonSchema{compiled}, nil
}

// references are the only schemas that one leads to: none makes this process read files or ask servers. Their names are URLs, or
// the ends of URLs that begin where the schema's $id does.
type references []dependency

func (r references) Load(url string) (any, error) {
	for _, d := range r {
		if url == d.name || strings.HasSuffix(url, "/"+d.name) {
			return jsonschema.UnmarshalJSON(strings.NewReader(d.text))
		}
	}
	return nil, mistakef("%s is not among the schema's references", url)
}

func (s *jsonSchema) decode(payload []byte) ([]byte, error) { return payload, s.check(payload) }

func (s *jsonSchema) encode(b, text []byte) ([]byte, error) {
	if err := s.check(text); err != nil {
		return nil, err
	}
	return append(b, text...), nil
}

func (s *jsonSchema) check(text []byte) error {
	value, err := parse(text)
	if err != nil {
		return err
	}
	if err := writable(value); err != nil {
		return err
	}
	if err := s.schema.Validate(value); err != nil {
		return mistakef("%s", lastLine(err.Error()))
	}
	return nil
}

// maxDigits bounds a number, as a text and when it is written without its exponent: the validator computes with all its digits, and
// takes a tenth of a second for 1e999999.
const maxDigits = 1_000

// writable says why a number in a value is too large, or too fine.
func writable(value any) error {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			if err := writable(item); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, item := range v {
			if err := writable(item); err != nil {
				return err
			}
		}
	case json.Number:
		exponent := 0
		if at := strings.IndexAny(string(v), "eE"); at >= 0 {
			exponent, _ = strconv.Atoi(string(v[at+1:])) // out of range, it is the farthest int there is
		}
		if len(v) > maxDigits || exponent > maxDigits || exponent < -maxDigits {
			return mistakef("a number of more than %d digits: %.20s", maxDigits, v)
		}
	}
	return nil
}

// lastLine is the first cause that the validator names, without the schema's place before it.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimLeft(lines[len(lines)-1], "- ")
}
