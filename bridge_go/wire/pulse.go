package wire

// Pulse is echoed by the bridge.
type Pulse struct{ Seq uint64 }

func (*Pulse) Type() Type { return TypePulse }

func (m *Pulse) append(b []byte) []byte { return appendUints(appendHead(b, TypePulse), m.Seq) }

func (m *Pulse) decode(f *fields) { m.Seq = f.uint("seq") }
