package front

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	eventTensor = "event"   // BYTES: each element is a whole event, or its outputs, as JSON
	errorTensor = "error"   // BYTES, of answers: why a row has no prediction, empty where it has one
	validSuffix = "__valid" // names the BOOL tensor beside a field's: false is null
)

// Limits of what a request may name, beside those of its size.
const maxTensors = 4096

// An inference is a request for predictions in tensors, in whichever form it came: JSON with or without binary tensor data, or gRPC.
//
//	readInference, readModelInfer -> plan: are names, types and shapes right -> rows: a JSON object a row -> the queue
//	-> outputs -> JSON with or without binary tensor data, or gRPC
type inference struct {
	id      string
	timeout time.Duration // that the client gives it; 0: it does not say
	inputs  []input
	asked   []asked // all outputs when empty
	binary  bool    // how outputs go that do not say it themselves

	n     int // rows
	cells []cell
	gives []give
}

// An input is a tensor of a request.
type input struct {
	name, datatype string
	shape          []int64
	values         column
	elements       int // that values has
}

// An asked output is one that a request names.
type asked struct {
	name   string
	binary bool
}

// A cell is a value of each row: a field with the column that its values come from, or the whole event, which has no label.
type cell struct {
	label         []byte // the name with quotes and colon
	field         *tensorField
	values, valid column
}

func badTensor(format string, args ...any) *problem {
	return &problem{http.StatusBadRequest, "bad_tensor", fmt.Sprintf(format, args...)}
}

// plan checks names, types and shapes, and finds the cells of a row and the tensors of the answer. Values are checked by the model's
// own types.
func (q *inference) plan(t *types) *problem {
	if len(q.inputs) == 0 {
		return badTensor("inputs is empty")
	}
	seen := map[string]*input{}
	for i := range q.inputs {
		in := &q.inputs[i]
		if seen[in.name] != nil {
			return badTensor("tensor %s is there twice", in.name)
		}
		seen[in.name] = in
	}
	if q.isMatrix(t) {
		if p := q.planMatrix(t); p != nil {
			return p
		}
	} else if p := q.planFields(t, seen); p != nil {
		return p
	}
	return q.planOutputs(t)
}

// isMatrix says whether one tensor holds all fields, a column each.
func (q *inference) isMatrix(t *types) bool {
	in := &q.inputs[0]
	kind := datatypes[in.datatype].kind
	if len(q.inputs) != 1 || len(in.shape) != 2 || kind == kindText || kind == kindBool {
		return false
	}
	if in.shape[1] == 1 && t.takesField(in.name) != nil {
		return false
	}
	return t.numeric()
}

func (q *inference) planMatrix(t *types) *problem {
	in := &q.inputs[0]
	if in.shape[1] != int64(len(t.takes)) {
		var names []string
		for _, f := range t.takes {
			names = append(names, f.name)
		}
		return badTensor("tensor %s has %d columns. One tensor for all fields has %d: %s",
			in.name, in.shape[1], len(names), strings.Join(names, ", "))
	}
	if p := q.count(in); p != nil {
		return p
	}
	for i := range t.takes {
		f := &t.takes[i]
		q.cells = append(q.cells, cell{label: f.label, field: f, values: in.values})
	}
	return nil
}

func (q *inference) planFields(t *types, seen map[string]*input) *problem {
	event := &tensorField{name: eventTensor, datatype: "BYTES", asJSON: true}
	whole := seen[eventTensor] != nil && t.takesField(eventTensor) == nil
	if whole && len(q.inputs) > 1 {
		return badTensor("tensor %s holds whole events; no other goes with it", eventTensor)
	}
	for i := range q.inputs {
		in := &q.inputs[i]
		field := t.takesField(in.name)
		switch base, valid := strings.CutSuffix(in.name, validSuffix); {
		case whole:
			q.cells = append(q.cells, cell{field: event, values: in.values})
			field = event
		case field == nil && valid && seen[base] != nil:
			field = &tensorField{name: in.name, datatype: "BOOL"}
		case field == nil && valid && t.takesField(base) != nil:
			return badTensor("tensor %s goes beside %s, which is not there", in.name, base)
		case field == nil && len(t.takes) > 0:
			return badTensor("no field %s. There are: %s", in.name, strings.Join(t.inputNames(), ", "))
		default:
			if field == nil {
				field = &tensorField{name: in.name, label: labelOf(in.name)} // of a model that does not say what it takes
			}
			c := cell{label: field.label, field: field, values: in.values}
			if valid := seen[in.name+validSuffix]; valid != nil && t.takesField(valid.name) == nil {
				c.valid = valid.values
			}
			q.cells = append(q.cells, c)
		}
		if p := q.check(in, field, i == 0); p != nil {
			return p
		}
	}
	return nil
}

