// Package arguments reads the arguments of a call: msgpack values by position, decoded strictly.
package arguments

import (
	"errors"
	"fmt"

	"github.com/tinylib/msgp/msgp"
)

// Arguments reads the values of a call one after the other. The first that does not fit stays in Err, and all later ones are
// zero: a method reads all its arguments and asks once.
type Arguments struct {
	rest []byte
	left uint32
	Err  error
}

// Of begins to read an array of arguments.
func Of(raw []byte) (*Arguments, error) {
	n, rest, err := msgp.ReadArrayHeaderBytes(raw)
	return &Arguments{rest: rest, left: n}, err
}

// A mistake is in a value within a list or a tuple, and says where.
type mistake struct{ text string }

func (m *mistake) Error() string { return m.text }

func within(place string, err error) error {
	if err == nil {
		return nil
	}
	return &mistake{place + err.Error()}
}

// More tells whether an optional argument is there.
func (a *Arguments) More() bool { return a.Err == nil && a.left > 0 }

// End wants that no argument is left.
func (a *Arguments) End() {
	if a.Err == nil && a.left > 0 {
		a.Err = fmt.Errorf("%d values too many", a.left)
	}
}

// Text reads a str.
func (a *Arguments) Text(name string) (v string) {
	a.read(name, "a str", func(b []byte) (rest []byte, err error) {
		v, rest, err = msgp.ReadStringBytes(b)
		return rest, err
	})
	return v
}

// Number is a whole number from least to most.
func (a *Arguments) Number(name string, least, most int64) (v int64) {
	a.read(name, fmt.Sprintf("an int from %d to %d", least, most), func(b []byte) (rest []byte, err error) {
		v, rest, err = msgp.ReadInt64Bytes(b)
		if err == nil && (v < least || v > most) {
			return nil, fmt.Errorf("%d", v)
		}
		return rest, err
	})
	return v
}

// List reads an array item by item.
func (a *Arguments) List(name string, item func(item *Arguments)) {
	a.read(name, "an array", func(b []byte) ([]byte, error) {
		n, rest, err := msgp.ReadArrayHeaderBytes(b)
		items := &Arguments{rest: rest, left: n}
		for err == nil && items.More() {
			item(items)
			err = within("", items.Err)
		}
		return items.rest, err
	})
}

// Tuple reads an array whose items differ. read takes them all, and what is left over is too many.
func (a *Arguments) Tuple(name string, read func(fields *Arguments)) {
	a.read(name, "an array", func(b []byte) ([]byte, error) {
		n, rest, err := msgp.ReadArrayHeaderBytes(b)
		fields := &Arguments{rest: rest, left: n}
		if err != nil {
			return nil, err
		}
		read(fields)
		fields.End()
		return fields.rest, within(name+": ", fields.Err)
	})
}

// Bytes reads bin, str or nil. The bytes are the call's own; what keeps them copies them.
func (a *Arguments) Bytes(name string) (v []byte) {
	a.read(name, "bin, str or nil", func(b []byte) (rest []byte, err error) {
		switch msgp.NextType(b) {
		case msgp.NilType:
			return msgp.ReadNilBytes(b)
		case msgp.StrType:
			v, rest, err = msgp.ReadStringZC(b)
		default:
			v, rest, err = msgp.ReadBytesZC(b)
		}
		if v == nil {
			v = []byte{}
		}
		return rest, err
	})
	return v
}

// SkipNil passes over a nil, which stands for an argument that is left out.
func (a *Arguments) SkipNil() bool {
	if !a.More() || !msgp.IsNil(a.rest) {
		return false
	}
	a.rest = a.rest[1:]
	a.left--
	return true
}

func (a *Arguments) read(name, expected string, read func([]byte) ([]byte, error)) {
	if a.Err != nil {
		return
	}
	if a.left == 0 {
		a.Err = fmt.Errorf("%s is missing, expected %s", name, expected)
		return
	}
	rest, err := read(a.rest)
	if inner := (*mistake)(nil); errors.As(err, &inner) {
		a.Err = inner
		return
	}
	if err != nil {
		a.Err = fmt.Errorf("%s: expected %s, got %s: %w", name, expected, msgp.NextType(a.rest), err)
		return
	}
	a.rest = rest
	a.left--
}

// Optional says whether an argument that may be left out is there; one that is nil is passed over.
func (a *Arguments) Optional() bool { return a.More() && !a.SkipNil() }

// Kind is the type of the value at hand, InvalidType behind the last.
func (a *Arguments) Kind() msgp.Type {
	if !a.More() {
		return msgp.InvalidType
	}
	return msgp.NextType(a.rest)
}

// Bool reads true or false.
func (a *Arguments) Bool(name string) (v bool) {
	a.read(name, "a bool", func(b []byte) (rest []byte, err error) {
		v, rest, err = msgp.ReadBoolBytes(b)
		return rest, err
	})
	return v
}

// Float reads a number with a fraction, in 4 or 8 bytes.
func (a *Arguments) Float(name string) (v float64) {
	a.read(name, "a float", func(b []byte) (rest []byte, err error) {
		v, rest, err = msgp.ReadFloat64Bytes(b)
		return rest, err
	})
	return v
}
