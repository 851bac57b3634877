package wire

// Decode reads one frame without its length. minor is the negotiated minor version: types that came later are unknown, and
// above this package's own a frame may have fields that it does not know. The message's slices point into frame, which the caller must not use again. The
// error is always an *Error.
func Decode(frame []byte, minor uint8) (Message, error) {
	if err := check(frame); err != nil {
		return nil, err
	}
	t, ok := typeOf(frame)
	if !ok {
		return nil, malformed("", "a frame starts with its type, 0 to 2^63-1")
	}
	if !t.knownAt(minor) {
		return unknown(t)
	}
	m, err := decodeKnown(frame, t, minor)
	if err != nil {
		return nil, err
	}
	return m, nil
}

func unknown(t Type) (Message, error) {
	if t < FirstSkipped {
		return nil, &Error{ByeUnknownType, "", t.String() + " is unknown"}
	}
	return &Skipped{t}, nil
}

func decodeKnown(frame []byte, t Type, minor uint8) (Message, *Error) {
	top, _ := readHead(frame)
	want := len(kinds[t].fields)
	switch have := int(top.n) - 1; {
	case have < want, have > want && minor <= Minor:
		return nil, malformed(t.String(), "%d fields, wants %d", have, want)
	}
	id, _ := readHead(frame[top.size:])
	f := fields{b: frame[top.size+id.size:], size: len(frame), typ: t}
	m := kinds[t].new()
	m.decode(&f)
	if f.err != nil {
		return nil, f.err
	}
	return m, nil
}