func labelOf(name string) []byte { return append(appendString(nil, name), ':') }

// inputNames are the names of tensors that a row may come in, the marks of null left out.
func (t *types) inputNames() []string {
	names := []string{eventTensor}
	for _, f := range t.takes {
		if f.name != eventTensor {
			names = append(names, f.name)
		}
	}
	slices.Sort(names)
	return names
}

// check compares a tensor of one value a row with its field and with the tensors before it.
func (q *inference) check(in *input, field *tensorField, first bool) *problem {
	if len(in.shape) == 0 || len(in.shape) > 2 || len(in.shape) == 2 && in.shape[1] != 1 {
		return badTensor("tensor %s has shape %v; one value a row is [n] or [n,1]", in.name, in.shape)
	}
	rows := q.n
	if p := q.count(in); p != nil {
		return p
	}
	switch {
	case !first && q.n != rows:
		return badTensor("tensor %s has %d rows, others %d", in.name, q.n, rows)
	case !fitting(field.datatype, in.datatype):
		return badTensor("tensor %s has datatype %s, the field takes %s", in.name, in.datatype, field.datatype)
	}
	return nil
}

// count compares a tensor's shape with its elements and takes its rows as those of the request.
func (q *inference) count(in *input) *problem {
	elements := int64(1)
	for _, size := range in.shape {
		if size < 0 || size > 0 && elements > int64(in.elements)/size {
			elements = -1 // negative, or more than there are
			break
		}
		elements *= size
	}
	switch {
	case elements != int64(in.elements):
		return badTensor("tensor %s has %d values for shape %v", in.name, in.elements, in.shape)
	case elements == 0:
		return badTensor("tensor %s has no rows", in.name)
	}
	q.n = int(in.shape[0])
	return nil
}

// rows writes the events, one JSON object a row, behind one another into one body of at most so many bytes, as long as there is room
// for the memory that it takes.
func (q *inference) rows(spans []span, limit int, room func(bytes int) bool) ([]byte, []span, *problem) {
	var b, scratch []byte
	for i := range q.n {
		from := len(b)
		var err error
		if b, scratch, err = q.row(b, scratch); err != nil {
			return nil, nil, badTensor("row %d: %s", i, err)
		}
		if len(b) > limit {
			return nil, nil, &problem{http.StatusRequestEntityTooLarge, "too_many_rows",
				fmt.Sprintf("as events the tensors take more than the %d bytes that may wait", limit)}
		}
		if !room(cap(b)) {
			return nil, nil, problemFull
		}
		spans = append(spans, span{from, len(b)})
		b = append(b, '\n')
	}
	return b, spans, nil
}

func (q *inference) row(b, scratch []byte) (body, kept []byte, err error) {
	if q.cells[0].label == nil {
		b, err = q.cells[0].values.next(b, q.cells[0].field)
		return b, scratch, err
	}
	b = append(b, '{')
	for i := range q.cells {
		c := &q.cells[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, c.label...)
		at := len(b)
		if b, err = c.values.next(b, c.field); err != nil {
			return nil, nil, fmt.Errorf("%s %w", c.field.name, err)
		}
		if c.valid == nil {
			continue
		}
		scratch, _ = c.valid.next(scratch[:0], &flagField)
		if !bytes.Equal(scratch, []byte("true")) && !bytes.Equal(scratch, []byte("1")) {
			b = append(b[:at], "null"...)
		}
	}
	return append(b, '}'), scratch, nil
}

var flagField = tensorField{datatype: "BOOL"}

// takesField is the field of that name, nil when there is none.
func (t *types) takesField(name string) *tensorField { return fieldNamed(t.takes, name) }

func fieldNamed(fields []tensorField, name string) *tensorField {
	for i := range fields {
		if fields[i].name == name {
			return &fields[i]
		}
	}
	return nil
}

// numeric says whether all fields are numbers, so that one tensor can hold them.
func (t *types) numeric() bool {
	for _, f := range t.takes {
		if f.datatype != "FP64" && f.datatype != "INT64" {
			return false
		}
	}
	return len(t.takes) > 0
}
