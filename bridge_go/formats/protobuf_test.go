package formats

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

const file = `syntax = "proto3";
package t;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/duration.proto";

message First { string name = 1; }

message All {
  enum Kind { NONE = 0; SOME = 1; }
  message Inner { int32 n = 1; All all = 2; }
  bool flag = 1;
  int64 large = 2;
  uint64 larger = 3;
  double number = 4;
  string text = 5;
  bytes data = 6;
  Kind kind = 7;
  repeated int32 list = 8;
  map<string, Inner> table = 9;
  optional int32 maybe = 10;
  Inner inner = 11;
  oneof either { string left = 12; int64 right = 13; }
  google.protobuf.Timestamp at = 14;
  google.protobuf.StringValue boxed = 15;
  google.protobuf.Struct free = 16;
  google.protobuf.Duration took = 17;
  sint32 other_name = 18;
}
`

const allJSON = `{"flag":true,"large":-9007199254740993,"larger":18446744073709551615,"number":0.1,"text":"\"ü","data":"AAH/",` +
	`"kind":"SOME","list":[1,-2],"table":{"a":{"n":1},"b":{"n":0}},"inner":{"n":2},"right":5,"at":"2013-01-31T10:00:00.5Z",` +
	`"boxed":"b","free":{"x":[1,null]},"took":"1.500s","other_name":-3}`

func TestProtobufIsTheJSONOfModelsAndBack(t *testing.T) {
	s, err := compileProtobuf(file, nil, "All")
	if err != nil {
		t.Fatal(err)
	}
	payload, err := s.encode(nil, []byte(allJSON))
	if err != nil {
		t.Fatal(err)
	}
	if payload[0] != 2 || payload[1] != 2 { // one index, which is 1
		t.Errorf("% x", payload[:4])
	}
	got, err := s.decode(payload)
	if err != nil || string(got) != allJSON {
		t.Errorf("%s\n%s\n%v", got, allJSON, err)
	}
}

func TestFieldsWithoutPresenceHaveTheirDefaults(t *testing.T) {
	s, err := compileProtobuf(file, nil, "t.All")
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.decode([]byte{2, 2})
	want := `{"flag":false,"large":0,"larger":0,"number":0,"text":"","data":"","kind":"NONE","list":[],"table":{},"other_name":0}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}

func TestMessagesAreFoundByTheirIndex(t *testing.T) {
	for message, want := range map[string]string{"": "\x00", "First": "\x00", "All.Inner": "\x04\x02\x00", "t.All.Inner": "\x04\x02\x00"} {
		s, err := compileProtobuf(file, nil, message)
		if err != nil {
			t.Fatal(err)
		}
		payload, err := s.encode(nil, []byte(`{}`))
		if err != nil || string(payload) != want {
			t.Errorf("%q: % x, %v", message, payload, err)
		}
	}
	if _, err := compileProtobuf(file, nil, "Last"); err == nil || !strings.Contains(err.Error(), "no message Last") {
		t.Error(err)
	}
	if _, err := compileProtobuf(`syntax = "proto3"; message M { Absent a = 1; }`, nil, ""); err == nil {
		t.Error("a file that does not compile was taken")
	}
}

func TestImportsAreTheReferences(t *testing.T) {
	s, err := compileProtobuf(`syntax = "proto3"; import "other.proto"; message M { o.Other other = 1; }`,
		[]dependency{{"other.proto", `syntax = "proto3"; package o; message Other { int32 n = 1; }`}}, "")
	if err != nil {
		t.Fatal(err)
	}
	payload, err := s.encode(nil, []byte(`{"other":{"n":5}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.decode(payload); err != nil || string(got) != `{"other":{"n":5}}` {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := compileProtobuf(`syntax = "proto3"; import "/etc/passwd"; message M {}`, nil, ""); err == nil {
		t.Error("a file of this machine was imported")
	}
}

func TestProtobufMistakes(t *testing.T) {
	s, err := compileProtobuf(file, nil, "All")
	if err != nil {
		t.Fatal(err)
	}
	for result, want := range map[string]string{
		`{"unknown":1}`: "unknown", `{"large":"x"}`: "large", `{"large":1.5}`: "large", `{"kind":"OTHER"}`: "kind", `[1]`: "",
		`{"left":"a","right":1}`: "either", `{"at":"yesterday"}`: "yesterday", `{"flag":true`: "",
	} {
		_, err := s.encode(nil, []byte(result))
		var mistake *Mistake
		if !errors.As(err, &mistake) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", result, err)
		}
	}
	nested := []byte{}
	for range 5000 {
		nested = protowire.AppendBytes(protowire.AppendTag(nil, 11, protowire.BytesType),
			protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), nested))
	}
	for name, payload := range map[string][]byte{
		"nothing":                        nil,
		"an index without an end":        {0x80},
		"a path of a million":            {0x80, 0x89, 0x7a, 1},
		"a negative path":                {1},
		"a message that is not there":    {2, 200, 1},
		"a negative message":             {2, 1},
		"a length beyond the end":        {2, 2, 0x2a, 0xff, 0xff, 0xff, 0xff, 0x07},
		"a field without a value":        {2, 2, 0x08},
		"a string that is not UTF-8":     {2, 2, 0x2a, 1, 0xff},
		"ten thousand levels":            append([]byte{2, 2}, nested...),
		"a timestamp that nobody knows":  append([]byte{2, 2, 0x72, 11, 0x08}, protowire.AppendVarint(nil, 1<<62)...),
		"an infinite number":             {2, 2, 0x21, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f},
		"a map's key of another type":    {2, 2, 0x4a, 5, 0x0a, 1, '0', 0x08, '0'},
		"a group that ends nothing":      {2, 2, 0x0c},
		"a duration that nobody can say": append([]byte{2, 2, 0x8a, 0x01, 10, 0x08}, protowire.AppendVarint(nil, 1<<60)...),
	} {
		got, err := guarded{s}.decode(payload)
		var mistake *Mistake
		if !errors.As(err, &mistake) {
			t.Errorf("%s: %.200s, %v", name, got, err)
		}
	}
}
