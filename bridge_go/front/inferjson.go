package front

import (
	"net/http"
	"strconv"
)

// inferenceHeader says how long the JSON is, where binary tensor data follows it: in the order of the tensors that have some, without
// anything between them.
const inferenceHeader = "Inference-Header-Content-Length"

// readInference reads an infer request: all of it JSON, or JSON of the announced length and binary tensor data.
func readInference(body []byte, announced []string) (*inference, *problem) {
	head, binary, p := splitBody(body, announced)
	if p != nil {
		return nil, p
	}
	rows, list, err := scanRows(head, nil)
	if err != nil {
		return nil, malformed(err)
	} else if list {
		return nil, badTensor("not an inference request: a list instead of an object")
	}
	var inputs, outputs, given []byte
	q := &inference{}
	_, p = eachMember(head[rows[0].from:rows[0].to], func(name, value []byte) *problem {
		switch string(name) {
		case "id":
			return readText(&q.id, "id", value)
		case "inputs":
			inputs = value
		case "outputs":
			outputs = value
		case "parameters":
			given = value
		}
		return nil
	})
	if p == nil && given != nil {
		p = q.readParameters(given)
	}
	if p == nil {
		p = q.readList("inputs", inputs, func(item []byte) (p *problem) {
			binary, p = q.readInput(item, binary)
			return p
		})
	}
	if p == nil && len(binary) > 0 {
		p = badTensor("%d bytes of binary tensor data belong to no tensor", len(binary))
	}
	if p == nil {
		p = q.readList("outputs", outputs, q.readAsked)
	}
	return q, p
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

// readList goes through a list that may be absent.
func (q *inference) readList(what string, list []byte, do func(item []byte) *problem) *problem {
	if list == nil {
		return nil
	}
	n := 0
	is, p := eachItem(list, func(item []byte) *problem {
		if n++; n > maxTensors {
			return badTensor("more than %d %s", maxTensors, what)
		}
		return do(item)
	})
	if !is {
		return badTensor("not an inference request: %s is no list", what)
	}
	return p
}

func readText(into *string, what string, value []byte) *problem {
	text, is := textIn(value)
	if !is {
		return badTensor("not an inference request: %s is no text", what)
	}
	*into = text
	return nil
}

// readShape reads the sizes of a tensor; behind the third, which is one too many already, none is looked at.
func (in *input) readShape(list []byte) *problem {
	in.shape = in.shape[:0]
	is, p := eachItem(list, func(item []byte) *problem {
		if len(in.shape) == 3 {
			return nil
		}
		size, err := strconv.ParseInt(string(item), 10, 64)
		if err != nil {
			return badTensor("not an inference request: %.40s in a shape", item)
		}
		in.shape = append(in.shape, size)
		return nil
	})
	if !is {
		return badTensor("not an inference request: shape is no list")
	}
	return p
}

// readInput reads a tensor, whose data is its own list, or is cut off from the binary tensor data. It returns what is left of that.
func (q *inference) readInput(item, binary []byte) (left []byte, p *problem) {
	var in input
	var given parameters
	var data []byte
	is, p := eachMember(item, func(name, value []byte) *problem {
		switch string(name) {
		case "name":
			return readText(&in.name, "the name of a tensor", value)
		case "datatype":
			return readText(&in.datatype, "a datatype", value)
		case "shape":
			return in.readShape(value)
		case "parameters":
			return given.read(value)
		case "data":
			data = value
		}
		return nil
	})
	switch {
	case !is:
		return nil, badTensor("not an inference request: inputs has %.40s, which is no tensor", item)
	case p == nil:
		p = in.known(&given)
	}
	if p == nil {
		left, p = in.fill(data, binary, &given)
	}
	if p == nil {
		q.inputs = append(q.inputs, in)
	}
	return left, p
}

// fill gives a tensor its elements: those of its list, or the next of the binary tensor data. It returns what is left of that.
func (in *input) fill(list, binary []byte, given *parameters) (left []byte, p *problem) {
	size, isBinary, p := given.size(in.name)
	fits := true
	switch {
	case p != nil:
		return nil, p
	case isBinary && list != nil:
		return nil, badTensor("tensor %s has data and binary_data_size, and is sent as one of both", in.name)
	case isBinary && size > uint64(len(binary)):
		return nil, badTensor("tensor %s has binary_data_size %d, and %d bytes are left", in.name, size, len(binary))
	case isBinary:
		in.values, in.elements, fits = newRawColumn(binary[:size:size], in.datatype)
		binary = binary[size:]
	case list == nil:
		return nil, badTensor("tensor %s has no data", in.name)
	default:
		in.values, in.elements, fits = newJSONColumn(list, in.shape)
	}
	if !fits {
		return nil, in.misfit(isBinary)
	}
	return binary, nil
}

// known refuses what no answer could be right for.
func (in *input) known(given *parameters) *problem {
	if datatypes[in.datatype].kind == 0 {
		return badTensor("tensor %s has datatype %q, which the protocol does not know", in.name, in.datatype)
	}
	if given.sharedMemory != nil {
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
	var asked string
	var given parameters
	is, p := eachMember(item, func(name, value []byte) *problem {
		switch string(name) {
		case "name":
			return readText(&asked, "the name of an output", value)
		case "parameters":
			return given.read(value)
		}
		return nil
	})
	switch {
	case !is:
		return badTensor("not an inference request: outputs has %.40s, which is no output", item)
	case p != nil:
		return p
	}
	return q.ask(asked, &given)
}

// ask notes an output that is named.
func (q *inference) ask(name string, given *parameters) *problem {
	if p := given.askable(name); p != nil {
		return p
	}
	binary, p := flagIn("binary_data", given.binaryData, q.binary)
	if p != nil {
		return p
	}
	q.asked = append(q.asked, asked{name, binary})
	return nil
}

func (q *inference) readParameters(object []byte) *problem {
	var given parameters
	p := given.read(object)
	if p == nil {
		p = given.stateless()
	}
	if p == nil {
		q.timeout, p = given.patience()
	}
	if p == nil {
		q.binary, p = flagIn("binary_data_output", given.binaryDataOutput, false)
	}
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
		b.data = appendString(b.data, id)
		b.raw(",")
	}
	b.raw(`"model_name":`)
	b.data = appendString(b.data, program)
	b.raw(`,"model_version":`)
	b.data = appendString(b.data, model)
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
	b.data = appendString(b.data, o.name)
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
