package wire

import "github.com/tinylib/msgp/msgp"

// Bye is the last frame of a side.
type Bye struct {
	Code   ByeCode
	Reason string
}

func (*Bye) Type() Type { return TypeBye }

func (m *Bye) append(b []byte) []byte {
	b = msgp.AppendUint64(appendHead(b, TypeBye), uint64(m.Code))
	return msgp.AppendString(b, m.Reason)
}

func (m *Bye) decode(f *fields) {
	code := f.uint("code")
	if code > 255 {
		f.malformed("%d, wants 0 to 255", code)
	}
	m.Code = ByeCode(code)
	m.Reason = f.text("reason", MaxReason)
}
