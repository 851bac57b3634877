package tape

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/wire"
)

// example is one frame of each kind.
func example() []Frame {
	batch := &wire.Batch{
		Lease: wire.Lease{Nonce: 7, Batch: 1, Epoch: 2}, Attempt: 1, DeadlineMS: 5000, Stream: "departures",
		Positions: []wire.Run{{Partition: 0, First: 16, N: 2}, {Partition: 3, First: 5, N: 1}},
		Payloads:  [][]byte{[]byte(`{"x":1}`), nil, {0xff, 0x00}}, Keys: [][]byte{[]byte("a"), nil, {}},
		Headers:    [][]wire.HeaderPair{nil, {{Name: "trace", Value: []byte("1")}}, nil},
		Timestamps: []int64{1_795_000_000_000_000_000, 0, 5},
	}
	answers := []wire.Message{
		&wire.Result{Lease: batch.Lease, First: 0, Count: 1, Lines: []byte("{\"y\":1.5}\n")},
		&wire.Result{Lease: batch.Lease, First: 1, Count: 2, Lines: []byte{}, Errors: []wire.RowError{
			{Index: 1, Kind: wire.KindReject, Code: "null_value", Reason: "null"},
			{Index: 2, Kind: wire.KindFail, Code: "invalid_event", Reason: "not JSON", Detail: []byte(`{"at":0}`)},
		}},
	}
	calls := []Call{
		{Method: "kv.get", Args: msgp.AppendString(msgp.AppendArrayHeader(nil, 1), "features"), State: Answered, Value: msgp.AppendNil(nil)},
		{Method: "sql.open", Args: msgp.AppendArrayHeader(nil, 0), State: Failed, Value: (&wire.CallError{Code: "bad_sql", Reason: "no"}).Append(nil)},
		{Method: "kv.get", Args: msgp.AppendArrayHeader(nil, 0), State: Unkept, Value: []byte{}},
	}
	return []Frame{
		&Recording{Program: "flights", Command: "score-stream", Stream: "departures", Began: 1, Bridge: "ds-bridge 1", Lookups: true},
		&Worker{Number: 1, ID: "w-1", Model: "3", SDK: "ds-runner 1", Describe: []byte(`{"environment":{}}`)},
		&Batch{Worker: 1, Sent: 2, Took: 3, Batch: batch, Calls: calls, Answers: answers},
		&Batch{Worker: 1, Sent: 4, Took: 5, Batch: batch, Answers: []wire.Message{&wire.Return{Lease: batch.Lease, Code: "unavailable", Reason: "down", RetryMS: 10}}},
		&Gap{Batches: 2, Events: 300},
		&Fates{Runs: []FateRun{
			{Partition: 0, First: 16, N: 1, Kind: Scored, Attempts: 1, Model: "3"},
			{Partition: 3, First: 5, N: 1, Kind: Dead, Attempts: 2, Model: "3", Code: "invalid_event", Reason: "not JSON"},
		}},
		&End{Ended: 9},
	}
}

func taped(frames []Frame) []byte {
	b := []byte(Magic)
	for _, f := range frames {
		b = Append(b, f)
	}
	return b
}

// read reads all frames until an error.
func read(data []byte) (frames []Frame, err error) {
	r, err := NewReader(bytes.NewReader(data))
	for err == nil {
		var f Frame
		if f, err = r.Next(); err == nil {
			frames = append(frames, f)
		}
	}
	return frames, err
}

func TestEachFrameComesBackAsItWas(t *testing.T) {
	want := example()
	got, err := read(taped(want))
	if !errors.Is(err, io.EOF) || len(got) != len(want) {
		t.Fatalf("%d frames, %v", len(got), err)
	}
	for i := range want {
		if !bytes.Equal(Append(nil, got[i]), Append(nil, want[i])) {
			t.Errorf("frame %d: %+v, wants %+v", i, got[i], want[i])
		}
	}
	if b := got[2].(*Batch); !b.Answered() || !reflect.DeepEqual(b.Batch.Payloads, want[2].(*Batch).Batch.Payloads) {
		t.Errorf("batch: %+v", b)
	}
	if got[3].(*Batch).Answered() {
		t.Error("a batch that was given back is answered")
	}
}

// The file is read by Python's tests too: both sides agree on what its bytes mean.
func TestTheExampleTapeHasTheBytesThatThisVersionWrites(t *testing.T) {
	path := filepath.Join("..", "..", "tests", "vectors", "tape", "example.tape")
	want := taped(example())
	if os.Getenv("UPDATE_VECTORS") != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%s is not what this version writes (%v). A changed format is a new version; see the diff, then: UPDATE_VECTORS=1 go test ./bridge_go/tape", path, err)
	}
}

