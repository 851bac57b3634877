package front

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// inferenceHeader says how long the JSON is, where binary tensor data follows it: in the order of the tensors that have some, without
// anything between them.
const inferenceHeader = "Inference-Header-Content-Length"

// A jsonInference is the JSON of an infer request. Lists are read item by item, within limits.
type jsonInference struct {
	ID         *string
	Inputs     json.RawMessage
	Outputs    json.RawMessage
	Parameters parameters
}

type jsonTensor struct {
	Name       string
	Datatype   string
	Shape      []int64
	Parameters parameters
	Data       json.RawMessage
}

// readInference reads an infer request: all of it JSON, or JSON of the announced length and binary tensor data.
func readInference(body []byte, announced []string) (*inference, *problem) {
	head, binary, p := splitBody(body, announced)
	if p != nil {
		return nil, p
	}
	if _, list, err := scanRows(head, nil); err != nil {
		return nil, malformed(err)
	} else if list {
		return nil, badTensor("not an inference request: a list instead of an object")
	}
	var raw jsonInference
	if err := json.Unmarshal(head, &raw); err != nil {
		return nil, badTensor("not an inference request: %v", err)
	}
	q := &inference{}
	if raw.ID != nil {
		q.id = *raw.ID
	}
	if p := q.readParameters(raw.Parameters); p != nil {
		return nil, p
	}
	p = eachItem("inputs", raw.Inputs, func(item []byte) (p *problem) {
		binary, p = q.readInput(item, binary)
		return p
	})
	if p != nil {
		return nil, p
	}
	if len(binary) > 0 {
		return nil, badTensor("%d bytes of binary tensor data belong to no tensor", len(binary))
	}
	return q, eachItem("outputs", raw.Outputs, q.readAsked)
}

// splitBody finds where the JSON ends.
func splitBody(body []byte, announced []string) (head, binary []byte, p *problem) {
	if len(announced) == 0 {
		return body, nil, nil
	}
	n, err := strconv.ParseUint(announced[0], 10, 63)
	if err != nil || len(announced) > 1 {
		return nil, nil, badTensor("%s is not a number of bytes: %.40q", inferenceHeader, announced)
	}
	if n > uint64(len(body)) {
		return nil, nil, badTensor("%s is %d, and the body has %d bytes", inferenceHeader, n, len(body))
	}
	return body[:n], body[n:], nil
}

// eachItem goes through a list of JSON that may be absent or null.
func eachItem(what string, list json.RawMessage, do func(item []byte) *problem) *problem {
	if len(list) == 0 || string(list) == "null" {
		return nil
	}
	if list[0] != '[' {
		return badTensor("not an inference request: %s is no list", what)
	}
	n := 0
	for i := skipSpace(list, 1); list[i] != ']'; i = skipSpace(list, i) {
		if list[i] == ',' {
			i = skipSpace(list, i+1)
		}
		if n++; n > maxTensors {
			return badTensor("more than %d %s", maxTensors, what)
		}
		from := i
		i, _ = skipValue(list, i) // it is JSON
		if p := do(list[from:i]); p != nil {
			return p
		}
	}
	return nil
}

// readInput reads a tensor, whose data is its own list, or is cut off from the binary tensor data. It returns what is left of that.
func (q *inference) readInput(item, binary []byte) (left []byte, p *problem) {
	var raw jsonTensor
	if err := json.Unmarshal(item, &raw); err != nil {
		return nil, badTensor("not an inference request: inputs: %v", err)
	}
	in := input{name: raw.Name, datatype: raw.Datatype, shape: raw.Shape}
	if p := in.known(raw.Parameters); p != nil {
		return nil, p
	}
	size, isBinary, p := raw.Parameters.size(in.name)
	fits := true
	switch {
	case p != nil:
		return nil, p
	case isBinary && len(raw.Data) > 0:
		return nil, badTensor("tensor %s has data and binary_data_size, and is sent as one of both", in.name)
	case isBinary && size > uint64(len(binary)):
		return nil, badTensor("tensor %s has binary_data_size %d, and %d bytes are left", in.name, size, len(binary))
	case isBinary:
		in.values, in.elements, fits = newRawColumn(binary[:size:size], in.datatype)
		binary = binary[size:]
	case len(raw.Data) == 0:
		return nil, badTensor("tensor %s has no data", in.name)
	default:
		in.values, in.elements, fits = newJSONColumn(raw.Data, in.shape)
	}
	if !fits {
		return nil, in.misfit(isBinary)
	}
	q.inputs = append(q.inputs, in)
	return binary, nil
}

