package front

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"ds-runner.dev/ds-runner/bridge_go/plainjson"
)

// A give is a tensor that an answer holds.
type give struct {
	name   string
	what   giveKind
	field  *tensorField // of values, and of the marks beside them
	binary bool
}

type giveKind uint8

const (
	giveValues giveKind = iota
	giveValid           // which values are not null
	giveEvents          // the outputs as they are, any number a row
	giveErrors
)

// An output is a tensor of an answer: the elements as JSON texts, from which each form is made.
type output struct {
	name     string
	field    *tensorField // its datatype, and how nulls and JSON go into it
	elements [][]byte     // nil: null
	binary   bool
}

// planOutputs finds the tensors of the answer: those that are asked for, else all fields of the outputs with marks beside those that
// may be null. A field of the model's is never hidden by a name of the protocol's mapping.
func (q *inference) planOutputs(t *types) *problem {
	q.gives = nil
	seen := map[string]bool{}
	for _, a := range q.asked {
		if seen[a.name] {
			return badTensor("output %s is asked for twice", a.name)
		}
		seen[a.name] = true
		g, known := t.give(a.name)
		if !known {
			return badTensor("the model has no output %s. There are: %s", a.name, strings.Join(t.outputNames(), ", "))
		}
		g.binary = a.binary
		q.gives = append(q.gives, g)
	}
	if len(q.asked) > 0 {
		return nil
	}
	for i := range t.gives {
		f := &t.gives[i]
		q.gives = append(q.gives, give{name: f.name, field: f, binary: q.binary})
		if f.nullable {
			q.gives = append(q.gives, give{name: f.name + validSuffix, what: giveValid, field: f, binary: q.binary})
		}
	}
	if len(q.gives) == 0 {
		q.gives = []give{{name: eventTensor, what: giveEvents, binary: q.binary}}
	}
	return nil
}

func (t *types) give(name string) (g give, known bool) {
	if f := fieldNamed(t.gives, name); f != nil {
		return give{name: name, field: f}, true
	}
	if base, valid := strings.CutSuffix(name, validSuffix); valid {
		if f := fieldNamed(t.gives, base); f != nil {
			return give{name: name, what: giveValid, field: f}, true
		}
	}
	switch name {
	case eventTensor:
		return give{name: name, what: giveEvents}, true
	case errorTensor:
		return give{name: name, what: giveErrors}, true
	}
	return give{}, false
}

func (t *types) outputNames() (names []string) {
	for _, f := range t.gives {
		names = append(names, f.name)
	}
	for _, name := range []string{eventTensor, errorTensor} {
		if fieldNamed(t.gives, name) == nil {
			names = append(names, name)
		}
	}
	return names
}

// outputs turns answers into tensors. Rows without a prediction make the whole answer a 400 that names them, unless errors are asked
// for: then their values are the types' zeros.
func (q *inference) outputs(answers []answer) ([]output, *problem) {
	failed := make([][]byte, len(answers))
	for i := range answers {
		failed[i] = q.failure(&answers[i])
	}
	if !q.givesErrors() {
		if p := failures(answers, failed); p != nil {
			return nil, p
		}
	}
	made := make([]output, len(q.gives), len(q.gives)+4)
	for i := range q.gives {
		g := &q.gives[i]
		made[i] = output{name: g.name, field: g.datatype(), binary: g.binary, elements: make([][]byte, len(answers))}
	}
	values := make([][]byte, len(q.gives))
	for i := range answers {
		q.place(made, i, &answers[i], failed[i], values)
	}
	return q.mark(made, failed), nil
}

func (g *give) datatype() *tensorField {
	switch g.what {
	case giveValues:
		return g.field
	case giveValid:
		return &flagField
	}
	return &textField
}

// textField is of tensors that hold JSON texts, and "" where there is nothing.
var textField = tensorField{datatype: "BYTES", asJSON: true}

func (q *inference) givesErrors() bool { return q.givesAny(giveErrors, giveErrors) }

func (q *inference) givesAny(a, b giveKind) bool {
	for i := range q.gives {
		if what := q.gives[i].what; what == a || what == b {
			return true
		}
	}
	return false
}

// failure is why a row has no prediction, as in an answer to a list of rows, or nil.
func (q *inference) failure(a *answer) []byte {
	b := buffer{}
	switch {
	case a.fate == rejected:
		b.rejection(a)
	case a.fate != scored:
		b.rowFailure(a)
	case len(a.outputs) != 1 && q.givesAny(giveValues, giveValid):
		data, _ := plainjson.Marshal(object{"code": "bad_tensor", "error": fmt.Sprintf(
			"%d outputs; ask for the output %s, which takes any number", len(a.outputs), eventTensor)}) // of texts
		return data
	}
	return b.data
}

// failures names the rows that have no prediction, ten at most.
func failures(answers []answer, failed [][]byte) *problem {
	var told []string
	for i := range answers {
		a := &answers[i]
		if failed[i] == nil {
			continue
		}
		if len(told) == 10 {
			told = append(told, "...")
			break
		}
		if a.fate == scored {
			told = append(told, fmt.Sprintf("row %d has %d outputs; ask for the output %s, which takes any number", i, len(a.outputs), eventTensor))
			continue
		}
		told = append(told, fmt.Sprintf("row %d: %s", i, reasonOf(a)))
	}
	if told == nil {
		return nil
	}
	return &problem{http.StatusBadRequest, "rows", strings.Join(told, "; ")}
}