func TestATapeThatIsCutOffAnywhereIsReadUpToThere(t *testing.T) {
	whole := taped(example())
	ends := map[int]int{len(Magic): 0}
	at := len(Magic)
	for i, f := range example() {
		at += len(Append(nil, f))
		ends[at] = i + 1
	}
	complete := 0
	for cut := len(Magic); cut <= len(whole); cut++ {
		got, err := read(whole[:cut])
		n, between := ends[cut]
		if between {
			complete = n
		}
		var torn *TornError
		if between != errors.Is(err, io.EOF) || !between && !errors.As(err, &torn) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		if len(got) != complete {
			t.Fatalf("cut at %d: %d frames, wants %d", cut, len(got), complete)
		}
	}
}

func TestEveryFlippedBitIsNoticed(t *testing.T) {
	whole := taped(example())
	want, _ := read(whole)
	for at := len(Magic); at < len(whole); at++ {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x10
		got, err := read(damaged)
		var torn *TornError
		if !errors.As(err, &torn) || len(got) >= len(want) || torn.At > int64(at) {
			t.Fatalf("bit of byte %d: %d frames, %v", at, len(got), err)
		}
	}
}

func TestWhatIsNoTapeAndWhatIsOfAnotherVersionIsTold(t *testing.T) {
	for _, text := range []string{"", "d", "ds-tape", `{"id": "a"}`, "DS-TAPE\x01"} {
		if _, err := NewReader(strings.NewReader(text)); !errors.Is(err, ErrNotTape) {
			t.Errorf("%q: %v", text, err)
		}
	}
	var version *VersionError
	if _, err := NewReader(strings.NewReader("ds-tape\x02")); !errors.As(err, &version) || version.Version != 2 {
		t.Errorf("got %v", err)
	}
}

// framed is a body with a good head.
func framed(body []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte(Magic), uint32(len(body)))
	return append(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(body)), body...)
}

func TestFramesThatLieAreTornAndTakeNoMemory(t *testing.T) {
	good := example()[2].(*Batch)
	without := *good.Batch
	without.Keys = nil
	beyond := &wire.Result{Lease: good.Batch.Lease, First: 0, Count: 4, Lines: []byte("1\n2\n3\n4\n")}
	gap := &wire.Result{Lease: good.Batch.Lease, First: 1, Count: 1, Lines: []byte("1\n")}
	for name, body := range map[string][]byte{
		"no array":                  {0x01},
		"no type":                   {0x90},
		"an array without its end":  {0xdd, 0xff, 0xff, 0xff, 0xff, 0x04},
		"runs without an end":       append(head(nil, 1, typeFates), 0xdd, 0xff, 0xff, 0xff, 0xff),
		"a fate of seven items":     append(msgp.AppendArrayHeader(head(nil, 1, typeFates), 1), 0x97, 0, 0, 0, 0, 0, 0, 0),
		"a batch that is none":      msgp.AppendBytes(msgp.AppendInt64(msgp.AppendInt64(msgp.AppendUint64(head(nil, 6, typeBatch), 1), 1), 1), []byte{0x90}),
		"a batch without metadata":  Append(nil, &Batch{Batch: &without})[headSize:],
		"more answers than events":  Append(nil, &Batch{Batch: good.Batch, Answers: []wire.Message{beyond}})[headSize:],
		"answers that do not begin": Append(nil, &Batch{Batch: good.Batch, Answers: []wire.Message{gap}})[headSize:],
		"an answer that is none":    Append(nil, &Batch{Batch: good.Batch, Answers: []wire.Message{&wire.Drain{}}})[headSize:],
	} {
		var torn *TornError
		if got, err := read(framed(body)); !errors.As(err, &torn) || len(got) != 0 {
			t.Errorf("%s: %d frames, %v", name, len(got), err)
		}
	}
	announced := binary.BigEndian.AppendUint32([]byte(Magic), 200<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	read(append(announced, 0, 0, 0, 0, 1))
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes for a length that is announced", n)
	}
}

func TestWhatALaterVersionAddsIsSkipped(t *testing.T) {
	later := append(msgp.AppendUint64(msgp.AppendArrayHeader(nil, 3), typeEnd), 0x09, 0xa1, 'x')
	got, err := read(framed(later))
	if !errors.Is(err, io.EOF) || got[0].(*End).Ended != 9 {
		t.Fatalf("%+v, %v", got, err)
	}
	got, err = read(framed([]byte{0x91, 0x63}))
	if !errors.Is(err, io.EOF) || len(got) != 1 || got[0] != nil {
		t.Fatalf("a frame of an unknown type: %+v, %v", got, err)
	}
}

func FuzzATapeIsFramesOrAnErrorAndNothingElse(f *testing.F) {
	f.Add(taped(example())[len(Magic):])
	for _, frame := range example() {
		f.Add(Append(nil, frame))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		frame, err := decode(data)
		if err == nil && frame != nil {
			if b, ok := frame.(*Batch); ok {
				b.Answered()
				b.Size()
			}
			Append(nil, frame)
		}
		read(append([]byte(Magic), data...))
	})
}
