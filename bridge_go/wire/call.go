package wire

import "github.com/tinylib/msgp/msgp"

// Call asks the bridge for something. Args is the msgpack array as it came, legal and within the limits.
type Call struct {
	ID         uint64
	Lease      *Lease // nil outside a batch
	DeadlineMS uint64
	Method     string
	Args       []byte
}

func (*Call) Type() Type { return TypeCall }

const leaseFields = 3

func (m *Call) append(b []byte) []byte {
	b = msgp.AppendUint64(appendHead(b, TypeCall), m.ID)
	if m.Lease == nil {
		b = msgp.AppendNil(b)
	} else {
		b = m.Lease.append(msgp.AppendArrayHeader(b, leaseFields))
	}
	b = msgp.AppendUint64(b, m.DeadlineMS)
	b = msgp.AppendString(b, m.Method)
	return append(b, m.Args...)
}

func (m *Call) decode(f *fields) {
	m.ID = f.uint("id")
	m.Lease = f.lease()
	m.DeadlineMS = f.uint("deadline_ms")
	m.Method = f.required("method")
	m.Args = f.raw("args")
	if f.err == nil {
		f.expect(headOf(m.Args), kindArray)
	}
}

func (f *fields) lease() *Lease {
	n, ok := f.arrayOrNil("lease")
	if !ok {
		return nil
	}
	if n != leaseFields {
		f.malformed("%d numbers, wants nonce, batch and epoch", n)
	}
	return &Lease{f.uintHere(), f.uintHere(), f.uintHere()}
}

func headOf(value []byte) head {
	h, _ := readHead(value)
	return h
}
