package wire

// Ready sets the window: unanswered events and payload bytes. Zero events pause.
type Ready struct{ Events, Bytes uint64 }

func (*Ready) Type() Type { return TypeReady }

func (m *Ready) append(b []byte) []byte {
	return appendUints(appendHead(b, TypeReady), m.Events, m.Bytes)
}

func (m *Ready) decode(f *fields) {
	m.Events = f.uint("events")
	m.Bytes = f.uint("bytes")
}