// known refuses what no answer could be right for.
func (in *input) known(given parameters) *problem {
	if datatypes[in.datatype].kind == 0 {
		return badTensor("tensor %s has datatype %q, which the protocol does not know", in.name, in.datatype)
	}
	if _, shared := given["shared_memory_region"]; shared {
		return badTensor("tensor %s is in shared memory, which is not served here", in.name)
	}
	return nil
}

func (in *input) misfit(binary bool) *problem {
	if binary {
		return badTensor("the binary data of tensor %s does not end with an element of %s", in.name, in.datatype)
	}
	return badTensor("tensor %s has shape %v; one value a row is [n] or [n,1], and data is a list of them", in.name, in.shape)
}

func (q *inference) readAsked(item []byte) *problem {
	var raw struct {
		Name       string
		Parameters parameters
	}
	if err := json.Unmarshal(item, &raw); err != nil {
		return badTensor("not an inference request: outputs: %v", err)
	}
	return q.ask(raw.Name, raw.Parameters)
}

// ask notes an output that is named.
func (q *inference) ask(name string, given parameters) *problem {
	if p := given.askable(name); p != nil {
		return p
	}
	binary, p := given.flag("binary_data", q.binary)
	if p != nil {
		return p
	}
	q.asked = append(q.asked, asked{name, binary})
	return nil
}

func (q *inference) readParameters(given parameters) (p *problem) {
	if p := given.stateless(); p != nil {
		return p
	}
	q.binary, p = given.flag("binary_data_output", false)
	return p
}

// sendInference answers with tensors: JSON, and behind it the data of those that were asked for as binary.
func (f *Front) sendInference(w http.ResponseWriter, id, model string, outputs []output) int {
	b := takeBuffer()
	defer b.put()
	binary, p := b.inference(f.cfg.Program, id, model, outputs)
	if p != nil {
		b.data = b.data[:0]
		return f.fail(w, p)
	}
	if binary == nil {
		return b.send(w, http.StatusOK)
	}
	h := w.Header()
	h[inferenceHeader] = []string{strconv.Itoa(len(b.data))}
	h["Content-Type"] = []string{"application/octet-stream"}
	b.data = append(b.data, binary...)
	return write(w, http.StatusOK, b.data)
}

// inference writes the JSON of an answer. The binary data is nil when no output has some.
func (b *buffer) inference(program, id, model string, outputs []output) (binary []byte, p *problem) {
	b.raw("{")
	if id != "" {
		b.raw(`"id":`)
		b.text(id)
		b.raw(",")
	}
	b.raw(`"model_name":`)
	b.text(program)
	b.raw(`,"model_version":`)
	b.text(model)
	b.raw(`,"outputs":[`)
	for i := range outputs {
		b.comma(i)
		if binary, p = b.output(&outputs[i], binary); p != nil {
			return nil, p
		}
	}
	b.raw("]}")
	return binary, nil
}

func (b *buffer) output(o *output, binary []byte) ([]byte, *problem) {
	b.raw(`{"name":`)
	b.text(o.name)
	b.raw(`,"datatype":"` + o.field.datatype + `","shape":[`)
	b.data = strconv.AppendInt(b.data, int64(len(o.elements)), 10)
	if o.binary {
		from := len(binary)
		binary, p := o.appendRaw(binary)
		b.raw(`],"parameters":{"binary_data_size":`)
		b.data = strconv.AppendInt(b.data, int64(len(binary)-from), 10)
		b.raw("}}")
		return binary, p
	}
	b.raw(`],"data":[`)
	for i := range o.elements {
		b.comma(i)
		b.data = o.appendElement(b.data, i)
	}
	b.raw("]}")
	return binary, nil
}
