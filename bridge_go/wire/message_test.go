package wire_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

func TestABatchComesBackAsItWasSent(t *testing.T) {
	sent := &wire.Batch{
		Lease: wire.Lease{Nonce: 1 << 62, Batch: 7, Epoch: 2}, Attempt: 1, DeadlineMS: 5000, Stream: "départs",
		Positions:  []wire.Run{{Partition: 0, First: 100, N: 2}, {Partition: 3, First: 1 << 60, N: 1}},
		Payloads:   [][]byte{[]byte("a"), nil, {}},
		Keys:       [][]byte{nil, {}, []byte("k")},
		Headers:    [][]wire.HeaderPair{nil, {}, {{Name: "n", Value: []byte{0xff}}}},
		Timestamps: []int64{-1, 0, 1700000000000000000},
	}
	got, err := wire.Decode(wire.Append(nil, sent), wire.Minor)
	if err != nil || !reflect.DeepEqual(got, sent) {
		t.Errorf("sent %+v\ngot  %+v, %v", sent, got, err)
	}
}

func TestAResultComesBackAsItWasSent(t *testing.T) {
	for _, sent := range []*wire.Result{
		{First: 3, Count: 3, Lines: []byte("1\n2\n"), Errors: []wire.RowError{{Index: 4, Kind: wire.KindFail, Code: "boom", Detail: []byte("{}")}}},
		{Count: 2, Outputs: [][]byte{[]byte("1"), []byte("2\n")}, Counts: []uint64{2, 0}, Routes: []wire.Route{{Index: 1, Stream: "late"}},
			Errors: []wire.RowError{}},
	} {
		got, err := wire.Decode(wire.Append(nil, sent), wire.Minor)
		if err != nil || !reflect.DeepEqual(got, sent) {
			t.Errorf("sent %+v\ngot  %+v, %v", sent, got, err)
		}
	}
}

func TestColumnsComeBackAsTheyWereSentAndTheirBodyIsAligned(t *testing.T) {
	for n := range 130 {
		sent := &wire.Columns{
			Lease: wire.Lease{Nonce: 1 << 62, Batch: 7, Epoch: 2}, Attempt: 1, DeadlineMS: 5000, Stream: strings.Repeat("s", 1+n),
			Positions: []wire.Run{{Partition: 3, First: 100, N: 4}}, Keys: [][]byte{nil, {}, []byte("k"), nil}, Bytes: 300,
			Misfits: []wire.Misfit{{Index: 1}, {Index: 3, Payload: []byte("{")}}, Unknown: []wire.Unknown{{Name: "gate\n", N: 2}},
			Columnar: wire.Columnar{Rows: 2, Layout: []uint64{0, 0, 0, 0, 0, 16, 0, 0, 0, 0}, Body: make([]byte, 16)},
		}
		prefix := []byte("what is before it in the buffer")
		frame := wire.Append(prefix, sent)[len(prefix):]
		if at := len(frame) - len(sent.Body); at%wire.Alignment != 0 {
			t.Fatalf("the body of a frame of %d bytes begins at %d", len(frame), at)
		}
		got, err := wire.Decode(frame, wire.Minor)
		if err != nil || !reflect.DeepEqual(got, sent) {
			t.Fatalf("sent %+v\ngot  %+v, %v", sent, got, err)
		}
	}
}

func TestAnswersComeBackAsTheyWereSent(t *testing.T) {
	sent := &wire.Answers{First: 3, Count: 3, Counts: []uint64{2, 0, 0}, Errors: []wire.RowError{{Index: 5, Kind: wire.KindFail, Code: "boom"}},
		Columnar: wire.Columnar{Rows: 2, Layout: []uint64{2, 0, 0, 0, 0, 2, 0, 0, 0, 0}, Body: []byte{0, 1}}}
	got, err := wire.Decode(wire.Append(nil, sent), wire.Minor)
	if err != nil || !reflect.DeepEqual(got, sent) {
		t.Errorf("sent %+v\ngot  %+v, %v", sent, got, err)
	}
}

func TestResultsAreSplitIntoOutputs(t *testing.T) {
	for _, c := range []struct {
		result wire.Result
		want   []string
	}{
		{wire.Result{Lines: []byte("1\n\n22\n")}, []string{"1", "", "22"}},
		{wire.Result{Lines: []byte{}}, nil},
		{wire.Result{Outputs: [][]byte{[]byte("a\nb"), {}}}, []string{"a\nb", ""}},
	} {
		outputs, err := c.result.Split()
		if err != nil || len(outputs) != len(c.want) {
			t.Fatalf("%q, %v", outputs, err)
		}
		for i, want := range c.want {
			if string(outputs[i]) != want {
				t.Errorf("output %d is %q, wants %q", i, outputs[i], want)
			}
		}
	}
	if _, err := (&wire.Result{Lines: []byte("1\n2")}).Split(); err == nil {
		t.Error("lines without an end were split")
	}
}

// T45: what looks like two events in one payload, or one event in two, stays what its position says.
func TestT45PayloadsAreNeverJoinedOrCut(t *testing.T) {
	smuggled := [][]byte{[]byte(`{"a":1}{"a":2}`), []byte(`{"b":"`), []byte(`"}`), []byte("{}\n{}")}
	sent := &wire.Batch{Attempt: 1, Stream: "in", Positions: []wire.Run{{First: 0, N: 4}}, Payloads: smuggled}
	got, err := wire.Decode(wire.Append(nil, sent), wire.Minor)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range got.(*wire.Batch).Payloads {
		if !bytes.Equal(p, smuggled[i]) {
			t.Errorf("payload %d is %q", i, p)
		}
	}
}

func TestASliceOfADecodedFrameCannotGrowIntoItsNeighbour(t *testing.T) {
	frame := wire.Append(nil, &wire.Result{Count: 2, Outputs: [][]byte{[]byte("1"), []byte("2")}})
	m, err := wire.Decode(frame, wire.Minor)
	if err != nil {
		t.Fatal(err)
	}
	outputs := m.(*wire.Result).Outputs
	_ = append(outputs[0], "xxx"...)
	if string(outputs[1]) != "2" {
		t.Errorf("the second output is %q", outputs[1])
	}
}

func TestAHeaderNameThatIsNotUTF8IsMended(t *testing.T) {
	sent := &wire.Batch{Attempt: 1, Stream: "in", Positions: []wire.Run{{N: 1}}, Payloads: [][]byte{nil},
		Headers: [][]wire.HeaderPair{{{Name: "a\xff", Value: []byte{}}}}}
	got, err := wire.Decode(wire.Append(nil, sent), wire.Minor)
	if err != nil || got.(*wire.Batch).Headers[0][0].Name != "a\uFFFD" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTextIsCutAtACharacter(t *testing.T) {
	for in, want := range map[string]string{"abc": "abc", "abcdef": "abcd", "abcé": "abc", "a\xffb": "a\uFFFD", "": ""} {
		if got := wire.Text(in, 4); got != want {
			t.Errorf("%q became %q, wants %q", in, got, want)
		}
	}
	if long := wire.Text(strings.Repeat("é", wire.MaxReason), wire.MaxReason); len(long) > wire.MaxReason || !utf8.ValidString(long) {
		t.Errorf("%d bytes", len(long))
	}
}
