package wire

import (
	"fmt"
	"strings"
)

// A ByeCode says why a connection ends.
type ByeCode uint8

const (
	ByeDone        ByeCode = 0
	ByeMalformed   ByeCode = 1
	ByeLimit       ByeCode = 2
	ByeOrder       ByeCode = 3
	ByeWindow      ByeCode = 4
	ByeUnknownType ByeCode = 5
	ByeDeadline    ByeCode = 6
	ByeDraining    ByeCode = 7
	ByeReplaced    ByeCode = 8
	ByeRefused     ByeCode = 9
	ByeInternal    ByeCode = 10
)

var byeNames = [...]string{"done", "malformed", "limit", "order", "window", "unknown_type", "deadline", "draining",
	"replaced", "refused", "internal"}

// String is a short word for logs and metrics.
func (c ByeCode) String() string {
	if int(c) < len(byeNames) {
		return byeNames[c]
	}
	return fmt.Sprintf("code_%d", uint8(c))
}

// An Error is a rule of the protocol that the peer broke. Code is the BYE code with which it is closed.
type Error struct {
	Code ByeCode
	At   string // type and field, as "BATCH.payloads"; empty when not even the type could be read
	Why  string
}

func (e *Error) Error() string { return "wire: " + e.Reason() }

// Reason is the text for the peer's BYE.
func (e *Error) Reason() string {
	if e.At == "" {
		return e.Why
	}
	return e.At + ": " + e.Why
}

func malformed(at, format string, args ...any) *Error {
	return &Error{ByeMalformed, at, fmt.Sprintf(format, args...)}
}

func overLimit(at, format string, args ...any) *Error {
	return &Error{ByeLimit, at, fmt.Sprintf(format, args...)}
}

// Text makes any text fit for a field of at most limit bytes: valid UTF-8, cut at a character.
func Text(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "")
}
