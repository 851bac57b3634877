package front

import (
	"context"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"ds-runner.dev/ds-runner/bridge_go/front/openinference"
)

// ServerLive never asks Python.
func (g *grpcServer) ServerLive(context.Context, *openinference.ServerLiveRequest) (*openinference.ServerLiveResponse, error) {
	return &openinference.ServerLiveResponse{Live: true}, nil
}

// ServerReady is what /readyz says.
func (g *grpcServer) ServerReady(context.Context, *openinference.ServerReadyRequest) (*openinference.ServerReadyResponse, error) {
	return &openinference.ServerReadyResponse{Ready: g.front.serverCause() == ""}, nil
}

// ModelReady is of the version that is named, or of any.
func (g *grpcServer) ModelReady(_ context.Context, m *openinference.ModelReadyRequest) (*openinference.ModelReadyResponse, error) {
	f := g.front.frontOf(m.Name)
	if p := f.serves(m.Name, m.Version); p != nil {
		return nil, p
	}
	return &openinference.ModelReadyResponse{Ready: f.causeOf(m.Version) == ""}, nil
}

// ServerMetadata names the server.
func (g *grpcServer) ServerMetadata(context.Context, *openinference.ServerMetadataRequest) (*openinference.ServerMetadataResponse, error) {
	return &openinference.ServerMetadataResponse{Name: serverName, Version: protocolVersion, Extensions: extensions}, nil
}

// ModelMetadata names the tensors of events and of their outputs.
func (g *grpcServer) ModelMetadata(_ context.Context, m *openinference.ModelMetadataRequest) (*openinference.ModelMetadataResponse, error) {
	f := g.front.frontOf(m.Name)
	if p := f.serves(m.Name, m.Version); p != nil {
		return nil, p
	}
	t := f.typesOf(m.Version)
	return &openinference.ModelMetadataResponse{
		Name: f.cfg.Program, Versions: f.versions(), Platform: serverName, Inputs: listTensors(t.takes), Outputs: listTensors(t.gives),
	}, nil
}

func listTensors(fields []tensorField) (list []*openinference.ModelMetadataResponse_TensorMetadata) {
	tensorNames(fields, func(name, datatype string) {
		list = append(list, &openinference.ModelMetadataResponse_TensorMetadata{Name: name, Datatype: datatype, Shape: []int64{-1}})
	})
	return list
}

// ModelInfer scores the rows of tensors. Outputs come in the form of the inputs: raw where these are raw, else typed.
func (g *grpcServer) ModelInfer(ctx context.Context, m *openinference.ModelInferRequest) (*openinference.ModelInferResponse, error) {
	f, c := g.front.frontOf(m.ModelName), callOf(ctx)
	if p := f.serves(m.ModelName, m.ModelVersion); p != nil {
		return nil, p
	}
	size := proto.Size(m) // stays until the answer: the elements of tensors are cut from it
	if !f.budget.take(size) {
		return nil, problemFull
	}
	defer f.budget.give(size)
	asked, p := readModelInfer(m)
	if p != nil {
		return nil, p
	}
	outputs, model, p := f.inferred(c.request, m.ModelVersion, asked, c.start)
	if p != nil {
		return nil, p
	}
	if model != "" {
		_ = grpc.SetHeader(ctx, metadata.Pairs("x-model-version", model)) // fails only after the answer
	}
	answer := &openinference.ModelInferResponse{ModelName: f.cfg.Program, ModelVersion: model, Id: m.Id}
	for i := range outputs {
		if p := addOutput(answer, &outputs[i], len(m.RawInputContents) > 0); p != nil {
			return nil, p
		}
	}
	return answer, nil
}

// readModelInfer is readInference for gRPC.
func readModelInfer(m *openinference.ModelInferRequest) (*inference, *problem) {
	raw := len(m.RawInputContents) > 0
	if raw && len(m.RawInputContents) != len(m.Inputs) {
		return nil, badTensor("%d raw_input_contents for %d inputs", len(m.RawInputContents), len(m.Inputs))
	}
	q := &inference{id: m.Id}
	given := asParameters(m.Parameters)
	if p := given.stateless(); p != nil {
		return nil, p
	}
	var p *problem
	if q.timeout, p = given.patience(); p != nil {
		return nil, p
	}
	for i, t := range m.Inputs {
		in := input{name: t.GetName(), datatype: t.GetDatatype(), shape: t.GetShape()}
		given := asParameters(t.GetParameters())
		if p := in.known(&given); p != nil {
			return nil, p
		}
		fits := true
		switch {
		case raw && t.GetContents() != nil:
			return nil, badTensor("tensor %s has contents and raw_input_contents, and is sent as one of both", in.name)
		case raw:
			in.values, in.elements, fits = newRawColumn(m.RawInputContents[i], in.datatype)
		default:
			in.values, in.elements, fits = newTypedColumn(t.GetContents(), in.datatype)
		}
		if !fits {
			return nil, in.misfit(true)
		}
		q.inputs = append(q.inputs, in)
	}
	for _, o := range m.Outputs {
		given := asParameters(o.GetParameters())
		if p := q.ask(o.GetName(), &given); p != nil {
			return nil, p
		}
	}
	return q, nil
}

