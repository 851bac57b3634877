package objects

import (
	"errors"
	"fmt"
)

// ErrNotFound says that there is no object of that key.
var ErrNotFound = errors.New("no such object")

// ErrDamaged says that an object's bytes are not those that its writer announced: nothing was stored.
var ErrDamaged = errors.New("size or hash differ from what was announced")

// An Error says whose fault it is that a bucket did not do what it was asked.
//
//	bad_value     the caller's: this key or part can never be stored here
//	refused       the operator's: rights, credentials, a bucket that is not there
//	exists        another's: the object was to be new
//	unavailable   nobody's: the same may work a moment later
type Error struct {
	Code   string
	Reason string
	Err    error // what was told to us, or nil
}

func (e *Error) Error() string { return e.Reason }

func (e *Error) Unwrap() error { return e.Err }

// Retry says whether the same may be tried again.
func (e *Error) Retry() bool { return e.Code == "unavailable" }

func badValue(format string, args ...any) error {
	return &Error{Code: "bad_value", Reason: fmt.Sprintf(format, args...)}
}