// place puts the elements of one row into the tensors.
func (q *inference) place(made []output, row int, a *answer, failed []byte, values [][]byte) {
	clear(values)
	if failed == nil && len(a.outputs) == 1 {
		q.fieldsOf(a.outputs[0], values)
	}
	for i := range q.gives {
		element := values[i]
		switch q.gives[i].what {
		case giveValid:
			element = strconv.AppendBool(nil, values[i] != nil)
		case giveEvents:
			if failed == nil {
				b := buffer{}
				b.outputs(a.outputs)
				element = b.data
			}
		case giveErrors:
			element = failed
		}
		made[i].elements[row] = element
	}
}

// fieldsOf finds the values of an output's fields, one pass over it: by the place of each tensor, nil for null and for what is
// not there. An output that is no object has no fields.
func (q *inference) fieldsOf(output []byte, values [][]byte) {
	i := skipSpace(output, 0)
	if i == len(output) || output[i] != '{' {
		return
	}
	for i = skipSpace(output, i+1); i < len(output) && output[i] == '"'; {
		from := i
		end, err := skipString(output, i)
		if err != nil {
			return
		}
		name := output[from:end]
		if i, err = skipName(output, i); err != nil {
			return
		}
		from = skipSpace(output, i)
		if i, err = skipValue(output, from); err != nil {
			return
		}
		value := output[from:i]
		if string(value) == "null" {
			value = nil
		}
		q.setField(name, value, values)
		if i = skipSpace(output, i); i < len(output) && output[i] == ',' {
			i = skipSpace(output, i+1)
		}
	}
}

func (q *inference) setField(quotedName, value []byte, values [][]byte) {
	for k := range q.gives {
		if g := &q.gives[k]; g.field != nil && isName(quotedName, g.field.name) {
			values[k] = value
		}
	}
}

// isName compares a JSON string with a name; only strings with escapes are read.
func isName(written []byte, name string) bool {
	inner := written[1 : len(written)-1]
	if string(inner) == name {
		return true
	}
	if strings.IndexByte(string(inner), '\\') < 0 {
		return false
	}
	var read string
	return json.Unmarshal(written, &read) == nil && read == name
}

// mark adds the tensor of marks behind a field that has nulls and comes without: a zero would pass for a value.
func (q *inference) mark(made []output, failed [][]byte) []output {
	marked := make([]output, 0, cap(made))
	for i := range made {
		g := &q.gives[i]
		marked = append(marked, made[i])
		if g.what != giveValues || !hasNulls(made[i].elements, failed) || q.givesMarks(g.field) {
			continue
		}
		valid := output{name: g.name + validSuffix, field: &flagField, binary: g.binary, elements: make([][]byte, len(failed))}
		for row, value := range made[i].elements {
			valid.elements[row] = strconv.AppendBool(nil, value != nil)
		}
		marked = append(marked, valid)
	}
	return marked
}

func (q *inference) givesMarks(f *tensorField) bool {
	for i := range q.gives {
		if q.gives[i].what == giveValid && q.gives[i].field == f {
			return true
		}
	}
	return false
}

// hasNulls says whether a row with a prediction has a null.
func hasNulls(elements, failed [][]byte) bool {
	for i := range elements {
		if elements[i] == nil && failed[i] == nil {
			return true
		}
	}
	return false
}

// appendElement writes an element as JSON. Null is the type's zero; the tensor beside it tells.
func (o *output) appendElement(dst []byte, i int) []byte {
	value := o.elements[i]
	switch {
	case value == nil && o.field.datatype == "BYTES":
		return append(dst, `""`...)
	case value == nil && o.field.datatype == "BOOL":
		return append(dst, "false"...)
	case value == nil:
		return append(dst, '0')
	case o.field.asJSON:
		return append(dst, quoted(value)...)
	}
	return append(dst, value...)
}

// appendRaw writes all elements as binary tensor data. A null number with a fraction is NaN, any other null the type's zero.
func (o *output) appendRaw(dst []byte) ([]byte, *problem) {
	for i, value := range o.elements {
		switch o.field.datatype {
		case "BYTES":
			t := o.textOf(i)
			dst = append(binary.LittleEndian.AppendUint32(dst, uint32(len(t))), t...)
		case "BOOL":
			b := byte(0)
			if string(value) == "true" {
				b = 1
			}
			dst = append(dst, b)
		case "INT64":
			v, p := o.integer(i)
			if p != nil {
				return nil, p
			}
			dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
		default:
			v, p := o.float(i)
			if p != nil {
				return nil, p
			}
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
		}
	}
	return dst, nil
}

// textOf is an element of BYTES: the text of a string, of anything else its JSON.
func (o *output) textOf(i int) []byte {
	value := o.elements[i]
	if len(value) == 0 || value[0] != '"' || o.field.asJSON {
		return value
	}
	if inner := value[1 : len(value)-1]; strings.IndexByte(string(inner), '\\') < 0 {
		return inner
	}
	var read string
	if json.Unmarshal(value, &read) != nil {
		return value
	}
	return []byte(read)
}

func (o *output) integer(i int) (int64, *problem) {
	if o.elements[i] == nil {
		return 0, nil
	}
	v, err := strconv.ParseInt(string(o.elements[i]), 10, 64)
	if err != nil {
		return 0, o.badOutput(i)
	}
	return v, nil
}

func (o *output) float(i int) (float64, *problem) {
	if o.elements[i] == nil {
		return math.NaN(), nil
	}
	v, err := strconv.ParseFloat(string(o.elements[i]), 64)
	if err != nil {
		return 0, o.badOutput(i)
	}
	return v, nil
}

func (o *output) badOutput(i int) *problem {
	return &problem{http.StatusInternalServerError, "bad_output",
		fmt.Sprintf("the model's output %s of row %d is no %s: %.100s", o.name, i, o.field.datatype, o.elements[i])}
}
