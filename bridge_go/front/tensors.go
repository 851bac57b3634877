package front

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// eventTensor names a BYTES tensor in which each element is a whole event, or its outputs, as JSON.
const eventTensor = "event"

// validSuffix names the BOOL tensor beside a field's: false is null.
const validSuffix = "__valid"

// An inference is the body of an infer request.
type inference struct {
	ID      string
	Inputs  []tensor
	Outputs []struct{ Name string }

	n int // rows
}

// A tensor is one field of all rows: shape [n] or [n,1].
type tensor struct {
	Name     string            `json:"name"`
	Datatype string            `json:"datatype"`
	Shape    []int             `json:"shape"`
	Data     []json.RawMessage `json:"data"`
}

func badTensor(format string, args ...any) *problem {
	return &problem{http.StatusBadRequest, "bad_tensor", fmt.Sprintf(format, args...)}
}

// readInference reads the tensors and checks their names, types and shapes; values are checked by the model's own types.
func readInference(body []byte, t *types) (*inference, *problem) {
	if _, _, err := scanRows(body, nil); err != nil {
		return nil, malformed(err)
	}
	q := &inference{}
	if err := json.Unmarshal(body, q); err != nil {
		return nil, badTensor("not an inference request: %v", err)
	}
	if len(q.Inputs) == 0 {
		return nil, badTensor("inputs is empty")
	}
	known := map[string]tensorField{eventTensor: {name: eventTensor, datatype: "BYTES", asJSON: true}}
	for _, field := range t.takes {
		known[field.name] = field
		known[field.name+validSuffix] = tensorField{datatype: "BOOL"}
	}
	seen := map[string]bool{}
	for i := range q.Inputs {
		in := &q.Inputs[i]
		if seen[in.Name] {
			return nil, badTensor("tensor %s is there twice", in.Name)
		}
		seen[in.Name] = true
		if p := q.check(in, i, known, len(t.takes) > 0); p != nil {
			return nil, p
		}
	}
	if seen[eventTensor] && len(q.Inputs) > 1 && !isField(t.takes, eventTensor) {
		return nil, badTensor("tensor %s holds whole events; no other goes with it", eventTensor)
	}
	return q, nil
}

func isField(fields []tensorField, name string) bool {
	for _, f := range fields {
		if f.name == name {
			return true
		}
	}
	return false
}

func (q *inference) check(in *tensor, i int, known map[string]tensorField, typed bool) *problem {
	field, is := known[in.Name]
	if !is && typed {
		return badTensor("no field %s. There are: %s", in.Name, strings.Join(fieldNames(known), ", "))
	}
	n, flat := flatten(in)
	switch {
	case !flat:
		return badTensor("tensor %s has shape %v; one value a row is [n] or [n,1]", in.Name, in.Shape)
	case n != len(in.Data):
		return badTensor("tensor %s has %d values for shape %v", in.Name, len(in.Data), in.Shape)
	case i > 0 && n != q.n:
		return badTensor("tensor %s has %d rows, others %d", in.Name, n, q.n)
	case n == 0:
		return badTensor("tensor %s has no rows", in.Name)
	case is && !fitting(field.datatype, in.Datatype):
		return badTensor("tensor %s has datatype %s, the field takes %s", in.Name, in.Datatype, field.datatype)
	}
	q.n = n
	return nil
}