// asParameters writes parameters as JSON does.
func asParameters(given map[string]*openinference.InferParameter) (as parameters) {
	for name, value := range given {
		switch v := value.GetParameterChoice().(type) {
		case *openinference.InferParameter_BoolParam:
			as.set(name, strconv.AppendBool(nil, v.BoolParam))
		case *openinference.InferParameter_Int64Param:
			as.set(name, strconv.AppendInt(nil, v.Int64Param, 10))
		case *openinference.InferParameter_Uint64Param:
			as.set(name, strconv.AppendUint(nil, v.Uint64Param, 10))
		case *openinference.InferParameter_StringParam:
			as.set(name, quoted([]byte(v.StringParam)))
		case *openinference.InferParameter_DoubleParam:
			as.set(name, strconv.AppendFloat(nil, v.DoubleParam, 'g', -1, 64))
		}
	}
	return as
}

// newTypedColumn takes the contents that go with a datatype. What is in other fields of them is not looked at; numbers of 16 bits
// with a fraction have no such field.
func newTypedColumn(c *openinference.InferTensorContents, datatype string) (column, int, bool) {
	switch datatype {
	case "BOOL":
		v := c.GetBoolContents()
		return &typedColumn[bool]{v, writeFlag}, len(v), true
	case "INT8", "INT16", "INT32":
		v := c.GetIntContents()
		return &typedColumn[int32]{v, writeSigned[int32]}, len(v), true
	case "INT64":
		v := c.GetInt64Contents()
		return &typedColumn[int64]{v, writeSigned[int64]}, len(v), true
	case "UINT8", "UINT16", "UINT32":
		v := c.GetUintContents()
		return &typedColumn[uint32]{v, writeUnsigned[uint32]}, len(v), true
	case "UINT64":
		v := c.GetUint64Contents()
		return &typedColumn[uint64]{v, writeUnsigned[uint64]}, len(v), true
	case "FP32":
		v := c.GetFp32Contents()
		return &typedColumn[float32]{v, writeFloat[float32]}, len(v), true
	case "FP64":
		v := c.GetFp64Contents()
		return &typedColumn[float64]{v, writeFloat[float64]}, len(v), true
	case "BYTES":
		v := c.GetBytesContents()
		return &typedColumn[[]byte]{v, appendText}, len(v), true
	}
	return nil, 0, false
}

func writeFlag(dst []byte, v bool, _ *tensorField) ([]byte, error) {
	return strconv.AppendBool(dst, v), nil
}

func writeSigned[T int32 | int64](dst []byte, v T, _ *tensorField) ([]byte, error) {
	return strconv.AppendInt(dst, int64(v), 10), nil
}

func writeUnsigned[T uint32 | uint64](dst []byte, v T, _ *tensorField) ([]byte, error) {
	return strconv.AppendUint(dst, uint64(v), 10), nil
}

func writeFloat[T float32 | float64](dst []byte, v T, f *tensorField) ([]byte, error) {
	return appendFloat(dst, float64(v), f)
}

// addOutput puts a tensor into the answer.
func addOutput(answer *openinference.ModelInferResponse, o *output, raw bool) (p *problem) {
	t := &openinference.ModelInferResponse_InferOutputTensor{
		Name: o.name, Datatype: o.field.datatype, Shape: []int64{int64(len(o.elements))},
	}
	answer.Outputs = append(answer.Outputs, t)
	if raw {
		data, p := o.appendRaw([]byte{})
		answer.RawOutputContents = append(answer.RawOutputContents, data)
		return p
	}
	t.Contents, p = o.contents()
	return p
}

// contents are the typed contents of gRPC.
func (o *output) contents() (*openinference.InferTensorContents, *problem) {
	c := &openinference.InferTensorContents{}
	for i, value := range o.elements {
		switch o.field.datatype {
		case "BYTES":
			c.BytesContents = append(c.BytesContents, o.textOf(i))
		case "BOOL":
			c.BoolContents = append(c.BoolContents, string(value) == "true")
		case "INT64":
			v, p := o.integer(i)
			if p != nil {
				return nil, p
			}
			c.Int64Contents = append(c.Int64Contents, v)
		default:
			v, p := o.float(i)
			if p != nil {
				return nil, p
			}
			c.Fp64Contents = append(c.Fp64Contents, v)
		}
	}
	return c, nil
}
