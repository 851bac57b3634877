package front

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // that it is registered
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"ds-runner.dev/ds-runner/bridge_go/front/openinference"
)

// boundedCodec is the codec of protobuf, but counts the parts of a request before it makes them: two bytes of a message can stand
// for a tensor that takes a hundred and fifty.
type boundedCodec struct{}

func (boundedCodec) Name() string { return "proto" }

func (boundedCodec) Marshal(v any) (mem.BufferSlice, error) {
	return encoding.GetCodecV2("proto").Marshal(v)
}

func (boundedCodec) Unmarshal(data mem.BufferSlice, v any) error {
	request, is := v.(*openinference.ModelInferRequest)
	if !is {
		return encoding.GetCodecV2("proto").Unmarshal(data, v)
	}
	whole := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer whole.Free()
	if err := countParts(whole.ReadOnlyData()); err != nil {
		return err
	}
	return proto.Unmarshal(whole.ReadOnlyData(), request)
}

// maxElements bounds the texts of a message: an empty one takes two bytes there and a slice here.
const maxElements = 1 << 20

// A part is a field of a message that is made one by one, what it is called, how many there may be, and what it is made of.
type part struct {
	name  string
	most  int
	parts map[protowire.Number]*part
}

// inferParts are the parts of a ModelInferRequest, by the numbers of their fields.
var inferParts = func() map[protowire.Number]*part {
	given := &part{name: "parameters", most: maxTensors}
	texts := &part{name: "elements of bytes_contents", most: maxElements}
	contents := &part{name: "contents", most: maxTensors, parts: map[protowire.Number]*part{8: texts}}
	return map[protowire.Number]*part{
		4: given,
		5: {name: "inputs", most: maxTensors, parts: map[protowire.Number]*part{4: given, 5: contents}},
		6: {name: "outputs", most: maxTensors, parts: map[protowire.Number]*part{2: given}},
		7: {name: "raw_input_contents", most: maxTensors},
	}
}()

func countParts(message []byte) error { return countFields(message, inferParts, map[*part]int{}) }

func countFields(message []byte, parts map[protowire.Number]*part, counts map[*part]int) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
			return protowire.ParseError(n)
		}
		value := message[:n]
		message = message[n:]
		is := parts[number]
		if is == nil {
			continue
		}
		if counts[is]++; counts[is] > is.most {
			return fmt.Errorf("more than %d %s", is.most, is.name)
		}
		if is.parts == nil || kind != protowire.BytesType {
			continue
		}
		inner, _ := protowire.ConsumeBytes(value)
		if err := countFields(inner, is.parts, counts); err != nil {
			return err
		}
	}
	return nil
}
