package formats

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// wellKnown are the messages of google.protobuf that have a text of their own.
var wellKnown map[protoreflect.FullName]func(b []byte, m protoreflect.Message, depth int) ([]byte, error)

func init() {
	wellKnown = map[protoreflect.FullName]func(b []byte, m protoreflect.Message, depth int) ([]byte, error){
		"google.protobuf.Timestamp": appendTimestamp,
		"google.protobuf.Struct":    appendAsIs, "google.protobuf.Value": appendAsIs, "google.protobuf.ListValue": appendAsIs,
		"google.protobuf.Duration": appendAsIs, "google.protobuf.FieldMask": appendAsIs, "google.protobuf.Empty": appendAsIs,
	}
	for _, name := range []string{"Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes"} {
		wellKnown[protoreflect.FullName("google.protobuf."+name+"Value")] = appendWrapped
	}
}

func appendTimestamp(b []byte, m protoreflect.Message, _ int) ([]byte, error) {
	fields := m.Descriptor().Fields()
	seconds, nanos := m.Get(fields.ByName("seconds")).Int(), m.Get(fields.ByName("nanos")).Int()
	t, err := datedAs(time.Unix(seconds, nanos).UTC(), time.RFC3339Nano)
	if err != nil {
		return nil, mistakef("%v", err)
	}
	return appendString(b, t.(string))
}

func appendWrapped(b []byte, m protoreflect.Message, depth int) ([]byte, error) {
	f := m.Descriptor().Fields().ByName("value")
	return appendOne(b, f, m.Get(f), depth)
}

// appendAsIs writes what Protobuf's own JSON is.
func appendAsIs(b []byte, m protoreflect.Message, _ int) ([]byte, error) {
	text, err := protojson.Marshal(m.Interface())
	if err != nil {
		return nil, mistakef("%v", err)
	}
	var compact json.RawMessage = text
	if text, err = json.Marshal(compact); err != nil { // its blanks are random on purpose
		return nil, mistakef("%v", err)
	}
	return append(b, text...), nil
}

// appendMap writes entries in the order of their keys' texts.
func appendMap(b []byte, f protoreflect.FieldDescriptor, m protoreflect.Map, depth int) (_ []byte, err error) {
	type entry struct {
		name  string
		value protoreflect.Value
	}
	entries := make([]entry, 0, m.Len())
	for key, value := range m.Range {
		entries = append(entries, entry{key.String(), value})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	b = append(b, '{')
	for i, e := range entries {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendString(b, e.name); err != nil {
			return nil, err
		}
		if b, err = appendOne(append(b, ':'), f.MapValue(), e.value, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}
