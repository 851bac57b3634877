package wire

import (
	"fmt"

	"github.com/tinylib/msgp/msgp"
)

// Answer is the answer to the call with its ID. Value is one msgpack value as it came; of a failed one it is what
// CallError.Append wrote.
type Answer struct {
	ID    uint64
	OK    bool
	Value []byte
}

func (*Answer) Type() Type { return TypeAnswer }

func (m *Answer) append(b []byte) []byte {
	b = msgp.AppendUint64(appendHead(b, TypeAnswer), m.ID)
	b = msgp.AppendBool(b, m.OK)
	return append(b, m.Value...)
}

func (m *Answer) decode(f *fields) {
	m.ID = f.uint("id")
	m.OK = f.bool("ok")
	m.Value = f.raw("value")
	if f.err == nil && !m.OK {
		m.failure(f)
	}
}

// Failure is the error of an answer that is not OK.
func (m *Answer) Failure() *CallError {
	return m.failure(&fields{typ: TypeAnswer})
}

func (m *Answer) failure(f *fields) *CallError {
	v := fields{b: m.Value, typ: TypeAnswer}
	if n := v.array("value"); n != 3 {
		v.malformed("%d items, wants code, reason and retry", n)
	}
	e := &CallError{Code: v.labelHere(MaxCode), Reason: v.textHere(MaxReason), Retry: v.bool("value")}
	if v.err != nil {
		f.fail(v.err)
	}
	return e
}

// A CallError is a failed call as the caller sees it.
type CallError struct {
	Code, Reason string
	Retry        bool // the same call may succeed later
}

func (e *CallError) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Reason) }

// Append writes the value of an answer that is not OK.
func (e *CallError) Append(b []byte) []byte {
	b = msgp.AppendArrayHeader(b, 3)
	b = appendStrings(b, Text(e.Code, MaxCode), Text(e.Reason, MaxReason))
	return msgp.AppendBool(b, e.Retry)
}
