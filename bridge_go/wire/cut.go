package wire

// Cut asks a parent to end one of its workers.
type Cut struct{ Worker, Reason string }

func (*Cut) Type() Type { return TypeCut }

func (m *Cut) append(b []byte) []byte {
	return appendStrings(appendHead(b, TypeCut), m.Worker, m.Reason)
}

func (m *Cut) decode(f *fields) {
	m.Worker = f.label("worker", MaxName)
	m.Reason = f.text("reason", MaxReason)
}
