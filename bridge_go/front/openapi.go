package front

import (
	"encoding/json"
	"strings"

	"ds-runner.dev/ds-runner/bridge_go/plainjson"
)

// openAPI is the document of GET /openapi.json, built once for the types of a worker. base is where the pages of the model are.
func (t *types) openAPI(program, base string, guarded bool) []byte {
	t.once.Do(func() { t.openapi = buildOpenAPI(program, base, t, guarded) })
	return t.openapi
}

// examples are rows of the model's own sample, as the client may send them, and answers to them.
type examples struct{ Input, Output []json.RawMessage }

type object = map[string]any

func buildOpenAPI(program, base string, t *types, guarded bool) []byte {
	c := components{schemas: object{"Problem": problemSchema, "FieldErrors": fieldErrorsSchema, "Rejected": rejectedSchema, "Failure": failureSchema}}
	row, prediction := c.add("Row", t.input, t.examples.Input), c.add("Prediction", t.output, t.examples.Output)
	whole := object{
		"openapi": "3.1.0",
		"info": object{"title": program, "version": "1",
			"description": "Predictions of " + program + ", by ds-runner. Bodies may be sent with Content-Encoding gzip or deflate."},
		"paths":      paths(program, base, row, prediction, t.examples),
		"components": object{"schemas": c.schemas},
	}
	if guarded {
		whole["components"].(object)["securitySchemes"] = object{"token": object{"type": "http", "scheme": "bearer"}}
		whole["security"] = []any{object{"token": []any{}}}
	}
	document, _ := plainjson.Marshal(whole) // of maps, strings and what was JSON before
	return append(document, '\n')
}

// components gathers schemas under names of their own.
type components struct{ schemas object }

