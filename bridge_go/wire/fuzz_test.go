package wire_test

import (
	"bytes"
	"errors"
	"testing"

	"ds-runner.dev/ds-runner/bridge_go/wire"
	"ds-runner.dev/ds-runner/bridge_go/wire/wiretest"
)

// A frame is a message or an *Error, nothing else; and what was decoded survives a round trip.
func FuzzT24Frame(f *testing.F) {
	for _, v := range append(wiretest.Valid(f), wiretest.Invalid(f)...) {
		if v.Pieces == nil {
			f.Add(v.Body(f), v.Minor)
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte, minor uint8) {
		m, err := wire.Decode(frame, minor)
		if err != nil {
			var broken *wire.Error
			if !errors.As(err, &broken) || broken.Code != wire.ByeMalformed && broken.Code != wire.ByeLimit && broken.Code != wire.ByeUnknownType {
				t.Fatalf("the error is %#v", err)
			}
			return
		}
		if _, ok := m.(*wire.Skipped); ok {
			return
		}
		roundTrip(t, m)
	})
}

func roundTrip(t *testing.T, m wire.Message) {
	t.Helper()
	once := wire.Append(nil, m)
	again, err := wire.Decode(bytes.Clone(once), wire.Minor)
	if err != nil {
		t.Fatalf("%v written as % x: %v", m.Type(), once, err)
	}
	if twice := wire.Append(nil, again); !bytes.Equal(once, twice) {
		t.Fatalf("% x became % x", once, twice)
	}
	if r, ok := m.(*wire.Result); ok {
		if _, err := r.Split(); err != nil {
			t.Fatal(err)
		}
	}
}

// A preface is a greeting or a refusal or a stream that ended, and without the token it is never a greeting.
func FuzzT24Preface(f *testing.F) {
	for _, file := range []string{"preface/exchanges.json", "preface/refused_by_bridge.json"} {
		var list []preface
		wiretest.Load(f, file, &list)
		for _, p := range list {
			f.Add(wiretest.Hex(f, p.Hello+p.Proof))
		}
	}
	token, nonce := wire.Token("not the token of the vectors"), wire.NewNonce()
	f.Fuzz(func(t *testing.T, sent []byte) {
		client := &peer{Reader: bytes.NewReader(sent)}
		if g, err := wire.Greet(client, token, nonce, wire.Accepted); err == nil {
			t.Fatalf("greeted as %+v", g)
		}
		if n := client.got.Len(); n != 0 && n != 80 && n != 81 {
			t.Fatalf("answered %d bytes", n)
		}
		bridge := &peer{Reader: bytes.NewReader(sent)}
		if g, err := wire.Open(bridge, token, wire.RoleEvents, nonce); err == nil {
			t.Fatalf("opened as %+v", g)
		}
	})
}
