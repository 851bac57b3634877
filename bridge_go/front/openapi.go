package front

import (
	"encoding/json"
	"strings"
)

// openAPI is the document of GET /openapi.json, built once for the types of a worker.
func (t *types) openAPI(program string) []byte {
	t.once.Do(func() { t.openapi = buildOpenAPI(program, t.input, t.output) })
	return t.openapi
}

type object = map[string]any

func buildOpenAPI(program string, input, output json.RawMessage) []byte {
	c := components{schemas: object{"Problem": problemSchema, "FieldErrors": fieldErrorsSchema, "Rejected": rejectedSchema}}
	row, prediction := c.add("Row", input), c.add("Prediction", output)
	document, _ := json.Marshal(object{
		"openapi":    "3.1.0",
		"info":       object{"title": program, "version": "1", "description": "Predictions of " + program + ", by ds-runner."},
		"paths":      paths(row, prediction),
		"components": object{"schemas": c.schemas},
	}) // of maps, strings and what was JSON before
	return append(document, '\n')
}

// components gathers schemas under names of their own.
type components struct{ schemas object }

// add moves a schema and its $defs to the components and returns a reference to it.
func (c *components) add(name string, raw json.RawMessage) object {
	var schema object
	if json.Unmarshal(raw, &schema) != nil || schema == nil {
		schema = object{"type": "object"}
	}
	defs, _ := schema["$defs"].(object)
	delete(schema, "$defs")
	delete(schema, "$schema")
	renamed := map[string]string{}
	for def := range defs {
		renamed[def] = c.free(def, defs[def])
	}
	for def, body := range defs {
		c.schemas[renamed[def]] = rename(body, renamed)
	}
	name = c.free(name, nil)
	c.schemas[name] = rename(schema, renamed)
	return reference(name)
}

// free is a name that no other schema has; an equal schema may share it.
func (c *components) free(name string, body any) string {
	for {
		known, taken := c.schemas[name]
		if !taken || (body != nil && sameJSON(known, body)) {
			c.schemas[name] = body
			return name
		}
		name += "_"
	}
}

func sameJSON(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// rename points references at the components.
func rename(part any, renamed map[string]string) any {
	switch p := part.(type) {
	case object:
		out := make(object, len(p))
		for key, value := range p {
			out[key] = rename(value, renamed)
		}
		if ref, is := p["$ref"].(string); is {
			if name := strings.TrimPrefix(ref, "#/$defs/"); renamed[name] != "" {
				out["$ref"] = "#/components/schemas/" + renamed[name]
			}
		}
		return out
	case []any:
		out := make([]any, len(p))
		for i := range p {
			out[i] = rename(p[i], renamed)
		}
		return out
	}
	return part
}

func reference(name string) object { return object{"$ref": "#/components/schemas/" + name} }

func content(schema object) object { return object{"application/json": object{"schema": schema}} }

func response(description string, schema object) object {
	return object{"description": description, "content": content(schema)}
}

func paths(row, prediction object) object {
	several := object{"anyOf": []any{prediction, object{"type": "array", "items": prediction}}}
	problem := func(description string) object { return response(description, reference("Problem")) }
	list := object{"type": "object", "required": []string{"predictions", "errors"}, "properties": object{
		"predictions": object{"type": "array", "items": orNull(several),
			"description": "By position; null where errors has an entry. A list where a row has no output or several."},
		"errors": object{"type": "array", "items": orNull(reference("Problem"), reference("FieldErrors"), reference("Rejected"))},
	}}
	return object{
		"/predict": object{"post": object{
			"summary":     "Predict for one row, or for a list of rows",
			"operationId": "predict",
			"requestBody": object{"required": true, "content": content(object{"anyOf": []any{row, object{"type": "array", "items": row}}})},
			"responses": object{
				"200": response("The prediction, or the reason of a rejection; for a list, both by position.",
					object{"anyOf": []any{several, reference("Rejected"), list}}),
				"400": problem("The body is not JSON; the text names the byte."),
				"413": problem("The body, or the list, is too large."),
				"422": response("A field is missing or of the wrong type.", reference("FieldErrors")),
				"429": problem("The queue is full; Retry-After says when to come back."),
				"500": problem("The model failed on this row."),
				"503": problem("No model is ready; the text says why."),
				"504": problem("The model did not answer in time."),
			},
		}},
		"/livez":  object{"get": object{"summary": "Whether the server is up", "responses": object{"200": object{"description": "It is."}}}},
		"/readyz": object{"get": object{"summary": "Whether a model answers", "responses": object{"200": object{"description": "It does."}, "503": problem("It does not; the text says why.")}}},
		"/v2":     object{"get": object{"summary": "The server, by the Open Inference Protocol", "responses": object{"200": object{"description": "Name, version, extensions."}}}},
	}
}

func orNull(schemas ...object) object {
	options := []any{object{"type": "null"}}
	for _, s := range schemas {
		options = append(options, s)
	}
	return object{"anyOf": options}
}

var (
	text          = object{"type": "string"}
	problemSchema = object{"type": "object", "required": []string{"error", "code"}, "properties": object{"error": text, "code": text}}

	rejectedSchema = object{"type": "object", "required": []string{"rejected"}, "properties": object{"rejected": text, "code": text}}

	fieldErrorsSchema = object{"type": "object", "required": []string{"errors"}, "properties": object{"errors": object{
		"type": "array", "items": object{"type": "object", "properties": object{
			"field": text, "got": object{}, "expected": text}}}}}
)
