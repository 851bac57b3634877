package wire

import "github.com/tinylib/msgp/msgp"

// Welcome answers HELLO.
type Welcome struct {
	Nonce                             uint64 // drawn anew each time the bridge starts
	Bridge                            string
	MaxFrame, DeadlineMS, HeartbeatMS uint64
}

func (*Welcome) Type() Type { return TypeWelcome }

func (m *Welcome) append(b []byte) []byte {
	b = appendHead(b, TypeWelcome)
	b = msgp.AppendUint64(b, m.Nonce)
	b = msgp.AppendString(b, m.Bridge)
	return appendUints(b, m.MaxFrame, m.DeadlineMS, m.HeartbeatMS)
}

func (m *Welcome) decode(f *fields) {
	m.Nonce = f.uint("nonce")
	m.Bridge = f.label("bridge", MaxName)
	m.MaxFrame = f.maxFrame()
	m.DeadlineMS = f.uint("deadline_ms")
	m.HeartbeatMS = f.uint("heartbeat_ms")
}