func fieldNames(known map[string]tensorField) []string {
	names := []string{}
	for name := range known {
		if !strings.HasSuffix(name, validSuffix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// flatten turns data of shape [n,1], which may be nested, into n values.
func flatten(in *tensor) (n int, ok bool) {
	if len(in.Shape) == 0 || len(in.Shape) > 2 || len(in.Shape) == 2 && in.Shape[1] != 1 {
		return 0, false
	}
	if len(in.Shape) == 1 {
		return in.Shape[0], true
	}
	for i, item := range in.Data {
		var inner []json.RawMessage
		if len(item) == 0 || item[0] != '[' {
			continue
		}
		if json.Unmarshal(item, &inner) != nil || len(inner) != 1 {
			return 0, false
		}
		in.Data[i] = inner[0]
	}
	return in.Shape[0], true
}

// fitting says whether a client's datatype can hold a field's values.
func fitting(field, given string) bool {
	integer := strings.HasPrefix(given, "INT") || strings.HasPrefix(given, "UINT")
	switch field {
	case "INT64":
		return integer
	case "FP64":
		return integer || strings.HasPrefix(given, "FP")
	}
	return field == given
}

// rows writes the events, one JSON object a row, behind one another into one body.
func (q *inference) rows(spans []span) ([]byte, []span) {
	var b []byte
	for i := range q.n {
		from := len(b)
		b = q.row(b, i)
		spans = append(spans, span{from, len(b)})
		b = append(b, '\n')
	}
	return b, spans
}

func (q *inference) row(b []byte, i int) []byte {
	if len(q.Inputs) == 1 && q.Inputs[0].Name == eventTensor {
		return append(b, asEvent(q.Inputs[0].Data[i])...)
	}
	b = append(b, '{')
	for _, in := range q.Inputs {
		if strings.HasSuffix(in.Name, validSuffix) {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		name, _ := json.Marshal(in.Name)
		b = append(append(b, name...), ':')
		if q.valid(in.Name, i) {
			b = append(b, in.Data[i]...)
		} else {
			b = append(b, "null"...)
		}
	}
	return append(b, '}')
}

// valid is what the tensor beside a field's says; without one every value is.
func (q *inference) valid(name string, i int) bool {
	for _, in := range q.Inputs {
		if in.Name == name+validSuffix {
			return string(in.Data[i]) == "true" || string(in.Data[i]) == "1"
		}
	}
	return true
}

// asEvent is the text of an element of BYTES as an event. What is no JSON object goes as it is: the model refuses it by row.
func asEvent(item json.RawMessage) []byte {
	var inner string
	if json.Unmarshal(item, &inner) != nil {
		return item
	}
	if rows, list, err := scanRows([]byte(inner), nil); err != nil || list {
		return item
	} else {
		return []byte(inner)[rows[0].from:rows[0].to]
	}
}

// outputs turns answers into tensors: those that were asked for, else all fields of the output.
func (q *inference) outputs(answers []answer, t *types) ([]tensor, *problem) {
	if p := failures(answers); p != nil {
		return nil, p
	}
	fields := t.gives
	if len(q.Outputs) > 0 || len(fields) == 0 {
		fields = nil
		for _, asked := range q.Outputs {
			fields = append(fields, fieldNamed(t.gives, asked.Name))
		}
		if len(fields) == 0 {
			fields = []tensorField{{name: eventTensor}}
		}
	}
	var tensors []tensor
	for _, field := range fields {
		made, p := makeTensors(field, answers)
		if p != nil {
			return nil, p
		}
		tensors = append(tensors, made...)
	}
	return tensors, nil
}

func fieldNamed(fields []tensorField, name string) tensorField {
	for _, f := range fields {
		if f.name == name {
			return f
		}
	}
	return tensorField{name: name}
}

// failures names the rows that have no prediction.
func failures(answers []answer) *problem {
	var told []string
	for i := range answers {
		a := &answers[i]
		if a.fate == scored {
			continue
		}
		if len(told) == 10 {
			told = append(told, "...")
			break
		}
		told = append(told, fmt.Sprintf("row %d: %s%s", i, reasonOf(a), a.detail))
	}
	if told == nil {
		return nil
	}
	return &problem{http.StatusBadRequest, "rows", strings.Join(told, "; ")}
}

// makeTensors makes a field's tensor, and the one that marks its nulls if it has some.
func makeTensors(field tensorField, answers []answer) ([]tensor, *problem) {
	n := len(answers)
	out := tensor{Name: field.name, Datatype: field.datatype, Shape: []int{n}, Data: make([]json.RawMessage, n)}
	if field.datatype == "" {
		if field.name != eventTensor {
			return nil, badTensor("the model has no output %s", field.name)
		}
		return []tensor{wholeOutputs(out, answers)}, nil
	}
	valid, nulls := tensor{Name: field.name + validSuffix, Datatype: "BOOL", Shape: []int{n}}, false
	for i := range answers {
		if len(answers[i].outputs) != 1 {
			return nil, badTensor("row %d has %d outputs; ask for the output %s, which takes any number", i, len(answers[i].outputs), eventTensor)
		}
		value := fieldOf(answers[i].outputs[0], field.name)
		null := value == nil || string(value) == "null"
		valid.Data = append(valid.Data, json.RawMessage(fmt.Sprint(!null)))
		nulls = nulls || null
		out.Data[i] = element(field, value, null)
	}
	if nulls {
		return []tensor{out, valid}, nil
	}
	return []tensor{out}, nil
}

func wholeOutputs(out tensor, answers []answer) tensor {
	out.Datatype = "BYTES"
	for i := range answers {
		b := buffer{}
		b.outputs(answers[i].outputs)
		out.Data[i] = quoted(b.data)
	}
	return out
}

func fieldOf(output []byte, name string) json.RawMessage {
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(output, &fields) // an output that is no object has no fields
	return fields[name]
}

// element is a value as its tensor holds it; null is the type's zero, marked by the tensor beside it.
func element(field tensorField, value json.RawMessage, null bool) json.RawMessage {
	switch {
	case null:
		return json.RawMessage(map[string]string{"BOOL": "false", "INT64": "0", "FP64": "0"}[field.datatype] +
			map[bool]string{true: `""`}[field.datatype == "BYTES"])
	case field.asJSON:
		return quoted(bytes.TrimSpace(value))
	}
	return value
}

func quoted(text []byte) json.RawMessage {
	out, _ := json.Marshal(string(text)) // a string always can be
	return out
}

func (f *Front) json(w http.ResponseWriter, value any) int {
	data, err := json.Marshal(value)
	if err != nil {
		return f.fail(w, &problem{http.StatusInternalServerError, "bad_output", "the model's output is not JSON: " + err.Error()})
	}
	b := takeBuffer()
	defer b.put()
	b.data = append(b.data, data...)
	return b.send(w, http.StatusOK)
}
