package formats

import (
	"errors"
	"strings"
	"testing"
)

func TestJSONThatFitsItsSchemaPassesAsItIs(t *testing.T) {
	s := compiled(t, JSONSchema, `{"type":"object","properties":{"n":{"type":"integer","minimum":0}},"required":["n"],"additionalProperties":false}`)
	text := `{ "n" : 5 }`
	if got, err := s.decode([]byte(text)); err != nil || string(got) != text {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := s.encode([]byte("id"), []byte(text)); err != nil || string(got) != "id"+text {
		t.Errorf("%s, %v", got, err)
	}
	for payload, want := range map[string]string{
		`{"n":-1}`: "minimum", `{"n":"x"}`: "integer", `{}`: "n", `{"n":1,"m":2}`: "m", `{`: "not JSON", `{"n":1} 2`: "stands behind", ``: "not JSON",
		strings.Repeat("[", 1<<20): "not JSON",
	} {
		for _, do := range []func() error{
			func() error { _, err := s.decode([]byte(payload)); return err },
			func() error { _, err := s.encode(nil, []byte(payload)); return err },
		} {
			var mistake *Mistake
			if err := do(); !errors.As(err, &mistake) || !strings.Contains(err.Error(), want) {
				t.Errorf("%.50s: %v", payload, err)
			}
		}
	}
}

func TestReferencesOfJSONSchemasAreThoseOfTheRegistry(t *testing.T) {
	s, err := compileJSONSchema(`{"$id":"http://example.com/a.json","properties":{"b":{"$ref":"b.json"}}}`,
		[]dependency{{"http://example.com/b.json", `{"type":"integer"}`}}, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.decode([]byte(`{"b":"x"}`)); err == nil {
		t.Error("a reference was not looked at")
	}
	s, err = compileJSONSchema(`{"properties":{"b":{"$ref":"b.json"}}}`, []dependency{{"b.json", `{"type":"integer"}`}}, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.decode([]byte(`{"b":"x"}`)); err == nil {
		t.Error("a reference was not looked at")
	}
	for _, elsewhere := range []string{"file:///etc/passwd", "http://127.0.0.1:1/x", "other.json"} {
		if _, err := compileJSONSchema(`{"$ref":"`+elsewhere+`"}`, nil, ""); err == nil || !strings.Contains(err.Error(), "not among the schema's references") {
			t.Errorf("%s: %v", elsewhere, err)
		}
	}
}
