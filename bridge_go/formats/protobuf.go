package formats

import (
	"context"
	"encoding/binary"
	"strconv"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/twmb/franz-go/pkg/sr"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// protobufSchema reads any message of a file, and writes one. Fields have the names of the file. Fields that are always there are
// there in the JSON too, with their defaults; those with presence (optional, messages, oneof) only if they are set.
//
//	int64, uint64             numbers
//	bytes                     base64
//	enums                     the name; its number where it has none
//	google.protobuf.Timestamp 2013-01-31T10:00:00.5Z
//	google.protobuf.Duration  seconds, as 1.5s
//	wrappers                  the value
//	Struct, Value, ListValue  what they say
type protobufSchema struct {
	file    protoreflect.FileDescriptor
	message protoreflect.MessageDescriptor // that results are
	index   []int                          // of it
}

const fileName = "schema.proto"

func compileProtobuf(text string, needs []dependency, message string) (schema, error) {
	sources := map[string]string{fileName: text}
	for _, d := range needs {
		sources[d.name] = d.text
	}
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(sources),
	})}
	files, err := compiler.Compile(context.Background(), fileName)
	if err != nil {
		return nil, mistakef("%v", err)
	}
	s := &protobufSchema{file: files[0]}
	if s.file.Messages().Len() == 0 {
		return nil, mistakef("the file has no message")
	}
	s.message, s.index = s.file.Messages().Get(0), []int{0}
	if message != "" {
		s.index = find(s.file.Messages(), message, nil)
		if s.index == nil {
			return nil, mistakef("the file has no message %s", message)
		}
		s.message, err = s.at(s.index)
	}
	return s, err
}

// find is the path of a message by its name, with or without the package.
func find(in protoreflect.MessageDescriptors, name string, above []int) []int {
	for i := range in.Len() {
		m, path := in.Get(i), append(above[:len(above):len(above)], i)
		if string(m.FullName()) == name || strings.HasSuffix("."+string(m.FullName()), "."+name) {
			return path
		}
		if found := find(m.Messages(), name, path); found != nil {
			return found
		}
	}
	return nil
}

// at is the message of a path.
func (s *protobufSchema) at(path []int) (found protoreflect.MessageDescriptor, err error) {
	in := s.file.Messages()
	for _, i := range path {
		if i < 0 || i >= in.Len() {
			return nil, mistakef("the file has no message %v", path)
		}
		found = in.Get(i)
		in = found.Messages()
	}
	return found, nil
}

func (s *protobufSchema) decode(payload []byte) ([]byte, error) {
	path, rest, err := new(sr.ConfluentHeader).DecodeIndex(payload, maxDepth)
	if err != nil {
		return nil, mistakef("the message's index cannot be read: %v", err)
	}
	kind, err := s.at(path)
	if err != nil {
		return nil, err
	}
	message := dynamicpb.NewMessage(kind)
	if err := (proto.UnmarshalOptions{RecursionLimit: maxDepth, DiscardUnknown: true}).Unmarshal(rest, message); err != nil {
		return nil, mistakef("%v", err)
	}
	return appendMessage(make([]byte, 0, 3*len(payload)+64), message, 0)
}

func (s *protobufSchema) encode(b, text []byte) ([]byte, error) {
	message := dynamicpb.NewMessage(s.message)
	if err := (protojson.UnmarshalOptions{RecursionLimit: maxDepth}).Unmarshal(text, message); err != nil {
		return nil, mistakef("%v", err)
	}
	b = appendIndex(b, s.index)
	b, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(b, message)
	if err != nil {
		return nil, mistakef("%v", err)
	}
	return b, nil
}

// appendIndex writes the path of a message; one zero is the first of the file.
func appendIndex(b []byte, path []int) []byte {
	if len(path) == 1 && path[0] == 0 {
		return append(b, 0)
	}
	b = binary.AppendVarint(b, int64(len(path)))
	for _, i := range path {
		b = binary.AppendVarint(b, int64(i))
	}
	return b
}

func appendMessage(b []byte, m protoreflect.Message, depth int) (_ []byte, err error) {
	if depth > maxDepth {
		return nil, mistakef("nested deeper than %d", maxDepth)
	}
	if special, ok := wellKnown[m.Descriptor().FullName()]; ok {
		return special(b, m, depth)
	}
	fields := m.Descriptor().Fields()
	b = append(b, '{')
	first := true
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.HasPresence() && !m.Has(f) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		if b, err = appendString(b, string(f.Name())); err != nil {
			return nil, err
		}
		if b, err = appendField(append(b, ':'), f, m.Get(f), depth); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendField(b []byte, f protoreflect.FieldDescriptor, v protoreflect.Value, depth int) (_ []byte, err error) {
	switch {
	case f.IsList():
		list := v.List()
		b = append(b, '[')
		for i := range list.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendOne(b, f, list.Get(i), depth+1); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case f.IsMap():
		return appendMap(b, f, v.Map(), depth)
	}
	return appendOne(b, f, v, depth+1)
}

func appendOne(b []byte, f protoreflect.FieldDescriptor, v protoreflect.Value, depth int) ([]byte, error) {
	if len(b) > maxJSON {
		return nil, mistakef("more than %d MiB as JSON", maxJSON>>20)
	}
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return appendMessage(b, v.Message(), depth)
	case protoreflect.EnumKind:
		if known := f.Enum().Values().ByNumber(v.Enum()); known != nil {
			return appendString(b, string(known.Name()))
		}
		return strconv.AppendInt(b, int64(v.Enum()), 10), nil
	case protoreflect.BytesKind:
		return appendBase64(b, v.Bytes()), nil
	case protoreflect.StringKind:
		return appendString(b, v.String())
	case protoreflect.BoolKind:
		return strconv.AppendBool(b, v.Bool()), nil
	case protoreflect.FloatKind:
		return appendFloat(b, v.Float(), 32)
	case protoreflect.DoubleKind:
		return appendFloat(b, v.Float(), 64)
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return strconv.AppendUint(b, v.Uint(), 10), nil
	}
	return strconv.AppendInt(b, v.Int(), 10), nil
}
