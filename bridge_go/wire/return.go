package wire

import "github.com/tinylib/msgp/msgp"

// Return gives a whole batch back: nobody's fault.
type Return struct {
	Lease
	Code, Reason string
	RetryMS      uint64
}

func (*Return) Type() Type { return TypeReturn }

func (m *Return) append(b []byte) []byte {
	b = m.Lease.append(appendHead(b, TypeReturn))
	b = appendStrings(b, m.Code, m.Reason)
	return msgp.AppendUint64(b, m.RetryMS)
}

func (m *Return) decode(f *fields) {
	m.Lease.decode(f)
	m.Code = f.label("code", MaxCode)
	m.Reason = f.text("reason", MaxReason)
	m.RetryMS = f.uint("retry_ms")
}
