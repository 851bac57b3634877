package wiretest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"
)

// A Form is a frame written as JSON: its type and its fields by name (tests/vectors/README.md).
type Form map[string]any

// A field's shape says what the strings of its JSON mean.
type shape uint8

const (
	plain   shape = iota // JSON as it is; {"bin": hex} for a bin
	bin                  // a hex string
	bins                 // hex strings in lists of any depth
	headers              // lists that alternate a name and a hex string
	errors               // lists whose fifth item is a hex string
)

type field struct {
	name  string
	shape shape
}

var layouts = map[string]struct {
	id     uint64
	fields []field
}{
	"HELLO": {1, []field{{"program", plain}, {"command", plain}, {"worker", plain}, {"slot", plain}, {"pid", plain}, {"sdk", plain},
		{"model", plain}, {"wants", plain}, {"max_frame", plain}, {"describe", bin}}},
	"WELCOME": {2, []field{{"nonce", plain}, {"bridge", plain}, {"max_frame", plain}, {"deadline_ms", plain}, {"heartbeat_ms", plain}}},
	"READY":   {3, []field{{"events", plain}, {"bytes", plain}}},
	"BATCH": {4, []field{{"nonce", plain}, {"batch", plain}, {"epoch", plain}, {"attempt", plain}, {"deadline_ms", plain},
		{"stream", plain}, {"positions", plain}, {"payloads", bins}, {"keys", bins}, {"headers", headers}, {"timestamps", plain}}},
	"RESULT": {5, []field{{"nonce", plain}, {"batch", plain}, {"epoch", plain}, {"first", plain}, {"count", plain}, {"outputs", bins},
		{"counts", plain}, {"routes", plain}, {"errors", errors}}},
	"RETURN": {6, []field{{"nonce", plain}, {"batch", plain}, {"epoch", plain}, {"code", plain}, {"reason", plain}, {"retry_ms", plain}}},
	"DRAIN":  {7, []field{{"reason", plain}}},
	"BYE":    {8, []field{{"code", plain}, {"reason", plain}}},
	"CALL":   {9, []field{{"id", plain}, {"lease", plain}, {"deadline_ms", plain}, {"method", plain}, {"args", plain}}},
	"ANSWER": {10, []field{{"id", plain}, {"ok", plain}, {"value", plain}}},
	"PULSE":  {11, []field{{"seq", plain}}},
	"DIED":   {12, []field{{"worker", plain}, {"cause", plain}, {"detail", plain}}},
	"CUT":    {13, []field{{"worker", plain}, {"reason", plain}}},
	"COLUMNS": {14, []field{{"nonce", plain}, {"batch", plain}, {"epoch", plain}, {"attempt", plain}, {"deadline_ms", plain},
		{"stream", plain}, {"positions", plain}, {"keys", bins}, {"headers", headers}, {"timestamps", plain}, {"bytes", plain},
		{"misfits", bins}, {"unknown", plain}, {"rows", plain}, {"layout", plain}, {"pad", bin}, {"body", bin}}},
	"ANSWERS": {15, []field{{"nonce", plain}, {"batch", plain}, {"epoch", plain}, {"first", plain}, {"count", plain}, {"rows", plain},
		{"counts", plain}, {"errors", errors}, {"layout", plain}, {"pad", bin}, {"body", bin}}},
}

// Type is the name of the form's type.
func (f Form) Type() string { return f["type"].(string) }

// With is the form with the fields that it leaves out taken from others.
func (f Form) With(defaults Form) Form {
	full := Form{}
	for name, v := range defaults {
		full[name] = v
	}
	for name, v := range f {
		full[name] = v
	}
	return full
}

