package wire

// Died is a parent's word on the end of one of its workers.
type Died struct{ Worker, Cause, Detail string }

func (*Died) Type() Type { return TypeDied }

func (m *Died) append(b []byte) []byte {
	return appendStrings(appendHead(b, TypeDied), m.Worker, m.Cause, m.Detail)
}

func (m *Died) decode(f *fields) {
	m.Worker = f.label("worker", MaxName)
	m.Cause = f.label("cause", MaxCode)
	m.Detail = f.text("detail", MaxReason)
}
