package jetstream

import (
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

func FuzzEscape(f *testing.F) {
	f.Add([]byte("a%3D= \r\n\xff"), true)
	f.Fuzz(func(t *testing.T, text []byte, name bool) {
		escaped := escape(text, name)
		if back := unescape(escaped); string(back) != string(text) || strings.ContainsAny(escaped, "\r\n \t") || name && strings.Contains(escaped, "=") {
			t.Fatalf("%q: %q: %q", text, escaped, back)
		}
	})
}

func TestHeadersStandUnderTheirOwnNamesWhereTheyCanBeReadBack(t *testing.T) {
	pair := func(name, value string) messaging.Header { return messaging.Header{Name: name, Value: []byte(value)} }
	for _, c := range []struct {
		native  bool
		headers []messaging.Header
	}{
		{true, []messaging.Header{pair("a", "1")}},
		{true, []messaging.Header{pair("ds-source", "in/0/7"), pair("ds-model", "3")}}, // not in the order of names
		{true, []messaging.Header{pair("b", "1"), pair("a", ""), pair("b", "2"), pair("a", "a b")}},
		{false, []messaging.Header{pair("Nats-Msg-Id", "x")}},
		{false, []messaging.Header{pair("Ds-Key", "x")}},
		{false, []messaging.Header{pair("Status", "404")}},
		{false, []messaging.Header{pair("a", "x"), pair("a:b", "x")}},
		{false, []messaging.Header{pair("a", "line\r\nNats-Msg-Id: y")}},
		{false, []messaging.Header{pair("a", " x")}},
		{false, []messaging.Header{pair("", "x")}},
		{false, []messaging.Header{{Name: "a"}}},
	} {
		var m nats.Msg
		Encode(&messaging.Outgoing{Record: messaging.Record{Value: []byte("v"), Headers: c.headers}, ID: "id"}, &m, true)
		if stands := m.Header[headerHeader] == nil; stands != c.native {
			t.Errorf("%v: native %v, want %v", c.headers, stands, c.native)
		}
		r, err := DecodeAt(&m, 1, 2)
		same := slices.EqualFunc(r.Headers, c.headers, func(a, b messaging.Header) bool {
			return a.Name == b.Name && string(a.Value) == string(b.Value) && (a.Value == nil) == (b.Value == nil)
		})
		if err != nil || !same || r.Offset != 1 || r.Time != 2 {
			t.Errorf("%v came back as %+v, %v", c.headers, r, err)
		}
	}
}

func TestHeadersOfOtherWritersAreKept(t *testing.T) {
	m := nats.Msg{Data: []byte("v"), Header: nats.Header{"Trace": {"1"}, "App": {"a", "b"}, "Nats-Msg-Id": {"x"}}}
	r, err := DecodeAt(&m, 1, 2)
	if err != nil || len(r.Headers) != 3 || r.Headers[0].Name != "App" || string(r.Headers[1].Value) != "b" || r.Headers[2].Name != "Trace" {
		t.Fatalf("%+v, %v", r.Headers, err)
	}
}