// Encode writes the frame in the smallest encoding, whether it keeps the protocol's rules or not.
func (f Form) Encode(t testing.TB) []byte {
	t.Helper()
	layout := layouts[f.Type()]
	b := msgp.AppendArrayHeader(nil, uint32(len(layout.fields)+1))
	b = msgp.AppendUint64(b, layout.id)
	for _, fd := range layout.fields {
		v, ok := f[fd.name]
		if !ok {
			t.Fatalf("%s without %s", f.Type(), fd.name)
		}
		b = appendValue(t, b, v, fd.shape)
	}
	return b
}

// Differs compares the fields that the form names with those of an encoded frame, and names the first that differs.
func (f Form) Differs(t testing.TB, frame []byte) string {
	t.Helper()
	values := Values(t, frame)
	layout := layouts[f.Type()]
	if id := appendUint(nil, layout.id); string(values[0]) != string(id) {
		return fmt.Sprintf("wants a %s, not a frame of type % x", f.Type(), values[0])
	}
	for i, fd := range layout.fields {
		want, ok := f[fd.name]
		if !ok {
			continue
		}
		if have := values[i+1]; string(appendValue(t, nil, want, fd.shape)) != string(have) {
			return fmt.Sprintf("%s.%s is % x, wants %v", f.Type(), fd.name, have, want)
		}
	}
	return ""
}

// Values cuts an encoded frame into the bytes of its items.
func Values(t testing.TB, frame []byte) [][]byte {
	t.Helper()
	n, rest, err := msgp.ReadArrayHeaderBytes(frame)
	if err != nil {
		t.Fatal(err)
	}
	values := make([][]byte, n)
	for i := range values {
		after, err := msgp.Skip(rest)
		if err != nil {
			t.Fatal(err)
		}
		values[i], rest = rest[:len(rest)-len(after)], after
	}
	return values
}

// Canonical writes a msgpack value again, in the smallest encoding.
func Canonical(t testing.TB, value []byte) []byte {
	t.Helper()
	v, _, err := msgp.ReadIntfBytes(value)
	if err != nil {
		t.Fatal(err)
	}
	return appendValue(t, nil, v, plain)
}

func appendValue(t testing.TB, b []byte, v any, s shape) []byte {
	t.Helper()
	switch v := v.(type) {
	case nil:
		return msgp.AppendNil(b)
	case bool:
		return msgp.AppendBool(b, v)
	case string:
		if s == bin || s == bins {
			return msgp.AppendBytes(b, Hex(t, v))
		}
		return msgp.AppendString(b, v)
	case []byte:
		return msgp.AppendBytes(b, v)
	case []any:
		b = msgp.AppendArrayHeader(b, uint32(len(v)))
		for i, item := range v {
			b = appendValue(t, b, item, inner(s, v, i))
		}
		return b
	case map[string]any:
		return msgp.AppendBytes(b, Hex(t, v["bin"].(string)))
	default:
		return appendNumber(t, b, v)
	}
}

// inner is the shape of item i of a list of a shape.
func inner(s shape, list []any, i int) shape {
	_, isList := list[i].([]any)
	switch {
	case isList, s == plain, s == bins:
		return s
	case s == headers && i%2 == 1, s == errors && i == 4:
		return bin
	}
	return plain
}

func appendNumber(t testing.TB, b []byte, v any) []byte {
	t.Helper()
	switch v := v.(type) {
	case float64:
		return msgp.AppendFloat64(b, v)
	case float32:
		return msgp.AppendFloat64(b, float64(v))
	case json.Number:
		return appendText(t, b, v.String())
	case int64, uint64, int:
		return appendText(t, b, fmt.Sprint(v))
	}
	t.Fatalf("no msgpack for %T", v)
	return nil
}

func appendText(t testing.TB, b []byte, text string) []byte {
	t.Helper()
	if strings.ContainsAny(text, ".eE") {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		return msgp.AppendFloat64(b, f)
	}
	if strings.HasPrefix(text, "-") {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return msgp.AppendInt64(b, n)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return appendUint(b, n)
}

func appendUint(b []byte, n uint64) []byte { return msgp.AppendUint64(b, n) }
