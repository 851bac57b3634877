package wire

// Drain says that no more batches will come, or are wanted. Its receiver says goodbye when it has nothing left to wait for.
type Drain struct{ Reason string }

func (*Drain) Type() Type { return TypeDrain }

func (m *Drain) append(b []byte) []byte { return appendStrings(appendHead(b, TypeDrain), m.Reason) }

func (m *Drain) decode(f *fields) { m.Reason = f.text("reason", MaxReason) }
