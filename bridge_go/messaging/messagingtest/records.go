package messagingtest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// records asks that what was written comes back byte for byte.
func records(t *testing.T, h Harness) {
	t.Run("come back byte for byte", func(t *testing.T) {
		for _, c := range shapes(h.Can) {
			t.Run(c.name, func(t *testing.T) {
				b := start(t, h)
				b.write(messaging.Outgoing{Record: c.record})
				same(t, h.Can, b.read(b.source("g"), 1)[0], c.record)
			})
		}
	})
	t.Run("all shapes as neighbours keep their own", func(t *testing.T) {
		b := start(t, h)
		var all []messaging.Outgoing
		for _, c := range shapes(h.Can) {
			all = append(all, messaging.Outgoing{Record: c.record})
		}
		b.write(all...)
		for i, got := range b.read(b.source("g"), len(all)) {
			same(t, h.Can, got, all[i].Record)
		}
	})
	t.Run("are not touched by what the writer does with its bytes afterwards", func(t *testing.T) {
		b := start(t, h)
		value := []byte(`{"n":1}`)
		s := b.sink()
		b.must(s.Write(b.ctx, []messaging.Outgoing{{Record: messaging.Record{Value: value}}}))
		copy(value, `{"n":2}`)
		b.must(s.Close(b.ctx))
		b.values(b.read(b.source("g"), 1), `{"n":1}`)
	})
	t.Run("carry a time", func(t *testing.T) {
		const when = 1_700_000_000_123_456_789
		b := start(t, h)
		b.write(messaging.Outgoing{Record: messaging.Record{Value: []byte(`1`), Time: when}})
		if got := b.read(b.source("g"), 1)[0].Time; (got == when) != h.Can.Times {
			t.Fatalf("time %d came back as %d, Times is declared %v", int64(when), got, h.Can.Times)
		}
	})
}

type shape struct {
	name   string
	record messaging.Record
}

// shapes lists the records that this connector says it can hold. Keys and headers are given to every one of them: a
// connector that keeps none must still store the value.
func shapes(can Capabilities) []shape {
	all := []shape{
		{"a small value", messaging.Record{Value: []byte(`{"a":1}`)}},
		{"one byte", messaging.Record{Value: []byte(`7`)}},
		{"a key", messaging.Record{Key: []byte("k"), Value: []byte(`{}`)}},
		{"an empty key", messaging.Record{Key: []byte{}, Value: []byte(`{}`)}},
		{"a binary key", messaging.Record{Key: everyByte(), Value: []byte(`{}`)}},
		{"a header", messaging.Record{Value: []byte(`{}`), Headers: []messaging.Header{{Name: "a", Value: []byte("b")}}}},
		{"hostile headers", messaging.Record{Value: []byte(`{}`), Headers: hostileHeaders()}},
		{"ten thousand headers", messaging.Record{Value: []byte(`{}`), Headers: manyHeaders(10_000)}},
		{"text beyond ASCII", messaging.Record{Key: []byte("ключ"), Value: []byte(`"é 飛行機"`)}},
		{"a big value", messaging.Record{Key: []byte("k"), Value: big(can)}},
	}
	if can.Nulls {
		all = append(all, shape{"a null value", messaging.Record{Key: []byte("k")}})
	}
	if can.Empty {
		all = append(all, shape{"an empty value", messaging.Record{Key: []byte("k"), Value: []byte{}}})
	}
	if can.Binary {
		all = append(all, shape{"binary", messaging.Record{Value: append(everyByte(), "\r\n\r\nNATS/1.0\r\n"...)}})
	}
	return all
}

func everyByte() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}

// hostileHeaders are repeated, in an order that sorting would change, and of names and values that text protocols cannot hold.
func hostileHeaders() []messaging.Header {
	return []messaging.Header{
		{Name: "z", Value: []byte("1")}, {Name: "a", Value: []byte("2")}, {Name: "z", Value: []byte("1")},
		{Name: "A", Value: []byte("case")}, {Name: "", Value: []byte("no name")}, {Name: "empty", Value: []byte{}},
		{Name: "null"}, {Name: "with space: colon", Value: []byte(" around ")}, {Name: "a\r\nb", Value: []byte("c\r\nd\x00")},
		{Name: "per%cent=", Value: []byte("100%25=")}, {Name: "имя", Value: everyByte()}, {Name: "Nats-Msg-Id", Value: []byte("x")},
	}
}

func manyHeaders(n int) []messaging.Header {
	all := make([]messaging.Header, n)
	for i := range all {
		all[i] = messaging.Header{Name: fmt.Sprint("h", i), Value: []byte("v")}
	}
	return all
}

// big is a JSON string of the largest size that the connector must take.
func big(can Capabilities) []byte {
	size := can.Big
	if size == 0 {
		size = 1 << 20
	}
	if can.MaxBytes > 0 {
		size = min(size, can.MaxBytes)
	}
	return []byte(`"` + strings.Repeat("x", size-2) + `"`)
}

func same(t *testing.T, can Capabilities, got, want messaging.Record) {
	t.Helper()
	if !can.Keys {
		want.Key = nil
	}
	if !can.Headers {
		want.Headers = nil
	}
	sameBytes(t, "key", got.Key, want.Key)
	sameBytes(t, "value", got.Value, want.Value)
	if got.Fault != nil {
		t.Fatalf("came back with a fault: %+v", *got.Fault)
	}
	if len(got.Headers) != len(want.Headers) {
		t.Fatalf("got %d headers, want %d", len(got.Headers), len(want.Headers))
	}
	for i := range want.Headers {
		if got.Headers[i].Name != want.Headers[i].Name {
			t.Fatalf("header %d: name %q, want %q", i, got.Headers[i].Name, want.Headers[i].Name)
		}
		sameBytes(t, fmt.Sprintf("header %d", i), got.Headers[i].Value, want.Headers[i].Value)
	}
}

func sameBytes(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) || (got == nil) != (want == nil) {
		t.Fatalf("%s: got %.60q (nil: %v), want %.60q (nil: %v)", what, got, got == nil, want, want == nil)
	}
}

// numbered makes n records with values 0 to n-1.
func numbered(from, n int) []messaging.Outgoing {
	all := make([]messaging.Outgoing, n)
	for i := range all {
		all[i].Value = fmt.Append(nil, from+i)
	}
	return all
}

func numbers(from, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint(from + i)
	}
	return all
}
