package control

import (
	"fmt"
	"math"

	"github.com/tinylib/msgp/msgp"

	"ds-runner.dev/ds-runner/bridge_go/messaging"
)

// arguments reads the values of a call one after the other. The first that does not fit stays in err, and all later ones are
// zero: a method reads all its arguments and asks once.
type arguments struct {
	rest []byte
	left uint32
	err  error
}

func argumentsOf(raw []byte) (*arguments, error) {
	n, rest, err := msgp.ReadArrayHeaderBytes(raw)
	return &arguments{rest: rest, left: n}, err
}

// more tells whether an optional argument is there.
func (a *arguments) more() bool { return a.err == nil && a.left > 0 }

// end wants that no argument is left.
func (a *arguments) end() {
	if a.err == nil && a.left > 0 {
		a.err = fmt.Errorf("%d values too many", a.left)
	}
}

func (a *arguments) text(name string) (v string) {
	a.read(name, "a str", func(b []byte) (rest []byte, err error) {
		v, rest, err = msgp.ReadStringBytes(b)
		return rest, err
	})
	return v
}

// number is a whole number from least to most.
func (a *arguments) number(name string, least, most int64) (v int64) {
	a.read(name, fmt.Sprintf("an int from %d to %d", least, most), func(b []byte) (rest []byte, err error) {
		v, rest, err = msgp.ReadInt64Bytes(b)
		if err == nil && (v < least || v > most) {
			return nil, fmt.Errorf("%d", v)
		}
		return rest, err
	})
	return v
}

// list reads an array item by item.
func (a *arguments) list(name string, item func(item *arguments)) {
	a.read(name, "an array", func(b []byte) ([]byte, error) {
		n, rest, err := msgp.ReadArrayHeaderBytes(b)
		items := &arguments{rest: rest, left: n}
		for err == nil && items.more() {
			item(items)
			err = items.err
		}
		return items.rest, err
	})
}

// tuple reads an array whose items differ. read takes them all, and what is left over is too many.
func (a *arguments) tuple(name string, read func(fields *arguments)) {
	a.read(name, "an array", func(b []byte) ([]byte, error) {
		n, rest, err := msgp.ReadArrayHeaderBytes(b)
		fields := &arguments{rest: rest, left: n, err: err}
		read(fields)
		fields.end()
		return fields.rest, fields.err
	})
}

// letters reads an array of [partition, offset], by which dead letters are called.
func (a *arguments) letters() (v []messaging.Position) {
	a.list("letters", func(item *arguments) {
		item.tuple(fmt.Sprintf("letters[%d]", len(v)), func(pair *arguments) {
			v = append(v, messaging.Position{
				Partition: int32(pair.number("partition", 0, math.MaxInt32)), Offset: pair.number("offset", 0, math.MaxInt64),
			})
		})
	})
	return v
}

// bytes reads bin, str or nil. The bytes are the call's own; what keeps them copies them.
func (a *arguments) bytes(name string) (v []byte) {
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

// skipNil passes over a nil, which stands for an argument that is left out.
func (a *arguments) skipNil() bool {
	if !a.more() || !msgp.IsNil(a.rest) {
		return false
	}
	a.rest = a.rest[1:]
	a.left--
	return true
}

func (a *arguments) read(name, expected string, read func([]byte) ([]byte, error)) {
	if a.err != nil {
		return
	}
	if a.left == 0 {
		a.err = fmt.Errorf("%s is missing, expected %s", name, expected)
		return
	}
	rest, err := read(a.rest)
	if err != nil {
		a.err = fmt.Errorf("%s: expected %s, got %s: %w", name, expected, msgp.NextType(a.rest), err)
		return
	}
	a.rest = rest
	a.left--
}
