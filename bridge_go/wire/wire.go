// Package wire is the protocol of PROTOCOL.md in bytes: the preface that proves a token, frames, and one file a message.
//
// What comes in is untrusted until it has passed Decode: a Reader takes a frame whose length it has checked, Decode walks
// over it once (check.go: limits and legal bytes, nothing allocated) and then reads its fields by type (fields.go), and a
// message that comes out keeps every rule of PROTOCOL.md that can be judged without knowing the session. What goes out is
// appended to the caller's buffer in the smallest msgpack encoding. The package knows no socket, clock or goroutine.
package wire

import "fmt"

// Major and Minor are the version that this package speaks.
const (
	Major = 1
	Minor = 1
)

// A Type is the first element of a frame.
type Type uint64

const (
	TypeHello   Type = 1
	TypeWelcome Type = 2
	TypeReady   Type = 3
	TypeBatch   Type = 4
	TypeResult  Type = 5
	TypeReturn  Type = 6
	TypeDrain   Type = 7
	TypeBye     Type = 8
	TypeCall    Type = 9
	TypeAnswer  Type = 10
	TypePulse   Type = 11
	TypeDied    Type = 12
	TypeCut     Type = 13
	TypeColumns Type = 14 // since minor version 1
	TypeAnswers Type = 15 // likewise

	// FirstSkipped is the first type that a peer who does not know it skips; an unknown one below is fatal.
	FirstSkipped Type = 128
)

// A Message is one frame. The types of this package are all there are.
type Message interface {
	Type() Type
	append(b []byte) []byte
	decode(f *fields)
}

// kinds says of each type its name, its fields in order, how it is made, and the minor version that brought it.
var kinds = [...]struct {
	name   string
	fields []string
	new    func() Message
	since  uint8
}{
	TypeHello: {"HELLO", []string{"program", "command", "worker", "slot", "pid", "sdk", "model", "wants", "max_frame", "describe"},
		func() Message { return new(Hello) }, 0},
	TypeWelcome: {"WELCOME", []string{"nonce", "bridge", "max_frame", "deadline_ms", "heartbeat_ms"},
		func() Message { return new(Welcome) }, 0},
	TypeReady: {"READY", []string{"events", "bytes"}, func() Message { return new(Ready) }, 0},
	TypeBatch: {"BATCH", []string{"nonce", "batch", "epoch", "attempt", "deadline_ms", "stream", "positions", "payloads", "keys",
		"headers", "timestamps"}, func() Message { return new(Batch) }, 0},
	TypeResult: {"RESULT", []string{"nonce", "batch", "epoch", "first", "count", "outputs", "counts", "routes", "errors"},
		func() Message { return new(Result) }, 0},
	TypeReturn: {"RETURN", []string{"nonce", "batch", "epoch", "code", "reason", "retry_ms"}, func() Message { return new(Return) }, 0},
	TypeDrain:  {"DRAIN", []string{"reason"}, func() Message { return new(Drain) }, 0},
	TypeBye:    {"BYE", []string{"code", "reason"}, func() Message { return new(Bye) }, 0},
	TypeCall:   {"CALL", []string{"id", "lease", "deadline_ms", "method", "args"}, func() Message { return new(Call) }, 0},
	TypeAnswer: {"ANSWER", []string{"id", "ok", "value"}, func() Message { return new(Answer) }, 0},
	TypePulse:  {"PULSE", []string{"seq"}, func() Message { return new(Pulse) }, 0},
	TypeDied:   {"DIED", []string{"worker", "cause", "detail"}, func() Message { return new(Died) }, 0},
	TypeCut:    {"CUT", []string{"worker", "reason"}, func() Message { return new(Cut) }, 0},
	TypeColumns: {"COLUMNS", []string{"nonce", "batch", "epoch", "attempt", "deadline_ms", "stream", "positions", "keys", "headers",
		"timestamps", "bytes", "misfits", "unknown", "rows", "layout", "pad", "body"}, func() Message { return new(Columns) }, 1},
	TypeAnswers: {"ANSWERS", []string{"nonce", "batch", "epoch", "first", "count", "rows", "counts", "errors", "layout", "pad", "body"},
		func() Message { return new(Answers) }, 1},
}

func (t Type) known() bool { return t >= TypeHello && int(t) < len(kinds) }

// knownAt says whether a type is part of the protocol at a minor version.
func (t Type) knownAt(minor uint8) bool { return t.known() && kinds[t].since <= minor }

// String is the type's name in PROTOCOL.md.
func (t Type) String() string {
	if t.known() {
		return kinds[t].name
	}
	return fmt.Sprintf("type %d", uint64(t))
}

// Skipped stands for a well-formed frame of an unknown type of 128 or more. It is never sent.
type Skipped struct{ Kind Type }

func (m *Skipped) Type() Type           { return m.Kind }
func (*Skipped) append(b []byte) []byte { return b }
func (*Skipped) decode(*fields)         {}
