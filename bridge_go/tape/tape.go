// Package tape keeps live traffic in a file, so that it can be run again elsewhere: what a command was sent, what its workers
// asked and were answered meanwhile, what they answered, and what became of each event. FORMAT.md has the bytes.
//
//	tape.go    the frames
//	append.go  frames to bytes
//	read.go    bytes to frames, of a file that nobody vouches for
//
// Batches and answers are kept as the messages of the wire that they were, so that one codec judges both. The package knows no
// clock, goroutine or file.
package tape

import "ds-runner.dev/ds-runner/bridge_go/wire"

// Version is the format's version, which is the last byte of Magic.
const Version = 1

// Magic begins a tape.
const Magic = "ds-tape\x01"

// A Frame is one of *Recording, *Worker, *Batch, *Fates, *Gap and *End.
type Frame interface {
	append(b []byte) []byte
}

// Recording is the first frame.
type Recording struct {
	Program, Command, Stream string
	Began                    int64  // nanoseconds since 1970 UTC, as all times here
	Bridge                   string // its version
	Lookups                  bool   // answers of calls are kept
}

// Worker tells of a process before the first of its batches.
type Worker struct {
	Number     uint64
	ID         string
	Model, SDK string
	Describe   []byte // of its HELLO: JSON, with the environment in which it scores
}

// Batch is one delivery of some events to a worker, whole: with all metadata, whether the worker had asked for it or not.
type Batch struct {
	Worker  uint64
	Sent    int64
	Took    int64 // until the last answer, or the loss
	Batch   *wire.Batch
	Calls   []Call
	Answers []wire.Message // *wire.Result, the last of which may be missing, or one *wire.Return
}

// A Call is what the model asked for while it scored the batch.
type Call struct {
	Method string
	Args   []byte // msgpack, as it came
	State  CallState
	Value  []byte // msgpack: the answer, or [code, reason, retry] of a failed one
}

// CallState says what Call.Value is.
type CallState uint64

const (
	Answered CallState = 0
	Failed   CallState = 1
	Unkept   CallState = 2 // the recording keeps no answers
)

// Fates tells what became of events, in the order in which it was stored.
type Fates struct{ Runs []FateRun }

// A FateRun is the same fate of N events that follow each other.
type FateRun struct {
	Partition    int32
	First, N     int64
	Kind         FateKind
	Attempts     uint64 // of the first
	Model        string
	Code, Reason string // of a rejected or dead event
}

// FateKind is what became of an event.
type FateKind uint64

const (
	Scored   FateKind = 0
	Rejected FateKind = 1
	Dead     FateKind = 2
)

// Gap stands where batches are missing because nobody took them off the bridge in time.
type Gap struct {
	Batches uint64 `json:"batches"`
	Events  uint64 `json:"events"`
}

// End is the last frame of a recording that was ended in order.
type End struct{ Ended int64 }

// Answered says whether all events of the batch were answered, by results alone.
func (b *Batch) Answered() bool {
	n := uint64(0)
	for _, a := range b.Answers {
		r, ok := a.(*wire.Result)
		if !ok {
			return false
		}
		n += r.Count
	}
	return n == uint64(len(b.Batch.Payloads))
}

// Size is about what the batch takes in memory and on a tape.
func (b *Batch) Size() int {
	n := 256 + 16*len(b.Batch.Positions)
	for i, p := range b.Batch.Payloads {
		n += 24 + len(p) + len(b.Batch.Keys[i])
		for _, h := range b.Batch.Headers[i] {
			n += 16 + len(h.Name) + len(h.Value)
		}
	}
	for _, c := range b.Calls {
		n += 32 + len(c.Method) + len(c.Args) + len(c.Value)
	}
	for _, a := range b.Answers {
		if r, ok := a.(*wire.Result); ok {
			n += resultSize(r)
		}
	}
	return n
}

func resultSize(r *wire.Result) int {
	n := 64 + len(r.Lines) + 8*len(r.Counts) + 24*len(r.Routes)
	for _, o := range r.Outputs {
		n += 8 + len(o)
	}
	for i := range r.Errors {
		n += 48 + len(r.Errors[i].Reason) + len(r.Errors[i].Detail)
	}
	return n
}