// add moves a schema and its $defs to the components, with examples if there are some, and returns a reference to it.
func (c *components) add(name string, raw json.RawMessage, examples []json.RawMessage) object {
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
	named := rename(schema, renamed).(object)
	if len(examples) > 0 {
		named["examples"] = examples
	}
	c.schemas[name] = named
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

func content(schema object, examples object) object {
	media := object{"schema": schema}
	if len(examples) > 0 {
		media["examples"] = examples
	}
	return object{"application/json": media}
}

// shown are examples of a media type: one value, and the list of all of them in the form that lists have there.
func shown(one string, values []json.RawMessage, several string, list func([]json.RawMessage) any) object {
	if len(values) == 0 {
		return nil
	}
	return object{one: object{"value": values[0]}, several: object{"value": list(values)}}
}

func problemResponse(description string, headers ...string) object {
	told := object{"description": description, "content": object{"application/problem+json": object{"schema": reference("Problem")}}}
	for _, name := range headers {
		told["headers"] = object{name: object{"schema": object{"type": "integer"}, "description": "Seconds until it makes sense to try again."}}
	}
	return told
}

func paths(program, base string, row, prediction object, e examples) object {
	several := object{"anyOf": []any{prediction, object{"type": "array", "items": prediction}}}
	list := object{"type": "object", "required": []string{"predictions", "errors"}, "properties": object{
		"predictions": object{"type": "array", "items": orNull(several),
			"description": "By position; null where errors has an entry. A list where a row has no output or several."},
		"errors": object{"type": "array", "items": orNull(reference("Failure"), reference("FieldErrors"), reference("Rejected"))},
	}}
	asked := shown("row", e.Input, "list", func(rows []json.RawMessage) any { return rows })
	answered := shown("row", e.Output, "list", func(outputs []json.RawMessage) any {
		return object{"predictions": outputs, "errors": make([]any, len(outputs))}
	})
	predict := object{
		"summary":     "Predict for one row, or for a list of rows",
		"operationId": "predict",
		"parameters": []any{
			header("X-Request-Id", "Comes back in the answer: at most 128 letters, digits and - _ . : or another one is made.", text),
			header("traceparent", "Trace context of W3C; goes on to the model and back with a parent id of the server's.", text),
			header("Request-Timeout", "The longest that the answer may take, in seconds or with a unit, as 0.5 or 500ms; no longer than the server's own.", text),
		},
		"requestBody": object{"required": true, "content": content(object{"anyOf": []any{row, object{"type": "array", "items": row}}}, asked)},
		"responses": object{
			"200": object{"description": "The prediction, or the reason of a rejection; for a list, both by position.",
				"content": content(object{"anyOf": []any{several, reference("Rejected"), list}}, answered)},
			"400": problemResponse("The body is not JSON; the text names the byte."),
			"401": problemResponse("The server wants a bearer token."),
			"408": problemResponse("The body came too slowly."),
			"413": problemResponse("The body, or the list, is too large."),
			"415": problemResponse("The body's Content-Encoding is not known."),
			"422": object{"description": "A field is missing or of the wrong type.",
				"content": object{"application/problem+json": object{"schema": object{"allOf": []any{reference("FieldErrors"), reference("Problem")}}}}},
			"429": problemResponse("The queue is full.", "Retry-After"),
			"500": problemResponse("The model failed on this row."),
			"503": problemResponse("No model is ready; the text says why.", "Retry-After"),
			"504": problemResponse("The model did not answer in time."),
		},
	}
	return object{
		base + "predict": object{"post": predict},
		"/livez":         object{"get": open("Whether the server is up", object{"200": object{"description": "It is."}})},
		"/readyz": object{"get": open("Whether a model answers", object{
			"200": object{"description": "It does."}, "503": problemResponse("It does not; the text says why.", "Retry-After")})},
		"/v2":                   object{"get": ofProtocol("The server, by the Open Inference Protocol")},
		"/v2/models/" + program: object{"get": ofProtocol("Names and types of the model's tensors")},
		"/v2/models/" + program + "/infer": object{"post": object{
			"summary":     "Predict for the rows of tensors, by the Open Inference Protocol",
			"requestBody": object{"required": true, "content": content(tensorsSchema, nil)},
			"responses":   object{"200": object{"description": "Tensors."}, "400": problemResponse("Tensors that do not fit, or rows without an answer.")},
		}},
	}
}

func header(name, description string, schema object) object {
	return object{"name": name, "in": "header", "description": description, "schema": schema}
}

// open is a page that asks for no token.
func open(summary string, responses object) object {
	return object{"summary": summary, "security": []any{}, "responses": responses}
}

func ofProtocol(summary string) object {
	return object{"summary": summary, "responses": object{"200": object{"description": summary + "."}}}
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
	problemSchema = object{
		"type": "object", "required": []string{"code", "status", "title", "detail"}, "description": "As of RFC 9457.",
		"properties": object{
			"code": object{"type": "string", "description": "A word for programs."}, "status": object{"type": "integer"}, "title": text,
			"detail": object{"type": "string", "description": "A sentence for people."},
			"error":  object{"type": "string", "description": "The same, as the Open Inference Protocol names it."},
		},
	}
	failureSchema = object{"type": "object", "required": []string{"error", "code"}, "properties": object{"error": text, "code": text}}

	rejectedSchema = object{"type": "object", "required": []string{"rejected"}, "properties": object{"rejected": text, "code": text}}

	fieldErrorsSchema = object{"type": "object", "required": []string{"errors"}, "properties": object{"errors": object{
		"type": "array", "items": object{"type": "object", "properties": object{
			"field": text, "got": object{}, "expected": text}}}}}

	tensorsSchema = object{"type": "object", "required": []string{"inputs"}, "properties": object{
		"id": text, "inputs": object{"type": "array", "items": object{
			"type": "object", "required": []string{"name", "datatype", "shape"}, "properties": object{
				"name": text, "datatype": text, "shape": object{"type": "array", "items": object{"type": "integer"}}, "data": object{"type": "array"}}}}}}
)
